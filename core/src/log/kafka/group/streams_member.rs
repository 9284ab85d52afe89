//! A member of a streams group (KIP-1071): the broker decides who has which tasks, the member says what it has.
//!
//! ```text
//! joining --answer--> member --report--> member ...      each answer may carry an epoch, tasks, reasons why the group is not ready
//!    ^                   | fenced, unknown
//!    +-------------------+ everything is lost
//! ```
//!
//! What the member says it has is what the engine has reported and all that it has been told to have: the engine may open the latter at
//! any moment. So a task that the engine knows of is never given to others before the engine has let go of it.
//!
//! An answer that is lost may have carried tasks, and the broker does not repeat them. After that the member asks what its tasks are (by
//! describing the group) instead of joining again, which would give its tasks away while they are being worked on.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::{
    membership::{Failure, Machine, Step},
    streams_reasons::{reason, refusal},
    streams_topology::topology,
    tasks,
};
use crate::log::{
    Assignment, GroupEvent, GroupMember, GroupPeer, GroupSettings, GroupTask,
    kafka::{
        ProcessId,
        connection::BrokerAddress,
        wire::{
            Outcome, WireError,
            coordinator::Coordinator,
            error_code,
            streams_describe::{StreamsDescribe, StreamsDescribeAnswer, StreamsMember as DescribedMember},
            streams_heartbeat::{
                Endpoint, JOINING, LEAVING, LEAVING_FOR_A_WHILE, Status, StreamsHeartbeat, StreamsHeartbeatAnswer,
                TaskIds,
            },
        },
    },
};

/// While tasks are on the move, heartbeats come at least so often: each hop of a task takes one on either side.
const BRISK: Duration = Duration::from_millis(400);

/// At other times heartbeats come at least so often, whatever the group's interval, which is 5 seconds by default: so late a member hears at
/// most that another has left, and that its tasks are to be taken over.
const LISTEN: Duration = Duration::from_secs(1);

/// For how long tasks are thought to be on the move after the last change.
const SETTLING: Duration = Duration::from_secs(10);

/// How long an answer may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The wait before something that failed is tried again: the first, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// After so many failures in a row the engine is told.
const TELLING_FAILURES: u32 = 5;

/// A member of a streams group.
pub(super) struct StreamsMember {
    settings: GroupSettings,
    member: String,
    process: String,
    /// Whether the broker knows members with a lasting name.
    static_members: bool,
    epoch: i32,
    endpoint_epoch: i32,
    /// What the broker has said last that this member has.
    assigned: Assignment,
    /// Those of its standby tasks that the broker calls warm-up tasks.
    warmup: BTreeSet<GroupTask>,
    /// What the engine has been told last, in this life.
    delivered: Option<Assignment>,
    /// What the engine has said last that it has.
    reported: Assignment,
    /// What the broker was told last; `None` if it may know nothing.
    said: Option<Assignment>,
    /// For the engine, in this order.
    lost: bool,
    assignment: Option<Assignment>,
    not_ready: Option<String>,
    /// The reason that the engine knows.
    known_reason: Option<String>,
    failure: Option<Failure>,
    peers: Vec<GroupPeer>,
    /// Whether an answer was lost that may have carried tasks.
    uncertain: bool,
    /// Whether the group is to be described, for the peers or for certainty.
    describe: bool,
    due: Instant,
    interval: Duration,
    settled: Instant,
    failures: u32,
    /// Whether the broker may know of this member.
    known: bool,
    leaving: bool,
    ended: bool,
}

/// What a member says.
#[derive(Debug)]
pub(super) enum Call {
    Heartbeat(Box<StreamsHeartbeat>),
    Describe(StreamsDescribe),
}

/// What the broker answers.
#[derive(Debug)]
pub(super) enum Reply {
    Heartbeat(StreamsHeartbeatAnswer),
    Describe(StreamsDescribeAnswer),
}

impl StreamsMember {
    /// One that is about to join.
    pub(super) fn new(settings: GroupSettings, process: &str, static_members: bool) -> Self {
        let now = crate::log::kafka::clock::now();
        if settings.instance.is_some() && !static_members {
            tracing::warn!(
                "the brokers know no lasting names in streams groups (Kafka 4.4 does): the instance name is not used"
            );
        }
        Self {
            settings,
            member: ProcessId::random().as_str().to_owned(),
            process: process.to_owned(),
            static_members,
            epoch: JOINING,
            endpoint_epoch: -1,
            assigned: Assignment::default(),
            warmup: BTreeSet::new(),
            delivered: None,
            reported: Assignment::default(),
            said: None,
            lost: false,
            assignment: None,
            not_ready: None,
            known_reason: None,
            failure: None,
            peers: Vec::new(),
            uncertain: false,
            describe: false,
            due: now,
            interval: Duration::from_secs(5),
            settled: now + SETTLING,
            failures: 0,
            known: false,
            leaving: false,
            ended: false,
        }
    }

    fn instance(&self) -> Option<String> {
        self.settings.instance.clone().filter(|_| self.static_members)
    }

    /// All that the engine has, or may have opened by now.
    fn held(&self) -> Assignment {
        self.delivered.as_ref().map_or_else(|| self.reported.clone(), |told| tasks::union(told, &self.reported))
    }

    fn heartbeat(&mut self) -> StreamsHeartbeat {
        let base = StreamsHeartbeat {
            group: self.settings.group.as_str().to_owned(),
            member: self.member.clone(),
            epoch: self.epoch,
            endpoint_epoch: self.endpoint_epoch,
            instance: self.instance(),
            rebalance_timeout: -1,
            ..StreamsHeartbeat::default()
        };
        self.known = true;
        if self.epoch == JOINING {
            return StreamsHeartbeat {
                rebalance_timeout: i32::try_from(self.settings.rebalance_timeout.as_millis()).unwrap_or(i32::MAX),
                topology: Some(topology(&self.settings)),
                active: Some(Vec::new()),
                standby: Some(Vec::new()),
                warmup: Some(Vec::new()),
                process: Some(self.process.clone()),
                endpoint: self.settings.endpoint.as_deref().and_then(endpoint),
                client_tags: Some(Vec::new()),
                ..base
            };
        }
        let held = self.held();
        if self.said.as_ref() == Some(&held) {
            return base;
        }
        let (warmup, standby) = held.standby.iter().partition(|task| self.warmup.contains(task));
        let call = StreamsHeartbeat {
            active: Some(tasks::to_ids(&held.active)),
            standby: Some(tasks::to_ids(&standby)),
            warmup: Some(tasks::to_ids(&warmup)),
            ..base
        };
        self.said = Some(held);
        call
    }

    fn farewell(&self) -> StreamsHeartbeat {
        let instance = self.instance();
        StreamsHeartbeat {
            group: self.settings.group.as_str().to_owned(),
            member: self.member.clone(),
            epoch: if instance.is_some() { LEAVING_FOR_A_WHILE } else { LEAVING },
            endpoint_epoch: self.endpoint_epoch,
            instance,
            rebalance_timeout: -1,
            ..StreamsHeartbeat::default()
        }
    }

    fn on_heartbeat(&mut self, answer: StreamsHeartbeatAnswer, now: Instant) {
        if answer.error != error_code::NONE {
            // What was said has not been heard.
            self.said = None;
        }
        match answer.error {
            error_code::NONE => self.on_welcome(answer, now),
            error_code::UNKNOWN_MEMBER_ID | error_code::FENCED_MEMBER_EPOCH | error_code::STALE_MEMBER_EPOCH => {
                self.on_loss(now);
            }
            error_code::GROUP_ID_NOT_FOUND if self.epoch != JOINING => self.on_loss(now),
            error_code::UNRELEASED_INSTANCE_ID | error_code::GROUP_MAX_SIZE_REACHED => {
                let problem = error_code::described(answer.error, answer.message.as_deref());
                let advice = match answer.error {
                    error_code::GROUP_MAX_SIZE_REACHED => {
                        "raise group.streams.max.size on the brokers, or run fewer processes"
                    }
                    _ => "a process with the same instance name has not left: stop it, or wait until its session ends",
                };
                self.become_not_ready(format!("the group does not take this process yet: {problem}; {advice}"));
                self.try_again(now);
            }
            code if error_code::is_coordinator_elsewhere(code) => self.try_again(now),
            code => self.failure = Some(Failure(refusal(code, answer.message.as_deref()))),
        }
    }

    fn on_welcome(&mut self, answer: StreamsHeartbeatAnswer, now: Instant) {
        self.failures = 0;
        self.epoch = answer.epoch;
        self.endpoint_epoch = answer.endpoint_epoch;
        self.interval = Duration::from_millis(u64::try_from(answer.interval).unwrap_or(5_000).max(100));
        self.describe |= answer.endpoints.is_some();
        match (answer.active, answer.standby, answer.warmup) {
            (Some(active), standby, warmup) => {
                self.uncertain = false;
                self.be_assigned(&active, &standby.unwrap_or_default(), &warmup.unwrap_or_default(), now);
            }
            _ => self.describe |= self.uncertain,
        }
        self.on_status(&answer.status.unwrap_or_default());
        let behind = self.said.as_ref().is_some_and(|said| *said != self.held());
        self.due = if behind || self.describe { now } else { now + self.wait(now) };
    }

    fn wait(&self, now: Instant) -> Duration {
        self.interval.min(if now < self.settled { BRISK } else { LISTEN })
    }

    fn be_assigned(&mut self, active: &[TaskIds], standby: &[TaskIds], warmup: &[TaskIds], now: Instant) {
        let read = || Ok((tasks::from_ids(active)?, tasks::from_ids(standby)?, tasks::from_ids(warmup)?));
        let (active, standby, warmup) = match read() {
            Ok(read) => read,
            Err(part) => {
                let part: String = part;
                let problem = format!(
                    "the group hands out part {part}, which is none of this application: use a new application id"
                );
                self.failure = Some(Failure(problem));
                return;
            }
        };
        self.assigned = Assignment { active, standby: &standby | &warmup };
        self.warmup = warmup;
        self.settled = now + SETTLING;
        self.assignment = (self.delivered.as_ref() != Some(&self.assigned)).then(|| self.assigned.clone());
    }

    /// What the broker says of the group. When it has nothing to say any more, the engine hears its tasks again.
    fn on_status(&mut self, status: &[Status]) {
        let reasons: Vec<String> = status.iter().filter_map(reason).collect();
        if !reasons.is_empty() {
            return self.become_not_ready(reasons.join("; "));
        }
        self.not_ready = None;
        if self.known_reason.take().is_some() {
            self.assignment = Some(self.assigned.clone());
        }
    }

    fn become_not_ready(&mut self, reason: String) {
        if self.known_reason.as_ref() != Some(&reason) {
            self.not_ready = Some(reason.clone());
            self.known_reason = Some(reason);
        }
    }

    /// The member is none any more. It joins again at once.
    fn on_loss(&mut self, now: Instant) {
        tracing::warn!("group {} has given this process up: it joins again", self.settings.group);
        self.lost |= self.delivered.is_some();
        self.epoch = JOINING;
        self.endpoint_epoch = -1;
        self.assigned = Assignment::default();
        self.warmup.clear();
        self.delivered = None;
        self.reported = Assignment::default();
        self.said = None;
        self.assignment = None;
        self.uncertain = false;
        self.describe = false;
        self.settled = now + SETTLING;
        self.due = now;
    }

    fn try_again(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        let wait = BACKOFF.0.saturating_mul(1 << self.failures.min(10)).min(BACKOFF.1);
        self.due = now + wait;
    }

    fn on_error(&mut self, error: &WireError, now: Instant) {
        if error.outcome == Outcome::Refused {
            self.failure = Some(Failure(error.to_string()));
            return;
        }
        self.try_again(now);
        if self.failures == TELLING_FAILURES {
            self.become_not_ready(format!("the group cannot be reached: {error}"));
        }
    }

    fn on_described(&mut self, answer: StreamsDescribeAnswer, now: Instant) {
        let Some(group) = answer.groups.into_iter().next() else { return self.try_again(now) };
        if error_code::is_coordinator_elsewhere(group.error) {
            return self.try_again(now);
        }
        self.describe = false;
        self.due = now + self.wait(now);
        if group.error != error_code::NONE {
            let problem = error_code::described(group.error, group.message.as_deref());
            tracing::warn!("group {} cannot be described, so other processes are not found: {problem}", group.group);
            if self.uncertain {
                self.on_loss(now);
            }
            return;
        }
        self.peers = group.members.iter().filter_map(peer).collect();
        let me = group.members.into_iter().find(|member| member.member == self.member);
        if let Some(me) = me.filter(|_| self.uncertain) {
            self.uncertain = false;
            self.be_assigned(&me.assignment.active, &me.assignment.standby, &me.assignment.warmup, now);
        }
    }
}

impl Machine for StreamsMember {
    type Call = Call;
    type Reply = Reply;

    fn next_step(&mut self, now: Instant) -> Step<Call> {
        if self.ended {
            return Step::End;
        }
        if self.leaving {
            self.ended = true;
            // Nobody who was never taken needs to leave.
            return if self.known { Step::Call(Call::Heartbeat(Box::new(self.farewell()))) } else { Step::End };
        }
        if self.failure.is_some() {
            return Step::Wait(Duration::from_secs(3600));
        }
        if now < self.due {
            return Step::Wait(self.due - now);
        }
        if self.describe && self.epoch != JOINING {
            let groups = vec![self.settings.group.as_str().to_owned()];
            return Step::Call(Call::Describe(StreamsDescribe { groups, authorized_operations: false }));
        }
        Step::Call(Call::Heartbeat(Box::new(self.heartbeat())))
    }

    fn perform(call: &Call, coordinator: &mut Coordinator) -> Result<Reply, WireError> {
        let reply = match call {
            Call::Heartbeat(call) => Reply::Heartbeat(coordinator.call(&**call, CALL_TIMEOUT)?),
            Call::Describe(call) => Reply::Describe(coordinator.call(call, CALL_TIMEOUT)?),
        };
        let error = match &reply {
            Reply::Heartbeat(answer) => answer.error,
            Reply::Describe(answer) => answer.groups.first().map_or(error_code::NONE, |group| group.error),
        };
        if error_code::is_coordinator_elsewhere(error) {
            coordinator.forget();
        }
        Ok(reply)
    }

    fn on_reply(&mut self, call: Call, reply: Result<Reply, WireError>, now: Instant) {
        match (call, reply) {
            (_, Ok(Reply::Heartbeat(answer))) => self.on_heartbeat(answer, now),
            (_, Ok(Reply::Describe(answer))) => self.on_described(answer, now),
            (Call::Heartbeat(call), Err(error)) => {
                if call.epoch != JOINING {
                    self.said = None;
                    self.uncertain |= error.outcome == Outcome::Unknown;
                }
                self.on_error(&error, now);
            }
            (Call::Describe(_), Err(error)) => self.on_error(&error, now),
        }
    }

    fn take_event(&mut self) -> Result<Option<GroupEvent>, Failure> {
        if std::mem::take(&mut self.lost) {
            return Ok(Some(GroupEvent::Lost));
        }
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if let Some(assignment) = self.assignment.take() {
            self.delivered = Some(assignment.clone());
            return Ok(Some(GroupEvent::Assigned(assignment)));
        }
        Ok(self.not_ready.take().map(GroupEvent::NotReady))
    }

    fn report(&mut self, owned: &Assignment, now: Instant) {
        // What is reported before the loss is known belongs to the life that is over.
        if self.lost {
            return;
        }
        self.reported = owned.clone();
        if self.epoch != JOINING && self.said.as_ref() != Some(&self.held()) {
            self.due = now;
            self.settled = now + SETTLING;
        }
    }

    fn member(&self) -> Option<GroupMember> {
        let is_one = self.epoch > JOINING && !self.lost && self.delivered.is_some() && !self.leaving;
        is_one.then(|| GroupMember {
            group: self.settings.group.clone(),
            member: self.member.clone(),
            epoch: self.epoch,
            instance: self.instance(),
        })
    }

    fn peers(&self) -> Vec<GroupPeer> {
        self.peers.clone()
    }

    fn leave(&mut self) {
        self.leaving = true;
    }

    fn group(&self) -> &str {
        self.settings.group.as_str()
    }
}

fn endpoint(text: &str) -> Option<Endpoint> {
    text.parse::<BrokerAddress>().ok().map(|address| Endpoint { host: address.host, port: address.port })
}

fn peer(member: &DescribedMember) -> Option<GroupPeer> {
    let Endpoint { host, port } = member.endpoint.clone()?;
    let read = |ids: &[TaskIds]| tasks::from_ids(ids).unwrap_or_default();
    let tasks = &member.assignment;
    let standby = &read(&tasks.standby) | &read(&tasks.warmup);
    let assignment = Assignment { active: read(&tasks.active), standby };
    Some(GroupPeer { endpoint: BrokerAddress { host, port }.to_string(), assignment })
}
