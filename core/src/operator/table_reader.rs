//! Table reader: the rows that keys have in a table's store, as columns.
//!
//! Keys with a null are in no table. Windowed keys are whole keys, bounds included, but for the stores of aggregates, in which the start
//! of the window stands before the key.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::Int64Type,
};

use super::{
    FoldError, StoreRetention,
    fold::{StateLayout, scatter},
    table::stored_fields,
    task_store::TaskStore,
};
use crate::{row::RowCodec, schema::StreamSchema};

/// Reads rows of one store.
pub(crate) struct TableReader {
    store: usize,
    keys: RowCodec,
    rows: RowCodec,
    layout: Arc<dyn StateLayout>,
    /// How many columns of a key are encoded.
    key_columns: usize,
    /// Whether the start of the window stands before the encoded key.
    by_start: bool,
}

/// Gives each key's row, in no particular order.
pub type GetMany<'a> = dyn FnMut(&[&[u8]], &mut dyn FnMut(usize, Option<&[u8]>)) -> Result<(), String> + 'a;

/// What was found: one row a key asked for.
pub(crate) struct FoundRows {
    /// The value columns, null where there is no row.
    pub(crate) values: Vec<ArrayRef>,
    /// The timestamp of each row; `None` where there is none.
    pub(crate) times: Vec<Option<i64>>,
}

impl FoundRows {
    /// Whether key number `index` has a row.
    pub(crate) fn is_there(&self, index: usize) -> bool {
        self.times[index].is_some()
    }
}

impl TableReader {
    /// A reader of store number `store`, which keeps rows as `retention` says, under keys like those of `schema`.
    ///
    /// # Errors
    /// [`FoldError`] if a column has no row encoding, or for sessions, which are not found by their keys.
    pub(crate) fn new(
        store: usize,
        retention: &StoreRetention,
        layout: Arc<dyn StateLayout>,
        schema: &StreamSchema,
    ) -> Result<Self, FoldError> {
        let (key, by_start) = match retention {
            StoreRetention::Forever => (schema.whole_key(), false),
            StoreRetention::Windows { windows, .. } if windows.is_numbered_by_start() => (schema.key(), true),
            StoreRetention::Windows { windows, .. } => {
                return Err(FoldError { problem: format!("a store of {windows} windows cannot be joined with") });
            }
            StoreRetention::Sessions { .. } => {
                return Err(FoldError { problem: "a store of sessions cannot be joined with".to_owned() });
            }
        };
        Ok(Self {
            store,
            keys: RowCodec::new(key).map_err(FoldError::of)?,
            rows: RowCodec::new(&stored_fields(layout.as_ref())).map_err(FoldError::of)?,
            layout,
            key_columns: key.len(),
            by_start,
        })
    }

    /// The rows of `keys`: key columns, then window bounds if there are windows.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) fn read(&self, keys: &[ArrayRef], stores: &mut [TaskStore]) -> Result<FoundRows, FoldError> {
        self.read_from(keys, &mut |asked, each| stores[self.store].get_many(asked, each))
    }

    /// The same, of rows that `get_many` gives.
    ///
    /// # Errors
    /// Those of `get_many`.
    pub(crate) fn read_from(&self, keys: &[ArrayRef], get_many: &mut GetMany<'_>) -> Result<FoundRows, FoldError> {
        let encoded = self.keys.encode(&keys[..self.key_columns]).map_err(FoldError::of)?;
        let mut windowed = Vec::new();
        if self.by_start {
            let starts = keys[self.key_columns].as_primitive::<Int64Type>();
            for (row, key) in encoded.iter().enumerate() {
                let mut bytes = Vec::with_capacity(key.data().len() + 8);
                millstream_state::key::window_key(starts.value(row), key.data(), &mut bytes);
                windowed.push(bytes);
            }
        }
        let asked: Vec<&[u8]> = if self.by_start {
            windowed.iter().map(Vec::as_slice).collect()
        } else {
            encoded.iter().map(|key| key.data()).collect()
        };
        let mut bytes = Vec::new();
        let mut met: Vec<(usize, usize, usize)> = Vec::new();
        let mut each = |row: usize, value: Option<&[u8]>| {
            if let Some(value) = value {
                met.push((row, bytes.len(), bytes.len() + value.len()));
                bytes.extend_from_slice(value);
            }
        };
        get_many(&asked, &mut each).map_err(FoldError::of)?;
        let rows = met.iter().map(|&(_, start, end)| &bytes[start..end]);
        let mut states = self.rows.decode(rows).map_err(FoldError::of)?;
        let found_times = states.pop();
        let mut times = vec![None; asked.len()];
        if let Some(found) = &found_times {
            let found = found.as_primitive::<Int64Type>();
            // A row without a time cannot be: it would count as the oldest.
            met.iter().enumerate().for_each(|(index, &(row, ..))| {
                times[row] = Some(if found.is_valid(index) { found.value(index) } else { i64::MIN });
            });
        }
        let found: Vec<usize> = met.iter().map(|&(row, ..)| row).collect();
        let values = scatter(&self.layout.results_of(&states)?, &found, asked.len())?;
        Ok(FoundRows { values, times })
    }
}
