//! Sharing the work on one application among processes: what a group is asked for, and what it answers.
//!
//! A *group* is all processes that run an application under one name. The engine hands each of them *group tasks*: parts of the topology on a
//! partition. A process that is told to give a task up commits it first and reports that it has let go; only then does another one get it.
//! Who was away for too long has lost everything: its commits fail, and it begins again.
//!
//! ```text
//! next() -> Assigned { 0_0, 0_1 }     the process opens both            report({ 0_0, 0_1 })
//! next() -> Assigned { 0_0 }          it commits and closes 0_1         report({ 0_0 })
//! next() -> Lost                      it closes 0_0 without a commit    report({})
//! ```

use std::{collections::BTreeSet, fmt, time::Duration};

use super::LogError;
use crate::record::{GroupId, PartitionId, TopicName};

/// A part of a topology on a partition: what a group hands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupTask {
    /// The number of the part, as in [`GroupTopology::parts`].
    pub part: usize,
    /// The partition of its topics.
    pub partition: PartitionId,
}

impl fmt::Display for GroupTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.part, self.partition)
    }
}

/// What the processes of a group work on; all of them name the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupTopology {
    /// The parts, by number.
    pub parts: Vec<GroupPart>,
}

/// One part of a topology: it has a task for each partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupPart {
    /// How many tasks it has: the partitions of the topic with most.
    pub tasks: u32,
    /// The topics of others that it reads.
    pub sources: BTreeSet<TopicName>,
    /// The topics of the application itself that it reads, with their partitions. They are there already.
    pub repartition_sources: Vec<(TopicName, u32)>,
    /// The topics of the application itself that it writes.
    pub repartition_sinks: BTreeSet<TopicName>,
    /// The changelogs of its stores. They are there already.
    pub changelogs: BTreeSet<TopicName>,
}

/// How a process takes part in a group.
#[derive(Debug, Clone)]
pub struct GroupSettings {
    /// The group.
    pub group: GroupId,
    /// What the work is.
    pub topology: GroupTopology,
    /// Of how many more processes each task with stores keeps a copy. On brokers that decide it for the group, theirs counts.
    pub standby_replicas: usize,
    /// Where this process answers questions about its stores, as `host:port`.
    pub endpoint: Option<String>,
    /// A name that stays over restarts: a process that comes back soon gets its tasks back without a new assignment.
    pub instance: Option<String>,
    /// For how long a process may be silent before its tasks go to others. Brokers that decide it for the group ignore it.
    pub session_timeout: Duration,
    /// For how long giving up tasks may take.
    pub rebalance_timeout: Duration,
}

/// Tasks of one process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assignment {
    /// Those that it processes.
    pub active: BTreeSet<GroupTask>,
    /// Those whose stores it keeps up to date, to take over soon.
    pub standby: BTreeSet<GroupTask>,
}

/// The member of a group in whose name a commit is made: the engine refuses it if the member has been given up for lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    /// The group.
    pub group: GroupId,
    /// The member.
    pub member: String,
    /// The member's epoch, or the generation of a classic group.
    pub epoch: i32,
    /// Its lasting name, if it has one.
    pub instance: Option<String>,
}

/// What has become of a membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupEvent {
    /// Nothing new.
    Unchanged,
    /// These are the tasks to have. Tasks that are not among them are to be committed and closed, then reported, before new ones are opened.
    Assigned(Assignment),
    /// Nothing may be committed until the next event: what was processed is to be committed at once, and then
    /// [`report`](GroupMembership::report)ed. Tasks stay open.
    Rebalancing,
    /// Everything is lost: what is not committed is to be thrown away, then reported. Until then there is no member to commit as: a new place
    /// in the group must not pass off what was processed in the old one.
    Lost,
    /// The group cannot work yet: why, and what to do.
    NotReady(String),
}

/// Which process has which tasks, and where it answers questions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupPeer {
    /// Where it answers, as `host:port`.
    pub endpoint: String,
    /// Its tasks, as far as the group knows.
    pub assignment: Assignment,
}

/// A process's place in a group. Dropping it leaves the group.
///
/// It keeps itself alive by a thread of its own, whatever the process does.
pub trait GroupMembership: Send + Sync {
    /// Waits for the next event, for `timeout` at most. One thread calls this.
    ///
    /// # Errors
    /// What cannot be mended by waiting: a topology that the group refuses, missing rights.
    fn next(&self, timeout: Duration) -> Result<GroupEvent, LogError>;

    /// Tells the group what the process has now, and that it has let go of everything else.
    fn report(&self, owned: &Assignment);

    /// In whose name to commit now; `None` while it is no member, and from a loss until that is [`report`](Self::report)ed, whether the loss
    /// was told yet or not.
    fn member(&self) -> Option<GroupMember>;

    /// Who else is in the group, this process included.
    fn peers(&self) -> Vec<GroupPeer>;

    /// Leaves the group at once, so that others need not wait for the session to end.
    fn leave(&self);
}
