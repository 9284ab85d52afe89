//! Opening a data directory: from whatever a crash has left to a state that is durable and is a prefix of what was
//! committed, with everything that was acknowledged.
//!
//! 1. Take the lock; refuse another version before anything is touched.
//! 2. Read the commit log of the highest number. Frames that were not written after a sync (durability `os`) count as
//!    long as the records they cover are whole on disk; the first that does not hold ends the log.
//! 3. Check that every segment is there and at least as long as committed. A shorter one is damage.
//! 4. Unless the log was closed in order: cut off what is not covered, remove what belongs to nothing, and sync all that
//!    frames since the snapshot cover, so that nothing is served that a power cut could still take away.
//!
//! Every step can be interrupted and done again. Opening reads no records beyond those of step 2: batches are checked when
//! they are first read.

use std::{
    collections::{BTreeSet, HashSet},
    hash::{BuildHasher, RandomState},
    path::Path,
    sync::Arc,
};

use super::{
    EmbeddedConfig,
    change::{Change, Place},
    commit_log::{ClosedNote, CommitLog, Frame, VERSION, file_number},
    disk::{Disk, Lock},
    segment::Limit,
    state::State,
    storage::{Storage, corrupt, failed, is_not_found},
    writer::Writer,
};
use crate::log::LogError;

pub(super) const CLOSED: &str = "CLOSED";
const FORMAT: &str = "FORMAT";
const LOCK: &str = "LOCK";

/// What opening brings.
pub(super) struct Opened {
    pub(super) storage: Arc<Storage>,
    pub(super) lock: Box<dyn std::any::Any + Send + Sync>,
    pub(super) state: State,
    pub(super) writer: Writer,
}

/// A number that no other call returns, here or on another machine: the hash keys of the standard library come from the
/// operating system's source of randomness.
pub(super) fn random_identity() -> u128 {
    let half = || RandomState::new().hash_one(std::process::id());
    u128::from(half()) << 64 | u128::from(half())
}

pub(super) fn open(disk: Arc<dyn Disk>, directory: &Path, config: EmbeddedConfig) -> Result<Opened, LogError> {
    let storage = Storage::new(disk);
    storage.create_dir(directory)?;
    let lock = match storage.disk.lock(&directory.join(LOCK)).map_err(failed(&directory.join(LOCK), "lock"))? {
        Lock::Held(lock) => lock,
        Lock::TakenBy(holder) => return Err(LogError::InUse { directory: directory.into(), holder }),
    };
    let (commits, topics) = (directory.join("commit"), directory.join("topics"));
    let stamped = check_format(&storage, directory)?;
    let mut numbers: Vec<u64> = storage.list(&commits)?.iter().filter_map(|name| file_number(name)).collect();
    numbers.sort_unstable();
    let note = storage.read(&directory.join(CLOSED)).ok().and_then(|bytes| ClosedNote::decode(&bytes));
    let Some(&number) = numbers.last() else {
        if stamped || note.is_some() || !storage.list(&topics)?.is_empty() {
            return Err(corrupt(&commits, 0, "the commit log is missing"));
        }
        return make(storage, lock, directory, config);
    };
    let (mut log, frames, torn) = CommitLog::read(&storage, &commits, number)?;
    if let Some(note) = note {
        if note.number > number {
            return Err(corrupt(&commits, 0, format!("commit log {} is missing", note.number)));
        }
        if note.number == number && note != ClosedNote::of(&log) {
            let problem = format!("the log was closed at byte {}, but ends here", note.position);
            return Err(corrupt(log.path(), log.position, problem));
        }
    }
    let closed_in_order = note.is_some_and(|note| note.number == number);

    let kept = if closed_in_order { frames.len() } else { whole_frames(&storage, &topics, log.path(), &frames)? };
    let state = replay(&storage, &topics, log.path(), &frames[..kept])?;
    check_segments(&state)?;
    if !closed_in_order {
        if kept < frames.len() {
            log.cut(frames[kept].position, log.next_sequence - (frames.len() - kept) as u64)?;
        } else if torn {
            log.cut(log.position, log.next_sequence)?;
        }
        log.sync()?;
        settle(&storage, directory, &state, &frames[..kept])?;
    }
    remove_strays(&storage, directory, &state, number)?;
    if !stamped {
        stamp(&storage, directory)?;
    }
    remove_note(&storage, directory)?;
    let writer = Writer::new(Arc::clone(&storage), config, log);
    Ok(Opened { storage, lock, state, writer })
}

/// Whether the directory has a stamp; refuses one of another version.
fn check_format(storage: &Arc<Storage>, directory: &Path) -> Result<bool, LogError> {
    let path = directory.join(FORMAT);
    let bytes = match storage.read(&path) {
        Ok(bytes) => bytes,
        Err(error) if is_not_found(&error) => return Ok(false),
        Err(error) => return Err(error),
    };
    let text = String::from_utf8_lossy(&bytes);
    let version = text.strip_prefix("millstream log format ").and_then(|rest| rest.trim_end().parse::<u32>().ok());
    match version {
        Some(VERSION) => Ok(true),
        Some(found) => Err(LogError::UnknownVersion { file: path, found, known: VERSION }),
        None => Err(corrupt(
            &path,
            0,
            format!("this is not a format stamp; version {VERSION} is `{}`", stamp_text().trim_end()),
        )),
    }
}

fn stamp_text() -> String {
    format!("millstream log format {VERSION}\n")
}

fn stamp(storage: &Arc<Storage>, directory: &Path) -> Result<(), LogError> {
    storage.replace(directory, FORMAT, stamp_text().as_bytes())
}

/// Makes an empty log. The stamp comes last: a directory with a stamp has a commit log.
fn make(
    storage: Arc<Storage>,
    lock: Box<dyn std::any::Any + Send + Sync>,
    directory: &Path,
    config: EmbeddedConfig,
) -> Result<Opened, LogError> {
    let (commits, topics) = (directory.join("commit"), directory.join("topics"));
    storage.create_dir(&commits)?;
    storage.create_dir(&topics)?;
    storage.sync_dir(directory)?;
    sync_above(&storage, directory)?;
    let state = State::new(Arc::clone(&storage), topics);
    let head = (1, random_identity(), 0);
    let log = CommitLog::create(&storage, &commits, head, &state.snapshot(), config.commit_log_bytes)?;
    stamp(&storage, directory)?;
    let writer = Writer::new(Arc::clone(&storage), config, log);
    Ok(Opened { storage, lock, state, writer })
}

/// Makes the names on the way to the directory durable: any of them may have been made with it.
fn sync_above(storage: &Arc<Storage>, directory: &Path) -> Result<(), LogError> {
    for above in directory.ancestors().skip(1) {
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        match storage.sync_dir(above) {
            // Where we may not even look we have made nothing.
            Err(LogError::Io { source, .. }) if source.kind() == std::io::ErrorKind::PermissionDenied => break,
            result => result?,
        }
    }
    Ok(())
}

fn apply(state: &mut State, file: &Path, frame: &Frame) -> Result<(), LogError> {
    for change in &frame.changes {
        state.apply(change).map_err(|problem| corrupt(file, frame.position, problem))?;
    }
    Ok(())
}

fn replay(storage: &Arc<Storage>, topics: &Path, file: &Path, frames: &[Frame]) -> Result<State, LogError> {
    let mut state = State::new(Arc::clone(storage), topics.into());
    for frame in frames {
        apply(&mut state, file, frame)?;
    }
    Ok(state)
}

/// How many frames hold. Those up to the last that was written after a sync do; each after it holds if the records it
/// covers are all there.
fn whole_frames(storage: &Arc<Storage>, topics: &Path, file: &Path, frames: &[Frame]) -> Result<usize, LogError> {
    let sure = frames.iter().rposition(|frame| frame.synced).map_or(0, |last| last + 1);
    if sure == frames.len() {
        return Ok(sure);
    }
    let mut state = replay(storage, topics, file, &frames[..sure])?;
    for (number, frame) in frames.iter().enumerate().skip(sure) {
        let before: Vec<u64> = frame
            .changes
            .iter()
            .map(|change| match change {
                Change::Extent { place, .. } => state.partition(*place).map_or(0, |partition| partition.end),
                _ => 0,
            })
            .collect();
        let mut starts = std::collections::HashMap::new();
        apply(&mut state, file, frame)?;
        for (change, before) in frame.changes.iter().zip(before) {
            let Change::Extent { place, base, from, to, end, .. } = change else { continue };
            let first = starts.insert(*place, *end).unwrap_or(before);
            let Some(segment) = state.partition(*place).and_then(|p| p.segments.iter().find(|s| s.meta.base == *base))
            else {
                return Err(corrupt(file, frame.position, "an extent of no segment"));
            };
            if let Err(error) = segment.file.verify_from(*from, first, Limit { length: *to, end: *end }) {
                if !matches!(error, LogError::Corrupt { .. }) && !is_not_found(&error) {
                    return Err(error);
                }
                tracing::warn!(%error, "records that were never synced are gone: the log ends before them");
                return Ok(number);
            }
        }
    }
    Ok(frames.len())
}

/// Every segment must be there, as long as committed.
fn check_segments(state: &State) -> Result<(), LogError> {
    for topic in state.topics.values() {
        for segment in topic.partitions.iter().flat_map(|partition| &partition.segments) {
            let size = match segment.file.size() {
                Ok(size) => size,
                Err(error) if is_not_found(&error) => {
                    return Err(corrupt(segment.file.path(), 0, "the file is missing"));
                }
                Err(error) => return Err(error),
            };
            segment.file.release();
            if size < segment.meta.length {
                let problem = format!("the file ends here, but {} bytes are committed", segment.meta.length);
                return Err(corrupt(segment.file.path(), size, problem));
            }
        }
    }
    Ok(())
}

/// Cuts partitions to what is covered, and makes durable what frames since the snapshot cover.
fn settle(storage: &Arc<Storage>, directory: &Path, state: &State, frames: &[Frame]) -> Result<(), LogError> {
    let mut touched: HashSet<Place> = HashSet::new();
    for change in frames.iter().skip(1).flat_map(|frame| &frame.changes) {
        if let Change::Extent { place, .. } | Change::Segments { place, .. } = change {
            touched.insert(*place);
        }
    }
    let mut directories = BTreeSet::new();
    for topic in state.topics.values() {
        for (number, partition) in topic.partitions.iter().enumerate() {
            let touched = touched.contains(&Place { topic: topic.id, partition: number as u32 });
            let active = partition.segments.len().saturating_sub(1);
            for (i, segment) in partition.segments.iter().enumerate() {
                if touched || i == active {
                    segment.file.settle(segment.meta.length, i == active)?;
                    segment.file.release();
                    directories.insert(state.topic_dir(topic.id));
                }
            }
        }
    }
    for path in [directory.join("commit"), directory.join("topics"), directory.to_owned()].iter().chain(&directories) {
        storage.sync_dir(path)?;
    }
    Ok(())
}

/// Removes files of ours that belong to nothing: those of a commit that did not take place, and those that were to be
/// removed after one that did.
fn remove_strays(storage: &Arc<Storage>, directory: &Path, state: &State, number: u64) -> Result<(), LogError> {
    let (commits, topics) = (directory.join("commit"), directory.join("topics"));
    for name in storage.list(&commits)? {
        if name.ends_with(".tmp") || file_number(&name).is_some_and(|n| n < number) {
            storage.remove_file(&commits.join(name))?;
        }
    }
    for name in storage.list(directory)? {
        if [FORMAT, CLOSED].iter().any(|kept| name == format!("{kept}.tmp")) {
            storage.remove_file(&directory.join(name))?;
        }
    }
    for name in storage.list(&topics)? {
        let Ok(id) = name.parse::<u64>() else { continue };
        let Some(topic) = state.topics.get(&id) else {
            storage.remove_dir(&topics.join(name))?;
            continue;
        };
        let kept: HashSet<&Path> = topic
            .partitions
            .iter()
            .flat_map(|partition| &partition.segments)
            .map(|segment| segment.file.path())
            .collect();
        for name in storage.list(&topics.join(&name))? {
            let path = state.topic_dir(id).join(&name);
            if name.ends_with(".segment") && !kept.contains(path.as_path()) {
                storage.remove_file(&path)?;
            }
        }
    }
    Ok(())
}

fn remove_note(storage: &Arc<Storage>, directory: &Path) -> Result<(), LogError> {
    match storage.remove_file(&directory.join(CLOSED)) {
        Ok(()) => storage.sync_dir(directory),
        Err(error) if is_not_found(&error) => Ok(()),
        Err(error) => Err(error),
    }
}
