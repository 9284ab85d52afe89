//! Whether compaction is worth its writing: how many of the records would go, judged by some of the keys.
//!
//! One key in sixteen, chosen by its hash, stands for all: of each chosen key it is noted whether its last record is a tombstone. What is
//! more than one record a living key would go, now or when tombstones are due; so would records without a key. A partition in which most keys occur once is left alone until it has grown to twice its
//! size, so that looking costs a bounded share of writing. Small partitions are compacted without looking.

use std::hash::BuildHasher;

use arrow::array::Array;
use foldhash::fast::{FixedState, RandomState};
use hashbrown::HashMap;

use super::{change::Place, segment::Limit, state::Segment};
use crate::log::LogError;

/// A partition smaller than this is compacted without looking.
const SMALL_BYTES: u64 = 4 << 20;
/// One key in so many is chosen; a power of two.
const ONE_IN: u64 = 16;
/// The share of records that must go: a compacted topic takes at most about twice the room that it needs.
const WORTHWHILE: f64 = 0.5;

/// What earlier looks have found: how many new bytes a partition had when it was not worth it.
#[derive(Debug, Default)]
pub(super) struct Looks(HashMap<Place, u64, RandomState>);

impl Looks {
    /// Whether enough of the records in `sealed`, `fresh` bytes of which are new, would go.
    pub(super) fn is_worthwhile(&mut self, place: Place, sealed: &[Segment], fresh: u64) -> Result<bool, LogError> {
        let bytes: u64 = sealed.iter().map(|segment| segment.meta.length).sum();
        if bytes < SMALL_BYTES {
            return Ok(true);
        }
        if self.0.get(&place).is_some_and(|before| fresh < before.saturating_mul(2)) {
            return Ok(false);
        }
        let is_worthwhile = replaced_share(sealed)? >= WORTHWHILE;
        if is_worthwhile {
            self.0.remove(&place);
        } else {
            self.0.insert(place, fresh);
        }
        Ok(is_worthwhile)
    }
}

/// The share of records that would go: those that a later one of their key replaces, those without a key, tombstones.
fn replaced_share(sealed: &[Segment]) -> Result<f64, LogError> {
    let choose = FixedState::with_seed(0);
    // Whether the last record of a chosen key has a value.
    let mut lives: HashMap<u64, bool, RandomState> = HashMap::default();
    let mut records = 0;
    for segment in sealed {
        let limit = Limit { length: segment.meta.length, end: segment.meta.end };
        segment.file.visit(segment.meta.base, limit, |header, read| {
            if header.count == 0 {
                return Ok(true);
            }
            let batch = read()?;
            let (keys, values) = (batch.records.keys(), batch.records.values());
            records += keys.len();
            for row in (0..keys.len()).filter(|&row| keys.is_valid(row)) {
                let hash = choose.hash_one(keys.value(row));
                if hash & (ONE_IN - 1) == 0 {
                    lives.insert(hash, values.is_valid(row));
                }
            }
            Ok(true)
        })?;
    }
    let living = lives.values().filter(|lives| **lives).count() as u64 * ONE_IN;
    Ok(1.0 - living as f64 / records.max(1) as f64)
}
