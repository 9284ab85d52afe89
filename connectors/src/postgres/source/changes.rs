//! Changes out of the slot: transactions in the order of their commits.
//!
//! `pg_logical_slot_peek_binary_changes` gives whole transactions and moves nothing; a cursor over it is drained by polls, as far as their limits
//! allow. A transaction is cut only if it is larger than [`CUT`] times the limits; then the position says how much of it is taken.
//! Transactions that the position has behind it already, because the slot is confirmed later than the log commits, are left out.

use std::{borrow::Cow, collections::VecDeque};

use millstream::{
    connect::{ConnectError, PollLimits},
    record::Timestamp,
};
use tokio_postgres::SimpleQueryMessage;

use super::{
    PostgresSource, RecordShape, Truncates,
    lsn::Lsn,
    pgoutput::{Message, Old, Tuple, Value, parse},
    position::{SourcePosition, Within},
    records::{Field, Operation, Origin, Output, Shape, event},
    relations::{Known, Relations},
    tables::Table,
};
use crate::postgres::{
    identifier::{literal, quoted},
    session::Session,
};

/// A transaction may be so many times larger than the limits before it is cut.
const CUT: usize = 16;
/// Messages that are fetched at once.
const FETCH_MESSAGES: usize = 256;
/// Changes that the server decodes at once; it goes on to the end of a transaction. Each time it begins at the oldest transaction that was open
/// at the confirmed place, so this is not small.
const DECODE_CHANGES: usize = 100_000;
/// From 1970 to 2000.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// What is read out of the slot.
#[derive(Default)]
pub(super) struct Changes {
    relations: Relations,
    /// Messages that were fetched and not taken.
    waiting: VecDeque<Vec<u8>>,
    /// Whether there is a cursor on the server.
    is_open: bool,
    /// Whether the cursor has given anything.
    has_given: bool,
    transaction: Option<Transaction>,
}

/// The transaction that messages belong to.
#[derive(Debug, Clone, Copy)]
struct Transaction {
    commit: Lsn,
    xid: u32,
    at: Timestamp,
    /// Changes met so far.
    changes: u64,
    /// So many are left out, because they are taken; all of them for a transaction that is behind.
    taken: u64,
}

/// What reading needs.
pub(super) struct Reading<'a> {
    pub(super) session: &'a Session,
    pub(super) config: &'a PostgresSource,
    pub(super) tables: &'a [Table],
    pub(super) publication: &'a str,
}

/// How a poll ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reached {
    /// A limit.
    Limit,
    /// The end of what the server had decoded.
    End,
    /// The same, and there was nothing: the slot has no transactions up to the place where the log ended before.
    Nothing,
}

impl Changes {
    /// Whether a cursor is open, and the slot is to be left alone.
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Takes changes into `output` and moves the position with them.
    pub(super) fn read(
        &mut self,
        reading: &Reading<'_>,
        position: &mut SourcePosition,
        limits: PollLimits,
        output: &mut Output<'_>,
    ) -> Result<Reached, ConnectError> {
        if !self.is_open {
            self.open(reading, &position.slot)?;
        }
        loop {
            while let Some(message) = self.waiting.pop_front() {
                let problem = |problem: String| reading.session.refusal(problem);
                let parsed = parse(&message).map_err(problem)?;
                self.take(reading, position, parsed, output)?;
                let times = if self.transaction.is_some() { CUT } else { 1 };
                if output.rows >= limits.rows.saturating_mul(times)
                    || output.bytes >= limits.bytes.saturating_mul(times)
                {
                    self.cut(position);
                    return Ok(Reached::Limit);
                }
            }
            if !self.fetch(reading)? {
                return Ok(if self.has_given { Reached::End } else { Reached::Nothing });
            }
        }
    }

    fn open(&mut self, reading: &Reading<'_>, slot: &str) -> Result<(), ConnectError> {
        let options = format!("'proto_version', '1', 'publication_names', {}", literal(&quoted(reading.publication)));
        let sql = format!(
            "BEGIN; DECLARE changes NO SCROLL CURSOR FOR SELECT data FROM \
             pg_logical_slot_peek_binary_changes({}, NULL, {DECODE_CHANGES}, {options})",
            literal(slot)
        );
        reading.session.batch("read changes", &sql)?;
        (self.is_open, self.has_given, self.transaction) = (true, false, None);
        Ok(())
    }

    /// Fetches messages; closes the cursor if there are no more.
    fn fetch(&mut self, reading: &Reading<'_>) -> Result<bool, ConnectError> {
        let rows = reading.session.query("read changes", &format!("FETCH {FETCH_MESSAGES} FROM changes"), &[])?;
        self.waiting.extend(rows.iter().map(|row| row.get::<_, &[u8]>(0).to_vec()));
        self.has_given |= !rows.is_empty();
        if rows.is_empty() {
            reading.session.batch("read changes", "COMMIT")?;
            self.is_open = false;
        }
        Ok(!rows.is_empty())
    }

    /// Marks in the position how much of the transaction at hand is taken.
    fn cut(&self, position: &mut SourcePosition) {
        let Some(transaction) = self.transaction.filter(|transaction| transaction.changes > transaction.taken) else {
            return;
        };
        tracing::warn!(
            slot = %position.slot, xid = transaction.xid, changes = transaction.changes,
            "a transaction is too large for one commit and is cut; raise 'batch.rows' to keep larger ones whole"
        );
        position.within = Some(Within { commit: transaction.commit, changes: transaction.changes });
    }

    fn take(
        &mut self,
        reading: &Reading<'_>,
        position: &mut SourcePosition,
        message: Message<'_>,
        output: &mut Output<'_>,
    ) -> Result<(), ConnectError> {
        match message {
            Message::Begin { commit, commit_micros, xid } => {
                let at = Timestamp(commit_micros.saturating_add(EPOCH_MICROS).div_euclid(1000));
                let taken = taken_of(position, Lsn(commit), xid);
                self.transaction = Some(Transaction { commit: Lsn(commit), xid, at, changes: 0, taken });
            }
            Message::Commit { end } => {
                self.transaction = None;
                if Lsn(end) > position.lsn {
                    position.lsn = Lsn(end);
                    position.within = None;
                }
                if position.seen.as_ref().is_some_and(|seen| Lsn(end) >= seen.until) {
                    position.seen = None;
                }
            }
            Message::Relation(relation) => self.relations.learn(reading.session, reading.tables, relation)?,
            Message::Other => {}
            Message::Truncate { relations } => {
                if self.counts() {
                    relations.iter().try_for_each(|relation| self.truncate(reading, *relation, output))?;
                }
            }
            Message::Insert { relation, new } => self.change(reading, relation, Row::Created(new), output)?,
            Message::Update { relation, old, new } => self.change(reading, relation, Row::Updated(old, new), output)?,
            Message::Delete { relation, old } => self.change(reading, relation, Row::Deleted(old), output)?,
        }
        Ok(())
    }

    /// Counts a change; whether it is a new one.
    fn counts(&mut self) -> bool {
        self.transaction.as_mut().is_some_and(|transaction| {
            transaction.changes = transaction.changes.saturating_add(1);
            transaction.changes > transaction.taken
        })
    }

    fn truncate(&self, reading: &Reading<'_>, relation: u32, output: &mut Output<'_>) -> Result<(), ConnectError> {
        let known = self.relations.known(reading.session, reading.tables, relation)?;
        let (Some((_, table)), Some(transaction)) = (known, self.transaction) else {
            return Ok(());
        };
        match (reading.config.shape, reading.config.truncates) {
            (RecordShape::Envelope, _) => {
                let origin = origin(reading.config, table, &transaction);
                let value = event(Operation::Truncate, None, None, origin);
                output.push(&table.topic, None, Some(&value), transaction.at);
                Ok(())
            }
            (RecordShape::Row, Truncates::Skip) => {
                tracing::warn!(table = %table.name, "the table was truncated; its rows stay in the topic");
                Ok(())
            }
            (RecordShape::Row, Truncates::Fail) => Err(reading.session.refusal(format!(
                "table {} was truncated, which does not say what keys are to be deleted; go on with the rows left in the topic by \
                 'truncate.handling' = 'skip', or take changes as events with 'envelope' = 'true'",
                table.name
            ))),
        }
    }

    fn change(
        &mut self,
        reading: &Reading<'_>,
        relation: u32,
        row: Row<'_>,
        output: &mut Output<'_>,
    ) -> Result<(), ConnectError> {
        if !self.counts() {
            return Ok(());
        }
        let known = self.relations.known(reading.session, reading.tables, relation)?;
        let (Some((known, table)), Some(transaction)) = (known, self.transaction) else {
            return Ok(());
        };
        let columns = known.relation.columns.len();
        if row.tuples().into_iter().flatten().any(|tuple| tuple.len() != columns) {
            return Err(reading
                .session
                .refusal(format!("a change of table {} has other columns than it should", table.name)));
        }
        let change = Change { reading, known, table, transaction };
        match &row {
            Row::Created(new) => change.put(Operation::Create, None, new, output),
            Row::Updated(old, new) => change.put(Operation::Update, old.as_ref(), new, output),
            Row::Deleted(old) => {
                change.delete(old, output);
                Ok(())
            }
        }
    }
}

/// What happened to a row.
enum Row<'m> {
    Created(Tuple<'m>),
    Updated(Option<Old<'m>>, Tuple<'m>),
    Deleted(Old<'m>),
}

impl<'m> Row<'m> {
    fn tuples(&self) -> [Option<&Tuple<'m>>; 2] {
        match self {
            Self::Created(new) => [Some(new), None],
            Self::Updated(old, new) => [Some(new), old.as_ref().map(Old::tuple)],
            Self::Deleted(old) => [Some(old.tuple()), None],
        }
    }
}

/// How many changes of a transaction are taken already: all of one that is behind the position, or that the snapshot has seen.
fn taken_of(position: &SourcePosition, commit: Lsn, xid: u32) -> u64 {
    let was_seen = position.seen.as_ref().is_some_and(|seen| commit < seen.until && seen.holds(xid));
    if commit < position.lsn || was_seen {
        return u64::MAX;
    }
    position.within.filter(|within| within.commit == commit).map_or(0, |within| within.changes)
}

fn origin<'a>(config: &'a PostgresSource, table: &'a Table, transaction: &Transaction) -> Origin<'a> {
    Origin {
        database: &config.connection.database,
        schema: table.name.schema.as_deref().unwrap_or_default(),
        table: &table.name.table,
        lsn: transaction.commit,
        xid: Some(transaction.xid),
        at: transaction.at,
    }
}

/// A change of a table that is followed.
struct Change<'a> {
    reading: &'a Reading<'a>,
    known: &'a Known,
    table: &'a Table,
    transaction: Transaction,
}

impl Change<'_> {
    fn shape(&self) -> Shape<'_> {
        Shape { columns: &self.known.relation.columns, key: &self.known.key }
    }

    /// The row as it was, as far as the log has it.
    fn before(&self, old: &Old<'_>) -> Vec<u8> {
        let row = fields(old.tuple());
        match old {
            Old::Key(_) => self.shape().key_object(&row),
            Old::Row(_) => self.shape().row(&row),
        }
    }

    fn delete(&self, old: &Old<'_>, output: &mut Output<'_>) {
        let key = self.shape().key(&fields(old.tuple()));
        let value = (self.reading.config.shape == RecordShape::Envelope).then(|| {
            event(
                Operation::Delete,
                Some(&self.before(old)),
                None,
                origin(self.reading.config, self.table, &self.transaction),
            )
        });
        output.push(&self.table.topic, key.as_deref(), value.as_deref(), self.transaction.at);
    }

    /// An insert or an update. One that changes the key deletes the old one and creates the new one.
    fn put(
        &self,
        operation: Operation,
        old: Option<&Old<'_>>,
        new: &Tuple<'_>,
        output: &mut Output<'_>,
    ) -> Result<(), ConnectError> {
        let row = self.complete(old, new)?;
        let key = self.shape().key(&row);
        let is_moved = old.is_some_and(|old| self.shape().key(&fields(old.tuple())) != key);
        if let Some(old) = old.filter(|_| is_moved) {
            self.delete(old, output);
        }
        let mut value = self.shape().row(&row);
        if self.reading.config.shape == RecordShape::Envelope {
            let before = old.filter(|_| !is_moved).map(|old| self.before(old));
            let operation = if is_moved { Operation::Create } else { operation };
            let origin = origin(self.reading.config, self.table, &self.transaction);
            value = event(operation, before.as_deref(), Some(&value), origin);
        }
        output.push(&self.table.topic, key.as_deref(), Some(&value), self.transaction.at);
        Ok(())
    }

    /// The new row with the large values that the log does not repeat: from the row before, if the log has it, else as they are now. If they
    /// were changed since, the change follows; if the row is gone, so does its deletion. A large key is always in the row before.
    fn complete<'t>(&self, old: Option<&Old<'t>>, new: &Tuple<'t>) -> Result<Vec<Field<'t>>, ConnectError> {
        let mut row = fields(new);
        if let Some(old) = old {
            let before = fields(old.tuple());
            let is_told = |at: usize| matches!(old, Old::Row(_)) || self.known.key.contains(&at);
            for at in (0..row.len()).filter(|at| new[*at] == Value::Unchanged && is_told(*at)) {
                row[at] = before[at].clone();
            }
        }
        let unknown: Vec<usize> = (0..row.len()).filter(|at| row[*at] == Field::Unknown).collect();
        if unknown.is_empty() {
            return Ok(row);
        }
        for (at, text) in unknown.iter().zip(self.fetch(&unknown, &row)?) {
            row[*at] = text;
        }
        Ok(row)
    }

    /// Columns of a row as they are now.
    fn fetch(&self, columns: &[usize], row: &[Field<'_>]) -> Result<Vec<Field<'static>>, ConnectError> {
        let all = &self.known.relation.columns;
        let key = self.known.key.iter().map(|at| match &row[*at] {
            Field::Text(text) => Some(format!("{} = {}", quoted(&all[*at].name), literal(text))),
            _ => None,
        });
        let missing = || vec![Field::Unknown; columns.len()];
        let Some(key) = key.collect::<Option<Vec<_>>>().filter(|key| !key.is_empty()) else { return Ok(missing()) };
        let wanted: Vec<String> = columns.iter().map(|at| quoted(&all[*at].name)).collect();
        let sql = format!("SELECT {} FROM {} WHERE {}", wanted.join(", "), self.table.name.sql(), key.join(" AND "));
        let session = self.reading.session;
        let action = format!("fetch large values of table {}", self.table.name);
        // A column may be gone by now, which must not spoil the cursor's transaction.
        session.batch(&action, "SAVEPOINT large_values")?;
        let found = session.text(&sql);
        session.batch(&action, "ROLLBACK TO SAVEPOINT large_values; RELEASE SAVEPOINT large_values")?;
        let messages = match found {
            Err(failure) if failure.database().is_some() => return Ok(missing()),
            found => found.map_err(|failure| session.error(&action, failure))?,
        };
        let row = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let Some(row) = row else { return Ok(missing()) };
        let field = |at| row.get(at).map_or(Field::Null, |text: &str| Field::Text(Cow::Owned(text.to_owned())));
        Ok((0..columns.len()).map(field).collect())
    }
}

fn fields<'t>(tuple: &Tuple<'t>) -> Vec<Field<'t>> {
    let field = |value: &Value<'t>| match value {
        Value::Null => Field::Null,
        Value::Unchanged => Field::Unknown,
        Value::Text(text) => Field::Text(Cow::Borrowed(*text)),
    };
    tuple.iter().map(field).collect()
}
