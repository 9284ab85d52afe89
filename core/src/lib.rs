//! Skeleton of the map; see the modules.
pub mod batch;
pub mod connect;
pub mod dsl;
pub mod expression;
pub mod format;
pub mod log;
pub mod operator;
pub mod query;
pub mod record;
mod row;
pub mod runtime;
pub mod schema;
pub mod testing;
pub mod topology;
pub mod window;

pub use batch::Batch;
pub use dsl::StreamsBuilder;
