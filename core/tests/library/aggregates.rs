//! Aggregations against a recomputation from all input, under every way of cutting and running it.

use std::collections::BTreeMap;

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::{Float64Type, Int64Type},
};
use millstream::{
    StreamsBuilder,
    dsl::{Consumed, Materialized, Produced},
    expression::{col, count, lit, max, sum},
    operator::EmitPolicy,
    record::{Record, TimeSpan},
    testing::TopologyTestDriver,
    topology::Topology,
    window::TimeWindows,
};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Bid {
    auction: i64,
    price: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Totals {
    bids: i64,
    volume: f64,
    highest: f64,
}

/// One row of a result: key, window start (0 without windows), count, sum, max, timestamp.
type Rows = BTreeMap<(i64, i64), (i64, f64, f64, i64)>;

fn span(millis: i64) -> TimeSpan {
    TimeSpan::from_millis(millis).expect("not negative")
}

fn topology(windows: Option<TimeWindows>) -> Topology {
    let builder = StreamsBuilder::new();
    let grouped = builder.stream::<String, Bid>("bids", Consumed::json()).group_by(|_, bid| bid.auction);
    let calls =
        [count(lit(1_i64)).alias("bids"), sum(col("price")).alias("volume"), max(col("price")).alias("highest")];
    match windows {
        None => {
            grouped.aggregate_expr::<Totals>(&calls, "totals").to_stream().to("out", Produced::json());
        }
        Some(windows) => {
            let kept = Materialized {
                name: Some("totals".to_owned()),
                retention: Some(span(1_000_000)),
                ..Materialized::default()
            };
            let totals = grouped.windowed_by(windows).aggregate_expr::<Totals>(&calls, kept);
            totals.to_stream().to("out", Produced::json());
        }
    }
    builder.build().expect("a legal topology")
}

fn rows(batches: &[RecordBatch]) -> Rows {
    let mut rows = Rows::new();
    for batch in batches {
        let whole = |name: &str| batch.column_by_name(name).map(|column| column.as_primitive::<Int64Type>().clone());
        let real = |name: &str| batch.column_by_name(name).expect("a column").as_primitive::<Float64Type>().clone();
        let (key, start, time) =
            (whole("key").expect("a key"), whole("WINDOWSTART"), whole("ROWTIME").expect("a time"));
        let (bids, volume, highest) = (whole("bids").expect("a count"), real("volume"), real("highest"));
        for row in 0..batch.num_rows() {
            let start = start.as_ref().map_or(0, |start| start.value(row));
            let value = (bids.value(row), volume.value(row), highest.value(row), time.value(row));
            assert!(rows.insert((key.value(row), start), value).is_none(), "one row a key and window");
        }
    }
    rows
}

/// The same by hand, record by record, with Kafka Streams' rule for closed windows.
fn recompute(bids: &[(i64, f64, i64)], windows: Option<(i64, i64, i64)>) -> Rows {
    let mut rows = Rows::new();
    let mut stream_time = i64::MIN;
    for &(auction, price, time) in bids {
        stream_time = stream_time.max(time);
        let starts: Vec<i64> = match windows {
            None => vec![0],
            Some((size, advance, grace)) => (0..=time)
                .step_by(advance as usize)
                .filter(|start| time < start + size && start + size + grace > stream_time)
                .collect(),
        };
        for start in starts {
            let row = rows.entry((auction, start)).or_insert((0, 0.0, f64::MIN, i64::MIN));
            *row = (row.0 + 1, row.1 + price, row.2.max(price), row.3.max(time));
        }
    }
    rows
}

fn record(auction: i64, price: f64, time: i64) -> Record {
    Record::new(format!("k{auction}"), format!(r#"{{"auction":{auction},"price":{price}}}"#)).at_ms(time)
}

fn check(bids: &[(i64, f64, i64)], windows: Option<(i64, i64, i64)>, emit: EmitPolicy, cut: usize) {
    let definition = windows.map(|(size, advance, grace)| {
        TimeWindows::hopping(span(size), span(advance), span(grace)).expect("legal windows")
    });
    let mut driver = TopologyTestDriver::with(&topology(definition), 1, emit).expect("can be run");
    for part in bids.chunks(cut) {
        driver.push_all("bids", part.iter().map(|&(auction, price, time)| record(auction, price, time))).expect("runs");
    }
    let expected = recompute(bids, windows);
    assert_eq!(rows(&driver.view("totals").expect("a view")), expected);
    let updates = driver.drain("out").expect("an output");
    let revisions: i64 = expected.values().map(|row| row.0).sum();
    match emit {
        EmitPolicy::Record => assert_eq!(updates.len() as i64, revisions, "one update a record and window"),
        EmitPolicy::Commit => assert!(updates.len() >= expected.len() && updates.len() as i64 <= revisions),
    }
    let mut last: BTreeMap<Vec<u8>, Totals> = BTreeMap::new();
    for update in updates {
        let totals = serde_json::from_slice(&update.value.expect("a row")).expect("JSON");
        last.insert(update.key.expect("a key"), totals);
    }
    assert_eq!(last.len(), expected.len(), "the output ends in the rows of the view");
    for ((auction, start), (bids, volume, highest, _)) in expected {
        let mut key = auction.to_be_bytes().to_vec();
        if windows.is_some() {
            key.extend(start.to_be_bytes());
        }
        assert_eq!(last.get(&key), Some(&Totals { bids, volume, highest }));
    }
}

fn bids() -> impl Strategy<Value = Vec<(i64, f64, i64)>> {
    proptest::collection::vec((0..5_i64, (0..100_i32).prop_map(f64::from), 0..60_i64), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn results_are_those_of_a_recomputation(bids in bids(), cut in 1_usize..20, record in any::<bool>()) {
        let emit = if record { EmitPolicy::Record } else { EmitPolicy::Commit };
        for windows in [None, Some((10, 10, 5)), Some((10, 3, 0)), Some((7, 2, 100))] {
            check(&bids, windows, emit, cut);
        }
    }
}

#[test]
fn records_for_closed_windows_are_kept_as_dead_letters() {
    let windows = TimeWindows::tumbling(span(10), span(5)).expect("legal windows");
    let mut driver = TopologyTestDriver::new(&topology(Some(windows))).expect("can be run");
    for time in [3, 14, 9, 15, 9] {
        driver.push("bids", record(1, 1.0, time)).expect("runs");
    }
    let letters = driver.dead_letters().expect("a topic");
    let header = |name: &str| {
        let header = letters[0].headers.iter().find(|header| header.name == format!("millstream.{name}"));
        header.and_then(|header| header.value.clone()).map(|value| String::from_utf8_lossy(&value).into_owned())
    };
    assert_eq!(letters.len(), 1, "9 is in time at stream time 14 and late at 15");
    assert_eq!(header("reason").as_deref(), Some("late"));
    assert_eq!(header("offset").as_deref(), Some("4"));
    assert!(header("problem").is_some_and(|text| text.contains("stream time")));
    let first = rows(&driver.view("totals").expect("a view"))[&(1, 0)];
    assert_eq!((first.0, first.3), (2, 9), "records at 3 and 9");
}

#[test]
fn undecodable_records_are_kept_and_stop_nothing() {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, Bid>("bids", Consumed::json());
    stream.group_by_key().sum::<i64>(col("auction"), "sums").to_stream().to("out", Produced::json());
    let mut driver = TopologyTestDriver::new(&builder.build().expect("legal")).expect("can be run");
    let values = [r#"{"auction":1,"price":2}"#, "{oops", r#"{"auction":"x","price":2}"#, r#"{"auction":2,"price":3}"#];
    driver.push_all("bids", values.map(|value| Record::new("k", value))).expect("runs");
    let letters = driver.dead_letters().expect("a topic");
    let kept: Vec<_> = letters.iter().map(|letter| letter.value.clone().unwrap_or_default()).collect();
    assert_eq!(kept, [values[1].as_bytes().to_vec(), values[2].as_bytes().to_vec()], "unchanged and in order");
    assert_eq!(driver.drain("out").expect("an output").len(), 2);
}

#[test]
fn updates_stay_in_the_order_of_records_when_a_group_has_none() {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, Bid>("bids", Consumed::json());
    let best = stream.group_by_key().reduce(|best, bid| if bid.price > best.price { bid } else { best }, "best");
    best.to_stream().to("out", Produced::json());
    let topology = builder.build().expect("legal");
    let mut driver = TopologyTestDriver::with(&topology, 1, EmitPolicy::Record).expect("can be run");
    // The first record of `a` cannot be read: its round has an update of `b` only, which comes after the second record of `a`.
    let rows = [("a", "null"), ("a", "2.0"), ("b", "1.0")];
    driver
        .push_all("bids", rows.map(|(key, price)| Record::new(key, format!(r#"{{"auction":1,"price":{price}}}"#))))
        .expect("runs");
    let keys: Vec<_> = driver.drain("out").expect("an output").into_iter().filter_map(|update| update.key).collect();
    assert_eq!(keys, [b"a".to_vec(), b"b".to_vec()]);
    assert_eq!(driver.dead_letters().expect("a topic").len(), 1);
}
