//! Opening a queue: who opens it owns it, and finds it as its last commit has left it.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::{
    Queue, QueueConfig, QueueError, StartAt,
    dedup::Dedup,
    frame::{Counts, Frame, FrameError, read_frames},
    span::Span,
    state::{Batch, QueueTime, State, millis},
};
use crate::{
    log::{CleanupPolicy, Log, LogError, SharedLog, TopicConfig, TopicDescription},
    record::{PartitionId, TopicName, TopicPartition},
    runtime::{Clock, SystemClock},
};

/// Size of a segment of the state.
const STATE_SEGMENT_BYTES: u64 = 8 << 20;

impl Queue {
    /// Opens a queue, making it if there is none of that name. Another owner, in this process or another one, is fenced.
    ///
    /// What a queue has given out before stays given out. If the topic was deleted and made again, the queue begins anew, with a warning.
    ///
    /// # Errors
    /// [`QueueError::InvalidSetting`]; [`QueueError::Log`] if the topic is not there; [`QueueError::BadState`].
    pub fn open(log: SharedLog, config: QueueConfig) -> Result<Self, QueueError> {
        Self::open_with_clock(log, config, Arc::new(SystemClock::default()))
    }

    /// The same with a clock of the caller, which tells when leases and delays end.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with_clock(log: SharedLog, config: QueueConfig, clock: Arc<dyn Clock>) -> Result<Self, QueueError> {
        config.check()?;
        let state_topic = config.state_topic()?;
        let topic = log.describe_topic(&config.topic)?;
        let identity = make_topics(log.as_ref(), &config, &state_topic, &topic)?;
        let producer = log.exclusive_producer(state_topic.as_str())?;
        let frames = last_frames(log.as_ref(), &config, &state_topic, &topic)?;
        let clock_at = frames.iter().map(|frame| frame.clock).max().unwrap_or(i64::MIN);
        let state = State {
            spans: spans(log.as_ref(), &config, &topic, &frames)?,
            counts: frames.last().map_or_else(Counts::default, |frame| frame.counts),
            time: QueueTime::starting(clock.as_ref(), clock_at),
            turn: 0,
            keyless: 0,
            batch: Batch::default(),
            filling: 0,
            committed: 0,
            producer: Some(producer),
            ended: None,
            generation: frames.last().map_or(0, |frame| frame.generation),
            // So that the first frame is a whole one.
            changes: config.snapshot_every,
        };
        let dedup = ids(log.as_ref(), &config, &topic, state.time.now(clock.as_ref()))?;
        let queue = Self {
            config,
            state_topic,
            identity,
            incarnation: topic.incarnation,
            log,
            clock,
            state: Mutex::new(state),
            committed: Condvar::new(),
            dedup: Mutex::new(dedup),
            redriving: Mutex::new(()),
        };
        // Where a queue begins is decided once; and a former owner has nothing under way when this is committed.
        queue.settle(queue.lock()?)?;
        Ok(queue)
    }

    /// Removes what a queue has kept: who has it open is fenced, and a queue that is made under its name begins anew. The messages and the
    /// dead letters stay. Nothing happens if there is no such queue.
    ///
    /// # Errors
    /// [`QueueError::InvalidSetting`] for a name that no queue has; those of the log.
    pub fn delete(log: &dyn Log, config: &QueueConfig) -> Result<(), QueueError> {
        let topic = config.state_topic()?;
        drop(log.exclusive_producer(topic.as_str())?);
        match log.delete_topic(&topic) {
            Ok(()) | Err(LogError::UnknownTopic { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Makes the topics that are missing; gives the identity of the queue.
fn make_topics(
    log: &dyn Log,
    config: &QueueConfig,
    state_topic: &TopicName,
    topic: &TopicDescription,
) -> Result<u32, QueueError> {
    let state =
        TopicConfig { cleanup: CleanupPolicy::Compact, segment_bytes: STATE_SEGMENT_BYTES, ..TopicConfig::default() };
    ensure(log, state_topic, &state)?;
    if let Some(dead_letter) = &config.dead_letter {
        ensure(log, dead_letter, &TopicConfig { partitions: topic.config.partitions, ..TopicConfig::default() })?;
    }
    let incarnation = log.describe_topic(state_topic)?.incarnation;
    Ok((0..4).fold(0, |folded, part| folded ^ (incarnation >> (32 * part)) as u32))
}

fn ensure(log: &dyn Log, topic: &TopicName, config: &TopicConfig) -> Result<(), QueueError> {
    match log.describe_topic(topic) {
        Err(LogError::UnknownTopic { .. }) => {}
        found => return Ok(found.map(drop)?),
    }
    match log.create_topic(topic, config) {
        Ok(()) | Err(LogError::TopicExists { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The frames that say how the queue stands; none if it is new, or was a queue of another topic.
fn last_frames(
    log: &dyn Log,
    config: &QueueConfig,
    state_topic: &TopicName,
    topic: &TopicDescription,
) -> Result<Vec<Frame>, QueueError> {
    let partition = TopicPartition::new(state_topic.clone(), PartitionId(0));
    let frames = read_frames(log, &partition).map_err(|error| match error {
        FrameError::Log(error) => error.into(),
        FrameError::Bad(offset, problem) => {
            QueueError::BadState { queue: config.name.clone(), topic: state_topic.clone(), offset, problem }
        }
    })?;
    let incarnation = format!("{:032x}", topic.incarnation);
    if frames.first().is_some_and(|frame| frame.incarnation != incarnation) {
        tracing::warn!(queue = %config.name, topic = %config.topic, "the topic was deleted and made again: the queue begins anew");
        return Ok(Vec::new());
    }
    Ok(frames)
}

fn spans(
    log: &dyn Log,
    config: &QueueConfig,
    topic: &TopicDescription,
    frames: &[Frame],
) -> Result<Vec<Span>, QueueError> {
    let mut spans = Vec::with_capacity(topic.config.partitions as usize);
    for partition in 0..topic.config.partitions {
        let place = TopicPartition::new(config.topic.clone(), PartitionId(partition));
        let start = match config.start_at {
            // A queue that is there knows where it was; what is new in its topic has no past.
            _ if !frames.is_empty() => 0,
            StartAt::Earliest => log.start_offset(&place)?.0,
            StartAt::Latest => log.end_offset(&place)?.0,
        };
        let mut span = Span::starting_at(start);
        let told = frames.iter().flat_map(|frame| &frame.spans).filter(|span| span.partition == partition);
        told.for_each(|frame| span.restore(frame));
        spans.push(span);
    }
    Ok(spans)
}

fn ids(log: &dyn Log, config: &QueueConfig, topic: &TopicDescription, now: i64) -> Result<Dedup, QueueError> {
    let mut dedup = Dedup::default();
    if let Some(window) = config.dedup_window {
        for partition in 0..topic.config.partitions {
            let place = TopicPartition::new(config.topic.clone(), PartitionId(partition));
            dedup.read(log, &place, now.saturating_sub(millis(window)))?;
        }
        dedup.sort();
    }
    Ok(dedup)
}
