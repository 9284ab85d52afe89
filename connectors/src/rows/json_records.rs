//! Rows for sinks that write records: an adapter in front of such a sink, which gives it each row as a record whose value is JSON.
//!
//! | | of the record that the sink gets |
//! |---|---|
//! | value | a JSON object of all columns, as the format JSON writes it; null for a deletion |
//! | key | the text of the key's only column; of several, or of lists and structs, JSON; bytes stay bytes, no key stays none |
//! | offset, timestamp, headers | those of the record that was read |
//!
//! A record without a row (left out by a condition) is left out, its offset with it. Records that cannot be read, and rows that are no JSON, are
//! rejected. So is a record without value in a stream, where it is no row, unless the sink leaves such records out anyway. What the sink itself rejects is handed on as it was read, not as it was sent: a dead letter is the original record.

use std::collections::BTreeMap;

use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryArray, Int64Array, RecordBatch},
    buffer::NullBuffer,
    compute::take,
    datatypes::{DataType, FieldRef, UInt32Type},
};
use millstream::{
    connect::{ConnectError, Promise, RejectedRecord, Sink, SinkPosition, SinkPositions},
    format::{Format, FormatError, Serializer, Side, Wrapping},
    log::{FetchedBatch, Offsets},
    record::{Records, Timestamp, TopicName, TopicPartition},
};

use super::{RowReader, Rows, TopicRows};
use crate::config::NullValues;

/// Whether the records as they were read are held until the sink has taken them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Originals {
    /// The sink may reject some.
    Held,
    /// The sink takes whatever is written to it.
    NotNeeded,
}

/// A sink of records that gets rows. Topics whose columns are not known pass as they are.
pub(crate) struct JsonRecords {
    sink: Box<dyn Sink>,
    rows: TopicRows,
    originals: Originals,
    null_values: NullValues,
    /// By topic, made when its first records come.
    makers: BTreeMap<TopicName, Option<Maker>>,
    /// What was written since the sink last settled.
    held: Vec<(TopicPartition, FetchedBatch)>,
    rejected: Vec<RejectedRecord>,
}

impl JsonRecords {
    /// Puts rows in front of a sink that does this with records without a value.
    pub(crate) fn new(sink: Box<dyn Sink>, rows: TopicRows, originals: Originals, null_values: NullValues) -> Self {
        Self { sink, rows, originals, null_values, makers: BTreeMap::new(), held: Vec::new(), rejected: Vec::new() }
    }

    fn maker(&mut self, topic: &TopicName) -> Result<Option<&mut Maker>, ConnectError> {
        if !self.makers.contains_key(topic) {
            let maker = self.rows.get(topic).map(|format| Maker::new(topic, format.schema(), format.reader()?));
            self.makers.insert(topic.clone(), maker.transpose()?);
        }
        Ok(self.makers.get_mut(topic).and_then(Option::as_mut))
    }

    /// The record that was read where the sink rejects one.
    fn original(&self, rejected: &RejectedRecord) -> Option<RejectedRecord> {
        let of = |(partition, batch): &&(TopicPartition, FetchedBatch)| {
            *partition == rejected.partition && !batch.records.is_empty() && batch.offsets.at(0) <= rejected.offset
        };
        // Batches of a partition come in order: the last that begins at or before the offset has it.
        let (partition, batch) = self.held.iter().rev().find(of)?;
        let row = (0..batch.records.len()).find(|row| batch.offsets.at(*row) == rejected.offset)?;
        Some(RejectedRecord::of(partition, batch, row, rejected.problem.clone()))
    }
}

impl Sink for JsonRecords {
    fn topics(&self) -> &[TopicName] {
        self.sink.topics()
    }

    fn promise(&self) -> Promise {
        self.sink.promise()
    }

    fn open(&mut self, committed: &[SinkPosition]) -> Result<(), ConnectError> {
        self.held.clear();
        self.rejected.clear();
        self.sink.open(committed)
    }

    fn write(&mut self, partition: &TopicPartition, batch: &FetchedBatch) -> Result<(), ConnectError> {
        let Some(maker) = self.maker(&partition.topic)? else { return self.sink.write(partition, batch) };
        let (made, mut rejected) = maker.make(partition, batch)?;
        if self.null_values == NullValues::Ignore {
            rejected.retain(|rejected| rejected.record.value.is_some());
        }
        self.rejected.append(&mut rejected);
        if made.records.is_empty() {
            return Ok(());
        }
        if self.originals == Originals::Held {
            self.held.push((partition.clone(), batch.clone()));
        }
        self.sink.write(partition, &made)
    }

    fn settle(&mut self) -> Result<Vec<RejectedRecord>, ConnectError> {
        let refused = self.sink.settle()?;
        let mut rejected = std::mem::take(&mut self.rejected);
        rejected.extend(refused.into_iter().map(|refused| self.original(&refused).unwrap_or(refused)));
        self.held.clear();
        rejected.sort_by(|left, right| (&left.partition, left.offset).cmp(&(&right.partition, right.offset)));
        Ok(rejected)
    }

    fn flush(&mut self) -> Result<Vec<u8>, ConnectError> {
        self.sink.flush()
    }

    fn positions(&self) -> Option<&SinkPositions> {
        self.sink.positions()
    }

    fn rows_a_commit(&self) -> Option<usize> {
        self.sink.rows_a_commit()
    }

    fn is_due(&mut self, now: Timestamp) -> Result<bool, ConnectError> {
        self.sink.is_due(now)
    }
}

/// Makes the records of one topic.
struct Maker {
    topic: TopicName,
    reader: Box<dyn RowReader>,
    value: Json,
    /// Made with the first rows, which say what the key is.
    key: Option<KeyText>,
}

impl Maker {
    fn new(topic: &TopicName, schema: &super::RowSchema, reader: Box<dyn RowReader>) -> Result<Self, ConnectError> {
        let value = Json::new(topic, Side::Value, schema.columns.fields())?;
        Ok(Self { topic: topic.clone(), reader, value, key: None })
    }

    /// The records of the rows of a batch, and the records that have none because something is wrong with them.
    fn make(
        &mut self,
        partition: &TopicPartition,
        batch: &FetchedBatch,
    ) -> Result<(FetchedBatch, Vec<RejectedRecord>), ConnectError> {
        let mut rows = self.reader.read(partition, batch)?;
        let key = match &mut self.key {
            Some(key) => key,
            none => none.insert(KeyText::new(&self.topic, &rows.key)?),
        };
        let present = rows.present.as_ref().map(|present| NullBuffer::new(present.values().clone()));
        let values = self.value.encode(rows.batch.columns(), rows.records.len(), present.as_ref());
        let keys = key.encode(&rows.key, &rows.records, batch);
        // Of both sides, what is wrong with some rows.
        let mut problems: BTreeMap<usize, String> = values.problems.into_iter().collect();
        problems.extend(keys.problems);
        let rejected = |(row, problem): (&usize, &String)| {
            RejectedRecord::of(partition, batch, rows.records[*row], problem.clone())
        };
        rows.rejected.extend(problems.iter().map(rejected));
        let kept: Vec<usize> = (0..rows.records.len()).filter(|row| !problems.contains_key(row)).collect();
        Ok((records_of(&rows, &kept, &keys.bytes, &values.bytes, batch), rows.rejected))
    }
}

/// The records of the rows `kept`, with these keys and values.
fn records_of(
    rows: &Rows,
    kept: &[usize],
    keys: &BinaryArray,
    values: &BinaryArray,
    batch: &FetchedBatch,
) -> FetchedBatch {
    let whole = kept.len() == batch.records.len();
    if whole {
        let (times, headers) = (batch.records.timestamps().clone(), batch.records.headers().cloned());
        let records = Records::new(keys.clone(), values.clone(), times, headers);
        return FetchedBatch { offsets: batch.offsets.clone(), records };
    }
    let from = |row: &usize| rows.records[*row];
    let times = kept.iter().map(|row| batch.records.timestamps().value(from(row)));
    let headers = batch.records.headers().map(|headers| kept.iter().map(|row| headers[from(row)].clone()).collect());
    let picked = |column: &BinaryArray| match kept.len() == column.len() {
        true => column.clone(),
        false => pick(column, kept),
    };
    let records = Records::new(picked(keys), picked(values), Int64Array::from_iter_values(times), headers);
    FetchedBatch { offsets: Offsets::Each(kept.iter().map(|row| batch.offsets.at(from(row))).collect()), records }
}

/// The values of a column at `rows`.
fn pick(column: &BinaryArray, rows: &[usize]) -> BinaryArray {
    let rows: arrow::array::PrimitiveArray<UInt32Type> = rows.iter().map(|row| Some(*row as u32)).collect();
    let picked = take(column, &rows, None).expect("row numbers lie within the batch");
    picked.as_binary::<i32>().clone()
}

/// Rows as bytes; null bytes for those with a problem.
struct Encoded {
    bytes: BinaryArray,
    problems: Vec<(usize, String)>,
}

/// Writes rows as JSON.
struct Json {
    serializer: Box<dyn Serializer>,
}

impl Json {
    fn new(topic: &TopicName, side: Side, fields: &[FieldRef]) -> Result<Self, ConnectError> {
        let serializer = Format::Json.serializer(side, Wrapping::Wrapped, fields);
        let problem = |error: FormatError| ConnectError::Input {
            input: format!("topic {topic}"),
            problem: format!("its rows cannot be JSON: {error}"),
        };
        Ok(Self { serializer: serializer.map_err(problem)? })
    }

    /// The rows as JSON. If that fails, each row by itself.
    fn encode(&mut self, columns: &[ArrayRef], rows: usize, present: Option<&NullBuffer>) -> Encoded {
        if let Ok(bytes) = self.serializer.encode(columns, rows, present) {
            return Encoded { bytes, problems: Vec::new() };
        }
        let mut problems = Vec::new();
        let mut one = |row: usize| {
            let columns: Vec<ArrayRef> = columns.iter().map(|column| column.slice(row, 1)).collect();
            let present = present.map(|present| present.slice(row, 1));
            match self.serializer.encode(&columns, 1, present.as_ref()) {
                Ok(bytes) => bytes.is_valid(0).then(|| bytes.value(0).to_vec()),
                Err(error) => {
                    problems.push((row, error.to_string()));
                    None
                }
            }
        };
        let bytes: Vec<Option<Vec<u8>>> = (0..rows).map(&mut one).collect();
        Encoded { bytes: bytes.iter().map(Option::as_deref).collect(), problems }
    }
}

/// Writes keys as text.
enum KeyText {
    /// There are no columns: the bytes of the record.
    AsRead,
    /// Text or bytes, which are what they are.
    Plain,
    /// A number or truth value as text, or JSON.
    Json(Json),
}

impl KeyText {
    fn new(topic: &TopicName, key: &RecordBatch) -> Result<Self, ConnectError> {
        let schema = key.schema();
        match schema.fields().as_ref() {
            [] => Ok(Self::AsRead),
            [only] if matches!(only.data_type(), DataType::Utf8 | DataType::Binary) => Ok(Self::Plain),
            fields => Ok(Self::Json(Json::new(topic, Side::Key, fields)?)),
        }
    }

    fn encode(&mut self, key: &RecordBatch, records: &[usize], batch: &FetchedBatch) -> Encoded {
        let plain = |bytes: BinaryArray| Encoded { bytes, problems: Vec::new() };
        match self {
            Self::AsRead => plain(pick(batch.records.keys(), records)),
            Self::Plain => match key.column(0).as_string_opt::<i32>() {
                Some(text) => plain(text.iter().map(|text| text.map(str::as_bytes)).collect()),
                None => plain(key.column(0).as_binary::<i32>().clone()),
            },
            Self::Json(json) => json.encode(key.columns(), key.num_rows(), None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use arrow::datatypes::Field;
    use millstream::{
        record::{Header, Offset, PartitionId, Record},
        schema::WindowKind,
    };

    use super::*;
    use crate::rows::{RecordColumns, RowKind};

    /// Keeps what it gets, and takes no record with an offset of `refused`.
    struct Keeper {
        topics: Vec<TopicName>,
        got: Arc<Mutex<Vec<(Offset, Record)>>>,
        refused: u64,
        rejected: Vec<RejectedRecord>,
    }

    impl Sink for Keeper {
        fn topics(&self) -> &[TopicName] {
            &self.topics
        }

        fn promise(&self) -> Promise {
            Promise::AtLeastOnce
        }

        fn open(&mut self, _committed: &[SinkPosition]) -> Result<(), ConnectError> {
            Ok(())
        }

        fn write(&mut self, partition: &TopicPartition, batch: &FetchedBatch) -> Result<(), ConnectError> {
            for row in 0..batch.records.len() {
                match batch.offsets.at(row).0 == self.refused {
                    true => self.rejected.push(RejectedRecord::of(partition, batch, row, "not wanted".into())),
                    false => self
                        .got
                        .lock()
                        .expect("no test panics with it")
                        .push((batch.offsets.at(row), batch.records.get(row).into())),
                }
            }
            Ok(())
        }

        fn settle(&mut self) -> Result<Vec<RejectedRecord>, ConnectError> {
            Ok(std::mem::take(&mut self.rejected))
        }

        fn flush(&mut self) -> Result<Vec<u8>, ConnectError> {
            Ok(Vec::new())
        }
    }

    fn field(name: &str, data_type: DataType) -> FieldRef {
        Arc::new(Field::new(name, data_type, true))
    }

    fn columns(kind: RowKind, key: Vec<FieldRef>, key_format: Format) -> RecordColumns {
        let value = vec![field("NAME", DataType::Utf8), field("N", DataType::Float64)];
        RecordColumns { key_format, key, ..RecordColumns::json(kind, value) }
    }

    /// What arrives, as `offset key value`, and what is rejected, as `offset: problem`.
    fn write(columns: RecordColumns, records: Vec<Record>, refused: u64) -> (Vec<String>, Vec<RejectedRecord>) {
        write_with(NullValues::Fail, columns, records, refused)
    }

    fn write_with(
        null_values: NullValues,
        columns: RecordColumns,
        records: Vec<Record>,
        refused: u64,
    ) -> (Vec<String>, Vec<RejectedRecord>) {
        let topic = TopicName::new("people").expect("legal");
        let got = Arc::new(Mutex::new(Vec::new()));
        let keeper = Keeper { topics: vec![topic.clone()], got: Arc::clone(&got), refused, rejected: Vec::new() };
        let rows = TopicRows::default().with(topic.clone(), columns.row_format().expect("legal"));
        let mut sink = JsonRecords::new(Box::new(keeper), rows, Originals::Held, null_values);
        sink.open(&[]).expect("opens");
        let batch = FetchedBatch { offsets: Offsets::From(Offset(40)), records: records.into_iter().collect() };
        sink.write(&TopicPartition::new(topic, PartitionId(2)), &batch).expect("takes it");
        let rejected = sink.settle().expect("settles");
        let text = |bytes: &Option<Vec<u8>>| {
            bytes.as_ref().map_or("-".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned())
        };
        let got = got.lock().expect("no test panics with it");
        let shown = |(offset, record): &(Offset, Record)| {
            assert_eq!((record.timestamp, record.headers.len()), (Timestamp(7), 1));
            format!("{offset} {} {}", text(&record.key), text(&record.value))
        };
        (got.iter().map(shown).collect(), rejected)
    }

    fn record(key: &[u8], value: Option<&str>) -> Record {
        Record {
            key: Some(key.to_vec()),
            value: value.map(Into::into),
            timestamp: Timestamp(7),
            headers: vec![Header { name: "h".into(), value: None }],
        }
    }

    #[test]
    fn rows_are_objects_and_keys_text() {
        let check = |key: Vec<FieldRef>, format: Format, bytes: &[u8], expected: &str| {
            let value = Some(r#"{"n": 2, "name": "a\"b", "more": 1}"#);
            let (got, rejected) = write(columns(RowKind::Stream, key, format), vec![record(bytes, value)], 0);
            assert_eq!((got, rejected), (vec![format!("40 {expected}")], vec![]));
        };
        let object = r#""NAME":"a\"b","N":2.0}"#;
        let id = |data_type| vec![field("ID", data_type)];
        check(id(DataType::Int64), Format::Kafka, &17_i64.to_be_bytes(), &format!("17 {{\"ID\":17,{object}"));
        check(id(DataType::Utf8), Format::Kafka, b"ada", &format!("ada {{\"ID\":\"ada\",{object}"));
        check(id(DataType::Utf8), Format::Json, b"\"ada\"", &format!("ada {{\"ID\":\"ada\",{object}"));
        let two = vec![field("A", DataType::Utf8), field("B", DataType::Int32)];
        let both = r#"{"A":"x","B":3"#;
        check(two, Format::Json, br#"{"B":3,"A":"x"}"#, &format!("{both}}} {both},{object}"));
        check(Vec::new(), Format::None, b"kept", &format!("kept {{{object}"));
    }

    #[test]
    fn a_record_of_a_stream_without_value_is_rejected_or_left_out() {
        let stream = || columns(RowKind::Stream, vec![field("ID", DataType::Utf8)], Format::Kafka);
        let records = || vec![record(b"a", None), record(b"b", Some("{"))];
        let rejected = |null_values: NullValues| -> Vec<u64> {
            let (got, rejected) = write_with(null_values, stream(), records(), 0);
            assert!(got.is_empty(), "{got:?}");
            rejected.iter().map(|rejected| rejected.offset.0).collect()
        };
        assert_eq!((rejected(NullValues::Fail), rejected(NullValues::Ignore)), (vec![40, 41], vec![41]));
    }

    #[test]
    fn windows_are_part_of_the_key() {
        let mut windowed = columns(RowKind::Table, vec![field("ID", DataType::Utf8)], Format::Kafka);
        windowed.window = WindowKind::time(std::time::Duration::from_millis(60).into());
        let key = [b"ada".as_slice(), &120_i64.to_be_bytes()].concat();
        let (got, _) = write(windowed, vec![record(&key, None)], 0);
        assert_eq!(got, [r#"40 {"ID":"ada","WINDOWSTART":120,"WINDOWEND":180} -"#]);
    }

    #[test]
    fn what_is_no_row_is_rejected_as_it_was_read() {
        let table = columns(RowKind::Table, vec![field("ID", DataType::Int64)], Format::Kafka);
        let key = |n: i64| n.to_be_bytes();
        let records = vec![
            record(&key(0), Some(r#"{"NAME":"a"}"#)),
            record(&key(1), Some("{")),
            record(&key(2), None),
            record(&key(3), Some(r#"{"NAME":"d"}"#)),
            record(b"odd", Some(r#"{"NAME":"e"}"#)),
        ];
        let (got, rejected) = write(table, records.clone(), 43);
        assert_eq!(got, [r#"40 0 {"ID":0,"NAME":"a","N":null}"#, "42 2 -"]);
        let offsets: Vec<u64> = rejected.iter().map(|rejected| rejected.offset.0).collect();
        assert_eq!(offsets, [41, 43, 44]);
        for rejected in &rejected {
            assert_eq!(rejected.record, records[rejected.offset.0 as usize - 40]);
        }
        assert_eq!(rejected[1].problem, "not wanted");
        assert!(rejected[0].problem.starts_with("value: ") && rejected[2].problem.starts_with("key: "), "{rejected:?}");
    }
}
