//! Groups: their positions, members and names.
#![expect(unsafe_code, reason = "admin calls of the library")]

use std::{ffi::CStr, ptr, time::Duration};

use rdkafka_sys::{
    rd_kafka_AdminOptions_set_require_stable_offsets, rd_kafka_AlterConsumerGroupOffsets,
    rd_kafka_AlterConsumerGroupOffsets_destroy, rd_kafka_AlterConsumerGroupOffsets_new,
    rd_kafka_AlterConsumerGroupOffsets_result_groups, rd_kafka_ConsumerGroupDescription_error,
    rd_kafka_ConsumerGroupDescription_group_id, rd_kafka_ConsumerGroupDescription_member,
    rd_kafka_ConsumerGroupDescription_member_count, rd_kafka_ConsumerGroupDescription_state,
    rd_kafka_DeleteGroup_destroy, rd_kafka_DeleteGroup_new, rd_kafka_DeleteGroups, rd_kafka_DeleteGroups_result_groups,
    rd_kafka_DescribeConsumerGroups, rd_kafka_DescribeConsumerGroups_result_groups, rd_kafka_ListConsumerGroupOffsets,
    rd_kafka_ListConsumerGroupOffsets_destroy, rd_kafka_ListConsumerGroupOffsets_new,
    rd_kafka_ListConsumerGroupOffsets_result_groups, rd_kafka_MemberAssignment_partitions,
    rd_kafka_MemberDescription_assignment, rd_kafka_MemberDescription_client_id,
    rd_kafka_MemberDescription_consumer_id, rd_kafka_MemberDescription_host, rd_kafka_MemberDescription_t,
    rd_kafka_admin_op_t, rd_kafka_consumer_group_state_name, rd_kafka_event_AlterConsumerGroupOffsets_result,
    rd_kafka_event_DeleteGroups_result, rd_kafka_event_DescribeConsumerGroups_result,
    rd_kafka_event_ListConsumerGroupOffsets_result, rd_kafka_group_result_error, rd_kafka_group_result_partitions,
    rd_kafka_group_result_t,
};

use super::{
    Client, Code, Failure, PartitionList,
    admin::{AdminCall, listed},
    c_text,
    partitions::{Entry, entries_of},
    text_of,
};
use crate::record::{GroupId, TopicPartition};

/// How far a group has read in a partition, with its own text.
pub(in crate::log::kafka) type GroupPartition = Entry;

/// A group and its members.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::log::kafka) struct Group {
    /// Its name.
    pub(in crate::log::kafka) name: String,
    /// What the cluster says of it: `Stable`, `Empty` and so on.
    pub(in crate::log::kafka) state: String,
    /// Who is in it.
    pub(in crate::log::kafka) members: Vec<MemberOf>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::log::kafka) struct MemberOf {
    /// The member's id.
    pub(in crate::log::kafka) id: String,
    /// What its client calls itself.
    pub(in crate::log::kafka) client: String,
    /// Where it is.
    pub(in crate::log::kafka) host: String,
    /// The partitions that it reads.
    pub(in crate::log::kafka) partitions: Vec<TopicPartition>,
}

/// The only group of an answer.
unsafe fn group_result(results: &[*const rd_kafka_group_result_t]) -> Result<Vec<Entry>, Failure> {
    let Some(&result) = results.first() else { return Err(Failure::of(Code::RD_KAFKA_RESP_ERR__FAIL)) };
    // SAFETY: the caller holds the answer.
    unsafe {
        let error = rd_kafka_group_result_error(result);
        if !error.is_null() {
            let failure = Failure::look(error);
            if failure.code != Code::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Err(failure);
            }
        }
        Ok(entries_of(rd_kafka_group_result_partitions(result)))
    }
}

/// How far a group has read: in these partitions, or in all that it knows. An open transaction on one of them is an error
/// of the whole, `UNSTABLE_OFFSET_COMMIT`.
pub(in crate::log::kafka) fn group_offsets(
    client: &Client,
    group: &GroupId,
    partitions: Option<&[TopicPartition]>,
    wait: Duration,
) -> Result<Vec<GroupPartition>, Failure> {
    let name = c_text(group.as_str());
    let list = partitions.map(|partitions| PartitionList::new(partitions.iter().map(|partition| (partition, -1001))));
    let call = AdminCall::new(client, rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS, wait);
    // SAFETY: all arguments outlive the call that copies them; the request is ours and is destroyed once.
    let entries = unsafe {
        Failure::take(rd_kafka_AdminOptions_set_require_stable_offsets(call.options, 1))?;
        let list = list.as_ref().map_or(ptr::null_mut(), PartitionList::raw);
        let mut request = rd_kafka_ListConsumerGroupOffsets_new(name.as_ptr(), list);
        rd_kafka_ListConsumerGroupOffsets(client.raw(), &raw mut request, 1, call.options, call.queue);
        rd_kafka_ListConsumerGroupOffsets_destroy(request);
        let answer = call.answer()?;
        let mut count = 0;
        let result = rd_kafka_event_ListConsumerGroupOffsets_result(answer.0);
        group_result(listed(rd_kafka_ListConsumerGroupOffsets_result_groups(result, &raw mut count), count))?
    };
    let failed = entries.iter().find(|entry| entry.code != Code::RD_KAFKA_RESP_ERR_NO_ERROR);
    match failed {
        Some(entry) if !Failure::of(entry.code).is_unknown_topic() => Err(Failure::of(entry.code)),
        _ => Ok(entries),
    }
}

/// Sets how far a group has read. The group must have no members.
pub(in crate::log::kafka) fn alter_group_offsets(
    client: &Client,
    group: &GroupId,
    positions: &PartitionList,
    wait: Duration,
) -> Result<(), Failure> {
    let name = c_text(group.as_str());
    let call = AdminCall::new(client, rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS, wait);
    // SAFETY: as above.
    let entries = unsafe {
        let mut request = rd_kafka_AlterConsumerGroupOffsets_new(name.as_ptr(), positions.raw());
        rd_kafka_AlterConsumerGroupOffsets(client.raw(), &raw mut request, 1, call.options, call.queue);
        rd_kafka_AlterConsumerGroupOffsets_destroy(request);
        let answer = call.answer()?;
        let mut count = 0;
        let result = rd_kafka_event_AlterConsumerGroupOffsets_result(answer.0);
        group_result(listed(rd_kafka_AlterConsumerGroupOffsets_result_groups(result, &raw mut count), count))?
    };
    entries.iter().try_for_each(|entry| Failure::check(entry.code))
}

/// Removes a group that has no members.
pub(in crate::log::kafka) fn delete_group(client: &Client, group: &GroupId, wait: Duration) -> Result<(), Failure> {
    let name = c_text(group.as_str());
    let call = AdminCall::new(client, rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DELETEGROUPS, wait);
    // SAFETY: as above.
    unsafe {
        let mut request = rd_kafka_DeleteGroup_new(name.as_ptr());
        rd_kafka_DeleteGroups(client.raw(), &raw mut request, 1, call.options, call.queue);
        rd_kafka_DeleteGroup_destroy(request);
        let answer = call.answer()?;
        let mut count = 0;
        let result = rd_kafka_event_DeleteGroups_result(answer.0);
        group_result(listed(rd_kafka_DeleteGroups_result_groups(result, &raw mut count), count)).map(|_| ())
    }
}

/// Groups with their members. Of kinds that the library does not know, only the name.
pub(in crate::log::kafka) fn describe_groups(
    client: &Client,
    groups: &[GroupId],
    wait: Duration,
) -> Result<Vec<Result<Group, Failure>>, Failure> {
    let names: Vec<_> = groups.iter().map(|group| c_text(group.as_str())).collect();
    let mut pointers: Vec<_> = names.iter().map(|name| CStr::as_ptr(name)).collect();
    let call = AdminCall::new(client, rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS, wait);
    // SAFETY: names and pointers outlive the call that copies them; what is listed lives as long as the answer.
    unsafe {
        rd_kafka_DescribeConsumerGroups(client.raw(), pointers.as_mut_ptr(), pointers.len(), call.options, call.queue);
        let answer = call.answer()?;
        let mut count = 0;
        let result = rd_kafka_event_DescribeConsumerGroups_result(answer.0);
        let groups = listed(rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count), count);
        let described = groups.iter().map(|&group| {
            let error = rd_kafka_ConsumerGroupDescription_error(group);
            if !error.is_null() {
                return Err(Failure::look(error));
            }
            let members = 0..rd_kafka_ConsumerGroupDescription_member_count(group);
            Ok(Group {
                name: text_of(rd_kafka_ConsumerGroupDescription_group_id(group)),
                state: text_of(rd_kafka_consumer_group_state_name(rd_kafka_ConsumerGroupDescription_state(group))),
                members: members.map(|at| member_of(rd_kafka_ConsumerGroupDescription_member(group, at))).collect(),
            })
        });
        Ok(described.collect())
    }
}

unsafe fn member_of(member: *const rd_kafka_MemberDescription_t) -> MemberOf {
    // SAFETY: the caller holds the answer.
    unsafe {
        let assignment = rd_kafka_MemberDescription_assignment(member);
        let entries = match assignment.is_null() {
            true => Vec::new(),
            false => entries_of(rd_kafka_MemberAssignment_partitions(assignment)),
        };
        MemberOf {
            id: text_of(rd_kafka_MemberDescription_consumer_id(member)),
            client: text_of(rd_kafka_MemberDescription_client_id(member)),
            host: text_of(rd_kafka_MemberDescription_host(member)),
            partitions: entries.into_iter().map(|entry| entry.partition).collect(),
        }
    }
}
