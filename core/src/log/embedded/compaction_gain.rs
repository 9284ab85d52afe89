//! Whether compaction is worth its writing: how many of the records would go, judged by some of the keys.
//!
//! One key in sixteen, chosen by its hash, stands for all: every record of a chosen key is counted, and so is every such key. What is
//! more than one record a key would go. A partition in which most keys occur once is left alone until it has grown to twice its
//! size, so that looking costs a bounded share of writing. Small partitions are compacted without looking.

use std::{collections::HashMap, hash::BuildHasher};

use arrow::array::Array;
use foldhash::fast::{FixedState, RandomState};
use hashbrown::HashSet;

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
pub(super) struct Looks(HashMap<Place, u64>);

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

/// The share of records that a later one of their key replaces.
fn replaced_share(sealed: &[Segment]) -> Result<f64, LogError> {
    let choose = FixedState::with_seed(0);
    let mut keys: HashSet<u64, RandomState> = HashSet::default();
    let mut records = 0_u64;
    for segment in sealed {
        let limit = Limit { length: segment.meta.length, end: segment.meta.end };
        segment.file.visit(segment.meta.base, limit, |header, read| {
            if header.count > 0 {
                let batch = read()?;
                let column = batch.records.keys();
                for row in (0..column.len()).filter(|&row| column.is_valid(row)) {
                    let hash = choose.hash_one(column.value(row));
                    if hash & (ONE_IN - 1) == 0 {
                        records += 1;
                        keys.insert(hash);
                    }
                }
            }
            Ok(true)
        })?;
    }
    Ok(1.0 - keys.len() as f64 / records.max(1) as f64)
}
