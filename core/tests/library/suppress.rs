//! Suppression against a model that looks at one change after another, under every way of cutting and running.

use std::collections::BTreeMap;

use arrow::{array::AsArray, datatypes::Int64Type};
use millstream::{
    StreamsBuilder,
    dsl::{BufferLimit, Consumed, KTable, Materialized, Produced, Suppressed, Windowed},
    expression::{col, count, lit, sum},
    operator::{Column, EmitPolicy},
    record::{Header, Record},
    testing::TopologyTestDriver,
    topology::Topology,
    window::{SessionWindows, TimeWindows, Windows},
};
use proptest::prelude::*;

use super::{
    sliding::{model, sliding},
    windows::{Input, Row, inputs, model_of_sessions, model_of_windows, run, run_on_disk, span, table},
};

/// What changes wait for, and how much room they have.
#[derive(Debug, Clone, Copy)]
enum Rule {
    Closes,
    After(i64),
    AfterWithRoom(i64, usize),
}

impl Rule {
    fn suppressed(self) -> Suppressed<Windowed<String>> {
        match self {
            Self::Closes => Suppressed::until_window_closes(BufferLimit::unbounded()),
            Self::After(limit) => Suppressed::until_time_limit(span(limit), BufferLimit::unbounded()),
            Self::AfterWithRoom(limit, most) => {
                Suppressed::until_time_limit(span(limit), BufferLimit::max_records(most))
            }
        }
    }
}

/// Joins the values of each key and window, in the order in which they came, and holds the results back.
fn joined(windows: Windows, rule: Rule) -> Topology {
    let builder = StreamsBuilder::new();
    let grouped = builder.stream::<String, String>("in", Consumed::kafka()).group_by_key().windowed_by(windows);
    let joined: KTable<Windowed<String>, String> = grouped.reduce(|joined, value| joined + &value, "joined");
    joined.suppress(rule.suppressed()).to_stream().to("out", Produced::kafka());
    builder.build().expect("a legal topology")
}

/// Every update of time windows.
fn updates_of_windows(inputs: &[Input], size: i64, advance: i64, grace: i64) -> Vec<Row> {
    let mut windows: BTreeMap<(String, i64), (String, i64)> = BTreeMap::new();
    let (mut updates, mut stream_time) = (Vec::new(), i64::MIN);
    for &(key, value, time) in inputs {
        stream_time = stream_time.max(time);
        for start in (0..=time).step_by(advance as usize).filter(|start| time < start + size) {
            if start + size + grace > stream_time {
                let key = format!("k{key}");
                let row = windows.entry((key.clone(), start)).or_insert((String::new(), time));
                row.0.push(value);
                row.1 = row.1.max(time);
                updates.push((key, start, start + size, Some(row.0.clone()), row.1));
            }
        }
    }
    updates
}

/// What is passed on of `updates`, where windows close so long after their end.
fn suppressed(updates: &[Row], rule: Rule, wait: i64) -> Vec<Row> {
    let mut buffer: BTreeMap<(i64, String, i64, i64), Row> = BTreeMap::new();
    let (mut passed, mut stream_time) = (Vec::new(), i64::MIN);
    let (wait, most) = match rule {
        Rule::Closes => (wait, usize::MAX),
        Rule::After(limit) => (limit, usize::MAX),
        Rule::AfterWithRoom(limit, most) => (limit, most),
    };
    for update in updates {
        let (key, start, end, _, time) = update.clone();
        stream_time = stream_time.max(time);
        let waits = buffer.keys().find(|place| (&place.1, place.2, place.3) == (&key, start, end)).cloned();
        let since = if matches!(rule, Rule::Closes) { end } else { time };
        buffer.insert(waits.unwrap_or((since, key, start, end)), update.clone());
        while buffer.keys().next().is_some_and(|first| first.0 <= stream_time - wait) || buffer.len() > most {
            passed.extend(buffer.pop_first().map(|(_, row)| row));
        }
    }
    passed.retain(|row| row.3.is_some() || !matches!(rule, Rule::Closes));
    passed
}

const RULES: [Rule; 5] =
    [Rule::Closes, Rule::After(0), Rule::After(7), Rule::AfterWithRoom(20, 2), Rule::AfterWithRoom(1_000, 1)];

/// Windows, every update of them, and how long after its end a window closes.
fn cases(inputs: &[Input]) -> Vec<(Windows, Vec<Row>, i64)> {
    let hopping = |size, advance, grace| {
        let windows = TimeWindows::hopping(span(size), span(advance), span(grace)).expect("legal windows");
        (windows.into(), updates_of_windows(inputs, size, advance, grace), grace)
    };
    let sessions = |gap, grace| {
        let windows = SessionWindows::new(span(gap), span(grace)).expect("legal sessions");
        (windows.into(), model_of_sessions(inputs, gap, grace).0, gap + grace)
    };
    let slid = |difference, grace| (sliding(difference, grace).into(), model(inputs, difference, grace).updates, grace);
    vec![hopping(10, 10, 5), hopping(10, 3, 0), hopping(7, 2, 20), sessions(5, 0), sessions(3, 20), slid(10, 5)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn what_is_passed_on_is_that_of_the_model(inputs in inputs(80), cut in 1_usize..20, lives in 1_usize..4) {
        for (windows, updates, wait) in cases(&inputs) {
            for rule in RULES {
                let expected = suppressed(&updates, rule, wait);
                let topology = joined(windows.clone(), rule);
                for emit in [EmitPolicy::Record, EmitPolicy::Commit] {
                    let found = run(&topology, windows.kind(), &inputs, emit, cut, lives);
                    prop_assert_eq!(&found, &expected, "{} {:?} under {}", &windows, rule, emit);
                }
            }
        }
    }

    #[test]
    fn time_windows_that_close_are_the_final_results(inputs in inputs(60), cut in 1_usize..20, lives in 1_usize..4) {
        for (size, advance, grace) in [(10, 10, 5), (10, 3, 0), (7, 2, 20)] {
            let windows = TimeWindows::hopping(span(size), span(advance), span(grace)).expect("legal windows");
            let windows = Windows::from(windows);
            let topology = joined(windows.clone(), Rule::Closes);
            for emit in [EmitPolicy::Record, EmitPolicy::Commit] {
                let found = run(&topology, windows.kind(), &inputs, emit, cut, lives);
                prop_assert_eq!(found, model_of_windows(&inputs, size, advance, grace), "under {}", emit);
            }
        }
    }

    #[test]
    fn what_was_passed_on_can_be_taken_back(inputs in inputs(80), cut in 1_usize..20) {
        for rule in RULES {
            let builder = StreamsBuilder::new();
            let stream = builder.stream::<String, String>("in", Consumed::kafka());
            let windows = TimeWindows::hopping(span(10), span(5), span(30)).expect("legal windows");
            let counted = stream.columns().group_by_key().windowed_by(windows);
            let counted = counted.aggregate(&[count(lit(1_i64)).alias("n")], "counted".into()).suppress(rule.suppressed());
            let of_key = counted.group_by(&[Column::new("of", col("key"))], &[Column::new("n", col("n"))]);
            of_key.aggregate(&[sum(col("n")).alias("total")], "totals".into());
            let topology = builder.build().expect("legal");
            let mut expected: BTreeMap<String, i64> = BTreeMap::new();
            let passed = suppressed(&updates_of_windows(&inputs, 10, 5, 30), rule, 30);
            for ((key, ..), (values, _)) in table(&passed) {
                *expected.entry(key).or_default() += values.len() as i64;
            }
            for emit in [EmitPolicy::Record, EmitPolicy::Commit] {
                let mut driver = TopologyTestDriver::with(&topology, 1, emit).expect("can be run");
                for part in inputs.chunks(cut) {
                    let record = |&(key, value, time): &Input| Record::new(format!("k{key}"), value.to_string()).at_ms(time);
                    driver.push_all("in", part.iter().map(record)).expect("runs");
                }
                let mut found = BTreeMap::new();
                for batch in driver.view("totals").expect("a view") {
                    let keys = batch.column_by_name("of").expect("a key").as_string::<i32>();
                    let totals = batch.column_by_name("total").expect("a sum").as_primitive::<Int64Type>();
                    found.extend((0..batch.num_rows()).map(|row| (keys.value(row).to_owned(), totals.value(row))));
                }
                prop_assert_eq!(&found, &expected, "{:?} under {}", rule, emit);
            }
        }
    }
}

/// What is passed on of tumbling windows of 10 with grace 5, one record after another, as `key start value @time`.
fn closing(inputs: &[(u8, char, i64)]) -> String {
    let windows = Windows::from(TimeWindows::tumbling(span(10), span(5)).expect("legal windows"));
    let found = run(&joined(windows.clone(), Rule::Closes), windows.kind(), inputs, EmitPolicy::Record, 1, 2);
    let text = |row: Row| format!("{} {} {} @{}", row.0, row.1, row.3.unwrap_or_default(), row.4);
    found.into_iter().map(text).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_window_leaves_with_the_record_that_closes_it() {
    assert_eq!(closing(&[(0, 'a', 3), (0, 'b', 7), (0, 'c', 14)]), "");
    assert_eq!(closing(&[(0, 'a', 3), (0, 'b', 7), (0, 'c', 15)]), "k0 0 ab @7", "size 10, grace 5");
    assert_eq!(closing(&[(0, 'a', 3), (1, 'b', 15)]), "k0 0 a @3", "whatever the key");
    assert_eq!(closing(&[(1, 'a', 3), (0, 'b', 4), (0, 'c', 30)]), "k0 0 b @4, k1 0 a @3", "by key");
    assert_eq!(closing(&[(0, 'a', 3), (0, 'b', 12), (0, 'c', 9), (0, 'd', 40)]), "k0 0 ac @9, k0 10 b @12");
    assert_eq!(closing(&[(0, 'a', 3), (0, 'b', 15), (0, 'c', 9), (0, 'd', 40)]), "k0 0 a @3, k0 10 b @15", "late");
}

/// A driver of a table whose changes are held back.
fn table_driver(suppressed: Suppressed<String>) -> TopologyTestDriver {
    let builder = StreamsBuilder::new();
    let table = builder.table::<String, String>("in", Consumed::kafka(), Materialized::named("newest"));
    table.suppress(suppressed).to_stream().to("out", Produced::kafka());
    TopologyTestDriver::new(&builder.build().expect("legal")).expect("can be run")
}

/// What came out since the last look, as `key=value @time`.
fn drained(driver: &mut TopologyTestDriver) -> String {
    let text = |bytes: Option<Vec<u8>>| bytes.map_or("-".to_owned(), |bytes| String::from_utf8(bytes).expect("text"));
    let record = |record: Record| format!("{}={} @{}", text(record.key), text(record.value), record.timestamp.millis());
    driver.drain("out").expect("readable").into_iter().map(record).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_change_waits_for_its_time_and_others_replace_it() {
    let mut driver = table_driver(Suppressed::until_time_limit(span(10), BufferLimit::unbounded()));
    let mut push = |key: &str, value: Option<&str>, time: i64| {
        let record = Record { value: value.map(|value| value.as_bytes().to_vec()), ..Record::new(key, "") };
        driver.push("in", record.at_ms(time)).expect("runs");
        drained(&mut driver)
    };
    assert_eq!(push("a", Some("1"), 0), "");
    assert_eq!(push("b", Some("2"), 5), "");
    assert_eq!(push("a", Some("3"), 9), "", "it keeps its place");
    assert_eq!(push("c", Some("4"), 10), "a=3 @9");
    assert_eq!(push("a", Some("5"), 14), "");
    assert_eq!(push("b", None, 15), "b=- @15", "a deletion is passed on");
    assert_eq!(push("d", Some("6"), 2), "d=6 @2", "older than the limit: at once");
    assert_eq!(push("e", Some("7"), 100), "c=4 @10, a=5 @14");
}

#[test]
fn a_full_buffer_passes_on_early_what_has_waited_longest() {
    let mut driver = table_driver(Suppressed::until_time_limit(span(1_000), BufferLimit::max_records(2)));
    for (key, value, time) in [("b", "1", 0), ("a", "2", 0), ("b", "3", 5)] {
        driver.push("in", Record::new(key, value).at_ms(time)).expect("runs");
    }
    assert_eq!(drained(&mut driver), "");
    driver.push("in", Record::new("c", "4").at_ms(6)).expect("runs");
    assert_eq!(drained(&mut driver), "a=2 @0", "of one time by key");
    driver.push("in", Record::new("d", "5").at_ms(3)).expect("runs");
    assert_eq!(drained(&mut driver), "b=3 @5", "it waits since 0");

    let one_fits = BufferLimit::max_bytes(100);
    let mut driver = table_driver(Suppressed::until_time_limit(span(1_000), one_fits));
    driver.push("in", Record::new("a", "x").at_ms(0)).expect("runs");
    assert_eq!(drained(&mut driver), "");
    driver.push("in", Record::new("b", "x".repeat(200)).at_ms(1)).expect("runs");
    assert_eq!(drained(&mut driver), format!("a=x @0, b={} @1", "x".repeat(200)), "it does not fit by itself");
}

#[test]
fn a_full_buffer_that_may_not_ends_the_task() {
    for limit in [
        BufferLimit::max_records(1),
        BufferLimit::max_bytes(50),
        BufferLimit::unbounded().with_max_records(1).emit_early_when_full(),
    ] {
        let mut driver = table_driver(Suppressed::until_time_limit(span(1_000), limit.shut_down_when_full()));
        driver.push("in", Record::new("a", "1").at_ms(0)).expect("fits");
        let error = driver.push("in", Record::new("b", "2").at_ms(1)).expect_err("does not fit").to_string();
        assert!(error.contains("it holds 2 records") && error.contains("emit early"), "{error}");
    }
}

#[test]
fn headers_stay_with_their_change() {
    let mut driver = table_driver(Suppressed::until_time_limit(span(10), BufferLimit::unbounded()));
    let header = Header { name: "from".to_owned(), value: Some(b"here".to_vec()) };
    driver.push("in", Record { headers: vec![header.clone()], ..Record::new("a", "1") }.at_ms(0)).expect("runs");
    driver.push("in", Record::new("b", "2").at_ms(5)).expect("runs");
    driver.push("in", Record::new("c", "3").at_ms(50)).expect("runs");
    let headers: Vec<_> = driver.drain("out").expect("readable").into_iter().map(|record| record.headers).collect();
    assert_eq!(headers, [vec![header], vec![]]);
}

#[test]
fn changes_are_held_back_over_restarts_on_disk() {
    let input = |number: i64| ((number % 5) as u8, 'x', number * 3 + (number * 7) % 11 - number % 4);
    let lives: Vec<Vec<Input>> =
        [0..60, 60..130, 130..200].into_iter().map(|range| range.map(input).collect()).collect();
    let all = lives.concat();
    for (windows, updates, wait) in cases(&all) {
        for rule in [Rule::Closes, Rule::AfterWithRoom(20, 3)] {
            let found = run_on_disk(&joined(windows.clone(), rule), windows.kind(), &lives);
            assert_eq!(found, suppressed(&updates, rule, wait), "{windows} {rule:?}");
        }
    }
}

#[test]
fn windows_close_only_where_they_were_made() {
    let builder = StreamsBuilder::new();
    let table = builder.table::<String, String>("in", Consumed::kafka(), Materialized::named("newest"));
    let closes = Suppressed::<Windowed<()>>::until_window_closes(BufferLimit::unbounded());
    table.columns().suppress(closes).to_stream().to("out", Produced::kafka());
    let error = builder.build().err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("no windowed aggregation above"), "{error}");
}

#[test]
fn the_topology_tells_what_is_waited_for() {
    let check = |windows: Windows, suppressed: Suppressed<Windowed<String>>| {
        let builder = StreamsBuilder::new();
        let grouped = builder.stream::<String, String>("in", Consumed::kafka()).group_by_key().windowed_by(windows);
        let counted = grouped.count("n").filter(|_, n| *n > 1).map_values(|n| n + 1);
        counted.suppress(suppressed.with_name("last")).to_stream().to("out", Produced::kafka());
        let description = builder.build().expect("legal").description();
        let operators = description.subtopologies.iter().flat_map(|part| &part.operators);
        let what = operators.map(|operator| &operator.what).find(|what| what.starts_with("suppress")).cloned();
        let store = description.stores.iter().find(|store| store.name == "last").expect("a store");
        format!("{}; {}", what.expect("an operator"), store.growth)
    };
    let tumbling = TimeWindows::tumbling(span(10), span(5)).expect("legal windows");
    assert_eq!(
        check(tumbling.into(), Suppressed::until_window_closes(BufferLimit::unbounded())),
        "suppress until windows close, 5 ms after their end, store `last`; bounded by the keys that change while they wait"
    );
    let sessions = SessionWindows::new(span(10), span(5)).expect("legal sessions");
    let strict = BufferLimit::max_bytes(1_000).shut_down_when_full();
    assert_eq!(
        check(sessions.into(), Suppressed::until_window_closes(strict)),
        "suppress until windows close, 15 ms after their end, at most 1000 bytes: then it ends, store `last`; \
         bounded by 1000 bytes"
    );
    assert_eq!(
        check(sliding(10, 5).into(), Suppressed::until_time_limit(span(7), BufferLimit::max_records(3))),
        "suppress until 7 ms after the first change, at most 3 records: then early, store `last`; bounded by 3 records"
    );
}
