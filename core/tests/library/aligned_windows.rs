//! Cumulating windows, offsets and time zones against a model that looks at one record after another, under every way of cutting and running.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::Int64Type,
};
use millstream::{
    StreamsBuilder,
    dsl::{Consumed, Materialized, Produced},
    log::{Append, SharedLog, TopicConfig, Transaction},
    operator::EmitPolicy,
    record::{Offset, PartitionId, Record, RecordRef, Records, TimeSpan, TopicName, TopicPartition},
    runtime::SynchronousStreams,
    testing::{MemoryLog, TopologyTestDriver},
    topology::Topology,
    window::{LocalTime, TimeWindows, WindowBounds, Windows, split_key},
};
use proptest::prelude::*;

/// A record: key, value, time.
type Input = (u8, char, i64);
/// A window and its row: end, start, key, values joined, time.
type Row = (i64, i64, String, String, i64);

fn span(millis: i64) -> TimeSpan {
    TimeSpan::from_millis(millis).expect("not negative")
}

fn partition(topic: &str) -> TopicPartition {
    TopicPartition::new(TopicName::new(topic).expect("legal"), PartitionId(0))
}

/// Joins the values of each key and window, in the order in which they came.
fn joining(windows: &TimeWindows, is_final: bool) -> Topology {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, String>("in", Consumed::kafka());
    let grouped = stream.group_by_key().windowed_by(windows.clone());
    let grouped = if is_final { grouped.emit_final() } else { grouped };
    grouped.reduce(|joined, value| joined + &value, "joined").to_stream().to("out", Produced::kafka());
    builder.build().expect("a legal topology")
}

/// The records of `out`, after `inputs` were written in cuts, with a restart after every other one.
fn run(topology: &Topology, windows: &TimeWindows, inputs: &[Input], emit: EmitPolicy, cut: usize) -> Vec<Row> {
    let log: SharedLog = Arc::new(MemoryLog::new());
    for topic in ["in", "out"] {
        log.create_topic(&TopicName::new(topic).expect("legal"), &TopicConfig::default()).expect("made");
    }
    let start = || SynchronousStreams::new(topology, "app", Arc::clone(&log), emit).expect("starts");
    let mut streams = start();
    for (number, part) in inputs.chunks(cut).enumerate() {
        let record = |&(key, value, time): &Input| Record::new(format!("k{key}"), value.to_string()).at_ms(time);
        let append = Append { partition: partition("in"), records: part.iter().map(record).collect::<Records>() };
        let transaction = Transaction { appends: vec![append], offsets: vec![] };
        log.producer("test").expect("opens").commit(transaction).expect("commits");
        streams.run_until_idle().expect("runs");
        if number % 2 == 1 {
            streams = start();
        }
    }
    let kind = Windows::from(windows.clone()).kind();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let row = |record: RecordRef<'_>| {
        let (key, WindowBounds { start, end }) = split_key(kind, record.key.expect("a key")).expect("a window");
        (end, start, text(key), text(record.value.expect("a value")), record.timestamp.millis())
    };
    let fetched = log.fetch(&partition("out"), Offset::ZERO, usize::MAX).expect("readable");
    fetched.batches.iter().flat_map(|batch| batch.records.iter()).map(row).collect()
}

/// Every update, and the rows of the windows that have closed, in the order of closing. `windows_of` gives the windows of a moment as
/// starts and ends.
fn model(inputs: &[Input], grace: i64, windows_of: &dyn Fn(i64) -> Vec<(i64, i64)>) -> (Vec<Row>, Vec<Row>) {
    let mut rows: BTreeMap<(i64, i64, String), (String, i64)> = BTreeMap::new();
    let (mut updates, mut stream_time) = (Vec::new(), i64::MIN);
    let whole = |((end, start, key), (values, time)): (&(i64, i64, String), &(String, i64))| {
        (*end, *start, key.clone(), values.clone(), *time)
    };
    for &(key, value, time) in inputs {
        stream_time = stream_time.max(time);
        for (start, end) in windows_of(time).into_iter().filter(|(_, end)| end + grace > stream_time) {
            let name = (end, start, format!("k{key}"));
            let row = rows.entry(name.clone()).or_insert((String::new(), time));
            row.0.push(value);
            row.1 = row.1.max(time);
            updates.push(whole((&name, row)));
        }
    }
    let closed = rows.iter().filter(|((end, ..), _)| end + grace <= stream_time).map(whole).collect();
    (updates, closed)
}

fn last_of(updates: &[Row]) -> BTreeMap<(i64, i64, &str), (&str, i64)> {
    updates
        .iter()
        .map(|(end, start, key, values, time)| ((*end, *start, key.as_str()), (values.as_str(), *time)))
        .collect()
}

fn check(windows: &TimeWindows, inputs: &[Input], cut: usize, windows_of: &dyn Fn(i64) -> Vec<(i64, i64)>) {
    let (updates, finals) = model(inputs, windows.grace().millis(), windows_of);
    let all = joining(windows, false);
    assert_eq!(run(&all, windows, inputs, EmitPolicy::Record, cut), updates, "every update of {windows}");
    let merged = run(&all, windows, inputs, EmitPolicy::Commit, cut);
    assert_eq!(last_of(&merged), last_of(&updates), "the same table of {windows}");
    let only_final = joining(windows, true);
    for emit in [EmitPolicy::Record, EmitPolicy::Commit] {
        assert_eq!(run(&only_final, windows, inputs, emit, cut), finals, "final results of {windows} under {emit}");
    }
}

fn inputs(most: i64) -> impl Strategy<Value = Vec<Input>> {
    proptest::collection::vec((0..3_u8, proptest::char::range('a', 'z'), 0..most), 1..50)
}

const HOUR: i64 = 3_600_000;
/// Clocks of the test's zone show two hours less than UTC, are set forward at noon of the first day and back a day later (at 15:00 there).
const FORWARD: i64 = 12 * HOUR;
const BACK: i64 = 36 * HOUR + 2 * HOUR;

fn zone() -> Arc<LocalTime> {
    Arc::new(LocalTime::new("Test/Zone", -2 * HOUR, &[(FORWARD, -HOUR), (BACK, -2 * HOUR)]).expect("rises"))
}

/// The moment of a local time, written down by hand: what is skipped begins when the clock jumps, what comes twice ends the second time.
fn moment_of(reading: i64) -> i64 {
    let winter = reading + 2 * HOUR;
    match reading + HOUR {
        _ if winter < FORWARD => winter,
        summer if summer < FORWARD => FORWARD,
        summer if summer < BACK => summer,
        _ => winter,
    }
}

/// All windows by their readings.
fn local_windows(starts: i64, lengths: &[i64]) -> Vec<(i64, i64)> {
    let starts = (-10..20).map(|index| index * starts);
    let readings = starts.flat_map(|start| lengths.iter().map(move |length| (start, start + length)));
    let mut windows: Vec<_> = readings.map(|(start, end)| (moment_of(start), moment_of(end))).collect();
    windows.dedup();
    windows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn cumulating_windows_are_those_of_the_model(inputs in inputs(80), cut in 1_usize..20) {
        for (size, step, grace, offset) in [(12, 3, 5, 0), (10, 5, 0, 0), (6, 2, 20, 0), (4, 4, 1, 0), (12, 4, 3, 5)] {
            let windows = TimeWindows::cumulating(span(size), span(step), span(grace)).expect("legal");
            let windows = windows.with_offset(span(offset)).expect("legal");
            check(&windows, &inputs, cut, &|time| {
                let start = (time - offset).div_euclid(size) * size + offset;
                let ends = (1..=size / step).map(|steps| start + steps * step);
                ends.filter(|&end| end > time).map(|end| (start, end)).collect()
            });
        }
    }

    #[test]
    fn windows_with_an_offset_are_those_of_the_model(inputs in inputs(80), cut in 1_usize..20) {
        for (size, advance, grace, offset) in [(10, 10, 5, 3), (10, 4, 0, 1), (7, 2, 20, 1)] {
            let windows = TimeWindows::hopping(span(size), span(advance), span(grace)).expect("legal");
            let windows = windows.with_offset(span(offset)).expect("legal");
            check(&windows, &inputs, cut, &|time| {
                let starts = (-size..=time).filter(|start| (start - offset).rem_euclid(advance) == 0);
                starts.filter(|start| time < start + size).map(|start| (start, start + size)).collect()
            });
        }
    }

    #[test]
    fn windows_of_a_zone_are_those_of_the_model(hours in inputs(240), cut in 1_usize..20) {
        // Quarters of an hour over sixty hours, which hold both changes of the clock.
        let inputs: Vec<Input> = hours.into_iter().map(|(key, value, time)| (key, value, time * HOUR / 4)).collect();
        let day = 24 * HOUR;
        let hours = |hours: &[i64]| hours.iter().map(|hour| hour * HOUR).collect::<Vec<_>>();
        let shapes = [
            (TimeWindows::tumbling(span(day), span(HOUR)), local_windows(day, &[day])),
            (TimeWindows::tumbling(span(6 * HOUR), span(0)), local_windows(6 * HOUR, &[6 * HOUR])),
            (TimeWindows::hopping(span(day), span(8 * HOUR), span(2 * HOUR)), local_windows(8 * HOUR, &[day])),
            (TimeWindows::cumulating(span(day), span(6 * HOUR), span(0)), local_windows(day, &hours(&[6, 12, 18, 24]))),
            (TimeWindows::cumulating(span(4 * HOUR), span(HOUR), span(0)), local_windows(4 * HOUR, &hours(&[1, 2, 3, 4]))),
        ];
        for (windows, all) in shapes {
            let windows = windows.and_then(|windows| windows.in_zone(zone())).expect("legal");
            check(&windows, &inputs, cut, &|time| {
                all.iter().copied().filter(|(start, end)| *start <= time && time < *end).collect()
            });
        }
    }
}

/// The rows of a view: key, start, end, value.
fn rows(batches: Vec<RecordBatch>) -> Vec<String> {
    let number = |batch: &RecordBatch, name: &str, row| {
        batch.column_by_name(name).expect("a bound").as_primitive::<Int64Type>().value(row)
    };
    let text = |batch: &RecordBatch, name: &str, row| {
        batch.column_by_name(name).expect("a column").as_string::<i32>().value(row).to_owned()
    };
    let row = |batch: &RecordBatch, row| {
        let (start, end) = (number(batch, "WINDOWSTART", row), number(batch, "WINDOWEND", row));
        format!("{} {start}..{end} {}", text(batch, "key", row), text(batch, "value", row))
    };
    batches.iter().flat_map(|batch| (0..batch.num_rows()).map(|index| row(batch, index)).collect::<Vec<_>>()).collect()
}

#[test]
fn a_view_tells_windows_of_one_start_apart_and_forgets_them_together() {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, String>("in", Consumed::kafka());
    let windows = TimeWindows::cumulating(span(6), span(2), span(0)).expect("legal");
    let kept = Materialized { name: Some("joined".to_owned()), retention: Some(span(8)), ..Materialized::default() };
    stream.group_by_key().windowed_by(windows).reduce(|joined, value| joined + &value, kept);
    let topology = builder.build().expect("legal");
    let mut driver = TopologyTestDriver::with(&topology, 1, EmitPolicy::Commit).expect("can be run");
    let mut push = |value: &str, time: i64| {
        driver.push("in", Record::new("ada", value).at_ms(time)).expect("runs");
        rows(driver.view("joined").expect("a view"))
    };
    push("a", 1);
    assert_eq!(push("b", 3), ["ada 0..2 a", "ada 0..4 ab", "ada 0..6 ab"]);
    assert_eq!(push("c", 8).len(), 3 + 2, "the windows that start at 0 are kept until 8");
    assert_eq!(push("d", 9), ["ada 6..10 cd", "ada 6..12 cd"]);
}
