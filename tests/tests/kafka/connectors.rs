//! A connector of a service runs in one of its processes, and in another one when that is killed: each row is in the files once. One that stands
//! still for longer than it may is replaced, too, and when it goes on it spoils nothing: each row is in the bucket once. A broker that is killed
//! is waited for, and who is fenced by mistake starts anew.
//!
//! `MILLSTREAM_KAFKA_FAULTS`: from ten on, five processes are killed, otherwise one; and only then processes stand still, which takes a while.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use millstream_tests::{
    fetched::python,
    kafka_cluster::{ClusterSettings, Guarded, KafkaCluster},
    moto_server::MotoServer,
};

use super::{
    binary::{command, text},
    kafka_log::Connection,
    kcat,
};

const ROUND: u64 = 200;
/// For how long the rows of a round may be missing: a process that was killed is missed after ten seconds.
const PATIENCE: Duration = Duration::from_secs(90);
/// What a process says when it gets the connector.
const HAS_IT: &str = "runs in this process";

/// The processes of a service, two at a time.
struct Service {
    name: &'static str,
    directory: PathBuf,
    servers: String,
    running: BTreeMap<&'static str, Guarded>,
}

impl Service {
    /// A service without processes.
    fn new(name: &'static str, cluster: &KafkaCluster, directory: &Path, script: &str) -> Self {
        fs::write(directory.join("service.sql"), script).expect("written");
        Self { name, directory: directory.to_owned(), servers: cluster.bootstrap(), running: BTreeMap::new() }
    }

    fn start(&mut self, name: &'static str) {
        let script = self.directory.join("service.sql");
        let data = self.directory.join(name);
        let arguments = ["run", text(&script), "--data", text(&data), "--kafka", &self.servers, "--service", self.name];
        let mut command = command(&arguments);
        command.env("RUST_LOG", "millstream_sql=info").env("MILLSTREAM_TEST_KEY", "key");
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

    /// Whether a process has run the connector.
    fn has_it(&self, name: &str) -> bool {
        fs::read_to_string(self.log(name)).is_ok_and(|log| log.contains(HAS_IT))
    }

    /// Who runs the connector.
    fn owner(&self) -> Option<&'static str> {
        self.running.keys().find(|name| self.has_it(name)).copied()
    }

    fn stop(&mut self) {
        for (name, process) in std::mem::take(&mut self.running) {
            assert!(process.terminate(Duration::from_secs(60)), "{name} does not stop\n{}", self.said());
        }
    }
}

/// Whether there is time for more than a few faults.
fn has_many_faults() -> bool {
    let faults = std::env::var("MILLSTREAM_KAFKA_FAULTS").ok().and_then(|text| text.parse().ok());
    faults.is_some_and(|faults: u64| faults >= 10)
}

/// Writes the rows of a round behind those that were sent; how many there are then.
fn send(cluster: &KafkaCluster, topic: &str, sent: u64) -> u64 {
    let rows: String = (sent..sent + ROUND).map(|n| format!("id-{n}|{{\"N\":{n}}}\n")).collect();
    kcat::produce(&cluster.bootstrap(), topic, &[], &rows);
    sent + ROUND
}

/// A stream over `topic` and the sink `LANDED` of it, into files in `out`.
fn into_files(topic: &str, out: &Path) -> String {
    format!(
        "CREATE STREAM rows (id STRING KEY, n INT) WITH (KAFKA_TOPIC = '{topic}', VALUE_FORMAT = 'JSON', PARTITIONS = 2);
         CREATE SINK CONNECTOR landed FROM rows WITH ('connector.class' = 'file', 'format' = 'csv', 'path' = '{}',
             'flush.size' = '10', 'rotate.schedule.interval.ms' = '100');",
        out.display()
    )
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

/// What is in the files when everything is as it should be.
fn once_each(sent: u64) -> BTreeMap<String, usize> {
    (0..sent).map(|n| (format!("id-{n}"), 1)).collect()
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
    let mut service = Service::new("landing", cluster, directory.path(), &into_files("sql-landing", &out));
    service.start("ada");
    wait_until("nobody runs it", &service, || service.owner().is_some());
    service.start("bob");
    let kills = if has_many_faults() { 5 } else { 1 };
    let mut sent = 0;
    for round in 0..=kills {
        sent = send(cluster, "sql-landing", sent);
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
    assert_eq!(landed(&out), once_each(sent));
    service.stop();
}

/// How often each row stands in the files that the manifest names.
fn in_bucket(server: &MotoServer) -> BTreeMap<u64, usize> {
    let text = python("read_s3.py", &[&server.url(), "lake", "topics", "lake.LANDED"]);
    let read: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let mut rows = BTreeMap::new();
    for row in read["rows"].as_array().expect("a list") {
        *rows.entry(row["N"].as_u64().expect("a number")).or_default() += 1;
    }
    rows
}

#[test]
fn a_process_that_stands_still_is_replaced_and_spoils_nothing() {
    let Some(cluster) = KafkaCluster::shared().filter(|_| kcat::is_there() && has_many_faults()) else { return };
    let Some(server) = MotoServer::start() else { return };
    server.create_bucket("lake");
    let directory = tempfile::tempdir().expect("a directory");
    let script = format!(
        "CREATE STREAM rows (id STRING KEY, n INT) WITH (KAFKA_TOPIC = 'sql-lake', VALUE_FORMAT = 'JSON', PARTITIONS = 2);
         CREATE SINK CONNECTOR landed FROM rows WITH ('connector.class' = 's3', 's3.bucket.name' = 'lake', 'store.url' = '{}',
             'aws.access.key.id' = '${{env:MILLSTREAM_TEST_KEY}}', 'aws.secret.access.key' = '${{env:MILLSTREAM_TEST_KEY}}', 'format' = 'json', 'flush.size' = '30',
             'rotate.schedule.interval.ms' = '100');",
        server.url()
    );
    let mut service = Service::new("lake", cluster, directory.path(), &script);
    service.start("ada");
    wait_until("nobody runs it", &service, || service.owner().is_some());
    service.start("bob");
    let mut sent = 0;
    for round in 0..3 {
        let owner = service.owner().expect("one of the two runs it");
        let other = if owner == "ada" { "bob" } else { "ada" };
        sent = send(cluster, "sql-lake", sent);
        // While it writes.
        thread::sleep(Duration::from_millis(30 * round));
        service.running[owner].signal("STOP");
        wait_until("nobody takes over", &service, || service.has_it(other));
        sent = send(cluster, "sql-lake", sent);
        thread::sleep(Duration::from_millis(100));
        service.running[owner].signal("CONT");
        sent = send(cluster, "sql-lake", sent);
        let waited = wait_until("rows are missing", &service, || in_bucket(&server).len() as u64 >= sent);
        eprintln!("{sent} rows are in the bucket after {:.1} s", waited.as_secs_f64());
        // It is a process like any other again, which gets the connector when the other one stands still.
        drop(service.running.remove(owner));
        service.start(owner);
    }
    service.stop();
    let expected: BTreeMap<u64, usize> = (0..sent).map(|n| (n, 1)).collect();
    assert_eq!(in_bucket(&server), expected, "each once");
}

#[test]
fn a_broker_that_is_killed_does_not_end_a_connector() {
    let Some(cluster) = kcat::is_there().then(|| KafkaCluster::start(ClusterSettings::default())).flatten() else {
        return;
    };
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().join("out");
    let mut service = Service::new("surviving", &cluster, directory.path(), &into_files("surviving", &out));
    service.start("ada");
    wait_until("nobody runs it", &service, || service.owner().is_some());
    let mut sent = 0;
    for _ in 0..if has_many_faults() { 5 } else { 2 } {
        sent = send(&cluster, "surviving", sent);
        // In the midst of its commits.
        wait_until("nothing is in files", &service, || landed(&out).len() as u64 > sent - ROUND);
        cluster.restart(1);
        let waited = wait_until("rows are missing", &service, || landed(&out).len() as u64 >= sent);
        eprintln!("{sent} rows are in files {:.1} s after the broker was back", waited.as_secs_f64());
    }
    assert_eq!(landed(&out), once_each(sent));
    service.stop();
}

#[test]
fn who_is_fenced_by_one_that_has_lost_the_task_starts_anew() {
    let Some(cluster) = KafkaCluster::shared().filter(|_| kcat::is_there()) else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().join("out");
    let mut service = Service::new("chased", cluster, directory.path(), &into_files("sql-chased", &out));
    service.start("ada");
    wait_until("nobody runs it", &service, || service.owner().is_some());
    let mut sent = send(cluster, "sql-chased", 0);
    wait_until("rows are missing", &service, || landed(&out).len() as u64 >= sent);
    // As of a process that stood still, and opens its producer once more before it hears that the task is another's.
    let log = Connection::to(&cluster.bootstrap()).open();
    let late = log.exclusive_producer("connector-chased.LANDED").expect("it fences");
    sent = send(cluster, "sql-chased", sent);
    wait_until("rows are missing", &service, || landed(&out).len() as u64 >= sent);
    drop(late);
    assert!(service.said().contains("it starts anew"), "it was not fenced\n{}", service.said());
    assert_eq!(landed(&out), once_each(sent));
    service.stop();
}
