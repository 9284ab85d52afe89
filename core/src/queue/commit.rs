//! One commit for many callers.
//!
//! A caller changes the state in memory and then asks that it be settled. Whoever finds nobody committing takes everything that has changed
//! until then, its own changes included, and commits it, while the next changes gather; the others wait for the commit that holds theirs.
//! So commits are in the order of the changes, and nobody is told of a change before it and everything before it is durable.
//!
//! After a commit that failed, memory is ahead of the log: the queue ends, and whoever opens it again reads what is in the log.

use std::mem;

use parking_lot::MutexGuard;

use super::{
    Queue, QueueError,
    state::{Ended, State, Written},
};
use crate::{
    log::{CommitError, CommitReceipt, Transaction},
    record::{Offset, PartitionId, TopicPartition},
};

impl Queue {
    /// The state, unless the queue has ended.
    pub(super) fn lock(&self) -> Result<MutexGuard<'_, State>, QueueError> {
        let state = self.state.lock();
        self.check_ended(&state)?;
        Ok(state)
    }

    fn check_ended(&self, state: &State) -> Result<(), QueueError> {
        let queue = self.config.name.clone();
        match &state.ended {
            None => Ok(()),
            Some(Ended::Fenced) => Err(QueueError::Fenced { queue }),
            Some(Ended::Stopped(problem)) => Err(QueueError::Stopped { queue, problem: problem.clone() }),
        }
    }

    /// Writes with the state what a caller has to write; gives the offset of the first record of each append.
    pub(super) fn write(
        &self,
        mut state: MutexGuard<'_, State>,
        transaction: Transaction,
    ) -> Result<Vec<Offset>, QueueError> {
        let written = state.batch.add(transaction);
        self.settle(state)?;
        Ok(mem::take(&mut *written.lock()))
    }

    /// Returns when everything that has changed so far is durable.
    pub(super) fn settle(&self, mut state: MutexGuard<'_, State>) -> Result<(), QueueError> {
        let mine = state.filling;
        loop {
            if state.committed > mine {
                return Ok(());
            }
            self.check_ended(&state)?;
            match state.producer.take() {
                Some(mut producer) => {
                    let (mut transaction, written) = state.batch.take();
                    self.add_frame(&mut state, &mut transaction);
                    state.filling += 1;
                    let is_whole = state.changes == 0;
                    let outcome = MutexGuard::unlocked(&mut state, || {
                        producer.commit(transaction).inspect(|receipt| self.forget_frames(is_whole, receipt))
                    });
                    state.producer = Some(producer);
                    take_outcome(&mut state, outcome, written);
                    self.committed.notify_all();
                }
                None => self.committed.wait(&mut state),
            }
        }
    }

    /// After a whole frame, the last of its commit, those before it are needed no more.
    fn forget_frames(&self, is_whole: bool, receipt: &CommitReceipt) {
        let Some(offset) = receipt.base_offsets.last().filter(|_| is_whole) else { return };
        let partition = TopicPartition::new(self.state_topic.clone(), PartitionId(0));
        if let Err(error) = self.log.delete_records(&partition, *offset) {
            tracing::warn!(queue = %self.config.name, %error, "old states of a queue stay until they are compacted");
        }
    }
}

fn take_outcome(state: &mut State, outcome: Result<CommitReceipt, CommitError>, written: Vec<(Written, usize, usize)>) {
    match outcome {
        Ok(receipt) => {
            for (offsets, first, end) in written {
                *offsets.lock() = receipt.base_offsets[first..end].to_vec();
            }
            state.committed = state.filling;
        }
        Err(CommitError::Fenced { .. }) => state.ended = Some(Ended::Fenced),
        Err(error) => state.ended = Some(Ended::Stopped(error.to_string())),
    }
}
