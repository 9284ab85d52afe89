//! The hot tier of one store: committed values in memory, in buckets that expire as a whole.
//!
//! A key-value store has one bucket. A window store has one per window start, so that expiry drops tables instead of keys and a window
//! that opens and closes between two checkpoints never touches the cold tier. Where starts are many (sessions), buckets grow:
//! bucket `b` holds the starts in `[b << shift, (b + 1) << shift)`, and `shift` rises when there are too many.
//!
//! Invariants: no window below `expired_before` is ever found, written or listed; epochs and generations only rise; a
//! clone is a snapshot: it shares the layers, and later writes do not reach it.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;

use crate::key;
use crate::layer_stack::{Found, FrozenStack, LayerStack};
use crate::metadata::StoreKind;
use crate::store::Change;

const MAX_BUCKETS: usize = 512;

/// What the cold tier can hold at most; keeps reads of what it cannot hold in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColdExtent {
    /// Nothing.
    Empty,
    /// Some keys of a key-value store.
    Keys,
    /// Windows that start between the two, both included.
    Starts { first: i64, last: i64 },
}

impl ColdExtent {
    fn overlaps(&self, first_start: i64, last_start: i64) -> bool {
        match *self {
            Self::Empty => false,
            Self::Keys => true,
            Self::Starts { first, last } => first <= last_start && first_start <= last,
        }
    }

    /// The extent after a key was written.
    pub(crate) fn including(self, kind: StoreKind, window_key: &[u8]) -> Self {
        let Some((start, _)) = (kind == StoreKind::Window).then(|| key::split_window_key(window_key)).flatten() else {
            return Self::Keys;
        };
        match self {
            Self::Starts { first, last } => Self::Starts { first: first.min(start), last: last.max(start) },
            _ => Self::Starts { first: start, last: start },
        }
    }

    /// The extent after all windows that start below were deleted.
    pub(crate) fn without_starts_below(self, expired_before: i64) -> Self {
        match self {
            Self::Starts { last, .. } if last < expired_before => Self::Empty,
            Self::Starts { first, last } => Self::Starts { first: first.max(expired_before), last },
            other => other,
        }
    }
}

/// What the hot tier knows of a key.
pub(crate) enum Lookup<'t> {
    /// The key is here, maybe as a deletion.
    Found(Found<'t>),
    /// The key is in no tier.
    Absent,
    /// Only the cold tier knows.
    AskCold,
}

#[derive(Debug, Clone)]
pub(crate) struct HotTier {
    kind: StoreKind,
    hasher: RandomState,
    buckets: BTreeMap<i64, LayerStack>,
    shift: u32,
    expired_before: i64,
    epoch: u32,
    clean_epoch: u32,
    generation: u32,
}

impl HotTier {
    pub(crate) fn new(kind: StoreKind, expired_before: i64) -> Self {
        Self {
            kind,
            hasher: RandomState::default(),
            buckets: BTreeMap::new(),
            shift: 0,
            expired_before,
            epoch: 1,
            clean_epoch: 0,
            generation: 0,
        }
    }

    pub(crate) fn expired_before(&self) -> i64 {
        self.expired_before
    }

    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    pub(crate) fn hash(&self, key: &[u8]) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        let hash = hasher.finish();
        (hash >> 32) as u32 ^ hash as u32
    }

    fn start_of(&self, key: &[u8]) -> Option<i64> {
        match self.kind {
            StoreKind::KeyValue => Some(0),
            StoreKind::Window => key::split_window_key(key).map(|(start, _)| start),
        }
    }

    fn is_expired(&self, start: i64) -> bool {
        self.kind == StoreKind::Window && start < self.expired_before
    }

    /// The first and last start of a bucket.
    fn starts(&self, bucket: i64) -> (i64, i64) {
        let first = bucket << self.shift;
        (first, first | ((1_i64 << self.shift) - 1))
    }

    /// The hashes of keys that are about to be looked up, their buckets prepared for it.
    pub(crate) fn hashes(&self, keys: &[&[u8]]) -> Vec<u32> {
        let hashes: Vec<u32> = keys.iter().map(|key| self.hash(key)).collect();
        let mut from = 0;
        while from < keys.len() {
            let bucket = |key| self.start_of(key).map(|start| start >> self.shift);
            let first = bucket(keys[from]);
            let run = keys[from..].iter().take_while(|key| bucket(key) == first).count();
            if let Some(stack) = first.and_then(|first| self.buckets.get(&first)) {
                stack.warm(hashes[from..from + run].iter().copied());
            }
            from += run;
        }
        hashes
    }

    pub(crate) fn lookup(&self, hash: u32, key: &[u8], extent: &ColdExtent) -> Lookup<'_> {
        // A key too short for a window store was never written.
        let Some(start) = self.start_of(key) else { return Lookup::Absent };
        if self.is_expired(start) {
            return Lookup::Absent;
        }
        let stack = self.buckets.get(&(start >> self.shift));
        match stack.and_then(|stack| stack.find(hash, key)) {
            Some(found) => Lookup::Found(found),
            None if stack.is_some_and(LayerStack::is_complete) || !extent.overlaps(start, start) => Lookup::Absent,
            None => Lookup::AskCold,
        }
    }

    /// Writes committed changes, in order; gives how many were dropped because their windows have expired.
    pub(crate) fn write(&mut self, changes: &[Change<'_>], extent: &ColdExtent) -> u64 {
        let start_of = |change: &Change<'_>| self.start_of(change.key).expect("the store has checked the key's length");
        let places: Vec<(i64, u32)> = changes.iter().map(|change| (start_of(change), self.hash(change.key))).collect();
        let (epoch, generation, shift) = (self.epoch, self.generation, self.shift);
        let bound = if self.kind == StoreKind::Window { self.expired_before } else { i64::MIN };
        let (mut expired, mut from) = (0, 0);
        while from < changes.len() {
            let start = places[from].0;
            let run = places[from..].iter().take_while(|(other, _)| other >> shift == start >> shift).count();
            let run = from..from + run;
            from = run.end;
            // No bucket is made for what has expired.
            if places[run.clone()].iter().all(|(start, _)| *start < bound) {
                expired += run.len() as u64;
                continue;
            }
            let mut writer = self.bucket(start, extent).writer(epoch, generation);
            writer.warm(places[run.clone()].iter().map(|(_, hash)| *hash));
            for (change, (start, hash)) in changes[run.clone()].iter().zip(&places[run]) {
                if *start < bound {
                    expired += 1;
                } else {
                    writer.write(*hash, change.key, change.value);
                }
            }
        }
        expired
    }

    /// Keeps what was just read from an older generation or the cold tier.
    pub(crate) fn remember(&mut self, hash: u32, key: &[u8], value: Option<&[u8]>, extent: &ColdExtent) {
        let generation = self.generation;
        if let Some(start) = self.start_of(key) {
            self.bucket(start, extent).remember(hash, key, value, generation);
        }
    }

    fn bucket(&mut self, start: i64, extent: &ColdExtent) -> &mut LayerStack {
        let bucket = start >> self.shift;
        let (first, last) = self.starts(bucket);
        self.buckets.entry(bucket).or_insert_with(|| LayerStack::new(!extent.overlaps(first, last)))
    }

    /// Tidies up after a batch of writes: folds layers, widens buckets if they have become many.
    pub(crate) fn fold(&mut self, extent: &ColdExtent) {
        if self.buckets.len() > MAX_BUCKETS {
            self.widen_buckets(extent);
        }
        self.buckets.values_mut().for_each(LayerStack::fold);
    }

    fn widen_buckets(&mut self, extent: &ColdExtent) {
        let mut widened: BTreeMap<i64, LayerStack> = BTreeMap::new();
        let mut by = 1;
        while count_distinct(self.buckets.keys().map(|bucket| bucket >> by)) > MAX_BUCKETS / 2 {
            by += 1;
        }
        // A range that had no bucket may lie in the cold tier.
        for (bucket, stack) in std::mem::take(&mut self.buckets) {
            match widened.entry(bucket >> by) {
                std::collections::btree_map::Entry::Vacant(vacant) => {
                    let mut first = LayerStack::new(false);
                    let complete = stack.is_complete() && *extent == ColdExtent::Empty;
                    first.join(stack, complete);
                    vacant.insert(first);
                }
                std::collections::btree_map::Entry::Occupied(mut occupied) => {
                    let complete = occupied.get().is_complete() && stack.is_complete();
                    occupied.get_mut().join(stack, complete);
                }
            }
        }
        self.buckets = widened;
        self.shift += by;
    }

    /// Forgets all windows that start below `start_ms`; false if that is nothing new.
    pub(crate) fn expire_before(&mut self, start_ms: i64) -> bool {
        if start_ms <= self.expired_before {
            return false;
        }
        self.expired_before = start_ms;
        while let Some((&bucket, _)) = self.buckets.first_key_value()
            && self.starts(bucket).1 < start_ms
        {
            self.buckets.pop_first();
        }
        true
    }

    pub(crate) fn clear(&mut self) {
        self.buckets.clear();
        self.shift = 0;
        self.expired_before = i64::MIN;
    }

    /// Begins a checkpoint: what is dirty now belongs to it, what is written from now on to the next one.
    pub(crate) fn freeze(&mut self) -> FrozenTier {
        let clean_epoch = self.clean_epoch;
        let stacks = self.buckets.values_mut().map(|stack| stack.freeze(clean_epoch)).collect();
        let frozen = FrozenTier { stacks, epoch: self.epoch, clean_epoch };
        self.epoch = self.epoch.checked_add(1).expect("four billion checkpoints in one process");
        frozen
    }

    /// Ends the checkpoint that froze `epoch`.
    pub(crate) fn thaw(&mut self, epoch: u32) {
        self.clean_epoch = epoch;
        self.buckets.values_mut().for_each(|stack| stack.thaw(epoch));
    }

    /// Starts a new generation: what is not written or read from now on is the first to go.
    pub(crate) fn rotate(&mut self) {
        self.generation += 1;
    }

    pub(crate) fn has_older_generation(&self) -> bool {
        self.buckets.values().any(|stack| stack.has_generation_before(self.generation))
    }

    /// Drops what is clean and of an earlier generation.
    pub(crate) fn drop_older_generations(&mut self) {
        let (generation, clean_epoch) = (self.generation, self.clean_epoch);
        self.buckets.retain(|_, stack| {
            stack.drop_generations_before(generation, clean_epoch);
            !stack.is_empty()
        });
    }

    pub(crate) fn len(&self) -> usize {
        self.buckets.values().map(LayerStack::len).sum()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.buckets.values().map(LayerStack::bytes).sum()
    }

    pub(crate) fn dirty_bytes(&self) -> usize {
        self.buckets.values().map(LayerStack::dirty_bytes).sum()
    }

    /// The buckets that can hold windows starting in `first..=last`, in order of their keys; all of them for a key-value store.
    pub(crate) fn buckets(&self, first: i64, last: i64) -> impl DoubleEndedIterator<Item = &LayerStack> {
        let (first, last) = match self.kind {
            StoreKind::KeyValue => (0, 0),
            StoreKind::Window => (first >> self.shift, (last >> self.shift).max(first >> self.shift)),
        };
        self.buckets.range(first..=last).map(|(_, stack)| stack)
    }

    /// The starts of the buckets in `first..=last`, if each bucket is exactly one window.
    pub(crate) fn exact_starts(&self, first: i64, last: i64) -> Option<impl Iterator<Item = i64>> {
        let exact = self.kind == StoreKind::Window && self.shift == 0 && first <= last;
        exact.then(|| self.buckets.range(first..=last).map(|(start, _)| *start))
    }
}

fn count_distinct(sorted: impl Iterator<Item = i64>) -> usize {
    let mut last = None;
    sorted.filter(|number| last.replace(*number) != Some(*number)).count()
}

/// What a checkpoint writes.
pub(crate) struct FrozenTier {
    pub(crate) stacks: Vec<FrozenStack>,
    pub(crate) epoch: u32,
    pub(crate) clean_epoch: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(start: i64, name: &str) -> Vec<u8> {
        let mut out = Vec::new();
        key::window_key(start, name.as_bytes(), &mut out);
        out
    }

    fn check(tier: &HotTier, extent: &ColdExtent, key: &[u8], expected: &str) {
        let actual = match tier.lookup(tier.hash(key), key, extent) {
            Lookup::Found(found) => {
                found.value().map_or("deleted".into(), |value| String::from_utf8_lossy(value).into_owned())
            }
            Lookup::Absent => "absent".into(),
            Lookup::AskCold => "ask".into(),
        };
        assert_eq!(actual, expected, "{key:?}");
    }

    #[test]
    fn windows_outside_the_cold_extent_are_never_asked_for() {
        let extent = ColdExtent::Starts { first: 10, last: 20 };
        let mut tier = HotTier::new(StoreKind::Window, i64::MIN);
        tier.write(&[Change::put(&window(30, "a"), b"1")], &extent);
        for (start, expected) in [(30, "1"), (9, "absent"), (10, "ask"), (20, "ask"), (21, "absent")] {
            check(&tier, &extent, &window(start, "a"), expected);
        }
        check(&tier, &extent, &window(30, "b"), "absent");
    }

    #[test]
    fn expiry_ends_exactly_at_the_bound_even_inside_a_bucket() {
        let extent = ColdExtent::Empty;
        let mut tier = HotTier::new(StoreKind::Window, i64::MIN);
        for start in -2000..2000 {
            tier.write(&[Change::put(&window(start, "a"), b"1")], &extent);
        }
        tier.fold(&extent);
        assert!(tier.buckets.len() <= MAX_BUCKETS && tier.shift > 0);
        tier.expire_before(-3);
        check(&tier, &extent, &window(-4, "a"), "absent");
        check(&tier, &extent, &window(-3, "a"), "1");
        assert_eq!(tier.write(&[Change::put(&window(-4, "a"), b"2")], &extent), 1);
        assert!(tier.len() < 2100, "{} keys left", tier.len());
    }

    #[test]
    fn a_complete_store_knows_what_is_absent() {
        let mut tier = HotTier::new(StoreKind::KeyValue, i64::MIN);
        tier.write(&[Change::put(b"a", b"1")], &ColdExtent::Empty);
        let frozen = tier.freeze();
        tier.thaw(frozen.epoch);
        check(&tier, &ColdExtent::Keys, b"b", "absent");
        tier.rotate();
        tier.drop_older_generations();
        check(&tier, &ColdExtent::Keys, b"b", "ask");
    }
}
