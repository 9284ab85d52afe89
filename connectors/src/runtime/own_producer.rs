//! The producer of a connector, which fences whoever ran under its name before.
//!
//! It is opened once for all attempts of a task, so that a task that was replaced while it waited to try again does not fence the one that replaced
//! it. Only when it cannot say what became of a commit is another one opened, which settles that before positions are read.

use millstream::{
    connect::ConnectError,
    log::{CommitError, Producer, SharedLog},
};

use super::producer_name;

/// Opened when it is first needed.
pub(super) struct OwnProducer {
    log: SharedLog,
    name: String,
    open: Option<Box<dyn Producer>>,
}

impl OwnProducer {
    pub(super) fn new(log: &SharedLog, connector: &str) -> Self {
        Self { log: log.clone(), name: producer_name(connector), open: None }
    }

    /// Does something with it.
    ///
    /// # Errors
    /// Those of opening it, and those of what is done.
    pub(super) fn run<T>(
        &mut self,
        work: impl FnOnce(&mut dyn Producer) -> Result<T, ConnectError>,
    ) -> Result<T, ConnectError> {
        let producer = match &mut self.open {
            Some(producer) => producer,
            none => none.insert(self.log.exclusive_producer(&self.name)?),
        };
        let done = work(producer.as_mut());
        if let Err(ConnectError::Commit(CommitError::Unknown(_))) = &done {
            self.open = None;
        }
        done
    }
}
