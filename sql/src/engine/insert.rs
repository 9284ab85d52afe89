//! INSERT .. VALUES: rows to the partitions of their keys, in one commit.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use millstream::{
    log::{Append, Log, Producer, Transaction, partition_for_key},
    record::{PartitionId, TopicName, TopicPartition},
};

use super::{Inner, error::EngineError};
use crate::{
    planner::{InsertPlan, plan_insert_values},
    syntax::ast::InsertValues,
};

impl Inner {
    /// Writes the rows of a statement; gives a line that says so.
    pub(super) fn insert_values(&self, insert: &InsertValues) -> Result<String, EngineError> {
        let plan = plan_insert_values(&self.catalog.read(), insert, self.now())?;
        let keyless = || self.keyless.fetch_add(1, Ordering::Relaxed);
        write(&plan, insert, self.shared.as_ref(), &mut **self.inserts.lock(), &keyless)
    }
}

/// Writes planned rows; those without a key go to the partition that `keyless` gives.
pub(super) fn write(
    plan: &InsertPlan,
    insert: &InsertValues,
    log: &dyn Log,
    producer: &mut dyn Producer,
    keyless: &dyn Fn() -> u64,
) -> Result<String, EngineError> {
    let InsertPlan { target, records } = plan;
    let at = insert.target.span.start;
    let topic = TopicName::new(&target.topic)?;
    let partitions = log.describe_topic(&topic).map_err(|error| EngineError::at(at, error))?.config.partitions;
    let mut rows: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (row, record) in (0_u32..).zip(records.iter()) {
        let partition = match record.key {
            Some(key) => partition_for_key(key, partitions).0,
            None => (keyless() % u64::from(partitions)) as u32,
        };
        rows.entry(partition).or_default().push(row);
    }
    let append = |(partition, rows): (u32, Vec<u32>)| Append {
        partition: TopicPartition::new(topic.clone(), PartitionId(partition)),
        records: records.take(&rows),
    };
    let appends = rows.into_iter().map(append).collect();
    producer.commit(Transaction { appends, offsets: Vec::new() })?;
    let count = records.len();
    Ok(format!("Inserted {count} row{} into {}", if count == 1 { "" } else { "s" }, target.name))
}
