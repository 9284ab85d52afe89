//! The sink as the runtime drives it: rows wait until they are settled, then one transaction brings them and their offsets over.
//!
//! ```text
//! write    records become rows, which wait in memory
//! settle   BEGIN, rows into the tables; rejected records are handed over
//! flush    the head row is locked and its epoch looked at, offsets are put beside the rows, COMMIT
//! ```
//!
//! If the connection is cut while COMMIT is under way, nobody here knows what came of it. The error may pass; `open` then reads the positions,
//! and the table of positions knows. Invariant: a position in the database and the rows up to it are one commit, whatever happens.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
};

use millstream::{
    connect::{ConnectError, Promise, RejectedRecord, Sink, SinkPosition, SinkPositions},
    log::FetchedBatch,
    record::{Offset, TopicName, TopicPartition},
};

use super::{
    PostgresSink,
    buffer::Piece,
    load::{LoadFailure, Loader},
    progress::{CommitFailure, Progress},
    target::Target,
};
use crate::{
    postgres::{problem::Failure, session::Session},
    rows::{RowReader, TopicRows},
};

/// Writes the tables of one sink.
pub struct PostgresSinkWriter {
    config: Arc<PostgresSink>,
    connector: String,
    rows: TopicRows,
    progress: Progress,
    /// From `open` on.
    open: Option<Open>,
}

/// One opening.
struct Open {
    session: Session,
    topics: BTreeMap<TopicName, OpenTopic>,
    /// Behind the last record that was written, of those that are not committed.
    written: BTreeMap<TopicPartition, Offset>,
    /// Records that cannot be read.
    rejected: Vec<RejectedRecord>,
    /// Whether there is a transaction with everything that was written.
    is_settled: bool,
}

struct OpenTopic {
    reader: Box<dyn RowReader>,
    loader: Loader,
    pieces: Vec<Piece>,
}

impl PostgresSinkWriter {
    pub(super) fn new(config: Arc<PostgresSink>, connector: &str, rows: TopicRows) -> Self {
        let writer = format!("{:016x}{:016x}", random(), random());
        Self { progress: Progress::new(connector, writer), connector: connector.to_owned(), config, rows, open: None }
    }

    fn not_open(&self) -> ConnectError {
        let problem = "written to before it was opened; this is a bug of the caller".to_owned();
        ConnectError::Position { partition: format!("connector {}", self.connector), problem }
    }

    /// What a failure comes to. A connection that is lost may have been cut by a successor, which is found out at once.
    fn failed(&mut self, action: &str, failure: Failure) -> ConnectError {
        let Some(open) = self.open.take() else { return self.not_open() };
        let error = open.session.error(action, failure);
        drop(open);
        if !error.is_retryable() {
            return error;
        }
        let Ok(session) = Session::open(&Arc::new(self.config.connection.clone()), &self.application()) else {
            return error;
        };
        match self.progress.is_taken(&session) {
            Ok(true) => self.progress.fenced(&session),
            _ => error,
        }
    }

    fn application(&self) -> String {
        format!("millstream {}", self.connector)
    }
}

/// 64 bits that differ from process to process and from call to call.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

impl Open {
    fn new(writer: &PostgresSinkWriter, session: Session) -> Result<Self, ConnectError> {
        let mut topics = BTreeMap::new();
        for (number, topic) in writer.config.topics.iter().enumerate() {
            let format = writer.rows.expect(topic)?;
            let target = Target::open(&session, &writer.config, topic, format.schema())?;
            let loader = Loader::open(&session, target, topic, number)?;
            topics.insert(topic.clone(), OpenTopic { reader: format.reader()?, loader, pieces: Vec::new() });
        }
        Ok(Self { session, topics, written: BTreeMap::new(), rejected: Vec::new(), is_settled: false })
    }

    /// Brings all rows over in a new transaction. Constraints that are deferred are looked at before its end; if one does not hold, everything
    /// is done again with constraints looked at after each statement, which is how the rows are found.
    fn settle(&mut self, chunk_rows: usize) -> Result<Vec<RejectedRecord>, LoadFailure> {
        self.session.try_batch("BEGIN")?;
        let rejected = self.load(chunk_rows)?;
        match self.session.try_batch("SET CONSTRAINTS ALL IMMEDIATE") {
            Ok(()) => Ok(rejected),
            Err(failure) if failure.is_of_a_row() => {
                self.session.try_batch("ROLLBACK; BEGIN; SET CONSTRAINTS ALL IMMEDIATE")?;
                self.load(chunk_rows)
            }
            Err(failure) => Err(failure.into()),
        }
    }

    fn load(&self, chunk_rows: usize) -> Result<Vec<RejectedRecord>, LoadFailure> {
        let mut rejected = Vec::new();
        for topic in self.topics.values() {
            rejected.extend(topic.loader.load(&self.session, &topic.pieces, chunk_rows)?);
        }
        Ok(rejected)
    }
}

impl Sink for PostgresSinkWriter {
    fn topics(&self) -> &[TopicName] {
        &self.config.topics
    }

    fn promise(&self) -> Promise {
        Promise::ExactlyOnce
    }

    fn open(&mut self, committed: &[SinkPosition]) -> Result<(), ConnectError> {
        self.open = None;
        let session = Session::open(&Arc::new(self.config.connection.clone()), &self.application())?;
        self.progress.open(&session, committed)?;
        self.open = Some(Open::new(self, session)?);
        Ok(())
    }

    fn write(&mut self, partition: &TopicPartition, batch: &FetchedBatch) -> Result<(), ConnectError> {
        let not_open = self.not_open();
        let Some(open) = &mut self.open else { return Err(not_open) };
        let (Some(topic), Some(last)) = (open.topics.get_mut(&partition.topic), batch.records.len().checked_sub(1))
        else {
            return Ok(());
        };
        let mut rows = topic.reader.read(partition, batch)?;
        open.rejected.append(&mut rows.rejected);
        open.written.insert(partition.clone(), batch.offsets.at(last).next());
        if !rows.is_empty() {
            topic.pieces.push(Piece { partition: partition.clone(), batch: batch.clone(), rows });
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<Vec<RejectedRecord>, ConnectError> {
        let not_open = self.not_open();
        let Some(open) = &mut self.open else { return Err(not_open) };
        if open.written.is_empty() {
            return Ok(Vec::new());
        }
        let settled = open.settle(self.config.batch_size);
        let mut rejected = match settled {
            Ok(rejected) => rejected,
            Err(LoadFailure::Server(failure)) => return Err(self.failed("write rows", failure)),
            Err(LoadFailure::Rows(problem)) => {
                return Err(ConnectError::Input { input: format!("connector {}", self.connector), problem });
            }
        };
        open.topics.values_mut().for_each(|topic| topic.pieces.clear());
        open.is_settled = true;
        rejected.append(&mut open.rejected);
        rejected.sort_by(|left, right| (&left.partition, left.offset).cmp(&(&right.partition, right.offset)));
        Ok(rejected)
    }

    fn flush(&mut self) -> Result<Vec<u8>, ConnectError> {
        let not_open = self.not_open();
        let Some(open) = &mut self.open else { return Err(not_open) };
        if open.is_settled {
            match self.progress.commit(&open.session, &open.written) {
                Ok(()) => {}
                Err(CommitFailure::Fenced) => {
                    // What was written, and the locks that it holds, goes with the session.
                    let error = self.progress.fenced(&open.session);
                    self.open = None;
                    return Err(error);
                }
                Err(CommitFailure::Failed(failure)) => return Err(self.failed("commit rows", failure)),
            }
            open.written.clear();
            open.is_settled = false;
        }
        Ok(self.progress.mark())
    }

    fn positions(&self) -> Option<&SinkPositions> {
        Some(&self.progress.positions)
    }
}
