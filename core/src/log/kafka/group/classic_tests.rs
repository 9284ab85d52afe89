//! Members of classic groups against a broker that the test plays.

use std::{collections::BTreeMap, time::Instant};

use super::{
    classic_member::{Call, ClassicMember, Reply},
    member_data::{AssignmentData, PeerData, assignment_bytes},
    membership::{Machine, Step},
    streams_tests::{active, settings},
};
use crate::log::{
    GroupEvent,
    kafka::{
        clock,
        wire::{
            Outcome, WireError,
            classic_group::{HeartbeatAnswer, JoinGroup, JoinGroupAnswer, Joined, SyncGroupAnswer},
            codec::Blob,
            error_code,
        },
    },
};

/// The broker of a classic group with some members, all driven by hand.
struct Play {
    members: Vec<ClassicMember>,
    generation: i32,
    now: Instant,
}

impl Play {
    fn new(count: usize) -> Self {
        let members = (0..count).map(|number| ClassicMember::new(settings(), &format!("p{number}"))).collect();
        Self { members, generation: 0, now: clock::now() }
    }

    fn call(&mut self, member: usize) -> Call {
        match self.members[member].next_step(self.now) {
            Step::Call(call) => call,
            other => panic!("member {member} has nothing to say but {other:?}"),
        }
    }

    fn join_call(&mut self, member: usize) -> JoinGroup {
        match self.call(member) {
            Call::Join(call) => call,
            other => panic!("{other:?}"),
        }
    }

    /// All members join; the first leads. Then they get what it says.
    fn rebalance(&mut self) {
        self.generation += 1;
        let calls: Vec<JoinGroup> = (0..self.members.len()).map(|member| self.join_call(member)).collect();
        let joined = |(number, call): (usize, &JoinGroup)| Joined {
            member: format!("m{number}"),
            instance: None,
            metadata: call.protocols[0].metadata.clone(),
        };
        let all: Vec<Joined> = calls.iter().enumerate().map(joined).collect();
        for (number, call) in calls.into_iter().enumerate() {
            let answer = JoinGroupAnswer {
                generation: self.generation,
                leader: "m0".into(),
                member: format!("m{number}"),
                members: if number == 0 { all.clone() } else { vec![] },
                ..JoinGroupAnswer::default()
            };
            self.members[number].on_reply(Call::Join(call), Ok(Reply::Join(answer)), self.now);
        }
        let mut told = BTreeMap::new();
        for number in 0..self.members.len() {
            let Call::Sync(call) = self.call(number) else { panic!("it does not ask for its tasks") };
            told.extend(call.assignments.iter().map(|given| (given.member.clone(), given.assignment.clone())));
            let assignment = told[&format!("m{number}")].clone();
            let answer = SyncGroupAnswer { assignment, ..SyncGroupAnswer::default() };
            self.members[number].on_reply(Call::Sync(call), Ok(Reply::Sync(answer)), self.now);
        }
    }

    fn beat(&mut self, member: usize, error: i16) {
        self.now += settings().session_timeout / 3;
        let call = self.call(member);
        assert!(matches!(call, Call::Heartbeat(_)));
        let answer = HeartbeatAnswer { throttle: 0, error };
        self.members[member].on_reply(call, Ok(Reply::Heartbeat(answer)), self.now);
    }

    fn event(&mut self, member: usize) -> GroupEvent {
        self.members[member].take_event().unwrap().unwrap_or(GroupEvent::Unchanged)
    }

    fn generation_of(&self, member: usize) -> Option<i32> {
        self.members[member].member().map(|member| member.epoch)
    }
}

#[test]
fn the_leader_shares_the_tasks_out_and_all_hear_who_is_there() {
    let mut play = Play::new(2);
    play.rebalance();
    assert_eq!(play.generation_of(0), None, "the engine does not know of its tasks yet");
    assert_eq!(play.event(0), GroupEvent::Assigned(active("0_0 0_2")));
    assert_eq!(play.event(1), GroupEvent::Assigned(active("0_1 0_3")));
    assert_eq!(play.generation_of(0), Some(1));
    let peers = play.members[1].peers();
    assert_eq!((peers.len(), &peers[0].assignment), (2, &active("0_0 0_2")));
    assert_eq!(peers[0].endpoint, "localhost:7000");
}

#[test]
fn nobody_commits_between_the_report_and_the_new_tasks() {
    let mut play = Play::new(1);
    play.rebalance();
    assert_eq!(play.event(0), GroupEvent::Assigned(active("0_0 0_1 0_2 0_3")));
    play.members[0].report(&active("0_0 0_1 0_2 0_3"), play.now);

    play.members.push(ClassicMember::new(settings(), "p1"));
    play.beat(0, error_code::REBALANCE_IN_PROGRESS);
    // A report that crosses the news is not the one that is waited for.
    play.members[0].report(&active("0_0 0_1 0_2 0_3"), play.now);
    assert!(matches!(play.members[0].next_step(play.now), Step::Wait(_)));
    assert_eq!(play.event(0), GroupEvent::Rebalancing);
    assert_eq!(play.generation_of(0), Some(1), "it commits what it has done");
    play.beat(0, error_code::REBALANCE_IN_PROGRESS);
    play.members[0].report(&active("0_0 0_1 0_2 0_3"), play.now);
    assert_eq!(play.generation_of(0), None);
    play.rebalance();
    assert_eq!(play.event(0), GroupEvent::Assigned(active("0_0 0_1")));
    assert_eq!(play.event(1), GroupEvent::Assigned(active("0_2 0_3")));
    assert_eq!((play.generation_of(0), play.generation_of(1)), (Some(2), Some(2)));
}

#[test]
fn who_is_unknown_loses_everything_and_joins_anew() {
    for code in [error_code::UNKNOWN_MEMBER_ID, error_code::ILLEGAL_GENERATION] {
        let mut play = Play::new(1);
        play.rebalance();
        play.event(0);
        play.beat(0, code);
        assert_eq!(play.generation_of(0), None);
        play.rebalance();
        assert_eq!(play.generation_of(0), None, "work from before the loss cannot be committed");
        assert_eq!(play.event(0), GroupEvent::Lost);
        assert_eq!(play.event(0), GroupEvent::Assigned(active("0_0 0_1 0_2 0_3")));
        assert_eq!(play.generation_of(0), Some(2));
    }
}

#[test]
fn a_rebalance_that_the_engine_has_not_heard_of_goes_on_at_once() {
    let mut play = Play::new(1);
    play.rebalance();
    play.beat(0, error_code::REBALANCE_IN_PROGRESS);
    play.rebalance();
    assert_eq!(play.event(0), GroupEvent::Assigned(active("0_0 0_1 0_2 0_3")));
    assert_eq!((play.event(0), play.generation_of(0)), (GroupEvent::Unchanged, Some(2)));
}

#[test]
fn the_first_answer_may_only_give_a_name() {
    let mut play = Play::new(1);
    let call = play.join_call(0);
    assert_eq!((call.member.as_str(), call.protocol_type.as_str()), ("", "consumer"));
    let answer = JoinGroupAnswer { error: error_code::MEMBER_ID_REQUIRED, member: "m0".into(), ..Default::default() };
    play.members[0].on_reply(Call::Join(call), Ok(Reply::Join(answer)), play.now);
    assert_eq!(play.join_call(0).member, "m0");
    assert_eq!(play.event(0), GroupEvent::Unchanged);
}

#[test]
fn an_answer_that_is_lost_is_asked_for_again() {
    let mut play = Play::new(1);
    let gone = || WireError { outcome: Outcome::Unknown, broker: "b".into(), problem: "gone".into() };
    let call = play.call(0);
    play.members[0].on_reply(call, Err(gone()), play.now);
    assert!(matches!(play.members[0].next_step(play.now), Step::Wait(_)));
    play.now += settings().session_timeout;
    play.rebalance();
    play.event(0);
    play.now += settings().session_timeout;
    let call = play.call(0);
    play.members[0].on_reply(call, Err(gone()), play.now);
    assert_eq!((play.event(0), play.generation_of(0)), (GroupEvent::Unchanged, Some(1)));
}

#[test]
fn a_process_with_another_topology_and_a_plain_consumer_are_told_no() {
    let mut play = Play::new(1);
    let mut other = settings();
    other.topology.parts[0].tasks = 5;
    play.members.push(ClassicMember::new(other, "p1"));
    play.now = clock::now();
    play.rebalance();
    assert_eq!(play.event(0), GroupEvent::Assigned(active("0_0 0_1 0_2 0_3")));
    assert!(play.members[1].take_event().unwrap_err().0.contains("the topology differs"));

    let mut play = Play::new(1);
    let call = play.join_call(0);
    let stranger =
        Joined { member: "x".into(), instance: None, metadata: Blob(vec![0, 0, 0, 0, 0, 0, 255, 255, 255, 255]) };
    let me = Joined { member: "m0".into(), instance: None, metadata: call.protocols[0].metadata.clone() };
    let (leader, member) = ("m0".to_owned(), "m0".to_owned());
    let answer = JoinGroupAnswer { leader, member, members: vec![stranger, me], ..JoinGroupAnswer::default() };
    play.members[0].on_reply(Call::Join(call), Ok(Reply::Join(answer)), play.now);
    let Call::Sync(call) = play.call(0) else { panic!("it does not hand out the tasks") };
    assert_eq!(call.assignments.len(), 2);
}

#[test]
fn one_that_comes_back_and_answers_elsewhere_has_the_others_hear_of_it() {
    let mut lasting = settings();
    lasting.instance = Some("one".into());
    let mut play = Play::new(0);
    play.members.push(ClassicMember::new(lasting, "p0"));
    play.now = clock::now();
    let before = play.join_call(0).protocols;
    let call = play.call(0);
    let answer = JoinGroupAnswer { generation: 1, leader: "other".into(), member: "m0".into(), ..Default::default() };
    play.members[0].on_reply(call, Ok(Reply::Join(answer)), play.now);
    let told = AssignmentData { peers: vec![PeerData::new("localhost:1", &active("0_0"))], ..Default::default() };
    let assignment = Blob(assignment_bytes(&told, &settings().topology));
    let call = play.call(0);
    let answer = SyncGroupAnswer { assignment, ..SyncGroupAnswer::default() };
    play.members[0].on_reply(call, Ok(Reply::Sync(answer)), play.now);
    assert_eq!(play.event(0), GroupEvent::Unchanged);
    assert_ne!(play.join_call(0).protocols, before, "the same data would make the broker tell nobody");
    play.rebalance();
    assert_eq!(play.event(0), GroupEvent::Assigned(active("0_0 0_1 0_2 0_3")));
}

#[test]
fn what_cannot_be_mended_by_waiting_is_an_error_that_says_what_to_do() {
    let mut play = Play::new(1);
    let call = play.call(0);
    let answer = JoinGroupAnswer { error: error_code::INVALID_SESSION_TIMEOUT, ..JoinGroupAnswer::default() };
    play.members[0].on_reply(call, Ok(Reply::Join(answer)), play.now);
    assert!(play.members[0].take_event().unwrap_err().0.contains("group.min.session.timeout.ms"));
}

#[test]
fn who_leaves_says_so_and_ends() {
    let mut play = Play::new(1);
    play.rebalance();
    play.members[0].leave();
    let Call::Leave(call) = play.call(0) else { panic!("it does not leave") };
    assert_eq!(call.members[0].member, "m0");
    assert!(matches!(play.members[0].next_step(play.now), Step::End));
}
