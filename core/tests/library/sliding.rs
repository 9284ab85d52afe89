//! Sliding and unlimited windows against a model that looks at one record after another, under every way of cutting and running.

use std::{collections::BTreeMap, time::Duration};

use arrow::{
    array::AsArray,
    datatypes::{Float64Type, Int64Type},
};
use millstream::{
    StreamsBuilder,
    dsl::{Consumed, Materialized, Produced},
    expression::{avg, col, count, lit, max, sum},
    operator::{Column, EmitPolicy, Reason},
    record::{Record, TimeSpan, Timestamp},
    schema::WindowKind,
    testing::TopologyTestDriver,
    topology::Topology,
    window::{EmitStrategy, SlidingWindows, TimeWindows, Windows},
};
use proptest::prelude::*;

use super::windows::{Input, Row, inputs, joining, run, run_on_disk, span, table};

pub(super) fn sliding(difference: i64, grace: i64) -> SlidingWindows {
    SlidingWindows::new(span(difference), span(grace))
}

/// A window of the model: values joined, the newest timestamp.
type Held = (String, i64);

/// The model: Kafka Streams' steps for one record after another, with real values in place of anything clever.
pub(super) struct Model {
    difference: i64,
    grace: i64,
    retention: i64,
    windows: BTreeMap<(String, i64), Held>,
    stream_time: i64,
    latest_start: i64,
    /// Whether letters from `w` on leave nothing of a window.
    clears: bool,
    pub(super) updates: Vec<Row>,
    late: usize,
}

impl Model {
    fn new(difference: i64, grace: i64) -> Self {
        let retention = 2 * difference + grace + i64::from(difference == 0);
        let windows = BTreeMap::new();
        let (stream_time, latest_start) = (i64::MIN / 2, i64::MIN / 2);
        let clears = false;
        Self { difference, grace, retention, windows, stream_time, latest_start, clears, updates: Vec::new(), late: 0 }
    }

    fn store(&mut self, key: &str, start: i64, held: Held) {
        self.latest_start = self.latest_start.max(start);
        self.updates.push((key.to_owned(), start, start + self.difference, Some(held.0.clone()), held.1));
        self.windows.insert((key.to_owned(), start), held);
    }

    fn fold(&mut self, key: &str, start: i64, held: Option<Held>, value: char, time: i64) {
        if start + self.difference < self.stream_time - self.grace {
            self.late += 1;
            return;
        }
        let (mut values, newest) = held.unwrap_or((String::new(), time));
        if self.clears && value >= 'w' {
            self.latest_start = self.latest_start.max(start);
            if self.windows.remove(&(key.to_owned(), start)).is_some() {
                let time = newest.max(time);
                self.updates.push((key.to_owned(), start, start + self.difference, None, time));
            }
            return;
        }
        values.push(value);
        self.store(key, start, (values, newest.max(time)));
    }

    fn push(&mut self, &(key, value, time): &Input) {
        self.stream_time = self.stream_time.max(time);
        if time + self.difference < self.stream_time - self.grace {
            self.late += 1;
            return;
        }
        let key = format!("k{key}");
        let oldest = (time - 2 * self.difference).max(0).max(self.latest_start - self.retention + 1);
        let seen: BTreeMap<i64, Held> = (self.windows.iter())
            .filter(|((of, start), _)| *of == key && (oldest..=time + 1).contains(start))
            .map(|((_, start), held)| (*start, held.clone()))
            .collect();
        if time < self.difference { self.early(&key, value, time, &seen) } else { self.later(&key, value, time, &seen) }
    }

    fn later(&mut self, key: &str, value: char, time: i64, seen: &BTreeMap<i64, Held>) {
        let (mut left, mut right, mut previous) = (None, None, None);
        for (&start, held) in seen.iter().rev().filter(|(start, _)| **start <= time) {
            let end = start + self.difference;
            if end < time {
                left = Some(held.clone());
                previous = Some(held.1);
                break;
            }
            if end > time && right.is_none() {
                right = Some(held.clone());
            }
            self.fold(key, start, Some(held.clone()), value, time);
            if end == time {
                if held.1 >= time {
                    return;
                }
                previous = Some(held.1);
            }
        }
        if let Some(start) = previous.map(|previous| previous + 1)
            && !seen.contains_key(&start)
            && start + self.difference >= time
        {
            self.fold(key, start, None, value, time);
        }
        let start = time - self.difference;
        if !seen.contains_key(&start) {
            let held = left.filter(|_| previous.is_some_and(|previous| previous >= start));
            self.fold(key, start, held.map(|held| (held.0, time)), value, time);
        }
        if let Some(right) = right.filter(|right| right.1 > time && !seen.contains_key(&(time + 1))) {
            self.store(key, time + 1, right);
        }
    }

    fn early(&mut self, key: &str, value: char, time: i64, seen: &BTreeMap<i64, Held>) {
        let combined = seen.get(&0).cloned();
        let mut right = None;
        for (&start, held) in seen.range(1..=time.max(1)).filter(|(start, _)| **start <= time) {
            right = Some(held.clone());
            self.fold(key, start, Some(held.clone()), value, time);
        }
        let right = right.or(combined.clone()).filter(|right| right.1 > time && !seen.contains_key(&(time + 1)));
        if let Some(right) = right {
            self.store(key, time + 1, right);
        }
        let previous = combined.as_ref().map(|combined| combined.1).filter(|newest| *newest < time);
        if let Some(start) = previous.map(|previous| previous + 1).filter(|start| !seen.contains_key(start)) {
            self.fold(key, start, None, value, time);
        }
        self.fold(key, 0, combined, value, time);
    }

    /// The results of closed windows, by start, then key.
    fn finals(&self) -> Vec<Row> {
        let closed = |start: i64| start + self.difference < self.stream_time - self.grace;
        let mut rows: Vec<Row> = (self.windows.iter())
            .filter(|((_, start), _)| closed(*start))
            .map(|((key, start), held)| (key.clone(), *start, start + self.difference, Some(held.0.clone()), held.1))
            .collect();
        rows.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
        rows
    }
}

pub(super) fn model(inputs: &[Input], difference: i64, grace: i64) -> Model {
    let mut model = Model::new(difference, grace);
    inputs.iter().for_each(|input| model.push(input));
    model
}

/// What the windows of records hold if none of them is late: nothing but their definition.
fn defined(inputs: &[Input], difference: i64) -> BTreeMap<(String, i64, i64), (String, i64)> {
    let mut windows = BTreeMap::new();
    for key in 0..3 {
        let own: Vec<&Input> = inputs.iter().filter(|input| input.0 == key).collect();
        for start in own.iter().flat_map(|input| [(input.2 - difference).max(0), input.2 + 1]) {
            let end = start + difference;
            let held: Vec<&&Input> = own.iter().filter(|input| (start..=end).contains(&input.2)).collect();
            if let Some(newest) = held.iter().map(|input| input.2).max() {
                windows.insert((format!("k{key}"), start, end), (held.iter().map(|input| input.1).collect(), newest));
            }
        }
    }
    windows
}

fn check(inputs: &[Input], (difference, grace): (i64, i64), cut: usize, lives: usize) {
    let model = model(inputs, difference, grace);
    let windows: Windows = sliding(difference, grace).into();
    let kind = WindowKind::time(span(difference));
    for emit in [EmitPolicy::Record, EmitPolicy::Commit] {
        let found = run(&joining(windows.clone(), EmitStrategy::OnUpdate), kind, inputs, emit, cut, lives);
        match emit {
            EmitPolicy::Record => assert_eq!(found, model.updates, "every update"),
            EmitPolicy::Commit => assert_eq!(table(&found), table(&model.updates), "the same table"),
        }
        assert!(found.len() <= model.updates.len());
        let found = run(&joining(windows.clone(), EmitStrategy::OnClose), kind, inputs, emit, cut, lives);
        assert_eq!(found, model.finals(), "final results under {emit}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn windows_are_those_of_the_model(inputs in inputs(80), cut in 1_usize..20, lives in 1_usize..4) {
        for windows in [(10, 0), (10, 5), (7, 30), (0, 0), (1, 100), (40, 3)] {
            check(&inputs, windows, cut, lives);
        }
    }

    #[test]
    fn windows_hold_what_their_definition_says(inputs in inputs(80), cut in 1_usize..20) {
        for difference in [0, 1, 10, 25, 100] {
            let topology = joining(sliding(difference, 1_000).into(), EmitStrategy::OnUpdate);
            for emit in [EmitPolicy::Record, EmitPolicy::Commit] {
                let found = run(&topology, WindowKind::time(span(difference)), &inputs, emit, cut, 2);
                prop_assert_eq!(table(&found), defined(&inputs, difference), "difference {}", difference);
            }
        }
    }

    #[test]
    fn expressions_count_and_add_up_what_is_in_a_window(inputs in inputs(60), cut in 1_usize..20) {
        let builder = StreamsBuilder::new();
        let stream = builder.stream::<String, String>("in", Consumed::kafka());
        let calls = [
            count(lit(1_i64)).alias("n"),
            sum(col("ROWTIME")).alias("total"),
            avg(col("ROWTIME")).alias("mean"),
            max(col("value")).alias("last"),
        ];
        stream.columns().group_by_key().windowed_by(sliding(10, 1_000)).aggregate(&calls, "windows".into());
        let topology = builder.build().expect("legal");
        let expected: BTreeMap<(String, i64), (i64, i64, f64, String)> = defined(&inputs, 10)
            .into_keys()
            .map(|(key, start, end)| {
                let held = inputs.iter().filter(|input| format!("k{}", input.0) == key && (start..=end).contains(&input.2));
                let total: i64 = held.clone().map(|input| input.2).sum();
                let last = held.clone().map(|input| input.1).max().expect("a record").to_string();
                let n = held.count() as i64;
                ((key, start), (n, total, total as f64 / n as f64, last))
            })
            .collect();
        for emit in [EmitPolicy::Record, EmitPolicy::Commit] {
            let driver = driven(&topology, &inputs, emit, cut);
            let mut found = BTreeMap::new();
            for batch in driver.view("windows").expect("a view") {
                let column = |name: &str| batch.column_by_name(name).expect("a column").clone();
                for row in 0..batch.num_rows() {
                    let whole = |name: &str| column(name).as_primitive::<Int64Type>().value(row);
                    let text = |name: &str| column(name).as_string::<i32>().value(row).to_owned();
                    let mean = column("mean").as_primitive::<Float64Type>().value(row);
                    found.insert((text("key"), whole("WINDOWSTART")), (whole("n"), whole("total"), mean, text("last")));
                }
            }
            prop_assert_eq!(&found, &expected, "under {}", emit);
        }
    }

    #[test]
    fn a_table_of_sliding_windows_can_be_taken_back(inputs in inputs(80), cut in 1_usize..20) {
        let builder = StreamsBuilder::new();
        let stream = builder.stream::<String, String>("in", Consumed::kafka());
        let counted = stream.columns().group_by_key().windowed_by(sliding(10, 5));
        let counted = counted.aggregate(&[count(lit(1_i64)).alias("n")], "counted".into());
        let of_key = counted.group_by(&[Column::new("of", col("key"))], &[Column::new("n", col("n"))]);
        of_key.aggregate(&[sum(col("n")).alias("total")], "totals".into());
        let topology = builder.build().expect("legal");
        let mut expected: BTreeMap<String, i64> = BTreeMap::new();
        for ((key, _), held) in model(&inputs, 10, 5).windows {
            *expected.entry(key).or_default() += held.0.len() as i64;
        }
        for emit in [EmitPolicy::Record, EmitPolicy::Commit] {
            let driver = driven(&topology, &inputs, emit, cut);
            let mut found = BTreeMap::new();
            for batch in driver.view("totals").expect("a view") {
                let keys = batch.column_by_name("of").expect("a key").as_string::<i32>();
                let totals = batch.column_by_name("total").expect("a sum").as_primitive::<Int64Type>();
                found.extend((0..batch.num_rows()).map(|row| (keys.value(row).to_owned(), totals.value(row))));
            }
            prop_assert_eq!(&found, &expected, "under {}", emit);
        }
    }

    #[test]
    fn a_window_of_which_nothing_is_left_makes_no_others(inputs in inputs(60), cut in 1_usize..20, lives in 1_usize..4) {
        let builder = StreamsBuilder::new();
        let grouped = builder.stream::<String, String>("in", Consumed::kafka()).group_by_key();
        let joins = |_: &String, value: String, joined: Option<String>| {
            (value.as_str() < "w").then(|| joined.unwrap_or_default() + &value)
        };
        let joined = grouped.windowed_by(sliding(10, 20)).aggregate(|| None, joins, "joined");
        joined.to_stream().to("out", Produced::kafka());
        let topology = builder.build().expect("legal");
        let mut model = Model { clears: true, ..Model::new(10, 20) };
        inputs.iter().for_each(|input| model.push(input));
        let kind = WindowKind::time(span(10));
        prop_assert_eq!(run(&topology, kind, &inputs, EmitPolicy::Record, cut, lives), model.updates.clone());
        let found = run(&topology, kind, &inputs, EmitPolicy::Commit, cut, lives);
        prop_assert_eq!(table(&found), table(&model.updates));
    }

    #[test]
    fn late_records_are_counted_once_for_each_window(inputs in inputs(80), cut in 1_usize..20) {
        let topology = joining(sliding(5, 3).into(), EmitStrategy::OnUpdate);
        for emit in [EmitPolicy::Record, EmitPolicy::Commit] {
            let mut driver = driven(&topology, &inputs, emit, cut);
            let letters = driver.dead_letters().expect("readable").len();
            prop_assert_eq!(letters, model(&inputs, 5, 3).late, "under {}", emit);
        }
    }
}

fn driven(topology: &Topology, inputs: &[Input], emit: EmitPolicy, cut: usize) -> TopologyTestDriver {
    let mut driver = TopologyTestDriver::with(topology, 1, emit).expect("can be run");
    for part in inputs.chunks(cut) {
        let record = |&(key, value, time): &Input| Record::new(format!("k{key}"), value.to_string()).at_ms(time);
        driver.push_all("in", part.iter().map(record)).expect("runs");
    }
    driver
}

/// Updates of one key as `start..end values @time`.
fn shown(windows: Windows, strategy: EmitStrategy, inputs: &[(char, i64)]) -> String {
    let records: Vec<Input> = inputs.iter().map(|&(value, time)| (0, value, time)).collect();
    let kind = windows.kind();
    let topology = joining(windows, strategy);
    let found = run(&topology, kind, &records, EmitPolicy::Record, 100, 9);
    for (cut, lives) in [(1, 1), (2, 3)] {
        assert_eq!(run(&topology, kind, &records, EmitPolicy::Record, cut, lives), found, "cut {cut}, {lives} a life");
    }
    let text = |row: Row| format!("{}..{} {} @{}", row.1, row.2, row.3.unwrap_or_default(), row.4);
    found.into_iter().map(text).collect::<Vec<_>>().join(", ")
}

#[test]
fn windows_follow_records_as_in_kafka_streams() {
    let check = |difference, grace, inputs: &[(char, i64)]| {
        shown(sliding(difference, grace).into(), EmitStrategy::OnUpdate, inputs)
    };
    // The example of the semantics: left window, right window of the record before.
    assert_eq!(
        check(10, 100, &[('a', 20), ('b', 25), ('c', 33)]),
        "10..20 a @20, 21..31 b @25, 15..25 ab @25, 26..36 c @33, 23..33 bc @33"
    );
    assert_eq!(check(10, 100, &[('a', 20), ('b', 20)]), "10..20 a @20, 10..20 ab @20", "one moment, one window");
    assert_eq!(check(10, 100, &[('a', 20), ('b', 30)]), "10..20 a @20, 21..31 b @30, 20..30 ab @30", "both ends");
    assert_eq!(
        check(10, 100, &[('a', 15), ('b', 20), ('c', 31)]),
        "5..15 a @15, 16..26 b @20, 10..20 ab @20, 21..31 c @31, 21..31 c @31",
        "a window that is right of the record before and left of this one is made twice"
    );
    assert_eq!(check(10, 100, &[('a', 20), ('b', 31)]), "10..20 a @20, 21..31 b @31");
    assert_eq!(check(10, 100, &[('a', 20), ('b', 32)]), "10..20 a @20, 22..32 b @32", "too far apart");
    assert_eq!(
        check(10, 100, &[('b', 25), ('a', 20)]),
        "15..25 b @25, 15..25 ba @25, 10..20 a @20, 21..31 b @25",
        "out of order: the right window begins with what was in the other one before"
    );
    // Earlier than the time difference: one window, and right windows.
    assert_eq!(check(10, 100, &[('a', 3)]), "0..10 a @3");
    assert_eq!(check(10, 100, &[('a', 3), ('b', 5)]), "0..10 a @3, 4..14 b @5, 0..10 ab @5");
    assert_eq!(check(10, 100, &[('b', 5), ('a', 3)]), "0..10 b @5, 4..14 b @5, 0..10 ba @5");
    assert_eq!(
        check(10, 100, &[('a', 3), ('b', 12)]),
        "0..10 a @3, 4..14 b @12, 2..12 ab @12",
        "the left window begins with the combined one"
    );
    assert_eq!(check(0, 0, &[('a', 0), ('b', 0), ('c', 1)]), "0..0 a @0, 0..0 ab @0, 1..1 c @1");
}

#[test]
fn a_window_closes_after_its_end_and_grace_not_at_them() {
    let check = |difference, grace, inputs: &[(char, i64)]| {
        shown(sliding(difference, grace).into(), EmitStrategy::OnUpdate, inputs)
    };
    let with = |last: i64| check(10, 5, &[('a', 20), ('x', last), ('b', 20)]);
    assert_eq!(with(25), "10..20 a @20, 21..31 x @25, 15..25 ax @25, 15..25 axb @25, 10..20 ab @20");
    assert_eq!(with(26), "10..20 a @20, 21..31 x @26, 16..26 ax @26, 16..26 axb @26", "the left window is closed");
    assert_eq!(with(35), "10..20 a @20, 25..35 x @35", "its last window, from 20 on, is open: but nothing is in it");
    assert_eq!(with(36), "10..20 a @20, 26..36 x @36");
}

#[test]
fn final_results_come_by_start() {
    let check = |inputs: &[(char, i64)]| shown(sliding(10, 0).into(), EmitStrategy::OnClose, inputs);
    assert_eq!(check(&[('a', 20), ('b', 20)]), "", "the end belongs to the window");
    assert_eq!(check(&[('a', 20), ('b', 21)]), "10..20 a @20");
    assert_eq!(check(&[('a', 20), ('b', 25), ('c', 40)]), "10..20 a @20, 15..25 ab @25, 21..31 b @25");
    assert_eq!(check(&[('a', 3), ('b', 11)]), "0..10 a @3");
}

#[test]
fn windows_survive_restarts_on_disk() {
    let input = |number: i64| ((number % 5) as u8, 'x', number * 3 + (number * 7) % 11 - number % 4);
    let lives: Vec<Vec<Input>> =
        [0..60, 60..130, 130..200].into_iter().map(|range| range.map(input).collect()).collect();
    for (difference, grace) in [(12, 0), (20, 15)] {
        let model = model(&lives.concat(), difference, grace);
        let (windows, kind) = (Windows::from(sliding(difference, grace)), WindowKind::time(span(difference)));
        let found = run_on_disk(&joining(windows.clone(), EmitStrategy::OnUpdate), kind, &lives);
        assert_eq!(table(&found), table(&model.updates));
        assert_eq!(run_on_disk(&joining(windows, EmitStrategy::OnClose), kind, &lives), model.finals());
    }
}

#[test]
fn records_without_key_or_value_are_dead_letters() {
    let topology = joining(sliding(10, 0).into(), EmitStrategy::OnUpdate);
    let mut driver = TopologyTestDriver::new(&topology).expect("can be run");
    driver.push("in", Record { value: None, ..Record::new("a", "") }.at_ms(5)).expect("runs");
    driver.push("in", Record { key: None, ..Record::new("", "x") }.at_ms(50)).expect("runs");
    driver.push("in", Record::new("a", "x").at_ms(6)).expect("runs");
    assert_eq!(driver.drain("out").expect("readable").len(), 1, "neither has moved stream time");
    assert_eq!(driver.dead_letters().expect("readable").len(), 2);
}

#[test]
fn cogrouped_streams_share_windows_and_have_their_own_time() {
    let builder = StreamsBuilder::new();
    let [left, right] =
        ["left", "right"].map(|topic| builder.stream::<String, String>(topic, Consumed::kafka()).group_by_key());
    let joined = left.cogroup(|_, value, joined: String| joined + &value);
    let joined = joined.cogroup(&right, |_, value, joined| joined + "+" + &value);
    let joined = joined.windowed_by(sliding(10, 0)).aggregate(String::new, "joined");
    joined.to_stream().map(|window, joined| (window.start.to_string(), joined)).to("out", Produced::kafka());
    let mut driver = TopologyTestDriver::new(&builder.build().expect("legal")).expect("can be run");
    let mut push = |topic: &str, value: &str, time: i64| {
        driver.push(topic, Record::new("k", value).at_ms(time)).expect("runs");
        let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.expect("some")).expect("text");
        let out = driver.drain("out").expect("readable").into_iter();
        out.map(|record| format!("{} {}", text(record.key), text(record.value))).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(push("left", "a", 20), "10 a");
    assert_eq!(push("right", "b", 25), "21 +b, 15 a+b");
    assert_eq!(push("left", "c", 30), "21 +bc, 26 c, 20 a+bc");
    assert_eq!(
        push("right", "d", 22),
        "21 +bc+d, 20 a+bc+d, 15 a+b+d, 23 +bc",
        "by its own time only [12,22] is closed"
    );
    assert_eq!(push("left", "e", 19), "");
}

#[test]
fn an_unlimited_window_takes_what_comes_after_its_start() {
    let windows = Windows::from(TimeWindows::unlimited(Timestamp(100)));
    let check = |inputs: &[(char, i64)]| shown(windows.clone(), EmitStrategy::OnUpdate, inputs);
    let end = i64::MAX;
    let far = 1_000_000_000_000;
    assert_eq!(
        check(&[('a', 100), ('b', 99), ('c', far), ('d', 101)]),
        format!("100..{end} a @100, 100..{end} ac @{far}, 100..{end} acd @{far}")
    );
    let mut driver = TopologyTestDriver::new(&joining(windows.clone(), EmitStrategy::OnUpdate)).expect("can be run");
    driver.push("in", Record::new("a", "x").at_ms(99)).expect("runs");
    let letter = driver.dead_letters().expect("readable").pop().expect("one");
    let header = |name: &str| {
        let header = letter.headers.iter().find(|header| header.name == name).and_then(|header| header.value.clone());
        String::from_utf8(header.expect("a header")).expect("text")
    };
    assert_eq!(header("millstream.reason"), Reason::Late.to_string());
    assert!(header("millstream.problem").contains("is before the window"));

    let builder = StreamsBuilder::new();
    let grouped = builder.stream::<String, String>("in", Consumed::kafka()).group_by_key().windowed_by(windows);
    grouped.emit_final().count("n").to_stream().to("out", Produced::kafka());
    let error = builder.build().err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("never closes"), "{error}");
}

#[test]
fn the_topology_tells_sliding_windows_and_their_index() {
    let description = joining(sliding(10, 5).into(), EmitStrategy::OnUpdate).description();
    let operators = description.subtopologies.iter().flat_map(|part| &part.operators);
    let what: Vec<&str> =
        operators.map(|operator| operator.what.as_str()).filter(|what| what.contains("WINDOW")).collect();
    assert_eq!(
        what,
        ["aggregate: reduce by a closure WINDOW SLIDING (TIME DIFFERENCE 10 ms, GRACE PERIOD 5 ms), store `joined`"]
    );
    let stores: Vec<(&str, &str)> =
        description.stores.iter().map(|store| (store.name.as_str(), store.rows.as_str())).collect();
    assert_eq!(
        stores,
        [("joined", "one row a key and window"), ("joined-by-time", "which windows a key has in a stretch of time")]
    );
}

#[test]
fn a_retention_must_be_long_enough_to_make_windows() {
    let check = |retention: i64| {
        let builder = StreamsBuilder::new();
        let grouped = builder.stream::<String, String>("in", Consumed::kafka()).group_by_key();
        let kept = Materialized { retention: TimeSpan::from_millis(retention), ..Materialized::named("n") };
        grouped.windowed_by(SlidingWindows::new(Duration::from_millis(10), Duration::from_millis(5))).count(kept);
        builder.build().err().map(|error| error.to_string())
    };
    assert_eq!(check(25), None);
    assert!(check(24).is_some_and(|error| error.contains("shorter than window and grace")));
}
