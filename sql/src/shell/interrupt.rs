//! Ctrl-C and termination signals, counted by one thread and looked at where work can stop.
//!
//! The first signal asks for an orderly end. A third one ends the process at once: what was committed is safe, by design.

use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// How the shell of a process that was killed by Ctrl-C expects it to end.
const EXIT_CODE_INTERRUPTED: i32 = 130;

/// Signals that end the process whatever it is doing.
const IMPATIENT_SIGNALS: usize = 3;

/// The signals received so far. Clones share the count.
#[derive(Debug, Clone, Default)]
pub struct Interrupts {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    count: AtomicUsize,
    changed: Condvar,
    lock: Mutex<()>,
}

impl Interrupts {
    /// Starts to catch SIGINT and SIGTERM, for the rest of the process's life.
    ///
    /// # Errors
    /// If the operating system refuses a thread or a signal handler.
    pub fn install() -> std::io::Result<Self> {
        let interrupts = Self::default();
        let theirs = interrupts.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let (ready, installed) = std::sync::mpsc::channel();
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            runtime.block_on(async move {
                use tokio::signal::unix::{SignalKind, signal};
                let streams =
                    signal(SignalKind::interrupt()).and_then(|int| Ok((int, signal(SignalKind::terminate())?)));
                let (mut interrupt, mut terminate) = match streams {
                    Ok(streams) => streams,
                    Err(error) => return drop(ready.send(Err(error))),
                };
                drop(ready.send(Ok(())));
                loop {
                    tokio::select! {
                        _ = interrupt.recv() => theirs.raise(),
                        _ = terminate.recv() => theirs.raise(),
                    }
                }
            });
        })?;
        installed.recv().map_err(std::io::Error::other)??;
        Ok(interrupts)
    }

    fn raise(&self) {
        let count = self.shared.count.fetch_add(1, Ordering::SeqCst) + 1;
        if count >= IMPATIENT_SIGNALS {
            std::process::exit(EXIT_CODE_INTERRUPTED);
        }
        drop(self.shared.lock.lock());
        self.shared.changed.notify_all();
    }

    /// Whether a signal came since the last [`clear`](Self::clear).
    pub fn is_set(&self) -> bool {
        self.shared.count.load(Ordering::SeqCst) > 0
    }

    /// Forgets the signals so far.
    pub fn clear(&self) {
        self.shared.count.store(0, Ordering::SeqCst);
    }

    /// Waits for a signal, at most for `timeout`; whether there is one.
    pub fn wait(&self, timeout: Duration) -> bool {
        if let Ok(guard) = self.shared.lock.lock() {
            drop(self.shared.changed.wait_timeout_while(guard, timeout, |()| !self.is_set()));
        }
        self.is_set()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_seen_until_they_are_cleared() {
        let interrupts = Interrupts::default();
        let seen = interrupts.clone();
        assert!(!seen.wait(Duration::ZERO));
        interrupts.raise();
        assert!(seen.is_set() && seen.wait(Duration::from_secs(60)));
        seen.clear();
        assert!(!interrupts.is_set());
    }
}
