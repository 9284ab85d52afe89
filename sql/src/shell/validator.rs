//! When Enter ends the input: at a semicolon, at a command of the shell, at nothing but white space.

use reedline::{ValidationResult, Validator};

use super::{
    command::Command,
    token::{Kind, tokens},
};

/// Lets a statement run over as many lines as it needs.
#[derive(Debug, Clone, Copy, Default)]
pub struct SqlValidator;

impl Validator for SqlValidator {
    fn validate(&self, line: &str) -> ValidationResult {
        if is_complete(line) { ValidationResult::Complete } else { ValidationResult::Incomplete }
    }
}

/// Whether the last statement in `text` is finished. Semicolons in strings, quoted names and comments end nothing.
pub fn is_complete(text: &str) -> bool {
    let mut last = None;
    for token in tokens(text) {
        if !token.closed {
            return false;
        }
        if !matches!(token.kind, Kind::Space | Kind::Comment) {
            last = Some(token.kind);
        }
    }
    matches!(last, None | Some(Kind::Semicolon)) || Command::parse(text).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_their_semicolon() {
        let check = |text: &str, complete: bool| assert_eq!(is_complete(text), complete, "{text:?}");
        check("", true);
        check("  -- nothing\n", true);
        check("SELECT 1", false);
        check("SELECT 1;", true);
        check("SELECT 1; -- done", true);
        check("SELECT ';", false);
        check("SELECT ';'", false);
        check("SELECT 1; SELECT 2", false);
        check("/* ; ", false);
        check("SELECT `a;", false);
        check("help", true);
        check("exit", true);
        check("run script 'x.sql'", true);
        check("help select", true);
    }
}
