//! What a queue writes about itself: frames of changes, and every so often one with everything.
//!
//! The topic of the state has one partition and is compacted. The key `snapshot` has the last whole frame. Changes since then are at
//! `change-0`, `change-1`, .., so that those of the next snapshot take their places one by one and the topic stays small. Each frame names the
//! *generation* of its snapshot: changes of another one are remains, and are passed over. Values are JSON, so that PRINT shows them.
//!
//! A frame says how things stand, not what was done: the later of two frames counts.

use super::span::Standing;
use crate::{
    log::{Log, LogError},
    record::{Header, Offset, Record, Timestamp, TopicPartition},
};

const VERSION: u32 = 1;
const SNAPSHOT: &str = "snapshot";
const FETCH_BYTES: usize = 1 << 20;

/// What has become of the messages of a queue, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Counts {
    pub(super) acknowledged: u64,
    pub(super) dead: u64,
    pub(super) expired: u64,
    pub(super) duplicates: u64,
}

/// A message at its offset: attempts and standing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct SlotFrame(pub(super) u64, pub(super) u32, pub(super) Standing);

/// A partition, or what has changed in it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct SpanFrame {
    pub(super) partition: u32,
    /// Everything below is done with.
    pub(super) start: u64,
    /// Runs `[first, end)` that are done with.
    pub(super) done: Vec<(u64, u64)>,
    /// Messages that were received and are not done with.
    pub(super) slots: Vec<SlotFrame>,
}

/// What one commit says about a queue.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Frame {
    version: u32,
    /// Of the topic of the messages: another one of that name has other messages.
    pub(super) incarnation: String,
    pub(super) generation: u64,
    /// The time of the queue, which never goes back.
    pub(super) clock: i64,
    pub(super) counts: Counts,
    pub(super) spans: Vec<SpanFrame>,
}

impl Frame {
    pub(super) fn new(incarnation: u128, generation: u64, clock: i64, counts: Counts) -> Self {
        let incarnation = format!("{incarnation:032x}");
        Self { version: VERSION, incarnation, generation, clock, counts, spans: Vec::new() }
    }

    /// The record of a whole frame.
    pub(super) fn as_snapshot(&self) -> Record {
        self.record(SNAPSHOT.to_owned())
    }

    /// The record of the changes that are number `number` since the snapshot.
    pub(super) fn as_change(&self, number: u32) -> Record {
        self.record(format!("change-{number}"))
    }

    fn record(&self, key: String) -> Record {
        let value = serde_json::to_vec(self).expect("numbers and texts are JSON");
        Record {
            key: Some(key.into_bytes()),
            value: Some(value),
            timestamp: Timestamp(self.clock),
            headers: Vec::<Header>::new(),
        }
    }
}

/// Why frames could not be read.
pub(super) enum FrameError {
    Log(LogError),
    /// The record at an offset is none of ours.
    Bad(Offset, String),
}

impl From<LogError> for FrameError {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

/// The last snapshot and the changes that belong to it, in order. Memory is taken for one generation.
pub(super) fn read_frames(log: &dyn Log, partition: &TopicPartition) -> Result<Vec<Frame>, FrameError> {
    let (mut frames, mut next) = (Vec::<Frame>::new(), log.start_offset(partition)?);
    while next < log.end_offset(partition)? {
        let fetched = log.fetch(partition, next, FETCH_BYTES)?;
        for batch in &fetched.batches {
            for (row, record) in batch.records.iter().enumerate() {
                let bad = |problem: String| FrameError::Bad(batch.offsets.at(row), problem);
                let frame: Frame =
                    serde_json::from_slice(record.value.unwrap_or_default()).map_err(|error| bad(error.to_string()))?;
                if frame.version != VERSION {
                    return Err(bad(format!("version {}, this program reads {VERSION}", frame.version)));
                }
                if record.key == Some(SNAPSHOT.as_bytes()) {
                    frames = vec![frame];
                } else if frames.first().is_some_and(|snapshot| snapshot.generation == frame.generation) {
                    frames.push(frame);
                }
            }
        }
        next = fetched.next;
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// States that were written must be read by every later version.
    #[test]
    fn frames_are_written_as_ever() {
        let mut frame = Frame::new(0xab, 2, 1_000, Counts { acknowledged: 3, ..Counts::default() });
        let slots = vec![SlotFrame(6, 1, Standing::Leased(31_000)), SlotFrame(8, 2, Standing::Ready)];
        frame.spans.push(SpanFrame { partition: 1, start: 4, done: vec![(5, 6)], slots });
        let record = frame.as_change(12);
        assert_eq!(record.key.as_deref(), Some(b"change-12".as_slice()));
        let expected = r#"{"version":1,"incarnation":"000000000000000000000000000000ab","generation":2,"clock":1000,
            "counts":{"acknowledged":3,"dead":0,"expired":0,"duplicates":0},
            "spans":[{"partition":1,"start":4,"done":[[5,6]],"slots":[[6,1,{"leased":31000}],[8,2,"ready"]]}]}"#;
        let written = String::from_utf8(record.value.unwrap()).unwrap();
        assert_eq!(written, expected.split('\n').map(str::trim).collect::<String>());
        assert_eq!(serde_json::from_str::<Frame>(&written).unwrap(), frame);
    }
}
