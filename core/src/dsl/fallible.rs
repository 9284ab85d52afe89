//! Closures that may fail: `try_filter`, `try_map_values` and the like.
//!
//! An error is one of its record: the record is left out and goes to the handler of processing errors, with the text of the error and where the
//! record was read; by default it is a dead letter. A closure that panics fails in the same way. Everything else is as in the operator without
//! `try_`.

use std::{fmt::Display, sync::Arc};

use super::{
    KStream, KTable,
    closure::{Input, Look},
    stream::{Key, output_schema, value_schema},
    typed::Data,
};

fn text<T, E: Display>(given: Result<T, E>) -> Result<T, String> {
    given.map_err(|error| error.to_string())
}

impl<K: Data, V: Data> KStream<K, V> {
    /// Keeps the records for which `predicate` gives true; those that it fails for are processing errors.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, record::Record, dsl::{Consumed, Produced}, testing::TopologyTestDriver};
    /// let builder = StreamsBuilder::new();
    /// let texts = builder.stream::<String, String>("texts", Consumed::kafka());
    /// texts.try_filter(|_, text| text.parse::<i64>().map(|number| number > 1)).to("large", Produced::kafka());
    ///
    /// let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for text in ["1", "2", "three"] {
    ///     driver.push("texts", Record::new("key", text).at_ms(0))?;
    /// }
    /// assert_eq!(driver.drain("large")?.len(), 1);
    /// assert_eq!(driver.dead_letters()?.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_filter<E: Display>(
        &self,
        predicate: impl Fn(&K, &V) -> Result<bool, E> + Send + Sync + 'static,
    ) -> Self {
        let make = |input: Input<K, V>| {
            let closure = input.try_filter("filter", move |key, value| text(predicate(key, value)));
            Ok((closure, Arc::clone(self.columns().schema())))
        };
        self.with("filter", make, Key::Kept)
    }

    /// Makes a record of each record; those that `function` fails for are processing errors.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}};
    /// # let builder = StreamsBuilder::new();
    /// # let texts = builder.stream::<String, String>("texts", Consumed::kafka());
    /// texts.try_map(|key, text| text.parse::<i64>().map(|number| (number, key))).to("keys", Produced::kafka());
    /// # builder.build()?;
    /// # Ok::<(), millstream::topology::TopologyError>(())
    /// ```
    pub fn try_map<K2: Data, V2: Data, E: Display>(
        &self,
        function: impl Fn(K, V) -> Result<(K2, V2), E> + Send + Sync + 'static,
    ) -> KStream<K2, V2> {
        let make = |input: Input<K, V>| {
            let schema = output_schema::<K2, V2>()?;
            let one = move |key, value| text(function(key, value)).map(|record| [record]);
            Ok((input.try_flat_map("map", Arc::clone(&schema), one)?, schema))
        };
        self.with("map", make, Key::Changed)
    }

    /// Makes a value of each value; records that `function` fails for are processing errors.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, record::Record, dsl::{Consumed, Produced}, testing::TopologyTestDriver};
    /// let builder = StreamsBuilder::new();
    /// let texts = builder.stream::<String, String>("texts", Consumed::kafka());
    /// texts.try_map_values(|text| text.parse::<i64>()).to("numbers", Produced::kafka());
    ///
    /// let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.push("texts", Record::new("key", "three").at_ms(0))?;
    /// let letter = &driver.dead_letters()?[0];
    /// let problem = letter.headers.iter().find(|header| header.name == "millstream.problem").unwrap();
    /// assert_eq!(problem.value.as_deref(), Some(&b"invalid digit found in string"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_map_values<V2: Data, E: Display>(
        &self,
        function: impl Fn(V) -> Result<V2, E> + Send + Sync + 'static,
    ) -> KStream<K, V2> {
        let make = |input: Input<K, V>| {
            let schema = value_schema::<V2>(self.columns().schema())?;
            Ok((input.try_map_values(Arc::clone(&schema), move |value| text(function(value)))?, schema))
        };
        self.with("map_values", make, Key::Kept)
    }

    /// Makes a value of each key and value; records that `function` fails for are processing errors.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}};
    /// # let builder = StreamsBuilder::new();
    /// # let texts = builder.stream::<String, String>("texts", Consumed::kafka());
    /// texts.try_map_values_with_key(|key, text| format!("{text}{key}").parse::<i64>()).to("numbers", Produced::kafka());
    /// # builder.build()?;
    /// # Ok::<(), millstream::topology::TopologyError>(())
    /// ```
    pub fn try_map_values_with_key<V2: Data, E: Display>(
        &self,
        function: impl Fn(&K, V) -> Result<V2, E> + Send + Sync + 'static,
    ) -> KStream<K, V2> {
        let make = |input: Input<K, V>| {
            let schema = value_schema::<V2>(self.columns().schema())?;
            let one = move |key: &K, value| text(function(key, value));
            Ok((input.try_map_values_with_key(Arc::clone(&schema), one)?, schema))
        };
        self.with("map_values", make, Key::Kept)
    }

    /// Makes any number of records of each record; those that `function` fails for are processing errors.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}};
    /// # let builder = StreamsBuilder::new();
    /// # let texts = builder.stream::<String, String>("texts", Consumed::kafka());
    /// let digits = texts.try_flat_map(|key, text| match text.is_empty() {
    ///     true => Err("no text"),
    ///     false => Ok(text.split(' ').map(|word| (word.to_owned(), key.clone())).collect::<Vec<_>>()),
    /// });
    /// digits.to("words", Produced::kafka());
    /// # builder.build()?;
    /// # Ok::<(), millstream::topology::TopologyError>(())
    /// ```
    pub fn try_flat_map<K2: Data, V2: Data, I: IntoIterator<Item = (K2, V2)> + 'static, E: Display>(
        &self,
        function: impl Fn(K, V) -> Result<I, E> + Send + Sync + 'static,
    ) -> KStream<K2, V2> {
        let make = |input: Input<K, V>| {
            let schema = output_schema::<K2, V2>()?;
            let all = move |key, value| text(function(key, value));
            Ok((input.try_flat_map("flat_map", Arc::clone(&schema), all)?, schema))
        };
        self.with("flat_map", make, Key::Changed)
    }

    /// Makes any number of values of each record; records that `function` fails for are processing errors.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}};
    /// # let builder = StreamsBuilder::new();
    /// # let texts = builder.stream::<String, String>("texts", Consumed::kafka());
    /// let numbers = texts.try_flat_map_values(|_, text| text.split(' ').map(str::parse).collect::<Result<Vec<i64>, _>>());
    /// numbers.to("numbers", Produced::kafka());
    /// # builder.build()?;
    /// # Ok::<(), millstream::topology::TopologyError>(())
    /// ```
    pub fn try_flat_map_values<V2: Data, I: IntoIterator<Item = V2> + 'static, E: Display>(
        &self,
        function: impl Fn(&K, V) -> Result<I, E> + Send + Sync + 'static,
    ) -> KStream<K, V2> {
        let make = |input: Input<K, V>| {
            let schema = value_schema::<V2>(self.columns().schema())?;
            let all = move |key: &K, value| text(function(key, value));
            Ok((input.try_flat_map_values(Arc::clone(&schema), all)?, schema))
        };
        self.with("flat_map_values", make, Key::Kept)
    }

    /// Gives each record another key; those that `function` fails for are processing errors.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}};
    /// # let builder = StreamsBuilder::new();
    /// # let texts = builder.stream::<String, String>("texts", Consumed::kafka());
    /// texts.try_select_key(|_, text| text.parse::<i64>()).to("by-number", Produced::kafka());
    /// # builder.build()?;
    /// # Ok::<(), millstream::topology::TopologyError>(())
    /// ```
    pub fn try_select_key<K2: Data, E: Display>(
        &self,
        function: impl Fn(&K, &V) -> Result<K2, E> + Send + Sync + 'static,
    ) -> KStream<K2, V> {
        let make = |input: Input<K, V>| {
            let schema = output_schema::<K2, V>()?;
            let one = move |key: K, value: V| text(function(&key, &value)).map(|key| [(key, value)]);
            Ok((input.try_flat_map("select_key", Arc::clone(&schema), one)?, schema))
        };
        self.with("select_key", make, Key::Changed)
    }

    /// Shows each record to `function`; those that it fails for are processing errors. After a crash, or if a record near it panics, a record may
    /// be shown again.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed};
    /// # let builder = StreamsBuilder::new();
    /// # let texts = builder.stream::<String, String>("texts", Consumed::kafka());
    /// texts.try_for_each(|_, text| text.parse::<i64>().map(drop));
    /// # builder.build()?;
    /// # Ok::<(), millstream::topology::TopologyError>(())
    /// ```
    pub fn try_for_each<E: Display>(&self, function: impl Fn(&K, &V) -> Result<(), E> + Send + Sync + 'static) {
        let make = |input: Input<K, V>| {
            let closure = input.try_look(Look::ForEach, move |key, value| text(function(key, value)));
            Ok((closure, Arc::clone(self.columns().schema())))
        };
        let _: Self = self.with("for_each", make, Key::Kept);
    }
}

impl<K: Data, V: Data> KTable<K, V> {
    /// Keeps the rows for which `predicate` gives true; a row that it fails for is a processing error and counts as one that does not pass.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}};
    /// # let builder = StreamsBuilder::new();
    /// # let texts = builder.table::<String, String>("texts", Consumed::kafka(), "texts".into());
    /// texts.try_filter(|_, text| text.parse::<i64>().map(|number| number > 1)).to_stream().to("large", Produced::kafka());
    /// # builder.build()?;
    /// # Ok::<(), millstream::topology::TopologyError>(())
    /// ```
    pub fn try_filter<E: Display>(
        &self,
        predicate: impl Fn(&K, &V) -> Result<bool, E> + Send + Sync + 'static,
    ) -> Self {
        self.filtered("filter", move |key, value| text(predicate(key, value)))
    }

    /// Makes a row of each row; a row that `function` fails for is a processing error, and the row that it replaces is taken back where those
    /// below look at both.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}};
    /// # let builder = StreamsBuilder::new();
    /// # let texts = builder.table::<String, String>("texts", Consumed::kafka(), "texts".into());
    /// texts.try_map_values(|text| text.parse::<i64>()).to_stream().to("numbers", Produced::kafka());
    /// # builder.build()?;
    /// # Ok::<(), millstream::topology::TopologyError>(())
    /// ```
    pub fn try_map_values<V2: Data, E: Display>(
        &self,
        function: impl Fn(V) -> Result<V2, E> + Send + Sync + 'static,
    ) -> KTable<K, V2> {
        self.mapped(|input, schema| input.try_map_values(schema, move |value| text(function(value))))
    }
}
