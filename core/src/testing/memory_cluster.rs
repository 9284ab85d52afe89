//! A log in memory that several "processes" share, with groups whose rules are those of a streams group of Kafka: for tests of what comes and goes.
//!
//! Tasks are dealt out evenly, those whom a process has already first. A task goes to its new process when the old one has reported that it
//! has let go, or was expelled. Commits of a member that was expelled are refused.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use super::MemoryLog;
use crate::{
    log::{
        Assignment, CommitError, CommitReceipt, Fetched, GroupEvent, GroupMember, GroupMembership, GroupOffset,
        GroupPeer, GroupSettings, GroupTask, Log, LogError, Producer, TopicConfig, TopicDescription, Transaction,
    },
    record::{GroupId, Offset, PartitionId, Timestamp, TopicName, TopicPartition},
};

/// A log in memory that processes share.
///
/// ```
/// use millstream::{log::Log, testing::MemoryCluster};
///
/// let cluster = MemoryCluster::new();
/// let (one, other) = (cluster.process("one"), cluster.process("other"));
/// one.create_topic(&"orders".parse()?, &Default::default())?;
/// assert_eq!(other.topics()?.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct MemoryCluster {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    log: MemoryLog,
    groups: Mutex<BTreeMap<GroupId, Group>>,
    changed: Condvar,
    /// Processes that hear of positions late.
    held: Mutex<BTreeSet<String>>,
    let_go: Condvar,
    /// Processes that may not return to a group that has expelled them.
    kept_out: Mutex<BTreeSet<String>>,
}

#[derive(Default)]
struct Group {
    tasks: Vec<GroupTask>,
    standby_replicas: usize,
    members: BTreeMap<String, Member>,
    epoch: i32,
}

struct Member {
    epoch: i32,
    endpoint: Option<String>,
    target: Assignment,
    owned: BTreeSet<GroupTask>,
    told: Option<Assignment>,
    expelled: bool,
    told_of_loss: bool,
    /// Has let go of all after it was expelled.
    may_return: bool,
}

impl Group {
    /// Deals out all tasks anew: each member keeps what it has, up to its share.
    fn deal(&mut self) {
        self.epoch += 1;
        let names: Vec<String> =
            self.members.iter().filter(|(_, member)| !member.expelled).map(|(name, _)| name.clone()).collect();
        if names.is_empty() {
            return;
        }
        let share = self.tasks.len().div_ceil(names.len());
        let mut left: BTreeSet<GroupTask> = self.tasks.iter().copied().collect();
        let mut targets: Vec<BTreeSet<GroupTask>> = Vec::new();
        for name in &names {
            let kept: BTreeSet<GroupTask> =
                self.members[name].target.active.intersection(&left).take(share).copied().collect();
            left.retain(|task| !kept.contains(task));
            targets.push(kept);
        }
        for task in left {
            let least = targets.iter_mut().min_by_key(|target| target.len()).expect("there are members");
            least.insert(task);
        }
        let copies = self.standby_replicas.min(names.len() - 1);
        for (place, name) in names.iter().enumerate() {
            let standby = (1..=copies).flat_map(|step| &targets[(place + step) % names.len()]).copied().collect();
            let target = Assignment { active: targets[place].clone(), standby };
            self.members.get_mut(name).expect("it was listed").target = target;
        }
    }

    /// What a member may have now: its share, without what another one has still.
    fn granted(&self, name: &str) -> Assignment {
        let member = &self.members[name];
        let others = self.members.iter().filter(|(other, member)| *other != name && !member.expelled);
        let held: BTreeSet<GroupTask> = others.flat_map(|(_, other)| &other.owned).copied().collect();
        let active = member.target.active.difference(&held).copied().collect();
        Assignment { active, standby: member.target.standby.clone() }
    }

    fn join(&mut self, name: &str, endpoint: Option<String>) {
        let epoch = self.epoch + 1;
        let member = Member {
            epoch,
            endpoint,
            target: Assignment::default(),
            owned: BTreeSet::new(),
            told: None,
            expelled: false,
            told_of_loss: false,
            may_return: false,
        };
        self.members.insert(name.to_owned(), member);
        self.deal();
    }
}

impl MemoryCluster {
    /// An empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// The log as a process of this name sees it.
    pub fn process(&self, name: &str) -> Arc<dyn Log> {
        Arc::new(ProcessLog { shared: Arc::clone(&self.shared), process: name.to_owned() })
    }

    /// Takes a process for lost, as a group does with one that was silent for too long.
    pub fn expel(&self, group: &GroupId, process: &str) {
        if let Some(group) = self.shared.groups.lock().get_mut(group) {
            if let Some(member) = group.members.get_mut(process) {
                member.expelled = true;
                member.owned.clear();
            }
            group.deal();
        }
        self.shared.changed.notify_all();
    }
}

/// What tests do to processes at moments of their choice.
impl MemoryCluster {
    /// Holds back what a process asks of positions: they are those of the moment of its question, and come when they are let go.
    pub fn hold_positions(&self, process: &str) {
        self.shared.held.lock().insert(process.to_owned());
    }

    /// Lets positions go that were held back, and holds back none from now on.
    pub fn let_positions_go(&self, process: &str) {
        self.shared.held.lock().remove(process);
        self.shared.let_go.notify_all();
    }

    /// Does not let a process return to a group that expels it.
    pub fn keep_out(&self, process: &str) {
        self.shared.kept_out.lock().insert(process.to_owned());
    }

    /// Lets a process return that was kept out.
    pub fn let_in(&self, process: &str) {
        self.shared.kept_out.lock().remove(process);
        self.shared.changed.notify_all();
    }
}

/// The log as one process sees it.
struct ProcessLog {
    shared: Arc<Shared>,
    process: String,
}

impl Log for ProcessLog {
    fn create_topic(&self, topic: &TopicName, config: &TopicConfig) -> Result<(), LogError> {
        self.shared.log.create_topic(topic, config)
    }

    fn delete_topic(&self, topic: &TopicName) -> Result<(), LogError> {
        self.shared.log.delete_topic(topic)
    }

    fn describe_topic(&self, topic: &TopicName) -> Result<TopicDescription, LogError> {
        self.shared.log.describe_topic(topic)
    }

    fn topics(&self) -> Result<Vec<TopicDescription>, LogError> {
        self.shared.log.topics()
    }

    fn fetch(&self, partition: &TopicPartition, from: Offset, max_bytes: usize) -> Result<Fetched, LogError> {
        self.shared.log.fetch(partition, from, max_bytes)
    }

    fn start_offset(&self, partition: &TopicPartition) -> Result<Offset, LogError> {
        self.shared.log.start_offset(partition)
    }

    fn end_offset(&self, partition: &TopicPartition) -> Result<Offset, LogError> {
        self.shared.log.end_offset(partition)
    }

    fn offset_at(&self, partition: &TopicPartition, timestamp: Timestamp) -> Result<Option<Offset>, LogError> {
        self.shared.log.offset_at(partition, timestamp)
    }

    fn delete_records(&self, partition: &TopicPartition, before: Offset) -> Result<(), LogError> {
        self.shared.log.delete_records(partition, before)
    }

    fn committed(&self, group: &GroupId, partition: &TopicPartition) -> Result<Option<GroupOffset>, LogError> {
        let position = self.shared.log.committed(group, partition)?;
        let mut held = self.shared.held.lock();
        self.shared.let_go.wait_while(&mut held, |held| held.contains(&self.process));
        Ok(position)
    }

    fn producer(&self, name: &str) -> Result<Box<dyn Producer>, LogError> {
        let inner = self.shared.log.producer(&format!("{name}-{}", self.process))?;
        Ok(Box::new(ProcessProducer { inner, shared: Arc::clone(&self.shared) }))
    }

    fn exclusive_producer(&self, name: &str) -> Result<Box<dyn Producer>, LogError> {
        let inner = self.shared.log.producer(name)?;
        Ok(Box::new(ProcessProducer { inner, shared: Arc::clone(&self.shared) }))
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn join_group(&self, settings: GroupSettings) -> Result<Option<Arc<dyn GroupMembership>>, LogError> {
        let mut groups = self.shared.groups.lock();
        let group = groups.entry(settings.group.clone()).or_default();
        let parts = settings.topology.parts.iter().enumerate();
        let tasks = |(part, of): (usize, &crate::log::GroupPart)| {
            (0..of.tasks).map(move |partition| GroupTask { part, partition: PartitionId(partition) })
        };
        group.tasks = parts.flat_map(tasks).collect();
        group.standby_replicas = settings.standby_replicas;
        group.join(&self.process, settings.endpoint.clone());
        drop(groups);
        self.shared.changed.notify_all();
        let shared = Arc::downgrade(&self.shared);
        Ok(Some(Arc::new(Membership { shared, group: settings.group, process: self.process.clone() })))
    }

    fn wait_for_commit(&self, seen: u64, timeout: Duration) -> u64 {
        self.shared.log.wait_for_commit(seen, timeout)
    }
}

struct ProcessProducer {
    inner: Box<dyn Producer>,
    shared: Arc<Shared>,
}

impl Producer for ProcessProducer {
    fn commit(&mut self, transaction: Transaction) -> Result<CommitReceipt, CommitError> {
        self.inner.commit(transaction)
    }

    fn commit_as(&mut self, member: &GroupMember, transaction: Transaction) -> Result<CommitReceipt, CommitError> {
        let groups = self.shared.groups.lock();
        let known = groups.get(&member.group).and_then(|group| group.members.get(&member.member));
        if known.is_none_or(|known| known.expelled || known.epoch != member.epoch) {
            let problem = format!("member {} of epoch {} is not known", member.member, member.epoch);
            return Err(CommitError::NotOwner { group: member.group.clone(), problem });
        }
        self.inner.commit(transaction)
    }
}

struct Membership {
    shared: Weak<Shared>,
    group: GroupId,
    process: String,
}

impl Membership {
    fn with<T>(&self, work: impl FnOnce(&mut Group) -> T) -> Option<T> {
        let shared = self.shared.upgrade()?;
        let mut groups = shared.groups.lock();
        let done = groups.get_mut(&self.group).map(work);
        drop(groups);
        shared.changed.notify_all();
        done
    }

    fn event(&self, shared: &Shared, group: &mut Group) -> GroupEvent {
        let Some(member) = group.members.get(&self.process) else { return GroupEvent::Unchanged };
        if member.may_return && !shared.kept_out.lock().contains(&self.process) {
            let endpoint = member.endpoint.clone();
            group.join(&self.process, endpoint);
        }
        let Some(member) = group.members.get_mut(&self.process) else { return GroupEvent::Unchanged };
        if member.expelled {
            let told = std::mem::replace(&mut member.told_of_loss, true);
            return if told { GroupEvent::Unchanged } else { GroupEvent::Lost };
        }
        let granted = group.granted(&self.process);
        let member = group.members.get_mut(&self.process).expect("it was there");
        if member.told.as_ref() == Some(&granted) {
            return GroupEvent::Unchanged;
        }
        member.owned.extend(&granted.active);
        member.told = Some(granted.clone());
        GroupEvent::Assigned(granted)
    }
}

impl GroupMembership for Membership {
    fn next(&self, timeout: Duration) -> Result<GroupEvent, LogError> {
        let Some(shared) = self.shared.upgrade() else { return Ok(GroupEvent::Unchanged) };
        let mut groups = shared.groups.lock();
        let look =
            |groups: &mut BTreeMap<GroupId, Group>| groups.get_mut(&self.group).map(|group| self.event(&shared, group));
        let mut event = look(&mut groups).unwrap_or(GroupEvent::Unchanged);
        if event == GroupEvent::Unchanged {
            shared.changed.wait_for(&mut groups, timeout);
            event = look(&mut groups).unwrap_or(GroupEvent::Unchanged);
        }
        if event != GroupEvent::Unchanged {
            shared.changed.notify_all();
        }
        Ok(event)
    }

    fn report(&self, owned: &Assignment) {
        self.with(|group| {
            let Some(member) = group.members.get_mut(&self.process) else { return };
            if !member.expelled {
                member.owned = owned.active.clone();
            } else {
                member.may_return = member.told_of_loss;
            }
        });
    }

    fn member(&self) -> Option<GroupMember> {
        self.with(|group| {
            let member = group.members.get(&self.process).filter(|member| !member.expelled)?;
            let (group, name) = (self.group.clone(), self.process.clone());
            Some(GroupMember { group, member: name, epoch: member.epoch, instance: None })
        })?
    }

    fn peers(&self) -> Vec<GroupPeer> {
        let peer = |member: &Member| {
            let assignment = Assignment { active: member.owned.clone(), standby: member.target.standby.clone() };
            Some(GroupPeer { endpoint: member.endpoint.clone()?, assignment })
        };
        self.with(|group| group.members.values().filter_map(peer).collect()).unwrap_or_default()
    }

    fn leave(&self) {
        self.with(|group| {
            group.members.remove(&self.process);
            group.deal();
        });
    }
}
