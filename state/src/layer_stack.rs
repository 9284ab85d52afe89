//! A copy-on-write stack of layers: what the hot tier holds for one range of windows, or for a whole key-value store.
//!
//! ```text
//! top     B'  writable: nobody else holds it
//!         B   shared with a snapshot or a running checkpoint: never written again
//! bottom  A   shared
//! ```
//! A clone shares the layers, which is how a snapshot is taken; the next write then opens a new layer on top. Layers are folded
//! when they are unshared, or when copying the one below costs no more than twice the one above, so that a stack has a
//! logarithmic number of layers however many snapshots there are.
//!
//! Invariants: an upper layer's entry hides those below; generations never fall from bottom to top; layers merge only
//! inside a generation; if `complete`, the cold tier has nothing in this range that the stack does not hold.

use std::sync::Arc;

use crate::layer::{Entry, Layer, WARMED_AT_ONCE, shared};

/// Bytes that an entry counts for beside key and value when dirty bytes are counted.
const ENTRY_BYTES: usize = 32;

#[derive(Debug, Clone, Default)]
pub(crate) struct LayerStack {
    slots: Vec<Slot>,
    complete: bool,
    dirty_bytes: usize,
    freezing_bytes: usize,
}

#[derive(Debug, Clone)]
struct Slot {
    layer: Arc<Layer>,
    generation: u32,
}

/// An entry of a stack together with its layer.
pub(crate) struct Found<'s> {
    layer: &'s Layer,
    entry: Entry,
    pub(crate) generation: u32,
}

impl<'s> Found<'s> {
    /// The value; `None` for a deletion.
    pub(crate) fn value(&self) -> Option<&'s [u8]> {
        self.layer.value(&self.entry)
    }
}

impl LayerStack {
    pub(crate) fn new(complete: bool) -> Self {
        Self { complete, ..Self::default() }
    }

    /// True if a key that is not here is nowhere.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Upper bound of the number of keys.
    pub(crate) fn len(&self) -> usize {
        self.slots.iter().map(|slot| slot.layer.len()).sum()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.slots.iter().map(|slot| slot.layer.bytes()).sum()
    }

    pub(crate) fn dirty_bytes(&self) -> usize {
        self.dirty_bytes + self.freezing_bytes
    }

    pub(crate) fn has_generation_before(&self, generation: u32) -> bool {
        self.slots.first().is_some_and(|slot| slot.generation < generation)
    }

    pub(crate) fn layers(&self) -> impl DoubleEndedIterator<Item = &Layer> {
        self.slots.iter().map(|slot| &*slot.layer)
    }

    /// Prepares for lookups of these hashes; see [`Layer::warm`].
    pub(crate) fn warm(&self, hashes: impl ExactSizeIterator<Item = u32> + Clone) {
        self.slots.iter().for_each(|slot| slot.layer.warm(hashes.clone()));
    }

    pub(crate) fn find(&self, hash: u32, key: &[u8]) -> Option<Found<'_>> {
        self.slots.iter().rev().find_map(|slot| {
            let entry = *slot.layer.find(hash, key)?;
            Some(Found { layer: &slot.layer, entry, generation: slot.generation })
        })
    }

    /// Takes committed changes of the current epoch.
    pub(crate) fn writer(&mut self, epoch: u32, generation: u32) -> StackWriter<'_> {
        self.open_top(generation);
        let Self { slots, dirty_bytes, .. } = self;
        StackWriter { layer: top_of(slots), dirty_bytes, epoch }
    }

    /// Remembers what was read from below: already checkpointed, hence epoch 0.
    pub(crate) fn remember(&mut self, hash: u32, key: &[u8], value: Option<&[u8]>, generation: u32) {
        self.top(generation).insert(hash, key, value, 0);
    }

    fn top(&mut self, generation: u32) -> &mut Layer {
        self.open_top(generation);
        top_of(&mut self.slots)
    }

    /// Sees to it that the uppermost layer is of this generation and nobody else's.
    fn open_top(&mut self, generation: u32) {
        let writable = self
            .slots
            .last_mut()
            .is_some_and(|slot| slot.generation == generation && Arc::get_mut(&mut slot.layer).is_some());
        if !writable {
            self.slots.push(Slot { layer: Arc::new(Layer::default()), generation });
        }
    }

    /// Merges layers from the top where that is cheap.
    pub(crate) fn fold(&mut self) {
        while let [.., below, top] = &mut self.slots[..] {
            if below.generation != top.generation {
                return;
            }
            let is_cheap_copy = below.layer.len() <= 2 * top.layer.len();
            match (Arc::get_mut(&mut below.layer), Arc::get_mut(&mut top.layer)) {
                (Some(below_layer), Some(top_layer)) if below_layer.len() >= top_layer.len() => {
                    below_layer.absorb_newer(top_layer);
                }
                (below_layer, Some(top_layer)) if below_layer.is_some() || is_cheap_copy => {
                    top_layer.absorb_older(&below.layer);
                    std::mem::swap(below, top);
                }
                _ => return,
            }
            self.slots.pop();
        }
    }

    /// Takes over a stack whose keys are all different from this one's.
    pub(crate) fn join(&mut self, other: LayerStack, complete: bool) {
        self.slots.extend(other.slots);
        self.slots.sort_by_key(|slot| slot.generation);
        self.complete = complete;
        self.dirty_bytes += other.dirty_bytes;
        self.freezing_bytes += other.freezing_bytes;
        self.fold();
    }

    /// The layers with entries after `clean_epoch`, shared with the checkpoint that now begins.
    pub(crate) fn freeze(&mut self, clean_epoch: u32) -> FrozenStack {
        self.freezing_bytes += std::mem::take(&mut self.dirty_bytes);
        let dirty = self.slots.iter().filter(|slot| slot.layer.max_epoch() > clean_epoch);
        FrozenStack { layers: dirty.map(|slot| Arc::clone(&slot.layer)).collect() }
    }

    /// The checkpoint has ended: what was frozen is clean.
    pub(crate) fn thaw(&mut self, clean_epoch: u32) {
        self.freezing_bytes = 0;
        if let ([slot], true) = (&mut self.slots[..], self.complete)
            && let Some(layer) = Arc::get_mut(&mut slot.layer)
        {
            layer.purge_tombstones(clean_epoch);
        }
    }

    /// Drops the clean layers of earlier generations; reads of their keys go to the cold tier from now on.
    pub(crate) fn drop_generations_before(&mut self, generation: u32, clean_epoch: u32) {
        let droppable = |slot: &Slot| slot.generation < generation && slot.layer.max_epoch() <= clean_epoch;
        let count = self.slots.iter().take_while(|slot| droppable(slot)).count();
        if count > 0 {
            self.slots.drain(..count);
            self.complete = false;
        }
    }
}

fn top_of(slots: &mut [Slot]) -> &mut Layer {
    let top = slots.last_mut().expect("just opened");
    Arc::get_mut(&mut top.layer).expect("a new layer, or one seen unshared under the exclusive borrow")
}

/// Writes changes into the uppermost layer of a stack.
pub(crate) struct StackWriter<'s> {
    layer: &'s mut Layer,
    dirty_bytes: &'s mut usize,
    epoch: u32,
}

impl StackWriter<'_> {
    /// Prepares for writes of these hashes.
    pub(crate) fn warm(&self, hashes: impl ExactSizeIterator<Item = u32>) {
        self.layer.warm(hashes);
    }

    pub(crate) fn write(&mut self, hash: u32, key: &[u8], value: Option<&[u8]>) {
        let record_len = key.len() + value.map_or(0, <[u8]>::len);
        match self.layer.insert(hash, key, value, self.epoch) {
            Some((replaced_epoch, replaced_len)) if replaced_epoch == self.epoch => {
                *self.dirty_bytes = self.dirty_bytes.saturating_sub(replaced_len) + record_len;
            }
            _ => *self.dirty_bytes += record_len + ENTRY_BYTES,
        }
    }
}

/// Layers that a checkpoint writes, bottom first.
pub(crate) struct FrozenStack {
    layers: Vec<Arc<Layer>>,
}

impl FrozenStack {
    pub(crate) fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.layers.iter().map(|layer| &**layer)
    }
}

/// Entries of several layers in key order, one per key, the uppermost layer's.
pub(crate) struct SortedEntries<'s> {
    layers: Vec<&'s Layer>,
    entries: Vec<SortedEntry>,
}

struct SortedEntry {
    /// The first bytes after those that all keys have in common, compared before memory is touched.
    prefix: u128,
    layer: u32,
    entry: Entry,
}

impl<'s> SortedEntries<'s> {
    /// `layers` from bottom to top.
    pub(crate) fn new(layers: impl Iterator<Item = &'s Layer>, mut keep: impl FnMut(&Entry, &[u8]) -> bool) -> Self {
        let layers: Vec<&Layer> = layers.collect();
        let skip = common_prefix(&layers);
        let mut entries = Vec::new();
        for (index, layer) in layers.iter().enumerate() {
            let index = u32::try_from(index).expect("stacks have few layers");
            let mut of_layer = layer.entries();
            let mut some = Vec::with_capacity(WARMED_AT_ONCE);
            loop {
                some.clear();
                some.extend(of_layer.by_ref().take(WARMED_AT_ONCE));
                if some.is_empty() {
                    break;
                }
                layer.warm_bytes(some.iter().copied());
                for &entry in &some {
                    let key = layer.key(entry);
                    if keep(entry, key) {
                        entries.push(SortedEntry { prefix: prefix(&key[skip..]), layer: index, entry: *entry });
                    }
                }
            }
        }
        let key = |sorted: &SortedEntry| layers[sorted.layer as usize].key(&sorted.entry);
        entries.sort_unstable_by(|left, right| {
            left.prefix
                .cmp(&right.prefix)
                .then_with(|| key(left).cmp(key(right)))
                .then_with(|| right.layer.cmp(&left.layer))
        });
        entries.dedup_by(|later, first| later.prefix == first.prefix && key(later) == key(first));
        Self { layers, entries }
    }

    /// Keys and values; the value is `None` for a deletion.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'s [u8], Option<&'s [u8]>)> {
        self.entries.chunks(WARMED_AT_ONCE).flat_map(|some| {
            for (layer, number) in self.layers.iter().zip(0_u32..) {
                layer.warm_bytes(some.iter().filter(|sorted| sorted.layer == number).map(|sorted| &sorted.entry));
            }
            some.iter().map(|sorted| {
                let layer = self.layers[sorted.layer as usize];
                (layer.key(&sorted.entry), layer.value(&sorted.entry))
            })
        })
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Key and value at `index`; the value is `None` for a deletion.
    pub(crate) fn get(&self, index: usize) -> Option<(&'s [u8], Option<&'s [u8]>)> {
        let sorted = self.entries.get(index)?;
        let layer = self.layers[sorted.layer as usize];
        Some((layer.key(&sorted.entry), layer.value(&sorted.entry)))
    }
}

fn prefix(key: &[u8]) -> u128 {
    let mut bytes = [0; 16];
    let length = key.len().min(16);
    bytes[..length].copy_from_slice(&key[..length]);
    u128::from_be_bytes(bytes)
}

/// How many bytes at the front all keys of all layers have in common.
fn common_prefix(layers: &[&Layer]) -> usize {
    let mut prefixes = layers.iter().filter_map(|layer| layer.common_prefix());
    let Some(first) = prefixes.next() else { return 0 };
    prefixes.fold(first.len(), |common, other| common.min(shared(first, other)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(stack: &mut LayerStack, key: &str, value: Option<&str>, epoch: u32, generation: u32) {
        stack.writer(epoch, generation).write(3, key.as_bytes(), value.map(str::as_bytes));
    }

    fn check(stack: &LayerStack, expected: &[(&str, Option<&str>)]) {
        let sorted = SortedEntries::new(stack.layers(), |_, _| true);
        let actual: Vec<_> = sorted.iter().collect();
        let expected: Vec<_> = expected.iter().map(|(key, value)| (key.as_bytes(), value.map(str::as_bytes))).collect();
        assert_eq!(actual, expected);
        for (key, value) in expected {
            assert_eq!(stack.find(3, key).map(|found| found.value()), Some(value));
        }
    }

    #[test]
    fn a_clone_keeps_what_it_saw() {
        let mut stack = LayerStack::new(true);
        put(&mut stack, "a", Some("1"), 1, 0);
        let seen = stack.clone();
        put(&mut stack, "a", Some("2"), 1, 0);
        put(&mut stack, "b", None, 1, 0);
        stack.fold();
        check(&seen, &[("a", Some("1"))]);
        check(&stack, &[("a", Some("2")), ("b", None)]);
    }

    #[test]
    fn a_snapshot_per_commit_leaves_few_layers() {
        let mut stack = LayerStack::new(true);
        let mut snapshots = Vec::new();
        for number in 0..1000 {
            put(&mut stack, &number.to_string(), Some("x"), 1, 0);
            stack.fold();
            snapshots.push(stack.clone());
        }
        assert!(stack.slots.len() < 16, "{} layers", stack.slots.len());
        drop(snapshots);
        stack.fold();
        assert_eq!((stack.slots.len(), stack.len()), (1, 1000));
    }

    #[test]
    fn only_clean_layers_of_earlier_generations_are_dropped() {
        let mut stack = LayerStack::new(true);
        put(&mut stack, "clean", Some("1"), 1, 0);
        put(&mut stack, "dirty", Some("2"), 2, 1);
        put(&mut stack, "young", Some("3"), 2, 2);
        stack.drop_generations_before(2, 1);
        check(&stack, &[("dirty", Some("2")), ("young", Some("3"))]);
        assert!(!stack.is_complete());
    }

    #[test]
    fn dirty_bytes_count_a_key_once_per_checkpoint() {
        let mut stack = LayerStack::new(true);
        put(&mut stack, "a", Some("123"), 1, 0);
        put(&mut stack, "a", Some("12345"), 1, 0);
        assert_eq!(stack.dirty_bytes(), 6 + ENTRY_BYTES);
        assert_eq!(stack.freeze(0).layers().count(), 1);
        put(&mut stack, "a", Some("1"), 2, 0);
        assert_eq!(stack.dirty_bytes(), 6 + 2 + 2 * ENTRY_BYTES);
        stack.thaw(1);
        assert_eq!(stack.dirty_bytes(), 2 + ENTRY_BYTES);
    }
}
