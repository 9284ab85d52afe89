//! The error codes of Kafka's protocol that are met here, by their names there.

macro_rules! codes {
    ($($name:ident = $code:literal),+ $(,)?) => {
        $(pub(in crate::log::kafka) const $name: i16 = $code;)+

        /// The name of a code, for people.
        pub(in crate::log::kafka) fn name(code: i16) -> String {
            match code {
                $($code => stringify!($name).to_owned(),)+
                _ => kafka_protocol_name(code),
            }
        }
    };
}

codes! {
    NONE = 0,
    UNKNOWN_TOPIC_OR_PARTITION = 3,
    COORDINATOR_LOAD_IN_PROGRESS = 14,
    COORDINATOR_NOT_AVAILABLE = 15,
    NOT_COORDINATOR = 16,
    ILLEGAL_GENERATION = 22,
    INCONSISTENT_GROUP_PROTOCOL = 23,
    INVALID_GROUP_ID = 24,
    UNKNOWN_MEMBER_ID = 25,
    INVALID_SESSION_TIMEOUT = 26,
    REBALANCE_IN_PROGRESS = 27,
    TOPIC_AUTHORIZATION_FAILED = 29,
    GROUP_AUTHORIZATION_FAILED = 30,
    CLUSTER_AUTHORIZATION_FAILED = 31,
    UNSUPPORTED_VERSION = 35,
    INVALID_REQUEST = 42,
    GROUP_ID_NOT_FOUND = 69,
    MEMBER_ID_REQUIRED = 79,
    GROUP_MAX_SIZE_REACHED = 81,
    FENCED_INSTANCE_ID = 82,
    UNSTABLE_OFFSET_COMMIT = 88,
    FENCED_MEMBER_EPOCH = 110,
    UNRELEASED_INSTANCE_ID = 111,
    STALE_MEMBER_EPOCH = 113,
    STREAMS_INVALID_TOPOLOGY = 130,
    STREAMS_INVALID_TOPOLOGY_EPOCH = 131,
    STREAMS_TOPOLOGY_FENCED = 132,
}

/// The name of a code that nothing is done about.
fn kafka_protocol_name(code: i16) -> String {
    match kafka_protocol::ResponseError::try_from_code(code) {
        Some(known) => format!("{known:?}"),
        None => format!("error {code}"),
    }
}

/// Whether the broker is not, or not yet, the one to ask; another one may be.
pub(in crate::log::kafka) fn is_coordinator_elsewhere(code: i16) -> bool {
    matches!(code, COORDINATOR_LOAD_IN_PROGRESS | COORDINATOR_NOT_AVAILABLE | NOT_COORDINATOR)
}

/// The error with what the broker says of it.
pub(in crate::log::kafka) fn described(code: i16, message: Option<&str>) -> String {
    match message {
        Some(message) if !message.is_empty() => format!("{} ({message})", name(code)),
        _ => name(code),
    }
}
