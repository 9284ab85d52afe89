//! How far a source is: what is committed with its records, and what it is checked against when it is opened.

use millstream::connect::Position;
use serde::{Deserialize, Serialize};

use super::lsn::Lsn;

/// The committed position of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SourcePosition {
    /// The server's identifier: the same for a server and its replicas, another for every cluster that was made.
    pub(super) system: String,
    pub(super) database: String,
    pub(super) slot: String,
    /// The tables, as configured.
    pub(super) tables: Vec<String>,
    /// Their numbers on the server: another table may come by the name of one. Empty in positions of before there were any.
    #[serde(default)]
    pub(super) numbers: Vec<u32>,
    pub(super) phase: Phase,
    /// All transactions that end at or before this place are taken.
    pub(super) lsn: Lsn,
    /// Where it began.
    pub(super) first: Lsn,
    /// How much of a transaction behind `lsn` is taken, if one was cut for its size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) within: Option<Within>,
    /// What the snapshot has seen, until that is behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) seen: Option<Seen>,
}

/// What a source does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    /// It is about to make its slot; one of that name that is there then is its own, and is made anew.
    Begin,
    /// It reads the tables as they are; those are done.
    Snapshot {
        /// Names of tables.
        done: Vec<String>,
    },
    /// It follows the changes.
    Changes,
}

/// A part of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Within {
    /// Where its commit begins.
    pub(super) commit: Lsn,
    /// So many of its changes are taken.
    pub(super) changes: u64,
}

/// The transactions that the first snapshot has seen, as `pg_current_snapshot` tells them.
///
/// A transaction was seen if it is below `xmax` and not `running`. All of those have their commit before `until` in the log, so behind that
/// place nothing has to be compared. Identifiers in the log have 32 bits: the upper ones are those that bring them closest to `xmax`, since
/// what lies before `until` began within less than 2^31 transactions of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    pub(super) xmax: u64,
    pub(super) running: Vec<u64>,
    pub(super) until: Lsn,
}

impl Seen {
    /// From `xmin:xmax:running,running`.
    pub(super) fn parse(text: &str, until: Lsn) -> Option<Self> {
        let mut parts = text.split(':').skip(1);
        let xmax = parts.next()?.parse().ok()?;
        let running = parts.next()?.split(',').filter(|xid| !xid.is_empty());
        Some(Self { xmax, running: running.map(|xid| xid.parse().ok()).collect::<Option<_>>()?, until })
    }

    /// Whether the snapshot holds what a transaction did.
    pub(super) fn holds(&self, xid: u32) -> bool {
        let distance = xid.wrapping_sub(self.xmax as u32).cast_signed();
        let full = self.xmax.wrapping_add_signed(i64::from(distance));
        full < self.xmax && !self.running.contains(&full)
    }
}

impl SourcePosition {
    pub(super) fn bytes(&self) -> Position {
        Position(serde_json::to_vec(self).expect("names and numbers are always JSON"))
    }

    pub(super) fn parse(position: &Position) -> Result<Self, String> {
        serde_json::from_slice(&position.0).map_err(|error| format!("the position is not readable ({error})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_knows_what_it_has_seen() {
        let seen = Seen::parse("95:100:97,99", Lsn(1)).unwrap();
        let of = |xids: std::ops::Range<u32>| xids.filter(|xid| seen.holds(*xid)).collect::<Vec<_>>();
        assert_eq!(of(94..103), [94, 95, 96, 98]);
        // 32 bits have gone round: 2^32 + 2 has seen those just before 2^32.
        let seen = Seen::parse("4294967290:4294967298:4294967295", Lsn(1)).unwrap();
        let xids = [u32::MAX - 1, u32::MAX, 0, 1, 2, 3];
        assert_eq!(xids.map(|xid| seen.holds(xid)), [true, false, true, true, false, false]);
        assert_eq!(Seen::parse("1:2:", Lsn(0)).map(|seen| seen.running.len()), Some(0));
        assert_eq!(Seen::parse("1", Lsn(0)), None);
    }

    #[test]
    fn positions_come_back() {
        let position = SourcePosition {
            system: "7".into(),
            database: "shop".into(),
            slot: "s".into(),
            tables: vec!["public.t".into()],
            numbers: vec![16384],
            phase: Phase::Snapshot { done: vec!["public.t".into()] },
            lsn: Lsn(5),
            first: Lsn(4),
            within: Some(Within { commit: Lsn(9), changes: 3 }),
            seen: Seen::parse("1:2:", Lsn(3)),
        };
        assert_eq!(SourcePosition::parse(&position.bytes()), Ok(position));
    }
}
