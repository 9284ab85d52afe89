//! The loop of a source: poll, commit rows and position in one transaction, again.
//!
//! Invariant: the committed position and the committed rows always agree, because there is no commit of one without the
//! other. Nothing else survives the task, so the way back from an error is the way back from a crash: a new session,
//! opened from the committed position.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use millstream::{
    connect::{ConnectError, PollLimits, Readiness, Source, SourceBatch, SourceStart},
    log::{Producer, SharedLog, TopicConfig, Transaction},
    record::{RecordRef, Timestamp, TopicName},
};

use super::{
    Clock, ConnectorState,
    own_producer::OwnProducer,
    positions::{ensure_positions_topic, ensure_topic, position_append, read_positions},
    status::Shared,
};
use crate::config::{Direction, TaskSettings, Tolerance};

/// A throttled source commits so often, for an even flow.
const THROTTLED_BATCHES_PER_SECOND: f64 = 10.0;

pub(super) struct SourceTask {
    pub(super) name: String,
    pub(super) source: Box<dyn Source>,
    pub(super) settings: TaskSettings,
    pub(super) log: SharedLog,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) shared: Arc<Shared>,
}

impl SourceTask {
    /// Runs until the source is exhausted, fails for good, or is told to stop.
    pub(super) fn run(&mut self) -> Result<ConnectorState, ConnectError> {
        let (shared, clock) = (Arc::clone(&self.shared), Arc::clone(&self.clock));
        let retry = self.settings.retry;
        let mut producer = OwnProducer::new(&self.log, &self.name);
        // The order matters: whoever wrote positions before is fenced before they are read.
        shared.retry(&retry, clock.as_ref(), |failures| producer.run(|producer| self.session(producer, failures)))
    }

    /// From opening to the end or the first error. Any commit ends a row of failures.
    fn session(&mut self, producer: &mut dyn Producer, failures: &mut u32) -> Result<ConnectorState, ConnectError> {
        let mut topics = self.open()?;
        let mut pace = Pace::new(&self.settings, self.clock.now());
        while !self.shared.stop.is_raised() {
            if self.shared.wait_while_paused(self.clock.as_ref()) {
                continue;
            }
            let batch = self.source.poll(pace.limits)?;
            self.refuse(&batch)?;
            let (readiness, positions) = (batch.readiness, batch.positions.clone());
            let rows = self.commit(producer, &mut topics, batch)?;
            if rows.is_some() {
                self.source.committed(&positions)?;
            }
            if rows.is_some() {
                *failures = 0;
            }
            match readiness {
                Readiness::Exhausted => return Ok(ConnectorState::Exhausted),
                Readiness::Ready => pace.hold(rows.unwrap_or(0), self.clock.as_ref(), &self.shared),
                Readiness::Idle => self.clock.wait(self.settings.idle_wait, &self.shared.stop),
            }
        }
        Ok(ConnectorState::Stopped)
    }

    /// Makes the topics and opens the source at its committed position; returns the topics that are there.
    fn open(&mut self) -> Result<BTreeSet<TopicName>, ConnectError> {
        let log = self.log.as_ref();
        ensure_positions_topic(log)?;
        let mut partitions = BTreeMap::new();
        for topic in self.source.topics() {
            partitions.insert(topic.name.clone(), ensure_topic(log, &topic.name, &topic.config)?);
        }
        let positions = read_positions(log, &self.name)?;
        self.source.open(SourceStart { positions: &positions, partitions: &partitions })?;
        Ok(partitions.into_keys().collect())
    }

    /// Fails for rows that could not be taken, if none is to be left out.
    fn refuse(&self, batch: &SourceBatch) -> Result<(), ConnectError> {
        if batch.rejected == 0 || self.settings.tolerance(Direction::Source) == Tolerance::All {
            return Ok(());
        }
        let problem = format!(
            "{} rows cannot be taken, {}; mend them, or let the connector go on with 'errors.tolerance' = 'all', which keeps them as dead letters",
            batch.rejected,
            batch.appends.iter().flat_map(|append| append.records.iter()).find_map(reason).unwrap_or_default(),
        );
        Err(ConnectError::Input { input: self.name.clone(), problem })
    }

    /// Commits a batch; `None` if there was nothing to commit.
    fn commit(
        &self,
        producer: &mut dyn Producer,
        topics: &mut BTreeSet<TopicName>,
        batch: SourceBatch,
    ) -> Result<Option<u64>, ConnectError> {
        let SourceBatch { mut appends, positions, readiness, rejected } = batch;
        appends.retain(|append| !append.records.is_empty());
        let progress = self.source.progress();
        let rows = appends.iter().map(|append| append.records.len() as u64).sum::<u64>() - rejected;
        let committed = !appends.is_empty() || !positions.is_empty();
        if committed {
            for append in &appends {
                if topics.insert(append.partition.topic.clone()) {
                    ensure_topic(self.log.as_ref(), &append.partition.topic, &TopicConfig::default())?;
                }
            }
            let kept = positions.iter().map(|(source_partition, position)| (source_partition, Some(position)));
            appends.push(position_append(&self.name, kept, self.clock.now()));
            producer.commit(Transaction { appends, offsets: Vec::new() })?;
        }
        self.shared.update(|status| {
            status.rows += rows;
            status.rejected += rejected;
            status.commits += u64::from(committed);
            status.progress = progress;
            status.idle = readiness != Readiness::Ready;
        });
        Ok(committed.then_some(rows))
    }
}

/// What a dead letter says of why it is one, and where it was.
fn reason(record: RecordRef<'_>) -> Option<String> {
    record.headers.iter().find(|header| header.name == "reason")?;
    let text = |value: &Option<Vec<u8>>| String::from_utf8_lossy(value.as_deref().unwrap_or_default()).into_owned();
    Some(
        record
            .headers
            .iter()
            .map(|header| format!("{}: {}", header.name, text(&header.value)))
            .collect::<Vec<_>>()
            .join(", "),
    )
}

/// Keeps a source at its rows per second, over the whole session.
struct Pace {
    limits: PollLimits,
    rows_per_second: Option<f64>,
    started: Timestamp,
    rows: u64,
}

impl Pace {
    fn new(settings: &TaskSettings, now: Timestamp) -> Self {
        let mut limits = settings.limits;
        if let Some(rate) = settings.rows_per_second {
            limits.rows = limits.rows.min((rate / THROTTLED_BATCHES_PER_SECOND).ceil() as usize).max(1);
        }
        Self { limits, rows_per_second: settings.rows_per_second, started: now, rows: 0 }
    }

    /// Waits until `rows` more are due.
    fn hold(&mut self, rows: u64, clock: &dyn Clock, shared: &Shared) {
        self.rows += rows;
        let Some(rate) = self.rows_per_second else { return };
        let due_ms = self.started.0.saturating_add((self.rows as f64 * 1000.0 / rate) as i64);
        let wait_ms = due_ms.saturating_sub(clock.now().0);
        if wait_ms > 0 {
            clock.wait(Duration::from_millis(wait_ms as u64), &shared.stop);
        }
    }
}
