//! The file sink: a line of JSON a record, exactly once.
//!
//! A line is the record's value: JSON as it is (line breaks between tokens become spaces), other UTF-8 text as a JSON
//! string, other bytes as `{"base64":"..."}`, a tombstone as `null`. With `envelope` a line is an object of `topic`,
//! `partition`, `offset`, `timestamp` (ms), `key` (a string, `{"base64":"..."}` or null), `value` (as above) and, if the
//! record has any, `headers` (a list of `name` and `value`).
//!
//! The mark that is committed with the offsets is the length of the file and what it is recognised by. Lines are durable
//! before the mark is committed; what lies beyond the committed length when the sink starts was never committed and is cut
//! off. Invariant: the file up to a committed length is never touched again. A file that this sink did not write is
//! neither appended to nor cut, nor is one that another writer has open.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use millstream::{
    connect::{ConnectError, Promise, Sink, SinkPosition},
    log::FetchedBatch,
    record::{Header, Offset, RecordRef, TopicName, TopicPartition},
};
use serde::{Deserialize, Serialize};

use super::{DirectorySink, fingerprint::Fingerprint, lock::lock};
use crate::{
    config::{ConfigError, Properties, SinkKind},
    json_text::{push_bytes, push_string},
};

const BUFFER_BYTES: usize = 256 << 10;

/// A file to be written: the settings of `'connector.class' = 'file'` as a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSink {
    /// The file (`'path'`); made if it is not there, refused if it is there and not this sink's.
    pub path: PathBuf,
    /// What is written (`'topics'`, with commas, or `'topic'`).
    pub topics: Vec<TopicName>,
    /// What a line is (`'envelope'`, default false).
    pub lines: LineShape,
}

/// What a line of the file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineShape {
    /// The value.
    Value,
    /// An object of the value and all that belongs to the record.
    Envelope,
}

impl FileSink {
    /// A sink that writes the values of topics.
    pub fn new(path: impl Into<PathBuf>, topics: Vec<TopicName>) -> Self {
        Self { path: path.into(), topics, lines: LineShape::Value }
    }

    /// One file of JSON lines, or a directory of files of columns, by the format.
    pub(crate) fn from_properties(properties: &mut Properties) -> Result<SinkKind, ConfigError> {
        let path = properties.required("path");
        let topics = properties.topics()?;
        properties.complete("file sink")?;
        let path = path.unwrap_or_default();
        if path.is_empty() {
            let expected = "the path of a file".into();
            return Err(ConfigError::BadValue { name: "path".into(), value: path, expected });
        }
        if properties.peek("format").is_some_and(|format| !format.eq_ignore_ascii_case("json")) {
            return DirectorySink::from_properties(properties, path.into(), topics).map(SinkKind::Directory);
        }
        properties.optional("format");
        let lines = if properties.flag("envelope")? { LineShape::Envelope } else { LineShape::Value };
        Ok(SinkKind::File(Self { lines, ..Self::new(path, topics) }))
    }

    /// The sink that writes it.
    pub fn writer(self) -> FileSinkWriter {
        FileSinkWriter { config: self, open: None }
    }
}

/// What is committed with the offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct FileMark {
    bytes: u64,
    fingerprint: Fingerprint,
}

/// Writes the lines of one file.
pub struct FileSinkWriter {
    config: FileSink,
    /// From `open` on.
    open: Option<OpenFile>,
}

struct OpenFile {
    file: File,
    /// Lines not yet handed to the file.
    buffer: Vec<u8>,
    /// The file with these lines.
    mark: FileMark,
}

impl FileSinkWriter {
    fn io(&self, action: &'static str) -> impl Fn(io::Error) -> ConnectError + use<> {
        let file = self.config.path.clone();
        move |source| ConnectError::Io { file: file.clone(), action, source }
    }

    fn refused(&self, problem: String) -> ConnectError {
        ConnectError::Position { partition: format!("file:{}", self.config.path.display()), problem }
    }

    /// The newest mark: each commit puts the same one beside every partition, and the file only grows.
    fn newest_mark(&self, committed: &[SinkPosition]) -> Result<Option<FileMark>, ConnectError> {
        let mut newest: Option<FileMark> = None;
        for bytes in committed.iter().filter_map(|position| position.mark.as_ref()) {
            let mark: FileMark = serde_json::from_slice(bytes)
                .map_err(|error| self.refused(format!("the mark is not readable ({error})")))?;
            newest = newest.filter(|newest| newest.bytes >= mark.bytes).or(Some(mark));
        }
        Ok(newest)
    }

    /// Cuts the file to what is committed.
    fn restore(&self, file: &File, mark: Option<FileMark>) -> Result<FileMark, ConnectError> {
        let length = file.metadata().map_err(self.io("look at"))?.len();
        let Some(mark) = mark else {
            if length > 0 {
                let problem =
                    "the file is there already and is not this connector's; move it away or name another".into();
                return Err(self.refused(problem));
            }
            return Ok(FileMark::default());
        };
        if length < mark.bytes {
            let problem = format!(
                "the file has {length} bytes, {} were committed; put it back, or start anew with a connector of another name",
                mark.bytes
            );
            return Err(self.refused(problem));
        }
        let head = File::open(&self.config.path).map_err(self.io("open"))?;
        if !mark.fingerprint.matches(head).map_err(self.io("read"))? {
            let problem =
                "the file does not begin as the one that was written; put that one back, or name another".into();
            return Err(self.refused(problem));
        }
        if length > mark.bytes {
            file.set_len(mark.bytes).and_then(|()| file.sync_all()).map_err(self.io("cut"))?;
        }
        Ok(mark)
    }
}

impl Sink for FileSinkWriter {
    fn topics(&self) -> &[TopicName] {
        &self.config.topics
    }

    fn promise(&self) -> Promise {
        Promise::ExactlyOnce
    }

    fn open(&mut self, committed: &[SinkPosition]) -> Result<(), ConnectError> {
        self.open = None;
        let mark = self.newest_mark(committed)?;
        let is_new = !self.config.path.exists();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&self.config.path).map_err(self.io("open"))?;
        lock(&file, &self.config.path)?;
        let mark = self.restore(&file, mark)?;
        file.seek(SeekFrom::Start(mark.bytes)).map_err(self.io("go on in"))?;
        if is_new {
            sync_directory_of(&self.config.path).map_err(self.io("make durable"))?;
        }
        self.open = Some(OpenFile { file, buffer: Vec::with_capacity(BUFFER_BYTES), mark });
        Ok(())
    }

    fn write(&mut self, partition: &TopicPartition, batch: &FetchedBatch) -> Result<(), ConnectError> {
        let io = self.io("write");
        let not_open = self.refused("written to before it was opened; this is a bug of the caller".into());
        let Some(open) = &mut self.open else { return Err(not_open) };
        for (row, record) in batch.records.iter().enumerate() {
            let start = open.buffer.len();
            match self.config.lines {
                LineShape::Value => push_value(&mut open.buffer, record.value),
                LineShape::Envelope => push_envelope(&mut open.buffer, partition, batch.offsets.at(row), record),
            }
            open.buffer.push(b'\n');
            open.mark.bytes += (open.buffer.len() - start) as u64;
            open.mark.fingerprint.extend(&open.buffer[start..]);
            if open.buffer.len() >= BUFFER_BYTES {
                open.file.write_all(&open.buffer).map_err(&io)?;
                open.buffer.clear();
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<Vec<u8>, ConnectError> {
        let io = self.io("write");
        let not_open = self.refused("flushed before it was opened; this is a bug of the caller".into());
        let Some(open) = &mut self.open else { return Err(not_open) };
        open.file.write_all(&open.buffer).and_then(|()| open.file.sync_data()).map_err(io)?;
        open.buffer.clear();
        Ok(serde_json::to_vec(&open.mark).expect("plain numbers are always JSON"))
    }
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

/// Appends a value as JSON on one line.
pub(crate) fn push_value(out: &mut Vec<u8>, value: Option<&[u8]>) {
    let Some(value) = value else { return out.extend_from_slice(b"null") };
    let Ok(text) = std::str::from_utf8(value) else { return push_bytes(out, value) };
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() {
        return push_string(out, text);
    }
    // Within JSON strings there are no raw line breaks: those here lie between tokens.
    out.extend(text.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
}

/// Appends text or bytes that are not JSON themselves.
fn push_text(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes.map(|bytes| (std::str::from_utf8(bytes), bytes)) {
        None => out.extend_from_slice(b"null"),
        Some((Ok(text), _)) => push_string(out, text),
        Some((Err(_), bytes)) => push_bytes(out, bytes),
    }
}

pub(crate) fn push_envelope(out: &mut Vec<u8>, partition: &TopicPartition, offset: Offset, record: RecordRef<'_>) {
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(b"{\"topic\":");
    push_string(out, partition.topic.as_str());
    out.extend_from_slice(b",\"partition\":");
    out.extend_from_slice(digits.format(partition.partition.0).as_bytes());
    out.extend_from_slice(b",\"offset\":");
    out.extend_from_slice(digits.format(offset.0).as_bytes());
    out.extend_from_slice(b",\"timestamp\":");
    out.extend_from_slice(digits.format(record.timestamp.0).as_bytes());
    out.extend_from_slice(b",\"key\":");
    push_text(out, record.key);
    out.extend_from_slice(b",\"value\":");
    push_value(out, record.value);
    if !record.headers.is_empty() {
        push_headers(out, record.headers);
    }
    out.push(b'}');
}

fn push_headers(out: &mut Vec<u8>, headers: &[Header]) {
    out.extend_from_slice(b",\"headers\":[");
    for (place, header) in headers.iter().enumerate() {
        out.extend_from_slice(if place == 0 { b"{\"name\":" } else { b",{\"name\":" });
        push_string(out, &header.name);
        out.extend_from_slice(b",\"value\":");
        push_text(out, header.value.as_deref());
        out.push(b'}');
    }
    out.push(b']');
}
