//! The workloads: which SQL, over which input, and the same as a batch.

use std::{fmt, str::FromStr};

use super::nexmark::{Nexmark, QUERIES};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// The log itself: append, and scan from the page cache.
    Log,
    /// One of our own, over bids from a file.
    Bids(&'static Bids),
    /// One of Nexmark's.
    Nexmark(&'static Nexmark),
}

/// A query over bids.
#[derive(Debug, PartialEq, Eq)]
pub struct Bids {
    /// `w0` to `w4`; what it writes has the same name in capitals.
    pub name: &'static str,
    /// The field that bids are keyed by.
    pub key: &'static str,
    /// The query.
    pub script: &'static str,
    /// Whether bidders are read as well.
    pub with_bidders: bool,
    /// The same for DataFusion over the tables `bids` and `bidders`, with the columns of the result in the same order. `{advance}` and
    /// `{hops}` stand for the milliseconds between windows and for the numbers of those that a bid is in, from 0.
    batch: &'static str,
}

/// The length of windows in milliseconds.
const WINDOW_MS: u32 = 10_000;

/// From one window to the next, if so many overlap.
pub fn advance_ms(hops: u32) -> u32 {
    WINDOW_MS / hops
}

impl Bids {
    /// The batch query, with each bid in `hops` windows if they overlap.
    pub fn batch(&self, hops: u32) -> String {
        let numbers = (0..hops).map(|hop| format!("({hop})")).collect::<Vec<_>>().join(", ");
        self.batch.replace("{advance}", &advance_ms(hops).to_string()).replace("{hops}", &numbers)
    }

    /// The query under another name, for the second and later of several that read one topic.
    pub fn script_of_copy(&self, copy: u32) -> String {
        let name = self.name.to_ascii_uppercase();
        self.script.replace(&format!(" {name} "), &format!(" {name}_{copy} "))
    }
}

/// Where the sources of [`Bids`] are declared.
pub const BIDS_SOURCE: &str = include_str!("../../../../tests/nexmark/bids.sql");

/// The queries over bids.
pub static BIDS: [Bids; 5] = [
    Bids {
        name: "w0",
        key: "auction",
        script: include_str!("../../../../tests/nexmark/w0.sql"),
        with_bidders: false,
        batch: "SELECT auction, price * 0.908 AS price, bidder FROM bids WHERE auction % 123 = 0",
    },
    Bids {
        name: "w1",
        key: "auction",
        script: include_str!("../../../../tests/nexmark/w1.sql"),
        with_bidders: false,
        batch: "SELECT auction, date_time - date_time % 10000 AS start, date_time - date_time % 10000 + 10000 AS stop,
                  count(*) AS bids, sum(price) AS total, max(price) AS highest FROM bids GROUP BY auction, start, stop",
    },
    Bids {
        name: "w2",
        key: "auction",
        script: include_str!("../../../../tests/nexmark/w2.sql"),
        with_bidders: false,
        batch: "SELECT auction, date_time - date_time % {advance} - hop * {advance} AS start,
                  date_time - date_time % {advance} - hop * {advance} + 10000 AS stop, count(*) AS bids
                FROM bids CROSS JOIN (VALUES {hops}) AS hops (hop) GROUP BY auction, start, stop",
    },
    Bids {
        name: "w3",
        key: "bidder",
        script: include_str!("../../../../tests/nexmark/w3.sql"),
        with_bidders: true,
        batch: "SELECT city, date_time - date_time % 10000 AS start, date_time - date_time % 10000 + 10000 AS stop,
                  count(*) AS bids FROM bids JOIN bidders ON bidder = id GROUP BY city, start, stop",
    },
    Bids {
        name: "w4",
        key: "auction",
        script: include_str!("../../../../tests/nexmark/w4.sql"),
        with_bidders: false,
        batch: "SELECT auction, bidder, count(*) AS bids, sum(price) AS total FROM bids GROUP BY auction, bidder",
    },
];

/// A name that is none of a workload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no workload `{0}`; there are log, w0 to w4 and q0 to q22")]
pub struct UnknownWorkload(String);

impl FromStr for Workload {
    type Err = UnknownWorkload;

    fn from_str(name: &str) -> Result<Self, UnknownWorkload> {
        if name == "log" {
            return Ok(Self::Log);
        }
        let bids = BIDS.iter().find(|workload| workload.name == name).map(Self::Bids);
        let nexmark = || QUERIES.iter().find(|query| query.name == name).map(Self::Nexmark);
        bids.or_else(nexmark).ok_or_else(|| UnknownWorkload(name.to_owned()))
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Log => "log",
            Self::Bids(bids) => bids.name,
            Self::Nexmark(query) => query.name,
        })
    }
}
