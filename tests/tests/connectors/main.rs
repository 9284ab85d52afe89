//! Connectors on the systems that they speak to, real ones on loopback.
//!
//! - `s3`: S3 as sink and source, read back by pyarrow; `s3_faults`: processes, connections and servers fail, the objects do not
//!
//! Where a system is missing the tests say so and pass, except with `CI` set.

mod s3;
mod s3_faults;
mod s3_log;
