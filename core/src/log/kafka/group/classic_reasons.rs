//! Why a classic group refuses a member, in words that say what to do.

use crate::log::kafka::wire::error_code;

/// Why the broker will never take us, and what to do.
pub(super) fn refusal(code: i16) -> String {
    let advice = match code {
        error_code::INCONSISTENT_GROUP_PROTOCOL => {
            "the group has members of another kind: use another application id, or stop them"
        }
        error_code::INVALID_SESSION_TIMEOUT => {
            "choose a session timeout between the brokers' group.min.session.timeout.ms and group.max.session.timeout.ms"
        }
        error_code::GROUP_AUTHORIZATION_FAILED => "allow READ on the group to this user",
        error_code::FENCED_INSTANCE_ID => "another process has taken the instance name: give each process its own",
        error_code::INVALID_GROUP_ID => "the brokers do not take the application id as the name of a group",
        _ => "see the broker's log",
    };
    format!("{}: {advice}", error_code::name(code))
}
