//! The positions of sinks in their target, and who may write: table `_millstream_sink_progress`.
//!
//! | row | `topic`, `partition` | `next_offset` | `epoch` | `writer` | `incarnation` |
//! |---|---|---|---|---|---|
//! | head, one a connector | `''`, -1 | 0 | rises by one with each opening | who has opened it last | which life of the connector this is |
//! | position, one a partition | the partition | the first offset whose record is not in the target | that under which it was written | | |
//!
//! Positions are written in the transaction of the rows. Before it commits, it locks the head and looks at the epoch: whoever has opened the
//! sink since has raised it, and the older writer's transaction comes to nothing. Whoever opens it waits for that lock, so that it reads the
//! positions behind the last commit of its predecessor.
//!
//! A predecessor that has fallen silent, frozen or behind a network that is down, may hold that lock, and those of rows. So whoever opens the sink
//! ends the sessions of others that have it open, as far as its role may; they are told apart by a shared advisory lock on the connector's name.
//!
//! The incarnation is also in the mark that is committed with the offsets. So a log that has forgotten the connector, another log, and a
//! database that is not the one of before are recognised, and neither skipped over nor written twice.

use std::collections::BTreeMap;

use millstream::{
    connect::{ConnectError, SinkPosition, SinkPositions},
    record::{Offset, PartitionId, TopicName, TopicPartition},
};
use serde::{Deserialize, Serialize};
use tokio_postgres::Statement;

use crate::postgres::{problem::Failure, session::Session};

const TABLE: &str = "_millstream_sink_progress";

/// What is committed beside the offsets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    incarnation: String,
}

/// Who writes, and how far the target is.
pub(super) struct Progress {
    connector: String,
    /// Who this is, whatever the connection.
    writer: String,
    /// Of the last opening.
    epoch: Option<i64>,
    incarnation: String,
    pub(super) positions: SinkPositions,
    /// Of the session that it was opened with.
    statements: Option<Statements>,
}

/// What a commit says.
struct Statements {
    /// Locks the head if this writer still has it.
    hold: Statement,
    /// Writes positions.
    put: Statement,
}

/// Why nothing was committed.
pub(super) enum CommitFailure {
    /// Somebody else writes now.
    Fenced,
    /// The server, or the way to it: the outcome may be unknown.
    Failed(Failure),
}

impl From<Failure> for CommitFailure {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Progress {
    pub(super) fn new(connector: &str, writer: String) -> Self {
        let (connector, incarnation) = (connector.to_owned(), String::new());
        Self { connector, writer, epoch: None, incarnation, positions: SinkPositions::new(), statements: None }
    }

    /// Takes the sink over, and reads where the target is.
    pub(super) fn open(&mut self, session: &Session, committed: &[SinkPosition]) -> Result<(), ConnectError> {
        make_table(session)?;
        if self.epoch.is_some() && self.is_taken(session)? {
            return Err(self.fenced(session));
        }
        self.end_predecessors(session)?;
        let head = session.query(
            "take over the sink",
            &format!(
                "INSERT INTO {TABLE} AS p (connector, topic, partition, next_offset, epoch, writer, incarnation) \
                 VALUES ($1, '', -1, 0, 1, $2, $3) \
                 ON CONFLICT (connector, topic, partition) DO UPDATE SET epoch = p.epoch + 1, writer = $2, changed = now() \
                 RETURNING epoch, incarnation"
            ),
            &[&self.connector, &self.writer, &self.writer],
        )?;
        let Some(head) = head.first() else {
            return Err(self.refused("the row of its writer is not to be had".to_owned()));
        };
        self.epoch = Some(head.get(0));
        self.incarnation = head.get(1);
        self.positions = self.read(session)?;
        self.check(committed)?;
        let prepared = Statements::prepare(session);
        self.statements = Some(prepared.map_err(|failure| session.error("prepare commits", failure))?);
        Ok(())
    }

    /// Ends the sessions of those who have had the sink open, and marks this one as having it open.
    fn end_predecessors(&self, session: &Session) -> Result<(), ConnectError> {
        let key = "hashtextextended('millstream sink ' || $1::text, 0)";
        let sql = format!("SELECT pg_advisory_lock_shared({key})");
        session.query("mark the sink as open", &sql, &[&self.connector])?;
        let sql = format!(
            "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database, {key} AS k \
             WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.objsubid = 1 AND l.pid <> pg_backend_pid() \
             AND l.classid::int8 = (k >> 32) & 4294967295 AND l.objid::int8 = k & 4294967295"
        );
        match session.query("end the sessions of its predecessors", &sql, &[&self.connector]) {
            Err(error) if error.is_retryable() => return Err(error),
            // The role may not: then they end by themselves within a minute.
            Err(error) => {
                tracing::warn!(connector = %self.connector, %error, "earlier sessions of the sink are not ended")
            }
            Ok(ended) if !ended.is_empty() => {
                tracing::warn!(connector = %self.connector, sessions = ended.len(), "earlier sessions of the sink were still open and are ended");
            }
            Ok(_) => {}
        }
        Ok(())
    }

    /// The positions in the target.
    fn read(&self, session: &Session) -> Result<SinkPositions, ConnectError> {
        let sql = format!("SELECT topic, partition, next_offset FROM {TABLE} WHERE connector = $1 AND partition >= 0");
        let mut positions = SinkPositions::new();
        for row in session.query("read the sink's positions", &sql, &[&self.connector])? {
            let (topic, partition, next): (String, i32, i64) = (row.get(0), row.get(1), row.get(2));
            let topic = TopicName::new(&topic).map_err(|error| self.refused(error.to_string()))?;
            let partition = TopicPartition::new(topic, PartitionId(partition.unsigned_abs()));
            positions.insert(partition, Offset(next.unsigned_abs()));
        }
        Ok(positions)
    }

    /// Whether log and target speak of the same life of the connector.
    fn check(&self, committed: &[SinkPosition]) -> Result<(), ConnectError> {
        let marks = committed.iter().filter_map(|position| position.mark.as_ref());
        let mut marks = marks.map(|mark| serde_json::from_slice::<Mark>(mark)).peekable();
        if marks.peek().is_none() && !self.positions.is_empty() {
            return Err(self.refused(format!(
                "the database has its positions in {TABLE}, but the log has none, as if the connector were new; to write all rows anew, empty the \
                 tables and say DELETE FROM {TABLE} WHERE connector = '{}'; else take another name",
                self.connector
            )));
        }
        for mark in marks {
            let mark = mark.map_err(|error| self.refused(format!("the mark is not readable ({error})")))?;
            if mark.incarnation != self.incarnation {
                return Err(self.refused(format!(
                    "{TABLE} does not have the positions that were written before: it is another database, or its rows were deleted; connect to the \
                     one of before, or write anew with a connector of another name"
                )));
            }
        }
        Ok(())
    }

    /// Commits what is written in the open transaction, or nothing, together with positions.
    pub(super) fn commit(
        &mut self,
        session: &Session,
        written: &BTreeMap<TopicPartition, Offset>,
    ) -> Result<(), CommitFailure> {
        let epoch = self.epoch.unwrap_or_default();
        let Some(statements) = &self.statements else { return Err(CommitFailure::Fenced) };
        if session.execute(&statements.hold, &[&self.connector, &epoch, &self.writer])? == 0 {
            return Err(CommitFailure::Fenced);
        }
        if !written.is_empty() {
            let topics: Vec<&str> = written.keys().map(|partition| partition.topic.as_str()).collect();
            let partitions: Vec<i32> = written.keys().map(|partition| partition.partition.0 as i32).collect();
            let offsets: Vec<i64> = written.values().map(|next| next.0 as i64).collect();
            session.execute(&statements.put, &[&self.connector, &epoch, &topics, &partitions, &offsets])?;
        }
        session.try_batch("COMMIT")?;
        self.positions.extend(written.iter().map(|(partition, next)| (partition.clone(), *next)));
        Ok(())
    }

    /// What is committed in the log beside the offsets.
    pub(super) fn mark(&self) -> Vec<u8> {
        serde_json::to_vec(&Mark { incarnation: self.incarnation.clone() }).expect("a string is always JSON")
    }

    /// Whether somebody else has opened the sink.
    pub(super) fn is_taken(&self, session: &Session) -> Result<bool, ConnectError> {
        let sql = format!("SELECT writer FROM {TABLE} WHERE connector = $1 AND partition = -1");
        let head = session.query("see who writes", &sql, &[&self.connector])?;
        Ok(head.first().is_some_and(|row| row.get::<_, Option<String>>(0).as_deref() != Some(self.writer.as_str())))
    }

    /// The end of a writer whose place another one has taken.
    pub(super) fn fenced(&self, session: &Session) -> ConnectError {
        let problem = format!(
            "fenced: another connector named {} writes to this database since; let only one run, or give one of them another name",
            self.connector
        );
        session.refusal(problem)
    }

    fn refused(&self, problem: String) -> ConnectError {
        ConnectError::Position { partition: format!("connector {}", self.connector), problem }
    }
}

impl Statements {
    fn prepare(session: &Session) -> Result<Self, Failure> {
        let hold = format!(
            "UPDATE {TABLE} SET changed = now() WHERE connector = $1 AND topic = '' AND partition = -1 AND epoch = $2 AND writer = $3"
        );
        let put = format!(
            "INSERT INTO {TABLE} (connector, topic, partition, next_offset, epoch) \
             SELECT $1, t, p, n, $2 FROM unnest($3::text[], $4::int4[], $5::int8[]) AS r(t, p, n) \
             ON CONFLICT (connector, topic, partition) DO UPDATE \
             SET next_offset = excluded.next_offset, epoch = excluded.epoch, changed = now()"
        );
        Ok(Self { hold: session.prepare(&hold)?, put: session.prepare(&put)? })
    }
}

/// Makes the table unless it is there; two that try at once are not an error.
fn make_table(session: &Session) -> Result<(), ConnectError> {
    let find = "SELECT to_regclass($1) IS NOT NULL";
    let is_there = |session: &Session| -> Result<bool, ConnectError> {
        let rows = session.query("look for the table of positions", find, &[&TABLE])?;
        Ok(rows.first().is_some_and(|row| row.get(0)))
    };
    if is_there(session)? {
        return Ok(());
    }
    let made = session.try_batch(&format!(
        "CREATE TABLE IF NOT EXISTS {TABLE} (connector text, topic text, partition int4, next_offset int8 NOT NULL, epoch int8 NOT NULL, \
         writer text, incarnation text, changed timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (connector, topic, partition))"
    ));
    match made {
        Err(failure) if failure.database().is_none() || !is_there(session)? => {
            Err(session.error(&format!("make the table {TABLE}"), failure))
        }
        _ => Ok(()),
    }
}
