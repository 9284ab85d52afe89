//! The loop of a sink: read committed records, write, settle, keep dead letters, flush, commit the group's offsets with the sink's mark, again.
//!
//! Offsets of *all* partitions are committed each time, all with the same mark, so the newest mark is found beside any of
//! them. Offsets are committed only after the flush: a record may be written twice, never skipped; what the mark or the target's own positions
//! let the sink undo, it undoes when it is opened. Dead letters are durable before the flush: a crash between the two writes them once more,
//! never loses them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use millstream::{
    connect::{ConnectError, Progress, ProgressUnit, RejectedRecord, Sink, SinkPosition},
    log::{FetchedBatch, GroupOffset, LogError, OffsetCommit, Producer, SharedLog, Transaction},
    record::{GroupId, Offset, TopicPartition},
};

use super::{
    Clock, ConnectorState,
    dead_letters::DeadLetters,
    own_producer::OwnProducer,
    positions::{partitions_of, rows_below},
    sink_group,
    status::Shared,
};
use crate::config::TaskSettings;

const FETCH_BYTES: usize = 4 << 20;
/// What is fetched for each record where a commit takes few of them: more than most have.
const BYTES_A_ROW: usize = 1 << 10;
/// How soon an idle sink notices that it is to stop, or that something is due.
const COMMIT_WAIT: Duration = Duration::from_millis(100);

pub(super) struct SinkTask {
    pub(super) name: String,
    pub(super) sink: Box<dyn Sink>,
    pub(super) settings: TaskSettings,
    pub(super) log: SharedLog,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) shared: Arc<Shared>,
}

/// The next offsets to read.
type Cursor = BTreeMap<TopicPartition, Offset>;

/// One opening of the sink: what it commits with, and what it committed last.
struct Session<'a> {
    producer: &'a mut dyn Producer,
    group: &'a GroupId,
    cursor: Cursor,
    /// Behind the last record that the sink was given. Between it and the cursor is nothing but what no reader sees.
    written: Cursor,
    committed: Option<(Cursor, Vec<u8>)>,
    dead_letters: DeadLetters,
    /// How many records a commit takes at most.
    limit: usize,
    /// The place in the cursor of the partition that is read first, next time.
    turn: usize,
}

impl SinkTask {
    /// Runs until it fails for good or is told to stop.
    pub(super) fn run(&mut self) -> Result<ConnectorState, ConnectError> {
        let group = sink_group(&self.name).map_err(LogError::from)?;
        let (shared, clock) = (Arc::clone(&self.shared), Arc::clone(&self.clock));
        let retry = self.settings.retry;
        let mut producer = OwnProducer::new(&self.log, &self.name);
        shared
            .retry(&retry, clock.as_ref(), |failures| producer.run(|producer| self.session(producer, &group, failures)))
    }

    fn session(
        &mut self,
        producer: &mut dyn Producer,
        group: &GroupId,
        failures: &mut u32,
    ) -> Result<ConnectorState, ConnectError> {
        let positions = self.positions(group)?;
        self.sink.open(&positions)?;
        let is_first_start = positions.iter().all(|position| position.mark.is_none());
        let cursor = self.start_of(&positions)?;
        // A crash between the two commits leaves the group behind the target.
        let is_behind = positions.iter().any(|position| cursor.get(&position.partition) != Some(&position.next));
        let dead_letters = DeadLetters::new(&self.name, &self.settings)?;
        let written = cursor.clone();
        let limit = self.settings.sink_rows.or(self.sink.rows_a_commit()).unwrap_or(usize::MAX);
        let mut session = Session { producer, group, cursor, written, committed: None, dead_letters, limit, turn: 0 };
        if is_first_start || is_behind {
            self.commit(&mut session, 0)?;
        }
        let mut seen = 0;
        while !self.shared.stop.is_raised() {
            if self.shared.wait_while_paused(self.clock.as_ref()) {
                continue;
            }
            let before = session.cursor.clone();
            let rows = self.pass(&mut session)?;
            if session.cursor != before {
                self.commit(&mut session, rows)?;
                *failures = 0;
                continue;
            }
            if self.sink.is_due(self.clock.now())? {
                self.commit(&mut session, 0)?;
            }
            self.shared.update(|status| status.idle = true);
            seen = self.log.wait_for_commit(seen, COMMIT_WAIT);
        }
        Ok(ConnectorState::Stopped)
    }

    fn positions(&self, group: &GroupId) -> Result<Vec<SinkPosition>, LogError> {
        let mut positions = Vec::new();
        for topic in self.sink.topics() {
            for partition in partitions_of(self.log.as_ref(), topic)? {
                let position = match self.log.committed(group, &partition)? {
                    Some(committed) => {
                        let mark = (!committed.metadata.is_empty()).then_some(committed.metadata);
                        SinkPosition { partition, next: committed.next, mark }
                    }
                    None => {
                        let next = self.log.start_offset(&partition)?;
                        SinkPosition { partition, next, mark: None }
                    }
                };
                positions.push(position);
            }
        }
        Ok(positions)
    }

    /// Where reading begins: where the target says it is, else at what the group has committed.
    fn start_of(&self, positions: &[SinkPosition]) -> Result<Cursor, ConnectError> {
        let mut cursor: Cursor = positions.iter().map(|position| (position.partition.clone(), position.next)).collect();
        for (partition, next) in self.sink.positions().into_iter().flatten() {
            let Some(place) = cursor.get_mut(partition) else { continue };
            let end = self.log.end_offset(partition)?;
            if *next > end {
                let problem = format!(
                    "the target has taken records up to offset {next}, the topic ends at {end}; it is another topic of that name: \
                     start anew with a connector of another name"
                );
                return Err(ConnectError::Position { partition: partition.to_string(), problem });
            }
            *place = *next;
        }
        Ok(cursor)
    }

    /// Writes what each partition has, one fetch each, until there is enough for a commit; returns how many records. Where it stops, the next
    /// pass begins, so that no partition waits behind another one for long.
    fn pass(&mut self, session: &mut Session<'_>) -> Result<u64, ConnectError> {
        let bytes = session.limit.saturating_mul(BYTES_A_ROW).min(FETCH_BYTES);
        let mut partitions: Vec<(&TopicPartition, &mut Offset)> = session.cursor.iter_mut().collect();
        let turn = session.turn % partitions.len().max(1);
        partitions.rotate_left(turn);
        let mut rows = 0;
        for (place, (partition, next)) in partitions.into_iter().enumerate() {
            if rows >= session.limit {
                session.turn = turn + place;
                break;
            }
            let fetched = self.log.fetch(partition, *next, bytes)?;
            let mut reached = fetched.next;
            for batch in fetched.batches {
                let skip = rows_below(&batch.offsets, &batch.records, *next);
                let left = batch.records.len() - skip;
                let taken = left.min(session.limit - rows);
                if taken > 0 {
                    let is_whole = taken == batch.records.len();
                    let records = if is_whole { batch.records } else { batch.records.slice(skip, taken) };
                    let offsets = if skip == 0 { batch.offsets.clone() } else { batch.offsets.skip(skip) };
                    session.written.insert(partition.clone(), Offset(offsets.at(taken - 1).0 + 1));
                    self.sink.write(partition, &FetchedBatch { records, offsets })?;
                    rows += taken;
                }
                if taken < left {
                    reached = batch.offsets.at(skip + taken);
                    break;
                }
            }
            *next = reached;
        }
        Ok(rows as u64)
    }

    fn commit(&mut self, session: &mut Session<'_>, rows: u64) -> Result<(), ConnectError> {
        let rejected: Vec<RejectedRecord> = self.sink.settle()?;
        let refused = rejected.len() as u64;
        session.dead_letters.keep(self.log.as_ref(), session.producer, rejected)?;
        let mark = self.sink.flush()?;
        let mut reached = session.cursor.clone();
        for (partition, next) in self.sink.positions().into_iter().flatten() {
            // A target that has taken every record is as far as the reading, whatever lies behind the last record.
            if session.written.get(partition).is_none_or(|written| next < written) {
                reached.insert(partition.clone(), *next);
            }
        }
        let now = (reached, mark);
        let is_new = session.committed.as_ref() != Some(&now);
        if is_new {
            let offsets = now.0.iter().map(|(partition, next)| OffsetCommit {
                group: session.group.clone(),
                partition: partition.clone(),
                position: GroupOffset { next: *next, metadata: now.1.clone() },
            });
            session.producer.commit(Transaction { appends: Vec::new(), offsets: offsets.collect() })?;
            session.committed = Some(now);
        }
        self.shared.update(|status| {
            status.rows += rows.saturating_sub(refused);
            status.rejected += refused;
            status.commits += u64::from(is_new);
            status.progress = Progress { done: status.rows, total: None, unit: ProgressUnit::Rows };
            status.idle = false;
        });
        Ok(())
    }
}
