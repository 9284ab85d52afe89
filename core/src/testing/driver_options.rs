//! How a test driver runs: partitions, emit policy, when it commits, where its state is.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use crate::{
    operator::EmitPolicy,
    record::Timestamp,
    runtime::{ErrorHandlers, MaxTaskIdle, StreamTimeAtStart},
};

/// When the driver commits what was processed.
///
/// ```
/// use millstream::testing::CommitPolicy;
///
/// assert_eq!(CommitPolicy::default(), CommitPolicy::AfterEachPipe);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CommitPolicy {
    /// After each call that writes records, through all repartition topics: of records that are piped one by one, each is committed before
    /// the next.
    #[default]
    AfterEachPipe,
    /// Only when [`commit`](super::TopologyTestDriver::commit) is called: until then there is work that a crash can take away.
    ByHand,
}

/// The settings of a [`TopologyTestDriver`](super::TopologyTestDriver).
///
/// ```
/// use millstream::testing::{CommitPolicy, DriverOptions};
///
/// let options = DriverOptions { commit: CommitPolicy::ByHand, ..DriverOptions::default() }.topic_partitions("orders", 4);
/// assert_eq!((options.partitions_of("orders"), options.partitions_of("counts")), (4, 1));
/// ```
#[derive(Debug, Clone)]
pub struct DriverOptions {
    /// Partitions of topics that have no number of their own; 1 by default.
    pub partitions: u32,
    /// Partitions of single topics, by name.
    pub topic_partitions: BTreeMap<String, u32>,
    /// When updates of tables are passed on; every one, by default.
    pub emit: EmitPolicy,
    /// When work is committed.
    pub commit: CommitPolicy,
    /// Where stores are kept on disk, as in production. `None`, the default: in memory; a restart then rebuilds them from their changelogs.
    pub state_directory: Option<PathBuf>,
    /// What becomes of records that cannot be read, processed or written.
    pub handlers: ErrorHandlers,
    /// How long a task waits for an input that is empty while others are not, by the driver's clock.
    pub max_task_idle: MaxTaskIdle,
    /// What operators know after a restart of the stream time that they had observed before.
    pub stream_time_at_start: StreamTimeAtStart,
    /// After how long without a record, by the driver's clock, stream time goes on all the same: see
    /// [`StreamsConfig::idle_advance`](crate::runtime::StreamsConfig::idle_advance).
    pub idle_advance: Option<Duration>,
    /// What the driver's clock shows at first; it stands still until [`advance_wall_clock`](super::TopologyTestDriver::advance_wall_clock).
    pub wall_clock: Timestamp,
}

impl Default for DriverOptions {
    fn default() -> Self {
        Self {
            partitions: 1,
            topic_partitions: BTreeMap::new(),
            emit: EmitPolicy::Record,
            commit: CommitPolicy::default(),
            state_directory: None,
            handlers: ErrorHandlers::default(),
            max_task_idle: MaxTaskIdle::default(),
            stream_time_at_start: StreamTimeAtStart::default(),
            idle_advance: None,
            wall_clock: Timestamp(0),
        }
    }
}

impl DriverOptions {
    /// The same options with so many partitions for one topic.
    ///
    /// ```
    /// # use millstream::testing::DriverOptions;
    /// assert_eq!(DriverOptions::default().topic_partitions("orders", 3).partitions_of("orders"), 3);
    /// ```
    pub fn topic_partitions(mut self, topic: &str, partitions: u32) -> Self {
        self.topic_partitions.insert(topic.to_owned(), partitions);
        self
    }

    /// How many partitions a topic gets.
    ///
    /// ```
    /// # use millstream::testing::DriverOptions;
    /// assert_eq!(DriverOptions::default().partitions_of("orders"), 1);
    /// ```
    pub fn partitions_of(&self, topic: &str) -> u32 {
        self.topic_partitions.get(topic).copied().unwrap_or(self.partitions)
    }
}
