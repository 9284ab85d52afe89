//! What is declared: streams, tables, types, connectors, queues and queries, as plain data.
//!
//! The [`Catalog`] knows names, schemas and who reads and writes what; it knows no topic, no thread and no runtime. Whoever
//! runs statements asks it first, acts, then records what was done.
//!
//! # Map
//! - [`sql_type`]: the types, to Arrow and back; [`source`]: streams and tables with their columns and formats
//! - [`properties`]: `WITH (..)` as typed fields, [`side_format`]: those of the format of keys or values
//! - [`declare`]: `CREATE STREAM|TABLE .. (..)` to a [`Source`]; [`format_rules`]: which format can hold what; `infer`: columns from
//!   the schema registry that [`format_context`] names
//! - [`query`]: persistent queries and their ids, [`query_shape`]: what they do in outline; [`error`]: what can be wrong
//! - [`queue`]: queues and their settings
//! - [`registry`]: the [`Catalog`] itself

pub mod declare;
pub mod error;
pub mod format_context;
pub mod format_rules;
mod infer;
pub mod properties;
pub mod query;
pub mod query_shape;
pub mod queue;
pub mod registry;
#[cfg(test)]
mod registry_tests;
pub mod side_format;
pub mod source;
pub mod sql_type;

pub use declare::{declare_columns, declare_source};
pub use error::CatalogError;
pub use format_context::{FormatDefaults, RegistryHandle, SinkDefaults};
pub use format_rules::{FormatPlaces, check_formats};
pub use properties::{CleanupPolicy, PropertyScope, SourceProperties};
pub use query::{QueryId, QueryKind, QueryRecord};
pub use query_shape::{KeptStore, QueryShape, QueryStep, WINDOWS, versioned};
pub use queue::DeclaredQueue;
pub use registry::{Catalog, Connector, Dropped};
pub use side_format::SideFormat;
pub use source::{Column, Format, FormatKind, SchemaOptions, Source, TimestampColumn, WindowInfo, WindowType};
pub use sql_type::{SqlType, StructField};
