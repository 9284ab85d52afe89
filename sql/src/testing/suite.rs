//! Many cases: where they are, and running them on several threads.
//!
//! A case has a thread of its own, so that a panic, or a case that never ends, is a failure of that case and of nothing else. The
//! thread of a case that is out of time is left behind.

use std::{
    cell::RefCell,
    fs, io,
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    sync::{
        Once,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    time::Duration,
};

use super::{
    case::Case,
    run::{Outcome, RunOptions, run},
    sql_file,
};

/// How long a case may take.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// The same on a cluster.
const TIME_LIMIT_ON_CLUSTER: Duration = Duration::from_secs(180);
/// Expressions are planned recursively, which takes much of it in builds without optimisation.
const STACK_BYTES: usize = 32 << 20;
const THREAD_NAME: &str = "case";

/// Why cases cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A file or directory cannot be read.
    #[error("{}: cannot read: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A line of a file is no case.
    #[error("{}:{line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
}

/// The cases of files and directories: `*.jsonl` and `*.sql`, directories with all that is below them, in the order of names.
///
/// # Errors
/// [`LoadError`].
pub fn load(paths: &[PathBuf]) -> Result<Vec<Case>, LoadError> {
    let mut cases = Vec::new();
    for path in paths {
        load_path(path, &mut cases)?;
    }
    Ok(cases)
}

fn load_path(path: &Path, cases: &mut Vec<Case>) -> Result<(), LoadError> {
    let refuse = |source: io::Error| LoadError::File { path: path.to_path_buf(), source };
    let is_of_cases =
        |path: &PathBuf| path.is_dir() || path.extension().is_some_and(|end| end == "jsonl" || end == "sql");
    if path.is_dir() {
        let entries = fs::read_dir(path).and_then(|entries| entries.collect::<io::Result<Vec<_>>>()).map_err(refuse)?;
        let mut inside: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).filter(is_of_cases).collect();
        inside.sort();
        return inside.iter().try_for_each(|path| load_path(path, cases));
    }
    let text = fs::read_to_string(path).map_err(refuse)?;
    let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if path.extension().is_none_or(|end| end != "jsonl") {
        cases.extend(sql_file::read(&name, &text));
        return Ok(());
    }
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let refuse = |problem| LoadError::Line { path: path.to_path_buf(), line: index + 1, problem };
        cases.push(Case::parse(line, &name).map_err(refuse)?);
    }
    Ok(())
}

/// So many cases, evenly taken from all of them.
pub fn sample(cases: Vec<Case>, count: usize) -> Vec<Case> {
    let all = cases.len().max(1);
    let is_taken = |index: usize| count >= all || (index * count) / all != ((index + 1) * count) / all;
    cases.into_iter().enumerate().filter(|(index, _)| is_taken(*index)).map(|(_, case)| case).collect()
}

/// Runs cases, so many at a time; gives their outcomes in the order of the cases. `on_done` is told when one more is done.
pub fn run_all(cases: &[Case], options: &RunOptions, jobs: usize, on_done: &(dyn Fn() + Sync)) -> Vec<Outcome> {
    keep_panics();
    let limit = if options.cluster.is_some() { TIME_LIMIT_ON_CLUSTER } else { TIME_LIMIT };
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, cases.len().max(1)) {
            let (next, sender) = (&next, sender.clone());
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(index) else { break };
                    let outcome = run_alone(case, options.clone(), limit);
                    on_done();
                    if sender.send((index, outcome)).is_err() {
                        break;
                    }
                }
            });
        }
    });
    drop(sender);
    let mut outcomes: Vec<(usize, Outcome)> = receiver.into_iter().collect();
    outcomes.sort_by_key(|(index, _)| *index);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

fn run_alone(case: &Case, options: RunOptions, limit: Duration) -> Outcome {
    let (sender, receiver) = mpsc::channel();
    let case = case.clone();
    let work = move || {
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| run(&case, &options)));
        let outcome = outcome.unwrap_or_else(|_| Outcome::Failed(format!("panic: {}", PANIC.take())));
        // Nobody listens any more if the time was over.
        let _ = sender.send(outcome);
    };
    let thread = std::thread::Builder::new().name(THREAD_NAME.to_owned()).stack_size(STACK_BYTES).spawn(work);
    if let Err(error) = thread {
        return Outcome::Failed(format!("cannot start a thread: {error}"));
    }
    receiver.recv_timeout(limit).unwrap_or_else(|error| match error {
        RecvTimeoutError::Timeout => Outcome::Failed(format!("not done after {limit:?}")),
        RecvTimeoutError::Disconnected => Outcome::Failed("its thread is gone".to_owned()),
    })
}

thread_local! {
    /// What the thread last panicked with, and where.
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Has panics of cases kept instead of printed.
fn keep_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if std::thread::current().name() != Some(THREAD_NAME) {
                return before(info);
            }
            let payload = info.payload();
            let text = payload.downcast_ref::<String>().cloned();
            let text = text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let place = info.location().map(|place| format!(" at {}:{}", place.file(), place.line()));
            PANIC.set(format!("{}{}", text.unwrap_or_default(), place.unwrap_or_default()));
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_taken_evenly() {
        let cases: Vec<Case> = (0..10).map(|id| Case { id: id.to_string(), ..Case::default() }).collect();
        let check = |count: usize, want: &[&str]| {
            let ids: Vec<String> = sample(cases.clone(), count).into_iter().map(|case| case.id).collect();
            assert_eq!(ids, want);
        };
        check(2, &["4", "9"]);
        check(5, &["1", "3", "5", "7", "9"]);
        assert_eq!(sample(cases.clone(), 10).len(), 10);
        assert_eq!(sample(cases.clone(), 99).len(), 10);
    }

    #[test]
    fn outcomes_come_in_the_order_of_cases() {
        let text = "--@test: a\nSHOW STREAMS;\n--@test: b\nDROP STREAM x;\n--@test: c\nSHOW TABLES;";
        let cases = sql_file::read("f", text);
        let outcomes = run_all(&cases, &RunOptions::default(), 2, &|| {});
        let failed: Vec<bool> = outcomes.iter().map(|outcome| matches!(outcome, Outcome::Failed(_))).collect();
        assert_eq!(failed.len(), 3);
        assert!(failed[1]);
    }
}
