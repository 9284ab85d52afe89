//! Nexmark bids: count, sum and max per auction in tumbling and hopping windows; bids joined with bidders, per city and window.
//!
//! A million bids with merged updates; a tenth of them where every update is passed on, because the topics then hold a record for each.

use std::{collections::BTreeMap, sync::OnceLock};

use arrow::{
    array::{Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
};
use millstream::{
    connect::{PollLimits, Positions, Readiness, Source, SourceStart},
    log::{SharedLog, partition_for_key},
    operator::EmitPolicy,
    record::Record,
};
use millstream_connectors::nexmark::{NexmarkSource, NexmarkTopics};

use super::Sql;
use crate::{
    oracle::{Oracle, assert_same},
    topics::{append, fill, for_each_record, topic},
};

/// Of 50 events 46 are bids: a few more than a million of them, and than a hundred thousand.
const EVENTS_FOR_A_MILLION: u64 = 1_087_000;
const EVENTS_FOR_A_TENTH: u64 = 108_700;
const CITIES: [&str; 7] = ["Basel", "Bern", "Biel", "Brig", "Buchs", "Bülach", "Burgdorf"];

fn generator(events: u64, partitions: u32) -> impl Source {
    let topics = NexmarkTopics::Each { person: None, auction: None, bid: Some(topic("bids")) };
    NexmarkSource { partitions, seed: 42, ..NexmarkSource::new(topics, Some(events)) }.generator()
}

/// Bidders, of whom every fifth is unknown to the table, so that an inner join has something to drop.
fn bidders(newest: i64) -> impl Iterator<Item = (i64, &'static str)> {
    (1000..=newest).filter(|id| id % 5 != 0).map(|id| (id, CITIES[id as usize % CITIES.len()]))
}

/// What batch SQL makes of the bids.
struct Expected {
    bids: u64,
    newest_bidder: i64,
    tumbling: Vec<String>,
    hopping: Vec<String>,
    by_city: Vec<String>,
}

impl Expected {
    fn compute(events: u64) -> Self {
        let batch = bid_columns(events);
        let bids = batch.num_rows() as u64;
        let column = batch.column(1).as_any().downcast_ref::<Int64Array>().expect("numbers");
        let newest_bidder = arrow::compute::max(column).expect("there are bids");
        let (ids, cities): (Vec<i64>, Vec<&str>) = bidders(newest_bidder).unzip();
        let schema =
            Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("city", DataType::Utf8, false)]);
        let columns =
            vec![std::sync::Arc::new(Int64Array::from(ids)) as _, std::sync::Arc::new(StringArray::from(cities)) as _];
        let people = RecordBatch::try_new(schema.into(), columns).expect("two columns");
        let oracle = Oracle::new().table("bids", vec![batch]).table("bidders", vec![people]);
        let tumbling = oracle.lines(
            "SELECT auction, at - at % 10000 AS start, count(*), sum(price), max(price) FROM bids GROUP BY auction, start",
        );
        let hopping = oracle.lines(
            "SELECT auction, at - at % 2000 - hop * 2000 AS start, count(*), sum(price), max(price)
             FROM bids CROSS JOIN (VALUES (0), (1), (2), (3), (4)) AS hops (hop) GROUP BY auction, start",
        );
        let by_city = oracle.lines(
            "SELECT city, at - at % 10000 AS start, count(*), sum(price) FROM bids JOIN bidders ON bidder = id
             GROUP BY city, start",
        );
        assert!(tumbling.len() > 100 && hopping.len() > tumbling.len() && by_city.len() >= CITIES.len());
        Self { bids, newest_bidder, tumbling, hopping, by_city }
    }

    fn of_a_million() -> &'static Self {
        static EXPECTED: OnceLock<Expected> = OnceLock::new();
        let expected = EXPECTED.get_or_init(|| Self::compute(EVENTS_FOR_A_MILLION));
        assert!(expected.bids >= 1_000_000);
        expected
    }

    fn of_a_tenth() -> &'static Self {
        static EXPECTED: OnceLock<Expected> = OnceLock::new();
        EXPECTED.get_or_init(|| Self::compute(EVENTS_FOR_A_TENTH))
    }
}

/// The bids as columns, straight from the generator: no log, no decoder of ours.
fn bid_columns(events: u64) -> RecordBatch {
    let mut source = generator(events, 1);
    let partitions = BTreeMap::from([(topic("bids"), 1)]);
    source.open(SourceStart { positions: &Positions::new(), partitions: &partitions }).expect("the source opens");
    let names = ["auction", "bidder", "price"];
    let mut columns: [Vec<i64>; 4] = Default::default();
    loop {
        let batch = source.poll(PollLimits { rows: 50_000, bytes: usize::MAX }).expect("the source goes on");
        for record in batch.appends.iter().flat_map(|append| append.records.iter()) {
            let bid: serde_json::Value = serde_json::from_slice(record.value.expect("a value")).expect("a bid is JSON");
            for (column, name) in columns.iter_mut().zip(names) {
                column.push(bid[name].as_i64().expect("a number"));
            }
            columns[3].push(record.timestamp.0);
        }
        if batch.readiness == Readiness::Exhausted {
            break;
        }
    }
    let fields: Vec<Field> =
        names.iter().chain(&["at"]).map(|name| Field::new(*name, DataType::Int64, false)).collect();
    let columns = columns.map(|column| std::sync::Arc::new(Int64Array::from(column)) as _).to_vec();
    RecordBatch::try_new(std::sync::Arc::new(Schema::new(fields)), columns).expect("four columns")
}

fn declarations(partitions: u32) -> String {
    format!(
        "CREATE STREAM BIDS (AUCTION_ID VARCHAR KEY, AUCTION BIGINT, BIDDER BIGINT, PRICE BIGINT)
           WITH (KAFKA_TOPIC = 'bids', PARTITIONS = {partitions}, VALUE_FORMAT = 'JSON');
         CREATE TABLE BIDDERS (ID BIGINT PRIMARY KEY, CITY VARCHAR)
           WITH (KAFKA_TOPIC = 'bidders', PARTITIONS = {partitions}, VALUE_FORMAT = 'JSON');"
    )
}

const QUERIES: &str = "
    CREATE TABLE BY_AUCTION AS
      SELECT AUCTION, COUNT(*) AS BIDS, SUM(PRICE) AS TOTAL, MAX(PRICE) AS HIGHEST FROM BIDS
      WINDOW TUMBLING (SIZE 10 SECONDS, RETENTION 2 DAYS, GRACE PERIOD 1 DAY) GROUP BY AUCTION EMIT CHANGES;
    CREATE TABLE BY_AUCTION_HOPPING AS
      SELECT AUCTION, COUNT(*) AS BIDS, SUM(PRICE) AS TOTAL, MAX(PRICE) AS HIGHEST FROM BIDS
      WINDOW HOPPING (SIZE 10 SECONDS, ADVANCE BY 2 SECONDS, RETENTION 2 DAYS, GRACE PERIOD 1 DAY) GROUP BY AUCTION EMIT CHANGES;
    CREATE STREAM BIDS_WITH_CITY AS
      SELECT B.BIDDER AS BIDDER, P.CITY AS CITY, B.PRICE AS PRICE FROM BIDS B JOIN BIDDERS P ON B.BIDDER = P.ID EMIT CHANGES;
    CREATE TABLE BY_CITY AS
      SELECT CITY, COUNT(*) AS BIDS, SUM(PRICE) AS TOTAL FROM BIDS_WITH_CITY
      WINDOW TUMBLING (SIZE 10 SECONDS, RETENTION 2 DAYS, GRACE PERIOD 1 DAY) GROUP BY CITY EMIT CHANGES;
";

/// The table of bidders, known before the first bid.
fn fill_bidders(log: &SharedLog, partitions: u32, newest: i64) {
    let mut shares: Vec<Vec<Record>> = vec![Vec::new(); partitions as usize];
    for (id, city) in bidders(newest) {
        let key = id.to_be_bytes();
        let record = Record::new(key, format!("{{\"CITY\":\"{city}\"}}"));
        shares[partition_for_key(&key, partitions).0 as usize].push(record);
    }
    for (partition, records) in (0..).zip(shares) {
        append(log.as_ref(), "bidders", partition, records);
    }
}

fn check(events: u64, expected: &Expected, partitions: u32, emit: EmitPolicy) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut sql = Sql::open(directory.path(), emit);
    sql.run(&declarations(partitions));
    let log = sql.engine.log();
    fill_bidders(&log, partitions, expected.newest_bidder);
    fill(log.as_ref(), &mut generator(events, partitions));
    sql.run(QUERIES);
    sql.assert_nothing_dropped();

    let windowed = "SELECT AUCTION, WINDOWSTART, BIDS, TOTAL, HIGHEST FROM";
    assert_same("tumbling", &sql.lines(&format!("{windowed} BY_AUCTION;")), &expected.tumbling);
    assert_same("hopping", &sql.lines(&format!("{windowed} BY_AUCTION_HOPPING;")), &expected.hopping);
    assert_same("joined", &sql.lines("SELECT CITY, WINDOWSTART, BIDS, TOTAL FROM BY_CITY;"), &expected.by_city);

    let (updates, newest) = changes(&log);
    assert_same("the topic of the tumbling windows", &newest, &expected.tumbling);
    match emit {
        EmitPolicy::Record => assert_eq!(updates, expected.bids, "every bid is an update"),
        EmitPolicy::Commit => assert!((newest.len() as u64..=expected.bids).contains(&updates), "{updates} updates"),
    }
    drop(log);
    sql.close();
}

/// How many updates of `BY_AUCTION` its topic holds, and the last one of each auction and window.
fn changes(log: &SharedLog) -> (u64, Vec<String>) {
    let mut updates = 0;
    let mut newest = BTreeMap::new();
    for_each_record(log.as_ref(), "BY_AUCTION", &mut |_, _, record| {
        updates += 1;
        newest.insert(record.key.expect("a key"), record.value.expect("no window is deleted"));
    });
    let number = |bytes: &[u8]| i64::from_be_bytes(bytes.try_into().expect("eight bytes"));
    let line = |(key, value): (Vec<u8>, Vec<u8>)| {
        let (auction, start) = key.split_at(8);
        let value: serde_json::Value = serde_json::from_slice(&value).expect("values are JSON");
        format!("{}|{}|{}|{}|{}", number(auction), number(start), value["BIDS"], value["TOTAL"], value["HIGHEST"])
    };
    let mut newest: Vec<String> = newest.into_iter().map(line).collect();
    newest.sort_unstable();
    (updates, newest)
}

#[test]
fn a_million_bids_in_one_partition_with_merged_updates() {
    check(EVENTS_FOR_A_MILLION, Expected::of_a_million(), 1, EmitPolicy::Commit);
}

#[test]
fn a_million_bids_in_four_partitions_with_merged_updates() {
    check(EVENTS_FOR_A_MILLION, Expected::of_a_million(), 4, EmitPolicy::Commit);
}

#[test]
fn a_hundred_thousand_bids_in_one_partition_with_every_update() {
    check(EVENTS_FOR_A_TENTH, Expected::of_a_tenth(), 1, EmitPolicy::Record);
}

#[test]
fn a_hundred_thousand_bids_in_four_partitions_with_every_update() {
    check(EVENTS_FOR_A_TENTH, Expected::of_a_tenth(), 4, EmitPolicy::Record);
}
