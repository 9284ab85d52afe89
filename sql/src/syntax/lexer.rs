//! Text to tokens, in two steps: `sqlparser`'s tokenizer, then what our dialect needs on top.
//!
//! - White space and comments go; each token keeps its place and its bytes.
//! - Unquoted words are upper-cased.
//! - `-> name` becomes `['NAME']`, so that a dereference is parsed as a subscript, left to right with the others.
//!   `->*` becomes a long arrow and `*`.
//! - `=>` becomes the arrow by which `sqlparser` knows a lambda; `>>` becomes two `>`, which close two types.
//! - Words of special forms that do not begin one here lose their keyword.
//!
//! Invariants: the text is at most [`MAX_TEXT_BYTES`], and parentheses, brackets, type brackets and CASE nest at most
//! [`MAX_DEPTH`] deep in each statement, both checked before anything recursive runs.

use std::ops::Range;

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Location, Span as TokenSpan, Token, TokenWithSpan, Tokenizer, Word};

use super::dialect::MillstreamDialect;
use super::error::SyntaxError;
use super::position::Position;

/// The longest text that is read.
pub const MAX_TEXT_BYTES: usize = 1024 * 1024;

/// The deepest nesting of parentheses, brackets, types and CASE.
pub const MAX_DEPTH: usize = 50;

/// Words that `sqlparser` reads in a way of their own when a parenthesis follows.
pub(super) const CALL_FORMS: [Keyword; 12] = [
    Keyword::CAST,
    Keyword::TRY_CAST,
    Keyword::SAFE_CAST,
    Keyword::CONVERT,
    Keyword::EXISTS,
    Keyword::EXTRACT,
    Keyword::CEIL,
    Keyword::FLOOR,
    Keyword::SUBSTR,
    Keyword::SUBSTRING,
    Keyword::OVERLAY,
    Keyword::TRIM,
];

/// A token with the bytes of the text that it was made of.
#[derive(Debug, Clone)]
pub(super) struct Lexeme {
    pub(super) token: TokenWithSpan,
    pub(super) bytes: Range<usize>,
}

/// Why a text could not be cut into tokens.
#[derive(Debug)]
pub(super) struct LexError {
    pub(super) error: SyntaxError,
    /// The text ended inside a string, a quoted name or a comment: more text may repair it.
    pub(super) unterminated: bool,
}

/// The tokens of a text, without white space and comments.
pub(super) fn lex(text: &str) -> Result<Vec<Lexeme>, LexError> {
    let fail = |error| LexError { error, unterminated: false };
    if text.len() > MAX_TEXT_BYTES {
        let message = format!("the text has {} bytes, at most {MAX_TEXT_BYTES} are read", text.len());
        return Err(fail(SyntaxError::new(Position::START, message).with_hint("run it in several parts")));
    }
    let mut raw = Vec::new();
    Tokenizer::new(&MillstreamDialect, text)
        .tokenize_with_location_into_buf(&mut raw)
        .map_err(|error| tokenizer_error(&error.message, error.location, &raw))?;
    let lexemes = rewrite(locate(raw, text)).map_err(fail)?;
    check_depth(&lexemes).map_err(fail)?;
    Ok(lexemes)
}

fn tokenizer_error(message: &str, location: Location, read: &[TokenWithSpan]) -> LexError {
    // What does not end began where the last token ended; the tokenizer itself may point at the end of the text.
    let start =
        read.last().map_or(Position::START, |last| Position::from_location(last.span.end).unwrap_or(Position::START));
    let at = Position::from_location(location).unwrap_or(Position::START);
    let (at, message, hint) = if message.contains("multi-line comment") {
        (start, "this comment does not end", Some("close it with */"))
    } else if message.contains("string literal") {
        (start, "this string does not end", Some("close it with ', and write a ' inside it as ''"))
    } else if message.contains("close delimiter") {
        (start, "this quoted name does not end", Some("close it with the quote it began with"))
    } else {
        return LexError {
            error: SyntaxError::new(at, message.trim_end_matches('.').to_lowercase()),
            unterminated: false,
        };
    };
    let mut error = SyntaxError::new(at, message);
    error.hint = hint.map(str::to_owned);
    let unterminated = error.message.ends_with("does not end");
    LexError { error, unterminated }
}

/// Drops white space and finds the bytes of each token, in one pass over the text.
fn locate(raw: Vec<TokenWithSpan>, text: &str) -> Vec<Lexeme> {
    let mut characters = text.char_indices();
    let mut place = Location { line: 1, column: 1 };
    let mut byte = 0;
    let mut advance = |until: Location| {
        while (place.line, place.column) < (until.line, until.column) {
            let Some((at, character)) = characters.next() else { return text.len() };
            byte = at + character.len_utf8();
            if character == '\n' {
                place = Location { line: place.line + 1, column: 1 };
            } else {
                place.column += 1;
            }
        }
        byte
    };
    let mut lexemes = Vec::with_capacity(raw.len());
    for token in raw {
        let start = advance(token.span.start);
        let end = advance(token.span.end);
        if !matches!(token.token, Token::Whitespace(_) | Token::EOF) {
            lexemes.push(Lexeme { token, bytes: start..end });
        }
    }
    lexemes
}

fn rewrite(raw: Vec<Lexeme>) -> Result<Vec<Lexeme>, SyntaxError> {
    let mut lexemes = Vec::with_capacity(raw.len());
    let mut rest = raw.into_iter().peekable();
    while let Some(mut lexeme) = rest.next() {
        let at = position(&lexeme);
        match &mut lexeme.token.token {
            Token::Word(word) => {
                upper_case(word);
                if !starts_special_form(word.keyword, rest.peek().map(|next| &next.token.token)) {
                    word.keyword = Keyword::NoKeyword;
                }
            }
            // A name may begin with digits: `1R`.
            Token::Number(digits, false) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                let end = lexeme.bytes.end;
                let is_rest = |next: &Lexeme| {
                    next.bytes.start == end
                        && matches!(&next.token.token, Token::Word(word) if word.quote_style.is_none())
                };
                if let Some(next) = rest.next_if(is_rest)
                    && let Token::Word(mut word) = next.token.token
                {
                    word.value.insert_str(0, digits);
                    word.keyword = Keyword::NoKeyword;
                    upper_case(&mut word);
                    let span = TokenSpan { start: lexeme.token.span.start, end: next.token.span.end };
                    lexeme.bytes.end = next.bytes.end;
                    lexeme.token = TokenWithSpan { token: Token::Word(word), span };
                }
            }
            Token::RArrow => lexeme.token.token = Token::Arrow,
            Token::ShiftRight => {
                let (first, second) = halves(lexeme);
                lexemes.push(first);
                lexeme = second;
            }
            Token::Arrow => match rest.next_if(|next| matches!(next.token.token, Token::Word(_) | Token::Mul)) {
                Some(star) if star.token.token == Token::Mul => {
                    lexeme.token.token = Token::LongArrow;
                    lexemes.push(lexeme);
                    lexemes.push(star);
                    continue;
                }
                Some(Lexeme { token: TokenWithSpan { token: Token::Word(mut field), span }, bytes }) => {
                    upper_case(&mut field);
                    // The brackets have no width of their own: the field's span covers the name.
                    let edge = |token, at: Location, byte| Lexeme {
                        token: TokenWithSpan { token, span: TokenSpan { start: at, end: at } },
                        bytes: byte..byte,
                    };
                    lexemes.push(Lexeme { token: TokenWithSpan { token: Token::LBracket, ..lexeme.token }, ..lexeme });
                    let name = Token::SingleQuotedString(field.value);
                    lexemes.push(Lexeme { token: TokenWithSpan { token: name, span }, bytes: bytes.clone() });
                    lexemes.push(edge(Token::RBracket, span.end, bytes.end));
                    continue;
                }
                _ => return Err(SyntaxError::new(at, "expected the name of a field after ->")),
            },
            Token::LongArrow => {
                return Err(SyntaxError::new(at, "there is no operator ->>").with_hint("did you mean ->"));
            }
            Token::Placeholder(name)
                if name == "$" && rest.peek().is_some_and(|next| next.token.token == Token::LBrace) =>
            {
                return Err(SyntaxError::new(at, "a variable has no value here").with_hint("give it one with DEFINE"));
            }
            Token::Char(other) => {
                let message = format!("unexpected character {other:?}");
                return Err(
                    SyntaxError::new(at, message).with_hint("names with other letters are written in backticks")
                );
            }
            _ => {}
        }
        lexemes.push(lexeme);
    }
    Ok(lexemes)
}

/// `>>` closes two types; there is no shift.
fn halves(both: Lexeme) -> (Lexeme, Lexeme) {
    let TokenSpan { start, end } = both.token.span;
    let middle = Location { line: start.line, column: start.column + 1 };
    let half =
        |start, end, bytes| Lexeme { token: TokenWithSpan { token: Token::Gt, span: TokenSpan { start, end } }, bytes };
    let Range { start: first, end: last } = both.bytes;
    (half(start, middle, first..first + 1), half(middle, end, first + 1..last))
}

/// Whether a word keeps its meaning for `sqlparser`, or is a plain name in front of what follows it.
///
/// The dialect reserves the words of special forms, because the parser's way out, to read them again as names, doubles
/// the work with each level of nesting. So that columns may still be called FLOOR, they lose their meaning here.
/// POSITION always does: its form `(a IN b)` is tried and taken back, level by level, even in right queries.
fn starts_special_form(keyword: Keyword, next: Option<&Token>) -> bool {
    match keyword {
        Keyword::POSITION | Keyword::LAMBDA => false,
        Keyword::STRUCT => matches!(next, Some(Token::LParen | Token::Lt)),
        Keyword::INTERVAL => matches!(next, Some(Token::LParen | Token::SingleQuotedString(_) | Token::Number(..))),
        other if CALL_FORMS.contains(&other) => next == Some(&Token::LParen),
        _ => true,
    }
}

fn upper_case(word: &mut Word) {
    if word.quote_style.is_none() {
        word.value.make_ascii_uppercase();
    }
}

/// Checks the depth of brackets; pairs themselves are the parser's business.
fn check_depth(lexemes: &[Lexeme]) -> Result<(), SyntaxError> {
    let mut open: Vec<Token> = Vec::new();
    let mut opens_type = false;
    for lexeme in lexemes {
        let token = &lexeme.token.token;
        let keyword = match token {
            Token::Word(word) => word.keyword,
            _ => Keyword::NoKeyword,
        };
        match token {
            Token::SemiColon => open.clear(),
            Token::LParen | Token::LBracket | Token::LBrace => open.push(token.clone()),
            Token::Lt if opens_type => open.push(Token::Lt),
            Token::Word(_) if keyword == Keyword::CASE => open.push(token.clone()),
            Token::Word(_) if keyword == Keyword::END => close(&mut open, |t| matches!(t, Token::Word(_))),
            Token::RParen => close(&mut open, |t| *t == Token::LParen),
            Token::RBracket => close(&mut open, |t| *t == Token::LBracket),
            Token::RBrace => close(&mut open, |t| *t == Token::LBrace),
            Token::Gt if open.last() == Some(&Token::Lt) => drop(open.pop()),
            _ => {}
        }
        opens_type = matches!(keyword, Keyword::ARRAY | Keyword::MAP | Keyword::STRUCT);
        if open.len() > MAX_DEPTH {
            return Err(too_deep(position(lexeme)));
        }
    }
    Ok(())
}

pub(super) fn too_deep(at: Position) -> SyntaxError {
    SyntaxError::new(at, format!("nested more than {MAX_DEPTH} deep")).with_hint("split the query in two")
}

/// Closes the nearest opener of a kind and what was left open inside it (a `<` that was a comparison, say).
fn close(open: &mut Vec<Token>, kind: impl Fn(&Token) -> bool) {
    if let Some(at) = open.iter().rposition(kind) {
        open.truncate(at);
    }
}

pub(super) fn position(lexeme: &Lexeme) -> Position {
    Position::from_location(lexeme.token.span.start).unwrap_or(Position::START)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: &str) {
        let got = match lex(text) {
            Ok(lexemes) => lexemes.iter().map(|l| l.token.token.to_string()).collect::<Vec<_>>().join(" "),
            Err(failure) => failure.error.to_string(),
        };
        assert_eq!(got, want, "text: {text:?}");
    }

    #[test]
    fn words_arrows_and_comments() {
        check("select `a b`, \"c\" -- x\n, 'it''s' /* y */;", "SELECT `a b` , \"c\" , 'it's' ;");
        check("a->b[1]->`c`", "A [ 'B' ] [ 1 ] [ 'c' ]");
        check("s->*", "S ->> *");
        check("ARRAY<ARRAY<INT>>", "ARRAY < ARRAY < INT > >");
        check("(x, y) => x", "( X , Y ) -> X");
    }

    #[test]
    fn mistakes_have_places() {
        check("a\n 'b", "2:2: this string does not end; close it with ', and write a ' inside it as ''");
        check("a `b", "1:3: this quoted name does not end; close it with the quote it began with");
        check("a /* b\nc", "1:3: this comment does not end; close it with */");
        check("a -> 1", "1:3: expected the name of a field after ->");
        check("a ->> b", "1:3: there is no operator ->>; did you mean ->");
        check("aé", "1:2: unexpected character 'é'; names with other letters are written in backticks");
        check(
            &" ".repeat(MAX_TEXT_BYTES + 1),
            "1:1: the text has 1048577 bytes, at most 1048576 are read; run it in several parts",
        );
    }

    #[test]
    fn bytes_are_those_of_the_text() {
        let text = "`ä` = 'ö'\n, x";
        let slices: Vec<&str> =
            lex(text).map_err(|e| e.error).unwrap().iter().map(|l| &text[l.bytes.clone()]).collect();
        assert_eq!(slices, ["`ä`", "=", "'ö'", ",", "x"]);
    }

    #[test]
    fn depth_is_limited_by_statement() {
        let nested = |open: &str, close: &str, n: usize| format!("{}x{}", open.repeat(n), close.repeat(n));
        assert!(lex(&nested("(", ")", 50)).is_ok());
        assert!(lex(&format!("{};{}", nested("(", ")", 50), nested("[", "]", 50))).is_ok());
        assert!(lex(&"ARRAY < 1 AND ".repeat(40)).is_ok());
        check(&nested("(", ")", 51), "1:51: nested more than 50 deep; split the query in two");
        check(&nested("ARRAY<", ">", 51), "1:306: nested more than 50 deep; split the query in two");
        check(&nested("CASE ", " END", 51), "1:251: nested more than 50 deep; split the query in two");
    }
}
