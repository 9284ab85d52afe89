//! The records of one topic as rows that can be written: decoded, and for tables with what the change is.
//!
//! Of a table, each record is a row of a *change file*: the columns of key and value, `_op` (`upsert` or `delete`; the value columns of a
//! delete are null) and `_offset` (bigint). The newest row of a key within a partition of the topic is the one with the highest `_offset`.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef},
};
use millstream::{
    connect::{ConnectError, RejectedRecord},
    log::FetchedBatch,
    record::{Offset, TopicName, TopicPartition},
};

use super::{WrittenFormat, check_columns};
use crate::rows::{RowKind, RowReader, Rows, TopicRows};

const OP: &str = "_op";
const OFFSET: &str = "_offset";

/// Makes rows of the records of a topic.
pub(crate) struct RowMaker {
    /// `None`: no columns are known, values are written as they are.
    decoder: Option<Decoder>,
}

struct Decoder {
    reader: Box<dyn RowReader>,
    kind: RowKind,
    written: SchemaRef,
}

/// Rows of one fetched batch.
pub(crate) struct Made {
    /// The columns as they are written; `None`: values as they are.
    pub(crate) columns: Option<RecordBatch>,
    /// For each row the number of its record in the fetched batch.
    pub(crate) records: Vec<usize>,
    /// For each row its offset.
    pub(crate) offsets: Vec<u64>,
    pub(crate) rejected: Vec<RejectedRecord>,
}

impl RowMaker {
    /// For files of a format. Only JSON does without columns.
    pub(crate) fn new(format: WrittenFormat, topic: &TopicName, rows: &TopicRows) -> Result<Self, ConnectError> {
        let raw = matches!(format, WrittenFormat::Json(_)) && rows.get(topic).is_none();
        Ok(Self { decoder: if raw { None } else { Some(Decoder::new(format, topic, rows)?) } })
    }

    /// The columns that are written; `None`: values as they are.
    pub(crate) fn schema(&self) -> Option<&SchemaRef> {
        self.decoder.as_ref().map(|decoder| &decoder.written)
    }

    /// The rows of a batch.
    pub(crate) fn make(&mut self, partition: &TopicPartition, batch: &FetchedBatch) -> Result<Made, ConnectError> {
        let (columns, records, rejected) = match &mut self.decoder {
            None => (None, (0..batch.records.len()).collect(), Vec::new()),
            Some(decoder) => {
                let Rows { batch: columns, records, present, rejected, .. } = decoder.reader.read(partition, batch)?;
                let is_deleted = |row: usize| present.as_ref().is_some_and(|present| !present.value(row));
                (Some(decoder.written_columns(columns, &records, batch, is_deleted)), records, rejected)
            }
        };
        let offsets = records.iter().map(|record| batch.offsets.at(*record).0).collect();
        Ok(Made { columns, records, offsets, rejected })
    }
}

impl Decoder {
    fn new(format: WrittenFormat, topic: &TopicName, rows: &TopicRows) -> Result<Self, ConnectError> {
        let problem = |problem: String| ConnectError::Input { input: format!("topic {topic}"), problem };
        let of = rows.expect(topic)?;
        let schema = of.schema();
        let written = match schema.kind {
            RowKind::Stream => Arc::clone(&schema.columns),
            RowKind::Table => {
                let mut fields: Vec<FieldRef> = schema.columns.fields().iter().cloned().collect();
                for (name, data_type) in [(OP, DataType::Utf8), (OFFSET, DataType::Int64)] {
                    if fields.iter().any(|field| field.name().eq_ignore_ascii_case(name)) {
                        return Err(problem(format!("column {name} is what change files say of a row; rename it")));
                    }
                    fields.push(Arc::new(Field::new(name, data_type, false)));
                }
                Arc::new(Schema::new(fields))
            }
        };
        check_columns(format, &written).map_err(problem)?;
        Ok(Self { reader: of.reader()?, kind: schema.kind, written })
    }

    fn written_columns(
        &self,
        columns: RecordBatch,
        records: &[usize],
        batch: &FetchedBatch,
        is_deleted: impl Fn(usize) -> bool,
    ) -> RecordBatch {
        if self.kind == RowKind::Stream {
            return columns;
        }
        let op = |row: usize| if is_deleted(row) { "delete" } else { "upsert" };
        let ops: StringArray = (0..records.len()).map(|row| Some(op(row))).collect();
        let offset = |record: &usize| i64::try_from(batch.offsets.at(*record).0).unwrap_or(i64::MAX);
        let offsets: Int64Array = records.iter().map(|record| Some(offset(record))).collect();
        let mut all: Vec<ArrayRef> = columns.columns().to_vec();
        all.extend([Arc::new(ops) as ArrayRef, Arc::new(offsets)]);
        RecordBatch::try_new(Arc::clone(&self.written), all).expect("the columns of the schema, a value each row")
    }
}

/// The offset behind the last record of a batch.
pub(crate) fn end_of(batch: &FetchedBatch) -> Offset {
    match batch.records.len() {
        0 => Offset(0),
        records => batch.offsets.at(records - 1).next(),
    }
}
