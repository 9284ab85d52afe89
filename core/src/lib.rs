//! Stream processing over partitioned, timestamped records: topics, a DSL over columns, tasks, and exactly-once commits.
//!
//! A [`StreamsBuilder`] makes a [`Topology`](topology::Topology); [`runtime::Streams`] runs it over a [`log::Log`], with state in
//! the crate `millstream-state`; [`testing::TopologyTestDriver`] runs it in a test. Inside, everything is a [`Batch`] of Arrow columns:
//! closures over serde structs and column expressions become the same operators.
//!
//! # Map
//! - [`record`], [`log`], [`connect`]: records and positions; topics and the one step of a commit; the traits of sources and sinks
//! - [`secret`], [`tls`]: passwords and keys that are never shown; whose certificates are taken
//! - [`schema`], [`Batch`], [`format`](mod@format), [`window`], [`expression`]: columns; bytes to columns and back; which windows; expressions
//!   and accumulators
//! - [`topology`], [`operator`]: the logical graph and its text; one physical operator a file
//! - [`dsl`]: streams and tables, typed or by the column; builds a topology and knows no runtime
//! - [`runtime`]: tasks, threads, commits, restoring; the only place that reads a clock
//! - [`queue`]: work given out from a topic, message by message
//! - [`query`], [`testing`]: views of committed state; the synchronous driver and a log in memory
//!
//! # Example
//! ```
//! use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::Record, testing::TopologyTestDriver};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let builder = StreamsBuilder::new();
//! builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("orders-per-customer").to_stream().to("counts", Produced::kafka());
//! let mut driver = TopologyTestDriver::new(&builder.build()?)?; // no threads, disk or clock
//! driver.push("orders", Record::new("ada", 30_i64.to_be_bytes()))?;
//! driver.push("orders", Record::new("ada", 12_i64.to_be_bytes()))?;
//! let counts: Vec<_> = driver.drain("counts")?.into_iter().map(|record| record.value).collect();
//! assert_eq!(counts, [Some(1_i64.to_be_bytes().to_vec()), Some(2_i64.to_be_bytes().to_vec())]);
//! # Ok(())
//! # }
//! ```
//!
//! # Limits
//! One process owns an embedded log. A batch of records stays below 2 GiB, a record below 16 MiB. Timestamps are whole milliseconds.
//! Results have the headers of the record that caused them; those of aggregates only under `emit = record`. Sums follow DataFusion's types: whole numbers wrap at 64 bits.

mod batch;
pub mod connect;
pub mod dsl;
pub mod expression;
pub mod format;
pub mod log;
pub mod operator;
pub mod query;
pub mod queue;
pub mod record;
mod row;
pub mod runtime;
pub mod schema;
pub mod secret;
pub mod testing;
pub mod tls;
pub mod topology;
pub mod window;

pub use batch::{Batch, Before};
pub use dsl::StreamsBuilder;
