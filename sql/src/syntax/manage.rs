//! Statements that look at or steer what is there: SHOW, DESCRIBE, EXPLAIN, PRINT, TERMINATE, SET and kin.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::ast::{
    ConnectorKind, DefineVariable, Describe, Explain, ParsedStatement, Print, QueryChoice, SetProperty, Show, ShowWhat,
    SourceKind, Spanned, Statement,
};
use super::parser::{Parsed, Parser};

/// What can be explained besides a query id.
const EXPLAINED: [&str; 5] = ["SELECT", "CREATE", "INSERT", "WITH", "VALUES"];

impl Parser<'_> {
    pub(super) fn show(&mut self) -> Parsed<Statement> {
        self.advance();
        let all = self.is_words(&["ALL", "TOPICS"]);
        if all {
            self.advance();
        }
        let kind = match (self.word_at(0), self.word_at(1)) {
            (Some("SOURCE"), Some("CONNECTORS")) => Some(ConnectorKind::Source),
            (Some("SINK"), Some("CONNECTORS")) => Some(ConnectorKind::Sink),
            _ => None,
        };
        if kind.is_some() {
            self.advance();
        }
        if self.is_words(&["CONNECTOR", "PLUGINS"]) {
            return Err(self.not_yet("CONNECTOR PLUGINS"));
        }
        const WHAT: [&str; 10] = [
            "STREAMS",
            "TABLES",
            "TOPICS",
            "QUERIES",
            "CONNECTORS",
            "PROPERTIES",
            "FUNCTIONS",
            "TYPES",
            "VARIABLES",
            "QUEUES",
        ];
        let what = match self.expect_any(&WHAT)? {
            0 => ShowWhat::Streams,
            1 => ShowWhat::Tables,
            2 => ShowWhat::Topics { all },
            3 => ShowWhat::Queries,
            4 => ShowWhat::Connectors(kind),
            5 => ShowWhat::Properties,
            6 => ShowWhat::Functions,
            7 => ShowWhat::Types,
            8 => ShowWhat::Variables,
            _ => ShowWhat::Queues,
        };
        let extensible =
            matches!(what, ShowWhat::Topics { .. } | ShowWhat::Streams | ShowWhat::Tables | ShowWhat::Queries);
        let extended = extensible && self.eat("EXTENDED");
        self.expect_end(if extensible && !extended { &["EXTENDED"] } else { &[] })?;
        Ok(Statement::Show(Show { what, extended }))
    }

    pub(super) fn describe(&mut self) -> Parsed<Statement> {
        self.advance();
        let named = matches!(self.token_at(1), Token::Word(_)) && self.word_at(1) != Some("EXTENDED");
        let describe = match self.word_at(0) {
            Some("FUNCTION") if named => {
                self.advance();
                Describe::Function(self.name("the name of a function")?)
            }
            Some("CONNECTOR") if named => {
                self.advance();
                Describe::Connector(self.name("the name of a connector")?)
            }
            Some("QUEUE") if named => {
                self.advance();
                Describe::Queue(self.name("the name of a queue")?)
            }
            Some("STREAMS") => {
                self.advance();
                Describe::Sources { kind: SourceKind::Stream, extended: self.eat("EXTENDED") }
            }
            Some("TABLES") => {
                self.advance();
                Describe::Sources { kind: SourceKind::Table, extended: self.eat("EXTENDED") }
            }
            _ => {
                let name = self.name("the name of a stream or table")?;
                Describe::Source { name, extended: self.eat("EXTENDED") }
            }
        };
        self.expect_end(&["EXTENDED"])?;
        Ok(Statement::Describe(describe))
    }

    pub(super) fn explain(&mut self) -> Parsed<Statement> {
        self.advance();
        if !self.is_any(&EXPLAINED) && *self.token_at(0) != Token::LParen {
            let id = self.name("a query id or a statement")?;
            self.expect_end(&[]).map_err(|error| {
                let words = [&EXPLAINED[..], &["EXPLAIN"]].concat();
                self.hinted(error, &words)
            })?;
            return Ok(Statement::Explain(Explain::Query(id)));
        }
        let (start, first) = (self.here(), self.index());
        let statement = self.statement()?;
        let (text, span) = (self.text_since(first).to_owned(), start.to(self.previous()));
        Ok(Statement::Explain(Explain::Statement(Box::new(ParsedStatement { text, span, statement }))))
    }

    pub(super) fn print(&mut self) -> Parsed<Statement> {
        self.advance();
        let topic = match self.token_at(0) {
            Token::SingleQuotedString(_) => self.string("the name of a topic")?,
            Token::Word(word) if word.quote_style.is_none() => {
                // Topics keep their case, so the text counts, not the upper-cased word.
                let first = self.index();
                let span = self.advance();
                Spanned { node: self.text_since(first).to_owned(), span }
            }
            _ => {
                let name = self.name("the name of a topic")?;
                Spanned { node: name.value, span: name.span }
            }
        };
        if *self.token_at(0) == Token::Minus || *self.token_at(0) == Token::Period {
            let error = self.unexpected("the end of the topic's name");
            return Err(error.with_hint("names with other signs than letters, digits and _ stand in single quotes"));
        }
        let from_beginning = self.eat("FROM");
        if from_beginning {
            self.expect("BEGINNING")?;
        }
        let interval = match self.eat("INTERVAL") || self.eat("SAMPLE") {
            true => Some(self.count("an interval")?),
            false => None,
        };
        let limit = if self.eat("LIMIT") { Some(self.count("a limit")?) } else { None };
        self.expect_end(&["FROM BEGINNING", "INTERVAL", "LIMIT"])?;
        Ok(Statement::Print(Print { topic, from_beginning, interval, limit }))
    }

    pub(super) fn query_choice(&mut self) -> Parsed<QueryChoice> {
        self.advance();
        let choice = match self.eat("ALL") {
            true => QueryChoice::All,
            false => QueryChoice::Id(self.name("a query id or ALL")?),
        };
        self.expect_end(&[])?;
        Ok(choice)
    }

    pub(super) fn set(&mut self) -> Parsed<Statement> {
        self.advance();
        let name = self.string("the name of a property")?;
        self.expect_token(&Token::Eq)?;
        let value = self.string("a value")?;
        self.expect_end(&[])?;
        Ok(Statement::Set(SetProperty { name, value }))
    }

    pub(super) fn unset(&mut self) -> Parsed<Statement> {
        self.advance();
        let name = self.string("the name of a property")?;
        self.expect_end(&[])?;
        Ok(Statement::Unset(name))
    }

    pub(super) fn define(&mut self) -> Parsed<Statement> {
        self.advance();
        let name = self.name("the name of a variable")?;
        self.expect_token(&Token::Eq)?;
        let value = self.string("a value")?;
        self.expect_end(&[])?;
        Ok(Statement::Define(DefineVariable { name, value }))
    }

    pub(super) fn undefine(&mut self) -> Parsed<Statement> {
        self.advance();
        let name = self.name("the name of a variable")?;
        self.expect_end(&[])?;
        Ok(Statement::Undefine(name))
    }
}

#[cfg(test)]
mod tests {
    use super::super::compact::compact;

    fn check(text: &str, want: &str) {
        assert_eq!(compact(text), want, "text: {text}");
    }

    #[test]
    fn looking() {
        check("SHOW STREAMS", "show Streams extended=false");
        check("LIST ALL TOPICS EXTENDED;", "show Topics { all: true } extended=true");
        check("show source connectors", "show Connectors(Some(Source)) extended=false");
        check("SHOW QUERIES", "show Queries extended=false");
        check("DESCRIBE s EXTENDED", "describe S extended=true");
        check("DESCRIBE STREAMS", "describe all STREAM extended=false");
        check("DESCRIBE FUNCTION ucase", "describe function UCASE");
        check("DESCRIBE CONNECTOR c", "describe connector C");
        check("DESCRIBE connector", "describe CONNECTOR extended=false");
        check(
            "PRINT My_Topic FROM BEGINNING INTERVAL 2 LIMIT 3",
            "print My_Topic from_beginning=true interval=Some(2) limit=Some(3)",
        );
        check("PRINT 'a-b'", "print a-b from_beginning=false interval=None limit=None");
        check("EXPLAIN ctas_t_1", "explain query CTAS_T_1");
        check(
            "EXPLAIN\n  CREATE STREAM t AS SELECT a FROM s;",
            "explain [2:3] create STREAM T with [] as select A from S",
        );
    }

    #[test]
    fn steering() {
        check("TERMINATE csas_a_0", "terminate CSAS_A_0");
        check("PAUSE ALL", "pause all");
        check("RESUME q", "resume Q");
        check("SET 'auto.offset.reset' = 'earliest'", "set auto.offset.reset = earliest");
        check("UNSET 'auto.offset.reset'", "unset auto.offset.reset");
        check("DEFINE v = 'it''s'", "define V = it's");
        check("UNDEFINE v", "undefine V");
    }
}
