//! What goes wrong, and in what order: a list that follows from a seed, so that a run can be repeated.

use std::fmt;

use rand::RngExt;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

/// The most and the fewest workers at any time.
const WORKERS: std::ops::RangeInclusive<usize> = 2..=3;

/// One thing that goes wrong. Workers go by number, nodes of the cluster, too, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// SIGKILL; then it starts again, with its files or without.
    KillWorker { worker: usize, keeps: Files },
    /// It stands still for longer than its session lasts, and goes on: a zombie that knows nothing of what it has missed.
    FreezeWorker { worker: usize },
    /// A new one comes.
    AddWorker { worker: usize },
    /// SIGTERM: it leaves.
    RemoveWorker { worker: usize },
    /// SIGKILL; then it starts again.
    KillNode { node: u32 },
    /// SIGTERM: it hands over its leaderships; then it starts again.
    RestartNode { node: u32 },
}

/// What a worker finds of its former life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Files {
    Kept,
    Lost,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KillWorker { worker, keeps: Files::Kept } => write!(f, "kill worker {worker}"),
            Self::KillWorker { worker, keeps: Files::Lost } => write!(f, "kill worker {worker}, state lost"),
            Self::FreezeWorker { worker } => write!(f, "freeze worker {worker}"),
            Self::AddWorker { worker } => write!(f, "add worker {worker}"),
            Self::RemoveWorker { worker } => write!(f, "remove worker {worker}"),
            Self::KillNode { node } => write!(f, "kill node {node}"),
            Self::RestartNode { node } => write!(f, "restart node {node}"),
        }
    }
}

impl Fault {
    /// Its kind, for the table.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::KillWorker { keeps: Files::Kept, .. } => "kill worker",
            Self::KillWorker { keeps: Files::Lost, .. } => "kill worker, state lost",
            Self::FreezeWorker { .. } => "freeze worker",
            Self::AddWorker { .. } => "add worker",
            Self::RemoveWorker { .. } => "remove worker",
            Self::KillNode { .. } => "kill node",
            Self::RestartNode { .. } => "restart node",
        }
    }
}

/// `count` faults for a campaign that begins with workers 1 and 2 on a cluster of `nodes`.
///
/// Half of them are kills of workers. The number of workers goes up and down between two and three.
pub(super) fn plan(seed: u64, count: usize, nodes: u32) -> Vec<Fault> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut workers = vec![1, 2];
    let mut newest = 2;
    let mut faults = Vec::new();
    while faults.len() < count {
        let worker = workers[random.random_range(0..workers.len())];
        let node = random.random_range(1..=nodes);
        faults.push(match random.random_range(0..12_u32) {
            0..=3 => Fault::KillWorker { worker, keeps: Files::Kept },
            4 | 5 => Fault::KillWorker { worker, keeps: Files::Lost },
            6 => Fault::FreezeWorker { worker },
            7 | 8 if workers.len() < *WORKERS.end() => {
                newest += 1;
                workers.push(newest);
                Fault::AddWorker { worker: newest }
            }
            7 | 8 => {
                workers.retain(|other| *other != worker);
                Fault::RemoveWorker { worker }
            }
            9 | 10 => Fault::KillNode { node },
            _ => Fault::RestartNode { node },
        });
    }
    faults
}

#[test]
fn a_seed_gives_one_plan_with_every_kind_of_fault() {
    let plans = [plan(7, 60, 3), plan(7, 60, 3), plan(8, 60, 3)];
    assert_eq!(plans[0], plans[1]);
    assert_ne!(plans[0], plans[2]);
    let kinds: std::collections::BTreeSet<&str> = plans[0].iter().map(Fault::kind).collect();
    assert_eq!(kinds.len(), 7, "{kinds:?}");
    let mut running = 2_i32;
    for fault in &plans[0] {
        running += i32::from(matches!(fault, Fault::AddWorker { .. }));
        running -= i32::from(matches!(fault, Fault::RemoveWorker { .. }));
        assert!((2..=3).contains(&running), "{:?}", plans[0]);
    }
}
