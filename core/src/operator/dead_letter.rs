//! Dead letters: records that could not be processed, kept with where they were and why.

use std::fmt;

use arrow::array::Array;

use super::FoldFailure;
use crate::{
    Batch,
    record::{Header, Offset, Record, RecordRef, Timestamp, TopicPartition},
};

/// Why a record was not processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Its bytes are not what its format says.
    Undecodable,
    /// Its timestamp is missing, unreadable or negative.
    Timestamp,
    /// A window it falls into was closed: counted and kept once for each such window, as Kafka Streams counts. Or it is a row of a table that is
    /// older than the table keeps rows.
    Late,
    /// It has no key where one is needed.
    NullKey,
    /// It has no value where one is needed.
    NullValue,
    /// An expression or a closure failed for it.
    Expression,
    /// A processor failed for it.
    Processor,
    /// A processor dropped it on purpose.
    Dropped,
    /// It is a version of a row that is not the newest, where only the newest counts.
    Superseded,
    /// The format of the topic that it goes to cannot hold it.
    Unwritable,
    /// It is larger than the log takes.
    TooLarge,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 11] = [
        Self::Undecodable,
        Self::Timestamp,
        Self::Late,
        Self::NullKey,
        Self::NullValue,
        Self::Expression,
        Self::Processor,
        Self::Dropped,
        Self::Superseded,
        Self::Unwritable,
        Self::TooLarge,
    ];
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Undecodable => "undecodable",
            Self::Timestamp => "timestamp",
            Self::Late => "late",
            Self::NullKey => "null key",
            Self::NullValue => "null value",
            Self::Expression => "expression",
            Self::Processor => "processor",
            Self::Dropped => "dropped",
            Self::Superseded => "superseded",
            Self::Unwritable => "unwritable",
            Self::TooLarge => "too large",
        })
    }
}

/// A record that was not processed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Why.
    pub reason: Reason,
    /// Why, in full.
    pub problem: String,
    /// The operator that met it.
    pub operator: String,
    /// Where it was read.
    pub origin: Option<TopicPartition>,
    /// At which offset; unknown for rows that were computed.
    pub offset: Option<Offset>,
    /// Its bytes as they were read, or its columns as JSON text where it was decoded already.
    pub record: Record,
    /// Whether it is the columns as JSON text.
    pub is_row: bool,
}

impl DeadLetter {
    /// A row that was decoded already: its columns are kept as JSON text.
    pub fn of_row(
        operator: &str,
        origin: Option<&TopicPartition>,
        batch: &Batch,
        row: usize,
        reason: Reason,
        problem: String,
    ) -> Self {
        let offsets = batch.offsets();
        Self {
            reason,
            problem,
            operator: operator.to_owned(),
            origin: origin.cloned(),
            offset: offsets.is_valid(row).then(|| Offset(offsets.value(row) as u64)),
            record: Record {
                key: None,
                value: Some(row_as_json(batch, row)),
                timestamp: Timestamp(batch.times().value(row)),
                headers: Vec::new(),
            },
            is_row: true,
        }
    }

    /// A row that could not be folded.
    pub fn of_folded(operator: &str, origin: Option<&TopicPartition>, failure: FoldFailure) -> Self {
        let FoldFailure { problem, timestamp, offset, row } = failure;
        Self {
            reason: Reason::Expression,
            problem,
            operator: operator.to_owned(),
            origin: origin.cloned(),
            offset,
            record: Record { key: None, value: Some(row), timestamp, headers: Vec::new() },
            is_row: true,
        }
    }

    /// A record whose bytes could not be used.
    pub fn of_record(
        operator: &str,
        origin: &TopicPartition,
        offset: Offset,
        record: RecordRef<'_>,
        reason: Reason,
        problem: String,
    ) -> Self {
        Self {
            reason,
            problem,
            operator: operator.to_owned(),
            origin: Some(origin.clone()),
            offset: Some(offset),
            record: record.into(),
            is_row: false,
        }
    }

    /// About how much memory it takes.
    pub fn size_bytes(&self) -> usize {
        let of = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        of(&self.record.key) + of(&self.record.value) + self.problem.len() + 256
    }

    /// Cuts off what a log would not take: a value beyond so many bytes, with a header that says how many there were.
    pub fn shorten(&mut self, bytes: usize) {
        if let Some(value) = &mut self.record.value
            && value.len() > bytes
        {
            let whole = value.len().to_string().into_bytes();
            value.truncate(bytes);
            self.record.headers.push(Header { name: "millstream.truncated".to_owned(), value: Some(whole) });
        }
    }

    /// The record as it goes to the dead-letter topic: unchanged, with headers that say where it was and why it is here.
    pub fn into_record(self, task: super::TaskId) -> Record {
        let mut headers = self.record.headers;
        let mut header = |name: &str, value: String| {
            headers.push(Header { name: format!("millstream.{name}"), value: Some(value.into_bytes()) });
        };
        header("reason", self.reason.to_string());
        header("problem", self.problem);
        header("operator", self.operator);
        header("task", task.to_string());
        if let Some(origin) = self.origin {
            header("topic", origin.topic.to_string());
            header("partition", origin.partition.to_string());
        }
        if let Some(offset) = self.offset {
            header("offset", offset.to_string());
        }
        Record { headers, ..self.record }
    }
}

fn row_as_json(batch: &Batch, row: usize) -> Vec<u8> {
    let mut text = Vec::new();
    let mut writer = arrow::json::LineDelimitedWriter::new(&mut text);
    let written = writer.write(&batch.rows().slice(row, 1)).and_then(|()| writer.finish());
    drop(writer);
    match written {
        Ok(()) => {
            text.truncate(text.trim_ascii_end().len());
            text
        }
        Err(problem) => format!("the row cannot be written as JSON: {problem}").into_bytes(),
    }
}
