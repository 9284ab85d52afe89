//! A transactional producer: records and positions of one transaction after another.
//!
//! Payloads are not copied on their way: [`Transactions::send`] returns only when the library has let go of all of them.
#![expect(unsafe_code, reason = "producers of the library")]

use std::{
    collections::HashMap,
    ffi::{c_int, c_void},
    ptr,
    sync::Arc,
    time::Duration,
};

use rdkafka_sys::{
    RD_KAFKA_MSG_F_PARTITION, RD_KAFKA_PURGE_F_INFLIGHT, RD_KAFKA_PURGE_F_QUEUE, rd_kafka_abort_transaction,
    rd_kafka_begin_transaction, rd_kafka_commit_transaction, rd_kafka_fatal_error, rd_kafka_flush, rd_kafka_header_add,
    rd_kafka_headers_destroy, rd_kafka_headers_new, rd_kafka_headers_t, rd_kafka_init_transactions,
    rd_kafka_last_error, rd_kafka_message_t, rd_kafka_poll, rd_kafka_producev, rd_kafka_purge, rd_kafka_t,
    rd_kafka_topic_destroy, rd_kafka_topic_new, rd_kafka_topic_t, rd_kafka_vtype_t,
};

use super::{
    Client, Code, Failure, PartitionList, c_text, millis,
    offsets::{Call, OffsetsThread, given_up},
    text_of, zero_time,
};
use crate::{
    log::{Append, GroupMember},
    record::{GroupId, Header, RecordRef, TopicName},
};

/// What has become of the records of one append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::log::kafka) struct Delivery {
    /// The offset of the first record.
    pub(in crate::log::kafka) base: i64,
    /// The offset of the last record.
    pub(in crate::log::kafka) last: i64,
}

/// What the library has reported since the last [`Transactions::send`] began.
#[derive(Default)]
pub(super) struct Deliveries {
    appends: Vec<Option<Delivery>>,
    reported: usize,
    failure: Option<Failure>,
}

/// The library is done with a record.
pub(super) unsafe extern "C" fn on_delivery(
    client: *mut rd_kafka_t,
    message: *const rd_kafka_message_t,
    context: *mut c_void,
) {
    let _ = client;
    // SAFETY: the opaque is the context, which outlives the client; the message lives as long as this call.
    let (context, message) = unsafe { (&*context.cast_const().cast::<super::client::Context>(), &*message) };
    let mut deliveries = context.deliveries.lock();
    deliveries.reported += 1;
    if message.err != Code::RD_KAFKA_RESP_ERR_NO_ERROR {
        let failure = Failure::of(message.err);
        deliveries.failure.get_or_insert(failure);
        return;
    }
    let append = message._private.addr();
    if let Some(known) = deliveries.appends.get_mut(append) {
        let offset = message.offset;
        let delivery = known.get_or_insert(Delivery { base: offset, last: offset });
        delivery.base = delivery.base.min(offset);
        delivery.last = delivery.last.max(offset);
    }
}

/// A transactional producer.
pub(in crate::log::kafka) struct Transactions {
    client: Arc<Client>,
    topics: HashMap<TopicName, TopicHandle>,
    /// Who puts positions into transactions, once there were any.
    offsets: Option<OffsetsThread>,
}

struct TopicHandle(*mut rd_kafka_topic_t);

// SAFETY: the library's handles may be used from any thread.
unsafe impl Send for TopicHandle {}

impl Drop for TopicHandle {
    fn drop(&mut self) {
        // SAFETY: it is ours, and the client is dropped after it.
        unsafe { rd_kafka_topic_destroy(self.0) };
    }
}

/// Topics that a producer keeps handles of; more than that, and it begins anew.
const MOST_TOPICS: usize = 1_000;

impl Drop for Transactions {
    fn drop(&mut self) {
        self.topics.clear();
    }
}

/// A record to send, and the number of the append that it belongs to.
#[derive(Clone, Copy)]
pub(in crate::log::kafka) struct Outgoing<'a> {
    append: usize,
    partition: i32,
    record: RecordRef<'a>,
}

impl Transactions {
    /// What writes with a client of the writing role.
    pub(in crate::log::kafka) fn new(client: Arc<Client>) -> Self {
        Self { client, topics: HashMap::new(), offsets: None }
    }

    /// Fences whoever had the transactional id, and waits until its last transaction is settled.
    pub(in crate::log::kafka) fn init(&self, wait: Duration) -> Result<(), Failure> {
        // SAFETY: the client is alive.
        Failure::take(unsafe { rd_kafka_init_transactions(self.client.raw(), millis(wait)) })
    }

    /// Begins a transaction.
    pub(in crate::log::kafka) fn begin(&self) -> Result<(), Failure> {
        // SAFETY: the client is alive.
        Failure::take(unsafe { rd_kafka_begin_transaction(self.client.raw()) })
    }

    /// Commits the transaction. To be called again after [`Remedy::Retry`](super::failure::Remedy::Retry).
    pub(in crate::log::kafka) fn commit(&self) -> Result<(), Failure> {
        // SAFETY: the client is alive; -1 is the rest of the transaction's time.
        Failure::take(unsafe { rd_kafka_commit_transaction(self.client.raw(), -1) })
    }

    /// Aborts the transaction. To be called again after [`Remedy::Retry`](super::failure::Remedy::Retry).
    pub(in crate::log::kafka) fn abort(&self) -> Result<(), Failure> {
        // SAFETY: as above.
        Failure::take(unsafe { rd_kafka_abort_transaction(self.client.raw(), -1) })
    }

    /// Why the client is of no use any more, if it is.
    pub(in crate::log::kafka) fn fatal(&self) -> Option<Failure> {
        let mut text = [0; 512];
        // SAFETY: the client is alive, the buffer is as long as said.
        let code = unsafe { rd_kafka_fatal_error(self.client.raw(), text.as_mut_ptr(), text.len()) };
        (code != Code::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| Failure::said(code, text_of(text.as_ptr())))
    }

    /// Puts positions of a group into the transaction, in the name of a member if there is one. After `wait` the call is given up, and with it the
    /// client.
    pub(in crate::log::kafka) fn send_offsets(
        &mut self,
        group: &GroupId,
        member: Option<&GroupMember>,
        positions: &Arc<PartitionList>,
        wait: Duration,
    ) -> Result<(), Failure> {
        let thread = match &mut self.offsets {
            Some(thread) => thread,
            none => none.insert(OffsetsThread::start(Arc::clone(&self.client))?),
        };
        thread.call(Call::new(group, member, positions), wait).unwrap_or_else(|| Err(given_up(wait)))
    }

    /// Sends all records and waits until each has arrived, or one has failed and the others were taken back.
    /// One delivery an append; `None` for one without records.
    pub(in crate::log::kafka) fn send(&mut self, appends: &[Append]) -> Result<Vec<Option<Delivery>>, Failure> {
        *self.client.deliveries().lock() =
            Deliveries { appends: vec![None; appends.len()], reported: 0, failure: None };
        let (sent, refused) = self.enqueue(appends);
        if refused.is_some() {
            self.take_back();
        }
        self.await_reports(sent);
        let deliveries = std::mem::take(&mut *self.client.deliveries().lock());
        match refused.or(deliveries.failure) {
            Some(failure) => Err(self.fatal().unwrap_or(failure)),
            None => Ok(deliveries.appends),
        }
    }

    /// Hands everything to the library; how many it took, and why it took no more.
    fn enqueue(&mut self, appends: &[Append]) -> (usize, Option<Failure>) {
        let mut sent = 0;
        for (append, Append { partition, records }) in appends.iter().enumerate() {
            let topic = match self.topic(&partition.topic) {
                Ok(topic) => topic,
                Err(failure) => return (sent, Some(failure)),
            };
            let number = i32::try_from(partition.partition.0).unwrap_or(i32::MAX);
            for record in records.iter() {
                if let Err(failure) = self.enqueue_one(topic, Outgoing { append, partition: number, record }) {
                    return (sent, Some(failure));
                }
                sent += 1;
            }
            // What failed already makes the rest useless.
            if self.client.deliveries().lock().failure.is_some() {
                break;
            }
        }
        (sent, None)
    }

    fn enqueue_one(&self, topic: *mut rd_kafka_topic_t, outgoing: Outgoing<'_>) -> Result<(), Failure> {
        loop {
            match self.try_enqueue(topic, outgoing) {
                Code::RD_KAFKA_RESP_ERR_NO_ERROR => return Ok(()),
                // SAFETY: the client is alive; reports are served, which makes room.
                Code::RD_KAFKA_RESP_ERR__QUEUE_FULL => _ = unsafe { rd_kafka_poll(self.client.raw(), 10) },
                code => return Err(Failure::of(code)),
            }
            if let Some(failure) = self.fatal() {
                return Err(failure);
            }
        }
    }

    fn try_enqueue(&self, topic: *mut rd_kafka_topic_t, outgoing: Outgoing<'_>) -> Code {
        let Outgoing { append, partition, record } = outgoing;
        let part = |bytes: Option<&[u8]>| bytes.map_or((ptr::null(), 0), |bytes| (bytes.as_ptr(), bytes.len()));
        let ((key, key_length), (value, value_length)) = (part(record.key), part(record.value));
        let headers = headers_of(record.headers);
        let kind = |kind: rd_kafka_vtype_t| kind as c_int;
        // SAFETY: each kind is followed by arguments of the types that the library documents for it. The value stays where it is
        // until its report has come: `send` waits for all of them. The library takes the headers over if it takes the record.
        let code = unsafe {
            rd_kafka_producev(
                self.client.raw(),
                kind(rd_kafka_vtype_t::RD_KAFKA_VTYPE_RKT),
                topic,
                kind(rd_kafka_vtype_t::RD_KAFKA_VTYPE_PARTITION),
                partition,
                kind(rd_kafka_vtype_t::RD_KAFKA_VTYPE_MSGFLAGS),
                RD_KAFKA_MSG_F_PARTITION as c_int,
                kind(rd_kafka_vtype_t::RD_KAFKA_VTYPE_KEY),
                key.cast::<c_void>(),
                key_length,
                kind(rd_kafka_vtype_t::RD_KAFKA_VTYPE_VALUE),
                value.cast_mut().cast::<c_void>(),
                value_length,
                kind(rd_kafka_vtype_t::RD_KAFKA_VTYPE_OPAQUE),
                ptr::without_provenance_mut::<c_void>(append),
                kind(rd_kafka_vtype_t::RD_KAFKA_VTYPE_TIMESTAMP),
                zero_time::marked(record.timestamp),
                kind(rd_kafka_vtype_t::RD_KAFKA_VTYPE_HEADERS),
                headers,
                kind(rd_kafka_vtype_t::RD_KAFKA_VTYPE_END),
            )
        };
        if code != Code::RD_KAFKA_RESP_ERR_NO_ERROR && !headers.is_null() {
            // SAFETY: they stayed ours.
            unsafe { rd_kafka_headers_destroy(headers) };
        }
        code
    }

    /// Gives up what is queued and under way: its reports come at once, as failures.
    fn take_back(&self) {
        let everything = RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT;
        // SAFETY: the client is alive.
        unsafe { rd_kafka_purge(self.client.raw(), everything as c_int) };
    }

    /// Waits until the library has reported on `sent` records. It gives each up after the transaction's time at the latest.
    fn await_reports(&self, sent: usize) {
        loop {
            // SAFETY: the client is alive. This also sends at once what waits for company.
            unsafe { rd_kafka_flush(self.client.raw(), 100) };
            let (reported, has_failed) = {
                let deliveries = self.client.deliveries().lock();
                (deliveries.reported, deliveries.failure.is_some())
            };
            if reported >= sent {
                return;
            }
            if has_failed || self.fatal().is_some() {
                self.take_back();
            }
        }
    }

    fn topic(&mut self, topic: &TopicName) -> Result<*mut rd_kafka_topic_t, Failure> {
        if let Some(handle) = self.topics.get(topic) {
            return Ok(handle.0);
        }
        if self.topics.len() >= MOST_TOPICS {
            self.topics.clear();
        }
        let name = c_text(topic.as_str());
        // SAFETY: the client and the name are alive; null settings are the client's own.
        let raw = unsafe { rd_kafka_topic_new(self.client.raw(), name.as_ptr(), ptr::null_mut()) };
        if raw.is_null() {
            // SAFETY: it speaks of this thread's last call.
            return Err(Failure::of(unsafe { rd_kafka_last_error() }));
        }
        self.topics.insert(topic.clone(), TopicHandle(raw));
        Ok(raw)
    }
}

/// The library's list of headers; null for none.
fn headers_of(headers: &[Header]) -> *mut rd_kafka_headers_t {
    if headers.is_empty() {
        return ptr::null_mut();
    }
    // SAFETY: names and values are alive, and as long as said; the library copies them.
    unsafe {
        let list = rd_kafka_headers_new(headers.len());
        for Header { name, value } in headers {
            let (start, length) = value.as_ref().map_or((ptr::null(), 0), |value| (value.as_ptr(), value.len()));
            rd_kafka_header_add(
                list,
                name.as_ptr().cast(),
                isize::try_from(name.len()).unwrap_or(isize::MAX),
                start.cast::<c_void>(),
                isize::try_from(length).unwrap_or(isize::MAX),
            );
        }
        list
    }
}
