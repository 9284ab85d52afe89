//! The file source: rows of an NDJSON, CSV, Avro or Parquet file become records.
//!
//! - The value is a JSON object: the line as it is, a CSV row with the names of its header line (types: see `csv_rows`), or a row of Avro or
//!   Parquet with its columns (times as ISO-8601 text, bytes as text of their digits).
//!   `key.field` names the field whose text becomes the key (numbers as decimal text, null or absent: no key); the field
//!   stays in the value. `timestamp.field` holds epoch ms or ISO-8601 text; without it the time of reading is the timestamp.
//! - A record with a key goes where Kafka's Java client would put it; those without go round the partitions.
//! - A row that cannot be taken goes, as it is, to `<topic>-dead-letter` with the headers `reason`, `file`, and `line` and
//!   `byte`, or `row` from 0 on. Lines that are empty or blank are skipped.
//!
//! The position is the byte and line of the next row, the count of rows without a key (from which their partition
//! follows), and what the file is recognised by. Invariant: equal positions bring equal records, however batches are cut.

use std::{
    fs::{File, Metadata},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use millstream::{
    connect::{
        ConnectError, PollLimits, Position, Positions, Progress, ProgressUnit, Readiness, Source, SourceBatch,
        SourceStart, SourceTopic,
    },
    log::TopicConfig,
    record::TopicName,
};
use serde::{Deserialize, Serialize};

use super::{
    file_rows::{FileRows, Reached, RowShape, RowsError, Storage},
    fingerprint::Fingerprint,
    row_reader::RowPosition,
    source_output::SourceOutput,
};
use crate::{
    config::{ConfigError, Properties},
    runtime::Clock,
};

/// How rows are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileFormat {
    /// A JSON object a line.
    Json,
    /// Comma-separated values with a header line.
    Csv(CsvOptions),
    /// An Avro object container.
    Avro,
    /// Parquet.
    Parquet,
}

impl FileFormat {
    /// Reads `format` and what belongs to it; `format` must be there.
    pub(crate) fn from_properties(properties: &mut Properties, format: &str) -> Result<Self, ConfigError> {
        let delimiter = properties.optional("csv.delimiter");
        let null = properties.optional("csv.null");
        let bad = |name: &str, value: &str, expected: &str| {
            Err(ConfigError::BadValue { name: name.into(), value: value.into(), expected: expected.into() })
        };
        let plain = match format.to_ascii_lowercase().as_str() {
            "json" => Self::Json,
            "avro" => Self::Avro,
            "parquet" => Self::Parquet,
            "csv" => {
                let delimiter = match delimiter.as_deref() {
                    None => b',',
                    Some("\\t" | "tab") => b'\t',
                    Some(text) => match text.as_bytes() {
                        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => *byte,
                        _ => return bad("csv.delimiter", text, "one ASCII character other than a quote, or tab"),
                    },
                };
                return Ok(Self::Csv(CsvOptions { delimiter, null }));
            }
            _ => return bad("format", format, "json, csv, avro or parquet"),
        };
        let given = [("csv.delimiter", &delimiter), ("csv.null", &null)].into_iter().find(|(_, value)| value.is_some());
        if let Some((name, _)) = given {
            let (reason, other) = ("it is for csv".into(), format!("'format' = '{}'", format.to_ascii_lowercase()));
            return Err(ConfigError::Conflict { name: name.into(), other, reason });
        }
        Ok(plain)
    }

    /// Whether a file of it can only be read whole, not while it grows.
    pub(crate) fn has_columns(&self) -> bool {
        matches!(self, Self::Avro | Self::Parquet)
    }
}

/// A dialect of CSV.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvOptions {
    /// Between fields: one ASCII character (`'csv.delimiter'`).
    pub delimiter: u8,
    /// A text that means null besides the empty field (`'csv.null'`), such as `NA`.
    pub null: Option<String>,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self { delimiter: b',', null: None }
    }
}

/// A file to be read: the settings of `'connector.class' = 'file'` as a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSource {
    /// The file (`'path'`), plain or, by its ending, `.zst`.
    pub path: PathBuf,
    /// Where to (`'topic'`).
    pub topic: TopicName,
    /// How rows are written (`'format'`).
    pub format: FileFormat,
    /// The field that becomes the key (`'key.field'`).
    pub key_field: Option<String>,
    /// The field that holds event time (`'timestamp.field'`).
    pub timestamp_field: Option<String>,
    /// How many partitions the topic is made with, if it is not there (`'partitions'`, default 1).
    pub partitions: u32,
    /// Whether the file is still growing (`'follow'`, default false).
    pub follow: bool,
}

impl FileSource {
    /// A source without key and event time, into a topic of one partition, that ends at the end of the file.
    pub fn new(path: impl Into<PathBuf>, topic: TopicName, format: FileFormat) -> Self {
        Self { path: path.into(), topic, format, key_field: None, timestamp_field: None, partitions: 1, follow: false }
    }

    pub(crate) fn from_properties(properties: &mut Properties) -> Result<Self, ConfigError> {
        let path = properties.required("path");
        let topic = properties.required("topic");
        let format = properties.required("format");
        properties.complete("file source")?;
        let (path, topic, format) = (path.unwrap_or_default(), topic.unwrap_or_default(), format.unwrap_or_default());
        let bad = |name: &str, value: &str, expected: &str| {
            Err(ConfigError::BadValue { name: name.into(), value: value.into(), expected: expected.into() })
        };
        if path.is_empty() || path.contains('*') {
            return bad("path", &path, "the path of one file; patterns are not supported yet");
        }
        if [".gz", ".bz2", ".xz"].iter().any(|ending| path.ends_with(ending)) {
            return bad("path", &path, "a plain or a .zst file; unpack .gz and others first");
        }
        let format = FileFormat::from_properties(properties, &format)?;
        let source = Self {
            topic: crate::config::parse_value("topic", &topic)?,
            key_field: properties.optional("key.field"),
            timestamp_field: properties.optional("timestamp.field"),
            partitions: properties.parsed("partitions", 1, 1, "a count from 1 on")?,
            follow: properties.flag("follow")?,
            ..Self::new(path, TopicName::new("unset").expect("a legal name"), format)
        };
        if source.follow && source.is_compressed() {
            let reason = "a compressed file cannot be followed as it grows".into();
            return Err(ConfigError::Conflict { name: "follow".into(), other: "a .zst file".into(), reason });
        }
        if source.format.has_columns() && (source.follow || source.is_compressed()) {
            let name = if source.follow { "follow" } else { "path" };
            let reason = "an avro or parquet file is read when it is finished, and is compressed inside".into();
            return Err(ConfigError::Conflict { name: name.into(), other: "'format'".into(), reason });
        }
        Ok(source)
    }

    /// The topic of rows that could not be taken.
    pub fn dead_letter_topic(&self) -> String {
        format!("{}-dead-letter", self.topic)
    }

    /// The source that reads it.
    pub fn reader(self, clock: Arc<dyn Clock>) -> FileSourceReader {
        FileSourceReader { partition_name: format!("file:{}", self.path.display()), config: self, clock, open: None }
    }

    fn shape(&self) -> RowShape {
        RowShape {
            format: self.format.clone(),
            key_field: self.key_field.clone(),
            timestamp_field: self.timestamp_field.clone(),
        }
    }

    fn is_compressed(&self) -> bool {
        self.path.extension().is_some_and(|ending| ending == "zst")
    }
}

/// What is committed with the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct FilePosition {
    byte: u64,
    lines: u64,
    /// Rows without a key so far.
    keyless: u64,
    /// Of the file as it is stored, as far as it was read.
    fingerprint: Fingerprint,
    /// The length of a file that cannot grow: compressed, or with columns.
    compressed_bytes: Option<u64>,
}

/// Reads the rows of one file.
pub struct FileSourceReader {
    config: FileSource,
    /// The source partition that the position is kept under.
    partition_name: String,
    clock: Arc<dyn Clock>,
    /// From `open` on.
    open: Option<OpenFile>,
}

struct OpenFile {
    rows: FileRows,
    partitions: u32,
    dead_letters: TopicName,
    /// Behind the rows handed out.
    position: FilePosition,
    inode: u64,
    length: u64,
}

impl FileSourceReader {
    fn io(&self, action: &'static str) -> impl Fn(std::io::Error) -> ConnectError + use<> {
        io_error(&self.config.path, action)
    }

    fn input(&self, problem: String) -> ConnectError {
        ConnectError::Input { input: self.config.path.display().to_string(), problem }
    }

    fn changed(&self, problem: String) -> ConnectError {
        let problem = format!("{problem}; put the file back, or read the new one with a connector of another name");
        ConnectError::Position { partition: self.partition_name.clone(), problem }
    }

    /// The position to start from: the saved one, if the file is still the one it speaks of.
    fn start_position(&self, positions: &Positions, metadata: &Metadata) -> Result<FilePosition, ConnectError> {
        let head = || File::open(&self.config.path).map_err(self.io("open"));
        let is_compressed = self.config.is_compressed() || self.config.format.has_columns();
        let Some(saved) = positions.get(&self.partition_name) else {
            let fingerprint = if is_compressed {
                Fingerprint::of_head(head()?).map_err(self.io("read"))?
            } else {
                Fingerprint::default()
            };
            let compressed_bytes = is_compressed.then_some(metadata.len());
            return Ok(FilePosition { byte: 0, lines: 0, keyless: 0, fingerprint, compressed_bytes });
        };
        let saved: FilePosition = serde_json::from_slice(&saved.0)
            .map_err(|error| self.changed(format!("the position is not readable ({error})")))?;
        let length = metadata.len();
        match saved.compressed_bytes {
            Some(expected) if expected != length => {
                Err(self.changed(format!("the file has {length} bytes, it had {expected}")))
            }
            None if length < saved.byte => {
                Err(self.changed(format!("the file has {length} bytes, fewer than the {} already read", saved.byte)))
            }
            _ if !saved.fingerprint.matches(head()?).map_err(self.io("read"))? => {
                Err(self.changed("the file begins otherwise than the one that was read: it was replaced".into()))
            }
            _ => Ok(saved),
        }
    }

    /// Fails if the followed file is no longer the one at the path.
    fn check_still_there(&self, open: &mut OpenFile) -> Result<(), ConnectError> {
        let metadata = std::fs::metadata(&self.config.path).map_err(self.io("look at"))?;
        open.length = metadata.len();
        if metadata.ino() != open.inode {
            return Err(self.changed("the file was replaced by another".into()));
        }
        if metadata.len() < open.position.byte {
            let (length, byte) = (metadata.len(), open.position.byte);
            return Err(self.changed(format!("the file has {length} bytes, fewer than the {byte} already read")));
        }
        Ok(())
    }

    fn rows_error(&self, error: RowsError) -> ConnectError {
        match error {
            RowsError::Io(error) => self.io("read")(error),
            RowsError::Content(problem) => self.input(problem),
        }
    }

    fn poll_open(&self, open: &mut OpenFile, limits: PollLimits) -> Result<SourceBatch, ConnectError> {
        let before = open.position;
        let mut output = SourceOutput::new(open.partitions);
        let FilePosition { fingerprint, keyless, compressed_bytes, .. } = &mut open.position;
        let grows = compressed_bytes.is_none();
        let mut seen = |raw: &[u8]| {
            if grows {
                fingerprint.extend(raw)
            }
        };
        let reached = open.rows.poll(&mut output, limits, self.clock.now(), keyless, &mut seen);
        let readiness = match reached.map_err(|error| self.rows_error(error))? {
            Reached::Limit => Readiness::Ready,
            Reached::Pending if self.config.follow => Readiness::Idle,
            Reached::Pending | Reached::End => Readiness::Exhausted,
        };
        let behind = open.rows.position();
        (open.position.byte, open.position.lines) = (behind.byte, behind.lines);
        if readiness == Readiness::Idle {
            self.check_still_there(open)?;
        }
        let (appends, rejected) = output.finish(&self.config.topic, &open.dead_letters);
        let mut positions = Positions::new();
        if open.position != before {
            let position = serde_json::to_vec(&open.position).expect("plain numbers are always JSON");
            positions.insert(self.partition_name.clone(), Position(position));
        }
        Ok(SourceBatch { appends, positions, readiness, rejected })
    }
}

impl Source for FileSourceReader {
    fn topics(&self) -> Vec<SourceTopic> {
        let config = TopicConfig { partitions: self.config.partitions, ..TopicConfig::default() };
        vec![SourceTopic { name: self.config.topic.clone(), config }]
    }

    fn open(&mut self, start: SourceStart<'_>) -> Result<(), ConnectError> {
        self.open = None;
        let file = File::open(&self.config.path).map_err(self.io("open"))?;
        let metadata = file.metadata().map_err(self.io("look at"))?;
        if metadata.is_dir() {
            return Err(self.input("is a directory; name one file".into()));
        }
        let position = self.start_position(start.positions, &metadata)?;
        let dead_letters = TopicName::new(&self.config.dead_letter_topic()).map_err(millstream::log::LogError::from)?;
        let storage = Storage { compressed: self.config.is_compressed(), follow: self.config.follow };
        let at = RowPosition { byte: position.byte, lines: position.lines };
        let label = self.config.path.display().to_string();
        let rows = FileRows::open(file, self.config.shape(), storage, label, at, &mut |_| ());
        let open = OpenFile {
            rows: rows.map_err(|error| self.rows_error(error))?,
            partitions: start.partitions.get(&self.config.topic).copied().unwrap_or(self.config.partitions),
            dead_letters,
            position,
            inode: metadata.ino(),
            length: metadata.len(),
        };
        self.open = Some(open);
        Ok(())
    }

    fn poll(&mut self, limits: PollLimits) -> Result<SourceBatch, ConnectError> {
        let Some(mut open) = self.open.take() else {
            return Err(self.input("polled before it was opened; this is a bug of the caller".into()));
        };
        let batch = self.poll_open(&mut open, limits)?;
        self.open = Some(open);
        Ok(batch)
    }

    fn progress(&self) -> Progress {
        let Some(open) = &self.open else { return Progress::default() };
        let total = (!self.config.follow).then_some(open.length);
        match open.rows.stored_bytes_read() {
            Some(done) => Progress { done, total, unit: ProgressUnit::Bytes },
            None => Progress { done: open.position.lines, total: None, unit: ProgressUnit::Rows },
        }
    }
}

fn io_error(path: &Path, action: &'static str) -> impl Fn(std::io::Error) -> ConnectError + use<> {
    let file = path.to_path_buf();
    move |source| ConnectError::Io { file: file.clone(), action, source }
}
