//! Options of joins: each wraps what is joined with, which alone stands for itself with the defaults.
//!
//! ```text
//! clicks.join(&users, ..)                                    clicks.join(Joined::with(&users).named("by-user"), ..)
//! clicks.join_stream(&views, windows, ..)                    clicks.join_stream(&views, StreamJoined::within(windows).stores("kept"), ..)
//! orders.join_foreign(&customers, ..)                        orders.join_foreign(TableJoined::with(&customers).named("buyers"), ..)
//! ```

use crate::{operator::Unmatched, record::TimeSpan, window::JoinWindows};

/// The table that a stream is joined with, and how.
///
/// ```
/// # use millstream::{StreamsBuilder, dsl::{Consumed, Joined}};
/// # let builder = StreamsBuilder::new();
/// let cities = builder.table::<String, String>("cities", Consumed::kafka(), "cities".into());
/// let shops = builder.stream::<String, String>("shops", Consumed::kafka()).select_key(|_, city| city.clone());
/// // Moves records to the partitions of their new keys, through the topic `<application>-by-city-repartition`.
/// shops.join(Joined::with(&cities).named("by-city"), |_, shop, city| format!("{shop} in {city}"));
/// # assert!(builder.build().unwrap().describe().contains("by-city-repartition"));
/// ```
#[derive(Debug)]
pub struct Joined<'a, T> {
    pub(super) table: &'a T,
    pub(super) name: Option<String>,
    pub(super) grace: Option<TimeSpan>,
}

impl<'a, T> Joined<'a, T> {
    /// A join with this table: what the table alone stands for.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Joined}};
    /// # let builder = StreamsBuilder::new();
    /// # let cities = builder.table::<String, String>("cities", Consumed::kafka(), "cities".into());
    /// # let shops = builder.stream::<String, String>("shops", Consumed::kafka());
    /// shops.join(Joined::with(&cities), |_, shop, city| format!("{shop} in {city}"));
    /// # assert!(builder.build().is_ok());
    /// ```
    pub fn with(table: &'a T) -> Self {
        Self { table, name: None, grace: None }
    }

    /// The middle of the name of the topic through which the stream moves if its key was changed: `<application>-<name>-repartition`.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Joined}};
    /// # let builder = StreamsBuilder::new();
    /// # let cities = builder.table::<String, String>("cities", Consumed::kafka(), "cities".into());
    /// # let shops = builder.stream::<String, String>("shops", Consumed::kafka()).select_key(|_, city| city.clone());
    /// shops.left_join(Joined::with(&cities).named("moved"), |_, shop, _| shop);
    /// assert!(builder.build().unwrap().describe().contains("<application>-moved-repartition"));
    /// ```
    pub fn named(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }

    /// Lets records of the stream wait until stream time is their timestamp and `grace`, and joins them in the order of their timestamps then. The
    /// table must be versioned, with a history of at least `grace`.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Joined, Materialized, Produced}, record::{Record, TimeSpan}, testing::TopologyTestDriver};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let builder = StreamsBuilder::new();
    /// let [ten, hour] = [10, 3_600_000].map(|millis| TimeSpan::from_millis(millis).unwrap());
    /// let prices = builder.table::<String, i64>("prices", Consumed::kafka(), Materialized::named("prices").versioned(hour));
    /// let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// orders.join(Joined::with(&prices).grace(ten), |_, count, price| count * price).to("amounts", Produced::kafka());
    /// let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.push("orders", Record::new("tea", 2_i64.to_be_bytes()).at_ms(150))?;
    /// driver.push("prices", Record::new("tea", 3_i64.to_be_bytes()).at_ms(100))?;
    /// driver.push("orders", Record::new("ink", 1_i64.to_be_bytes()).at_ms(159))?;
    /// assert!(driver.drain("amounts")?.is_empty());
    /// driver.push("orders", Record::new("ink", 1_i64.to_be_bytes()).at_ms(160))?;
    /// assert_eq!(driver.drain("amounts")?, [Record::new("tea", 6_i64.to_be_bytes()).at_ms(150)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn grace(self, grace: impl Into<TimeSpan>) -> Self {
        Self { grace: Some(grace.into()), ..self }
    }
}

impl<T> Joined<'_, T> {
    /// The same join with what another handle of the table is.
    pub(super) fn of<U>(self, table: &U) -> Joined<'_, U> {
        let Self { table: _, name, grace } = self;
        Joined { table, name, grace }
    }
}

impl<'a, T> From<&'a T> for Joined<'a, T> {
    fn from(table: &'a T) -> Self {
        Self::with(table)
    }
}

impl<T> Clone for Joined<'_, T> {
    fn clone(&self) -> Self {
        Self { table: self.table, name: self.name.clone(), grace: self.grace }
    }
}

/// Which records of two streams meet, and how the join keeps them.
///
/// ```
/// # use millstream::{StreamsBuilder, dsl::{Consumed, StreamJoined}, record::TimeSpan, window::JoinWindows};
/// # let builder = StreamsBuilder::new();
/// # let [left, right] = ["left", "right"].map(|topic| builder.stream::<String, i64>(topic, Consumed::kafka()));
/// let minute = TimeSpan::from_millis(60_000).unwrap();
/// let windows = JoinWindows::new(minute, minute).with_grace(minute);
/// let joined = StreamJoined::within(windows).stores("kept").retention(TimeSpan::from_millis(3_600_000).unwrap());
/// left.join_stream(&right, joined, |_, left, right| left + right);
/// # let plan = builder.build().unwrap().describe();
/// # assert!(plan.contains("kept-left") && plan.contains("kept-right"), "{plan}");
/// ```
#[derive(Debug, Clone)]
pub struct StreamJoined {
    pub(super) windows: JoinWindows,
    pub(super) name: Option<String>,
    pub(super) stores: Option<String>,
    pub(super) retention: Option<TimeSpan>,
    pub(super) unmatched: Unmatched,
}

impl StreamJoined {
    /// A join of records within these windows of each other: what the windows alone stand for.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, StreamJoined}, record::TimeSpan, window::JoinWindows};
    /// # let builder = StreamsBuilder::new();
    /// # let [left, right] = ["left", "right"].map(|topic| builder.stream::<String, i64>(topic, Consumed::kafka()));
    /// let windows = JoinWindows::new(TimeSpan::ZERO, TimeSpan::from_millis(10).unwrap());
    /// left.join_stream(&right, StreamJoined::within(windows), |_, left, right| left + right);
    /// # assert!(builder.build().is_ok());
    /// ```
    pub fn within(windows: JoinWindows) -> Self {
        Self { windows, name: None, stores: None, retention: None, unmatched: Unmatched::default() }
    }

    /// The middle of the names of the topics through which streams move whose keys were changed: `<application>-<name>-left-repartition` and
    /// `<application>-<name>-right-repartition`. Stores that are given no name of their own are called after it, too.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, StreamJoined}, record::TimeSpan, window::JoinWindows};
    /// # let builder = StreamsBuilder::new();
    /// # let [left, right] = ["left", "right"].map(|topic| builder.stream::<String, i64>(topic, Consumed::kafka()));
    /// # let windows = JoinWindows::new(TimeSpan::ZERO, TimeSpan::ZERO);
    /// left.join_stream(&right, StreamJoined::within(windows).named("pairs"), |_, left, right| left + right);
    /// assert!(builder.build().unwrap().stores().iter().any(|store| store.name == "pairs-left"));
    /// ```
    pub fn named(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }

    /// The begin of the names of the stores: `<name>-left`, `<name>-right` and, of a left or outer join with a grace, `<name>-waiting`.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, StreamJoined}, record::TimeSpan, window::JoinWindows};
    /// # let builder = StreamsBuilder::new();
    /// # let [left, right] = ["left", "right"].map(|topic| builder.stream::<String, i64>(topic, Consumed::kafka()));
    /// # let windows = JoinWindows::new(TimeSpan::ZERO, TimeSpan::ZERO).with_grace(TimeSpan::ZERO);
    /// left.left_join_stream(&right, StreamJoined::within(windows).stores("kept"), |_, left, _| left);
    /// let topology = builder.build().unwrap();
    /// let names: Vec<_> = topology.stores().iter().map(|store| store.name.as_str()).collect();
    /// assert_eq!(names, ["kept-left", "kept-right", "kept-waiting"]);
    /// ```
    pub fn stores(self, name: &str) -> Self {
        Self { stores: Some(name.to_owned()), ..self }
    }

    /// How long records are kept to be met by late ones; at least the span of the windows and their grace, which is the default.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, StreamJoined}, record::TimeSpan, window::JoinWindows};
    /// # let builder = StreamsBuilder::new();
    /// # let [left, right] = ["left", "right"].map(|topic| builder.stream::<String, i64>(topic, Consumed::kafka()));
    /// # let [ten, nine] = [10, 9].map(|millis| TimeSpan::from_millis(millis).unwrap());
    /// let windows = JoinWindows::new(ten, TimeSpan::ZERO).with_grace(TimeSpan::ZERO);
    /// left.join_stream(&right, StreamJoined::within(windows).retention(nine), |_, left, right| left + right);
    /// assert!(builder.build().err().unwrap().to_string().contains("is shorter than windows and grace"));
    /// ```
    pub fn retention(self, retention: impl Into<TimeSpan>) -> Self {
        Self { retention: Some(retention.into()), ..self }
    }

    /// When results of records that met nothing are passed on.
    pub fn unmatched(self, unmatched: Unmatched) -> Self {
        Self { unmatched, ..self }
    }

    /// The same join seen from the other side.
    ///
    /// ```
    /// # use millstream::{dsl::StreamJoined, record::TimeSpan, window::JoinWindows};
    /// let windows = JoinWindows::new(TimeSpan::ZERO, TimeSpan::from_millis(10).unwrap());
    /// let seen = format!("{:?}", StreamJoined::within(windows).swapped());
    /// assert_eq!(seen, format!("{:?}", StreamJoined::within(windows.swapped())));
    /// ```
    pub fn swapped(self) -> Self {
        Self { windows: self.windows.swapped(), ..self }
    }
}

impl From<JoinWindows> for StreamJoined {
    fn from(windows: JoinWindows) -> Self {
        Self::within(windows)
    }
}

/// The table whose keys are named by rows of another one, and how both are joined.
///
/// ```
/// # use millstream::{StreamsBuilder, dsl::{Consumed, TableJoined}};
/// # let builder = StreamsBuilder::new();
/// # let table = |topic: &str| builder.table::<String, String>(topic, Consumed::kafka(), topic.into());
/// let (orders, customers) = (table("orders"), table("customers"));
/// orders.join_foreign(
///     TableJoined::with(&customers).named("buyers"),
///     |_, customer| Some(customer.clone()),
///     |_, _, customer| customer,
/// );
/// # assert!(builder.build().unwrap().describe().contains("buyers-subscription-registration"));
/// ```
#[derive(Debug)]
pub struct TableJoined<'a, T> {
    pub(super) table: &'a T,
    pub(super) name: Option<String>,
}

impl<'a, T> TableJoined<'a, T> {
    /// A join with this table: what the table alone stands for.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, TableJoined}};
    /// # let builder = StreamsBuilder::new();
    /// # let table = |topic: &str| builder.table::<String, String>(topic, Consumed::kafka(), topic.into());
    /// # let (orders, customers) = (table("orders"), table("customers"));
    /// orders.left_join_foreign(TableJoined::with(&customers), |_, order| Some(order.clone()), |_, order, _| order);
    /// # assert!(builder.build().is_ok());
    /// ```
    pub fn with(table: &'a T) -> Self {
        Self { table, name: None }
    }

    /// What the topics and stores of the join are called after: `<application>-<name>-subscription-registration`,
    /// `<application>-<name>-subscription-response`, `<name>-subscriptions`.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, TableJoined}};
    /// # let builder = StreamsBuilder::new();
    /// # let table = |topic: &str| builder.table::<String, String>(topic, Consumed::kafka(), topic.into());
    /// # let (orders, customers) = (table("orders"), table("customers"));
    /// orders.left_join_foreign(TableJoined::with(&customers).named("fk"), |_, order| Some(order.clone()), |_, order, _| order);
    /// assert!(builder.build().unwrap().stores().iter().any(|store| store.name == "fk-subscriptions"));
    /// ```
    pub fn named(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }
}

impl<T> TableJoined<'_, T> {
    /// The same join with what another handle of the table is.
    pub(super) fn of<U>(self, table: &U) -> TableJoined<'_, U> {
        let Self { table: _, name } = self;
        TableJoined { table, name }
    }
}

impl<'a, T> From<&'a T> for TableJoined<'a, T> {
    fn from(table: &'a T) -> Self {
        Self::with(table)
    }
}

impl<T> Clone for TableJoined<'_, T> {
    fn clone(&self) -> Self {
        Self { table: self.table, name: self.name.clone() }
    }
}
