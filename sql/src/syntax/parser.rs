//! The cursor over one statement's tokens, and the pieces that all statements use: words, names, numbers, lists,
//! properties and expressions.
//!
//! It wraps `sqlparser`'s parser, which reads the expressions; both share one position, so nothing is copied.
//! Words are told apart here by their text, not by `sqlparser`'s keyword table: a word is a keyword only where one is expected.

use std::ops::{ControlFlow, Range};

use datafusion::sql::sqlparser::ast::{AccessExpr, visit_expressions_mut};
use datafusion::sql::sqlparser::parser::{Parser as SqlParser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::ast::{Expr, Literal, Name, Properties, Property, Spanned};
use super::depth::settle;
use super::dialect::MillstreamDialect;
use super::error::SyntaxError;
use super::lexer::{Lexeme, too_deep};
use super::position::{Position, Span};
use super::suggest::nearest;

/// The longest single expression, and the longest pull query, in tokens.
pub const MAX_EXPRESSION_TOKENS: usize = 10_000;

/// More than [`super::MAX_DEPTH`], because one level of brackets may take two of recursion.
pub(super) const RECURSION_LIMIT: usize = 120;

/// Result of a parsing step.
pub(super) type Parsed<T> = Result<T, SyntaxError>;

/// A cursor over the tokens of one statement.
pub(super) struct Parser<'a> {
    text: &'a str,
    sql: SqlParser<'a>,
    bytes: Vec<Range<usize>>,
    end: Position,
    /// In how many subqueries the cursor is.
    pub(super) subqueries: usize,
}

impl<'a> Parser<'a> {
    /// Over the tokens of one statement of `text`, without its semicolon.
    pub(super) fn new(text: &'a str, lexemes: &[Lexeme]) -> Self {
        let tokens: Vec<TokenWithSpan> = lexemes.iter().map(|lexeme| lexeme.token.clone()).collect();
        let end = tokens.last().and_then(|token| Position::from_location(token.span.end)).unwrap_or(Position::START);
        Self {
            text,
            sql: SqlParser::new(&MillstreamDialect)
                .with_recursion_limit(RECURSION_LIMIT)
                .with_tokens_with_locations(tokens),
            bytes: lexemes.iter().map(|lexeme| lexeme.bytes.clone()).collect(),
            end,
            subqueries: 0,
        }
    }

    /// The tokens that are left.
    pub(super) fn left(&self) -> impl Iterator<Item = &TokenWithSpan> {
        (self.index()..self.token_count()).map(|index| self.sql.token_at(index))
    }

    // Looking.

    pub(super) fn token_at(&self, ahead: usize) -> &Token {
        &self.sql.token_at(self.sql.index() + ahead).token
    }

    pub(super) fn at_end(&self) -> bool {
        *self.token_at(0) == Token::EOF
    }

    /// The number of tokens read so far.
    pub(super) fn index(&self) -> usize {
        self.sql.index().min(self.bytes.len())
    }

    pub(super) fn token_count(&self) -> usize {
        self.bytes.len()
    }

    /// The unquoted word that lies so many tokens ahead.
    pub(super) fn word_at(&self, ahead: usize) -> Option<&str> {
        match self.token_at(ahead) {
            Token::Word(word) if word.quote_style.is_none() => Some(&word.value),
            _ => None,
        }
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        self.word_at(0) == Some(word)
    }

    pub(super) fn is_any(&self, words: &[&str]) -> bool {
        self.word_at(0).is_some_and(|found| words.contains(&found))
    }

    /// Whether these words come next.
    pub(super) fn is_words(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(ahead, word)| self.word_at(ahead) == Some(word))
    }

    /// Where the next token is, or the end of the statement.
    pub(super) fn here(&self) -> Span {
        Span::from_token(self.sql.peek_token_ref().span).unwrap_or(Span { start: self.end, end: self.end })
    }

    /// Where the last token that was read is.
    pub(super) fn previous(&self) -> Span {
        Span::from_token(self.sql.get_current_token().span).unwrap_or(Span { start: self.end, end: self.end })
    }

    /// The text of the tokens from `start` (an [`Self::index`]) up to here.
    pub(super) fn text_since(&self, start: usize) -> &'a str {
        match (self.bytes.get(start), self.index().checked_sub(1).and_then(|last| self.bytes.get(last))) {
            (Some(first), Some(last)) if first.start <= last.end => &self.text[first.start..last.end],
            _ => "",
        }
    }

    // Moving.

    pub(super) fn advance(&mut self) -> Span {
        let span = self.here();
        if !self.at_end() {
            self.sql.advance_token();
        }
        span
    }

    pub(super) fn eat(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.advance();
        }
        found
    }

    pub(super) fn eat_words(&mut self, words: &[&str]) -> bool {
        let found = self.is_words(words);
        if found {
            for _ in words {
                self.advance();
            }
        }
        found
    }

    pub(super) fn eat_token(&mut self, token: &Token) -> bool {
        let found = self.token_at(0) == token;
        if found {
            self.advance();
        }
        found
    }

    pub(super) fn expect(&mut self, word: &str) -> Parsed<Span> {
        if self.is_word(word) { Ok(self.advance()) } else { Err(self.expected(&[word])) }
    }

    pub(super) fn expect_token(&mut self, token: &Token) -> Parsed<Span> {
        if self.token_at(0) == token {
            return Ok(self.advance());
        }
        Err(self.unexpected(&format!("`{token}`")))
    }

    /// One of these words; which one is its index.
    pub(super) fn expect_any(&mut self, words: &[&str]) -> Parsed<usize> {
        let found = self.word_at(0).and_then(|found| words.iter().position(|word| *word == found));
        match found {
            Some(index) => {
                self.advance();
                Ok(index)
            }
            None => Err(self.expected(words)),
        }
    }

    pub(super) fn expect_end(&mut self, possible: &[&str]) -> Parsed<()> {
        if self.at_end() {
            return Ok(());
        }
        let error = match possible {
            [] => self.unexpected("the end of the statement"),
            _ => self.unexpected(&format!("{} or the end of the statement", list(possible))),
        };
        Err(self.hinted(error, possible))
    }

    // Saying what is wrong.

    /// `expected X, found Y`, with a suggestion among the words.
    pub(super) fn expected(&self, words: &[&str]) -> SyntaxError {
        self.hinted(self.unexpected(&list(words)), words)
    }

    pub(super) fn unexpected(&self, wanted: &str) -> SyntaxError {
        SyntaxError::new(self.here().start, format!("expected {wanted}, found {}", self.found()))
    }

    /// Suggests a word for the token that an error is about; or for the one before, which may be a misspelt keyword that
    /// was read as an alias.
    pub(super) fn hinted(&self, error: SyntaxError, words: &[&str]) -> SyntaxError {
        if error.hint.is_some() {
            return error;
        }
        let index = self.index_at(error.position());
        if let Some(meant) = self.meant(index, words) {
            return error.with_hint(format!("did you mean {meant}"));
        }
        match index.checked_sub(1).and_then(|before| Some((before, self.meant(before, words)?))) {
            Some((before, meant)) => {
                let written = &self.text[self.bytes[before].clone()];
                error.with_hint(format!("`{written}` was read as a name, did you mean {meant}"))
            }
            None => error,
        }
    }

    /// The word that an unquoted word is nearly, but not exactly.
    fn meant<'w>(&self, index: usize, words: &[&'w str]) -> Option<&'w str> {
        match &self.sql.token_at(index).token {
            Token::Word(word) if word.quote_style.is_none() => {
                nearest(&word.value, words.iter().copied()).filter(|meant| *meant != word.value)
            }
            _ => None,
        }
    }

    /// The token that begins at a place, or the first after it.
    fn index_at(&self, at: Position) -> usize {
        let (mut low, mut high) = (0, self.bytes.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match Position::from_location(self.sql.token_at(middle).span.start) {
                Some(start) if start < at => low = middle + 1,
                _ => high = middle,
            }
        }
        low
    }

    /// The next token as the user wrote it.
    fn found(&self) -> String {
        self.written(self.index())
    }

    fn written(&self, index: usize) -> String {
        match self.bytes.get(index) {
            None => "the end of the statement".to_owned(),
            Some(bytes) => {
                let text = &self.text[bytes.clone()];
                let short: String = text.chars().take(40).collect();
                if short.len() < text.len() { format!("`{short}...`") } else { format!("`{short}`") }
            }
        }
    }

    // Pieces.

    /// A name, quoted or not; `what` says whose.
    pub(super) fn name(&mut self, what: &str) -> Parsed<Name> {
        match self.token_at(0) {
            Token::Word(word) => {
                let (value, quoted) = (word.value.clone(), word.quote_style.is_some());
                if value.is_empty() {
                    return Err(SyntaxError::new(self.here().start, format!("{what} is empty")));
                }
                Ok(Name { value, quoted, span: self.advance() })
            }
            Token::SingleQuotedString(_) => {
                let error = self.unexpected(what);
                Err(error.with_hint("names are quoted in backticks or double quotes"))
            }
            _ => Err(self.unexpected(what)),
        }
    }

    pub(super) fn string(&mut self, what: &str) -> Parsed<Spanned<String>> {
        match self.token_at(0) {
            Token::SingleQuotedString(value) => {
                let node = value.clone();
                Ok(Spanned { node, span: self.advance() })
            }
            Token::Word(word) if word.quote_style == Some('"') => {
                let error = self.unexpected(&format!("{what} in single quotes"));
                Err(error.with_hint("double quotes are for names"))
            }
            _ => Err(self.unexpected(&format!("{what} in single quotes"))),
        }
    }

    pub(super) fn count(&mut self, what: &str) -> Parsed<Spanned<u64>> {
        if let Token::Number(digits, _) = self.token_at(0)
            && let Ok(node) = digits.parse::<u64>()
        {
            return Ok(Spanned { node, span: self.advance() });
        }
        Err(self.unexpected(&format!("{what}, a whole number")))
    }

    /// One or more, separated by commas.
    pub(super) fn comma_separated<T>(&mut self, mut item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.eat_token(&Token::Comma) {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// The `)` of a list that was opened at `open`.
    pub(super) fn close(&mut self, open: Span) -> Parsed<Span> {
        if self.eat_token(&Token::RParen) {
            return Ok(self.previous());
        }
        Err(self.unexpected("`,` or `)`").with_hint(format!("the list opened at {}", open.start)))
    }

    /// An expression.
    pub(super) fn expression(&mut self, what: &str) -> Parsed<Expr> {
        if self.at_end() || matches!(self.token_at(0), Token::Comma | Token::RParen) {
            return Err(self.unexpected(what));
        }
        self.check_size()?;
        let start = self.here().start;
        let mut expr = self.sql.parse_expr().map_err(|error| self.sql_error(error))?;
        settle(&mut expr).map_err(|deep| deep.error(start))?;
        let _ = visit_expressions_mut(&mut expr, |part| {
            qualify(part);
            ControlFlow::<()>::Continue(())
        });
        Ok(expr)
    }

    pub(super) fn spanned_expression(&mut self, what: &str) -> Parsed<Spanned<Expr>> {
        let start = self.here();
        let node = self.expression(what)?;
        Ok(Spanned { node, span: start.to(self.previous()) })
    }

    /// Goes back by one token.
    pub(super) fn back(&mut self) {
        self.sql.prev_token();
    }

    /// Runs `sqlparser` on what comes next.
    pub(super) fn with_sql<T>(
        &mut self,
        parse: impl FnOnce(&mut SqlParser<'a>) -> Result<T, ParserError>,
    ) -> Parsed<T> {
        parse(&mut self.sql).map_err(|error| self.sql_error(error))
    }

    pub(super) fn too_long(&self, what: &str) -> SyntaxError {
        let message = format!("{what} has more than {MAX_EXPRESSION_TOKENS} words and signs");
        SyntaxError::new(self.here().start, message).with_hint("split the query in two")
    }

    pub(super) fn sql_error(&self, error: ParserError) -> SyntaxError {
        let text = match error {
            ParserError::RecursionLimitExceeded => return too_deep(self.here().start),
            ParserError::ParserError(text) | ParserError::TokenizerError(text) => text,
        };
        let (message, at) = match text.rsplit_once(" at Line: ") {
            Some((message, place)) => (message, place.split_once(", Column: ").and_then(place_of)),
            None => (text.as_str(), None),
        };
        let at = at.unwrap_or_else(|| if message.contains("found: EOF") { self.end } else { self.here().start });
        let message = match message.strip_prefix("Expected: ").and_then(|m| m.split_once(", found: ")) {
            Some((wanted, "EOF")) => format!("expected {}, found the end of the statement", plain(wanted)),
            Some((wanted, _)) => format!("expected {}, found {}", plain(wanted), self.written(self.index_at(at))),
            None => plain(message),
        };
        SyntaxError::new(at, message)
    }

    /// `WITH ( .. )`, or nothing.
    pub(super) fn properties(&mut self) -> Parsed<Properties> {
        if !self.is_word("WITH") {
            let at = self.here().start;
            return Ok(Properties { entries: Vec::new(), span: Span { start: at, end: at } });
        }
        let start = self.advance();
        let open = self.expect_token(&Token::LParen)?;
        let entries = match self.token_at(0) {
            Token::RParen => Vec::new(),
            _ => self.comma_separated(Self::property)?,
        };
        self.close(open)?;
        let mut seen = std::collections::HashMap::new();
        for property in &entries {
            let name = &property.name;
            if let Some(first) = seen.insert(name.value.to_ascii_uppercase(), name.span.start) {
                let error = SyntaxError::new(name.span.start, format!("property {} is given twice", name.value));
                return Err(error.with_hint(format!("it stands at {first} already")));
            }
        }
        Ok(Properties { entries, span: start.to(self.previous()) })
    }

    fn property(&mut self) -> Parsed<Property> {
        let name = match self.token_at(0) {
            Token::SingleQuotedString(value) => {
                let value = value.clone();
                Name { value, quoted: true, span: self.advance() }
            }
            _ => self.name("the name of a property")?,
        };
        self.expect_token(&Token::Eq)?;
        let start = self.here();
        let value = self.literal()?;
        Ok(Property { name, value, value_span: start.to(self.previous()) })
    }

    fn literal(&mut self) -> Parsed<Literal> {
        let negative = *self.token_at(0) == Token::Minus && matches!(self.token_at(1), Token::Number(..));
        let literal = match self.token_at(usize::from(negative)) {
            Token::Number(digits, _) => Literal::Number(format!("{}{digits}", if negative { "-" } else { "" })),
            Token::SingleQuotedString(text) => Literal::Text(text.clone()),
            Token::Word(word) if word.quote_style.is_none() && word.value == "TRUE" => Literal::Boolean(true),
            Token::Word(word) if word.quote_style.is_none() && word.value == "FALSE" => Literal::Boolean(false),
            Token::Word(_) => {
                let error = self.unexpected("a string, a number, TRUE or FALSE");
                return Err(error.with_hint("strings stand in single quotes"));
            }
            _ => return Err(self.unexpected("a string, a number, TRUE or FALSE")),
        };
        if negative {
            self.advance();
        }
        self.advance();
        Ok(literal)
    }
}

/// Refuses a list in which a name comes twice.
pub(super) fn distinct<'n>(names: impl Iterator<Item = &'n Name>, what: &str) -> Parsed<()> {
    let mut seen = std::collections::HashMap::new();
    for name in names {
        if let Some(first) = seen.insert(name.value.as_str(), name.span.start) {
            let error = SyntaxError::new(name.span.start, format!("{what} {} is named twice", name.value));
            return Err(error.with_hint(format!("it stands at {first} already")));
        }
    }
    Ok(())
}

/// `A`, `A or B`, `A, B or C`.
pub(super) fn list(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

fn place_of((line, column): (&str, &str)) -> Option<Position> {
    Some(Position::new(line.parse().ok()?, column.parse().ok()?))
}

/// `sqlparser`'s words in our style: no capital at the start unless it is a keyword, no full stop.
fn plain(message: &str) -> String {
    let message = message.trim().trim_end_matches('.');
    let mut characters = message.chars();
    match (characters.next(), characters.next()) {
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            format!("{}{}", first.to_lowercase(), &message[first.len_utf8()..])
        }
        _ => message.to_owned(),
    }
}

/// `a.b[1]` is read as `a` with the links `.b` and `[1]`; here it is the name `a.b` with the link `[1]`, as in `a.b` alone.
fn qualify(part: &mut Expr) {
    let Expr::CompoundFieldAccess { root, access_chain } = part else { return };
    let (Expr::Identifier(first), [AccessExpr::Dot(Expr::Identifier(second)), rest @ ..]) =
        (root.as_ref(), access_chain.as_slice())
    else {
        return;
    };
    let name = Expr::CompoundIdentifier(vec![first.clone(), second.clone()]);
    *part = match rest {
        [] => name,
        rest => Expr::CompoundFieldAccess { root: Box::new(name), access_chain: rest.to_vec() },
    };
}
