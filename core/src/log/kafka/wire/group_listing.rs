//! The messages that list groups of all kinds: which brokers there are (DescribeCluster, 60), and the groups that one looks after (ListGroups, 16).

use super::{Request, codec::structures};

structures! {
    /// Who belongs to the cluster?
    struct DescribeCluster {
        authorized_operations: bool,
    }

    /// These brokers.
    struct DescribeClusterAnswer {
        /// In milliseconds.
        throttle: i32,
        error: i16,
        message: Option<String>,
        cluster: String,
        controller: i32,
        brokers: Vec<ClusterBroker>,
        authorized_operations: i32,
    }

    /// A broker, and where it answers.
    struct ClusterBroker {
        id: i32,
        host: String,
        port: i32,
        rack: Option<String>,
    }

    /// Which groups do you look after?
    struct ListGroups {
        /// In these states; empty means all.
        states: Vec<String>,
    }

    /// These.
    struct ListGroupsAnswer {
        /// In milliseconds.
        throttle: i32,
        error: i16,
        groups: Vec<ListedGroup>,
    }

    /// A group of any kind.
    struct ListedGroup {
        group: String,
        protocol: String,
        state: String,
    }
}

impl Request for DescribeCluster {
    const KEY: i16 = 60;
    const NAME: &'static str = "DescribeCluster";
    const VERSIONS: (i16, i16) = (0, 0);
    type Answer = DescribeClusterAnswer;
}

impl Request for ListGroups {
    const KEY: i16 = 16;
    const NAME: &'static str = "ListGroups";
    const VERSIONS: (i16, i16) = (4, 4);
    type Answer = ListGroupsAnswer;
}
