//! Members of groups against a broker that the test plays.

use std::{collections::BTreeSet, time::Duration};

use super::{
    membership::{Machine, Step},
    streams_member::{Call, Reply, StreamsMember},
    tasks::{self, tests::tasks},
};
use crate::{
    log::{
        Assignment, GroupEvent, GroupPart, GroupSettings, GroupTopology,
        kafka::{
            clock,
            wire::{
                Outcome, WireError, error_code,
                streams_describe::{MemberTasks, StreamsDescribeAnswer, StreamsGroup, StreamsMember as Described},
                streams_heartbeat::{
                    EndpointPartitions, JOINING, LEAVING, Status, StreamsHeartbeat, StreamsHeartbeatAnswer,
                },
            },
        },
    },
    record::{GroupId, TopicName},
};

/// Settings of a group that reads one topic in one part.
pub(super) fn settings() -> GroupSettings {
    let part = GroupPart { tasks: 4, sources: [TopicName::new("in").unwrap()].into(), ..GroupPart::default() };
    GroupSettings {
        group: GroupId::new("app").unwrap(),
        topology: GroupTopology { parts: vec![part] },
        standby_replicas: 0,
        endpoint: Some("localhost:7000".into()),
        instance: None,
        session_timeout: Duration::from_secs(45),
        rebalance_timeout: Duration::from_secs(60),
    }
}

pub(super) fn active(text: &str) -> Assignment {
    Assignment { active: tasks(text), standby: BTreeSet::new() }
}

/// A member and the broker's side of the conversation.
struct Play {
    member: StreamsMember,
    now: std::time::Instant,
}

impl Play {
    fn new() -> Self {
        Self { member: StreamsMember::new(settings(), "p", false), now: clock::now() }
    }

    fn call(&mut self) -> Call {
        match self.member.next_step(self.now) {
            Step::Call(call) => call,
            other => panic!("the member has nothing to say but {other:?}"),
        }
    }

    fn heartbeat(&mut self) -> StreamsHeartbeat {
        match self.call() {
            Call::Heartbeat(call) => *call,
            Call::Describe(call) => panic!("{call:?}"),
        }
    }

    /// The member speaks, the broker answers; what the member said.
    fn beat(&mut self, answer: StreamsHeartbeatAnswer) -> StreamsHeartbeat {
        let call = self.heartbeat();
        self.member.on_reply(Call::Heartbeat(Box::new(call.clone())), Ok(Reply::Heartbeat(answer)), self.now);
        call
    }

    /// The member speaks, nothing comes back.
    fn beat_into_the_void(&mut self, outcome: Outcome) {
        let call = self.call();
        let error = WireError { outcome, broker: "b".into(), problem: "gone".into() };
        self.member.on_reply(call, Err(error), self.now);
        self.later();
    }

    fn later(&mut self) {
        self.now += Duration::from_secs(6);
    }

    fn event(&mut self) -> GroupEvent {
        self.member.take_event().unwrap().unwrap_or(GroupEvent::Unchanged)
    }

    /// In the group with tasks.
    fn with(text: &str) -> Self {
        let mut play = Self::new();
        play.beat(given(2, text));
        assert_eq!(play.event(), GroupEvent::Assigned(active(text)));
        play.member.report(&active(text), play.now);
        play.beat(unchanged(2));
        play.later();
        play
    }

    fn epoch(&self) -> Option<i32> {
        self.member.member().map(|member| member.epoch)
    }
}

fn unchanged(epoch: i32) -> StreamsHeartbeatAnswer {
    StreamsHeartbeatAnswer { epoch, interval: 5_000, ..StreamsHeartbeatAnswer::default() }
}

fn given(epoch: i32, text: &str) -> StreamsHeartbeatAnswer {
    let (active, none) = (Some(tasks::to_ids(&tasks(text))), Some(vec![]));
    StreamsHeartbeatAnswer { active, standby: none.clone(), warmup: none, ..unchanged(epoch) }
}

fn error(error: i16) -> StreamsHeartbeatAnswer {
    StreamsHeartbeatAnswer { error, ..StreamsHeartbeatAnswer::default() }
}

#[test]
fn who_joins_says_everything_once() {
    let mut play = Play::new();
    let call = play.beat(given(2, "0_0 0_1"));
    assert_eq!((call.epoch, call.process.as_deref(), call.rebalance_timeout), (JOINING, Some("p"), 60_000));
    assert_eq!(call.topology.unwrap().subtopologies[0].source_topics, ["in"]);
    assert_eq!((call.active, call.standby, call.warmup), (Some(vec![]), Some(vec![]), Some(vec![])));
    assert_eq!(play.epoch(), None, "the engine does not know of its tasks yet");

    assert_eq!(play.event(), GroupEvent::Assigned(active("0_0 0_1")));
    assert_eq!(play.event(), GroupEvent::Unchanged);
    assert_eq!(play.epoch(), Some(2));
    play.member.report(&active("0_0 0_1"), play.now);
    let call = play.beat(unchanged(2));
    assert_eq!(call.active, Some(tasks::to_ids(&tasks("0_0 0_1"))), "what was reported is said at once");
    assert_eq!((call.epoch, call.topology, call.process), (2, None, None));
    play.later();
    assert_eq!(play.beat(unchanged(2)).active, None, "nothing has changed");
    assert!(matches!(play.member.next_step(play.now), Step::Wait(_)));
}

#[test]
fn a_task_is_given_up_only_when_the_engine_has_let_go_of_it() {
    let mut play = Play::with("0_0 0_1");
    play.beat(given(2, "0_0"));
    play.later();
    assert_eq!(play.beat(unchanged(2)).active, None, "the engine has not been told yet");
    assert_eq!(play.event(), GroupEvent::Assigned(active("0_0")));
    assert_eq!(play.epoch(), Some(2), "it commits before it lets go");
    play.later();
    assert_eq!(play.beat(unchanged(2)).active, None, "it has not let go yet");

    play.member.report(&active("0_0"), play.now);
    assert_eq!(play.beat(given(3, "0_0")).active, Some(tasks::to_ids(&tasks("0_0"))));
    assert_eq!(play.event(), GroupEvent::Unchanged, "the same tasks are no news");
    assert_eq!(play.epoch(), Some(3));
}

#[test]
fn what_the_engine_may_have_opened_counts_as_its_own() {
    let mut play = Play::with("0_0 0_1");
    play.beat(given(2, "0_0 0_2"));
    assert_eq!(play.event(), GroupEvent::Assigned(active("0_0 0_2")));
    // It has closed 0_1 and not yet opened 0_2.
    play.member.report(&active("0_0"), play.now);
    assert_eq!(play.beat(unchanged(3)).active, Some(tasks::to_ids(&tasks("0_0 0_2"))));
}

#[test]
fn who_is_fenced_loses_everything_and_joins_at_once() {
    for code in [error_code::FENCED_MEMBER_EPOCH, error_code::UNKNOWN_MEMBER_ID, error_code::GROUP_ID_NOT_FOUND] {
        let mut play = Play::with("0_0");
        play.beat(error(code));
        assert_eq!(play.epoch(), None);
        let call = play.beat(given(9, "0_0"));
        assert_eq!((call.epoch, call.active), (JOINING, Some(vec![])));
        // Work from before the loss cannot be committed in the name of the new life.
        assert_eq!(play.epoch(), None);
        play.member.report(&active("0_0"), play.now);
        assert_eq!(play.event(), GroupEvent::Lost);
        assert_eq!(play.epoch(), None);
        play.member.report(&active(""), play.now);
        assert_eq!(play.event(), GroupEvent::Assigned(active("0_0")));
        assert_eq!(play.epoch(), Some(9));
    }
}

#[test]
fn an_answer_that_is_lost_is_made_up_for() {
    let mut play = Play::with("0_0");
    play.beat_into_the_void(Outcome::Unknown);
    let call = play.beat(unchanged(3));
    assert_eq!(call.active, Some(tasks::to_ids(&tasks("0_0"))), "all is said again");
    let Call::Describe(call) = play.call() else { panic!("it does not ask for its tasks") };
    let id = play.member.member().unwrap().member;
    let assignment = MemberTasks { active: tasks::to_ids(&tasks("0_0 0_3")), ..MemberTasks::default() };
    let me = Described { member: id, assignment, ..Described::default() };
    let group = StreamsGroup { members: vec![me], ..StreamsGroup::default() };
    let answer = StreamsDescribeAnswer { throttle: 0, groups: vec![group] };
    play.member.on_reply(Call::Describe(call), Ok(Reply::Describe(answer)), play.now);
    assert_eq!(play.event(), GroupEvent::Assigned(active("0_0 0_3")));
    assert_eq!(play.epoch(), Some(3));
}

#[test]
fn a_call_that_was_never_sent_leaves_no_doubt() {
    let mut play = Play::with("0_0");
    play.beat_into_the_void(Outcome::NotSent);
    play.beat(unchanged(2));
    play.later();
    assert_eq!(play.heartbeat().epoch, 2);
    assert_eq!(play.event(), GroupEvent::Unchanged);
}

#[test]
fn a_coordinator_that_moves_is_no_news() {
    let mut play = Play::with("0_0");
    play.beat(error(error_code::NOT_COORDINATOR));
    assert!(matches!(play.member.next_step(play.now), Step::Wait(_)));
    play.later();
    play.beat(unchanged(2));
    assert_eq!((play.event(), play.epoch()), (GroupEvent::Unchanged, Some(2)));
}

#[test]
fn what_a_broker_has_not_heard_is_said_again() {
    let mut play = Play::with("0_0 0_1");
    play.beat(given(2, "0_0"));
    play.event();
    play.member.report(&active("0_0"), play.now);
    let said = Some(tasks::to_ids(&tasks("0_0")));
    assert_eq!(play.beat(error(error_code::COORDINATOR_LOAD_IN_PROGRESS)).active, said);
    play.later();
    assert_eq!(play.beat(given(3, "0_0")).active, said);
}

#[test]
fn a_group_that_is_not_ready_says_why_once_and_then_that_it_is() {
    let mut play = Play::new();
    let status = Some(vec![Status { code: 1, detail: "Missing source topics: in".into() }]);
    play.beat(StreamsHeartbeatAnswer { status: status.clone(), ..given(1, "") });
    assert_eq!(play.event(), GroupEvent::Assigned(active("")));
    let why = "source topics are missing: create them (Missing source topics: in)";
    assert_eq!(play.event(), GroupEvent::NotReady(why.into()));
    play.later();
    play.beat(StreamsHeartbeatAnswer { status, ..unchanged(1) });
    assert_eq!(play.event(), GroupEvent::Unchanged);
    play.later();
    play.beat(StreamsHeartbeatAnswer { status: Some(vec![]), ..unchanged(1) });
    assert_eq!(play.event(), GroupEvent::Assigned(active("")));
}

#[test]
fn what_cannot_be_mended_by_waiting_is_an_error_that_says_what_to_do() {
    let mut play = Play::new();
    let message = Some("Topology updates are not supported yet.".into());
    play.beat(StreamsHeartbeatAnswer { message, ..error(error_code::INVALID_REQUEST) });
    let problem = play.member.take_event().unwrap_err().0;
    assert!(problem.contains("use a new application id") && problem.contains("not supported yet"), "{problem}");
    play.later();
    assert!(matches!(play.member.next_step(play.now), Step::Wait(_)));

    let mut play = Play::new();
    play.beat(error(error_code::GROUP_ID_NOT_FOUND));
    assert!(play.member.take_event().unwrap_err().0.contains("of another kind"));
}

#[test]
fn others_are_found_by_describing_the_group() {
    let mut play = Play::with("0_0");
    play.beat(StreamsHeartbeatAnswer { endpoints: Some(vec![EndpointPartitions::default()]), ..unchanged(2) });
    let Call::Describe(call) = play.call() else { panic!("it does not ask who is there") };
    assert_eq!(call.groups, ["app"]);
    let endpoint = super::super::wire::streams_heartbeat::Endpoint { host: "h".into(), port: 7 };
    let assignment = MemberTasks { active: tasks::to_ids(&tasks("0_2")), ..MemberTasks::default() };
    let other = Described { endpoint: Some(endpoint), assignment, ..Described::default() };
    let group = StreamsGroup { members: vec![other, Described::default()], ..StreamsGroup::default() };
    let answer = StreamsDescribeAnswer { throttle: 0, groups: vec![group] };
    play.member.on_reply(Call::Describe(call), Ok(Reply::Describe(answer)), play.now);
    let peers = play.member.peers();
    assert_eq!((peers.len(), peers[0].endpoint.as_str(), &peers[0].assignment), (1, "h:7", &active("0_2")));
}

#[test]
fn who_leaves_says_so_and_ends() {
    let mut play = Play::with("0_0");
    play.member.leave();
    assert_eq!(play.epoch(), None);
    assert_eq!(play.beat(unchanged(LEAVING)).epoch, LEAVING);
    assert!(matches!(play.member.next_step(play.now), Step::End));

    let mut play = Play::new();
    play.member.leave();
    assert!(matches!(play.member.next_step(play.now), Step::End), "who was never there need not leave");
}
