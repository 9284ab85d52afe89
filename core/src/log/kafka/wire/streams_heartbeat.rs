//! StreamsGroupHeartbeat (key 88, versions 0 and 1; KIP-1071): how a process joins a streams group, stays in it, and learns its tasks.
//!
//! In a request, a field that is null has not changed since the last one; in an answer as well.

use super::{Request, codec::structures};

/// The member epoch of one who joins.
pub(in crate::log::kafka) const JOINING: i32 = 0;
/// The member epoch of one who leaves for good.
pub(in crate::log::kafka) const LEAVING: i32 = -1;
/// The member epoch of one with a lasting name who will be back.
pub(in crate::log::kafka) const LEAVING_FOR_A_WHILE: i32 = -2;

structures! {
    /// I am here.
    struct StreamsHeartbeat {
        group: String,
        member: String,
        epoch: i32,
        /// The epoch of the endpoints that the member knows.
        endpoint_epoch: i32,
        instance: Option<String>,
        rack: Option<String>,
        /// In milliseconds; -1 is unchanged.
        rebalance_timeout: i32,
        topology: Option<Topology>,
        active: Option<Vec<TaskIds>>,
        standby: Option<Vec<TaskIds>>,
        warmup: Option<Vec<TaskIds>>,
        process: Option<String>,
        endpoint: Option<Endpoint>,
        client_tags: Option<Vec<KeyValue>>,
        task_offsets: Option<Vec<TaskOffset>>,
        task_end_offsets: Option<Vec<TaskOffset>>,
        /// Whether all members are to stop.
        shutdown: bool,
    }

    /// What the members work on.
    struct Topology {
        epoch: i32,
        subtopologies: Vec<Subtopology>,
    }

    /// A part of it.
    struct Subtopology {
        id: String,
        source_topics: Vec<String>,
        source_patterns: Vec<String>,
        changelogs: Vec<TopicInfo>,
        repartition_sinks: Vec<String>,
        repartition_sources: Vec<TopicInfo>,
        copartition_groups: Vec<CopartitionGroup>,
    }

    /// A topic of the application itself.
    struct TopicInfo {
        name: String,
        /// 0 leaves it to the broker.
        partitions: i32,
        /// 0 leaves it to the broker.
        replication_factor: i16,
        configs: Vec<KeyValue>,
    }

    /// Topics with equally many partitions, by their places in the lists of the part.
    struct CopartitionGroup {
        source_topics: Vec<i16>,
        source_patterns: Vec<i16>,
        repartition_sources: Vec<i16>,
    }

    /// Tasks of one part.
    struct TaskIds {
        subtopology: String,
        partitions: Vec<i32>,
    }

    /// A setting.
    struct KeyValue {
        key: String,
        value: String,
    }

    /// Where a process answers questions.
    struct Endpoint {
        host: String,
        port: u16,
    }

    /// How far a task has read its changelogs.
    struct TaskOffset {
        subtopology: String,
        partition: i32,
        offset: i64,
    }

    /// What the group has to say.
    struct StreamsHeartbeatAnswer {
        /// In milliseconds.
        throttle: i32,
        error: i16,
        message: Option<String>,
        member: String,
        epoch: i32,
        /// In milliseconds.
        interval: i32,
        [..=0] acceptable_lag_then: i32,
        /// In milliseconds.
        task_offset_interval: i32,
        [1..] acceptable_lag: i64,
        status: Option<Vec<Status>>,
        active: Option<Vec<TaskIds>>,
        standby: Option<Vec<TaskIds>>,
        warmup: Option<Vec<TaskIds>>,
        [1..] description_required: bool,
        endpoint_epoch: i32,
        endpoints: Option<Vec<EndpointPartitions>>,
    }

    /// Why the group is not as it should be.
    struct Status {
        code: i8,
        detail: String,
    }

    /// Which partitions one process has.
    struct EndpointPartitions {
        endpoint: Endpoint,
        active: Vec<TopicPartitions>,
        standby: Vec<TopicPartitions>,
    }

    /// Partitions of a topic.
    struct TopicPartitions {
        topic: String,
        partitions: Vec<i32>,
    }
}

impl Request for StreamsHeartbeat {
    const KEY: i16 = 88;
    const NAME: &'static str = "StreamsGroupHeartbeat";
    const VERSIONS: (i16, i16) = (0, 1);
    type Answer = StreamsHeartbeatAnswer;
}
