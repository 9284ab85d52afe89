//! `millstream topic`: topics without SQL. Opens the log of a data directory or a cluster, not the queries on it.

mod consume;
mod describe;
mod produce;

use millstream::record::{InvalidName, PartitionId, TopicName};

use super::{arguments::TopicCommand, failure::Failure};
use crate::shell::interrupt::Interrupts;

/// Runs the command.
///
/// # Errors
/// [`Failure`].
pub fn run(command: &TopicCommand, interrupts: &Interrupts) -> Result<(), Failure> {
    match command {
        TopicCommand::List(arguments) => describe::list(arguments),
        TopicCommand::Describe(arguments) => describe::describe(arguments),
        TopicCommand::Produce(arguments) => produce::run(arguments, interrupts),
        TopicCommand::Consume(arguments) => consume::run(arguments, interrupts),
    }
}

fn topic_name(name: &str) -> Result<TopicName, Failure> {
    TopicName::new(name).map_err(|error: InvalidName| Failure::Log(error.into()))
}

/// The partitions to work on: the one asked for, or all.
fn partitions(asked: Option<u32>, count: u32) -> Vec<PartitionId> {
    asked.map_or_else(|| (0..count).map(PartitionId).collect(), |partition| vec![PartitionId(partition)])
}
