//! Crashes at chosen points: whatever was lost is done again, and nothing is done twice.

use std::collections::BTreeMap;

use millstream::{
    StreamsBuilder,
    dsl::{Consumed, KTable, Materialized, Produced, Windowed},
    expression::col,
    operator::EmitPolicy,
    query::{RangeQuery, SessionRangeQuery, WindowRangeQuery},
    record::TimeSpan,
    testing::{CommitFault, CommitPolicy, CrashPoint, DriverError, DriverOptions, TestRecord, TopologyTestDriver},
    topology::Topology,
    window::{SessionWindows, TimeWindows},
};
use proptest::prelude::*;

fn span(millis: i64) -> TimeSpan {
    TimeSpan::from_millis(millis).expect("not negative")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aggregation {
    Count,
    Sum,
    Reduce,
    Windows,
    Sessions,
}

/// A pipeline: orders, perhaps without some, perhaps met with a table, perhaps by another key, aggregated, and perhaps grouped again.
#[derive(Debug, Clone, Copy)]
struct Pipeline {
    filters: bool,
    joins: bool,
    rekeys: bool,
    aggregation: Aggregation,
    regroups: bool,
}

impl Pipeline {
    fn topology(self) -> Topology {
        let builder = StreamsBuilder::new();
        let mut orders = builder.stream::<String, i64>("orders", Consumed::kafka());
        let rates = builder.table::<String, i64>("rates", Consumed::kafka(), Materialized::named("rates"));
        if self.filters {
            orders = orders.filter(|_, amount| amount % 5 != 0).map_values(|amount| amount + 1);
        }
        if self.joins {
            orders = orders.left_join(&rates, |_, amount, rate| amount * rate.unwrap_or(1));
            orders.to("joined", Produced::kafka());
        }
        if self.rekeys {
            orders = orders.select_key(|_, amount| format!("r{}", amount.rem_euclid(3)));
        }
        let grouped = orders.group_by_key();
        let windowed = |table: KTable<Windowed<String>, i64>| table.to_stream().to("out", Produced::kafka());
        let plain = match self.aggregation {
            Aggregation::Count => grouped.count("state"),
            Aggregation::Sum => grouped.sum(col("value"), "state"),
            Aggregation::Reduce => grouped.reduce(|all, amount| (all * 31 + amount) % 1_000_003, "state"),
            Aggregation::Windows => {
                let windows = TimeWindows::hopping(span(20), span(10), span(10_000)).expect("legal");
                windowed(grouped.windowed_by(windows).count("state"));
                return builder.build().expect("legal");
            }
            Aggregation::Sessions => {
                let windows = SessionWindows::new(span(6), span(10_000)).expect("legal");
                windowed(grouped.windowed_by(windows).count("state"));
                return builder.build().expect("legal");
            }
        };
        plain.to_stream().to("out", Produced::kafka());
        if self.regroups {
            let regrouped =
                plain.group_by(|key, value| (format!("g{}", value.rem_euclid(2)), (key.len() as i64) + value));
            regrouped.sum::<i64>(col("value"), "regrouped");
        }
        builder.build().expect("legal")
    }

    fn is_windowed(self) -> bool {
        matches!(self.aggregation, Aggregation::Windows | Aggregation::Sessions)
    }
}

/// Milliseconds from step to step.
const STEP: i64 = 8;

/// What is written at once: to the table or not, key, value and how long after the step's beginning.
type Step = Vec<(bool, u8, Option<i64>, i64)>;

/// A crash at a step, and how many steps pass until the restart.
#[derive(Debug, Clone, Copy)]
struct Crash {
    step: usize,
    point: Option<CrashPoint>,
    down_for: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Outcome {
    /// Rows of stores, as text, with timestamps.
    tables: BTreeMap<String, Vec<String>>,
    /// By topic and key, the values.
    outputs: BTreeMap<(String, String), Vec<Option<i64>>>,
}

fn run(pipeline: Pipeline, options: DriverOptions, steps: &[Step], crashes: &[Crash]) -> Outcome {
    let driver = TopologyTestDriver::with_options(&pipeline.topology(), options.clone()).expect("starts");
    let orders = driver.input_topic::<String, i64>("orders").expect("is read");
    let rates = driver.input_topic::<String, i64>("rates").expect("is read");
    let mut down_until = 0;
    for (number, step) in steps.iter().enumerate() {
        if driver.has_crashed() && number >= down_until {
            driver.restart().expect("starts again");
        }
        if let Some(crash) = crashes.iter().find(|crash| crash.step == number) {
            down_until = number + crash.down_for;
            match crash.point {
                Some(point) => driver.crash_at(point),
                None => driver.crash(),
            }
        }
        // Rates come first and are older, so that nothing depends on what has piled up.
        let record = |(is_rate, key, value, later): &(bool, u8, Option<i64>, i64)| {
            let time = number as i64 * STEP + if *is_rate { 0 } else { 1 + later };
            (*is_rate, TestRecord::new(format!("k{key}"), *value).at_ms(time))
        };
        let (of_rates, of_orders): (Vec<_>, Vec<_>) = step.iter().map(record).partition(|(is_rate, _)| *is_rate);
        let records = |all: Vec<(bool, TestRecord<String, i64>)>| all.into_iter().map(|(_, record)| record);
        let (of_rates, of_orders) = (records(of_rates), records(of_orders));
        rates.pipe_record_list(of_rates).expect("works");
        orders.pipe_record_list(of_orders).expect("works");
        if number % 4 == 3 && !driver.has_crashed() {
            match driver.commit().and_then(|()| driver.checkpoint()) {
                Ok(()) | Err(DriverError::Ended { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
    loop {
        if driver.has_crashed() {
            driver.restart().expect("starts again");
        }
        driver.commit_until_idle().expect("commits");
        if !driver.has_crashed() {
            break;
        }
    }
    outcome(pipeline, &driver)
}

fn outcome(pipeline: Pipeline, driver: &TopologyTestDriver) -> Outcome {
    let mut outcome = Outcome::default();
    let store = |name: &str| driver.store::<String, i64>(name).expect("is there");
    let rows = |name: &str| {
        let rows = store(name).query(RangeQuery::with_no_bounds()).expect("readable").result;
        rows.iter().map(|row| format!("{row:?}")).collect::<Vec<_>>()
    };
    let windows = |rows: Vec<millstream::query::StoreRow<Windowed<String>, i64>>| {
        rows.iter().map(|row| format!("{row:?}")).collect::<Vec<_>>()
    };
    let all = (i64::MIN, i64::MAX);
    let state = match pipeline.aggregation {
        Aggregation::Windows => {
            let query = WindowRangeQuery::with_window_start_range(all.0, all.1);
            windows(store("state").query(query).expect("readable").result)
        }
        Aggregation::Sessions => {
            windows(store("state").query(SessionRangeQuery::with_no_bounds()).expect("readable").result)
        }
        _ => rows("state"),
    };
    outcome.tables.insert("state".to_owned(), state);
    outcome.tables.insert("rates".to_owned(), rows("rates"));
    if pipeline.regroups && !pipeline.is_windowed() {
        // A group that all rows have left keeps a sum of nothing; whether it was there at all depends on where commits fall.
        let mut regrouped = rows("regrouped");
        regrouped.retain(|row| !row.contains("value: 0,"));
        outcome.tables.insert("regrouped".to_owned(), regrouped);
    }
    let mut keep = |topic: &str, key: String, value| {
        outcome.outputs.entry((topic.to_owned(), key)).or_default().push(value);
    };
    if pipeline.is_windowed() {
        let out = driver.output_topic::<Windowed<String>, i64>("out").expect("is written");
        let out = out.read_records_to_list().expect("readable");
        out.into_iter().for_each(|record| keep("out", format!("{:?}", record.key), record.value));
    } else {
        let out = driver.output_topic::<String, i64>("out").expect("is written");
        out.read_records_to_list()
            .expect("readable")
            .into_iter()
            .for_each(|record| keep("out", record.key, record.value));
    }
    if pipeline.joins {
        let joined = driver.output_topic::<String, i64>("joined").expect("is written");
        let joined = joined.read_records_to_list().expect("readable");
        joined.into_iter().for_each(|record| keep("joined", record.key, record.value));
    }
    outcome
}

fn check(pipeline: Pipeline, options: &DriverOptions, steps: &[Step], crashes: &[Crash]) {
    let mut pipeline = pipeline;
    let interleaves = pipeline.rekeys && options.partitions > 1;
    if interleaves && pipeline.aggregation == Aggregation::Reduce {
        pipeline.aggregation = Aggregation::Sum;
    }
    let calm = DriverOptions { commit: CommitPolicy::AfterEachPipe, state_directory: None, ..options.clone() };
    let mut expected = run(pipeline, calm, steps, &[]);
    let mut found = run(pipeline, options.clone(), steps, crashes);
    for outcome in [&mut expected, &mut found].into_iter().filter(|_| options.emit == EmitPolicy::Commit) {
        // A change that was taken back within a commit leaves no timestamp.
        for row in outcome.tables.get_mut("regrouped").into_iter().flatten() {
            row.truncate(row.find("timestamp").unwrap_or(row.len()));
        }
    }
    assert_eq!(found.tables, expected.tables);
    if interleaves || options.emit == EmitPolicy::Commit {
        // What is passed on in between depends on the order of records of different partitions, or on where commits fall.
        for outcome in [&mut expected, &mut found] {
            outcome.outputs.values_mut().for_each(|values| *values = values.split_off(values.len() - 1));
            outcome.outputs.retain(|_, values| values != &[None]);
        }
    }
    assert_eq!(found.outputs, expected.outputs);
}

fn pipelines() -> impl Strategy<Value = Pipeline> {
    let aggregation = prop_oneof![
        Just(Aggregation::Count),
        Just(Aggregation::Sum),
        Just(Aggregation::Reduce),
        Just(Aggregation::Windows),
        Just(Aggregation::Sessions)
    ];
    (any::<bool>(), any::<bool>(), any::<bool>(), aggregation, any::<bool>()).prop_map(
        |(filters, joins, rekeys, aggregation, regroups)| Pipeline { filters, joins, rekeys, aggregation, regroups },
    )
}

fn points() -> impl Strategy<Value = Option<CrashPoint>> {
    prop_oneof![
        Just(None),
        Just(Some(CrashPoint::BeforeCommit)),
        Just(Some(CrashPoint::AfterCommit)),
        (0_usize..6).prop_map(|records| Some(CrashPoint::AfterRecords(records))),
        Just(Some(CrashPoint::AtCheckpoint)),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let record = (prop::bool::weighted(0.3), 0_u8..4, 0_i64..12, 0_i64..6);
    let record =
        record.prop_map(|(is_rate, key, value, later)| (is_rate, key, (!is_rate || value > 2).then_some(value), later));
    prop::collection::vec(prop::collection::vec(record, 1..6), 1..14)
}

fn crashes() -> impl Strategy<Value = Vec<Crash>> {
    let crash = (0_usize..14, points(), 0_usize..4);
    prop::collection::vec(crash.prop_map(|(step, point, down_for)| Crash { step, point, down_for }), 1..4)
}

fn options(partitions: u32, emit: EmitPolicy, commit: CommitPolicy) -> DriverOptions {
    DriverOptions { partitions, emit, commit, ..DriverOptions::default() }
}

fn emits() -> impl Strategy<Value = EmitPolicy> {
    prop_oneof![Just(EmitPolicy::Record), Just(EmitPolicy::Commit)]
}

fn commits() -> impl Strategy<Value = CommitPolicy> {
    prop_oneof![Just(CommitPolicy::AfterEachPipe), Just(CommitPolicy::ByHand)]
}

/// How many cases a property has; more by `MILLSTREAM_CASES`.
fn cases(usual: u32) -> u32 {
    std::env::var("MILLSTREAM_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(48), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_comes_out_is_what_comes_out_without_crashes(
        pipeline in pipelines(),
        steps in steps(),
        crashes in crashes(),
        partitions in 1_u32..4,
        emit in emits(),
        commit in commits(),
    ) {
        check(pipeline, &options(partitions, emit, commit), &steps, &crashes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(10), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn stores_on_disk_go_on_from_their_checkpoints(
        pipeline in pipelines(),
        steps in steps(),
        crashes in crashes(),
        partitions in 1_u32..3,
        emit in emits(),
        commit in commits(),
    ) {
        let directory = tempfile::tempdir().expect("made");
        let state_directory = Some(directory.path().to_path_buf());
        check(pipeline, &DriverOptions { state_directory, ..options(partitions, emit, commit) }, &steps, &crashes);
    }
}

fn counting(commit: CommitPolicy) -> TopologyTestDriver {
    let builder = StreamsBuilder::new();
    let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    orders.group_by_key().count("counts").to_stream().to("out", Produced::kafka());
    TopologyTestDriver::with_options(&builder.build().expect("legal"), options(1, EmitPolicy::Record, commit))
        .expect("starts")
}

/// What the store has and what `out` has after `ada` was written three times at once, with a crash at a point.
fn after_crash(point: CrashPoint) -> (Option<i64>, Vec<Option<i64>>, bool) {
    let driver = counting(CommitPolicy::AfterEachPipe);
    let orders = driver.input_topic::<String, i64>("orders").expect("is read");
    driver.crash_at(point);
    orders.pipe_key_value_list([("ada", 1), ("ada", 2), ("ada", 3)]).expect("is written");
    let has_crashed = driver.has_crashed();
    let out = driver.output_topic::<String, i64>("out").expect("is written").read_values_to_list().expect("readable");
    if has_crashed {
        assert!(matches!(driver.store::<String, i64>("counts").err(), Some(DriverError::Ended { .. })));
        driver.restart().expect("starts again");
    }
    let store = driver.store::<String, i64>("counts").expect("is there");
    (store.get("ada").expect("readable"), out, has_crashed)
}

#[test]
fn each_point_leaves_what_it_says() {
    let all = vec![Some(1), Some(2), Some(3)];
    assert_eq!(after_crash(CrashPoint::BeforeCommit), (Some(3), vec![], true));
    assert_eq!(after_crash(CrashPoint::AfterCommit), (Some(3), all.clone(), true));
    assert_eq!(after_crash(CrashPoint::AfterRecords(2)), (Some(3), vec![], true));
    assert_eq!(after_crash(CrashPoint::AfterRecords(4)), (Some(3), all.clone(), false));
    assert_eq!(after_crash(CrashPoint::AtCheckpoint), (Some(3), all, false));
}

#[test]
fn what_is_not_committed_is_lost_and_done_again() {
    let driver = counting(CommitPolicy::ByHand);
    let orders = driver.input_topic::<String, i64>("orders").expect("is read");
    let out = driver.output_topic::<String, i64>("out").expect("is written");
    orders.pipe("ada", 1).expect("works");
    driver.commit().expect("commits");
    orders.pipe("ada", 2).expect("works");
    driver.crash();
    orders.pipe("ada", 3).expect("waits for the restart");
    assert_eq!(out.read_values_to_list().expect("readable"), [Some(1)]);
    driver.restart().expect("starts again");
    assert_eq!(driver.store::<String, i64>("counts").expect("is there").get("ada").expect("readable"), Some(1));
    driver.commit().expect("commits");
    assert_eq!(out.read_values_to_list().expect("readable"), [Some(2), Some(3)]);
}

#[test]
fn a_commit_that_fails_ends_the_tasks_and_a_restart_finds_out_what_became_of_it() {
    for (fault, is_written) in
        [(CommitFault::Rejected, false), (CommitFault::UnknownAndLost, false), (CommitFault::UnknownAndWritten, true)]
    {
        let driver = counting(CommitPolicy::AfterEachPipe);
        let orders = driver.input_topic::<String, i64>("orders").expect("is read");
        let out = driver.output_topic::<String, i64>("out").expect("is written");
        driver.fail_next_commit(fault);
        let error = orders.pipe("ada", 1).expect_err("the commit fails");
        assert!(error.to_string().starts_with("commit failed"), "{error}");
        assert!(matches!(orders.pipe("ada", 2).err(), Some(DriverError::Ended { .. })), "nothing is done any more");
        assert_eq!(out.queue_size().expect("readable") == 1, is_written, "{fault:?}");
        driver.restart().expect("starts again");
        assert_eq!(out.read_values_to_list().expect("readable"), [Some(1), Some(2)], "{fault:?}: each once");
    }
}
