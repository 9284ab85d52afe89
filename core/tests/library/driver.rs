//! The test driver: typed topics, their clocks, partitions, commits by hand.

use std::time::Duration;

use millstream::{
    StreamsBuilder,
    dsl::{Consumed, Materialized, Produced, Windowed},
    log::partition_for_key,
    record::TimeSpan,
    testing::{CommitPolicy, DriverError, DriverOptions, TestRecord, TopologyTestDriver},
    topology::Topology,
    window::{SessionWindows, TimeWindows},
};
use serde::{Deserialize, Serialize};

fn span(millis: i64) -> TimeSpan {
    TimeSpan::from_millis(millis).expect("not negative")
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    item: String,
    amount: i64,
    note: Option<String>,
}

fn order(item: &str, amount: i64) -> Order {
    Order { item: item.into(), amount, note: None }
}

/// Orders as they are, and their number by item.
fn orders() -> Topology {
    let builder = StreamsBuilder::new();
    let orders = builder.stream::<String, Order>("orders", Consumed::json());
    orders.filter(|_, order| order.amount > 0).to("real", Produced::json());
    orders.group_by(|_, order| order.item.clone()).count("items").to_stream().to("counts", Produced::kafka());
    builder.build().expect("legal")
}

#[test]
fn topics_are_written_and_read_with_types() {
    let driver = TopologyTestDriver::new(&orders()).expect("starts");
    let topic = driver.input_topic::<String, Order>("orders").expect("is read");
    let real = driver.output_topic::<String, Order>("real").expect("is written");
    let counts = driver.output_topic::<String, i64>("counts").expect("is written");
    let first = TestRecord::new("ada".to_owned(), Some(order("tea", 3))).at_ms(7).with_header("source", b"shop");
    topic.pipe_record(first.clone()).expect("works");
    topic.pipe("bob", order("tea", 0)).expect("works");
    topic.pipe("bob", Order { note: Some("hot".into()), ..order("rye", 2) }).expect("works");
    assert_eq!(real.queue_size().expect("readable"), 2);
    assert_eq!(real.read_record().expect("readable"), Some(first));
    assert_eq!(real.read_value().expect("readable").flatten().and_then(|order| order.note).as_deref(), Some("hot"));
    assert!(real.is_empty().expect("readable"));
    assert_eq!(counts.read_key_value().expect("readable"), Some(("tea".to_owned(), Some(1))));
    let newest = counts.read_key_values_to_map().expect("readable");
    assert_eq!((newest["tea"], newest["rye"]), (Some(2), Some(1)));
}

#[test]
fn tombstones_go_in_and_come_out() {
    let builder = StreamsBuilder::new();
    let table = builder.table::<String, i64>("prices", Consumed::kafka(), Materialized::named("prices"));
    table.to_stream().to("out", Produced::kafka());
    let driver = TopologyTestDriver::new(&builder.build().expect("legal")).expect("starts");
    let prices = driver.input_topic::<String, i64>("prices").expect("is read");
    prices.pipe("tea", 3).expect("works");
    prices.pipe_null_value_at("tea", 9).expect("works");
    let out = driver.output_topic::<String, i64>("out").expect("is written").read_records_to_list().expect("readable");
    let seen: Vec<_> = out.iter().map(|record| (record.value, record.timestamp.millis())).collect();
    assert_eq!(seen, [(Some(3), 0), (None, 9)]);
}

#[test]
fn topics_have_clocks_of_their_own() {
    let driver = TopologyTestDriver::new(&orders()).expect("starts");
    let topic = driver.input_topic::<String, Order>("orders").expect("is read");
    let topic = topic.starting_at_ms(1_000).auto_advance(Duration::from_millis(10));
    topic.pipe("a", order("x", 1)).expect("works");
    topic.pipe_at("a", order("x", 1), 5).expect("works");
    topic.pipe("a", order("x", 1)).expect("works");
    topic.advance_time(Duration::from_secs(1));
    topic.pipe_key_value_list([("a", order("x", 1)), ("b", order("x", 1))]).expect("works");
    let real = driver.output_topic::<String, Order>("real").expect("is written").read_records_to_list();
    let times: Vec<i64> = real.expect("readable").iter().map(|record| record.timestamp.millis()).collect();
    assert_eq!(times, [1_000, 5, 1_010, 2_020, 2_030]);
}

#[test]
fn keys_with_windows_are_read_as_such() {
    let builder = StreamsBuilder::new();
    let clicks = builder.stream::<String, i64>("clicks", Consumed::kafka()).group_by_key();
    let tumbling = clicks.windowed_by(TimeWindows::tumbling(span(10), span(0)).expect("legal"));
    tumbling.count("counts").to_stream().to("counts", Produced::kafka());
    let sessions = clicks.windowed_by(SessionWindows::new(span(5), span(100)).expect("legal"));
    sessions.count("visits").to_stream().to("visits", Produced::kafka());
    let driver = TopologyTestDriver::new(&builder.build().expect("legal")).expect("starts");
    let topic = driver.input_topic::<String, i64>("clicks").expect("is read");
    topic.pipe_at("ada", 1, 12).expect("works");
    topic.pipe_at("ada", 1, 15).expect("works");
    let key = |start, end| Windowed { key: "ada".to_owned(), start, end };
    let counts = driver.output_topic::<Windowed<String>, i64>("counts").expect("has windows");
    let counts = counts.read_key_values_to_list().expect("readable");
    assert_eq!(counts, [(key(10, 20), Some(1)), (key(10, 20), Some(2))]);
    let visits = driver.output_topic::<Windowed<String>, i64>("visits").expect("has windows");
    let visits = visits.read_key_values_to_list().expect("readable");
    assert_eq!(visits, [(key(12, 12), Some(1)), (key(12, 12), None), (key(12, 15), Some(2))]);
    let error = driver.output_topic::<String, i64>("counts").err().map(|error| error.to_string());
    assert_eq!(
        error.as_deref(),
        Some("topic counts: its keys have windows; ask for keys of the type Windowed<String>")
    );
}

#[test]
fn what_does_not_fit_is_said() {
    let driver = TopologyTestDriver::new(&orders()).expect("starts");
    let check = |error: Option<DriverError>, expected: &str| {
        assert_eq!(error.map(|error| error.to_string()).as_deref(), Some(expected));
    };
    check(
        driver.input_topic::<String, Order>("order").err(),
        "topic order: the topology reads no topic of that name, it reads orders",
    );
    check(
        driver.output_topic::<String, Order>("orders").err(),
        "topic orders: the topology writes no topic of that name, it writes counts, real",
    );
    check(
        driver.output_topic::<String, String>("counts").err(),
        "topic counts: the value has the columns (value Int64), and String has (value Utf8)",
    );
    check(
        driver.output_topic::<Windowed<String>, i64>("counts").err(),
        "topic counts: its keys have no windows; ask for keys of the type K instead of Windowed<K>",
    );
}

#[test]
fn each_topic_has_its_number_of_partitions() {
    let options = DriverOptions { partitions: 2, ..DriverOptions::default() }.topic_partitions("counts", 5);
    let driver = TopologyTestDriver::with_options(&orders(), options).expect("starts");
    let topic = driver.input_topic::<String, Order>("orders").expect("is read");
    for number in 0..20 {
        topic.pipe(format!("k{number}"), order(&format!("i{number}"), 1)).expect("works");
    }
    let ends = |topic: &str| driver.end_offsets(topic).expect("is there").iter().map(|end| end.0).collect::<Vec<_>>();
    let expected = |partitions: u32, name: &str| {
        let of = |partition: u32| {
            let lies =
                |number: &i32| partition_for_key(format!("{name}{number}").as_bytes(), partitions).0 == partition;
            (0..20).filter(lies).count() as u64
        };
        (0..partitions).map(of).collect::<Vec<_>>()
    };
    assert_eq!(ends("orders"), expected(2, "k"));
    assert_eq!(ends("counts"), expected(5, "i"));
    assert_eq!(driver.output_topic::<String, i64>("counts").expect("is written").queue_size().expect("readable"), 20);
}

#[test]
fn commits_by_hand_take_one_step_through_repartition_topics_each() {
    let options = DriverOptions { commit: CommitPolicy::ByHand, ..DriverOptions::default() };
    let driver = TopologyTestDriver::with_options(&orders(), options).expect("starts");
    let topic = driver.input_topic::<String, Order>("orders").expect("is read");
    let counts = driver.output_topic::<String, i64>("counts").expect("is written");
    let real = driver.output_topic::<String, Order>("real").expect("is written");
    topic.pipe("ada", order("tea", 3)).expect("works");
    assert!(real.is_empty().expect("readable") && counts.is_empty().expect("readable"));
    driver.commit().expect("commits");
    assert!(!real.is_empty().expect("readable") && counts.is_empty().expect("readable"));
    driver.commit().expect("commits");
    assert_eq!(counts.read_value().expect("readable"), Some(Some(1)));
    topic.pipe("ada", order("tea", 3)).expect("works");
    driver.commit_until_idle().expect("commits");
    assert_eq!(counts.read_value().expect("readable"), Some(Some(2)));
}
