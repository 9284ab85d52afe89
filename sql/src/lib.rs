//! The SQL front end of Millstream: text to running queries, and their answers.
//!
//! The language is ksqlDB's, with DataFusion's expressions and, in queries that are read once, DataFusion's whole SQL. Everything runs in
//! one process over one data directory; a query compiles to the same topology that a Rust program would build.
//!
//! # Map
//! - [`syntax`]: text to statements; [`catalog`]: what is declared
//! - [`functions`]: what expressions can call; [`functions::Functions`]: what users add to it
//! - [`planner`]: continuous queries to topologies; [`pull`]: queries that are read once
//! - [`engine`]: a data directory with its catalog, queries and connectors; sessions
//! - [`testing`]: pipelines with records in and records out, as cases
//! - [`response`]: what a statement answers; [`output`]: answers as tables, JSON and CSV
//! - [`shell`]: the interactive shell; [`cli`]: the commands of the binary `millstream`
//!
//! # Example
//! ```
//! use millstream_sql::{engine::{Engine, EngineConfig}, response::Response};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! let engine = Engine::open(EngineConfig::new(directory.path()))?;
//! let script = "
//!     CREATE STREAM orders (id INT KEY, city STRING, amount INT) WITH (KAFKA_TOPIC = 'orders', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
//!     CREATE TABLE totals AS SELECT city, SUM(amount) AS total FROM orders GROUP BY city;
//!     INSERT INTO orders (id, city, amount) VALUES (1, 'Rome', 30), (2, 'Oslo', 5), (3, 'Rome', 12);
//! ";
//! let mut session = engine.session();
//! session.run_script(script, &mut |_, _| {})?;
//! engine.wait_until_idle(None, &mut |_| {})?;
//! let Response::Rows(rows) = session.execute("SELECT total FROM totals WHERE city = 'Rome';")? else { unreachable!() };
//! assert_eq!(arrow::util::pretty::pretty_format_batches(&rows.batches)?.to_string().lines().nth(3), Some("| 42    |"));
//! # drop(session);
//! engine.shutdown()?;
//! # Ok(())
//! # }
//! ```

pub mod syntax;

pub mod catalog;
mod expression;
pub mod functions;

pub mod planner;
pub mod pull;

pub mod engine;
pub mod response;
pub mod testing;

pub mod cli;
pub mod output;
pub mod shell;
