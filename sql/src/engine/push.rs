//! Endless answers: push queries and PRINT.
//!
//! A push query is a topology under a name of its own, which dies with it: its stores and topics are removed when the answer is dropped.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use millstream::{
    log::{FetchedBatch, LogError, SharedLog},
    record::{Offset, PartitionId, RecordRef, TopicName, TopicPartition},
    runtime::{Status, Streams, delete_application},
    topology::{OffsetReset, Topology},
};

use super::{Inner, Session, error::EngineError};
use crate::{
    planner::{PushPlan, Reader, RowSender, plan_push},
    response::PushQuery,
    syntax::{
        ast::{Print, StreamQuery},
        suggest::nearest,
    },
};

/// How often a running push query is looked at.
const LOOK: Duration = Duration::from_millis(50);
const FETCH_BYTES: usize = 256 << 10;
/// Batches that wait for their reader.
const WAITING: usize = 16;

impl Session {
    /// Starts a push query.
    pub(super) fn push(&self, query: &StreamQuery) -> Result<PushQuery, EngineError> {
        let inner = &self.inner;
        let at = query.span.start;
        let catalog = self.properties.settled(&inner.catalog.read());
        let plan = plan_push(&catalog, query, self.properties.reset(OffsetReset::Latest), Reader::OtherThread)?;
        let PushPlan { topology, schema, rows, stop, sender, .. } = plan;
        let number = inner.transient.fetch_add(1, Ordering::Relaxed);
        let unique = format!("{}-{number}", inner.now().millis());
        let application = match &inner.member {
            Some(member) => format!("{}-{unique}", member.own_name("push")),
            None => format!("_millstream-push-{unique}"),
        };
        let streams = Streams::start(&topology, inner.streams_config(&application, &self.properties))
            .map_err(|error| EngineError::at(at, error))?;
        let watch = Watch { streams, stop: Arc::clone(&stop), sender };
        let work = {
            let inner = Arc::clone(inner);
            move || {
                watch.run();
                clean_up(&inner, &topology, &application);
            }
        };
        let thread =
            std::thread::Builder::new().name("push-query".to_owned()).spawn(work).map_err(EngineError::Thread)?;
        Ok(PushQuery { schema, batches: rows, guard: Box::new(Guard { stop, thread: Some(thread) }) })
    }

    /// Starts to show the records of a topic.
    pub(super) fn print(&self, print: &Print) -> Result<PushQuery, EngineError> {
        let log = Arc::clone(&self.inner.shared);
        let at = print.topic.span.start;
        let topic = TopicName::new(&print.topic.node).map_err(|error| EngineError::at(at, error))?;
        let partitions = match log.describe_topic(&topic) {
            Ok(found) => found.config.partitions,
            Err(LogError::UnknownTopic { .. }) => {
                let known: Vec<String> = log.topics()?.into_iter().map(|topic| topic.name.to_string()).collect();
                let near = nearest(topic.as_str(), known.iter().map(String::as_str));
                let hint = near.map_or("SHOW TOPICS lists them".to_owned(), |near| format!("did you mean {near}"));
                return Err(EngineError::at(at, format!("there is no topic {topic}; {hint}")));
            }
            Err(error) => return Err(error.into()),
        };
        let mut positions = Vec::new();
        for partition in (0..partitions).map(PartitionId) {
            let partition = TopicPartition::new(topic.clone(), partition);
            let from = if print.from_beginning { log.start_offset(&partition)? } else { log.end_offset(&partition)? };
            positions.push((partition, from));
        }
        let schema = printed_schema();
        let (sender, rows) = sync_channel(WAITING);
        let stop = Arc::new(AtomicBool::new(false));
        let printer = Printer {
            log,
            positions,
            every: print.interval.as_ref().map_or(1, |every| every.node.max(1)),
            left: print.limit.as_ref().map_or(u64::MAX, |limit| limit.node),
            seen: 0,
            schema: Arc::clone(&schema),
            sender,
            stop: Arc::clone(&stop),
        };
        let thread = std::thread::Builder::new()
            .name("print".to_owned())
            .spawn(move || printer.run())
            .map_err(EngineError::Thread)?;
        Ok(PushQuery { schema, batches: rows, guard: Box::new(Guard { stop, thread: Some(thread) }) })
    }
}

/// Ends what runs when the answer is dropped.
struct Guard {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of a push query panicked");
        }
    }
}

/// Looks after a push query until it is dropped, complete or broken.
struct Watch {
    streams: Streams,
    stop: Arc<AtomicBool>,
    sender: RowSender,
}

impl Watch {
    fn run(self) {
        while !self.stop.load(Ordering::Relaxed) && self.sender.try_lock().is_none_or(|sender| sender.is_some()) {
            if let Status::Failed { error } = self.streams.status() {
                if let Some(sender) = self.sender.lock().take() {
                    // A reader that has gone, or is far behind, sees the end of the rows instead.
                    let _ = sender.try_send(Err(error));
                }
                break;
            }
            std::thread::sleep(LOOK);
        }
        self.stop.store(true, Ordering::Relaxed);
        if let Err(error) = self.streams.stop() {
            tracing::debug!(%error, "a push query had failed");
        }
        *self.sender.lock() = None;
    }
}

fn clean_up(inner: &Inner, topology: &Topology, application: &str) {
    inner.end_group(application);
    if let Err(error) = delete_application(topology, application, inner.shared.as_ref(), inner.state.as_ref()) {
        tracing::warn!(%error, application, "what a push query kept could not be removed");
    }
}

fn printed_schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let number = |name: &str| Field::new(name, DataType::Int64, true);
    Arc::new(Schema::new(vec![text("ROWTIME"), text("KEY"), text("VALUE"), number("PARTITION"), number("OFFSET")]))
}

/// Shows the records of a topic as they come.
struct Printer {
    log: SharedLog,
    positions: Vec<(TopicPartition, Offset)>,
    every: u64,
    left: u64,
    seen: u64,
    schema: SchemaRef,
    sender: SyncSender<Result<RecordBatch, String>>,
    stop: Arc<AtomicBool>,
}

impl Printer {
    fn run(mut self) {
        let mut commits = 0;
        while self.left > 0 && !self.stop.load(Ordering::Relaxed) {
            match self.round() {
                Ok(true) => {}
                Ok(false) => commits = self.log.wait_for_commit(commits, LOOK),
                Err(error) => {
                    self.send(Err(error.to_string()));
                    return;
                }
            }
        }
    }

    /// Reads on in each partition once; says whether anything was there.
    fn round(&mut self) -> Result<bool, LogError> {
        let mut found = false;
        for index in 0..self.positions.len() {
            let (partition, from) = self.positions[index].clone();
            let fetched = self.log.fetch(&partition, from, FETCH_BYTES)?;
            self.positions[index].1 = fetched.next;
            for batch in &fetched.batches {
                found = true;
                if !self.show(&partition, batch) {
                    return Ok(false);
                }
            }
        }
        Ok(found)
    }

    fn show(&mut self, partition: &TopicPartition, batch: &FetchedBatch) -> bool {
        let mut rows: Vec<usize> = Vec::new();
        for row in 0..batch.records.len() {
            if self.left == 0 {
                break;
            }
            if self.seen.is_multiple_of(self.every) {
                rows.push(row);
                self.left -= 1;
            }
            self.seen += 1;
        }
        let records: Vec<RecordRef<'_>> = rows.iter().map(|row| batch.records.get(*row)).collect();
        let text = |of: &dyn Fn(&RecordRef<'_>) -> Option<String>| -> ArrayRef {
            Arc::new(records.iter().map(of).collect::<StringArray>())
        };
        let offsets = Int64Array::from_iter_values(rows.iter().map(|row| batch.offsets.at(*row).0 as i64));
        let partitions = Int64Array::from(vec![i64::from(partition.partition.0); rows.len()]);
        let columns = vec![
            text(&|record| Some(record.timestamp.to_string())),
            text(&|record| record.key.map(guess)),
            text(&|record| record.value.map(guess)),
            Arc::new(partitions),
            Arc::new(offsets),
        ];
        match RecordBatch::try_new(Arc::clone(&self.schema), columns) {
            Ok(batch) => self.send(Ok(batch)),
            Err(error) => self.send(Err(error.to_string())),
        }
    }

    fn send(&self, mut message: Result<RecordBatch, String>) -> bool {
        loop {
            match self.sender.try_send(message) {
                Ok(()) => return true,
                Err(TrySendError::Full(back)) if !self.stop.load(Ordering::Relaxed) => {
                    message = back;
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err(_) => return false,
            }
        }
    }
}

/// Bytes as text if they are text, as a number if they are four or eight others, else in hexadecimal digits.
pub(super) fn guess(bytes: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(bytes)
        && !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t' | '\r'))
    {
        return text.to_owned();
    }
    match bytes.len() {
        4 => i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]).to_string(),
        8 => i64::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]])
            .to_string(),
        _ => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_as_what_they_seem_to_be() {
        assert_eq!(guess(b"ada"), "ada");
        assert_eq!(guess(&7_i32.to_be_bytes()), "7");
        assert_eq!(guess(&(-1_i64).to_be_bytes()), "-1");
        assert_eq!(guess(&[0, 255]), "00ff");
    }
}
