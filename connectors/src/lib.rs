//! Connectors: how records enter and leave Millstream, and the runtime that drives them.
//!
//! A connector is a [`Source`](millstream::connect::Source) or a [`Sink`](millstream::connect::Sink) on a thread of its
//! own. Records of a source and its position are committed in one transaction, so that a restart, however hard, neither
//! loses nor repeats a row; a sink says what it promises.
//!
//! # Map
//! - [`config`]: `WITH (...)` properties, parsed once into typed structs
//! - [`runtime`]: threads, commits, positions, retries, status
//! - [`rows`]: records as rows of columns, for targets that have columns
//! - [`file_format`]: NDJSON, CSV, Avro and Parquet, of columns and into lines of JSON
//! - [`file`]: NDJSON and CSV files as source, NDJSON files as sink
//! - [`postgres`]: tables of Postgres, as source and as sink, exactly once
//! - [`s3`]: objects of a bucket as source and sink
//! - [`sqs`]: Amazon SQS queues as source and sink
//! - [`webhook`]: HTTP requests as sink
//! - [`nexmark`]: a generator of auction events
//!
//! # Example
//! ```no_run
//! use millstream::{log::SharedLog, record::TopicName};
//! use millstream_connectors::{file::{FileFormat, FileSource}, runtime};
//!
//! # fn example(log: SharedLog) -> Result<(), Box<dyn std::error::Error>> {
//! let source = FileSource { key_field: Some("id".into()), ..FileSource::new("orders.ndjson", TopicName::new("orders")?, FileFormat::Json) };
//! let orders = runtime::start("orders-file", source.into(), log)?;
//! orders.wait_until_exhausted(None)?;
//! # Ok(())
//! # }
//! ```

pub mod config;
pub mod file;
pub mod file_format;
pub mod nexmark;
pub mod postgres;
pub mod rows;
pub mod runtime;
pub mod s3;
pub mod sqs;
pub mod webhook;

mod json_text;
#[cfg(test)]
mod memory_log;

pub use config::{ConfigError, ConnectorConfig, ConnectorKind, Direction, SinkKind, SourceKind};
pub use runtime::{ConnectorState, ConnectorStatus, RunningConnector, StartError, start};
