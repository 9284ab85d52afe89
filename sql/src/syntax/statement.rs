//! Which statement a text is, by its first words.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::ast::{Statement, Steering};
use super::error::SyntaxError;
use super::parser::{Parsed, Parser};

/// The words that statements begin with.
const FIRST_WORDS: [&str; 29] = [
    "SELECT",
    "CREATE",
    "INSERT",
    "DROP",
    "SHOW",
    "LIST",
    "DESCRIBE",
    "EXPLAIN",
    "PRINT",
    "TERMINATE",
    "PAUSE",
    "RESUME",
    "RESTART",
    "SET",
    "UNSET",
    "DEFINE",
    "UNDEFINE",
    "ALTER",
    "WITH",
    "VALUES",
    "ASSERT",
    "RUN",
    "DESC",
    "RECEIVE",
    "ACK",
    "NACK",
    "REJECT",
    "EXTEND",
    "REDRIVE",
];

impl Parser<'_> {
    /// One whole statement, up to the end of the tokens.
    pub(super) fn statement(&mut self) -> Parsed<Statement> {
        if *self.token_at(0) == Token::LParen {
            return self.query_statement();
        }
        match self.word_at(0).unwrap_or_default() {
            "SELECT" | "WITH" | "VALUES" => self.query_statement(),
            "CREATE" => self.create(),
            "INSERT" => self.insert(),
            "DROP" => self.drop_statement(),
            "ALTER" => self.alter(),
            "SHOW" | "LIST" => self.show(),
            "DESCRIBE" | "DESC" => self.describe(),
            "EXPLAIN" => self.explain(),
            "PRINT" => self.print(),
            "TERMINATE" => self.query_choice().map(Statement::Terminate),
            "PAUSE" if self.steers_connector() => self.steer_connector(Steering::Pause),
            "RESUME" if self.steers_connector() => self.steer_connector(Steering::Resume),
            "RESTART" => self.steer_connector(Steering::Restart),
            "PAUSE" => self.query_choice().map(Statement::Pause),
            "RESUME" => self.query_choice().map(Statement::Resume),
            "SET" => self.set(),
            "UNSET" => self.unset(),
            "DEFINE" => self.define(),
            "UNDEFINE" => self.undefine(),
            "ASSERT" => self.assert(),
            "RECEIVE" => self.receive(),
            "ACK" => self.ack(),
            "NACK" => self.nack(),
            "REJECT" => self.reject(),
            "EXTEND" => self.extend(),
            "REDRIVE" => self.redrive(),
            "RUN" => {
                let error = SyntaxError::new(self.here().start, "RUN SCRIPT is a command of the shell, no statement");
                Err(error.with_hint("run the file with -f"))
            }
            _ => Err(self.hinted(self.unexpected("a statement"), &FIRST_WORDS)),
        }
    }

    fn query_statement(&mut self) -> Parsed<Statement> {
        if !self.is_push_query() {
            return self.pull_query().map(Statement::PullQuery);
        }
        let query = self.stream_query()?;
        self.expect_query_end()?;
        Ok(Statement::PushQuery(query))
    }

    /// The error for a statement of the language that is not there yet.
    pub(super) fn not_yet(&self, what: &str) -> SyntaxError {
        SyntaxError::new(self.here().start, format!("{what} is not there yet"))
    }
}
