//! Stores that processors only read: those filled straight from a topic, those of tables, and global tables.

use std::{
    ops::{ControlFlow, RangeBounds},
    sync::Arc,
};

use super::{
    KeyValueRows, KeyValueStore, StateStore, StoreAccess, StoreHandle, state_store::failed, store_codec::StoreCodec,
};
use crate::{
    dsl::typed::Data,
    operator::{GlobalRows, ProcessorError},
    record::Timestamp,
};

/// A handle to a store that a processor only reads: see
/// [`add_read_only_state_store`](crate::StreamsBuilder::add_read_only_state_store) and [`KTable::state_store`](crate::dsl::KTable::state_store).
pub struct ReadOnlyStore<K, V>(KeyValueStore<K, V>);

impl<K, V> ReadOnlyStore<K, V> {
    pub(in crate::dsl) fn new(store: KeyValueStore<K, V>) -> Self {
        Self(store)
    }
}

impl<K, V> Clone for ReadOnlyStore<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, V> StateStore for ReadOnlyStore<K, V> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn is_read_only(&self) -> bool {
        true
    }
}

impl<K: Data, V: Data> StoreHandle for ReadOnlyStore<K, V> {
    type Rows<'a> = ReadOnlyRows<'a, K, V>;

    fn open<'a>(&self, access: StoreAccess<'a>) -> Result<ReadOnlyRows<'a, K, V>, ProcessorError> {
        Ok(ReadOnlyRows(self.0.open(access)?))
    }
}

/// The rows of a store that is only read, on the partition of the task, as they are at the record that is being processed.
///
/// # Errors
/// As [`KeyValueRows`].
pub struct ReadOnlyRows<'a, K, V>(KeyValueRows<'a, K, V>);

impl<K: Data, V: Data> ReadOnlyRows<'_, K, V> {
    /// The value of a key.
    ///
    /// # Errors
    /// As [`KeyValueRows`].
    pub fn get(&mut self, key: &K) -> Result<Option<V>, ProcessorError> {
        self.0.get(key)
    }

    /// The value of a key, and when it was.
    ///
    /// # Errors
    /// As [`KeyValueRows`].
    pub fn get_with_timestamp(&mut self, key: &K) -> Result<Option<(V, Timestamp)>, ProcessorError> {
        self.0.get_with_timestamp(key)
    }

    /// Every key and value, in the order of keys.
    ///
    /// # Errors
    /// As [`KeyValueRows`].
    pub fn all(&mut self) -> Result<Vec<(K, V)>, ProcessorError> {
        self.0.all()
    }

    /// The keys in a range, with their values, in the order of keys.
    ///
    /// # Errors
    /// As [`KeyValueRows`].
    pub fn range(&mut self, keys: impl RangeBounds<K>) -> Result<Vec<(K, V)>, ProcessorError> {
        self.0.range(keys)
    }

    /// Gives the keys in a range with their values until `each` breaks.
    ///
    /// # Errors
    /// As [`KeyValueRows`].
    pub fn scan(
        &mut self,
        keys: impl RangeBounds<K>,
        each: impl FnMut(K, V) -> ControlFlow<()>,
    ) -> Result<(), ProcessorError> {
        self.0.scan(keys, each)
    }
}

/// A handle to a global table, which every processor may read: see [`GlobalKTable::state_store`](crate::dsl::GlobalKTable::state_store).
pub struct GlobalStore<K, V> {
    number: usize,
    codec: Arc<Result<StoreCodec<K, V>, String>>,
}

impl<K: Data, V: Data> GlobalStore<K, V> {
    pub(in crate::dsl) fn new(number: usize) -> Self {
        Self { number, codec: Arc::new(StoreCodec::new()) }
    }

    /// The value of a key, and when it was.
    pub(super) fn read(
        &self,
        globals: &[Arc<dyn GlobalRows>],
        key: &K,
    ) -> Result<Option<(V, Timestamp)>, ProcessorError> {
        let codec = self.codec.as_ref().as_ref().map_err(failed)?;
        let rows = globals.get(self.number).ok_or_else(|| failed("the global table belongs to another topology"))?;
        let key = codec.key(key)?;
        let mut found: Option<Vec<u8>> = None;
        rows.get_many(&[&key], &mut |_, row| found = row.map(<[u8]>::to_vec)).map_err(failed)?;
        let Some(row) = found else { return Ok(None) };
        Ok(codec.read_rows([row.as_slice()].into_iter())?.pop())
    }
}

impl<K, V> Clone for GlobalStore<K, V> {
    fn clone(&self) -> Self {
        Self { number: self.number, codec: Arc::clone(&self.codec) }
    }
}
