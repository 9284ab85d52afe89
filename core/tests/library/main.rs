//! Tests of the library through its public API: one binary, one module a concern.

mod aggregates;
mod aligned_windows;
mod dsl;
mod global_tables;
mod golden;
mod handlers;
mod headers;
mod idle;
mod join_models;
mod join_plans;
mod join_recovery;
mod join_sequences;
mod join_windowed_keys;
mod joins;
mod late_records;
mod recovery;
mod row_ttl;
mod shared_reads;
mod table_aggregates;
mod typed_joins;
mod versioned;
mod windows;
