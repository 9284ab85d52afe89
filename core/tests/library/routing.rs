//! Where records go: partitioners, topics chosen record by record, and what becomes of those that have no place.

use millstream::{
    StreamsBuilder,
    dsl::{Consumed, Produced, Repartitioned},
    operator::Placement,
    record::Record,
    testing::{DriverOptions, TopologyTestDriver},
};

fn driver(builder: StreamsBuilder) -> TopologyTestDriver {
    let options = DriverOptions { partitions: 4, ..DriverOptions::default() };
    TopologyTestDriver::with_options(&builder.build().expect("legal"), options).expect("starts")
}

fn pipe(driver: &TopologyTestDriver, numbers: std::ops::Range<i64>) {
    let input = driver.input_topic::<String, i64>("in").expect("is read");
    numbers.for_each(|number| input.pipe(format!("k{number}"), number).expect("is piped"));
}

/// How many records each partition of a topic has.
fn lengths(driver: &TopologyTestDriver, topic: &str) -> Vec<u64> {
    driver.end_offsets(topic).expect("there").into_iter().map(|offset| offset.0).collect()
}

#[test]
fn a_partitioner_places_copies_and_leaves_out() {
    let builder = StreamsBuilder::new();
    let place = |_: &String, number: &i64, partitions: u32| match number % 5 {
        0 => Placement::Nowhere,
        1 => Placement::One(2),
        2 => Placement::Each((0..partitions).collect()),
        3 => Placement::One(partitions),
        _ => Placement::ByKey,
    };
    builder.stream::<String, i64>("in", Consumed::kafka()).to("out", Produced::kafka().partitioner(place));
    let mut driver = driver(builder);
    pipe(&driver, 0..4);
    assert_eq!(lengths(&driver, "out"), [1, 1, 2, 1]);
    let letters = driver.dead_letters().expect("readable");
    let problem = letters[0].headers.iter().find(|header| header.name == "millstream.problem");
    let problem = problem.and_then(|header| header.value.clone()).expect("says why");
    assert_eq!(String::from_utf8_lossy(&problem), "the partitioner chose partition 4 of 4");
    pipe(&driver, 4..5);
    assert_eq!(lengths(&driver, "out").iter().sum::<u64>(), 6, "one by its key");
}

#[test]
fn a_repartition_goes_where_its_partitioner_says() {
    let builder = StreamsBuilder::new();
    let all_in_one = |_: &String, _: &i64, _: u32| Placement::One(1);
    let moved = Repartitioned::named("moved").with_partitions(2).partitioner(all_in_one);
    builder.stream::<String, i64>("in", Consumed::kafka()).repartition(moved).group_by_key().count("counts");
    let driver = driver(builder);
    pipe(&driver, 0..6);
    assert_eq!(lengths(&driver, "test-driver-moved-repartition"), [0, 6]);
    assert_eq!(lengths(&driver, "test-driver-counts-changelog"), [0, 6]);
}

#[test]
fn a_partitioner_of_other_types_is_refused_when_the_topology_is_built() {
    let builder = StreamsBuilder::new();
    let of_text = |_: &String, _: &String, _: u32| Placement::ByKey;
    builder.stream::<String, i64>("in", Consumed::kafka()).to("out", Produced::kafka().partitioner(of_text));
    let error = builder.build().err().expect("refused").to_string();
    assert_eq!(error, "to out: the partitioner takes values of (Utf8), the stream has (Int64)");
}

#[test]
fn topics_are_chosen_record_by_record_and_found_when_they_come() {
    let builder = StreamsBuilder::new();
    let topic = |_: &String, number: &i64| if number % 2 == 0 { "even".to_owned() } else { "odd".to_owned() };
    builder.stream::<String, i64>("in", Consumed::kafka()).to_dynamic(topic, Produced::kafka().named("by-parity"));
    let mut driver = driver(builder);
    driver.create_topic("even", 3).expect("made");
    pipe(&driver, 0..4);
    assert_eq!((lengths(&driver, "even").len(), lengths(&driver, "even").iter().sum::<u64>()), (3, 2));
    let letters = driver.dead_letters().expect("readable");
    assert_eq!(letters.len(), 2, "there is no topic of odd numbers yet");
    driver.create_topic("odd", 1).expect("made");
    pipe(&driver, 4..8);
    assert_eq!((lengths(&driver, "odd"), lengths(&driver, "even").iter().sum::<u64>()), (vec![2], 4));
}

#[test]
fn names_are_unique_and_told_in_the_plan() {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, i64>("in", Consumed::kafka());
    let big = stream.filter(|_, number| *number > 9).named("big");
    big.map_values(|number| number + 1).named("bigger").to("out", Produced::kafka().named("writes"));
    let plan = builder.build().expect("legal").describe();
    for line in ["writes: to topic out", "bigger: map_values", "big: filter"] {
        assert!(plan.contains(line), "{plan}");
    }
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, i64>("in", Consumed::kafka());
    stream.filter(|_, _| true).named("same").filter(|_, _| true).named("same");
    let error = builder.build().err().expect("refused").to_string();
    assert_eq!(error, "same: two operators are called so; give each its own name");
}

#[test]
fn a_record_that_was_pushed_raw_is_routed_alike() {
    let builder = StreamsBuilder::new();
    builder.stream::<String, i64>("in", Consumed::kafka()).to("out", Produced::kafka());
    let mut driver = driver(builder);
    driver.push("in", Record::new("k1", 7_i64.to_be_bytes())).expect("is pushed");
    let place = |topic: &str| lengths(&driver, topic).iter().position(|length| *length == 1);
    assert!(place("in").is_some() && place("in") == place("out"));
}
