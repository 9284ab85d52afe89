//! From statements and the catalog to topologies.
//!
//! A continuous query becomes a chain of the column DSL, the same that Rust programs use; its expressions are bound over
//! the columns of its sources. The planner knows no thread, no topic's content and no store.
//!
//! # Map
//! - `query`: FROM, WHERE; `projection`: the items and their names; `unnest`: table functions; `join`: JOIN; `aggregate`: GROUP BY, WINDOW, HAVING
//! - `window`: WINDOW; `subquery`: queries as sources; `union`: UNION ALL; `distinct`: SELECT DISTINCT
//! - [`sink`]: persistent queries, with their topic and their [`ViewPlan`]; [`push`]: queries whose rows are shown
//! - `plain`: what a pull query over one source computes; `sink_rows`: the rows of a source as sink connectors write them
//! - [`insert_values`]: rows to records; `fields_by_name`: struct literals as the structs of columns
//! - `bind`: the face of [`expression`](crate::expression), which binds parsed expressions to logical ones
//! - [`input`]: sources to streams; `into_sink`: the columns of INSERT INTO .. SELECT; `rename_key`: a transform of keys;
//!   `upgrade`: what a query that replaces another one has to share
//! - [`logical_plan`]: what EXPLAIN shows of a query
//! - [`error`]: what can be wrong, always with a place; [`clause`]: told by the clause; `named_key`: what to say when the key is not selected;
//!   `result_columns`: names of the columns of a result

mod aggregate;
mod bind;
pub mod clause;
mod distinct;
pub mod error;
mod fields_by_name;
pub(crate) mod input;
pub mod insert_values;
mod into_sink;
mod join;
pub mod logical_plan;
mod named_key;
mod plain;
mod projection;
pub mod push;
mod query;
mod rename_key;
mod result_columns;
pub mod sink;
mod sink_rows;
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
pub use logical_plan::LogicalPlan;
pub(crate) use plain::PlainProjection;
pub use push::{PushPlan, Reader, RowSender, Sending, plan_push};
pub(crate) use query::legal;
pub use sink::{PersistentPlan, SinkTopic, plan_create, plan_insert};
pub(crate) use sink_rows::{KeyColumns, declared_rows, selected_rows};
pub use view_plan::ViewPlan;
pub(crate) use window::shown as shown_window;
