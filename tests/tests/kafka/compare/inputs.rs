//! The topics of a comparison: bids and bidders, the same for both sides.

use millstream::{
    log::{Append, Log, Producer, Transaction, partition_for_key},
    record::{PartitionId, Record, Records, TopicName, TopicPartition},
};
use rand::RngExt;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

/// Where event time begins.
const START_MS: i64 = 1_700_000_000_000;
const BATCH: u64 = 20_000;
/// Of each value.
const VALUE_BYTES: usize = 100;

/// A value of the usual size, which begins with a number.
fn value(number: u64) -> String {
    let mut text = format!("{number}:");
    text.extend(std::iter::repeat_n('x', VALUE_BYTES - text.len()));
    text
}

/// Bids by `keys` bidders, a millisecond of event time each.
pub(super) fn bids(log: &dyn Log, topic: &str, partitions: u32, count: u64, keys: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(42);
    fill(log, topic, partitions, count, &mut |number| {
        let key = format!("b{}", random.random_range(0..keys));
        Record::new(key, value(number)).at_ms(START_MS + number as i64)
    });
}

/// Bidders `b0`, `b1`.., who were there before the first bid.
pub(super) fn bidders(log: &dyn Log, topic: &str, partitions: u32, count: u64) {
    fill(log, topic, partitions, count, &mut |number| {
        Record::new(format!("b{number}"), value(number)).at_ms(START_MS - 1)
    });
}

fn fill(log: &dyn Log, topic: &str, partitions: u32, count: u64, record: &mut dyn FnMut(u64) -> Record) {
    let topic = TopicName::new(topic).expect("a legal name");
    let mut producer: Box<dyn Producer> = log.producer(&format!("fill-{topic}")).expect("the cluster is there");
    let mut first = 0;
    while first < count {
        let batch = BATCH.min(count - first);
        let mut records = vec![Vec::new(); partitions as usize];
        for number in first..first + batch {
            let record = record(number);
            let key = record.key.as_deref().expect("it has a key");
            records[partition_for_key(key, partitions).0 as usize].push(record);
        }
        let appends = (0..).zip(records).map(|(partition, records)| Append {
            partition: TopicPartition::new(topic.clone(), PartitionId(partition)),
            records: records.into_iter().collect::<Records>(),
        });
        let transaction = Transaction { appends: appends.collect(), offsets: Vec::new() };
        producer.commit(transaction).expect("the cluster takes it");
        first += batch;
    }
}
