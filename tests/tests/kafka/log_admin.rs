//! What tools ask of the log on Kafka: groups and their positions, and records that are needed no more.

use millstream::{
    log::{
        Append, GroupOffset, Log, LogError, OffsetCommit, TopicConfig, Transaction,
        kafka::{KafkaConfig, KafkaLog},
    },
    record::{GroupId, Offset, PartitionId, Record, TopicName, TopicPartition},
};
use millstream_tests::kafka_cluster::KafkaCluster;

#[test]
fn positions_of_a_group_are_listed_moved_and_removed() {
    let Some(cluster) = KafkaCluster::shared() else { return };
    let log = KafkaLog::connect(KafkaConfig::new(&cluster.bootstrap()).unwrap()).unwrap();
    let topic: TopicName = "admin-positions".parse().unwrap();
    log.create_topic(&topic, &TopicConfig { partitions: 3, ..TopicConfig::default() }).unwrap();
    let group: GroupId = "admin-group".parse().unwrap();
    let at = |partition: u32| TopicPartition::new(topic.clone(), PartitionId(partition));
    let position = |next: u64, metadata: &str| GroupOffset { next: Offset(next), metadata: metadata.into() };
    assert!(!log.delete_group(&group).unwrap(), "there is no such group yet");

    let offsets = (0..2).map(|partition| OffsetCommit {
        group: group.clone(),
        partition: at(partition),
        position: position(u64::from(partition) + 5, "{\"t\":1}"),
    });
    log.producer("admin").unwrap().commit(Transaction { appends: vec![], offsets: offsets.collect() }).unwrap();
    assert!(log.groups().unwrap().contains(&group));
    let here = [at(0), at(1), at(2)];
    let expected = [Some(position(5, "{\"t\":1}")), Some(position(6, "{\"t\":1}")), None];
    assert_eq!(log.committed_in(&group, &here).unwrap(), expected);

    log.set_group_positions(&group, &[(at(1), position(2, "")), (at(2), position(9, "x"))]).unwrap();
    let moved = [(at(0), position(5, "{\"t\":1}")), (at(1), position(2, "")), (at(2), position(9, "x"))];
    assert_eq!(log.group_positions(&group).unwrap(), moved);
    assert_eq!(log.describe_group(&group).unwrap().members, []);

    assert!(log.delete_group(&group).unwrap());
    assert_eq!(log.group_positions(&group).unwrap(), []);
}

#[test]
fn records_that_are_needed_no_more_go() {
    let Some(cluster) = KafkaCluster::shared() else { return };
    let log = KafkaLog::connect(KafkaConfig::new(&cluster.bootstrap()).unwrap()).unwrap();
    let topic: TopicName = "admin-records".parse().unwrap();
    log.create_topic(&topic, &TopicConfig::default()).unwrap();
    let partition = TopicPartition::new(topic, PartitionId(0));
    let records = (0..10).map(|number| Record::new("k", format!("{number}"))).collect();
    let appends = vec![Append { partition: partition.clone(), records }];
    log.producer("admin-records").unwrap().commit(Transaction { appends, offsets: vec![] }).unwrap();
    log.delete_records(&partition, Offset(4)).unwrap();
    // What brokers say of a start may be a moment old.
    for _ in 0..200 {
        if log.start_offset(&partition).unwrap() == Offset(4) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(log.start_offset(&partition).unwrap(), Offset(4));
    assert_eq!(log.fetch(&partition, Offset(4), 1 << 20).unwrap().next, Offset(10));
    let metrics = log.client_metrics();
    assert_eq!((metrics.commits, metrics.records_written, metrics.records_read), (1, 10, 6));
    assert!(metrics.bytes_written >= 20 && metrics.bytes_read >= 12 && metrics.commits_refused == 0, "{metrics:?}");
    assert!(matches!(log.fetch(&partition, Offset(3), 1), Err(LogError::OffsetOutOfRange { start: Offset(4), .. })));
}
