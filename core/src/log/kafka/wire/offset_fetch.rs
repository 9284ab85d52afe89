//! How far a group has read: OffsetFetch (9), in the first version that waits for open transactions, which brokers since Kafka 2.5 speak.

use super::{Request, codec::structures};

structures! {
    /// How far has this group read?
    struct OffsetFetch {
        group: String,
        topics: Vec<OffsetFetchTopic>,
        /// Whether a position that an open transaction may move is an error.
        require_stable: bool,
    }

    /// In these partitions of a topic.
    struct OffsetFetchTopic {
        name: String,
        partitions: Vec<i32>,
    }

    /// So far.
    struct OffsetFetchAnswer {
        /// In milliseconds.
        throttle: i32,
        topics: Vec<FetchedTopic>,
        error: i16,
    }

    /// In a topic.
    struct FetchedTopic {
        name: String,
        partitions: Vec<FetchedPosition>,
    }

    /// In a partition.
    struct FetchedPosition {
        partition: i32,
        /// Below 0 if there is none.
        offset: i64,
        leader_epoch: i32,
        metadata: Option<String>,
        error: i16,
    }
}

impl Request for OffsetFetch {
    const KEY: i16 = 9;
    const NAME: &'static str = "OffsetFetch";
    const VERSIONS: (i16, i16) = (7, 7);
    type Answer = OffsetFetchAnswer;
}
