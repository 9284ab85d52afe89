//! `millstream topic consume`: the records of a topic as they are.
//!
//! Up to the end that it had at the start, partition by partition; or, on a cluster, what comes, in rounds over all partitions.

use std::{
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt32Array, UInt64Array},
    error::ArrowError,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use millstream::{
    log::{FetchedBatch, Log, TopicDescription},
    record::{Offset, RecordRef, TopicPartition},
};
use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::{
    cli::{arguments::ConsumeArguments, cluster::Missing, failure::Failure},
    output::{LiveWriter, OutputError, OutputFormat},
    shell::{console::terminal_width, interrupt::Interrupts},
};

/// What one read brings at most.
const FETCH_BYTES: usize = 4 << 20;
/// How soon a signal is noticed while nothing comes.
const WAIT: Duration = Duration::from_millis(100);

/// Prints records from where it was told to begin up to the end that each partition had at the start.
pub(super) fn run(arguments: &ConsumeArguments, interrupts: &Interrupts) -> Result<(), Failure> {
    let log = arguments.log.open(Missing::Refused)?.shared();
    let topic = log.describe_topic(&super::topic_name(&arguments.topic)?)?;
    let is_placed = arguments.from_beginning || arguments.offset.is_some();
    if !log.is_shared() && (arguments.follow || !is_placed) {
        let problem = "nothing new can arrive while this process owns the directory";
        if arguments.follow {
            return Err(Failure::Refused(format!("{problem}; leave --follow out")));
        }
        eprintln!("Nothing is read: {problem}; use --from-beginning or --offset");
        return Ok(());
    }
    if arguments.follow || !is_placed {
        return follow(arguments, &topic, log.as_ref(), interrupts);
    }
    let mut left = arguments.max_messages.unwrap_or(u64::MAX);
    let mut printer = Printer::new(arguments.output);
    for partition in super::partitions(arguments.partition, topic.config.partitions) {
        let partition = TopicPartition::new(topic.name.clone(), partition);
        let start = log.start_offset(&partition)?;
        let mut next = arguments.offset.map_or(start, |offset| Offset(offset).max(start));
        let end = log.end_offset(&partition)?;
        while next < end && left > 0 && !interrupts.is_set() {
            let fetched = log.fetch(&partition, next, FETCH_BYTES)?;
            for batch in &fetched.batches {
                let rows = usize::try_from(left).unwrap_or(usize::MAX).min(batch.records.len());
                printer.print(&partition, batch, rows)?;
                left -= rows as u64;
            }
            next = fetched.next;
        }
    }
    printer.finish()?;
    Ok(())
}

/// Prints what comes, until a signal or until it was enough.
fn follow(
    arguments: &ConsumeArguments,
    topic: &TopicDescription,
    log: &dyn Log,
    interrupts: &Interrupts,
) -> Result<(), Failure> {
    let mut printer = Printer::new(arguments.output);
    let mut left = arguments.max_messages.unwrap_or(u64::MAX);
    let mut positions = Vec::new();
    for partition in super::partitions(arguments.partition, topic.config.partitions) {
        let partition = TopicPartition::new(topic.name.clone(), partition);
        let start = log.start_offset(&partition)?;
        let from = match arguments.offset {
            Some(offset) => Offset(offset).max(start),
            None if arguments.from_beginning => start,
            None => log.end_offset(&partition)?,
        };
        positions.push((partition, from));
    }
    let mut seen = 0;
    while left > 0 && !interrupts.is_set() {
        let before = left;
        for (partition, next) in &mut positions {
            let fetched = log.fetch(partition, *next, FETCH_BYTES)?;
            for batch in &fetched.batches {
                let rows = usize::try_from(left).unwrap_or(usize::MAX).min(batch.records.len());
                printer.print(partition, batch, rows)?;
                left -= rows as u64;
            }
            *next = fetched.next;
        }
        if left == before {
            printer.flush()?;
            seen = log.wait_for_commit(seen, WAIT);
        }
    }
    printer.finish()?;
    Ok(())
}

/// Writes records in the chosen format.
struct Printer {
    out: io::BufWriter<io::StdoutLock<'static>>,
    format: OutputFormat,
    rows: Option<LiveWriter>,
}

impl Printer {
    fn new(format: OutputFormat) -> Self {
        Self { out: io::BufWriter::with_capacity(1 << 16, io::stdout().lock()), format, rows: None }
    }

    fn print(&mut self, partition: &TopicPartition, batch: &FetchedBatch, rows: usize) -> Result<(), OutputError> {
        let records = (0..rows).map(|row| (batch.offsets.at(row), batch.records.get(row)));
        if self.format == OutputFormat::Json {
            for (offset, record) in records {
                serde_json::to_writer(&mut self.out, &JsonRecord::new(partition, offset, record))
                    .map_err(io::Error::from)?;
                self.out.write_all(b"\n")?;
            }
            return Ok(());
        }
        let rows = columns(partition, &records.collect::<Vec<_>>()).map_err(OutputError::from)?;
        let format = self.format;
        let writer = self.rows.get_or_insert_with(|| LiveWriter::new(format, &rows.schema(), terminal_width()));
        writer.write(&rows, &mut self.out)
    }

    fn flush(&mut self) -> Result<(), OutputError> {
        Ok(self.out.flush()?)
    }

    fn finish(mut self) -> Result<(), OutputError> {
        if let Some(rows) = self.rows.take() {
            rows.finish(&mut self.out)?;
        }
        self.out.flush()?;
        Ok(())
    }
}

/// Records as rows for tables and CSV; bytes that are no text are base64.
fn columns(partition: &TopicPartition, records: &[(Offset, RecordRef<'_>)]) -> Result<RecordBatch, ArrowError> {
    let text = |bytes: Option<&[u8]>| {
        bytes.map(|bytes| std::str::from_utf8(bytes).map_or_else(|_| BASE64_STANDARD.encode(bytes), str::to_owned))
    };
    let headers = |record: &RecordRef<'_>| serde_json::to_string(&headers(*record)).unwrap_or_default();
    let columns: [(&str, ArrayRef); 6] = [
        ("PARTITION", Arc::new(UInt32Array::from(vec![partition.partition.0; records.len()]))),
        ("OFFSET", Arc::new(UInt64Array::from_iter_values(records.iter().map(|(offset, _)| offset.0)))),
        (
            "TIMESTAMP",
            Arc::new(Int64Array::from_iter_values(records.iter().map(|(_, record)| record.timestamp.millis()))),
        ),
        ("KEY", Arc::new(records.iter().map(|(_, record)| text(record.key)).collect::<StringArray>())),
        ("VALUE", Arc::new(records.iter().map(|(_, record)| text(record.value)).collect::<StringArray>())),
        ("HEADERS", Arc::new(StringArray::from_iter_values(records.iter().map(|(_, record)| headers(record))))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
}

/// A record as one JSON object.
#[derive(Serialize)]
struct JsonRecord<'a> {
    topic: &'a str,
    partition: u32,
    offset: u64,
    timestamp: i64,
    key: Option<Bytes<'a>>,
    value: Option<Bytes<'a>>,
    headers: Vec<JsonHeader<'a>>,
}

#[derive(Serialize)]
struct JsonHeader<'a> {
    name: &'a str,
    value: Option<Bytes<'a>>,
}

impl<'a> JsonRecord<'a> {
    fn new(partition: &'a TopicPartition, offset: Offset, record: RecordRef<'a>) -> Self {
        Self {
            topic: partition.topic.as_str(),
            partition: partition.partition.0,
            offset: offset.0,
            timestamp: record.timestamp.millis(),
            key: record.key.map(Bytes),
            value: record.value.map(Bytes),
            headers: headers(record),
        }
    }
}

fn headers(record: RecordRef<'_>) -> Vec<JsonHeader<'_>> {
    record
        .headers
        .iter()
        .map(|header| JsonHeader { name: &header.name, value: header.value.as_deref().map(Bytes) })
        .collect()
}

/// Text if it is UTF-8, else `{"base64": ".."}`.
struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("base64", &BASE64_STANDARD.encode(self.0))?;
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use millstream::record::{Header, PartitionId, Timestamp, TopicName};

    use super::*;

    #[test]
    fn records_are_objects_with_text_or_base64() {
        let partition = TopicPartition::new(TopicName::new("t").expect("legal"), PartitionId(2));
        let check = |key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header], expected: &str| {
            let record = RecordRef { key, value, timestamp: Timestamp(-5), headers };
            let json = serde_json::to_string(&JsonRecord::new(&partition, Offset(7), record)).expect("serialized");
            assert_eq!(json, format!(r#"{{"topic":"t","partition":2,"offset":7,"timestamp":-5,{expected}}}"#));
        };
        check(Some(b"k"), Some(br#"{"a":1}"#), &[], r#""key":"k","value":"{\"a\":1}","headers":[]"#);
        check(None, None, &[], r#""key":null,"value":null,"headers":[]"#);
        let headers =
            [Header { name: "h".into(), value: None }, Header { name: "h".into(), value: Some(b"v".to_vec()) }];
        check(
            Some(b"\xff\x00"),
            Some(b""),
            &headers,
            r#""key":{"base64":"/wA="},"value":"","headers":[{"name":"h","value":null},{"name":"h","value":"v"}]"#,
        );
    }
}
