//! `millstream topic produce`: lines of standard input become records.

use std::io::{self, BufRead, IsTerminal};

use millstream::{
    log::{Append, LogError, Producer, TopicConfig, Transaction, partition_for_key},
    record::{PartitionId, Record, Records, Timestamp, TopicName, TopicPartition},
    runtime::{Clock, SystemClock},
};

use crate::{
    cli::{arguments::ProduceArguments, cluster::Missing, failure::Failure},
    engine::names::check_reserved,
    output::group_digits,
    shell::interrupt::Interrupts,
};

/// Lines that are committed together.
const LINES_PER_COMMIT: usize = 10_000;

/// The producer's name.
const PRODUCER: &str = "topic-produce";

/// Reads lines until the input ends or a signal comes, and commits them in batches.
pub(super) fn run(arguments: &ProduceArguments, interrupts: &Interrupts) -> Result<(), Failure> {
    let topic = super::topic_name(&arguments.topic)?;
    check_reserved(topic.as_str()).map_err(Failure::Refused)?;
    let missing = if arguments.create.is_some() { Missing::Made } else { Missing::Refused };
    let log = arguments.log.open(missing)?.shared();
    if let Some(partitions) = arguments.create {
        match log.create_topic(&topic, &TopicConfig { partitions, ..TopicConfig::default() }) {
            Ok(()) => eprintln!("Created topic {topic}"),
            Err(LogError::TopicExists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let partitions = log.describe_topic(&topic)?.config.partitions;
    if let Some(asked) = arguments.partition.filter(|asked| *asked >= partitions) {
        return Err(LogError::UnknownPartition { topic, partition: PartitionId(asked), partitions }.into());
    }
    if io::stdin().is_terminal() {
        eprintln!("A line is a record; Ctrl-D ends");
    }
    let mut batch = Batch::new(arguments, topic, partitions);
    let mut producer = log.producer(PRODUCER)?;
    let mut written = 0;
    for line in io::stdin().lock().split(b'\n') {
        let mut line = line.map_err(Failure::file("standard input", "read"))?;
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        batch.push(&line)?;
        if batch.lines == LINES_PER_COMMIT {
            written += batch.commit(producer.as_mut())?;
        }
        if interrupts.is_set() {
            break;
        }
    }
    written += batch.commit(producer.as_mut())?;
    eprintln!("Wrote {} records", group_digits(written as u64));
    Ok(())
}

/// Records by partition, not yet committed.
struct Batch<'a> {
    arguments: &'a ProduceArguments,
    topic: TopicName,
    records: Vec<Vec<Record>>,
    lines: usize,
    /// How many records without a key there were: the next one goes to the partition after the last.
    keyless: usize,
    line_number: u64,
    clock: SystemClock,
}

impl<'a> Batch<'a> {
    fn new(arguments: &'a ProduceArguments, topic: TopicName, partitions: u32) -> Self {
        let records = (0..partitions).map(|_| Vec::new()).collect();
        Self { arguments, topic, records, lines: 0, keyless: 0, line_number: 0, clock: SystemClock::default() }
    }

    fn push(&mut self, line: &[u8]) -> Result<(), Failure> {
        self.line_number += 1;
        let (key, value) = match self.arguments.key_separator.as_deref() {
            None => (None, line),
            Some(separator) => {
                let Some(at) = find(line, separator.as_bytes()) else {
                    let message = format!("line {}: there is no key separator `{separator}` in it", self.line_number);
                    return Err(Failure::Refused(format!(
                        "{message}; lines since the last batch of 10,000 were not written"
                    )));
                };
                (Some(&line[..at]), &line[at + separator.len()..])
            }
        };
        let is_null = self.arguments.null_value.as_deref().is_some_and(|null| null.as_bytes() == value);
        let partition = match (self.arguments.partition, key) {
            (Some(partition), _) => partition as usize,
            (None, Some(key)) => partition_for_key(key, self.records.len() as u32).0 as usize,
            (None, None) => {
                self.keyless += 1;
                (self.keyless - 1) % self.records.len()
            }
        };
        let timestamp = self.arguments.timestamp.unwrap_or_else(|| self.clock.wall().millis());
        self.records[partition].push(Record {
            key: key.map(<[u8]>::to_vec),
            value: (!is_null).then(|| value.to_vec()),
            timestamp: Timestamp(timestamp),
            headers: Vec::new(),
        });
        self.lines += 1;
        Ok(())
    }

    /// Commits what there is; how many records that were.
    fn commit(&mut self, producer: &mut dyn Producer) -> Result<usize, Failure> {
        let lines = std::mem::take(&mut self.lines);
        if lines == 0 {
            return Ok(0);
        }
        let appends = (0..).map(PartitionId).zip(&mut self.records).filter(|(_, records)| !records.is_empty());
        let appends = appends.map(|(partition, records)| Append {
            partition: TopicPartition::new(self.topic.clone(), partition),
            records: std::mem::take(records).into_iter().collect::<Records>(),
        });
        producer.commit(Transaction { appends: appends.collect(), offsets: Vec::new() })?;
        Ok(lines)
    }
}

fn find(line: &[u8], separator: &[u8]) -> Option<usize> {
    if separator.is_empty() {
        return None;
    }
    line.windows(separator.len()).position(|window| window == separator)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::arguments::{Cli, Command, TopicCommand};

    fn check(options: &str, lines: &[&str], expected: &[&[(Option<&str>, Option<&str>)]]) {
        let line = format!("millstream topic produce t --timestamp 5 {options}");
        let Ok(Cli { command: Command::Topic(TopicCommand::Produce(arguments)), .. }) =
            Cli::try_parse_from(line.split_whitespace())
        else {
            panic!("{line} was refused")
        };
        let mut batch = Batch::new(&arguments, TopicName::new("t").expect("legal"), 2);
        for line in lines {
            batch.push(line.as_bytes()).expect("a good line");
        }
        let text = |bytes: &Option<Vec<u8>>| bytes.clone().map(|bytes| String::from_utf8(bytes).expect("UTF-8"));
        let found: Vec<Vec<_>> = batch
            .records
            .iter()
            .map(|records| records.iter().map(|record| (text(&record.key), text(&record.value))).collect())
            .collect();
        let owned = |part: &Option<&str>| part.map(str::to_owned);
        let expected: Vec<Vec<_>> = expected
            .iter()
            .map(|records| records.iter().map(|(key, value)| (owned(key), owned(value))).collect())
            .collect();
        assert_eq!(found, expected, "{options}");
    }

    #[test]
    fn lines_become_records() {
        check("", &["a", "b", ""], &[&[(None, Some("a")), (None, Some(""))], &[(None, Some("b"))]]);
        check("--partition 1", &["a", "b"], &[&[], &[(None, Some("a")), (None, Some("b"))]]);
        let keyed = [(Some("21"), Some("x:y")), (Some("21"), None)];
        check("--key-separator : --null-value -", &["21:x:y", "21:-"], &[&keyed, &[]]);
    }
}
