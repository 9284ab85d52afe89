//! SQL pipelines with records in and records out, as cases: no server, no directory, no clock.
//!
//! - [`case`]: what a case says; [`value`]: JSON with its digits
//! - [`run`]: statements, records, what came out; `payload`: records to bytes and back; `compare`: what counts as equal;
//!   `registered_payload`: those with schemas, `schemas`: where these come from; `answers`: rows of queries; `script`: cases with ASSERT
//! - [`report`]: tables and JSON

mod answers;
pub mod case;
mod compare;
mod payload;
mod registered_payload;
pub mod report;
pub mod run;
mod schemas;
mod script;
pub mod value;
