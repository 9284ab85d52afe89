//! How large a comparison is, from the environment, which `tests/kafka/compare` sets.

use std::{fmt::Display, str::FromStr};

/// The sizes of a comparison.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// How many bids there are to count and to join.
    pub(super) bids: u64,
    /// How many keys they have.
    pub(super) keys: u64,
    /// How many rows the table has.
    pub(super) bidders: u64,
    /// Bids a second while latency is measured.
    pub(super) rate: u64,
    /// For how many seconds.
    pub(super) seconds: u64,
    /// Partitions of each topic.
    pub(super) partitions: u32,
}

impl Settings {
    pub(super) fn from_env() -> Self {
        Self {
            bids: number("MILLSTREAM_COMPARE_BIDS", 2_000_000),
            keys: number("MILLSTREAM_COMPARE_KEYS", 10_000),
            bidders: number("MILLSTREAM_COMPARE_BIDDERS", 5_000_000),
            rate: number("MILLSTREAM_COMPARE_RATE", 1000),
            seconds: number("MILLSTREAM_COMPARE_SECONDS", 30),
            partitions: number("MILLSTREAM_COMPARE_PARTITIONS", 4),
        }
    }
}

fn number<T: FromStr + PartialOrd + Default + Display>(name: &str, otherwise: T) -> T {
    let Ok(text) = std::env::var(name) else { return otherwise };
    let number = text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number"));
    assert!(number > T::default(), "{name}={number} must be above 0");
    number
}
