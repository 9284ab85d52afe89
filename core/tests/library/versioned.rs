//! Versioned tables: joins as of the time of a record, with and without a grace, and what goes by the newest rows only.

use std::collections::BTreeMap;

use millstream::{
    StreamsBuilder,
    dsl::{BufferLimit, Consumed, Joined, KTable, Materialized, Produced, Suppressed},
    operator::{EmitPolicy, Reason},
    testing::{DriverOptions, TopologyTestDriver},
    topology::{Topology, TopologyError},
};
use proptest::prelude::*;

use crate::join_sequences::{Push, drained, record, span};

fn versioned(builder: &StreamsBuilder, topic: &str, history: i64) -> KTable<String, String> {
    builder.table(topic, Consumed::kafka(), Materialized::named(topic).versioned(span(history)))
}

/// A left join of `stream` with the versions of `table`.
fn joined(history: i64, grace: Option<i64>) -> Result<Topology, TopologyError> {
    let builder = StreamsBuilder::new();
    let table = versioned(&builder, "table", history);
    let stream = builder.stream::<String, String>("stream", Consumed::kafka());
    let with = Joined::with(&table);
    let with = grace.map_or(with.clone(), |grace| with.grace(span(grace)));
    stream.left_join(with, |_, value, row| format!("{value},{}", row.unwrap_or_default())).to("out", Produced::kafka());
    builder.build()
}

fn run(topology: &Topology, pushes: &[Push<'_>], expected: &[&str]) {
    for restarts in [false, true] {
        let mut driver = TopologyTestDriver::new(topology).expect("can be run");
        for push in pushes {
            driver.push(push.0, record(push)).expect("runs");
            if restarts {
                driver.restart().expect("starts again");
            }
        }
        assert_eq!(drained(&mut driver), expected, "restarts: {restarts}");
    }
}

fn table(value: &'static str, time: i64) -> Push<'static> {
    ("table", Some("k"), Some(value), time)
}

fn stream(value: &'static str, time: i64) -> Push<'static> {
    ("stream", Some("k"), Some(value), time)
}

#[test]
fn a_record_meets_the_row_of_its_time() {
    let pushes = [
        table("A", 10),
        table("B", 20),
        stream("a", 9),
        stream("b", 10),
        stream("c", 19),
        stream("d", 20),
        stream("e", 99),
        table("C", 15),
        stream("f", 14),
        stream("g", 15),
        stream("h", 19),
        stream("i", 20),
        ("table", Some("k"), None, 17),
        stream("j", 16),
        stream("k", 17),
        stream("l", 20),
        ("table", Some("k"), None, 30),
        stream("m", 29),
        stream("n", 30),
        table("D", 25),
        stream("o", 25),
        stream("p", 30),
        table("E", 10),
        stream("q", 10),
        stream("r", 14),
    ];
    let expected = [
        "k a,@9", "k b,A@10", "k c,A@19", "k d,B@20", "k e,B@99", "k f,A@14", "k g,C@15", "k h,C@19", "k i,B@20",
        "k j,C@16", "k k,@17", "k l,B@20", "k m,B@29", "k n,@30", "k o,D@25", "k p,@30", "k q,E@10", "k r,E@14",
    ];
    run(&joined(1_000, None).expect("legal"), &pushes, &expected);
}

#[test]
fn history_is_kept_for_its_time_and_the_newest_row_for_ever() {
    let other = |time: i64| ("table", Some("other"), Some("x"), time);
    let pushes = [
        table("A", 10),
        table("B", 50),
        other(100),
        // History is kept from 40 on: what was at 40 is A.
        stream("a", 40),
        stream("b", 39),
        stream("c", 50),
        table("late", 39),
        table("C", 40),
        stream("d", 40),
        stream("e", 49),
        other(5_000),
        stream("f", 50),
        stream("g", 49),
        stream("h", 6_000),
        // A deletion is known for as long.
        ("table", Some("gone"), None, 4_950),
        ("table", Some("gone"), Some("G"), 4_940),
        ("stream", Some("gone"), Some("i"), 4_945),
        ("stream", Some("gone"), Some("j"), 4_960),
    ];
    let expected = [
        "k a,A@40",
        "k b,@39",
        "k c,B@50",
        "k d,C@40",
        "k e,C@49",
        "k f,B@50",
        "k g,@49",
        "k h,B@6000",
        "gone i,G@4945",
        "gone j,@4960",
    ];
    let topology = joined(60, None).expect("legal");
    run(&topology, &pushes, &expected);
    let mut driver = TopologyTestDriver::new(&topology).expect("can be run");
    pushes.iter().for_each(|push| driver.push(push.0, record(push)).expect("runs"));
    assert_eq!(driver.metrics().dead_letters, [(Reason::Late, 1)]);
}

#[test]
fn with_a_grace_records_wait_and_are_joined_in_the_order_of_their_times() {
    let topology = joined(100, Some(10)).expect("legal");
    let pushes = [
        stream("a", 20),
        stream("b", 15),
        ("stream", Some("j"), Some("c"), 20),
        stream("d", 20),
        table("A", 14),
        stream("e", 29),
        stream("f", 30),
        // Older than the grace allows: joined at once. As old as that: in its turn.
        stream("g", 19),
        stream("h", 20),
        table("B", 40),
        ("stream", None, Some("n"), 41),
        ("stream", Some("k"), None, 999),
        stream("i", 40),
        stream("l", 60),
    ];
    let expected =
        ["k b,A@15", "j c,@20", "k a,A@20", "k d,A@20", "k g,A@19", "k h,A@20", "k e,A@29", "k f,A@30", "k i,B@40"];
    let restless = |lines: &[&'static str]| {
        let mut lines = lines.to_vec();
        // The keyless record is a dead letter for a closure that takes text.
        lines.retain(|line| !line.contains("n,"));
        lines
    };
    run(&topology, &pushes, &restless(&expected));
}

#[test]
fn what_goes_by_the_newest_rows_leaves_older_versions_out_and_a_stream_of_changes_has_them() {
    let pushes = [
        table("A", 10),
        ("right", Some("k"), Some("x"), 5),
        table("B", 20),
        table("early", 15),
        ("table", Some("k"), None, 18),
        table("same", 20),
    ];
    let builder = StreamsBuilder::new();
    let left = versioned(&builder, "table", 100);
    let right = versioned(&builder, "right", 100);
    left.join(&right, |_, left, right| format!("{left}{right}")).to_stream().to("out", Produced::kafka());
    let topology = builder.build().expect("legal");
    run(&topology, &pushes, &["k Ax@10", "k Bx@20", "k samex@20"]);
    let mut driver = TopologyTestDriver::new(&topology).expect("can be run");
    pushes.iter().for_each(|push| driver.push(push.0, record(push)).expect("runs"));
    assert_eq!(driver.metrics().dead_letters, [(Reason::Superseded, 2)]);

    let builder = StreamsBuilder::new();
    versioned(&builder, "table", 100).to_stream().to("out", Produced::kafka());
    builder.stream::<String, String>("right", Consumed::kafka());
    let all = ["k A@10", "k B@20", "k early@15", "k -@18", "k same@20"];
    run(&builder.build().expect("legal"), &pushes, &all);

    let builder = StreamsBuilder::new();
    let longer = versioned(&builder, "table", 100).filter(|_, value| value.len() > 1);
    builder.stream::<String, String>("right", Consumed::kafka());
    longer
        .group_by(|_, value| (value.len() as i64, value.clone()))
        .count("lengths")
        .to_stream()
        .to("counts", Produced::kafka());
    longer.map_values(|value| format!("<{value}>")).to_stream().to("out", Produced::kafka());
    let topology = builder.build().expect("legal");
    let mut driver = TopologyTestDriver::new(&topology).expect("can be run");
    pushes.iter().for_each(|push| driver.push(push.0, record(push)).expect("runs"));
    assert_eq!(driver.drain("counts").expect("an output").len(), 1, "the newest row alone is counted");
    let out = drained(&mut driver);
    assert!(out.contains(&"k <early>@15".to_owned()) && out.contains(&"k <same>@20".to_owned()), "{out:?}");
}

#[test]
fn rows_computed_from_versions_have_versions() {
    let builder = StreamsBuilder::new();
    let table = versioned(&builder, "table", 100).map_values(|value| value.to_lowercase());
    let stream = builder.stream::<String, String>("stream", Consumed::kafka());
    stream.join(&table, |_, value, row| format!("{value},{row}")).to("out", Produced::kafka());
    let pushes = [
        self::table("A", 10),
        self::table("C", 30),
        self::table("B", 20),
        self::stream("a", 15),
        self::stream("b", 25),
    ];
    run(&builder.build().expect("legal"), &pushes, &["k a,a@15", "k b,b@25"]);
}

#[test]
fn foreign_keys_go_by_the_newest_rows() {
    let builder = StreamsBuilder::new();
    let (left, right) = (versioned(&builder, "table", 100), versioned(&builder, "right", 100));
    let joined = left.join_foreign(&right, |_, value| Some(value.clone()), |key, _, right| format!("{key}{right}"));
    joined.to_stream().to("out", Produced::kafka());
    let pushes = [
        ("right", Some("A"), Some("x"), 10),
        table("A", 10),
        ("right", Some("A"), Some("old"), 5),
        table("B", 9),
        ("right", Some("A"), Some("y"), 20),
    ];
    run(&builder.build().expect("legal"), &pushes, &["k kx@10", "k ky@20"]);
}

#[test]
fn what_cannot_be_is_said() {
    let check = |make: &dyn Fn(&StreamsBuilder), expected: &str| {
        let builder = StreamsBuilder::new();
        make(&builder);
        let problem = builder.build().err().expect(expected).to_string();
        assert!(problem.contains(expected), "{problem}");
    };
    let stream = |builder: &StreamsBuilder| builder.stream::<String, String>("stream", Consumed::kafka());
    check(
        &|builder| {
            let table = builder.table::<String, String>("table", Consumed::kafka(), "table".into());
            stream(builder).join(Joined::with(&table).grace(span(1)), |_, left, _| left);
        },
        "a grace needs a versioned table",
    );
    check(
        &|builder| {
            drop(
                versioned(builder, "table", 1)
                    .suppress(Suppressed::until_time_limit(span(1), BufferLimit::unbounded())),
            )
        },
        "cannot be held back",
    );
    assert!(joined(10, Some(10)).is_ok());
    assert!(joined(10, Some(11)).err().expect("too long").to_string().contains("is longer than the history"));
    check(
        &|builder| drop(stream(builder).group_by_key().count(Materialized::named("n").versioned(span(1)))),
        "the store of an aggregate has no versions",
    );
}

/// Whether it is of the table, key, value, timestamp.
type Input = (bool, u8, Option<u8>, i64);

/// Versions and waiting records by looking through everything.
struct Model {
    history: i64,
    grace: Option<i64>,
    /// Value by time, deletions too, of each key.
    versions: BTreeMap<u8, BTreeMap<i64, Option<u8>>>,
    table_time: i64,
    stream_time: i64,
    waiting: BTreeMap<(i64, u8, usize), u8>,
    number: usize,
    out: Vec<String>,
}

impl Model {
    fn new(history: i64, grace: Option<i64>) -> Self {
        let (versions, waiting) = (BTreeMap::new(), BTreeMap::new());
        let (table_time, stream_time) = (i64::MIN / 2, i64::MIN / 2);
        Self { history, grace, versions, table_time, stream_time, waiting, number: 0, out: Vec::new() }
    }

    fn as_of(&self, key: u8, time: i64) -> Option<u8> {
        let versions = self.versions.get(&key)?;
        if time < self.table_time - self.history {
            return versions.last_key_value().filter(|(from, _)| **from <= time).and_then(|(_, value)| *value);
        }
        versions.range(..=time).next_back().and_then(|(_, value)| *value)
    }

    fn emit(&mut self, key: u8, value: u8, time: i64) {
        let row = self.as_of(key, time).map(|row| row.to_string()).unwrap_or_default();
        self.out.push(format!("{key} {value},{row}@{time}"));
    }

    fn push(&mut self, (is_table, key, value, time): Input) {
        if is_table {
            if time >= self.table_time - self.history {
                self.table_time = self.table_time.max(time);
                self.versions.entry(key).or_default().insert(time, value);
            }
            return;
        }
        let Some(value) = value else { return };
        let Some(grace) = self.grace else { return self.emit(key, value, time) };
        if time < self.stream_time - grace {
            return self.emit(key, value, time);
        }
        self.stream_time = self.stream_time.max(time);
        self.waiting.insert((time, key, self.number), value);
        self.number += 1;
        while let Some((&(time, key, number), &value)) = self.waiting.first_key_value() {
            if time > self.stream_time - grace {
                break;
            }
            self.waiting.remove(&(time, key, number));
            self.emit(key, value, time);
        }
    }
}

fn push(driver: &mut TopologyTestDriver, &(is_table, key, value, time): &Input) {
    let (key, value) = (key.to_string(), value.map(|value| value.to_string()));
    let topic = if is_table { "table" } else { "stream" };
    driver.push(topic, record(&(topic, Some(&key), value.as_deref(), time))).expect("runs");
}

fn inputs(times: std::ops::Range<i64>) -> impl Strategy<Value = Vec<Input>> {
    let value = prop::option::weighted(0.8, any::<u8>());
    prop::collection::vec((any::<bool>(), 0..3_u8, value, times), 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn records_meet_the_versions_of_the_model(
        inputs in inputs(0..10_000),
        history in prop_oneof![0..50_i64, 0..12_000_i64],
        grace in prop::option::of(0.0..=1.0_f64),
        restart in 0..80_usize,
    ) {
        let grace = grace.map(|share| (share * history as f64) as i64);
        let mut model = Model::new(history, grace);
        inputs.iter().for_each(|input| model.push(*input));
        let topology = joined(history, grace).expect("legal");
        for emit in [EmitPolicy::Record, EmitPolicy::Commit] {
            let mut driver = TopologyTestDriver::with(&topology, 1, emit).expect("can be run");
            for (number, input) in inputs.iter().enumerate() {
                push(&mut driver, input);
                if number == restart {
                    driver.restart().expect("starts again");
                }
            }
            prop_assert_eq!(&drained(&mut driver), &model.out);
        }
    }

    #[test]
    fn cuts_change_nothing(mut inputs in inputs(0..200), history in 0..300_i64, cut in 0..80_usize) {
        // Of one time the table comes first.
        inputs.sort_by_key(|&(is_table, _, _, time)| (time, !is_table));
        let cut = cut.min(inputs.len());
        let same_time = |cut: usize| cut > 0 && inputs.get(cut).is_some_and(|next| next.3 == inputs[cut - 1].3);
        let cut = (cut..).find(|&cut| !same_time(cut)).unwrap_or(0);
        for grace in [None, Some(history / 2)] {
            let mut model = Model::new(history, grace);
            inputs.iter().for_each(|input| model.push(*input));
            let topology = joined(history, grace).expect("legal");
            for emit in [EmitPolicy::Record, EmitPolicy::Commit] {
                let mut driver = TopologyTestDriver::with(&topology, 1, emit).expect("can be run");
                for part in [&inputs[..cut], &inputs[cut..]] {
                    driver.pause();
                    part.iter().for_each(|input| push(&mut driver, input));
                    driver.resume().expect("runs");
                }
                prop_assert_eq!(&drained(&mut driver), &model.out);
            }
        }
    }

    #[test]
    fn the_newest_rows_make_the_table(inputs in inputs(0..1_000), history in 0..1_000_i64, restart in 0..80_usize) {
        let builder = StreamsBuilder::new();
        let table = versioned(&builder, "table", history);
        builder.stream::<String, String>("stream", Consumed::kafka());
        table.filter(|_, _| true).outer_join(&table.filter(|_, value| value.len() > 1), |_, all, long| {
            format!("{},{}", all.unwrap_or_default(), long.unwrap_or_default())
        }).to_stream().to("out", Produced::kafka());
        let topology = builder.build().expect("legal");
        let mut model = Model::new(history, None);
        inputs.iter().for_each(|input| model.push(*input));
        let mut expected = BTreeMap::new();
        for (key, versions) in &model.versions {
            if let Some((_, Some(value))) = versions.last_key_value() {
                let value = value.to_string();
                let long = if value.len() > 1 { value.as_str() } else { "" };
                expected.insert(key.to_string(), format!("{value},{long}"));
            }
        }
        for emit in [EmitPolicy::Record, EmitPolicy::Commit] {
            let mut driver = TopologyTestDriver::with(&topology, 1, emit).expect("can be run");
            for (number, input) in inputs.iter().enumerate() {
                push(&mut driver, input);
                if number == restart {
                    driver.restart().expect("starts again");
                }
            }
            let mut rows = BTreeMap::new();
            for line in drained(&mut driver) {
                let (key, rest) = line.split_once(' ').expect("a key");
                match rest.split_once('@').expect("a time").0 {
                    "-" => rows.remove(key),
                    row => rows.insert(key.to_owned(), row.to_owned()),
                };
            }
            prop_assert_eq!(rows, expected.clone());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(12) })]

    #[test]
    fn versions_come_back_from_disk(
        inputs in inputs(0..20_000),
        history in 0..20_000_i64,
        grace in prop::option::of(0.0..=1.0_f64),
        (checkpoint, restart) in (0..80_usize, 0..80_usize),
    ) {
        let grace = grace.map(|share| (share * history as f64) as i64);
        let mut model = Model::new(history, grace);
        inputs.iter().for_each(|input| model.push(*input));
        let directory = tempfile::tempdir().expect("a directory");
        let options = DriverOptions { state_directory: Some(directory.path().to_owned()), ..DriverOptions::default() };
        let topology = joined(history, grace).expect("legal");
        let mut driver = TopologyTestDriver::with_options(&topology, options).expect("can be run");
        for (number, input) in inputs.iter().enumerate() {
            push(&mut driver, input);
            if number == checkpoint {
                driver.checkpoint().expect("writes");
            }
            if number == restart || number == checkpoint {
                driver.restart().expect("starts again");
            }
        }
        prop_assert_eq!(&drained(&mut driver), &model.out);
    }
}
