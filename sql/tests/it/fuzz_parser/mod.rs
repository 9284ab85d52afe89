//! Parser and planner under texts that nobody would write: whatever comes in, an answer or an error comes out.
//!
//! - mutations of valid statements of every kind ([`statements`], [`mutate`]) are parsed and carried out by an engine with a few sources,
//!   so planned and bound too; [`depth`]: deep nesting and long chains, on a stack of 2 MiB
//! - nothing panics, no stack overflows, each text takes bounded time, and every error's place lies within its text
//!
//! A few seconds by default; `MILLSTREAM_FUZZ_RUNS` and `MILLSTREAM_FUZZ_SEED` give other numbers of runs and other runs:
//!
//! ```text
//! MILLSTREAM_FUZZ_RUNS=100000 cargo test --workspace --test it fuzz_parser -- --nocapture
//! ```
//!
//! A panic is told with its text. A stack overflow ends the process; the text is then in the file `millstream-fuzz-<process id>-<thread>.sql`
//! of the directory for temporary files, which is taken away otherwise.

mod depth;
mod mutate;
mod statements;

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    time::{Duration, Instant},
};

use millstream_sql::{
    engine::in_memory::{Answer, InMemoryEngine},
    syntax::{is_complete, parse_script},
};
use statements::STATEMENTS;

use crate::random::{Random, from_environment};

/// No text may take longer, without optimisation and beside other tests.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// An engine fills with what was created; then it is made anew.
const RUNS_OF_ENGINE: u64 = 50;

/// Parses a text and has its statements carried out.
///
/// # Errors
/// What must not be: a panic, or an error whose place is not in the text.
fn run_one(engine: &mut InMemoryEngine, text: &str) -> Result<(), String> {
    let kept = last_text();
    fs::write(&kept, text).map_err(|error| error.to_string())?;
    #[expect(clippy::disallowed_methods, reason = "how long a text takes is what is tested")]
    let start = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let _ = is_complete(text);
        match parse_script(text) {
            Err(error) => {
                let _ = error.render(text);
                place_is_in(text, error.line, error.column).map_err(|problem| format!("{problem}: {error}"))
            }
            Ok(parsed) => parsed.iter().take(20).try_for_each(|statement| match engine.execute(&statement.text) {
                Ok(Answer::Push(mut run)) => run.run().map(drop).or(Ok(())),
                Ok(_) => Ok(()),
                Err(error) => error_is_in(&statement.text, &error.to_string()),
            }),
        }
    }));
    let took = start.elapsed();
    let _ = fs::remove_file(kept);
    match outcome {
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            Err(format!(
                "panic: {}",
                text.or_else(|| Some((*panic.downcast_ref::<&str>()?).to_owned())).unwrap_or_default()
            ))
        }
        Ok(Ok(())) if took > TIME_LIMIT => Err(format!("it took {took:?}")),
        Ok(done) => done,
    }
}

/// Whether a place is a character of the text, or just after the end of a line.
fn place_is_in(text: &str, line: u32, column: u32) -> Result<(), String> {
    let lines: Vec<&str> = text.split('\n').collect();
    let found = usize::try_from(line).ok().and_then(|line| lines.get(line.checked_sub(1)?));
    match found {
        Some(line) if column >= 1 && column as usize <= line.chars().count() + 1 => Ok(()),
        _ => Err(format!("place {line}:{column} is not in the text")),
    }
}

/// The place with which a message begins, if it does, must be in the text.
fn error_is_in(text: &str, message: &str) -> Result<(), String> {
    let mut parts = message.splitn(3, ':');
    match (parts.next().and_then(|line| line.parse().ok()), parts.next().and_then(|column| column.parse().ok())) {
        (Some(line), Some(column)) => {
            place_is_in(text, line, column).map_err(|problem| format!("{problem}: {message}"))
        }
        _ => Ok(()),
    }
}

fn last_text() -> PathBuf {
    let thread = format!("{:?}", std::thread::current().id());
    std::env::temp_dir().join(format!("millstream-fuzz-{}-{thread}.sql", std::process::id()))
}

#[test]
fn every_statement_of_the_list_is_parsed() {
    for statement in STATEMENTS {
        parse_script(statement).unwrap_or_else(|error| panic!("{}", error.render(statement)));
    }
}

#[test]
fn mutated_statements_give_answers_or_errors() {
    let (seed, runs) = (from_environment("MILLSTREAM_FUZZ_SEED", 7), from_environment("MILLSTREAM_FUZZ_RUNS", 1_500));
    let mut failures = Vec::new();
    let mut engine = depth::engine();
    for run in 0..runs {
        if run % RUNS_OF_ENGINE == RUNS_OF_ENGINE - 1 {
            engine = depth::engine();
        }
        let text =
            mutate::mutated(&mut Random::new(seed.wrapping_add(run).wrapping_mul(0x2545_f491_4f6c_dd1d)), &STATEMENTS);
        if let Err(problem) = run_one(&mut engine, &text) {
            failures.push(format!("seed {seed}, run {run}: {problem}\n  {text:?}"));
            engine = depth::engine();
        }
    }
    assert!(failures.is_empty(), "{} of {runs} failed:\n{}", failures.len(), failures.join("\n"));
}
