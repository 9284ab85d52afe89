//! Joins of typed streams: with tables and with streams.
//!
//! A joiner is given the key, which it cannot change, and the values of both sides; what may be missing is an `Option`. A record that has
//! no value never meets anything. Of a side that is there every column may be null; a side that is not there is `None`.

use super::{
    ColumnStream, Joined, KStream, KTable, StreamJoined,
    joiner::{Sides, names},
    typed::Data,
};
use crate::operator::{JoinKind, StreamJoinKind};

/// Why a joiner can count on a side.
const BOTH: &str = "an inner join gives rows with both sides";
/// Why a joiner of a left join can count on the left side.
const LEFT: &str = "a left join gives rows with a left side";

impl<K: Data, V: Data> KStream<K, V> {
    /// Meets each record with the row of its key in `table`; records that meet none are left out.
    ///
    /// Only the stream triggers: the table is as its records up to this moment have made it. Records without key or value are dead letters.
    ///
    /// # Ordering
    /// Results are in the order of the stream, with its timestamps.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::Record, testing::TopologyTestDriver};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let builder = StreamsBuilder::new();
    /// let cities = builder.table::<String, String>("cities", Consumed::kafka(), "cities".into());
    /// let visits = builder.stream::<String, i64>("visits", Consumed::kafka());
    /// visits.join(&cities, |user, page, city| format!("{user} of {city}: {page}")).to("seen", Produced::kafka());
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// # driver.push("cities", Record::new("ada", "London"))?;
    /// # driver.push("visits", Record::new("ada", 7_i64.to_be_bytes()))?;
    /// # driver.push("visits", Record::new("bob", 8_i64.to_be_bytes()))?;
    /// # let seen = driver.drain("seen")?;
    /// # assert_eq!(seen.iter().map(|record| record.value.as_deref().unwrap()).collect::<Vec<_>>(), [b"ada of London: 7"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn join<'a, T: Data, R: Data>(
        &self,
        table: impl Into<Joined<'a, KTable<K, T>>>,
        joiner: impl Fn(&K, V, T) -> R + Send + Sync + 'static,
    ) -> KStream<K, R> {
        self.with_table(table.into(), JoinKind::Inner, move |key, left, right| {
            joiner(key, left.expect(BOTH), right.expect(BOTH))
        })
    }

    /// Meets each record with the row of its key in `table`, if there is one. A record without key meets none.
    ///
    /// Otherwise as [`join`](Self::join).
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::Record, testing::TopologyTestDriver};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let builder = StreamsBuilder::new();
    /// let cities = builder.table::<String, String>("cities", Consumed::kafka(), "cities".into());
    /// let visits = builder.stream::<String, i64>("visits", Consumed::kafka());
    /// visits.left_join(&cities, |_, page, city| format!("{page} {}", city.unwrap_or_default())).to("seen", Produced::kafka());
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// # driver.push("visits", Record::new("bob", 8_i64.to_be_bytes()))?;
    /// # assert_eq!(driver.drain("seen")?[0].value.as_deref(), Some(&b"8 "[..]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn left_join<'a, T: Data, R: Data>(
        &self,
        table: impl Into<Joined<'a, KTable<K, T>>>,
        joiner: impl Fn(&K, V, Option<T>) -> R + Send + Sync + 'static,
    ) -> KStream<K, R> {
        self.with_table(table.into(), JoinKind::Left, move |key, left, right| joiner(key, left.expect(LEFT), right))
    }

    /// Meets each record with those of `other` that have its key and lie within windows of it: [`JoinWindows`](crate::window::JoinWindows), or
    /// [`StreamJoined`] where more is to be said. Records that meet none are left out.
    ///
    /// Each record meets all that are kept of the other stream, by their timestamps, and is then kept itself. Records without key or value are
    /// dead letters, and so are records that are too late to be kept.
    ///
    /// # Ordering
    /// A result has the higher timestamp of both records.
    ///
    /// # State
    /// The records of both streams, for as long as windows and grace last.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::{Record, TimeSpan}, testing::TopologyTestDriver, window::JoinWindows};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let builder = StreamsBuilder::new();
    /// let [left, right] = ["left", "right"].map(|topic| builder.stream::<String, String>(topic, Consumed::kafka()));
    /// let span = TimeSpan::from_millis(10).unwrap();
    /// left.join_stream(&right, JoinWindows::new(span, span), |_, left, right| left + &right).to("both", Produced::kafka());
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// # for (topic, value, time) in [("left", "A", 3), ("right", "a", 4), ("left", "B", 5), ("right", "b", 6), ("right", "c", 16)] {
    /// #     driver.push(topic, Record::new("k", value).at_ms(time))?;
    /// # }
    /// # let both = driver.drain("both")?;
    /// # let both: Vec<_> = both.iter().map(|record| std::str::from_utf8(record.value.as_deref().unwrap()).unwrap()).collect();
    /// assert_eq!(both, ["Aa", "Ba", "Ab", "Bb"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn join_stream<T: Data, R: Data>(
        &self,
        other: &KStream<K, T>,
        windows: impl Into<StreamJoined>,
        joiner: impl Fn(&K, V, T) -> R + Send + Sync + 'static,
    ) -> KStream<K, R> {
        self.with_stream(other, StreamJoinKind::Inner, windows.into(), move |key, left, right| {
            joiner(key, left.expect(BOTH), right.expect(BOTH))
        })
    }

    /// As [`join_stream`](Self::join_stream), but a record of this stream that meets none is passed on alone: if the windows have a grace when
    /// they and the grace are over, else at once. One without key is passed on at once.
    ///
    /// # Ordering
    /// What is passed on alone has its own timestamp. It leaves with the first record that moves stream time past the end of its windows and
    /// grace.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::{Record, TimeSpan}, testing::TopologyTestDriver, window::JoinWindows};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let builder = StreamsBuilder::new();
    /// # let [left, right] = ["left", "right"].map(|topic| builder.stream::<String, String>(topic, Consumed::kafka()));
    /// let [ten, five] = [10, 5].map(|millis| TimeSpan::from_millis(millis).unwrap());
    /// let windows = JoinWindows::new(ten, ten).with_grace(five);
    /// left.left_join_stream(&right, windows, |_, left, right: Option<String>| left + &right.unwrap_or_default()).to("all", Produced::kafka());
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.push("left", Record::new("k", "A").at_ms(100))?;
    /// driver.push("right", Record::new("other", "b").at_ms(115))?;
    /// assert!(driver.drain("all")?.is_empty(), "a late record at 110 could still come");
    /// driver.push("right", Record::new("other", "c").at_ms(116))?;
    /// assert_eq!(driver.drain("all")?, [Record::new("k", "A").at_ms(100)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn left_join_stream<T: Data, R: Data>(
        &self,
        other: &KStream<K, T>,
        windows: impl Into<StreamJoined>,
        joiner: impl Fn(&K, V, Option<T>) -> R + Send + Sync + 'static,
    ) -> KStream<K, R> {
        self.with_stream(other, StreamJoinKind::Left, windows.into(), move |key, left, right| {
            joiner(key, left.expect(LEFT), right)
        })
    }

    /// As [`left_join_stream`](Self::left_join_stream), but records of both streams that meet none are passed on.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, record::{Record, TimeSpan}, testing::TopologyTestDriver, window::JoinWindows};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let builder = StreamsBuilder::new();
    /// # let [left, right] = ["left", "right"].map(|topic| builder.stream::<String, String>(topic, Consumed::kafka()));
    /// # let span = TimeSpan::from_millis(10).unwrap();
    /// # let windows = JoinWindows::new(span, span).with_grace(span);
    /// left.outer_join_stream(&right, windows, |_, left: Option<String>, right: Option<String>| {
    ///     format!("{}{}", left.unwrap_or("-".into()), right.unwrap_or("-".into()))
    /// })
    /// .to("all", Produced::kafka());
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// # driver.push("right", Record::new("k", "b").at_ms(0))?;
    /// # driver.push("left", Record::new("k", "A").at_ms(50))?;
    /// # driver.push("left", Record::new("k", "A").at_ms(99))?;
    /// # assert_eq!(driver.drain("all")?, [Record::new("k", "-b").at_ms(0), Record::new("k", "A-").at_ms(50)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn outer_join_stream<T: Data, R: Data>(
        &self,
        other: &KStream<K, T>,
        windows: impl Into<StreamJoined>,
        joiner: impl Fn(&K, Option<V>, Option<T>) -> R + Send + Sync + 'static,
    ) -> KStream<K, R> {
        self.with_stream(other, StreamJoinKind::Outer, windows.into(), joiner)
    }

    fn with_table<T: Data, R: Data>(
        &self,
        joined: Joined<'_, KTable<K, T>>,
        kind: JoinKind,
        joiner: impl Fn(&K, Option<V>, Option<T>) -> R + Send + Sync + 'static,
    ) -> KStream<K, R> {
        let table = joined.table.columns();
        let names = names(self.columns().schema().value(), table.schema().value());
        self.joined(self.columns().join(joined.of(table), kind, &names), joiner)
    }

    fn with_stream<T: Data, R: Data>(
        &self,
        other: &KStream<K, T>,
        kind: StreamJoinKind,
        joined: StreamJoined,
        joiner: impl Fn(&K, Option<V>, Option<T>) -> R + Send + Sync + 'static,
    ) -> KStream<K, R> {
        let other = other.columns();
        let names = names(self.columns().schema().value(), other.schema().value());
        self.joined(self.columns().join_stream(other, kind, joined, &names), joiner)
    }

    /// What a joiner makes of joined columns.
    pub(super) fn joined<T: Data, R: Data>(
        &self,
        flat: ColumnStream,
        joiner: impl Fn(&K, Option<V>, Option<T>) -> R + Send + Sync + 'static,
    ) -> KStream<K, R> {
        let made = Sides::<K, V, T>::new().and_then(|sides| sides.joiner(flat.schema(), joiner));
        KStream::new(match made {
            Ok((transform, schema)) => flat.transform("joiner", transform, schema, flat.rekeyed),
            Err(problem) => flat.failed("join", problem),
        })
    }
}
