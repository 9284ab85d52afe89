//! `millstream test`: runs cases of SQL pipelines and says which came out as expected.

use std::{
    fs,
    io::{self, Write},
    num::NonZeroUsize,
    path::PathBuf,
};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use millstream::operator::EmitPolicy;

use super::{cluster::ClusterArguments, failure::Failure};
use crate::functions::Functions;
use crate::output::OutputError;
use crate::testing::{
    cluster_stage::TestCluster,
    report,
    run::{Outcome, RunOptions},
    suite,
};

/// Options of `millstream test`.
#[derive(Debug, Args)]
pub struct TestArguments {
    /// Files of tests, or directories of them: `.sql`, each test begun by a line `--@test: name`; `.jsonl`, a case a line
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// How records are compared: one by one, or the last of each key
    #[arg(long, value_enum, default_value_t = Grade::Strict)]
    grade: Grade,
    /// Only cases whose id has this text in it
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Write one JSON object a case here
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Cases run at the same time [default: one a core]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Process records that come in a row to one topic in batches of so many [default: record by record]
    #[arg(long, value_name = "N")]
    batch_rows: Option<NonZeroUsize>,
    /// Make queries anew in the middle of the input
    #[arg(long)]
    restart: bool,
    /// When updates of tables are passed on
    #[arg(long, default_value_t = EmitPolicy::Record)]
    emit: EmitPolicy,
    /// Only so many cases, evenly taken from all
    #[arg(long, value_name = "N")]
    sample: Option<NonZeroUsize>,
    /// A cluster to run them on, with real topics; without one they run in memory
    #[command(flatten)]
    cluster: ClusterArguments,
    /// Show no failing case, only the counts
    #[arg(long, short)]
    quiet: bool,
}

/// How records are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Grade {
    /// Every record, in order.
    Strict,
    /// The last record of each key.
    Changelog,
}

/// Runs the command.
///
/// # Errors
/// If a file cannot be read, and if a case fails.
pub fn run(arguments: &TestArguments) -> Result<(), Failure> {
    let mut cases = suite::load(&arguments.paths)?;
    if let Some(filter) = &arguments.filter {
        cases.retain(|case| case.id.contains(filter.as_str()));
    }
    if let Some(sample) = arguments.sample {
        cases = suite::sample(cases, sample.get());
    }
    if cases.is_empty() {
        return Err(Failure::Refused(
            "there is no such test; a test in SQL begins with a line `--@test: name`".to_owned(),
        ));
    }
    let options = RunOptions {
        batch_rows: arguments.batch_rows.map(NonZeroUsize::get),
        restart: arguments.restart,
        changelog: arguments.grade == Grade::Changelog,
        emit: arguments.emit,
        functions: Functions::new(),
        cluster: arguments.cluster.config()?.map(TestCluster::connect).transpose()?,
    };
    let jobs = arguments.jobs.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let bar = ProgressBar::new(cases.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} tests") {
        bar.set_style(style);
    }
    let outcomes = suite::run_all(&cases, &options, jobs, &|| bar.inc(1));
    bar.finish_and_clear();
    let pairs = || cases.iter().zip(&outcomes);
    if !arguments.quiet {
        for (case, outcome) in pairs() {
            if let Outcome::Failed(reason) = outcome {
                print(&format!("\n{}\n  {}\n{reason}", case.id, case.statements.join("\n  ")))?;
            }
        }
    }
    if let Some(path) = &arguments.report {
        fs::write(path, report::json(pairs())).map_err(Failure::file(path, "write"))?;
    }
    print(&report::table(&report::counts(pairs(), |case| format!("{}/{}", case.tier, case.area))))?;
    print(&report::table(&report::counts(pairs(), |case| case.tier.clone())))?;
    let count = |wanted: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| wanted(outcome)).count();
    let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
    let passed = count(|outcome| matches!(outcome, Outcome::Passed { .. }));
    print(&format!("{passed} passed, {failed} failed, {} skipped", outcomes.len() - passed - failed))?;
    if failed == 0 { Ok(()) } else { Err(Failure::Cases { failed, cases: outcomes.len() }) }
}

fn print(text: &str) -> Result<(), Failure> {
    Ok(writeln!(io::stdout().lock(), "{text}").map_err(OutputError::from)?)
}
