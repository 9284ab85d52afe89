//! How long an expression may be.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::parser::{MAX_EXPRESSION_TOKENS, Parsed, Parser};

impl Parser<'_> {
    /// Trees are dropped and walked recursively in their depth, which a chain of operators can drive up without any bracket.
    pub(super) fn check_size(&self) -> Parsed<()> {
        let mut depth = 0_usize;
        let mut ahead = 0;
        loop {
            match self.token_at(ahead) {
                Token::EOF => return Ok(()),
                Token::LParen | Token::LBracket => depth += 1,
                Token::RParen | Token::RBracket if depth == 0 => return Ok(()),
                Token::RParen | Token::RBracket => depth -= 1,
                Token::Comma if depth == 0 => return Ok(()),
                _ => {}
            }
            ahead += 1;
            if ahead > MAX_EXPRESSION_TOKENS {
                return Err(self.too_long("this expression"));
            }
        }
    }
}
