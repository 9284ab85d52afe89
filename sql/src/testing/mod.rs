//! SQL pipelines with records in and records out, as cases: no server, no directory, no clock, unless a cluster is named.
//!
//! - [`case`]: what a case says; [`value`]: JSON with its digits
//! - [`suite`]: many of them; [`sql_file`]: tests of users, as SQL
//! - [`run`]: statements, records, what came out; `payload`: records to bytes and back; `compare`: what counts as equal;
//!   `registered_payload`: those with schemas, `schemas`: where these come from; `answers`: rows of queries; `post`: sources and topics;
//!   `script`: cases with ASSERT, `assertion`: what it says
//! - `stage`: where a case is played: in memory, or on a cluster ([`cluster_stage`], with names of its own by `prefixed_log`)
//! - [`report`]: tables and JSON

mod answers;
mod assertion;
pub mod case;
pub mod cluster_stage;
mod compare;
mod payload;
mod post;
mod prefixed_log;
mod registered_payload;
pub mod report;
pub mod run;
mod schemas;
mod script;
pub mod sql_file;
mod stage;
pub mod suite;
pub mod value;
