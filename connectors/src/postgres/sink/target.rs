//! The table of a topic: as it is found, as it is made, and which of its columns takes which column of the rows.
//!
//! A column is found by its name as it is, then as Postgres would fold it, then without regard to case if that leaves one. Columns of the table
//! that rows do not have keep what they have, or get their default.

use arrow::datatypes::DataType;
use millstream::{connect::ConnectError, record::TopicName};

use super::{
    Deletes, InsertMode, Missing, PostgresSink,
    column::{TargetType, Wire},
};
use crate::{
    postgres::{
        identifier::{TableName, folded, quoted},
        problem::words,
        session::Session,
    },
    rows::{RowKind, RowSchema},
};

/// How the rows of a topic go into its table.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) table: TableName,
    /// One a column of the rows, in their order.
    pub(super) columns: Vec<TargetColumn>,
    /// Which of them make the key; empty for rows that are only added.
    pub(super) key: Vec<usize>,
    pub(super) mode: InsertMode,
    pub(super) tombstones: Tombstones,
}

#[derive(Debug, Clone)]
pub(super) struct TargetColumn {
    pub(super) name: String,
    pub(super) wire: Wire,
    pub(super) target: TargetType,
}

/// What becomes of tombstones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tombstones {
    Delete,
    Skip,
    Reject,
}

/// A column as the table has it.
struct Found {
    name: String,
    target: TargetType,
    /// Whether a row may come without it.
    may_lack: bool,
}

impl Target {
    /// Looks at the table, makes what is to be made, and checks that the rows fit.
    pub(super) fn open(
        session: &Session,
        config: &PostgresSink,
        topic: &TopicName,
        schema: &RowSchema,
    ) -> Result<Self, ConnectError> {
        let opening = Opening { session, config, topic, schema, table: config.table_of(topic) };
        opening.target()
    }

    /// Names of the columns as SQL, with commas between.
    pub(super) fn column_list(&self) -> String {
        self.columns.iter().map(|column| quoted(&column.name)).collect::<Vec<_>>().join(", ")
    }

    /// Whether rows can go by COPY into the table at once: they need no conversion in the server, and nothing makes a COPY fail before its first
    /// row, after which the client library gives up the connection. That would be row-level security, a lack of rights, and triggers that look at
    /// the statement.
    pub(super) fn takes_copies(&self, session: &Session) -> Result<bool, ConnectError> {
        let takes_as_sent = |column: &TargetColumn| {
            column.wire.staged() == column.target.base && column.wire.assigned("", &column.target).is_empty()
        };
        if !self.columns.iter().all(takes_as_sent) {
            return Ok(false);
        }
        let rows = session.query(
            "look at a table",
            "SELECT relkind IN ('r', 'p') AND NOT row_security_active(oid) AND has_table_privilege(oid, 'INSERT') AND NOT EXISTS \
             (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal AND tgtype & 1 = 0 AND tgtype & 6 = 6) \
             FROM pg_class c WHERE oid = to_regclass($1)",
            &[&self.table.sql()],
        )?;
        Ok(rows.first().is_some_and(|row| row.get(0)))
    }
}

struct Opening<'a> {
    session: &'a Session,
    config: &'a PostgresSink,
    topic: &'a TopicName,
    schema: &'a RowSchema,
    table: TableName,
}

impl Opening<'_> {
    fn target(&self) -> Result<Target, ConnectError> {
        let mode = self.config.insert_mode(self.schema.kind);
        let key = self.key(mode)?;
        let tombstones = self.tombstones(mode, &key)?;
        let wires = self.wires()?;
        let mut found = self.find()?;
        if found.is_empty() {
            self.create(&wires, &key)?;
            found = self.find()?;
        }
        if self.evolve(&wires, &found)? {
            found = self.find()?;
        }
        let columns = self.pair(wires, &found)?;
        if mode == InsertMode::Upsert {
            self.check_unique(&key, &columns)?;
        }
        Ok(Target { table: self.table.clone(), columns, key, mode, tombstones })
    }

    fn refused(&self, problem: String) -> ConnectError {
        ConnectError::Input { input: format!("topic {} into table {}", self.topic, self.table), problem }
    }

    fn key(&self, mode: InsertMode) -> Result<Vec<usize>, ConnectError> {
        if mode == InsertMode::Insert {
            return Ok(Vec::new());
        }
        let fields = self.schema.columns.fields();
        let position = |name: &String| {
            fields
                .iter()
                .position(|field| field.name() == name)
                .or_else(|| fields.iter().position(|field| field.name().eq_ignore_ascii_case(name)))
        };
        if self.config.key_columns.is_empty() {
            if self.schema.key_columns == 0 {
                return Err(self.refused(
                    "rows are upserted by a key, and the topic has none; name its columns in 'pk.fields', or add rows with 'insert.mode' = 'insert'".to_owned(),
                ));
            }
            return Ok((0..self.schema.key_columns).collect());
        }
        let known = || fields.iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ");
        let missing = |name: &String| self.refused(format!("'pk.fields' names `{name}`, the rows have {}", known()));
        self.config.key_columns.iter().map(|name| position(name).ok_or_else(|| missing(name))).collect()
    }

    fn tombstones(&self, mode: InsertMode, key: &[usize]) -> Result<Tombstones, ConnectError> {
        match (self.config.deletes, mode) {
            (Some(Deletes::Keep), _) => Ok(Tombstones::Skip),
            (None, InsertMode::Insert) => Ok(Tombstones::Reject),
            (_, _) if self.schema.kind == RowKind::Table && key.iter().any(|at| *at >= self.schema.key_columns) => {
                Err(self.refused(
                    "a tombstone has only the columns of the topic's key, 'pk.fields' names others; leave deletions out with 'delete.enabled' = 'false'".to_owned(),
                ))
            }
            _ => Ok(Tombstones::Delete),
        }
    }

    fn wires(&self) -> Result<Vec<Wire>, ConnectError> {
        let refused = |name: &str, data_type: &DataType| {
            self.refused(format!(
                "column `{name}` has type {data_type}, which Postgres does not have; leave it out or cast it"
            ))
        };
        let fields = self.schema.columns.fields().iter();
        fields
            .map(|field| Wire::of(field.data_type()).ok_or_else(|| refused(field.name(), field.data_type())))
            .collect()
    }

    /// The columns of the table; none if it is not there.
    fn find(&self) -> Result<Vec<Found>, ConnectError> {
        let rows = self.session.query(
            "look at a table",
            "SELECT a.attname::text, format_type(a.atttypid, -1), format_type(a.atttypid, a.atttypmod), t.typcategory, \
             NOT a.attnotnull OR a.atthasdef OR a.attidentity <> '' \
             FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
             WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum",
            &[&self.table.sql()],
        )?;
        Ok(rows
            .iter()
            .map(|row| Found {
                name: row.get(0),
                target: TargetType { base: row.get(1), full: row.get(2), category: row.get(3) },
                may_lack: row.get(4),
            })
            .collect())
    }

    fn create(&self, wires: &[Wire], key: &[usize]) -> Result<(), ConnectError> {
        let names: Vec<String> =
            self.schema.columns.fields().iter().map(|field| quoted(&folded(field.name()))).collect();
        let mut parts: Vec<String> =
            names.iter().zip(wires).map(|(name, wire)| format!("{name} {}", wire.created())).collect();
        if !key.is_empty() {
            let key: Vec<&str> = key.iter().map(|at| names[*at].as_str()).collect();
            parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
        }
        let sql = format!("CREATE TABLE IF NOT EXISTS {} ({})", self.table.sql(), parts.join(", "));
        if self.config.missing_table == Missing::Fail {
            return Err(self.refused(format!(
                "there is no such table; make it ({sql}), let the connector do it with 'auto.create' = 'true', or see whether \
                 'table.name.format' and the database are right"
            )));
        }
        self.session.batch(&format!("make table {}", self.table), &sql)
    }

    /// Adds missing columns; whether there were any.
    fn evolve(&self, wires: &[Wire], found: &[Found]) -> Result<bool, ConnectError> {
        let fields = self.schema.columns.fields().iter().zip(wires);
        let missing: Vec<String> = fields
            .filter(|(field, _)| of_name(found, field.name()).is_none())
            .map(|(field, wire)| {
                format!("ADD COLUMN IF NOT EXISTS {} {}", quoted(&folded(field.name())), wire.created())
            })
            .collect();
        if missing.is_empty() {
            return Ok(false);
        }
        let sql = format!("ALTER TABLE {} {}", self.table.sql(), missing.join(", "));
        if self.config.missing_column == Missing::Fail {
            return Err(self.refused(format!(
                "the table lacks columns; add them ({sql}), let the connector do it with 'auto.evolve' = 'true', or leave them out of the rows"
            )));
        }
        self.session.batch(&format!("add columns to table {}", self.table), &sql)?;
        Ok(true)
    }

    fn pair(&self, wires: Vec<Wire>, found: &[Found]) -> Result<Vec<TargetColumn>, ConnectError> {
        let mut columns: Vec<TargetColumn> = Vec::with_capacity(wires.len());
        for (field, wire) in self.schema.columns.fields().iter().zip(wires) {
            let of = of_name(found, field.name())
                .ok_or_else(|| self.refused(format!("there is no column for `{}`, or more than one", field.name())))?;
            if let Some(other) = columns.iter().position(|column| column.name == of.name) {
                let other = self.schema.columns.field(other).name();
                return Err(self.refused(format!(
                    "`{other}` and `{}` would both go into column `{}`",
                    field.name(),
                    of.name
                )));
            }
            columns.push(TargetColumn { name: of.name.clone(), wire, target: of.target.clone() });
        }
        let unfilled = |of: &&Found| !of.may_lack && columns.iter().all(|column| column.name != of.name);
        match found.iter().find(unfilled) {
            Some(of) => Err(self.refused(format!(
                "column `{}` of the table must have a value, and the rows have none; give it a default or let it be null",
                of.name
            ))),
            None => Ok(columns),
        }
    }

    /// An upsert needs a unique index over exactly the key.
    fn check_unique(&self, key: &[usize], columns: &[TargetColumn]) -> Result<(), ConnectError> {
        let mut wanted: Vec<&str> = key.iter().map(|at| columns[*at].name.as_str()).collect();
        let list = wanted.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
        wanted.sort_unstable();
        let rows = self.session.query(
            "look at the indexes of a table",
            "SELECT array_agg(a.attname::text ORDER BY a.attname::text COLLATE \"C\") FROM pg_index i \
             CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place) \
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
             WHERE i.indrelid = to_regclass($1) AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL \
             AND i.indexprs IS NULL AND k.place <= i.indnkeyatts GROUP BY i.indexrelid",
            &[&self.table.sql()],
        )?;
        if rows.iter().any(|row| row.get::<_, Vec<String>>(0) == wanted) {
            return Ok(());
        }
        Err(self.refused(format!(
            "rows are upserted by ({list}), and the table has no primary key or unique index over just that; \
             ALTER TABLE {} ADD PRIMARY KEY ({list}), name another key in 'pk.fields', or add rows with 'insert.mode' = 'insert'",
            self.table.sql()
        )))
    }
}

/// The column that a name means.
fn of_name<'a>(found: &'a [Found], name: &str) -> Option<&'a Found> {
    let exact = |wanted: &str| found.iter().find(|of| of.name == wanted);
    exact(name).or_else(|| exact(&folded(name))).or_else(|| {
        let mut alike = found.iter().filter(|of| of.name.to_lowercase() == name.to_lowercase());
        alike.next().filter(|_| alike.next().is_none())
    })
}

/// What the server said of a statement that it does not take as it is: the rows do not fit the table.
pub(super) fn misfit(table: &TableName, topic: &TopicName, error: &tokio_postgres::error::DbError) -> ConnectError {
    let input = format!("topic {topic} into table {table}");
    ConnectError::Input { input, problem: format!("{}; change the column, or cast in a SELECT", words(error)) }
}
