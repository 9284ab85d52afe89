//! Scripts: statements run one after another, records taken and compared by ASSERT statements among them.

use super::{
    assertion::{self, Asked},
    case::Case,
    run::RunOptions,
    sql_file::body,
    stage::Stage,
};
use crate::{
    engine::in_memory::Answer,
    syntax::{ast::Statement, parse_statement},
};

/// Runs a script; every record that it writes goes through all queries at once. A restart comes before the statement in the
/// middle, and with batches what one statement writes is a batch.
///
/// # Errors
/// The statement that fails, by its index, and what with; ASSERT among them.
pub(super) fn run(case: &Case, engine: &mut dyn Stage, options: &RunOptions) -> Result<(), (usize, String)> {
    let mut asked = Asked::default();
    let middle = case.statements.len() / 2;
    for (index, text) in case.statements.iter().enumerate() {
        if options.restart && index == middle {
            engine.restart().map_err(|error| (index, error.to_string()))?;
        }
        step(text, engine, &mut asked, options).map_err(|problem| (index, problem))?;
    }
    Ok(())
}

fn step(text: &str, engine: &mut dyn Stage, asked: &mut Asked, options: &RunOptions) -> Result<(), String> {
    if let Some(assertion) = assertion::parse(text)? {
        return assertion.check(engine, asked).map_err(|problem| format!("{problem}\n{}", body(text)));
    }
    // A query that never ends would tell nothing here; it may still be meant to be refused.
    if let Answer::Push(mut run) = engine.execute(text).map_err(|error| error.to_string())? {
        run.run().map_err(|error| error.to_string())?;
    }
    match options.batch_rows {
        Some(_) => engine.run_in_batches(),
        None => engine.run(),
    }
    .map_err(|error| error.to_string())
}

/// Whether a statement answers without end.
pub(super) fn is_push(text: &str) -> bool {
    matches!(parse_statement(text).map(|parsed| parsed.statement), Ok(Statement::PushQuery(_) | Statement::Print(_)))
}

/// Whether a statement answers with rows.
pub(super) fn is_query(text: &str) -> bool {
    match parse_statement(text).map(|parsed| parsed.statement) {
        Ok(statement) => matches!(statement, Statement::PullQuery(_) | Statement::PushQuery(_)),
        Err(_) => body(text).get(..6).is_some_and(|word| word.eq_ignore_ascii_case("SELECT")),
    }
}
