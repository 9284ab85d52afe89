//! `millstream bench`: the results of its workloads, not their speed. Nexmark's queries equal what another program made of the same events
//! (`tests/nexmark/golden.py`), the others what DataFusion makes of them as a batch.

use std::{collections::BTreeMap, fs, path::Path};

use super::binary::{repository, run};

/// Events of the goldens, as `bench` makes them.
const EVENTS: &str = "100000";
const SEED: &str = "42";

fn goldens() -> BTreeMap<String, serde_json::Value> {
    let text = fs::read_to_string(repository().join("tests/nexmark/golden.json")).expect("goldens are there");
    serde_json::from_str(&text).expect("goldens are JSON")
}

fn bench(arguments: &[&str]) -> serde_json::Value {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("bench");
    let data = data.to_string_lossy();
    let mut all = vec!["bench"];
    all.extend(arguments);
    all.extend(["--data", &data, "--durability", "os", "--json"]);
    let said = run(&all);
    assert_eq!(said.code, Some(0), "{arguments:?}: {}", said.stderr);
    assert!(!Path::new(&*data).exists(), "the directory of a run is removed");
    serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {}", said.stdout))
}

fn check_nexmark(partitions: &str) {
    let mut wrong = Vec::new();
    for (query, golden) in goldens() {
        let report = bench(&[&query, "--events", EVENTS, "--seed", SEED, "--partitions", partitions]);
        let (rows, hash) = (&report["output_rows"], &report["table_hash"]);
        if (rows, hash) != (&golden["rows"], &golden["table_hash"]) {
            wrong.push(format!("{query}: {rows} rows, hash {hash}, not {golden}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nexmark_in_one_partition_equals_its_goldens() {
    assert!(goldens().len() >= 21);
    check_nexmark("1");
}

#[test]
fn nexmark_in_four_partitions_equals_its_goldens() {
    check_nexmark("4");
}

#[test]
fn what_is_not_there_yet_is_listed_and_refused() {
    let listed = run(&["bench", "list"]);
    assert_eq!(listed.code, Some(0));
    let missing: Vec<&str> = listed.stdout.lines().filter(|line| line.contains("is not there yet")).collect();
    let goldens = goldens();
    assert_eq!(missing.len() + goldens.len(), 23, "{missing:?}");
    for line in missing {
        let (query, problem) = line.split_once(" is not there yet: ").expect("a name and a reason");
        assert!(!goldens.contains_key(query.trim()));
        let said = run(&["bench", query.trim()]);
        assert_eq!(said.code, Some(1));
        assert!(said.stderr.contains(problem), "{}", said.stderr);
    }
}

/// The command itself compares the tables, and fails if they differ.
fn check_workload(workload: &str, more: &[&str]) {
    let mut arguments = vec![workload, "--events", "150000", "--baseline", "datafusion"];
    arguments.extend(more);
    let report = bench(&arguments);
    assert_eq!(report["table_hash"], report["baseline"]["table_hash"], "{workload}");
    assert_eq!(report["events"], 150_000, "{workload}");
    assert!(report["output_rows"].as_u64().is_some_and(|rows| rows > 0), "{workload}");
}

#[test]
fn workloads_equal_the_batch() {
    for workload in ["w0", "w1", "w2", "w3", "w4"] {
        check_workload(workload, &["--partitions", "2", "--threads", "2"]);
    }
    check_workload("w1", &["--emit", "record"]);
    check_workload("w2", &["--hops", "20", "--commit-interval", "5"]);
    check_workload("w4", &["--memory", "2MiB", "--queries", "2"]);
}

#[test]
fn latency_is_measured_at_a_rate() {
    let report = bench(&["w1", "--rate", "20000", "--events", "20000", "--commit-interval", "10"]);
    let latency = &report["latency_ms"];
    let of = |name: &str| latency[name].as_f64().expect("a number");
    assert!(of("p50") <= of("p99") && of("p99") <= of("max") && of("results") > 0.0, "{latency}");
}

#[test]
fn options_that_do_not_fit_are_refused() {
    let check = |arguments: &[&str], problem: &str| {
        let said = run(arguments);
        assert_ne!(said.code, Some(0), "{arguments:?}");
        assert!(said.stderr.contains(problem), "{}", said.stderr);
    };
    check(&["bench", "w9"], "there is no workload `w9`");
    check(&["bench", "q0", "--input", "x"], "--input goes with w0 to w4");
    check(&["bench", "w2", "--hops", "3"], "use a divisor of 10000");
    check(&["bench", "w3", "--rate", "10"], "keyed by auction");
    check(&["bench", "w1", "--rate", "10", "--queries", "2"], "--queries");
    check(&["bench", "w1", "--hops", "2"], "--hops goes with w2");
    check(&["bench", "log", "--durability", "os"], "goes with queries, not with log");
    check(&["bench", "log", "--partitions", "2"], "--partitions goes with queries");
    check(&["bench", "w1", "--data", "."], "is there already");
    check(&["bench", "w1", "--input", "/nonexistent.ndjson"], "/nonexistent.ndjson");
}

/// Runs `bench sink` with a script and gives what it says.
fn bench_sink(directory: &Path, script: &str, more: &[&str]) -> Result<serde_json::Value, String> {
    let file = directory.join("sink.sql");
    fs::write(&file, script).expect("written");
    let file = file.to_string_lossy();
    let data = directory.join("bench");
    let mut all = vec!["bench", "sink", &*file, "--json", "--data"];
    let data = data.to_string_lossy();
    all.push(&data);
    all.extend(more);
    let said = run(&all);
    assert!(!Path::new(&*data).exists(), "the directory of a run is removed");
    match said.code {
        Some(0) => Ok(serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {}", said.stdout))),
        _ => Err(said.stderr),
    }
}

#[test]
fn a_sink_takes_every_record_and_what_it_wrote_is_left() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = directory.path().join("bids.ndjson");
    let script = format!(
        "CREATE SINK CONNECTOR out WITH ('connector.class' = 'file', 'topics' = 'bids', 'path' = '{}');",
        output.display()
    );
    let report = bench_sink(directory.path(), &script, &["--events", "20000", "--partitions", "2"]).expect("it runs");
    assert_eq!((&report["events"], &report["rows"]), (&20_000.into(), &20_000.into()));
    assert_eq!(report["target"], format!("file {}", output.display()));
    assert!(report["mb_per_second"].as_f64().is_some_and(|rate| rate > 0.0), "{report}");
    let made = directory.path().join("made.ndjson");
    let made = made.to_string_lossy();
    assert_eq!(run(&["bench", "generate", "--events", "20000", "--output", &made]).code, Some(0));
    let lines = |path: &Path| -> Vec<String> {
        let mut lines: Vec<String> = fs::read_to_string(path).expect("read").lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    assert!(lines(&output) == lines(Path::new(&*made)), "the bids are in the file, as they were made");
}

#[test]
fn a_script_that_is_not_one_sink_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let check = |script: &str, problem: &str| {
        let error = bench_sink(directory.path(), script, &["--events", "10"]).expect_err(script);
        assert!(error.contains(problem), "{script}: {error}");
    };
    let sink =
        "CREATE SINK CONNECTOR out WITH ('connector.class' = 'file', 'topics' = 'bids', 'path' = '/nonexistent/out');";
    check("", "it has 0 connectors");
    check(&format!("{sink} {}", sink.replace(" out ", " also ")), "it has 2 connectors");
    check(&sink.replace("bids", "others"), "FROM bids");
    check(&sink.replace("path", "pth"), "cannot run: 1:27: missing 'path'");
    check(&format!("{sink} CREATE STREAM few AS SELECT * FROM bids;"), "starts the query CSAS_FEW");
    check(sink, "/nonexistent/out");
}

#[test]
fn a_queue_is_emptied_and_formats_give_back_what_they_got() {
    let said = run(&["bench", "queue", "--messages", "2000", "--consumers", "3", "--json"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let report: serde_json::Value = serde_json::from_str(&said.stdout).expect("JSON");
    assert!(report["messages_per_second"].as_f64().is_some_and(|rate| rate > 0.0), "{report}");
    let said = run(&["bench", "formats", "--events", "10000"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    for format in ["JSON", "DELIMITED", "PROTOBUF_NOSR", "ROW"] {
        assert!(said.stdout.lines().any(|line| line.starts_with(format)), "{}", said.stdout);
    }
}
