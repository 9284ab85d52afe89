//! Where futures of operators run: threads of tokio's, begun when the first operator needs them.
//!
//! A task that waits for an answer asks here whether it still should: when the application is stopped it waits a little longer, so that what is
//! nearly done is committed; when it is abandoned, not at all. Futures that are left are dropped; a future that blocks its thread goes on in the
//! background until it gives way or the process ends, and nobody waits for it.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use super::FoldError;

/// How long a task that is being stopped waits for answers.
pub(crate) const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// How often a task that waits looks whether it still should.
const LOOK: Duration = Duration::from_millis(20);

const GOING_ON: u8 = 0;
const STOPPING: u8 = 1;
const ABANDONED: u8 = 2;

/// Runs the futures of an application.
#[derive(Debug, Default)]
pub struct AsyncPool {
    runtime: OnceLock<tokio::runtime::Runtime>,
    phase: AtomicU8,
}

impl AsyncPool {
    /// Runs a future in the background.
    ///
    /// # Errors
    /// If the operating system gives no thread.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> Result<(), FoldError> {
        if self.runtime.get().is_none() {
            let made = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            // Of two that come at once one is dropped, unused.
            self.runtime.set(made.map_err(FoldError::of)?).unwrap_or_else(tokio::runtime::Runtime::shutdown_background);
        }
        if let Some(runtime) = self.runtime.get() {
            drop(runtime.spawn(future));
        }
        Ok(())
    }

    /// From now on tasks wait for a little longer only.
    pub(crate) fn stop(&self) {
        self.phase.fetch_max(STOPPING, Ordering::AcqRel);
    }

    /// From now on tasks wait for nothing.
    pub(crate) fn abandon(&self) {
        self.phase.fetch_max(ABANDONED, Ordering::AcqRel);
    }

    /// Waits until `ready` gives something; `None` if the application ends before.
    pub(crate) fn wait<T, R>(
        &self,
        state: &(Mutex<T>, Condvar),
        mut ready: impl FnMut(&mut T) -> Option<R>,
    ) -> Option<R> {
        let (lock, changed) = state;
        let mut held = lock.lock();
        let mut patience = STOP_PATIENCE;
        loop {
            if let Some(found) = ready(&mut held) {
                return Some(found);
            }
            match self.phase.load(Ordering::Acquire) {
                GOING_ON => {}
                STOPPING if patience > Duration::ZERO => patience = patience.saturating_sub(LOOK),
                _ => return None,
            }
            changed.wait_for(&mut held, LOOK);
        }
    }
}

impl Drop for AsyncPool {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
