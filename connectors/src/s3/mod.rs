//! S3, and what speaks like it, as sink and source.
//!
//! [`S3Sink`] writes topics as NDJSON, CSV, Avro or Parquet objects, each record once; [`S3Source`] reads objects under a prefix, each once.
//! Both know the bucket by an [`S3Bucket`].

mod connection;
mod manifest;
mod open_file;
mod partitioner;
mod path_format;
mod session;
mod sink;
mod sink_config;
mod source;
mod source_config;

pub use connection::S3Bucket;
pub use partitioner::{Partitioner, RowTime, TimePartitioner};
pub use path_format::PathFormat;
pub use sink::S3SinkWriter;
pub use sink_config::{Rotation, S3Sink};
pub use source::S3SourceReader;
pub use source_config::{OnChanged, S3Source};
