//! Opening the stores of a task, and bringing them up to their changelogs.
//!
//! A store without changelog begins empty, wherever it is kept: what disk holds of it is of no known moment.

use super::{
    StreamsError,
    build::{Builder, StoreHandle, changelog_topic},
    stores::{PersistentStore, store_name},
    task::{Changelog, RunningStore},
};
use crate::{
    log::Log,
    operator::{CommittedStore, MemoryStore, StoreKind, StoreLogging, StoreSpec, TaskStore},
    record::{PartitionId, TopicPartition},
};

/// Bytes of a changelog replayed at once.
const RESTORE_BYTES: usize = 4 << 20;

impl Builder<'_> {
    /// A store on one partition as its changelog says it is, and the way in which others read it.
    pub(super) fn store(
        &self,
        spec: &StoreSpec,
        partition: PartitionId,
    ) -> Result<(RunningStore, StoreHandle), StreamsError> {
        let error = |problem: String| StreamsError::Store { store: spec.name.clone(), problem };
        let (mut committed, handle): (Box<dyn CommittedStore>, _) = match self.state {
            Some(backend) if spec.options.kind == StoreKind::Persistent => {
                let name = store_name(self.application, &spec.name, partition);
                let store = PersistentStore::open(backend, &name, &spec.retention).map_err(|e| error(e.to_string()))?;
                let handle = StoreHandle::Persistent(store.store());
                (Box::new(store), handle)
            }
            _ => {
                let store = MemoryStore::default();
                let handle = StoreHandle::Memory(store.rows());
                (Box::new(store), handle)
            }
        };
        let changelog = match spec.options.logging {
            StoreLogging::Enabled => {
                let topic = changelog_topic(self.application, &spec.name)?;
                let incarnation = self.log.describe_topic(&topic)?.incarnation;
                Some(Changelog { topic: TopicPartition::new(topic, partition), incarnation })
            }
            StoreLogging::Disabled => {
                committed.reset().map_err(error)?;
                None
            }
        };
        let mut store = TaskStore::new(committed, spec.retention.clone());
        if let Some(changelog) = &changelog {
            restore(&mut store, self.log.as_ref(), &changelog.topic, changelog.incarnation, &error)?;
        }
        Ok((RunningStore { name: spec.name.clone(), store, changelog }, handle))
    }
}

/// Brings a store up to the end of its changelog: from where it is, or from the start if it does not belong to this changelog.
fn restore(
    store: &mut TaskStore,
    log: &dyn Log,
    changelog: &TopicPartition,
    incarnation: u128,
    error: &dyn Fn(String) -> StreamsError,
) -> Result<(), StreamsError> {
    let (start, end) = (log.start_offset(changelog)?, log.end_offset(changelog)?);
    let mut next = match store.committed().position() {
        None => start,
        Some((known, next)) if known == incarnation && (start.0..=end.0).contains(&next) => crate::record::Offset(next),
        Some((known, next)) => {
            let why = if known == incarnation {
                "its position is outside the changelog"
            } else {
                "the changelog was made anew"
            };
            tracing::warn!("{changelog}: the store at {next} is rebuilt from {start} to {end}: {why}");
            store.committed().reset().map_err(error)?;
            start
        }
    };
    while next < end {
        let fetched = log.fetch(changelog, next, RESTORE_BYTES)?;
        for batch in &fetched.batches {
            let last = batch.offsets.at(batch.records.len() - 1);
            store.apply(&batch.records, incarnation, last.next().0).map_err(error)?;
        }
        if fetched.next <= next {
            break;
        }
        next = fetched.next;
    }
    Ok(())
}
