//! Group commit: transactions of many threads share one frame and one sync.
//!
//! A thread encodes its batches, puts its transaction into the queue and then asks for the writer. Whoever gets the writer
//! commits everything that is in the queue by then; those who waited meanwhile find their answer there. So while one group
//! is being synced the next one gathers, without a thread or a timer of its own.
//!
//! Transactions are taken in the order of the queue. One that is refused (fenced, unknown topic) leaves the others alone.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::{Mutex, RwLock};

use super::{
    Shared,
    batch::{EncodedBatch, MAX_BODY_BYTES, SPLIT_BYTES, split},
    change::Change,
    state::State,
    writer::{Staged, WriteError, Writer},
};
use crate::{
    log::{CommitError, CommitReceipt, LogError, OffsetCommit, Producer, Transaction},
    record::{Offset, TopicPartition},
};

/// Longest metadata of a group offset.
const MAX_METADATA_BYTES: usize = 4 << 10;

type Outcome = Result<CommitReceipt, CommitError>;

/// Transactions that wait for a leader.
#[derive(Default)]
pub(super) struct Queue(Mutex<VecDeque<Arc<Ticket>>>);

/// A transaction in the queue.
struct Ticket {
    producer: String,
    epoch: u64,
    work: Mutex<Option<Work>>,
    outcome: Mutex<Option<Outcome>>,
}

/// The records of a transaction, encoded, and its offsets.
struct Work {
    appends: Vec<(TopicPartition, Vec<EncodedBatch>)>,
    offsets: Vec<OffsetCommit>,
}

/// The producer of a name, until a newer one is opened.
pub(super) struct EmbeddedProducer {
    shared: Arc<Shared>,
    name: String,
    epoch: u64,
}

impl EmbeddedProducer {
    /// Opens a producer: the next epoch of its name, durably.
    pub(super) fn open(shared: &Arc<Shared>, name: &str) -> Result<Self, LogError> {
        let mut writer = shared.writer.lock();
        writer.check()?;
        let epoch = shared.state.read().producers.get(name).map_or(1, |epoch| epoch + 1);
        let change = Change::ProducerOpened { name: name.to_owned(), epoch };
        writer.commit(&shared.state, &mut [], vec![change]).map_err(WriteError::into_inner)?;
        Ok(Self { shared: Arc::clone(shared), name: name.to_owned(), epoch })
    }
}

impl Producer for EmbeddedProducer {
    fn commit(&mut self, transaction: Transaction) -> Outcome {
        let work = encode(&self.shared.state, transaction);
        let ticket = Arc::new(Ticket {
            producer: self.name.clone(),
            epoch: self.epoch,
            work: Mutex::new(Some(work.map_err(CommitError::Rejected)?)),
            outcome: Mutex::new(None),
        });
        self.shared.queue.0.lock().push_back(Arc::clone(&ticket));
        let mut writer = self.shared.writer.lock();
        if let Some(outcome) = ticket.outcome.lock().take() {
            return outcome;
        }
        let group: Vec<Arc<Ticket>> = self.shared.queue.0.lock().drain(..).collect();
        commit_group(&self.shared, &mut writer, &group);
        drop(writer);
        ticket.outcome.lock().take().expect("the leader answers everything in the queue, itself included")
    }
}

/// Encodes the records of a transaction, outside all locks.
fn encode(state: &RwLock<State>, transaction: Transaction) -> Result<Work, LogError> {
    let compressions = {
        let state = state.read();
        let appends = transaction.appends.iter();
        appends
            .map(|append| state.place(&append.partition).map(|(_, topic, _)| topic.config.compression))
            .collect::<Result<Vec<_>, _>>()?
    };
    let mut appends = Vec::with_capacity(transaction.appends.len());
    for (append, compression) in transaction.appends.into_iter().zip(compressions) {
        let batches = split(&append.records, SPLIT_BYTES)
            .iter()
            .map(|part| EncodedBatch::new(part, None, compression))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| LogError::InvalidTopic {
                topic: append.partition.topic.clone(),
                setting: "record",
                problem: format!("cannot be stored: {error}; a record may have {} MiB", MAX_BODY_BYTES >> 20),
            })?;
        appends.push((append.partition, batches));
    }
    Ok(Work { appends, offsets: transaction.offsets })
}

/// A transaction that passed all checks.
struct Accepted<'a> {
    ticket: &'a Ticket,
    appends: usize,
}

fn commit_group(shared: &Shared, writer: &mut Writer, group: &[Arc<Ticket>]) {
    let (mut accepted, mut staged, mut changes) = (Vec::new(), Vec::new(), Vec::new());
    {
        let state = shared.state.read();
        for ticket in group {
            let work = ticket.work.lock().take().expect("a transaction is committed once");
            match check(&state, writer, ticket, work) {
                Ok((appends, offsets)) => {
                    accepted.push(Accepted { ticket, appends: appends.len() });
                    staged.extend(appends);
                    changes.extend(offsets);
                }
                Err(error) => *ticket.outcome.lock() = Some(Err(error)),
            }
        }
    }
    if accepted.is_empty() {
        return;
    }
    match writer.commit(&shared.state, &mut staged, changes) {
        Ok(ranges) => {
            shared.count_commits(accepted.len() as u64);
            let mut ranges = ranges.into_iter();
            for Accepted { ticket, appends } in accepted {
                let (base_offsets, end_offsets) =
                    ranges.by_ref().take(appends).map(|(base, end)| (Offset(base), Offset(end))).unzip();
                *ticket.outcome.lock() = Some(Ok(CommitReceipt { base_offsets, end_offsets }));
            }
        }
        Err(error) => {
            for Accepted { ticket, .. } in accepted {
                *ticket.outcome.lock() = Some(Err(match &error {
                    WriteError::Undone(error) => CommitError::Rejected(copy(error)),
                    WriteError::Stopped(error) => CommitError::Unknown(copy(error)),
                }));
            }
        }
    }
}

/// The checks that need the order of commits: the producer is the newest of its name, the partitions are there.
fn check(
    state: &State,
    writer: &Writer,
    ticket: &Ticket,
    work: Work,
) -> Result<(Vec<Staged>, Vec<Change>), CommitError> {
    writer.check().map_err(CommitError::Rejected)?;
    if state.producers.get(&ticket.producer) != Some(&ticket.epoch) {
        return Err(CommitError::Fenced { producer: ticket.producer.clone() });
    }
    let place = |of: &TopicPartition| state.place(of).map(|(place, ..)| place).map_err(CommitError::Rejected);
    let staged = work
        .appends
        .into_iter()
        .map(|(partition, batches)| Ok(Staged { place: place(&partition)?, batches }))
        .collect::<Result<_, CommitError>>()?;
    let changes = work
        .offsets
        .into_iter()
        .map(|commit| {
            let place = place(&commit.partition)?;
            if commit.position.metadata.len() > MAX_METADATA_BYTES {
                return Err(CommitError::Rejected(LogError::InvalidTopic {
                    topic: commit.partition.topic,
                    setting: "group metadata",
                    problem: format!("has {} bytes; at most {MAX_METADATA_BYTES}", commit.position.metadata.len()),
                }));
            }
            Ok(Change::GroupOffset { group: commit.group, place, position: commit.position })
        })
        .collect::<Result<_, CommitError>>()?;
    Ok((staged, changes))
}

/// The same failure for another transaction of the group.
fn copy(error: &LogError) -> LogError {
    match error {
        LogError::Io { file, action, source } => {
            let source = match source.raw_os_error() {
                Some(code) => std::io::Error::from_raw_os_error(code),
                None => std::io::Error::new(source.kind(), source.to_string()),
            };
            LogError::Io { file: file.clone(), action, source }
        }
        error => LogError::Poisoned { cause: error.to_string() },
    }
}
