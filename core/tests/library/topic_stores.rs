//! Stores that processors read and topics or tables fill.

use millstream::{
    StreamsBuilder,
    dsl::{Consumed, Materialized, Produced, StateStore, Stores},
    operator::EmitPolicy,
    record::Record,
    testing::TopologyTestDriver,
    topology::Topology,
};
use proptest::prelude::*;

/// Tells for each record of `ask` what a store of `rows` holds: of its key, and how many keys.
fn asking(is_table: bool) -> Topology {
    let builder = StreamsBuilder::new();
    let store = if is_table {
        let table = builder.table::<String, String>("rows", Consumed::kafka(), Materialized::named("rows"));
        table.state_store().expect("a table of a topic has one")
    } else {
        builder.add_read_only_state_store(Stores::key_value("rows").in_memory(), "rows", Consumed::kafka())
    };
    assert_eq!((store.name(), store.is_read_only()), ("rows", true));
    let read = store.clone();
    let asked = builder.stream::<String, String>("ask", Consumed::kafka());
    let told = asked.process_values_each(
        move |record, context| {
            let mut rows = context.store(&read)?;
            let (row, all) = (rows.get(record.key())?.unwrap_or_default(), rows.all()?.len());
            context.forward(record.with_value(format!("{row} of {all}")));
            Ok(())
        },
        &[&store],
    );
    told.to("out", Produced::kafka());
    builder.build().expect("legal")
}

fn told(topology: &Topology, inputs: &[(bool, u8, Option<u8>)], emit: EmitPolicy, lives: usize) -> Vec<String> {
    let mut driver = TopologyTestDriver::with(topology, 2, emit).expect("can be run");
    for (number, &(is_row, key, value)) in inputs.iter().enumerate() {
        let value = value.map(|value| value.to_string().into_bytes());
        let record = Record { value, ..Record::new(format!("k{key}"), "").at_ms(number as i64) };
        let record = if is_row { record } else { Record { value: Some(Vec::new()), ..record } };
        driver.push(if is_row { "rows" } else { "ask" }, record).expect("runs");
        if number % lives == lives - 1 {
            driver.restart().expect("starts again");
        }
    }
    let mut records = driver.drain("out").expect("a topic");
    records.sort_by_key(|record| record.timestamp);
    let text = |record: Record| String::from_utf8(record.value.expect("a value")).expect("text");
    records.into_iter().map(|record| text(record).split(" of ").next().unwrap_or_default().to_owned()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn processors_see_the_newest_rows_of_tables_and_topics(
        inputs in prop::collection::vec((any::<bool>(), 0_u8..4, prop::option::weighted(0.8, 0_u8..9)), 0..40),
        lives in 1_usize..9,
    ) {
        let mut rows = std::collections::BTreeMap::new();
        let mut expected = Vec::new();
        for &(is_row, key, value) in &inputs {
            match (is_row, value) {
                (false, _) => expected.push(rows.get(&key).map(ToString::to_string).unwrap_or_default()),
                (true, Some(value)) => drop(rows.insert(key, value)),
                (true, None) => drop(rows.remove(&key)),
            }
        }
        for (is_table, emit) in [(true, EmitPolicy::Commit), (false, EmitPolicy::Record)] {
            prop_assert_eq!(told(&asking(is_table), &inputs, emit, lives), expected.clone());
        }
    }
}

#[test]
fn a_store_that_a_topic_fills_has_no_other_changelog() {
    let described = asking(false).describe();
    assert!(!described.contains("changelog"), "{described}");
    assert!(described.contains("from the first record at every start"), "{described}");
}

#[test]
fn tables_without_such_a_store_give_no_handle() {
    let builder = StreamsBuilder::new();
    let table = builder.table::<String, String>("rows", Consumed::kafka(), Materialized::named("rows"));
    assert!(table.filter(|_, _| true).state_store().is_none());
    let stored = table.filter(|_, _| true).materialize("kept").state_store();
    assert_eq!(stored.as_ref().map(|store| store.name()), Some("kept"));
}
