//! Connectors and queues from outside: real processes, real servers on loopback, kills.
//!
//! - `queue`: a work queue whose process is killed
//! - `s3`: S3 as sink and source, read back by pyarrow; `s3_faults`: processes, connections and servers fail, the objects do not
//! - `sqs`: queues of moto and ElasticMQ as source and sink; `webhook`: requests to an HTTP server that fails on purpose
//! - `endurance`: a script in the binary under faults; `log`: what is in its topics
//!
//! Where a system is missing the tests say so and pass, except with `CI` set.

#[expect(dead_code, reason = "the file is that of other tests too")]
#[path = "../system/binary.rs"]
mod binary;
mod endurance;
mod log;
mod queue;
mod s3;
mod s3_faults;
mod s3_log;
mod sqs;
mod webhook;
