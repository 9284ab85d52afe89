//! The writer: appends batches to segments, then the frame that commits them.
//!
//! One at a time, under its lock. The order of one group of transactions is: check, append the batches, sync them (and
//! the directories of new segments), write the frame, sync it, apply its changes to the [`State`] in one step. Nothing
//! that a reader sees has not gone all the way.
//!
//! What fails before the frame is written has committed nothing: if the disk is full and what was appended can be cut off
//! again, the transactions are rejected and the log works on. Every other failure poisons the writer: it stops for good,
//! without another try, because after a failed sync the operating system may have forgotten what it did not write.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
    sync::Arc,
};

use parking_lot::RwLock;

use super::{
    Durability, EmbeddedConfig,
    batch::EncodedBatch,
    change::{Change, Place},
    commit_log::CommitLog,
    state::{State, partition_tag},
    storage::{LogFile, Storage, is_full},
};
use crate::log::LogError;

/// The first allocation of a segment, and the largest step by which it grows.
const FIRST_ALLOCATION: u64 = 256 << 10;
const LARGEST_STEP: u64 = 16 << 20;

/// Batches for one partition, encoded, in order.
pub(super) struct Staged {
    pub(super) place: Place,
    pub(super) batches: Vec<EncodedBatch>,
}

/// Why a frame did not become durable.
#[derive(Debug)]
pub(super) enum WriteError {
    /// Nothing was committed and the log works on.
    Undone(LogError),
    /// The writer is poisoned.
    Stopped(LogError),
}

impl WriteError {
    pub(super) fn into_inner(self) -> LogError {
        match self {
            Self::Undone(error) | Self::Stopped(error) => error,
        }
    }
}

/// The segment of a partition that is being written.
struct Active {
    base: u64,
    generation: u32,
    file: LogFile,
    allocated: u64,
}

/// What a group has appended to a partition so far.
struct Appended {
    /// Extents in order, the last one growing.
    extents: Vec<Extent>,
    /// The committed length of the segment that was active before, if there was one.
    before: Option<(PathBuf, u64)>,
}

#[derive(Clone)]
struct Extent {
    base: u64,
    generation: u32,
    path: PathBuf,
    from: u64,
    to: u64,
    end: u64,
    max_timestamp: i64,
}

/// The writing half of the log.
pub(super) struct Writer {
    storage: Arc<Storage>,
    config: EmbeddedConfig,
    pub(super) log: CommitLog,
    active: HashMap<Place, Active>,
    poison: Option<String>,
    dirty_files: BTreeMap<PathBuf, LogFile>,
    dirty_dirs: BTreeSet<PathBuf>,
}

impl Writer {
    pub(super) fn new(storage: Arc<Storage>, config: EmbeddedConfig, log: CommitLog) -> Self {
        Self {
            storage,
            config,
            log,
            active: HashMap::new(),
            poison: None,
            dirty_files: BTreeMap::new(),
            dirty_dirs: BTreeSet::new(),
        }
    }

    /// Refuses work after the first failure.
    pub(super) fn check(&self) -> Result<(), LogError> {
        match &self.poison {
            Some(cause) => Err(LogError::Poisoned { cause: cause.clone() }),
            None => Ok(()),
        }
    }

    /// Stops the writer for good.
    pub(super) fn poison(&mut self, cause: String) {
        if self.poison.is_none() {
            tracing::error!(%cause, "the log has stopped writing");
            self.poison = Some(cause);
        }
    }

    fn stop(&mut self, error: LogError) -> WriteError {
        self.poison(error.to_string());
        WriteError::Stopped(error)
    }

    /// Ends the writer without a fault.
    pub(super) fn close(&mut self) {
        self.poison.get_or_insert_with(|| "it was closed".to_owned());
        self.active.clear();
    }

    /// Appends batches and commits them with `changes`, in one frame. For each item of `staged`: the first offset and the
    /// end offset of its partition after it.
    pub(super) fn commit(
        &mut self,
        state: &RwLock<State>,
        staged: &mut [Staged],
        changes: Vec<Change>,
    ) -> Result<Vec<(u64, u64)>, WriteError> {
        let mut appended = BTreeMap::new();
        let mut offsets = Vec::with_capacity(staged.len());
        for item in staged {
            match self.append(&state.read(), item, &mut appended) {
                Ok(range) => offsets.push(range),
                Err(error) => return Err(self.undo(appended, error)),
            }
        }
        let mut all: Vec<Change> = Vec::with_capacity(appended.len() + changes.len());
        for (place, done) in &appended {
            for extent in &done.extents {
                let Extent { base, generation, from, to, end, max_timestamp, .. } = *extent;
                all.push(Change::Extent { place: *place, base, generation, from, to, end, max_timestamp });
            }
        }
        all.extend(changes);
        let synced = self.config.durability == Durability::Fsync;
        let frame = self.log.encode(synced, &all);
        if !self.log.has_room_for(&frame)
            && let Err(error) = self.roll(&state.read(), frame.len() as u64)
        {
            return Err(self.undo(appended, error));
        }
        if synced && let Err(error) = self.flush() {
            return Err(self.stop(error));
        }
        self.write_frame(state, synced, &all)?;
        Ok(offsets)
    }

    /// Commits changes that are always made durable, with everything before them: those after which files are removed.
    pub(super) fn commit_durably(&mut self, state: &RwLock<State>, changes: Vec<Change>) -> Result<(), WriteError> {
        self.check().map_err(WriteError::Undone)?;
        let frame = self.log.encode(true, &changes);
        if let Err(error) = self.flush().and_then(|()| self.log.sync()) {
            return Err(self.stop(error));
        }
        if !self.log.has_room_for(&frame)
            && let Err(error) = self.roll(&state.read(), frame.len() as u64)
        {
            return Err(self.undo(BTreeMap::new(), error));
        }
        self.write_frame(state, true, &changes)
    }

    fn write_frame(&mut self, state: &RwLock<State>, synced: bool, changes: &[Change]) -> Result<(), WriteError> {
        let frame = self.log.encode(synced, changes);
        let written = self.log.append(&frame).and_then(|()| if synced { self.log.sync() } else { Ok(()) });
        if let Err(error) = written {
            return Err(self.stop(error));
        }
        let mut state = state.write();
        for change in changes {
            state.apply(change).expect("a change fits the state it was made from");
        }
        Ok(())
    }

    /// Writes the batches of one item after everything committed and everything this group has appended before.
    fn append(
        &mut self,
        state: &State,
        item: &mut Staged,
        appended: &mut BTreeMap<Place, Appended>,
    ) -> Result<(u64, u64), LogError> {
        let place = item.place;
        let topic = &state.topics[&place.topic];
        let partition = &topic.partitions[place.partition as usize];
        let tag = partition_tag(topic.incarnation, place.partition);
        let done = appended.entry(place).or_insert_with(|| Appended {
            extents: Vec::new(),
            before: partition.segments.last().map(|last| (last.file.path().to_owned(), last.meta.length)),
        });
        let first = done.extents.last().map_or(partition.end, |extent| extent.end);
        let mut end = first;
        for batch in &mut item.batches {
            let length = batch.stored_len();
            let (open, at) = match (done.extents.last(), partition.segments.last()) {
                (Some(extent), _) => (Some((extent.base, extent.generation, extent.path.clone())), extent.to),
                (None, Some(last)) => {
                    (Some((last.meta.base, last.meta.generation, last.file.path().to_owned())), last.meta.length)
                }
                (None, None) => (None, 0),
            };
            let fresh = match &open {
                Some(_) => at > 0 && at + length > topic.config.segment_bytes,
                None => true,
            };
            if fresh {
                let path = state.segment_path(place, end, 0);
                done.extents.push(Extent {
                    base: end,
                    generation: 0,
                    path: path.clone(),
                    from: 0,
                    to: 0,
                    end,
                    max_timestamp: i64::MIN,
                });
                let file = self.storage.create(&path)?;
                self.dirty_dirs.insert(state.topic_dir(place.topic));
                self.active.insert(place, Active { base: end, generation: 0, file, allocated: 0 });
            } else if let (None, Some((base, generation, path))) = (done.extents.last(), open) {
                done.extents.push(Extent { base, generation, path, from: at, to: at, end, max_timestamp: i64::MIN });
            }
            let extent = done.extents.last_mut().expect("an extent was opened above");
            let active = match self.active.get_mut(&place) {
                Some(active) if (active.base, active.generation) == (extent.base, extent.generation) => active,
                _ => {
                    let file = self.storage.open(&extent.path)?;
                    let allocated = file.size()?;
                    let (base, generation) = (extent.base, extent.generation);
                    self.active.insert(place, Active { base, generation, file, allocated });
                    self.active.get_mut(&place).expect("inserted just now")
                }
            };
            let wanted = extent.to + length;
            if wanted > active.allocated {
                let step = active.allocated.clamp(FIRST_ALLOCATION, LARGEST_STEP);
                let target = (active.allocated + step).min(topic.config.segment_bytes).max(wanted);
                active.file.preallocate(target)?;
                active.allocated = target;
            }
            self.dirty_files.entry(extent.path.clone()).or_insert_with(|| active.file.clone());
            let next = end + u64::from(batch.count);
            let max_timestamp = batch.max_timestamp;
            active.file.write_at(extent.to, batch.place(tag, end, next))?;
            extent.to += length;
            extent.end = next;
            extent.max_timestamp = extent.max_timestamp.max(max_timestamp);
            end = next;
        }
        if done.extents.is_empty() {
            appended.remove(&place);
        }
        Ok((first, end))
    }

    /// Takes back what was appended, if the cause is a full disk; stops otherwise.
    fn undo(&mut self, appended: BTreeMap<Place, Appended>, error: LogError) -> WriteError {
        if self.poison.is_some() || !is_full(&error) {
            return self.stop(error);
        }
        for (place, done) in appended {
            let active = self.active.remove(&place);
            for extent in &done.extents {
                let undone = match &done.before {
                    Some((path, length)) if *path == extent.path => match &active {
                        Some(active) if *active.file.path == **path => active.file.truncate(*length),
                        _ => self.storage.open(path).and_then(|file| file.truncate(*length)),
                    },
                    _ => {
                        self.dirty_files.remove(&extent.path);
                        match self.storage.remove_file(&extent.path) {
                            Err(error) if super::storage::is_not_found(&error) => Ok(()),
                            result => result,
                        }
                    }
                };
                if let Err(second) = undone {
                    return self.stop(second);
                }
            }
        }
        tracing::warn!(%error, "the disk is full: a commit was taken back");
        WriteError::Undone(error)
    }

    /// The files that hold something which may not be durable.
    pub(super) fn dirty(&self) -> Vec<LogFile> {
        self.dirty_files.values().cloned().collect()
    }

    /// Makes everything appended so far durable.
    fn flush(&mut self) -> Result<(), LogError> {
        for file in std::mem::take(&mut self.dirty_files).into_values() {
            file.sync()?;
        }
        for directory in std::mem::take(&mut self.dirty_dirs) {
            self.storage.sync_dir(&directory)?;
        }
        Ok(())
    }

    /// Makes everything committed so far durable, whatever the setting.
    pub(super) fn sync_all(&mut self) -> Result<(), LogError> {
        self.flush()?;
        self.log.sync()
    }

    /// Goes on in a new commit log with room for a frame of `needed` bytes.
    fn roll(&mut self, state: &State, needed: u64) -> Result<(), LogError> {
        // The snapshot claims that everything it covers is durable.
        if let Err(error) = self.sync_all() {
            self.poison(error.to_string());
            return Err(error);
        }
        let room = self.config.commit_log_bytes.max(2 * needed);
        let next = self.log.successor(&state.snapshot(), room)?;
        let old = std::mem::replace(&mut self.log, next);
        old.remove()
    }

    /// Forgets the open file of partitions that are gone.
    pub(super) fn forget_topic(&mut self, topic: u64, directory: &std::path::Path) {
        self.active.retain(|place, _| place.topic != topic);
        self.dirty_files.retain(|path, _| !path.starts_with(directory));
        self.dirty_dirs.remove(directory);
    }
}
