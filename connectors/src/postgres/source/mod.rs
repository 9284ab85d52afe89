//! The Postgres source: tables as they are, then every change, by logical decoding.
//!
//! - [`reader`]: the source as the runtime sees it; [`position`]: how far it is
//! - [`server`]: the server, its publication and its slot
//! - [`tables`]: what the tables are; [`snapshot`]: their rows
//! - [`changes`]: transactions out of the slot; [`pgoutput`]: their messages; [`relations`]: the tables in them
//! - [`records`]: rows as records; [`json_value`]: values as JSON

mod changes;
mod json_value;
mod lsn;
mod pgoutput;
mod position;
mod reader;
mod records;
mod relations;
mod server;
mod snapshot;
mod tables;

use std::sync::Arc;

use millstream::record::TopicName;
pub use reader::PostgresSourceReader;

use super::{identifier::TableName, settings::PostgresConnection};
use crate::config::{ConfigError, Properties};

/// Tables to be followed: the settings of `'connector.class' = 'postgres'` as a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresSource {
    /// The database.
    pub connection: PostgresConnection,
    /// The tables, each as schema and name (`'table.include.list'`, as `schema.table` with commas between).
    pub tables: Vec<(String, String)>,
    /// What topics are called (`'topic.prefix'`): `PREFIX.SCHEMA.TABLE`.
    pub topic_prefix: String,
    /// The replication slot (`'slot.name'`); `None`: `millstream_` and the name of the connector.
    pub slot: Option<String>,
    /// The publication (`'publication.name'`); `None`: named as the slot.
    pub publication: Option<String>,
    /// What is done if the publication is not there (`'publication.autocreate.mode'`: `filtered`, the default, or `disabled`).
    pub missing_publication: PublicationMode,
    /// Whether tables are read as they are first (`'snapshot.mode'`: `initial`, the default, or `never`).
    pub snapshot: SnapshotMode,
    /// What a record's value is (`'envelope'`, default false).
    pub shape: RecordShape,
    /// What a TRUNCATE does where records are rows (`'truncate.handling'`: `fail`, the default, or `skip`).
    pub truncates: Truncates,
    /// How many partitions topics are made with (`'partitions'`, default 1).
    pub partitions: u32,
}

/// What is done if a publication is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicationMode {
    /// It is made for the tables.
    Filtered,
    /// The connector fails.
    Disabled,
}

/// Whether tables are read as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotMode {
    /// First all rows, then the changes.
    Initial,
    /// Only changes, from the making of the slot on.
    Never,
}

/// What the value of a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordShape {
    /// The row, as a JSON object; a deletion is a tombstone.
    Row,
    /// An object of `before`, `after`, `op` (`r` read, `c` created, `u` updated, `d` deleted, `t` truncated), `source` and `ts_ms`.
    Envelope,
}

/// What a TRUNCATE does where records are rows: it names no keys, so there is nothing to delete by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truncates {
    /// The connector fails.
    Fail,
    /// It goes on; the topic keeps the rows.
    Skip,
}

impl PostgresSource {
    /// A source that reads tables and follows their changes.
    pub fn new(connection: PostgresConnection, topic_prefix: impl Into<String>, tables: Vec<(String, String)>) -> Self {
        Self {
            connection,
            tables,
            topic_prefix: topic_prefix.into(),
            slot: None,
            publication: None,
            missing_publication: PublicationMode::Filtered,
            snapshot: SnapshotMode::Initial,
            shape: RecordShape::Row,
            truncates: Truncates::Fail,
            partitions: 1,
        }
    }

    pub(crate) fn from_properties(properties: &mut Properties) -> Result<Self, ConfigError> {
        let (prefix, list) = (properties.required("topic.prefix"), properties.required("table.include.list"));
        let connection = PostgresConnection::from_properties(properties, "postgres source")?;
        let list = list.unwrap_or_default();
        let tables = parse_tables(&list)?;
        let mut source = Self::new(connection, prefix.unwrap_or_default(), tables);
        source.slot = properties.optional("slot.name");
        if let Some(slot) = source.slot.as_ref().filter(|slot| !is_slot_name(slot)) {
            return Err(bad("slot.name", slot, "a name of small letters, digits and _, at most 63"));
        }
        source.publication = properties.optional("publication.name");
        source.missing_publication = match choice(properties, "publication.autocreate.mode", ["filtered", "disabled"])?
        {
            0 => PublicationMode::Filtered,
            _ => PublicationMode::Disabled,
        };
        source.snapshot = match choice(properties, "snapshot.mode", ["initial", "never"])? {
            0 => SnapshotMode::Initial,
            _ => SnapshotMode::Never,
        };
        source.truncates = match choice(properties, "truncate.handling", ["fail", "skip"])? {
            0 => Truncates::Fail,
            _ => Truncates::Skip,
        };
        source.shape = if properties.flag("envelope")? { RecordShape::Envelope } else { RecordShape::Row };
        source.partitions = properties.parsed("partitions", 1, 1, "a count from 1 on")?;
        for (schema, table) in &source.tables {
            let name = source.topic_name(schema, table);
            TopicName::new(&name).map_err(|error| {
                bad("topic.prefix", &source.topic_prefix, &format!("such that {name} is a topic ({error})"))
            })?;
        }
        Ok(source)
    }

    fn topic_name(&self, schema: &str, table: &str) -> String {
        format!("{}.{schema}.{table}", self.topic_prefix)
    }

    fn table_names(&self) -> Vec<TableName> {
        let name =
            |(schema, table): &(String, String)| TableName { schema: Some(schema.clone()), table: table.clone() };
        self.tables.iter().map(name).collect()
    }

    fn slot_name(&self, connector: &str) -> String {
        self.slot.clone().unwrap_or_else(|| {
            let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
            let name: String = connector.chars().map(plain).take(50).collect();
            format!("millstream_{name}")
        })
    }

    fn publication_name(&self, connector: &str) -> String {
        self.publication.clone().unwrap_or_else(|| self.slot_name(connector))
    }

    /// The source that reads it, under the name of its connector.
    pub fn reader(self, connector: &str) -> PostgresSourceReader {
        PostgresSourceReader::new(Arc::new(self), connector)
    }
}

fn bad(name: &str, value: &str, expected: &str) -> ConfigError {
    ConfigError::BadValue { name: name.into(), value: value.into(), expected: expected.into() }
}

/// Which of the words a property is; the first one if it is not there.
fn choice(properties: &mut Properties, name: &'static str, words: [&str; 2]) -> Result<usize, ConfigError> {
    let Some(value) = properties.optional(name) else { return Ok(0) };
    words.iter().position(|word| *word == value).ok_or_else(|| bad(name, &value, &words.join(" or ")))
}

fn is_slot_name(name: &str) -> bool {
    (1..=63).contains(&name.len()) && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

fn parse_tables(list: &str) -> Result<Vec<(String, String)>, ConfigError> {
    let mut tables: Vec<(String, String)> = Vec::new();
    for name in list.split(',').map(str::trim) {
        let legal =
            |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '$'));
        let parts = name.split_once('.').filter(|(schema, table)| legal(schema) && legal(table));
        let Some((schema, table)) = parts else {
            return Err(bad(
                "table.include.list",
                list,
                "names of tables as schema.table, with commas between; no patterns",
            ));
        };
        let table = (schema.to_owned(), table.to_owned());
        if !tables.contains(&table) {
            tables.push(table);
        }
    }
    Ok(tables)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConnectorConfig, ConnectorKind, Direction, SourceKind};

    fn parse(text: &str) -> Result<PostgresSource, ConfigError> {
        let all = format!("connector.class=postgres connection.url=postgresql://ada@localhost/shop {text}");
        let pairs: Vec<(String, String)> = all
            .split_whitespace()
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        match ConnectorConfig::parse(&pairs, Direction::Source)?.kind {
            ConnectorKind::Source(SourceKind::Postgres(source)) => Ok(*source),
            other => panic!("no postgres source: {other:?}"),
        }
    }

    #[test]
    fn properties_become_settings() {
        let source =
            parse("topic.prefix=shop table.include.list=public.a,public.b,public.a envelope=true snapshot.mode=never")
                .unwrap();
        assert_eq!(source.topic_name("public", "a"), "shop.public.a");
        assert_eq!(
            (source.tables.len(), source.shape, source.snapshot),
            (2, RecordShape::Envelope, SnapshotMode::Never)
        );
        assert_eq!(source.slot_name("My-Source"), "millstream_my_source");
    }

    #[test]
    fn mistakes_are_named() {
        let check = |text: &str, parts: &[&str]| {
            let error = parse(text).expect_err(text).to_string();
            assert!(parts.iter().all(|part| error.contains(part)), "{text}: {error}");
        };
        check("", &["'topic.prefix'", "'table.include.list'"]);
        check("topic.prefix=p table.include.list=a", &["table.include.list", "schema.table"]);
        check("topic.prefix=p table.include.list=public.*", &["no patterns"]);
        check("topic.prefix=a/b table.include.list=public.a", &["topic.prefix", "a/b.public.a"]);
        check("topic.prefix=p table.include.list=public.a slot.name=A", &["slot.name", "small letters"]);
        check(
            "topic.prefix=p table.include.list=public.a snapshot.mode=always",
            &["snapshot.mode", "initial or never"],
        );
        check("topic.prefix=p table.include.list=public.a slot.nme=a", &["`slot.name`"]);
    }
}
