//! `millstream topic`: topics without SQL. Opens the log of a data directory, not the queries in it.

mod consume;
mod describe;
mod produce;

use std::path::Path;

use millstream::{
    log::{
        SharedLog,
        embedded::{EmbeddedConfig, EmbeddedLog},
    },
    record::{InvalidName, PartitionId, TopicName},
};

use super::{arguments::TopicCommand, failure::Failure};
use crate::shell::interrupt::Interrupts;

/// Where the engine keeps its log in a data directory.
const LOG_DIRECTORY: &str = "log";

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

/// Opens the log of `data`, which must be there unless `create` is set: looking at a directory makes none.
fn open(data: &Path, create: bool) -> Result<SharedLog, Failure> {
    if !create && !data.is_dir() {
        let advice = "name it with --data, or make a topic with `topic produce --create`";
        return Err(Failure::Refused(format!("{}: there is no such data directory; {advice}", data.display())));
    }
    open_log(data)
}

/// Opens the log alone, so that queries and connectors of the directory stay at rest.
///
/// # Errors
/// [`Failure::Log`]; among others if another process has it open.
pub(super) fn open_log(data: &Path) -> Result<SharedLog, Failure> {
    Ok(EmbeddedLog::open(&data.join(LOG_DIRECTORY), EmbeddedConfig::default())?)
}

fn topic_name(name: &str) -> Result<TopicName, Failure> {
    TopicName::new(name).map_err(|error: InvalidName| Failure::Log(error.into()))
}

/// The partitions to work on: the one asked for, or all.
fn partitions(asked: Option<u32>, count: u32) -> Vec<PartitionId> {
    asked.map_or_else(|| (0..count).map(PartitionId).collect(), |partition| vec![PartitionId(partition)])
}
