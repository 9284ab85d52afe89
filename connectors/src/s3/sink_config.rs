//! The settings of the S3 sink.

use std::{sync::Arc, time::Duration};

use chrono_tz::Tz;
use millstream::record::TopicName;

use super::{Partitioner, PathFormat, RowTime, S3Bucket, TimePartitioner, sink::S3SinkWriter};
use crate::{
    config::{ConfigError, Properties},
    file_format::WrittenFormat,
    rows::TopicRows,
    runtime::Clock,
};

/// The least part of an upload that S3 takes.
const PART_BYTES_MIN: usize = 5 << 20;

/// Topics as objects of a bucket: the settings of `'connector.class' = 's3'` as a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Sink {
    /// Where to.
    pub bucket: S3Bucket,
    /// What is written (`'topics'`, with commas, or `'topic'`).
    pub topics: Vec<TopicName>,
    /// Keys begin with this (`'topics.dir'`, default `topics`).
    pub topics_dir: String,
    /// What files look like (`'format'`, default json, and `'compression'`).
    pub format: WrittenFormat,
    /// How rows are assigned to directories.
    pub partitioner: Partitioner,
    /// Where the time of a row comes from.
    pub time: RowTime,
    /// When files end.
    pub rotation: Rotation,
}

/// When a file ends: as soon as any of these is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// So many rows (`'flush.size'`, default 1,000,000).
    pub rows: u64,
    /// So many bytes, as far as they are known while it is written (`'flush.bytes'`, default 128 MiB).
    pub bytes: u64,
    /// A row so many milliseconds later than the first, by their own times (`'rotate.interval.ms'`).
    pub interval_ms: Option<i64>,
    /// Open for so long by the wall clock (`'rotate.schedule.interval.ms'`, default 60,000; 0: never).
    pub schedule: Option<Duration>,
    /// Larger files are put in parts of this size (`'s3.part.size'`, default 8 MiB, at least 5 MiB).
    pub part_bytes: usize,
    /// How many files are open at a time, before the oldest ends (`'partitioner.max.open.files'`, default 100).
    pub open_files: usize,
    /// How many bytes all open files hold in memory, before the largest ends (`'buffer.bytes'`, default 256 MiB).
    pub buffer_bytes: usize,
}

impl Default for Rotation {
    fn default() -> Self {
        Self {
            rows: 1_000_000,
            bytes: 128 << 20,
            interval_ms: None,
            schedule: Some(Duration::from_secs(60)),
            part_bytes: 8 << 20,
            open_files: 100,
            buffer_bytes: 256 << 20,
        }
    }
}

impl S3Sink {
    /// A sink without directories but those of the topic's partitions.
    pub fn new(bucket: S3Bucket, topics: Vec<TopicName>, format: WrittenFormat) -> Self {
        Self {
            bucket,
            topics,
            topics_dir: "topics".to_owned(),
            format,
            partitioner: Partitioner::None,
            time: RowTime::Record,
            rotation: Rotation::default(),
        }
    }

    pub(crate) fn from_properties(properties: &mut Properties) -> Result<Self, ConfigError> {
        let bucket = S3Bucket::from_properties(properties)?;
        let topics = properties.topics()?;
        properties.complete("s3 sink")?;
        let format = WrittenFormat::from_properties(properties)?;
        let topics_dir = match properties.optional("topics.dir") {
            None => "topics".to_owned(),
            Some(text) => key_prefix("topics.dir", &text)?,
        };
        let partitioner = partitioner(properties)?;
        let time = properties.optional("timestamp.field").map_or(RowTime::Record, RowTime::Field);
        let rotation = Rotation::from_properties(properties)?;
        Ok(Self { topics_dir, partitioner, time, rotation, ..Self::new(bucket, topics, format) })
    }

    /// The sink that writes it, under the connector's name.
    pub fn writer(self, connector: &str, rows: TopicRows, clock: Arc<dyn Clock>) -> S3SinkWriter {
        S3SinkWriter::new(self, connector, rows, clock)
    }

    /// How rows are assigned to directories, as text that is equal if the assignment is.
    pub(super) fn layout(&self) -> String {
        let time = match &self.time {
            RowTime::Record => String::new(),
            RowTime::Field(field) => format!(" by {field}"),
        };
        match &self.partitioner {
            Partitioner::None => "none".to_owned(),
            Partitioner::Field(fields) => format!("field {}", fields.join(",")),
            Partitioner::Time(of) => {
                format!("time {} {} {}{time}", of.format.as_str(), of.zone, of.duration_ms.unwrap_or(0))
            }
        }
    }
}

/// The beginning of keys, without slashes around it.
pub(super) fn key_prefix(name: &str, text: &str) -> Result<String, ConfigError> {
    let parts = text.trim_matches('/');
    match object_store::path::Path::parse(parts) {
        Ok(path) if !path.as_ref().is_empty() && path.as_ref().len() <= 200 => Ok(path.to_string()),
        _ => Err(ConfigError::BadValue {
            name: name.into(),
            value: text.into(),
            expected: "the beginning of keys, such as lake/raw: no empty part, no `..`, at most 200 bytes".into(),
        }),
    }
}

fn partitioner(properties: &mut Properties) -> Result<Partitioner, ConfigError> {
    let kind = properties.optional("partitioner").unwrap_or_else(|| "none".to_owned()).to_ascii_lowercase();
    let fields = properties.optional("partition.field.name");
    let format = properties.optional("path.format");
    let zone = properties.optional("timezone");
    let duration = properties.optional("partition.duration.ms");
    let bad = |name: &str, value: &str, expected: String| ConfigError::BadValue {
        name: name.into(),
        value: value.into(),
        expected,
    };
    let given = [
        ("partition.field.name", fields.is_some(), "field"),
        ("path.format", format.is_some(), "time"),
        ("timezone", zone.is_some(), "time"),
        ("partition.duration.ms", duration.is_some(), "time"),
    ];
    if let Some((name, _, of)) = given.iter().find(|(_, is_given, of)| *is_given && *of != kind) {
        let reason = format!("it is for 'partitioner' = '{of}'");
        return Err(ConfigError::Conflict { name: (*name).into(), other: format!("'partitioner' = '{kind}'"), reason });
    }
    match kind.as_str() {
        "none" => Ok(Partitioner::None),
        "field" => {
            let names: Vec<String> =
                fields.iter().flat_map(|text| text.split(',')).map(|name| name.trim().to_owned()).collect();
            if names.is_empty() || names.iter().any(String::is_empty) {
                return Err(ConfigError::Missing {
                    names: "'partition.field.name'; 'partitioner' = 'field' needs it".into(),
                });
            }
            Ok(Partitioner::Field(names))
        }
        "time" => {
            let text = format.unwrap_or_else(|| "'year'=yyyy/'month'=MM/'day'=dd/'hour'=HH".to_owned());
            let format =
                PathFormat::new(&text).map_err(|problem| bad("path.format", &text, format!("a pattern: {problem}")))?;
            let zone: Tz = match zone {
                None => Tz::UTC,
                Some(name) => {
                    name.parse().map_err(|_| bad("timezone", &name, "a zone such as UTC or America/New_York".into()))?
                }
            };
            let duration_ms = match duration {
                None => None,
                Some(text) => match text.trim().parse::<i64>() {
                    Ok(step) if step > 0 => Some(step),
                    _ => return Err(bad("partition.duration.ms", &text, "milliseconds from 1 on".into())),
                },
            };
            Ok(Partitioner::Time(TimePartitioner { format, zone, duration_ms }))
        }
        _ => Err(bad("partitioner", &kind, "none, field or time".into())),
    }
}

impl Rotation {
    fn from_properties(properties: &mut Properties) -> Result<Self, ConfigError> {
        let default = Self::default();
        let schedule_ms =
            properties.parsed("rotate.schedule.interval.ms", 0_u64, 60_000, "milliseconds, or 0 for never")?;
        let interval_ms =
            properties.parsed("rotate.interval.ms", -1_i64, -1, "milliseconds from 1 on; 0 or -1 for never")?;
        let part = properties.parsed("s3.part.size", PART_BYTES_MIN, default.part_bytes, "bytes, at least 5242880")?;
        Ok(Self {
            rows: properties.parsed("flush.size", 1, default.rows, "a count from 1 on")?,
            bytes: properties.parsed("flush.bytes", 1, default.bytes, "bytes from 1 on")?,
            interval_ms: (interval_ms > 0).then_some(interval_ms),
            schedule: (schedule_ms > 0).then(|| Duration::from_millis(schedule_ms)),
            part_bytes: part,
            open_files: properties.parsed("partitioner.max.open.files", 1, default.open_files, "a count from 1 on")?,
            buffer_bytes: properties.parsed(
                "buffer.bytes",
                1 << 20,
                default.buffer_bytes,
                "bytes, at least 1048576",
            )?,
        })
    }
}
