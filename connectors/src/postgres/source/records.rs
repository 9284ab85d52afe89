//! Rows of tables as records: the key columns as JSON, and the row or an event about it as JSON.
//!
//! A key of one column is its JSON value, as JSON keys of topics are; one of several is an object. A value that is not known, because it is
//! large, was not touched, and is no longer there to be fetched, is left out of the row.

use std::{borrow::Cow, collections::BTreeMap};

use millstream::{
    log::{Append, partition_for_key},
    record::{PartitionId, RecordRef, Records, RecordsBuilder, Timestamp, TopicName, TopicPartition},
};

use super::{json_value, lsn::Lsn, pgoutput::Column};
use crate::json_text::push_string;

/// A value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Field<'a> {
    Null,
    Unknown,
    Text(Cow<'a, str>),
}

/// The columns of rows and the places of the key's among them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape<'a> {
    pub(super) columns: &'a [Column],
    pub(super) key: &'a [usize],
}

impl Shape<'_> {
    /// The key of a row; `None` for tables without one.
    pub(super) fn key(&self, row: &[Field<'_>]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        match self.key {
            [] => return None,
            [only] => push_field(&mut out, &self.columns[*only], &row[*only]),
            several => push_object(&mut out, several.iter().map(|at| (&self.columns[*at], &row[*at]))),
        }
        Some(out)
    }

    /// The row as an object.
    pub(super) fn row(&self, row: &[Field<'_>]) -> Vec<u8> {
        let mut out = Vec::with_capacity(row.len() * 16);
        push_object(&mut out, self.columns.iter().zip(row));
        out
    }

    /// The columns of the key as an object.
    pub(super) fn key_object(&self, row: &[Field<'_>]) -> Vec<u8> {
        let mut out = Vec::new();
        push_object(&mut out, self.key.iter().map(|at| (&self.columns[*at], &row[*at])));
        out
    }
}

fn push_object<'a>(out: &mut Vec<u8>, fields: impl Iterator<Item = (&'a Column, &'a Field<'a>)>) {
    out.push(b'{');
    let start = out.len();
    for (column, field) in fields.filter(|(_, field)| **field != Field::Unknown) {
        if out.len() > start {
            out.push(b',');
        }
        push_string(out, &column.name);
        out.push(b':');
        push_field(out, column, field);
    }
    out.push(b'}');
}

fn push_field(out: &mut Vec<u8>, column: &Column, field: &Field<'_>) {
    match field {
        Field::Text(text) => json_value::push(out, column.type_oid, text),
        Field::Null | Field::Unknown => out.extend_from_slice(b"null"),
    }
}

/// What happened to a row, as an event tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Read,
    Create,
    Update,
    Delete,
    Truncate,
}

/// Where a change comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin<'a> {
    pub(super) database: &'a str,
    pub(super) schema: &'a str,
    pub(super) table: &'a str,
    pub(super) lsn: Lsn,
    /// `None` for rows that were read as they are.
    pub(super) xid: Option<u32>,
    pub(super) at: Timestamp,
}

/// An event: `before` and `after` are JSON objects, if there are any.
pub(super) fn event(operation: Operation, before: Option<&[u8]>, after: Option<&[u8]>, origin: Origin<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(256 + before.map_or(0, <[u8]>::len) + after.map_or(0, <[u8]>::len));
    out.extend_from_slice(b"{\"before\":");
    out.extend_from_slice(before.unwrap_or(b"null"));
    out.extend_from_slice(b",\"after\":");
    out.extend_from_slice(after.unwrap_or(b"null"));
    let letter = match operation {
        Operation::Read => "r",
        Operation::Create => "c",
        Operation::Update => "u",
        Operation::Delete => "d",
        Operation::Truncate => "t",
    };
    out.extend_from_slice(format!(",\"op\":\"{letter}\",\"source\":{{\"connector\":\"postgres\",\"db\":").as_bytes());
    push_string(&mut out, origin.database);
    out.extend_from_slice(b",\"schema\":");
    push_string(&mut out, origin.schema);
    out.extend_from_slice(b",\"table\":");
    push_string(&mut out, origin.table);
    let xid = origin.xid.map_or("null".to_owned(), |xid| xid.to_string());
    let snapshot = origin.xid.is_none();
    let (lsn, ms) = (origin.lsn.0, origin.at.0);
    let rest = format!(",\"snapshot\":{snapshot},\"lsn\":{lsn},\"txId\":{xid},\"ts_ms\":{ms}}},\"ts_ms\":{ms}}}");
    out.extend_from_slice(rest.as_bytes());
    out
}

/// Records that wait for a commit.
pub(super) struct Output<'a> {
    partitions: &'a BTreeMap<TopicName, u32>,
    builders: BTreeMap<TopicPartition, RecordsBuilder>,
    pub(super) rows: usize,
    pub(super) bytes: usize,
}

impl<'a> Output<'a> {
    pub(super) fn new(partitions: &'a BTreeMap<TopicName, u32>) -> Self {
        Self { partitions, builders: BTreeMap::new(), rows: 0, bytes: 0 }
    }

    pub(super) fn push(&mut self, topic: &TopicName, key: Option<&[u8]>, value: Option<&[u8]>, timestamp: Timestamp) {
        let count = self.partitions.get(topic).copied().unwrap_or(1);
        let partition = key.map_or(PartitionId(0), |key| partition_for_key(key, count));
        let builder = self.builders.entry(TopicPartition::new(topic.clone(), partition)).or_default();
        builder.push(RecordRef { key, value, timestamp, headers: &[] });
        self.rows += 1;
        self.bytes += key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
    }

    pub(super) fn finish(self) -> Vec<Append> {
        let append = |(partition, mut builder): (TopicPartition, RecordsBuilder)| {
            let records: Records = builder.finish();
            Append { partition, records }
        };
        self.builders.into_iter().map(append).collect()
    }
}
