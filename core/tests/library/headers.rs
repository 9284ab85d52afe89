//! Headers go with the records that cause a result, and can be read as columns.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use millstream::{
    StreamsBuilder,
    dsl::{Consumed, Materialized, Produced, SourceOptions},
    expression::{col, count, lit},
    format::{Format, Wrapping},
    operator::{Column, EmitPolicy},
    record::{Header, Record},
    schema::WindowKind,
    testing::TopologyTestDriver,
    topology::{Formats, OffsetReset, RecordPart, TimestampExtractor},
    window::SessionWindows,
};

fn record(key: &str, value: &str, time: i64, headers: &[&str]) -> Record {
    let header = |name: &&str| Header { name: (*name).to_owned(), value: Some(name.as_bytes().to_vec()) };
    Record { headers: headers.iter().map(header).collect(), ..Record::new(key, value).at_ms(time) }
}

/// What comes out: value, then the names of headers.
fn shown(records: Vec<Record>) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let line = |record: Record| {
        let names: Vec<String> = record.headers.iter().map(|header| header.name.clone()).collect();
        format!("{} [{}]", record.value.map_or("null".to_owned(), |value| text(&value)), names.join(" "))
    };
    records.into_iter().map(line).collect()
}

fn check(make: impl Fn(&StreamsBuilder), records: Vec<Record>, want: &[&str]) {
    let builder = StreamsBuilder::new();
    make(&builder);
    let topology = builder.build().expect("legal");
    for cut in [1, 100] {
        let mut driver = TopologyTestDriver::with(&topology, 1, EmitPolicy::Record).expect("can be run");
        for part in records.chunks(cut) {
            driver.push_all("in", part.to_vec()).expect("runs");
        }
        assert_eq!(shown(driver.drain("out").expect("an output")), want, "cut {cut}");
    }
}

#[test]
fn headers_go_with_what_a_record_causes() {
    let records = || {
        vec![
            record("a", "1", 0, &["x"]),
            record("b", "2", 1, &[]),
            record("a", "3", 2, &["y", "z"]),
            record("a", "4", 20, &[]),
        ]
    };
    let text = |builder: &StreamsBuilder| builder.stream::<String, String>("in", Consumed::kafka());
    check(|builder| text(builder).to("out", Produced::kafka()), records(), &["1 [x]", "2 []", "3 [y z]", "4 []"]);
    check(
        |builder| {
            text(builder).filter(|_, value| value != "1").map_values(|value| value + "!").to("out", Produced::kafka())
        },
        records(),
        &["2! []", "3! [y z]", "4! []"],
    );
    check(
        |builder| text(builder).flat_map(|key, value| vec![(key, value); 2]).to("out", Produced::kafka()),
        vec![record("a", "1", 0, &["x"])],
        &["1 [x]", "1 [x]"],
    );
    // Through a repartition topic, into an aggregate.
    check(
        |builder| {
            let joined = text(builder).group_by(|_, _| 0_i64).reduce(|all, value| all + &value, "joined");
            joined.to_stream().to("out", Produced::kafka());
        },
        records(),
        &["1 [x]", "12 []", "123 [y z]", "1234 []"],
    );
    check(
        |builder| {
            let gap = std::time::Duration::from_millis(5);
            let windows = SessionWindows::new(gap, gap).expect("legal");
            let joined = text(builder).group_by_key().windowed_by(windows).reduce(|all, value| all + &value, "joined");
            joined.to_stream().to("out", Produced::kafka());
        },
        records(),
        &["1 [x]", "2 []", "null [y z]", "13 [y z]", "4 []"],
    );
    check(
        |builder| {
            let table = builder.table::<String, String>("in", Consumed::kafka(), Materialized::named("table"));
            table.map_values(|value| value + "?").to_stream().to("out", Produced::kafka());
        },
        records(),
        &["1? [x]", "2? []", "3? [y z]", "4? []"],
    );
}

#[test]
fn headers_and_the_partition_are_read_as_columns() {
    let source = || SourceOptions {
        key: vec![Arc::new(Field::new("K", DataType::Utf8, true))],
        value: vec![Arc::new(Field::new("V", DataType::Utf8, true))],
        parts: vec![
            ("ALL".to_owned(), RecordPart::Headers),
            ("Y".to_owned(), RecordPart::Header("y".to_owned())),
            ("P".to_owned(), RecordPart::Partition),
        ],
        window: WindowKind::None,
        formats: Formats { key: Format::Kafka, value: Format::Kafka, wrapping: Wrapping::Unwrapped },
        timestamp: TimestampExtractor::Record,
        reset: OffsetReset::Earliest,
    };
    let records = || vec![record("a", "1", 0, &["x"]), record("b", "2", 1, &[]), record("a", "3", 2, &["y", "z"])];
    let json = Produced::of(Formats { wrapping: Wrapping::Wrapped, ..Produced::json().formats });
    check(
        |builder| {
            let columns = ["P", "Y", "ALL"].map(|name| Column::new(name, col(name)));
            builder.stream_columns("in", source()).select(&columns).to("out", json.clone());
        },
        records(),
        &[
            r#"{"P":0,"Y":null,"ALL":[{"KEY":"x","VALUE":"eA=="}]} [x]"#,
            r#"{"P":0,"Y":null,"ALL":[]} []"#,
            r#"{"P":0,"Y":"eQ==","ALL":[{"KEY":"y","VALUE":"eQ=="},{"KEY":"z","VALUE":"eg=="}]} [y z]"#,
        ],
    );
    // A header as the key of a group.
    check(
        |builder| {
            let keyed = builder.stream_columns("in", source()).filter(&col("Y").is_not_null());
            let keyed = keyed.select_key(&[Column::new("Y", col("Y"))], &[]);
            let counted = keyed.group_by_key().aggregate(&[count(lit(1_i64)).alias("N")], Materialized::named("n"));
            counted.to_stream().to("out", json.clone());
        },
        records(),
        &[r#"{"N":1} [y z]"#],
    );
}
