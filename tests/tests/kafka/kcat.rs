//! kcat, a client that shares no code with ours, for a fixed few jobs.

use std::process::{Command, Stdio};

use millstream_tests::kafka_cluster::{ToolOutput, run_with_input};

/// Whether kcat is there. Where it is not, outside CI, a line says that a test is left out.
pub(crate) fn is_there() -> bool {
    let found = Command::new("kcat").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    assert!(found || std::env::var_os("CI").is_none(), "kcat is missing: install it (Debian package kcat)");
    if !found {
        eprintln!("a test on Kafka is left out: kcat is missing; see `make deps-java`");
    }
    found
}

/// kcat with the addresses of a cluster.
pub(crate) fn command(bootstrap: &str) -> Command {
    let mut command = Command::new("kcat");
    command.args(["-b", bootstrap, "-q"]);
    command
}

/// Writes lines `key|value` to a topic, each to the partition that Kafka's own clients choose for its key. Values that are empty become null.
pub(crate) fn produce(bootstrap: &str, topic: &str, more: &[&str], lines: &str) {
    let mut command = command(bootstrap);
    command.args(["-P", "-t", topic, "-K", "|", "-Z", "-X", "topic.partitioner=murmur2_random"]).args(more);
    run_with_input(&mut command, lines).succeeded();
}

/// Everything that is committed in a topic, a line a record, as `format` says (see `kcat -h`).
pub(crate) fn consume(bootstrap: &str, topic: &str, format: &str) -> Vec<String> {
    let mut command = command(bootstrap);
    command.args(["-C", "-t", topic, "-o", "beginning", "-e", "-f", &format!("{format}\n")]);
    command.args(["-X", "isolation.level=read_committed", "-X", "check.crcs=true"]);
    let output: ToolOutput = run_with_input(&mut command, "");
    output.succeeded().lines().map(str::to_owned).collect()
}
