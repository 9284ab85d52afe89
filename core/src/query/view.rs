//! A view: the committed rows of a store over all partitions, as columns.
//!
//! A [`ViewSnapshot`] is one moment between commits: the partitions that it has are taken while no commit is being taken over. Reading it
//! holds nobody back.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use arrow::{
    array::{Array, ArrayRef},
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef},
};

use super::{
    QueryError, ViewSnapshot,
    partition_snapshot::PartitionSnapshot,
    remote::{Found, Freshness, Peers, Sought, Wanted},
    versions_snapshot::VersionsSnapshot,
};
use crate::{
    format::{Side, Wrapping},
    log::partition_for_key,
    operator::{StateLayout, StoreSpec, TaskId},
    record::{Offset, PartitionId, Position, TimeSpan, TopicPartition},
    runtime::{Progress, Role, StorePartitions, Visibility},
    schema::{ROWTIME, WINDOWEND, WINDOWSTART},
    topology::{OwnerCertainty, StoreOwner},
};

/// The committed rows of a store. Cloning is cheap.
///
/// ```
/// # use millstream::{StreamsBuilder, dsl::Consumed, log::Log, operator::EmitPolicy, runtime::SynchronousStreams, testing::MemoryLog};
/// # let log = MemoryLog::new();
/// # log.create_topic(&"orders".parse()?, &Default::default())?;
/// # let builder = StreamsBuilder::new();
/// builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
/// let streams = SynchronousStreams::new(&builder.build()?, "app", std::sync::Arc::new(log), EmitPolicy::Commit)?;
/// let view = streams.view("counts").ok_or("no such store")?;
/// let columns: Vec<_> = view.schema().fields().iter().map(|field| field.name().as_str()).collect();
/// assert_eq!((view.name(), view.key_columns(), columns), ("counts", 1, vec!["key", "value", "ROWTIME"]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct View {
    pub(super) spec: StoreSpec,
    partitions: Arc<StorePartitions>,
    visibility: Arc<Visibility>,
    schema: SchemaRef,
    /// The part of the topology that the store belongs to; none of a global table, which no task feeds.
    subtopology: Option<usize>,
    owner: Option<Arc<StoreOwner>>,
    history: Option<ViewHistory>,
    /// The processes that have what this one has not, if there are any.
    peers: Option<Arc<Peers>>,
    freshness: Freshness,
}

/// Why this process cannot give a snapshot of its own.
pub(super) enum LocalError {
    /// It has not got the partition, or not as fresh as it is wanted.
    NotHere(usize),
    /// The store has failed.
    Failed(String),
}

/// What the rows of a versioned table were before.
#[derive(Clone)]
struct ViewHistory {
    partitions: Arc<StorePartitions>,
    span: TimeSpan,
}

/// The partitions that may have the rows of a key.
pub(super) enum Owners {
    /// This one and no other.
    One(usize),
    /// This one, or if it has none any other.
    First(usize),
    /// Any.
    All,
}

impl View {
    pub(crate) fn new(
        spec: StoreSpec,
        partitions: Arc<StorePartitions>,
        visibility: Arc<Visibility>,
        subtopology: Option<usize>,
        owner: Option<StoreOwner>,
    ) -> Self {
        let mut fields: Vec<FieldRef> = spec.key.clone();
        if spec.retention.is_windowed() {
            fields.extend([WINDOWSTART, WINDOWEND].map(|name| Arc::new(Field::new(name, DataType::Int64, false))));
        }
        fields.extend(spec.layout.result_fields());
        // A key column of that name hides it, as in a schema.
        let is_hidden = spec.key.iter().any(|field| field.name() == ROWTIME);
        let time = if is_hidden { format!("__{ROWTIME}") } else { ROWTIME.to_owned() };
        fields.push(Arc::new(Field::new(time, DataType::Int64, false)));
        let schema = Arc::new(Schema::new(fields));
        Self {
            spec,
            partitions,
            visibility,
            schema,
            subtopology,
            owner: owner.map(Arc::new),
            history: None,
            peers: None,
            freshness: Freshness::Active,
        }
    }

    /// The same view of a table whose rows have versions, which are kept for `span`.
    pub(crate) fn with_history(self, partitions: Arc<StorePartitions>, span: TimeSpan) -> Self {
        Self { history: Some(ViewHistory { partitions, span }), ..self }
    }

    /// Whether it is that of a versioned table.
    pub(super) fn has_versions(&self) -> bool {
        self.history.is_some()
    }

    /// The name of the store.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::Consumed, operator::EmitPolicy, log::Log, runtime::SynchronousStreams, testing::MemoryLog};
    /// # let log = Arc::new(MemoryLog::new());
    /// # log.create_topic(&"orders".parse()?, &Default::default())?;
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let mut streams = SynchronousStreams::new(&builder.build()?, "app", log, EmitPolicy::Commit)?;
    /// assert_eq!(streams.view("counts").ok_or("no such store")?.name(), "counts");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// The columns: key, `WINDOWSTART` and `WINDOWEND` if there are windows, values, `ROWTIME`.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::Consumed, operator::EmitPolicy, log::Log, runtime::SynchronousStreams, testing::MemoryLog};
    /// # let log = Arc::new(MemoryLog::new());
    /// # log.create_topic(&"orders".parse()?, &Default::default())?;
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let mut streams = SynchronousStreams::new(&builder.build()?, "app", log, EmitPolicy::Commit)?;
    /// assert_eq!(streams.view("counts").ok_or("no such store")?.schema().field(1).name(), "value");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// How many columns make the key, without window bounds.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::Consumed, operator::EmitPolicy, log::Log, runtime::SynchronousStreams, testing::MemoryLog};
    /// # let log = Arc::new(MemoryLog::new());
    /// # log.create_topic(&"orders".parse()?, &Default::default())?;
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let mut streams = SynchronousStreams::new(&builder.build()?, "app", log, EmitPolicy::Commit)?;
    /// assert_eq!(streams.view("counts").ok_or("no such store")?.key_columns(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn key_columns(&self) -> usize {
        self.spec.key.len()
    }

    /// How many partitions the store has.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::Consumed, operator::EmitPolicy, log::Log, runtime::SynchronousStreams, testing::MemoryLog};
    /// # let log = Arc::new(MemoryLog::new());
    /// # log.create_topic(&"orders".parse()?, &Default::default())?;
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let mut streams = SynchronousStreams::new(&builder.build()?, "app", log, EmitPolicy::Commit)?;
    /// assert_eq!(streams.view("counts").ok_or("no such store")?.partitions(), 1); // as many as `orders` has
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn partitions(&self) -> usize {
        self.partitions.total()
    }

    /// The view as it is between two commits.
    ///
    /// # Errors
    /// [`QueryError`] if a store has failed.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::Consumed, operator::EmitPolicy, record::{PartitionId, Record, TopicPartition}};
    /// # use millstream::{log::{Append, Log, Transaction}, runtime::SynchronousStreams, testing::MemoryLog};
    /// # let log = Arc::new(MemoryLog::new());
    /// # log.create_topic(&"orders".parse()?, &Default::default())?;
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let partition = TopicPartition::new("orders".parse()?, PartitionId(0));
    /// # let records = ["ada", "bob", "ada"].map(|key| Record::new(key, 30_i64.to_be_bytes())).into_iter().collect();
    /// # log.producer("till")?.commit(Transaction { appends: vec![Append { partition, records }], offsets: vec![] })?;
    /// # let mut streams = SynchronousStreams::new(&builder.build()?, "app", log, EmitPolicy::Commit)?;
    /// let view = streams.view("counts").ok_or("no such store")?;
    /// let before = view.snapshot()?;
    /// streams.run_until_idle()?;
    /// assert_eq!([before, view.snapshot()?].map(|snapshot| snapshot.position().to_string()), ["orders-0 at 0", "orders-0 at 3"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn snapshot(&self) -> Result<ViewSnapshot, QueryError> {
        self.snapshot_of(&(0..self.partitions()).collect::<Vec<_>>())
    }

    /// The same view, of which partitions that are elsewhere are asked for there.
    pub(crate) fn with_peers(self, peers: Arc<Peers>) -> Self {
        Self { peers: Some(peers), ..self }
    }

    /// The same view, answered also by processes that follow a partition without processing it, at most so many changes behind. Where
    /// one process has everything it makes no difference.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::Consumed, operator::EmitPolicy, log::Log, runtime::SynchronousStreams, testing::MemoryLog};
    /// # let log = Arc::new(MemoryLog::new());
    /// # log.create_topic(&"orders".parse()?, &Default::default())?;
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let mut streams = SynchronousStreams::new(&builder.build()?, "app", log, EmitPolicy::Commit)?;
    /// let view = streams.view("counts").ok_or("no such store")?.enable_stale_stores(1_000);
    /// assert_eq!(view.snapshot()?.position().to_string(), "orders-0 at 0");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn enable_stale_stores(&self, changes: u64) -> Self {
        Self { freshness: Freshness::Within(changes), ..self.clone() }
    }

    /// Some partitions of the view as they are between two commits.
    pub(super) fn snapshot_of(&self, partitions: &[usize]) -> Result<ViewSnapshot, QueryError> {
        let (found, position) = self.find(partitions, Wanted::Rows)?;
        let first = |(partition, mut stores): (usize, Vec<PartitionSnapshot>)| (partition, stores.swap_remove(0));
        Ok(ViewSnapshot::new(self.clone(), found.into_iter().map(first).collect(), position))
    }

    /// Some partitions of a versioned table, with their history, as they are between two commits.
    pub(super) fn versions_of(&self, partitions: &[usize]) -> Result<VersionsSnapshot, QueryError> {
        let history = self.history.as_ref().ok_or_else(|| self.error("its rows have no versions"))?;
        let (found, position) = self.find(partitions, Wanted::RowsAndHistory)?;
        let pair = |mut stores: Vec<PartitionSnapshot>| {
            let history = stores.pop().expect("a store and its history were wanted");
            (stores.pop().expect("a store and its history were wanted"), history)
        };
        Ok(VersionsSnapshot::new(self.clone(), found.into_values().map(pair).collect(), history.span, position))
    }

    /// Snapshots of some partitions: of those that are here at one moment, of others at one moment a process.
    fn find(&self, partitions: &[usize], wanted: Wanted) -> Result<(Found, Position), QueryError> {
        let is_here = |partition: &usize| self.role(*partition) == Some(Role::Active);
        let (here, away): (Vec<usize>, Vec<usize>) = partitions.iter().copied().partition(is_here);
        let (snapshots, mut position) = match self.local(&here, wanted, Freshness::Active) {
            Ok(found) => found,
            Err(LocalError::NotHere(partition)) => return Err(self.not_here(partition, None)),
            Err(LocalError::Failed(problem)) => return Err(self.error(problem)),
        };
        let mut snapshots = snapshots.into_iter();
        let stores = snapshots.len().checked_div(here.len()).unwrap_or(0);
        let mut found: Found =
            here.iter().map(|partition| (*partition, snapshots.by_ref().take(stores).collect())).collect();
        if !away.is_empty() {
            found.extend(self.find_away(&away, wanted, &mut position)?);
        }
        Ok((found, position))
    }

    /// Snapshots of partitions that this process does not process: its own copies if they will do, else those of others.
    fn find_away(&self, away: &[usize], wanted: Wanted, position: &mut Position) -> Result<Found, QueryError> {
        let mut found = Found::new();
        if self.freshness != Freshness::Active {
            for &partition in away.iter().filter(|partition| self.role(**partition) == Some(Role::Standby)) {
                // A copy that is too far behind, or has just gone, is looked for elsewhere.
                if let Ok((snapshots, _)) = self.local(&[partition], wanted, self.freshness) {
                    found.insert(partition, snapshots);
                }
            }
        }
        let missing: Vec<usize> = away.iter().copied().filter(|partition| !found.contains_key(partition)).collect();
        let Some(first) = missing.first() else { return Ok(found) };
        let (Some(peers), Some(part)) = (&self.peers, self.subtopology) else {
            return Err(self.not_here(*first, None));
        };
        let (store, partitions, freshness) = (self.spec.name.as_str(), missing.as_slice(), self.freshness);
        let sought = Sought { store, part, partitions, wanted, freshness };
        let elsewhere = peers.open(&sought, position);
        found.extend(elsewhere.map_err(|(partition, why)| self.not_here(partition, Some(why)))?);
        Ok(found)
    }

    /// Snapshots of partitions of this process, each with its history behind it if that is wanted, between two commits.
    pub(super) fn local(
        &self,
        partitions: &[usize],
        wanted: Wanted,
        freshness: Freshness,
    ) -> Result<(Vec<PartitionSnapshot>, Position), LocalError> {
        let history = match wanted {
            Wanted::Rows => None,
            Wanted::RowsAndHistory => {
                let none = || LocalError::Failed("its rows have no versions".to_owned());
                Some(&self.history.as_ref().ok_or_else(none)?.partitions)
            }
        };
        self.visibility.between_commits(|progress| {
            let mut snapshots = Vec::new();
            for &partition in partitions {
                for store in std::iter::once(&self.partitions).chain(history) {
                    let handle = store.get_within(partition, freshness).map_err(LocalError::Failed)?;
                    let handle = handle.ok_or(LocalError::NotHere(partition))?;
                    snapshots.push(PartitionSnapshot::of(&handle).map_err(LocalError::Failed)?);
                }
            }
            Ok((snapshots, self.position(partitions, progress)))
        })
    }

    fn role(&self, partition: usize) -> Option<Role> {
        self.partitions.get(partition).map(|(_, role)| role)
    }

    fn not_here(&self, partition: usize, why: Option<String>) -> QueryError {
        let why = why.unwrap_or_else(|| "it is brought up to date, or another process has it".to_owned());
        QueryError::NotHere { store: self.spec.name.clone(), partition: PartitionId(partition as u32), why }
    }

    /// How far a partition has come.
    fn reached(&self, partition: usize, progress: &Progress) -> Position {
        let partition = PartitionId(partition as u32);
        self.subtopology.map_or_else(Position::new, |subtopology| progress.position(TaskId { subtopology, partition }))
    }

    /// What some partitions include, all of them.
    fn position(&self, partitions: &[usize], progress: &Progress) -> Position {
        let mut position = Position::new();
        for partition in partitions {
            for (input, next) in self.reached(*partition, progress).iter() {
                position.limit(input, next);
            }
        }
        position
    }

    /// What feeds the store, as far as those who have it know: behind topics that other processes write nobody does.
    ///
    /// # Errors
    /// If a partition is elsewhere and nobody can be asked.
    pub(super) fn inputs(&self) -> Result<BTreeSet<TopicPartition>, QueryError> {
        let all: Vec<usize> = (0..self.partitions()).collect();
        let position = match self.peers {
            Some(_) => self.find(&all, Wanted::Rows)?.1,
            None => self.visibility.between_commits(|progress| self.position(&all, progress)),
        };
        Ok(position.iter().map(|(input, _)| input.clone()).collect())
    }

    /// The same, once those are found who have the store: a partition may be on its way from one process to another.
    ///
    /// # Errors
    /// As [`inputs`](Self::inputs), after `timeout`.
    pub(super) fn inputs_within(&self, timeout: Duration) -> Result<BTreeSet<TopicPartition>, QueryError> {
        let mut waited = Duration::ZERO;
        loop {
            match self.inputs() {
                Err(QueryError::NotHere { .. }) if waited < timeout => {
                    std::thread::sleep(ASK_AGAIN);
                    waited += ASK_AGAIN;
                }
                found => return found,
            }
        }
    }

    /// Waits until each of some partitions includes what `bound` says of its inputs.
    ///
    /// # Errors
    /// [`QueryError::Behind`] if one does not in time.
    pub(super) fn wait_for(&self, partitions: &[usize], bound: &Position, timeout: Duration) -> Result<(), QueryError> {
        let is_here = |partition: &usize| self.role(*partition) == Some(Role::Active);
        let (here, away): (Vec<usize>, Vec<usize>) = partitions.iter().copied().partition(is_here);
        let mut behind = None;
        self.visibility.wait_until(timeout, |progress| {
            let missing = here.iter().flat_map(|partition| missing(bound, &self.reached(*partition, progress)));
            behind = missing.max_by_key(|(_, wanted, reached)| wanted.since(*reached));
            behind.is_none()
        });
        // Nobody tells this process of commits in others: they are asked again and again.
        for round in 0.. {
            if behind.is_some() || away.is_empty() {
                break;
            }
            let reached = away.iter().map(|partition| Ok(self.find(&[*partition], Wanted::Rows)?.1));
            let reached = match reached.collect::<Result<Vec<_>, QueryError>>() {
                // It is on its way from one process to another, or still brought up to date.
                Err(QueryError::NotHere { .. }) if ASK_AGAIN * round < timeout => {
                    std::thread::sleep(ASK_AGAIN);
                    continue;
                }
                reached => reached?,
            };
            let lag = reached.iter().flat_map(|reached| missing(bound, reached));
            let Some(lag) = lag.max_by_key(|(_, wanted, reached)| wanted.since(*reached)) else { break };
            if ASK_AGAIN * round >= timeout {
                behind = Some(lag);
                break;
            }
            std::thread::sleep(ASK_AGAIN);
        }
        let Some((partition, wanted, reached)) = behind else { return Ok(()) };
        let records = wanted.since(reached);
        Err(QueryError::Behind { store: self.spec.name.clone(), partition, wanted, reached, records })
    }

    /// The partitions that may have the rows of each key; `keys` are the key columns.
    pub(super) fn owners(&self, keys: &[ArrayRef]) -> Vec<Owners> {
        let rows = keys.first().map_or(0, |column| column.len());
        let unknown = || (0..rows).map(|_| if self.partitions() == 1 { Owners::One(0) } else { Owners::All }).collect();
        let Some(owner) = self.owner.as_ref().filter(|_| self.partitions() > 1) else { return unknown() };
        let serializer = owner.format.serializer(Side::Key, Wrapping::Wrapped, &owner.key);
        let encoded = serializer.and_then(|mut serializer| serializer.encode(keys, rows, None));
        let Ok(encoded) = encoded else { return unknown() };
        let of = |bytes: Option<&[u8]>| {
            let Some(bytes) = bytes else { return Owners::All };
            let partition = partition_for_key(bytes, self.partitions() as u32).0 as usize;
            match owner.certainty {
                OwnerCertainty::Certain => Owners::One(partition),
                OwnerCertainty::Probable => Owners::First(partition),
            }
        };
        encoded.iter().map(of).collect()
    }

    pub(super) fn error(&self, problem: impl std::fmt::Display) -> QueryError {
        QueryError::Read { store: self.spec.name.clone(), problem: problem.to_string() }
    }
}

/// How long to wait before another process is asked again how far it has come.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// An input, what is wanted of it, and what was reached.
type Lag = (TopicPartition, Offset, Offset);

/// What a bound wants of inputs that is not reached.
fn missing(bound: &Position, reached: &Position) -> Vec<Lag> {
    let lag = |(input, wanted): (&TopicPartition, Offset)| {
        let reached = reached.get(input).filter(|reached| *reached < wanted)?;
        Some((input.clone(), wanted, reached))
    };
    bound.iter().filter_map(lag).collect()
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("name", &self.spec.name).field("partitions", &self.partitions()).finish()
    }
}

/// What a layout must be to be read from several threads.
const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<View>();
    shared::<Arc<dyn StateLayout>>();
};
