//! The sources there are: a class each, with its settings.

use std::sync::Arc;

use millstream::connect::Source;

use super::{ConfigError, ConnectorConfig, ConnectorKind, Properties};
use crate::{
    file::FileSource, nexmark::NexmarkSource, postgres::PostgresSource, runtime::Clock, s3::S3Source, sqs::SqsSource,
};

/// A source with its settings.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceKind {
    /// Rows of a file.
    File(FileSource),
    /// Generated auction events.
    Nexmark(NexmarkSource),
    /// Tables of Postgres and their changes.
    Postgres(Box<PostgresSource>),
    /// Objects of a bucket as records.
    S3(S3Source),
    /// Messages of an SQS queue.
    Sqs(SqsSource),
}

impl SourceKind {
    /// The classes that `'connector.class'` of a source may name.
    pub const CLASSES: &'static [&'static str] = &["file", "nexmark", "postgres", "s3", "sqs"];

    /// The name of its class.
    pub fn class(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Nexmark(_) => "nexmark",
            Self::Postgres(_) => "postgres",
            Self::S3(_) => "s3",
            Self::Sqs(_) => "sqs",
        }
    }

    /// The settings of a class, in lower case; `None` if there is no such class.
    pub(super) fn from_properties(class: &str, properties: &mut Properties) -> Result<Option<Self>, ConfigError> {
        Ok(Some(match class {
            "file" => Self::File(FileSource::from_properties(properties)?),
            "nexmark" => Self::Nexmark(NexmarkSource::from_properties(properties)?),
            "postgres" => Self::Postgres(PostgresSource::from_properties(properties)?.into()),
            "s3" => Self::S3(S3Source::from_properties(properties)?),
            "sqs" => Self::Sqs(SqsSource::from_properties(properties)?),
            _ => return Ok(None),
        }))
    }

    /// What reads for the connector `name`.
    pub(crate) fn reader(self, name: &str, clock: Arc<dyn Clock>) -> Box<dyn Source> {
        match self {
            Self::File(source) => Box::new(source.reader(clock)),
            Self::Nexmark(source) => Box::new(source.generator()),
            Self::Postgres(source) => Box::new(source.reader(name)),
            Self::S3(source) => Box::new(source.reader(clock)),
            Self::Sqs(source) => Box::new(source.reader(clock)),
        }
    }
}

/// Settings of a class are a connector that is run by default.
macro_rules! sources {
    ($($kind:ident: $settings:ty),+) => {$(
        impl From<$settings> for ConnectorConfig {
            fn from(settings: $settings) -> Self {
                ConnectorKind::Source(SourceKind::$kind(settings.into())).into()
            }
        }
    )+};
}

sources!(File: FileSource, Nexmark: NexmarkSource, Postgres: PostgresSource, S3: S3Source, Sqs: SqsSource);
