//! Lines of a file to records of a topic: the value is the whole line, the key a whole number in it, the timestamp another.

use std::{fs::File, io::Read, path::Path, sync::Arc};

use arrow::{
    array::{Array, AsArray, BinaryArray, BinaryBuilder, Int64Array},
    buffer::{Buffer, OffsetBuffer},
    datatypes::{DataType, Field, FieldRef, Int64Type},
};
use millstream::{
    format::{Deserializer, Format, Side, Wrapping},
    log::{Append, Producer, SharedLog, Transaction, partition_for_key},
    record::{PartitionId, Records, TopicName, TopicPartition},
};

use crate::cli::failure::Failure;

/// Bytes read and committed at once.
const CHUNK_BYTES: usize = 8 << 20;
/// Rows of a batch in the log.
const BATCH_ROWS: usize = 16_384;

/// Which lines become which records.
#[derive(Debug, Clone)]
pub struct Lines<'a> {
    /// The file, one JSON object a line.
    pub path: &'a Path,
    /// Where they go.
    pub topic: TopicName,
    /// Its partitions.
    pub partitions: u32,
    /// The field whose number, eight bytes big-endian, is the key.
    pub key: &'a str,
    /// The field that is the timestamp; none: 0.
    pub timestamp: Option<&'a str>,
    /// At most so many lines.
    pub limit: u64,
}

/// What was loaded.
#[derive(Debug, Clone, Copy, Default)]
pub struct Loaded {
    /// Records.
    pub rows: u64,
    /// Bytes of their values.
    pub bytes: u64,
}

impl Lines<'_> {
    /// Appends them, a few megabytes a commit.
    ///
    /// # Errors
    /// If the file cannot be read, a line is no such object, or the log refuses.
    pub fn load(&self, log: &SharedLog, on_progress: &mut dyn FnMut(u64)) -> Result<Loaded, Failure> {
        let file = File::open(self.path).map_err(Failure::file(self.path, "open"))?;
        self.load_from(file, log, on_progress)
    }

    /// The same with lines from elsewhere; the path is for messages only.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_from(
        &self,
        mut file: impl Read,
        log: &SharedLog,
        on_progress: &mut dyn FnMut(u64),
    ) -> Result<Loaded, Failure> {
        let mut producer = log.producer("millstream-bench")?;
        let mut reader = KeyReader::new(self)?;
        let mut loaded = Loaded::default();
        let mut pending = Vec::with_capacity(CHUNK_BYTES + (1 << 16));
        loop {
            let before = pending.len();
            let wanted = (CHUNK_BYTES - before.min(CHUNK_BYTES)).max(1 << 16) as u64;
            file.by_ref().take(wanted).read_to_end(&mut pending).map_err(Failure::file(self.path, "read"))?;
            let at_end = pending.len() == before;
            if at_end && !pending.is_empty() {
                pending.push(b'\n');
            }
            let Some(end) = pending.iter().rposition(|&byte| byte == b'\n') else {
                if at_end {
                    break;
                }
                continue;
            };
            let rest = pending.split_off(end + 1);
            let lines = std::mem::replace(&mut pending, rest);
            self.commit(lines, &mut loaded, &mut reader, producer.as_mut())?;
            on_progress(loaded.rows);
            if loaded.rows >= self.limit {
                break;
            }
        }
        Ok(loaded)
    }

    fn commit(
        &self,
        lines: Vec<u8>,
        loaded: &mut Loaded,
        reader: &mut KeyReader,
        producer: &mut dyn Producer,
    ) -> Result<(), Failure> {
        let (bytes, ranges) = self.cut(lines, self.limit - loaded.rows);
        let mut appends = Vec::new();
        for batch in ranges.chunks(BATCH_ROWS) {
            let values = values(&bytes, batch);
            let records = reader.records(values).map_err(|(row, problem)| {
                let line = loaded.rows + row as u64 + 1;
                Failure::Refused(format!("{}: line {line}: {problem}", self.path.display()))
            })?;
            loaded.rows += records.len() as u64;
            loaded.bytes += batch.iter().map(|(start, end)| (end - start) as u64).sum::<u64>();
            self.spread(records, &mut appends);
        }
        producer.commit(Transaction { appends, offsets: Vec::new() })?;
        Ok(())
    }

    /// Where each line lies, empty ones left out.
    fn cut(&self, lines: Vec<u8>, limit: u64) -> (Buffer, Vec<(usize, usize)>) {
        let mut ranges = Vec::with_capacity(lines.len() / 200);
        let mut start = 0;
        for (at, _) in lines.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
            if at > start {
                ranges.push((start, at));
            }
            start = at + 1;
        }
        ranges.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        (Buffer::from_vec(lines), ranges)
    }

    fn spread(&self, records: Records, appends: &mut Vec<Append>) {
        let mut append = |partition: u32, records: Records| {
            let partition = TopicPartition::new(self.topic.clone(), PartitionId(partition));
            appends.push(Append { partition, records });
        };
        if self.partitions == 1 {
            return append(0, records);
        }
        let mut rows: Vec<Vec<u32>> = vec![Vec::new(); self.partitions as usize];
        for row in 0..records.len() {
            let partition = partition_for_key(records.keys().value(row), self.partitions);
            rows[partition.0 as usize].push(row as u32);
        }
        for (partition, rows) in (0..).zip(&rows).filter(|(_, rows)| !rows.is_empty()) {
            append(partition, records.take(rows));
        }
    }
}

/// The lines at `ranges` as a column, without the ends of lines.
fn values(bytes: &Buffer, ranges: &[(usize, usize)]) -> BinaryArray {
    let mut packed = Vec::with_capacity(ranges.iter().map(|(start, end)| end - start).sum());
    let mut offsets = Vec::with_capacity(ranges.len() + 1);
    offsets.push(0);
    for &(start, end) in ranges {
        packed.extend_from_slice(&bytes[start..end]);
        offsets.push(packed.len() as i32);
    }
    BinaryArray::new(OffsetBuffer::new(offsets.into()), Buffer::from_vec(packed), None)
}

/// Reads key and timestamp out of lines.
struct KeyReader {
    decoder: Box<dyn Deserializer>,
    has_timestamp: bool,
}

impl KeyReader {
    fn new(lines: &Lines<'_>) -> Result<Self, Failure> {
        let field = |name: &str| Arc::new(Field::new(name, DataType::Int64, true)) as FieldRef;
        let fields: Vec<FieldRef> = [Some(lines.key), lines.timestamp].into_iter().flatten().map(field).collect();
        let all: Vec<usize> = (0..fields.len()).collect();
        let decoder = Format::Json
            .deserializer(Side::Value, Wrapping::Wrapped, &fields, &all)
            .map_err(|error| Failure::Refused(error.to_string()))?;
        Ok(Self { decoder, has_timestamp: lines.timestamp.is_some() })
    }

    fn records(&mut self, values: BinaryArray) -> Result<Records, (usize, String)> {
        let decoded = self.decoder.decode(&values);
        if let Some(error) = decoded.errors.first() {
            return Err((error.row, error.problem.clone()));
        }
        let numbers = |column: usize| decoded.columns[column].as_primitive::<Int64Type>();
        for column in 0..decoded.columns.len() {
            if let Some(row) = (0..values.len()).find(|&row| numbers(column).is_null(row)) {
                return Err((row, "a key or timestamp is missing".to_owned()));
            }
        }
        let mut keys = BinaryBuilder::with_capacity(values.len(), 8 * values.len());
        numbers(0).values().iter().for_each(|key| keys.append_value(key.to_be_bytes()));
        let times = if self.has_timestamp { numbers(1).clone() } else { Int64Array::from(vec![0; values.len()]) };
        Ok(Records::new(keys.finish(), values, times, None))
    }
}
