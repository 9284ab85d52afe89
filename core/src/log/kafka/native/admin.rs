//! Topics: made, removed, described, listed, shortened.
#![expect(unsafe_code, reason = "admin calls of the library")]

use std::{collections::HashMap, ffi::c_char, ptr, slice, time::Duration};

use rdkafka_sys::{
    rd_kafka_AdminOptions_destroy, rd_kafka_AdminOptions_new, rd_kafka_AdminOptions_set_isolation_level,
    rd_kafka_AdminOptions_set_operation_timeout, rd_kafka_AdminOptions_set_request_timeout, rd_kafka_AdminOptions_t,
    rd_kafka_ConfigEntry_name, rd_kafka_ConfigEntry_value, rd_kafka_ConfigResource_configs,
    rd_kafka_ConfigResource_destroy, rd_kafka_ConfigResource_error, rd_kafka_ConfigResource_error_string,
    rd_kafka_ConfigResource_new, rd_kafka_CreateTopics, rd_kafka_CreateTopics_result_topics, rd_kafka_DeleteRecords,
    rd_kafka_DeleteRecords_destroy, rd_kafka_DeleteRecords_new, rd_kafka_DeleteRecords_result_offsets,
    rd_kafka_DeleteTopic_destroy, rd_kafka_DeleteTopic_new, rd_kafka_DeleteTopics, rd_kafka_DeleteTopics_result_topics,
    rd_kafka_DescribeConfigs, rd_kafka_DescribeConfigs_result_resources, rd_kafka_DescribeTopics,
    rd_kafka_DescribeTopics_result_topics, rd_kafka_IsolationLevel_t, rd_kafka_ListOffsets,
    rd_kafka_ListOffsets_result_infos, rd_kafka_ListOffsetsResultInfo_topic_partition, rd_kafka_NewTopic_destroy,
    rd_kafka_NewTopic_new, rd_kafka_NewTopic_set_config, rd_kafka_OffsetSpec_t, rd_kafka_ResourceType_t,
    rd_kafka_TopicCollection_destroy, rd_kafka_TopicCollection_of_topic_names, rd_kafka_TopicDescription_error,
    rd_kafka_TopicDescription_partitions, rd_kafka_TopicDescription_topic_id, rd_kafka_Uuid_least_significant_bits,
    rd_kafka_Uuid_most_significant_bits, rd_kafka_admin_op_t, rd_kafka_event_CreateTopics_result,
    rd_kafka_event_DeleteRecords_result, rd_kafka_event_DeleteTopics_result, rd_kafka_event_DescribeConfigs_result,
    rd_kafka_event_DescribeTopics_result, rd_kafka_event_ListOffsets_result, rd_kafka_event_destroy,
    rd_kafka_event_error, rd_kafka_event_error_string, rd_kafka_event_t, rd_kafka_metadata, rd_kafka_metadata_destroy,
    rd_kafka_queue_destroy, rd_kafka_queue_new, rd_kafka_queue_poll, rd_kafka_queue_t, rd_kafka_topic_result_error,
    rd_kafka_topic_result_error_string, rd_kafka_topic_result_t,
};

use super::{Client, Code, Failure, PartitionList, c_text, millis, partitions::entries_of, text_of};
use crate::record::{TopicName, TopicPartition};

/// A call of the library's that answers by an event: its options, and the queue for the event.
pub(super) struct AdminCall<'a> {
    /// Both are to be gone before it.
    _client: &'a Client,
    pub(super) options: *mut rd_kafka_AdminOptions_t,
    pub(super) queue: *mut rd_kafka_queue_t,
    wait: Duration,
}

/// The event that answers a call.
pub(super) struct Answer(pub(super) *mut rd_kafka_event_t);

impl<'a> AdminCall<'a> {
    /// A call of a kind that is to be answered within `wait`.
    pub(super) fn new(client: &'a Client, kind: rd_kafka_admin_op_t, wait: Duration) -> Self {
        let mut problem = [0; 256];
        // SAFETY: the client is alive, the buffer is as long as said. A time-out that the library refuses leaves its own.
        let (options, queue) = unsafe {
            let options = rd_kafka_AdminOptions_new(client.raw(), kind);
            rd_kafka_AdminOptions_set_request_timeout(options, millis(wait), problem.as_mut_ptr(), problem.len());
            (options, rd_kafka_queue_new(client.raw()))
        };
        Self { _client: client, options, queue, wait }
    }

    /// Lets the brokers finish the work before they answer.
    fn until_done(self) -> Self {
        let mut problem = [0; 256];
        // SAFETY: the options are alive, the buffer is as long as said.
        unsafe {
            rd_kafka_AdminOptions_set_operation_timeout(
                self.options,
                millis(self.wait),
                problem.as_mut_ptr(),
                problem.len(),
            );
        }
        self
    }

    /// Waits for the answer.
    pub(super) fn answer(&self) -> Result<Answer, Failure> {
        let patience = self.wait + Duration::from_secs(5);
        // SAFETY: the queue is alive.
        let event = unsafe { rd_kafka_queue_poll(self.queue, millis(patience)) };
        if event.is_null() {
            return Err(Failure::of(Code::RD_KAFKA_RESP_ERR__TIMED_OUT));
        }
        let answer = Answer(event);
        // SAFETY: the event is alive.
        let (code, text) = unsafe { (rd_kafka_event_error(event), text_of(rd_kafka_event_error_string(event))) };
        if code == Code::RD_KAFKA_RESP_ERR_NO_ERROR { Ok(answer) } else { Err(Failure::said(code, text)) }
    }
}

impl Drop for AdminCall<'_> {
    fn drop(&mut self) {
        // SAFETY: both are ours; an answer that comes later is dropped by the library.
        unsafe {
            rd_kafka_AdminOptions_destroy(self.options);
            rd_kafka_queue_destroy(self.queue);
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: the event is ours.
        unsafe { rd_kafka_event_destroy(self.0) };
    }
}

/// What a result lists: `count` pointers in a row.
///
/// # Safety
/// `list` was given by the library together with `count`, and lives as long as its answer does.
pub(super) unsafe fn listed<'a, T>(list: *mut *const T, count: usize) -> &'a [*const T] {
    if list.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: as the caller says.
    unsafe { slice::from_raw_parts(list.cast_const(), count) }
}

/// Whether the only topic of an answer went well.
unsafe fn topic_result(results: &[*const rd_kafka_topic_result_t]) -> Result<(), Failure> {
    let Some(&result) = results.first() else { return Err(Failure::of(Code::RD_KAFKA_RESP_ERR__FAIL)) };
    // SAFETY: the caller holds the answer.
    let (code, text) =
        unsafe { (rd_kafka_topic_result_error(result), text_of(rd_kafka_topic_result_error_string(result))) };
    if code == Code::RD_KAFKA_RESP_ERR_NO_ERROR { Ok(()) } else { Err(Failure::said(code, text)) }
}

/// Makes a topic and waits until all brokers know of it. `replication` of -1 is the cluster's default.
pub(in crate::log::kafka) fn create_topic(
    client: &Client,
    topic: &TopicName,
    partitions: u32,
    replication: i32,
    configs: &[(&str, String)],
    wait: Duration,
) -> Result<(), Failure> {
    let mut problem: [c_char; 256] = [0; 256];
    let name = c_text(topic.as_str());
    let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
    let call = AdminCall::new(client, rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATETOPICS, wait).until_done();
    // SAFETY: all arguments outlive the call that copies them; the new topic is ours and is destroyed once.
    unsafe {
        let mut new =
            rd_kafka_NewTopic_new(name.as_ptr(), partitions, replication, problem.as_mut_ptr(), problem.len());
        if new.is_null() {
            return Err(Failure::said(Code::RD_KAFKA_RESP_ERR__INVALID_ARG, text_of(problem.as_ptr())));
        }
        for (key, value) in configs {
            rd_kafka_NewTopic_set_config(new, c_text(key).as_ptr(), c_text(value).as_ptr());
        }
        rd_kafka_CreateTopics(client.raw(), &raw mut new, 1, call.options, call.queue);
        rd_kafka_NewTopic_destroy(new);
        let answer = call.answer()?;
        let mut count = 0;
        let results = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(answer.0), &raw mut count);
        topic_result(listed(results, count))
    }
}

/// Removes a topic.
pub(in crate::log::kafka) fn delete_topic(client: &Client, topic: &TopicName, wait: Duration) -> Result<(), Failure> {
    let name = c_text(topic.as_str());
    let call = AdminCall::new(client, rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DELETETOPICS, wait).until_done();
    // SAFETY: as in `create_topic`.
    unsafe {
        let mut old = rd_kafka_DeleteTopic_new(name.as_ptr());
        rd_kafka_DeleteTopics(client.raw(), &raw mut old, 1, call.options, call.queue);
        rd_kafka_DeleteTopic_destroy(old);
        let answer = call.answer()?;
        let mut count = 0;
        let results = rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(answer.0), &raw mut count);
        topic_result(listed(results, count))
    }
}

/// A topic as the cluster describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::log::kafka) struct DescribedTopic {
    /// How many partitions it has.
    pub(in crate::log::kafka) partitions: u32,
    /// Its id: another one after it was removed and made again.
    pub(in crate::log::kafka) id: u128,
}

/// Describes topics; the answers are in the order of the names.
pub(in crate::log::kafka) fn describe_topics(
    client: &Client,
    topics: &[TopicName],
    wait: Duration,
) -> Result<Vec<Result<DescribedTopic, Failure>>, Failure> {
    let names: Vec<_> = topics.iter().map(|topic| c_text(topic.as_str())).collect();
    let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
    let call = AdminCall::new(client, rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, wait);
    // SAFETY: names and pointers outlive the call that copies them; what is listed lives as long as the answer.
    unsafe {
        let collection = rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        rd_kafka_DescribeTopics(client.raw(), collection, call.options, call.queue);
        rd_kafka_TopicCollection_destroy(collection);
        let answer = call.answer()?;
        let mut count = 0;
        let results =
            rd_kafka_DescribeTopics_result_topics(rd_kafka_event_DescribeTopics_result(answer.0), &raw mut count);
        let described = listed(results, count).iter().map(|&topic| {
            let failure = Failure::look(rd_kafka_TopicDescription_error(topic));
            if failure.code != Code::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Err(failure);
            }
            let mut partitions = 0;
            rd_kafka_TopicDescription_partitions(topic, &raw mut partitions);
            let id = rd_kafka_TopicDescription_topic_id(topic);
            let half = |bits: i64| u128::from(bits.cast_unsigned());
            let id =
                half(rd_kafka_Uuid_most_significant_bits(id)) << 64 | half(rd_kafka_Uuid_least_significant_bits(id));
            Ok(DescribedTopic { partitions: u32::try_from(partitions).unwrap_or(u32::MAX), id })
        });
        Ok(described.collect())
    }
}

/// The settings of a topic, by name.
pub(in crate::log::kafka) type Settings = HashMap<String, String>;

/// The settings of topics by name and value; the answers are in the order of the names.
pub(in crate::log::kafka) fn topic_configs(
    client: &Client,
    topics: &[TopicName],
    wait: Duration,
) -> Result<Vec<Result<Settings, Failure>>, Failure> {
    let call = AdminCall::new(client, rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, wait);
    // SAFETY: as in `describe_topics`; the resources are ours and are destroyed once.
    unsafe {
        let kind = rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC;
        let resource = |topic: &TopicName| rd_kafka_ConfigResource_new(kind, c_text(topic.as_str()).as_ptr());
        let mut resources: Vec<_> = topics.iter().map(resource).collect();
        rd_kafka_DescribeConfigs(client.raw(), resources.as_mut_ptr(), resources.len(), call.options, call.queue);
        for resource in resources {
            rd_kafka_ConfigResource_destroy(resource);
        }
        let answer = call.answer()?;
        let mut count = 0;
        let results =
            rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(answer.0), &raw mut count);
        let described = listed(results, count).iter().map(|&resource| {
            let code = rd_kafka_ConfigResource_error(resource);
            if code != Code::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Err(Failure::said(code, text_of(rd_kafka_ConfigResource_error_string(resource))));
            }
            let mut count = 0;
            let entries = rd_kafka_ConfigResource_configs(resource, &raw mut count);
            let entries = listed(entries, count).iter();
            Ok(entries
                .map(|&entry| (text_of(rd_kafka_ConfigEntry_name(entry)), text_of(rd_kafka_ConfigEntry_value(entry))))
                .collect())
        });
        Ok(described.collect())
    }
}

/// Removes the records of a partition below an offset.
pub(in crate::log::kafka) fn delete_records(
    client: &Client,
    partition: &TopicPartition,
    before: i64,
    wait: Duration,
) -> Result<(), Failure> {
    let list = PartitionList::new([(partition, before)]);
    let call = AdminCall::new(client, rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DELETERECORDS, wait).until_done();
    // SAFETY: as in `create_topic`.
    unsafe {
        let mut deletion = rd_kafka_DeleteRecords_new(list.raw());
        rd_kafka_DeleteRecords(client.raw(), &raw mut deletion, 1, call.options, call.queue);
        rd_kafka_DeleteRecords_destroy(deletion);
        let answer = call.answer()?;
        let result = rd_kafka_event_DeleteRecords_result(answer.0);
        let entries = entries_of(rd_kafka_DeleteRecords_result_offsets(result));
        let code = entries.first().map_or(Code::RD_KAFKA_RESP_ERR_NO_ERROR, |entry| entry.code);
        Failure::check(code)
    }
}

/// The offset that the next record gets, decided or not.
pub(in crate::log::kafka) fn high_watermark(
    client: &Client,
    partition: &TopicPartition,
    wait: Duration,
) -> Result<i64, Failure> {
    let latest = rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_LATEST as i64;
    let list = PartitionList::new([(partition, latest)]);
    let call = AdminCall::new(client, rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS, wait);
    // SAFETY: as in `create_topic`.
    unsafe {
        let level = rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED;
        Failure::take(rd_kafka_AdminOptions_set_isolation_level(call.options, level))?;
        rd_kafka_ListOffsets(client.raw(), list.raw(), call.options, call.queue);
        let answer = call.answer()?;
        let mut count = 0;
        let infos = rd_kafka_ListOffsets_result_infos(rd_kafka_event_ListOffsets_result(answer.0), &raw mut count);
        let Some(&info) = listed(infos, count).first() else {
            return Err(Failure::of(Code::RD_KAFKA_RESP_ERR__FAIL));
        };
        let entry = rd_kafka_ListOffsetsResultInfo_topic_partition(info);
        Failure::check((*entry).err).map(|()| (*entry).offset)
    }
}

/// Asks whoever answers first for something small.
pub(in crate::log::kafka) fn reach(client: &Client, wait: Duration) -> Result<(), Failure> {
    let mut metadata = ptr::null();
    // SAFETY: the client is alive; the answer is ours and is destroyed once.
    unsafe {
        Failure::check(rd_kafka_metadata(client.raw(), 0, ptr::null_mut(), &raw mut metadata, millis(wait)))?;
        rd_kafka_metadata_destroy(metadata);
    }
    Ok(())
}

/// The names of all topics. Names that are none of ours are left out.
pub(in crate::log::kafka) fn topic_names(client: &Client, wait: Duration) -> Result<Vec<TopicName>, Failure> {
    let mut metadata = ptr::null();
    // SAFETY: the client is alive; the answer is ours and is destroyed once, after it was read.
    unsafe {
        Failure::check(rd_kafka_metadata(client.raw(), 1, ptr::null_mut(), &raw mut metadata, millis(wait)))?;
        let count = usize::try_from((*metadata).topic_cnt).unwrap_or(0);
        let topics = if count == 0 { &[][..] } else { slice::from_raw_parts((*metadata).topics, count) };
        let names = topics.iter().filter(|topic| topic.err == Code::RD_KAFKA_RESP_ERR_NO_ERROR);
        let mut names: Vec<_> = names.filter_map(|topic| TopicName::new(&text_of(topic.topic)).ok()).collect();
        rd_kafka_metadata_destroy(metadata);
        names.sort();
        Ok(names)
    }
}
