//! What is wrong with a text, where, and what may be meant: [`SyntaxError`].
//!
//! Invariant: the place lies inside the text or just after its end.

use std::fmt;

use super::position::Position;

/// How much of a long line [`SyntaxError::render`] shows on either side of the place.
const RENDERED_CONTEXT: usize = 60;

/// A text that is not a statement of the language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do about it, if that can be guessed.
    pub hint: Option<String>,
}

impl SyntaxError {
    /// An error at a place, without a hint.
    pub fn new(at: Position, message: impl Into<String>) -> Self {
        Self { line: at.line, column: at.column, message: message.into(), hint: None }
    }

    /// The same error with a hint.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What is wrong and what to do, without the place.
    pub fn problem(&self) -> String {
        with_hint(&self.message, self.hint.as_deref())
    }

    /// Where it is.
    pub fn position(&self) -> Position {
        Position::new(self.line, self.column)
    }

    /// The error, then the offending line of `text` with a caret under the place.
    pub fn render(&self, text: &str) -> String {
        render_at(&self.to_string(), text, self.position())
    }
}

/// A message, then the line of `text` at a place with a caret under it; for errors of later stages too.
///
/// Control characters show as spaces, long lines are cut around the place.
pub fn render_at(message: &str, text: &str, at: Position) -> String {
    let index = usize::try_from(at.line).unwrap_or(1).saturating_sub(1);
    let column = usize::try_from(at.column).unwrap_or(1).max(1);
    let line: Vec<char> = text.lines().nth(index).unwrap_or_default().chars().collect();
    let from = column.saturating_sub(RENDERED_CONTEXT + 1);
    let until = line.len().min(column + RENDERED_CONTEXT);
    let cut = |yes: bool| if yes { "..." } else { "" };
    let shown: String = line.iter().take(until).skip(from).map(|c| if c.is_control() { ' ' } else { *c }).collect();
    let number = at.line.to_string();
    let margin = " ".repeat(number.len());
    let indent = " ".repeat(column - 1 - from + cut(from > 0).len());
    format!(
        "{message}\n{margin} |\n{number} | {}{shown}{}\n{margin} | {indent}^",
        cut(from > 0),
        cut(until < line.len())
    )
}

/// A problem and what to do, as one text: in a sentence of its own after a sentence.
pub(crate) fn with_hint(problem: &str, hint: Option<&str>) -> String {
    let Some(hint) = hint else { return problem.to_owned() };
    if !problem.ends_with('.') {
        return format!("{problem}; {hint}");
    }
    let mut letters = hint.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{problem} {first}{}", letters.as_str())
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.problem())
    }
}

impl std::error::Error for SyntaxError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, at: Position, want: &str) {
        let error = SyntaxError::new(at, "wrong").with_hint("right");
        assert_eq!(error.render(text), want, "text: {text:?}");
    }

    #[test]
    fn the_caret_stands_under_the_place() {
        check("a b\nc d\n", Position::new(2, 3), "2:3: wrong; right\n  |\n2 | c d\n  |   ^");
        check("ä\tö", Position::new(1, 3), "1:3: wrong; right\n  |\n1 | ä ö\n  |   ^");
        check("", Position::new(1, 1), "1:1: wrong; right\n  |\n1 | \n  | ^");
        check("a", Position::new(1, 2), "1:2: wrong; right\n  |\n1 | a\n  |  ^");
    }

    #[test]
    fn a_long_line_is_cut_on_both_sides() {
        let text = format!("{}X{}", "a".repeat(500), "b".repeat(500));
        let shown = SyntaxError::new(Position::new(1, 501), "wrong").render(&text);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[2], format!("1 | ...{}X{}...", "a".repeat(60), "b".repeat(60)));
        assert_eq!(lines[3].find('^'), lines[2].find('X'));
    }
}
