//! Global tables: what streams meet in them, and when.

use std::collections::BTreeMap;

use millstream::{
    StreamsBuilder,
    dsl::{Consumed, Produced},
    operator::{EmitPolicy, Reason},
    record::Record,
    testing::{DriverOptions, TopologyTestDriver},
    topology::Topology,
};
use proptest::prelude::*;

use crate::join_sequences::{Push, drained, record};

/// Orders name their article in front of a dash; one that names none has none.
fn topology(left: bool) -> Topology {
    let builder = StreamsBuilder::new();
    let articles = builder.global_table::<String, String>("articles", Consumed::kafka(), "articles");
    let orders = builder.stream::<Option<String>, String>("orders", Consumed::kafka());
    let article = |_: &Option<String>, order: &String| order.split_once('-').map(|(article, _)| article.to_owned());
    let text = |order: String, article: Option<String>| format!("{order} {}", article.unwrap_or("none".to_owned()));
    let joined = match left {
        true => orders.left_join_global(&articles, article, move |_, order, article| text(order, article)),
        false => orders.join_global(&articles, article, move |_, order, article| text(order, Some(article))),
    };
    joined.to("out", Produced::kafka());
    builder.build().expect("legal")
}

const PUSHES: [Push<'static>; 9] = [
    ("orders", Some("a"), Some("tea-1"), 10),
    ("articles", Some("tea"), Some("green"), 500),
    ("orders", Some("a"), Some("tea-2"), 20),
    ("articles", Some("tea"), Some("black"), 5),
    ("orders", None, Some("tea-3"), 30),
    ("orders", Some("a"), Some("nothing"), 40),
    ("articles", Some("tea"), None, 1),
    ("orders", Some("b"), Some("tea-4"), 0),
    ("orders", Some("b"), None, 50),
];

fn run(topology: &Topology, how: &str) -> Vec<String> {
    let mut driver = TopologyTestDriver::new(topology).expect("can be run");
    if how == "arrival" {
        driver.pause();
    }
    for push in &PUSHES {
        driver.push(push.0, record(push)).expect("runs");
        if how == "restarts" {
            driver.restart().expect("starts again");
        }
    }
    if how == "arrival" {
        driver.resume_in_order_of_arrival().expect("runs");
    }
    drained(&mut driver)
}

#[test]
fn a_record_meets_the_row_of_the_moment_whatever_the_timestamps() {
    let inner = topology(false);
    for how in ["single", "restarts", "arrival"] {
        assert_eq!(run(&inner, how), ["a tea-2 green@20", "? tea-3 black@30"], "{how}");
    }
}

#[test]
fn a_left_join_passes_on_what_meets_nothing_or_has_no_key_in_the_table() {
    let left = topology(true);
    let expected = ["a tea-1 none@10", "a tea-2 green@20", "? tea-3 black@30", "a nothing none@40", "b tea-4 none@0"];
    for how in ["single", "restarts", "arrival"] {
        assert_eq!(run(&left, how), expected, "{how}");
    }
}

#[test]
fn what_is_dropped_is_counted_and_kept() {
    let mut driver = TopologyTestDriver::new(&topology(false)).expect("can be run");
    PUSHES.iter().for_each(|push| driver.push(push.0, record(push)).expect("runs"));
    driver.push("articles", record(&("articles", None, Some("keyless"), 7))).expect("runs");
    driver
        .push("articles", Record { value: Some(vec![0xff]), ..record(&("articles", Some("bad"), None, 8)) })
        .expect("runs");
    let letters = driver.dead_letters().expect("a topic");
    assert_eq!(letters.len(), 4, "no article, no value, no key, no text: {letters:?}");
    let metrics = driver.metrics();
    assert_eq!(metrics.dead_letters, [(Reason::Undecodable, 1), (Reason::NullKey, 2), (Reason::NullValue, 1)]);
    driver.restart().expect("starts again");
    driver.push("orders", record(&("orders", Some("a"), Some("tea-9"), 60))).expect("runs");
    assert_eq!(driver.dead_letters().expect("a topic").len(), 0, "those of the table are not written again");
}

#[test]
fn the_table_is_whole_in_every_task_and_is_a_view() {
    let topology = topology(true);
    let mut driver = TopologyTestDriver::with(&topology, 4, EmitPolicy::Commit).expect("can be run");
    for number in 0..20 {
        let (key, value) = (format!("a{number}"), format!("row {number}"));
        driver.push("articles", record(&("articles", Some(&key), Some(&value), 0))).expect("runs");
    }
    for number in 0..20 {
        let (key, value) = (format!("k{number}"), format!("a{}-x", 19 - number));
        driver.push("orders", record(&("orders", Some(&key), Some(&value), 0))).expect("runs");
    }
    let out = drained(&mut driver);
    assert_eq!(out.len(), 20);
    assert!(out.iter().all(|line| line.contains(" row ")), "{out:?}");
    let rows: usize = driver.view("articles").expect("a view").iter().map(|batch| batch.num_rows()).sum();
    assert_eq!(rows, 20);
}

#[test]
fn on_disk_it_is_read_anew_at_each_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let options =
        DriverOptions { state_directory: Some(directory.path().to_owned()), partitions: 3, ..DriverOptions::default() };
    let mut driver = TopologyTestDriver::with_options(&topology(true), options).expect("can be run");
    let article = |value: Option<&'static str>| ("articles", Some("tea"), value, 0);
    let order = |number: i64| ("orders", Some("k"), Some("tea-x"), number);
    let mut expected = Vec::new();
    for (number, value) in [Some("green"), None, Some("black"), Some("white"), None].into_iter().enumerate() {
        driver.push("articles", record(&article(value))).expect("runs");
        if number % 2 == 0 {
            driver.checkpoint().expect("writes");
            driver.restart().expect("starts again");
        }
        driver.push("orders", record(&order(number as i64))).expect("runs");
        expected.push(format!("k tea-x {}@{number}", value.unwrap_or("none")));
    }
    assert_eq!(drained(&mut driver), expected);
}

#[test]
fn a_topology_may_write_the_topic_of_its_own_global_table() {
    let builder = StreamsBuilder::new();
    let seen = builder.global_table::<String, String>("seen", Consumed::kafka(), "seen");
    let words = builder.stream::<String, String>("words", Consumed::kafka());
    words.to("seen", Produced::kafka());
    let text = |_: &String, word: String, before: Option<String>| {
        format!("{word} after {}", before.unwrap_or("none".to_owned()))
    };
    words.left_join_global(&seen, |key, _| Some(key.clone()), text).to("out", Produced::kafka());
    let mut driver = TopologyTestDriver::new(&builder.build().expect("legal")).expect("can be run");
    for word in ["a", "b", "c"] {
        driver.push("words", record(&("words", Some("k"), Some(word), 0))).expect("runs");
    }
    assert_eq!(drained(&mut driver), ["k a after none@0", "k b after a@0", "k c after b@0"]);
}

#[test]
fn what_a_global_table_cannot_be_is_said() {
    let plan = topology(false).describe();
    assert!(plan.contains("global tables\n  articles: the whole topic articles in each process"), "{plan}");
    let builder = StreamsBuilder::new();
    let articles = builder.global_table::<i64, String>("articles", Consumed::kafka(), "same");
    builder.table::<String, String>("orders", Consumed::kafka(), "same".into());
    builder.stream::<String, String>("asked", Consumed::kafka()).join_global(
        &articles,
        |_, _| Some(1_i64),
        |_, _, row| row,
    );
    assert_eq!(
        builder.build().err().expect("one name").to_string(),
        "two state stores are called `same`; give each its own name"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn every_record_meets_the_last_row_before_it(
        inputs in prop::collection::vec((any::<bool>(), 0..4_u8, prop::option::weighted(0.8, any::<u8>()), 0..100_i64), 1..60),
        partitions in 1..4_u32,
        restart in 0..60_usize,
    ) {
        let builder = StreamsBuilder::new();
        let table = builder.global_table::<String, String>("table", Consumed::kafka(), "table");
        let stream = builder.stream::<String, String>("stream", Consumed::kafka());
        let named = |_: &String, value: &String| value.parse::<u8>().ok().map(|value| (value % 4).to_string());
        stream
            .left_join_global(&table, named, |_, value, row| format!("{value},{}", row.unwrap_or_default()))
            .to("out", Produced::kafka());
        let topology = builder.build().expect("legal");
        let mut rows: BTreeMap<u8, u8> = BTreeMap::new();
        let mut expected = Vec::new();
        for &(is_stream, key, value, time) in &inputs {
            match (is_stream, value) {
                (true, Some(value)) => {
                    let row = rows.get(&(value % 4)).map(ToString::to_string).unwrap_or_default();
                    expected.push(format!("{key} {value},{row}@{time}"));
                }
                (true, None) => {}
                (false, Some(value)) => drop(rows.insert(key, value)),
                (false, None) => drop(rows.remove(&key)),
            }
        }
        expected.sort();
        for emit in [EmitPolicy::Record, EmitPolicy::Commit] {
            let mut driver = TopologyTestDriver::with(&topology, partitions, emit).expect("can be run");
            for (number, &(is_stream, key, value, time)) in inputs.iter().enumerate() {
                let (key, value) = (key.to_string(), value.map(|value| value.to_string()));
                let topic = if is_stream { "stream" } else { "table" };
                driver.push(topic, record(&(topic, Some(&key), value.as_deref(), time))).expect("runs");
                if number == restart {
                    driver.restart().expect("starts again");
                }
            }
            let mut out = drained(&mut driver);
            out.sort();
            prop_assert_eq!(&out, &expected);
        }
    }
}
