//! One partition read from one position on: a queue of its own, filled in the background.
#![expect(unsafe_code, reason = "queues of the library")]

use std::{
    ffi::{CString, c_void},
    ptr,
    sync::Arc,
    time::Duration,
};

use rdkafka_sys::{
    rd_kafka_consume_batch_queue, rd_kafka_consume_start_queue, rd_kafka_consume_stop, rd_kafka_get_watermark_offsets,
    rd_kafka_last_error, rd_kafka_message_t, rd_kafka_offsets_for_times, rd_kafka_position,
    rd_kafka_query_watermark_offsets, rd_kafka_queue_cb_event_enable, rd_kafka_queue_destroy, rd_kafka_queue_new,
    rd_kafka_queue_t, rd_kafka_t, rd_kafka_topic_destroy, rd_kafka_topic_new, rd_kafka_topic_t,
};

use super::{Client, Code, Failure, Message, PartitionList, c_text, millis};
use crate::{
    log::kafka::wake::Wake,
    record::{Timestamp, TopicPartition},
};

/// A partition on its way to us. One client has a partition at most once.
pub(in crate::log::kafka) struct PartitionReader {
    client: Arc<Client>,
    topic: *mut rd_kafka_topic_t,
    queue: *mut rd_kafka_queue_t,
    number: i32,
    name: CString,
    position: PartitionList,
    /// Told when the queue is no longer empty; the library holds its address until the queue is gone.
    _wake: Arc<Wake>,
}

// SAFETY: the library's handles may be used from any thread; this is used by one at a time.
unsafe impl Send for PartitionReader {}

impl PartitionReader {
    /// Begins to read at `from`.
    pub(in crate::log::kafka) fn start(
        client: &Arc<Client>,
        partition: &TopicPartition,
        from: i64,
        wake: &Arc<Wake>,
    ) -> Result<Self, Failure> {
        let name = c_text(partition.topic.as_str());
        let number = i32::try_from(partition.partition.0)
            .map_err(|_| Failure::of(Code::RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION))?;
        // SAFETY: client and name are alive; null settings are the client's own.
        let topic = unsafe { rd_kafka_topic_new(client.raw(), name.as_ptr(), ptr::null_mut()) };
        if topic.is_null() {
            // SAFETY: it speaks of this thread's last call.
            return Err(Failure::of(unsafe { rd_kafka_last_error() }));
        }
        // SAFETY: the client is alive.
        let queue = unsafe { rd_kafka_queue_new(client.raw()) };
        let position = PartitionList::new([(partition, 0)]);
        let (client, wake) = (Arc::clone(client), Arc::clone(wake));
        let reader = Self { client, topic, queue, number, name, position, _wake: Arc::clone(&wake) };
        // SAFETY: topic and queue are alive; the wake outlives the queue, in which its address is kept.
        let started = unsafe {
            rd_kafka_queue_cb_event_enable(queue, Some(on_arrival), Arc::as_ptr(&wake).cast_mut().cast());
            rd_kafka_consume_start_queue(topic, number, from, queue)
        };
        // SAFETY: as above.
        if started == 0 { Ok(reader) } else { Err(Failure::of(unsafe { rd_kafka_last_error() })) }
    }

    /// Moves what is there into `into`, `most` messages at most; waits for the first one up to `wait`.
    pub(in crate::log::kafka) fn read(&mut self, wait: Duration, most: usize, into: &mut Vec<Message>) {
        let mut taken = self.take(Duration::ZERO, most, into);
        if taken == 0 && !wait.is_zero() {
            // The library waits until it has as many as were asked for: one, here.
            taken = self.take(wait, 1, into);
            if taken == 1 && most > 1 {
                self.take(Duration::ZERO, most - 1, into);
            }
        }
    }

    fn take(&mut self, wait: Duration, most: usize, into: &mut Vec<Message>) -> usize {
        let mut batch: Vec<*mut rd_kafka_message_t> = vec![ptr::null_mut(); most];
        // SAFETY: the queue is alive, the array is as long as said.
        let taken = unsafe { rd_kafka_consume_batch_queue(self.queue, millis(wait), batch.as_mut_ptr(), most) };
        let taken = usize::try_from(taken).unwrap_or(0);
        // SAFETY: so many messages were handed to us.
        into.extend(batch[..taken].iter().map(|&raw| unsafe { Message::own(raw) }));
        taken
    }

    /// Where reading stands: past what was taken from the queue, and past the marks of transactions that followed it.
    pub(in crate::log::kafka) fn position(&self) -> Option<i64> {
        // SAFETY: client and list are alive.
        unsafe { rd_kafka_position(self.client.raw(), self.position.raw()) };
        // SAFETY: the list was made with one element.
        let offset = unsafe { (*(*self.position.raw()).elems).offset };
        (offset >= 0).then_some(offset)
    }

    /// The end of the partition, open transactions included, when something was last fetched.
    pub(in crate::log::kafka) fn high_watermark(&self) -> Option<i64> {
        let (mut low, mut high) = (-1, -1);
        // SAFETY: the client and the name are alive, the numbers are ours.
        let code = unsafe {
            rd_kafka_get_watermark_offsets(
                self.client.raw(),
                self.name.as_ptr(),
                self.number,
                &raw mut low,
                &raw mut high,
            )
        };
        (code == Code::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
    }
}

impl Drop for PartitionReader {
    fn drop(&mut self) {
        // SAFETY: all three are ours; the callback is taken off before the wake may go.
        unsafe {
            rd_kafka_queue_cb_event_enable(self.queue, None, ptr::null_mut());
            rd_kafka_consume_stop(self.topic, self.number);
            rd_kafka_queue_destroy(self.queue);
            rd_kafka_topic_destroy(self.topic);
        }
    }
}

/// Something came into an empty queue.
unsafe extern "C" fn on_arrival(_client: *mut rd_kafka_t, wake: *mut c_void) {
    // SAFETY: the reader keeps the wake until the callback is taken off.
    let wake = unsafe { &*wake.cast_const().cast::<Wake>() };
    wake.bump();
}

/// The first offset of a partition, and up to where it can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::log::kafka) struct Watermarks {
    /// The first record there.
    pub(in crate::log::kafka) start: i64,
    /// Up to where all transactions are decided.
    pub(in crate::log::kafka) stable: i64,
}

/// Asks the partition's leader.
pub(in crate::log::kafka) fn watermarks(
    client: &Client,
    partition: &TopicPartition,
    wait: Duration,
) -> Result<Watermarks, Failure> {
    let name = c_text(partition.topic.as_str());
    let number = i32::try_from(partition.partition.0).unwrap_or(i32::MAX);
    let (mut start, mut stable) = (-1, -1);
    // SAFETY: the client and the name are alive, the numbers are ours.
    let code = unsafe {
        rd_kafka_query_watermark_offsets(
            client.raw(),
            name.as_ptr(),
            number,
            &raw mut start,
            &raw mut stable,
            millis(wait),
        )
    };
    Failure::check(code).map(|()| Watermarks { start, stable })
}

/// The first offset with this timestamp or a later one; below zero if there is none.
pub(in crate::log::kafka) fn offset_at(
    client: &Client,
    partition: &TopicPartition,
    timestamp: Timestamp,
    wait: Duration,
) -> Result<i64, Failure> {
    let list = PartitionList::new([(partition, timestamp.millis().max(0))]);
    // SAFETY: the client and the list are alive.
    let code = unsafe { rd_kafka_offsets_for_times(client.raw(), list.raw(), millis(wait)) };
    Failure::check(code)?;
    let entries = list.entries();
    let entry = entries.first().ok_or_else(|| Failure::of(Code::RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION))?;
    Failure::check(entry.code).map(|()| entry.offset)
}
