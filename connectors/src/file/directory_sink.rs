//! The file sink for files of columns: CSV, Avro and Parquet in a directory, exactly once.
//!
//! A file holds a stretch of one partition and is called `<topic>+<partition>+<first offset>.<format>`. It is written under a name that
//! begins with a dot and gets its own name, by one rename, when it has ended: by rows, bytes or wall clock, or because a record of its stretch
//! cannot be taken. Only then its rows count as written: the positions that are committed are those of the first records of open files.
//!
//! When the sink opens, files whose first offset lies at or behind the committed position were never committed and are removed, as are those
//! with a dot; their records come again. Invariants: a file with its own name is whole, durable and never changed; a directory with files of
//! somebody else's is left alone, and so is one that another writer has open.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use millstream::{
    connect::{ConnectError, Promise, RejectedRecord, Sink, SinkPosition, SinkPositions},
    log::FetchedBatch,
    record::{Offset, PartitionId, Timestamp, TopicName, TopicPartition},
};

use super::lock::lock;
use crate::{
    config::{ConfigError, Properties},
    file_format::{Made, RowMaker, RowsFile, WrittenFormat, end_of, new_file},
    rows::TopicRows,
    runtime::Clock,
};

/// So many rows are encoded before sizes are looked at.
const CHUNK_ROWS: usize = 4096;
/// What is committed beside offsets: that this sink has written here.
const MARK: &[u8] = b"directory";

/// A directory to be filled: `'connector.class' = 'file'` as a sink with the format csv, avro or parquet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectorySink {
    /// The directory (`'path'`); made if it is not there, refused if it holds what is not this sink's.
    pub path: PathBuf,
    /// What is written (`'topics'`, with commas, or `'topic'`); their columns must be known.
    pub topics: Vec<TopicName>,
    /// What files look like (`'format'`, `'compression'`).
    pub format: WrittenFormat,
    /// A file ends with so many rows (`'flush.size'`, default 1,000,000).
    pub rows: u64,
    /// Or with so many bytes (`'flush.bytes'`, default 128 MiB).
    pub bytes: u64,
    /// Or when it has been open for so long (`'rotate.schedule.interval.ms'`, default 60,000; 0: never).
    pub schedule: Option<Duration>,
}

impl DirectorySink {
    /// A sink with the usual sizes.
    pub fn new(path: impl Into<PathBuf>, topics: Vec<TopicName>, format: WrittenFormat) -> Self {
        let schedule = Some(Duration::from_secs(60));
        Self { path: path.into(), topics, format, rows: 1_000_000, bytes: 128 << 20, schedule }
    }

    pub(super) fn from_properties(
        properties: &mut Properties,
        path: PathBuf,
        topics: Vec<TopicName>,
    ) -> Result<Self, ConfigError> {
        let default = Self::new(path, topics, WrittenFormat::from_properties(properties)?);
        let schedule_ms =
            properties.parsed("rotate.schedule.interval.ms", 0_u64, 60_000, "milliseconds, or 0 for never")?;
        Ok(Self {
            rows: properties.parsed("flush.size", 1, default.rows, "a count from 1 on")?,
            bytes: properties.parsed("flush.bytes", 1, default.bytes, "bytes from 1 on")?,
            schedule: (schedule_ms > 0).then(|| Duration::from_millis(schedule_ms)),
            ..default
        })
    }

    /// The sink that writes it.
    pub fn writer(self, rows: TopicRows, clock: Arc<dyn Clock>) -> DirectorySinkWriter {
        DirectorySinkWriter { config: self, rows, clock, positions: SinkPositions::new(), session: None }
    }
}

/// Writes files of one directory.
pub struct DirectorySinkWriter {
    config: DirectorySink,
    rows: TopicRows,
    clock: Arc<dyn Clock>,
    positions: SinkPositions,
    /// From `open` on.
    session: Option<Session>,
}

struct Session {
    config: DirectorySink,
    /// Locked as long as it is open.
    _folder: File,
    makers: BTreeMap<TopicName, RowMaker>,
    open: BTreeMap<TopicPartition, OpenFile>,
    /// Behind the last record that was written.
    seen: SinkPositions,
    /// Ended and not yet under their own names.
    ended: Vec<OpenFile>,
    rejected: Vec<RejectedRecord>,
}

struct OpenFile {
    first: Offset,
    rows: u64,
    opened: Timestamp,
    encoder: Box<dyn RowsFile>,
    file: File,
    hidden: PathBuf,
    path: PathBuf,
}

fn io_error(path: &Path, action: &'static str) -> impl Fn(io::Error) -> ConnectError + use<> {
    let file = path.to_path_buf();
    move |source| ConnectError::Io { file: file.clone(), action, source }
}

fn content_error(path: &Path) -> impl Fn(String) -> ConnectError + use<> {
    let input = path.display().to_string();
    move |problem| ConnectError::Input { input: input.clone(), problem }
}

impl DirectorySinkWriter {
    fn refused(&self, problem: String) -> ConnectError {
        ConnectError::Position { partition: format!("file:{}", self.config.path.display()), problem }
    }

    /// Removes what was not committed.
    fn restore(&self, committed: &[SinkPosition]) -> Result<(), ConnectError> {
        let folder = &self.config.path;
        let is_new = committed.iter().all(|position| position.mark.is_none());
        let mut removed = false;
        for entry in fs::read_dir(folder).map_err(io_error(folder, "list"))? {
            let path = entry.map_err(io_error(folder, "list"))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if is_new {
                let problem =
                    format!("it holds {name} already, which is not this connector's; name an empty directory");
                return Err(self.refused(problem));
            }
            let Some((partition, first)) = self.written(name.strip_prefix('.').unwrap_or(&name)) else { continue };
            let position = committed.iter().find(|position| position.partition == partition);
            if name.starts_with('.') || position.is_some_and(|position| first >= position.next) {
                fs::remove_file(&path).map_err(io_error(&path, "remove"))?;
                removed = true;
            }
        }
        if removed { sync(folder) } else { Ok(()) }
    }

    /// What a name says, if it is one of this sink's.
    fn written(&self, name: &str) -> Option<(TopicPartition, Offset)> {
        let stem = name.strip_suffix(self.config.format.extension())?.strip_suffix('.')?;
        let [first, partition, topic] = stem.rsplitn(3, '+').collect::<Vec<_>>().try_into().ok()?;
        let topic = self.config.topics.iter().find(|known| known.as_str() == topic)?;
        let partition = TopicPartition::new(topic.clone(), PartitionId(partition.parse().ok()?));
        Some((partition, Offset(first.parse().ok()?)))
    }

    fn session(&mut self) -> Result<&mut Session, ConnectError> {
        let not_open = self.refused("used before it was opened; this is a bug of the caller".to_owned());
        self.session.as_mut().ok_or(not_open)
    }
}

fn sync(folder: &Path) -> Result<(), ConnectError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error(folder, "make durable"))
}

impl Sink for DirectorySinkWriter {
    fn topics(&self) -> &[TopicName] {
        &self.config.topics
    }

    fn promise(&self) -> Promise {
        Promise::ExactlyOnce
    }

    fn open(&mut self, committed: &[SinkPosition]) -> Result<(), ConnectError> {
        self.session = None;
        let maker = |topic: &TopicName| Ok((topic.clone(), RowMaker::new(self.config.format, topic, &self.rows)?));
        let makers = self.config.topics.iter().map(maker).collect::<Result<_, ConnectError>>()?;
        let folder = &self.config.path;
        fs::create_dir_all(folder).map_err(io_error(folder, "make"))?;
        let handle = File::open(folder).map_err(io_error(folder, "open"))?;
        lock(&handle, folder)?;
        self.restore(committed)?;
        self.positions = committed.iter().map(|position| (position.partition.clone(), position.next)).collect();
        self.session = Some(Session {
            config: self.config.clone(),
            _folder: handle,
            makers,
            open: BTreeMap::new(),
            seen: self.positions.clone(),
            ended: Vec::new(),
            rejected: Vec::new(),
        });
        Ok(())
    }

    fn write(&mut self, partition: &TopicPartition, batch: &FetchedBatch) -> Result<(), ConnectError> {
        let now = self.clock.now();
        self.session()?.write(partition, batch, now)
    }

    fn settle(&mut self) -> Result<Vec<RejectedRecord>, ConnectError> {
        let session = self.session()?;
        // Their positions are to be committed with this flush, or they would be dead letters again after a restart.
        for partition in session.rejected.iter().map(|rejected| rejected.partition.clone()).collect::<Vec<_>>() {
            session.end(&partition);
        }
        Ok(std::mem::take(&mut session.rejected))
    }

    fn flush(&mut self) -> Result<Vec<u8>, ConnectError> {
        let now = self.clock.now();
        let session = self.session()?;
        session.flush(now)?;
        let first_open = |(partition, seen): (&TopicPartition, &Offset)| {
            (partition.clone(), session.open.get(partition).map_or(*seen, |file| file.first))
        };
        let positions = session.seen.iter().map(first_open).collect();
        self.positions = positions;
        Ok(MARK.to_vec())
    }

    fn positions(&self) -> Option<&SinkPositions> {
        Some(&self.positions)
    }

    fn is_due(&mut self, now: Timestamp) -> Result<bool, ConnectError> {
        Ok(self.session.as_ref().is_some_and(|session| session.open.values().any(|file| session.is_due(file, now))))
    }
}

impl Session {
    fn is_due(&self, file: &OpenFile, now: Timestamp) -> bool {
        let open_ms = now.0.saturating_sub(file.opened.0);
        self.config.schedule.is_some_and(|schedule| open_ms >= schedule.as_millis() as i64)
    }

    fn write(&mut self, partition: &TopicPartition, batch: &FetchedBatch, now: Timestamp) -> Result<(), ConnectError> {
        let maker = self.makers.get_mut(&partition.topic).expect("records come of the sink's topics");
        let mut made = maker.make(partition, batch)?;
        self.rejected.append(&mut made.rejected);
        let mut at = 0;
        while at < made.offsets.len() {
            at += self.write_chunk(partition, &made, at, now)?;
        }
        self.seen.insert(partition.clone(), end_of(batch));
        Ok(())
    }

    /// Adds rows from one on to the file of their partition; returns how many.
    fn write_chunk(
        &mut self,
        partition: &TopicPartition,
        made: &Made,
        at: usize,
        now: Timestamp,
    ) -> Result<usize, ConnectError> {
        let Some(columns) = &made.columns else { return Ok(made.offsets.len() - at) };
        if !self.open.contains_key(partition) {
            let schema = columns.schema();
            let file = OpenFile::new(
                &self.config,
                partition,
                Offset(made.offsets[at]),
                now,
                new_file(self.config.format, &schema),
            )?;
            self.open.insert(partition.clone(), file);
        }
        let file = self.open.get_mut(partition).expect("it was just put there");
        let room = usize::try_from(self.config.rows - file.rows).unwrap_or(usize::MAX);
        let count = room.min(CHUNK_ROWS).min(made.offsets.len() - at);
        file.encoder.write(&columns.slice(at, count)).map_err(content_error(&file.path))?;
        file.file.write_all(&file.encoder.take()).map_err(io_error(&file.hidden, "write"))?;
        file.rows += count as u64;
        if file.rows >= self.config.rows || file.encoder.bytes() >= self.config.bytes {
            self.end(partition);
        }
        Ok(count)
    }

    fn end(&mut self, partition: &TopicPartition) {
        self.ended.extend(self.open.remove(partition));
    }

    /// Gives the files that have ended, or are due, their own names.
    fn flush(&mut self, now: Timestamp) -> Result<(), ConnectError> {
        let due: Vec<TopicPartition> = self
            .open
            .iter()
            .filter(|(_, file)| self.is_due(file, now))
            .map(|(partition, _)| partition.clone())
            .collect();
        due.iter().for_each(|partition| self.end(partition));
        if self.ended.is_empty() {
            return Ok(());
        }
        for OpenFile { encoder, mut file, hidden, path, .. } in self.ended.drain(..) {
            let rest = encoder.finish().map_err(content_error(&path))?;
            file.write_all(&rest).and_then(|()| file.sync_all()).map_err(io_error(&hidden, "write"))?;
            fs::rename(&hidden, &path).map_err(io_error(&path, "name"))?;
        }
        sync(&self.config.path)
    }
}

impl OpenFile {
    fn new(
        config: &DirectorySink,
        partition: &TopicPartition,
        first: Offset,
        opened: Timestamp,
        encoder: Result<Box<dyn RowsFile>, String>,
    ) -> Result<Self, ConnectError> {
        let TopicPartition { topic, partition } = partition;
        let name = format!("{topic}+{partition}+{:016}.{}", first.0, config.format.extension());
        let (path, hidden) = (config.path.join(&name), config.path.join(format!(".{name}")));
        let encoder = encoder.map_err(content_error(&path))?;
        let file = File::create(&hidden).map_err(io_error(&hidden, "make"))?;
        Ok(Self { first, rows: 0, opened, encoder, file, hidden, path })
    }
}
