//! Stateless operators of the typed DSL, and what `build` refuses.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use millstream::{
    StreamsBuilder,
    dsl::{Consumed, Materialized, Produced, SourceOptions},
    expression::{col, lit},
    format::{Format, Wrapping},
    operator::EmitPolicy,
    record::Record,
    schema::WindowKind,
    testing::TopologyTestDriver,
    topology::{Formats, OffsetReset, TimestampExtractor, Topology},
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Order {
    item: String,
    amount: f64,
}

fn run(topology: &Topology, orders: &[(&str, &str, f64)], output: &str) -> Vec<(String, String)> {
    let mut driver = TopologyTestDriver::new(topology).expect("can be run");
    for (key, item, amount) in orders {
        driver.push("orders", Record::new(*key, format!(r#"{{"item":"{item}","amount":{amount}}}"#))).expect("runs");
    }
    let text = |bytes: Option<Vec<u8>>| String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
    driver.drain(output).expect("an output").into_iter().map(|record| (text(record.key), text(record.value))).collect()
}

const ORDERS: [(&str, &str, f64); 3] = [("ada", "tea", 2.0), ("bob", "ink", -1.0), ("ada", "pen", 5.0)];

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn closures_and_expressions_filter_alike() {
    let builder = StreamsBuilder::new();
    let orders = builder.stream::<String, Order>("orders", Consumed::json());
    orders.filter(|_, order| order.amount > 0.0).to("closure", Produced::json());
    orders.filter_expr(col("amount").gt(lit(0.0))).to("expression", Produced::json());
    let topology = builder.build().expect("legal");
    let expected = pairs(&[("ada", r#"{"item":"tea","amount":2.0}"#), ("ada", r#"{"item":"pen","amount":5.0}"#)]);
    assert_eq!(run(&topology, &ORDERS, "closure"), expected);
    assert_eq!(run(&topology, &ORDERS, "expression"), expected);
}

#[test]
fn records_are_mapped_split_and_merged() {
    let builder = StreamsBuilder::new();
    let orders = builder.stream::<String, Order>("orders", Consumed::json());
    let branches = orders.split().branch(|_, order| order.amount < 0.0).default_branch();
    let bad = branches[0].map_values(|order| format!("bad {}", order.item));
    let good = branches[1].flat_map(|key, order| {
        order.item.chars().take(2).map(|letter| (key.clone(), letter.to_string())).collect::<Vec<_>>()
    });
    bad.merge(&good).map(|key, text| (text, key)).to("out", Produced::kafka());
    let expected = pairs(&[("t", "ada"), ("e", "ada"), ("bad ink", "bob"), ("p", "ada"), ("e", "ada")]);
    assert_eq!(run(&builder.build().expect("legal"), &ORDERS, "out"), expected);
}

#[test]
fn lists_become_rows() {
    let builder = StreamsBuilder::new();
    let field = |name: &str, data_type| Arc::new(Field::new(name, data_type, true));
    let list = |item| DataType::List(Arc::new(Field::new("item", item, true)));
    let formats = Formats { key: Format::Kafka, value: Format::Json, wrapping: Wrapping::Wrapped };
    let options = SourceOptions {
        key: vec![field("k", DataType::Utf8)],
        value: vec![
            field("names", list(DataType::Utf8)),
            field("unused", DataType::Utf8),
            field("country", DataType::Utf8),
            field("ages", list(DataType::Int64)),
        ],
        parts: Vec::new(),
        window: WindowKind::None,
        formats: formats.clone(),
        timestamp: TimestampExtractor::Record,
        reset: OffsetReset::Earliest,
    };
    let people = builder.stream_columns("people", options).unnest(&["names", "ages"]);
    let columns = ["country", "names", "ages"].map(|name| millstream::operator::Column::new(name, col(name)));
    people.select(&columns).to("out", Produced::of(formats));
    let topology = builder.build().expect("legal");
    let records = [
        Some(r#"{"names":["john","paul"],"country":"UK","ages":[23]}"#),
        Some(r#"{"names":[],"country":"FR"}"#),
        None,
        Some(r#"{"names":null,"country":"US","ages":[56,null]}"#),
    ];
    let expected = [
        (1, r#"{"country":"UK","names":"john","ages":23}"#),
        (1, r#"{"country":"UK","names":"paul","ages":null}"#),
        (4, r#"{"country":"US","names":null,"ages":56}"#),
        (4, r#"{"country":"US","names":null,"ages":null}"#),
    ];
    for emit in [EmitPolicy::Record, EmitPolicy::Commit] {
        let mut driver = TopologyTestDriver::with(&topology, 1, emit).expect("can be run");
        let all = records.iter().zip(1..).map(|(value, time)| {
            let record = Record::new("k", value.unwrap_or_default()).at_ms(time);
            if value.is_some() { record } else { Record { value: None, ..record } }
        });
        driver.push_all("people", all).expect("runs");
        let out = driver.drain("out").expect("an output");
        let text =
            |record: Record| (record.timestamp.0, String::from_utf8(record.value.expect("a value")).expect("text"));
        let out: Vec<(i64, String)> = out.into_iter().map(text).collect();
        assert_eq!(out, expected.map(|(time, value)| (time, value.to_owned())));
    }
}

#[test]
fn closures_fold() {
    let builder = StreamsBuilder::new();
    let orders = builder.stream::<String, Order>("orders", Consumed::json());
    let amounts = orders.map_values(|order| order.amount);
    amounts
        .group_by_key()
        .reduce(f64::max, "highest")
        .to_stream()
        .map_values(|a| a.to_string())
        .to("highest-out", Produced::kafka());
    let items = orders.group_by(|_, _| "all".to_owned());
    items
        .aggregate(String::new, |_, order, list| list + &order.item, Materialized::named("items"))
        .to_stream()
        .to("items-out", Produced::kafka());
    let topology = builder.build().expect("legal");
    assert_eq!(run(&topology, &ORDERS, "highest-out"), pairs(&[("ada", "2"), ("bob", "-1"), ("ada", "5")]));
    assert_eq!(run(&topology, &ORDERS, "items-out"), pairs(&[("all", "tea"), ("all", "teaink"), ("all", "teainkpen")]));
}

#[test]
fn describe_names_every_setting_that_can_change_a_result() {
    let builder = StreamsBuilder::new();
    let orders = builder.stream::<String, Order>("orders", Consumed::json());
    orders
        .filter_expr(col("amount").gt(lit(0.0)))
        .group_by(|_, o| o.item.clone())
        .count("per-item")
        .to_stream()
        .to("out", Produced::json());
    insta_like(&builder.build().expect("legal").describe());
}

fn insta_like(text: &str) {
    let expected = "\
streaming plan
  subtopology 0: one task a partition
    sink-per-item-repartition: to topic <application>-per-item-repartition (key ROW, value ROW)
      select_key-orders-1b8d: select_key by a closure
        filter-orders-c2a4: filter: amount > Float64(0)
          source-orders: topic orders (key KAFKA, value JSON), decodes [item, amount]
  subtopology 1: one task a partition
    sink-out: to topic out (key KAFKA, value JSON)
      to-stream-orders-2987: to stream
        aggregate-per-item: aggregate: value, store `per-item`
          source-per-item-repartition: topic <application>-per-item-repartition (key ROW, value ROW), decodes []
topics
  orders (read), partitions: as created
    key KAFKA (key Utf8)
    value JSON (item Utf8, amount Float64)
  <application>-per-item-repartition (internal), partitions: as many as what is read beside it, or it comes from
    key ROW (key Utf8)
    value ROW (item Utf8, amount Float64)
  out (written), partitions: as created
    key KAFKA (key Utf8)
    value JSON (value Int64)
  <application>-per-item-changelog (changelog), partitions: one a task of subtopology 1
state stores
  per-item: one row a group, of aggregate-per-item in subtopology 1
    key (key Utf8)
    value (value[count] Int64)
    one row a value of key: grows with their number
";
    assert_eq!(text, expected);
}

#[test]
fn build_says_what_is_wrong() {
    let refused = |make: &dyn Fn(&StreamsBuilder)| {
        let builder = StreamsBuilder::new();
        make(&builder);
        builder.build().err().expect("refused").to_string()
    };
    assert!(refused(&|_| ()).contains("no source"));
    let unknown = refused(&|builder| {
        let orders = builder.stream::<String, Order>("orders", Consumed::json());
        orders.filter_expr(col("amont").gt(lit(0))).to("out", Produced::json());
    });
    assert!(unknown.contains("filter") && unknown.contains("amont"), "{unknown}");
    let twice = refused(&|builder| {
        let orders = builder.stream::<String, Order>("orders", Consumed::json());
        orders.group_by_key().count("same");
        orders.group_by_key().count("same");
    });
    assert!(twice.contains("`same`"), "{twice}");
    let topic = refused(&|builder| builder.stream::<String, Order>("or ders", Consumed::json()).for_each(|_, _| ()));
    assert!(topic.contains("or ders"), "{topic}");
    let types = refused(&|builder| {
        let orders = builder.stream::<String, Order>("orders", Consumed::json());
        orders.group_by_key().sum::<i64>(col("amount"), "sums");
    });
    assert!(types.contains("Float64") && types.contains("Int64"), "{types}");
}
