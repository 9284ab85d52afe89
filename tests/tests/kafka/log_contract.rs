//! The log on a real Kafka keeps the contract that every engine keeps.

use millstream::{
    log::{
        Append, CommitError, Log, Producer, TopicConfig, Transaction,
        kafka::{KafkaConfig, KafkaLog},
    },
    record::{PartitionId, Record, TopicName, TopicPartition},
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

#[test]
fn a_process_that_starts_again_ends_its_former_life_and_no_other_process() {
    let Some(cluster) = KafkaCluster::shared() else { return };
    let connect = |process: &str| {
        let config = KafkaConfig::new(&cluster.bootstrap()).unwrap().with_process_id(process.parse().unwrap());
        KafkaLog::connect(config).unwrap()
    };
    let topic: TopicName = "lives".parse().unwrap();
    let log = connect("one");
    log.create_topic(&topic, &TopicConfig::default()).unwrap();
    let commit = |producer: &mut Box<dyn Producer>| {
        let records = [Record::new("k", "v")].into_iter().collect();
        let partition = TopicPartition::new(topic.clone(), PartitionId(0));
        producer.commit(Transaction { appends: vec![Append { partition, records }], offsets: vec![] })
    };
    let mut former = log.producer("worker").unwrap();
    commit(&mut former).unwrap();
    let mut neighbour = connect("two").producer("worker").unwrap();
    commit(&mut neighbour).unwrap();
    commit(&mut former).unwrap();
    let mut latter = connect("one").producer("worker").unwrap();
    commit(&mut latter).unwrap();
    assert!(matches!(commit(&mut former), Err(CommitError::Fenced { .. })));
    commit(&mut neighbour).unwrap();
    commit(&mut latter).unwrap();
}
