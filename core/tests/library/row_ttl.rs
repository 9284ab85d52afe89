//! Tables whose rows expire, against a model that looks at one record after another, under every way of cutting and running.

use std::{collections::BTreeMap, sync::Arc};

use millstream::{
    StreamsBuilder,
    dsl::{Consumed, Materialized, Produced},
    expression::col,
    log::{Append, SharedLog, TopicConfig, Transaction},
    operator::EmitPolicy,
    record::{Offset, PartitionId, Record, RecordRef, Records, TimeSpan, TopicName, TopicPartition},
    runtime::SynchronousStreams,
    testing::{MemoryLog, TopologyTestDriver},
    topology::Topology,
};
use proptest::prelude::*;

/// A record: key, value (none deletes), time.
type Input = (u8, Option<char>, i64);
/// A change: key, value (none deletes), time.
type Row = (String, Option<String>, i64);

const TOPICS: [&str; 3] = ["in", "out", "counts"];

fn span(millis: i64) -> TimeSpan {
    TimeSpan::from_millis(millis).expect("not negative")
}

fn partition(topic: &str) -> TopicPartition {
    TopicPartition::new(TopicName::new(topic).expect("legal"), PartitionId(0))
}

/// The table to `out`; how many rows have each value to `counts`.
fn topology(ttl: i64) -> Topology {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, String>("in", Consumed::kafka());
    let table = stream.columns().to_table_with_ttl(span(ttl), Materialized::named("rows"));
    table.to_stream().to("out", Produced::kafka());
    let words = builder.table::<String, String>("words", Consumed::kafka(), Materialized::named("words"));
    let live = words.expire_after(span(ttl), "live");
    live.group_by_expr::<String>(col("value")).count("counts").to_stream().to("counts", Produced::kafka());
    builder.build().expect("a legal topology")
}

fn record(&(key, value, time): &Input) -> Record {
    let mut record = Record::new(format!("k{key}"), value.map(String::from).unwrap_or_default()).at_ms(time);
    record.value = record.value.filter(|_| value.is_some());
    record
}

/// The records of `out` and of `counts`, after `inputs` were written in cuts, with a restart after every other one.
fn run(ttl: i64, inputs: &[Input], emit: EmitPolicy, cut: usize) -> [Vec<Row>; 2] {
    let log: SharedLog = Arc::new(MemoryLog::new());
    for topic in TOPICS.into_iter().chain(["words"]) {
        log.create_topic(&TopicName::new(topic).expect("legal"), &TopicConfig::default()).expect("made");
    }
    let topology = topology(ttl);
    let start = || SynchronousStreams::new(&topology, "app", Arc::clone(&log), emit).expect("starts");
    let mut streams = start();
    for (number, part) in inputs.chunks(cut).enumerate() {
        let append =
            |topic| Append { partition: partition(topic), records: part.iter().map(record).collect::<Records>() };
        let transaction = Transaction { appends: vec![append("in"), append("words")], offsets: vec![] };
        log.producer("test").expect("opens").commit(transaction).expect("commits");
        streams.run_until_idle().expect("runs");
        if number % 2 == 1 {
            streams = start();
        }
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ["out", "counts"].map(|topic| {
        let fetched = log.fetch(&partition(topic), Offset::ZERO, usize::MAX).expect("readable");
        let count = |bytes: &[u8]| i64::from_be_bytes(bytes.try_into().expect("eight bytes")).to_string();
        let row = |record: RecordRef<'_>| {
            let value = record.value.map(|value| if topic == "out" { text(value) } else { count(value) });
            (text(record.key.expect("a key")), value, record.timestamp.millis())
        };
        fetched.batches.iter().flat_map(|batch| batch.records.iter()).map(row).collect()
    })
}

/// Every change of the table.
fn model(ttl: i64, inputs: &[Input]) -> Vec<Row> {
    let mut rows: BTreeMap<String, (char, i64)> = BTreeMap::new();
    let (mut changes, mut stream_time) = (Vec::new(), i64::MIN);
    for &(key, value, time) in inputs {
        if value.is_some() {
            stream_time = stream_time.max(time);
        }
        let mut gone: Vec<(i64, String)> = rows.iter().map(|(key, (_, time))| (*time, key.clone())).collect();
        gone.retain(|(time, _)| time + ttl <= stream_time);
        gone.sort();
        for (time, key) in gone {
            rows.remove(&key);
            changes.push((key, None, time + ttl));
        }
        let key = format!("k{key}");
        match value {
            Some(value) if time + ttl > stream_time => {
                rows.insert(key.clone(), (value, time));
                changes.push((key, Some(value.to_string()), time));
            }
            Some(_) => changes.extend(rows.remove(&key).map(|_| (key, None, time + ttl))),
            None => {
                rows.remove(&key);
                changes.push((key, None, time));
            }
        }
    }
    changes
}

/// The rows that changes leave.
fn table(changes: &[Row]) -> BTreeMap<&str, (&str, i64)> {
    let mut rows = BTreeMap::new();
    for (key, value, time) in changes {
        match value {
            Some(value) => drop(rows.insert(key.as_str(), (value.as_str(), *time))),
            None => drop(rows.remove(key.as_str())),
        }
    }
    rows
}

fn check(ttl: i64, inputs: &[Input], cut: usize) {
    let changes = model(ttl, inputs);
    let rows = table(&changes);
    let mut of_value: BTreeMap<&str, i64> = BTreeMap::new();
    rows.values().for_each(|(value, _)| *of_value.entry(value).or_default() += 1);
    for emit in [EmitPolicy::Record, EmitPolicy::Commit] {
        let [found, counts] = run(ttl, inputs, emit, cut);
        if emit == EmitPolicy::Record {
            assert_eq!(found, changes, "every change");
        }
        assert_eq!(table(&found), rows, "the same table under {emit}");
        let counts = table(&counts).into_iter().map(|(value, (count, _))| (value, count.parse().expect("a number")));
        let counts: BTreeMap<&str, i64> = counts.filter(|(_, count)| *count != 0).collect();
        assert_eq!(counts, of_value, "counts of rows under {emit}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn rows_are_those_of_the_model(
        inputs in proptest::collection::vec((0..5_u8, proptest::option::weighted(0.85, proptest::char::range('a', 'd')), 0..40_i64), 1..60),
        drift in 0_i64..4,
        ttl in 1_i64..30,
        cut in 1_usize..20,
    ) {
        let later = |(index, (key, value, time)): (usize, Input)| (key, value, time + drift * index as i64);
        let inputs: Vec<Input> = inputs.into_iter().enumerate().map(later).collect();
        check(ttl, &inputs, cut);
    }
}

#[test]
fn a_row_goes_when_stream_time_reaches_its_timestamp_and_the_ttl() {
    let changes = |inputs: &[Input]| {
        check(10, inputs, 1);
        let text = |(key, value, time): Row| format!("{key}={}@{time}", value.unwrap_or_default());
        model(10, inputs).into_iter().map(text).collect::<Vec<_>>().join(" ")
    };
    let (a, b) = (Some('a'), Some('b'));
    assert_eq!(changes(&[(0, a, 0), (1, b, 9), (2, a, 10)]), "k0=a@0 k1=b@9 k0=@10 k2=a@10");
    assert_eq!(changes(&[(0, a, 0), (0, b, 7), (1, a, 16), (1, b, 17)]), "k0=a@0 k0=b@7 k1=a@16 k0=@17 k1=b@17");
    assert_eq!(changes(&[(0, a, 11), (0, b, 1)]), "k0=a@11 k0=@11", "too old when it comes");
    assert_eq!(
        changes(&[(0, a, 0), (1, None, 10), (1, a, 9)]),
        "k0=a@0 k1=@10 k1=a@9",
        "deletions do not move stream time"
    );
    assert_eq!(
        changes(&[(0, a, 12), (1, a, 12), (0, None, 1)]),
        "k0=a@12 k1=a@12 k0=@1",
        "deletions delete at any time"
    );
    assert_eq!(
        changes(&[(0, a, 5), (0, b, 2), (1, a, 12)]),
        "k0=a@5 k0=b@2 k0=@12 k1=a@12",
        "the newest record counts"
    );
}

#[test]
fn what_cannot_expire_is_refused_and_the_plan_says_what_does() {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, String>("in", Consumed::kafka());
    stream.columns().to_table_with_ttl(TimeSpan::ZERO, Materialized::default());
    let error = builder.build().err().expect("refused").to_string();
    assert!(error.contains("longer than zero"), "{error}");
    let plan = topology(5_000).describe();
    let line = "newest record per key, gone 5 s after its timestamp, store `rows`, index store `rows-by-time`";
    assert!(plan.contains(line), "{plan}");
    let mut driver = TopologyTestDriver::new(&topology(10)).expect("can be run");
    driver.push("in", record(&(0, Some('a'), 0))).expect("runs");
    let rows =
        |driver: &TopologyTestDriver| driver.view("rows").expect("a view").iter().map(|b| b.num_rows()).sum::<usize>();
    assert_eq!(rows(&driver), 1);
    driver.push("in", record(&(1, None, 10))).expect("runs");
    assert_eq!(rows(&driver), 1);
    driver.push("in", record(&(1, Some('a'), 10))).expect("runs");
    driver.push("in", record(&(1, None, 10))).expect("runs");
    assert_eq!(rows(&driver), 0);
}

#[test]
fn rows_that_have_expired_when_they_come_are_kept_as_dead_letters() {
    let mut driver = TopologyTestDriver::new(&topology(10)).expect("can be run");
    for (value, time) in [(Some('a'), 11), (Some('b'), 1), (None, 0), (Some('c'), 0)] {
        driver.push("in", record(&(0, value, time))).expect("runs");
    }
    let letters = driver.dead_letters().expect("a topic");
    let header = |letter: &Record, name: &str| {
        let header = letter.headers.iter().find(|header| header.name == format!("millstream.{name}"));
        header.and_then(|header| header.value.clone()).map(|value| String::from_utf8_lossy(&value).into_owned())
    };
    let offsets: Vec<Option<String>> = letters.iter().map(|letter| header(letter, "offset")).collect();
    assert_eq!(offsets, [Some("1".to_owned()), Some("3".to_owned())]);
    assert_eq!(header(&letters[0], "reason").as_deref(), Some("late"));
    assert!(header(&letters[0], "problem").is_some_and(|text| text.contains("row TTL is 10 ms")), "{letters:?}");
}

#[test]
fn many_rows_that_expire_together_go_in_their_order() {
    let key = |number: i64| format!("k{:05}", number * 7_919 % 20_000);
    let value = |at: i64, text: &'static str| move |number: i64| Record::new(key(number), text).at_ms(at + number % 10);
    let old = (0..20_000).map(value(0, "old"));
    let newer = (0..20_000).filter(|number| number % 3 == 0).map(value(5, "newer"));
    let mut driver = TopologyTestDriver::new(&topology(100)).expect("can be run");
    driver.push_all("in", old.chain(newer)).expect("runs");
    driver.push("in", Record::new("last", "a").at_ms(1_000)).expect("runs");
    let mut want: Vec<(i64, String)> =
        (0..20_000).map(|number| (100 + number % 10 + if number % 3 == 0 { 5 } else { 0 }, key(number))).collect();
    want.sort();
    let records = driver.drain("out").expect("a topic");
    let gone = records.iter().filter(|record| record.value.is_none());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let gone: Vec<(i64, String)> =
        gone.map(|record| (record.timestamp.millis(), text(record.key.as_ref().expect("a key")))).collect();
    assert!(gone == want, "{} of {}", gone.len(), want.len());
}
