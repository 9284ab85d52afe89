//! The nodes of joins and their settings.

use std::sync::Arc;

use crate::{
    format::Format,
    operator::{JoinKind, KeyMapping, StateLayout, StreamJoinKind, TableJoinKind, Unmatched},
    record::TimeSpan,
    window::JoinWindows,
};

/// A table that is kept in a store.
#[derive(Clone)]
pub struct KeptTable {
    /// The number of its store.
    pub store: usize,
    /// How its rows are read.
    pub layout: Arc<dyn StateLayout>,
}

/// Joins a stream with a table.
#[derive(Clone)]
pub struct JoinNode {
    /// What becomes of records that meet no row.
    pub kind: JoinKind,
    /// The number of the table's store.
    pub store: usize,
    /// How its rows are read.
    pub layout: Arc<dyn StateLayout>,
}

/// Joins two streams, its two inputs.
#[derive(Debug, Clone)]
pub struct StreamJoinNode {
    /// What becomes of records that meet nothing.
    pub kind: StreamJoinKind,
    /// Which records meet.
    pub windows: JoinWindows,
    /// How long records are kept to be met.
    pub retention: TimeSpan,
    /// The numbers of the stores of the left and the right side.
    pub stores: [usize; 2],
    /// The number of the store of records that wait, if any do.
    pub waiting: Option<usize>,
    /// When those that met nothing are passed on.
    pub unmatched: Unmatched,
}

/// Joins two tables, whose changes are its two inputs.
#[derive(Clone)]
pub struct TableJoinNode {
    /// What becomes of rows that meet nothing.
    pub kind: TableJoinKind,
    /// The left and the right table.
    pub tables: [KeptTable; 2],
    /// Whether someone below needs to know what was there before.
    pub needs_before: bool,
}

/// A step of a foreign-key join.
#[derive(Clone)]
pub enum ForeignKeyNode {
    /// Makes subscriptions of changes of the left table.
    Subscribe {
        /// What becomes of rows that meet nothing.
        kind: JoinKind,
        /// How the right table's key is computed from a row of the left one.
        foreign_key: Arc<dyn KeyMapping>,
        /// The number of the store of unsettled rows; there is one in inner joins.
        unsettled: Option<usize>,
    },
    /// Keeps subscriptions and answers them.
    Answer {
        /// The number of the store of subscriptions.
        subscriptions: usize,
        /// The right table.
        right: KeptTable,
    },
    /// Sends changes of the right table to those who subscribe.
    Notify {
        /// The number of the store of subscriptions.
        subscriptions: usize,
    },
    /// Makes changes of the result from responses.
    Resolve {
        /// What becomes of rows that meet nothing.
        kind: JoinKind,
        /// The left table.
        left: KeptTable,
        /// The number of the store of unsettled rows; there is one in inner joins.
        unsettled: Option<usize>,
        /// How keys were written that decided the partitions of the left table, and so of the result.
        key: Format,
        /// The number of the store of the result, if someone below needs to know what was there before.
        results: Option<usize>,
    },
}

impl ForeignKeyNode {
    /// The numbers of all stores that it uses.
    pub fn stores(&self) -> Vec<usize> {
        let unsettled = match self {
            Self::Subscribe { unsettled, .. } | Self::Resolve { unsettled, .. } => *unsettled,
            Self::Answer { .. } | Self::Notify { .. } => None,
        };
        self.read_store().into_iter().chain(self.written_store()).chain(unsettled).collect()
    }

    /// The number of the store that it reads and another node writes.
    pub fn read_store(&self) -> Option<usize> {
        match self {
            Self::Subscribe { .. } => None,
            Self::Answer { right, .. } => Some(right.store),
            Self::Notify { subscriptions } => Some(*subscriptions),
            Self::Resolve { left, .. } => Some(left.store),
        }
    }

    /// The number of the store that it writes.
    pub fn written_store(&self) -> Option<usize> {
        match self {
            Self::Answer { subscriptions, .. } => Some(*subscriptions),
            Self::Resolve { results, .. } => *results,
            Self::Subscribe { .. } | Self::Notify { .. } => None,
        }
    }

    /// What it does, for `describe`.
    pub(super) fn describe(&self, store: &dyn Fn(usize) -> String) -> String {
        match self {
            Self::Subscribe { kind, foreign_key, .. } => {
                format!("{kind} foreign-key join: subscribe to {}", foreign_key.describe())
            }
            Self::Answer { subscriptions, right } => format!(
                "foreign-key join: answer from the table in {}, subscriptions in {}",
                store(right.store),
                store(*subscriptions)
            ),
            Self::Notify { subscriptions } => {
                format!("foreign-key join: notify subscribers, subscriptions in {}", store(*subscriptions))
            }
            Self::Resolve { kind, left, results, .. } => {
                let results = results.map(|results| format!(", result in {}", store(results))).unwrap_or_default();
                format!("{kind} foreign-key join: resolve with the table in {}{results}", store(left.store))
            }
        }
    }
}
