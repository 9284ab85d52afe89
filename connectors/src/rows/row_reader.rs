//! Records to rows, by the formats of their keys and values.
//!
//! A record that cannot be read spoils nothing but itself. Of a stream, a record without value is no row and is rejected, as nothing of it
//! would be seen; of a table it is a tombstone.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, BinaryArray, BooleanArray, RecordBatch},
    buffer::BooleanBuffer,
    compute::{filter_record_batch, is_null, kernels::nullif::nullif},
};
use millstream::{
    connect::{ConnectError, RejectedRecord},
    format::{Deserializer, FormatError, Side},
    log::FetchedBatch,
    record::{TopicPartition, headers_column},
    schema::WindowKind,
    topology::RecordPart,
    window::split_keys,
};

use super::{RecordColumns, RowKind, RowReader, RowSchema, Rows, all};

/// Reads the records of one topic as rows.
pub struct RecordReader {
    schema: RowSchema,
    window: WindowKind,
    key: Box<dyn Deserializer>,
    value: Box<dyn Deserializer>,
    parts: Vec<RecordPart>,
}

/// Which rows are good so far, and why the others are not.
struct Sieve {
    keep: Vec<bool>,
    problems: Vec<(usize, String)>,
}

impl Sieve {
    fn reject(&mut self, row: usize, problem: String) {
        if std::mem::replace(&mut self.keep[row], false) {
            self.problems.push((row, problem));
        }
    }
}

impl RecordReader {
    /// A reader for records of these columns.
    ///
    /// # Errors
    /// [`ConnectError::Input`] if a format cannot hold its columns.
    pub fn new(columns: &RecordColumns, schema: &RowSchema) -> Result<Self, ConnectError> {
        let problem = |error: FormatError| ConnectError::Input {
            input: "the columns of a topic".to_owned(),
            problem: error.to_string(),
        };
        let every = |count: usize| (0..count).collect::<Vec<usize>>();
        let key = columns.key_format.deserializer(Side::Key, columns.wrapping, &columns.key, &every(columns.key.len()));
        let value = columns.value_format.deserializer(
            Side::Value,
            columns.wrapping,
            &columns.value,
            &every(columns.value.len()),
        );
        Ok(Self {
            schema: schema.clone(),
            window: columns.window,
            key: key.map_err(problem)?,
            value: value.map_err(problem)?,
            parts: columns.parts.iter().map(|(_, part)| part.clone()).collect(),
        })
    }

    /// All columns, one row a record, and what is wrong with some of them.
    fn decode(
        &mut self,
        partition: &TopicPartition,
        batch: &FetchedBatch,
    ) -> Result<(Vec<ArrayRef>, Sieve), ConnectError> {
        let records = &batch.records;
        let mut sieve = Sieve { keep: vec![true; records.len()], problems: Vec::new() };
        let split = self.window.is_windowed().then(|| split_keys(self.window, records.keys()));
        let keys = split.as_ref().map_or(records.keys(), |split| &split.keys);
        let mut columns = side(&mut self.key, keys, "key", partition, batch, &mut sieve)?;
        if let Some(split) = split {
            columns.extend([Arc::new(split.starts) as ArrayRef, Arc::new(split.ends)]);
            split.broken.into_iter().for_each(|row| sieve.reject(row, "key: it ends without a window".to_owned()));
        }
        columns.extend(side(&mut self.value, records.values(), "value", partition, batch, &mut sieve)?);
        columns.extend(self.parts_of(partition, batch));
        if self.schema.kind == RowKind::Stream && records.values().null_count() > 0 {
            (0..records.len())
                .filter(|row| records.values().is_null(*row))
                .for_each(|row| sieve.reject(row, "it has no value, and a stream has no deletions".to_owned()));
        }
        Ok((columns, sieve))
    }

    /// The columns that are not in the bytes of keys and values.
    fn parts_of(&self, partition: &TopicPartition, batch: &FetchedBatch) -> Vec<ArrayRef> {
        if self.parts.is_empty() {
            return Vec::new();
        }
        let records = &batch.records;
        let headers = records.headers().map(|headers| headers_column(headers));
        let absent = is_null(records.values()).expect("any column can be asked for its nulls");
        let column = |part: &RecordPart| {
            let column = part.column(partition.partition, headers.as_ref(), records.len());
            nullif(&column, &absent).expect("the mask has one bit a record")
        };
        self.parts.iter().map(column).collect()
    }
}

impl RowReader for RecordReader {
    fn read(&mut self, partition: &TopicPartition, batch: &FetchedBatch) -> Result<Rows, ConnectError> {
        let (columns, mut sieve) = self.decode(partition, batch)?;
        let decoded = RecordBatch::try_new(Arc::clone(&self.schema.columns), columns)
            .expect("a deserializer gives columns of the types that it was built for, a value each record");
        let keep = BooleanArray::new(BooleanBuffer::from(std::mem::take(&mut sieve.keep)), None);
        let kept: Vec<usize> = (0..batch.records.len()).filter(|row| keep.value(*row)).collect();
        let values = batch.records.values();
        let present = (values.null_count() > 0).then(|| kept.iter().map(|row| Some(values.is_valid(*row))).collect());
        let rejected = |(row, problem)| RejectedRecord::of(partition, batch, row, problem);
        sieve.problems.sort_by_key(|(row, _)| *row);
        let batch = if all(&keep) {
            decoded
        } else {
            filter_record_batch(&decoded, &keep).expect("the mask has one bit a row")
        };
        let keys: Vec<usize> = (0..self.schema.key_columns).collect();
        Ok(Rows {
            key: batch.project(&keys).expect("the columns of the key are among all"),
            batch,
            records: kept,
            present: present.filter(|present| !all(present)),
            rejected: sieve.problems.into_iter().map(rejected).collect(),
        })
    }
}

/// Decodes the bytes of one side.
fn side(
    decoder: &mut Box<dyn Deserializer>,
    bytes: &BinaryArray,
    side: &str,
    partition: &TopicPartition,
    batch: &FetchedBatch,
    sieve: &mut Sieve,
) -> Result<Vec<ArrayRef>, ConnectError> {
    let decoded = decoder.decode(bytes);
    if let Some(failure) = decoded.failure {
        let system = format!("{partition} offset={}", batch.offsets.at(0));
        let problem = failure.to_string();
        return Err(ConnectError::Outside { system, problem, retryable: true, source: Some(Box::new(failure)) });
    }
    decoded.errors.into_iter().for_each(|error| sieve.reject(error.row, format!("{side}: {}", error.problem)));
    Ok(decoded.columns)
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{Int64Array, StringArray},
        datatypes::{DataType, Field},
    };
    use millstream::{
        format::Format,
        log::Offsets,
        record::{Offset, PartitionId, Record, TopicName},
    };

    use super::*;

    fn columns(kind: RowKind) -> RecordColumns {
        let field = |name: &str, data_type| Arc::new(Field::new(name, data_type, true));
        RecordColumns {
            key_format: Format::Kafka,
            key: vec![field("ID", DataType::Int64)],
            ..RecordColumns::json(kind, vec![field("NAME", DataType::Utf8)])
        }
    }

    fn read(kind: RowKind, values: &[Option<&str>]) -> Rows {
        let record = |(id, value): (usize, &Option<&str>)| Record {
            key: Some((id as i64).to_be_bytes().to_vec()),
            value: value.map(|value| value.as_bytes().to_vec()),
            ..Record::default()
        };
        let records = values.iter().enumerate().map(record).collect();
        let batch = FetchedBatch { offsets: Offsets::From(Offset(40)), records };
        let partition = TopicPartition::new(TopicName::new("people").expect("legal"), PartitionId(2));
        let format = columns(kind).row_format().expect("legal");
        format.reader().expect("JSON holds them").read(&partition, &batch).expect("no registry")
    }

    #[test]
    fn a_record_that_cannot_be_read_spoils_nothing_but_itself() {
        let rows = read(RowKind::Table, &[Some(r#"{"name":"ada"}"#), Some("{"), None, Some(r#"{"NAME":null}"#)]);
        assert_eq!(rows.records, [0, 2, 3]);
        assert_eq!(**rows.column(0), Int64Array::from(vec![0, 2, 3]));
        assert_eq!(**rows.column(1), StringArray::from(vec![Some("ada"), None, None]));
        assert_eq!((0..3).map(|row| rows.is_tombstone(row)).collect::<Vec<_>>(), [false, true, false]);
        let [bad] = rows.rejected.as_slice() else { panic!("one is rejected: {:?}", rows.rejected) };
        assert_eq!((bad.offset, bad.record.value.as_deref()), (Offset(41), Some(&b"{"[..])));
        assert!(bad.problem.starts_with("value: "), "{}", bad.problem);
    }

    #[test]
    fn a_stream_has_no_deletions() {
        let rows = read(RowKind::Stream, &[None, Some(r#"{"name":"ada"}"#)]);
        assert_eq!((rows.records.as_slice(), rows.rejected[0].offset), (&[1][..], Offset(40)));
        assert!(rows.present.is_none());
    }
}
