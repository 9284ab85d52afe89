//! Connectors and queues from outside: real processes, real servers on loopback, kills.
//!
//! - `postgres_sink`: rows of every type, upserts, deletions, bad rows, wrong settings, two writers; `postgres_faults`: processes and servers
//!   are killed, connections are cut around COMMIT
//! - `postgres_rivals`: several processes that are the same sink at once
//! - `postgres_source`: tables as they are, then each change once, while everything fails; `postgres_snapshot`: the process is killed while
//!   it reads tables, and within large transactions; `postgres_changes`: large values, other columns, TRUNCATE
//! - `postgres_tls`: encrypted connections, certificates, passwords
//! - `queue`: a work queue whose process is killed
//! - `s3`: S3 as sink and source, read back by pyarrow; `s3_faults`: processes, connections and servers fail, the objects do not;
//!   `s3_replaced`: two writers of one name; `s3_process`: the process of both
//! - `sqs`: queues of moto and ElasticMQ as source and sink; `sqs_restarts`: on a server that is killed
//! - `webhook`: requests to an HTTP server that fails on purpose
//! - `endurance`: a script in the binary under faults
//! - `log`: topics and what is in them; `running`: connectors over them; `orders`: what the tests of S3 write
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
mod orders;
mod postgres_changes;
mod postgres_faults;
mod postgres_rivals;
mod postgres_sink;
mod postgres_snapshot;
mod postgres_source;
mod postgres_tls;
mod queue;
mod round_trip;
mod running;
mod s3;
mod s3_faults;
mod s3_process;
mod s3_replaced;
mod secrets;
mod sink_queries;
mod sql;
mod sqs;
mod sqs_restarts;
mod webhook;
