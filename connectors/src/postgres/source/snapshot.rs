//! The rows of tables as they are: what precedes the changes.
//!
//! The slot is made first, then a transaction of isolation `REPEATABLE READ` is begun, whose snapshot all tables are read with. Of the slot's
//! transactions, those that this snapshot has seen are left out afterwards ([`Seen`]); the others follow its rows. So each change is told once.
//!
//! # Why a crash in the middle loses nothing
//! Positions say which tables are done and what the *first* snapshot had seen. After a crash, the table that was being read is read anew, and
//! those behind it for the first time, with a new snapshot; what is left out afterwards stays what the first one had seen. Every transaction
//! that the first snapshot had not seen is thus told after all rows, in the order of commits. Take a key: if such a transaction has touched it,
//! the last one of them says what it is in the end, also that it is gone; if none has, it is the same in all snapshots. What may happen is that
//! a row of a later snapshot is followed by older versions of it, and then by itself again. Of tables without a key, rows may come twice.

use millstream::{connect::ConnectError, record::Timestamp};
use tokio_postgres::SimpleQueryMessage;

use super::{
    PostgresSource, RecordShape,
    lsn::Lsn,
    position::Seen,
    records::{Field, Operation, Origin, Output, Shape, event},
    server::{log_end, lsn},
    tables::Table,
};
use crate::postgres::session::Session;

/// Rows that are fetched at once.
const FETCH_ROWS: usize = 200;

/// A snapshot that is being read.
pub(super) struct Snapshot {
    /// When it was taken.
    at: Timestamp,
    lsn: Lsn,
    /// The table whose cursor is open.
    open: Option<usize>,
}

impl Snapshot {
    /// Begins the transaction; returns what it sees. From here on the tables keep their columns: what is to change them waits for its end.
    pub(super) fn begin(session: &Session, tables: &[Table]) -> Result<(Self, Seen), ConnectError> {
        let action = "begin the snapshot";
        session.batch(action, "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")?;
        let names: Vec<String> = tables.iter().map(|table| table.name.sql()).collect();
        session.batch(action, &format!("LOCK TABLE {} IN ACCESS SHARE MODE", names.join(", ")))?;
        let taken = session.query(
            action,
            "SELECT pg_current_snapshot()::text, pg_current_wal_insert_lsn()::text, (extract(epoch FROM now()) * 1000)::int8",
            &[],
        )?;
        let Some(taken) = taken.first() else { return Err(session.refusal("there is no snapshot".to_owned())) };
        // The place is read behind the snapshot: what the snapshot has seen was written before it.
        log_end(session)?;
        let until = session.query(action, "SELECT pg_current_wal_insert_lsn()::text", &[])?;
        let until = lsn(session, until.first().map_or("", |row| row.get(0)))?;
        let text: String = taken.get(0);
        let seen = Seen::parse(&text, until).ok_or_else(|| session.refusal(format!("`{text}` is no snapshot")))?;
        let at = Timestamp(taken.get(2));
        Ok((Self { at, lsn: lsn(session, taken.get(1))?, open: None }, seen))
    }

    /// Reads rows of a table into `output`, until the limit of it; whether the table is done.
    pub(super) fn read(
        &mut self,
        session: &Session,
        config: &PostgresSource,
        tables: &[Table],
        number: usize,
        output: &mut Output<'_>,
        is_full: impl Fn(&Output<'_>) -> bool,
    ) -> Result<bool, ConnectError> {
        let table = &tables[number];
        let action = format!("read table {}", table.name);
        if self.open != Some(number) {
            session.batch(&action, &format!("DECLARE snapshot_rows NO SCROLL CURSOR FOR {}", table.rows_query()))?;
            self.open = Some(number);
        }
        let key: Vec<usize> =
            table.key.iter().filter_map(|name| table.columns.iter().position(|column| column.name == *name)).collect();
        let shape = Shape { columns: &table.columns, key: &key };
        while !is_full(output) {
            let messages = session
                .text(&format!("FETCH {FETCH_ROWS} FROM snapshot_rows"))
                .map_err(|failure| session.error(&action, failure))?;
            let mut count = 0;
            for message in &messages {
                let SimpleQueryMessage::Row(row) = message else { continue };
                let field = |at| row.get(at).map_or(Field::Null, |text| Field::Text(text.into()));
                let row: Vec<Field<'_>> = (0..table.columns.len()).map(field).collect();
                self.push(config, table, shape, &row, output);
                count += 1;
            }
            if count < FETCH_ROWS {
                session.batch(&action, "CLOSE snapshot_rows")?;
                self.open = None;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn push(
        &self,
        config: &PostgresSource,
        table: &Table,
        shape: Shape<'_>,
        row: &[Field<'_>],
        output: &mut Output<'_>,
    ) {
        let mut value = shape.row(row);
        if config.shape == RecordShape::Envelope {
            let origin = Origin {
                database: &config.connection.database,
                schema: table.name.schema.as_deref().unwrap_or_default(),
                table: &table.name.table,
                lsn: self.lsn,
                xid: None,
                at: self.at,
            };
            value = event(Operation::Read, None, Some(&value), origin);
        }
        output.push(&table.topic, shape.key(row).as_deref(), Some(&value), self.at);
    }

    /// Ends the transaction.
    pub(super) fn end(self, session: &Session) -> Result<(), ConnectError> {
        session.batch("end the snapshot", "COMMIT")
    }
}
