//! Tasks as the brokers write them: the partitions of each part, the part's number as text.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    log::{Assignment, GroupTask, kafka::wire::streams_heartbeat::TaskIds},
    record::PartitionId,
};

/// Tasks by part, in order.
pub(super) fn to_ids(tasks: &BTreeSet<GroupTask>) -> Vec<TaskIds> {
    let mut parts: BTreeMap<usize, Vec<i32>> = BTreeMap::new();
    for task in tasks {
        let partition = i32::try_from(task.partition.0).expect("partitions are numbered below 2^31");
        parts.entry(task.part).or_default().push(partition);
    }
    parts.into_iter().map(|(part, partitions)| TaskIds { subtopology: part.to_string(), partitions }).collect()
}

/// The tasks; the error names a part that is none of ours.
pub(super) fn from_ids(ids: &[TaskIds]) -> Result<BTreeSet<GroupTask>, String> {
    let mut tasks = BTreeSet::new();
    for TaskIds { subtopology, partitions } in ids {
        let part: usize = subtopology.parse().map_err(|_| subtopology.clone())?;
        for partition in partitions {
            let partition = PartitionId(u32::try_from(*partition).map_err(|_| subtopology.clone())?);
            tasks.insert(GroupTask { part, partition });
        }
    }
    Ok(tasks)
}

/// All tasks of both.
pub(super) fn union(one: &Assignment, other: &Assignment) -> Assignment {
    Assignment { active: &one.active | &other.active, standby: &one.standby | &other.standby }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// `0_1` and so on, with blanks between them.
    pub(in crate::log::kafka::group) fn tasks(text: &str) -> BTreeSet<GroupTask> {
        let task = |task: &str| {
            let (part, partition) = task.split_once('_').unwrap();
            GroupTask { part: part.parse().unwrap(), partition: PartitionId(partition.parse().unwrap()) }
        };
        text.split_whitespace().map(task).collect()
    }

    #[test]
    fn tasks_are_there_again_after_the_way_over_the_wire() {
        let some = tasks("0_0 0_3 2_1 11_0");
        let ids = to_ids(&some);
        assert_eq!(ids[0], TaskIds { subtopology: "0".into(), partitions: vec![0, 3] });
        assert_eq!(from_ids(&ids), Ok(some));
        assert_eq!(from_ids(&[TaskIds { subtopology: "x".into(), partitions: vec![0] }]), Err("x".into()));
        assert_eq!(from_ids(&[TaskIds { subtopology: "1".into(), partitions: vec![-1] }]), Err("1".into()));
    }
}
