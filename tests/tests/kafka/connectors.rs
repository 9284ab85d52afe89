//! A connector of a service runs in one of its processes, and in another one when that is killed: each row is in the files once.
//!
//! `MILLSTREAM_KAFKA_FAULTS`: from ten on, five processes are killed, otherwise one.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use millstream_tests::kafka_cluster::{Guarded, KafkaCluster};

use super::{
    binary::{command, text},
    kcat,
};

const ROUND: u64 = 200;
/// For how long the rows of a round may be missing: a process that was killed is missed after ten seconds.
const PATIENCE: Duration = Duration::from_secs(90);
/// What a process says when it gets the connector.
const HAS_IT: &str = "runs in this process";

/// The processes of a service, two at a time.
struct Service {
    directory: PathBuf,
    servers: String,
    running: BTreeMap<&'static str, Guarded>,
}

impl Service {
    fn start(&mut self, name: &'static str) {
        let script = self.directory.join("landing.sql");
        let data = self.directory.join(name);
        let arguments = ["run", text(&script), "--data", text(&data), "--kafka", &self.servers, "--service", "landing"];
        let mut command = command(&arguments);
        command.env("RUST_LOG", "millstream_sql=info");
        // What the process before it has said does not count.
        drop(fs::remove_file(self.log(name)));
        self.running.insert(name, Guarded::spawn(&command, &self.log(name)));
    }

    fn log(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.log"))
    }

    fn said(&self) -> String {
        let said = |name| format!("--- {name}\n{}\n", fs::read_to_string(self.log(name)).unwrap_or_default());
        self.running.keys().copied().map(said).collect()
    }

    /// Who runs the connector.
    fn owner(&self) -> Option<&'static str> {
        let has_it = |name: &&&str| fs::read_to_string(self.log(name)).is_ok_and(|log| log.contains(HAS_IT));
        self.running.keys().find(has_it).copied()
    }
}

/// How often each id stands in the files that are whole.
fn landed(folder: &Path) -> BTreeMap<String, usize> {
    let mut ids = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("it can be listed").path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
            continue;
        }
        let content = fs::read_to_string(&path).expect("a file that is whole stays");
        for line in content.lines().filter(|line| line.contains("id-")) {
            let id = line.split(',').find(|cell| cell.starts_with("id-")).expect("it is a cell");
            *ids.entry(id.to_owned()).or_default() += 1;
        }
    }
    ids
}

#[expect(clippy::disallowed_methods, reason = "a test that hangs is to fail")]
fn wait_until(what: &str, service: &Service, mut done: impl FnMut() -> bool) -> Duration {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < PATIENCE, "{what}\n{}", service.said());
        thread::sleep(Duration::from_millis(50));
    }
    begin.elapsed()
}

#[test]
fn a_killed_process_leaves_its_connector_to_another() {
    let Some(cluster) = KafkaCluster::shared().filter(|_| kcat::is_there()) else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().join("out");
    let script = format!(
        "CREATE STREAM landing (id STRING KEY, n INT) WITH (KAFKA_TOPIC = 'sql-landing', VALUE_FORMAT = 'JSON', PARTITIONS = 2);
         CREATE SINK CONNECTOR landed FROM landing WITH ('connector.class' = 'file', 'format' = 'csv', 'path' = '{}',
             'flush.size' = '30', 'rotate.schedule.interval.ms' = '300');",
        out.display()
    );
    fs::write(directory.path().join("landing.sql"), script).expect("written");
    let servers = cluster.bootstrap();
    let mut service = Service { directory: directory.path().to_owned(), servers, running: BTreeMap::new() };
    service.start("ada");
    wait_until("nobody runs it", &service, || service.owner().is_some());
    service.start("bob");
    let faults: u64 = std::env::var("MILLSTREAM_KAFKA_FAULTS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let kills = if faults < 10 { 1 } else { 5 };
    let mut sent = 0;
    for round in 0..=kills {
        let rows: String = (sent..sent + ROUND).map(|n| format!("id-{n}|{{\"N\":{n}}}\n")).collect();
        kcat::produce(&cluster.bootstrap(), "sql-landing", &[], &rows);
        sent += ROUND;
        if round < kills {
            wait_until("nobody runs it", &service, || service.owner().is_some());
            let owner = service.owner().expect("one of the two runs it");
            // Before the rows are all in files, or after that.
            thread::sleep(Duration::from_millis(150 * round));
            drop(service.running.remove(owner));
            service.start(owner);
        }
        let waited = wait_until("rows are missing", &service, || landed(&out).len() as u64 >= sent);
        eprintln!("{sent} rows are in files after {:.1} s", waited.as_secs_f64());
    }
    let expected: BTreeMap<String, usize> = (0..sent).map(|n| (format!("id-{n}"), 1)).collect();
    assert_eq!(landed(&out), expected, "each once");
    for (name, process) in std::mem::take(&mut service.running) {
        assert!(process.terminate(Duration::from_secs(60)), "{name} does not stop\n{}", service.said());
    }
}
