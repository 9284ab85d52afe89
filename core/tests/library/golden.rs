//! Numeric examples of what Kafka Streams does, each worked out by hand: which windows a timestamp falls into, when a window closes, what a
//! session swallows, which time a result has.
//!
//! Input is written `key value@time`, output `key[start,end] value@time`; `-` is no value.

use std::time::Duration;

use millstream::{
    StreamsBuilder,
    dsl::{Consumed, KWindowedStream, Materialized, Produced},
    format::Format,
    operator::EmitPolicy,
    record::Record,
    schema::WindowKind,
    testing::TopologyTestDriver,
    topology::Topology,
    window::{EmitStrategy, SessionWindows, TimeWindows, Windows, split_key},
};

/// A topology that writes the values of each window, one behind the other.
fn windowed(
    windows: impl Into<Windows>,
    end: impl Fn(KWindowedStream<String, String>) -> KWindowedStream<String, String>,
) -> Topology {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, String>("in", Consumed::with(Format::Kafka, Format::Kafka));
    let windowed = end(stream.group_by_key().windowed_by(windows));
    let add = |_: &String, value: String, state: String| state + &value;
    let table = windowed.aggregate_merging(String::new, add, |one, two| one + &two, Materialized::default());
    table.to_stream().to("out", Produced::kafka());
    builder.build().expect("legal")
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn record(text: &str) -> Record {
    let (key, rest) = text.split_once(' ').expect("a key");
    let (value, time) = rest.split_once('@').expect("a time");
    Record::new(key, value).at_ms(time.parse().expect("a number"))
}

/// What came out; `length` is that of a time window, `None` stands for sessions.
fn drained(driver: &mut TopologyTestDriver, length: Option<u64>) -> Vec<String> {
    let kind = length.map_or(WindowKind::Session, |length| WindowKind::time(ms(length).into()));
    let line = |record: Record| {
        let key = record.key.expect("windowed keys are there");
        let (key, window) = split_key(kind, &key).expect("it has a window");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        let value = record.value.map_or("-".to_owned(), |value| text(&value));
        format!("{}[{},{}] {value}@{}", text(key), window.start, window.end, record.timestamp.millis())
    };
    driver.drain("out").expect("an output").into_iter().map(line).collect()
}

/// Pushes one after another, all at once, and with a restart after each: the same comes out. Gives the number of dead letters.
fn check(topology: &Topology, length: Option<u64>, input: &[&str], expected: &[&str]) -> usize {
    let mut driver = TopologyTestDriver::new(topology).expect("can be run");
    input.iter().for_each(|text| driver.push("in", record(text)).expect("runs"));
    assert_eq!(drained(&mut driver, length), expected, "one after another");
    let dead = driver.dead_letters().expect("there is such a topic").len();

    let mut driver = TopologyTestDriver::with(topology, 1, EmitPolicy::Record).expect("can be run");
    driver.push_all("in", input.iter().map(|text| record(text))).expect("runs");
    assert_eq!(drained(&mut driver, length), expected, "all at once");

    let mut driver = TopologyTestDriver::new(topology).expect("can be run");
    for text in input {
        driver.push("in", record(text)).expect("runs");
        driver.restart().expect("starts again");
    }
    assert_eq!(drained(&mut driver, length), expected, "with restarts");
    dead
}

#[test]
fn a_record_is_in_every_hopping_window_that_spans_it_and_none_starts_before_zero() {
    let windows = TimeWindows::hopping(ms(5_000), ms(3_000), ms(60_000)).expect("legal");
    let topology = windowed(windows, |windowed| windowed);
    check(&topology, Some(5_000), &["k a@7000"], &["k[3000,8000] a@7000", "k[6000,11000] a@7000"]);
    check(&topology, Some(5_000), &["k a@1000"], &["k[0,5000] a@1000"]);
    check(&topology, Some(5_000), &["k a@3000"], &["k[0,5000] a@3000", "k[3000,8000] a@3000"]);
    check(&topology, Some(5_000), &["k a@5000"], &["k[3000,8000] a@5000"]);
}

#[test]
fn a_window_takes_records_while_its_end_and_grace_lie_ahead_of_stream_time() {
    let topology = windowed(TimeWindows::tumbling(ms(10), ms(5)).expect("legal"), |windowed| windowed);
    let in_time = ["k[0,10] a@1", "k[10,20] b@14", "k[0,10] ac@9"];
    assert_eq!(check(&topology, Some(10), &["k a@1", "k b@14", "k c@9"], &in_time), 0);
    let too_late = ["k[0,10] a@1", "k[10,20] b@15"];
    assert_eq!(check(&topology, Some(10), &["k a@1", "k b@15", "k c@9"], &too_late), 1);
}

#[test]
fn a_late_record_still_counts_in_the_hopping_windows_that_are_open() {
    let topology = windowed(TimeWindows::hopping(ms(10), ms(5), ms(0)).expect("legal"), |windowed| windowed);
    let expected = ["k[5,15] a@12", "k[10,20] a@12", "k[5,15] ab@12"];
    check(&topology, Some(10), &["k a@12", "k b@7"], &expected);
}

#[test]
fn a_result_has_the_highest_time_of_its_records() {
    let topology = windowed(TimeWindows::tumbling(ms(10), ms(100)).expect("legal"), |windowed| windowed);
    let expected = ["k[0,10] a@5", "k[0,10] ab@5", "k[0,10] abc@8", "l[0,10] d@1"];
    check(&topology, Some(10), &["k a@5", "k b@3", "k c@8", "l d@1"], &expected);
}

#[test]
fn a_session_swallows_what_is_no_further_than_the_gap() {
    let topology = windowed(SessionWindows::new(ms(5), ms(100)).expect("legal"), |windowed| windowed);
    let input = ["k a@10", "k b@14", "k c@19", "k d@25"];
    let expected =
        ["k[10,10] a@10", "k[10,10] -@10", "k[10,14] ab@14", "k[10,14] -@14", "k[10,19] abc@19", "k[25,25] d@25"];
    check(&topology, None, &input, &expected);
    let bridge = ["k[10,10] a@10", "k[20,20] b@20", "k[10,10] -@10", "k[20,20] -@20", "k[10,20] abc@20"];
    check(&topology, None, &["k a@10", "k b@20", "k c@15"], &bridge);
}

#[test]
fn a_session_takes_records_until_gap_and_grace_have_passed() {
    let topology = windowed(SessionWindows::new(ms(5), ms(10)).expect("legal"), |windowed| windowed);
    let in_time = ["k[10,10] a@10", "l[24,24] b@24", "k[10,10] ac@10"];
    assert_eq!(check(&topology, None, &["k a@10", "l b@24", "k c@10"], &in_time), 0);
    // One moment of stream time at which a record is not late yet, but the store has forgotten the session.
    let forgotten = ["k[10,10] a@10", "l[25,25] b@25", "k[10,10] c@10"];
    assert_eq!(check(&topology, None, &["k a@10", "l b@25", "k c@10"], &forgotten), 0);
    let too_late = ["k[10,10] a@10", "l[26,26] b@26"];
    assert_eq!(check(&topology, None, &["k a@10", "l b@26", "k c@10"], &too_late), 1);
}

#[test]
fn final_results_come_with_the_first_record_that_closes_their_window() {
    let topology = windowed(TimeWindows::tumbling(ms(10), ms(5)).expect("legal"), KWindowedStream::emit_final);
    check(&topology, Some(10), &["k a@1", "k b@9", "k c@14"], &[]);
    check(&topology, Some(10), &["k a@1", "k b@9", "l c@15"], &["k[0,10] ab@9"]);
    let topology = windowed(SessionWindows::new(ms(5), ms(5)).expect("legal"), KWindowedStream::emit_final);
    check(&topology, None, &["k a@1", "k b@4", "l c@14"], &[]);
    check(&topology, None, &["k a@1", "k b@4", "l c@15"], &["k[1,4] ab@4"]);
    // The third record comes at the one moment at which Kafka Streams' store has forgotten the session of the first, which is not closed yet.
    let moment = ["k a@10", "l b@20", "k c@10", "l d@22"];
    check(&topology, None, &moment, &["k[10,10] ac@10"]);
    let as_kept = |grouped: KWindowedStream<_, _>| grouped.emit_strategy(EmitStrategy::OnCloseIfKept);
    let topology = windowed(SessionWindows::new(ms(5), ms(5)).expect("legal"), as_kept);
    check(&topology, None, &moment, &["k[10,10] c@10"]);
}
