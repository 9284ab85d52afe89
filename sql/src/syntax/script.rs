//! Scripts: statements separated by semicolons, each kept with its text and place.
//!
//! A script is parsed as a whole before anything runs: the first mistake anywhere refuses it.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::ast::ParsedStatement;
use super::error::SyntaxError;
use super::lexer::{Lexeme, lex};
use super::parser::Parser;
use super::position::Position;

/// All statements of a script. The last one may lack its semicolon; empty ones are left out.
pub fn parse_script(text: &str) -> Result<Vec<ParsedStatement>, SyntaxError> {
    let lexemes = lex(text).map_err(|failure| failure.error)?;
    lexemes
        .split(|lexeme| lexeme.token.token == Token::SemiColon)
        .filter(|statement| !statement.is_empty())
        .map(|statement| parse_one(text, statement))
        .collect()
}

/// A text that is one statement, with or without a semicolon.
pub fn parse_statement(text: &str) -> Result<ParsedStatement, SyntaxError> {
    let mut statements = parse_script(text)?;
    match (statements.pop(), statements.pop()) {
        (Some(statement), None) => Ok(statement),
        (Some(second), Some(_)) => Err(SyntaxError::new(second.span.start, "expected one statement, found another")),
        (None, _) => Err(SyntaxError::new(Position::START, "expected a statement, found nothing")),
    }
}

/// Whether a text ends at the end of a statement, so that a shell need not wait for another line.
///
/// True when its last token is a semicolon, when there is nothing in it but comments and space, and when it is so wrong
/// that more text does not help; false inside a statement, a string, a quoted name or a comment.
pub fn is_complete(text: &str) -> bool {
    match lex(text) {
        Ok(lexemes) => lexemes.last().is_none_or(|last| last.token.token == Token::SemiColon),
        Err(failure) => !failure.unterminated,
    }
}

fn parse_one(text: &str, lexemes: &[Lexeme]) -> Result<ParsedStatement, SyntaxError> {
    let mut parser = Parser::new(text, lexemes);
    let start = parser.here();
    let first = parser.index();
    let statement = parser.statement()?;
    Ok(ParsedStatement { text: parser.text_since(first).to_owned(), span: start.to(parser.previous()), statement })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_statement_keeps_its_text_and_place() {
        let text = "-- a; b\nSHOW STREAMS;;\n  SHOW /* ; */ TABLES ;\nSELECT 'ö;' FROM t; LIST TYPES";
        let got: Vec<(String, String)> =
            parse_script(text).unwrap().into_iter().map(|s| (s.span.start.to_string(), s.text)).collect();
        let want = [
            ("2:1", "SHOW STREAMS"),
            ("3:3", "SHOW /* ; */ TABLES"),
            ("4:1", "SELECT 'ö;' FROM t"),
            ("4:21", "LIST TYPES"),
        ];
        assert_eq!(got, want.map(|(place, text)| (place.to_owned(), text.to_owned())));
        assert_eq!(parse_script(" -- nothing").unwrap(), []);
    }

    #[test]
    fn one_mistake_refuses_the_script() {
        let error = parse_script("SHOW STREAMS;\nSHOW TABELS;").unwrap_err();
        assert_eq!((error.line, error.column, error.hint.as_deref()), (2, 6, Some("did you mean TABLES")));
    }

    #[test]
    fn completeness() {
        let check = |text: &str, want: bool| assert_eq!(is_complete(text), want, "text: {text:?}");
        check("", true);
        check("-- only a comment", true);
        check("SELECT 1", false);
        check("SELECT 1;", true);
        check("SELECT 1; -- done", true);
        check("SELECT 1; SELECT", false);
        check("SELECT ';", false);
        check("SELECT `;", false);
        check("SELECT 1; /* ", false);
        check("SELECT a -> 1", true);
    }
}
