//! The records of a topic as a table of DataFusion, from the start of the topic to its end at the moment of the query.
//!
//! Of a table, the newest record of each key is its row, as a view over it would have it. Records that cannot be decoded are
//! left out and logged.

use std::{collections::BTreeMap, fmt, pin::Pin, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch},
    compute,
    datatypes::{DataType, Field, FieldRef, Int64Type, Schema, SchemaRef},
};
use datafusion::{
    catalog::{Session, TableProvider},
    error::{DataFusionError, Result},
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::{Expr, TableType},
    physical_plan::{
        ExecutionPlan,
        stream::RecordBatchReceiverStream,
        streaming::{PartitionStream, StreamingTableExec},
    },
};
use millstream::{
    dsl::SourceOptions,
    format::{Deserializer, Format, FormatError, Side},
    log::{FetchedBatch, LogError, Offsets, SharedLog},
    record::{Offset, PartitionId, RecordsBuilder, Timestamp, TopicName, TopicPartition, headers_column, moments},
    schema::{ROWOFFSET, ROWTIME, WINDOWEND, WINDOWSTART, WindowKind},
    topology::{OffsetReset, RecordPart, TimestampExtractor},
    window::{SplitKeys, split_keys},
};

use crate::{
    catalog::Source,
    planner::{
        PlanError,
        input::{self, ROWPARTITION},
    },
    syntax::{Position, ast::SourceKind},
};

const FETCH_BYTES: usize = 1 << 20;
/// Rows of a table that are decoded together.
const ROWS: usize = 8192;

/// A source as it lies in its topic.
#[derive(Clone)]
pub(super) struct TopicTable {
    source: Arc<Source>,
    key: Vec<FieldRef>,
    key_format: Format,
    options: Arc<SourceOptions>,
    window: WindowKind,
    log: SharedLog,
    topic: TopicName,
    partitions: u32,
    schema: SchemaRef,
}

impl TopicTable {
    /// The records of `source`, which a query names at a place.
    ///
    /// # Errors
    /// If the topic is not there or holds something that cannot be read yet.
    pub(super) fn new(source: &Source, log: SharedLog, at: Position) -> Result<Self, PlanError> {
        let options = input::options(source, OffsetReset::Earliest, at)?;
        let window = input::window(source);
        let refuse = |error: &dyn fmt::Display| PlanError::invalid(at, error.to_string());
        let topic = TopicName::new(&source.topic).map_err(|error| refuse(&error))?;
        let partitions = log.describe_topic(&topic).map_err(|error| refuse(&error))?.config.partitions;
        let key: Vec<FieldRef> = source.key_columns().map(input::field).collect();
        let mut fields = key.clone();
        if window.is_windowed() {
            fields.extend([WINDOWSTART, WINDOWEND].map(|name| Arc::new(Field::new(name, DataType::Int64, true))));
        }
        fields.extend(options.value.iter().cloned());
        let part = |(name, part): &(String, RecordPart)| Arc::new(Field::new(name, part.data_type(), true));
        fields.extend(options.parts.iter().map(part));
        fields.extend([ROWTIME, ROWOFFSET, ROWPARTITION].map(|name| Arc::new(Field::new(name, DataType::Int64, true))));
        Ok(Self {
            source: Arc::new(source.clone()),
            key,
            key_format: input::key_format(source),
            options: Arc::new(options),
            window,
            log,
            topic,
            partitions,
            schema: Arc::new(Schema::new(fields)),
        })
    }
}

impl fmt::Debug for TopicTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicTable").field("source", &self.source.name).finish_non_exhaustive()
    }
}

type Scan<'a> = Pin<Box<dyn Future<Output = Result<Arc<dyn ExecutionPlan>>> + Send + 'a>>;

impl TableProvider for TopicTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    // `async fn` in a trait of trait objects is written out, as the macro would.
    fn scan<'life0, 'life1, 'life2, 'life3, 'async_trait>(
        &'life0 self,
        _state: &'life1 dyn Session,
        projection: Option<&'life2 Vec<usize>>,
        _filters: &'life3 [Expr],
        limit: Option<usize>,
    ) -> Scan<'async_trait>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        'life2: 'async_trait,
        'life3: 'async_trait,
        Self: 'async_trait,
    {
        let rows = |partition: u32| -> Arc<dyn PartitionStream> {
            Arc::new(PartitionRows {
                table: self.clone(),
                partition: PartitionId(partition),
                projection: projection.cloned(),
            })
        };
        let partitions = (0..self.partitions).map(rows).collect();
        let plan = StreamingTableExec::try_new(Arc::clone(&self.schema), partitions, projection, [], false, limit);
        Box::pin(async move { plan.map(|plan| Arc::new(plan) as Arc<dyn ExecutionPlan>) })
    }
}

/// One partition of a topic.
#[derive(Debug)]
struct PartitionRows {
    table: TopicTable,
    partition: PartitionId,
    projection: Option<Vec<usize>>,
}

impl PartitionStream for PartitionRows {
    fn schema(&self) -> &SchemaRef {
        &self.table.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut stream = RecordBatchReceiverStream::builder(Arc::clone(&self.table.schema), 2);
        let sender = stream.tx();
        let (table, partition, projection) = (self.table.clone(), self.partition, self.projection.clone());
        stream.spawn_blocking(move || {
            let mut send = |rows: RecordBatch| sender.blocking_send(Ok(rows)).is_ok();
            read(&table, partition, projection.as_deref(), &mut send)
                .map_err(|error| DataFusionError::External(error.into()))
        });
        stream.build()
    }
}

/// Why a topic could not be read.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error(transparent)]
    Arrow(#[from] arrow::error::ArrowError),
}

/// Reads a partition until `send` says that nobody listens.
fn read(
    table: &TopicTable,
    partition: PartitionId,
    projection: Option<&[usize]>,
    send: &mut dyn FnMut(RecordBatch) -> bool,
) -> Result<(), ReadError> {
    let partition = TopicPartition::new(table.topic.clone(), partition);
    let mut decoder = Decoder::new(table, &partition, projection)?;
    let end = table.log.end_offset(&partition)?;
    let mut next = table.log.start_offset(&partition)?;
    let mut kept: Vec<FetchedBatch> = Vec::new();
    while next < end {
        let fetched = table.log.fetch(&partition, next, FETCH_BYTES)?;
        if fetched.batches.is_empty() {
            break;
        }
        next = fetched.next;
        for batch in fetched.batches {
            if table.source.kind == SourceKind::Table {
                kept.push(batch);
            } else if !send(decoder.decode(&batch, end)?) {
                return Ok(());
            }
        }
    }
    let expired = match table.source.ttl_when_read() {
        Some(ttl) => stream_time(&mut decoder, &kept, end)?.minus(ttl),
        None => Timestamp::NONE,
    };
    for batch in newest(&kept, end) {
        let rows = decoder.decode(&batch, end)?;
        let live = times_of(&rows).iter().map(|time| Some(time.is_none_or(|time| time > expired.millis()))).collect();
        if !send(compute::filter_record_batch(&rows, &live)?) {
            break;
        }
    }
    Ok(())
}

/// The highest timestamp of records before `end`; deletions do not count.
fn stream_time(decoder: &mut Decoder<'_>, batches: &[FetchedBatch], end: Offset) -> Result<Timestamp, ReadError> {
    let mut newest = Timestamp::NONE;
    for batch in batches {
        let times = match decoder.table.options.timestamp {
            TimestampExtractor::Record => {
                let times: ArrayRef = Arc::new(batch.records.timestamps().clone());
                let there = compute::is_not_null(batch.records.values())?;
                compute::filter(&times, &there)?.as_primitive::<Int64Type>().clone()
            }
            TimestampExtractor::Column { .. } => times_of(&decoder.decode(batch, end)?).clone(),
        };
        newest = newest.max(compute::max(&times).map_or(Timestamp::NONE, Timestamp));
    }
    Ok(newest)
}

/// The pseudo column ROWTIME, the third from the end.
fn times_of(rows: &RecordBatch) -> &Int64Array {
    rows.column(rows.num_columns() - 3).as_primitive::<Int64Type>()
}

/// The records that hold the newest value of their key before `end`, in the order of the bytes of keys, as a store would give them.
fn newest(batches: &[FetchedBatch], end: Offset) -> impl Iterator<Item = FetchedBatch> + '_ {
    let mut last: BTreeMap<&[u8], (usize, usize)> = BTreeMap::new();
    for (number, batch) in batches.iter().enumerate() {
        let (keys, values) = (batch.records.keys(), batch.records.values());
        for row in (0..keys.len()).filter(|row| keys.is_valid(*row) && batch.offsets.at(*row) < end) {
            if values.is_valid(row) {
                last.insert(keys.value(row), (number, row));
            } else {
                last.remove(keys.value(row));
            }
        }
    }
    let places: Vec<(usize, usize)> = last.into_values().collect();
    (0..places.len()).step_by(ROWS).map(move |start| {
        let chunk = &places[start..places.len().min(start + ROWS)];
        let mut records = RecordsBuilder::default();
        chunk.iter().for_each(|(number, row)| records.push(batches[*number].records.get(*row)));
        let offsets = chunk.iter().map(|(number, row)| batches[*number].offsets.at(*row)).collect();
        FetchedBatch { records: records.finish(), offsets: Offsets::Each(offsets) }
    })
}

/// Turns records into rows.
struct Decoder<'a> {
    table: &'a TopicTable,
    partition: &'a TopicPartition,
    key: Box<dyn Deserializer>,
    value: Box<dyn Deserializer>,
    /// Which value columns are decoded; the others are null.
    wanted: Vec<usize>,
}

impl<'a> Decoder<'a> {
    fn new(
        table: &'a TopicTable,
        partition: &'a TopicPartition,
        projection: Option<&[usize]>,
    ) -> Result<Self, FormatError> {
        let options = &table.options;
        let wrapping = options.formats.wrapping;
        let keys: Vec<usize> = (0..table.key.len()).collect();
        let first = table.key.len() + if table.window.is_windowed() { 2 } else { 0 };
        let is_time = |name: &str| matches!(&options.timestamp, TimestampExtractor::Column { name: column, .. } if column == name);
        let wanted: Vec<usize> = (0..options.value.len())
            .filter(|index| {
                let picked = projection.is_none_or(|columns| columns.contains(&(first + index)));
                picked || is_time(options.value[*index].name())
            })
            .collect();
        Ok(Self {
            table,
            partition,
            key: table.key_format.deserializer(Side::Key, wrapping, &table.key, &keys)?,
            value: options.formats.value.deserializer(Side::Value, wrapping, &options.value, &wanted)?,
            wanted,
        })
    }

    fn decode(&mut self, batch: &FetchedBatch, end: Offset) -> Result<RecordBatch, ReadError> {
        let records = &batch.records;
        let rows = records.len();
        let mut keep = vec![true; rows];
        let window = self.table.window;
        let split = window.is_windowed().then(|| split_keys(window, records.keys()));
        let keys = self.key.decode(split.as_ref().map_or(records.keys(), |split| &split.keys));
        let values = self.value.decode(records.values());
        if let Some(failure) = keys.failure.or(values.failure) {
            return Err(failure.into());
        }
        for error in keys.errors.iter().chain(&values.errors).filter(|error| error.row < rows) {
            if std::mem::replace(&mut keep[error.row], false) {
                tracing::debug!(
                    "{} offset={} left out: {}",
                    self.partition,
                    batch.offsets.at(error.row),
                    error.problem
                );
            }
        }
        let mut columns: Vec<ArrayRef> = keys.columns;
        if let Some(SplitKeys { starts, ends, broken, .. }) = split {
            broken.into_iter().for_each(|row| keep[row] = false);
            columns.extend([Arc::new(starts) as ArrayRef, Arc::new(ends)]);
        }
        let mut decoded = values.columns.into_iter();
        for (index, field) in self.table.options.value.iter().enumerate() {
            let column = if self.wanted.contains(&index) { decoded.next() } else { None };
            columns.push(column.unwrap_or_else(|| arrow::array::new_null_array(field.data_type(), rows)));
        }
        let headers = records.headers().map(|headers| headers_column(headers));
        let parts = self.table.options.parts.iter();
        columns.extend(parts.map(|(_, part)| part.column(self.partition.partition, headers.as_ref(), rows)));
        let times = self.times(&columns, batch);
        let offsets = Int64Array::from_iter_values((0..rows).map(|row| batch.offsets.at(row).0 as i64));
        for (row, keep) in keep.iter_mut().enumerate() {
            *keep &= batch.offsets.at(row) < end
                && (records.values().is_valid(row) || self.table.source.kind == SourceKind::Stream);
        }
        let partition = Int64Array::from(vec![i64::from(self.partition.partition.0); rows]);
        columns.extend([Arc::new(times) as ArrayRef, Arc::new(offsets), Arc::new(partition)]);
        let all = RecordBatch::try_new(Arc::clone(&self.table.schema), columns)?;
        if keep.iter().all(|keep| *keep) {
            Ok(all)
        } else {
            Ok(compute::filter_record_batch(&all, &BooleanArray::from(keep))?)
        }
    }

    /// The timestamps of rows: those of records, or of the column that holds them.
    fn times(&self, columns: &[ArrayRef], batch: &FetchedBatch) -> Int64Array {
        let TimestampExtractor::Column { name, format, .. } = &self.table.options.timestamp else {
            return batch.records.timestamps().clone();
        };
        let Ok(index) = self.table.schema.index_of(name) else { return batch.records.timestamps().clone() };
        moments(&columns[index], format.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use millstream::{
        log::{FetchedBatch, Offsets},
        record::{Record, Records},
    };

    use super::*;

    #[test]
    fn the_newest_record_of_each_key_comes_in_the_order_of_keys() {
        // Key and value; no value is a tombstone.
        let records: Records = ["b1", "a1", "b2", "c1", "c"]
            .into_iter()
            .map(|text| {
                let (key, value) = text.split_at(1);
                let value = (!value.is_empty()).then(|| value.as_bytes().to_vec());
                Record { key: Some(key.as_bytes().to_vec()), value, ..Record::default() }
            })
            .collect();
        let check = |end: u64, want: &str| {
            let batch = FetchedBatch { offsets: Offsets::From(Offset(0)), records: records.clone() };
            let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
            let kept: Vec<String> = newest(&[batch], Offset(end))
                .flat_map(|batch| {
                    let of = |row: usize| {
                        let record = batch.records.get(row);
                        format!("{}{}@{}", text(record.key), text(record.value), batch.offsets.at(row).0)
                    };
                    (0..batch.records.len()).map(of).collect::<Vec<_>>()
                })
                .collect();
            assert_eq!(kept.join(" "), want, "end {end}");
        };
        // What comes behind the end hides nothing.
        check(2, "a1@1 b1@0");
        check(4, "a1@1 b2@2 c1@3");
        check(5, "a1@1 b2@2");
    }
}
