//! What becomes of a message that was received: acknowledged, given back, rejected, or held longer.

use std::time::Duration;

use super::{
    Queue, QueueError, Receipt,
    span::Standing,
    state::{State, millis},
};
use crate::{
    log::Transaction,
    record::{Offset, TopicPartition},
};

impl Queue {
    /// A message is done with. It is durable when this returns.
    ///
    /// # Errors
    /// [`QueueError::StaleReceipt`] if the message is not held under this receipt any more: it may come again, or be done with.
    /// [`QueueError::Fenced`], [`QueueError::Stopped`]: the outcome is not known.
    pub fn ack(&self, receipt: &Receipt) -> Result<(), QueueError> {
        self.ack_with(std::slice::from_ref(receipt), Transaction::default()).map(drop)
    }

    /// Many messages are done with, in one commit. Gives those receipts back that were stale; the others are durable.
    ///
    /// # Errors
    /// [`QueueError::Fenced`], [`QueueError::Stopped`]: the outcome is not known.
    pub fn ack_all(&self, receipts: &[Receipt]) -> Result<Vec<Receipt>, QueueError> {
        let mut state = self.lock()?;
        self.sweep(&mut state)?;
        let mut stale = Vec::new();
        for receipt in receipts {
            match self.held(&state, receipt) {
                Ok(index) => self.acknowledge(&mut state, index, receipt),
                Err(_) => stale.push(*receipt),
            }
        }
        self.settle(state)?;
        Ok(stale)
    }

    /// Messages are done with in the same transaction in which what was made of them is written: exactly once. Gives the offset of the first
    /// record of each append. All or nothing.
    ///
    /// # Errors
    /// Those of [`ack`](Self::ack) for the first receipt that is stale; [`QueueError::Log`] if the transaction names a partition that is not there. Then nothing
    /// was done.
    pub fn ack_with(&self, receipts: &[Receipt], transaction: Transaction) -> Result<Vec<Offset>, QueueError> {
        self.check_transaction(&transaction)?;
        let mut state = self.lock()?;
        self.sweep(&mut state)?;
        let mut held = Vec::with_capacity(receipts.len());
        for receipt in receipts {
            held.push((self.held(&state, receipt)?, receipt));
        }
        for (index, receipt) in held {
            // A receipt that is given twice is one.
            if state.spans[index].slot(receipt.offset.0).is_some() {
                self.acknowledge(&mut state, index, receipt);
            }
        }
        self.write(state, transaction)
    }

    /// A message is given back: it can be received again after `delay`, or is a dead letter if its attempts are used up.
    ///
    /// # Errors
    /// As [`ack`](Self::ack); [`QueueError::InvalidSetting`] for a delay of more than 12 hours.
    pub fn nack(&self, receipt: &Receipt, delay: Duration) -> Result<(), QueueError> {
        self.config.check_span("delay", delay)?;
        self.change(receipt, |state, index| {
            let offset = receipt.offset.0;
            if self.is_used_up(receipt.attempt) {
                return self.bury(state, index, offset, "attempts used up: given back");
            }
            let standing = match millis(delay) {
                0 => Standing::Ready,
                delay => Standing::Delayed(self.now(state).saturating_add(delay)),
            };
            state.spans[index].put(offset, standing);
            Ok(())
        })
    }

    /// A message is of no use: it is a dead letter at once, for the reason that is given.
    ///
    /// # Errors
    /// As [`ack`](Self::ack); [`QueueError::NoDeadLetters`] if there is no topic for them.
    pub fn reject(&self, receipt: &Receipt, reason: &str) -> Result<(), QueueError> {
        if self.config.dead_letter.is_none() {
            return Err(QueueError::NoDeadLetters { queue: self.config.name.clone() });
        }
        self.change(receipt, |state, index| self.bury(state, index, receipt.offset.0, reason))
    }

    /// A message stays hidden for `by` from now on, instead of until its timeout; its receipt stays good.
    ///
    /// # Errors
    /// As [`ack`](Self::ack); [`QueueError::InvalidSetting`] for more than 12 hours.
    pub fn extend(&self, receipt: &Receipt, by: Duration) -> Result<(), QueueError> {
        self.config.check_span("extension", by)?;
        self.change(receipt, |state, index| {
            let until = self.now(state).saturating_add(millis(by));
            state.spans[index].put(receipt.offset.0, Standing::Leased(until));
            Ok(())
        })
    }

    fn change(
        &self,
        receipt: &Receipt,
        change: impl FnOnce(&mut State, usize) -> Result<(), QueueError>,
    ) -> Result<(), QueueError> {
        let mut state = self.lock()?;
        self.sweep(&mut state)?;
        let index = self.held(&state, receipt)?;
        change(&mut state, index)?;
        self.settle(state)
    }

    fn acknowledge(&self, state: &mut State, index: usize, receipt: &Receipt) {
        state.spans[index].finish(receipt.offset.0);
        state.counts.acknowledged += 1;
    }

    /// The partition of a message that is held under this receipt.
    fn held(&self, state: &State, receipt: &Receipt) -> Result<usize, QueueError> {
        let index = receipt.partition.0 as usize;
        let problem = match state.spans.get(index).and_then(|span| span.slot(receipt.offset.0)) {
            _ if receipt.queue != self.identity => "it is of another queue",
            None => "the message is done with",
            Some(slot) if slot.attempts != receipt.attempt => "the message was received again since",
            Some(slot) if !matches!(slot.standing, Standing::Leased(_)) => {
                "its visibility timeout has passed, or it was given back"
            }
            Some(_) => return Ok(index),
        };
        Err(QueueError::StaleReceipt {
            queue: self.config.name.clone(),
            topic: self.config.topic.clone(),
            partition: receipt.partition,
            offset: receipt.offset,
            problem,
        })
    }

    /// One that the log would refuse must not take the changes of others with it.
    fn check_transaction(&self, transaction: &Transaction) -> Result<(), QueueError> {
        let appended = transaction.appends.iter().map(|append| &append.partition);
        let read = transaction.offsets.iter().map(|offset| &offset.partition);
        let check = |partition: &TopicPartition| self.log.end_offset(partition).map(drop);
        appended.chain(read).try_for_each(check)?;
        let rows = transaction.appends.iter().flat_map(|append| append.records.iter());
        rows.map(|row| super::records::size_bytes(&row)).try_for_each(|bytes| self.check_size(bytes))
    }

    /// Whether the log takes a record of so many bytes.
    pub(super) fn check_size(&self, bytes: usize) -> Result<(), QueueError> {
        let most = self.log.largest_record();
        if bytes > most {
            return Err(QueueError::TooLarge { queue: self.config.name.clone(), bytes, most });
        }
        Ok(())
    }
}
