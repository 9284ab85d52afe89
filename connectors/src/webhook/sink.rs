//! The webhook sink: its settings, and the connector that sends the records of topics to a URL.
//!
//! A request has one record, or up to `batch.size` records of one partition as a JSON array, in offset order. The body of one record is its
//! value, as it is; in an array a value is what it is in a file sink's line: JSON as it is, other text as a string, other bytes as
//! `{"base64":"..."}`. With `envelope` records are objects of topic, partition, offset, timestamp, key, value and headers, whatever the size.
//!
//! The header `Idempotency-Key` is `TOPIC-PARTITION-OFFSET`, of a batch `TOPIC-PARTITION-FIRST-LAST`. A request that is sent again has the same
//! key; after a crash so has each record, while batches may be cut otherwise: who has to tell repetitions then takes single records or envelopes.
//!
//! The promise is [`Promise::AtLeastOnce`]. A batch that is not wanted is sent record by record, so that only those are rejected that are bad.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use millstream::{
    connect::{ConnectError, Promise, RejectedRecord, Sink, SinkPosition},
    log::FetchedBatch,
    record::{Offset, Record, RecordRef, TopicName, TopicPartition},
};

use super::{
    WebhookHeader, WebhookUrl,
    request::{Outcome, Requests},
};
use crate::{
    config::{ConfigError, NullValues, Properties},
    file::{LineShape, push_envelope, push_value},
    runtime::Clock,
};

/// Offsets are committed after so many records, so that a crash repeats no more, unless a request takes more.
const ROWS_A_COMMIT: usize = 500;

/// A webhook: the settings of `'connector.class' = 'webhook'`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSink {
    /// Where requests go (`'http.url'`, or a reference to it).
    pub url: WebhookUrl,
    /// What is sent (`'topics'`, with commas, or `'topic'`).
    pub topics: Vec<TopicName>,
    /// How it is sent (`'request.method'`: `POST`, `PUT` or `PATCH`, default `POST`).
    pub method: Method,
    /// Headers of every request (`'headers'`: `Name: value|Name: value`; a value may end in `${env:VARIABLE}` or `${file:PATH}`).
    pub headers: Vec<WebhookHeader>,
    /// The type of the body (`'content.type'`, default `application/json`).
    pub content_type: String,
    /// Records of a request, 1 to 10000 (`'batch.size'`, default 1). With more than 1 the body is a JSON array, also of a single record.
    pub batch_size: usize,
    /// No further record in a batch once so many bytes are reached (`'batch.max.bytes'`, default 1048576).
    pub batch_max_bytes: usize,
    /// What a record is in the body (`'envelope'`, default false).
    pub shape: LineShape,
    /// How long a request may take (`'request.timeout.ms'`, default 30000), and how long to connect (`'connection.timeout.ms'`, default 5000).
    pub request_timeout: Duration,
    /// How long connecting may take.
    pub connection_timeout: Duration,
    /// The longest wait that an answer may ask for with `Retry-After` (`'retry.after.max.ms'`, default 10000).
    pub retry_after_max: Duration,
    /// What becomes of records without a value, unless there is an envelope (`'behavior.on.null.values'`: `fail` or `ignore`, default `fail`).
    pub null_values: NullValues,
}

/// The method of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
}

impl Method {
    /// Its name in HTTP.
    pub fn name(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
        }
    }

    fn from_properties(properties: &mut Properties) -> Result<Self, ConfigError> {
        let name = properties.optional("request.method");
        let Some(value) = name else { return Ok(Self::Post) };
        let found =
            [Self::Post, Self::Put, Self::Patch].into_iter().find(|method| value.eq_ignore_ascii_case(method.name()));
        let expected = "POST, PUT or PATCH".into();
        found.ok_or(ConfigError::BadValue { name: "request.method".into(), value, expected })
    }
}

impl WebhookSink {
    /// A webhook that gets the values of topics, one a request.
    pub fn new(url: WebhookUrl, topics: Vec<TopicName>) -> Self {
        Self {
            url,
            topics,
            method: Method::Post,
            headers: Vec::new(),
            content_type: "application/json".into(),
            batch_size: 1,
            batch_max_bytes: 1 << 20,
            shape: LineShape::Value,
            request_timeout: Duration::from_secs(30),
            connection_timeout: Duration::from_secs(5),
            retry_after_max: Duration::from_secs(10),
            null_values: NullValues::Fail,
        }
    }

    pub(crate) fn from_properties(properties: &mut Properties) -> Result<Self, ConfigError> {
        let url = properties.required("http.url");
        let topics = properties.topics()?;
        properties.complete("webhook")?;
        let sink = Self::new(url_of(&url.unwrap_or_default())?, topics);
        let mut milliseconds = |name: &'static str, least: u64, default: Duration| {
            let expected = format!("milliseconds from {least} on");
            properties.parsed(name, least, default.as_millis() as u64, expected).map(Duration::from_millis)
        };
        let request_timeout = milliseconds("request.timeout.ms", 1, sink.request_timeout)?;
        let connection_timeout = milliseconds("connection.timeout.ms", 1, sink.connection_timeout)?;
        let retry_after_max = milliseconds("retry.after.max.ms", 0, sink.retry_after_max)?;
        let batch_size = properties.parsed("batch.size", 1_usize, sink.batch_size, "a count from 1 to 10000")?;
        if batch_size > 10_000 {
            let (name, value) = ("batch.size".into(), batch_size.to_string());
            return Err(ConfigError::BadValue { name, value, expected: "a count from 1 to 10000".into() });
        }
        Ok(Self {
            method: Method::from_properties(properties)?,
            headers: WebhookHeader::parse_all(&properties.optional("headers").unwrap_or_default())?,
            content_type: content_type(properties.optional("content.type"), sink.content_type)?,
            batch_size,
            batch_max_bytes: properties.parsed("batch.max.bytes", 1, sink.batch_max_bytes, "bytes from 1 on")?,
            shape: if properties.flag("envelope")? { LineShape::Envelope } else { LineShape::Value },
            request_timeout,
            connection_timeout,
            retry_after_max,
            null_values: NullValues::from_properties(properties)?,
            ..Self::new(sink.url, sink.topics)
        })
    }

    /// The sink that sends to it.
    pub fn writer(self, clock: Arc<dyn Clock>) -> WebhookSinkWriter {
        let config = Arc::new(self);
        let requests = Requests::new(Arc::clone(&config), clock);
        WebhookSinkWriter { config, requests, waiting: BTreeMap::new(), rejected: Vec::new() }
    }
}

fn url_of(text: &str) -> Result<WebhookUrl, ConfigError> {
    if !text.trim_start().starts_with("${") {
        return WebhookUrl::new(text);
    }
    let secret = millstream::secret::Secret::from_reference(text)
        .map_err(|error| ConfigError::Secret { name: "http.url".into(), problem: error.to_string() })?;
    WebhookUrl::new(secret.reveal())
}

fn content_type(given: Option<String>, default: String) -> Result<String, ConfigError> {
    let Some(value) = given else { return Ok(default) };
    if ureq::http::HeaderValue::from_str(&value).is_err() {
        let expected = "the type of a body, such as application/json".into();
        return Err(ConfigError::BadValue { name: "content.type".into(), value, expected });
    }
    Ok(value)
}

/// Sends to one webhook.
pub struct WebhookSinkWriter {
    config: Arc<WebhookSink>,
    requests: Requests,
    /// What is not sent yet: less than a batch for each partition.
    waiting: BTreeMap<TopicPartition, Waiting>,
    rejected: Vec<RejectedRecord>,
}

/// The records of a batch to be.
#[derive(Default)]
struct Waiting {
    entries: Vec<Entry>,
    bytes: usize,
}

/// A record and what it is in a body.
struct Entry {
    offset: Offset,
    record: Record,
    text: Vec<u8>,
}

impl WebhookSinkWriter {
    /// What a record is in a body, or what is wrong with it.
    fn text(&self, partition: &TopicPartition, offset: Offset, record: RecordRef<'_>) -> Result<Vec<u8>, String> {
        let mut text = Vec::new();
        match (self.config.shape, record.value) {
            (LineShape::Envelope, _) => push_envelope(&mut text, partition, offset, record),
            (LineShape::Value, None) => {
                let problem = "the record has no value; send envelopes with 'envelope' = 'true', or leave such records out with 'behavior.on.null.values' = 'ignore'";
                return Err(problem.into());
            }
            (LineShape::Value, Some(value)) if self.config.batch_size == 1 => text.extend_from_slice(value),
            (LineShape::Value, value) => push_value(&mut text, value),
        }
        Ok(text)
    }

    /// Sends a batch; if it is not wanted, each of its records by itself.
    fn send(&mut self, partition: &TopicPartition, entries: Vec<Entry>) -> Result<(), ConnectError> {
        let outcome = self.requests.send(&key(partition, &entries), &self.body(&entries))?;
        let Outcome::Rejected(problem) = outcome else { return Ok(()) };
        if entries.len() == 1 {
            let reject = |Entry { offset, record, .. }| RejectedRecord {
                partition: partition.clone(),
                offset,
                record,
                problem: problem.clone(),
            };
            self.rejected.extend(entries.into_iter().map(reject));
            return Ok(());
        }
        entries.into_iter().try_for_each(|entry| self.send(partition, vec![entry]))
    }

    fn body(&self, entries: &[Entry]) -> Vec<u8> {
        let texts: Vec<&[u8]> = entries.iter().map(|entry| entry.text.as_slice()).collect();
        if self.config.batch_size == 1 {
            return texts.concat();
        }
        [b"[".as_slice(), &texts.join(b",".as_slice()), b"]"].concat()
    }
}

/// What tells a request from all others, and from itself never.
fn key(partition: &TopicPartition, entries: &[Entry]) -> String {
    let place = format!("{}-{}", partition.topic, partition.partition);
    match entries {
        [first, .., last] => format!("{place}-{}-{}", first.offset, last.offset),
        _ => entries.iter().map(|entry| format!("{place}-{}", entry.offset)).collect(),
    }
}

impl Sink for WebhookSinkWriter {
    fn topics(&self) -> &[TopicName] {
        &self.config.topics
    }

    fn promise(&self) -> Promise {
        Promise::AtLeastOnce
    }

    fn rows_a_commit(&self) -> Option<usize> {
        Some(ROWS_A_COMMIT.max(self.config.batch_size))
    }

    fn open(&mut self, _committed: &[SinkPosition]) -> Result<(), ConnectError> {
        self.waiting.clear();
        self.rejected.clear();
        Ok(())
    }

    fn write(&mut self, partition: &TopicPartition, batch: &FetchedBatch) -> Result<(), ConnectError> {
        for (row, record) in batch.records.iter().enumerate() {
            if record.value.is_none() && self.config.null_values == NullValues::Ignore {
                continue;
            }
            let offset = batch.offsets.at(row);
            let kept = Record::from(record);
            let text = match self.text(partition, offset, record) {
                Ok(text) => text,
                Err(problem) => {
                    self.rejected.push(RejectedRecord { partition: partition.clone(), offset, record: kept, problem });
                    continue;
                }
            };
            let waiting = self.waiting.entry(partition.clone()).or_default();
            waiting.bytes += text.len();
            waiting.entries.push(Entry { offset, record: kept, text });
            if waiting.entries.len() >= self.config.batch_size || waiting.bytes >= self.config.batch_max_bytes {
                let entries = std::mem::take(waiting).entries;
                self.send(partition, entries)?;
            }
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<Vec<RejectedRecord>, ConnectError> {
        for (partition, waiting) in std::mem::take(&mut self.waiting) {
            if !waiting.entries.is_empty() {
                self.send(&partition, waiting.entries)?;
            }
        }
        Ok(std::mem::take(&mut self.rejected))
    }

    fn flush(&mut self) -> Result<Vec<u8>, ConnectError> {
        Ok(b"webhook".to_vec())
    }
}
