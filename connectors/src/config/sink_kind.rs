//! The sinks there are: a class each, with its settings.

use std::sync::Arc;

use millstream::{connect::Sink, record::TopicName};

use super::{ConfigError, ConnectorConfig, ConnectorKind, NullValues, Properties};
use crate::{
    file::{DirectorySink, FileSink},
    postgres::PostgresSink,
    rows::{JsonRecords, Originals, TopicRows},
    runtime::Clock,
    s3::S3Sink,
    sqs::SqsSink,
    webhook::WebhookSink,
};

/// A sink with its settings.
#[derive(Debug, Clone, PartialEq)]
pub enum SinkKind {
    /// Lines of a file.
    File(FileSink),
    /// Files of columns in a directory.
    Directory(DirectorySink),
    /// Rows into tables of Postgres.
    Postgres(Box<PostgresSink>),
    /// Topics as objects of a bucket.
    S3(S3Sink),
    /// Messages to an SQS queue.
    Sqs(SqsSink),
    /// Requests to a webhook.
    Webhook(WebhookSink),
}

impl SinkKind {
    /// The classes that `'connector.class'` of a sink may name.
    pub const CLASSES: &'static [&'static str] = &["file", "postgres", "s3", "sqs", "webhook"];

    /// The name of its class.
    pub fn class(&self) -> &'static str {
        match self {
            Self::File(_) | Self::Directory(_) => "file",
            Self::Postgres(_) => "postgres",
            Self::S3(_) => "s3",
            Self::Sqs(_) => "sqs",
            Self::Webhook(_) => "webhook",
        }
    }

    /// The topics that it reads.
    pub fn topics(&self) -> &[TopicName] {
        match self {
            Self::File(sink) => &sink.topics,
            Self::Directory(sink) => &sink.topics,
            Self::Postgres(sink) => &sink.topics,
            Self::S3(sink) => &sink.topics,
            Self::Sqs(sink) => &sink.topics,
            Self::Webhook(sink) => &sink.topics,
        }
    }

    /// Whether its target has columns. The other sinks write records as they are, unless [`ConnectorConfig::rows`] makes JSON of them.
    pub fn has_columns(&self) -> bool {
        match self {
            Self::Directory(_) | Self::S3(_) | Self::Postgres(_) => true,
            Self::File(_) | Self::Sqs(_) | Self::Webhook(_) => false,
        }
    }

    /// Where it writes to, as its user knows it, without anything secret.
    pub fn target(&self) -> String {
        match self {
            Self::File(sink) => format!("file {}", sink.path.display()),
            Self::Directory(sink) => format!("directory {}", sink.path.display()),
            Self::Postgres(sink) => format!("{}, table {}", sink.connection.system(), sink.table_name_format),
            Self::S3(sink) => format!("{}, under {}/", sink.bucket.system(), sink.topics_dir),
            Self::Sqs(sink) => format!("SQS queue {}", sink.queue.url),
            Self::Webhook(sink) => format!("webhook {}", sink.url),
        }
    }

    /// The settings of a class, in lower case; `None` if there is no such class.
    pub(super) fn from_properties(class: &str, properties: &mut Properties) -> Result<Option<Self>, ConfigError> {
        Ok(Some(match class {
            "file" => FileSink::from_properties(properties)?,
            "postgres" => Self::Postgres(PostgresSink::from_properties(properties)?.into()),
            "s3" => Self::S3(S3Sink::from_properties(properties)?),
            "sqs" => Self::Sqs(SqsSink::from_properties(properties)?),
            "webhook" => Self::Webhook(WebhookSink::from_properties(properties)?),
            _ => return Ok(None),
        }))
    }

    /// What writes for the connector `name`, rows where they are known.
    pub(crate) fn writer(self, name: &str, rows: TopicRows, clock: Arc<dyn Clock>) -> Box<dyn Sink> {
        let of_records = |sink: Box<dyn Sink>, originals: Originals, null_values: NullValues| -> Box<dyn Sink> {
            if rows.is_empty() { sink } else { Box::new(JsonRecords::new(sink, rows.clone(), originals, null_values)) }
        };
        match self {
            Self::File(sink) => of_records(Box::new(sink.writer()), Originals::NotNeeded, NullValues::Fail),
            Self::Sqs(sink) => {
                let null_values = sink.null_values;
                of_records(Box::new(sink.writer(clock)), Originals::Held, null_values)
            }
            Self::Webhook(sink) => {
                let null_values = sink.null_values;
                of_records(Box::new(sink.writer(clock)), Originals::Held, null_values)
            }
            Self::Directory(sink) => Box::new(sink.writer(rows, clock)),
            Self::Postgres(sink) => Box::new(sink.writer(name, rows)),
            Self::S3(sink) => Box::new(sink.writer(name, rows, clock)),
        }
    }
}

/// Settings of a class are a connector that is run by default.
macro_rules! sinks {
    ($($kind:ident: $settings:ty),+) => {$(
        impl From<$settings> for ConnectorConfig {
            fn from(settings: $settings) -> Self {
                ConnectorKind::Sink(SinkKind::$kind(settings.into())).into()
            }
        }
    )+};
}

sinks!(File: FileSink, Directory: DirectorySink, Postgres: PostgresSink, S3: S3Sink, Sqs: SqsSink, Webhook: WebhookSink);
