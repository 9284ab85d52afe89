//! `millstream groups`: who works on an application, and how far it is.
//!
//! On a cluster a group is what its processes have joined, of whatever make. The log of a data directory keeps positions only: each part of an
//! application has a group, named `<application>-<number>`, and no members.

mod describe;
mod list;

use std::{io, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch, StringArray},
    error::ArrowError,
};
use clap::{Args, Subcommand};

use super::{cluster::LogArguments, failure::Failure};
use crate::{
    output::{OutputError, OutputFormat, write_rows},
    shell::console::terminal_width,
};

/// `millstream groups`
#[derive(Debug, Subcommand)]
pub enum GroupsCommand {
    /// All groups.
    List(GroupListArguments),
    /// A group: its state and members, and a row for each partition in which it has a position, with how many offsets wait.
    Describe(GroupDescribeArguments),
}

/// `millstream groups list`
#[derive(Debug, Args)]
pub struct GroupListArguments {
    /// Where the groups are.
    #[command(flatten)]
    pub log: LogArguments,
    /// How rows are written.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: OutputFormat,
}

/// `millstream groups describe`
#[derive(Debug, Args)]
pub struct GroupDescribeArguments {
    /// The group, which has the name of its application.
    pub group: String,
    /// Where the group is.
    #[command(flatten)]
    pub log: LogArguments,
    /// How rows are written.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: OutputFormat,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`].
pub fn run(command: &GroupsCommand) -> Result<(), Failure> {
    match command {
        GroupsCommand::List(arguments) => list::run(arguments),
        GroupsCommand::Describe(arguments) => describe::run(arguments),
    }
}

/// A column of texts; numbers are `UInt64` elsewhere.
fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn write(format: OutputFormat, columns: Vec<(&str, ArrayRef)>) -> Result<(), Failure> {
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    let rows =
        RecordBatch::try_from_iter_with_nullable(columns).map_err(|error: ArrowError| Failure::Output(error.into()))?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    write_rows(format, &rows.schema(), std::slice::from_ref(&rows), terminal_width(), &mut out)
        .map_err(|error: OutputError| error.into())
}
