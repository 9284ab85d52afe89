//! Splitting a stream: each record goes to the first branch that takes it.

use std::sync::Arc;

use super::{KStream, typed::Data};

type Predicate<K, V> = dyn Fn(&K, &V) -> bool + Send + Sync;

/// A stream being shared out: see [`KStream::split`].
///
/// ```
/// use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::Record, testing::TopologyTestDriver};
///
/// let builder = StreamsBuilder::new();
/// let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
/// let branches = orders.split().branch(|_, amount| *amount >= 100).branch(|_, amount| *amount >= 10).default_branch();
/// for (branch, topic) in branches.iter().zip(["big", "middling", "small"]) {
///     branch.to(topic, Produced::kafka());
/// }
/// let mut driver = TopologyTestDriver::new(&builder.build()?)?;
/// for amount in [5_i64, 500, 50] {
///     driver.push("orders", Record::new("ada", amount.to_be_bytes()))?;
/// }
/// for (topic, amount) in [("big", 500_i64), ("middling", 50), ("small", 5)] {
///     assert_eq!(driver.drain(topic)?[0].value, Some(amount.to_be_bytes().to_vec()));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Split<K, V> {
    stream: KStream<K, V>,
    taken: Vec<Arc<Predicate<K, V>>>,
    branches: Vec<KStream<K, V>>,
}

impl<K: Data, V: Data> Split<K, V> {
    pub(super) fn of(stream: KStream<K, V>) -> Self {
        Self { stream, taken: Vec::new(), branches: Vec::new() }
    }

    /// A branch of the records for which `predicate` holds and which no earlier branch has taken.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// let branches = orders.split().branch(|_, amount| *amount > 10).branch(|_, amount| *amount > 5).no_default_branch();
    /// branches[1].to("middling", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe_key_value_list([("ada", 30), ("ada", 7), ("ada", 1)])?;
    /// assert_eq!(driver.output_topic::<String, i64>("middling")?.read_values_to_list()?, [Some(7)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn branch(mut self, predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Self {
        let (earlier, predicate) = (self.taken.clone(), Arc::new(predicate));
        self.taken.push(Arc::clone(&predicate) as Arc<Predicate<K, V>>);
        let own = move |key: &K, value: &V| predicate(key, value) && !earlier.iter().any(|taken| taken(key, value));
        self.branches.push(self.stream.filter(own));
        self
    }

    /// The branches, in order; records that none has taken are left out.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// let branches = orders.split().branch(|_, amount| *amount > 10).no_default_branch();
    /// assert_eq!(branches.len(), 1);
    /// ```
    pub fn no_default_branch(self) -> Vec<KStream<K, V>> {
        self.branches
    }

    /// The branches, in order, and last the records that none of them has taken.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// let branches = orders.split().branch(|_, amount| *amount > 10).default_branch();
    /// branches[1].to("small", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe_key_value_list([("ada", 30), ("ada", 7)])?;
    /// assert_eq!(driver.output_topic::<String, i64>("small")?.read_values_to_list()?, [Some(7)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn default_branch(mut self) -> Vec<KStream<K, V>> {
        let earlier = std::mem::take(&mut self.taken);
        self.branches.push(self.stream.filter(move |key, value| !earlier.iter().any(|taken| taken(key, value))));
        self.branches
    }
}
