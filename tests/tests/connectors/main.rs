//! Connectors with the systems that they are for, started by the tests on loopback.
//!
//! - `postgres_sink`: rows of every type, upserts, deletions, bad rows, wrong settings, two writers; `postgres_faults`: processes and servers
//!   are killed, connections are cut around COMMIT
//! - `postgres_source`: tables as they are, then each change once, while everything fails
//! - `log_of_rows`: the topics that they read
//!
//! Where a server is not installed they say so and pass, except with `CI` set. The only ignored test is a child process of another one.

mod log_of_rows;
mod postgres_faults;
mod postgres_sink;
mod postgres_source;
