//! StreamsGroupDescribe (key 89, version 0; KIP-1071): who is in a streams group, and who has which tasks.

use super::{
    Request,
    codec::structures,
    streams_heartbeat::{Endpoint, KeyValue, TaskIds, TaskOffset, TopicInfo},
};

structures! {
    /// Tell me about groups.
    struct StreamsDescribe {
        groups: Vec<String>,
        authorized_operations: bool,
    }

    /// What is known of them.
    struct StreamsDescribeAnswer {
        /// In milliseconds.
        throttle: i32,
        groups: Vec<StreamsGroup>,
    }

    /// A group.
    struct StreamsGroup {
        error: i16,
        message: Option<String>,
        group: String,
        state: String,
        epoch: i32,
        assignment_epoch: i32,
        topology: Option<DescribedTopology>,
        members: Vec<StreamsMember>,
        authorized_operations: i32,
    }

    /// What its members work on.
    struct DescribedTopology {
        epoch: i32,
        subtopologies: Option<Vec<DescribedSubtopology>>,
    }

    /// A part of it.
    struct DescribedSubtopology {
        id: String,
        source_topics: Vec<String>,
        repartition_sinks: Vec<String>,
        changelogs: Vec<TopicInfo>,
        repartition_sources: Vec<TopicInfo>,
    }

    /// A member.
    struct StreamsMember {
        member: String,
        epoch: i32,
        instance: Option<String>,
        rack: Option<String>,
        client_id: String,
        client_host: String,
        topology_epoch: i32,
        process: String,
        endpoint: Option<Endpoint>,
        client_tags: Vec<KeyValue>,
        task_offsets: Vec<TaskOffset>,
        task_end_offsets: Vec<TaskOffset>,
        assignment: MemberTasks,
        target: MemberTasks,
        classic: bool,
    }

    /// Tasks of a member.
    struct MemberTasks {
        active: Vec<TaskIds>,
        standby: Vec<TaskIds>,
        warmup: Vec<TaskIds>,
    }
}

impl Request for StreamsDescribe {
    const KEY: i16 = 89;
    const NAME: &'static str = "StreamsGroupDescribe";
    const VERSIONS: (i16, i16) = (0, 0);
    type Answer = StreamsDescribeAnswer;
}
