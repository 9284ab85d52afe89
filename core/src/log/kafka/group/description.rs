//! Streams groups for people to look at: the client library knows only the other kinds.

use std::{collections::BTreeMap, thread, time::Duration};

use crate::{
    log::{
        LogError,
        kafka::{
            GroupDescription, GroupMemberDescription, KafkaConfig,
            wire::{
                WireError,
                channel::Dialer,
                coordinator::Coordinator,
                error_code,
                streams_describe::{DescribedTopology, StreamsDescribe, StreamsGroup, StreamsMember},
            },
        },
    },
    record::{GroupId, PartitionId, TopicName, TopicPartition},
};

/// How long an answer may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a group that is on the move is asked for, and how long to wait in between.
const ATTEMPTS: (u32, Duration) = (20, Duration::from_millis(200));

/// A streams group and its members; `None` if there is no group of that name and kind.
pub(in crate::log::kafka) fn describe(
    config: &KafkaConfig,
    group: &GroupId,
) -> Result<Option<GroupDescription>, LogError> {
    let cluster = config.bootstrap_servers();
    let action = format!("describe group {group}");
    let failed = |error: WireError| error.into_log_error(&cluster, &action);
    let dialer = Dialer::new(&config.connection).map_err(failed)?;
    if dialer.any().map_err(failed)?.version_of::<StreamsDescribe>().is_none() {
        return Ok(None);
    }
    let mut coordinator = Coordinator::new(dialer, group.as_str());
    let call = StreamsDescribe { groups: vec![group.as_str().to_owned()], authorized_operations: false };
    let mut problem = "nobody looks after the group".to_owned();
    for attempt in 0..ATTEMPTS.0 {
        if attempt > 0 {
            thread::sleep(ATTEMPTS.1);
        }
        let answer = coordinator.call(&call, CALL_TIMEOUT).map_err(failed)?;
        let Some(found) = answer.groups.into_iter().next() else { return Ok(None) };
        match found.error {
            error_code::NONE => return Ok(Some(described(group, found))),
            error_code::GROUP_ID_NOT_FOUND => return Ok(None),
            code => problem = error_code::described(code, found.message.as_deref()),
        }
        if !error_code::is_coordinator_elsewhere(found.error) {
            break;
        }
        coordinator.forget();
    }
    Err(LogError::Remote { cluster, action, problem, transient: true })
}

fn described(group: &GroupId, found: StreamsGroup) -> GroupDescription {
    let topics = topics(found.topology.unwrap_or_default());
    let member = |member: StreamsMember| GroupMemberDescription {
        partitions: partitions(&member, &topics),
        id: member.member,
        client: member.client_id,
        host: member.client_host,
    };
    let members = found.members.into_iter().map(member).collect();
    GroupDescription { group: group.clone(), state: found.state, members }
}

/// The topics that each part reads, with their partitions where the group knows them.
fn topics(topology: DescribedTopology) -> BTreeMap<String, Vec<(TopicName, Option<u32>)>> {
    let mut topics = BTreeMap::new();
    for part in topology.subtopologies.unwrap_or_default() {
        let sources = part.source_topics.iter().map(|topic| (topic.as_str(), None));
        let known = |count: i32| u32::try_from(count).ok().filter(|count| *count > 0);
        let own = part.repartition_sources.iter().map(|topic| (topic.name.as_str(), known(topic.partitions)));
        let legal = |(name, count)| TopicName::new(name).ok().map(|topic| (topic, count));
        topics.insert(part.id.clone(), sources.chain(own).filter_map(legal).collect());
    }
    topics
}

fn partitions(member: &StreamsMember, topics: &BTreeMap<String, Vec<(TopicName, Option<u32>)>>) -> Vec<TopicPartition> {
    let mut partitions = Vec::new();
    for tasks in &member.assignment.active {
        for (topic, count) in topics.get(&tasks.subtopology).into_iter().flatten() {
            let numbers = tasks.partitions.iter().filter_map(|number| u32::try_from(*number).ok());
            let there = numbers.filter(|number| count.is_none_or(|count| *number < count));
            partitions.extend(there.map(|number| TopicPartition::new(topic.clone(), PartitionId(number))));
        }
    }
    partitions.sort();
    partitions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::kafka::wire::{
        streams_describe::{DescribedSubtopology, MemberTasks},
        streams_heartbeat::{TaskIds, TopicInfo},
    };

    #[test]
    fn members_are_shown_with_the_partitions_that_they_read() {
        let own = TopicInfo { name: "by-key".into(), partitions: 2, ..TopicInfo::default() };
        let part = DescribedSubtopology {
            id: "0".into(),
            source_topics: vec!["in".into()],
            repartition_sources: vec![own],
            ..DescribedSubtopology::default()
        };
        let tasks = TaskIds { subtopology: "0".into(), partitions: vec![1, 2] };
        let strange = TaskIds { subtopology: "7".into(), partitions: vec![1, -2] };
        let assignment = MemberTasks { active: vec![tasks, strange], ..MemberTasks::default() };
        let member = StreamsMember { member: "m".into(), assignment, ..StreamsMember::default() };
        let topology = Some(DescribedTopology { epoch: 0, subtopologies: Some(vec![part]) });
        let group = StreamsGroup { state: "Stable".into(), topology, members: vec![member], ..StreamsGroup::default() };
        let shown = described(&GroupId::new("app").unwrap(), group);
        let partitions = shown.members[0].partitions.iter().map(|at| format!("{}-{}", at.topic, at.partition));
        let partitions: Vec<String> = partitions.collect();
        assert_eq!((shown.state.as_str(), partitions.join(" ").as_str()), ("Stable", "by-key-1 in-1 in-2"));
    }
}
