//! Typed streams.

use std::{marker::PhantomData, sync::Arc};

use super::{
    ColumnStream, KTable,
    closure::{Closure, Input},
    group::KGroupedStream,
    options::{Materialized, Produced, Repartitioned},
    typed::{Data, Shape},
};
use crate::{expression::Expr, schema::StreamSchema};

/// A stream of records with keys `K` and values `V`: every record is a fact.
///
/// Closures and expressions do the same: `.filter(|_, order| order.amount > 0.0)` and `.filter_expr(col("amount").gt(lit(0.0)))`. They have
/// two names because Rust infers a closure's argument types only where a method asks for a closure and nothing else.
pub struct KStream<K, V> {
    columns: ColumnStream,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for KStream<K, V> {
    fn clone(&self) -> Self {
        Self { columns: self.columns.clone(), types: PhantomData }
    }
}

impl<K: Data, V: Data> KStream<K, V> {
    pub(super) fn new(columns: ColumnStream) -> Self {
        Self { columns, types: PhantomData }
    }

    /// The same stream by the column.
    pub fn columns(&self) -> &ColumnStream {
        &self.columns
    }

    /// A stream of columns, typed: `K` and `V` must have these columns.
    pub fn from_columns(columns: &ColumnStream) -> Self {
        let check = |expected: &[arrow::datatypes::FieldRef], found: &[arrow::datatypes::FieldRef]| {
            let pairs = |fields: &[arrow::datatypes::FieldRef]| {
                fields
                    .iter()
                    .map(|field| format!("{} {}", field.name(), field.data_type()))
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            (pairs(expected) != pairs(found))
                .then(|| format!("the type has ({}), the stream ({})", pairs(expected), pairs(found)))
        };
        let problem = Shape::<V>::of("value").map(|shape| check(&shape.fields, columns.schema().value()));
        match problem {
            Ok(None) => Self::new(columns.clone()),
            Ok(Some(problem)) | Err(problem) => Self::new(columns.failed("from_columns", problem)),
        }
    }

    /// Keeps the records for which `predicate` holds; records without value are left out.
    pub fn filter(&self, predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Self {
        self.with(
            "filter",
            |input: Input<K, V>| Ok((input.filter(predicate), Arc::clone(self.columns.schema()))),
            false,
        )
    }

    /// Keeps the records for which an expression is true.
    pub fn filter_expr(&self, predicate: Expr) -> Self {
        Self::new(self.columns.filter(&predicate))
    }

    /// Makes a record of each record.
    pub fn map<K2: Data, V2: Data>(
        &self,
        function: impl Fn(K, V) -> (K2, V2) + Send + Sync + 'static,
    ) -> KStream<K2, V2> {
        let schema = output_schema::<K2, V2>();
        let closure =
            |input: Input<K, V>, schema| input.flat_map("map", schema, move |key, value| [function(key, value)]);
        self.with("map", |input| schema.and_then(|schema| Ok((closure(input, Arc::clone(&schema))?, schema))), true)
    }

    /// Makes a value of each value; keys stay, and so does where the records are.
    pub fn map_values<V2: Data>(&self, function: impl Fn(V) -> V2 + Send + Sync + 'static) -> KStream<K, V2> {
        let schema = value_schema::<V2>(self.columns.schema());
        let closure = |input: Input<K, V>, schema| input.map_values(schema, move |_, value| function(value));
        self.with(
            "map_values",
            |input| schema.and_then(|schema| Ok((closure(input, Arc::clone(&schema))?, schema))),
            false,
        )
    }

    /// Makes any number of records of each record.
    pub fn flat_map<K2: Data, V2: Data, I: IntoIterator<Item = (K2, V2)> + 'static>(
        &self,
        function: impl Fn(K, V) -> I + Send + Sync + 'static,
    ) -> KStream<K2, V2> {
        let schema = output_schema::<K2, V2>();
        let closure = |input: Input<K, V>, schema| input.flat_map("flat_map", schema, function);
        self.with(
            "flat_map",
            |input| schema.and_then(|schema| Ok((closure(input, Arc::clone(&schema))?, schema))),
            true,
        )
    }

    /// Gives each record another key.
    pub fn select_key<K2: Data>(&self, function: impl Fn(&K, &V) -> K2 + Send + Sync + 'static) -> KStream<K2, V> {
        let schema = output_schema::<K2, V>();
        let closure = |input: Input<K, V>, schema| {
            input.flat_map("select_key", schema, move |key, value| [(function(&key, &value), value)])
        };
        self.with(
            "select_key",
            |input| schema.and_then(|schema| Ok((closure(input, Arc::clone(&schema))?, schema))),
            true,
        )
    }

    /// Shows each record to `function` and passes it on. After a crash a record may be shown again.
    pub fn peek(&self, function: impl Fn(&K, &V) + Send + Sync + 'static) -> Self {
        self.with(
            "peek",
            |input: Input<K, V>| Ok((input.look(true, function), Arc::clone(self.columns.schema()))),
            false,
        )
    }

    /// Shows each record to `function`. After a crash a record may be shown again.
    pub fn for_each(&self, function: impl Fn(&K, &V) + Send + Sync + 'static) {
        let look = |input: Input<K, V>| Ok((input.look(false, function), Arc::clone(self.columns.schema())));
        let _: Self = self.with("for_each", look, false);
    }

    /// Begins to share records out to branches: each goes to the first whose predicate holds.
    pub fn split(&self) -> Split<K, V> {
        Split { stream: self.clone(), taken: Vec::new(), branches: Vec::new() }
    }

    /// The records of both streams.
    pub fn merge(&self, other: &Self) -> Self {
        Self::new(self.columns.merge(&other.columns))
    }

    /// Moves every record to the partition of its key.
    pub fn repartition(&self, options: Repartitioned) -> Self {
        Self::new(self.columns.repartition(options))
    }

    /// Writes the records to `topic`.
    pub fn to(&self, topic: &str, produced: Produced) {
        match Shape::<V>::of("value") {
            Ok(shape) => {
                let formats = crate::topology::Formats { wrapping: shape.wrapping(), ..produced.formats };
                self.columns.to(topic, Produced { formats });
            }
            Err(problem) => {
                self.columns.failed("to", problem);
            }
        }
    }

    /// Makes a table of the newest record of each key.
    pub fn to_table(&self, materialized: impl Into<Materialized>) -> KTable<K, V> {
        KTable::new(self.columns.to_table(materialized.into()))
    }

    /// Groups by the key there is.
    pub fn group_by_key(&self) -> KGroupedStream<K, V> {
        KGroupedStream::new(self.columns.group_by_key())
    }

    /// Groups by another key.
    pub fn group_by<K2: Data>(&self, key: impl Fn(&K, &V) -> K2 + Send + Sync + 'static) -> KGroupedStream<K2, V> {
        self.select_key(key).group_by_key()
    }

    fn with<K2: Data, V2: Data>(
        &self,
        name: &str,
        make: impl FnOnce(Input<K, V>) -> Result<(Closure, Arc<StreamSchema>), String>,
        rekeyed: bool,
    ) -> KStream<K2, V2> {
        let columns = match Input::new().and_then(make) {
            Ok((closure, schema)) => {
                self.columns.transform(name, Arc::new(closure), schema, rekeyed || self.columns.rekeyed)
            }
            Err(problem) => self.columns.failed(name, problem),
        };
        KStream::new(columns)
    }
}

/// A stream being shared out: see [`KStream::split`].
pub struct Split<K, V> {
    stream: KStream<K, V>,
    taken: Vec<Arc<Predicate<K, V>>>,
    branches: Vec<KStream<K, V>>,
}

type Predicate<K, V> = dyn Fn(&K, &V) -> bool + Send + Sync;

impl<K: Data, V: Data> Split<K, V> {
    /// A branch of the records for which `predicate` holds and which no earlier branch has taken.
    pub fn branch(mut self, predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Self {
        let (earlier, predicate) = (self.taken.clone(), Arc::new(predicate));
        self.taken.push(Arc::clone(&predicate) as Arc<Predicate<K, V>>);
        let own = move |key: &K, value: &V| predicate(key, value) && !earlier.iter().any(|taken| taken(key, value));
        self.branches.push(self.stream.filter(own));
        self
    }

    /// The branches, in order; records that none has taken are left out.
    pub fn no_default_branch(self) -> Vec<KStream<K, V>> {
        self.branches
    }

    /// The branches, in order, and last the records that none of them has taken.
    pub fn default_branch(mut self) -> Vec<KStream<K, V>> {
        let earlier = std::mem::take(&mut self.taken);
        self.branches.push(self.stream.filter(move |key, value| !earlier.iter().any(|taken| taken(key, value))));
        self.branches
    }
}

fn output_schema<K: Data, V: Data>() -> Result<Arc<StreamSchema>, String> {
    StreamSchema::new(Shape::<K>::of("key")?.fields, Shape::<V>::of("value")?.fields, false)
        .map_err(|error| error.to_string())
}

/// The schema of `input` with the columns of `V` as its values.
pub(super) fn value_schema<V: Data>(input: &StreamSchema) -> Result<Arc<StreamSchema>, String> {
    StreamSchema::new(input.key().to_vec(), Shape::<V>::of("value")?.fields, input.window())
        .map_err(|error| error.to_string())
}
