//! The loop of a sink: read committed records, write, flush, commit the group's offsets with the sink's mark, again.
//!
//! Offsets of *all* partitions are committed each time, all with the same mark, so the newest mark is found beside any of
//! them. Offsets are committed only after the flush: a record may be written twice, never skipped; what the mark lets the
//! sink undo, it undoes when it is opened.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use millstream::{
    connect::{ConnectError, Progress, ProgressUnit, Sink, SinkPosition},
    log::{FetchedBatch, GroupOffset, LogError, OffsetCommit, Producer, SharedLog, Transaction},
    record::{GroupId, Offset, TopicPartition},
};

use super::{
    Clock, ConnectorState,
    positions::{partitions_of, rows_below},
    producer_name, sink_group,
    status::Shared,
};
use crate::config::TaskSettings;

const FETCH_BYTES: usize = 4 << 20;
/// How soon an idle sink notices that it is to stop.
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

impl SinkTask {
    /// Runs until it fails for good or is told to stop.
    pub(super) fn run(&mut self) -> Result<ConnectorState, ConnectError> {
        let group = sink_group(&self.name).map_err(LogError::from)?;
        let mut failures = 0;
        loop {
            match self.session(&group, &mut failures) {
                Err(error) if error.is_retryable() && failures < self.settings.retry.attempts => {
                    failures += 1;
                    let wait = self.settings.retry.wait(failures);
                    self.shared.retrying(&error, wait);
                    self.clock.wait(wait, &self.shared.stop);
                }
                ended => return ended,
            }
            if self.shared.stop.is_raised() {
                return Ok(ConnectorState::Stopped);
            }
        }
    }

    fn session(&mut self, group: &GroupId, failures: &mut u32) -> Result<ConnectorState, ConnectError> {
        let mut producer = self.log.exclusive_producer(&producer_name(&self.name))?;
        let positions = self.positions(group)?;
        self.sink.open(&positions)?;
        let is_first_start = positions.iter().all(|position| position.mark.is_none());
        let mut cursor: Cursor = positions.into_iter().map(|position| (position.partition, position.next)).collect();
        if is_first_start {
            self.commit(producer.as_mut(), group, &cursor, 0)?;
        }
        let mut seen = 0;
        while !self.shared.stop.is_raised() {
            let before = cursor.clone();
            let rows = self.pass(&mut cursor)?;
            if cursor != before {
                self.commit(producer.as_mut(), group, &cursor, rows)?;
                *failures = 0;
                continue;
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

    /// Writes what each partition has, one fetch each; returns how many records.
    fn pass(&mut self, cursor: &mut Cursor) -> Result<u64, ConnectError> {
        let mut rows = 0;
        for (partition, next) in cursor.iter_mut() {
            let fetched = self.log.fetch(partition, *next, FETCH_BYTES)?;
            for batch in fetched.batches {
                let skip = rows_below(&batch.offsets, &batch.records, *next);
                let left = batch.records.len() - skip;
                if left > 0 {
                    let records = if skip == 0 { batch.records } else { batch.records.slice(skip, left) };
                    let offsets = if skip == 0 { batch.offsets } else { batch.offsets.skip(skip) };
                    self.sink.write(partition, &FetchedBatch { records, offsets })?;
                    rows += left as u64;
                }
            }
            *next = fetched.next;
        }
        Ok(rows)
    }

    fn commit(
        &mut self,
        producer: &mut dyn Producer,
        group: &GroupId,
        cursor: &Cursor,
        rows: u64,
    ) -> Result<(), ConnectError> {
        let mark = self.sink.flush()?;
        let offsets = cursor.iter().map(|(partition, next)| OffsetCommit {
            group: group.clone(),
            partition: partition.clone(),
            position: GroupOffset { next: *next, metadata: mark.clone() },
        });
        producer.commit(Transaction { appends: Vec::new(), offsets: offsets.collect() })?;
        self.shared.update(|status| {
            status.rows += rows;
            status.commits += 1;
            status.progress = Progress { done: status.rows, total: None, unit: ProgressUnit::Rows };
            status.idle = false;
        });
        Ok(())
    }
}
