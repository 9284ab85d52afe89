//! A small client of our own for Kafka's protocol: for what the client library does not speak, above all how work is shared in groups.
//!
//! Calls block, one at a time on a connection. Nothing runs in the background.
//!
//! # Map
//! - [`codec`]: fields and structures as bytes
//! - [`streams_heartbeat`], [`streams_describe`], [`classic_group`], [`cluster_messages`], [`group_listing`], [`offset_fetch`]: the
//!   messages
//! - [`stream`], [`tls`]: bytes over TCP, encrypted or not
//! - [`channel`]: an open connection to a broker that calls go over; [`sasl`], [`scram`]: how it begins where brokers ask who we are
//! - [`coordinator`]: the broker that looks after a group, wherever it moves
//! - [`error_code`], [`wire_error`]: what can go wrong

pub(super) mod channel;
pub(super) mod classic_group;
pub(super) mod cluster_messages;
pub(super) mod codec;
pub(super) mod coordinator;
pub(super) mod error_code;
pub(super) mod group_listing;
pub(super) mod offset_fetch;
mod sasl;
mod scram;
pub(super) mod stream;
pub(super) mod streams_describe;
pub(super) mod streams_heartbeat;
mod tls;
mod wire_error;

use codec::Wire;
pub(super) use wire_error::{Outcome, WireError};

/// A message that has an answer.
pub(super) trait Request: Wire {
    /// Its number.
    const KEY: i16;
    /// Its name, for people.
    const NAME: &'static str;
    /// The least and the greatest version spoken here.
    const VERSIONS: (i16, i16);
    /// Whether its header has tagged fields.
    const FLEXIBLE_HEADER: bool = true;
    /// Whether the header of its answer has tagged fields.
    const FLEXIBLE_ANSWER_HEADER: bool = true;
    /// Its answer.
    type Answer: Wire;
}

#[cfg(test)]
mod channel_tests;
#[cfg(test)]
mod golden_tests;
