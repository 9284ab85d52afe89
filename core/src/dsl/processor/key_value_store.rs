//! Key-value stores: one value a key, with the timestamp of its last change.

use std::{
    ops::{Bound, ControlFlow, RangeBounds},
    sync::Arc,
};

use super::{StateStore, StoreAccess, StoreHandle, state_store::failed, store_codec::StoreCodec};
use crate::{
    dsl::typed::Data,
    operator::{ProcessorError, StoreSpec},
    record::Timestamp,
};

use arrow::datatypes::{DataType, FieldRef};

/// How many stored rows are made values of at once.
const ROWS_AT_ONCE: usize = 256;

/// A handle to a key-value store: see [`Stores::key_value`](super::Stores::key_value).
///
/// ```
/// use millstream::{StreamsBuilder, dsl::{Consumed, Produced, Stores}, record::Record, testing::TopologyTestDriver};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let builder = StreamsBuilder::new();
/// let seen = builder.add_state_store(Stores::key_value::<String, i64>("seen"));
/// let (store, lines) = (seen.clone(), builder.stream::<String, String>("lines", Consumed::kafka()));
/// lines.process_each(move |record, context| {
///     let times = context.store(&store)?.get(&record.value)?.unwrap_or(0) + 1;
///     context.store(&store)?.put(&record.value, &times)?;
///     if times == 1 {
///         context.forward(record);
///     }
///     Ok(())
/// }, &[&seen]).to("new", Produced::kafka());
///
/// let mut driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.push_all("lines", ["tea", "ink", "tea"].map(|line| Record::new("k", line)))?;
/// driver.restart()?;
/// driver.push("lines", Record::new("k", "ink"))?;
/// assert_eq!(driver.drain("new")?, [Record::new("k", "tea"), Record::new("k", "ink")]);
/// # Ok(())
/// # }
/// ```
pub struct KeyValueStore<K, V> {
    name: Arc<str>,
    codec: Arc<Result<StoreCodec<K, V>, String>>,
}

impl<K, V> KeyValueStore<K, V> {
    pub(super) fn new(name: Arc<str>, codec: Arc<Result<StoreCodec<K, V>, String>>) -> Self {
        Self { name, codec }
    }
}

/// The handle to a table's store, if its columns are those of the types.
pub(in crate::dsl) fn store_of_table<K: Data, V: Data>(spec: &StoreSpec) -> Option<KeyValueStore<K, V>> {
    let codec = StoreCodec::<K, V>::new().ok()?;
    let own = codec.spec(&spec.name, spec.retention.clone(), spec.options);
    let same = types(&own.key).eq(types(&spec.key))
        && types(&own.layout.state_fields()).eq(types(&spec.layout.state_fields()));
    same.then(|| KeyValueStore::new(spec.name.as_str().into(), Arc::new(Ok(codec))))
}

fn types(fields: &[FieldRef]) -> impl Iterator<Item = &DataType> {
    fields.iter().map(|field| field.data_type())
}

impl<K, V> Clone for KeyValueStore<K, V> {
    fn clone(&self) -> Self {
        Self { name: Arc::clone(&self.name), codec: Arc::clone(&self.codec) }
    }
}

impl<K, V> StateStore for KeyValueStore<K, V> {
    fn name(&self) -> &str {
        &self.name
    }
}

impl<K: Data, V: Data> StoreHandle for KeyValueStore<K, V> {
    type Rows<'a> = KeyValueRows<'a, K, V>;

    fn open<'a>(&self, access: StoreAccess<'a>) -> Result<KeyValueRows<'a, K, V>, ProcessorError> {
        let codec = Arc::clone(&self.codec);
        codec.as_ref().as_ref().map_err(failed)?;
        Ok(KeyValueRows { codec, access })
    }
}

/// The rows of a key-value store on the partition of the task, with what the task has written since the last commit.
///
/// # Ordering
/// Ranges come in the order of keys: of numbers by size, of text by its bytes, of structs by their fields.
///
/// # Errors
/// A key or value that has no columns is a failure of the record; a store that cannot be read is fatal.
pub struct KeyValueRows<'a, K, V> {
    codec: Arc<Result<StoreCodec<K, V>, String>>,
    access: StoreAccess<'a>,
}

impl<K: Data, V: Data> KeyValueRows<'_, K, V> {
    fn codec(&self) -> Result<&StoreCodec<K, V>, ProcessorError> {
        self.codec.as_ref().as_ref().map_err(failed)
    }

    /// The value of a key.
    ///
    /// # Errors
    /// As [`KeyValueRows`].
    pub fn get(&mut self, key: &K) -> Result<Option<V>, ProcessorError> {
        Ok(self.get_with_timestamp(key)?.map(|(value, _)| value))
    }

    /// The value of a key, and when it was.
    ///
    /// # Errors
    /// As [`KeyValueRows`].
    pub fn get_with_timestamp(&mut self, key: &K) -> Result<Option<(V, Timestamp)>, ProcessorError> {
        let key = self.codec()?.key(key)?;
        let mut found: Option<Vec<u8>> = None;
        let mut each = |_: usize, row: Option<&[u8]>| found = row.map(<[u8]>::to_vec);
        self.access.store.get_many(&[&key], &mut each).map_err(failed)?;
        let Some(row) = found else { return Ok(None) };
        Ok(self.codec()?.read_rows([row.as_slice()].into_iter())?.pop())
    }

    /// Sets the value of a key, at the time of the record or tick that is being processed.
    ///
    /// # Errors
    /// As [`KeyValueRows`].
    pub fn put(&mut self, key: &K, value: &V) -> Result<(), ProcessorError> {
        self.put_at(key, value, self.access.timestamp)
    }

    /// Sets the value of a key, and when it was.
    ///
    /// # Errors
    /// As [`KeyValueRows`].
    pub fn put_at(&mut self, key: &K, value: &V, timestamp: Timestamp) -> Result<(), ProcessorError> {
        let (key, row) = (self.codec()?.key(key)?, self.codec()?.row(value, timestamp)?);
        self.access.store.put(&key, Some(&row), timestamp);
        Ok(())
    }

    /// Sets the value of a key that has none; gives the one that it has otherwise.
    ///
    /// # Errors
    /// As [`KeyValueRows`].
    pub fn put_if_absent(&mut self, key: &K, value: &V) -> Result<Option<V>, ProcessorError> {
        let there = self.get(key)?;
        if there.is_none() {
            self.put(key, value)?;
        }
        Ok(there)
    }

    /// Removes a key; gives the value that it had.
    ///
    /// # Errors
    /// As [`KeyValueRows`].
    pub fn delete(&mut self, key: &K) -> Result<Option<V>, ProcessorError> {
        let there = self.get(key)?;
        if there.is_some() {
            let key = self.codec()?.key(key)?;
            self.access.store.put(&key, None, self.access.timestamp);
        }
        Ok(there)
    }

    /// Every key and value.
    ///
    /// # Errors
    /// As [`KeyValueRows`].
    pub fn all(&mut self) -> Result<Vec<(K, V)>, ProcessorError> {
        self.range(..)
    }

    /// The keys in a range, with their values.
    ///
    /// # Errors
    /// As [`KeyValueRows`].
    pub fn range(&mut self, keys: impl RangeBounds<K>) -> Result<Vec<(K, V)>, ProcessorError> {
        let mut rows = Vec::new();
        self.scan(keys, |key, value| {
            rows.push((key, value));
            ControlFlow::Continue(())
        })?;
        Ok(rows)
    }

    /// The keys in a range, the last one first, with their values.
    ///
    /// # Errors
    /// As [`KeyValueRows`].
    pub fn reverse_range(&mut self, keys: impl RangeBounds<K>) -> Result<Vec<(K, V)>, ProcessorError> {
        let mut rows = self.range(keys)?;
        rows.reverse();
        Ok(rows)
    }

    /// Gives the keys in a range with their values until `each` breaks. It reads no further than a few hundred rows ahead.
    ///
    /// # Errors
    /// As [`KeyValueRows`].
    pub fn scan(
        &mut self,
        keys: impl RangeBounds<K>,
        mut each: impl FnMut(K, V) -> ControlFlow<()>,
    ) -> Result<(), ProcessorError> {
        let (mut from, to) = self.bytes_of(&keys)?;
        loop {
            let mut rows: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
            let mut visit = |key: &[u8], row: &[u8]| {
                rows.push((key.to_vec(), row.to_vec()));
                rows.len() < ROWS_AT_ONCE
            };
            self.access.store.range(&from, to.as_deref(), &mut visit).map_err(failed)?;
            let values = self.codec()?.read_rows(rows.iter().map(|(_, row)| row.as_slice()))?;
            let found = self.codec()?.read_keys(rows.iter().map(|(key, _)| key.as_slice()))?;
            for (key, (value, _)) in found.into_iter().zip(values) {
                if each(key, value).is_break() {
                    return Ok(());
                }
            }
            let Some((last, _)) = rows.pop().filter(|_| rows.len() + 1 == ROWS_AT_ONCE) else { return Ok(()) };
            from = after(last);
        }
    }

    /// The first stored key of a range, and the first one behind it.
    fn bytes_of(&self, keys: &impl RangeBounds<K>) -> Result<(Vec<u8>, Option<Vec<u8>>), ProcessorError> {
        let codec = self.codec()?;
        let from = match keys.start_bound() {
            Bound::Unbounded => Vec::new(),
            Bound::Included(key) => codec.key(key)?,
            Bound::Excluded(key) => after(codec.key(key)?),
        };
        let to = match keys.end_bound() {
            Bound::Unbounded => None,
            Bound::Included(key) => Some(after(codec.key(key)?)),
            Bound::Excluded(key) => Some(codec.key(key)?),
        };
        Ok((from, to))
    }
}

/// The least bytes behind `key`.
fn after(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}
