//! All cursors of a process, and who gets which.
//!
//! Readers have no identity: one asks for what lies at a position, and gets the cursor that stands there, or a new one. While it reads, the
//! cursor is taken out, so that nobody else moves it. A client of the library reads a partition at one place only; a
//! second place in the same partition is read by a second client (a *lane*), and so on.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{
    clock,
    clock::Deadline,
    cluster::{ASK, Cluster},
    cursor::Cursor,
    native::{Client, Code, Failure, Role, Watermarks, high_watermark, watermarks},
    topics::Topics,
};
use crate::{
    log::{Fetched, FetchedBatch, LogError},
    record::{Offset, Timestamp, TopicName, TopicPartition},
};

/// A cursor that nobody has used for so long is stopped.
const IDLE: Duration = Duration::from_secs(60);

/// A cursor that nobody has used for so long makes room for a new one in its partition.
const SPARE: Duration = Duration::from_secs(10);

/// How often idle cursors are looked for.
const SWEEP: Duration = Duration::from_secs(10);

/// Most places in one partition. One more, and the one used least lately is stopped.
const MOST_LANES: usize = 8;

/// How long a position past the end is looked at again: after a change of leaders the end may lag for a moment.
const PAST_END: Duration = Duration::from_secs(1);

/// How long open transactions are waited for where all records up to the end are to be seen.
const UNDECIDED: Duration = Duration::from_secs(30);

/// The cursors of a process.
pub(super) struct Readers {
    cluster: Arc<Cluster>,
    topics: Arc<Topics>,
    state: Mutex<State>,
}

struct State {
    /// Those that nobody is reading with now.
    resting: HashMap<TopicPartition, Vec<Cursor>>,
    lanes: Vec<Lane>,
    swept: Instant,
}

/// A client, and the partitions that it reads.
struct Lane {
    client: Arc<Client>,
    partitions: HashSet<TopicPartition>,
}

impl State {
    /// Takes cursors out that are to be stopped: those that nobody used for `idle`.
    fn take_idle(&mut self, idle: Duration) -> Vec<Cursor> {
        let now = clock::now();
        let is_idle = |cursor: &mut Cursor| now.duration_since(cursor.used) >= idle;
        let mut taken = Vec::new();
        self.resting.retain(|_, cursors| {
            taken.extend(cursors.extract_if(.., is_idle));
            !cursors.is_empty()
        });
        taken
    }

    fn release(&mut self, lane: usize, partition: &TopicPartition) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.partitions.remove(partition);
        }
    }
}

impl Readers {
    /// Of this cluster. Its own client asks only: a question would wait behind a fetch that waits for something new.
    pub(super) fn new(cluster: Arc<Cluster>, topics: Arc<Topics>) -> Self {
        let state = State { resting: HashMap::new(), lanes: Vec::new(), swept: clock::now() };
        Self { cluster, topics, state: Mutex::new(state) }
    }

    /// Reads on from `from`.
    pub(super) fn fetch(
        &self,
        partition: &TopicPartition,
        from: Offset,
        max_bytes: usize,
    ) -> Result<Fetched, LogError> {
        self.sweep();
        let mut cursor = match self.take(partition, from) {
            Some(cursor) => cursor,
            None => self.start(partition, from)?,
        };
        match cursor.fetch(max_bytes) {
            Ok(fetched) => {
                self.cluster.counters.fetched(&fetched);
                self.state.lock().resting.entry(partition.clone()).or_default().push(cursor);
                Ok(fetched)
            }
            Err(failure) => {
                self.stop(partition, cursor);
                Err(self.error(partition, from, &failure))
            }
        }
    }

    /// The first record from `from` on with this timestamp or a later one. The brokers find places by time among all that they hold,
    /// and the marks of transactions have the time at which they were made: the record may lie far behind the place.
    pub(super) fn first_at(
        &self,
        partition: &TopicPartition,
        from: Offset,
        timestamp: Timestamp,
    ) -> Result<Option<Offset>, LogError> {
        let end = self.end(partition)?;
        let deadline = Deadline::after(UNDECIDED);
        let mut next = from;
        while next < end {
            let fetched = self.fetch(partition, next, 1 << 20)?;
            for FetchedBatch { records, offsets } in &fetched.batches {
                let times = records.timestamps().values();
                if let Some(row) = times.iter().position(|time| *time >= timestamp.millis()) {
                    return Ok(Some(offsets.at(row)));
                }
            }
            if fetched.batches.is_empty() && fetched.next == next {
                if deadline.is_over() {
                    break;
                }
                thread::sleep(Duration::from_millis(5));
            }
            next = fetched.next;
        }
        Ok(None)
    }

    /// Stops everything that reads a topic.
    pub(super) fn forget(&self, topic: &TopicName) {
        let mut stopped = Vec::new();
        self.state.lock().resting.retain(|partition, cursors| {
            let is_of_topic = partition.topic == *topic;
            if is_of_topic {
                stopped.push((partition.clone(), std::mem::take(cursors)));
            }
            !is_of_topic
        });
        for (partition, cursors) in stopped {
            cursors.into_iter().for_each(|cursor| self.stop(&partition, cursor));
        }
    }

    fn take(&self, partition: &TopicPartition, from: Offset) -> Option<Cursor> {
        let mut state = self.state.lock();
        let cursors = state.resting.get_mut(partition)?;
        let at = cursors.iter().position(|cursor| cursor.position.unsigned_abs() == from.0)?;
        Some(cursors.swap_remove(at))
    }

    /// A new cursor, if the position is within the partition.
    fn start(&self, partition: &TopicPartition, from: Offset) -> Result<Cursor, LogError> {
        self.topics.check(partition)?;
        let marks = self.marks_around(partition, from)?;
        self.make_room(partition);
        let (lane, client) = self.lane(partition)?;
        let position = i64::try_from(from.0).unwrap_or(i64::MAX);
        Cursor::start(&client, lane, partition, position, marks, &self.cluster.wake).map_err(|failure| {
            self.state.lock().release(lane, partition);
            self.error(partition, from, &failure)
        })
    }

    /// The marks of a partition, or the error that a position is not within it.
    fn marks_around(&self, partition: &TopicPartition, from: Offset) -> Result<Watermarks, LogError> {
        let deadline = Deadline::after(PAST_END);
        loop {
            let marks = self.marks(partition)?;
            let start = Offset(marks.start.unsigned_abs());
            if from >= start && from.0 <= marks.stable.unsigned_abs() {
                return Ok(marks);
            }
            // Open transactions lie between what can be read and the end.
            let end = self.end(partition)?;
            match from {
                from if from >= start && from <= end => return Ok(marks),
                from if from > end && !deadline.is_over() => thread::sleep(Duration::from_millis(100)),
                wanted => return Err(LogError::OffsetOutOfRange { partition: partition.clone(), wanted, start, end }),
            }
        }
    }

    /// Start of a partition, and up to where it can be read.
    pub(super) fn marks(&self, partition: &TopicPartition) -> Result<Watermarks, LogError> {
        self.ask_leader(partition, || watermarks(&self.cluster.client, partition, ASK))
    }

    /// The end of a partition: behind everything that is in it, decided or not. A commit that is done lies below it, even while the
    /// brokers are still about to show it to readers.
    pub(super) fn end(&self, partition: &TopicPartition) -> Result<Offset, LogError> {
        let end = self.ask_leader(partition, || high_watermark(&self.cluster.client, partition, ASK))?;
        Ok(Offset(end.unsigned_abs()))
    }

    fn ask_leader<T>(
        &self,
        partition: &TopicPartition,
        question: impl Fn() -> Result<T, Failure>,
    ) -> Result<T, LogError> {
        self.cluster.ask_for(Duration::from_secs(30), question).map_err(|failure| {
            self.topics.forget(&partition.topic);
            match self.topics.check(partition) {
                Err(error) => error,
                Ok(()) => self.cluster.error(format!("ask for the ends of {partition}"), &failure),
            }
        })
    }

    /// Stops a cursor of the partition that nobody has used lately, or, if there are too many, the one used least lately.
    fn make_room(&self, partition: &TopicPartition) {
        let mut state = self.state.lock();
        let Some(cursors) = state.resting.get_mut(partition) else { return };
        let oldest =
            cursors.iter().enumerate().min_by_key(|(_, cursor)| cursor.used).map(|(at, cursor)| (at, cursor.used));
        let Some((at, used)) = oldest else { return };
        if cursors.len() >= MOST_LANES || clock::now().duration_since(used) >= SPARE {
            let cursor = cursors.swap_remove(at);
            drop(state);
            self.stop(partition, cursor);
        }
    }

    /// A client that does not read the partition yet.
    fn lane(&self, partition: &TopicPartition) -> Result<(usize, Arc<Client>), LogError> {
        let mut state = self.state.lock();
        let free = state.lanes.iter().position(|lane| !lane.partitions.contains(partition));
        let at = match free {
            Some(at) => at,
            None => {
                let refused = |failure: Failure| self.cluster.error("make a client", &failure);
                let client = Client::new(&self.cluster.config, &Role::Reading).map_err(refused)?;
                state.lanes.push(Lane { client, partitions: HashSet::new() });
                state.lanes.len() - 1
            }
        };
        let lane = &mut state.lanes[at];
        lane.partitions.insert(partition.clone());
        Ok((at, Arc::clone(&lane.client)))
    }

    fn stop(&self, partition: &TopicPartition, cursor: Cursor) {
        let lane = cursor.lane;
        drop(cursor);
        self.state.lock().release(lane, partition);
    }

    /// From time to time, stops what nobody reads any more.
    fn sweep(&self) {
        let now = clock::now();
        let mut state = self.state.lock();
        if now.duration_since(state.swept) < SWEEP {
            return;
        }
        state.swept = now;
        let idle = state.take_idle(IDLE);
        drop(state);
        for cursor in idle {
            let partition = cursor.partition.clone();
            self.stop(&partition, cursor);
        }
    }

    /// What an error of a reader means.
    fn error(&self, partition: &TopicPartition, from: Offset, failure: &Failure) -> LogError {
        use Code::*;
        self.topics.forget(&partition.topic);
        if let Err(error @ (LogError::UnknownTopic { .. } | LogError::UnknownPartition { .. })) =
            self.topics.check(partition)
        {
            return error;
        }
        let is_range =
            matches!(failure.code, RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET | RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE);
        let range = || Ok((self.marks(partition)?, self.end(partition)?));
        match range() {
            Ok((marks, end)) if is_range => {
                let start = Offset(marks.start.unsigned_abs());
                LogError::OffsetOutOfRange { partition: partition.clone(), wanted: from, start, end }
            }
            Err(error) if is_range => error,
            _ => self.cluster.error(format!("read {partition} from offset {from}"), failure),
        }
    }
}
