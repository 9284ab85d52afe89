//! Completion by Tab: keywords, types, functions, the names that the engine knows, properties inside quotes, shell commands.
//!
//! Words are offered in the case in which the user writes: `sel` becomes `select`, `SEL` becomes `SELECT`.

use std::collections::BTreeSet;

use reedline::{Completer, CompletionResult, Span, Suggestion};

use super::{
    help,
    token::{Kind, current_statement, tokens},
    words,
};

/// Gives the names of streams, tables and columns at the time of asking.
pub type Names = Box<dyn FnMut() -> Vec<String> + Send>;

const COMMANDS: &[&str] = &["CLEAR", "EXIT", "HELP", "HISTORY", "OUTPUT", "QUIT", "RUN SCRIPT", "VERSION"];

/// Completes the word before the cursor.
pub struct SqlCompleter {
    names: Names,
}

impl SqlCompleter {
    /// A completer that asks `names` at every Tab, so that what was just created is offered.
    pub fn new(names: Names) -> Self {
        Self { names }
    }

    fn candidates(&mut self, line: &str, position: usize) -> (usize, Vec<String>) {
        let statement = current_statement(line, position);
        let tokens = tokens(statement);
        let significant = |token: &&super::token::Token| !matches!(token.kind, Kind::Space | Kind::Comment);
        let Some(last) = tokens.last() else { return (position, Vec::new()) };
        let typed = &statement[last.span.clone()];
        let start = position - typed.len();
        let first = tokens.iter().find(significant);
        let is_first = first.is_none_or(|first| first.span == last.span);
        match last.kind {
            Kind::Text if !last.closed => {
                let found = [words::PROPERTIES, words::CONNECTOR_PROPERTIES].concat();
                (start + 1, matching(&typed[1..], found.into_iter().map(str::to_owned)))
            }
            Kind::Name if !last.closed => {
                (start + 1, (self.names)().into_iter().filter(|name| name.starts_with(&typed[1..])).collect())
            }
            Kind::Word
                if !is_first
                    && first.is_some_and(|first| statement[first.span.clone()].eq_ignore_ascii_case("help")) =>
            {
                (start, matching(typed, help::topics().map(str::to_owned)))
            }
            Kind::Word => {
                let mut all: BTreeSet<String> = [
                    words::KEYWORDS,
                    words::TYPES,
                    words::FUNCTIONS,
                    words::PSEUDO_COLUMNS,
                    words::PROPERTIES,
                    words::QUEUE_PROPERTIES,
                ]
                .concat()
                .into_iter()
                .map(str::to_owned)
                .collect();
                if is_first {
                    all.extend(COMMANDS.iter().map(|command| (*command).to_owned()));
                }
                let names = (self.names)();
                let mut found = matching(typed, names.iter().cloned());
                found.extend(matching(typed, all.into_iter().filter(|word| !names.contains(word))));
                (start, found)
            }
            _ => (position, Vec::new()),
        }
    }
}

impl Completer for SqlCompleter {
    fn complete(&mut self, line: &str, position: usize) -> CompletionResult {
        let (start, candidates) = self.candidates(line, position);
        let suggestions: Vec<Suggestion> = candidates
            .into_iter()
            .map(|value| Suggestion { value, span: Span::new(start, position), ..Suggestion::default() })
            .collect();
        CompletionResult::fresh(suggestions)
    }
}

/// The candidates that begin with `typed` in any case, in the case of `typed`; those equal to it are no help.
fn matching(typed: &str, candidates: impl Iterator<Item = String>) -> Vec<String> {
    let lower = typed.chars().any(char::is_lowercase) && !typed.chars().any(char::is_uppercase);
    let begins = |candidate: &String| {
        candidate.len() > typed.len()
            && candidate.get(..typed.len()).is_some_and(|head| head.eq_ignore_ascii_case(typed))
    };
    let cased = |candidate: String| if lower { candidate.to_lowercase() } else { candidate };
    candidates.filter(begins).map(cased).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &[&str]) {
        let names = || ["FLIGHTS", "FLIGHT_NO", "ORIGIN", "mixed"].map(str::to_owned).to_vec();
        let result = SqlCompleter::new(Box::new(names)).complete(line, line.len());
        let completed: Vec<String> = result
            .suggestions()
            .iter()
            .map(|suggestion| format!("{}{}", &line[..suggestion.span.start], suggestion.value))
            .collect();
        assert_eq!(completed, expected, "{line:?}");
    }

    #[test]
    fn words_are_completed_in_the_case_of_the_user() {
        check("SEL", &["SELECT"]);
        check("sel", &["select"]);
        check("SELECT * FROM FLI", &["SELECT * FROM FLIGHTS", "SELECT * FROM FLIGHT_NO"]);
        check("select orig", &["select origin"]);
        check("x; tumb", &["x; tumbling"]);
    }

    #[test]
    fn quotes_decide_what_is_offered() {
        check("WITH ('connector", &["WITH ('connector.class"]);
        check("WITH ('KAFKA", &["WITH ('KAFKA_TOPIC"]);
        check("SELECT `mi", &["SELECT `mixed"]);
        check("SELECT 'done'", &[]);
        check("-- sel", &[]);
    }

    #[test]
    fn commands_come_first_in_a_line_only() {
        check("qui", &["quit"]);
        check("select qui", &[]);
        check("help descr", &["help describe"]);
    }

    #[test]
    fn nothing_is_offered_for_nothing() {
        check("", &[]);
        check("SELECT ", &[]);
        check("SELECT", &[]);
    }
}
