//! What is kept of a campaign that failed: the logs of all processes, and what is committed in the topics.

use std::{
    fs,
    path::{Path, PathBuf},
};

use millstream_tests::kafka_cluster::{KafkaCluster, run_with_input, tools};

use crate::kcat;

/// Copies everything to a directory that outlives the cluster; a topic is a file of lines `partition|offset|key|value`.
pub(super) fn keep(cluster: &KafkaCluster) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults-evidence");
    // There may be none of an earlier one.
    drop(fs::remove_dir_all(&directory));
    fs::create_dir_all(&directory).expect("the directory can be made");
    for entry in fs::read_dir(cluster.directory()).expect("the directory of the cluster can be listed") {
        let path = entry.expect("it can be listed").path();
        if path.extension().is_some_and(|ending| ending == "log") {
            fs::copy(&path, directory.join(path.file_name().expect("it has a name"))).expect("it can be copied");
        }
    }
    for topic in cluster.tool(tools::TOPICS, &["--list"]).stdout.lines().filter(|topic| !topic.starts_with("__")) {
        let mut command = kcat::command(&cluster.bootstrap());
        command.args(["-C", "-t", topic, "-o", "beginning", "-e", "-f", "%p|%o|%k|%s\n"]);
        command.args(["-X", "isolation.level=read_committed"]);
        fs::write(directory.join(topic), run_with_input(&mut command, "").stdout).expect("it can be written");
    }
    directory
}

/// What Kafka's own tool says of transactions: their states, and those that are open in a partition without being open for their coordinator. When
/// readers wait and this lists something, the brokers have left it behind.
pub(super) fn hanging(cluster: &KafkaCluster) -> String {
    let mut said = format!("--- transactions\n{}", cluster.tool(tools::TRANSACTIONS, &["list"]).stdout);
    for node in 1..=cluster.nodes() {
        let node = node.to_string();
        let arguments = ["find-hanging", "--broker-id", &node, "--max-transaction-timeout", "0"];
        said.push_str(&format!("--- hanging on node {node}\n{}", cluster.tool(tools::TRANSACTIONS, &arguments).stdout));
    }
    said
}
