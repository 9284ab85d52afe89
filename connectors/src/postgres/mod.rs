//! Postgres as sink and source.
//!
//! [`PostgresSink`] writes the rows of topics into tables, exactly once: rows and offsets are one transaction there. Several servers, poolers
//! in transaction mode among them, may stand behind one address; a session is kept for the life of an opening.

mod identifier;
mod problem;
mod session;
mod settings;
mod sink;
mod tls;

pub use settings::{PostgresConnection, SslMode};
pub use sink::{Deletes, InsertMode, Missing, PostgresSink, PostgresSinkWriter};
