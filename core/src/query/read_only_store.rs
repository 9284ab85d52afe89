//! A store as others may read it: typed questions, answered from committed state while tasks go on.

use std::{sync::Arc, time::Duration};

use arrow::{
    array::{ArrayRef, AsArray, RecordBatch},
    datatypes::{DataType, FieldRef, Int64Type, SchemaRef},
};

use super::{
    Answer, KeyQuery, QueryError, RowsQuery, StoreQuery, StoreRow, View, ViewSnapshot, query_error::known_stores,
    versions_snapshot::VersionsSnapshot, view::Owners,
};
use crate::{
    dsl::{Data, Shape},
    operator::StoreRetention,
    record::{Position, Timestamp},
    row::RowCodec,
    window::WindowBounds,
};

/// Rows decoded together.
const BATCH_ROWS: usize = 8_192;

/// A store with keys `K` and values `V`, to be read while tasks process. Cloning is cheap.
///
/// Each question is answered from a snapshot between two commits: of a commit it sees everything or nothing, over all partitions, and it
/// sees each commit whose records were visible in the log before it was asked. Nothing that is not committed is ever seen. Tasks wait for
/// a reader no longer than the snapshot takes. A key is asked of the partition that owns it.
///
/// Of stores with windows `K` is the key without its window. The value type may be a struct of some of the columns.
///
/// ```
/// use std::time::Duration;
/// use millstream::{StreamsBuilder, dsl::Consumed, query::{KeyQuery, RangeQuery}, testing::TopologyTestDriver};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let builder = StreamsBuilder::new();
/// builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.input_topic::<String, i64>("orders")?.pipe_key_value_list([("ada", 30), ("bob", 7), ("ada", 12)])?;
///
/// let counts = driver.store::<String, i64>("counts")?; // the same from running `Streams`
/// assert_eq!(counts.get("ada")?, Some(2));
/// let answer = counts.query(KeyQuery::with_key("ada"))?;
/// assert_eq!((answer.result.map(|found| found.value), answer.position.to_string()), (Some(2), "orders-0 at 3".to_owned()));
/// let rows = counts.query(RangeQuery::with_lower_bound("b"))?.result;
/// assert_eq!(rows.iter().map(|row| (row.key.as_str(), row.value)).collect::<Vec<_>>(), [("bob", 1)]);
/// # Ok(())
/// # }
/// ```
pub struct ReadOnlyStore<K, V> {
    pub(super) view: View,
    typed: Arc<Typed<K, V>>,
    bound: Option<(Position, Duration)>,
}

/// Rows, and the position they are as of.
type Rows<K, V> = Answer<Vec<StoreRow<K, V>>>;

/// Where the columns of the types lie among those of the view.
struct Typed<K, V> {
    key: Shape<K>,
    /// For each key column of the view, which column of the type it is.
    key_places: Vec<usize>,
    value: Shape<V>,
    value_places: Vec<usize>,
}

impl<K, V> Clone for ReadOnlyStore<K, V> {
    fn clone(&self) -> Self {
        Self { view: self.view.clone(), typed: Arc::clone(&self.typed), bound: self.bound.clone() }
    }
}

impl<K: Data, V: Data> ReadOnlyStore<K, V> {
    /// The store of a view, if it has such columns.
    pub(super) fn new(view: View) -> Result<Self, QueryError> {
        let types = |side, problem| QueryError::Types { store: view.name().to_owned(), side, problem };
        let key = Shape::<K>::of("key").map_err(|problem| types("key", problem))?;
        let value = Shape::<V>::of("value").map_err(|problem| types("value", problem))?;
        let of_key = key.places_in(&view.spec.key).map_err(|problem| types("key", problem))?;
        let place = |column: usize| of_key.iter().position(|place| *place == column);
        let key_places: Option<Vec<usize>> = (0..view.spec.key.len()).map(place).collect();
        let key_places = key_places.ok_or_else(|| {
            let problem = format!("({}), all of which the key type must have", crate::dsl::column_list(&view.spec.key));
            types("key", problem)
        })?;
        let columns = value.places_in(&view.spec.layout.result_fields());
        let value_places = columns.map_err(|problem| types("value", problem))?;
        Ok(Self { typed: Arc::new(Typed { key, key_places, value, value_places }), view, bound: None })
    }

    /// The store `name` among the views of a topology.
    pub(crate) fn find(
        name: &str,
        view: Option<View>,
        known: impl Iterator<Item = String>,
    ) -> Result<Self, QueryError> {
        let Some(view) = view else {
            let known: Vec<String> = known.collect();
            let known = known_stores(name, known.iter().map(String::as_str));
            return Err(QueryError::UnknownStore { name: name.to_owned(), known });
        };
        Self::new(view)
    }

    /// The store's name.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// assert_eq!(driver.store::<String, i64>("counts")?.name(), "counts");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn name(&self) -> &str {
        self.view.name()
    }

    /// The columns of its rows, as [`batches`](Self::batches) gives them: key, `WINDOWSTART` and `WINDOWEND` if there are windows, values,
    /// `ROWTIME`.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// assert_eq!(driver.store::<String, i64>("counts")?.schema().field(2).name(), "ROWTIME");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn schema(&self) -> &SchemaRef {
        self.view.schema()
    }

    /// The same store, whose answers include at least what `position` says: a question waits until what it reads has come so far, and fails
    /// after `timeout`. Each partition is held to what the position says of its own inputs. With a timeout of zero nothing is waited for.
    ///
    /// # Errors
    /// [`QueryError::UnknownInput`] if the position speaks of something that does not feed the store. A question that waits in vain is
    /// [`QueryError::Behind`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
    /// use millstream::record::{Offset, PartitionId, Position, TopicPartition};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe("ada", 30)?; // at offset 0
    ///
    /// let orders = TopicPartition::new("orders".parse()?, PartitionId(0));
    /// let counts = driver.store::<String, i64>("counts")?;
    /// assert_eq!(counts.at_least(Position::after(orders.clone(), Offset(0)), Duration::ZERO)?.get("ada")?, Some(1));
    /// let early = counts.at_least(Position::after(orders, Offset(9)), Duration::ZERO)?.get("ada");
    /// assert!(early.is_err_and(|error| error.to_string().contains("9 records")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn at_least(&self, position: Position, timeout: Duration) -> Result<Self, QueryError> {
        let inputs = self.view.inputs_within(timeout)?;
        if let Some((unknown, _)) = position.iter().find(|(input, _)| !inputs.contains(input)) {
            let names: Vec<String> =
                inputs.iter().map(|input| format!("{}-{}", input.topic, input.partition)).collect();
            return Err(QueryError::UnknownInput {
                store: self.name().to_owned(),
                partition: unknown.clone(),
                inputs: names.join(", "),
            });
        }
        Ok(Self { bound: Some((position, timeout)), ..self.clone() })
    }

    /// The same store, answered also by processes that follow a partition without processing it, at most so many changes behind what is
    /// committed. Where one process has everything it makes no difference.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// assert_eq!(driver.store::<String, i64>("counts")?.enable_stale_stores(1_000).get("ada")?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn enable_stale_stores(&self, changes: u64) -> Self {
        Self { view: self.view.enable_stale_stores(changes), ..self.clone() }
    }

    /// Answers a question: [`KeyQuery`], [`KeysQuery`](super::KeysQuery), [`RangeQuery`](super::RangeQuery),
    /// [`WindowKeyQuery`](super::WindowKeyQuery), [`WindowRangeQuery`](super::WindowRangeQuery),
    /// [`SessionKeyQuery`](super::SessionKeyQuery), [`SessionRangeQuery`](super::SessionRangeQuery),
    /// [`VersionedKeyQuery`](super::VersionedKeyQuery) or [`MultiVersionedKeyQuery`](super::MultiVersionedKeyQuery).
    ///
    /// # Errors
    /// [`QueryError`] if the store does not hold what is asked for, is behind a bound, or cannot be read.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, query::{KeyQuery, WindowKeyQuery}, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// let counts = driver.store::<String, i64>("counts")?;
    /// assert!(counts.query(KeyQuery::with_key("ada"))?.result.is_none());
    /// let error = counts.query(WindowKeyQuery::with_key_and_window_start_range("ada", 0, 10)).err();
    /// assert!(error.is_some_and(|error| error.to_string().contains("ask KeyQuery, KeysQuery or RangeQuery")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn query<Q: StoreQuery<K, V>>(&self, query: Q) -> Result<Answer<Q::Result>, QueryError> {
        query.answer(self)
    }

    /// The value of a key: what [`KeyQuery`] answers, without timestamp and position.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// assert_eq!(driver.store::<String, i64>("counts")?.get("ada")?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get(&self, key: impl Into<K>) -> Result<Option<V>, QueryError> {
        Ok(self.query(KeyQuery::with_key(key))?.result.map(|found| found.value))
    }

    /// The rows that a question asks for as Arrow batches of about `batch_rows` rows, one after another: nothing but one batch is in memory,
    /// the snapshot aside. Gives what of the inputs they include.
    ///
    /// # Errors
    /// As [`query`](Self::query), and the text that `each` fails with, as [`QueryError::Read`].
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, query::RangeQuery, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// # driver.input_topic::<String, i64>("orders")?.pipe("ada", 30)?;
    /// let mut rows = 0;
    /// driver.store::<String, i64>("counts")?.scan(&RangeQuery::with_no_bounds(), 1_000, &mut |batch| {
    ///     rows += batch.num_rows();
    ///     Ok(())
    /// })?;
    /// assert_eq!(rows, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn scan(
        &self,
        query: &impl RowsQuery<K, V>,
        batch_rows: usize,
        each: &mut dyn FnMut(RecordBatch) -> Result<(), String>,
    ) -> Result<Position, QueryError> {
        let (plan, key) = query.plan(self)?;
        let owner = key.map_or(Ok(Owners::All), |key| self.owner(&key))?;
        let mut found = false;
        let mut counting = |batch: RecordBatch| {
            found = true;
            each(batch)
        };
        let snapshot = self.snapshot(&self.first_asked(&owner))?;
        snapshot.run(&plan, batch_rows.max(1), &mut counting)?;
        if let (false, Some(others)) = (found, self.asked_next(&owner)) {
            let others = self.snapshot(&others)?;
            others.run(&plan, batch_rows.max(1), each)?;
            return Ok(others.position().clone());
        }
        Ok(snapshot.position().clone())
    }

    /// The rows that a question asks for as Arrow batches, all of them.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, query::RangeQuery, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// # driver.input_topic::<String, i64>("orders")?.pipe("ada", 30)?;
    /// let batches = driver.store::<String, i64>("counts")?.batches(&RangeQuery::with_no_bounds())?.result;
    /// assert_eq!(batches[0].num_columns(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn batches(&self, query: &impl RowsQuery<K, V>) -> Result<Answer<Vec<RecordBatch>>, QueryError> {
        let mut result = Vec::new();
        let position = self.scan(query, BATCH_ROWS, &mut |batch| {
            result.push(batch);
            Ok(())
        })?;
        Ok(Answer { result, position })
    }

    /// The rows that a question asks for, typed.
    pub(super) fn rows<Q: RowsQuery<K, V>>(&self, query: &Q) -> Result<Rows<Q::Key, V>, QueryError> {
        let batches = self.batches(query)?;
        let mut result = Vec::new();
        for batch in &batches.result {
            for (key, window, value, timestamp) in self.decode(batch)? {
                result.push(StoreRow { key: Q::key(key, window), value, timestamp });
            }
        }
        Ok(Answer { result, position: batches.position })
    }

    /// Some partitions as they are between two commits, or later if there is a bound that they have not reached.
    pub(super) fn snapshot(&self, partitions: &[usize]) -> Result<ViewSnapshot, QueryError> {
        if let Some((position, timeout)) = &self.bound {
            self.view.wait_for(partitions, position, *timeout)?;
        }
        self.view.snapshot_of(partitions)
    }

    /// Some partitions of a versioned table, as [`snapshot`](Self::snapshot) gives those of others.
    pub(super) fn versions(&self, partitions: &[usize]) -> Result<VersionsSnapshot, QueryError> {
        if let Some((position, timeout)) = &self.bound {
            self.view.wait_for(partitions, position, *timeout)?;
        }
        self.view.versions_of(partitions)
    }

    /// The partitions to be asked first.
    pub(super) fn first_asked(&self, owner: &Owners) -> Vec<usize> {
        match *owner {
            Owners::One(owner) | Owners::First(owner) => vec![owner],
            Owners::All => (0..self.view.partitions()).collect(),
        }
    }

    /// The partitions to be asked if those knew nothing.
    pub(super) fn asked_next(&self, owner: &Owners) -> Option<Vec<usize>> {
        let Owners::First(owner) = *owner else { return None };
        Some((0..self.view.partitions()).filter(|partition| *partition != owner).collect())
    }

    /// The key columns of keys, as the store has them.
    pub(super) fn key_columns(&self, keys: &[K]) -> Result<Vec<ArrayRef>, QueryError> {
        let columns = self.typed.key.write(keys).map_err(|problem| self.view.error(format!("the key: {problem}")))?;
        Ok(self.typed.key_places.iter().map(|&place| columns[place].clone()).collect())
    }

    /// A key as the store has it.
    pub(super) fn key_bytes(&self, key: &K) -> Result<Vec<u8>, QueryError> {
        let columns = self.key_columns(std::slice::from_ref(key))?;
        let codec = RowCodec::new(&self.view.spec.key).map_err(|error| self.view.error(error))?;
        let rows = codec.encode(&columns).map_err(|error| self.view.error(error))?;
        Ok(rows.row(0).data().to_vec())
    }

    fn owner(&self, key: &K) -> Result<Owners, QueryError> {
        let columns = self.key_columns(std::slice::from_ref(key))?;
        Ok(self.view.owners(&columns).pop().unwrap_or(Owners::All))
    }

    /// The rows of a batch of the view, typed.
    pub(super) fn decode(&self, batch: &RecordBatch) -> Result<Vec<TypedRow<K, V>>, QueryError> {
        let Typed { key, key_places, value, value_places } = self.typed.as_ref();
        let (columns, rows) = (batch.columns(), batch.num_rows());
        let mut keys = columns[..key_places.len()].to_vec();
        for (column, place) in columns.iter().zip(key_places) {
            keys[*place] = ArrayRef::clone(column);
        }
        let is_windowed = self.view.spec.retention.is_windowed();
        let first_value = key_places.len() + if is_windowed { 2 } else { 0 };
        let values: Vec<ArrayRef> = value_places.iter().map(|place| columns[first_value + place].clone()).collect();
        let longs = |column: usize| columns[column].as_primitive::<Int64Type>();
        let times = longs(columns.len() - 1);
        let mut errors = Vec::new();
        let keys = key.read(&keys, rows, &mut errors);
        let values = value.read(&values, rows, &mut errors);
        if let Some(error) = errors.first() {
            return Err(self.view.error(format!("a row cannot be read into the types: {}", error.problem)));
        }
        let window = |row: usize| {
            is_windowed.then(|| WindowBounds {
                start: longs(first_value - 2).value(row),
                end: longs(first_value - 1).value(row),
            })
        };
        let typed = keys.into_iter().zip(values).enumerate();
        let row = |(row, (key, value)): (usize, (Option<K>, Option<V>))| {
            Some((key?, window(row), value?, Timestamp(times.value(row))))
        };
        Ok(typed.filter_map(row).collect())
    }

    /// Refuses a question that does not fit what the store holds.
    pub(super) fn check(&self, fits: fn(&StoreRetention) -> bool, asked: &'static str) -> Result<(), QueryError> {
        if fits(&self.view.spec.retention) {
            return Ok(());
        }
        let (holds, instead) = match self.view.spec.retention {
            StoreRetention::Forever => ("one row a key", "KeyQuery, KeysQuery or RangeQuery"),
            StoreRetention::Windows { .. } => ("one row a key and window", "WindowKeyQuery or WindowRangeQuery"),
            StoreRetention::Sessions { .. } => ("sessions of keys", "SessionKeyQuery or SessionRangeQuery"),
        };
        Err(QueryError::WrongQuery { store: self.name().to_owned(), holds, asked, instead })
    }

    /// The one key column that holds text, if that is what keys are.
    pub(super) fn text_key(&self) -> Option<&FieldRef> {
        match self.view.spec.key.as_slice() {
            [field] if *field.data_type() == DataType::Utf8 => Some(field),
            _ => None,
        }
    }
}

/// Key, window, value and timestamp.
pub(super) type TypedRow<K, V> = (K, Option<WindowBounds>, V, Timestamp);
