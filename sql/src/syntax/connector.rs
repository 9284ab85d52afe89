//! Statements about connectors.
//!
//! A sink says what it writes in one of three ways: by the `topics` among its properties, as they are; `FROM s`, the rows of a stream or table;
//! `AS SELECT .. FROM s WHERE ..`, some of them, changed on the way.

use super::ast::{Name, Properties, Statement, StreamQuery};
use super::error::SyntaxError;
use super::parser::{Parsed, Parser};

/// Which way a connector moves data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectorKind {
    /// Into topics.
    Source,
    /// Out of topics.
    Sink,
}

impl std::fmt::Display for ConnectorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ConnectorKind::Source => "SOURCE",
            ConnectorKind::Sink => "SINK",
        })
    }
}

/// `CREATE SOURCE|SINK CONNECTOR [IF NOT EXISTS] name [FROM source] WITH (..) [AS SELECT ..]`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateConnector {
    /// Source or sink.
    pub kind: ConnectorKind,
    /// `IF NOT EXISTS`.
    pub if_not_exists: bool,
    /// Its name.
    pub name: Name,
    /// What a sink writes, if its properties do not say.
    pub input: Option<SinkInput>,
    /// Its properties; names are distinct.
    pub properties: Properties,
}

/// What a sink writes.
#[derive(Debug, Clone, PartialEq)]
pub enum SinkInput {
    /// `FROM s`: the rows of a stream or table.
    From(Name),
    /// `AS SELECT ..`: what a query makes of them, row by row.
    Select(Box<StreamQuery>),
}

/// `DROP CONNECTOR [IF EXISTS] name`.
#[derive(Debug, Clone, PartialEq)]
pub struct DropConnector {
    /// `IF EXISTS`.
    pub if_exists: bool,
    /// Its name.
    pub name: Name,
}

/// `PAUSE|RESUME|RESTART CONNECTOR name`.
#[derive(Debug, Clone, PartialEq)]
pub struct SteerConnector {
    /// What it is to do.
    pub steering: Steering,
    /// Its name.
    pub name: Name,
}

/// What a connector is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steering {
    /// To wait behind its next commit.
    Pause,
    /// To go on.
    Resume,
    /// To stop and start again behind its last commit.
    Restart,
}

impl std::fmt::Display for Steering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pause => "PAUSE",
            Self::Resume => "RESUME",
            Self::Restart => "RESTART",
        })
    }
}

impl Parser<'_> {
    pub(super) fn create_connector(&mut self, kind: ConnectorKind) -> Parsed<Statement> {
        if kind == ConnectorKind::Sink {
            self.advance();
        }
        self.expect("CONNECTOR")?;
        let if_not_exists = self.if_not_exists()?;
        let name = self.name("the name of a connector")?;
        let from = self.here();
        let mut input = None;
        if self.eat("FROM") {
            if kind == ConnectorKind::Source {
                let error = SyntaxError::new(
                    from.start,
                    "FROM says what a sink writes; a source reads what its properties name",
                );
                return Err(error.with_hint("write CREATE SINK CONNECTOR, or leave FROM out"));
            }
            input = Some(SinkInput::From(self.name("the name of a stream or table")?));
        }
        if !self.is_word("WITH") {
            return Err(self.expected(&["WITH"]));
        }
        let properties = self.properties()?;
        if kind == ConnectorKind::Sink && input.is_none() && self.eat("AS") {
            let query = self.stream_query()?;
            self.expect_query_end()?;
            input = Some(SinkInput::Select(Box::new(query)));
        } else {
            self.expect_end(&[])?;
        }
        Ok(Statement::CreateConnector(CreateConnector { kind, if_not_exists, name, input, properties }))
    }

    /// `PAUSE CONNECTOR name` and its kin, from the first word on.
    pub(super) fn steer_connector(&mut self, steering: Steering) -> Parsed<Statement> {
        self.advance();
        self.expect("CONNECTOR")?;
        let name = self.name("the name of a connector")?;
        self.expect_end(&[])?;
        Ok(Statement::SteerConnector(SteerConnector { steering, name }))
    }

    /// Whether a word follows that steers connectors, not a query of the name CONNECTOR.
    pub(super) fn steers_connector(&self) -> bool {
        self.word_at(1) == Some("CONNECTOR") && self.word_at(2).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::super::compact::compact;

    fn check(text: &str, want: &str) {
        assert_eq!(compact(text), want, "text: {text}");
    }

    #[test]
    fn sinks_say_what_they_write() {
        check("create sink connector c from t with (a=1);", "create SINK connector C from T with [A=Number(\"1\")]");
        check("pause connector c", "PAUSE connector C");
        check("RESUME CONNECTOR c;", "RESUME connector C");
        check("restart connector `c`", "RESTART connector `c`");
        check("PAUSE connector", "pause CONNECTOR");
    }
}
