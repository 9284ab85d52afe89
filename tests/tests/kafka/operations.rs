//! The binary on a real cluster: topics, a script, groups, and a reset.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use millstream_tests::kafka_cluster::KafkaCluster;

use super::binary::{command, run, succeed, text};

const SCRIPT: &str = "
    CREATE STREAM ops (id STRING KEY, city STRING, amount INT)
        WITH (KAFKA_TOPIC = 'ops', VALUE_FORMAT = 'JSON', PARTITIONS = 2);
    CREATE TABLE ops_totals WITH (KAFKA_TOPIC = 'ops-totals') AS SELECT city, SUM(amount) AS total FROM ops GROUP BY city;
";
const GROUP: &str = "_millstream-ops-ctas_ops_totals_0";

/// Writes lines to a topic that is made if it is not there.
fn produce(servers: &str, lines: &str) {
    let arguments = ["topic", "produce", "ops", "--kafka", servers, "--create", "2", "--key-separator", ":"];
    let mut child = command(&arguments).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    child.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("it reads");
    let said = child.wait_with_output().expect("it ends");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}

/// Runs the script until all is processed; gives the rows of the table.
fn totals(servers: &str, script: &Path, data: &Path) -> String {
    let (script, data) = (text(script), text(data));
    succeed(&["run", script, "--data", data, "--kafka", servers, "--service", "ops", "--until-idle"]);
    let question = "SELECT * FROM ops_totals ORDER BY city;";
    succeed(&["sql", "-e", question, "--data", data, "--kafka", servers, "--service", "ops", "--output", "csv"])
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Asked to end in order, it leaves its groups at once.
        let asked = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        if asked.is_ok_and(|status| status.success()) {
            drop(self.0.wait());
        } else {
            drop(self.0.kill());
        }
    }
}

#[test]
fn topics_groups_and_resets() {
    let Some(cluster) = KafkaCluster::shared() else { return };
    let servers = cluster.bootstrap();
    let directory = tempfile::tempdir().expect("a directory");
    let (script, data) = (directory.path().join("ops.sql"), directory.path().join("data"));
    fs::write(&script, SCRIPT).expect("written");
    produce(
        &servers,
        "1:{\"city\":\"Rome\",\"amount\":30}\n2:{\"city\":\"Oslo\",\"amount\":5}\n3:{\"city\":\"Rome\",\"amount\":12}\n",
    );

    let topics = succeed(&["topic", "list", "--kafka", &servers, "--output", "csv"]);
    assert!(topics.lines().any(|line| line.starts_with("ops,2,")), "{topics}");
    let described = succeed(&["topic", "describe", "ops", "--kafka", &servers, "--output", "csv"]);
    assert_eq!(described.lines().count(), 3, "{described}");
    let arguments = ["topic", "consume", "ops", "--kafka", &servers, "--from-beginning", "--max-messages", "2"];
    assert_eq!(succeed(&arguments).lines().count(), 2);

    let expected = "CITY,TOTAL\nOslo,5\nRome,42\n";
    assert_eq!(totals(&servers, &script, &data), expected);
    let groups = succeed(&["groups", "list", "--kafka", &servers, "--output", "csv"]);
    assert!(groups.lines().any(|line| line.starts_with(&format!("{GROUP},"))), "{groups}");
    let positions = succeed(&["groups", "describe", GROUP, "--kafka", &servers, "--output", "csv"]);
    assert!(positions.lines().any(|line| line.starts_with(&format!("{GROUP},ops,"))), "{positions}");

    let reset = [
        "reset",
        "--query",
        "ctas_ops_totals_0",
        "--service",
        "ops",
        "--kafka",
        &servers,
        "--data",
        text(&data),
        "--output",
        "csv",
    ];
    let execute = [&reset[..], &["--execute"]].concat();
    {
        let arguments = ["run", text(&script), "--data", text(&data), "--kafka", &servers, "--service", "ops"];
        let _running = Running(command(&arguments).stderr(Stdio::null()).spawn().expect("it starts"));
        let mut refused = run(&execute);
        for _ in 0..100 {
            if refused.stderr.contains("is at work") {
                break;
            }
            // Its directory is taken before it has joined.
            assert_ne!(refused.code, Some(0), "{}", refused.stdout);
            std::thread::sleep(Duration::from_millis(100));
            refused = run(&execute);
        }
        assert!(refused.stderr.contains("is at work"), "{}", refused.stderr);
    }
    let shown = run(&reset);
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    assert!(shown.stdout.contains("set position,ops,0,"), "{}", shown.stdout);
    assert!(shown.stdout.contains(&format!("delete topic,{GROUP}-")), "{}", shown.stdout);
    assert!(shown.stdout.contains(&format!("delete store,{GROUP}/")), "{}", shown.stdout);
    assert!(shown.stderr.contains("Nothing was done"), "{}", shown.stderr);
    succeed(&execute);
    let left = succeed(&["topic", "list", "--kafka", &servers, "--output", "csv"]);
    assert!(!left.contains(&format!("{GROUP}-OPS_TOTALS")), "{left}");
    assert_eq!(totals(&servers, &script, &data), expected, "counted anew, once");
}
