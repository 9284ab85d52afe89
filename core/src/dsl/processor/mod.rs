//! Processors: operators of one's own, with state stores and schedules.
//!
//! A [`Processor`] takes records one by one and forwards any number of records; one is made for each task. What it remembers it keeps in
//! state stores, which are made with [`Stores`], added with [`StreamsBuilder::add_state_store`](super::StreamsBuilder::add_state_store) and
//! connected by naming them where the processor is added. All it does is committed with the records that it has taken, or not at all.

mod context;
mod fixed_key;
mod host;
mod key_value_store;
mod node;
mod processor_trait;
mod read_only_store;
mod record;
mod session_store;
mod state_store;
mod store_codec;
mod stores;
mod stretches;
mod window_store;

pub use context::{ProcessingContext, ProcessorContext};
pub(super) use fixed_key::AnyKey;
pub use fixed_key::{FixedKeyProcessor, FixedKeyProcessorContext, FixedKeyProcessorSupplier, FixedKeyRecord};
pub(super) use key_value_store::store_of_table;
pub use key_value_store::{KeyValueRows, KeyValueStore};
pub(super) use node::{Keys, each_record, process};
pub(super) use processor_trait::EachRecord;
pub use processor_trait::{Processor, ProcessorSupplier};
pub use read_only_store::{GlobalStore, ReadOnlyRows, ReadOnlyStore};
pub use record::ProcessorRecord;
pub use session_store::{SessionStore, SessionStoreRows};
pub use state_store::{StateStore, StoreAccess, StoreHandle};
pub use stores::{StoreBuilder, Stores};
pub use window_store::{WindowStore, WindowStoreRows};
