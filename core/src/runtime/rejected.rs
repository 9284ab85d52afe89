//! Records that a task does not process: each goes through its handler, and what is to be kept waits for the commit.
//!
//! Invariant: whatever is counted or kept here becomes visible with the commit of the interval that it belongs to, or not at all.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    ErrorContext, ErrorHandlers, HandlerResponse, StreamsError,
    build::{Builder, dead_letter_topic},
    handlers::ErrorKind,
    metrics::Counters,
};
use crate::{
    log::{Append, LogError, TopicConfig},
    operator::{DeadLetter, Reason, TaskId},
    record::{PartitionId, TopicPartition},
    topology::{NodeId, NodeKind, Subtopology},
};

/// The rejected records of a task since its last commit.
pub(super) struct Rejected {
    task: TaskId,
    handlers: Arc<ErrorHandlers>,
    topic: TopicPartition,
    /// The only topic and partition that the task reads, if it reads no other: where rows come from that an operator has held back.
    only_input: Option<TopicPartition>,
    /// How large a record may be.
    largest_record: usize,
    kept: Vec<DeadLetter>,
    /// All of them, kept or not, by operator and reason.
    counts: BTreeMap<(String, Reason), u64>,
}

impl Rejected {
    pub(super) fn new(
        task: TaskId,
        handlers: Arc<ErrorHandlers>,
        topic: TopicPartition,
        only_input: Option<TopicPartition>,
        largest_record: usize,
    ) -> Self {
        Self { task, handlers, topic, only_input, largest_record, kept: Vec::new(), counts: BTreeMap::new() }
    }

    /// Asks the handlers about records; gives the bytes that are kept of them.
    ///
    /// # Errors
    /// [`StreamsError::Rejected`] for the first record whose handler says so.
    pub(super) fn take(&mut self, letters: impl IntoIterator<Item = DeadLetter>) -> Result<usize, StreamsError> {
        let mut bytes = 0;
        for mut letter in letters {
            if letter.origin.is_none() && letter.offset.is_some() {
                letter.origin.clone_from(&self.only_input);
            }
            let handler = self.handlers.of(ErrorKind::of(letter.reason));
            let response = handler.decide(&ErrorContext::of(self.task, &letter));
            if response == HandlerResponse::Fail {
                return Err(failure(self.task, letter));
            }
            self.count(&letter.operator, letter.reason, 1);
            if response == HandlerResponse::DeadLetter {
                letter.shorten(self.largest_record / 2);
                bytes += letter.size_bytes();
                self.kept.push(letter);
            }
        }
        Ok(bytes)
    }

    /// Counts records that are dropped, or that someone takes otherwise.
    pub(super) fn count(&mut self, operator: &str, reason: Reason, records: u64) {
        if records > 0 {
            *self.counts.entry((operator.to_owned(), reason)).or_default() += records;
        }
    }

    /// What belongs into the commit; the counts go over to `counters`.
    pub(super) fn commit(&mut self, counters: &Counters) -> Option<Append> {
        counters.add_dropped(std::mem::take(&mut self.counts));
        if self.kept.is_empty() {
            return None;
        }
        self.kept.iter().for_each(|letter| counters.add_dead_letter(letter.reason));
        let records = self.kept.drain(..).map(|letter| letter.into_record(self.task)).collect();
        Some(Append { partition: self.topic.clone(), records })
    }
}

fn failure(task: TaskId, letter: DeadLetter) -> StreamsError {
    let DeadLetter { reason, problem, operator, origin, offset, .. } = letter;
    let origin = origin.map(|origin| format!(" {origin}")).unwrap_or_default();
    let offset = offset.map(|offset| format!(" offset={offset}")).unwrap_or_default();
    StreamsError::Rejected { task, operator, place: format!("{origin}{offset}"), reason, problem }
}

impl Builder<'_> {
    /// The topic for dead letters: one that users have named may be theirs, whatever its partitions.
    pub(super) fn dead_letters(&self) -> Result<TopicPartition, StreamsError> {
        let topic = match &self.settings.handlers.dead_letter_topic {
            Some(topic) => topic.clone(),
            None => dead_letter_topic(self.application)?,
        };
        Ok(TopicPartition::new(topic, PartitionId(0)))
    }

    pub(super) fn ensure_dead_letter_topic(&self) -> Result<(), StreamsError> {
        match self.log.create_topic(&self.dead_letters()?.topic, &TopicConfig::default()) {
            Ok(()) | Err(LogError::TopicExists { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The nodes of a part, by their place in it, that take the late records of `node`, and of which of its inputs.
    pub(super) fn late_takers(&self, node: NodeId, part: &Subtopology) -> Vec<(usize, usize)> {
        let nodes = part.nodes.iter().map(|id| &self.topology.nodes()[id.0]).enumerate();
        let late = nodes.filter_map(|(place, taker)| match taker.kind {
            NodeKind::Late { input } if taker.inputs[0] == node => Some((input, place)),
            _ => None,
        });
        late.collect()
    }
}
