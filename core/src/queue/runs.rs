//! Sets of offsets as runs: what a queue is done with takes memory by the gap, not by the message.
//!
//! Invariants: runs are `[first, end)`, not empty, and neither overlap nor touch.

use std::collections::BTreeMap;

/// A set of offsets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Runs {
    /// The end of each run, by its first offset.
    ends: BTreeMap<u64, u64>,
}

impl Runs {
    pub(super) fn contains(&self, offset: u64) -> bool {
        self.ends.range(..=offset).next_back().is_some_and(|(_, end)| offset < *end)
    }

    /// Adds `[first, end)`.
    pub(super) fn insert(&mut self, first: u64, end: u64) {
        if first >= end {
            return;
        }
        let (mut from, mut to) = (first, end);
        if let Some((&before, &before_end)) = self.ends.range(..=first).next_back()
            && before_end >= first
        {
            (from, to) = (before, to.max(before_end));
        }
        let absorbed: Vec<u64> = self.ends.range(from..=to).map(|(first, _)| *first).collect();
        for run in absorbed {
            to = self.ends.remove(&run).map_or(to, |end| to.max(end));
        }
        self.ends.insert(from, to);
    }

    /// How many offsets of `[first, end)` are in it.
    pub(super) fn count_in(&self, first: u64, end: u64) -> u64 {
        let overlap = |(from, to): (&u64, &u64)| (*to).min(end).saturating_sub((*from).max(first));
        self.ends.range(..end).map(overlap).sum()
    }

    /// Drops what lies below `start` and the run that covers it; gives the first offset from there on that is not in the set.
    pub(super) fn advance(&mut self, start: u64) -> u64 {
        let mut next = start;
        while let Some(run) = self.ends.first_entry()
            && *run.key() <= next
        {
            next = next.max(run.remove());
        }
        next
    }

    /// The runs in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.ends.iter().map(|(first, end)| (*first, *end))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn runs_hold_what_a_set_of_offsets_holds(added in prop::collection::vec((0_u64..60, 0_u64..8), 0..40), start in 0_u64..70) {
            let (mut runs, mut set) = (Runs::default(), BTreeSet::new());
            for (first, length) in added {
                runs.insert(first, first + length);
                set.extend(first..first + length);
            }
            for offset in 0..70 {
                prop_assert_eq!(runs.contains(offset), set.contains(&offset));
            }
            prop_assert_eq!(runs.count_in(10, 40), set.range(10..40).count() as u64);
            let touching = runs.iter().zip(runs.iter().skip(1)).any(|((_, end), (first, _))| end >= first);
            prop_assert!(!touching);
            let next = runs.advance(start);
            prop_assert_eq!(next, (start..).find(|offset| !set.contains(offset)).unwrap());
            prop_assert!(runs.iter().all(|(first, _)| first > next));
        }
    }
}
