//! A pipeline that is killed with SIGKILL again and again, and ends with the results of one that was left in peace.
//!
//! A file of two million sales goes through a source connector into a topic; from there, moved to the partitions of another key, into a
//! windowed count and sum, which is a view; and, filtered, into a stream that a sink connector writes to a file. All of it runs in the
//! real binary with its default durability. After each kill the same command is started again.
//!
//! The moments of the kills follow from a seed, which is printed; where they hit depends on the machine, so a failure may not come back
//! at once. `MILLSTREAM_CRASH_SEED=n` sets the seed.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use millstream::{
    log::{Log, partition_for_key},
    record::{Offset, Record},
};
use rand::RngExt;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use serde_json::Value;

use super::{
    binary::{command, succeed, text},
    oracle::assert_same,
    topics::{end_of, for_each_record, open_log},
};

const ROWS: u64 = 2_000_000;
const KILLS: u32 = 26;
/// Slow enough that the kills fall while the file is read, fast enough to be done soon.
const ROWS_PER_SECOND: u32 = 160_000;
const PARTITIONS: u32 = 4;
const START_MS: i64 = 1_700_000_000_000;
const WINDOW_MS: i64 = 10_000;
/// Sales of this amount or more go to the file.
const LARGE: i64 = 900;
const DEFAULT_SEED: u64 = 20_260_101;

/// The input, and what follows from it, worked out in plain Rust.
struct Sales {
    lines: String,
    /// Where the lines of each partition begin and end, in order.
    partitions: Vec<Vec<(usize, usize)>>,
    /// Rows of the view: `shop|window start|count|sum`, sorted.
    by_shop: Vec<String>,
    /// `key|seq|amount` of large sales, for each partition in order.
    large: Vec<Vec<String>>,
}

impl Sales {
    fn generate(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut lines = String::new();
        let mut partitions = vec![Vec::new(); PARTITIONS as usize];
        let mut large = vec![Vec::new(); PARTITIONS as usize];
        let mut totals: BTreeMap<(i32, i64), (u64, i64)> = BTreeMap::new();
        for seq in 0..ROWS {
            let id = format!("c{}", random.random_range(0..5000_u32));
            let (shop, amount) = (random.random_range(0..100_i32), random.random_range(0..1000_i64));
            // Out of order by up to 5 s, so that several windows are at work at any time.
            let at = START_MS + seq as i64 + random.random_range(0..5000);
            let start = lines.len();
            write!(lines, "{{\"id\":\"{id}\",\"seq\":{seq},\"shop\":{shop},\"amount\":{amount},\"at\":{at}}}")
                .expect("into memory");
            let partition = partition_for_key(id.as_bytes(), PARTITIONS).0 as usize;
            partitions[partition].push((start, lines.len()));
            lines.push('\n');
            let (count, sum) = totals.entry((shop, at - at.rem_euclid(WINDOW_MS))).or_default();
            (*count, *sum) = (*count + 1, *sum + amount);
            if amount >= LARGE {
                large[partition].push(format!("{id}|{seq}|{amount}"));
            }
        }
        let mut by_shop: Vec<String> =
            totals.iter().map(|((shop, start), (count, sum))| format!("{shop}|{start}|{count}|{sum}")).collect();
        by_shop.sort_unstable();
        Self { lines, partitions, by_shop, large }
    }
}

/// The files of one run.
struct Place {
    data: PathBuf,
    script: PathBuf,
    output: PathBuf,
    complaints: PathBuf,
}

impl Place {
    fn new(folder: &Path, sales: &Sales) -> Self {
        let input = folder.join("sales.ndjson");
        let place = Self {
            data: folder.join("data"),
            script: folder.join("sales.sql"),
            output: folder.join("large.ndjson"),
            complaints: folder.join("stderr.txt"),
        };
        fs::write(&input, &sales.lines).expect("the input is written");
        let script = format!(
            "CREATE STREAM SALES (ID VARCHAR KEY, SEQ BIGINT, SHOP INT, AMOUNT BIGINT, AT BIGINT)
               WITH (KAFKA_TOPIC = 'sales', PARTITIONS = {PARTITIONS}, VALUE_FORMAT = 'JSON', TIMESTAMP = 'AT');
             CREATE TABLE BY_SHOP AS SELECT SHOP, COUNT(*) AS SALES, SUM(AMOUNT) AS AMOUNT FROM SALES
               WINDOW TUMBLING (SIZE 10 SECONDS, RETENTION 2 DAYS, GRACE PERIOD 1 DAY) GROUP BY SHOP EMIT CHANGES;
             CREATE STREAM LARGE_SALES AS SELECT ID, SEQ, AMOUNT FROM SALES WHERE AMOUNT >= {LARGE} EMIT CHANGES;
             CREATE SINK CONNECTOR LARGE_FILE WITH ('connector.class' = 'file', 'path' = '{output}',
               'topics' = 'LARGE_SALES', 'envelope' = 'true');
             CREATE SOURCE CONNECTOR SALES_FILE WITH ('connector.class' = 'file', 'path' = '{input}', 'format' = 'json', 'rows.per.second' = '{ROWS_PER_SECOND}',
               'topic' = 'sales', 'partitions' = '{PARTITIONS}', 'key.field' = 'id', 'timestamp.field' = 'at');",
            output = text(&place.output),
            input = text(&input),
        );
        fs::write(&place.script, script).expect("the script is written");
        place
    }

    fn arguments(&self) -> [&str; 4] {
        ["run", text(&self.script), "--data", text(&self.data)]
    }

    /// Starts the pipeline, which would go on for ever, and kills it.
    fn run_and_kill(&self, after: Duration) {
        let complaints = File::create(&self.complaints).expect("a file for what it says");
        let mut child =
            command(&self.arguments()).stdout(Stdio::null()).stderr(complaints).spawn().expect("the binary starts");
        std::thread::sleep(after);
        let ended = child.try_wait().expect("the child can be asked");
        child.kill().expect("the child can be killed");
        child.wait().expect("the child ends");
        let said = || fs::read_to_string(&self.complaints).unwrap_or_default();
        assert!(ended.is_none(), "it ended by itself: {ended:?}\n{}", said());
    }
}

/// The rows of the view, through the binary: `shop|window start|count|sum`, sorted.
fn view(data: &Path) -> Vec<String> {
    let query = "SELECT SHOP, WINDOWSTART, SALES, AMOUNT FROM BY_SHOP;";
    let rows = succeed(&["sql", "--data", text(data), "--output", "json", "-e", query]);
    let line = |row: &str| {
        let row: Value = serde_json::from_str(row).expect("a row is JSON");
        format!("{}|{}|{}|{}", row["SHOP"], row["WINDOWSTART"], row["SALES"], row["AMOUNT"])
    };
    let mut lines: Vec<String> = rows.lines().map(line).collect();
    lines.sort_unstable();
    lines
}

fn check_input_topic(log: &dyn Log, sales: &Sales) {
    let mut next = vec![0_usize; sales.partitions.len()];
    for_each_record(log, "sales", &mut |partition, offset, record| {
        let seen = &mut next[partition as usize];
        let (start, end) = *sales.partitions[partition as usize].get(*seen).expect("no row more than were written");
        assert_eq!(offset, Offset(*seen as u64), "partition {partition} has no holes");
        let value = String::from_utf8(record.value.expect("a value")).expect("text");
        assert_eq!(value, sales.lines[start..end], "partition {partition}, row {seen}");
        *seen += 1;
    });
    let expected: Vec<usize> = sales.partitions.iter().map(Vec::len).collect();
    assert_eq!(next, expected, "every row is there");
}

fn check_topic_of_the_view(log: &dyn Log, sales: &Sales) {
    let mut newest: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    for_each_record(log, "BY_SHOP", &mut |_, _, Record { key, value, .. }| {
        newest.insert(key.expect("a key"), value.expect("no window is deleted"));
    });
    let line = |(key, value): (&Vec<u8>, &Vec<u8>)| {
        let shop = i32::from_be_bytes(key[..4].try_into().expect("four bytes"));
        let start = i64::from_be_bytes(key[4..].try_into().expect("eight bytes"));
        let value: Value = serde_json::from_slice(value).expect("values are JSON");
        format!("{shop}|{start}|{}|{}", value["SALES"], value["AMOUNT"])
    };
    let mut lines: Vec<String> = newest.iter().map(line).collect();
    lines.sort_unstable();
    assert_same("the last update of each window in the view's topic", &lines, &sales.by_shop);
}

fn check_output_file(output: &Path, sales: &Sales) {
    let mut next = vec![0_usize; sales.large.len()];
    for line in fs::read_to_string(output).expect("the output is there").lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let partition = line["partition"].as_u64().expect("a number") as usize;
        let seen = next[partition];
        assert_eq!(line["offset"].as_u64(), Some(seen as u64), "partition {partition}: each record once and in order");
        let (key, value) = (line["key"].as_str().expect("text"), &line["value"]);
        let got = format!("{key}|{}|{}", value["SEQ"], value["AMOUNT"]);
        assert_eq!(Some(&got), sales.large[partition].get(seen), "partition {partition}, record {seen}");
        next[partition] += 1;
    }
    let expected: Vec<usize> = sales.large.iter().map(Vec::len).collect();
    assert_eq!(next, expected, "every large sale is in the file");
}

#[test]
fn a_pipeline_killed_at_any_moment_goes_on_exactly_once() {
    let seed = std::env::var("MILLSTREAM_CRASH_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(DEFAULT_SEED);
    eprintln!("MILLSTREAM_CRASH_SEED={seed}");
    let sales = Sales::generate(seed);
    let folder = tempfile::tempdir().expect("a directory");
    let place = Place::new(folder.path(), &sales);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut hit_work = 0;
    for kill in 1..=KILLS {
        // Most lives are short, so that there is work left for the later ones; the shortest end while the engine opens.
        let longest_ms = if kill % 4 == 0 { 1_000 } else { 400 };
        let after = Duration::from_millis(random.random_range(20..longest_ms));
        place.run_and_kill(after);
        // A look from outside is one more recovery, and by another process than the next run.
        let log = open_log(&place.data);
        let there = log.topics().expect("topics are listed").iter().any(|topic| topic.name.as_str() == "sales");
        let rows = if there { end_of(log.as_ref(), "sales") } else { 0 };
        eprintln!("killed {kill} times: {rows} rows are in");
        hit_work += u32::from((1..ROWS).contains(&rows));
    }
    assert!(hit_work >= 20, "the machine was too fast or too slow: only {hit_work} kills hit a half-read input");
    let finish: Vec<&str> = place.arguments().into_iter().chain(["--until-idle"]).collect();
    succeed(&finish);

    assert_same("the view", &view(&place.data), &sales.by_shop);
    {
        let log = open_log(&place.data);
        check_input_topic(log.as_ref(), &sales);
        check_topic_of_the_view(log.as_ref(), &sales);
    }
    check_output_file(&place.output, &sales);

    // Without its state directory the view comes from the changelog alone, replayed from its first offset.
    fs::remove_dir_all(place.data.join("state")).expect("the state is there");
    assert_same("the view from its changelog", &view(&place.data), &sales.by_shop);
}
