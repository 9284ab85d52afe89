//! Late records as streams: each once, counted, no dead letter, whatever the windows, cuts and restarts.

use std::sync::Arc;

use millstream::{
    StreamsBuilder,
    dsl::{Consumed, Produced},
    log::{Append, SharedLog, TopicConfig, Transaction},
    operator::{EmitPolicy, Reason, StreamJoinKind},
    record::{Offset, PartitionId, Record, Records, TimeSpan, TopicName, TopicPartition},
    runtime::SynchronousStreams,
    testing::{MemoryLog, TopologyTestDriver},
    topology::Topology,
    window::{JoinSide, JoinWindows, SessionWindows, SlidingWindows, TimeWindows, Windows},
};
use proptest::prelude::*;

/// A record: key, value, time.
type Input = (u8, i64, i64);

fn span(millis: i64) -> TimeSpan {
    TimeSpan::from_millis(millis).expect("not negative")
}

fn partition(topic: &str) -> TopicPartition {
    TopicPartition::new(TopicName::new(topic).expect("legal"), PartitionId(0))
}

fn record(&(key, value, time): &Input) -> Record {
    Record::new(format!("k{key}"), value.to_be_bytes()).at_ms(time)
}

/// Counts per window; late values doubled go to `late`.
fn counting(windows: Windows) -> Topology {
    let builder = StreamsBuilder::new();
    let grouped = builder.stream::<String, i64>("in", Consumed::kafka()).group_by_key().windowed_by(windows);
    let counts = grouped.count("counts");
    counts.late_records::<i64>().map_values(|value| value * 2).to("late", Produced::kafka());
    counts.filter(|_, count| *count > 0).to_stream().to("out", Produced::kafka());
    builder.build().expect("legal")
}

/// The records of `late` and how many were counted as late, after `inputs` in cuts with a restart after every so many of them.
fn run(topology: &Topology, inputs: &[Input], emit: EmitPolicy, cut: usize, lives: usize) -> (Vec<Input>, u64) {
    let log: SharedLog = Arc::new(MemoryLog::new());
    for topic in ["in", "out", "late"] {
        log.create_topic(&TopicName::new(topic).expect("legal"), &TopicConfig::default()).expect("made");
    }
    let start = || SynchronousStreams::new(topology, "app", Arc::clone(&log), emit).expect("starts");
    let (mut streams, mut late) = (start(), 0);
    for (number, part) in inputs.chunks(cut).enumerate() {
        let records: Records = part.iter().map(record).collect();
        let appends = vec![Append { partition: partition("in"), records }];
        log.producer("test").expect("opens").commit(Transaction { appends, offsets: vec![] }).expect("commits");
        streams.run_until_idle().expect("runs");
        if number % lives == lives - 1 {
            late += streams.metrics().dropped_for(Reason::Late);
            streams = start();
        }
    }
    late += streams.metrics().dropped_for(Reason::Late);
    let fetched = log.fetch(&partition("late"), Offset::ZERO, usize::MAX).expect("readable");
    let back = |record: millstream::record::RecordRef<'_>| {
        let value = i64::from_be_bytes(record.value.expect("a value").try_into().expect("eight bytes"));
        (record.key.expect("a key")[1] - b'0', value / 2, record.timestamp.millis())
    };
    let dead = log.end_offset(&partition("app-dead-letter")).expect("a topic");
    assert_eq!(dead, Offset::ZERO, "what is asked for is no dead letter");
    (fetched.batches.iter().flat_map(|batch| batch.records.iter()).map(back).collect(), late)
}

/// The late records of hopping windows, and for how many windows they were late.
fn model(inputs: &[Input], size: i64, advance: i64, grace: i64) -> (Vec<Input>, u64) {
    let (mut stream_time, mut late, mut misses) = (i64::MIN, Vec::new(), 0);
    for &input in inputs {
        stream_time = stream_time.max(input.2);
        let starts = (0..=input.2).step_by(advance as usize).filter(|start| input.2 < start + size);
        let closed = starts.filter(|start| start + size + grace <= stream_time).count() as u64;
        misses += closed;
        late.extend((closed > 0).then_some(input));
    }
    (late, misses)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn late_records_are_those_of_the_model(
        inputs in proptest::collection::vec((0..3_u8, 0..100_i64, 0..40_i64), 1..40),
        cut in 1_usize..12, lives in 1_usize..4, record in any::<bool>(),
    ) {
        let emit = if record { EmitPolicy::Record } else { EmitPolicy::Commit };
        for (size, advance, grace) in [(10, 10, 0), (10, 3, 2), (5, 5, 20)] {
            let windows = TimeWindows::hopping(span(size), span(advance), span(grace)).expect("legal");
            let found = run(&counting(windows.into()), &inputs, emit, cut, lives);
            prop_assert_eq!(found, model(&inputs, size, advance, grace));
        }
    }
}

#[test]
fn sessions_have_late_records_too() {
    let windows: Windows = SessionWindows::new(span(5), span(0)).expect("legal").into();
    let inputs = [(0, 1, 0), (0, 2, 20), (0, 3, 1), (1, 4, 14), (0, 5, 15)];
    for emit in [EmitPolicy::Record, EmitPolicy::Commit] {
        for cut in [1, 2, 5] {
            let (late, misses) = run(&counting(windows.clone()), &inputs, emit, cut, 2);
            assert_eq!((late, misses), (vec![(0, 3, 1), (1, 4, 14)], 2), "{emit}, {cut}");
        }
    }
}

#[test]
fn sliding_windows_have_late_records_too() {
    let windows: Windows = SlidingWindows::new(span(5), span(0)).into();
    // A record is late for the windows that it would be in if the last of them, from its time on, is closed.
    let inputs = [(0, 1, 10), (0, 2, 30), (0, 3, 24), (0, 4, 25)];
    for emit in [EmitPolicy::Record, EmitPolicy::Commit] {
        for cut in [1, 2, 4] {
            let (late, misses) = run(&counting(windows.clone()), &inputs, emit, cut, 2);
            assert_eq!(late.first(), Some(&(0, 3, 24)), "{emit}, {cut}: {late:?}");
            assert!(misses >= late.len() as u64, "{misses}");
        }
    }
}

#[test]
fn each_side_of_a_join_has_its_own() {
    let builder = StreamsBuilder::new();
    let [left, right] = ["left", "right"].map(|topic| builder.stream::<String, i64>(topic, Consumed::kafka()));
    let windows = JoinWindows::new(span(5), span(5)).with_grace(span(0));
    let names = ["l".to_owned(), "r".to_owned()];
    let joined = left.columns().join_stream(right.columns(), StreamJoinKind::Left, windows, &names);
    joined.late_records(JoinSide::Left).to("late-left", Produced::kafka());
    joined.late_records(JoinSide::Right).to("late-right", Produced::kafka());
    joined.to("out", Produced::with(millstream::format::Format::Kafka, millstream::format::Format::Json));
    let mut driver = TopologyTestDriver::new(&builder.build().expect("legal")).expect("can be run");
    for (topic, value, time) in
        [("left", 1, 100), ("right", 2, 100), ("left", 3, 80), ("right", 4, 98), ("right", 5, 89)]
    {
        driver.push(topic, record(&(0, value, time))).expect("runs");
    }
    let mut times = |topic: &str| {
        driver.drain(topic).expect("a topic").iter().map(|record| record.timestamp.millis()).collect::<Vec<_>>()
    };
    assert_eq!((times("late-left"), times("late-right")), (vec![80], vec![89]));
    assert_eq!(driver.dead_letters().expect("a topic").len(), 0);
    assert_eq!(driver.metrics().dropped_for(Reason::Late), 2);
}

#[test]
fn what_has_no_windows_has_no_late_records() {
    let builder = StreamsBuilder::new();
    let counts = builder.stream::<String, i64>("in", Consumed::kafka()).group_by_key().count("counts");
    counts.columns().late_records().to("late", Produced::kafka());
    let error = builder.build().err().expect("a mistake").to_string();
    assert!(error.starts_with("late_records: nothing here has windows"), "{error}");
    let builder = StreamsBuilder::new();
    let windows = TimeWindows::tumbling(span(5), span(0)).expect("legal");
    let grouped = builder.stream::<String, i64>("in", Consumed::kafka()).group_by_key().windowed_by(windows);
    grouped.count("counts").late_records::<String>().to("late", Produced::kafka());
    let error = builder.build().err().expect("a mistake").to_string();
    assert!(error.contains("the type has (value Utf8), the stream (value Int64)"), "{error}");
}
