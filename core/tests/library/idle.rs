//! Idle advance and waiting for inputs: what the clock may do, by hand.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use millstream::{
    StreamsBuilder,
    dsl::{BufferLimit, Consumed, Joined, KStream, Materialized, Produced, Suppressed},
    expression::{col, lit},
    format::Format,
    log::{Append, SharedLog, TopicConfig, Transaction},
    operator::{EmitPolicy, Reason, StreamJoinKind},
    record::{Offset, PartitionId, Record, Records, TimeSpan, Timestamp, TopicName, TopicPartition},
    runtime::{
        ManualClock, MaxTaskIdle, Status, StreamTimeAtStart, Streams, StreamsConfig, SynchronousConfig,
        SynchronousStreams,
    },
    schema::WindowKind,
    testing::MemoryLog,
    topology::Topology,
    window::{JoinWindows, SessionWindows, SlidingWindows, TimeWindows, WindowBounds, Windows, split_key},
};
use millstream_state::{StateBackend, StateConfig};
use proptest::prelude::*;

fn span(millis: i64) -> TimeSpan {
    TimeSpan::from_millis(millis).expect("not negative")
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// An application on a clock that is moved by hand.
struct Run {
    topology: Topology,
    log: SharedLog,
    clock: Arc<ManualClock>,
    config: SynchronousConfig,
    streams: SynchronousStreams,
}

impl Run {
    fn new(topology: Topology, partitions: u32, config: SynchronousConfig) -> Self {
        let log: SharedLog = Arc::new(MemoryLog::new());
        for topic in ["in", "right", "out"] {
            let config = TopicConfig { partitions, ..TopicConfig::default() };
            log.create_topic(&TopicName::new(topic).expect("legal"), &config).expect("made");
        }
        let clock = Arc::new(ManualClock::at(Timestamp(1_000_000)));
        let config = SynchronousConfig { clock: Arc::clone(&clock) as _, ..config };
        let streams = SynchronousStreams::with_config(&topology, "app", Arc::clone(&log), config.clone());
        Self { topology, log, clock, config, streams: streams.expect("starts") }
    }

    fn restart(&mut self) {
        let log = Arc::clone(&self.log);
        let streams = SynchronousStreams::with_config(&self.topology, "app", log, self.config.clone());
        self.streams = streams.expect("starts again");
    }

    fn push(&mut self, topic: &str, partition: u32, key: &str, times: &[i64]) {
        let partition = TopicPartition::new(TopicName::new(topic).expect("legal"), PartitionId(partition));
        let records: Records = times.iter().map(|&time| Record::new(key, time.to_be_bytes()).at_ms(time)).collect();
        let transaction = Transaction { appends: vec![Append { partition, records }], offsets: vec![] };
        self.log.producer("test").expect("opens").commit(transaction).expect("commits");
        self.streams.run_until_idle().expect("runs");
    }

    fn pass(&mut self, time: u64) {
        self.clock.advance(millis(time));
        self.streams.run_until_idle().expect("runs");
    }

    /// All records of `out`: key, value, time.
    fn out(&self) -> Vec<(Vec<u8>, String, i64)> {
        let topic = TopicName::new("out").expect("legal");
        let mut found = Vec::new();
        for partition in 0..self.log.describe_topic(&topic).expect("a topic").config.partitions {
            let partition = TopicPartition::new(topic.clone(), PartitionId(partition));
            let fetched = self.log.fetch(&partition, Offset::ZERO, usize::MAX).expect("readable");
            for record in fetched.batches.iter().flat_map(|batch| batch.records.iter()) {
                let value = String::from_utf8_lossy(record.value.unwrap_or(b"none")).into_owned();
                found.push((record.key.unwrap_or_default().to_vec(), value, record.timestamp.millis()));
            }
        }
        found
    }

    /// The windows that were passed on, and their values.
    fn windows(&self, kind: WindowKind) -> Vec<(i64, i64, String)> {
        let bounds = |key: &[u8]| split_key(kind, key).expect("a window").1;
        let row = |(key, value, _): (Vec<u8>, String, i64)| {
            let WindowBounds { start, end } = bounds(&key);
            (start, end, value)
        };
        self.out().into_iter().map(row).collect()
    }
}

fn idle(span: u64) -> SynchronousConfig {
    let idle_advance = Some(millis(span));
    SynchronousConfig { emit: EmitPolicy::Record, idle_advance, ..SynchronousConfig::default() }
}

/// How many records each window has, when it closes.
fn finals(windows: impl Into<Windows>) -> Topology {
    let builder = StreamsBuilder::new();
    let grouped = builder.stream::<String, i64>("in", Consumed::kafka()).group_by_key().windowed_by(windows);
    let counts = grouped.emit_final().count("counts").to_stream();
    counts.map_values(|count| count.to_string()).to("out", Produced::kafka());
    builder.build().expect("legal")
}

fn tens(grace: i64) -> Windows {
    TimeWindows::tumbling(span(10), span(grace)).expect("legal").into()
}

const TENS: WindowKind = WindowKind::Time { size: Some(TEN) };
const TEN: TimeSpan = match TimeSpan::from_millis(10) {
    Some(ten) => ten,
    None => TimeSpan::ZERO,
};

#[test]
fn the_last_window_closes_when_the_clock_says_so_and_stays_closed() {
    let mut run = Run::new(finals(tens(5)), 1, idle(100));
    run.push("in", 0, "k", &[3, 7]);
    run.pass(99);
    assert_eq!(run.windows(TENS), [], "not idle for long enough");
    // Stream time would be 7 + 7: the window ends at 10 and has a grace of 5.
    run.pass(8);
    assert_eq!(run.windows(TENS), [], "idle by 7 more than the span");
    run.pass(1);
    assert_eq!(run.windows(TENS), [(0, 10, "2".to_owned())]);
    // What comes now is late, after a restart too.
    run.push("in", 0, "k", &[9]);
    run.restart();
    run.push("in", 0, "k", &[8]);
    assert_eq!(run.windows(TENS).len(), 1);
    run.push("in", 0, "k", &[12]);
    run.pass(1_000);
    assert_eq!(run.windows(TENS), [(0, 10, "2".to_owned()), (10, 20, "1".to_owned())]);
}

#[test]
fn without_it_only_records_move_time() {
    let mut run = Run::new(finals(tens(0)), 1, SynchronousConfig { idle_advance: None, ..idle(0) });
    run.push("in", 0, "k", &[3]);
    run.pass(1_000_000);
    assert_eq!(run.windows(TENS), []);
}

#[test]
fn a_partition_without_records_follows_the_others() {
    let mut run = Run::new(finals(tens(0)), 2, idle(100));
    run.push("in", 0, "a", &[3]);
    run.push("in", 1, "b", &[5]);
    for time in [20, 30, 40] {
        run.pass(60);
        run.push("in", 1, "b", &[time]);
    }
    let mut closed = run.windows(TENS);
    closed.sort();
    let one = |start: i64| (start, start + 10, "1".to_owned());
    assert_eq!(closed, [one(0), one(0), one(20), one(30)], "that of partition 0 too, though it has had one record");
}

#[test]
fn sessions_close_when_gap_and_grace_have_passed() {
    let windows = SessionWindows::new(span(5), span(2)).expect("legal");
    let mut run = Run::new(finals(windows), 1, idle(100));
    run.push("in", 0, "k", &[3, 7, 30]);
    assert_eq!(run.windows(WindowKind::Session), [(3, 7, "2".to_owned())]);
    run.pass(107);
    assert_eq!(run.windows(WindowKind::Session).len(), 1, "30 + 5 + 2 is not past yet");
    run.pass(1);
    assert_eq!(run.windows(WindowKind::Session)[1..], [(30, 30, "1".to_owned())]);
}

/// Values that met something, as `left+right`.
fn joining(kind: StreamJoinKind) -> Topology {
    let builder = StreamsBuilder::new();
    let [left, right] = ["in", "right"].map(|topic| builder.stream::<String, i64>(topic, Consumed::kafka()));
    let windows = JoinWindows::new(span(10), span(10)).with_grace(span(5));
    let names = ["l".to_owned(), "r".to_owned()];
    let joined = left.columns().join_stream(right.columns(), kind, windows, &names);
    joined.to("out", Produced::with(Format::Kafka, Format::Delimited { delimiter: '+' }));
    builder.build().expect("legal")
}

#[test]
fn records_of_outer_joins_stop_waiting() {
    let mut run = Run::new(joining(StreamJoinKind::Outer), 1, idle(100));
    run.push("in", 0, "k", &[100]);
    run.push("right", 0, "other", &[103]);
    run.pass(112);
    assert_eq!(run.out(), [], "115 is the last moment at which 100 may still meet something");
    run.pass(1);
    let row = |key: &str, value: &str, time: i64| (key.as_bytes().to_vec(), value.to_owned(), time);
    assert_eq!(run.out(), [row("k", "100+", 100)]);
    run.pass(3);
    assert_eq!(run.out()[1..], [row("other", "+103", 103)]);
    // The clocks went on with it: a record that is late is not kept for later ones.
    run.push("in", 0, "k", &[90]);
    assert_eq!(run.streams.metrics().dropped_for(Reason::Late), 1);
}

#[test]
fn records_that_wait_for_late_rows_are_joined() {
    let builder = StreamsBuilder::new();
    let kept = Materialized::named("rows").versioned(span(100));
    let table = builder.table::<String, i64>("right", Consumed::kafka(), kept);
    let stream = builder.stream::<String, i64>("in", Consumed::kafka());
    let joined = stream.join(Joined::with(&table).grace(span(20)), |_, left, right| format!("{left}+{right}"));
    joined.to("out", Produced::kafka());
    let mut run = Run::new(builder.build().expect("legal"), 1, idle(100));
    run.push("right", 0, "k", &[3]);
    run.push("in", 0, "k", &[5]);
    run.pass(119);
    assert_eq!(run.out(), []);
    run.pass(1);
    assert_eq!(run.out(), [(b"k".to_vec(), "5+3".to_owned(), 5)]);
}

#[test]
fn what_is_suppressed_until_windows_close_is_passed_on_once() {
    let windows: [Windows; 2] = [tens(5), SlidingWindows::new(span(9), span(5)).into()];
    for windows in windows {
        let builder = StreamsBuilder::new();
        let grouped = builder.stream::<String, i64>("in", Consumed::kafka()).group_by_key().windowed_by(windows);
        let counts = grouped.count("counts").suppress(Suppressed::until_window_closes(BufferLimit::unbounded()));
        counts.to_stream().map_values(|count| count.to_string()).to("out", Produced::kafka());
        let topology = builder.build().expect("legal");
        for emit in [EmitPolicy::Record, EmitPolicy::Commit] {
            let topology = topology.clone();
            let mut run = Run::new(topology, 1, SynchronousConfig { emit, ..idle(100) });
            run.push("in", 0, "k", &[9]);
            run.pass(104);
            assert_eq!(run.out(), [], "{emit}");
            run.pass(1_000);
            assert_eq!(run.out().len(), 1, "{emit}");
            // The aggregation knows that the window is closed.
            run.push("in", 0, "k", &[8]);
            run.restart();
            run.push("in", 0, "k", &[7]);
            run.pass(1_000);
            assert_eq!(run.out().len(), 1, "{emit}");
        }
    }
}

#[test]
fn sliding_windows_close_too() {
    let windows = SlidingWindows::new(span(10), span(5));
    let mut run = Run::new(finals(windows), 1, idle(100));
    run.push("in", 0, "k", &[20]);
    run.pass(105);
    assert_eq!(run.out(), [], "the window 10 to 20 accepts records at 25 still");
    run.pass(1);
    assert_eq!(run.out().iter().map(|(_, count, _)| count.as_str()).collect::<Vec<_>>(), ["1"]);
}

/// Windows of 10, then windows of 20 over their results by another key, through a repartition.
fn windows_of_windows() -> Topology {
    let builder = StreamsBuilder::new();
    let grouped = builder.stream::<String, i64>("in", Consumed::kafka()).group_by_key().windowed_by(tens(0));
    let counts = grouped.emit_final().count("tens").to_stream();
    let all = counts.map(|_, count| ("all".to_owned(), count)).group_by_key();
    let windows = TimeWindows::tumbling(span(20), span(0)).expect("legal");
    let sums: KStream<_, i64> = all.windowed_by(windows).emit_final().sum::<i64>(col("value"), "twenties").to_stream();
    sums.map_values(|sum| sum.to_string()).to("out", Produced::kafka());
    builder.build().expect("legal")
}

#[test]
fn what_is_below_waits_for_what_is_above() {
    let mut run = Run::new(windows_of_windows(), 1, idle(100));
    run.push("in", 0, "a", &[1, 2, 12, 13, 14]);
    for _ in 0..60 {
        run.pass(10);
    }
    let kind = WindowKind::Time { size: TimeSpan::from_millis(20) };
    assert_eq!(
        run.windows(kind),
        [(0, 20, "5".to_owned())],
        "the results of the first ones are not late for the second"
    );
    assert_eq!(run.streams.metrics().dropped_for(Reason::Late), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However the clock is moved and wherever it restarts, all windows close once, with all records that were not late.
    #[test]
    fn nothing_comes_twice_and_nothing_is_missed(
        times in proptest::collection::vec(0..60_i64, 1..20),
        steps in proptest::collection::vec(1..150_u64, 1..8),
        cut in 1_usize..6, restarts in any::<bool>(),
    ) {
        let mut run = Run::new(finals(tens(3)), 1, idle(100));
        let mut steps = steps.into_iter().cycle();
        for part in times.chunks(cut) {
            run.push("in", 0, "k", part);
            run.pass(steps.next().expect("endless"));
            if restarts {
                run.restart();
            }
        }
        run.pass(101);
        run.pass(100_000);
        let closed = run.windows(TENS);
        let counted: u64 = closed.iter().map(|(.., count)| count.parse::<u64>().expect("a number")).sum();
        let starts: BTreeMap<i64, ()> = closed.iter().map(|(start, ..)| (*start, ())).collect();
        prop_assert_eq!(starts.len(), closed.len(), "each once");
        let late = run.log.end_offset(&TopicPartition::new(
            TopicName::new("app-dead-letter").expect("legal"), PartitionId(0))).expect("a topic");
        prop_assert_eq!(counted + late.0, times.len() as u64, "a record is in its window or late");
    }
}

/// A table and a stream of one task: the order in which their records are taken is seen.
fn enriching() -> Topology {
    let builder = StreamsBuilder::new();
    let table = builder.table::<String, i64>("right", Consumed::kafka(), "rows".into());
    let stream = builder.stream::<String, i64>("in", Consumed::kafka());
    let joined = stream.left_join(&table, |_, left, right| format!("{left}+{}", right.unwrap_or(-1)));
    joined.to("out", Produced::kafka());
    builder.build().expect("legal")
}

#[test]
fn a_task_waits_for_an_empty_input_as_long_as_it_is_told_to() {
    let config = |max_task_idle| SynchronousConfig { max_task_idle, idle_advance: None, ..idle(0) };
    let value = |run: &Run| run.out().into_iter().map(|(_, value, _)| value).collect::<Vec<_>>();
    let mut run = Run::new(enriching(), 1, config(MaxTaskIdle::For(millis(50))));
    run.push("in", 0, "k", &[10]);
    run.pass(49);
    assert_eq!(value(&run), [""; 0]);
    // The row is earlier and goes first; then the table is empty again, and may yet get another one.
    run.push("right", 0, "k", &[5]);
    assert_eq!(value(&run), [""; 0]);
    run.pass(50);
    assert_eq!((value(&run), run.streams.metrics().enforced_processing), (vec!["10+5".to_owned()], 1));
    // As long as nothing comes there is nothing to wait for again.
    run.push("in", 0, "k", &[20]);
    assert_eq!((value(&run).len(), run.streams.metrics().enforced_processing), (2, 2));
    run.push("right", 0, "k", &[21]);
    run.push("in", 0, "k", &[30]);
    assert_eq!(value(&run).len(), 2, "the table has had a row: it waits anew");
    run.pass(50);
    assert_eq!(value(&run)[2], "30+21");
    for at_once in [MaxTaskIdle::Never, MaxTaskIdle::UntilRead] {
        let mut run = Run::new(enriching(), 1, config(at_once));
        run.push("in", 0, "k", &[10]);
        assert_eq!(value(&run), ["10+-1"], "{at_once:?}");
    }
}

#[test]
fn stream_time_is_kept_over_a_restart_or_forgotten_as_in_kafka_streams() {
    let late = |stream_time_at_start| {
        let builder = StreamsBuilder::new();
        let grouped = builder.stream::<String, i64>("in", Consumed::kafka()).group_by_key().windowed_by(tens(0));
        let kept = Materialized { retention: Some(span(100)), ..Materialized::named("counts") };
        let counts = grouped.count(kept).to_stream().filter_expr(col("value").gt(lit(0_i64)));
        counts.map_values(|count| count.to_string()).to("out", Produced::kafka());
        let config = SynchronousConfig { stream_time_at_start, idle_advance: None, ..idle(0) };
        let mut run = Run::new(builder.build().expect("legal"), 1, config);
        run.push("in", 0, "k", &[5, 30]);
        run.restart();
        run.push("in", 0, "k", &[6]);
        (run.streams.metrics().dropped_for(Reason::Late), run.windows(TENS).last().cloned().expect("an update"))
    };
    assert_eq!(late(StreamTimeAtStart::AsCommitted), (1, (30, 40, "1".to_owned())));
    assert_eq!(late(StreamTimeAtStart::Forgotten), (0, (0, 10, "2".to_owned())));
}

#[test]
fn threads_let_time_go_on_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let state = StateBackend::open(StateConfig::new(directory.path(), 16 << 20)).expect("opens");
    let log: SharedLog = Arc::new(MemoryLog::new());
    for topic in ["in", "out"] {
        log.create_topic(&TopicName::new(topic).expect("legal"), &TopicConfig::default()).expect("made");
    }
    let clock = Arc::new(ManualClock::at(Timestamp(0)));
    let config = StreamsConfig {
        clock: Arc::clone(&clock) as _,
        commit_interval: Duration::ZERO,
        idle_advance: Some(millis(100)),
        ..StreamsConfig::new("app", Arc::clone(&log), state)
    };
    let streams = Streams::start(&finals(tens(0)), config).expect("starts");
    let partition = |topic: &str| TopicPartition::new(TopicName::new(topic).expect("legal"), PartitionId(0));
    let records: Records = [Record::new("k", 3_i64.to_be_bytes()).at_ms(3)].into_iter().collect();
    let appends = vec![Append { partition: partition("in"), records }];
    log.producer("test").expect("opens").commit(Transaction { appends, offsets: vec![] }).expect("commits");
    let mut seen = 0;
    while streams.lag().expect("readable") > 0 {
        seen = log.wait_for_commit(seen, millis(10));
    }
    assert_eq!(log.end_offset(&partition("out")).expect("a topic"), Offset::ZERO);
    while log.end_offset(&partition("out")).expect("a topic") == Offset::ZERO {
        assert_eq!(streams.status(), Status::Running);
        clock.advance(millis(50));
        seen = log.wait_for_commit(seen, millis(10));
    }
    streams.stop().expect("stops");
}

#[test]
fn sliding_windows_close_after_their_last_moment() {
    let mut run = Run::new(finals(SlidingWindows::new(span(10), span(2))), 1, idle(100));
    let sliding = WindowKind::time(span(10));
    run.push("in", 0, "k", &[20, 25]);
    let one = |start: i64, count: &str| (start, start + 10, count.to_owned());
    assert_eq!(run.windows(sliding), [one(10, "1")], "20 + 2 is past");
    run.pass(102);
    assert_eq!(run.windows(sliding).len(), 1, "25 + 2 is not past yet");
    run.pass(1);
    assert_eq!(run.windows(sliding), [one(10, "1"), one(15, "2")]);
    run.pass(6);
    assert_eq!(run.windows(sliding), [one(10, "1"), one(15, "2"), one(21, "1")]);
}

#[test]
fn changes_that_are_held_back_leave_when_time_goes_on() {
    let builder = StreamsBuilder::new();
    let grouped = builder.stream::<String, i64>("in", Consumed::kafka()).group_by_key().windowed_by(tens(5));
    let last = grouped.count("counts").suppress(Suppressed::until_window_closes(BufferLimit::unbounded()));
    last.to_stream().map_values(|count| count.to_string()).to("out", Produced::kafka());
    let mut run = Run::new(builder.build().expect("legal"), 1, idle(100));
    run.push("in", 0, "k", &[3, 7]);
    run.pass(107);
    assert_eq!(run.windows(TENS), [], "7 + 7 does not close a window up to 10 with a grace of 5");
    run.restart();
    run.pass(0);
    run.pass(101);
    assert_eq!(run.windows(TENS), [], "idle anew since the restart");
    run.pass(7);
    assert_eq!(run.windows(TENS), [(0, 10, "2".to_owned())]);
    run.pass(1_000);
    run.push("in", 0, "k", &[2_000]);
    assert_eq!(run.windows(TENS).len(), 1, "once");
}

#[test]
fn sessions_of_a_forgotten_time_are_found_again() {
    let updates = |stream_time_at_start, emit| {
        let builder = StreamsBuilder::new();
        let windows = SessionWindows::new(span(5), span(0)).expect("legal");
        let grouped = builder.stream::<String, i64>("in", Consumed::kafka()).group_by_key().windowed_by(windows);
        let kept = Materialized { retention: Some(span(100)), ..Materialized::named("counts") };
        let counts = grouped.count(kept).to_stream();
        counts.map_values(|count| count.to_string()).to("out", Produced::kafka());
        let config = SynchronousConfig { stream_time_at_start, emit, idle_advance: None, ..idle(0) };
        let mut run = Run::new(builder.build().expect("legal"), 1, config);
        run.push("in", 0, "k", &[0, 20]);
        run.restart();
        run.push("in", 0, "k", &[3, 17]);
        let late = run.streams.metrics().dropped_for(Reason::Late);
        let windows = run.windows(WindowKind::Session).into_iter().filter(|(.., count)| count != "none");
        (late, windows.skip(2).collect::<Vec<_>>())
    };
    let session = |start, end, count: &str| (start, end, count.to_owned());
    for emit in [EmitPolicy::Record, EmitPolicy::Commit] {
        let kept = updates(StreamTimeAtStart::AsCommitted, emit);
        assert_eq!(kept, (1, vec![session(17, 20, "2")]), "{emit}");
        let forgotten = updates(StreamTimeAtStart::Forgotten, emit);
        assert_eq!(forgotten, (0, vec![session(0, 3, "2"), session(17, 20, "2")]), "{emit}");
    }
}
