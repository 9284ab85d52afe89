//! How a test driver runs: partitions, emit policy, when it commits, where its state is.

use std::{collections::BTreeMap, path::PathBuf};

use crate::operator::EmitPolicy;

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
}

impl Default for DriverOptions {
    fn default() -> Self {
        Self {
            partitions: 1,
            topic_partitions: BTreeMap::new(),
            emit: EmitPolicy::Record,
            commit: CommitPolicy::default(),
            state_directory: None,
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
