//! The dialect as `sqlparser` needs to know it.
//!
//! Names are quoted in backticks or double quotes; `[..]` is a subscript; `:=` and `=>` bind looser than everything else.
//! `=>` reaches the parser as its lambda arrow and `->` as a subscript, see [`super::lexer`].

use datafusion::sql::sqlparser::ast::Expr;
use datafusion::sql::sqlparser::dialect::Dialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::lexer::CALL_FORMS;

/// The dialect of Millstream's SQL. Use it only on tokens of the lexer: it does half of the work.
#[derive(Debug, Clone, Copy, Default)]
pub struct MillstreamDialect;

/// Looser than OR (5), so that the whole right side belongs to `:=`.
const ASSIGNMENT_PRECEDENCE: u8 = 1;

impl Dialect for MillstreamDialect {
    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_ascii_alphabetic() || ch == '_'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_ascii_alphanumeric() || ch == '_' || ch == '@'
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '`' || ch == '"'
    }

    fn identifier_quote_style(&self, _identifier: &str) -> Option<char> {
        Some('`')
    }

    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        matches!(keyword, Keyword::CASE | Keyword::NOT | Keyword::STRUCT | Keyword::INTERVAL)
            || CALL_FORMS.contains(&keyword)
    }

    fn supports_lambda_functions(&self) -> bool {
        true
    }

    fn supports_named_fn_args_with_assignment_operator(&self) -> bool {
        false
    }

    fn supports_struct_literal(&self) -> bool {
        true
    }

    fn supports_map_literal_with_angle_brackets(&self) -> bool {
        true
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    /// `STRUCT()`, which has no fields.
    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        let is = |parser: &Parser, ahead: usize, token: &Token| parser.peek_nth_token_ref(ahead).token == *token;
        let is_struct = match &parser.peek_token_ref().token {
            Token::Word(word) => word.keyword == Keyword::STRUCT && word.quote_style.is_none(),
            _ => false,
        };
        if !(is_struct && is(parser, 1, &Token::LParen) && is(parser, 2, &Token::RParen)) {
            return None;
        }
        for _ in 0..3 {
            parser.advance_token();
        }
        Some(Ok(Expr::Struct { values: Vec::new(), fields: Vec::new() }))
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        match parser.peek_token_ref().token {
            Token::Assignment => Some(Ok(ASSIGNMENT_PRECEDENCE)),
            // No operators between two expressions here: the lambda arrow is read with its parameters, the
            // long arrow stands for `->*`, and a colon means nothing.
            Token::Arrow | Token::LongArrow | Token::Colon => Some(Ok(0)),
            _ => None,
        }
    }
}
