//! The demo's own scripts over the demo's own data: departures joined with airports, delays by city, and by city and hour.

use std::{fs::File, io::Read, sync::Arc, sync::OnceLock};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, Schema},
};
use millstream::operator::EmitPolicy;

use super::Sql;
use crate::{
    binary::repository,
    oracle::{Oracle, assert_same},
};

const DEPARTURES: usize = 508_239;

fn unpacked(name: &str) -> Vec<u8> {
    let file = File::open(repository().join("sql/demo").join(name)).expect("the demo's data is there");
    let mut bytes = Vec::new();
    zstd::Decoder::new(file).and_then(|mut decoder| decoder.read_to_end(&mut bytes)).expect("it unpacks");
    bytes
}

/// The results that batch SQL gives: by city, and by city and hour.
fn expected() -> &'static (Vec<String>, Vec<String>) {
    static EXPECTED: OnceLock<(Vec<String>, Vec<String>)> = OnceLock::new();
    EXPECTED.get_or_init(|| {
        let columns = |names: &[(&str, DataType)]| {
            let fields = names.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true));
            Arc::new(Schema::new(fields.collect::<Vec<_>>()))
        };
        let text = DataType::Utf8;
        let flights = columns(&[("departs", DataType::Int64), ("origin", text.clone()), ("delay", DataType::Int32)]);
        let flights: Vec<RecordBatch> = arrow::json::ReaderBuilder::new(flights)
            .build(unpacked("flights.ndjson.zst").as_slice())
            .and_then(Iterator::collect)
            .expect("flights are JSON lines");
        assert_eq!(flights.iter().map(RecordBatch::num_rows).sum::<usize>(), DEPARTURES);
        let names = ["iata", "name", "city", "state", "country", "latitude", "longitude", "since"];
        let airports = columns(&names.map(|name| (name, text.clone())));
        let airports: Vec<RecordBatch> = arrow::csv::ReaderBuilder::new(airports)
            .with_header(true)
            .build(unpacked("airports.csv.zst").as_slice())
            .and_then(Iterator::collect)
            .expect("airports are CSV");
        let oracle = Oracle::new().table("flights", flights).table("airports", airports);
        let joined = "SELECT CASE WHEN city = 'NA' THEN name ELSE city || ', ' || state END AS place, delay, departs
                      FROM flights JOIN airports ON origin = iata";
        let results = "count(*), avg(delay), max(delay)";
        let by_city = oracle.lines(&format!("SELECT place, {results} FROM ({joined}) GROUP BY place"));
        let by_hour = oracle.lines(&format!(
            "SELECT place, departs - departs % 3600000 AS start, {results} FROM ({joined}) GROUP BY place, start"
        ));
        assert!(by_city.len() > 100 && by_hour.len() > 10_000);
        (by_city, by_hour)
    })
}

/// A script of the demo as it is, but for where its files are and the number of partitions.
fn script(name: &str, partitions: u32) -> String {
    let folder = repository().join("sql/demo");
    let text = std::fs::read_to_string(folder.join(name)).expect("the script is there");
    let places = [
        ("'sql/demo/".to_owned(), format!("'{}/", folder.display())),
        ("PARTITIONS = 4".to_owned(), format!("PARTITIONS = {partitions}")),
        ("'partitions' = '4'".to_owned(), format!("'partitions' = '{partitions}'")),
    ];
    places.into_iter().fold(text, |text, (from, to)| {
        assert!(text.contains(&from), "{name} has no {from}");
        text.replace(&from, &to)
    })
}

fn check(partitions: u32, emit: EmitPolicy) {
    let (by_city, by_hour) = expected();
    let directory = tempfile::tempdir().expect("a directory");
    let mut sql = Sql::open(directory.path(), emit);
    sql.run(&script("airports.sql", partitions));
    sql.run(&script("flights.sql", partitions));
    sql.assert_nothing_dropped();
    let results = "FLIGHTS, MEAN_DELAY, MAX_DELAY FROM DELAYS_BY_CITY";
    assert_same("by city", &sql.lines(&format!("SELECT CITY, {results};")), by_city);
    assert_same("by city and hour", &sql.lines(&format!("SELECT CITY, WINDOWSTART, {results}_AND_HOUR;")), by_hour);
    sql.close();
}

#[test]
fn flights_in_one_partition_with_merged_updates() {
    check(1, EmitPolicy::Commit);
}

#[test]
fn flights_in_four_partitions_with_merged_updates() {
    check(4, EmitPolicy::Commit);
}

#[test]
fn flights_in_one_partition_with_every_update() {
    check(1, EmitPolicy::Record);
}

#[test]
fn flights_in_four_partitions_with_every_update() {
    check(4, EmitPolicy::Record);
}
