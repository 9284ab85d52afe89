//! Which directory a row goes to: by nothing, by fields, or by time.
//!
//! The directory follows from the record alone, so that a record that comes again goes the same way. Names are written as Hive does it,
//! `field=value`; characters that object keys had better not have are percent-encoded, null is `__HIVE_DEFAULT_PARTITION__`.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch},
    compute::cast,
    datatypes::{DataType, Int64Type, Schema, TimeUnit},
    util::display::{ArrayFormatter, FormatOptions},
};
use chrono_tz::Tz;
use millstream::{connect::ConnectError, record::TopicPartition};
use object_store::path::PathPart;

use super::path_format::PathFormat;
use crate::{file::parse_timestamp, file_format::is_scalar};

const NULL_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";
/// A key has at most 1024 bytes.
const DIRECTORY_BYTES_MAX: usize = 600;

/// How rows are assigned to directories (`'partitioner'`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Partitioner {
    /// By the partition of the topic: `partition=0`.
    None,
    /// By the values of columns (`'partition.field.name'`, with commas): `dest=ATL/carrier=DL`.
    Field(Vec<String>),
    /// By time.
    Time(TimePartitioner),
}

/// Directories by time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimePartitioner {
    /// What they look like (`'path.format'`, default by the hour).
    pub format: PathFormat,
    /// In which zone (`'timezone'`, default UTC).
    pub zone: Tz,
    /// Times are rounded down to a multiple of this, on the clocks of the zone (`'partition.duration.ms'`).
    pub duration_ms: Option<i64>,
}

/// Where the time of a row comes from (`'timestamp.field'`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowTime {
    /// The timestamp of its record.
    Record,
    /// A column: a timestamp, a date, epoch milliseconds, or ISO-8601 text.
    Field(String),
}

/// Places the rows of one topic.
pub(super) struct Placer {
    partitioner: Partitioner,
    fields: Vec<usize>,
    time: Option<usize>,
}

/// Where the rows of a batch go.
pub(super) struct Places {
    pub(super) directories: Vec<String>,
    /// For each row the number of its directory; `None`: rejected.
    pub(super) of_row: Vec<Option<u32>>,
    /// The time of each row.
    pub(super) times: Vec<i64>,
    pub(super) rejected: Vec<(usize, String)>,
}

impl Placer {
    pub(super) fn new(
        partitioner: &Partitioner,
        time: &RowTime,
        schema: Option<&Schema>,
        topic: &str,
    ) -> Result<Self, ConnectError> {
        let find = |property: &str, name: &str| {
            let found = schema.and_then(|schema| {
                schema.fields().iter().position(|field| field.name() == name || field.name().eq_ignore_ascii_case(name))
            });
            let known = schema.map_or("no known columns".to_owned(), |schema| {
                schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ")
            });
            found.ok_or_else(|| ConnectError::Input {
                input: format!("topic {topic}"),
                problem: format!("'{property}' names column `{name}`; it has {known}"),
            })
        };
        let names: &[String] = if let Partitioner::Field(names) = partitioner { names } else { &[] };
        let fields: Vec<usize> =
            names.iter().map(|name| find("partition.field.name", name)).collect::<Result<_, _>>()?;
        if let Some(nested) = fields
            .iter()
            .filter_map(|at| schema.map(|schema| schema.field(*at)))
            .find(|field| !is_scalar(field.data_type()))
        {
            let problem = format!(
                "'partition.field.name' names column `{}`, which is {} and makes no directory",
                nested.name(),
                nested.data_type()
            );
            return Err(ConnectError::Input { input: format!("topic {topic}"), problem });
        }
        let time = match time {
            RowTime::Record => None,
            RowTime::Field(name) => Some(find("timestamp.field", name)?),
        };
        Ok(Self { partitioner: partitioner.clone(), fields, time })
    }

    /// Places rows; `record_times` are the timestamps of their records.
    pub(super) fn place(
        &self,
        partition: &TopicPartition,
        batch: Option<&RecordBatch>,
        record_times: Vec<i64>,
    ) -> Places {
        let rows = record_times.len();
        let mut places =
            Places { directories: Vec::new(), of_row: vec![Some(0); rows], times: record_times, rejected: Vec::new() };
        if let (Some(column), Some(batch)) = (self.time, batch) {
            let times = times_of(batch.column(column));
            for row in 0..rows {
                match times.as_ref().filter(|times| times.is_valid(row)) {
                    Some(times) => places.times[row] = times.value(row),
                    None => {
                        places.reject(row, format!("column {} holds no time", batch.schema_ref().field(column).name()))
                    }
                }
            }
        }
        match &self.partitioner {
            Partitioner::None => places.directories.push(format!("partition={}", partition.partition)),
            Partitioner::Field(_) => self.by_fields(batch, &mut places),
            Partitioner::Time(time) => by_time(time, &mut places),
        }
        places
    }

    fn by_fields(&self, batch: Option<&RecordBatch>, places: &mut Places) {
        let Some(batch) = batch else { return };
        let options = FormatOptions::default();
        let columns: Vec<(&str, &ArrayRef)> =
            self.fields.iter().map(|at| (batch.schema_ref().field(*at).name().as_str(), batch.column(*at))).collect();
        let texts: Vec<_> = columns
            .iter()
            .map(|(_, column)| ArrayFormatter::try_new(column.as_ref(), &options).expect("its type is scalar"))
            .collect();
        let mut known: HashMap<String, u32> = HashMap::new();
        for row in 0..batch.num_rows() {
            let mut directory = String::new();
            for ((name, column), text) in columns.iter().zip(&texts) {
                let value = if column.is_null(row) { NULL_VALUE.to_owned() } else { text.value(row).to_string() };
                let separator = if directory.is_empty() { "" } else { "/" };
                directory.push_str(&format!(
                    "{separator}{}={}",
                    PathPart::from(*name).as_ref(),
                    PathPart::from(value.as_str()).as_ref()
                ));
            }
            places.put(row, directory, &mut known);
        }
    }
}

fn by_time(time: &TimePartitioner, places: &mut Places) {
    let mut known: HashMap<String, u32> = HashMap::new();
    // Rows of one second share their directory, and most follow one another.
    let mut newest: Option<(i64, u32)> = None;
    for row in 0..places.of_row.len() {
        if places.of_row[row].is_none() {
            continue;
        }
        let millis = places.times[row];
        let second = millis.div_euclid(1000);
        if let Some((_, at)) = newest.filter(|(known, _)| *known == second) {
            places.of_row[row] = Some(at);
            continue;
        }
        match time.format.directory(millis, time.zone, time.duration_ms) {
            Some(directory) => places.put(row, directory, &mut known),
            None => places.reject(row, format!("timestamp {millis} is no date")),
        }
        newest = places.of_row[row].map(|at| (second, at));
    }
}

impl Places {
    fn reject(&mut self, row: usize, problem: String) {
        if self.of_row[row].take().is_some() {
            self.rejected.push((row, problem));
        }
    }

    fn put(&mut self, row: usize, directory: String, known: &mut HashMap<String, u32>) {
        if self.of_row[row].is_none() {
            return;
        }
        if directory.len() > DIRECTORY_BYTES_MAX {
            return self.reject(row, format!("the name of its directory would have {} bytes", directory.len()));
        }
        let directories = &mut self.directories;
        let at = *known.entry(directory).or_insert_with_key(|directory| {
            directories.push(directory.clone());
            (directories.len() - 1) as u32
        });
        self.of_row[row] = Some(at);
    }
}

/// A column as epoch milliseconds, null where it holds no time.
fn times_of(column: &ArrayRef) -> Option<Int64Array> {
    let millis = match column.data_type() {
        DataType::Int64 => Arc::clone(column),
        DataType::Int32 => cast(column, &DataType::Int64).ok()?,
        DataType::Utf8 => {
            let texts = column.as_string::<i32>();
            return Some(texts.iter().map(|text| text.and_then(parse_timestamp)).collect());
        }
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {
            let millis = cast(column, &DataType::Timestamp(TimeUnit::Millisecond, None)).ok()?;
            cast(&millis, &DataType::Int64).ok()?
        }
        _ => return None,
    };
    Some(millis.as_primitive::<Int64Type>().clone())
}

#[cfg(test)]
mod tests {
    use arrow::array::StringArray;
    use millstream::record::{PartitionId, TopicName};

    use super::*;

    #[test]
    fn rows_go_where_their_values_say() {
        let dest = StringArray::from(vec![Some("ATL"), None, Some("a/b%"), Some("ATL"), Some("..")]);
        let at = StringArray::from(vec![Some("2013-01-01T10:00Z"), Some("5"), Some("x"), None, Some("6")]);
        let batch = RecordBatch::try_from_iter([("DEST", Arc::new(dest) as ArrayRef), ("AT", Arc::new(at))])
            .expect("two columns");
        let partition = TopicPartition::new(TopicName::new("t").expect("legal"), PartitionId(3));
        let place = |partitioner: Partitioner, time: RowTime| {
            let placer =
                Placer::new(&partitioner, &time, Some(batch.schema_ref()), "t").expect("the columns are there");
            placer.place(&partition, Some(&batch), vec![7; 5])
        };
        let fields = place(Partitioner::Field(vec!["dest".into()]), RowTime::Record);
        assert_eq!(fields.directories, ["DEST=ATL", "DEST=__HIVE_DEFAULT_PARTITION__", "DEST=a%2Fb%25", "DEST=%2E%2E"]);
        assert_eq!(fields.of_row, [Some(0), Some(1), Some(2), Some(0), Some(3)]);
        let format = PathFormat::new("'hour'=HH").expect("legal");
        let by_hour = Partitioner::Time(TimePartitioner { format, zone: Tz::UTC, duration_ms: None });
        let times = place(by_hour, RowTime::Field("AT".into()));
        assert_eq!(times.directories, ["hour=10", "hour=00"]);
        assert_eq!(times.of_row, [Some(0), Some(1), None, None, Some(1)]);
        assert_eq!(times.rejected[0], (2, "column AT holds no time".to_owned()));
        assert_eq!(place(Partitioner::None, RowTime::Record).directories, ["partition=3"]);
        let missing =
            Placer::new(&Partitioner::Field(vec!["x".into()]), &RowTime::Record, Some(batch.schema_ref()), "t");
        assert!(missing.err().is_some_and(|error| error.to_string().contains("`x`; it has DEST, AT")));
    }
}
