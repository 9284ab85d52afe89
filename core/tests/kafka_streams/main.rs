//! Millstream beside Kafka Streams: the same topologies, the same input, record for record the same output.
//!
//! Every topology is here in our DSL and in `tests/streams` in Java, under one name. Input is made from a seed: out of order, late, with ties,
//! with and without keys, values and headers. Kafka Streams' own test driver says what comes out; ours has to give the same bytes at the
//! same timestamps, after each record where records are given one by one, and altogether where they are given in batches and the application
//! starts anew in between.
//!
//! - `MILLSTREAM_ORACLE_SEEDS` says how many inputs each topology gets ([`SEEDS`] by default)
//! - `MILLSTREAM_ORACLE_TOPOLOGY` and `MILLSTREAM_ORACLE_SEED` pick one of them, as the report of a difference says
//! - `MILLSTREAM_ORACLE_STORES=rocksdb` lets Kafka Streams keep its state on disk rather than in memory: slower, and the same
//!
//! It needs a JDK and maven. Where they are missing there is nothing to compare with: the tests then say so and pass, except in CI.

mod aggregations;
mod case;
mod compare;
mod generate;
mod global_and_versioned;
mod java;
mod ours;
mod processors;
mod report;
mod session_windowed;
mod shrink;
mod stateless;
mod stream_joins;
mod suppressions;
mod table_joins;
mod tables;
mod time_windowed;
mod topology;

/// How many inputs each topology gets if the environment does not say.
const SEEDS: u64 = 40;

macro_rules! families {
    ($($family:ident),* $(,)?) => {$(
        #[test]
        fn $family() {
            compare::family($family::topologies());
        }
    )*};
}

families! {
    aggregations,
    global_and_versioned,
    processors,
    session_windowed,
    stateless,
    stream_joins,
    suppressions,
    table_joins,
    tables,
    time_windowed,
}
