//! Typed groups: what can be computed over them.

use std::{marker::PhantomData, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    CogroupedKStream, ColumnGroup, ColumnStream, ColumnTable, KTable,
    cogroup::Aggregator,
    options::Materialized,
    row_fold::RowFold,
    typed::{Data, Shape},
};
use crate::{
    expression::{Expr, avg, count, lit, max, min, sum},
    window::{EmitStrategy, Windows},
};

/// A key in a window, in milliseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Windowed<K> {
    /// The key.
    pub key: K,
    /// The first moment of the window.
    pub start: i64,
    /// Of a time window the first moment after it, of a session the moment of its last record.
    pub end: i64,
}

macro_rules! aggregations {
    ($key:ty) => {
        /// How many records.
        pub fn count(&self, materialized: impl Into<Materialized>) -> KTable<$key, i64> {
            self.single(count(lit(1_i64)), materialized.into())
        }

        /// The sum of an expression over the records; null values do not count. `T` must be the type of the sum: `i64` for whole
        /// numbers, `f64` for others.
        pub fn sum<T: Data>(&self, of: Expr, materialized: impl Into<Materialized>) -> KTable<$key, T> {
            self.single(sum(of), materialized.into())
        }

        /// The least value of an expression.
        pub fn min<T: Data>(&self, of: Expr, materialized: impl Into<Materialized>) -> KTable<$key, T> {
            self.single(min(of), materialized.into())
        }

        /// The greatest value of an expression.
        pub fn max<T: Data>(&self, of: Expr, materialized: impl Into<Materialized>) -> KTable<$key, T> {
            self.single(max(of), materialized.into())
        }

        /// The mean of an expression.
        pub fn avg(&self, of: Expr, materialized: impl Into<Materialized>) -> KTable<$key, f64> {
            self.single(avg(of), materialized.into())
        }

        /// Several aggregate expressions at once; `T` is a struct of their aliases.
        pub fn aggregate_expr<T: Data>(
            &self,
            calls: &[Expr],
            materialized: impl Into<Materialized>,
        ) -> KTable<$key, T> {
            typed(self.group.aggregate(calls, materialized.into()))
        }

        /// Brings two values together into one, again and again.
        pub fn reduce(
            &self,
            reducer: impl Fn(V, V) -> V + Send + Sync + 'static,
            materialized: impl Into<Materialized>,
        ) -> KTable<$key, V> {
            let reducer = Arc::new(reducer);
            let merger = Arc::clone(&reducer);
            let step = move |_: &K, value: V, state: Option<V>| match state {
                Some(state) => reducer(state, value),
                None => value,
            };
            let fold = RowFold::new("reduce", step).map(|fold| fold.merging(move |a, b| merger(a, b)));
            self.fold(fold, materialized.into())
        }

        /// Folds values into a state of another type, beginning with what `initial` gives.
        pub fn aggregate<A: Data>(
            &self,
            initial: impl Fn() -> A + Send + Sync + 'static,
            aggregator: impl Fn(&K, V, A) -> A + Send + Sync + 'static,
            materialized: impl Into<Materialized>,
        ) -> KTable<$key, A> {
            let step =
                move |key: &K, value: V, state: Option<A>| aggregator(key, value, state.unwrap_or_else(&initial));
            self.fold(RowFold::new("aggregate", step), materialized.into())
        }

        fn single<T: Data>(&self, call: Expr, materialized: Materialized) -> KTable<$key, T> {
            typed(self.group.aggregate(&[call.alias("value")], materialized))
        }

        fn fold<A: Data>(&self, fold: Result<RowFold<K, V, A>, String>, materialized: Materialized) -> KTable<$key, A> {
            match fold {
                Ok(fold) => KTable::new(self.group.fold(Arc::new(fold), materialized)),
                Err(problem) => {
                    self.group.first().failed("aggregate", problem);
                    KTable::new(self.group.aggregate(&[], materialized))
                }
            }
        }
    };
}

/// A table of columns as a typed one, if the columns are those of the type.
pub(super) fn typed<K: Data, T: Data>(table: ColumnTable) -> KTable<K, T> {
    let expected = Shape::<T>::of("value").map(|shape| shape.fields);
    let columns = |fields: &[arrow::datatypes::FieldRef]| {
        fields.iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect::<Vec<_>>().join(", ")
    };
    let problem = match expected {
        Ok(expected) if columns(&expected) == columns(table.schema().value()) => return KTable::new(table),
        Ok(expected) => {
            format!("it gives ({}), the type asked for has ({})", columns(table.schema().value()), columns(&expected))
        }
        Err(problem) => problem,
    };
    KTable::new(table.failed("aggregate", problem))
}

/// A stream grouped by key.
pub struct KGroupedStream<K, V> {
    group: ColumnGroup,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K: Data, V: Data> KGroupedStream<K, V> {
    pub(super) fn new(group: ColumnGroup) -> Self {
        Self { group, types: PhantomData }
    }

    /// Groups by window, too: by time windows, sliding windows or sessions.
    pub fn windowed_by(&self, windows: impl Into<Windows>) -> KWindowedStream<K, V> {
        KWindowedStream { group: self.group.clone().windowed_by(windows), types: PhantomData }
    }

    /// Begins to fold several streams of one key into one state per key: see [`CogroupedKStream`].
    pub fn cogroup<A: Data>(
        &self,
        aggregator: impl Fn(&K, V, A) -> A + Send + Sync + 'static,
    ) -> CogroupedKStream<K, A> {
        CogroupedKStream::begin(self.group.first(), Aggregator::new(aggregator))
    }

    /// The stream that is grouped.
    pub(super) fn stream(&self) -> &ColumnStream {
        self.group.first()
    }

    aggregations!(K);
}

/// A stream grouped by key and window.
pub struct KWindowedStream<K, V> {
    group: ColumnGroup,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K: Data, V: Data> KWindowedStream<K, V> {
    /// Passes on only the final result of each window, once, when it closes: see [`ColumnGroup::emit_final`].
    pub fn emit_final(self) -> Self {
        Self { group: self.group.emit_final(), types: PhantomData }
    }

    /// Which results of windows are passed on, and when.
    ///
    /// With [`OnCloseIfKept`](EmitStrategy::OnCloseIfKept) they are exactly those of Kafka Streams, which has nothing to say of a window that its
    /// store has dropped by the time the window closes: the retention is size and grace by default, so that a record whose time lies further
    /// ahead than that closes windows without a result. [`emit_final`](Self::emit_final) passes those on as well.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, window::{EmitStrategy, TimeWindows}};
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, i64>("clicks", Consumed::kafka()).group_by_key();
    /// let minutes = TimeWindows::tumbling(Duration::from_secs(60), Duration::ZERO)?;
    /// let closed = clicks.windowed_by(minutes).emit_strategy(EmitStrategy::OnCloseIfKept).count("clicks-by-minute");
    /// closed.to_stream().to("counts", Produced::kafka());
    /// builder.build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn emit_strategy(self, strategy: EmitStrategy) -> Self {
        Self { group: self.group.emit_strategy(strategy), types: PhantomData }
    }

    /// Folds values into a state of another type, as `aggregate` does; `merger` brings the states of two sessions that meet together.
    pub fn aggregate_merging<A: Data>(
        &self,
        initial: impl Fn() -> A + Send + Sync + 'static,
        aggregator: impl Fn(&K, V, A) -> A + Send + Sync + 'static,
        merger: impl Fn(A, A) -> A + Send + Sync + 'static,
        materialized: impl Into<Materialized>,
    ) -> KTable<Windowed<K>, A> {
        let initial = Arc::new(initial);
        let begin = Arc::clone(&initial);
        let step = move |key: &K, value: V, state: Option<A>| aggregator(key, value, state.unwrap_or_else(|| begin()));
        let fold = RowFold::new("aggregate", step).map(|fold| fold.merging(merger).beginning(move || initial()));
        self.fold(fold, materialized.into())
    }

    aggregations!(Windowed<K>);
}
