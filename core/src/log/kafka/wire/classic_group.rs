//! The messages of classic groups: JoinGroup (11), SyncGroup (14), Heartbeat (12) and LeaveGroup (13), each in the first version with all
//! that is needed here, which brokers since Kafka 2.5 speak.

use super::{
    Request,
    codec::{Blob, structures},
};

structures! {
    /// I want to take part; answered when all have asked, or at the end of the rebalance timeout.
    struct JoinGroup {
        group: String,
        /// In milliseconds.
        session_timeout: i32,
        /// In milliseconds.
        rebalance_timeout: i32,
        /// Empty at first.
        member: String,
        instance: Option<String>,
        protocol_type: String,
        protocols: Vec<Protocol>,
    }

    /// A way to share the work, and what the member says for it.
    struct Protocol {
        name: String,
        metadata: Blob,
    }

    /// Who takes part.
    struct JoinGroupAnswer {
        /// In milliseconds.
        throttle: i32,
        error: i16,
        generation: i32,
        protocol_type: Option<String>,
        protocol: Option<String>,
        leader: String,
        member: String,
        /// All members, for the leader only.
        members: Vec<Joined>,
    }

    /// One who takes part.
    struct Joined {
        member: String,
        instance: Option<String>,
        metadata: Blob,
    }

    /// Here is the assignment (from the leader), or: tell me mine.
    struct SyncGroup {
        group: String,
        generation: i32,
        member: String,
        instance: Option<String>,
        protocol_type: Option<String>,
        protocol: Option<String>,
        assignments: Vec<MemberAssignment>,
    }

    /// What a member gets.
    struct MemberAssignment {
        member: String,
        assignment: Blob,
    }

    /// What I get.
    struct SyncGroupAnswer {
        /// In milliseconds.
        throttle: i32,
        error: i16,
        protocol_type: Option<String>,
        protocol: Option<String>,
        assignment: Blob,
    }

    /// I am here.
    struct Heartbeat {
        group: String,
        generation: i32,
        member: String,
        instance: Option<String>,
    }

    /// So you are, or not.
    struct HeartbeatAnswer {
        /// In milliseconds.
        throttle: i32,
        error: i16,
    }

    /// These members leave.
    struct LeaveGroup {
        group: String,
        members: Vec<Leaving>,
    }

    /// One who leaves.
    struct Leaving {
        member: String,
        instance: Option<String>,
    }

    /// So they do, or not.
    struct LeaveGroupAnswer {
        /// In milliseconds.
        throttle: i32,
        error: i16,
        members: Vec<Left>,
    }

    /// One who has left.
    struct Left {
        member: String,
        instance: Option<String>,
        error: i16,
    }
}

impl Request for JoinGroup {
    const KEY: i16 = 11;
    const NAME: &'static str = "JoinGroup";
    const VERSIONS: (i16, i16) = (7, 7);
    type Answer = JoinGroupAnswer;
}

impl Request for SyncGroup {
    const KEY: i16 = 14;
    const NAME: &'static str = "SyncGroup";
    const VERSIONS: (i16, i16) = (5, 5);
    type Answer = SyncGroupAnswer;
}

impl Request for Heartbeat {
    const KEY: i16 = 12;
    const NAME: &'static str = "Heartbeat";
    const VERSIONS: (i16, i16) = (4, 4);
    type Answer = HeartbeatAnswer;
}

impl Request for LeaveGroup {
    const KEY: i16 = 13;
    const NAME: &'static str = "LeaveGroup";
    const VERSIONS: (i16, i16) = (4, 4);
    type Answer = LeaveGroupAnswer;
}
