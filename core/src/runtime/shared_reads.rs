//! Shared reads: what several readers of one process want of a partition is fetched and decoded once.
//!
//! Readers of one topic in the same way are *members*. The first of them that comes to a batch decodes what any of them reads of it; the
//! others take it from here, or wait for it if it is on its way. Members that are far apart find nothing here and read for
//! themselves: nobody waits for a member that is behind.
//!
//! Invariants: a member gets the rows that it would have decoded itself, so a batch of which any row fails is not shared (a row may fail
//! for a column that only others read), nor one that compaction has given another end; what is kept stays within the budget, the oldest
//! goes first.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

use crate::{
    Batch,
    record::{Offset, TopicPartition},
    schema::StreamSchema,
    topology::SourceNode,
};

/// What a stretch counts for beside its rows.
const STRETCH_BYTES: usize = 256;
/// Bytes of decoded batches that are kept when nothing is said.
const DEFAULT_BUDGET: usize = 64 << 20;

/// What the readers of a process share; one for all that reads the same log.
///
/// ```
/// # use std::sync::Arc;
/// # use millstream::{StreamsBuilder, dsl::Consumed, log::Log, runtime::{SharedReads, Streams, StreamsConfig}, testing::MemoryLog};
/// # use millstream_state::{StateBackend, StateConfig};
/// # let directory = tempfile::tempdir()?;
/// # let log = Arc::new(MemoryLog::new());
/// # log.create_topic(&"orders".parse()?, &Default::default())?;
/// # let builder = StreamsBuilder::new();
/// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
/// # let state = StateBackend::open(StateConfig::new(directory.path(), 8 << 20))?;
/// let reads = Arc::new(SharedReads::new(16 << 20));
/// let config = StreamsConfig { reads: Arc::clone(&reads), ..StreamsConfig::new("app", log, state) }; // and in those of others
/// # Streams::start(&builder.build()?, config)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SharedReads {
    budget: usize,
    partitions: Mutex<HashMap<TopicPartition, Vec<Weak<SharedPartition>>>>,
    shared: Arc<AtomicUsize>,
}

impl SharedReads {
    /// Keeps at most about `budget` bytes of decoded batches.
    ///
    /// ```
    /// # use millstream::runtime::SharedReads;
    /// let reads = SharedReads::new(16 << 20);
    /// # let _ = reads;
    /// ```
    pub fn new(budget: usize) -> Self {
        Self { budget, partitions: Mutex::default(), shared: Arc::default() }
    }

    /// Makes the reader of `source` on a partition a member.
    pub(super) fn join(&self, partition: &TopicPartition, source: &SourceNode, schema: &Arc<StreamSchema>) -> Member {
        let mut partitions = self.partitions.lock();
        let same_topic = partitions.entry(partition.clone()).or_default();
        same_topic.retain(|shared| shared.strong_count() > 0);
        let found = same_topic.iter().filter_map(Weak::upgrade).find(|shared| shared.is_read_by(source, schema));
        let shared = found.unwrap_or_else(|| {
            let shared = Arc::new(SharedPartition {
                source: source.clone(),
                schema: Arc::clone(schema),
                budget: self.budget,
                partitions: Arc::clone(&self.shared),
                kept: Mutex::default(),
            });
            same_topic.push(Arc::downgrade(&shared));
            shared
        });
        let number = {
            let mut kept = shared.kept.lock();
            let number = kept.join(&source.decoded);
            self.shared.fetch_add(usize::from(kept.members.len() == 2), Ordering::Relaxed);
            number
        };
        Member { shared, number, decoded: source.decoded.clone() }
    }
}

impl Default for SharedReads {
    fn default() -> Self {
        Self::new(DEFAULT_BUDGET)
    }
}

impl fmt::Debug for SharedReads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedReads").field("budget", &self.budget).finish_non_exhaustive()
    }
}

/// One partition, as one kind of source reads it.
struct SharedPartition {
    source: SourceNode,
    schema: Arc<StreamSchema>,
    budget: usize,
    /// How many partitions have a part of the budget: those with several members.
    partitions: Arc<AtomicUsize>,
    kept: Mutex<Kept>,
}

impl SharedPartition {
    fn is_read_by(&self, source: &SourceNode, schema: &Arc<StreamSchema>) -> bool {
        self.source.reads_like(source) && self.schema == *schema
    }
}

#[derive(Default)]
struct Kept {
    members: BTreeMap<u64, Vec<bool>>,
    next_member: u64,
    /// The columns that any member reads.
    wanted: Arc<[bool]>,
    /// By the offset at which a reader asks for them.
    stretches: BTreeMap<Offset, Stretch>,
    bytes: usize,
}

/// A batch in the keeping of others.
struct Stretch {
    decoding: Arc<Decoding>,
    /// Members that have not taken it yet.
    left: usize,
    /// Memory, once it is decoded.
    bytes: usize,
}

/// A batch that is decoded, or about to be.
struct Decoding {
    decoded: Arc<[bool]>,
    /// Where to read on.
    next: Offset,
    /// `None`: some of its rows fail, each member decodes for itself.
    rows: OnceLock<Option<Batch>>,
}

impl Kept {
    fn join(&mut self, decoded: &[bool]) -> u64 {
        let number = self.next_member;
        self.next_member += 1;
        self.members.insert(number, decoded.to_vec());
        self.count_wanted();
        number
    }

    fn leave(&mut self, number: u64) {
        self.members.remove(&number);
        self.count_wanted();
        if self.members.len() < 2 {
            self.stretches.clear();
            self.bytes = 0;
        }
    }

    fn count_wanted(&mut self) {
        let columns = self.members.values().map(Vec::len).max().unwrap_or(0);
        let is_wanted = |column: usize| self.members.values().any(|decoded| decoded[column]);
        self.wanted = (0..columns).map(is_wanted).collect();
    }

    /// A member takes what begins at `from`; the last one takes it away.
    fn take(&mut self, from: Offset, decoded: &[bool]) -> Option<Arc<Decoding>> {
        let stretch = self.stretches.get_mut(&from)?;
        if decoded.iter().zip(&*stretch.decoding.decoded).any(|(wanted, there)| *wanted && !there) {
            return None;
        }
        let decoding = Arc::clone(&stretch.decoding);
        stretch.left = stretch.left.saturating_sub(1);
        if stretch.left == 0 {
            self.remove(from);
        }
        Some(decoding)
    }

    fn remove(&mut self, from: Offset) {
        if let Some(stretch) = self.stretches.remove(&from) {
            self.bytes -= stretch.bytes;
        }
    }

    /// A batch was decoded; what is too much goes.
    fn account(&mut self, from: Offset, decoding: &Arc<Decoding>, bytes: usize, budget: usize) {
        match self.stretches.get_mut(&from) {
            Some(stretch) if Arc::ptr_eq(&stretch.decoding, decoding) => stretch.bytes = bytes,
            _ => return,
        }
        self.bytes += bytes;
        while self.bytes > budget
            && let Some((&oldest, _)) = self.stretches.first_key_value()
        {
            self.remove(oldest);
        }
    }
}

/// A reader among others; leaves when it is dropped.
pub(super) struct Member {
    shared: Arc<SharedPartition>,
    number: u64,
    decoded: Vec<bool>,
}

impl Member {
    /// The rows that begin at `from`, if they are there already, and where to read on.
    pub(super) fn take(&self, from: Offset) -> Option<(Batch, Offset)> {
        let mut kept = self.shared.kept.lock();
        let rows = kept.stretches.get(&from)?.decoding.rows.get()?.clone()?;
        let decoding = kept.take(from, &self.decoded)?;
        Some((rows, decoding.next))
    }

    /// The rows of a batch that was fetched from `from` and is followed by `next`: decoded here for all, or by another member that has
    /// begun. `decode` is given the columns to decode and gives `None` if a row fails. `None`: the member decodes for itself.
    pub(super) fn decode_or_take(
        &self,
        from: Offset,
        next: Offset,
        decode: impl FnOnce(&Arc<[bool]>) -> Option<Batch>,
    ) -> Option<Batch> {
        let decoding = {
            let mut kept = self.shared.kept.lock();
            let others = kept.members.len().saturating_sub(1);
            if others == 0 {
                return None;
            }
            let found = kept.stretches.get(&from).is_some_and(|stretch| stretch.decoding.next == next);
            found.then(|| kept.take(from, &self.decoded)).flatten().unwrap_or_else(|| {
                let decoded = Arc::clone(&kept.wanted);
                let decoding = Arc::new(Decoding { decoded, next, rows: OnceLock::new() });
                kept.remove(from);
                kept.stretches.insert(from, Stretch { decoding: Arc::clone(&decoding), left: others, bytes: 0 });
                decoding
            })
        };
        let mut is_mine = false;
        let rows = decoding.rows.get_or_init(|| {
            is_mine = true;
            decode(&decoding.decoded)
        });
        if is_mine {
            let bytes = STRETCH_BYTES + rows.as_ref().map_or(0, |rows| rows.rows().get_array_memory_size());
            let budget = self.shared.budget / self.shared.partitions.load(Ordering::Relaxed).max(1);
            self.shared.kept.lock().account(from, &decoding, bytes, budget);
        }
        rows.clone()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut kept = self.shared.kept.lock();
        kept.leave(self.number);
        self.shared.partitions.fetch_sub(usize::from(kept.members.len() == 1), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{ArrayRef, Int64Array},
        datatypes::{DataType, Field},
    };

    use super::*;
    use crate::{
        format::{Format, Wrapping},
        record::{PartitionId, TopicName},
        schema::WindowKind,
        topology::{Formats, OffsetReset, TimestampExtractor, TopicRef},
    };

    const ROWS: usize = 100;

    fn topic() -> TopicName {
        TopicName::new("in").expect("legal")
    }

    fn schema() -> Arc<StreamSchema> {
        let field = |name: &str| Arc::new(Field::new(name, DataType::Int64, true));
        StreamSchema::new(vec![], vec![field("A"), field("B")], WindowKind::None).expect("legal")
    }

    fn join(reads: &SharedReads, decoded: [bool; 2], key: Format) -> Member {
        let source = SourceNode {
            topic: TopicRef::External(topic()),
            formats: Formats { key, value: Format::Json, wrapping: Wrapping::Wrapped },
            timestamp: TimestampExtractor::Record,
            reset: OffsetReset::Earliest,
            parts: vec![],
            decoded: decoded.to_vec(),
        };
        reads.join(&TopicPartition::new(topic(), PartitionId(0)), &source, &schema())
    }

    fn rows() -> Batch {
        let column = || Arc::new(Int64Array::from(vec![1; ROWS])) as ArrayRef;
        let columns = schema().columns().fields().iter().map(|_| column()).collect();
        Batch::new(schema(), columns)
    }

    /// Reads the batch at `from`: what it decoded itself, and whether it got rows.
    fn read(member: &Member, from: u64) -> (Option<Vec<bool>>, bool) {
        let mut own = None;
        let rows = member.decode_or_take(Offset(from), Offset(from + 1), |columns| {
            own = Some(columns.to_vec());
            Some(rows())
        });
        (own, rows.is_some())
    }

    #[test]
    fn the_first_decodes_what_any_of_them_reads() {
        let reads = SharedReads::default();
        let first = join(&reads, [true, false], Format::None);
        assert_eq!(read(&first, 0), (None, false), "alone");
        let second = join(&reads, [false, true], Format::None);
        assert_eq!(read(&first, 1), (Some(vec![true, true]), true));
        assert!(second.take(Offset(0)).is_none());
        assert_eq!(second.take(Offset(1)).map(|(rows, next)| (rows.len(), next)), Some((ROWS, Offset(2))));
        assert!(second.take(Offset(1)).is_none(), "the last one takes it away");
        assert_eq!((read(&second, 2), read(&first, 2)), ((Some(vec![true, true]), true), (None, true)));
        drop(second);
        assert_eq!(read(&first, 3), (None, false), "alone again");
    }

    #[test]
    fn what_lacks_a_column_or_is_read_otherwise_is_not_taken() {
        let reads = SharedReads::default();
        let members = [join(&reads, [true, false], Format::None), join(&reads, [true, false], Format::None)];
        assert_eq!(read(&members[0], 0), (Some(vec![true, false]), true));
        let newcomer = join(&reads, [true, true], Format::None);
        assert_eq!(read(&newcomer, 0), (Some(vec![true, true]), true));
        let other = join(&reads, [true, true], Format::Kafka);
        assert_eq!(read(&other, 0), (None, false));
    }

    #[test]
    fn a_batch_with_a_failing_row_is_left_to_each() {
        let reads = SharedReads::default();
        let members = [join(&reads, [true, false], Format::None), join(&reads, [false, true], Format::None)];
        assert!(members[0].decode_or_take(Offset(0), Offset(1), |_| None).is_none());
        assert!(members[1].take(Offset(0)).is_none());
        assert_eq!(read(&members[1], 0), (None, false));
    }

    #[test]
    fn a_batch_that_has_grown_by_compaction_is_not_taken_for_the_old_one() {
        let reads = SharedReads::default();
        let members = [join(&reads, [true, true], Format::None), join(&reads, [true, true], Format::None)];
        assert_eq!(read(&members[0], 10), (Some(vec![true, true]), true));
        let mut own = false;
        let rows = members[1].decode_or_take(Offset(10), Offset(5_000), |_| {
            own = true;
            Some(rows())
        });
        assert!(own && rows.is_some());
        assert_eq!(members[0].take(Offset(10)).map(|(_, next)| next), Some(Offset(5_000)));
    }

    #[test]
    fn what_is_too_much_goes_the_oldest_first() {
        let bytes = STRETCH_BYTES + rows().rows().get_array_memory_size();
        let reads = SharedReads::new(3 * bytes);
        let members = [join(&reads, [true, true], Format::None), join(&reads, [true, true], Format::None)];
        for from in 0..5 {
            read(&members[0], from);
        }
        let kept = |from| members[1].take(Offset(from)).is_some();
        assert_eq!([0, 1, 2, 3, 4].map(kept), [false, false, true, true, true]);
    }
}
