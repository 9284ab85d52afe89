//! What the tables of a source are, as the catalog tells it: columns, keys, whether their changes can be told.

use millstream::{connect::ConnectError, record::TopicName};

use super::{PostgresSource, RecordShape, pgoutput::Column};
use crate::postgres::{
    identifier::{TableName, quoted},
    session::Session,
};

/// A table that is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: TableName,
    /// Its number on the server, which a new name does not change.
    pub(super) oid: u32,
    pub(super) topic: TopicName,
    /// Those that are published.
    pub(super) columns: Vec<Column>,
    /// Names of the columns that make the key; none if the table has no key.
    pub(super) key: Vec<String>,
    /// Of the rows that are published.
    filter: Option<String>,
    /// Whether its rows are in partitions.
    is_partitioned: bool,
}

impl Table {
    /// The query for its rows as they are.
    pub(super) fn rows_query(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(|column| quoted(&column.name)).collect();
        let only = if self.is_partitioned { "" } else { "ONLY " };
        let filter = self.filter.as_ref().map(|filter| format!(" WHERE {filter}")).unwrap_or_default();
        format!("SELECT {} FROM {only}{}{filter}", columns.join(", "), self.name.sql())
    }
}

/// Looks all tables up; the publication is there.
pub(super) fn find(
    session: &Session,
    config: &PostgresSource,
    topics: &[TopicName],
    publication: &str,
) -> Result<Vec<Table>, ConnectError> {
    let names = config.table_names();
    names.into_iter().zip(topics).map(|(name, topic)| find_one(session, config, name, topic, publication)).collect()
}

fn find_one(
    session: &Session,
    config: &PostgresSource,
    name: TableName,
    topic: &TopicName,
    publication: &str,
) -> Result<Table, ConnectError> {
    let refused = |problem: &str| ConnectError::Input { input: format!("table {name}"), problem: problem.to_owned() };
    let look = "look at a table";
    let found = session.query(
        look,
        "SELECT c.oid, c.relkind::text, c.relreplident::text, p.pubviaroot FROM pg_class c, pg_publication p \
         WHERE c.oid = to_regclass($1) AND p.pubname = $2",
        &[&name.sql(), &publication],
    )?;
    let Some(found) = found.first() else {
        return Err(refused("there is no such table; see 'table.include.list' and the database"));
    };
    let (oid, kind, identity): (u32, String, String) = (found.get(0), found.get(1), found.get(2));
    let is_partitioned = kind == "p";
    if !matches!(kind.as_str(), "r" | "p") {
        return Err(refused("it is no table, and only the changes of tables can be followed"));
    }
    if is_partitioned && !found.get::<_, bool>(3) {
        return Err(refused(&format!(
            "it has partitions, and the publication tells their changes under their own names; ALTER PUBLICATION {} SET (publish_via_partition_root = true)",
            quoted(publication)
        )));
    }
    let published = session.query(
        look,
        "SELECT to_jsonb(p) ->> 'rowfilter', ARRAY(SELECT jsonb_array_elements_text(to_jsonb(p) -> 'attnames')) \
         FROM pg_publication_tables p WHERE p.pubname = $1 AND p.schemaname = $2 AND p.tablename = $3",
        &[&publication, &name.schema, &name.table],
    );
    // Servers before 15 have no lists of columns.
    let published = published?;
    let Some(published) = published.first() else {
        return Err(refused(&format!(
            "publication {publication} does not have it; ALTER PUBLICATION {} ADD TABLE {}",
            quoted(publication),
            name.sql()
        )));
    };
    let (filter, names): (Option<String>, Vec<String>) = (published.get(0), published.get(1));
    let columns = session.query(
        look,
        "SELECT a.attname::text, a.atttypid FROM pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped \
         AND a.attgenerated = '' AND (cardinality($2::text[]) = 0 OR a.attname::text = ANY($2)) ORDER BY a.attnum",
        &[&oid, &names],
    )?;
    let columns: Vec<Column> = columns.iter().map(|row| Column { name: row.get(0), type_oid: row.get(1) }).collect();
    let key = key(session, oid, &identity)?;
    if key.is_empty() && config.shape == RecordShape::Row {
        return Err(refused(
            "it has no primary key, so its rows cannot be the newest of a key; give it one, or take its changes as events with 'envelope' = 'true'",
        ));
    }
    if identity == "n" || (identity == "d" && key.is_empty()) {
        return Err(refused(
            "its updates and deletions cannot be told apart; ALTER TABLE .. REPLICA IDENTITY FULL, or give it a primary key",
        ));
    }
    Ok(Table { topic: topic.clone(), oid, columns, key, filter, is_partitioned, name })
}

/// The columns of the replica identity if that is an index, else those of the primary key: of a deleted row, the log has no others for sure.
fn key(session: &Session, oid: u32, identity: &str) -> Result<Vec<String>, ConnectError> {
    let which = if identity == "i" { "i.indisreplident" } else { "i.indisprimary" };
    let sql = format!(
        "SELECT a.attname::text FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place) \
         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
         WHERE i.indrelid = $1 AND {which} AND k.place <= i.indnkeyatts ORDER BY k.place"
    );
    Ok(session.query("look at a table", &sql, &[&oid])?.iter().map(|row| row.get(0)).collect())
}
