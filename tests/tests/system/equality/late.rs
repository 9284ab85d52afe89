//! Late records: which ones they are is worked out by hand, record by record in the order of each partition.
//!
//! ```text
//! windows of 10 s, grace 2 s      stream time 12.0 s closes [0 s, 10 s): a record of 9.9 s is late from then on
//! hopping by 2 s                  the same record still counts in [2 s, 12 s) .. [8 s, 18 s): it is late in one window of five
//! ```
//!
//! As in Kafka Streams, a record is counted as late once for each window that it is too late for.

use std::collections::BTreeMap;

use millstream::{log::partition_for_key, operator::EmitPolicy, record::Record};
use rand::RngExt;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use super::Sql;
use crate::{oracle::assert_same, topics::append};

const RECORDS: i64 = 40_000;
const START_MS: i64 = 1_700_000_000_000;
const SIZE_MS: i64 = 10_000;
const PARTITIONS: u32 = 4;

/// Records of each partition in order: key and timestamp. One in four is out of order, by up to 40 s.
fn records() -> Vec<Vec<(String, i64)>> {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut partitions = vec![Vec::new(); PARTITIONS as usize];
    for number in 0..RECORDS {
        let key = format!("key-{}", random.random_range(0..50_u32));
        let behind = if random.random_range(0..4) == 0 { random.random_range(0..40_000) } else { 0 };
        let partition = partition_for_key(key.as_bytes(), PARTITIONS);
        partitions[partition.0 as usize].push((key, START_MS + number * 5 - behind));
    }
    partitions
}

/// Counts per key and window as sorted lines, and how often a record met a closed window.
fn by_hand(partitions: &[Vec<(String, i64)>], advance_ms: i64, grace_ms: i64) -> (Vec<String>, u64) {
    let mut counts: BTreeMap<(&str, i64), u64> = BTreeMap::new();
    let mut late = 0;
    for records in partitions {
        let mut stream_time = i64::MIN;
        for (key, at) in records {
            stream_time = stream_time.max(*at);
            let newest = at - at.rem_euclid(advance_ms);
            let windows = (0..SIZE_MS / advance_ms).map(|back| newest - back * advance_ms);
            for start in windows {
                if start + SIZE_MS + grace_ms > stream_time {
                    *counts.entry((key, start)).or_default() += 1;
                } else {
                    late += 1;
                }
            }
        }
    }
    let mut lines: Vec<String> = counts.iter().map(|((key, start), count)| format!("{key}|{start}|{count}")).collect();
    lines.sort_unstable();
    (lines, late)
}

fn check(emit: EmitPolicy) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut sql = Sql::open(directory.path(), emit);
    sql.run(&format!(
        "CREATE STREAM CLICKS (ID VARCHAR KEY, X INT) WITH (KAFKA_TOPIC = 'clicks', PARTITIONS = {PARTITIONS}, VALUE_FORMAT = 'JSON');"
    ));
    let partitions = records();
    let log = sql.engine.log();
    for (number, records) in (0..).zip(&partitions) {
        // Several commits, so that lateness is carried from one batch to the next.
        for part in records.chunks(997) {
            let part = part.iter().map(|(key, at)| Record::new(key.as_bytes(), "{\"X\":1}").at_ms(*at));
            append(log.as_ref(), "clicks", number, part);
        }
    }
    sql.run(
        "CREATE TABLE TUMBLING_COUNTS AS SELECT ID, COUNT(*) AS N FROM CLICKS
           WINDOW TUMBLING (SIZE 10 SECONDS, RETENTION 2 DAYS, GRACE PERIOD 2 SECONDS) GROUP BY ID EMIT CHANGES;
         CREATE TABLE HOPPING_COUNTS AS SELECT ID, COUNT(*) AS N FROM CLICKS
           WINDOW HOPPING (SIZE 10 SECONDS, ADVANCE BY 2 SECONDS, RETENTION 2 DAYS, GRACE PERIOD 2 SECONDS)
           GROUP BY ID EMIT CHANGES;",
    );
    for (table, advance_ms) in [("TUMBLING_COUNTS", SIZE_MS), ("HOPPING_COUNTS", 2_000)] {
        let (expected, late) = by_hand(&partitions, advance_ms, 2_000);
        assert!(late > 100, "the input has late records");
        assert_same(table, &sql.lines(&format!("SELECT ID, WINDOWSTART, N FROM {table};")), &expected);
        let progress = sql.engine.progress();
        let query = progress.queries.iter().find(|query| query.id.contains(table)).expect("the query runs");
        assert_eq!((query.late, query.errors), (late, 0), "{query:?}");
    }
    drop(log);
    sql.close();
}

#[test]
fn late_records_are_left_out_with_merged_updates() {
    check(EmitPolicy::Commit);
}

#[test]
fn late_records_are_left_out_with_every_update() {
    check(EmitPolicy::Record);
}
