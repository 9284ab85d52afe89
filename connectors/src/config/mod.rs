//! What a connector is told: `WITH` properties on one side, typed structs on the other.
//!
//! Properties are read once, here. A property that no connector of the class knows, a missing one and a value that does
//! not fit are errors that name them; nothing is ignored. The same structs are the Rust API.
//!
//! Each connector type declares its properties beside itself, in `from_properties`; [`SourceKind`] and [`SinkKind`] only know which classes
//! there are.

mod error;
mod null_values;
mod properties;
mod sink_kind;
mod source_kind;
mod task_settings;

pub use error::ConfigError;
pub use null_values::NullValues;
pub(crate) use properties::{Properties, parse_value};
pub use sink_kind::SinkKind;
pub use source_kind::SourceKind;
pub use task_settings::{RetryPolicy, TaskSettings, Tolerance};

use millstream::record::TopicName;

use crate::rows::TopicRows;

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

/// A connector with its settings.
#[derive(Debug, Clone, PartialEq)]
pub enum ConnectorKind {
    /// It brings records in.
    Source(SourceKind),
    /// It takes records out.
    Sink(SinkKind),
}

impl ConnectorKind {
    /// Which way its records go.
    pub fn direction(&self) -> Direction {
        match self {
            Self::Source(_) => Direction::Source,
            Self::Sink(_) => Direction::Sink,
        }
    }

    /// The name of its class, as in `'connector.class' = 'file'`.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Source(source) => source.class(),
            Self::Sink(sink) => sink.class(),
        }
    }

    /// The topics that it reads; none of a source.
    pub fn topics(&self) -> &[TopicName] {
        self.as_sink().map_or(&[], SinkKind::topics)
    }

    /// The sink, if it is one.
    pub fn as_sink(&self) -> Option<&SinkKind> {
        match self {
            Self::Source(_) => None,
            Self::Sink(sink) => Some(sink),
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
            Direction::Source => SourceKind::CLASSES,
            Direction::Sink => SinkKind::CLASSES,
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
        let name = class.to_ascii_lowercase();
        let kind = match direction {
            Direction::Source => SourceKind::from_properties(&name, &mut properties)?.map(ConnectorKind::Source),
            Direction::Sink => SinkKind::from_properties(&name, &mut properties)?.map(ConnectorKind::Sink),
        };
        let kind = kind.ok_or_else(|| {
            let expected = format!("the class of a {direction} connector: {}", classes.join(", "));
            ConfigError::BadValue { name: "connector.class".into(), value: class, expected }
        })?;
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
        let ConnectorKind::Source(SourceKind::File(source)) = &config.kind else {
            panic!("not a file source: {config:?}")
        };
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
