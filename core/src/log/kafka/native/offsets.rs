//! Positions of a group into a transaction: the one call of the library that may never return.
//!
//! The library remembers which broker coordinates a group. When that broker leaves the cluster, its connection is given up for good, while it may
//! still be remembered; the call then waits for a connection that nobody opens, whatever time it is given (librdkafka 2.12.1, its issues 5456 and
//! 5511). So a thread of its own makes the call, and is left behind when it does not come back in time. It holds the client: both end
//! when the library does come back, and what it sends then is refused, because a newer client has taken the transactional id over.
#![expect(unsafe_code, reason = "positions of the library's transactions")]

use std::{ffi::CString, ptr, sync::Arc, sync::mpsc, thread, time::Duration};

use rdkafka_sys::{
    rd_kafka_consumer_group_metadata_destroy, rd_kafka_consumer_group_metadata_new,
    rd_kafka_consumer_group_metadata_new_with_genid, rd_kafka_send_offsets_to_transaction,
};

use super::{Client, Code, Failure, PartitionList, Remedy, c_text};
use crate::{log::GroupMember, record::GroupId};

/// The thread that makes the calls of one client, one at a time.
pub(super) struct OffsetsThread {
    calls: mpsc::Sender<Call>,
    answers: mpsc::Receiver<Result<(), Failure>>,
    /// `None` once it was left behind.
    thread: Option<thread::JoinHandle<()>>,
}

/// The arguments of a call.
pub(super) struct Call {
    group: CString,
    member: Option<Member>,
    positions: Arc<PartitionList>,
}

struct Member {
    id: CString,
    epoch: i32,
    instance: Option<CString>,
}

impl Call {
    /// Positions of a group, in the name of a member if there is one.
    pub(super) fn new(group: &GroupId, member: Option<&GroupMember>, positions: &Arc<PartitionList>) -> Self {
        let member = member.map(|member| Member {
            id: c_text(&member.member),
            epoch: member.epoch,
            instance: member.instance.as_deref().map(c_text),
        });
        Self { group: c_text(group.as_str()), member, positions: Arc::clone(positions) }
    }

    fn make(&self, client: &Client) -> Result<(), Failure> {
        // SAFETY: all texts outlive the calls, which copy them; the metadata is ours and is destroyed once.
        unsafe {
            let metadata = match &self.member {
                None => rd_kafka_consumer_group_metadata_new(self.group.as_ptr()),
                Some(Member { id, epoch, instance }) => {
                    let instance = instance.as_ref().map_or(ptr::null(), |text| text.as_ptr());
                    rd_kafka_consumer_group_metadata_new_with_genid(self.group.as_ptr(), *epoch, id.as_ptr(), instance)
                }
            };
            let sent = rd_kafka_send_offsets_to_transaction(client.raw(), self.positions.raw(), metadata, -1);
            rd_kafka_consumer_group_metadata_destroy(metadata);
            Failure::take(sent)
        }
    }
}

impl OffsetsThread {
    /// Begins to wait for calls.
    pub(super) fn start(client: Arc<Client>) -> Result<Self, Failure> {
        let (calls, to_make) = mpsc::channel::<Call>();
        let (results, answers) = mpsc::channel();
        let work = move || {
            while let Ok(call) = to_make.recv() {
                if results.send(call.make(&client)).is_err() {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("kafka-offsets".to_owned()).spawn(work);
        let thread = thread.map_err(|error| Failure::said(Code::RD_KAFKA_RESP_ERR__FAIL, error.to_string()))?;
        Ok(Self { calls, answers, thread: Some(thread) })
    }

    /// Makes a call and waits for it; `None` if it does not come back in time, and from then on.
    pub(super) fn call(&mut self, call: Call, wait: Duration) -> Option<Result<(), Failure>> {
        self.thread.as_ref()?;
        self.calls.send(call).ok()?;
        let answer = self.answers.recv_timeout(wait).ok();
        if answer.is_none() {
            self.thread = None;
        }
        answer
    }
}

impl Drop for OffsetsThread {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        // Without anybody to send calls, it ends.
        drop(std::mem::replace(&mut self.calls, mpsc::channel().0));
        // It can only have panicked, which its last caller has seen.
        drop(thread.join());
    }
}

/// What is said of a call that did not come back.
pub(super) fn given_up(wait: Duration) -> Failure {
    Failure {
        code: Code::RD_KAFKA_RESP_ERR__TIMED_OUT,
        text: format!("the coordinator of the group was not reached within {} ms", wait.as_millis()),
        remedy: Remedy::NewClient,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        log::kafka::{KafkaConfig, native::Role},
        record::{PartitionId, TopicPartition},
    };

    #[test]
    fn calls_are_answered_one_by_one() {
        let config = KafkaConfig::new("127.0.0.1:1").unwrap();
        let client = Client::new(&config, &Role::Writing("t".into())).unwrap();
        let mut thread = OffsetsThread::start(client).unwrap();
        let partition = TopicPartition::new("a".parse().unwrap(), PartitionId(0));
        let positions = Arc::new(PartitionList::new([(&partition, 7)]));
        for _ in 0..3 {
            // No transaction was begun.
            let call = Call::new(&"g".parse().unwrap(), None, &positions);
            let failure = thread.call(call, Duration::from_secs(20)).expect("it comes back").unwrap_err();
            assert_eq!(failure.code, Code::RD_KAFKA_RESP_ERR__STATE, "{failure}");
        }
    }
}
