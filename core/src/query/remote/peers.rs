//! Who has what: finds the processes that have the partitions which this one has not, and opens snapshots there.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    RemotePartition, RemoteSnapshot,
    message::{Freshness, Wanted},
    partition::{OpenError, Opening},
};
use crate::{
    log::{GroupMembership, GroupTask},
    query::partition_snapshot::PartitionSnapshot,
    record::{PartitionId, Position},
};

/// How often the group is asked anew where a partition is, before it is given up.
const ATTEMPTS: usize = 3;
/// How long to wait in between: the group hears of a move with the next heartbeat.
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(300);

/// The other processes of an application.
pub(crate) struct Peers {
    group: Arc<dyn GroupMembership>,
    application: String,
    /// Where this process answers: it is not asked over the network.
    own: Option<String>,
    token: String,
}

/// What is wanted of a store.
pub(in crate::query) struct Sought<'a> {
    pub(in crate::query) store: &'a str,
    /// The part of the topology that the store belongs to.
    pub(in crate::query) part: usize,
    pub(in crate::query) partitions: &'a [usize],
    pub(in crate::query) wanted: Wanted,
    pub(in crate::query) freshness: Freshness,
}

/// Snapshots of partitions elsewhere, each with its store and what belongs to it.
pub(in crate::query) type Found = BTreeMap<usize, Vec<PartitionSnapshot>>;

impl Peers {
    pub(crate) fn new(
        group: Arc<dyn GroupMembership>,
        application: &str,
        own: Option<String>,
        token: Option<String>,
    ) -> Self {
        Self { group, application: application.to_owned(), own, token: token.unwrap_or_default() }
    }

    /// Snapshots of partitions in the processes that have them, and what they include.
    ///
    /// # Errors
    /// The first partition that nobody gives, and why.
    pub(in crate::query) fn open(
        &self,
        sought: &Sought<'_>,
        position: &mut Position,
    ) -> Result<Found, (usize, String)> {
        let mut found = Found::new();
        let mut why = "no process that says where it answers has it at present".to_owned();
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                std::thread::sleep(BETWEEN_ATTEMPTS);
            }
            let missing: Vec<usize> =
                sought.partitions.iter().copied().filter(|partition| !found.contains_key(partition)).collect();
            for (endpoint, partitions) in self.holders(sought, &missing) {
                match self.ask(&endpoint, sought, &partitions) {
                    Ok((snapshots, reached)) => {
                        found.extend(partitions.into_iter().zip(snapshots));
                        reached.iter().for_each(|(input, next)| position.limit(input, next));
                    }
                    Err(OpenError::NotHere) => why = format!("{endpoint} has it no more, or not yet"),
                    Err(OpenError::Failed(problem)) => why = problem,
                }
            }
            if found.len() == sought.partitions.len() {
                return Ok(found);
            }
        }
        let missing = sought.partitions.iter().find(|partition| !found.contains_key(partition));
        missing.map_or(Ok(found), |partition| Err((*partition, why)))
    }

    /// By the endpoint of a process, the partitions that are to be asked for there: of its active process if there is one.
    fn holders(&self, sought: &Sought<'_>, missing: &[usize]) -> BTreeMap<String, Vec<usize>> {
        let peers = self.group.peers();
        let others = || peers.iter().filter(|peer| Some(&peer.endpoint) != self.own.as_ref());
        let mut holders: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for &partition in missing {
            let task = GroupTask { part: sought.part, partition: PartitionId(partition as u32) };
            let active = others().find(|peer| peer.assignment.active.contains(&task));
            let standby = || others().find(|peer| peer.assignment.standby.contains(&task));
            let holder = if sought.freshness == Freshness::Active { active } else { active.or_else(standby) };
            if let Some(holder) = holder {
                holders.entry(holder.endpoint.clone()).or_default().push(partition);
            }
        }
        holders
    }

    fn ask(
        &self,
        endpoint: &str,
        sought: &Sought<'_>,
        partitions: &[usize],
    ) -> Result<(Vec<Vec<PartitionSnapshot>>, Position), OpenError> {
        let (application, token, store) = (self.application.as_str(), self.token.as_str(), sought.store);
        let (wanted, freshness) = (sought.wanted, sought.freshness);
        let opening = Opening { application, token, store, partitions, wanted, freshness };
        let snapshot = Arc::new(RemoteSnapshot::open(endpoint, &opening)?);
        let stores = match wanted {
            Wanted::Rows => 1,
            Wanted::RowsAndHistory => 2,
        };
        let one = |place: usize| {
            let of =
                (0..stores).map(|store| RemotePartition::new(Arc::clone(&snapshot), (place * stores + store) as u32));
            of.map(PartitionSnapshot::Remote).collect()
        };
        let snapshots = (0..partitions.len()).map(one).collect();
        Ok((snapshots, snapshot.position().clone()))
    }
}
