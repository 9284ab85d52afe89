//! Connectors and queues from outside: real processes, real servers on loopback, kills.
//!
//! - `postgres_sink`: rows of every type, upserts, deletions, bad rows, wrong settings, two writers; `postgres_faults`: processes and servers
//!   are killed, connections are cut around COMMIT
//! - `postgres_rivals`: several processes that are the same sink at once
//! - `postgres_source`: tables as they are, then each change once, while everything fails; `postgres_snapshot`: the process is killed while
//!   it reads tables, and within large transactions; `postgres_changes`: large values, other columns, TRUNCATE
//! - `postgres_tls`: encrypted connections, certificates, passwords
//! - `log_of_rows`: the topics that they read
//! - `queue`: a work queue whose process is killed
//! - `s3`: S3 as sink and source, read back by pyarrow; `s3_faults`: processes, connections and servers fail, the objects do not
//! - `sqs`: queues of moto and ElasticMQ as source and sink; `webhook`: requests to an HTTP server that fails on purpose
//! - `endurance`: a script in the binary under faults; `log`: what is in its topics
//! - `secrets`: those that are gone when a directory is opened
//! - `sink_queries`: what queries make of rows on the way into queues and requests
//! - `sql`: an engine in this process; `round_trip`: the whole way in SQL, from Postgres to Postgres and S3
//!
//! Where a server is not installed they say so and pass, except with `CI` set. Ignored tests are child processes of other ones.

#[expect(dead_code, reason = "the file is that of other tests too")]
#[path = "../system/binary.rs"]
mod binary;
mod endurance;
mod log;
mod log_of_rows;
mod postgres_changes;
mod postgres_faults;
mod postgres_rivals;
mod postgres_sink;
mod postgres_snapshot;
mod postgres_source;
mod postgres_tls;
mod queue;
mod round_trip;
mod s3;
mod s3_faults;
mod s3_log;
mod secrets;
mod sink_queries;
mod sql;
mod sqs;
mod webhook;
