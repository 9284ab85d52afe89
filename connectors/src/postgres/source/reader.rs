//! The source as the runtime drives it.
//!
//! ```text
//! Begin      the position says that a slot is about to be made; nothing else is done
//! Snapshot   the slot is made, then the tables are read as they are
//! Changes    transactions out of the slot
//! ```
//!
//! `Begin` is committed before the slot is made. So a slot without a position is somebody else's, which is an error, and one beside `Begin` is
//! left from a crash and made anew. From then on, a slot that is not there, or is ahead of the position, means that changes are lost: an error.

use std::{collections::BTreeMap, sync::Arc};

use millstream::{
    connect::{
        ConnectError, PollLimits, Positions, Progress, ProgressUnit, Readiness, Source, SourceBatch, SourceStart,
        SourceTopic,
    },
    log::{CleanupPolicy, TopicConfig},
    record::TopicName,
};

use super::{
    PostgresSource, RecordShape, SnapshotMode,
    changes::{Changes, Reached, Reading},
    lsn::Lsn,
    position::{Phase, SourcePosition},
    records::Output,
    server,
    snapshot::Snapshot,
    tables::{Table, find},
};
use crate::postgres::session::Session;

/// An idle source moves its position, and with it the slot, when the log has grown by so much without a change for it.
const IDLE_BYTES: u64 = 1 << 20;

/// Reads the tables of one source.
pub struct PostgresSourceReader {
    config: Arc<PostgresSource>,
    connector: String,
    slot: String,
    publication: String,
    topics: Vec<TopicName>,
    /// From `open` on.
    open: Option<Open>,
}

/// One opening.
struct Open {
    session: Session,
    partitions: BTreeMap<TopicName, u32>,
    tables: Vec<Table>,
    position: SourcePosition,
    /// Whether `position` is still to be committed although there is nothing else.
    is_news: bool,
    snapshot: Option<Snapshot>,
    changes: Changes,
    /// Where the slot may be confirmed to, and where it is.
    durable: Lsn,
    confirmed: Lsn,
    /// The end of the server's log, and up to where there was nothing.
    log_end: Lsn,
    nothing_until: Lsn,
}

impl PostgresSourceReader {
    pub(super) fn new(config: Arc<PostgresSource>, connector: &str) -> Self {
        let topic = |(schema, table): &(String, String)| TopicName::new(&config.topic_name(schema, table)).ok();
        Self {
            topics: config.tables.iter().filter_map(topic).collect(),
            slot: config.slot_name(connector),
            publication: config.publication_name(connector),
            connector: connector.to_owned(),
            config,
            open: None,
        }
    }

    /// The name that the position is kept under.
    fn partition(&self) -> String {
        format!("slot:{}", self.slot)
    }

    fn lost(&self, problem: String) -> ConnectError {
        ConnectError::Position { partition: self.partition(), problem }
    }

    fn table_list(&self) -> Vec<String> {
        self.config.table_names().iter().map(ToString::to_string).collect()
    }

    /// The tables as they are; they must be those of the position.
    fn find_tables(&self, session: &Session, position: &mut SourcePosition) -> Result<Vec<Table>, ConnectError> {
        let tables = find(session, &self.config, &self.topics, &self.publication)?;
        let numbers: Vec<u32> = tables.iter().map(|table| table.oid).collect();
        if position.phase == Phase::Begin || position.numbers.is_empty() {
            position.numbers = numbers;
        }
        match tables.iter().zip(&position.numbers).find(|(table, number)| table.oid != **number) {
            None => Ok(tables),
            Some((other, _)) => Err(self.lost(format!(
                "table {} is not the one of that name that was followed: it was dropped and made anew, or another one was renamed; start anew with a \
                 connector of another name, which reads it",
                other.name
            ))),
        }
    }

    /// The committed position, or the first one.
    fn position(&self, identity: server::Identity, positions: &Positions) -> Result<SourcePosition, ConnectError> {
        let Some(bytes) = positions.get(&self.partition()) else {
            if let Some(other) = positions.keys().next() {
                return Err(self.lost(format!(
                    "the connector has come as far as it is with another slot, {other}; give 'slot.name' as it was, or start anew with a connector of another name"
                )));
            }
            return Ok(SourcePosition {
                system: identity.system,
                database: identity.database,
                slot: self.slot.clone(),
                tables: self.table_list(),
                numbers: Vec::new(),
                phase: Phase::Begin,
                lsn: Lsn(0),
                first: Lsn(0),
                within: None,
                seen: None,
            });
        };
        let position = SourcePosition::parse(bytes).map_err(|problem| self.lost(problem))?;
        if position.system != identity.system || position.database != identity.database {
            return Err(self.lost(format!(
                "it is another server or database: system {} and database {} were read, these are {} and {}; connect to the one of before, or start \
                 anew with a connector of another name",
                position.system, position.database, identity.system, identity.database
            )));
        }
        if position.tables != self.table_list() {
            return Err(self.lost(format!(
                "the tables were {}; rows of another table would be missing from before. Give 'table.include.list' as it was, and follow others with a \
                 connector of their own",
                position.tables.join(", ")
            )));
        }
        Ok(position)
    }

    /// Looks whether the slot is the one that the position speaks of; where it is confirmed to.
    fn check_slot(&self, session: &Session, position: &SourcePosition, is_first: bool) -> Result<Lsn, ConnectError> {
        let slot = server::slot(session, &self.slot)?;
        if let Some(problem) = slot.as_ref().and_then(|slot| slot.problem(&position.database)) {
            return Err(self.lost(problem));
        }
        if let Some(pid) = slot.as_ref().and_then(server::Slot::reader) {
            return Err(session.passing(format!(
                "replication slot {} is being read by process {pid}; it is one connector's alone",
                self.slot
            )));
        }
        match (slot, &position.phase) {
            (Some(_), Phase::Begin) if is_first && self.config.snapshot == SnapshotMode::Initial => Err(self.lost(format!(
                "there is a replication slot of that name, and it is not this connector's; drop it (SELECT pg_drop_replication_slot('{}')), or name \
                 another one in 'slot.name'",
                self.slot
            ))),
            (slot, Phase::Begin) => Ok(slot.map_or(Lsn(0), |slot| slot.confirmed)),
            (None, _) => Err(self.lost(
                "the replication slot is gone, and with it the changes since; start anew with a connector of another name, which reads the tables again"
                    .to_owned(),
            )),
            (Some(slot), _) if slot.confirmed > position.lsn => Err(self.lost(format!(
                "the replication slot is at {}, ahead of what was taken ({}): it was dropped and made anew, or moved by somebody else, and changes are \
                 missing; start anew with a connector of another name, which reads the tables again",
                slot.confirmed, position.lsn
            ))),
            (Some(slot), _) => Ok(slot.confirmed),
        }
    }

    fn not_open(&self) -> ConnectError {
        self.lost(format!("connector {} was polled before it was opened; this is a bug of the caller", self.connector))
    }
}

impl Open {
    /// Makes the slot and begins the snapshot, or the changes where there is to be none.
    fn begin(&mut self, config: &PostgresSource) -> Result<(), ConnectError> {
        let slot = self.position.slot.clone();
        let found = server::slot(&self.session, &slot)?;
        let start = match (found, config.snapshot) {
            (Some(found), SnapshotMode::Never) => found.confirmed,
            (found, _) => {
                if found.is_some() {
                    server::drop_slot(&self.session, &slot)?;
                }
                server::make_slot(&self.session, &slot)?
            }
        };
        (self.position.lsn, self.position.first, self.confirmed, self.durable) = (start, start, start, start);
        self.position.phase = match config.snapshot {
            SnapshotMode::Never => Phase::Changes,
            SnapshotMode::Initial => Phase::Snapshot { done: Vec::new() },
        };
        self.is_news = true;
        Ok(())
    }

    /// Reads tables as they are.
    fn read_snapshot(
        &mut self,
        source: &PostgresSourceReader,
        limits: PollLimits,
        output: &mut Output<'_>,
    ) -> Result<(), ConnectError> {
        let mut snapshot = match self.snapshot.take() {
            Some(snapshot) => snapshot,
            None => self.begin_snapshot(source)?,
        };
        let Phase::Snapshot { done } = &mut self.position.phase else { return Ok(()) };
        self.is_news = true;
        let is_full = |output: &Output<'_>| output.rows >= limits.rows || output.bytes >= limits.bytes;
        while done.len() < self.tables.len() && !is_full(output) {
            if snapshot.read(&self.session, &source.config, &self.tables, done.len(), output, is_full)? {
                done.push(self.tables[done.len()].name.to_string());
            }
        }
        if done.len() == self.tables.len() {
            snapshot.end(&self.session)?;
            self.position.phase = Phase::Changes;
        } else {
            self.snapshot = Some(snapshot);
        }
        Ok(())
    }

    fn begin_snapshot(&mut self, source: &PostgresSourceReader) -> Result<Snapshot, ConnectError> {
        let (snapshot, seen) = Snapshot::begin(&self.session, &self.tables)?;
        // They may have changed since they were looked at, and do not any more.
        self.tables = source.find_tables(&self.session, &mut self.position)?;
        if self.position.seen.is_some() {
            tracing::warn!(slot = %self.position.slot, "a snapshot was interrupted; the table at hand is read anew");
        }
        // What is left out afterwards stays what the first snapshot had seen.
        self.position.seen.get_or_insert(seen);
        Ok(snapshot)
    }

    /// Reads changes; whether to poll again at once.
    fn read_changes(
        &mut self,
        source: &PostgresSourceReader,
        limits: PollLimits,
        output: &mut Output<'_>,
    ) -> Result<Readiness, ConnectError> {
        if !self.changes.is_open() {
            self.confirm()?;
            self.log_end = server::log_end(&self.session)?;
            if self.log_end <= self.nothing_until {
                return Ok(Readiness::Idle);
            }
        }
        let before = self.position.clone();
        let (config, publication) = (&*source.config, source.publication.as_str());
        let reading = Reading { session: &self.session, config, tables: &self.tables, publication };
        let reached = self.changes.read(&reading, &mut self.position, limits, output)?;
        if reached == Reached::Nothing {
            self.nothing_until = self.log_end;
            if self.log_end.0.saturating_sub(self.position.lsn.0) > IDLE_BYTES {
                self.position.lsn = self.log_end;
            }
        }
        self.is_news |= self.position != before;
        Ok(if reached == Reached::Nothing { Readiness::Idle } else { Readiness::Ready })
    }

    /// Tells the server what it may forget: what is committed here, and never more.
    fn confirm(&mut self) -> Result<(), ConnectError> {
        if self.durable > self.confirmed && !self.changes.is_open() && self.snapshot.is_none() {
            server::confirm(&self.session, &self.position.slot, self.durable)?;
            self.confirmed = self.durable;
        }
        Ok(())
    }
}

impl Source for PostgresSourceReader {
    fn topics(&self) -> Vec<SourceTopic> {
        let cleanup = match self.config.shape {
            RecordShape::Row => CleanupPolicy::Compact,
            RecordShape::Envelope => CleanupPolicy::Delete,
        };
        let config = TopicConfig { partitions: self.config.partitions, cleanup, ..TopicConfig::default() };
        self.topics.iter().map(|name| SourceTopic { name: name.clone(), config: config.clone() }).collect()
    }

    fn open(&mut self, start: SourceStart<'_>) -> Result<(), ConnectError> {
        self.open = None;
        let session =
            Session::open(&Arc::new(self.config.connection.clone()), &format!("millstream {}", self.connector))?;
        // Between two polls a transaction may be open for as long as the log takes for a commit.
        session.batch("set up the connection", "SET idle_in_transaction_session_timeout = '10min'")?;
        let mut position = self.position(server::identity(&session)?, start.positions)?;
        let is_first = start.positions.is_empty();
        let confirmed = self.check_slot(&session, &position, is_first)?;
        if position.phase == Phase::Begin {
            server::ensure_publication(&session, &self.config, &self.publication)?;
        }
        let tables = self.find_tables(&session, &mut position)?;
        let mut open = Open {
            session,
            partitions: start.partitions.clone(),
            tables,
            durable: position.lsn,
            confirmed,
            is_news: is_first,
            snapshot: None,
            changes: Changes::default(),
            log_end: position.lsn,
            nothing_until: Lsn(0),
            position,
        };
        if open.position.phase != Phase::Begin {
            open.confirm()?;
        }
        self.open = Some(open);
        Ok(())
    }

    fn poll(&mut self, limits: PollLimits) -> Result<SourceBatch, ConnectError> {
        let (partition, not_open) = (self.partition(), self.not_open());
        let Some(mut open) = self.open.take() else { return Err(not_open) };
        let partitions = std::mem::take(&mut open.partitions);
        let mut output = Output::new(&partitions);
        let mut readiness = Readiness::Ready;
        match open.position.phase {
            // The intention is committed first.
            Phase::Begin if open.is_news => {}
            Phase::Begin => open.begin(&self.config)?,
            Phase::Snapshot { .. } => open.read_snapshot(self, limits, &mut output)?,
            Phase::Changes => readiness = open.read_changes(self, limits, &mut output)?,
        }
        let appends = output.finish();
        let is_news = std::mem::take(&mut open.is_news);
        let positions = if is_news { Positions::from([(partition, open.position.bytes())]) } else { Positions::new() };
        open.partitions = partitions;
        self.open = Some(open);
        Ok(SourceBatch { appends, positions, readiness, rejected: 0 })
    }

    fn committed(&mut self, positions: &Positions) -> Result<(), ConnectError> {
        let Some(bytes) = positions.get(&self.partition()) else { return Ok(()) };
        let position = SourcePosition::parse(bytes).map_err(|problem| self.lost(problem))?;
        let Some(open) = &mut self.open else { return Ok(()) };
        open.durable = position.lsn;
        open.confirm()
    }

    fn progress(&self) -> Progress {
        let Some(open) = &self.open else { return Progress::default() };
        let since = |lsn: Lsn| lsn.0.saturating_sub(open.position.first.0);
        let done = since(open.position.lsn.max(open.nothing_until));
        Progress { done, total: Some(since(open.log_end).max(done)), unit: ProgressUnit::Bytes }
    }
}
