//! The log on a real Kafka keeps the contract that every engine keeps.

use millstream::{
    log::{
        Log,
        kafka::{KafkaConfig, KafkaLog},
    },
    testing::log_contract,
};
use millstream_tests::kafka_cluster::KafkaCluster;

#[test]
fn the_log_on_kafka_keeps_the_contract() {
    let Some(cluster) = KafkaCluster::shared() else { return };
    let log = KafkaLog::connect(KafkaConfig::new(&cluster.bootstrap()).unwrap()).unwrap();
    assert!(log.is_shared());
    log_contract::check_all(&log, "contract");
}

#[test]
fn a_cluster_that_is_not_there_is_named() {
    let error = KafkaLog::connect(KafkaConfig::new("127.0.0.1:1").unwrap()).err().expect("nobody listens there");
    let text = error.to_string();
    assert!(text.starts_with("127.0.0.1:1: cannot reach the cluster") && text.contains("check the address"), "{text}");
}
