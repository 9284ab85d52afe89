//! Suppression: how long the changes of a table are held back, and how much room they have.

use std::{marker::PhantomData, rc::Rc, sync::Arc};

use super::{ColumnTable, KTable, Windowed, builder::Graph, typed::Data};
use crate::{
    operator::{
        EmitPolicy, IsLast, OpaqueRows, StoreOptions, StoreRetention, StoreSpec, SuppressSettings, SuppressUntil,
        WhenFull,
    },
    record::TimeSpan,
    topology::{NodeId, NodeKind, SuppressNode},
    window::Windows,
};

/// The mark of a buffer that passes on early what has waited longest when it is full.
///
/// ```
/// # use millstream::dsl::{BufferLimit, EmitEarly};
/// let limit: BufferLimit<EmitEarly> = BufferLimit::max_records(100);
/// # let _ = limit;
/// ```
#[derive(Debug, Clone, Copy)]
pub enum EmitEarly {}

/// The mark of a buffer that ends its task when it is full, and otherwise never passes on anything early.
///
/// ```
/// # use millstream::dsl::{BufferLimit, ShutDown};
/// let limit: BufferLimit<ShutDown> = BufferLimit::max_records(100).shut_down_when_full();
/// # let _ = limit;
/// ```
#[derive(Debug, Clone, Copy)]
pub enum ShutDown {}

/// What happens when a buffer is full: [`EmitEarly`] or [`ShutDown`].
///
/// ```
/// use millstream::{dsl::{EmitEarly, FullBuffer, ShutDown}, operator::WhenFull};
///
/// assert_eq!((EmitEarly::WHEN_FULL, ShutDown::WHEN_FULL), (WhenFull::EmitEarly, WhenFull::ShutDown));
/// ```
pub trait FullBuffer {
    /// The same as a value.
    const WHEN_FULL: WhenFull;
}

impl FullBuffer for EmitEarly {
    const WHEN_FULL: WhenFull = WhenFull::EmitEarly;
}

impl FullBuffer for ShutDown {
    const WHEN_FULL: WhenFull = WhenFull::ShutDown;
}

/// How much a suppression may hold back in each task, and what happens when it is more.
///
/// ```
/// use millstream::dsl::BufferLimit;
///
/// let early = BufferLimit::max_records(10_000).with_max_bytes(64 << 20);
/// let strict = early.shut_down_when_full();
/// let whatever_it_takes = BufferLimit::unbounded();
/// # let _ = (strict, whatever_it_takes);
/// ```
#[derive(Debug)]
pub struct BufferLimit<F> {
    records: Option<usize>,
    bytes: Option<usize>,
    full: PhantomData<fn() -> F>,
}

impl<F> Clone for BufferLimit<F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F> Copy for BufferLimit<F> {}

impl BufferLimit<ShutDown> {
    /// No limit: as many keys as change while they wait. Only their keys and times are in memory, their rows in a store.
    ///
    /// ```
    /// # use millstream::dsl::{BufferLimit, Suppressed, Windowed};
    /// let last_results = Suppressed::<Windowed<String>>::until_window_closes(BufferLimit::unbounded());
    /// # let _ = last_results;
    /// ```
    pub fn unbounded() -> Self {
        Self { records: None, bytes: None, full: PhantomData }
    }
}

impl BufferLimit<EmitEarly> {
    /// At most so many keys; if there are more, those that have waited longest are passed on early.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::dsl::{BufferLimit, Suppressed};
    /// let calmer = Suppressed::<String>::until_time_limit(Duration::from_secs(10), BufferLimit::max_records(1_000));
    /// # let _ = calmer;
    /// ```
    pub fn max_records(records: usize) -> Self {
        Self { records: Some(records), bytes: None, full: PhantomData }
    }

    /// At most so many bytes, of each key 8 for its time, the key, its newest row and the row that was passed on last, as they are stored. If
    /// there are more, those that have waited longest are passed on early.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::dsl::{BufferLimit, Suppressed};
    /// let calmer = Suppressed::<String>::until_time_limit(Duration::from_secs(10), BufferLimit::max_bytes(1 << 20));
    /// # let _ = calmer;
    /// ```
    pub fn max_bytes(bytes: usize) -> Self {
        Self { records: None, bytes: Some(bytes), full: PhantomData }
    }
}

impl<F> BufferLimit<F> {
    /// The same with at most so many keys.
    ///
    /// ```
    /// # use millstream::dsl::BufferLimit;
    /// let both = BufferLimit::max_bytes(1 << 20).with_max_records(100);
    /// # let _ = both;
    /// ```
    pub fn with_max_records(self, records: usize) -> Self {
        Self { records: Some(records), ..self }
    }

    /// The same with at most so many bytes.
    ///
    /// ```
    /// # use millstream::dsl::BufferLimit;
    /// let both = BufferLimit::max_records(100).with_max_bytes(1 << 20);
    /// # let _ = both;
    /// ```
    pub fn with_max_bytes(self, bytes: usize) -> Self {
        Self { bytes: Some(bytes), ..self }
    }

    /// The same; if it is full, what has waited longest is passed on early.
    ///
    /// ```
    /// # use millstream::dsl::BufferLimit;
    /// let early = BufferLimit::unbounded().with_max_records(100).emit_early_when_full();
    /// # let _ = early;
    /// ```
    pub fn emit_early_when_full(self) -> BufferLimit<EmitEarly> {
        BufferLimit { records: self.records, bytes: self.bytes, full: PhantomData }
    }

    /// The same; if it is full, the task ends with an error, before anything of it is committed.
    ///
    /// ```
    /// # use millstream::dsl::BufferLimit;
    /// let strict = BufferLimit::max_records(100).shut_down_when_full();
    /// # let _ = strict;
    /// ```
    pub fn shut_down_when_full(self) -> BufferLimit<ShutDown> {
        BufferLimit { records: self.records, bytes: self.bytes, full: PhantomData }
    }
}

/// How long changes of a table with keys `K` are held back: see [`KTable::suppress`].
///
/// ```
/// # use std::time::Duration;
/// # use millstream::{StreamsBuilder, dsl::{BufferLimit, Consumed, Produced, Suppressed}};
/// # let counts = StreamsBuilder::new().stream::<String, i64>("clicks", Consumed::kafka()).group_by_key().count("counts");
/// let calmer = Suppressed::until_time_limit(Duration::from_secs(10), BufferLimit::max_records(1_000));
/// counts.suppress(calmer.with_name("calmer-counts")).to_stream().to("counts", Produced::kafka());
/// ```
#[derive(Debug)]
pub struct Suppressed<K> {
    /// `None`: until windows close.
    time_limit: Option<TimeSpan>,
    max_records: Option<usize>,
    max_bytes: Option<usize>,
    when_full: WhenFull,
    name: Option<String>,
    key: PhantomData<fn() -> K>,
}

impl<K> Clone for Suppressed<K> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), ..*self }
    }
}

impl<K> Suppressed<Windowed<K>> {
    /// Until the window of a key closes: one result a window, the last one.
    ///
    /// A window closes when stream time reaches its end and grace; of a session its gap and grace. Both are those of the aggregation that the table
    /// comes from. Nothing is passed on early, so that a buffer that is full ends its task. A window that was deleted before it closed is left out.
    ///
    /// ```
    /// # use millstream::dsl::{BufferLimit, Suppressed, Windowed};
    /// let last_results = Suppressed::<Windowed<String>>::until_window_closes(BufferLimit::unbounded());
    /// # let _ = last_results;
    /// ```
    /// Keys must have windows:
    /// ```compile_fail
    /// # use millstream::dsl::{BufferLimit, Suppressed};
    /// let wrong = Suppressed::<String>::until_window_closes(BufferLimit::unbounded());
    /// ```
    pub fn until_window_closes(limit: BufferLimit<ShutDown>) -> Self {
        Self::new(None, limit)
    }
}

impl<K> Suppressed<K> {
    /// Until stream time has moved on by `time_limit` since the first change of a key that is held back: at most one update in this time.
    ///
    /// Later changes of the key replace what is held and do not make it wait longer. Deletions are passed on.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::dsl::{BufferLimit, Suppressed};
    /// let calmer = Suppressed::<String>::until_time_limit(Duration::from_secs(10), BufferLimit::unbounded());
    /// # let _ = calmer;
    /// ```
    pub fn until_time_limit<F: FullBuffer>(time_limit: impl Into<TimeSpan>, limit: BufferLimit<F>) -> Self {
        Self::new(Some(time_limit.into()), limit)
    }

    /// The same, in a store of this name; one is made up if there is none.
    ///
    /// ```
    /// # use millstream::dsl::{BufferLimit, Suppressed, Windowed};
    /// let last = Suppressed::<Windowed<String>>::until_window_closes(BufferLimit::unbounded()).with_name("last-counts");
    /// # let _ = last;
    /// ```
    pub fn with_name(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }

    fn new<F: FullBuffer>(time_limit: Option<TimeSpan>, limit: BufferLimit<F>) -> Self {
        Self {
            time_limit,
            max_records: limit.records,
            max_bytes: limit.bytes,
            when_full: F::WHEN_FULL,
            name: None,
            key: PhantomData,
        }
    }
}

impl<K: Data, V: Data> KTable<K, V> {
    /// Holds changes back and passes on only what is left of them: when windows close, or after a while of stream time.
    ///
    /// The table that comes of it is the one of the rows that were passed on. What is held back of a table keeps its timestamp and headers.
    ///
    /// # Errors
    /// `build` fails if it is to wait for windows and there is no windowed aggregation above: only that says when they close. A task ends if its
    /// buffer is full and may not pass on anything early.
    ///
    /// # Ordering
    /// By the end of windows, or the timestamp of the first change that is held back; then by key, as it is stored. Time is event time: without a
    /// later record, in the same partition, nothing is passed on.
    ///
    /// # State
    /// One row a key that waits: key and time, its newest row, and the row that was passed on last if someone below needs it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream::{
    ///     StreamsBuilder,
    ///     dsl::{BufferLimit, Consumed, Produced, Suppressed},
    ///     record::Record,
    ///     testing::TopologyTestDriver,
    ///     window::TimeWindows,
    /// };
    ///
    /// let builder = StreamsBuilder::new();
    /// let windows = TimeWindows::tumbling(Duration::from_millis(10), Duration::from_millis(5))?;
    /// let counts = builder
    ///     .stream::<String, String>("clicks", Consumed::kafka())
    ///     .group_by_key()
    ///     .windowed_by(windows)
    ///     .count("clicks-per-window")
    ///     .suppress(Suppressed::until_window_closes(BufferLimit::unbounded()));
    /// counts.to_stream().map(|window, n| (window.key, format!("from {}: {n}", window.start))).to("counts", Produced::kafka());
    ///
    /// let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for time in [3, 7, 14] {
    ///     driver.push("clicks", Record::new("ada", "x").at_ms(time))?;
    /// }
    /// assert!(driver.drain("counts")?.is_empty());
    /// driver.push("clicks", Record::new("ada", "x").at_ms(15))?; // the end and the grace of the first window
    /// let counts = driver.drain("counts")?;
    /// assert_eq!(counts.len(), 1);
    /// assert_eq!((counts[0].value.as_deref(), counts[0].timestamp.millis()), (Some(&b"from 0: 2"[..]), 7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn suppress(&self, suppressed: Suppressed<K>) -> Self {
        Self::new(self.columns().suppress(suppressed))
    }
}

impl ColumnTable {
    /// As [`KTable::suppress`]; whether keys have windows is looked at when the topology is built.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream::{
    ///     StreamsBuilder,
    ///     dsl::{BufferLimit, Consumed, Produced, Suppressed, Windowed},
    ///     expression::{col, max},
    ///     record::Record,
    ///     testing::TopologyTestDriver,
    ///     window::TimeWindows,
    /// };
    ///
    /// let builder = StreamsBuilder::new();
    /// let windows = TimeWindows::tumbling(Duration::from_millis(10), Duration::ZERO)?;
    /// let bids = builder.stream::<String, i64>("bids", Consumed::kafka());
    /// let highest = bids.columns().group_by_key().windowed_by(windows).aggregate(&[max(col("value"))], "highest".into());
    /// let last = highest.suppress(Suppressed::<Windowed<()>>::until_window_closes(BufferLimit::unbounded()));
    /// last.to_stream().to("last", Produced::kafka());
    ///
    /// let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for (bid, time) in [(5_i64, 1), (9, 2), (7, 11)] {
    ///     driver.push("bids", Record::new("ada", bid.to_be_bytes()).at_ms(time))?;
    /// }
    /// let last: Vec<_> = driver.drain("last")?.into_iter().flat_map(|record| record.value).collect();
    /// assert_eq!(last, [9_i64.to_be_bytes()]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn suppress<K>(&self, suppressed: Suppressed<K>) -> Self {
        self.require_before_as_kafka_streams();
        if self.versions().is_some() {
            let problem = "changes of a versioned table, or of what is computed from one, cannot be held back: make a plain table of them";
            return self.failed("suppress", problem);
        }
        let mut graph = self.graph.borrow_mut();
        let until = match suppressed.time_limit {
            Some(limit) => SuppressUntil::TimeLimit(limit),
            None => window_wait(&graph, self.node).filter(|_| self.schema.is_windowed()).unwrap_or_else(|| {
                let problem =
                    "there is no windowed aggregation above, so that no window closes: wait for a time limit instead";
                graph.fail("suppress", problem);
                SuppressUntil::TimeLimit(TimeSpan::ZERO)
            }),
        };
        let name = suppressed.name.unwrap_or_else(|| graph.unnamed("suppress", &[self.node]));
        let (key, retention) = (self.schema.key().to_vec(), StoreRetention::Forever);
        let store = graph.add_store(StoreSpec {
            name,
            key,
            retention,
            layout: Arc::new(OpaqueRows),
            options: StoreOptions::default(),
        });
        let settings = SuppressSettings {
            store,
            schema: Arc::clone(&self.schema),
            until,
            max_records: suppressed.max_records,
            max_bytes: suppressed.max_bytes,
            when_full: suppressed.when_full,
            emit: EmitPolicy::default(),
            needs_before: false,
        };
        let kind = NodeKind::Operator(Arc::new(SuppressNode { settings }));
        let node = graph.add("suppress", kind, vec![self.node], Arc::clone(&self.schema));
        drop(graph);
        Self { graph: Rc::clone(&self.graph), node, schema: Arc::clone(&self.schema), store: None }
    }
}

/// How long the windows of what a node gives wait after their end: of several windowed aggregations above, the longest wait.
fn window_wait(graph: &Graph, node: NodeId) -> Option<SuppressUntil> {
    let node = &graph.nodes[node.0];
    if let NodeKind::Aggregate(aggregate) = &node.kind
        && let Some(windows) = &aggregate.windows
    {
        let is_last = if matches!(windows, Windows::Time(_)) { IsLast::Always } else { IsLast::Mostly };
        return Some(SuppressUntil::WindowCloses { wait: windows.waits(), is_last });
    }
    let above = node.inputs.iter().filter_map(|input| window_wait(graph, *input));
    above.reduce(|one, other| match (one, other) {
        (
            SuppressUntil::WindowCloses { wait, is_last },
            SuppressUntil::WindowCloses { wait: other, is_last: other_is_last },
        ) => {
            let is_last = if is_last == other_is_last { is_last } else { IsLast::Mostly };
            SuppressUntil::WindowCloses { wait: wait.max(other), is_last }
        }
        (one, _) => one,
    })
}
