//! The open stores, the memory they share, and the thread that writes their checkpoints.
//!
//! A store with many dirty bytes asks for a checkpoint and goes on; only if it has twice as many before the thread has come round does it
//! write one itself, which holds up its task. When the hot tiers together pass their share, the largest store is checkpointed and gives up
//! its older generation: keys written or read since the last such step are in the younger one and stay. That too is the thread's
//! work, until memory is a quarter above its share; then whoever writes waits for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Condvar, Mutex, RwLock};

use crate::error::StoreError;
use crate::memory::MemoryBudget;
use crate::store::Store;

/// When a checkpoint is to be durable. The higher one counts if both are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lasting {
    /// When RocksDB decides.
    Later,
    /// At once.
    AtOnce,
}

/// What the thread is to do.
#[derive(Debug, Default)]
struct Work {
    checkpoints: BTreeMap<String, Lasting>,
    relief: bool,
    stopped: bool,
}

/// Stores and what they share.
pub(crate) struct StorePool {
    pub(crate) stores: RwLock<BTreeMap<String, Arc<Store>>>,
    budget: MemoryBudget,
    hot_bytes: AtomicUsize,
    /// Held by the one thread that frees memory.
    relief: Mutex<()>,
    work: Mutex<Work>,
    has_work: Condvar,
}

impl StorePool {
    pub(crate) fn new(budget: MemoryBudget) -> Self {
        Self {
            stores: RwLock::default(),
            budget,
            hot_bytes: AtomicUsize::new(0),
            relief: Mutex::new(()),
            work: Mutex::default(),
            has_work: Condvar::new(),
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.budget.memory_bytes
    }

    pub(crate) fn hot_bytes(&self) -> usize {
        self.hot_bytes.load(Ordering::Relaxed)
    }

    /// Tells that a store held `before` bytes and holds `now`.
    pub(crate) fn account(&self, before: usize, now: usize) {
        if now >= before {
            self.hot_bytes.fetch_add(now - before, Ordering::Relaxed);
        } else {
            self.hot_bytes.fetch_sub(before - now, Ordering::Relaxed);
        }
    }

    /// True if reads may still add to the hot tiers.
    pub(crate) fn has_room(&self) -> bool {
        self.hot_bytes() < self.budget.hot_bytes
    }

    pub(crate) fn is_half_full(&self) -> bool {
        self.hot_bytes() > self.budget.hot_bytes / 2
    }

    /// Asks for a checkpoint of a store.
    pub(crate) fn ask(&self, store: &str, lasting: Lasting) {
        let mut work = self.work.lock();
        match work.checkpoints.get_mut(store) {
            Some(asked) => *asked = lasting.max(*asked),
            None => drop(work.checkpoints.insert(store.to_owned(), lasting)),
        }
        self.has_work.notify_one();
    }

    /// Sees to it that a store does not hold too much that no checkpoint has written, and all stores not too much together.
    pub(crate) fn after_write(&self, store: &Store, dirty_bytes: usize) -> Result<(), StoreError> {
        let most = self.budget.checkpoint_bytes;
        if dirty_bytes > 2 * most {
            store.write_dirty()?;
        } else if dirty_bytes > most {
            self.ask(store.name(), Lasting::Later);
        }
        if self.hot_bytes() > self.budget.hot_bytes / 4 * 5 {
            return self.relieve();
        }
        if !self.has_room() {
            self.work.lock().relief = true;
            self.has_work.notify_one();
        }
        Ok(())
    }

    /// Frees memory until the hot tiers are within their share.
    fn relieve(&self) -> Result<(), StoreError> {
        let _guard = self.relief.lock();
        let stores: Vec<Arc<Store>> = self.stores.read().values().cloned().collect();
        // Each store gives up its older generation, then its younger one: two rounds free whatever can be freed.
        for _ in 0..2 * stores.len() {
            if self.has_room() {
                break;
            }
            let Some(largest) = stores.iter().max_by_key(|store| store.hot_bytes()) else { break };
            match largest.evict() {
                Err(StoreError::StoreDropped { .. } | StoreError::HalfApplied { .. }) => break,
                other => other?,
            }
        }
        Ok(())
    }

    /// The thread: does what is asked for until it is stopped.
    pub(crate) fn run(&self) {
        loop {
            let (checkpoints, relief) = {
                let mut work = self.work.lock();
                while work.checkpoints.is_empty() && !work.relief && !work.stopped {
                    self.has_work.wait(&mut work);
                }
                if work.stopped {
                    return;
                }
                (std::mem::take(&mut work.checkpoints), std::mem::take(&mut work.relief))
            };
            for (name, lasting) in checkpoints {
                let Some(store) = self.stores.read().get(&name).cloned() else { continue };
                report(match lasting {
                    Lasting::Later => store.write_dirty(),
                    Lasting::AtOnce => store.checkpoint(),
                });
            }
            if relief {
                report(self.relieve());
            }
        }
    }

    /// Ends the thread after what it is at.
    pub(crate) fn stop(&self) {
        self.work.lock().stopped = true;
        self.has_work.notify_all();
    }
}

/// What has failed has closed the database: the next write of a task learns of it. What was dropped or is half applied is its task's affair.
fn report(result: Result<(), StoreError>) {
    match result {
        Ok(()) | Err(StoreError::StoreDropped { .. } | StoreError::HalfApplied { .. }) => {}
        Err(error) => tracing::error!(%error, "a checkpoint was not written"),
    }
}
