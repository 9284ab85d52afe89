//! Cogrouped streams against a model that looks at one record after another, under both emit policies, in any cut, with restarts.

use std::{collections::BTreeMap, time::Duration};

use millstream::{
    StreamsBuilder,
    dsl::{CogroupedKStream, Consumed, Materialized, Produced, Windowed},
    operator::EmitPolicy,
    record::Record,
    testing::{DriverOptions, TopologyTestDriver},
    topology::Topology,
    window::{SessionWindows, TimeWindows},
};
use proptest::prelude::*;

/// Which stream, key, letter, time.
type Input = (bool, u8, char, i64);

fn cogrouped(builder: &StreamsBuilder) -> CogroupedKStream<String, String> {
    let left = builder.stream::<String, String>("left", Consumed::kafka()).group_by_key();
    let right = builder.stream::<String, String>("right", Consumed::kafka()).group_by_key();
    left.cogroup(|_, letter, state: String| state + &letter)
        .cogroup(&right, |_, letter, state| format!("{state}<{letter}>"))
}

fn plain() -> Topology {
    let builder = StreamsBuilder::new();
    let table = cogrouped(&builder).aggregate(String::new, "joined");
    table.to_stream().to("out", Produced::kafka());
    builder.build().expect("a legal topology")
}

fn tumbling() -> Topology {
    let builder = StreamsBuilder::new();
    let windows = TimeWindows::tumbling(Duration::from_millis(10), Duration::from_millis(5)).expect("legal");
    let table = cogrouped(&builder).windowed_by(windows).aggregate(String::new, "joined");
    table.to_stream().to("out", Produced::kafka());
    builder.build().expect("a legal topology")
}

fn push(driver: &mut TopologyTestDriver, inputs: &[Input]) {
    driver.pause();
    for &(right, key, letter, time) in inputs {
        let record = Record::new(format!("k{key}"), letter.to_string()).at_ms(time);
        driver.push(if right { "right" } else { "left" }, record).expect("is pushed");
    }
}

fn appended(state: &str, right: bool, letter: char) -> String {
    if right { format!("{state}<{letter}>") } else { format!("{state}{letter}") }
}

/// The updates of windows of 10 with a grace of 5; each stream has its own time.
fn model_of_windows(inputs: &[Input]) -> Vec<(String, i64, String, i64)> {
    let mut states: BTreeMap<(u8, i64), (String, i64)> = BTreeMap::new();
    let mut stream_times = [i64::MIN; 2];
    let mut updates = Vec::new();
    for &(right, key, letter, time) in inputs {
        let stream_time = &mut stream_times[usize::from(right)];
        *stream_time = time.max(*stream_time);
        let start = time / 10 * 10;
        let newest = stream_times[0].max(stream_times[1]);
        if start + 10 <= stream_times[usize::from(right)] - 5 || start <= newest / 10 * 10 - 15 {
            continue;
        }
        let (state, newest) = states.entry((key, start)).or_insert_with(|| (String::new(), time));
        *state = appended(state, right, letter);
        *newest = time.max(*newest);
        updates.push((format!("k{key}"), start, state.clone(), *newest));
    }
    updates
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn windows_are_those_of_the_model(
        inputs in prop::collection::vec((any::<bool>(), 0_u8..3, prop::char::range('a', 'z'), 0_i64..60), 0..40),
        cut in 1_usize..7,
    ) {
        let mut driver = TopologyTestDriver::new(&tumbling()).expect("starts");
        for part in inputs.chunks(cut) {
            push(&mut driver, part);
            driver.resume_in_order_of_arrival().expect("runs");
            driver.restart().expect("starts again");
        }
        let out = driver.output_topic::<Windowed<String>, String>("out").expect("is written");
        let found: Vec<_> = out.read_records_to_list().expect("readable").into_iter()
            .map(|record| (record.key.key, record.key.start, record.value.expect("never deleted"), record.timestamp.millis()))
            .collect();
        prop_assert_eq!(found, model_of_windows(&inputs));
    }

    #[test]
    fn both_emit_policies_end_in_the_table_of_the_model(
        inputs in prop::collection::vec((any::<bool>(), 0_u8..3, prop::char::range('a', 'z'), 0_i64..60), 0..40),
        cut in 1_usize..40,
    ) {
        // Records of both streams are taken by their timestamps where several wait.
        for emit in [EmitPolicy::Commit, EmitPolicy::Record] {
            let options = DriverOptions { emit, ..DriverOptions::default() };
            let mut driver = TopologyTestDriver::with_options(&plain(), options).expect("starts");
            let mut expected: BTreeMap<String, String> = BTreeMap::new();
            for part in inputs.chunks(cut) {
                push(&mut driver, part);
                let mut waiting: [Vec<&Input>; 2] = [Vec::new(), Vec::new()];
                part.iter().for_each(|input| waiting[usize::from(input.0)].push(input));
                let (mut left, mut right) = (waiting[0].iter().peekable(), waiting[1].iter().peekable());
                loop {
                    let from_left = match (left.peek(), right.peek()) {
                        (None, None) => break,
                        (Some(a), Some(b)) => a.3 <= b.3,
                        (a, _) => a.is_some(),
                    };
                    let next = if from_left { left.next() } else { right.next() };
                    let &(right, key, letter, _) = *next.expect("one waits");
                    let state = expected.entry(format!("k{key}")).or_default();
                    *state = appended(state, right, letter);
                }
                driver.resume().expect("runs");
            }
            let out = driver.output_topic::<String, String>("out").expect("is written");
            let found: BTreeMap<_, _> = out.read_key_values_to_list().expect("readable").into_iter()
                .map(|(key, value)| (key, value.expect("never deleted"))).collect();
            prop_assert_eq!(found, expected, "{}", emit);
        }
    }
}

#[test]
fn sessions_of_several_streams_merge() {
    let builder = StreamsBuilder::new();
    let sessions = SessionWindows::new(Duration::from_millis(5), Duration::ZERO).expect("legal");
    let grouped = cogrouped(&builder).windowed_by(sessions);
    let table = grouped.aggregate_merging(String::new, |earlier, later| earlier + &later, "joined");
    table.to_stream().to("out", Produced::kafka());
    let mut driver = TopologyTestDriver::new(&builder.build().expect("legal")).expect("starts");
    push(&mut driver, &[(false, 1, 'a', 0), (true, 1, 'b', 8), (false, 1, 'c', 4)]);
    driver.resume_in_order_of_arrival().expect("runs");
    let out = driver.output_topic::<Windowed<String>, String>("out").expect("is written");
    let bounds = |key: Windowed<String>| (key.start, key.end);
    let found: Vec<_> =
        out.read_key_values_to_list().expect("readable").into_iter().map(|(k, v)| (bounds(k), v)).collect();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        found,
        [((0, 0), text("a")), ((8, 8), text("<b>")), ((0, 0), None), ((8, 8), None), ((0, 8), text("a<b>c"))]
    );
}

#[test]
fn streams_with_keys_written_in_other_ways_move_together() {
    let builder = StreamsBuilder::new();
    let left = builder.stream::<String, String>("left", Consumed::kafka()).group_by_key();
    let right = builder.stream::<String, String>("right", Consumed::kafka()).group_by(|key, _| key.clone());
    let both =
        left.cogroup(|_, letter, state: String| state + &letter).cogroup(&right, |_, letter, state| state + &letter);
    both.aggregate(String::new, Materialized::named("joined")).to_stream().to("out", Produced::kafka());
    let options = DriverOptions { partitions: 3, ..DriverOptions::default() };
    let topology = builder.build().expect("legal");
    assert!(topology.describe().contains("joined-1-repartition"), "{}", topology.describe());
    let mut driver = TopologyTestDriver::with_options(&topology, options).expect("starts");
    let inputs: Vec<Input> = (0..12).map(|n| (n % 2 == 0, n as u8 % 4, 'x', n)).collect();
    for input in &inputs {
        push(&mut driver, &[*input]);
        driver.resume().expect("runs");
    }
    let out = driver.output_topic::<String, String>("out").expect("is written");
    let last = out.read_key_values_to_map().expect("readable");
    assert!(last.len() == 4 && last.values().all(|state| state.as_deref() == Some("xxx")), "{last:?}");
}
