//! `millstream test`: runs cases of SQL pipelines and says which came out as expected.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use millstream::operator::EmitPolicy;

use super::failure::Failure;
use crate::output::OutputError;
use crate::testing::{
    case::Case,
    report,
    run::{Outcome, RunOptions, run as run_case},
};

/// Options of `millstream test`.
#[derive(Debug, Args)]
pub struct TestArguments {
    /// Files of cases (`.jsonl`, one a line), or directories of them
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
    jobs: Option<usize>,
    /// Write inputs so many at a time, processed after each time [default: all at once]
    #[arg(long, value_name = "N")]
    batch_rows: Option<usize>,
    /// Make queries anew in the middle of the input
    #[arg(long)]
    restart: bool,
    /// When updates of tables are passed on
    #[arg(long, default_value_t = EmitPolicy::Record)]
    emit: EmitPolicy,
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
    let mut cases = Vec::new();
    for path in &arguments.paths {
        read(path, &mut cases)?;
    }
    if let Some(filter) = &arguments.filter {
        cases.retain(|case| case.id.contains(filter.as_str()));
    }
    let options = RunOptions {
        batch_rows: arguments.batch_rows,
        restart: arguments.restart,
        changelog: arguments.grade == Grade::Changelog,
        emit: arguments.emit,
    };
    let jobs = arguments.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let outcomes = run_all(&cases, &options, jobs.max(1));
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

/// The cases of a file, or of all files below a directory, in the order of their names.
fn read(path: &Path, cases: &mut Vec<Case>) -> Result<(), Failure> {
    if path.is_dir() {
        let entries = fs::read_dir(path).map_err(Failure::file(path, "list"))?;
        let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.sort();
        for inner in paths {
            if inner.is_dir() || inner.extension().is_some_and(|ending| ending == "jsonl") {
                read(&inner, cases)?;
            }
        }
        return Ok(());
    }
    let text = fs::read_to_string(path).map_err(Failure::file(path, "read"))?;
    let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let problem = |problem: String| Failure::Case { path: path.to_owned(), line: index + 1, problem };
        cases.push(Case::parse(line, &name).map_err(problem)?);
    }
    Ok(())
}

fn run_all(cases: &[Case], options: &RunOptions, jobs: usize) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let outcomes: Mutex<Vec<Option<Outcome>>> = Mutex::new(vec![None; cases.len()]);
    let bar = ProgressBar::new(cases.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} cases") {
        bar.set_style(style);
    }
    // A panic in a case is its failure; its text is in the report.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let index = cases.iter().position(|other| std::ptr::eq(other, case));
                    let outcome = run_case(case, options);
                    if let (Some(index), Ok(mut outcomes)) = (index, outcomes.lock()) {
                        outcomes[index] = Some(outcome);
                    }
                    bar.inc(1);
                }
            });
        }
    });
    std::panic::set_hook(hook);
    bar.finish_and_clear();
    let outcomes = outcomes.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let missing = || Outcome::Failed("it did not end".to_owned());
    outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(missing)).collect()
}
