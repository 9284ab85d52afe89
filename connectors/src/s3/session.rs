//! One opening of the S3 sink: the files that rows go into, and how they become part of the output.
//!
//! How that is exact is argued in the sink's own file. Invariant: a session writes in one epoch, which is in the name of each object that it puts.

use std::collections::{BTreeMap, BTreeSet};

use arrow::{array::UInt32Array, compute::take_record_batch};
use millstream::{
    connect::{ConnectError, RejectedRecord, SinkPosition, SinkPositions},
    log::FetchedBatch,
    record::{Offset, Timestamp, TopicName, TopicPartition},
};

use super::{
    S3Sink,
    connection::Connection,
    manifest::{Entry, EntryKind, FileEntry, Manifest, PartitionState},
    open_file::{Encoder, FinishedFile, OpenFile},
    partitioner::{Placer, Places},
};
use crate::{
    file::push_value,
    file_format::{LinesFile, Made, RowMaker, WrittenFormat, end_of, new_file},
};

/// So many rows are encoded before sizes are looked at.
const CHUNK_ROWS: usize = 4096;

/// What makes rows of each topic, and places them.
pub(super) type Makers = BTreeMap<TopicName, (RowMaker, Placer)>;

/// One opening of the sink.
pub(super) struct Session {
    config: S3Sink,
    connection: Connection,
    manifest: Manifest,
    makers: Makers,
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

impl Session {
    /// Begins where the manifest says that the partitions are, else at what is committed; puts that into `positions`.
    pub(super) fn new(
        config: S3Sink,
        connection: Connection,
        manifest: Manifest,
        makers: Makers,
        committed: &[SinkPosition],
        positions: &mut SinkPositions,
    ) -> Self {
        let mut partitions = BTreeMap::new();
        for position in committed {
            let TopicPartition { topic, partition } = &position.partition;
            let saved = manifest.state().positions.get(topic.as_str()).and_then(|of| of.get(&partition.0));
            let saved = saved.cloned().unwrap_or(PartitionState { next: position.next.0, ..PartitionState::default() });
            positions.insert(position.partition.clone(), Offset(saved.next));
            let progress =
                Progress { seen: saved.next, done: saved.done, rejected: saved.rejected, ..Progress::default() };
            partitions.insert(position.partition.clone(), progress);
        }
        let (finished, rejected) = (Vec::new(), Vec::new());
        Self { config, connection, manifest, makers, partitions, finished, rejected, rejected_more: false }
    }

    /// What is left when it ends.
    pub(super) fn into_manifest(self) -> Manifest {
        self.manifest
    }

    /// What an error means that does not pass: perhaps that another writer has begun. Then what this one had under way is nobody's.
    pub(super) fn explain(&self, error: ConnectError) -> ConnectError {
        if error.is_retryable() {
            return error;
        }
        match self.manifest.replaced(&self.connection) {
            Ok(Some(replaced)) => {
                self.manifest.abandon(&self.connection);
                replaced
            }
            Ok(None) | Err(_) => error,
        }
    }

    pub(super) fn take_rejected(&mut self) -> Vec<RejectedRecord> {
        std::mem::take(&mut self.rejected)
    }

    pub(super) fn is_any_due(&self, now: Timestamp) -> bool {
        self.files().any(|file| self.is_due(file, now))
    }

    /// Makes what is finished part of the output and `positions` those behind it; the number of the newest entry.
    pub(super) fn flush(&mut self, now: Timestamp, positions: &mut SinkPositions) -> Result<u64, ConnectError> {
        self.end_due(now)?;
        if !self.finished.is_empty() || self.rejected_more {
            self.commit()?;
            let committed = &self.manifest.state().positions;
            for (TopicPartition { topic, partition }, next) in positions {
                if let Some(state) = committed.get(topic.as_str()).and_then(|of| of.get(&partition.0)) {
                    *next = Offset(state.next);
                }
            }
        }
        Ok(self.manifest.last().expect("a session begins with an entry"))
    }

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

    pub(super) fn write(
        &mut self,
        partition: &TopicPartition,
        batch: &FetchedBatch,
        now: Timestamp,
    ) -> Result<(), ConnectError> {
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
        let mut entry = self.manifest.state().clone();
        let put: BTreeSet<&String> = files.iter().map(|file| &file.key).collect();
        entry.uploads.retain(|upload| !put.contains(&upload.key));
        entry.kind = EntryKind::Commit;
        entry.announced.clear();
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
