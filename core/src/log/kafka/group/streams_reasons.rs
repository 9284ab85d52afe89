//! What a streams group says when it does not work, in words that say what to do.

use crate::log::kafka::wire::{error_code, streams_heartbeat::Status};

/// What a status of the group means for those who wait; nothing for what only informs.
pub(super) fn reason(status: &Status) -> Option<String> {
    let advice = match status.code {
        0 => return None,
        1 => "source topics are missing: create them",
        2 => "topics do not have equally many partitions: make them so, or delete the internal ones that do not fit",
        3 => "internal topics are missing: wait until they are created, or allow CREATE to this user",
        4 => "a member has asked all to stop: see its log, then start all processes again",
        5 => "the group waits for more members before it shares out the tasks",
        6 => {
            "the group wants tags of its members that this program does not give: unset the tags in the group's configuration"
        }
        _ => "the group is not ready",
    };
    Some(match status.detail.is_empty() {
        true => advice.to_owned(),
        false => format!("{advice} ({})", status.detail),
    })
}

/// Why the broker will never take us, and what to do.
pub(super) fn refusal(code: i16, message: Option<&str>) -> String {
    let problem = error_code::described(code, message);
    let advice = match code {
        error_code::INVALID_REQUEST if message.is_some_and(|message| message.contains("Topology")) => {
            "the topology differs from the group's: use a new application id, or stop all its processes and delete the group"
        }
        error_code::STREAMS_INVALID_TOPOLOGY
        | error_code::STREAMS_INVALID_TOPOLOGY_EPOCH
        | error_code::STREAMS_TOPOLOGY_FENCED => {
            "the group does not take the topology: use a new application id, or stop all its processes and delete the group"
        }
        error_code::GROUP_AUTHORIZATION_FAILED => "allow READ on the group to this user",
        error_code::TOPIC_AUTHORIZATION_FAILED => "allow DESCRIBE on all topics of the application to this user",
        error_code::CLUSTER_AUTHORIZATION_FAILED => "allow CREATE on the internal topics to this user",
        error_code::GROUP_ID_NOT_FOUND | error_code::INCONSISTENT_GROUP_PROTOCOL => {
            "there is a group of another kind with this name: use another application id, or delete that group"
        }
        error_code::FENCED_INSTANCE_ID => "another process has taken the instance name: give each process its own",
        error_code::UNSUPPORTED_VERSION => {
            "streams groups are not enabled on the brokers: configure the group protocol `classic`"
        }
        _ => "see the broker's log",
    };
    format!("{problem}: {advice}")
}
