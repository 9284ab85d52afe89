//! What the members of a classic group say to one another, in the bytes of Kafka's consumer protocol.
//!
//! Kafka's tools read the outer form (topics, partitions) and list and describe the group by it; what we need beyond it is in the field for
//! the user's own data: a version, then structures as in the messages of the brokers. What others say is not trusted.

use std::collections::{BTreeMap, BTreeSet};

use super::tasks;
use crate::{
    log::{
        Assignment, GroupPeer, GroupTask, GroupTopology,
        kafka::wire::{
            codec::{Malformed, Reader, Wire, Writer, structures},
            streams_heartbeat::TaskIds,
        },
    },
    record::TopicName,
};

/// The version of our own data; members of another one are refused.
const VERSION: i16 = 1;

/// The version of the outer form: the oldest, which every tool reads.
const OUTER: i16 = 0;

structures! {
    /// What a member says of itself.
    struct MemberData {
        process: String,
        endpoint: Option<String>,
        /// A digest of the topology: all members work on the same.
        topology: i64,
        active: Vec<TaskIds>,
        standby: Vec<TaskIds>,
        /// Rises when the others are to hear of the member, though its tasks stay: data that are as before make the broker tell nobody.
        round: i32,
    }

    /// What the leader tells a member.
    struct AssignmentData {
        /// Why the member gets nothing, ever.
        refusal: Option<String>,
        active: Vec<TaskIds>,
        standby: Vec<TaskIds>,
        peers: Vec<PeerData>,
    }

    /// What the leader tells of another member.
    struct PeerData {
        endpoint: String,
        active: Vec<TaskIds>,
        standby: Vec<TaskIds>,
    }
}

impl MemberData {
    /// What a member has.
    pub(super) fn owned(&self) -> Assignment {
        assignment(&self.active, &self.standby)
    }
}

impl AssignmentData {
    /// What the member gets.
    pub(super) fn assignment(&self) -> Assignment {
        assignment(&self.active, &self.standby)
    }

    /// Who else there is.
    pub(super) fn peers(&self) -> Vec<GroupPeer> {
        let peer = |peer: &PeerData| GroupPeer {
            endpoint: peer.endpoint.clone(),
            assignment: assignment(&peer.active, &peer.standby),
        };
        self.peers.iter().map(peer).collect()
    }
}

impl PeerData {
    /// A member that answers questions.
    pub(super) fn new(endpoint: &str, tasks: &Assignment) -> Self {
        let (active, standby) = (tasks::to_ids(&tasks.active), tasks::to_ids(&tasks.standby));
        Self { endpoint: endpoint.to_owned(), active, standby }
    }
}

/// Tasks of parts that are none of ours are left out: the leader never gives them.
fn assignment(active: &[TaskIds], standby: &[TaskIds]) -> Assignment {
    let read = |ids: &[TaskIds]| tasks::from_ids(ids).unwrap_or_default();
    Assignment { active: read(active), standby: read(standby) }
}

/// A number by which two topologies are told apart. It is the same in every process and version of the program.
pub(super) fn digest(topology: &GroupTopology) -> i64 {
    let mut text = String::new();
    for part in &topology.parts {
        let names = |topics: &BTreeSet<TopicName>| topics.iter().map(TopicName::as_str).collect::<Vec<_>>().join(",");
        let mut repartition: Vec<_> = part.repartition_sources.iter().map(|(topic, _)| topic.as_str()).collect();
        repartition.sort_unstable();
        let (sources, repartition, changelogs) = (names(&part.sources), repartition.join(","), names(&part.changelogs));
        text.push_str(&format!("{}|{sources}|{repartition}|{changelogs};", part.tasks));
    }
    let hash = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    i64::from_be_bytes(hash.as_ref()[..8].try_into().expect("a hash has 32 bytes"))
}

/// What a member says, with the topics that it reads for the tools.
pub(super) fn subscription(data: &MemberData, topology: &GroupTopology) -> Vec<u8> {
    let mut topics = BTreeSet::new();
    for part in &topology.parts {
        topics.extend(part.sources.iter().map(|topic| topic.as_str()));
        topics.extend(part.repartition_sources.iter().map(|(topic, _)| topic.as_str()));
    }
    let mut out = Writer::default();
    OUTER.put(&mut out, 0);
    put_count(&mut out, topics.len());
    topics.into_iter().for_each(|topic| out.short_text(topic));
    put_data(&mut out, data);
    out.0
}

/// Takes what a member says.
pub(super) fn read_subscription(bytes: &[u8]) -> Result<MemberData, Malformed> {
    let mut input = Reader(bytes);
    i16::take(&mut input, 0)?;
    for _ in 0..take_count(&mut input)? {
        input.short_text()?;
    }
    take_data(&mut input)
}

/// What the leader tells a member, with the partitions that it reads for the tools.
pub(super) fn assignment_bytes(data: &AssignmentData, topology: &GroupTopology) -> Vec<u8> {
    let partitions = partitions(&data.assignment().active, topology);
    let mut out = Writer::default();
    OUTER.put(&mut out, 0);
    put_count(&mut out, partitions.len());
    for (topic, partitions) in partitions {
        out.short_text(topic);
        put_count(&mut out, partitions.len());
        partitions.into_iter().for_each(|partition| partition.put(&mut out, 0));
    }
    put_data(&mut out, data);
    out.0
}

/// Takes what the leader tells.
pub(super) fn read_assignment(bytes: &[u8]) -> Result<AssignmentData, Malformed> {
    let mut input = Reader(bytes);
    i16::take(&mut input, 0)?;
    for _ in 0..take_count(&mut input)? {
        input.short_text()?;
        for _ in 0..take_count(&mut input)? {
            i32::take(&mut input, 0)?;
        }
    }
    take_data(&mut input)
}

fn partitions<'a>(tasks: &BTreeSet<GroupTask>, topology: &'a GroupTopology) -> BTreeMap<&'a str, BTreeSet<i32>> {
    let mut partitions: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
    for task in tasks {
        let Some(part) = topology.parts.get(task.part) else { continue };
        let number = i32::try_from(task.partition.0).unwrap_or(i32::MAX);
        let repartition = part.repartition_sources.iter().filter(|(_, count)| task.partition.0 < *count);
        let topics = part.sources.iter().chain(repartition.map(|(topic, _)| topic));
        topics.for_each(|topic| {
            partitions.entry(topic.as_str()).or_default().insert(number);
        });
    }
    partitions
}

fn put_count(out: &mut Writer, count: usize) {
    i32::try_from(count).expect("topics and partitions are few").put(out, 0);
}

/// A count, checked against what is left: everything counted takes two bytes at least.
fn take_count(input: &mut Reader<'_>) -> Result<i32, Malformed> {
    let count = i32::take(input, 0)?;
    match usize::try_from(count) {
        Ok(number) if number <= input.0.len() / 2 => Ok(count),
        _ => Err(Malformed("a count is larger than the bytes")),
    }
}

fn put_data<T: Wire>(out: &mut Writer, data: &T) {
    let mut own = Writer::default();
    VERSION.put(&mut own, 0);
    data.put(&mut own, VERSION);
    put_count(out, own.0.len());
    out.raw(&own.0);
}

fn take_data<T: Wire>(input: &mut Reader<'_>) -> Result<T, Malformed> {
    let length = i32::take(input, 0)?;
    let length = usize::try_from(length).map_err(|_| Malformed("it has no data of ours"))?;
    let mut own = Reader(input.raw(length)?);
    if i16::take(&mut own, 0)? != VERSION {
        return Err(Malformed("its data are of another version"));
    }
    T::take(&mut own, VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::GroupPart;

    fn topology() -> GroupTopology {
        let topic = |name: &str| TopicName::new(name).unwrap();
        let first = GroupPart { tasks: 2, sources: [topic("in")].into(), ..GroupPart::default() };
        let second = GroupPart { tasks: 3, repartition_sources: vec![(topic("by-key"), 3)], ..GroupPart::default() };
        GroupTopology { parts: vec![first, second] }
    }

    #[test]
    fn what_is_said_is_understood() {
        let tasks = super::super::tasks::tests::tasks;
        let data = MemberData {
            process: "p".into(),
            endpoint: Some("localhost:1".into()),
            topology: digest(&topology()),
            active: tasks::to_ids(&tasks("0_0 1_2")),
            standby: vec![],
            round: 1,
        };
        let bytes = subscription(&data, &topology());
        assert_eq!(read_subscription(&bytes), Ok(data.clone()));
        assert_eq!(data.owned().active, tasks("0_0 1_2"));
        for cut in 0..bytes.len() {
            assert!(read_subscription(&bytes[..cut]).is_err());
        }

        let owned = data.owned();
        let told = AssignmentData {
            active: data.active.clone(),
            peers: vec![PeerData::new("localhost:1", &owned)],
            ..AssignmentData::default()
        };
        let bytes = assignment_bytes(&told, &topology());
        assert_eq!(read_assignment(&bytes), Ok(told.clone()));
        assert_eq!(told.peers()[0].assignment, owned);
        // Version 0; two topics; `by-key` with partition 2.
        assert_eq!(
            bytes[..24],
            [&[0, 0, 0, 0, 0, 2, 0, 6][..], b"by-key", &[0, 0, 0, 1, 0, 0, 0, 2], &[0, 2]].concat()
        );
    }

    #[test]
    fn topologies_are_told_apart() {
        let mut other = topology();
        other.parts[1].tasks = 4;
        assert_ne!(digest(&topology()), digest(&other));
        assert_eq!(digest(&topology()), digest(&topology()));
    }

    #[test]
    fn a_plain_consumer_in_the_group_is_noticed() {
        // Version 0, one topic, no data.
        assert!(read_subscription(&[0, 0, 0, 0, 0, 1, 0, 1, b't', 255, 255, 255, 255]).is_err());
    }
}
