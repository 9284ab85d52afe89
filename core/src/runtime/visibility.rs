//! What readers from outside see: whole commits, and every commit that the log had shown before they asked.
//!
//! A commit is announced before it goes to the log, and is over when the stores have taken it over. A reader waits for the commits that were
//! announced before it came, and then takes its snapshots while no store is taking anything over. So it holds a task back for no longer
//! than the snapshots take, and waits for no disk but that of commits which it may have heard of.

use std::{collections::BTreeSet, time::Duration};

use parking_lot::{Condvar, Mutex, RwLock, RwLockReadGuard};

use super::progress::Progress;

/// Which commits are on their way, and how far tasks have come.
#[derive(Default)]
pub(crate) struct Visibility {
    /// Held for reading while stores take a commit over, for writing while snapshots are taken.
    taking_over: RwLock<()>,
    announced: Mutex<Announced>,
    /// Told whenever a commit is over.
    over: Condvar,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Announced {
    next: u64,
    open: BTreeSet<u64>,
}

/// A commit that was announced; it is over when this is dropped.
pub(super) struct AnnouncedCommit<'a> {
    visibility: &'a Visibility,
    number: u64,
}

impl Visibility {
    pub(super) fn new(progress: Progress) -> Self {
        Self { progress: Mutex::new(progress), ..Self::default() }
    }

    /// Announces a commit, before the log has it.
    pub(super) fn announce(&self) -> AnnouncedCommit<'_> {
        let mut announced = self.announced.lock();
        let number = announced.next;
        announced.next += 1;
        announced.open.insert(number);
        AnnouncedCommit { visibility: self, number }
    }

    /// Keeps readers out while stores take a commit over; other commits may do so at the same time.
    pub(super) fn take_over(&self) -> RwLockReadGuard<'_, ()> {
        self.taking_over.read()
    }

    /// Changes what is known of how far tasks have come.
    pub(super) fn progress(&self) -> parking_lot::MutexGuard<'_, Progress> {
        self.progress.lock()
    }

    /// What `take` gives between two commits, all of which that were announced before are over.
    pub(crate) fn between_commits<T>(&self, take: impl FnOnce(&Progress) -> T) -> T {
        let mut announced = self.announced.lock();
        let next = announced.next;
        while announced.open.first().is_some_and(|number| *number < next) {
            self.over.wait(&mut announced);
        }
        drop(announced);
        let _nothing_is_taken_over = self.taking_over.write();
        take(&self.progress.lock())
    }

    /// Waits until `reached` holds, looked at after each commit, or for `timeout`; says whether it holds.
    pub(crate) fn wait_until(&self, timeout: Duration, mut reached: impl FnMut(&Progress) -> bool) -> bool {
        let mut announced = self.announced.lock();
        let mut is_behind = |_: &mut Announced| !reached(&self.progress.lock());
        !self.over.wait_while_for(&mut announced, &mut is_behind, timeout).timed_out() || !is_behind(&mut announced)
    }
}

impl Drop for AnnouncedCommit<'_> {
    fn drop(&mut self) {
        self.visibility.announced.lock().open.remove(&self.number);
        self.visibility.over.notify_all();
    }
}
