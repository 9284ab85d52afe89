//! From statements and the catalog to topologies.
//!
//! A continuous query becomes a chain of the column DSL, the same that Rust programs use; its expressions are bound over
//! the columns of its sources. The planner knows no thread, no topic's content and no store.
//!
//! # Map
//! - `query`: FROM, WHERE; `projection`: the items and their names; `unnest`: table functions; `join`: JOIN; `aggregate`: GROUP BY, WINDOW, HAVING
//! - `subquery`: queries as sources; `union`: UNION ALL; `distinct`: SELECT DISTINCT
//! - [`sink`]: persistent queries, with their topic and their [`ViewPlan`]; [`push`]: queries whose rows are shown
//! - `plain`: what a pull query over one source computes
//! - [`insert_values`]: rows to records; `fields_by_name`: struct literals as the structs of columns
//! - `bind`: the face of [`expression`](crate::expression), which binds parsed expressions to logical ones
//! - [`input`]: sources to streams; `into_sink`: the columns of INSERT INTO .. SELECT; `rename_key`: a transform of keys;
//!   `upgrade`: what a query that replaces another one has to share
//! - [`error`]: what can be wrong, always with a place

mod aggregate;
mod bind;
mod distinct;
pub mod error;
mod fields_by_name;
pub(crate) mod input;
pub mod insert_values;
mod into_sink;
mod join;
mod plain;
mod projection;
pub mod push;
mod query;
mod rename_key;
pub mod sink;
mod subquery;
mod union;
mod unnest;
mod upgrade;
pub mod view_plan;
mod window;
mod zone;

use crate::expression::scope;
pub(crate) use crate::{expression::iso_time, functions::registry as functions};
pub(crate) use bind::moment_literal;
pub use error::PlanError;
pub(crate) use error::one_line;
pub use insert_values::{InsertPlan, plan_insert_values};
pub(crate) use plain::PlainProjection;
pub use push::{PushPlan, RowSender, plan_push};
pub(crate) use query::legal;
pub use sink::{PersistentPlan, SinkTopic, plan_create, plan_insert};
pub use view_plan::ViewPlan;
pub(crate) use window::shown as shown_window;
