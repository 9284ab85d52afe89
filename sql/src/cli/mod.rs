//! The command line: what each command takes and does, exit codes, logging.
//!
//! - [`arguments`]: the commands and the options they share; [`byte_size`]: `256MiB`
//! - [`sql`], [`run`], [`demo`], [`topic`], [`groups`], [`reset`], [`connector`], [`test`], [`bench`]: a command a file or folder; [`cluster`]: on Kafka
//! - [`idle`]: waiting for work to end, with [`progress`] shown; [`failure`]: what ends a command early
//!
//! Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 a statement or a run failed,
//! 2 the command line was wrong.

pub mod arguments;
pub mod bench;
pub mod byte_size;
pub mod cluster;
pub mod connector;
pub mod demo;
pub mod failure;
pub mod groups;
pub mod idle;
pub mod progress;
pub mod reset;
pub mod run;
pub mod sql;
pub mod stopwatch;
pub mod test;
pub mod topic;

use std::{io::IsTerminal, process::ExitCode};

use clap::Parser;
use tracing_subscriber::EnvFilter;

use arguments::{Cli, Command};
use failure::Failure;

use crate::shell::interrupt::Interrupts;

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    start_logging(cli.verbose);
    match run_command(&cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_closed_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run_command(command: &Command) -> Result<(), Failure> {
    let interrupts = Interrupts::install().map_err(|source| Failure::Signals { source })?;
    match command {
        Command::Demo(arguments) => demo::run(arguments, &interrupts),
        Command::Sql(arguments) => sql::run(arguments, &interrupts),
        Command::Run(arguments) => run::run(arguments, &interrupts),
        Command::Topic(arguments) => topic::run(arguments, &interrupts),
        Command::Groups(arguments) => groups::run(arguments),
        Command::Reset(arguments) => reset::run(arguments),
        Command::Connector(command) => connector::run(command),
        Command::Test(arguments) => test::run(arguments),
        Command::Bench(arguments) => bench::run(arguments),
    }
}

/// `RUST_LOG` decides; without it warnings are logged, and with `--verbose` what happens.
fn start_logging(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}
