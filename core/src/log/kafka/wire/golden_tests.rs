//! The messages against bytes that others made: Apache Kafka's own classes (4.4.0) and the crate `kafka-protocol`.

use bytes::BytesMut;
use kafka_protocol::{
    messages::{
        ApiVersionsRequest, DescribeClusterRequest, FindCoordinatorRequest, GroupId, HeartbeatRequest,
        IncrementalAlterConfigsRequest, JoinGroupRequest, LeaveGroupRequest, ListGroupsRequest, RequestHeader,
        SaslAuthenticateRequest, SaslHandshakeRequest, SyncGroupRequest,
        incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig},
        join_group_request::JoinGroupRequestProtocol,
        leave_group_request::MemberIdentity,
        sync_group_request::SyncGroupRequestAssignment,
    },
    protocol::{Encodable, HeaderVersion, StrBytes},
};
use proptest::prelude::*;

use super::{
    channel::frame, classic_group::*, cluster_messages::*, codec::*, group_listing::*, streams_describe::*,
    streams_heartbeat::*, *,
};

const JOINING_BYTES: &str = "04617070046d2d3100000000ffffffff0269000000ea6001000000000202300203696e0102026300000000000302026b02760000\
     020272020272000000080000010002020000010200000000000102023003000000010000012c00010270010268ffff0002057a6f\
     6e65027a0002023000000001000001000000000000000000";

const PLAIN: &str = "04617070046d2d3100000007000000030000ffffffffff00000000ff0000000000";

const ANSWER_0: &str = "00000001000000046d2d310000000500001388000027100000ea60020103696e0002023003000000000000000100010100000002\
     0202681f90000203696e03000000000000000100010000";

const ANSWER: &str = "00000001000000046d2d3100000005000013880000ea600000000000002710020103696e00020230030000000000000001000101\
     01000000020202681f90000203696e03000000000000000100010000";

const FENCED: &str = "00000000006e036e6f026d000000000000000000000000ffffffffffffffff0000000000000000000000";

const DESCRIBE: &str = "02046170700000";

const DESCRIBED: &str = "00000000020000000461707007537461626c65000000030000000301000000000202310203696e010101000002026d0000000300\
     0002630b2f3132372e302e302e310000000002700102680001000101010202310200000002000101000202310200000002000101\
     000000800000000000";

const APIS: &str = "0000020058000000010000000000030016021073747265616d732e76657273696f6e000100010001080000000000000009021602\
     1073747265616d732e76657273696f6e0001000100";

const JOINED: &str = "0000000000000000000409636f6e73756d65720b6d696c6c73747265616d0261026102026102690301020000";

const SYNCED: &str = "00000000001b09636f6e73756d65720b6d696c6c73747265616d020900";

const LEFT: &str = "0000000000000202610100190000";

const COORDINATOR: &str = "000000000000010000000102680000238400";

const HANDSHAKE: &str = "0021000000020005504c41494e000d534352414d2d5348412d323536";

const AUTHENTICATED: &str = "0000010276000000000000138800";

const ALTERED: &str = "00000000020028027820046170700000";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn put<T: Wire>(message: &T, version: i16) -> Vec<u8> {
    let mut out = Writer::default();
    message.put(&mut out, version);
    out.0
}

/// The message has these bytes, and these bytes are the message.
fn check<T: Wire + PartialEq + std::fmt::Debug>(message: &T, version: i16, hex: &str) {
    assert_eq!(put(message, version), bytes(hex));
    understood(message, version, hex);
}

/// These bytes are the message.
fn understood<T: Wire + PartialEq + std::fmt::Debug>(message: &T, version: i16, hex: &str) {
    let bytes = bytes(hex);
    let mut input = Reader(&bytes);
    assert_eq!(T::take(&mut input, version).as_ref(), Ok(message));
    assert!(input.0.is_empty(), "{} bytes are left", input.0.len());
    for cut in 0..bytes.len() {
        assert!(T::take(&mut Reader(&bytes[..cut]), version).is_err(), "cut after {cut} bytes");
    }
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn ids(subtopology: &str, partitions: &[i32]) -> TaskIds {
    TaskIds { subtopology: text(subtopology), partitions: partitions.to_vec() }
}

#[test]
fn a_heartbeat_that_joins_is_as_kafka_writes_it() {
    let repartition = TopicInfo { name: text("r"), partitions: 8, ..TopicInfo::default() };
    let configs = vec![KeyValue { key: text("k"), value: text("v") }];
    let changelog = TopicInfo { name: text("c"), partitions: 0, replication_factor: 3, configs };
    let copartition = CopartitionGroup { source_topics: vec![0], repartition_sources: vec![0], ..Default::default() };
    let part = Subtopology {
        id: text("0"),
        source_topics: vec![text("in")],
        changelogs: vec![changelog],
        repartition_sinks: vec![text("r")],
        repartition_sources: vec![repartition],
        copartition_groups: vec![copartition],
        ..Subtopology::default()
    };
    let call = StreamsHeartbeat {
        group: text("app"),
        member: text("m-1"),
        epoch: JOINING,
        endpoint_epoch: -1,
        instance: Some(text("i")),
        rebalance_timeout: 60_000,
        topology: Some(Topology { epoch: 0, subtopologies: vec![part] }),
        active: Some(vec![]),
        standby: Some(vec![ids("0", &[1, 300])]),
        warmup: Some(vec![]),
        process: Some(text("p")),
        endpoint: Some(Endpoint { host: text("h"), port: 65535 }),
        client_tags: Some(vec![KeyValue { key: text("zone"), value: text("z") }]),
        task_offsets: Some(vec![TaskOffset { subtopology: text("0"), partition: 1, offset: 1 << 40 }]),
        ..StreamsHeartbeat::default()
    };
    check(&call, 0, JOINING_BYTES);
    check(&call, 1, JOINING_BYTES);
}

#[test]
fn a_heartbeat_that_changes_nothing_is_as_kafka_writes_it() {
    let call = StreamsHeartbeat {
        group: text("app"),
        member: text("m-1"),
        epoch: 7,
        endpoint_epoch: 3,
        rebalance_timeout: -1,
        ..StreamsHeartbeat::default()
    };
    check(&call, 1, PLAIN);
}

#[test]
fn answers_to_heartbeats_are_read_as_kafka_writes_them() {
    let endpoint = Endpoint { host: text("h"), port: 8080 };
    let active = vec![TopicPartitions { topic: text("in"), partitions: vec![0, 1] }];
    let answer = StreamsHeartbeatAnswer {
        throttle: 1,
        member: text("m-1"),
        epoch: 5,
        interval: 5_000,
        task_offset_interval: 60_000,
        status: Some(vec![Status { code: 1, detail: text("in") }]),
        active: Some(vec![ids("0", &[0, 1])]),
        standby: Some(vec![]),
        warmup: Some(vec![]),
        endpoint_epoch: 2,
        endpoints: Some(vec![EndpointPartitions { endpoint, active, standby: vec![] }]),
        ..StreamsHeartbeatAnswer::default()
    };
    check(&StreamsHeartbeatAnswer { acceptable_lag_then: 10_000, ..answer.clone() }, 0, ANSWER_0);
    check(&StreamsHeartbeatAnswer { acceptable_lag: 10_000, description_required: true, ..answer }, 1, ANSWER);
    let fenced = StreamsHeartbeatAnswer {
        error: error_code::FENCED_MEMBER_EPOCH,
        message: Some(text("no")),
        member: text("m"),
        acceptable_lag: -1,
        ..StreamsHeartbeatAnswer::default()
    };
    check(&fenced, 1, FENCED);
}

#[test]
fn descriptions_of_groups_are_as_kafka_writes_them() {
    check(&StreamsDescribe { groups: vec![text("app")], authorized_operations: false }, 0, DESCRIBE);
    let part = DescribedSubtopology { id: text("1"), source_topics: vec![text("in")], ..Default::default() };
    let tasks = MemberTasks { active: vec![ids("1", &[2])], ..MemberTasks::default() };
    let member = StreamsMember {
        member: text("m"),
        epoch: 3,
        client_id: text("c"),
        client_host: text("/127.0.0.1"),
        process: text("p"),
        endpoint: Some(Endpoint { host: text("h"), port: 1 }),
        assignment: tasks.clone(),
        target: tasks,
        ..StreamsMember::default()
    };
    let group = StreamsGroup {
        group: text("app"),
        state: text("Stable"),
        epoch: 3,
        assignment_epoch: 3,
        topology: Some(DescribedTopology { epoch: 0, subtopologies: Some(vec![part]) }),
        members: vec![member],
        authorized_operations: i32::MIN,
        ..StreamsGroup::default()
    };
    check(&StreamsDescribeAnswer { throttle: 0, groups: vec![group] }, 0, DESCRIBED);
}

#[test]
fn the_other_answers_are_read_as_kafka_writes_them() {
    let finalized = vec![Feature { name: text("streams.version"), most: 1, least: 1 }];
    let keys = vec![ApiRange { key: 88, least: 0, most: 1 }];
    understood(&ApiVersionsAnswer { error: 0, keys, finalized }, 3, APIS);
    let protocol = (Some(text("consumer")), Some(text("millstream")));
    let joined = Joined { member: text("a"), instance: Some(text("i")), metadata: Blob(vec![1, 2]) };
    let answer = JoinGroupAnswer {
        generation: 4,
        protocol_type: protocol.0.clone(),
        protocol: protocol.1.clone(),
        leader: text("a"),
        member: text("a"),
        members: vec![joined],
        ..JoinGroupAnswer::default()
    };
    check(&answer, 7, JOINED);
    let (protocol_type, protocol) = protocol;
    let assignment = Blob(vec![9]);
    check(&SyncGroupAnswer { throttle: 0, error: 27, protocol_type, protocol, assignment }, 5, SYNCED);
    let members = vec![Left { member: text("a"), instance: Some(text("")), error: 25 }];
    check(&LeaveGroupAnswer { members, ..LeaveGroupAnswer::default() }, 4, LEFT);
    let found =
        FindCoordinatorAnswer { node: 1, host: text("h"), port: 9092, message: Some(text("")), ..Default::default() };
    check(&found, 3, COORDINATOR);
    check(&SaslHandshakeAnswer { error: 33, mechanisms: vec![text("PLAIN"), text("SCRAM-SHA-256")] }, 1, HANDSHAKE);
    let proof = SaslAuthenticateAnswer {
        bytes: Blob(vec![b'v']),
        session_lifetime: 5_000,
        message: Some(text("")),
        ..Default::default()
    };
    check(&proof, 2, AUTHENTICATED);
    let resource = AlteredResource { error: 40, message: Some(text("x")), kind: 32, name: text("app") };
    check(&AlterConfigsAnswer { throttle: 0, resources: vec![resource] }, 1, ALTERED);
}

/// What we send is what `kafka-protocol` would.
fn same<R: Request, T: Encodable + HeaderVersion>(ours: &R, theirs: &T) {
    let version = R::VERSIONS.1;
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(77)
        .with_client_id(Some(StrBytes::from_static_str("me")));
    let mut out = BytesMut::new();
    header.encode(&mut out, T::header_version(version)).unwrap();
    theirs.encode(&mut out, version).unwrap();
    let length = i32::try_from(out.len()).unwrap().to_be_bytes();
    assert_eq!(frame(ours, version, 77, "me"), [&length[..], &out].concat(), "{}", R::NAME);
}

#[test]
fn requests_are_those_of_kafka_protocol() {
    let s = StrBytes::from_static_str;
    let group = || GroupId(s("app"));
    let ours = ApiVersions { software: text("x"), software_version: text("1") };
    same(&ours, &ApiVersionsRequest::default().with_client_software_name(s("x")).with_client_software_version(s("1")));
    let ours = FindCoordinator { key: text("app"), kind: 0 };
    same(&ours, &FindCoordinatorRequest::default().with_key(s("app")));
    same(&SaslHandshake { mechanism: text("PLAIN") }, &SaslHandshakeRequest::default().with_mechanism(s("PLAIN")));
    let theirs = SaslAuthenticateRequest::default().with_auth_bytes(vec![1, 2].into());
    same(&SaslAuthenticate { bytes: Blob(vec![1, 2]) }, &theirs);

    same(&DescribeCluster { authorized_operations: false }, &DescribeClusterRequest::default());
    same(
        &ListGroups { states: vec![text("Empty")] },
        &ListGroupsRequest::default().with_states_filter(vec![s("Empty")]),
    );

    let protocol = Protocol { name: text("millstream"), metadata: Blob(vec![3]) };
    let ours = JoinGroup {
        group: text("app"),
        session_timeout: 45_000,
        rebalance_timeout: 60_000,
        member: text("m"),
        instance: Some(text("i")),
        protocol_type: text("consumer"),
        protocols: vec![protocol],
    };
    let protocol = JoinGroupRequestProtocol::default().with_name(s("millstream")).with_metadata(vec![3].into());
    let theirs = JoinGroupRequest::default()
        .with_group_id(group())
        .with_session_timeout_ms(45_000)
        .with_rebalance_timeout_ms(60_000)
        .with_member_id(s("m"))
        .with_group_instance_id(Some(s("i")))
        .with_protocol_type(s("consumer"))
        .with_protocols(vec![protocol]);
    same(&ours, &theirs);

    let ours = SyncGroup {
        group: text("app"),
        generation: 3,
        member: text("m"),
        instance: None,
        protocol_type: Some(text("consumer")),
        protocol: Some(text("millstream")),
        assignments: vec![MemberAssignment { member: text("m"), assignment: Blob(vec![4]) }],
    };
    let assignment = SyncGroupRequestAssignment::default().with_member_id(s("m")).with_assignment(vec![4].into());
    let theirs = SyncGroupRequest::default()
        .with_group_id(group())
        .with_generation_id(3)
        .with_member_id(s("m"))
        .with_protocol_type(Some(s("consumer")))
        .with_protocol_name(Some(s("millstream")))
        .with_assignments(vec![assignment]);
    same(&ours, &theirs);

    let ours = Heartbeat { group: text("app"), generation: 3, member: text("m"), instance: Some(text("i")) };
    let theirs = HeartbeatRequest::default().with_group_id(group()).with_generation_id(3).with_member_id(s("m"));
    same(&ours, &theirs.with_group_instance_id(Some(s("i"))));
    let ours = LeaveGroup { group: text("app"), members: vec![Leaving { member: text("m"), instance: None }] };
    let member = MemberIdentity::default().with_member_id(s("m")).with_group_instance_id(None);
    same(&ours, &LeaveGroupRequest::default().with_group_id(group()).with_members(vec![member]));

    let config = AlterConfig { name: text("k"), operation: 0, value: Some(text("v")) };
    let resource = AlterResource { kind: 32, name: text("app"), configs: vec![config] };
    let ours = AlterConfigs { resources: vec![resource], validate_only: false };
    let config = AlterableConfig::default().with_name(s("k")).with_value(Some(s("v")));
    let resource = AlterConfigsResource::default().with_resource_type(32).with_resource_name(s("app"));
    let theirs = IncrementalAlterConfigsRequest::default().with_resources(vec![resource.with_configs(vec![config])]);
    same(&ours, &theirs);
}

fn some_ids() -> impl Strategy<Value = Option<Vec<TaskIds>>> {
    let partitions = proptest::collection::vec(any::<i32>(), 0..4);
    let ids = (".{0,6}", partitions).prop_map(|(subtopology, partitions)| TaskIds { subtopology, partitions });
    proptest::option::of(proptest::collection::vec(ids, 0..4))
}

proptest! {
    #[test]
    fn heartbeats_come_back_as_they_were(
        (group, member, instance) in (".{0,9}", ".{0,200}", proptest::option::of(".{0,5}")),
        (epoch, endpoint_epoch) in any::<(i32, i32)>(),
        (active, standby) in (some_ids(), some_ids()),
        shutdown in any::<bool>(),
        version in 0..=1_i16,
    ) {
        let call = StreamsHeartbeat { group, member, instance, epoch, endpoint_epoch, active, standby, shutdown, ..Default::default() };
        let bytes = put(&call, version);
        prop_assert_eq!(StreamsHeartbeat::take(&mut Reader(&bytes), version), Ok(call));
    }

    #[test]
    fn answers_come_back_as_they_were(
        (member, message) in (".{0,9}", proptest::option::of(".{0,20}")),
        (error, epoch, interval, lag) in any::<(i16, i32, i32, i64)>(),
        (active, standby, warmup) in (some_ids(), some_ids(), some_ids()),
        status in proptest::option::of(proptest::collection::vec((any::<i8>(), ".{0,9}"), 0..3)),
    ) {
        let status = status.map(|all| all.into_iter().map(|(code, detail)| Status { code, detail }).collect());
        let answer = StreamsHeartbeatAnswer {
            member, message, error, epoch, interval, acceptable_lag: lag, active, standby, warmup, status, ..Default::default()
        };
        let bytes = put(&answer, 1);
        prop_assert_eq!(StreamsHeartbeatAnswer::take(&mut Reader(&bytes), 1), Ok(answer));
    }

    #[test]
    fn no_bytes_are_too_much(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = StreamsHeartbeatAnswer::take(&mut Reader(&bytes), 1);
        let _ = StreamsDescribeAnswer::take(&mut Reader(&bytes), 0);
        let _ = ApiVersionsAnswer::take(&mut Reader(&bytes), 3);
        let _ = JoinGroupAnswer::take(&mut Reader(&bytes), 7);
        let _ = SaslHandshakeAnswer::take(&mut Reader(&bytes), 1);
    }
}
