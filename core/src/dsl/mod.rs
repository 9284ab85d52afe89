//! The DSL: streams and tables, typed by serde or by the column, and what can be done with them.
//!
//! It builds a [`Topology`](crate::topology::Topology) and knows no runtime. A [`KStream`] or [`KTable`] is a typed face of a
//! [`ColumnStream`] or [`ColumnTable`]: closures over your structs and column expressions compile to the same operators and can be mixed.
//! Expressions are faster: closures make a row of every record and columns of every result.

mod async_values;
mod builder;
mod change_row_fold;
mod closure;
mod cogroup;
mod column_group;
mod column_stream;
mod column_table;
mod columns_of;
mod dynamic_topic;
mod fallible;
mod foreign_key;
mod global_joins;
mod global_table;
mod group;
mod grouped_table;
mod guarded;
mod join_options;
mod joiner;
mod joins;
mod late_records;
mod options;
mod partitioner;
mod printed;
mod process;
mod processor;
mod regroup;
mod row_fold;
mod row_states;
mod split;
mod stream;
mod stream_joins;
mod suppressed;
mod table;
mod table_joins;
mod topic_stores;
mod typed;
mod versioned;

pub use builder::StreamsBuilder;
pub use cogroup::{CogroupedKStream, WindowedCogroupedKStream};
pub use column_group::ColumnGroup;
pub use column_stream::ColumnStream;
pub use column_table::{ColumnTable, ColumnTableGroup};
pub(crate) use columns_of::{column_list, short_name};
pub use global_table::{ColumnGlobalTable, GlobalKTable};
pub use group::{KGroupedStream, KWindowedStream, Windowed};
pub use grouped_table::KGroupedTable;
pub use join_options::{Joined, StreamJoined, TableJoined};
pub use options::{Consumed, Materialized, Produced, Repartitioned, SourceOptions};
pub use printed::Printed;
pub use processor::{
    FixedKeyProcessor, FixedKeyProcessorContext, FixedKeyProcessorSupplier, FixedKeyRecord, GlobalStore, KeyValueRows,
    KeyValueStore, ProcessingContext, Processor, ProcessorContext, ProcessorRecord, ProcessorSupplier, ReadOnlyRows,
    ReadOnlyStore, SessionStore, SessionStoreRows, StateStore, StoreAccess, StoreBuilder, StoreHandle, Stores,
    WindowStore, WindowStoreRows,
};
pub use split::Split;
pub use stream::KStream;
pub use suppressed::{BufferLimit, EmitEarly, FullBuffer, ShutDown, Suppressed};
pub use table::KTable;
pub use typed::Data;
pub(crate) use typed::Shape;

pub use crate::operator::{
    AsyncOptions, AsyncOrder, AsyncRetry, Cancellable, ProcessorError, Punctuation, PunctuationType, RecordMetadata,
    Tombstones, Unmatched,
};
