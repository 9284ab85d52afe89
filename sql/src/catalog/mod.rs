//! What is declared: streams, tables, types, connectors and queries, as plain data.
//!
//! The [`Catalog`] knows names, schemas and who reads and writes what; it knows no topic, no thread and no runtime. Whoever
//! runs statements asks it first, acts, then records what was done.
//!
//! # Map
//! - [`sql_type`]: the types, to Arrow and back; [`source`]: streams and tables with their columns and formats
//! - [`properties`]: `WITH (..)` as typed fields; [`declare`]: `CREATE STREAM|TABLE .. (..)` to a [`Source`]
//! - [`query`]: persistent queries and their ids; [`error`]: what can be wrong
//! - [`registry`]: the [`Catalog`] itself

pub mod declare;
pub mod error;
pub mod properties;
pub mod query;
pub mod registry;
pub mod source;
pub mod sql_type;

pub use declare::declare_source;
pub use error::CatalogError;
pub use properties::{CleanupPolicy, PropertyScope, SourceProperties};
pub use query::{QueryId, QueryKind, QueryRecord};
pub use registry::{Catalog, Connector, Dropped};
pub use source::{Column, Format, FormatKind, Source, TimestampColumn, WindowInfo, WindowType};
pub use sql_type::{SqlType, StructField};
