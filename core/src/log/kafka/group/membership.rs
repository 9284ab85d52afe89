//! A place in a group: a thread that keeps it, and the face to the engine.
//!
//! What is to be said to the broker, and what its answers mean, is a state machine's business, a [`Machine`]: it does no input or output
//! and reads no clock, so that tests can play the broker. The thread here asks it what to do next and does it.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use crate::log::{
    Assignment, GroupEvent, GroupMember, GroupMembership, GroupPeer, LogError,
    kafka::{
        clock::{self, Deadline},
        wire::{WireError, coordinator::Coordinator, stream::Cutter},
    },
};

/// How long leaving waits for a call that is under way before it cuts it off, and then for the broker to be told.
const PATIENCE: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(3));

/// A member of a group, without input and output.
pub(super) trait Machine: Send + 'static {
    /// Something to say to the broker.
    type Call: Send;
    /// What it answers.
    type Reply;

    /// What to do next.
    fn next_step(&mut self, now: Instant) -> Step<Self::Call>;

    /// Says it to the broker.
    fn perform(call: &Self::Call, coordinator: &mut Coordinator) -> Result<Self::Reply, WireError>;

    /// Takes the answer.
    fn on_reply(&mut self, call: Self::Call, reply: Result<Self::Reply, WireError>, now: Instant);

    /// What the engine is to be told next; taken away.
    fn take_event(&mut self) -> Result<Option<GroupEvent>, Failure>;

    /// What the engine has, and that it has let go of the rest.
    fn report(&mut self, owned: &Assignment, now: Instant);

    /// In whose name a commit passes.
    fn member(&self) -> Option<GroupMember>;

    /// Who else there is.
    fn peers(&self) -> Vec<GroupPeer>;

    /// Leaves with the next step, and ends.
    fn leave(&mut self);

    /// Which group this is.
    fn group(&self) -> &str;
}

/// What a machine wants done.
#[derive(Debug)]
pub(super) enum Step<C> {
    /// Nothing for so long, or until something changes.
    Wait(Duration),
    /// Say this to the broker.
    Call(C),
    /// Nothing ever again.
    End,
}

/// Why a membership cannot go on: in words that say what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure(pub(super) String);

struct Shared<M> {
    machine: Mutex<M>,
    /// For the thread: there may be something to do.
    wake: Condvar,
    /// For the engine: there may be an event, or the end.
    told: Condvar,
    /// The connection that a call is under way on.
    cutter: Mutex<Option<Cutter>>,
    ended: Mutex<bool>,
}

/// A place in a group.
pub(super) struct Membership<M: Machine> {
    shared: Arc<Shared<M>>,
    cluster: String,
}

impl<M: Machine> Membership<M> {
    /// Begins: the thread joins the group.
    pub(super) fn start(machine: M, mut coordinator: Coordinator, cluster: &str) -> Result<Self, LogError> {
        let name = format!("group-{}", machine.group());
        let shared = Arc::new(Shared {
            machine: Mutex::new(machine),
            wake: Condvar::new(),
            told: Condvar::new(),
            cutter: Mutex::new(None),
            ended: Mutex::new(false),
        });
        let own = Arc::clone(&shared);
        let work = move || {
            own.drive(&mut coordinator);
            *own.ended.lock() = true;
            // Under the lock, so that nobody who looks and then waits misses it.
            let _machine = own.machine.lock();
            own.told.notify_all();
        };
        thread::Builder::new().name(name).spawn(work).map_err(|error| LogError::Remote {
            cluster: cluster.to_owned(),
            action: "keep the place in a group".to_owned(),
            problem: format!("the system starts no thread: {error}"),
            transient: true,
        })?;
        Ok(Self { shared, cluster: cluster.to_owned() })
    }

    /// Waits until the thread has ended, and says whether it has.
    fn wait_for_end(&self, patience: Duration) -> bool {
        let deadline = Deadline::after(patience);
        let mut machine = self.shared.machine.lock();
        while !*self.shared.ended.lock() {
            if deadline.is_over() {
                return false;
            }
            self.shared.told.wait_for(&mut machine, deadline.left());
        }
        true
    }
}

impl<M: Machine> Shared<M> {
    fn drive(&self, coordinator: &mut Coordinator) {
        loop {
            let Some(call) = self.next_call() else { return };
            let connected = coordinator.channel().map(|_| ());
            *self.cutter.lock() = coordinator.cutter();
            let reply = connected.and_then(|()| M::perform(&call, coordinator));
            *self.cutter.lock() = None;
            if let Err(error) = &reply {
                tracing::debug!("a place in a group: {error}");
            }
            self.machine.lock().on_reply(call, reply, clock::now());
            self.told.notify_all();
        }
    }

    /// Waits for something to say; `None` is the end.
    fn next_call(&self) -> Option<M::Call> {
        let mut machine = self.machine.lock();
        loop {
            match machine.next_step(clock::now()) {
                Step::Call(call) => return Some(call),
                Step::End => return None,
                Step::Wait(wait) => {
                    self.wake.wait_for(&mut machine, wait);
                }
            }
        }
    }
}

impl<M: Machine> GroupMembership for Membership<M> {
    fn next(&self, timeout: Duration) -> Result<GroupEvent, LogError> {
        let deadline = Deadline::after(timeout);
        let mut machine = self.shared.machine.lock();
        loop {
            let event = machine.take_event().map_err(|Failure(problem)| LogError::Remote {
                cluster: self.cluster.clone(),
                action: format!("take part in group {}", machine.group()),
                problem,
                transient: false,
            })?;
            if let Some(event) = event {
                self.shared.wake.notify_all();
                return Ok(event);
            }
            if deadline.is_over() {
                return Ok(GroupEvent::Unchanged);
            }
            self.shared.told.wait_for(&mut machine, deadline.left());
        }
    }

    fn report(&self, owned: &Assignment) {
        self.shared.machine.lock().report(owned, clock::now());
        self.shared.wake.notify_all();
    }

    fn member(&self) -> Option<GroupMember> {
        self.shared.machine.lock().member()
    }

    fn peers(&self) -> Vec<GroupPeer> {
        self.shared.machine.lock().peers()
    }

    fn leave(&self) {
        self.shared.machine.lock().leave();
        self.shared.wake.notify_all();
        if self.wait_for_end(PATIENCE.0) {
            return;
        }
        if let Some(cutter) = &*self.shared.cutter.lock() {
            cutter.cut();
        }
        if !self.wait_for_end(PATIENCE.1) {
            tracing::warn!(
                "the broker could not be told that this process leaves: its tasks stay with it until its session ends"
            );
        }
    }
}

impl<M: Machine> Drop for Membership<M> {
    fn drop(&mut self) {
        self.leave();
    }
}
