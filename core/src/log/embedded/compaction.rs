//! Compaction: of the records of a key in sealed segments the last one stays, at its offset.
//!
//! A pass takes the segments that were not compacted yet, oldest first, until their keys fill [`MAX_KEY_BYTES`], and notes
//! the last offset of each key. Then every segment up to there is written anew, without the records that a later one of
//! their key replaces. Records without a key cannot be replaced and go. A tombstone stays until `tombstone_delay` after the
//! first pass that met it; as no older record of its key is left before it by then, nothing comes back when it goes.
//!
//! The offsets of what goes become holes: the headers of the batches that stay still form a chain. The new files are
//! synced, then one durable frame puts them in place of the old, then the old files are removed. The segment being written
//! is never touched, nor looked at.
//!
//! After the log cleaner of Apache Kafka, which bounds its offset map in the same way.

use arrow::array::Array;
use hashbrown::HashMap;

use super::{
    Maintenance, Shared,
    batch::EncodedBatch,
    change::{Change, Place, SegmentMeta},
    compaction_gain::Looks,
    retention::places,
    segment::Limit,
    state::{Segment, partition_tag},
    storage::{LogFile, is_full, is_not_found},
    writer::WriteError,
};
use crate::{
    log::{CleanupPolicy, Compression, FetchedBatch, LogError, TopicConfig},
    record::{RecordRef, Records, RecordsBuilder, TimeSpan, Timestamp},
};

/// Keys that one pass notes, at most (but one segment at least).
const MAX_KEY_BYTES: usize = 64 << 20;
/// A batch of a compacted segment is closed when its records are larger than this.
const BATCH_BYTES: usize = 1 << 20;

type LastOffsets = HashMap<Box<[u8]>, u64, foldhash::fast::RandomState>;

/// Compacts the partitions in which at least half of the sealed bytes are new and enough of the records would go, or a tombstone is due.
pub(super) fn compact(
    shared: &Shared,
    looks: &mut Looks,
    now: Timestamp,
    done: &mut Maintenance,
) -> Result<(), LogError> {
    // Not in the head of the loop: the guard would be held until its end, and a commit waits for it.
    let places = places(&shared.state.read(), |config| config.cleanup != CleanupPolicy::Delete);
    for place in places {
        match compact_partition(shared, looks, place, now, done) {
            // The topic was deleted meanwhile.
            Err(error) if is_not_found(&error) && !shared.state.read().topics.contains_key(&place.topic) => {}
            result => result?,
        }
    }
    Ok(())
}

fn limit(segment: &Segment) -> Limit {
    Limit { length: segment.meta.length, end: segment.meta.end }
}

fn is_due(segment: &Segment, config: &TopicConfig, now: Timestamp) -> bool {
    let delay = TimeSpan::from(config.tombstone_delay);
    segment.meta.tombstones_since.is_some_and(|since| Timestamp(since).plus(delay) <= now)
}

fn compact_partition(
    shared: &Shared,
    looks: &mut Looks,
    place: Place,
    now: Timestamp,
    done: &mut Maintenance,
) -> Result<(), LogError> {
    let (sealed, config, tag) = {
        let state = shared.state.read();
        let Some(topic) = state.topics.get(&place.topic) else { return Ok(()) };
        let segments = &topic.partitions[place.partition as usize].segments;
        let sealed = segments[..segments.len().saturating_sub(1)].to_vec();
        (sealed, topic.config.clone(), partition_tag(topic.incarnation, place.partition))
    };
    let bytes =
        |fresh: bool| -> u64 { sealed.iter().filter(|s| s.meta.compacted != fresh).map(|s| s.meta.length).sum() };
    let (fresh, old) = (bytes(true), bytes(false));
    let due = sealed.iter().any(|segment| is_due(segment, &config, now));
    if !due && (fresh == 0 || fresh < old || !looks.is_worthwhile(place, &sealed, fresh)?) {
        return Ok(());
    }
    let (last, count) = last_offsets(&sealed)?;
    let (mut added, mut removed) = (Vec::new(), Vec::new());
    let mut files = Vec::new();
    let outcome = sealed[..count].iter().try_for_each(|segment| {
        let (base, generation) = (segment.meta.base, segment.meta.generation + 1);
        let path = shared.state.read().segment_path(place, base, generation);
        files.push(path.clone());
        let file = shared.storage.create(&path)?;
        let mut rewrite = Rewrite::new(file, tag, segment, now, &config);
        segment.file.visit(base, limit(segment), |header, read| {
            let batch = if header.count == 0 { None } else { Some(read()?) };
            rewrite.batch(batch.as_ref(), &last, header.end)?;
            Ok(true)
        })?;
        done.records_dropped += rewrite.dropped;
        let meta = rewrite.finish()?;
        added.push(meta);
        removed.push((base, segment.meta.generation));
        Ok(())
    });
    let result = outcome.and_then(|()| {
        let directory = shared.state.read().topic_dir(place.topic);
        shared.storage.sync_dir(&directory)
    });
    let remove = |paths: &[std::path::PathBuf]| paths.iter().for_each(|path| drop(shared.storage.remove_file(path)));
    if let Err(error) = result {
        // Nothing names the new files yet. What cannot be removed now is a stray, removed at the next opening.
        remove(&files);
        let is_damage_or_full = is_full(&error) || matches!(error, LogError::Corrupt { .. });
        if !is_damage_or_full && !is_not_found(&error) {
            shared.writer.lock().poison(error.to_string());
        }
        return Err(error);
    }
    let mut writer = shared.writer.lock();
    let change = {
        let state = shared.state.read();
        let Some(partition) = state.partition(place) else { return Ok(()) };
        Change::Segments { place, start: partition.start, end: partition.end, removed, added }
    };
    if let Err(error) = writer.commit_durably(&shared.state, vec![change]) {
        if let WriteError::Undone(_) = error {
            remove(&files);
        }
        return Err(error.into_inner());
    }
    drop(writer);
    done.segments_compacted += count as u64;
    for segment in &sealed[..count] {
        let after = shared.storage.remove_file(segment.file.path());
        done.bytes_freed += segment.meta.length;
        after?;
    }
    Ok(())
}

/// The last offset of each key in the fresh segments, and how many segments (from the first) it holds for.
fn last_offsets(sealed: &[Segment]) -> Result<(LastOffsets, usize), LogError> {
    let (mut last, mut bytes) = (LastOffsets::default(), 0);
    for (number, segment) in sealed.iter().enumerate() {
        if segment.meta.compacted {
            continue;
        }
        if bytes > MAX_KEY_BYTES {
            return Ok((last, number));
        }
        segment.file.visit(segment.meta.base, limit(segment), |header, read| {
            if header.count > 0 {
                let batch = read()?;
                let keys = batch.records.keys();
                for row in (0..keys.len()).filter(|&row| keys.is_valid(row)) {
                    let offset = batch.offsets.at(row).0;
                    match last.get_mut(keys.value(row)) {
                        Some(known) => *known = offset,
                        None => {
                            bytes += keys.value(row).len() + size_of::<(Box<[u8]>, u64)>();
                            last.insert(keys.value(row).into(), offset);
                        }
                    }
                }
            }
            Ok(true)
        })?;
    }
    Ok((last, sealed.len()))
}

/// A segment being written anew.
struct Rewrite {
    file: LogFile,
    tag: u64,
    compression: Compression,
    drop_tombstones: bool,
    met: i64,
    has_tombstones: bool,
    builder: RecordsBuilder,
    offsets: Vec<u64>,
    /// Where the batch being built starts, and the end of what it has taken in.
    base: u64,
    end: u64,
    meta: SegmentMeta,
    dropped: u64,
}

impl Rewrite {
    fn new(file: LogFile, tag: u64, segment: &Segment, now: Timestamp, config: &TopicConfig) -> Self {
        let base = segment.meta.base;
        let meta = SegmentMeta {
            generation: segment.meta.generation + 1,
            length: 0,
            end: base,
            max_timestamp: i64::MIN,
            compacted: true,
            tombstones_since: None,
            base,
        };
        Self {
            file,
            tag,
            compression: config.compression,
            drop_tombstones: is_due(segment, config, now),
            met: segment.meta.tombstones_since.unwrap_or(now.0),
            has_tombstones: false,
            builder: RecordsBuilder::default(),
            offsets: Vec::new(),
            base,
            end: base,
            meta,
            dropped: 0,
        }
    }

    fn stays(&self, record: RecordRef<'_>, offset: u64, last: &LastOffsets) -> bool {
        let Some(key) = record.key else { return false };
        let is_replaced = last.get(key).is_some_and(|&last| last > offset);
        !is_replaced && (record.value.is_some() || !self.drop_tombstones)
    }

    fn batch(&mut self, batch: Option<&FetchedBatch>, last: &LastOffsets, end: u64) -> Result<(), LogError> {
        for (row, record) in batch.iter().flat_map(|batch| batch.records.iter().enumerate()) {
            let offset = batch.map_or(0, |batch| batch.offsets.at(row).0);
            if !self.stays(record, offset, last) {
                self.dropped += 1;
                continue;
            }
            self.has_tombstones |= record.value.is_none();
            if self.builder.payload_bytes() > BATCH_BYTES {
                self.end = offset;
                self.write()?;
            }
            self.builder.push(record);
            self.offsets.push(offset);
        }
        self.end = end;
        Ok(())
    }

    fn write(&mut self) -> Result<(), LogError> {
        let records: Records = self.builder.finish();
        let offsets = std::mem::take(&mut self.offsets);
        let is_dense = offsets.len() as u64 == self.end - self.base;
        let mut batch = EncodedBatch::new(&records, (!is_dense).then_some(&offsets), self.compression)
            .map_err(|error| super::storage::failed(&self.file.path, "encode")(std::io::Error::other(error)))?;
        self.meta.max_timestamp = self.meta.max_timestamp.max(batch.max_timestamp);
        self.file.write_at(self.meta.length, batch.place(self.tag, self.base, self.end))?;
        self.meta.length += batch.stored_len();
        self.base = self.end;
        self.meta.end = self.end;
        Ok(())
    }

    fn finish(mut self) -> Result<SegmentMeta, LogError> {
        if self.end > self.base {
            self.write()?;
        }
        self.file.sync()?;
        self.meta.tombstones_since = self.has_tombstones.then_some(self.met);
        Ok(self.meta)
    }
}
