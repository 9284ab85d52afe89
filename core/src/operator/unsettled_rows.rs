//! Unsettled rows: rows of the left table of an inner foreign-key join whose result may have to go, as long as nobody knows yet.
//!
//! An answer is dropped when its row has changed since. If that answer was to clear the result, and the row's next subscription is only
//! answered where there is a right row, the result would stay for ever. So a row is unsettled from a subscription that may clear the result
//! until an answer to the row as it is arrives, and all it asks in between is answered. Where each change is through before the
//! next one no row is ever unsettled, and what is sent is what Kafka Streams sends; it loses such a result.
//!
//! ```text
//! row goes         unsubscribe and clear, row unsettled
//! row comes back   answer (not: answer if there)          the answer that clears is dropped: the row is there again
//!                                                         the second one is not, and settles the row
//! ```

use std::collections::HashSet;

use arrow::array::{Array, ArrayRef, BinaryArray};

use super::{FoldError, TaskStore};
use crate::{record::Timestamp, row::RowCodec};

/// The unsettled rows in a store, by primary key.
pub(crate) struct UnsettledRows {
    store: usize,
    keys: RowCodec,
}

/// Which rows of a batch are unsettled.
pub(crate) struct Unsettled {
    keys: BinaryArray,
    /// As it is after the rows looked at so far.
    now: HashSet<Vec<u8>>,
}

impl Unsettled {
    /// Whether a row is unsettled.
    pub(crate) fn is(&self, row: usize) -> bool {
        self.now.contains(self.keys.value(row))
    }
}

impl UnsettledRows {
    pub(crate) fn new(store: usize, key: &[arrow::datatypes::FieldRef]) -> Result<Self, FoldError> {
        Ok(Self { store, keys: RowCodec::new(key).map_err(FoldError::of)? })
    }

    /// Looks up which of these keys are unsettled.
    pub(crate) fn look(&self, keys: &[ArrayRef], stores: &mut [TaskStore]) -> Result<Unsettled, FoldError> {
        let keys = self.keys.encode_binary(keys).map_err(FoldError::of)?;
        let asked: Vec<&[u8]> = (0..keys.len()).map(|row| keys.value(row)).collect();
        let mut now = HashSet::new();
        let mut each = |row: usize, value: Option<&[u8]>| {
            if value.is_some() {
                now.insert(asked[row].to_vec());
            }
        };
        stores[self.store].get_many(&asked, &mut each).map_err(FoldError::of)?;
        Ok(Unsettled { keys, now })
    }

    /// Marks a row as unsettled, or as settled.
    pub(crate) fn set(
        &self,
        unsettled: &mut Unsettled,
        row: usize,
        is_unsettled: bool,
        time: i64,
        stores: &mut [TaskStore],
    ) {
        let key = unsettled.keys.value(row);
        if is_unsettled == unsettled.now.contains(key) {
            return;
        }
        stores[self.store].put(key, is_unsettled.then_some(&[][..]), Timestamp(time));
        if is_unsettled {
            unsettled.now.insert(key.to_vec());
        } else {
            unsettled.now.remove(key);
        }
    }
}
