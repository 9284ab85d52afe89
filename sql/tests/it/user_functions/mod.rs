//! Functions that are written in Rust by users of the library: scalar, table and aggregate functions given to an engine.
//!
//! The functions here do what the test functions of public corpora for the language do: [`scalar`], [`table`], [`sums`] of numbers and
//! lengths of texts, [`sum_of_one`] column of any type, [`kept`] values. `cases.sql` holds cases of ours over them. The environment variable
//! `MILLSTREAM_CASES` names a directory of other cases, which are then run with these functions too:
//!
//! ```text
//! MILLSTREAM_CASES=/some/where cargo test --workspace --test it user_functions -- --ignored --nocapture
//! ```
//!
//! Their outcomes are counted and printed; that test fails if one of them does.

mod engine;
mod kept;
mod scalar;
mod sum_of_one;
mod sums;
mod table;

use std::{io::Write, path::PathBuf};

use millstream_sql::{
    functions::Functions,
    testing::{
        case::Case,
        run::{Outcome, RunOptions},
        sql_file, suite,
    },
};

/// All functions of this folder.
fn functions() -> Functions {
    let families = [scalar::add, table::add, sums::add, sum_of_one::add, kept::add];
    families.into_iter().fold(Functions::new(), |functions, add| add(functions))
}

/// Passed, skipped, and the ids of what failed with the reasons.
fn outcomes(cases: &[Case], options: &RunOptions) -> (usize, usize, Vec<String>) {
    let (mut passed, mut skipped, mut failed) = (0, 0, Vec::new());
    for (case, outcome) in cases.iter().zip(suite::run_all(cases, options, 1, &|| {})) {
        match outcome {
            Outcome::Passed { message_fits: Some(false), message } => {
                failed.push(format!("{}: another message: {}", case.id, message.unwrap_or_default()));
            }
            Outcome::Passed { .. } => passed += 1,
            Outcome::Skipped(_) => skipped += 1,
            Outcome::Failed(reason) => failed.push(format!("{}: {reason}", case.id)),
        }
    }
    (passed, skipped, failed)
}

#[test]
fn cases_of_ours_come_out_as_expected_however_the_input_is_cut() {
    let cases = sql_file::read("user_functions", include_str!("cases.sql"));
    for (batch_rows, restart) in [(None, false), (None, true), (Some(1), false), (Some(7), false)] {
        let options = RunOptions { batch_rows, restart, functions: functions(), ..RunOptions::default() };
        let (passed, skipped, failed) = outcomes(&cases, &options);
        assert!(failed.is_empty(), "batches {batch_rows:?}, restart {restart}: {failed:#?}");
        assert_eq!((passed, skipped), (cases.len(), 0));
    }
}

#[test]
#[ignore = "needs MILLSTREAM_CASES"]
fn cases_of_a_directory_come_out_as_expected() {
    let directory = std::env::var_os("MILLSTREAM_CASES").expect("MILLSTREAM_CASES names a directory of cases");
    let cases = suite::load(&[PathBuf::from(directory)]).expect("cases that can be read");
    let options = RunOptions { functions: functions(), ..RunOptions::default() };
    let (passed, skipped, failed) = outcomes(&cases, &options);
    let mut out = std::io::stdout().lock();
    for reason in &failed {
        let _ = writeln!(out, "{reason}\n");
    }
    let _ = writeln!(out, "{passed} passed, {} failed, {skipped} skipped", failed.len());
    assert!(failed.is_empty(), "{} of {} cases failed", failed.len(), cases.len());
}
