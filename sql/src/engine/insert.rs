//! INSERT .. VALUES: rows to the partitions of their keys, in one commit.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use millstream::{
    log::{Append, Transaction, partition_for_key},
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
        let InsertPlan { target, records } = plan_insert_values(&self.catalog.read(), insert, self.now())?;
        let at = insert.target.span.start;
        let topic = TopicName::new(&target.topic)?;
        let partitions =
            self.shared.describe_topic(&topic).map_err(|error| EngineError::at(at, error))?.config.partitions;
        let mut rows: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (row, record) in (0_u32..).zip(records.iter()) {
            let partition = match record.key {
                Some(key) => partition_for_key(key, partitions).0,
                None => (self.keyless.fetch_add(1, Ordering::Relaxed) % u64::from(partitions)) as u32,
            };
            rows.entry(partition).or_default().push(row);
        }
        let append = |(partition, rows): (u32, Vec<u32>)| Append {
            partition: TopicPartition::new(topic.clone(), PartitionId(partition)),
            records: records.take(&rows),
        };
        let appends = rows.into_iter().map(append).collect();
        self.inserts.lock().commit(Transaction { appends, offsets: Vec::new() })?;
        let count = records.len();
        Ok(format!("Inserted {count} row{} into {}", if count == 1 { "" } else { "s" }, target.name))
    }
}
