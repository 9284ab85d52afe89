//! Connectors and queues from outside: real processes, real servers on loopback, kills.
//!
//! - `queue`: a work queue whose process is killed
//! - `s3`: S3 as sink and source, read back by pyarrow; `s3_faults`: processes, connections and servers fail, the objects do not
//!
//! Where a system is missing the tests say so and pass, except with `CI` set.

mod queue;
mod s3;
mod s3_faults;
mod s3_log;
