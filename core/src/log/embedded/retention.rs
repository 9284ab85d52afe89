//! Retention: whole sealed segments go, oldest first, when they are past the retention by time or by size, or when their
//! readers say that they need them no more.
//!
//! The log start moves in a durable frame before a file is removed, so that a crash between the two leaves a stray file,
//! never a hole. The segment being written stays, however old or large.

use std::sync::Arc;

use super::{
    Maintenance, Shared,
    change::{Change, Place},
    segment::SegmentFile,
    state::{Partition, Segment, State},
    writer::WriteError,
};
use crate::{
    log::{CleanupPolicy, LogError, TopicConfig},
    record::{Offset, TimeSpan, Timestamp},
};

/// Drops what is past its retention at `now`.
pub(super) fn retain(shared: &Shared, now: Timestamp, done: &mut Maintenance) -> Result<(), LogError> {
    let places: Vec<Place> = places(&shared.state.read(), |config| config.cleanup != CleanupPolicy::Compact);
    for place in places {
        drop_front(shared, place, &|config, partition| expired(config, partition, now), done)?;
    }
    Ok(())
}

/// Drops the sealed segments of which every record lies below `before`.
pub(super) fn drop_below(shared: &Shared, place: Place, before: Offset) -> Result<(), LogError> {
    let below = |_: &TopicConfig, partition: &Partition| {
        sealed(partition).iter().take_while(|segment| segment.meta.end <= before.0).count()
    };
    drop_front(shared, place, &below, &mut Maintenance::default())
}

/// Drops as many segments at the front of a partition as `count` says.
fn drop_front(
    shared: &Shared,
    place: Place,
    count: &dyn Fn(&TopicConfig, &Partition) -> usize,
    done: &mut Maintenance,
) -> Result<(), LogError> {
    let mut writer = shared.writer.lock();
    let (change, files) = {
        let state = shared.state.read();
        let Some(topic) = state.topics.get(&place.topic) else { return Ok(()) };
        let partition = &topic.partitions[place.partition as usize];
        let count = count(&topic.config, partition);
        if count == 0 {
            return Ok(());
        }
        let (dropped, kept) = partition.segments.split_at(count);
        let removed = dropped.iter().map(|segment| (segment.meta.base, segment.meta.generation)).collect();
        let files: Vec<Arc<SegmentFile>> = dropped.iter().map(|segment| Arc::clone(&segment.file)).collect();
        done.segments_dropped += count as u64;
        done.bytes_freed += dropped.iter().map(|segment| segment.meta.length).sum::<u64>();
        let start = kept.first().map_or(partition.end, |segment| segment.meta.base);
        (Change::Segments { place, start, end: partition.end, removed, added: Vec::new() }, files)
    };
    writer.commit_durably(&shared.state, vec![change]).map_err(WriteError::into_inner)?;
    drop(writer);
    for file in files {
        shared.storage.remove_file(file.path())?;
    }
    Ok(())
}

/// The segments that are not written any more.
fn sealed(partition: &Partition) -> &[Segment] {
    &partition.segments[..partition.segments.len().saturating_sub(1)]
}

/// The partitions of topics with such a configuration.
pub(super) fn places(state: &State, wanted: impl Fn(&TopicConfig) -> bool) -> Vec<Place> {
    let topics = state.topics.values().filter(|topic| wanted(&topic.config));
    topics
        .flat_map(|topic| (0..topic.config.partitions).map(|partition| Place { topic: topic.id, partition }))
        .collect()
}

/// How many segments at the front may go.
fn expired(config: &TopicConfig, partition: &Partition, now: Timestamp) -> usize {
    let mut total: u64 = partition.segments.iter().map(|segment| segment.meta.length).sum();
    let mut count = 0;
    for segment in sealed(partition) {
        let newest = Timestamp(segment.meta.max_timestamp);
        let too_old = config.retention.is_some_and(|kept| newest.plus(TimeSpan::from(kept)) < now);
        let too_much = config.retention_bytes.is_some_and(|kept| total - segment.meta.length >= kept);
        if !too_old && !too_much {
            break;
        }
        total -= segment.meta.length;
        count += 1;
    }
    count
}
