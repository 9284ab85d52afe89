//! The settings of the S3 source.

use std::{sync::Arc, time::Duration};

use millstream::record::TopicName;

use super::{S3Bucket, sink_config::key_prefix, source::S3SourceReader};
use crate::{
    config::{ConfigError, Properties, parse_value},
    file::{FileFormat, RowShape},
    runtime::Clock,
};

/// Objects under a prefix as records: the settings of `'connector.class' = 's3'` as a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Source {
    /// Where from.
    pub bucket: S3Bucket,
    /// Only objects whose keys begin with this and a slash (`'s3.prefix'`); `None`: all of the bucket.
    pub prefix: Option<String>,
    /// Where to (`'topic'`).
    pub topic: TopicName,
    /// What objects look like (`'format'`); text whose key ends in `.zst` is unpacked.
    pub format: FileFormat,
    /// The field that becomes the key (`'key.field'`).
    pub key_field: Option<String>,
    /// The field that holds event time (`'timestamp.field'`).
    pub timestamp_field: Option<String>,
    /// How many partitions the topic is made with, if it is not there (`'partitions'`, default 1).
    pub partitions: u32,
    /// Whether new objects are waited for (`'follow'`, default false).
    pub follow: bool,
    /// How often is looked for them (`'poll.interval.ms'`, default 10 s).
    pub poll_interval: Duration,
    /// What is done when an object is another one than was read (`'on.changed.object'`).
    pub on_changed: OnChanged,
}

/// What is done when an object that was read, or begun to be read, is another one now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnChanged {
    /// The source fails (`fail`, the default).
    Fail,
    /// The new one is read from its start (`read`).
    Read,
}

impl S3Source {
    /// A source without key and event time, into a topic of one partition, that ends when all objects that are there are read.
    pub fn new(bucket: S3Bucket, topic: TopicName, format: FileFormat) -> Self {
        Self {
            bucket,
            prefix: None,
            topic,
            format,
            key_field: None,
            timestamp_field: None,
            partitions: 1,
            follow: false,
            poll_interval: Duration::from_secs(10),
            on_changed: OnChanged::Fail,
        }
    }

    pub(crate) fn from_properties(properties: &mut Properties) -> Result<Self, ConfigError> {
        let bucket = S3Bucket::from_properties(properties)?;
        let topic = properties.required("topic");
        let format = properties.required("format");
        properties.complete("s3 source")?;
        let format = FileFormat::from_properties(properties, &format.unwrap_or_default())?;
        let topic = parse_value("topic", &topic.unwrap_or_default())?;
        let prefix = match properties.optional("s3.prefix") {
            None => None,
            Some(text) if text.trim_matches('/').is_empty() => None,
            Some(text) => Some(key_prefix("s3.prefix", &text)?),
        };
        let interval_ms = properties.parsed("poll.interval.ms", 10_u64, 10_000, "milliseconds, 10 or more")?;
        let on_changed = match properties.optional("on.changed.object") {
            None => OnChanged::Fail,
            Some(text) if text.eq_ignore_ascii_case("fail") => OnChanged::Fail,
            Some(text) if text.eq_ignore_ascii_case("read") => OnChanged::Read,
            Some(value) => {
                let (name, expected) = ("on.changed.object".into(), "fail or read".into());
                return Err(ConfigError::BadValue { name, value, expected });
            }
        };
        Ok(Self {
            prefix,
            key_field: properties.optional("key.field"),
            timestamp_field: properties.optional("timestamp.field"),
            partitions: properties.parsed("partitions", 1, 1, "a count from 1 on")?,
            follow: properties.flag("follow")?,
            poll_interval: Duration::from_millis(interval_ms),
            on_changed,
            ..Self::new(bucket, topic, format)
        })
    }

    /// The topic of rows that could not be taken.
    pub fn dead_letter_topic(&self) -> String {
        format!("{}-dead-letter", self.topic)
    }

    /// The source that reads it.
    pub fn reader(self, clock: Arc<dyn Clock>) -> S3SourceReader {
        S3SourceReader::new(self, clock)
    }

    pub(super) fn shape(&self) -> RowShape {
        RowShape {
            format: self.format.clone(),
            key_field: self.key_field.clone(),
            timestamp_field: self.timestamp_field.clone(),
        }
    }
}
