//! Who gets which tasks in a classic group: the same number everywhere, each where it was as far as that allows, copies elsewhere.
//!
//! Each part is shared out by itself, so that no process has all tasks of the heaviest one. What does not divide evenly goes to those with
//! fewest tasks so far, and among them to those who have most of the part already: what was shared out once stays as it is while the
//! members stay. A task that lost its process goes to one that keeps a copy of its stores, if it may have one more.
//!
//! **Invariants**: every task is active exactly once. Active tasks differ by one at most between members, in all and in each part. A copy
//! is never on a member that has the task; every task with stores has as many copies as asked for, or as there are other members.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    log::{Assignment, GroupTask},
    record::PartitionId,
};

/// A part of the topology, for sharing out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PartShape {
    /// How many tasks it has.
    pub(super) tasks: u32,
    /// Whether it has stores.
    pub(super) stores: Stores,
}

/// Whether a part has stores, so that copies make sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stores {
    /// None.
    None,
    /// Some.
    Some,
}

/// Shares the tasks out, by member, given what each has.
pub(super) fn share_out(
    parts: &[PartShape],
    members: &BTreeMap<String, Assignment>,
    replicas: usize,
) -> BTreeMap<String, Assignment> {
    if members.is_empty() {
        return BTreeMap::new();
    }
    let mut work = Work { before: members.values().collect(), now: vec![Assignment::default(); members.len()] };
    for (number, part) in parts.iter().enumerate() {
        let partitions = (0..part.tasks).map(|partition| GroupTask { part: number, partition: PartitionId(partition) });
        work.share_actives(&partitions.collect());
    }
    let stateful = |task: &GroupTask| parts.get(task.part).is_some_and(|part| part.stores == Stores::Some);
    let tasks: Vec<GroupTask> = work.now.iter().flat_map(|had| &had.active).copied().filter(stateful).collect();
    work.share_standbys(tasks, replicas.min(members.len() - 1));
    members.keys().cloned().zip(work.now).collect()
}

/// Tasks being shared out; members by number.
struct Work<'a> {
    before: Vec<&'a Assignment>,
    now: Vec<Assignment>,
}

impl Work<'_> {
    /// Shares out the tasks of one part.
    fn share_actives(&mut self, tasks: &BTreeSet<GroupTask>) {
        let mut room = self.quotas(tasks);
        let mut orphans = BTreeSet::new();
        for task in tasks {
            let owner = (0..room.len()).find(|&member| room[member] > 0 && self.before[member].active.contains(task));
            match owner {
                Some(member) => self.give(member, *task, &mut room),
                None => {
                    orphans.insert(*task);
                }
            }
        }
        for task in orphans.clone() {
            let warm = (0..room.len()).find(|&member| room[member] > 0 && self.before[member].standby.contains(&task));
            if let Some(member) = warm {
                orphans.remove(&task);
                self.give(member, task, &mut room);
            }
        }
        for task in orphans {
            let most = (0..room.len()).max_by_key(|&member| (room[member], std::cmp::Reverse(member)));
            self.give(most.expect("there is a member"), task, &mut room);
        }
    }

    fn give(&mut self, member: usize, task: GroupTask, room: &mut [usize]) {
        room[member] -= 1;
        self.now[member].active.insert(task);
    }

    /// How many tasks of a part each member gets.
    fn quotas(&self, tasks: &BTreeSet<GroupTask>) -> Vec<usize> {
        let count = self.now.len();
        let mut quotas = vec![tasks.len() / count; count];
        let has = |member: usize| {
            let count = |owned: &BTreeSet<GroupTask>| owned.intersection(tasks).count();
            (count(&self.before[member].active), count(&self.before[member].standby))
        };
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by_key(|&member| (self.now[member].active.len(), std::cmp::Reverse(has(member)), member));
        order.iter().take(tasks.len() % count).for_each(|&member| quotas[member] += 1);
        quotas
    }

    /// Puts `copies` copies of each task on other members.
    fn share_standbys(&mut self, mut tasks: Vec<GroupTask>, copies: usize) {
        tasks.sort_unstable();
        let most = (tasks.len() * copies).div_ceil(self.now.len());
        let mut missing: Vec<(GroupTask, usize)> = tasks.into_iter().map(|task| (task, copies)).collect();
        for (task, missing) in &mut missing {
            for member in 0..self.now.len() {
                let before = self.before[member];
                let warm = before.standby.contains(task) || before.active.contains(task);
                if *missing > 0 && warm && self.may_copy(member, task) && self.now[member].standby.len() < most {
                    self.now[member].standby.insert(*task);
                    *missing -= 1;
                }
            }
        }
        for (task, missing) in missing {
            for _ in 0..missing {
                let free = (0..self.now.len()).filter(|&member| self.may_copy(member, &task));
                let least = free.min_by_key(|&member| (self.now[member].standby.len(), member));
                self.now[least.expect("there are more members than copies")].standby.insert(task);
            }
        }
        while self.move_a_copy() {}
    }

    fn may_copy(&self, member: usize, task: &GroupTask) -> bool {
        !self.now[member].active.contains(task) && !self.now[member].standby.contains(task)
    }

    /// Moves a copy from a member to another that has at least two fewer, if there is such a pair.
    fn move_a_copy(&mut self) -> bool {
        let mut order: Vec<usize> = (0..self.now.len()).collect();
        order.sort_by_key(|&member| self.now[member].standby.len());
        for &heavy in order.iter().rev() {
            for &light in &order {
                if self.now[light].standby.len() + 2 > self.now[heavy].standby.len() {
                    break;
                }
                let fits = self.now[heavy].standby.iter().copied().find(|task| self.may_copy(light, task));
                if let Some(task) = fits {
                    self.now[heavy].standby.remove(&task);
                    self.now[light].standby.insert(task);
                    return true;
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::tasks::tests::tasks, *};

    fn names(count: usize) -> BTreeMap<String, Assignment> {
        (0..count).map(|member| (format!("m{member}"), Assignment::default())).collect()
    }

    fn shape(tasks: u32) -> PartShape {
        PartShape { tasks, stores: Stores::Some }
    }

    /// `active|standby` of each member.
    fn shown(shared: &BTreeMap<String, Assignment>) -> Vec<String> {
        let list = |tasks: &BTreeSet<GroupTask>| tasks.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        shared.values().map(|tasks| format!("{}|{}", list(&tasks.active), list(&tasks.standby))).collect()
    }

    #[test]
    fn a_task_whose_process_is_gone_goes_to_one_with_a_copy() {
        let shared = share_out(&[shape(4)], &names(2), 1);
        assert_eq!(shown(&shared), ["0_0 0_2|0_1 0_3", "0_1 0_3|0_0 0_2"]);

        let mut grown = shared.clone();
        grown.insert("m2".into(), Assignment::default());
        let grown = share_out(&[shape(4)], &grown, 1);
        let mut left = grown.clone();
        let gone = left.remove("m0").unwrap();
        let after = share_out(&[shape(4)], &left, 1);
        for task in &gone.active {
            let warm = left.iter().find(|(_, had)| had.standby.contains(task)).unwrap().0;
            assert!(after[warm].active.contains(task), "{task} is cold: {:?} after {:?}", shown(&after), shown(&left));
        }
    }

    #[test]
    fn who_claims_what_another_has_gets_it_once() {
        let both = Assignment { active: tasks("0_0 0_1"), ..Assignment::default() };
        let members: BTreeMap<_, _> = [("a".to_owned(), both.clone()), ("b".to_owned(), both)].into();
        assert_eq!(shown(&share_out(&[shape(2)], &members, 0)), ["0_0|", "0_1|"]);
        assert!(share_out(&[shape(2)], &BTreeMap::new(), 1).is_empty());
    }

    fn check(
        parts: &[PartShape],
        members: &BTreeMap<String, Assignment>,
        replicas: usize,
    ) -> Result<(), TestCaseError> {
        let shared = share_out(parts, members, replicas);
        prop_assert_eq!(shared.len(), members.len());
        let spread = |count: &dyn Fn(&Assignment) -> usize| {
            let counts: Vec<usize> = shared.values().map(count).collect();
            counts.iter().max().unwrap() - counts.iter().min().unwrap()
        };
        prop_assert!(spread(&|tasks| tasks.active.len()) <= 1);
        let mut all = 0;
        for (number, part) in parts.iter().enumerate() {
            prop_assert!(spread(&|tasks| tasks.active.iter().filter(|task| task.part == number).count()) <= 1);
            for partition in (0..part.tasks).map(PartitionId) {
                let task = GroupTask { part: number, partition };
                all += 1;
                let count = |has: &dyn Fn(&Assignment) -> bool| shared.values().filter(|tasks| has(tasks)).count();
                prop_assert_eq!(count(&|tasks| tasks.active.contains(&task)), 1);
                let copies = if part.stores == Stores::Some { replicas.min(members.len() - 1) } else { 0 };
                prop_assert_eq!(count(&|tasks| tasks.standby.contains(&task)), copies);
                prop_assert_eq!(count(&|had| had.active.contains(&task) && had.standby.contains(&task)), 0);
            }
        }
        prop_assert_eq!(shared.values().map(|tasks| tasks.active.len()).sum::<usize>(), all);
        // Who asks again gets the same.
        prop_assert_eq!(share_out(parts, &shared, replicas), shared);
        Ok(())
    }

    fn assignments() -> impl Strategy<Value = Assignment> {
        let task =
            (0..4_usize, 0..9_u32).prop_map(|(part, partition)| GroupTask { part, partition: PartitionId(partition) });
        let tasks = proptest::collection::btree_set(task, 0..8);
        (tasks.clone(), tasks).prop_map(|(active, standby)| Assignment { active, standby })
    }

    proptest! {
        #[test]
        fn whatever_members_claim_the_invariants_hold(
            parts in proptest::collection::vec((0..9_u32, any::<bool>()), 0..4),
            claims in proptest::collection::vec(assignments(), 1..6),
            replicas in 0..3_usize,
        ) {
            let shape = |(tasks, stores)| PartShape { tasks, stores: if stores { Stores::Some } else { Stores::None } };
            let parts: Vec<PartShape> = parts.into_iter().map(shape).collect();
            let members = claims.into_iter().enumerate().map(|(member, claim)| (format!("m{member}"), claim)).collect();
            check(&parts, &members, replicas)?;
        }

        #[test]
        fn when_a_member_comes_or_goes_most_stays(count in 1..6_usize, tasks in 1..20_u32) {
            let before = share_out(&[shape(tasks)], &names(count), 0);
            let mut more = before.clone();
            more.insert("n".into(), Assignment::default());
            let after = share_out(&[shape(tasks)], &more, 0);
            // Only what the new member has has moved.
            for (member, had) in &before {
                prop_assert!(after[member].active.is_subset(&had.active));
            }
            let fewer: BTreeMap<_, _> = after.iter().filter(|(name, _)| *name != "m0").map(|(n, a)| (n.clone(), a.clone())).collect();
            for (member, now) in share_out(&[shape(tasks)], &fewer, 0) {
                prop_assert!(fewer[&member].active.is_subset(&now.active));
            }
        }
    }
}
