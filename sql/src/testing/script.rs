//! Scripts: statements run one after another, records taken and compared by ASSERT statements among them.

use super::case::Case;
use crate::engine::in_memory::InMemoryEngine;

/// Runs a script; every record that it writes goes through all queries at once.
///
/// # Errors
/// What a statement fails with, ASSERT among them.
pub(super) fn run(case: &Case, engine: &mut InMemoryEngine) -> Result<(), String> {
    for text in &case.statements {
        let word = text.split_whitespace().next().unwrap_or_default();
        if word.eq_ignore_ascii_case("ASSERT") {
            return Err("ASSERT: not there yet".to_owned());
        }
        engine.execute(text).map_err(|error| error.to_string())?;
        engine.run().map_err(|error| error.to_string())?;
    }
    Ok(())
}
