//! The input of a task: one partition of one topic, fetched, decoded and waiting to be processed.
//!
//! Invariants: rows leave in offset order; a record that cannot be used becomes a dead letter when the rows before it have left, so that
//! it is committed with them and neither lost nor repeated.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{
    decoder::Decoder,
    error::StreamsError,
    shared_reads::{Member, SharedReads},
};
use crate::{
    Batch,
    format::FormatError,
    log::{FetchedBatch, Log},
    operator::DeadLetter,
    record::{Offset, Timestamp, TopicPartition},
    schema::StreamSchema,
    topology::{SourceNode, TopicRef},
};

/// Bytes fetched at once.
const FETCH_BYTES: usize = 1 << 20;
/// Rows that wait at most, before no more are fetched.
const BUFFERED_ROWS: usize = 65_536;

/// Reads one partition for a task.
pub(super) struct SourceReader {
    pub(super) partition: TopicPartition,
    /// The number of the source node.
    pub(super) node: usize,
    /// Whether the topic belongs to the topology and has no other readers.
    pub(super) internal: bool,
    pub(super) turns: Turns,
    decoder: Decoder,
    company: Option<Company>,
    buffered: VecDeque<Batch>,
    buffered_rows: usize,
    dead_letters: VecDeque<DeadLetter>,
    /// Where to fetch on.
    fetch_next: Offset,
    /// The first offset not yet processed.
    pub(super) next: Offset,
    /// Whether the last fetch came to the end.
    at_end: bool,
    /// Since when it has been known to be empty, by the monotonic clock.
    pub(super) empty_since: Option<Duration>,
    /// The longest run that is taken.
    pub(super) most_rows: usize,
}

/// The others in the process that read the same, and what is decoded for all of them.
struct Company {
    member: Member,
    name: String,
    source: SourceNode,
    schema: Arc<StreamSchema>,
    /// Decodes the columns that any of them reads, which change as members come and go.
    for_all: Option<(Arc<[bool]>, Decoder)>,
}

/// How an input takes turns with others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turns {
    /// A table is fed: its records go first among those of one timestamp.
    pub(super) feeds_table: bool,
    /// A table is fed and joined with by the same input: each record must be through before the next one.
    pub(super) one_by_one: bool,
}

impl SourceReader {
    pub(super) fn new(
        node: usize,
        name: &str,
        source: &SourceNode,
        schema: &Arc<StreamSchema>,
        partition: TopicPartition,
        from: Offset,
        turns: Turns,
    ) -> Result<Self, FormatError> {
        let decoder = Decoder::new(name, source, &source.decoded, schema)?;
        Ok(Self {
            partition,
            node,
            internal: matches!(source.topic, TopicRef::Internal { .. }),
            turns,
            decoder,
            company: None,
            buffered: VecDeque::new(),
            buffered_rows: 0,
            dead_letters: VecDeque::new(),
            fetch_next: from,
            next: from,
            at_end: false,
            empty_since: None,
            most_rows: usize::MAX,
        })
    }

    /// Shares what it reads with others of the process. Topics of the application itself have no other readers.
    pub(super) fn share(&mut self, name: &str, source: &SourceNode, schema: &Arc<StreamSchema>, reads: &SharedReads) {
        if !self.internal {
            let member = reads.join(&self.partition, source, schema);
            let (name, source, schema) = (name.to_owned(), source.clone(), Arc::clone(schema));
            self.company = Some(Company { member, name, source, schema, for_all: None });
        }
    }

    /// Fetches more if there is room; afterwards an empty buffer means that the partition is read to its end.
    ///
    /// # Errors
    /// Those of the log, and a schema registry that cannot be reached: its records must not be taken for broken.
    pub(super) fn fill(&mut self, log: &dyn Log) -> Result<(), StreamsError> {
        while self.buffered_rows == 0 || (!self.at_end && self.buffered_rows < BUFFERED_ROWS / 2) {
            // What others have read says nothing of where the partition ends now.
            if let Some((rows, next)) = self.company.as_ref().and_then(|company| company.member.take(self.fetch_next)) {
                self.buffer(self.decoder.restrict(&rows));
                (self.fetch_next, self.at_end) = (next, false);
                continue;
            }
            let fetched = log.fetch(&self.partition, self.fetch_next, FETCH_BYTES)?;
            self.at_end = fetched.batches.is_empty() || fetched.next >= fetched.end;
            for (index, batch) in fetched.batches.iter().enumerate() {
                let next = fetched.batches.get(index + 1).map_or(fetched.next, |batch| batch.offsets.at(0));
                let rows = match self.company.as_mut().and_then(|company| company.decode(&self.partition, batch, next))
                {
                    Some(rows) => self.decoder.restrict(&rows),
                    None => self.decoder.decode(&self.partition, batch, &mut self.dead_letters)?,
                };
                self.buffer(rows);
            }
            self.fetch_next = fetched.next;
            // Records none of which can be used are committed past before more of them are read.
            if self.at_end || self.dead_letters.len() > BUFFERED_ROWS {
                break;
            }
        }
        Ok(())
    }

    fn buffer(&mut self, rows: Batch) {
        self.buffered_rows += rows.len();
        self.buffered.extend((!rows.is_empty()).then_some(rows));
    }

    /// The timestamp of the next row.
    pub(super) fn head(&self) -> Option<Timestamp> {
        self.buffered.front().map(|batch| Timestamp(batch.times().value(0)))
    }

    /// The offset of the next row.
    pub(super) fn head_offset(&self) -> Option<Offset> {
        self.buffered.front().map(|batch| Offset(batch.offsets().value(0) as u64))
    }

    /// Takes the longest stretch of rows whose timestamps do not pass `limit`, at least one.
    pub(super) fn take_run(&mut self, limit: Option<Timestamp>) -> Option<Batch> {
        let batch = self.buffered.pop_front()?;
        let run = match limit {
            _ if self.turns.one_by_one => 1,
            None => batch.len(),
            Some(limit) => {
                batch.times().values().iter().position(|&time| time > limit.millis()).unwrap_or(batch.len()).max(1)
            }
        };
        let run = run.min(self.most_rows);
        let taken = batch.slice(0, run);
        if run < batch.len() {
            self.buffered.push_front(batch.slice(run, batch.len() - run));
        }
        self.buffered_rows -= run;
        Some(taken)
    }

    /// The rows of a run up to the first one at `time` or after it; the others wait again.
    pub(super) fn cut_after(&mut self, run: Batch, time: Timestamp) -> Batch {
        let times = run.times().values();
        let Some(first) = times.iter().position(|&own| own >= time.millis()) else { return run };
        let (taken, left) = (run.slice(0, first + 1), run.slice(first + 1, run.len() - first - 1));
        if !left.is_empty() {
            self.buffered_rows += left.len();
            self.buffered.push_front(left);
        }
        taken
    }

    /// Takes rows as they come, at most so many.
    pub(super) fn take_at_most(&mut self, most: Option<usize>) -> Option<Batch> {
        let batch = self.buffered.pop_front()?;
        let taken = most.map_or(batch.len(), |most| most.min(batch.len()));
        if taken < batch.len() {
            self.buffered.push_front(batch.slice(taken, batch.len() - taken));
        }
        self.buffered_rows -= taken;
        Some(batch.slice(0, taken))
    }

    /// Moves the position past everything that has left, and gives the dead letters that lie before it.
    pub(super) fn advance(&mut self) -> impl Iterator<Item = DeadLetter> {
        self.next = match self.buffered.front() {
            Some(batch) => Offset(batch.offsets().value(0) as u64),
            None => self.fetch_next,
        };
        let passed = self
            .dead_letters
            .iter()
            .take_while(|letter| letter.offset.is_some_and(|offset| offset < self.next))
            .count();
        self.dead_letters.drain(..passed)
    }

    /// Whether nothing waits because what was fetched last could not be used, and there is more: others must not go on without it.
    pub(super) fn has_more_to_look_at(&self) -> bool {
        self.buffered.is_empty() && !self.at_end
    }

    /// Whether nothing waits and nothing more was there at the last look.
    pub(super) fn is_drained(&self) -> bool {
        self.buffered.is_empty()
    }
}

impl Company {
    /// The rows of a batch that is followed by `next`, if others read it too and all rows can be used.
    fn decode(&mut self, partition: &TopicPartition, batch: &FetchedBatch, next: Offset) -> Option<Batch> {
        let Self { member, name, source, schema, for_all } = self;
        member.decode_or_take(batch.offsets.at(0), next, |wanted| {
            if for_all.as_ref().is_none_or(|(columns, _)| columns != wanted) {
                // A decoder of these columns could be made for those who read them.
                *for_all = Some((Arc::clone(wanted), Decoder::new(name, source, wanted, schema).ok()?));
            }
            for_all.as_mut().and_then(|(_, decoder)| decoder.decode_clean(partition, batch))
        })
    }
}
