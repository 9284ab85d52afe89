//! Groups, for the tools that show and mend them.

use super::{
    KafkaLog,
    cluster::ASK,
    group, group_metadata,
    native::{Code, Failure, PartitionList, alter_group_offsets, delete_group, describe_groups, group_offsets},
    outcome::positions,
};
use crate::{
    log::{GroupOffset, LogError},
    record::{GroupId, Offset, TopicPartition},
};

/// A group and its members, as the cluster sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its name.
    pub group: GroupId,
    /// What it is doing: `Stable`, `Empty`, `PreparingRebalance`, ...
    pub state: String,
    /// Who is in it. Of groups that are neither classic, consumer nor streams groups, nobody is listed.
    pub members: Vec<GroupMemberDescription>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMemberDescription {
    /// The member's id.
    pub id: String,
    /// What its client calls itself.
    pub client: String,
    /// Where it connects from.
    pub host: String,
    /// The partitions that it reads.
    pub partitions: Vec<TopicPartition>,
}

impl KafkaLog {
    /// How far a group has read in each of these partitions, in their order: one question for all of them. It waits for transactions that may
    /// still change the answer.
    ///
    /// # Errors
    /// Those of reaching the cluster, and of missing rights.
    pub fn committed_in(
        &self,
        group: &GroupId,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<GroupOffset>>, LogError> {
        positions(&self.shared.cluster, group, partitions)
    }

    /// How far a group has read in all partitions in which it has.
    ///
    /// # Errors
    /// As [`committed_in`](Self::committed_in).
    pub fn group_positions(&self, group: &GroupId) -> Result<Vec<(TopicPartition, GroupOffset)>, LogError> {
        let cluster = &self.shared.cluster;
        let entries = cluster.ask(&format!("ask for the positions of group {group}"), || {
            group_offsets(&cluster.client, group, None, ASK)
        })?;
        let mut found: Vec<_> = entries
            .into_iter()
            .filter(|entry| entry.offset >= 0)
            .map(|entry| {
                let metadata = group_metadata::from_text(entry.metadata);
                (entry.partition, GroupOffset { next: Offset(entry.offset.unsigned_abs()), metadata })
            })
            .collect();
        found.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(found)
    }

    /// Sets how far a group has read. The group must have no members.
    ///
    /// # Errors
    /// If it has members, and those of reaching the cluster.
    pub fn set_group_positions(&self, group: &GroupId, to: &[(TopicPartition, GroupOffset)]) -> Result<(), LogError> {
        if to.is_empty() {
            return Ok(());
        }
        let mut list = PartitionList::empty();
        for (partition, position) in to {
            let next = i64::try_from(position.next.0).unwrap_or(i64::MAX);
            list.push_with(partition, next, group_metadata::to_text(&position.metadata).as_bytes());
        }
        let cluster = &self.shared.cluster;
        cluster.ask(&format!("set the positions of group {group}"), || {
            alter_group_offsets(&cluster.client, group, &list, ASK)
        })
    }

    /// Removes a group that has no members, with its positions; whether there was one.
    ///
    /// # Errors
    /// If it has members, and those of reaching the cluster.
    pub fn delete_group(&self, group: &GroupId) -> Result<bool, LogError> {
        let cluster = &self.shared.cluster;
        cluster.ask(&format!("delete group {group}"), || match delete_group(&cluster.client, group, ASK) {
            Ok(()) => Ok(true),
            Err(Failure { code: Code::RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND, .. }) => Ok(false),
            Err(failure) => Err(failure),
        })
    }

    /// The names of all groups of all kinds, in order. Groups whose names are none of ours are left out.
    ///
    /// # Errors
    /// Those of reaching the cluster.
    pub fn groups(&self) -> Result<Vec<GroupId>, LogError> {
        Ok(group::list(&self.shared.cluster.config)?.into_iter().collect())
    }

    /// A group and its members.
    ///
    /// # Errors
    /// Those of reaching the cluster, and of missing rights. A group that is not there is described as `Dead`.
    pub fn describe_group(&self, group: &GroupId) -> Result<GroupDescription, LogError> {
        let cluster = &self.shared.cluster;
        let found = cluster.ask(&format!("describe group {group}"), || {
            let described = describe_groups(&cluster.client, std::slice::from_ref(group), ASK)?;
            described.into_iter().next().unwrap_or_else(|| Err(Failure::of(Code::RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND)))
        })?;
        if found.members.is_empty()
            && let Some(streams) = self::group::describe(&cluster.config, group)?
        {
            return Ok(streams);
        }
        let members = found.members.into_iter().map(|member| GroupMemberDescription {
            id: member.id,
            client: member.client,
            host: member.host,
            partitions: member.partitions,
        });
        Ok(GroupDescription { group: group.clone(), state: found.state, members: members.collect() })
    }
}
