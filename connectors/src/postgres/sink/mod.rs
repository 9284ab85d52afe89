//! The Postgres sink: rows of topics into tables, exactly once.
//!
//! - [`writer`]: the sink as the runtime sees it
//! - [`progress`]: offsets beside the rows, and who may write
//! - [`target`]: the table as it is, or as it is made
//! - [`column`]: which type a column has on its way, [`encode`] and [`numeric`]: its bytes
//! - [`buffer`]: rows that wait, and the last change of each key among them
//! - [`load`]: rows into the table, and the search for those that it does not take

mod buffer;
mod column;
mod encode;
mod load;
mod numeric;
mod progress;
mod target;
mod writer;

use std::sync::Arc;

use millstream::record::TopicName;
pub use writer::PostgresSinkWriter;

use super::{
    identifier::{TableName, folded},
    settings::PostgresConnection,
};
use crate::{
    config::{ConfigError, Properties},
    rows::{RowKind, TopicRows},
};

/// Tables to be written: the settings of `'connector.class' = 'postgres'` as a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresSink {
    /// The database.
    pub connection: PostgresConnection,
    /// What is written (`'topics'`, with commas, or `'topic'`); each has a table of its own.
    pub topics: Vec<TopicName>,
    /// What becomes of a row whose key is there (`'insert.mode'`); `None`: upsert for tables, insert for streams.
    pub insert_mode: Option<InsertMode>,
    /// The columns that make the key, for upserts and deletes (`'pk.fields'`, with commas); empty: those of the topic's key.
    pub key_columns: Vec<String>,
    /// What a tombstone does (`'delete.enabled'`); `None`: it deletes where rows are upserted.
    pub deletes: Option<Deletes>,
    /// What is done if a table is not there (`'auto.create'`, default false).
    pub missing_table: Missing,
    /// What is done if a table lacks a column (`'auto.evolve'`, default false).
    pub missing_column: Missing,
    /// The name of a topic's table (`'table.name.format'`, default `${topic}`); a dot outside of `${topic}` ends the name of a schema.
    pub table_name_format: String,
    /// How many rows go to the server at once (`'batch.size'`, default 10000).
    pub batch_size: usize,
}

/// What becomes of a row whose key is in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsertMode {
    /// Rows are only added; a key that is there is the table's to refuse.
    Insert,
    /// It takes the place of the one that is there.
    Upsert,
}

/// What a tombstone does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletes {
    /// It deletes the row of its key.
    Delete,
    /// Nothing: rows stay.
    Keep,
}

/// What is done about what is missing in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// It is made.
    Create,
    /// The connector fails and says what to do.
    Fail,
}

const TOPIC: &str = "${topic}";
const BATCH_SIZE: usize = 10_000;

impl PostgresSink {
    /// A sink that upserts tables and appends streams, into tables that are there, named as the topics are.
    pub fn new(connection: PostgresConnection, topics: Vec<TopicName>) -> Self {
        Self {
            connection,
            topics,
            insert_mode: None,
            key_columns: Vec::new(),
            deletes: None,
            missing_table: Missing::Fail,
            missing_column: Missing::Fail,
            table_name_format: TOPIC.into(),
            batch_size: BATCH_SIZE,
        }
    }

    pub(crate) fn from_properties(properties: &mut Properties) -> Result<Self, ConfigError> {
        let topics = properties.topics()?;
        let connection = PostgresConnection::from_properties(properties, "postgres sink")?;
        let mut sink = Self::new(connection, topics);
        sink.insert_mode = match properties.optional("insert.mode").as_deref() {
            None => None,
            Some("insert") => Some(InsertMode::Insert),
            Some("upsert") => Some(InsertMode::Upsert),
            Some(other) => return Err(bad("insert.mode", other, "insert or upsert")),
        };
        if let Some(names) = properties.optional("pk.fields") {
            sink.key_columns = names.split(',').map(|name| name.trim().to_owned()).collect();
            if sink.key_columns.iter().any(String::is_empty) {
                return Err(bad("pk.fields", &names, "names of columns, with commas between"));
            }
        }
        sink.deletes = match properties.optional("delete.enabled").as_deref() {
            None => None,
            Some("true") => Some(Deletes::Delete),
            Some("false") => Some(Deletes::Keep),
            Some(other) => return Err(bad("delete.enabled", other, "true or false")),
        };
        if sink.insert_mode == Some(InsertMode::Insert) && sink.deletes == Some(Deletes::Delete) {
            let (name, other) = ("delete.enabled".into(), "'insert.mode' = 'insert'".into());
            return Err(ConfigError::Conflict {
                name,
                other,
                reason: "only rows that have a key can be deleted".into(),
            });
        }
        let missing = |create| if create { Missing::Create } else { Missing::Fail };
        sink.missing_table = missing(properties.flag("auto.create")?);
        sink.missing_column = missing(properties.flag("auto.evolve")?);
        if let Some(format) = properties.optional("table.name.format") {
            if format.trim().is_empty() || format.replace(TOPIC, "").contains('$') {
                return Err(bad("table.name.format", &format, "a name, with ${topic} where that of the topic goes"));
            }
            sink.table_name_format = format;
        }
        sink.batch_size = properties.parsed("batch.size", 1, BATCH_SIZE, "a count from 1 on")?;
        sink.check_tables()?;
        Ok(sink)
    }

    /// One topic, one table.
    fn check_tables(&self) -> Result<(), ConfigError> {
        let mut tables: Vec<TableName> = self.topics.iter().map(|topic| self.table_of(topic)).collect();
        tables.sort();
        match tables.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(ConfigError::Conflict {
                name: "table.name.format".into(),
                other: "the topics".into(),
                reason: format!("more than one of them would be written to table {}", pair[0]),
            }),
            None => Ok(()),
        }
    }

    /// The table of a topic.
    fn table_of(&self, topic: &TopicName) -> TableName {
        let topic = folded(topic.as_str());
        match self.table_name_format.split_once('.') {
            Some((schema, table)) if !schema.contains(TOPIC) => {
                TableName { schema: Some(schema.to_owned()), table: table.replace(TOPIC, &topic) }
            }
            _ => TableName { schema: None, table: self.table_name_format.replace(TOPIC, &topic) },
        }
    }

    fn insert_mode(&self, kind: RowKind) -> InsertMode {
        self.insert_mode.unwrap_or(match kind {
            RowKind::Stream => InsertMode::Insert,
            RowKind::Table => InsertMode::Upsert,
        })
    }

    /// The sink that writes it, under the name of its connector.
    pub fn writer(self, connector: &str, rows: TopicRows) -> PostgresSinkWriter {
        PostgresSinkWriter::new(Arc::new(self), connector, rows)
    }
}

fn bad(name: &str, value: &str, expected: &str) -> ConfigError {
    ConfigError::BadValue { name: name.into(), value: value.into(), expected: expected.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConnectorConfig, ConnectorKind, Direction, SinkKind};

    fn parse(text: &str) -> Result<PostgresSink, ConfigError> {
        let all = format!("connector.class=postgres connection.url=postgresql://ada@localhost/shop {text}");
        let pairs: Vec<(String, String)> = all
            .split_whitespace()
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        match ConnectorConfig::parse(&pairs, Direction::Sink)?.kind {
            ConnectorKind::Sink(SinkKind::Postgres(sink)) => Ok(*sink),
            other => panic!("no postgres sink: {other:?}"),
        }
    }

    #[test]
    fn tables_are_named_by_the_format() {
        let table = |format: &str, topic: &str| {
            let sink = parse(&format!("topics={topic} table.name.format={format}")).unwrap();
            sink.table_of(&sink.topics[0]).sql()
        };
        assert_eq!(table("${topic}", "ORDERS"), "\"orders\"");
        assert_eq!(table("${topic}", "shop.public.orders"), "\"shop.public.orders\"");
        assert_eq!(table("sales.${topic}_v1", "orders"), "\"sales\".\"orders_v1\"");
    }

    #[test]
    fn mistakes_are_named() {
        let check = |text: &str, parts: &[&str]| {
            let error = parse(text).expect_err(text).to_string();
            assert!(parts.iter().all(|part| error.contains(part)), "{text}: {error}");
        };
        check("", &["'topics'"]);
        check("topics=a insert.mode=update", &["insert.mode", "`update`", "upsert"]);
        check("topics=a insert.mode=insert delete.enabled=true", &["delete.enabled"]);
        check("topics=a,b table.name.format=all", &["table.name.format", "more than one", "all"]);
        check("topics=a table.name.format=${tpoic}", &["table.name.format"]);
        check("topics=a auto.creat=true", &["`auto.creat`", "`auto.create`"]);
        check("topics=a batch.size=0", &["batch.size"]);
    }
}
