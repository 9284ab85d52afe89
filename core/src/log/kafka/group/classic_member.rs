//! A member of a classic group: the members share the tasks out among themselves, led by one that the broker picks.
//!
//! ```text
//! Joining --all have joined--> Syncing --assignment--> Stable --somebody comes or goes--> Rebalancing
//!    ^ ^                          |                      |                                    | reported
//!    | +--------------------------+----------------------+ lost                               |
//!    +----------------------------------------------------------------------------------------+
//! ```
//!
//! When somebody comes or goes, everyone commits and reports before joining anew, and nobody commits until the new assignment is there.
//! Then tasks change hands without a second round: whoever had one has committed it, and who gets it may begin.
//!
//! The broker takes commits of the present generation only. The new generation is given out for commits once the engine has been told the
//! assignment that belongs to it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    assignor::{PartShape, Stores, share_out},
    classic_reasons::refusal,
    member_data::{
        AssignmentData, MemberData, PeerData, assignment_bytes, digest, read_assignment, read_subscription,
        subscription,
    },
    membership::{Failure, Machine, Step},
    tasks,
};
use crate::log::{
    Assignment, GroupEvent, GroupMember, GroupPeer, GroupSettings,
    kafka::wire::{
        Outcome, WireError,
        classic_group::{
            Heartbeat, HeartbeatAnswer, JoinGroup, JoinGroupAnswer, Joined, LeaveGroup, Leaving, MemberAssignment,
            Protocol, SyncGroup, SyncGroupAnswer,
        },
        codec::Blob,
        coordinator::Coordinator,
        error_code,
    },
};

/// The protocol type that Kafka's tools list and describe.
const PROTOCOL_TYPE: &str = "consumer";

/// Our way to share the work.
const PROTOCOL: &str = "millstream";

/// Longest time between heartbeats: so late a member hears at most that somebody comes or goes.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How long an answer may take that does not wait for other members.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The wait before something that failed is tried again: the first, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// After so many failures in a row the engine is told.
const TELLING_FAILURES: u32 = 5;

/// A member of a classic group.
pub(super) struct ClassicMember {
    settings: GroupSettings,
    process: String,
    digest: i64,
    /// Empty before the broker has given it.
    member: String,
    generation: i32,
    phase: Phase,
    /// What the engine has said last that it has.
    reported: Assignment,
    /// Whether the engine has been told the assignment of this generation.
    delivered: bool,
    /// Whether the engine has been told any assignment in this life.
    has_work: bool,
    /// For the engine, in this order.
    lost: bool,
    rebalancing: bool,
    assignment: Option<Assignment>,
    not_ready: Option<String>,
    failure: Option<Failure>,
    peers: Vec<GroupPeer>,
    /// How often it has asked for its place again so that the others hear where it answers.
    round: i32,
    due: Instant,
    failures: u32,
    leaving: bool,
    ended: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// To ask for a place.
    Joining,
    /// To hand out the tasks, as the leader, or to ask for ours.
    Syncing(Vec<MemberAssignment>),
    /// At work.
    Stable,
    /// Waiting until the engine has committed and reported.
    Rebalancing,
}

/// What a member says.
#[derive(Debug)]
pub(super) enum Call {
    Join(JoinGroup),
    Sync(SyncGroup),
    Heartbeat(Heartbeat),
    Leave(LeaveGroup),
}

/// What the broker answers.
#[derive(Debug)]
pub(super) enum Reply {
    Join(JoinGroupAnswer),
    Sync(SyncGroupAnswer),
    Heartbeat(HeartbeatAnswer),
    Left,
}

impl ClassicMember {
    /// One that is about to join.
    pub(super) fn new(settings: GroupSettings, process: &str) -> Self {
        Self {
            digest: digest(&settings.topology),
            settings,
            process: process.to_owned(),
            member: String::new(),
            generation: -1,
            phase: Phase::Joining,
            reported: Assignment::default(),
            delivered: false,
            has_work: false,
            lost: false,
            rebalancing: false,
            assignment: None,
            not_ready: None,
            failure: None,
            peers: Vec::new(),
            round: 0,
            due: crate::log::kafka::clock::now(),
            failures: 0,
            leaving: false,
            ended: false,
        }
    }

    fn group_name(&self) -> String {
        self.settings.group.as_str().to_owned()
    }

    fn join(&self) -> JoinGroup {
        let data = MemberData {
            process: self.process.clone(),
            endpoint: self.settings.endpoint.clone(),
            topology: self.digest,
            active: tasks::to_ids(&self.reported.active),
            standby: tasks::to_ids(&self.reported.standby),
            round: self.round,
        };
        let metadata = Blob(subscription(&data, &self.settings.topology));
        let millis = |time: Duration| i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
        JoinGroup {
            group: self.group_name(),
            session_timeout: millis(self.settings.session_timeout),
            rebalance_timeout: millis(self.settings.rebalance_timeout),
            member: self.member.clone(),
            instance: self.settings.instance.clone(),
            protocol_type: PROTOCOL_TYPE.to_owned(),
            protocols: vec![Protocol { name: PROTOCOL.to_owned(), metadata }],
        }
    }

    fn sync(&self, assignments: Vec<MemberAssignment>) -> SyncGroup {
        SyncGroup {
            group: self.group_name(),
            generation: self.generation,
            member: self.member.clone(),
            instance: self.settings.instance.clone(),
            protocol_type: Some(PROTOCOL_TYPE.to_owned()),
            protocol: Some(PROTOCOL.to_owned()),
            assignments,
        }
    }

    fn heartbeat(&self) -> Heartbeat {
        Heartbeat {
            group: self.group_name(),
            generation: self.generation,
            member: self.member.clone(),
            instance: self.settings.instance.clone(),
        }
    }

    fn interval(&self) -> Duration {
        (self.settings.session_timeout / 3).min(HEARTBEAT)
    }

    fn on_joined(&mut self, answer: JoinGroupAnswer, now: Instant) {
        match answer.error {
            error_code::NONE => {
                self.failures = 0;
                self.member = answer.member;
                self.generation = answer.generation;
                self.delivered = false;
                self.due = now;
                let leads = answer.leader == self.member;
                self.phase = Phase::Syncing(if leads { self.share_out(&answer.members) } else { Vec::new() });
            }
            error_code::MEMBER_ID_REQUIRED => {
                self.member = answer.member;
                self.due = now;
            }
            code => self.on_error_code(code, now),
        }
    }

    /// The leader's work: who gets what.
    fn share_out(&self, joined: &[Joined]) -> Vec<MemberAssignment> {
        let mut known = BTreeMap::new();
        let mut refused = Vec::new();
        for member in joined {
            match read_subscription(&member.metadata.0) {
                Ok(data) if data.topology == self.digest => {
                    known.insert(member.member.clone(), data);
                }
                Ok(_) => refused.push((
                    &member.member,
                    "the topology differs from the group's: use a new application id, or stop all its processes first",
                )),
                Err(_) => refused.push((
                    &member.member,
                    "the group's leader does not understand this process: use the same version of the program in all \
                     processes, and the application id for nothing else",
                )),
            }
        }
        let shape = |part: &crate::log::GroupPart| PartShape {
            tasks: part.tasks,
            stores: if part.changelogs.is_empty() { Stores::None } else { Stores::Some },
        };
        let parts: Vec<PartShape> = self.settings.topology.parts.iter().map(shape).collect();
        let owned = known.iter().map(|(member, data)| (member.clone(), data.owned())).collect();
        let shared = share_out(&parts, &owned, self.settings.standby_replicas);
        let peer = |(member, tasks): (&String, &Assignment)| {
            known[member].endpoint.as_deref().map(|endpoint| PeerData::new(endpoint, tasks))
        };
        let peers: Vec<PeerData> = shared.iter().filter_map(peer).collect();
        let told = |data: AssignmentData| Blob(assignment_bytes(&data, &self.settings.topology));
        let mut assignments = Vec::new();
        for (member, tasks) in shared {
            let (active, standby) = (tasks::to_ids(&tasks.active), tasks::to_ids(&tasks.standby));
            let assignment = told(AssignmentData { refusal: None, active, standby, peers: peers.clone() });
            assignments.push(MemberAssignment { member, assignment });
        }
        for (member, refusal) in refused {
            let assignment = told(AssignmentData { refusal: Some(refusal.to_owned()), ..AssignmentData::default() });
            assignments.push(MemberAssignment { member: member.clone(), assignment });
        }
        assignments
    }

    fn on_synced(&mut self, answer: &SyncGroupAnswer, now: Instant) {
        if answer.error != error_code::NONE {
            return self.on_error_code(answer.error, now);
        }
        match read_assignment(&answer.assignment.0) {
            Ok(AssignmentData { refusal: Some(refusal), .. }) => self.failure = Some(Failure(refusal)),
            // One with a lasting name gets its old assignment back, in which it may answer elsewhere.
            Ok(data) if self.round == 0 && self.is_missing_in(&data.peers()) => {
                self.round = 1;
                self.phase = Phase::Joining;
                self.due = now;
            }
            Ok(data) => {
                self.failures = 0;
                self.assignment = Some(data.assignment());
                self.peers = data.peers();
                self.rebalancing = false;
                self.not_ready = None;
                self.phase = Phase::Stable;
                self.due = now + self.interval();
            }
            Err(problem) => {
                let problem = format!(
                    "the group's leader speaks another language ({problem}): use the same version in all processes"
                );
                self.failure = Some(Failure(problem));
            }
        }
    }

    fn is_missing_in(&self, peers: &[GroupPeer]) -> bool {
        let own = self.settings.endpoint.as_ref();
        self.settings.instance.is_some() && own.is_some_and(|own| peers.iter().all(|peer| peer.endpoint != *own))
    }

    fn on_error_code(&mut self, code: i16, now: Instant) {
        match code {
            error_code::NONE => {
                self.failures = 0;
                self.due = now + self.interval();
            }
            error_code::REBALANCE_IN_PROGRESS => self.on_rebalance(now),
            error_code::UNKNOWN_MEMBER_ID => {
                self.member.clear();
                self.on_loss(now);
            }
            error_code::ILLEGAL_GENERATION => self.on_loss(now),
            code if error_code::is_coordinator_elsewhere(code) => self.try_again(now),
            error_code::GROUP_MAX_SIZE_REACHED => {
                self.not_ready =
                    Some("the group is full: raise group.max.size on the brokers, or run fewer processes".into());
                self.try_again(now);
            }
            code => self.failure = Some(Failure(refusal(code))),
        }
    }

    /// Somebody comes or goes.
    fn on_rebalance(&mut self, now: Instant) {
        match self.phase {
            Phase::Stable if self.delivered => {
                self.phase = Phase::Rebalancing;
                self.rebalancing = true;
                self.due = now + self.interval();
            }
            // It has been reported already.
            Phase::Rebalancing => self.due = now + self.interval(),
            // What the engine has not heard of, it need not give up.
            Phase::Stable | Phase::Syncing(_) | Phase::Joining => {
                self.assignment = None;
                self.phase = Phase::Joining;
                self.due = now;
            }
        }
    }

    /// The member is none any more. It joins again at once.
    fn on_loss(&mut self, now: Instant) {
        tracing::warn!("group {} has given this process up: it joins again", self.settings.group);
        self.lost |= self.has_work;
        self.has_work = false;
        self.delivered = false;
        self.rebalancing = false;
        self.assignment = None;
        self.reported = Assignment::default();
        self.generation = -1;
        self.phase = Phase::Joining;
        self.due = now;
    }

    fn try_again(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.due = now + BACKOFF.0.saturating_mul(1 << self.failures.min(10)).min(BACKOFF.1);
    }

    fn on_error(&mut self, error: &WireError, now: Instant) {
        if error.outcome == Outcome::Refused {
            self.failure = Some(Failure(error.to_string()));
            return;
        }
        self.try_again(now);
        if self.failures == TELLING_FAILURES {
            self.not_ready = Some(format!("the group cannot be reached: {error}"));
        }
        // Whether the others have gone on without us is said when we ask for a place again.
        if matches!(self.phase, Phase::Syncing(_)) {
            self.phase = Phase::Joining;
        }
    }

    fn farewell(&self) -> LeaveGroup {
        let leaving = Leaving { member: self.member.clone(), instance: None };
        LeaveGroup { group: self.group_name(), members: vec![leaving] }
    }
}

impl Machine for ClassicMember {
    type Call = Call;
    type Reply = Reply;

    fn next_step(&mut self, now: Instant) -> Step<Call> {
        if self.ended {
            return Step::End;
        }
        if self.leaving {
            self.ended = true;
            // One with a lasting name keeps its place until its session ends, for it may be back.
            let says = !self.member.is_empty() && self.settings.instance.is_none();
            return if says { Step::Call(Call::Leave(self.farewell())) } else { Step::End };
        }
        if self.failure.is_some() {
            return Step::Wait(Duration::from_secs(3600));
        }
        if now < self.due {
            return Step::Wait(self.due - now);
        }
        Step::Call(match &self.phase {
            Phase::Joining => Call::Join(self.join()),
            Phase::Syncing(assignments) => Call::Sync(self.sync(assignments.clone())),
            Phase::Stable | Phase::Rebalancing => Call::Heartbeat(self.heartbeat()),
        })
    }

    fn perform(call: &Call, coordinator: &mut Coordinator) -> Result<Reply, WireError> {
        let waits = |rebalance: i32| CALL_TIMEOUT + Duration::from_millis(u64::try_from(rebalance).unwrap_or(0));
        let (reply, error) = match call {
            Call::Join(call) => {
                let answer = coordinator.call(call, waits(call.rebalance_timeout))?;
                let error = answer.error;
                (Reply::Join(answer), error)
            }
            Call::Sync(call) => {
                let answer = coordinator.call(call, CALL_TIMEOUT)?;
                let error = answer.error;
                (Reply::Sync(answer), error)
            }
            Call::Heartbeat(call) => {
                let answer = coordinator.call(call, CALL_TIMEOUT)?;
                let error = answer.error;
                (Reply::Heartbeat(answer), error)
            }
            Call::Leave(call) => {
                coordinator.call(call, CALL_TIMEOUT)?;
                (Reply::Left, error_code::NONE)
            }
        };
        if error_code::is_coordinator_elsewhere(error) {
            coordinator.forget();
        }
        Ok(reply)
    }

    fn on_reply(&mut self, _: Call, reply: Result<Reply, WireError>, now: Instant) {
        match reply {
            Ok(Reply::Join(answer)) => self.on_joined(answer, now),
            Ok(Reply::Sync(answer)) => self.on_synced(&answer, now),
            Ok(Reply::Heartbeat(answer)) => self.on_error_code(answer.error, now),
            Ok(Reply::Left) => {}
            Err(error) => self.on_error(&error, now),
        }
    }

    fn take_event(&mut self) -> Result<Option<GroupEvent>, Failure> {
        if std::mem::take(&mut self.lost) {
            return Ok(Some(GroupEvent::Lost));
        }
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if std::mem::take(&mut self.rebalancing) {
            return Ok(Some(GroupEvent::Rebalancing));
        }
        if let Some(assignment) = self.assignment.take() {
            self.delivered = true;
            self.has_work = true;
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
        // A report from before the engine knew that it has to commit is none that it has.
        if self.phase == Phase::Rebalancing && !self.rebalancing {
            self.phase = Phase::Joining;
            self.due = now;
        }
    }

    fn member(&self) -> Option<GroupMember> {
        let at_work = matches!(self.phase, Phase::Stable | Phase::Rebalancing);
        (at_work && self.delivered && !self.lost && !self.leaving).then(|| GroupMember {
            group: self.settings.group.clone(),
            member: self.member.clone(),
            epoch: self.generation,
            instance: self.settings.instance.clone(),
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
