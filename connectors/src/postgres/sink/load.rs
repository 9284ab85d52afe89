//! Bringing rows into a table within the open transaction.
//!
//! Rows go by binary COPY into a temporary table and from there, in one statement a chunk, into the table: deletions first, then
//! `INSERT .. ON CONFLICT DO UPDATE`. Rows that need no conversion go by COPY into the table at once, which takes half the time: those that are
//! only added, and those that are upserted as long as the table turns out to have none of them ([`Shortcut`]).
//!
//! If a chunk fails for values (data exceptions, constraints, triggers), its rows are tried by halves, each behind a savepoint, until those
//! that cannot be taken stand alone. Then everything of the chunk is taken back and done again without them, so that an earlier change of a
//! key that a bad one had hidden counts. Each round leaves out at least one row: it ends.

use std::cell::Cell;

use millstream::{connect::RejectedRecord, record::TopicName};
use tokio_postgres::Statement;

use super::{
    InsertMode,
    buffer::{Buffer, Piece, Place, Refusal},
    target::{Target, misfit},
};
use crate::postgres::{
    identifier::quoted,
    problem::{Failure, words},
    session::Session,
};

/// Why rows were not brought over.
pub(super) enum LoadFailure {
    Server(Failure),
    /// The rows as a whole cannot be written.
    Rows(String),
}

impl From<Failure> for LoadFailure {
    fn from(failure: Failure) -> Self {
        Self::Server(failure)
    }
}

/// Whether rows that are upserted are tried as new ones. Each time that some are there already, twice as many chunks go the sure way before the
/// next try, so that what tries cost, time and the space of rows that were taken back, stays small.
#[derive(Default)]
struct Shortcut {
    /// So many chunks before the next try.
    left: Cell<u32>,
    /// So many after the last failure.
    pause: Cell<u32>,
}

/// The longest pause, in chunks.
const LONGEST_PAUSE: u32 = 64;

impl Shortcut {
    fn is_open(&self) -> bool {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left == 0
    }

    fn was_right(&self) {
        self.pause.set(0);
    }

    fn was_wrong(&self) {
        let pause = (self.pause.get() * 2).clamp(1, LONGEST_PAUSE);
        self.pause.set(pause);
        self.left.set(pause);
    }
}

/// The statements of one table, prepared for one session.
pub(super) struct Loader {
    target: Target,
    stage: String,
    copy_stage: Statement,
    copy_direct: Option<Statement>,
    shortcut: Shortcut,
    /// Of rows `$1 <= number < $2`.
    insert: Statement,
    delete: Option<Statement>,
}

impl Loader {
    /// Makes the staging table and prepares the statements, which is how the server tells whether the rows fit.
    pub(super) fn open(
        session: &Session,
        target: Target,
        topic: &TopicName,
        number: usize,
    ) -> Result<Self, millstream::connect::ConnectError> {
        let stage = quoted(&format!("_millstream_stage_{number}"));
        let columns = target.columns.iter().enumerate();
        let mut parts = vec!["_row int4".to_owned()];
        parts.extend((target.mode == InsertMode::Upsert).then(|| "_delete bool".to_owned()));
        parts.extend(columns.map(|(at, column)| format!("c{at} {}", column.wire.staged())));
        let made = format!("CREATE TEMP TABLE {stage} ({}) ON COMMIT DELETE ROWS", parts.join(", "));
        session.batch("make a temporary table", &made)?;
        let prepared = |sql: &str| {
            session.prepare(sql).map_err(|failure| match failure.database() {
                Some(error) if error.code().code().starts_with("42") && error.code().code() != "42501" => {
                    misfit(&target.table, topic, error)
                }
                _ => session.error(&format!("write to table {}", target.table), failure),
            })
        };
        let direct = format!("COPY {} ({}) FROM STDIN BINARY", target.table.sql(), target.column_list());
        Ok(Self {
            copy_stage: prepared(&format!("COPY {stage} FROM STDIN BINARY"))?,
            copy_direct: target.takes_copies(session)?.then(|| prepared(&direct)).transpose()?,
            shortcut: Shortcut::default(),
            insert: prepared(&insert_statement(&target, &stage))?,
            delete: (target.mode == InsertMode::Upsert)
                .then(|| prepared(&delete_statement(&target, &stage)))
                .transpose()?,
            stage,
            target,
        })
    }

    /// Brings the rows over; returns the records that the table does not take.
    pub(super) fn load(
        &self,
        session: &Session,
        pieces: &[Piece],
        chunk_rows: usize,
    ) -> Result<Vec<RejectedRecord>, LoadFailure> {
        let buffer = Buffer::new(&self.target, pieces).map_err(LoadFailure::Rows)?;
        let (rows, mut bad) = buffer.rows();
        for (number, chunk) in rows.chunks(chunk_rows.max(1)).enumerate() {
            if number > 0 {
                // Outside of savepoints, the second time in a transaction it costs next to nothing.
                session.try_batch(&format!("TRUNCATE {}", self.stage))?;
            }
            bad.extend(Chunk { loader: self, session, buffer: &buffer }.load(chunk)?);
        }
        Ok(bad.into_iter().map(|refusal| buffer.rejected(refusal)).collect())
    }
}

/// From the staging table into the table.
fn insert_statement(target: &Target, stage: &str) -> String {
    let value =
        |(at, column): (usize, &super::target::TargetColumn)| column.wire.assigned(&format!("s.c{at}"), &column.target);
    let values: Vec<String> = target.columns.iter().enumerate().map(value).collect();
    let mut sql = format!(
        "INSERT INTO {} ({}) SELECT {} FROM {stage} s WHERE s._row >= $1 AND s._row < $2",
        target.table.sql(),
        target.column_list(),
        values.join(", ")
    );
    if target.mode == InsertMode::Insert {
        return sql;
    }
    let names: Vec<String> = target.columns.iter().map(|column| quoted(&column.name)).collect();
    let key: Vec<&str> = target.key.iter().map(|at| names[*at].as_str()).collect();
    let others = names.iter().enumerate().filter(|(at, _)| !target.key.contains(at));
    let changes: Vec<String> = others.map(|(_, name)| format!("{name} = excluded.{name}")).collect();
    sql.push_str(&format!(" AND NOT s._delete ON CONFLICT ({}) DO ", key.join(", ")));
    if changes.is_empty() {
        sql.push_str("NOTHING");
    } else {
        sql.push_str(&format!("UPDATE SET {}", changes.join(", ")));
    }
    sql
}

fn delete_statement(target: &Target, stage: &str) -> String {
    let same = |at: &usize| {
        let column = &target.columns[*at];
        format!("t.{} = s.c{at}::{}", quoted(&column.name), column.target.base)
    };
    let same: Vec<String> = target.key.iter().map(same).collect();
    format!(
        "DELETE FROM {} t USING {stage} s WHERE s._row >= $1 AND s._row < $2 AND s._delete AND {}",
        target.table.sql(),
        same.join(" AND ")
    )
}

/// Rows that go to the server together.
struct Chunk<'a> {
    loader: &'a Loader,
    session: &'a Session,
    buffer: &'a Buffer<'a>,
}

impl Chunk<'_> {
    fn load(&self, rows: &[Place]) -> Result<Vec<Refusal>, LoadFailure> {
        let mut left = rows.to_vec();
        let mut all_bad: Vec<Refusal> = Vec::new();
        self.session.try_batch("SAVEPOINT chunk")?;
        loop {
            let rows = self.buffer.last_of_keys(&left);
            let bad = self.attempt(&rows)?;
            if bad.is_empty() {
                self.session.try_batch("RELEASE SAVEPOINT chunk")?;
                return Ok(all_bad);
            }
            self.session.try_batch("ROLLBACK TO SAVEPOINT chunk")?;
            left.retain(|place| bad.iter().all(|(at, _)| at != place));
            all_bad.extend(bad);
        }
    }

    /// Brings rows over; returns those that cannot be, in which case the others have to be done again.
    fn attempt(&self, rows: &[Place]) -> Result<Vec<Refusal>, LoadFailure> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(copy) = self.direct(rows) {
            let data = match self.buffer.direct(rows) {
                Ok(data) => data,
                Err(bad) => return Ok(bad),
            };
            if self.copy_directly(copy, data)? {
                return Ok(Vec::new());
            }
        }
        let data = match self.buffer.staged(rows) {
            Ok(data) => data,
            Err(bad) => return Ok(bad),
        };
        self.session.copy_in(&self.loader.copy_stage, data)?;
        let mut bad = Vec::new();
        self.halve(rows, 0, rows.len(), &mut bad)?;
        Ok(bad)
    }

    /// The statement that takes the rows into the table at once, if that is worth trying.
    fn direct(&self, rows: &[Place]) -> Option<&Statement> {
        let copy = self.loader.copy_direct.as_ref()?;
        let is_plain = self.loader.target.mode == InsertMode::Insert
            || (!rows.iter().any(|place| self.buffer.is_deletion(*place)) && self.loader.shortcut.is_open());
        is_plain.then_some(copy)
    }

    /// Whether the table has taken the rows; if not, nothing has happened.
    fn copy_directly(&self, copy: &Statement, data: bytes::Bytes) -> Result<bool, LoadFailure> {
        self.session.try_batch("SAVEPOINT direct")?;
        match self.session.copy_in(copy, data) {
            Ok(_) => {
                self.session.try_batch("RELEASE SAVEPOINT direct")?;
                self.loader.shortcut.was_right();
                Ok(true)
            }
            Err(failure) if failure.is_of_a_row() => {
                self.session.try_batch("ROLLBACK TO SAVEPOINT direct; RELEASE SAVEPOINT direct")?;
                self.loader.shortcut.was_wrong();
                Ok(false)
            }
            Err(failure) => Err(failure.into()),
        }
    }

    /// Applies the staged rows from `low` to `high`, leaving out and listing those that fail alone.
    fn halve(&self, rows: &[Place], low: usize, high: usize, bad: &mut Vec<Refusal>) -> Result<(), LoadFailure> {
        self.session.try_batch("SAVEPOINT part")?;
        let failure = match self.apply(rows, low, high) {
            Ok(()) => return Ok(self.session.try_batch("RELEASE SAVEPOINT part")?),
            Err(failure) if failure.is_of_a_row() => failure,
            Err(failure) => return Err(failure.into()),
        };
        self.session.try_batch("ROLLBACK TO SAVEPOINT part; RELEASE SAVEPOINT part")?;
        if high - low == 1 {
            bad.push((rows[low], self.diagnosis(low, &failure)?));
            return Ok(());
        }
        let middle = low + (high - low) / 2;
        self.halve(rows, low, middle, bad)?;
        self.halve(rows, middle, high, bad)
    }

    fn apply(&self, rows: &[Place], low: usize, high: usize) -> Result<(), Failure> {
        let range: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&(low as i32), &(high as i32)];
        let deletions = rows[low..high].iter().filter(|place| self.buffer.is_deletion(**place)).count();
        if let Some(delete) = self.loader.delete.as_ref().filter(|_| deletions > 0) {
            self.session.execute(delete, &range)?;
        }
        if deletions < high - low {
            self.session.execute(&self.loader.insert, &range)?;
        }
        Ok(())
    }

    /// What is wrong with a staged row: which column, and what the server says.
    fn diagnosis(&self, row: usize, failure: &Failure) -> Result<String, LoadFailure> {
        let Some(error) = failure.database() else { return Ok("the server does not take it".to_owned()) };
        let table = &self.loader.target.table;
        let constraint = error.constraint().map(|name| format!(", constraint {name}")).unwrap_or_default();
        let column = match error.column() {
            Some(name) => Some(name.to_owned()),
            None if error.constraint().is_some() => None,
            None => self.culprit(row, error.message())?,
        };
        let place = column.map(|name| format!(", column `{name}`")).unwrap_or_default();
        Ok(format!("table {table}{place}{constraint}: {}", words(error)))
    }

    /// The column whose value cannot be converted, or of whose type the message speaks.
    fn culprit(&self, row: usize, message: &str) -> Result<Option<String>, LoadFailure> {
        let columns = &self.loader.target.columns;
        for (at, column) in columns.iter().enumerate() {
            let value = column.wire.assigned(&format!("s.c{at}"), &column.target);
            let sql = format!(
                "SAVEPOINT probe; SELECT count(({value})::{}) FROM {} s WHERE s._row = {row}",
                column.target.full, self.loader.stage
            );
            let probed = self.session.try_batch(&sql);
            self.session.try_batch("ROLLBACK TO SAVEPOINT probe; RELEASE SAVEPOINT probe")?;
            match probed {
                Err(failure) if failure.is_of_a_row() => return Ok(Some(column.name.clone())),
                Err(failure) if failure.database().is_none() => return Err(failure.into()),
                _ => {}
            }
        }
        let named = |column: &&super::target::TargetColumn| {
            column.target.full != column.target.base && message.contains(&column.target.full)
        };
        Ok(columns.iter().find(named).map(|column| column.name.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortcut_that_fails_is_tried_less_and_less() {
        let shortcut = Shortcut::default();
        let tries: Vec<u32> = (0..400)
            .filter(|_| {
                let is_open = shortcut.is_open();
                if is_open {
                    shortcut.was_wrong();
                }
                is_open
            })
            .collect();
        assert_eq!(tries, [0, 2, 5, 10, 19, 36, 69, 134, 199, 264, 329, 394]);
        let shortcut = Shortcut::default();
        assert!((0..10).all(|_| {
            shortcut.was_right();
            shortcut.is_open()
        }));
    }
}
