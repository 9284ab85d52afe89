//! Which messages are committed: the position of the source.
//!
//! A queue has no offsets; what it has are ids of messages, which stay the same when a message comes again. The position is the set of ids
//! that were committed lately, in chunks, each a position of its own under the name `sqs:QUEUE#SLOT`, so that a commit writes one chunk and not
//! the whole set:
//!
//! ```text
//! {"chunk":7,"ids":["a","b","c"],"last":1,"open":["x"]}     c came with the last commit; x is older and perhaps still in the queue
//! ```
//!
//! Invariant: the id of a message that is committed and not known to be deleted from the queue is in the newest chunk, as one of its last
//! ids or as an open one; so a message that comes again after a crash between commit and deletion is recognised. Ids of deleted messages are
//! remembered for at least `(CHUNKS - 1) x CHUNK_IDS` messages more, as a standard queue may deliver them again.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use millstream::connect::{ConnectError, Position, Positions};
use serde::{Deserialize, Serialize};

/// How many chunks are kept.
const CHUNKS: u64 = 64;
/// A chunk with so many ids gets no more.
const CHUNK_IDS: usize = 256;
/// At most so many messages are remembered as perhaps undeleted, the newest.
const MOST_OPEN: usize = 20_000;

/// Ids of committed messages, and of those about to be.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Prefix of the names of positions.
    partition: String,
    chunks: BTreeMap<u64, Vec<String>>,
    /// In which chunk an id is, the newest.
    chunk_of: HashMap<String, u64>,
    /// Committed and perhaps not deleted, with a number that rises.
    open: HashMap<String, u64>,
    by_age: BTreeMap<u64, String>,
    next_age: u64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct ChunkText {
    chunk: u64,
    ids: Vec<String>,
    last: usize,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    open: Vec<String>,
}

impl Seen {
    /// What the committed positions say of a queue with this path.
    ///
    /// # Errors
    /// [`ConnectError::Position`] if they are those of another queue or not readable.
    pub(super) fn from_positions(queue: &str, positions: &Positions) -> Result<Self, ConnectError> {
        let mut seen = Self { partition: format!("sqs:{queue}#"), ..Self::default() };
        let mut newest: Option<ChunkText> = None;
        for (name, position) in positions {
            let refused = |problem: String| ConnectError::Position { partition: name.clone(), problem };
            if !name.starts_with(&seen.partition) {
                let problem = format!("it is not of queue {queue}; start anew with a connector of another name");
                return Err(refused(problem));
            }
            let text: ChunkText = serde_json::from_slice(&position.0).map_err(|error| {
                refused(format!("it is not readable ({error}); start anew with a connector of another name"))
            })?;
            seen.put(text.chunk, &text.ids);
            newest = newest.filter(|newest| newest.chunk >= text.chunk).or(Some(text));
        }
        if let Some(newest) = newest {
            let last = newest.ids.len().saturating_sub(newest.last);
            newest.open.into_iter().chain(newest.ids.into_iter().skip(last)).for_each(|id| seen.mark_open(id));
        }
        Ok(seen)
    }

    fn put(&mut self, chunk: u64, ids: &[String]) {
        for id in ids {
            let newest = self.chunk_of.entry(id.clone()).or_insert(chunk);
            *newest = chunk.max(*newest);
        }
        self.chunks.entry(chunk).or_default().extend(ids.iter().cloned());
    }

    /// Whether a message was handed over before.
    pub(super) fn contains(&self, id: &str) -> bool {
        self.chunk_of.contains_key(id) || self.open.contains_key(id)
    }

    /// Adds messages that are about to be committed; returns the position behind them. Of each commit there is to be one call.
    pub(super) fn advance(&mut self, ids: &[String]) -> Positions {
        let newest = self.chunks.last_key_value().map_or((0, 0), |(chunk, ids)| (*chunk, ids.len()));
        let chunk = if newest.1 >= CHUNK_IDS { newest.0 + 1 } else { newest.0 };
        let open: Vec<String> = self.by_age.values().cloned().collect();
        self.put(chunk, ids);
        if let Some(oldest) = chunk.checked_sub(CHUNKS) {
            self.forget_chunk(oldest);
        }
        let text = ChunkText { chunk, ids: self.chunks[&chunk].clone(), last: ids.len(), open };
        let position = Position(serde_json::to_vec(&text).expect("texts and numbers are JSON"));
        Positions::from([(format!("{}{}", self.partition, chunk % CHUNKS), position)])
    }

    fn forget_chunk(&mut self, chunk: u64) {
        for id in self.chunks.remove(&chunk).unwrap_or_default() {
            if self.chunk_of.get(&id) == Some(&chunk) {
                self.chunk_of.remove(&id);
            }
        }
    }

    /// Remembers a committed message until it is known to be deleted.
    pub(super) fn mark_open(&mut self, id: String) {
        if self.open.contains_key(&id) {
            return;
        }
        self.by_age.insert(self.next_age, id.clone());
        self.open.insert(id, self.next_age);
        self.next_age += 1;
        if self.open.len() > MOST_OPEN
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.open.remove(&oldest);
        }
    }

    /// Notes that messages are deleted from the queue.
    pub(super) fn mark_deleted(&mut self, ids: &BTreeSet<String>) {
        for id in ids {
            if let Some(age) = self.open.remove(id) {
                self.by_age.remove(&age);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn open_ids(&self) -> Vec<&str> {
        self.by_age.values().map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(range: std::ops::Range<usize>) -> Vec<String> {
        range.map(|n| format!("m{n}")).collect()
    }

    #[test]
    fn after_a_crash_the_messages_of_the_last_commit_are_open() {
        let mut seen = Seen::from_positions("/1/orders", &Positions::new()).expect("empty");
        let mut committed = seen.advance(&ids(0..3));
        ids(0..3).into_iter().for_each(|id| seen.mark_open(id));
        seen.mark_deleted(&BTreeSet::from(["m0".to_owned(), "m2".to_owned()]));
        committed.extend(seen.advance(&ids(3..5)));
        assert_eq!(committed.len(), 1);
        let again = Seen::from_positions("/1/orders", &committed).expect("its own");
        assert_eq!(again.open_ids(), ["m1", "m3", "m4"]);
        assert!(ids(0..5).iter().all(|id| again.contains(id)) && !again.contains("m5"));
    }

    #[test]
    fn the_oldest_are_forgotten_the_open_ones_never() {
        let mut seen = Seen::from_positions("/1/orders", &Positions::new()).expect("empty");
        let mut committed = Positions::new();
        seen.mark_open("m0".to_owned());
        let step = CHUNK_IDS / 2;
        let rounds = 2 * CHUNKS as usize + 20;
        for round in 0..rounds {
            committed.extend(seen.advance(&ids(round * step..(round + 1) * step)));
        }
        assert_eq!(committed.len(), CHUNKS as usize);
        for seen in [&seen, &Seen::from_positions("/1/orders", &committed).expect("its own")] {
            let least = (CHUNKS as usize - 1) * CHUNK_IDS;
            let all = ids(0..rounds * step);
            assert!(all[all.len() - least..].iter().all(|id| seen.contains(id)));
            assert!(seen.contains("m0") && !seen.contains("m1"));
            assert!(seen.chunk_of.len() <= CHUNKS as usize * CHUNK_IDS);
        }
    }

    #[test]
    fn positions_of_another_queue_are_refused() {
        let positions = Seen::from_positions("/1/orders", &Positions::new()).expect("empty").advance(&ids(0..1));
        let error = Seen::from_positions("/1/returns", &positions).expect_err("another queue");
        assert!(error.to_string().contains("/1/returns"), "{error}");
        let broken = Positions::from([("sqs:/1/orders#0".to_owned(), Position(b"{".to_vec()))]);
        assert!(Seen::from_positions("/1/orders", &broken).is_err());
    }
}
