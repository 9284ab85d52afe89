//! What an error of a commit says of us: a table, so that no code is met by chance.

use super::native::{Code, Failure};

/// What a failed commit means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A newer producer has our name, or the brokers took ours for dead.
    Fenced,
    /// The group has given the member up.
    NotOwner,
    /// The same transaction will never be taken.
    Permanent,
    /// The same transaction may be taken later.
    Transient,
}

/// What is to be made of a failure.
pub(super) fn verdict(failure: &Failure) -> Verdict {
    use Code::*;
    match failure.code {
        RD_KAFKA_RESP_ERR__FENCED | RD_KAFKA_RESP_ERR_PRODUCER_FENCED | RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH => {
            Verdict::Fenced
        }
        RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION
        | RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID
        | RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID
        | RD_KAFKA_RESP_ERR_FENCED_MEMBER_EPOCH
        | RD_KAFKA_RESP_ERR_STALE_MEMBER_EPOCH
        | RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS => Verdict::NotOwner,
        RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE
        | RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE
        | RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP
        | RD_KAFKA_RESP_ERR_INVALID_RECORD
        | RD_KAFKA_RESP_ERR_INVALID_MSG
        | RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE
        | RD_KAFKA_RESP_ERR_POLICY_VIOLATION
        | RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION
        | RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED
        | RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED
        | RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED
        | RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED
        | RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT
        | RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION => Verdict::Permanent,
        _ => Verdict::Transient,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_ownership_are_told_from_those_of_the_network() {
        let check = |code: Code, expected: Verdict| assert_eq!(verdict(&Failure::of(code)), expected, "{code:?}");
        check(Code::RD_KAFKA_RESP_ERR__FENCED, Verdict::Fenced);
        check(Code::RD_KAFKA_RESP_ERR_STALE_MEMBER_EPOCH, Verdict::NotOwner);
        check(Code::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, Verdict::Permanent);
        check(Code::RD_KAFKA_RESP_ERR__TIMED_OUT, Verdict::Transient);
        check(Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, Verdict::Transient);
    }
}
