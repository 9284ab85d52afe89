//! One place in one partition from which somebody reads on.
//!
//! A cursor knows where it stands: past the last record taken, and past the marks and holes behind it. It says that it stands at the end when
//!
//! - the brokers said so for exactly this place (an *end mark*), or the place is the high watermark of what was last fetched;
//! - it has been at the end before, little has come since, and nothing more is there. Brokers answer a waiting fetch with
//!   everything that is committed, so that less than a full answer means that there was no more.
//!
//! In all other cases it waits for a moment: the next answer is under way.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    clock,
    clock::Deadline,
    native::{Client, Code, Failure, Message, PartitionReader, Watermarks},
    wake::Wake,
};
use crate::{
    log::{Fetched, FetchedBatch, Offsets},
    record::{Header, Offset, RecordRef, RecordsBuilder, Timestamp, TopicPartition},
};

/// How long to wait for the next answer while not at the end.
const PATIENCE: Duration = Duration::from_millis(500);

/// An answer may have been cut short if so much has come.
const LONG_ANSWER: usize = 256 << 10;

/// Most records taken at once.
const MOST_ROWS: usize = 4_096;

/// A place to read on from.
pub(super) struct Cursor {
    reader: PartitionReader,
    /// Which partition it is in.
    pub(super) partition: TopicPartition,
    /// The client that reads it.
    pub(super) lane: usize,
    /// Where it stands.
    pub(super) position: i64,
    /// When it was last used.
    pub(super) used: Instant,
    /// Where the brokers said that the end is.
    end_mark: Option<i64>,
    /// The end when the cursor was made.
    first_end: i64,
    /// Whether anything was fetched yet: only then is the client's high watermark ours.
    has_heard: bool,
    /// Whether it was at the end once.
    was_at_end: bool,
    /// Bytes taken since it was last at the end.
    since_end: usize,
    /// The usual size of a record here.
    mean_bytes: usize,
    messages: Vec<Message>,
    /// Met behind records that were given out first.
    failure: Option<Failure>,
}

impl Cursor {
    /// Begins at `from`, which lies within the partition.
    pub(super) fn start(
        client: &Arc<Client>,
        lane: usize,
        partition: &TopicPartition,
        from: i64,
        marks: Watermarks,
        wake: &Arc<Wake>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            reader: PartitionReader::start(client, partition, from, wake)?,
            partition: partition.clone(),
            lane,
            position: from,
            used: clock::now(),
            end_mark: (from >= marks.stable).then_some(from),
            first_end: marks.stable,
            has_heard: false,
            was_at_end: false,
            since_end: 0,
            mean_bytes: 256,
            messages: Vec::new(),
            failure: None,
        })
    }

    /// Reads on, about `max_bytes`.
    pub(super) fn fetch(&mut self, max_bytes: usize) -> Result<Fetched, Failure> {
        self.used = clock::now();
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let mut taken = Taken::default();
        let deadline = Deadline::after(PATIENCE);
        let mut wait = Duration::ZERO;
        while taken.bytes() < max_bytes.max(1) {
            let most = ((max_bytes - taken.bytes().min(max_bytes)) / self.mean_bytes + 1).min(MOST_ROWS);
            self.reader.read(wait, most, &mut self.messages);
            let came = self.messages.len();
            self.take_in(&mut taken)?;
            if came > 0 && self.failure.is_none() {
                wait = Duration::ZERO;
                continue;
            }
            if !taken.is_empty() || self.is_at_end() || deadline.is_over() {
                break;
            }
            wait = deadline.left();
        }
        Ok(self.answer(taken))
    }

    /// Puts records together, and notes where reading stands. A failure ends the cursor, after what came before it.
    fn take_in(&mut self, taken: &mut Taken) -> Result<(), Failure> {
        let mut messages = std::mem::take(&mut self.messages);
        for message in messages.drain(..) {
            match message.failure() {
                None => {
                    taken.push(&message);
                    self.position = message.offset() + 1;
                }
                Some(failure) if failure.code == Code::RD_KAFKA_RESP_ERR__PARTITION_EOF => {
                    self.position = self.position.max(message.offset());
                    self.end_mark = Some(message.offset());
                }
                Some(failure) if taken.is_empty() => return Err(failure),
                Some(failure) => {
                    self.failure = Some(failure);
                    return Ok(());
                }
            }
            self.has_heard = true;
        }
        self.messages = messages;
        // The library takes an end mark for a record and puts its position one past it; what really follows a mark is said by the next one.
        let is_past_mark = |position: &i64| self.end_mark.is_some_and(|mark| *position == mark + 1);
        if let Some(position) = self.reader.position().filter(|position| !is_past_mark(position)) {
            self.has_heard |= position > self.position;
            self.position = self.position.max(position);
        }
        Ok(())
    }

    /// Whether there is nothing more, as far as is known.
    fn is_at_end(&self) -> bool {
        self.end_mark == Some(self.position)
            || self.high_watermark().is_some_and(|high| self.position >= high)
            || (self.was_at_end && self.since_end < LONG_ANSWER)
    }

    fn high_watermark(&self) -> Option<i64> {
        self.reader.high_watermark().filter(|_| self.has_heard)
    }

    fn answer(&mut self, mut taken: Taken) -> Fetched {
        let next = Offset(self.position.unsigned_abs());
        if taken.is_empty() {
            let at_end = self.is_at_end();
            if at_end {
                self.was_at_end = true;
                self.since_end = 0;
            }
            let known = self.first_end.max(self.high_watermark().unwrap_or(0)).max(self.position);
            let end = if at_end { next } else { Offset(known.unsigned_abs()) };
            return Fetched { batches: Vec::new(), next, end };
        }
        self.since_end += taken.bytes();
        self.mean_bytes = (taken.bytes() / taken.rows()).max(16);
        let known = self.high_watermark().unwrap_or(self.first_end).max(self.position);
        Fetched { batches: vec![taken.finish()], next, end: Offset(known.unsigned_abs()) }
    }
}

/// Records on their way into a batch.
#[derive(Default)]
struct Taken {
    records: RecordsBuilder,
    base: u64,
    /// One by one from the first hole on; empty before it.
    offsets: Vec<Offset>,
    headers: Vec<Header>,
}

impl Taken {
    fn push(&mut self, message: &Message) {
        let offset = message.offset().unsigned_abs();
        let rows = self.records.len();
        match rows {
            0 => self.base = offset,
            _ if self.offsets.is_empty() && offset == self.base + rows as u64 => {}
            _ => {
                if self.offsets.is_empty() {
                    self.offsets.extend((self.base..).take(rows).map(Offset));
                }
                self.offsets.push(Offset(offset));
            }
        }
        self.headers.clear();
        message.headers(&mut self.headers);
        self.records.push(RecordRef {
            key: message.key(),
            value: message.value(),
            timestamp: Timestamp(message.timestamp()),
            headers: &self.headers,
        });
    }

    fn rows(&self) -> usize {
        self.records.len()
    }

    fn bytes(&self) -> usize {
        self.records.payload_bytes()
    }

    fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    fn finish(&mut self) -> FetchedBatch {
        let records = self.records.finish();
        let offsets = match self.offsets.is_empty() {
            true => Offsets::From(Offset(self.base)),
            false => Offsets::Each(std::mem::take(&mut self.offsets).into()),
        };
        FetchedBatch { records, offsets }
    }
}
