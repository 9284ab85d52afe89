//! A topology under test, and the small functions that its two versions have in common.

use millstream::{
    StreamsBuilder,
    dsl::{Consumed, KStream, KTable, Produced, Windowed},
};

use super::generate::Input;

/// A key or value of text that may be missing.
pub(crate) type Text = Option<String>;

/// A topology in our DSL; in `tests/streams` there is one of the same name.
pub(crate) struct Topology {
    pub(crate) name: String,
    pub(crate) build: Box<dyn Fn(&StreamsBuilder) + Send + Sync>,
    pub(crate) input: Input,
    /// The topics that it writes.
    pub(crate) outputs: Vec<&'static str>,
    /// Those of them that are chosen by record, so that the topology does not name them.
    pub(crate) chosen: Vec<&'static str>,
    /// Whether headers are compared.
    pub(crate) headers: bool,
    /// Whether the output depends on one record being done before the next begins, even within one topic.
    pub(crate) one_by_one: bool,
}

impl Topology {
    /// A topology that reads `a` and writes `out`.
    pub(crate) fn new(name: impl Into<String>, build: impl Fn(&StreamsBuilder) + Send + Sync + 'static) -> Self {
        let (name, build, input) = (name.into(), Box::new(build), Input::default());
        Self { name, build, input, outputs: vec!["out"], chosen: Vec::new(), headers: true, one_by_one: false }
    }

    /// It reads these topics.
    pub(crate) fn reads(mut self, topics: &'static [&'static str]) -> Self {
        self.input.topics = topics;
        self
    }

    /// It writes these topics.
    pub(crate) fn writes(mut self, topics: &[&'static str]) -> Self {
        self.outputs = topics.to_vec();
        self
    }

    /// The topics that it writes are chosen by record.
    pub(crate) fn chosen_by_record(mut self) -> Self {
        self.chosen = self.outputs.clone();
        self
    }

    /// Headers are not compared: those of an aggregate are any of its records', and Kafka Streams has a rule for each kind.
    pub(crate) fn without_headers(mut self) -> Self {
        self.headers = false;
        self
    }

    /// Timestamps do not go back: of cogrouped streams of which one is far behind, Kafka Streams loses states that are kept here.
    pub(crate) fn in_order(mut self) -> Self {
        self.input.out_of_order = false;
        self
    }

    /// No record without value has the time of an earlier record: Kafka Streams' versioned stores forget such a deletion.
    pub(crate) fn without_tied_deletions(mut self) -> Self {
        self.input.tied_deletions = false;
        self
    }

    /// No value is an empty text: Kafka Streams' foreign-key joins take it for none.
    pub(crate) fn without_empty_values(mut self) -> Self {
        self.input.empty_values = false;
        self
    }

    /// All records have keys: without one Kafka Streams ends with a NullPointerException.
    pub(crate) fn without_null_keys(mut self) -> Self {
        self.input.null_keys_one_in = 0;
        self
    }

    /// The wall clock moves on between records.
    pub(crate) fn with_clock(mut self) -> Self {
        self.input.clock_one_in = 3;
        self
    }

    /// A record has to be through all repartition topics before the next begins: otherwise what is on the way meets newer rows, in Kafka
    /// Streams as here, and its driver never lets that happen.
    pub(crate) fn one_by_one(mut self) -> Self {
        self.one_by_one = true;
        self
    }
}

pub(crate) fn stream(builder: &StreamsBuilder, topic: &str) -> KStream<Text, Text> {
    builder.stream(topic, Consumed::kafka())
}

pub(crate) fn table(builder: &StreamsBuilder, topic: &str) -> KTable<Text, String> {
    builder.table(topic, Consumed::kafka(), Default::default())
}

/// Writes a stream to `out`.
pub(crate) fn out<K: millstream::dsl::Data, V: millstream::dsl::Data>(stream: KStream<K, V>) {
    stream.to("out", Produced::kafka());
}

/// Writes the changes of a table to `out`.
pub(crate) fn changes<K: millstream::dsl::Data, V: millstream::dsl::Data>(table: KTable<K, V>) {
    out(table.to_stream());
}

/// A table whose keys have windows.
pub(crate) type WindowedTable<V> = KTable<Windowed<Text>, V>;

/// A value as text, when there is none as well.
pub(crate) fn text(value: &Text) -> &str {
    value.as_deref().unwrap_or("~")
}

/// Whether the last character of a text has an even code; nothing and the empty text do not.
pub(crate) fn even(value: &str) -> bool {
    value.bytes().last().is_some_and(|last| last % 2 == 0)
}

/// [`even`] of what may be missing.
pub(crate) fn is_even(value: &Text) -> bool {
    value.as_deref().is_some_and(even)
}

/// The first character of a text.
pub(crate) fn first(value: &str) -> String {
    value.chars().take(1).collect()
}

/// [`first`] of what may be missing.
pub(crate) fn first_of(value: &Text) -> Text {
    Some(value.as_deref().map(first).unwrap_or_default())
}

/// The key of another table that a value names by its first letter; `-` names none.
pub(crate) fn foreign_key(value: &str) -> Option<Text> {
    let first = first(value);
    (first != "-").then_some(Some(first))
}

/// Both sides of a join.
pub(crate) fn both(left: &Text, right: &Text) -> String {
    format!("{}+{}", text(left), text(right))
}

/// A joiner of records that have met.
pub(crate) fn met(_: &Text, left: Text, right: Text) -> String {
    both(&left, &right)
}
