//! Connectors and queues from outside: real processes, real servers on loopback, kills.
//!
//! - `postgres_sink`: rows of every type, upserts, deletions, bad rows, wrong settings, two writers; `postgres_faults`: processes and servers
//!   are killed, connections are cut around COMMIT
//! - `postgres_source`: tables as they are, then each change once, while everything fails
//! - `log_of_rows`: the topics that they read
//! - `queue`: a work queue whose process is killed
//! - `s3`: S3 as sink and source, read back by pyarrow; `s3_faults`: processes, connections and servers fail, the objects do not
//!
//! Where a server is not installed they say so and pass, except with `CI` set. Ignored tests are child processes of other ones.

mod log_of_rows;
mod postgres_faults;
mod postgres_sink;
mod postgres_source;
mod queue;
mod s3;
mod s3_faults;
mod s3_log;
