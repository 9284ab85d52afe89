//! What the library says when something went wrong.
#![expect(unsafe_code, reason = "error objects of the library")]

use std::fmt;

use rdkafka_sys::{
    rd_kafka_err2str, rd_kafka_error_code, rd_kafka_error_destroy, rd_kafka_error_is_fatal,
    rd_kafka_error_is_retriable, rd_kafka_error_string, rd_kafka_error_t, rd_kafka_error_txn_requires_abort,
};

/// The library's number of an error: its own below zero, the brokers' above.
pub(in crate::log::kafka) use rdkafka_sys::rd_kafka_resp_err_t as Code;

use super::text_of;

/// An error of the library or of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::log::kafka) struct Failure {
    /// Which one.
    pub(in crate::log::kafka) code: Code,
    /// What is said of it.
    pub(in crate::log::kafka) text: String,
    /// What may be done next.
    pub(in crate::log::kafka) remedy: Remedy,
}

/// What may be done after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::log::kafka) enum Remedy {
    /// The same call again.
    Retry,
    /// The transaction is to be aborted, then a new one can begin.
    Abort,
    /// The client is of no use any more.
    NewClient,
    /// Nothing is said.
    Unsaid,
}

impl Failure {
    /// What a code stands for.
    pub(in crate::log::kafka) fn of(code: Code) -> Self {
        // SAFETY: the library has a static text for each number.
        let text = text_of(unsafe { rd_kafka_err2str(code) });
        Self { code, text, remedy: Remedy::Unsaid }
    }

    /// The same, with what a broker said where it said anything.
    pub(super) fn said(code: Code, text: String) -> Self {
        if text.is_empty() { Self::of(code) } else { Self { code, text, remedy: Remedy::Unsaid } }
    }

    /// Nothing if a code means that all went well.
    pub(super) fn check(code: Code) -> Result<(), Self> {
        if code == Code::RD_KAFKA_RESP_ERR_NO_ERROR { Ok(()) } else { Err(Self::of(code)) }
    }

    /// Takes an error object over; null means that all went well.
    pub(super) fn take(error: *mut rd_kafka_error_t) -> Result<(), Self> {
        if error.is_null() {
            return Ok(());
        }
        let failure = Self::look(error);
        // SAFETY: the object was handed to us, and is not used after this.
        unsafe { rd_kafka_error_destroy(error) };
        Err(failure)
    }

    /// Reads an error object that stays the library's.
    pub(super) fn look(error: *const rd_kafka_error_t) -> Self {
        // SAFETY: the object is alive and is only read.
        unsafe {
            let remedy = match error {
                _ if rd_kafka_error_is_fatal(error) != 0 => Remedy::NewClient,
                _ if rd_kafka_error_txn_requires_abort(error) != 0 => Remedy::Abort,
                _ if rd_kafka_error_is_retriable(error) != 0 => Remedy::Retry,
                _ => Remedy::Unsaid,
            };
            Self { code: rd_kafka_error_code(error), text: text_of(rd_kafka_error_string(error)), remedy }
        }
    }

    /// Whether the same may go well later: the network, a broker on its way up or down, a leader that moves.
    pub(in crate::log::kafka) fn is_transient(&self) -> bool {
        use Code::*;
        self.remedy == Remedy::Retry
            || matches!(
                self.code,
                RD_KAFKA_RESP_ERR__TRANSPORT
                    | RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN
                    | RD_KAFKA_RESP_ERR__TIMED_OUT
                    | RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE
                    | RD_KAFKA_RESP_ERR__MSG_TIMED_OUT
                    | RD_KAFKA_RESP_ERR__WAIT_COORD
                    // No leader is known.
                    | RD_KAFKA_RESP_ERR__NOENT
                    | RD_KAFKA_RESP_ERR__RESOLVE
                    | RD_KAFKA_RESP_ERR__RETRY
                    | RD_KAFKA_RESP_ERR__DESTROY_BROKER
                    | RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE
                    | RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION
                    | RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT
                    | RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE
                    | RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE
                    | RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION
                    | RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS
                    | RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE
                    | RD_KAFKA_RESP_ERR_NOT_COORDINATOR
                    | RD_KAFKA_RESP_ERR_NOT_CONTROLLER
                    | RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS
                    | RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND
                    | RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS
                    | RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR
                    | RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH
                    | RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH
                    | RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE
                    | RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT
            )
    }

    /// Whether the topic or the partition is not there.
    pub(in crate::log::kafka) fn is_unknown_topic(&self) -> bool {
        use Code::*;
        matches!(
            self.code,
            RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC
                | RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION
                | RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
                | RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_ID
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
