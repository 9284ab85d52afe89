//! Messages between receiving and deletion: who is held, by which receipt, until when.
//!
//! Receivers put messages in, the source takes them out in the order in which they came, commits them and settles them. A message is *held*
//! from its receipt until it is settled; if it comes again meanwhile, the newer receipt counts and nothing else. One that is committed and
//! comes again is left over: only to be deleted. Invariant: of an id, at most one message is handed over while it is held or seen.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use millstream::{
    connect::{ConnectError, Positions},
    record::Timestamp,
};
use parking_lot::{Condvar, Mutex};

use super::{protocol::Message, seen::Seen};

/// By which receipt a message is settled, and until when the queue shows it to nobody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) id: String,
    pub(super) receipt: String,
    pub(super) until: Timestamp,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    waiting: VecDeque<Message>,
    held: HashMap<String, (String, Timestamp)>,
    /// Handed over with the last poll, not settled.
    handed: Vec<String>,
    seen: Seen,
    failure: Option<ConnectError>,
    /// How many receivers are to be at work.
    wanted: usize,
    duplicates: u64,
}

/// The messages of one opening of the source; receivers of an earlier one find theirs closed.
#[derive(Debug)]
pub(super) struct Inbox {
    state: Mutex<State>,
    changed: Condvar,
    most_held: usize,
    receivers: usize,
}

/// What became of a received message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It waits to be handed over, or does already.
    Held,
    /// It was committed before and is only to be deleted.
    LeftOver(Lease),
    /// Nobody wants it any more; it is to be given back.
    Refused(Lease),
}

impl Inbox {
    pub(super) fn new(seen: Seen, most_held: usize, receivers: usize) -> Self {
        let state = State { seen, wanted: 1, ..State::default() };
        Self { state: Mutex::new(state), changed: Condvar::new(), most_held, receivers }
    }

    /// Waits until receiver number `receiver` is to ask for messages; for how many, or `None` if never again.
    pub(super) fn wait_for_room(&self, receiver: usize) -> Option<usize> {
        let mut state = self.state.lock();
        loop {
            if state.closed || state.failure.is_some() {
                return None;
            }
            let room = self.most_held.saturating_sub(state.held.len());
            if room > 0 && receiver < state.wanted {
                return Some(room);
            }
            self.changed.wait(&mut state);
        }
    }

    /// Takes in what one receive brought, in order; `until`: how long these are invisible to others.
    pub(super) fn put(&self, messages: Vec<Message>, until: Timestamp) -> Vec<Taken> {
        let mut state = self.state.lock();
        // Full receives call for more of them side by side, empty ones for fewer.
        state.wanted = if messages.is_empty() {
            state.wanted.saturating_sub(1).max(1)
        } else {
            self.receivers.min(state.wanted + 1)
        };
        let taken = messages.into_iter().map(|message| state.take(message, until)).collect();
        self.changed.notify_all();
        taken
    }

    /// Notes why receiving ended.
    pub(super) fn fail(&self, error: ConnectError) {
        self.state.lock().failure.get_or_insert(error);
        self.changed.notify_all();
    }

    /// The next messages, and the positions behind them; waits a little if there are none.
    ///
    /// # Errors
    /// What receiving failed with, once nothing waits any more.
    pub(super) fn hand_over(
        &self,
        rows: usize,
        bytes: usize,
        patience: Duration,
    ) -> Result<(Vec<Message>, Positions), ConnectError> {
        let mut state = self.state.lock();
        if state.waiting.is_empty() && state.failure.is_none() {
            self.changed.wait_for(&mut state, patience);
        }
        let (mut messages, mut size) = (Vec::new(), 0);
        while messages.len() < rows && size < bytes {
            let Some(message) = state.waiting.pop_front() else { break };
            size += message.body.len();
            messages.push(message);
        }
        if messages.is_empty() {
            return match state.failure.take() {
                Some(error) => Err(error),
                None => Ok((messages, Positions::new())),
            };
        }
        let ids: Vec<String> = messages.iter().map(|message| message.message_id.clone()).collect();
        let positions = state.seen.advance(&ids);
        state.handed.extend(ids);
        Ok((messages, positions))
    }

    /// The leases of what was handed over and is committed now; they stay held until [`settle`](Self::settle).
    pub(super) fn committed(&self) -> Vec<Lease> {
        let mut state = self.state.lock();
        let handed = std::mem::take(&mut state.handed);
        for id in &handed {
            state.seen.mark_open(id.clone());
        }
        let lease = |id: String| {
            state.held.get(&id).map(|(receipt, until)| Lease { receipt: receipt.clone(), until: *until, id })
        };
        handed.into_iter().filter_map(lease).collect()
    }

    /// Lets go of messages that were deleted, or of which deletion was tried: `deleted` are surely gone.
    pub(super) fn settle(&self, tried: &[Lease], deleted: &BTreeSet<String>) {
        let mut state = self.state.lock();
        tried.iter().for_each(|lease| drop(state.held.remove(&lease.id)));
        state.seen.mark_deleted(deleted);
        self.changed.notify_all();
    }

    /// What becomes visible to others before `limit`.
    pub(super) fn expiring(&self, limit: Timestamp) -> Vec<Lease> {
        let state = self.state.lock();
        let leases = state.held.iter().filter(|(_, (_, until))| *until < limit);
        leases.map(|(id, (receipt, until))| Lease { id: id.clone(), receipt: receipt.clone(), until: *until }).collect()
    }

    /// Notes that a message is invisible for longer, unless it came again meanwhile.
    pub(super) fn extend(&self, lease: &Lease, until: Timestamp) {
        if let Some((receipt, old)) = self.state.lock().held.get_mut(&lease.id)
            && *receipt == lease.receipt
        {
            *old = until;
        }
    }

    /// Waits until it is closed, for `patience` at most; whether it is.
    pub(super) fn wait_until_closed(&self, patience: Duration) -> bool {
        let mut state = self.state.lock();
        self.changed.wait_while_for(&mut state, |state| !state.closed, patience);
        state.closed
    }

    /// Ends receiving; returns what is still held.
    pub(super) fn close(&self) -> Vec<Lease> {
        let mut state = self.state.lock();
        state.closed = true;
        state.waiting.clear();
        state.handed.clear();
        let held = std::mem::take(&mut state.held);
        self.changed.notify_all();
        held.into_iter().map(|(id, (receipt, until))| Lease { id, receipt, until }).collect()
    }

    /// How many messages came again.
    pub(super) fn duplicates(&self) -> u64 {
        self.state.lock().duplicates
    }
}

impl State {
    fn take(&mut self, message: Message, until: Timestamp) -> Taken {
        let lease = |message: &Message| Lease {
            id: message.message_id.clone(),
            receipt: message.receipt_handle.clone(),
            until,
        };
        if self.closed {
            return Taken::Refused(lease(&message));
        }
        if let Some(held) = self.held.get_mut(&message.message_id) {
            self.duplicates += 1;
            *held = (message.receipt_handle, until);
            return Taken::Held;
        }
        if self.seen.contains(&message.message_id) {
            self.duplicates += 1;
            return Taken::LeftOver(lease(&message));
        }
        self.held.insert(message.message_id.clone(), (message.receipt_handle.clone(), until));
        self.waiting.push_back(message);
        Taken::Held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: Timestamp = Timestamp(60_000);

    fn inbox() -> Inbox {
        Inbox::new(Seen::from_positions("/1/orders", &Positions::new()).expect("empty"), 3, 2)
    }

    fn message(id: &str, receipt: &str) -> Message {
        serde_json::from_value(serde_json::json!({ "MessageId": id, "ReceiptHandle": receipt, "Body": id }))
            .expect("legal")
    }

    fn hand_over(inbox: &Inbox) -> Vec<String> {
        let (messages, _) = inbox.hand_over(10, 1 << 20, Duration::ZERO).expect("no failure");
        messages.into_iter().map(|message| message.message_id).collect()
    }

    #[test]
    fn a_message_that_comes_again_while_held_only_renews_its_receipt() {
        let inbox = inbox();
        assert_eq!(inbox.put(vec![message("a", "1"), message("b", "1")], LATER), [Taken::Held, Taken::Held]);
        assert_eq!(hand_over(&inbox), ["a", "b"]);
        inbox.put(vec![message("a", "2")], LATER);
        assert!(hand_over(&inbox).is_empty());
        let leases = inbox.committed();
        assert_eq!(leases.iter().map(|lease| lease.receipt.as_str()).collect::<Vec<_>>(), ["2", "1"]);
        assert_eq!(inbox.duplicates(), 1);
    }

    #[test]
    fn a_committed_message_that_comes_again_is_left_over() {
        let inbox = inbox();
        inbox.put(vec![message("a", "1")], LATER);
        hand_over(&inbox);
        let leases = inbox.committed();
        inbox.settle(&leases, &BTreeSet::new());
        let again = inbox.put(vec![message("a", "2")], LATER);
        assert_eq!(again, [Taken::LeftOver(Lease { id: "a".into(), receipt: "2".into(), until: LATER })]);
        assert!(hand_over(&inbox).is_empty());
    }

    #[test]
    fn no_more_is_held_than_allowed_and_nothing_after_the_end() {
        let inbox = inbox();
        assert_eq!((inbox.wait_for_room(0), inbox.most_held), (Some(3), 3));
        inbox.put(vec![message("a", "1"), message("b", "1")], LATER);
        assert_eq!(inbox.wait_for_room(1), Some(1));
        assert_eq!(inbox.close().len(), 2);
        assert_eq!(inbox.wait_for_room(0), None);
        assert!(matches!(inbox.put(vec![message("c", "1")], LATER)[..], [Taken::Refused(_)]));
    }

    #[test]
    fn what_was_received_before_a_failure_is_handed_over_first() {
        let inbox = inbox();
        inbox.put(vec![message("a", "1")], LATER);
        inbox.fail(ConnectError::Input { input: "i".into(), problem: "p".into() });
        assert_eq!(hand_over(&inbox), ["a"]);
        assert!(inbox.hand_over(1, 1, Duration::ZERO).is_err());
    }
}
