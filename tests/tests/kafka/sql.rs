//! SQL on a real cluster: cases with real topics, and processes of one service.
//!
//! `MILLSTREAM_CASES` names files or directories of cases beside those of this folder, with commas between them, and `MILLSTREAM_CASES_SAMPLE` how many
//! of them are run (100 if it is not set).

use std::{path::PathBuf, time::Duration};

use arrow::util::display::array_value_to_string;
use millstream::{log::kafka::KafkaConfig, operator::EmitPolicy};
use millstream_sql::{
    engine::{ClusterConfig, Engine, EngineConfig, Session},
    response::Response,
    testing::{
        case::Case,
        cluster_stage::TestCluster,
        run::{Outcome, RunOptions},
        sql_file, suite,
    },
};
use millstream_tests::kafka_cluster::KafkaCluster;

/// Cases that run at the same time: most of their time they wait for the broker.
const JOBS: usize = 4;

fn config(cluster: &KafkaCluster) -> KafkaConfig {
    KafkaConfig::new(&cluster.bootstrap()).expect("an address")
}

/// Runs cases; gives how many passed, were skipped, and what failed.
fn run(cluster: &KafkaCluster, cases: &[Case]) -> (usize, usize, Vec<String>) {
    let on = TestCluster::connect(config(cluster)).expect("it answers");
    let options = RunOptions { cluster: Some(on), ..RunOptions::default() };
    let outcomes = suite::run_all(cases, &options, JOBS, &|| {});
    let (mut passed, mut skipped, mut failed) = (0, 0, Vec::new());
    for (case, outcome) in cases.iter().zip(outcomes) {
        match outcome {
            Outcome::Passed { .. } => passed += 1,
            Outcome::Skipped(_) => skipped += 1,
            Outcome::Failed(reason) => failed.push(format!("{}: {reason}", case.id)),
        }
    }
    (passed, skipped, failed)
}

#[test]
fn cases_come_out_as_in_memory() {
    let Some(cluster) = KafkaCluster::shared() else { return };
    let cases = sql_file::read("cases", include_str!("cases.sql"));
    let (passed, skipped, failed) = run(cluster, &cases);
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n\n"));
    assert_eq!((passed, skipped), (cases.len(), 0));
}

#[test]
fn given_cases_come_out_as_in_memory() {
    let Some(paths) = std::env::var("MILLSTREAM_CASES").ok().filter(|paths| !paths.is_empty()) else {
        eprintln!("MILLSTREAM_CASES names no cases: left out");
        return;
    };
    let Some(cluster) = KafkaCluster::shared() else { return };
    let paths: Vec<PathBuf> = paths.split(',').map(PathBuf::from).collect();
    let sample = std::env::var("MILLSTREAM_CASES_SAMPLE").ok().and_then(|count| count.parse().ok()).unwrap_or(100);
    let all = suite::sample(suite::load(&paths).expect("cases that can be read"), sample);
    let in_memory = suite::run_all(&all, &RunOptions::default(), JOBS, &|| {});
    let passes = |outcome: &Outcome| matches!(outcome, Outcome::Passed { .. });
    let cases: Vec<Case> =
        all.iter().zip(&in_memory).filter(|(_, outcome)| passes(outcome)).map(|(case, _)| case.clone()).collect();
    let (passed, skipped, failed) = run(cluster, &cases);
    eprintln!(
        "of {} cases {} pass in memory; of these {passed} pass on the cluster, {skipped} are skipped",
        all.len(),
        cases.len()
    );
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n\n"));
}

/// A process of a service.
struct Process {
    engine: Engine,
    session: Session,
    directory: tempfile::TempDir,
}

impl Process {
    fn open(cluster: &KafkaCluster, service: &str) -> Self {
        Self::open_in(cluster, service, tempfile::tempdir().expect("a directory"))
    }

    fn open_in(cluster: &KafkaCluster, service: &str, directory: tempfile::TempDir) -> Self {
        let on = ClusterConfig { service: service.parse().expect("legal"), ..ClusterConfig::new(config(cluster)) };
        let config = EngineConfig {
            cluster: Some(on),
            commit_interval: Duration::from_millis(20),
            memory_bytes: 32 << 20,
            threads: 1,
            emit: EmitPolicy::Record,
            ..EngineConfig::new(directory.path())
        };
        let engine = Engine::open(config).expect("opens");
        Self { session: engine.session(), engine, directory }
    }

    fn run(&mut self, script: &str) -> Vec<String> {
        let mut answers = Vec::new();
        let ran = self.session.run_script(script, &mut |_, response| {
            if let Response::Done { message } = response {
                answers.push(message);
            }
        });
        ran.unwrap_or_else(|error| panic!("{script}: {error}"));
        answers
    }

    /// The rows of an answer, once all is processed.
    fn rows(&mut self, statement: &str) -> Vec<String> {
        self.engine.wait_until_idle(Some(Duration::from_secs(60)), &mut |_| {}).expect("comes to rest");
        let answer = self.session.execute(statement).unwrap_or_else(|error| panic!("{statement}: {error}"));
        let Response::Rows(rows) = answer else { panic!("{statement}: no rows") };
        let mut lines = Vec::new();
        for batch in &rows.batches {
            for row in 0..batch.num_rows() {
                let cell = |column| array_value_to_string(column, row).expect("it is shown");
                lines.push(batch.columns().iter().map(|column| cell(column)).collect::<Vec<_>>().join("|"));
            }
        }
        lines
    }

    fn close(self) -> tempfile::TempDir {
        drop(self.session);
        self.engine.shutdown().expect("stops in order");
        self.directory
    }
}

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..1200 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{what}");
}

const SCRIPT: &str = "
    CREATE STREAM sql_orders (id STRING KEY, city STRING, amount INT)
        WITH (KAFKA_TOPIC = 'sql-orders', VALUE_FORMAT = 'JSON', PARTITIONS = 4);
    CREATE TABLE sql_totals WITH (KAFKA_TOPIC = 'sql-totals') AS SELECT city, SUM(amount) AS total FROM sql_orders GROUP BY city;
";

#[test]
fn a_script_runs_unchanged_and_comes_back() {
    let Some(cluster) = KafkaCluster::shared() else { return };
    let mut one = Process::open(cluster, "alone");
    one.run(SCRIPT);
    one.run("INSERT INTO sql_orders VALUES ('1', 'Rome', 30), ('2', 'Oslo', 5), ('3', 'Rome', 12);");
    assert_eq!(one.rows("SELECT * FROM sql_totals ORDER BY city;"), ["Oslo|5", "Rome|42"]);
    let lags = one.rows("SHOW QUERIES EXTENDED;");
    assert!(lags.len() == 8 && lags.iter().all(|lag| lag.ends_with("|0")), "{lags:?}");
    let directory = one.close();
    let mut one = Process::open_in(cluster, "alone", directory);
    assert_eq!(one.rows("SELECT * FROM sql_totals ORDER BY city;"), ["Oslo|5", "Rome|42"]);
    let again = one.run(SCRIPT);
    assert!(again.iter().all(|answer| answer.ends_with("exists already, unchanged")), "{again:?}");
    one.close();
}

#[test]
fn two_processes_share_a_service() {
    let Some(cluster) = KafkaCluster::shared() else { return };
    let mut ada = Process::open(cluster, "two");
    let mut bob = Process::open(cluster, "two");
    ada.run("CREATE STREAM shared (k STRING KEY, v INT) WITH (KAFKA_TOPIC = 'sql-shared', VALUE_FORMAT = 'JSON', PARTITIONS = 4);");
    let made = bob.run("CREATE STREAM doubled WITH (KAFKA_TOPIC = 'sql-doubled') AS SELECT k, v * 2 AS w FROM shared;");
    assert_eq!(made, ["Created stream DOUBLED, query CSAS_DOUBLED_0"]);
    let queries = |process: &Process| process.engine.progress().queries.len();
    wait("the query came to the other process", || queries(&ada) == 1);
    for row in 0..20 {
        ada.run(&format!("INSERT INTO shared VALUES ('k{row}', {row});"));
    }
    let mut doubled = ada.rows("SELECT w FROM doubled;");
    doubled.sort_by_key(|row| row.parse::<u32>().expect("a number"));
    assert_eq!(doubled, (0..20).map(|row| (row * 2).to_string()).collect::<Vec<_>>(), "each row once");
    let done = |process: &Process| process.engine.progress().queries[0].records_in;
    assert_eq!(done(&ada) + done(&bob), 20, "by one of the two");
    ada.run(
        "CREATE TABLE counted WITH (KAFKA_TOPIC = 'sql-counted') AS SELECT k, COUNT(*) AS n FROM shared GROUP BY k;",
    );
    wait("the second query came, too", || queries(&bob) == 2);
    for process in [&mut ada, &mut bob] {
        assert_eq!(
            process.rows("SELECT COUNT(*) AS keys, SUM(n) AS n FROM counted;"),
            ["20|20"],
            "each answers for all"
        );
        assert_eq!(process.rows("SELECT n FROM counted WHERE k = 'k7';"), ["1"]);
    }
    bob.run("DROP TABLE counted DELETE TOPIC;");
    bob.run("DROP STREAM doubled DELETE TOPIC;");
    wait("the query ends in the other process", || queries(&ada) == 0);
    ada.close();
    bob.close();
}
