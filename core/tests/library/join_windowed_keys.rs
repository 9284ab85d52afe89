//! Joins of keys with windows: a window is part of the key.

use millstream::{
    StreamsBuilder,
    dsl::{Materialized, Produced},
    expression::{col, count, lit},
    operator::{Column, JoinKind, StreamJoinKind, TableJoinKind},
    record::Record,
    schema::WindowKind,
    testing::TopologyTestDriver,
    topology::Topology,
    window::{JoinWindows, SessionWindows, TimeWindows, WindowBounds, append_window, split_key},
};

use crate::join_sequences::{FORMATS, Push, names, options, record, span, stream};

/// Topic, key, start and end of its window, value, timestamp.
type Windowed<'a> = (&'a str, &'a str, (i64, i64), &'a str, i64);

fn windowed(kind: WindowKind, &(_, key, (start, end), value, time): &Windowed<'_>) -> Record {
    let mut key = key.as_bytes().to_vec();
    append_window(kind, WindowBounds { start, end }, &mut key);
    Record { key: Some(key), ..Record::new("", value).at_ms(time) }
}

/// What came out, as `key [start, end] value@time`.
fn lines(driver: &mut TopologyTestDriver, kind: WindowKind) -> Vec<String> {
    let line = |record: Record| {
        let key = record.key.expect("a key");
        let (key, WindowBounds { start, end }) = split_key(kind, &key).expect("a window");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        let value = record.value.as_deref().map_or("-".to_owned(), text);
        format!("{} [{start}, {end}] {value}@{}", text(key), record.timestamp.millis())
    };
    driver.drain("out").expect("an output").into_iter().map(line).collect()
}

fn streams(kinds: [WindowKind; 2], kind: StreamJoinKind) -> Topology {
    let builder = StreamsBuilder::new();
    let [left, right] = [("left", kinds[0]), ("right", kinds[1])].map(|(topic, window)| {
        builder.stream_columns(topic, millstream::dsl::SourceOptions { window, ..options(&["v"]) })
    });
    let joined = left.join_stream(&right, kind, JoinWindows::new(span(60), span(60)), &names(&["l", "r"]));
    let columns = [Column::new("l", col("l")), Column::new("r", col("r")), Column::new("end", col("WINDOWEND"))];
    joined.select(&columns).to("out", Produced::of(FORMATS));
    builder.build().expect("legal")
}

fn check(kinds: [WindowKind; 2], kind: StreamJoinKind, pushes: &[Windowed<'_>], expected: &[&str]) {
    let mut driver = TopologyTestDriver::new(&streams(kinds, kind)).expect("can be run");
    for push in pushes {
        let window = if push.0 == "left" { kinds[0] } else { kinds[1] };
        driver.push(push.0, windowed(window, push)).expect("runs");
    }
    assert_eq!(lines(&mut driver, kinds[0]), expected);
}

#[test]
fn sessions_meet_if_both_ends_are_equal() {
    let kinds = [WindowKind::Session; 2];
    let pushes = [
        ("left", "k", (20, 70), "A", 70),
        ("right", "k", (20, 50), "a", 50),
        ("right", "k", (20, 70), "b", 70),
        ("right", "x", (20, 70), "c", 70),
    ];
    check(kinds, StreamJoinKind::Inner, &pushes, &["k [20, 70] A,b,70@70"]);
    let outer = ["k [20, 70] A,,70@70", "k [20, 50] ,a,50@50", "k [20, 70] A,b,70@70", "x [20, 70] ,c,70@70"];
    check(kinds, StreamJoinKind::Outer, &pushes, &outer);
}

#[test]
fn time_windows_meet_if_they_start_together_and_the_left_one_stays() {
    let kinds = [WindowKind::time(span(50)), WindowKind::time(span(20))];
    let pushes = [
        ("left", "k", (0, 0), "A", 0),
        ("left", "k", (10, 0), "B", 10),
        ("right", "k", (0, 0), "a", 1),
        ("right", "k", (20, 0), "b", 20),
        ("left", "k", (20, 0), "C", 21),
    ];
    check(kinds, StreamJoinKind::Inner, &pushes, &["k [0, 50] A,a,50@1", "k [20, 70] C,b,70@21"]);
    let right = ["k [0, 50] A,a,50@1", "k [20, 70] ,b,40@20", "k [20, 70] C,b,70@21"];
    check(kinds, StreamJoinKind::Right, &pushes, &right);
}

/// Events counted by window on the left, a table with windowed keys on the right.
fn tables(sessions: bool) -> Topology {
    let builder = StreamsBuilder::new();
    let grouped = stream(&builder, "events").group_by_key();
    let grouped = if sessions {
        grouped.windowed_by(SessionWindows::new(span(10), span(100)).expect("legal"))
    } else {
        grouped.windowed_by(TimeWindows::tumbling(span(10), span(100)).expect("legal"))
    };
    let window = if sessions { WindowKind::Session } else { WindowKind::time(span(10)) };
    let counts = grouped.aggregate(&[count(lit(1_i64)).alias("n")], Materialized::named("counts"));
    let source = millstream::dsl::SourceOptions { window, ..options(&["v"]) };
    let notes = builder.table_columns("notes", source.clone(), Materialized::named("notes"));
    let joined = counts.join_table(&notes, TableJoinKind::Left, &names(&["n", "note"]));
    let asked = builder.stream_columns("asked", source).join(&counts, JoinKind::Inner, &names(&["v", "n"]));
    asked.to("answers", Produced::of(FORMATS));
    joined.to_stream().to("out", Produced::of(FORMATS));
    builder.build().expect("legal")
}

#[test]
fn tables_with_windows_are_joined_by_key_and_window() {
    let event = |time| -> Push<'static> { ("events", Some("k"), Some("x"), time) };
    for sessions in [false, true] {
        let kind = if sessions { WindowKind::Session } else { WindowKind::time(span(10)) };
        let mut driver = TopologyTestDriver::new(&tables(sessions)).expect("can be run");
        driver.push("events", record(&event(1))).expect("runs");
        let bounds = if sessions { (1, 1) } else { (0, 10) };
        driver.push("notes", windowed(kind, &("notes", "k", bounds, "first", 2))).expect("runs");
        driver.push("notes", windowed(kind, &("notes", "k", (30, 40), "elsewhere", 2))).expect("runs");
        driver.push("asked", windowed(kind, &("asked", "k", bounds, "how many", 3))).expect("runs");
        driver.push("asked", windowed(kind, &("asked", "k", (50, 60), "none", 3))).expect("runs");
        driver.push("events", record(&event(3))).expect("runs");
        let expected = if sessions {
            ["k [1, 1] 1,@1", "k [1, 1] 1,first@2", "k [1, 1] -@2", "k [1, 3] 2,@3"]
        } else {
            ["k [0, 10] 1,@1", "k [0, 10] 1,first@2", "k [0, 10] 2,first@3", ""]
        };
        let expected: Vec<&str> = expected.into_iter().filter(|line| !line.is_empty()).collect();
        let found = lines(&mut driver, kind);
        assert_eq!(found, expected);
        assert_eq!(driver.drain("answers").expect("an output").len(), 1);
    }
}

#[test]
fn keys_with_windows_of_different_kinds_are_never_equal() {
    let builder = StreamsBuilder::new();
    let [left, right] = [WindowKind::Session, WindowKind::None].map(|window| {
        let topic = if window == WindowKind::None { "right" } else { "left" };
        builder.stream_columns(topic, millstream::dsl::SourceOptions { window, ..options(&["v"]) })
    });
    left.join_stream(&right, StreamJoinKind::Inner, JoinWindows::new(span(1), span(1)), &names(&["l", "r"]));
    let problem = builder.build().err().expect("refused").to_string();
    assert!(problem.contains("never equal"), "{problem}");
}
