//! Tables as the messages of the slot mean them: their columns and keys, by the number under which changes speak of them.
//!
//! A message tells what a table looked like when its changes were made; the catalog, which [`Table`] comes from, what it looks like now. They are
//! brought together by the name. A table that is followed and has another name in a message was renamed since, which is an error: under the new
//! name it is not one of the tables of the source, and its changes would be lost without a word.

use std::collections::HashMap;

use millstream::connect::ConnectError;

use super::{
    pgoutput::{Identity, Relation},
    tables::Table,
};
use crate::postgres::session::Session;

/// What messages have said of tables.
#[derive(Default)]
pub(super) struct Relations {
    by_number: HashMap<u32, Known>,
}

/// A table that messages have told of.
pub(super) struct Known {
    pub(super) relation: Relation,
    /// Which of the tables it is; `None`: one that is published besides.
    pub(super) table: Option<usize>,
    /// The columns of the key.
    pub(super) key: Vec<usize>,
}

impl Relations {
    /// Takes what a message says of a table.
    ///
    /// # Errors
    /// A table that is followed was renamed, or lacks a column of its key.
    pub(super) fn learn(
        &mut self,
        session: &Session,
        tables: &[Table],
        relation: Relation,
    ) -> Result<(), ConnectError> {
        let is_named = |table: &Table| {
            table.name.table == relation.table && table.name.schema.as_deref() == Some(relation.schema.as_str())
        };
        let table = tables.iter().position(is_named);
        if let Some(before) = tables.iter().find(|table| table.oid == relation.id).filter(|_| table.is_none()) {
            return Err(session.refusal(format!(
                "table {} was renamed to {}.{}; follow it under that name with a connector of another name, which reads it again",
                before.name, relation.schema, relation.table
            )));
        }
        let key = table.map(|at| key(session, &tables[at], &relation)).transpose()?.unwrap_or_default();
        if let Some(before) = self.by_number.get(&relation.id).filter(|known| known.relation != relation) {
            let names =
                |relation: &Relation| relation.columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>();
            tracing::info!(
                table = %format!("{}.{}", relation.schema, relation.table), before = ?names(&before.relation), now = ?names(&relation),
                "a table has changed; records have its new columns from here on"
            );
        }
        self.by_number.insert(relation.id, Known { relation, table, key });
        Ok(())
    }

    /// The table that a message speaks of, if it is one that is followed.
    pub(super) fn known<'k>(
        &'k self,
        session: &Session,
        tables: &'k [Table],
        relation: u32,
    ) -> Result<Option<(&'k Known, &'k Table)>, ConnectError> {
        let missing = || session.refusal(format!("pgoutput has not said what table {relation} is"));
        let known = self.by_number.get(&relation).ok_or_else(missing)?;
        Ok(known.table.map(|table| (known, &tables[table])))
    }
}

/// Which columns make the key. One of a single column may have had another name: its records do not tell names, and the message says which it is.
fn key(session: &Session, table: &Table, relation: &Relation) -> Result<Vec<usize>, ConnectError> {
    let place = |name: &String| relation.columns.iter().position(|column| column.name == *name);
    if let Some(key) = table.key.iter().map(place).collect::<Option<Vec<usize>>>() {
        return Ok(key);
    }
    if let (Identity::Columns(marked), 1) = (&relation.identity, table.key.len())
        && marked.len() == 1
    {
        return Ok(marked.clone());
    }
    let missing: Vec<&str> = table.key.iter().filter(|name| place(name).is_none()).map(String::as_str).collect();
    Err(session.refusal(format!(
        "in the changes of table {}, column `{}` of its key has another name or is not there, so they do not belong to the keys of before; start \
         anew with a connector of another name, which reads the table again",
        table.name,
        missing.join("`, `")
    )))
}
