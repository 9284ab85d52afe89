//! `ASSERT [NOT EXISTS] TOPIC ..` and `ASSERT [NOT EXISTS] SCHEMA ..`: a script goes on only if they hold.
//!
//! ASSERT VALUES, NULL VALUES, STREAM and TABLE belong to scripts of tests.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::ast::{Interval, Name, Properties, Spanned, Statement};
use super::parser::{Parsed, Parser};
use super::position::Span;

/// What is to hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Assert {
    /// `NOT EXISTS`.
    pub is_absent: bool,
    /// What is, or is not, to be there.
    pub what: Asserted,
    /// `TIMEOUT`: how long it may take until it holds.
    pub timeout: Option<Interval>,
    /// The whole statement.
    pub span: Span,
}

/// What is to be there.
#[derive(Debug, Clone, PartialEq)]
pub enum Asserted {
    /// A topic.
    Topic {
        /// Its name. As topics keep their case, a name that is not quoted may be written in any.
        name: Name,
        /// Its name as written.
        written: String,
        /// `WITH (..)`: its settings.
        properties: Properties,
    },
    /// A schema in the registry; it has a subject, an id or both.
    Schema {
        /// `SUBJECT`, as written.
        subject: Option<Spanned<String>>,
        /// `ID`.
        id: Option<Spanned<u64>>,
    },
}

impl Parser<'_> {
    pub(super) fn assert(&mut self) -> Parsed<Statement> {
        let start = self.advance();
        let is_absent = self.eat_words(&["NOT", "EXISTS"]);
        let what = match self.expect_any(&["TOPIC", "SCHEMA"])? {
            0 => {
                let first = self.index();
                let (name, written) = self.written_name("the name of a topic", first)?;
                Asserted::Topic { name, written, properties: self.properties()? }
            }
            _ => self.asserted_schema()?,
        };
        let timeout = if self.eat("TIMEOUT") { Some(self.interval("a time")?) } else { None };
        self.expect_end(if timeout.is_none() { &["TIMEOUT"] } else { &[] })?;
        Ok(Statement::Assert(Assert { is_absent, what, timeout, span: start.to(self.previous()) }))
    }

    fn asserted_schema(&mut self) -> Parsed<Asserted> {
        let subject = match self.eat("SUBJECT") {
            true => {
                let first = self.index();
                let (name, written) = self.written_name("the name of a subject", first)?;
                Some(Spanned { node: written, span: name.span })
            }
            false => None,
        };
        let id = if self.eat("ID") { Some(self.count("the id of a schema")?) } else { None };
        if subject.is_none() && id.is_none() {
            return Err(self.expected(&["SUBJECT", "ID"]));
        }
        Ok(Asserted::Schema { subject, id })
    }

    /// A name, and the same in the case in which it was written.
    pub(super) fn written_name(&mut self, what: &str, first: usize) -> Parsed<(Name, String)> {
        if let Token::SingleQuotedString(_) = self.token_at(0) {
            let text = self.string(what)?;
            return Ok((Name { value: text.node.clone(), quoted: true, span: text.span }, text.node));
        }
        let name = self.name(what)?;
        let written = if name.quoted { name.value.clone() } else { self.text_since(first).to_owned() };
        Ok((name, written))
    }
}

#[cfg(test)]
mod tests {
    use super::super::compact::compact;

    #[test]
    fn assertions() {
        let check = |text: &str, want: &str| assert_eq!(compact(text), want, "text: {text}");
        check("ASSERT TOPIC my_topic;", "assert Topic my_topic (0)");
        check("ASSERT NOT EXISTS TOPIC `a-b` TIMEOUT 5 SECONDS", "assert not Topic a-b (0) within 5000");
        check("ASSERT TOPIC t WITH (partitions=2, 'replicas'=1)", "assert Topic t (2)");
        check("ASSERT SCHEMA SUBJECT 't-value' ID 3", "assert Schema t-value 3");
        check("ASSERT NOT EXISTS SCHEMA ID 3", "assert not Schema - 3");
        check("ASSERT SCHEMA TIMEOUT 1 SECOND", "1:15: expected SUBJECT or ID, found `TIMEOUT`");
    }
}
