//! SQL text cut for the eye: strings, comments, names, numbers and words, however unfinished the text is.
//!
//! This is not the parser's lexer, which refuses an open string: an editor sees one after each quote that is typed.
//!
//! Invariants: tokens follow each other without gap or overlap and together are the text; none is empty.

use std::ops::Range;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Letters, digits and underscores that begin with a letter or an underscore.
    Word,
    /// Digits, with a fraction and an exponent.
    Number,
    /// `'text'`, closed or not.
    Text,
    /// `` `name` `` or `"name"`, closed or not.
    Name,
    /// `-- to the end of the line` or `/* .. */`, closed or not.
    Comment,
    /// White space.
    Space,
    /// `;`
    Semicolon,
    /// Any other character.
    Other,
}

/// A piece of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Where it lies, in bytes.
    pub span: Range<usize>,
    /// Whether it was finished; only strings, names and comments can be open at the end of the text.
    pub closed: bool,
}

/// Cuts `text` into tokens.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut start = 0;
    while let Some(first) = text[start..].chars().next() {
        let (kind, length, closed) = next(&text[start..], first);
        tokens.push(Token { kind, span: start..start + length, closed });
        start += length;
    }
    tokens
}

/// The kind, length in bytes and state of the token at the start of `rest`.
fn next(rest: &str, first: char) -> (Kind, usize, bool) {
    let run = |belongs: fn(char) -> bool| rest.find(|letter| !belongs(letter)).unwrap_or(rest.len());
    match first {
        '\'' => quoted(rest, first, Kind::Text),
        '`' | '"' => quoted(rest, first, Kind::Name),
        '-' if rest.starts_with("--") => (Kind::Comment, rest.find('\n').unwrap_or(rest.len()), true),
        '/' if rest.starts_with("/*") => match rest[2..].find("*/") {
            Some(end) => (Kind::Comment, end + 4, true),
            None => (Kind::Comment, rest.len(), false),
        },
        ';' => (Kind::Semicolon, 1, true),
        letter if letter.is_whitespace() => (Kind::Space, run(char::is_whitespace), true),
        letter if letter.is_ascii_digit() => (Kind::Number, number(rest), true),
        letter if letter.is_alphabetic() || letter == '_' => {
            (Kind::Word, run(|letter| letter.is_alphanumeric() || letter == '_'), true)
        }
        other => (Kind::Other, other.len_utf8(), true),
    }
}

/// A doubled quote inside stands for the quote itself.
fn quoted(rest: &str, quote: char, kind: Kind) -> (Kind, usize, bool) {
    let mut from = 1;
    while let Some(end) = rest[from..].find(quote) {
        let after = from + end + 1;
        if !rest[after..].starts_with(quote) {
            return (kind, after, true);
        }
        from = after + 1;
    }
    (kind, rest.len(), false)
}

fn number(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let digits = |from: usize| from + bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut end = digits(0);
    if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
        end = digits(end + 1);
    }
    if bytes.get(end).is_some_and(|byte| byte.eq_ignore_ascii_case(&b'e')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        if bytes.get(end + 1 + sign).is_some_and(u8::is_ascii_digit) {
            end = digits(end + 1 + sign);
        }
    }
    end
}

/// The part of `text` up to `position` that belongs to the statement being written there.
pub fn current_statement(text: &str, position: usize) -> &str {
    let until = &text[..position];
    let last = tokens(until).into_iter().rev().find(|token| token.kind == Kind::Semicolon);
    &until[last.map_or(0, |semicolon| semicolon.span.end)..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(Kind, &str)]) {
        let found = tokens(text);
        let shown: Vec<_> = found.iter().map(|token| (token.kind, &text[token.span.clone()])).collect();
        assert_eq!(shown, expected, "{text:?}");
    }

    #[test]
    fn statements_are_cut_into_their_tokens() {
        use Kind::{Comment, Name, Number, Other, Semicolon, Space, Text, Word};
        check("SELECT a1;", &[(Word, "SELECT"), (Space, " "), (Word, "a1"), (Semicolon, ";")]);
        check("'it''s'", &[(Text, "'it''s'")]);
        check("'open ;", &[(Text, "'open ;")]);
        check("`a;b`\"c\"", &[(Name, "`a;b`"), (Name, "\"c\"")]);
        check("--;\n1.5e-3", &[(Comment, "--;"), (Space, "\n"), (Number, "1.5e-3")]);
        check("/*;*/-2.x", &[(Comment, "/*;*/"), (Other, "-"), (Number, "2"), (Other, "."), (Word, "x")]);
        check("/* open", &[(Comment, "/* open")]);
        check("é€=", &[(Word, "é"), (Other, "€"), (Other, "=")]);
    }

    #[test]
    fn only_the_last_token_can_be_open() {
        for (text, closed) in
            [("'a", false), ("'a'", true), ("'a''", false), ("`a", false), ("/* a", false), ("-- a", true)]
        {
            assert_eq!(tokens(text).last().map(|token| token.closed), Some(closed), "{text:?}");
        }
    }

    #[test]
    fn a_statement_begins_after_the_last_semicolon() {
        for (text, expected) in [("a; b", " b"), ("a ';' b", "a ';' b"), ("a;", ""), ("", "")] {
            assert_eq!(current_statement(text, text.len()), expected);
        }
        assert_eq!(current_statement("a; bcd; e", 5), " bc");
    }
}
