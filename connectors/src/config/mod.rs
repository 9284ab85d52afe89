//! What a connector is told: `WITH` properties on one side, typed structs on the other.
//!
//! Properties are read once, here. A property that no connector of the class knows, a missing one and a value that does
//! not fit are errors that name them; nothing is ignored. The same structs are the Rust API.
//!
//! Each connector type declares its properties beside itself, in `from_properties`; this file only knows which classes
//! there are.

mod error;
mod null_values;
mod properties;
mod task_settings;

pub use error::ConfigError;
pub use null_values::NullValues;
pub(crate) use properties::{Properties, parse_value};
pub use task_settings::{RetryPolicy, TaskSettings, Tolerance};

use millstream::record::TopicName;

use crate::{
    file::{DirectorySink, FileSink, FileSource},
    nexmark::NexmarkSource,
    postgres::{PostgresSink, PostgresSource},
    rows::TopicRows,
    s3::{S3Sink, S3Source},
    sqs::{SqsSink, SqsSource},
    webhook::WebhookSink,
};

/// Which way records go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Into topics.
    Source,
    /// Out of topics.
    Sink,
}

impl std::fmt::Display for Direction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Source => "source",
            Self::Sink => "sink",
        })
    }
}

/// The connectors there are, each with its settings.
#[derive(Debug, Clone, PartialEq)]
pub enum ConnectorKind {
    /// Rows of a file.
    FileSource(FileSource),
    /// Lines of a file.
    FileSink(FileSink),
    /// Files of columns in a directory.
    DirectorySink(DirectorySink),
    /// Generated auction events.
    Nexmark(NexmarkSource),
    /// Rows into tables of Postgres.
    PostgresSink(Box<PostgresSink>),
    /// Tables of Postgres and their changes.
    PostgresSource(Box<PostgresSource>),
    /// Objects of a bucket as records.
    S3Source(S3Source),
    /// Topics as objects of a bucket.
    S3Sink(S3Sink),
    /// Messages of an SQS queue.
    SqsSource(SqsSource),
    /// Messages to an SQS queue.
    SqsSink(SqsSink),
    /// Requests to a webhook.
    Webhook(WebhookSink),
}

impl ConnectorKind {
    /// Which way its records go.
    pub fn direction(&self) -> Direction {
        match self {
            Self::FileSource(_)
            | Self::Nexmark(_)
            | Self::S3Source(_)
            | Self::SqsSource(_)
            | Self::PostgresSource(_) => Direction::Source,
            Self::FileSink(_)
            | Self::DirectorySink(_)
            | Self::S3Sink(_)
            | Self::SqsSink(_)
            | Self::Webhook(_)
            | Self::PostgresSink(_) => Direction::Sink,
        }
    }

    /// The topics that it reads; none of a source.
    pub fn topics(&self) -> &[TopicName] {
        match self {
            Self::FileSink(sink) => &sink.topics,
            Self::DirectorySink(sink) => &sink.topics,
            Self::S3Sink(sink) => &sink.topics,
            Self::PostgresSink(sink) => &sink.topics,
            Self::SqsSink(sink) => &sink.topics,
            Self::Webhook(sink) => &sink.topics,
            Self::FileSource(_)
            | Self::Nexmark(_)
            | Self::S3Source(_)
            | Self::SqsSource(_)
            | Self::PostgresSource(_) => &[],
        }
    }

    /// Whether its target has columns. The other sinks write records as they are, unless [`ConnectorConfig::rows`] makes JSON of them.
    pub fn has_columns(&self) -> bool {
        match self {
            Self::DirectorySink(_) | Self::S3Sink(_) | Self::PostgresSink(_) => true,
            Self::FileSink(_) | Self::SqsSink(_) | Self::Webhook(_) => false,
            Self::FileSource(_)
            | Self::Nexmark(_)
            | Self::S3Source(_)
            | Self::SqsSource(_)
            | Self::PostgresSource(_) => false,
        }
    }

    /// Where a sink writes to, as its user knows it, without anything secret; `None` of a source.
    pub fn target(&self) -> Option<String> {
        match self {
            Self::FileSink(sink) => Some(format!("file {}", sink.path.display())),
            Self::DirectorySink(sink) => Some(format!("directory {}", sink.path.display())),
            Self::S3Sink(sink) => Some(format!("{}, under {}/", sink.bucket.system(), sink.topics_dir)),
            Self::PostgresSink(sink) => Some(format!("{}, table {}", sink.connection.system(), sink.table_name_format)),
            Self::SqsSink(sink) => Some(format!("SQS queue {}", sink.queue.url)),
            Self::Webhook(sink) => Some(format!("webhook {}", sink.url)),
            Self::FileSource(_)
            | Self::Nexmark(_)
            | Self::S3Source(_)
            | Self::SqsSource(_)
            | Self::PostgresSource(_) => None,
        }
    }

    /// The name of its class, as in `'connector.class' = 'file'`.
    pub fn class(&self) -> &'static str {
        match self {
            Self::FileSource(_) | Self::FileSink(_) | Self::DirectorySink(_) => "file",
            Self::Nexmark(_) => "nexmark",
            Self::PostgresSink(_) | Self::PostgresSource(_) => "postgres",
            Self::S3Source(_) | Self::S3Sink(_) => "s3",
            Self::SqsSource(_) | Self::SqsSink(_) => "sqs",
            Self::Webhook(_) => "webhook",
        }
    }
}

/// A connector and how it is run: all that a `CREATE SOURCE|SINK CONNECTOR` says, apart from the name.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectorConfig {
    /// The connector.
    pub kind: ConnectorKind,
    /// How it is run.
    pub settings: TaskSettings,
    /// What the records of its topics mean: for sinks that write columns, and for those of records that are to write rows as objects of JSON.
    pub rows: TopicRows,
}

impl ConnectorConfig {
    /// The classes that `'connector.class'` may name for a direction.
    pub fn classes(direction: Direction) -> &'static [&'static str] {
        match direction {
            Direction::Source => &["file", "nexmark", "postgres", "s3", "sqs"],
            Direction::Sink => &["file", "postgres", "s3", "sqs", "webhook"],
        }
    }

    /// Reads properties, in any order; names are compared without regard to ASCII case.
    ///
    /// # Errors
    /// [`ConfigError`]: an unknown, repeated or missing property, or a value that does not fit.
    pub fn parse(pairs: &[(String, String)], direction: Direction) -> Result<Self, ConfigError> {
        let mut properties = Properties::new(pairs)?;
        let classes = Self::classes(direction);
        let class = properties.required("connector.class").ok_or_else(|| ConfigError::Missing {
            names: format!("connector.class (one of {})", classes.join(", ")),
        })?;
        let kind = match (direction, class.to_ascii_lowercase().as_str()) {
            (Direction::Source, "file") => ConnectorKind::FileSource(FileSource::from_properties(&mut properties)?),
            (Direction::Source, "nexmark") => ConnectorKind::Nexmark(NexmarkSource::from_properties(&mut properties)?),
            (Direction::Source, "s3") => ConnectorKind::S3Source(S3Source::from_properties(&mut properties)?),
            (Direction::Source, "sqs") => ConnectorKind::SqsSource(SqsSource::from_properties(&mut properties)?),
            (Direction::Sink, "sqs") => ConnectorKind::SqsSink(SqsSink::from_properties(&mut properties)?),
            (Direction::Sink, "webhook") => ConnectorKind::Webhook(WebhookSink::from_properties(&mut properties)?),
            (Direction::Sink, "file") => FileSink::from_properties(&mut properties)?,
            (Direction::Source, "postgres") => {
                ConnectorKind::PostgresSource(Box::new(PostgresSource::from_properties(&mut properties)?))
            }
            (Direction::Sink, "postgres") => {
                ConnectorKind::PostgresSink(Box::new(PostgresSink::from_properties(&mut properties)?))
            }
            (Direction::Sink, "s3") => ConnectorKind::S3Sink(S3Sink::from_properties(&mut properties)?),
            _ => {
                let expected = format!("the class of a {direction} connector: {}", classes.join(", "));
                return Err(ConfigError::BadValue { name: "connector.class".into(), value: class, expected });
            }
        };
        let settings = TaskSettings::from_properties(&mut properties, direction)?;
        properties.finish()?;
        Ok(Self { kind, settings, rows: TopicRows::default() })
    }
}

impl From<ConnectorKind> for ConnectorConfig {
    fn from(kind: ConnectorKind) -> Self {
        Self { kind, settings: TaskSettings::default(), rows: TopicRows::default() }
    }
}

impl From<FileSource> for ConnectorConfig {
    fn from(source: FileSource) -> Self {
        ConnectorKind::FileSource(source).into()
    }
}

impl From<FileSink> for ConnectorConfig {
    fn from(sink: FileSink) -> Self {
        ConnectorKind::FileSink(sink).into()
    }
}

impl From<PostgresSource> for ConnectorConfig {
    fn from(source: PostgresSource) -> Self {
        ConnectorKind::PostgresSource(Box::new(source)).into()
    }
}

impl From<PostgresSink> for ConnectorConfig {
    fn from(sink: PostgresSink) -> Self {
        ConnectorKind::PostgresSink(Box::new(sink)).into()
    }
}

impl From<S3Source> for ConnectorConfig {
    fn from(source: S3Source) -> Self {
        ConnectorKind::S3Source(source).into()
    }
}

impl From<S3Sink> for ConnectorConfig {
    fn from(sink: S3Sink) -> Self {
        ConnectorKind::S3Sink(sink).into()
    }
}

impl From<DirectorySink> for ConnectorConfig {
    fn from(sink: DirectorySink) -> Self {
        ConnectorKind::DirectorySink(sink).into()
    }
}

impl From<NexmarkSource> for ConnectorConfig {
    fn from(source: NexmarkSource) -> Self {
        ConnectorKind::Nexmark(source).into()
    }
}

impl From<SqsSource> for ConnectorConfig {
    fn from(source: SqsSource) -> Self {
        ConnectorKind::SqsSource(source).into()
    }
}

impl From<SqsSink> for ConnectorConfig {
    fn from(sink: SqsSink) -> Self {
        ConnectorKind::SqsSink(sink).into()
    }
}

impl From<WebhookSink> for ConnectorConfig {
    fn from(sink: WebhookSink) -> Self {
        ConnectorKind::Webhook(sink).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(direction: Direction, text: &str) -> Result<ConnectorConfig, ConfigError> {
        let pairs: Vec<(String, String)> = text
            .split_whitespace()
            .map(|pair| {
                pair.split_once('=').map_or((pair.into(), String::new()), |(name, value)| (name.into(), value.into()))
            })
            .collect();
        ConnectorConfig::parse(&pairs, direction)
    }

    fn check_error(direction: Direction, text: &str, expected: &[&str]) {
        let error = parse(direction, text).expect_err(text).to_string();
        for part in expected {
            assert!(error.contains(part), "{text}: {error:?} does not say {part:?}");
        }
    }

    #[test]
    fn properties_become_typed_settings() {
        let config = parse(
            Direction::Source,
            "Connector.Class=file path=a.csv topic=t format=csv key.field=id partitions=4 follow=true csv.null=NA batch.rows=7",
        )
        .expect("legal");
        let ConnectorKind::FileSource(source) = &config.kind else { panic!("not a file source: {config:?}") };
        assert_eq!((source.partitions, source.key_field.as_deref()), (4, Some("id")));
        assert_eq!(config.settings.limits.rows, 7);
        assert_eq!((config.kind.direction(), config.kind.class()), (Direction::Source, "file"));
        assert!(parse(Direction::Sink, "connector.class=file topics=a,b path=o.ndjson envelope=true").is_ok());
        assert!(parse(Direction::Source, "connector.class=nexmark topic=events events=10").is_ok());
    }

    #[test]
    fn mistakes_are_named() {
        use Direction::{Sink, Source};
        check_error(Source, "", &["connector.class", "file, nexmark"]);
        check_error(Source, "connector.class=files", &["connector.class", "`files`", "file, nexmark"]);
        check_error(Sink, "connector.class=nexmark topic=t", &["connector.class", "`nexmark`", "sink"]);
        check_error(Source, "connector.class=file", &["path", "topic", "format"]);
        check_error(
            Source,
            "connector.class=file path=a topic=t format=json key.filed=id",
            &["`key.filed`", "`key.field`"],
        );
        check_error(
            Source,
            "connector.class=file path=a topic=t format=json zzzz=1",
            &["`zzzz`", "known", "timestamp.field"],
        );
        check_error(Source, "connector.class=file path=a topic=t format=xml", &["format", "`xml`", "json"]);
        check_error(Source, "connector.class=file path=a topic=a/b format=json", &["topic", "`a/b`"]);
        check_error(Source, "connector.class=file path=a topic=t format=json partitions=0", &["partitions", "`0`"]);
        check_error(
            Source,
            "connector.class=file path=a topic=t format=json follow=yes",
            &["follow", "`yes`", "true or false"],
        );
        check_error(Source, "connector.class=file path=a topic=t topic=u format=json", &["`topic`", "twice"]);
        check_error(Source, "connector.class=file path=*.json topic=t format=json", &["path", "one file"]);
        check_error(Source, "connector.class=file path=a.json.zst topic=t format=json follow=true", &["follow", "zst"]);
        check_error(Source, "connector.class=file path=a.json.gz topic=t format=json", &["path", "gz"]);
        check_error(Source, "connector.class=file path=a topic=t format=json csv.null=NA", &["csv.null", "csv"]);
        check_error(Sink, "connector.class=file path=o format=json", &["topics"]);
        check_error(Sink, "connector.class=file path=o topics=t format=xml", &["format", "`xml`", "json"]);
        check_error(Sink, "connector.class=file path=o topics=t format=csv envelope=true", &["`envelope`"]);
        check_error(Sink, "connector.class=file path=o topics=t rows.per.second=5", &["`rows.per.second`"]);
        check_error(Source, "connector.class=nexmark", &["topic"]);
        check_error(Source, "connector.class=nexmark topic=a topic.bid=b", &["topic.bid", "topic"]);
        check_error(Source, "connector.class=nexmark topic=a event.rate=fast", &["event.rate", "`fast`"]);
    }
}
