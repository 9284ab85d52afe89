//! The S3 source: the rows of the objects under a prefix, each object once.
//!
//! Objects are read one after the other, in the order of their keys: first one that was begun, then those that are there, then, if it follows,
//! those that have come meanwhile, whatever their keys. Keys with a part that begins with `_` or `.` are left out, as other programs do, and so
//! are empty objects. Rows become records as those of files do (see `file_rows`), dead letters too.
//!
//! The position of an object is its ETag, how far it is read, and the count of rows without a key so far (from which their partitions follow). An
//! object with a position is never read as new; one whose ETag is another than that in its position is an error, or read anew, as configured. Parts
//! of an object are only taken from the object of that ETag.
//!
//! An object is copied into an unnamed temporary file, by ranges, before it is read: memory does not depend on its size, the disk does.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::File,
    io::{Seek, SeekFrom, Write},
    sync::Arc,
};

use millstream::{
    connect::{
        ConnectError, PollLimits, Position, Positions, Progress, ProgressUnit, Readiness, Source, SourceBatch,
        SourceStart, SourceTopic,
    },
    log::{LogError, TopicConfig},
    record::{Timestamp, TopicName},
};
use object_store::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::{OnChanged, S3Source, connection::Connection};
use crate::{
    file::{FileRows, Reached, RowPosition, RowsError, SourceOutput, Storage},
    runtime::Clock,
};

const RANGE_BYTES: u64 = 8 << 20;

/// What is committed with the rows of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ObjectPosition {
    etag: String,
    byte: u64,
    /// Lines, or rows of Avro and Parquet.
    lines: u64,
    /// Rows without a key, of this and all objects before.
    keyless: u64,
    done: bool,
}

/// Reads the objects under a prefix.
pub struct S3SourceReader {
    config: S3Source,
    clock: Arc<dyn Clock>,
    /// From `open` on.
    session: Option<Session>,
}

struct Session {
    connection: Connection,
    partitions: u32,
    dead_letters: TopicName,
    /// By source partition.
    known: BTreeMap<String, ObjectPosition>,
    waiting: VecDeque<ObjectMeta>,
    current: Option<Current>,
    keyless: u64,
    listed: Option<Timestamp>,
    bytes_done: u64,
    bytes_total: u64,
}

/// The object that is being read.
struct Current {
    partition: String,
    meta: ObjectMeta,
    rows: FileRows,
}

impl S3SourceReader {
    pub(super) fn new(config: S3Source, clock: Arc<dyn Clock>) -> Self {
        Self { config, clock, session: None }
    }

    /// The source partition of an object.
    fn partition(&self, key: &str) -> String {
        format!("s3:{}/{key}", self.config.bucket.name)
    }

    fn poll_session(&self, session: &mut Session, limits: PollLimits) -> Result<SourceBatch, ConnectError> {
        let mut batch =
            SourceBatch { appends: Vec::new(), positions: Positions::new(), readiness: Readiness::Ready, rejected: 0 };
        if session.current.is_none() && session.waiting.is_empty() && !self.list(session)? {
            batch.readiness = if self.config.follow { Readiness::Idle } else { Readiness::Exhausted };
            return Ok(batch);
        }
        let mut current = match session.current.take() {
            Some(current) => current,
            None => match session.waiting.pop_front() {
                Some(meta) => self.begin(session, meta)?,
                None => return Ok(batch),
            },
        };
        let mut output = SourceOutput::new(session.partitions);
        let reached = current.rows.poll(&mut output, limits, self.clock.now(), &mut session.keyless, &mut |_| ());
        let reached = reached.map_err(|error| self.rows_error(&current.meta, error))?;
        let at = current.rows.position();
        let done = reached != Reached::Limit;
        let position = ObjectPosition {
            etag: etag(&current.meta),
            byte: at.byte,
            lines: at.lines,
            keyless: session.keyless,
            done,
        };
        let bytes = serde_json::to_vec(&position).expect("plain values are always JSON");
        batch.positions.insert(current.partition.clone(), Position(bytes));
        session.known.insert(current.partition.clone(), position);
        if done {
            session.bytes_done += current.meta.size;
        } else {
            session.current = Some(current);
        }
        (batch.appends, batch.rejected) = output.finish(&self.config.topic, &session.dead_letters);
        Ok(batch)
    }

    /// Looks which objects there are, if it is time; whether any is to be read.
    fn list(&self, session: &mut Session) -> Result<bool, ConnectError> {
        let now = self.clock.now();
        let interval_ms = self.config.poll_interval.as_millis() as i64;
        if session.listed.is_some_and(|listed| now.0.saturating_sub(listed.0) < interval_ms) {
            return Ok(false);
        }
        let objects = session.connection.list(self.config.prefix.as_deref().unwrap_or_default(), None)?;
        session.listed = Some(now);
        let (mut begun, mut new) = (Vec::new(), Vec::new());
        for meta in objects.into_iter().filter(is_data) {
            let partition = self.partition(meta.location.as_ref());
            match session.known.get(&partition) {
                None => new.push(meta),
                Some(position) if position.etag != etag(&meta) => {
                    self.check_changed(&partition, position, &meta)?;
                    session.known.remove(&partition);
                    new.push(meta);
                }
                Some(position) if position.done => {}
                Some(_) => begun.push(meta),
            }
        }
        session.bytes_total += begun.iter().chain(&new).map(|meta| meta.size).sum::<u64>();
        session.waiting = begun.into_iter().chain(new).collect();
        Ok(!session.waiting.is_empty())
    }

    fn check_changed(&self, partition: &str, position: &ObjectPosition, meta: &ObjectMeta) -> Result<(), ConnectError> {
        if self.config.on_changed == OnChanged::Read {
            return Ok(());
        }
        let how_far = if position.done { "has been read" } else { "is being read" };
        let problem = format!(
            "the object {how_far} with ETag {}, now it has {}; put the old one back, or have changed objects read anew with 'on.changed.object' = 'read'",
            position.etag,
            etag(meta)
        );
        Err(ConnectError::Position { partition: partition.to_owned(), problem })
    }

    /// Copies an object and goes on where it was left.
    fn begin(&self, session: &Session, meta: ObjectMeta) -> Result<Current, ConnectError> {
        let key = meta.location.to_string();
        if [".gz", ".bz2", ".xz"].iter().any(|ending| key.ends_with(ending)) {
            return Err(
                self.input(&meta, "only plain and .zst objects are read; unpack it, or move it away".to_owned())
            );
        }
        let file = self.copy(session, &meta)?;
        let partition = self.partition(&key);
        let at = session
            .known
            .get(&partition)
            .map_or(RowPosition::default(), |position| RowPosition { byte: position.byte, lines: position.lines });
        let compressed = !self.config.format.has_columns() && key.ends_with(".zst");
        let storage = Storage { compressed, follow: false };
        let rows = FileRows::open(file, self.config.shape(), storage, partition.clone(), at, &mut |_| ());
        let rows = rows.map_err(|error| self.rows_error(&meta, error))?;
        Ok(Current { partition, meta, rows })
    }

    fn copy(&self, session: &Session, meta: &ObjectMeta) -> Result<File, ConnectError> {
        let io = |action: &'static str| move |source| ConnectError::Io { file: std::env::temp_dir(), action, source };
        let mut file = tempfile::tempfile().map_err(io("make a temporary file in"))?;
        let mut from = 0;
        while from < meta.size {
            let to = (from + RANGE_BYTES).min(meta.size);
            let bytes = session.connection.get_range(meta, from..to)?;
            file.write_all(&bytes).map_err(io("write a temporary file in"))?;
            from = to;
        }
        file.seek(SeekFrom::Start(0)).map_err(io("read a temporary file in"))?;
        Ok(file)
    }

    fn input(&self, meta: &ObjectMeta, problem: String) -> ConnectError {
        ConnectError::Input { input: self.partition(meta.location.as_ref()), problem }
    }

    fn rows_error(&self, meta: &ObjectMeta, error: RowsError) -> ConnectError {
        match error {
            RowsError::Io(error) => self.input(meta, format!("it cannot be read: {error}")),
            RowsError::Content(problem) => self.input(meta, problem),
        }
    }
}

/// Whether an object holds rows, by its key and size.
fn is_data(meta: &ObjectMeta) -> bool {
    meta.size > 0 && !meta.location.parts().any(|part| part.as_ref().starts_with(['_', '.']))
}

/// What tells an object from another of the same key.
fn etag(meta: &ObjectMeta) -> String {
    meta.e_tag.clone().unwrap_or_else(|| format!("{}-{}", meta.size, meta.last_modified.timestamp_millis()))
}

impl Source for S3SourceReader {
    fn topics(&self) -> Vec<SourceTopic> {
        let config = TopicConfig { partitions: self.config.partitions, ..TopicConfig::default() };
        vec![SourceTopic { name: self.config.topic.clone(), config }]
    }

    fn open(&mut self, start: SourceStart<'_>) -> Result<(), ConnectError> {
        self.session = None;
        let mut known = BTreeMap::new();
        for (partition, position) in start.positions {
            let position: ObjectPosition =
                serde_json::from_slice(&position.0).map_err(|error| ConnectError::Position {
                    partition: partition.clone(),
                    problem: format!("the position is not readable ({error})"),
                })?;
            known.insert(partition.clone(), position);
        }
        let keyless = known.values().map(|position: &ObjectPosition| position.keyless).max().unwrap_or(0);
        self.session = Some(Session {
            connection: Connection::open(&self.config.bucket)?,
            partitions: start.partitions.get(&self.config.topic).copied().unwrap_or(self.config.partitions),
            dead_letters: TopicName::new(&self.config.dead_letter_topic()).map_err(LogError::from)?,
            known,
            waiting: VecDeque::new(),
            current: None,
            keyless,
            listed: None,
            bytes_done: 0,
            bytes_total: 0,
        });
        Ok(())
    }

    fn poll(&mut self, limits: PollLimits) -> Result<SourceBatch, ConnectError> {
        let Some(mut session) = self.session.take() else {
            return Err(ConnectError::Input {
                input: self.config.bucket.system(),
                problem: "polled before it was opened; this is a bug of the caller".to_owned(),
            });
        };
        let batch = self.poll_session(&mut session, limits)?;
        self.session = Some(session);
        Ok(batch)
    }

    fn progress(&self) -> Progress {
        let Some(session) = &self.session else { return Progress::default() };
        let read = session.current.as_ref().and_then(|current| current.rows.stored_bytes_read()).unwrap_or(0);
        let total = (!self.config.follow).then_some(session.bytes_total);
        Progress { done: session.bytes_done + read, total, unit: ProgressUnit::Bytes }
    }
}
