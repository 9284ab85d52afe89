//! The S3 sink: topics as objects of a bucket, each record once.
//!
//! # What is where
//! ```text
//! <topics.dir>/<topic>/<directory>/<topic>+<partition>+<first offset>+<epoch>.<format>       the output
//! <topics.dir>/_millstream/<connector>/00000000000000000017.json                             the manifest
//! ```
//! The output are the files that the entries of the manifest name. After a clean run and after a restart has opened, nothing else lies under
//! the directories of the topics, so that programs that read all files of a directory read the output; a program that must be right even while
//! the sink crashes goes by the manifest.
//!
//! # How it is exact
//! A file ends by rows, bytes, record time or wall clock, so where it ends cannot be repeated, and need not be:
//!
//! 1. Rows are encoded in memory; of large files parts are put, which nobody sees. An entry of the manifest names the upload first.
//! 2. When files have ended, an entry *announces* their names; then the objects are put where there are none, uploads are completed; then an
//!    entry *commits* the files together with the positions behind them. Only then the group's offsets move.
//! 3. A writer begins with an entry of a new epoch. It removes what was announced or being uploaded and never committed, and reads from the
//!    positions in the manifest. Names hold the epoch, so nothing that a writer of an earlier epoch still does can touch the output.
//!
//! Files of one partition end at different offsets if rows go to several directories. The position of a partition is the first record of its
//! oldest open file; of directories that are further, the manifest says how far, and records that come again are left out there.
//!
//! Invariants: an object of the output is put once and never changed; a record is in exactly one committed file, or in none and behind the
//! position; entries of the manifest are never changed. A writer that slept through a change of epoch may leave objects that were announced
//! before it slept; the next commit of its successor removes them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arrow::{array::UInt32Array, compute::take_record_batch};
use millstream::{
    connect::{ConnectError, Promise, RejectedRecord, Sink, SinkPosition, SinkPositions},
    log::FetchedBatch,
    record::{Offset, Timestamp, TopicName, TopicPartition},
};
use serde::{Deserialize, Serialize};

use super::{
    S3Sink,
    connection::Connection,
    manifest::{Entry, EntryKind, FileEntry, Leftovers, Manifest, PartitionState},
    open_file::{Encoder, FinishedFile, OpenFile},
    partitioner::{Placer, Places},
};
use crate::{
    file::push_value,
    file_format::{LinesFile, Made, RowMaker, WrittenFormat, end_of, new_file},
    rows::TopicRows,
    runtime::Clock,
};

/// So many rows are encoded before sizes are looked at.
const CHUNK_ROWS: usize = 4096;

/// Writes topics into a bucket.
pub struct S3SinkWriter {
    config: S3Sink,
    connector: String,
    rows: TopicRows,
    clock: Arc<dyn Clock>,
    positions: SinkPositions,
    /// From `open` on.
    session: Option<Session>,
}

/// What is committed with the offsets.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    /// An entry of the manifest.
    entry: u64,
}

/// One opening of the sink.
struct Session {
    config: S3Sink,
    connection: Connection,
    manifest: Manifest,
    makers: BTreeMap<TopicName, (RowMaker, Placer)>,
    partitions: BTreeMap<TopicPartition, Progress>,
    finished: Vec<FinishedFile>,
    rejected: Vec<RejectedRecord>,
    /// Records were handed over as dead letters, which the manifest does not know yet.
    rejected_more: bool,
}

/// A fetched batch while its rows are added to files.
#[derive(Clone, Copy)]
struct Chunk<'a> {
    made: &'a Made,
    /// The time of each row.
    times: &'a [i64],
    batch: &'a FetchedBatch,
    now: Timestamp,
}

/// How far a partition is, beyond what is committed.
#[derive(Default)]
struct Progress {
    /// Behind the last record that was written.
    seen: u64,
    /// By directory.
    files: BTreeMap<String, OpenFile>,
    /// By directory: records below are in finished files.
    done: BTreeMap<String, u64>,
    /// Records below that cannot be taken are dead letters already.
    rejected: u64,
}

impl S3SinkWriter {
    pub(super) fn new(config: S3Sink, connector: &str, rows: TopicRows, clock: Arc<dyn Clock>) -> Self {
        Self { config, connector: connector.to_owned(), rows, clock, positions: SinkPositions::new(), session: None }
    }

    fn prefix(&self) -> String {
        format!("{}/_millstream/{}", self.config.topics_dir, self.connector)
    }

    fn not_open(&self) -> ConnectError {
        let problem = "used before it was opened; this is a bug of the caller".to_owned();
        ConnectError::Position { partition: format!("s3:{}", self.prefix()), problem }
    }

    /// The number of the newest entry that was committed with offsets.
    fn newest_mark(&self, committed: &[SinkPosition]) -> Result<Option<u64>, ConnectError> {
        let mut newest = None;
        for bytes in committed.iter().filter_map(|position| position.mark.as_ref()) {
            let mark: Mark = serde_json::from_slice(bytes).map_err(|error| ConnectError::Position {
                partition: format!("s3:{}", self.prefix()),
                problem: format!("the mark is not readable ({error})"),
            })?;
            newest = newest.max(Some(mark.entry));
        }
        Ok(newest)
    }

    /// Whether the manifest is this connector's and its positions mean the same as now.
    fn check(&self, manifest: &Manifest, known: Option<u64>) -> Result<(), ConnectError> {
        let state = manifest.state();
        if known.is_none() && !state.positions.is_empty() {
            return Err(manifest.refused(
                "a connector of this name has written here before, which is not known to this Millstream; give this one another name, or another 'topics.dir'".to_owned(),
            ));
        }
        let is_split = state.positions.values().flat_map(BTreeMap::values).any(|partition| !partition.done.is_empty());
        if is_split && state.layout != self.config.layout() {
            return Err(manifest.refused(format!(
                "rows went to directories by `{}`, and some of them are further than others; go on with the same partitioner, or begin anew with a connector of another name",
                state.layout
            )));
        }
        Ok(())
    }
}

/// A name for a writer that no other has.
fn writer_name() -> Result<String, ConnectError> {
    let mut bytes = [0_u8; 8];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes).map_err(|_| ConnectError::Input {
        input: "the system's source of randomness".to_owned(),
        problem: "it gives nothing".to_owned(),
    })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Sink for S3SinkWriter {
    fn topics(&self) -> &[TopicName] {
        &self.config.topics
    }

    fn promise(&self) -> Promise {
        Promise::ExactlyOnce
    }

    fn open(&mut self, committed: &[SinkPosition]) -> Result<(), ConnectError> {
        self.session = None;
        let maker = |topic: &TopicName| {
            let maker = RowMaker::new(self.config.format, topic, &self.rows)?;
            let schema = maker.schema().map(AsRef::as_ref);
            let placer = Placer::new(&self.config.partitioner, &self.config.time, schema, topic.as_str())?;
            Ok((topic.clone(), (maker, placer)))
        };
        let makers = self.config.topics.iter().map(maker).collect::<Result<BTreeMap<_, _>, ConnectError>>()?;
        let connection = Connection::open(&self.config.bucket)?;
        let known = self.newest_mark(committed)?;
        let mut manifest = Manifest::load(&connection, &self.prefix(), known)?;
        self.check(&manifest, known)?;
        manifest.claim(&connection, &writer_name()?, &self.config.layout())?;
        manifest.state().leftovers.remove(&connection)?;
        let mut partitions = BTreeMap::new();
        for position in committed {
            let TopicPartition { topic, partition } = &position.partition;
            let saved = manifest.state().positions.get(topic.as_str()).and_then(|of| of.get(&partition.0));
            let saved = saved.cloned().unwrap_or(PartitionState { next: position.next.0, ..PartitionState::default() });
            self.positions.insert(position.partition.clone(), Offset(saved.next));
            let progress =
                Progress { seen: saved.next, done: saved.done, rejected: saved.rejected, ..Progress::default() };
            partitions.insert(position.partition.clone(), progress);
        }
        self.session = Some(Session {
            config: self.config.clone(),
            connection,
            manifest,
            makers,
            partitions,
            finished: Vec::new(),
            rejected: Vec::new(),
            rejected_more: false,
        });
        Ok(())
    }

    fn write(&mut self, partition: &TopicPartition, batch: &FetchedBatch) -> Result<(), ConnectError> {
        let (not_open, now) = (self.not_open(), self.clock.now());
        self.session.as_mut().ok_or(not_open)?.write(partition, batch, now)
    }

    fn settle(&mut self) -> Result<Vec<RejectedRecord>, ConnectError> {
        let not_open = self.not_open();
        Ok(std::mem::take(&mut self.session.as_mut().ok_or(not_open)?.rejected))
    }

    fn flush(&mut self) -> Result<Vec<u8>, ConnectError> {
        let (not_open, now) = (self.not_open(), self.clock.now());
        let session = self.session.as_mut().ok_or(not_open)?;
        session.end_due(now)?;
        if !session.finished.is_empty() || session.rejected_more {
            session.commit()?;
            let committed = &session.manifest.state().positions;
            for (TopicPartition { topic, partition }, next) in &mut self.positions {
                if let Some(state) = committed.get(topic.as_str()).and_then(|of| of.get(&partition.0)) {
                    *next = Offset(state.next);
                }
            }
        }
        let entry = session.manifest.last().expect("a session begins with an entry");
        Ok(serde_json::to_vec(&Mark { entry }).expect("a number is always JSON"))
    }

    fn positions(&self) -> Option<&SinkPositions> {
        Some(&self.positions)
    }

    fn is_due(&mut self, now: Timestamp) -> Result<bool, ConnectError> {
        Ok(self.session.as_ref().is_some_and(|session| session.files().any(|file| session.is_due(file, now))))
    }
}

impl Session {
    fn files(&self) -> impl Iterator<Item = &OpenFile> {
        self.partitions.values().flat_map(|progress| progress.files.values())
    }

    fn is_due(&self, file: &OpenFile, now: Timestamp) -> bool {
        let open_ms = now.0.saturating_sub(file.opened.0);
        self.config.rotation.schedule.is_some_and(|schedule| open_ms >= schedule.as_millis() as i64)
    }

    /// Ends the files that have been open for long enough.
    fn end_due(&mut self, now: Timestamp) -> Result<(), ConnectError> {
        let mut due = Vec::new();
        for (partition, progress) in &self.partitions {
            let names = progress.files.iter().filter(|(_, file)| self.is_due(file, now)).map(|(name, _)| name.clone());
            due.extend(names.map(|name| (partition.clone(), name)));
        }
        due.iter().try_for_each(|(partition, directory)| self.end(partition, directory))
    }

    fn write(&mut self, partition: &TopicPartition, batch: &FetchedBatch, now: Timestamp) -> Result<(), ConnectError> {
        let (maker, placer) = self.makers.get_mut(&partition.topic).expect("records come of the sink's topics");
        let mut made = maker.make(partition, batch)?;
        let places = place(placer, partition, batch, &mut made);
        let progress = self.partitions.entry(partition.clone()).or_default();
        for rejected in std::mem::take(&mut made.rejected) {
            if rejected.offset.0 >= progress.rejected {
                progress.rejected = rejected.offset.0 + 1;
                self.rejected_more = true;
                self.rejected.push(rejected);
            }
        }
        let mut rows_of: Vec<Vec<u32>> = vec![Vec::new(); places.directories.len()];
        for (row, place) in places.of_row.iter().enumerate() {
            let Some(place) = place else { continue };
            let directory = &places.directories[*place as usize];
            if progress.done.get(directory).is_none_or(|done| made.offsets[row] >= *done) {
                rows_of[*place as usize].push(row as u32);
            }
        }
        let chunk = Chunk { made: &made, times: &places.times, batch, now };
        for (directory, rows) in places.directories.iter().zip(rows_of) {
            self.write_rows(partition, directory, &rows, chunk)?;
        }
        let progress = self.partitions.entry(partition.clone()).or_default();
        progress.seen = progress.seen.max(end_of(batch).0);
        self.bound_memory()
    }

    /// Adds rows to the file of their directory, and ends it wherever that is due.
    fn write_rows(
        &mut self,
        partition: &TopicPartition,
        directory: &str,
        rows: &[u32],
        of: Chunk<'_>,
    ) -> Result<(), ConnectError> {
        let rotation = self.config.rotation;
        let mut rest = rows;
        while let Some(first) = rest.first() {
            let is_new = !self.partitions.get(partition).is_some_and(|progress| progress.files.contains_key(directory));
            if is_new {
                self.begin(partition, directory, of.made.offsets[*first as usize], of.times[*first as usize], of.now)?;
            }
            let progress = self.partitions.get_mut(partition).expect("the file was just found there");
            let file = progress.files.get_mut(directory).expect("the file was just found there");
            let room = usize::try_from(rotation.rows - file.entry.rows).unwrap_or(usize::MAX).min(CHUNK_ROWS);
            let count =
                rest.iter().take(room).take_while(|row| !is_late(file, rotation.interval_ms, of.times, **row)).count();
            let (chunk, behind) = rest.split_at(count);
            add(file, chunk, of).map_err(|problem| problem_in(&file.entry.key, problem))?;
            file.put_parts(&self.connection, &mut self.manifest, rotation.part_bytes)?;
            let is_full = file.entry.rows >= rotation.rows || file.bytes() >= rotation.bytes;
            rest = behind;
            if is_full || rest.first().is_some_and(|next| is_late(file, rotation.interval_ms, of.times, *next)) {
                self.end(partition, directory)?;
            }
        }
        Ok(())
    }

    /// Begins a file.
    fn begin(
        &mut self,
        partition: &TopicPartition,
        directory: &str,
        first: u64,
        time: i64,
        now: Timestamp,
    ) -> Result<(), ConnectError> {
        let TopicPartition { topic, partition: number } = partition;
        let (epoch, ending) = (self.manifest.state().epoch, self.config.format.extension());
        let key =
            format!("{}/{topic}/{directory}/{topic}+{number}+{first:016}+{epoch}.{ending}", self.config.topics_dir);
        let encoder = match (self.makers.get(topic).and_then(|(maker, _)| maker.schema()), self.config.format) {
            (Some(schema), format) => new_file(format, schema).map(Encoder::Rows),
            (None, WrittenFormat::Json(compression)) => LinesFile::new(compression).map(Encoder::Lines),
            (None, _) => Err("its columns are not known".to_owned()),
        };
        let encoder = encoder.map_err(|problem| problem_in(&key, problem))?;
        let entry =
            FileEntry { key, topic: topic.to_string(), partition: number.0, first, last: first, rows: 0, bytes: 0 };
        let progress = self.partitions.entry(partition.clone()).or_default();
        progress.files.insert(directory.to_owned(), OpenFile::new(entry, time, now, encoder));
        Ok(())
    }

    /// Ends a file; it is put with the next commit.
    fn end(&mut self, partition: &TopicPartition, directory: &str) -> Result<(), ConnectError> {
        let Some(progress) = self.partitions.get_mut(partition) else { return Ok(()) };
        let Some(file) = progress.files.remove(directory) else { return Ok(()) };
        let key = file.entry.key.clone();
        let finished = file.finish().map_err(|problem| problem_in(&key, problem))?;
        progress.done.insert(directory.to_owned(), finished.entry.last + 1);
        self.finished.push(finished);
        Ok(())
    }

    /// Ends the oldest file while too many are open, and the largest while all hold too much.
    fn bound_memory(&mut self) -> Result<(), ConnectError> {
        let rotation = self.config.rotation;
        loop {
            let mut open: Vec<(&TopicPartition, &String, &OpenFile)> = Vec::new();
            for (partition, progress) in &self.partitions {
                open.extend(progress.files.iter().map(|(directory, file)| (partition, directory, file)));
            }
            let victim = if open.len() > rotation.open_files {
                open.iter().min_by_key(|(_, _, file)| (file.opened, file.entry.first))
            } else if open.iter().map(|(_, _, file)| file.buffered()).sum::<usize>() > rotation.buffer_bytes {
                open.iter().max_by_key(|(_, _, file)| file.buffered())
            } else {
                return Ok(());
            };
            let Some((partition, directory, _)) = victim else { return Ok(()) };
            let (partition, directory) = ((*partition).clone(), (*directory).clone());
            self.end(&partition, &directory)?;
        }
    }

    /// Makes the finished files part of the output, and the positions those behind them.
    fn commit(&mut self) -> Result<(), ConnectError> {
        let finished = std::mem::take(&mut self.finished);
        let files: Vec<FileEntry> = finished.iter().map(|file| file.entry.clone()).collect();
        if !files.is_empty() {
            let announced = files.iter().map(|file| file.key.clone()).collect();
            let entry =
                Entry { kind: EntryKind::Announce, files: Vec::new(), announced, ..self.manifest.state().clone() };
            self.manifest.append(&self.connection, entry)?;
            let (whole, in_parts): (Vec<_>, Vec<_>) = finished.into_iter().partition(|file| file.parts.is_none());
            // The epoch in their names is this writer's alone: what is there already, a repeated call has put.
            self.connection.put_all_new(whole.into_iter().map(|file| (file.entry.key, file.rest)).collect())?;
            in_parts.into_iter().try_for_each(|file| file.complete(&self.connection))?;
        }
        self.manifest.state().leftovers.remove(&self.connection)?;
        let mut entry = self.manifest.state().clone();
        let put: BTreeSet<&String> = files.iter().map(|file| &file.key).collect();
        entry.uploads.retain(|upload| !put.contains(&upload.key));
        entry.kind = EntryKind::Commit;
        entry.announced.clear();
        entry.leftovers = Leftovers::default();
        for (partition, progress) in &mut self.partitions {
            let of = entry.positions.entry(partition.topic.to_string()).or_default();
            of.insert(partition.partition.0, progress.state());
        }
        entry.files = files;
        self.manifest.append(&self.connection, entry)?;
        self.rejected_more = false;
        Ok(())
    }
}

impl Progress {
    /// What the manifest is to say when all finished files are put.
    fn state(&mut self) -> PartitionState {
        let next = self.files.values().map(|file| file.entry.first).min().unwrap_or(self.seen);
        self.done.retain(|_, done| *done > next);
        let rejected = if self.rejected > next { self.rejected } else { 0 };
        PartitionState { next, done: self.done.clone(), rejected }
    }
}

/// Where the rows of a batch go; those that go nowhere are rejected.
fn place(placer: &Placer, partition: &TopicPartition, batch: &FetchedBatch, made: &mut Made) -> Places {
    let timestamps = batch.records.timestamps();
    let times = made.records.iter().map(|record| timestamps.value(*record)).collect();
    let mut places = placer.place(partition, made.columns.as_ref(), times);
    for (row, problem) in std::mem::take(&mut places.rejected) {
        made.rejected.push(RejectedRecord::of(partition, batch, made.records[row], problem));
    }
    made.rejected.sort_by_key(|rejected| rejected.offset);
    places
}

/// Whether a row is too much later than the first of a file to belong to it.
fn is_late(file: &OpenFile, interval_ms: Option<i64>, times: &[i64], row: u32) -> bool {
    interval_ms.is_some_and(|span| times[row as usize].saturating_sub(file.first_time) >= span)
}

/// Adds some rows of a batch to a file.
fn add(file: &mut OpenFile, rows: &[u32], of: Chunk<'_>) -> Result<(), String> {
    let Chunk { made, batch, .. } = of;
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(()) };
    let Some(columns) = &made.columns else {
        return rows.iter().try_for_each(|row| {
            let record = made.records[*row as usize];
            file.add_line(|line| push_value(line, batch.records.get(record).value), made.offsets[*row as usize])
        });
    };
    let is_run = (last - first) as usize + 1 == rows.len();
    let part = if is_run {
        columns.slice(*first as usize, rows.len())
    } else {
        take_record_batch(columns, &UInt32Array::from(rows.to_vec())).map_err(|error| error.to_string())?
    };
    file.add_rows(&part, made.offsets[*last as usize])
}

fn problem_in(key: &str, problem: String) -> ConnectError {
    ConnectError::Input { input: format!("s3 object {key}"), problem }
}
