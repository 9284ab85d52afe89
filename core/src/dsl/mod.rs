//! The DSL: streams and tables, typed by serde or by the column, and what can be done with them.
//!
//! It builds a [`Topology`](crate::topology::Topology) and knows no runtime. A [`KStream`] or [`KTable`] is a typed face of a
//! [`ColumnStream`] or [`ColumnTable`]: closures over your structs and column expressions compile to the same operators and can be mixed.
//! Expressions are faster: closures make a row of every record and columns of every result.

mod builder;
mod closure;
mod column_stream;
mod column_table;
mod columns_of;
mod group;
mod join_shape;
mod joins;
mod options;
mod row_fold;
mod stream;
mod table;
mod typed;

pub use builder::StreamsBuilder;
pub use column_stream::{ColumnGroup, ColumnStream};
pub use column_table::{ColumnTable, ColumnTableGroup};
pub(crate) use columns_of::{column_list, short_name};
pub use group::{KGroupedStream, KGroupedTable, KWindowedStream, Windowed};
pub use options::{Consumed, Materialized, Produced, Repartitioned, SourceOptions};
pub use stream::{KStream, Split};
pub use table::KTable;
pub use typed::Data;
pub(crate) use typed::Shape;
