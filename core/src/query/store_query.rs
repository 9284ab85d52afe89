//! What can be asked of a store.

use super::{
    Answer, QueryError, RangeQuery, ReadOnlyStore, ScanPlan, SessionKeyQuery, SessionRangeQuery, StoreRow,
    WindowKeyQuery, WindowRangeQuery,
};
use crate::{dsl::Data, window::WindowBounds};

/// A question that a [`ReadOnlyStore`] answers. The questions are those of this module; others cannot be made.
///
/// ```
/// use millstream::query::{KeyQuery, StoreQuery};
///
/// fn is_question<Q: StoreQuery<String, i64>>(_: &Q) {}
/// is_question(&KeyQuery::<String>::with_key("ada"));
/// ```
pub trait StoreQuery<K: Data, V: Data>: sealed::Question {
    /// What is answered.
    type Result;

    /// Asks the store.
    #[doc(hidden)]
    fn answer(self, store: &ReadOnlyStore<K, V>) -> Result<Answer<Self::Result>, QueryError>;
}

/// A question whose answer is rows, which can also be had as Arrow batches.
///
/// ```
/// use millstream::query::{RangeQuery, RowsQuery};
///
/// fn gives_rows<Q: RowsQuery<String, i64>>(_: &Q) {}
/// gives_rows(&RangeQuery::<String>::with_no_bounds());
/// ```
pub trait RowsQuery<K: Data, V: Data>: sealed::Question {
    /// The key of a row: `K`, or [`Windowed<K>`](crate::dsl::Windowed).
    type Key;

    /// Which entries are to be read, and of which key if it is one.
    #[doc(hidden)]
    fn plan(&self, store: &ReadOnlyStore<K, V>) -> Result<(ScanPlan, Option<K>), QueryError>;

    /// The key of a row.
    #[doc(hidden)]
    fn key(key: K, window: Option<WindowBounds>) -> Self::Key;
}

macro_rules! answers_rows {
    ($($question:ident),*) => {
        $(impl<K: Data, V: Data> StoreQuery<K, V> for $question<K> {
            type Result = Vec<StoreRow<<Self as RowsQuery<K, V>>::Key, V>>;

            fn answer(self, store: &ReadOnlyStore<K, V>) -> Result<Answer<Self::Result>, QueryError> {
                store.rows(&self)
            }
        })*
    };
}

answers_rows!(RangeQuery, WindowKeyQuery, WindowRangeQuery, SessionKeyQuery, SessionRangeQuery);

pub(super) mod sealed {
    /// What only this crate can ask.
    pub trait Question {}
}
