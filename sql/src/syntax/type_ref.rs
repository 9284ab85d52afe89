//! Types as written: a name with its numbers, or ARRAY, MAP and STRUCT of other types.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::ast::{TypeRef, TypeShape};
use super::error::SyntaxError;
use super::parser::{Parsed, Parser, distinct};

impl Parser<'_> {
    /// A type.
    pub(super) fn type_ref(&mut self) -> Parsed<TypeRef> {
        let start = self.here();
        let name = self.name("a type")?;
        let shape = match name.value.as_str() {
            "ARRAY" if !name.quoted => {
                self.expect_token(&Token::Lt)?;
                let item = self.type_ref()?;
                self.close_type()?;
                TypeShape::Array(Box::new(item))
            }
            "MAP" if !name.quoted => {
                self.expect_token(&Token::Lt)?;
                let key = self.type_ref()?;
                self.expect_token(&Token::Comma)?;
                let value = self.type_ref()?;
                self.close_type()?;
                TypeShape::Map(Box::new(key), Box::new(value))
            }
            "STRUCT" if !name.quoted => {
                self.expect_token(&Token::Lt)?;
                let fields =
                    self.comma_separated(|parser| Ok((parser.name("the name of a field")?, parser.type_ref()?)))?;
                self.close_type()?;
                distinct(fields.iter().map(|(name, _)| name), "field")?;
                TypeShape::Struct(fields)
            }
            "NULL" if !name.quoted => {
                let message = "expected a type, found `NULL`";
                return Err(SyntaxError::new(name.span.start, message).with_hint("a column of any type may be null"));
            }
            _ => {
                let mut arguments = Vec::new();
                let is_text = !name.quoted && matches!(name.value.as_str(), "VARCHAR" | "STRING");
                if is_text && *self.token_at(0) == Token::LParen && self.word_at(1) == Some("STRING") {
                    // ksqlDB's grammar allows this for a length without a limit.
                    let open = self.advance();
                    self.advance();
                    self.close(open)?;
                } else if *self.token_at(0) == Token::LParen {
                    let open = self.advance();
                    arguments = self.comma_separated(|parser| parser.count("a precision or scale"))?;
                    self.close(open)?;
                }
                TypeShape::Named { name, arguments }
            }
        };
        Ok(TypeRef { shape, span: start.to(self.previous()) })
    }

    fn close_type(&mut self) -> Parsed<()> {
        if self.eat_token(&Token::Gt) { Ok(()) } else { Err(self.unexpected("`,` or `>`")) }
    }
}
