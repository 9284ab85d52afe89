//! Reading state from outside: typed questions to stores, and views of them by the column, as they were at one commit.
//!
//! [`Streams::store`](crate::runtime::Streams::store) and [`TopologyTestDriver::store`](crate::testing::TopologyTestDriver::store) give a
//! [`ReadOnlyStore`]; what it can be asked depends on what it holds:
//!
//! | store | questions |
//! |---|---|
//! | one row a key | [`KeyQuery`], [`KeysQuery`], [`RangeQuery`] |
//! | one row a key and window | [`WindowKeyQuery`], [`WindowRangeQuery`] |
//! | sessions | [`SessionKeyQuery`], [`SessionRangeQuery`] |
//! | a versioned table | [`VersionedKeyQuery`], [`MultiVersionedKeyQuery`], and of its newest rows those of one row a key |
//!
//! Answers come typed, or as Arrow batches, with the [`Position`](crate::record::Position) of the inputs that they include; a position can be
//! put as a bound on what is asked next, so that whoever has written a record sees it.

mod answer;
mod key_query;
mod merged_walk;
mod partition_snapshot;
mod query_error;
mod queryable;
mod range_query;
mod read_only_store;
mod remote;
mod row_reader;
mod session_query;
mod store_query;
mod versioned_query;
mod versions_snapshot;
mod view;
mod view_snapshot;
mod window_query;

pub use answer::{Answer, StoreRow, ValueAndTimestamp};
pub use key_query::{KeyQuery, KeysQuery};
pub use partition_snapshot::ScanOrder;
pub use query_error::QueryError;
pub use range_query::RangeQuery;
pub use read_only_store::ReadOnlyStore;
pub(crate) use remote::{Freshness, Peers, Registration};
pub use remote::{QueryServer, QueryServerConfig, QueryServerError};
pub use session_query::{SessionKeyQuery, SessionRangeQuery};
pub use store_query::{RowsQuery, StoreQuery};
pub use versioned_query::{MultiVersionedKeyQuery, VersionedKeyQuery, VersionedRecord};
pub use view::View;
pub(crate) use view_snapshot::ScanPlan;
pub use view_snapshot::ViewSnapshot;
pub use window_query::{WindowKeyQuery, WindowRangeQuery};
