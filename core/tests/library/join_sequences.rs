//! Joins record by record: the sequences of updates that Kafka Streams gives.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use millstream::{
    StreamsBuilder,
    dsl::{ColumnStream, ColumnTable, Materialized, Produced, SourceOptions},
    expression::{col, count, lit},
    format::{Format, Wrapping},
    operator::{Column, EmitPolicy, JoinKind, StreamJoinKind, TableJoinKind},
    record::{Record, TimeSpan},
    schema::WindowKind,
    testing::TopologyTestDriver,
    topology::{Formats, OffsetReset, TimestampExtractor, Topology},
    window::JoinWindows,
};

/// A record to be pushed: topic, key, value (a tombstone if there is none), timestamp.
pub(crate) type Push<'a> = (&'a str, Option<&'a str>, Option<&'a str>, i64);

pub(crate) const FORMATS: Formats =
    Formats { key: Format::Kafka, value: Format::Delimited { delimiter: ',' }, wrapping: Wrapping::Unwrapped };

pub(crate) fn options(columns: &[&str]) -> SourceOptions {
    let text = |name: &str| -> FieldRef { Arc::new(Field::new(name, DataType::Utf8, true)) };
    SourceOptions {
        key: vec![text("k")],
        value: columns.iter().map(|name| text(name)).collect(),
        parts: Vec::new(),
        window: WindowKind::None,
        formats: FORMATS,
        timestamp: TimestampExtractor::Record,
        reset: OffsetReset::Earliest,
    }
}

pub(crate) fn stream(builder: &StreamsBuilder, topic: &str) -> ColumnStream {
    builder.stream_columns(topic, options(&["v"]))
}

pub(crate) fn table(builder: &StreamsBuilder, topic: &str) -> ColumnTable {
    builder.table_columns(topic, options(&["v"]), Materialized::named(topic))
}

pub(crate) fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

pub(crate) fn span(millis: i64) -> TimeSpan {
    TimeSpan::from_millis(millis).expect("not negative")
}

pub(crate) fn record(&(_, key, value, time): &Push<'_>) -> Record {
    let bytes = |text: Option<&str>| text.map(|text| text.as_bytes().to_vec());
    Record { key: bytes(key), value: bytes(value), ..Record::default().at_ms(time) }
}

/// What came out, as `key value@time`; a tombstone is `key -@time`.
pub(crate) fn drained(driver: &mut TopologyTestDriver) -> Vec<String> {
    let text = |bytes: Option<Vec<u8>>| bytes.map(|bytes| String::from_utf8(bytes).expect("text"));
    let line = |record: Record| {
        let (key, value) = (text(record.key).unwrap_or("?".to_owned()), text(record.value).unwrap_or("-".to_owned()));
        format!("{key} {value}@{}", record.timestamp.millis())
    };
    driver.drain("out").expect("an output").into_iter().map(line).collect()
}

/// Pushes one after another, all at once in the order of arrival, and with a restart after each: the same comes out.
fn check(topology: &Topology, pushes: &[Push<'_>], expected: &[&str]) {
    let mut driver = TopologyTestDriver::new(topology).expect("can be run");
    pushes.iter().for_each(|push| driver.push(push.0, record(push)).expect("runs"));
    assert_eq!(drained(&mut driver), expected, "one after another");

    let mut driver = TopologyTestDriver::new(topology).expect("can be run");
    driver.pause();
    pushes.iter().for_each(|push| driver.push(push.0, record(push)).expect("runs"));
    driver.resume_in_order_of_arrival().expect("runs");
    assert_eq!(drained(&mut driver), expected, "in the order of arrival");

    let mut driver = TopologyTestDriver::new(topology).expect("can be run");
    for push in pushes {
        driver.push(push.0, record(push)).expect("runs");
        driver.restart().expect("starts again");
    }
    assert_eq!(drained(&mut driver), expected, "with restarts");
}

fn left(value: &'static str, time: i64) -> Push<'static> {
    ("left", Some("k"), Some(value), time)
}

fn right(value: &'static str, time: i64) -> Push<'static> {
    ("right", Some("k"), Some(value), time)
}

fn streams(kind: StreamJoinKind, windows: JoinWindows) -> Topology {
    let builder = StreamsBuilder::new();
    let (left, right) = (stream(&builder, "left"), stream(&builder, "right"));
    left.join_stream(&right, kind, windows, &names(&["l", "r"])).to("out", Produced::of(FORMATS));
    builder.build().expect("legal")
}

fn tables(kind: TableJoinKind) -> Topology {
    let builder = StreamsBuilder::new();
    let (left, right) = (table(&builder, "left"), table(&builder, "right"));
    left.join_table(&right, kind, &names(&["l", "r"])).to_stream().to("out", Produced::of(FORMATS));
    builder.build().expect("legal")
}

#[test]
fn a_record_meets_all_that_is_kept_of_the_other_stream() {
    let pushes = [left("A", 3), right("a", 4), left("B", 5), right("b", 6), left("C", 100), right("c", 1)];
    let windows = JoinWindows::new(span(10), span(10));
    let inner = ["k A,a@4", "k B,a@5", "k A,b@6", "k B,b@6", "k A,c@3", "k B,c@5"];
    check(&streams(StreamJoinKind::Inner, windows), &pushes, &inner);
    let left = ["k A,@3", "k A,a@4", "k B,a@5", "k A,b@6", "k B,b@6", "k C,@100", "k A,c@3", "k B,c@5"];
    check(&streams(StreamJoinKind::Left, windows), &pushes, &left);
    check(&streams(StreamJoinKind::Right, windows), &pushes, &inner);
    check(&streams(StreamJoinKind::Outer, windows), &pushes, &left);
}

#[test]
fn both_ends_of_a_window_belong_to_it() {
    let windows = JoinWindows::new(span(5), span(10));
    let pushes = [left("A", 100), right("a", 94), right("b", 95), right("c", 110), right("d", 111)];
    check(&streams(StreamJoinKind::Inner, windows), &pushes, &["k A,b@100", "k A,c@110"]);
    let pushes = [right("a", 100), left("A", 89), left("B", 90), left("C", 105), left("D", 106)];
    check(&streams(StreamJoinKind::Inner, windows), &pushes, &["k B,a@100", "k C,a@105"]);
}

#[test]
fn with_a_grace_nulls_come_when_nothing_can_be_met_any_more() {
    let windows = JoinWindows::new(span(10), span(10)).with_grace(span(5));
    let topology = streams(StreamJoinKind::Left, windows);
    check(&topology, &[left("A", 100), left("B", 115)], &[]);
    check(&topology, &[left("A", 100), left("B", 116)], &["k A,@100"]);
    check(&topology, &[left("A", 100), right("a", 116)], &["k A,@100"]);
    check(&topology, &[left("A", 100), right("a", 105), left("B", 200)], &["k A,a@105"]);
    // What is released comes before what the record itself gives; records of one time leave right side first, then by key.
    let outer = streams(StreamJoinKind::Outer, windows);
    let pushes = [
        ("left", Some("b"), Some("A"), 100),
        ("left", Some("a"), Some("B"), 100),
        ("left", Some("a"), Some("C"), 100),
        ("right", Some("c"), Some("a"), 100),
        ("left", Some("k"), Some("D"), 108),
        right("b", 118),
    ];
    check(&outer, &pushes, &["c ,a@100", "a B,@100", "a C,@100", "b A,@100", "k D,b@118"]);
    // The window of a late record may be over when it comes: nothing waits.
    let pushes =
        [right("a", 100), left("A", 80), ("left", Some("x"), Some("B"), 89), ("left", Some("x"), Some("C"), 90)];
    check(&topology, &pushes, &["k A,@80", "x B,@89"]);
}

#[test]
fn each_side_keeps_records_by_its_own_clock() {
    let minute = span(60_000);
    let windows = JoinWindows::new(minute, minute).with_grace(minute);
    let at = |topic, key, value, time| (topic, Some(key), Some(value), time);
    let pushes = [
        at("left", "0", "A", 0),
        at("right", "0", "a", 60_000),
        at("left", "1", "B", 330_000),
        at("left", "2", "C", 90_000),
        at("right", "2", "c", 90_000),
        at("left", "3", "D", 60_000),
        at("right", "3", "d", 60_000),
    ];
    check(&streams(StreamJoinKind::Left, windows), &pushes, &["0 A,a@60000", "2 C,@90000", "3 D,@60000"]);
    // The right side has not seen 330000: it keeps c, and C meets it.
    let pushes = [pushes[2], pushes[4], pushes[3]];
    check(&streams(StreamJoinKind::Left, windows), &pushes, &["2 C,c@90000"]);
    let mut driver = TopologyTestDriver::new(&streams(StreamJoinKind::Left, windows)).expect("can be run");
    pushes.iter().for_each(|push| driver.push(push.0, record(push)).expect("runs"));
    assert_eq!(driver.dead_letters().expect("a topic").len(), 1, "C was met, but not kept");
}

#[test]
fn what_has_no_key_or_no_value_meets_nothing() {
    let pushes: [Push<'_>; 4] =
        [("left", None, Some("A"), 1), ("right", None, Some("a"), 1), ("left", Some("k"), None, 1), right("b", 1)];
    for (kind, expected, letters) in [
        (StreamJoinKind::Inner, &[][..], 3),
        (StreamJoinKind::Left, &["? A,@1"], 2),
        (StreamJoinKind::Right, &["? ,a@1", "k ,b@1"], 2),
        (StreamJoinKind::Outer, &["? A,@1", "? ,a@1", "k ,b@1"], 1),
    ] {
        let topology = streams(kind, JoinWindows::new(span(10), span(10)));
        check(&topology, &pushes, expected);
        let mut driver = TopologyTestDriver::new(&topology).expect("can be run");
        pushes.iter().for_each(|push| driver.push(push.0, record(push)).expect("runs"));
        assert_eq!(driver.dead_letters().expect("a topic").len(), letters, "{kind}");
    }
}

#[test]
fn a_stream_is_joined_with_itself() {
    let builder = StreamsBuilder::new();
    let left = stream(&builder, "left");
    let windows = JoinWindows::new(span(10), span(10));
    let joined = left.join_stream(&left, StreamJoinKind::Inner, windows, &names(&["l", "r"]));
    joined.to("out", Produced::of(FORMATS));
    let pushes = [self::left("A", 1), self::left("B", 2)];
    check(&builder.build().expect("legal"), &pushes, &["k A,A@1", "k B,A@2", "k A,B@2", "k B,B@2"]);

    // Read twice and renamed: still one source; what is renamed was there first.
    let builder = StreamsBuilder::new();
    let (left, right) = (stream(&builder, "left"), stream(&builder, "left").select(&[Column::new("w", col("v"))]));
    let joined = left.join_stream(&right, StreamJoinKind::Inner, windows, &names(&["l", "r"]));
    joined.to("out", Produced::of(FORMATS));
    check(&builder.build().expect("legal"), &pushes, &["k A,A@1", "k A,B@2", "k B,A@2", "k B,B@2"]);
}

#[test]
fn rekeyed_streams_meet_after_a_repartition() {
    let builder = StreamsBuilder::new();
    let key = |stream: ColumnStream| stream.select_key(&[Column::new("v", col("v"))], &[Column::new("k", col("k"))]);
    let (left, right) = (key(stream(&builder, "left")), key(stream(&builder, "right")));
    let windows = JoinWindows::new(span(10), span(10));
    let joined = left.join_stream(&right, StreamJoinKind::Left, windows, &names(&["l", "r"]));
    joined.to("out", Produced::of(FORMATS));
    let topology = builder.build().expect("legal");
    check(&topology, &[left_of("a", "x"), right_of("b", "x"), right_of("c", "y")], &["x a,@1", "x a,b@1"]);
    for partitions in [1, 3] {
        let mut driver = TopologyTestDriver::with(&topology, partitions, EmitPolicy::Commit).expect("can be run");
        driver.pause();
        for push in [left_of("a", "x"), right_of("b", "x"), left_of("c", "y"), right_of("d", "y")] {
            driver.push(push.0, record(&push)).expect("runs");
        }
        driver.resume().expect("runs");
        let joined: Vec<_> = drained(&mut driver).into_iter().filter(|line| !line.contains(",@")).collect();
        assert_eq!(joined.len(), 2, "{joined:?}");
    }
}

fn left_of(key: &'static str, value: &'static str) -> Push<'static> {
    ("left", Some(key), Some(value), 1)
}

fn right_of(key: &'static str, value: &'static str) -> Push<'static> {
    ("right", Some(key), Some(value), 1)
}

#[test]
fn tables_meet_by_their_keys() {
    let gone = |topic, time| (topic, Some("k"), None, time);
    let pushes = [
        left("A", 3),
        right("a", 4),
        left("B", 5),
        right("b", 6),
        gone("left", 7),
        gone("right", 8),
        left("C", 9),
        right("c", 10),
        gone("right", 11),
        gone("left", 12),
        right("d", 14),
        left("D", 15),
        right("e", 13),
    ];
    // A row that is not there is deleted: as in Kafka Streams without a cache, that is an update like any other.
    let twice = [right("a", 1), gone("left", 2), left("A", 3), gone("right", 4), gone("right", 5), gone("left", 6)];
    check(&tables(TableJoinKind::Inner), &twice, &["k -@2", "k A,a@3", "k -@4", "k -@5"]);
    check(&tables(TableJoinKind::Left), &twice, &["k -@2", "k A,a@3", "k A,@4", "k A,@5", "k -@6"]);
    check(&tables(TableJoinKind::Outer), &twice, &["k ,a@1", "k ,a@2", "k A,a@3", "k A,@4", "k A,@5", "k -@6"]);
    let inner = ["k A,a@4", "k B,a@5", "k B,b@6", "k -@7", "k C,c@10", "k -@11", "k D,d@15", "k D,e@15"];
    check(&tables(TableJoinKind::Inner), &pushes, &inner);
    let left = [
        "k A,@3", "k A,a@4", "k B,a@5", "k B,b@6", "k -@7", "k C,@9", "k C,c@10", "k C,@11", "k -@12", "k D,d@15",
        "k D,e@15",
    ];
    check(&tables(TableJoinKind::Left), &pushes, &left);
    let outer = [
        "k A,@3", "k A,a@4", "k B,a@5", "k B,b@6", "k ,b@7", "k -@8", "k C,@9", "k C,c@10", "k C,@11", "k -@12",
        "k ,d@14", "k D,d@15", "k D,e@15",
    ];
    check(&tables(TableJoinKind::Outer), &pushes, &outer);
    let right =
        ["k A,a@4", "k B,a@5", "k B,b@6", "k ,b@7", "k -@8", "k C,c@10", "k -@11", "k ,d@14", "k D,d@15", "k D,e@15"];
    check(&tables(TableJoinKind::Right), &pushes, &right);
}

#[test]
fn a_join_of_tables_feeds_filters_aggregates_and_further_joins() {
    let builder = StreamsBuilder::new();
    let (left, right) = (table(&builder, "left"), table(&builder, "right"));
    let joined = left.join_table(&right, TableJoinKind::Left, &names(&["l", "r"]));
    let kept = joined.filter(&col("r").is_not_null());
    let third = kept.join_table(&table(&builder, "third"), TableJoinKind::Inner, &names(&["l", "r", "t"]));
    third.to_stream().to("out", Produced::of(FORMATS));
    let pushes = [
        self::left("A", 1),
        ("third", Some("k"), Some("1"), 2),
        self::right("a", 3),
        self::left("B", 4),
        ("right", Some("k"), None, 5),
        self::right("b", 6),
    ];
    check(&builder.build().expect("legal"), &pushes, &["k A,a,1@3", "k B,a,1@4", "k -@5", "k B,b,1@6"]);

    let builder = StreamsBuilder::new();
    let (left, right) = (table(&builder, "left"), table(&builder, "right"));
    let joined = left.join_table(&right, TableJoinKind::Inner, &names(&["l", "r"]));
    let key = [Column::new("r", col("r"))];
    let counts = joined.group_by(&key, &[Column::new("l", col("l"))]);
    let counts = counts.aggregate(&[count(lit(1_i64)).alias("n")], Materialized::named("counts"));
    counts.to_stream().to("out", Produced::of(FORMATS));
    let topology = builder.build().expect("legal");
    let mut driver = TopologyTestDriver::new(&topology).expect("can be run");
    let at = |topic, key, value| (topic, Some(key), value, 1);
    for push in [
        at("left", "1", Some("A")),
        at("right", "1", Some("x")),
        at("left", "2", Some("B")),
        at("right", "2", Some("x")),
        at("left", "1", Some("C")),
        at("right", "1", Some("y")),
        at("left", "2", None),
    ] {
        driver.push(push.0, record(&push)).expect("runs");
    }
    let last: std::collections::BTreeMap<_, _> = drained(&mut driver)
        .into_iter()
        .filter_map(|line| line.split_once(' ').map(|(key, value)| (key.to_owned(), value.to_owned())))
        .collect();
    assert_eq!(last.get("y").map(String::as_str), Some("1@1"));
    assert!(last.get("x").is_some_and(|count| !count.starts_with(['1', '2'])), "{last:?}");
}

#[test]
fn a_stream_meets_tables_that_are_results() {
    let builder = StreamsBuilder::new();
    let (left, right) = (table(&builder, "left"), table(&builder, "right"));
    let joined = left.join_table(&right, TableJoinKind::Outer, &names(&["l", "r"])).filter(&col("r").is_not_null());
    let events = stream(&builder, "events").join(&joined, JoinKind::Left, &names(&["e", "l", "r"]));
    events.to("out", Produced::of(FORMATS));
    let event = |value, time| ("events", Some("k"), Some(value), time);
    let pushes = [
        event("1", 1),
        self::left("A", 2),
        event("2", 3),
        self::right("a", 4),
        event("3", 5),
        ("left", Some("k"), None, 6),
        event("4", 7),
    ];
    check(&builder.build().expect("legal"), &pushes, &["k 1,,@1", "k 2,,@3", "k 3,A,a@5", "k 4,,a@7"]);
}

#[test]
fn a_table_is_joined_with_itself() {
    let builder = StreamsBuilder::new();
    let left = table(&builder, "left");
    let joined = left.join_table(&left, TableJoinKind::Inner, &names(&["l", "r"])).filter(&col("l").eq(col("r")));
    joined.to_stream().to("out", Produced::of(FORMATS));
    let pushes = [self::left("A", 1), self::left("B", 2), ("left", Some("k"), None, 3)];
    check(&builder.build().expect("legal"), &pushes, &["k A,A@1", "k -@2", "k B,B@2", "k -@3"]);
}

/// The left table's values are `name,foreign key`.
fn foreign(kind: JoinKind) -> Topology {
    let builder = StreamsBuilder::new();
    let left = builder.table_columns("left", options(&["name", "fk"]), Materialized::named("left"));
    let right = table(&builder, "right");
    let joined = left.join_foreign(&right, &[col("fk")], kind, &names(&["name", "fk", "r"]));
    joined.to_stream().to("out", Produced::of(FORMATS));
    builder.build().expect("legal")
}

#[test]
fn rows_meet_by_a_foreign_key() {
    let l = |key, value, time| ("left", Some(key), value, time);
    let r = |key, value, time| ("right", Some(key), value, time);
    let pushes = [
        r("0", Some("blah"), 0),
        l("1", Some("zero,0"), 10),
        l("0", Some("foo,100"), 13),
        r("0", Some("a"), 15),
        l("9", Some("bar,0"), 16),
        r("0", None, 17),
        l("1", None, 18),
        l("0", None, 19),
    ];
    let inner = ["1 zero,0,blah@10", "1 zero,0,a@15", "9 bar,0,a@16", "1 -@17", "9 -@17", "1 -@18", "0 -@19"];
    check(&foreign(JoinKind::Inner), &pushes, &inner);
    let left = [
        "1 zero,0,blah@10",
        "0 foo,100,@13",
        "1 zero,0,a@15",
        "9 bar,0,a@16",
        "1 zero,0,@17",
        "9 bar,0,@17",
        "1 -@18",
        "0 -@19",
    ];
    check(&foreign(JoinKind::Left), &pushes, &left);
}

#[test]
fn a_row_may_change_its_foreign_key() {
    let l = |value, time| ("left", Some("k"), value, time);
    let r = |key, value, time| ("right", Some(key), Some(value), time);
    let pushes = [
        r("1", "foo", 100),
        l(Some("x,1"), 2),
        l(Some("x,2"), 3),
        l(Some("x,3"), 4),
        r("1", "fox", 101),
        r("3", "bar", 1),
        l(Some("y,3"), 5),
        l(Some("y,"), 6),
        l(Some("z,3"), 7),
    ];
    let inner = ["k x,1,foo@100", "k -@3", "k -@4", "k x,3,bar@1", "k y,3,bar@5", "k -@6", "k z,3,bar@7"];
    check(&foreign(JoinKind::Inner), &pushes, &inner);
    let left = ["k x,1,foo@100", "k x,2,@3", "k x,3,@4", "k x,3,bar@1", "k y,3,bar@5", "k y,,@6", "k z,3,bar@7"];
    check(&foreign(JoinKind::Left), &pushes, &left);
}

#[test]
fn a_foreign_key_join_feeds_filters_and_joins() {
    let builder = StreamsBuilder::new();
    let left = builder.table_columns("left", options(&["name", "fk"]), Materialized::named("left"));
    let middle = table(&builder, "middle");
    let joined = left.join_foreign(&middle, &[col("fk")], JoinKind::Inner, &names(&["name", "fk", "m"]));
    let joined = joined.filter(&col("m").not_eq(lit("hidden")));
    let joined = joined.join_table(&table(&builder, "right"), TableJoinKind::Left, &names(&["name", "fk", "m", "r"]));
    joined.to_stream().to("out", Produced::of(FORMATS));
    let at = |topic, key, value, time| (topic, Some(key), value, time);
    let pushes = [
        at("middle", "0", Some("100"), 0),
        at("left", "1", Some("x,0"), 10),
        at("right", "1", Some("4"), 11),
        at("middle", "8", Some("10"), 13),
        at("left", "1", Some("x,8"), 16),
        at("middle", "8", Some("hidden"), 17),
        at("middle", "8", Some("shown"), 18),
        at("left", "1", None, 19),
    ];
    let expected = ["1 x,0,100,@10", "1 x,0,100,4@11", "1 x,8,10,4@16", "1 -@17", "1 x,8,shown,4@18", "1 -@19"];
    check(&builder.build().expect("legal"), &pushes, &expected);
}

#[test]
fn joins_say_what_they_cannot_do() {
    let problem = |join: &dyn Fn(&StreamsBuilder)| {
        let builder = StreamsBuilder::new();
        join(&builder);
        builder.build().err().expect("refused").to_string()
    };
    let few = problem(&|builder| {
        let left = table(builder, "left");
        left.join_table(&table(builder, "right"), TableJoinKind::Inner, &names(&["l"]));
    });
    assert!(few.contains("1 names for 2 columns"), "{few}");
    let types = problem(&|builder| {
        let left = table(builder, "left");
        left.join_foreign(&table(builder, "right"), &[lit(1_i64)], JoinKind::Inner, &names(&["l", "r"]));
    });
    assert!(types.contains("Int64") && types.contains("Utf8"), "{types}");
    let keys = problem(&|builder| {
        let numbers = stream(builder, "left").select_key(&[Column::new("n", lit(1_i64))], &[]);
        let windows = JoinWindows::new(span(1), span(1));
        stream(builder, "right").join_stream(&numbers, StreamJoinKind::Inner, windows, &names(&["v"]));
    });
    assert!(keys.contains("different types"), "{keys}");
}

#[test]
fn an_aggregate_feeds_a_join_of_tables() {
    let builder = StreamsBuilder::new();
    let events = stream(&builder, "events").group_by_key();
    let counts = events.aggregate(&[count(lit(1_i64)).alias("n")], Materialized::named("counts"));
    let joined = counts.join_table(&table(&builder, "right"), TableJoinKind::Outer, &names(&["n", "r"]));
    joined.to_stream().to("out", Produced::of(FORMATS));
    let topology = builder.build().expect("legal");
    let event = |time| ("events", Some("k"), Some("x"), time);
    let pushes = [event(1), right("a", 2), event(3), event(4), right("b", 5)];
    check(&topology, &pushes, &["k 1,@1", "k 1,a@2", "k 2,a@3", "k 3,a@4", "k 3,b@5"]);
    let mut driver = TopologyTestDriver::with(&topology, 2, EmitPolicy::Commit).expect("can be run");
    driver.pause();
    pushes.iter().for_each(|push| driver.push(push.0, record(push)).expect("runs"));
    driver.resume().expect("runs");
    assert_eq!(drained(&mut driver).last().map(String::as_str), Some("k 3,b@5"));
}
