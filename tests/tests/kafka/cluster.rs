//! The cluster that the other tests stand on: it serves, loses nodes and gets them back, and Kafka's own tools work on it.

use millstream_tests::kafka_cluster::{ClusterSettings, KafkaCluster, tools};

fn consume(cluster: &KafkaCluster, topic: &str, count: &str) -> String {
    let arguments = ["--topic", topic, "--from-beginning", "--max-messages", count, "--timeout-ms", "30000"];
    cluster.tool(tools::CONSOLE_CONSUMER, &arguments).succeeded()
}

#[test]
fn the_shared_cluster_offers_streams_groups_and_transactions_of_the_second_kind() {
    let Some(cluster) = KafkaCluster::shared() else { return };
    let features = cluster.tool(tools::FEATURES, &["describe"]).succeeded();
    let level = |name: &str| {
        let line = features.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{name}: {features}"));
        line.split_whitespace().skip_while(|word| *word != "FinalizedVersionLevel:").nth(1).map(str::to_owned)
    };
    assert_eq!(level("streams.version").as_deref(), Some("1"));
    assert_eq!(level("transaction.version").as_deref(), Some("2"));
}

#[test]
fn a_cluster_of_three_serves_without_one_of_them() {
    let Some(cluster) = KafkaCluster::start(ClusterSettings { nodes: 3, ..ClusterSettings::default() }) else { return };
    cluster.create_topic("lines", 3);
    let produce = |lines: &str| {
        cluster.tool_with_input(tools::CONSOLE_PRODUCER, &["--topic", "lines"], lines).succeeded();
    };
    produce("one\n");
    cluster.kill(2);
    produce("two\n");
    cluster.restart(2);
    cluster.stop(1);
    produce("three\n");
    cluster.restart(1);
    cluster.pause(3);
    cluster.resume(3);
    let mut lines: Vec<String> = consume(&cluster, "lines", "3").lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["one", "three", "two"]);
}
