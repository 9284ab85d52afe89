//! Punctuations: when ticks are made, what they see, and that nothing but records and clocks decides it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use millstream::{
    StreamsBuilder,
    dsl::{
        Cancellable, Consumed, Processor, ProcessorContext, ProcessorError, ProcessorRecord, Produced, Punctuation,
        PunctuationType,
    },
    log::{Append, SharedLog, TopicConfig, Transaction},
    operator::EmitPolicy,
    record::{Offset, PartitionId, Record, Records, Timestamp, TopicName, TopicPartition},
    runtime::{Streams, StreamsConfig},
    testing::{CommitPolicy, DriverOptions, MemoryLog, TopologyTestDriver},
    topology::Topology,
};
use millstream_state::{StateBackend, StateConfig};
use proptest::prelude::*;

const INTERVAL: i64 = 10;

/// Passes records on and says at each tick when it was; a record `more` makes a further schedule, `less` ends it.
struct Ticking {
    kind: PunctuationType,
    more: Option<Cancellable>,
    most: usize,
}

impl Processor<String, String, String, String> for Ticking {
    fn init(&mut self, context: &mut ProcessorContext<'_, String, String>) -> Result<(), ProcessorError> {
        context.schedule(Duration::from_millis(INTERVAL as u64), self.kind).map(drop)
    }

    fn process(
        &mut self,
        record: ProcessorRecord<String, String>,
        context: &mut ProcessorContext<'_, String, String>,
    ) -> Result<(), ProcessorError> {
        match record.value.as_str() {
            "more" if self.more.is_none() => {
                self.more = Some(context.schedule(Duration::from_millis(3), self.kind)?);
            }
            "less" => self.more.take().iter().for_each(Cancellable::cancel),
            _ => {}
        }
        context.forward(record);
        Ok(())
    }

    fn punctuate(
        &mut self,
        tick: &Punctuation,
        context: &mut ProcessorContext<'_, String, String>,
    ) -> Result<(), ProcessorError> {
        assert_eq!((tick.kind, context.record_metadata()), (self.kind, None));
        if self.kind == PunctuationType::StreamTime {
            assert_eq!(context.current_stream_time(), tick.timestamp);
        }
        let key = if self.more.as_ref() == Some(&tick.schedule) { "more" } else { "tick" };
        let value = tick.timestamp.millis().to_string();
        context.forward(ProcessorRecord::new(key.to_owned(), value, tick.timestamp));
        self.most = self.most.checked_sub(1).ok_or_else(|| ProcessorError::of("too many ticks"))?;
        Ok(())
    }
}

fn ticking(kind: PunctuationType, most: usize) -> Topology {
    let builder = StreamsBuilder::new();
    let lines = builder.stream::<String, String>("in", Consumed::kafka()).filter(|_, line| line != "filtered");
    lines.process(move || Ticking { kind, more: None, most }, &[]).to("out", Produced::kafka());
    builder.build().expect("legal")
}

fn values(records: Vec<Record>) -> Vec<String> {
    let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.unwrap_or_default()).expect("text");
    records.into_iter().map(|record| format!("{} {}", text(record.key), text(record.value))).collect()
}

/// What comes of records taken one by one, with the task's whole life in memory.
fn model(inputs: &[(u8, i64)]) -> Vec<String> {
    let (mut stream_time, mut next, mut more, mut out) = (i64::MIN, 0, None, Vec::new());
    for &(value, time) in inputs {
        stream_time = stream_time.max(time);
        let value = VALUES[usize::from(value)];
        match value {
            "more" if more.is_none() => more = Some(0),
            "less" => more = None,
            _ => {}
        }
        if value != "filtered" {
            out.push(format!("k {value}"));
        }
        let mut due = Vec::new();
        if next <= stream_time {
            due.push((next, 0, format!("tick {stream_time}")));
            next = (stream_time / INTERVAL + 1) * INTERVAL;
        }
        if let Some(tick) = more.filter(|tick| *tick <= stream_time) {
            due.push((tick, 1, format!("more {stream_time}")));
            more = Some((stream_time / 3 + 1) * 3);
        }
        due.sort();
        out.extend(due.into_iter().map(|(.., tick)| tick));
    }
    out
}

const VALUES: [&str; 5] = ["a", "b", "filtered", "more", "less"];

fn records(inputs: &[(u8, i64)]) -> Vec<Record> {
    inputs.iter().map(|&(value, time)| Record::new("k", VALUES[usize::from(value)]).at_ms(time)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn ticks_on_stream_time_come_where_they_would_record_by_record(
        inputs in prop::collection::vec((0_u8..5, 0_i64..120), 0..30),
        cut in 1_usize..12,
    ) {
        for emit in [EmitPolicy::Record, EmitPolicy::Commit] {
            let topology = ticking(PunctuationType::StreamTime, usize::MAX);
            let mut driver = TopologyTestDriver::with(&topology, 1, emit).expect("can be run");
            for part in inputs.chunks(cut) {
                driver.push_all("in", records(part)).expect("runs");
            }
            prop_assert_eq!(values(driver.drain("out").expect("a topic")), model(&inputs));
        }
    }

    #[test]
    fn restarts_and_crashes_leave_the_grid_as_it_was(
        inputs in prop::collection::vec((0_u8..3, 0_i64..120), 0..30),
        cut in 1_usize..7,
        lives in 1_usize..4,
    ) {
        let topology = ticking(PunctuationType::StreamTime, usize::MAX);
        let options = DriverOptions { commit: CommitPolicy::ByHand, ..DriverOptions::default() };
        let mut driver = TopologyTestDriver::with_options(&topology, options).expect("can be run");
        for (number, part) in inputs.chunks(cut).enumerate() {
            driver.push_all("in", records(part)).expect("runs");
            match number % (lives + 1) {
                0 => driver.commit().expect("commits"),
                1 => driver.restart().expect("starts again"),
                _ => {}
            }
        }
        driver.commit().expect("commits");
        prop_assert_eq!(values(driver.drain("out").expect("a topic")), model(&inputs));
    }
}

#[test]
fn the_clock_of_the_driver_makes_ticks() {
    let topology = ticking(PunctuationType::WallClockTime, usize::MAX);
    let options = DriverOptions { wall_clock: Timestamp(1_005), ..DriverOptions::default() };
    let mut driver = TopologyTestDriver::with_options(&topology, options).expect("can be run");
    let mut after = |millis: u64| {
        driver.advance_wall_clock(Duration::from_millis(millis)).expect("runs");
        values(driver.drain("out").expect("a topic"))
    };
    assert_eq!(after(9), [] as [&str; 0]);
    assert_eq!(after(1), ["tick 1015"]);
    assert_eq!(after(35), ["tick 1050"], "missed ticks are skipped");
    assert_eq!(after(4), [] as [&str; 0], "the grid stays");
    assert_eq!(after(1), ["tick 1055"]);
    assert_eq!(driver.metrics().commits, 3, "what a tick does is committed");
    driver.restart().expect("starts again");
    driver.advance_wall_clock(Duration::from_millis(9)).expect("runs");
    assert_eq!(driver.drain("out").expect("a topic"), [], "schedules begin anew");
    driver.push("in", Record::new("k", "a")).expect("runs");
    assert_eq!(values(driver.drain("out").expect("a topic")), ["k a"]);
    driver.pause();
    driver.advance_wall_clock(Duration::from_millis(9)).expect("runs");
    assert_eq!(driver.drain("out").expect("a topic"), []);
    driver.resume().expect("runs");
    assert_eq!(values(driver.drain("out").expect("a topic")), ["tick 1073"]);
}

#[test]
fn a_tick_that_fails_is_a_dead_letter_without_record() {
    let mut driver = TopologyTestDriver::new(&ticking(PunctuationType::StreamTime, 1)).expect("can be run");
    driver.push_all("in", records(&[(0, 1), (0, 11)])).expect("runs");
    let letters = driver.dead_letters().expect("a topic");
    let problem = letters[0].headers.iter().find(|header| header.name == "millstream.problem").expect("a header");
    assert_eq!((letters.len(), problem.value.as_deref()), (1, Some(b"too many ticks".as_slice())));
    assert_eq!((letters[0].key.clone(), letters[0].value.clone(), letters[0].timestamp), (None, None, Timestamp(11)));
}

#[test]
fn a_schedule_without_punctuate_ends_the_task() {
    struct Silent;
    impl Processor<String, String, String, String> for Silent {
        fn init(&mut self, context: &mut ProcessorContext<'_, String, String>) -> Result<(), ProcessorError> {
            context.schedule(Duration::from_secs(1), PunctuationType::StreamTime).map(drop)
        }
        fn process(
            &mut self,
            _: ProcessorRecord<String, String>,
            context: &mut ProcessorContext<'_, String, String>,
        ) -> Result<(), ProcessorError> {
            let refused = context.schedule(Duration::ZERO, PunctuationType::StreamTime);
            assert!(refused.is_err_and(|error| error.is_fatal()));
            Ok(())
        }
    }
    let builder = StreamsBuilder::new();
    let _: millstream::dsl::KStream<String, String> =
        builder.stream::<String, String>("in", Consumed::kafka()).process(|| Silent, &[]);
    let mut driver = TopologyTestDriver::new(&builder.build().expect("legal")).expect("can be run");
    let error = driver.push("in", Record::new("k", "x")).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("write `punctuate`"), "{error}");
}

#[test]
fn ticks_by_the_time_of_day_come_without_records() {
    let topology = ticking(PunctuationType::WallClockTime, usize::MAX);
    let log: SharedLog = Arc::new(MemoryLog::new());
    for topic in ["in", "out"] {
        log.create_topic(&TopicName::new(topic).expect("legal"), &TopicConfig::default()).expect("made");
    }
    let partition = |topic: &str| TopicPartition::new(TopicName::new(topic).expect("legal"), PartitionId(0));
    let records: Records = [Record::new("k", "a")].into_iter().collect();
    let append = Append { partition: partition("in"), records };
    let transaction = Transaction { appends: vec![append], offsets: vec![] };
    log.producer("test").expect("opens").commit(transaction).expect("commits");
    let directory = tempfile::tempdir().expect("a directory");
    let state = StateBackend::open(StateConfig::new(directory.path(), 16 << 20)).expect("opens");
    let config =
        StreamsConfig { commit_interval: Duration::from_millis(5), ..StreamsConfig::new("app", log.clone(), state) };
    let streams = Streams::start(&topology, config).expect("starts");
    #[expect(clippy::disallowed_methods, reason = "a test waits for a clock")]
    let deadline = Instant::now() + Duration::from_secs(20);
    // The record, and at least three ticks.
    while log.end_offset(&partition("out")).expect("a topic") < Offset(4) {
        #[expect(clippy::disallowed_methods, reason = "a test waits for a clock")]
        let now = Instant::now();
        assert!(now < deadline, "no ticks: {:?}", streams.status());
        std::thread::sleep(Duration::from_millis(2));
    }
    streams.stop().expect("stops");
}
