//! Variables in texts: `${name}` stands for the value that DEFINE gave; `$${name}` is `${name}`.
//! `${env:NAME}` and `${file:PATH}` say where a secret is and stay as they are.
//!
//! A script is substituted as a whole before it is parsed, statement by statement, so that a DEFINE counts for the statements after it.
//! Places in errors are those in the text after that.

use std::collections::BTreeMap;

use super::{error::EngineError, session::normalised};
use crate::syntax::{Position, SyntaxError, ast::Statement, parse_statement};

/// A text with the values of variables in the place of their names.
///
/// # Errors
/// A variable without a value.
pub(super) fn substitute(text: &str, variables: &BTreeMap<String, String>) -> Result<String, EngineError> {
    if !text.contains("${") {
        return Ok(text.to_owned());
    }
    let mut variables = variables.clone();
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (statement, after) = rest.split_at(end_of_statement(rest));
        let start = out.len();
        append(statement, &variables, &mut out)?;
        apply(&out[start..], &mut variables);
        rest = after;
    }
    Ok(out)
}

/// Takes in the change that a DEFINE or UNDEFINE makes. One with a mistake changes nothing: the parser tells of it later.
fn apply(statement: &str, variables: &mut BTreeMap<String, String>) {
    let text = normalised(statement);
    if !text.starts_with("DEFINE ") && !text.starts_with("UNDEFINE ") {
        return;
    }
    match parse_statement(statement).map(|parsed| parsed.statement) {
        Ok(Statement::Define(define)) => {
            variables.insert(define.name.value.to_ascii_uppercase(), define.value.node);
        }
        Ok(Statement::Undefine(name)) => {
            variables.remove(&name.value.to_ascii_uppercase());
        }
        _ => {}
    }
}

/// The place behind the first semicolon outside of quotes and comments, or the end.
pub(crate) fn end_of_statement(text: &str) -> usize {
    let mut at = 0;
    while let Some(letter) = text[at..].chars().next() {
        let rest = &text[at..];
        // What is opened here, and what closes it.
        let (opened, close) = match letter {
            ';' => return at + 1,
            '\'' => (1, "'"),
            '"' => (1, "\""),
            '`' => (1, "`"),
            '-' if rest.starts_with("--") => (2, "\n"),
            '/' if rest.starts_with("/*") => (2, "*/"),
            _ => {
                at += letter.len_utf8();
                continue;
            }
        };
        match rest[opened..].find(close) {
            Some(length) => at += opened + length + close.len(),
            None => return text.len(),
        }
    }
    text.len()
}

fn append(text: &str, variables: &BTreeMap<String, String>, out: &mut String) -> Result<(), EngineError> {
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let Some(length) = rest[start..].find('}') else { break };
        let name = &rest[start + 2..start + length];
        let before = &rest[..start];
        if before.ends_with('$') {
            out.push_str(&rest[..start - 1]);
            out.push_str(&rest[start..=start + length]);
        } else if is_reference(name) {
            out.push_str(&rest[..=start + length]);
        } else {
            out.push_str(before);
            let Some(value) = variables.get(&name.to_ascii_uppercase()) else {
                let line = u32::try_from(out.matches('\n').count()).unwrap_or(0) + 1;
                let column = out.rsplit('\n').next().map_or(0, |line| line.chars().count());
                let at = Position::new(line, u32::try_from(column).unwrap_or(0) + 1);
                let error = SyntaxError::new(at, format!("variable {name} has no value"));
                return Err(error.with_hint("give it one with DEFINE in a statement before").into());
            };
            out.push_str(value);
        }
        rest = &rest[start + length + 1..];
    }
    out.push_str(rest);
    Ok(())
}

/// Whether it says where a secret is, `env:NAME` or `file:PATH`, which stays as it is.
fn is_reference(name: &str) -> bool {
    ["env:", "file:"].iter().any(|kind| name.starts_with(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: &str) {
        let variables = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        let got = substitute(text, &variables).unwrap_or_else(|error| error.to_string());
        assert_eq!(got, want, "{text}");
    }

    #[test]
    fn values_stand_for_names() {
        check("SELECT ${a} $${a}", "SELECT 1 ${a}");
        check("SELECT '${env:A}', '${file:a}', ${a};", "SELECT '${env:A}', '${file:a}', 1;");
        check("DEFINE b = '2;'; SELECT '${b}', ${a};", "DEFINE b = '2;'; SELECT '2;', 1;");
        check("-- it's; one\nDEFINE a = '2'; SELECT ${a};", "-- it's; one\nDEFINE a = '2'; SELECT 2;");
        check("DEFINE b = '${a}0'; DEFINE a = '3'; SELECT ${b}, ${a}", "DEFINE b = '10'; DEFINE a = '3'; SELECT 10, 3");
        let missing = "Syntax Error: variable B has no value; give it one with DEFINE in a statement before";
        check("SELECT 1;\n SELECT ${B}; DEFINE b = '2';", &format!("2:9: {missing}"));
        check("DEFINE b = '2'; UNDEFINE b; SELECT ${B};", &format!("1:36: {missing}"));
    }
}
