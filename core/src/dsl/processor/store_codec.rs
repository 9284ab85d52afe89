//! Typed keys and values as the bytes that stores hold: the row encoding that tables have, so that a store can be queried like one.

use std::marker::PhantomData;

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array},
    datatypes::Int64Type,
};
use std::sync::Arc;

use super::state_store::failed;
use crate::{
    dsl::typed::{Data, Shape},
    operator::{IdentityRows, ProcessorError, StoreOptions, StoreRetention, StoreSpec, stored_fields},
    record::Timestamp,
    row::RowCodec,
};

/// Encodes keys `K` and values `V` with a timestamp.
pub(super) struct StoreCodec<K, V> {
    key: Shape<K>,
    value: Shape<V>,
    keys: RowCodec,
    rows: RowCodec,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K: Data, V: Data> StoreCodec<K, V> {
    pub(super) fn new() -> Result<Self, String> {
        let (key, value) = (Shape::of("key")?, Shape::of("value")?);
        let keys = RowCodec::new(&key.fields).map_err(|error| error.to_string())?;
        let layout = IdentityRows::new(value.fields.clone());
        let rows = RowCodec::new(&stored_fields(&layout)).map_err(|error| error.to_string())?;
        Ok(Self { key, value, keys, rows, types: PhantomData })
    }

    /// What the store holds.
    pub(super) fn spec(&self, name: &str, retention: StoreRetention, options: StoreOptions) -> StoreSpec {
        StoreSpec {
            name: name.to_owned(),
            key: self.key.fields.clone(),
            retention,
            layout: Arc::new(IdentityRows::new(self.value.fields.clone())),
            options,
        }
    }

    /// The bytes of a key.
    pub(super) fn key(&self, key: &K) -> Result<Vec<u8>, ProcessorError> {
        let columns = self.key.write(std::slice::from_ref(key)).map_err(ProcessorError::of)?;
        let rows = self.keys.encode_rows(&columns, 1).map_err(ProcessorError::of)?;
        Ok(rows.value(0).to_vec())
    }

    /// The bytes of a value and when it was.
    pub(super) fn row(&self, value: &V, time: Timestamp) -> Result<Vec<u8>, ProcessorError> {
        let mut columns = self.value.write(std::slice::from_ref(value)).map_err(ProcessorError::of)?;
        columns.push(Arc::new(Int64Array::from(vec![time.millis()])) as ArrayRef);
        Ok(self.rows.encode_binary(&columns).map_err(ProcessorError::of)?.value(0).to_vec())
    }

    /// The keys of stored bytes.
    pub(super) fn read_keys<'a>(
        &self,
        keys: impl ExactSizeIterator<Item = &'a [u8]>,
    ) -> Result<Vec<K>, ProcessorError> {
        let rows = keys.len();
        let columns = if self.key.fields.is_empty() { Vec::new() } else { self.keys.decode(keys).map_err(failed)? };
        all(self.key.read_collecting(&columns, rows))
    }

    /// The values of stored bytes and when they were.
    pub(super) fn read_rows<'a>(
        &self,
        rows: impl ExactSizeIterator<Item = &'a [u8]>,
    ) -> Result<Vec<(V, Timestamp)>, ProcessorError> {
        let count = rows.len();
        let mut columns = self.rows.decode(rows).map_err(failed)?;
        let times = columns.pop().ok_or_else(|| failed("a stored row has no timestamp"))?;
        let times = times.as_primitive::<Int64Type>().clone();
        let values = all(self.value.read_collecting(&columns, count))?;
        let time = |row: usize| if times.is_valid(row) { Timestamp(times.value(row)) } else { Timestamp::NONE };
        Ok(values.into_iter().enumerate().map(|(row, value)| (value, time(row))).collect())
    }
}

/// What is stored was written from these types, so that all of it can be read.
fn all<T>(read: Result<Vec<T>, String>) -> Result<Vec<T>, ProcessorError> {
    read.map_err(|problem| failed(format!("a stored row cannot be read: {problem}; the store holds other types")))
}
