//! Postgres as sink and source.
//!
//! [`PostgresSink`] writes the rows of topics into tables, exactly once: rows and offsets are one transaction there. [`PostgresSource`] reads
//! tables and then follows their changes by logical decoding, exactly once too: the slot is confirmed behind our commits. Both keep a session
//! with the server, which a pooler in transaction mode does not give.

mod identifier;
mod problem;
mod session;
mod settings;
mod sink;
mod source;
mod tls;

pub use settings::{PostgresConnection, SslMode};
pub use sink::{Deletes, InsertMode, Missing, PostgresSink, PostgresSinkWriter};
pub use source::{PostgresSource, PostgresSourceReader, PublicationMode, RecordShape, SnapshotMode, Truncates};
