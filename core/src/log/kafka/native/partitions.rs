//! The library's list of partitions, each with an offset and what a group has to say of it.
#![expect(unsafe_code, reason = "a list of the library")]

use std::{ptr, slice};

use rdkafka_sys::{
    rd_kafka_mem_malloc, rd_kafka_topic_partition_list_add, rd_kafka_topic_partition_list_destroy,
    rd_kafka_topic_partition_list_new, rd_kafka_topic_partition_list_t, rd_kafka_topic_partition_t,
};

use super::{Code, c_text, text_of};
use crate::record::{PartitionId, TopicName, TopicPartition};

/// A list that is ours.
pub(in crate::log::kafka) struct PartitionList(*mut rd_kafka_topic_partition_list_t);

// SAFETY: a list is plain memory, and nothing changes it through a shared reference but calls of the library that take it over for their time.
unsafe impl Send for PartitionList {}
// SAFETY: as above.
unsafe impl Sync for PartitionList {}

/// One partition of a list.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::log::kafka) struct Entry {
    /// Which one.
    pub(in crate::log::kafka) partition: TopicPartition,
    /// An offset, or below zero one of the library's words for none.
    pub(in crate::log::kafka) offset: i64,
    /// A group's own text.
    pub(in crate::log::kafka) metadata: Vec<u8>,
    /// What went wrong with it.
    pub(in crate::log::kafka) code: Code,
}

impl PartitionList {
    /// A list of these, each with an offset.
    pub(in crate::log::kafka) fn new<'a>(entries: impl IntoIterator<Item = (&'a TopicPartition, i64)>) -> Self {
        let mut list = Self::empty();
        for (partition, offset) in entries {
            list.push(partition, offset);
        }
        list
    }

    /// A list of nothing.
    pub(in crate::log::kafka) fn empty() -> Self {
        // SAFETY: the number is a hint only.
        Self(unsafe { rd_kafka_topic_partition_list_new(8) })
    }

    fn push(&mut self, partition: &TopicPartition, offset: i64) -> *mut rd_kafka_topic_partition_t {
        let topic = c_text(partition.topic.as_str());
        let number = i32::try_from(partition.partition.0).unwrap_or(i32::MAX);
        // SAFETY: the list and the name are alive; the new entry is ours until the next one is added.
        unsafe {
            let entry = rd_kafka_topic_partition_list_add(self.0, topic.as_ptr(), number);
            (*entry).offset = offset;
            entry
        }
    }

    /// Adds a partition with an offset and a group's text.
    pub(in crate::log::kafka) fn push_with(&mut self, partition: &TopicPartition, offset: i64, metadata: &[u8]) {
        let entry = self.push(partition, offset);
        if metadata.is_empty() {
            return;
        }
        // SAFETY: the list frees the copy with the library's own `free`, which belongs to this `malloc`.
        unsafe {
            let copy = rd_kafka_mem_malloc(ptr::null_mut(), metadata.len());
            if !copy.is_null() {
                ptr::copy_nonoverlapping(metadata.as_ptr(), copy.cast(), metadata.len());
                (*entry).metadata = copy;
                (*entry).metadata_size = metadata.len();
            }
        }
    }

    pub(super) fn raw(&self) -> *mut rd_kafka_topic_partition_list_t {
        self.0
    }

    /// What is in the list now.
    pub(in crate::log::kafka) fn entries(&self) -> Vec<Entry> {
        entries_of(self.0)
    }
}

/// What is in a list, whoever owns it. Names that are no topic's are left out.
pub(super) fn entries_of(list: *const rd_kafka_topic_partition_list_t) -> Vec<Entry> {
    if list.is_null() {
        return Vec::new();
    }
    // SAFETY: the list is alive; its elements are `cnt` in a row, or none.
    let elements = unsafe {
        match (*list).cnt {
            0 => &[][..],
            count => slice::from_raw_parts((*list).elems, usize::try_from(count).unwrap_or(0)),
        }
    };
    elements.iter().filter_map(entry_of).collect()
}

fn entry_of(element: &rd_kafka_topic_partition_t) -> Option<Entry> {
    let topic = TopicName::new(&text_of(element.topic)).ok()?;
    let number = u32::try_from(element.partition).ok()?;
    let metadata = match element.metadata.is_null() {
        true => Vec::new(),
        // SAFETY: the library says how long it is.
        false => unsafe { slice::from_raw_parts(element.metadata.cast::<u8>(), element.metadata_size) }.to_vec(),
    };
    let partition = TopicPartition::new(topic, PartitionId(number));
    Some(Entry { partition, offset: element.offset, metadata, code: element.err })
}

impl Drop for PartitionList {
    fn drop(&mut self) {
        // SAFETY: the list is ours alone.
        unsafe { rd_kafka_topic_partition_list_destroy(self.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_gives_back_what_was_put_in() {
        let one = TopicPartition::new("a".parse().unwrap(), PartitionId(3));
        let mut list = PartitionList::new([(&one, 7)]);
        list.push_with(&one, 8, b"x\0y");
        let back: Vec<_> = list.entries().into_iter().map(|entry| (entry.offset, entry.metadata)).collect();
        assert_eq!(back, [(7, vec![]), (8, b"x\0y".to_vec())]);
    }
}
