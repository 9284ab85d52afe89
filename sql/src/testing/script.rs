//! Scripts: statements run one after another, records taken and compared by ASSERT statements among them.

use super::{
    assertion::{self, Asked},
    case::Case,
    sql_file::body,
};
use crate::{
    engine::in_memory::{Answer, InMemoryEngine},
    syntax::{ast::Statement, parse_statement},
};

/// Runs a script; every record that it writes goes through all queries at once.
///
/// # Errors
/// The statement that fails, by its index, and what with; ASSERT among them.
pub(super) fn run(case: &Case, engine: &mut InMemoryEngine) -> Result<(), (usize, String)> {
    let mut asked = Asked::default();
    let mut statements = case.statements.iter().enumerate();
    statements.try_for_each(|(index, text)| step(text, engine, &mut asked).map_err(|problem| (index, problem)))
}

fn step(text: &str, engine: &mut InMemoryEngine, asked: &mut Asked) -> Result<(), String> {
    if let Some(assertion) = assertion::parse(text)? {
        return assertion.check(engine, asked).map_err(|problem| format!("{problem}\n{}", body(text)));
    }
    // A query that never ends would tell nothing here; it may still be meant to be refused.
    if let Answer::Push(mut run) = engine.execute(text).map_err(|error| error.to_string())? {
        run.run().map_err(|error| error.to_string())?;
    }
    engine.run().map_err(|error| error.to_string())
}

/// Whether a statement answers with rows.
pub(super) fn is_query(text: &str) -> bool {
    match parse_statement(text).map(|parsed| parsed.statement) {
        Ok(statement) => matches!(statement, Statement::PullQuery(_) | Statement::PushQuery(_)),
        Err(_) => body(text).get(..6).is_some_and(|word| word.eq_ignore_ascii_case("SELECT")),
    }
}
