//! Records without key or value in typed streams: seen by closures over `Option`, and reported or left alone by the others.

use millstream::{
    StreamsBuilder,
    dsl::{Consumed, Produced},
    record::Record,
    testing::{TestRecord, TopologyTestDriver},
};

type Seen = (Option<String>, Option<String>);

fn pipe(driver: &TopologyTestDriver) {
    let input = driver.input_topic::<Option<String>, Option<String>>("in").expect("is read");
    for (key, value) in [(Some("a"), Some("x")), (Some("b"), None), (None, Some("y")), (None, None)] {
        input.pipe_record(TestRecord::new(key.map(str::to_owned), Some(value.map(str::to_owned)))).expect("is piped");
    }
}

/// What comes out of `make`, and how many dead letters.
fn run(make: impl Fn(&StreamsBuilder)) -> (Vec<Seen>, usize) {
    let builder = StreamsBuilder::new();
    make(&builder);
    let mut driver = TopologyTestDriver::new(&builder.build().expect("legal")).expect("starts");
    pipe(&driver);
    let text = |bytes: Option<Vec<u8>>| bytes.map(|bytes| String::from_utf8(bytes).expect("text"));
    let out = driver.drain("out").expect("readable").into_iter();
    let seen = out.map(|Record { key, value, .. }| (text(key), text(value))).collect();
    (seen, driver.dead_letters().expect("readable").len())
}

fn row(key: Option<&str>, value: Option<&str>) -> Seen {
    (key.map(str::to_owned), value.map(str::to_owned))
}

#[test]
fn closures_over_options_see_nothing_as_none() {
    let (seen, letters) = run(|builder| {
        let stream = builder.stream::<Option<String>, Option<String>>("in", Consumed::kafka());
        stream.map_values(|value| value.map(|value| value + "!")).to("out", Produced::kafka());
    });
    assert_eq!(seen, [row(Some("a"), Some("x!")), row(Some("b"), None), row(None, Some("y!")), row(None, None)]);
    assert_eq!(letters, 0);

    let (seen, letters) = run(|builder| {
        let stream = builder.stream::<Option<String>, Option<String>>("in", Consumed::kafka());
        let shown = |key, value: Option<String>| (key, Some(format!("{value:?}")));
        stream.filter_not(|key, value| key.is_some() && value.is_some()).map(shown).to("out", Produced::kafka());
    });
    assert_eq!(seen, [row(Some("b"), Some("None")), row(None, Some("Some(\"y\")")), row(None, Some("None"))]);
    assert_eq!(letters, 0);
}

#[test]
fn closures_over_values_leave_missing_ones_missing_or_report_them() {
    let (seen, letters) = run(|builder| {
        let stream = builder.stream::<String, String>("in", Consumed::kafka());
        stream.map_values(|value| value + "!").to("out", Produced::kafka());
    });
    assert_eq!(seen, [row(Some("a"), Some("x!")), row(Some("b"), None), row(None, Some("y!")), row(None, None)]);
    assert_eq!(letters, 0, "mapping values needs neither");

    let (seen, letters) = run(|builder| {
        let stream = builder.stream::<String, String>("in", Consumed::kafka());
        stream.filter(|_, value| !value.is_empty()).to("out", Produced::kafka());
    });
    assert_eq!((seen, letters), (vec![row(Some("a"), Some("x"))], 3), "a filter needs key and value");
}

#[test]
fn results_of_none_are_tombstones_of_tables() {
    let builder = StreamsBuilder::new();
    let table = builder.table::<String, i64>("in", Consumed::kafka(), "in".into());
    let even = table.map_values(|number| (number % 2 == 0).then_some(number));
    even.to_stream().to("out", Produced::kafka());
    let mut driver = TopologyTestDriver::new(&builder.build().expect("legal")).expect("starts");
    let input = driver.input_topic::<String, i64>("in").expect("is read");
    [2, 3, 4].into_iter().for_each(|number| input.pipe("k", number).expect("is piped"));
    let values: Vec<_> = driver.drain("out").expect("readable").into_iter().map(|record| record.value).collect();
    let bytes = |number: i64| Some(number.to_be_bytes().to_vec());
    assert_eq!(values, [bytes(2), None, bytes(4)]);
}
