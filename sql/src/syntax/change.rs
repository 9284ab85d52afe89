//! `INSERT ..`, `DROP ..`, `ALTER ..`.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::ast::{
    AlterSource, DropConnector, DropQueue, DropSource, DropType, InsertSelect, InsertValues, Name, SourceKind, Spanned,
    Statement,
};
use super::error::SyntaxError;
use super::parser::{Parsed, Parser, distinct};

impl Parser<'_> {
    pub(super) fn insert(&mut self) -> Parsed<Statement> {
        self.advance();
        self.expect("INTO")?;
        let target = self.name("the name of a stream or table")?;
        if *self.token_at(0) == Token::LParen {
            let open = self.advance();
            let columns = self.comma_separated(|parser| parser.name("the name of a column"))?;
            self.close(open)?;
            distinct(columns.iter(), "column")?;
            if !self.is_word("VALUES") {
                return Err(self.expected(&["VALUES"]));
            }
            return self.insert_values(target, Some(columns));
        }
        match self.word_at(0) {
            Some("VALUES") => self.insert_values(target, None),
            Some("SELECT" | "WITH") => {
                let properties = self.properties_before_query()?;
                let query = self.stream_query()?;
                self.expect_query_end()?;
                Ok(Statement::InsertSelect(InsertSelect { target, properties, query }))
            }
            _ => {
                let error = self.unexpected("`(`, VALUES, WITH or SELECT");
                Err(self.hinted(error, &["VALUES", "WITH", "SELECT"]))
            }
        }
    }

    fn insert_values(&mut self, target: Name, columns: Option<Vec<Name>>) -> Parsed<Statement> {
        self.advance();
        let width = columns.as_ref().map(Vec::len);
        let rows = self.comma_separated(|parser| {
            let open = parser.expect_token(&Token::LParen)?;
            let node = parser.comma_separated(|parser| parser.expression("a value"))?;
            let span = open.to(parser.close(open)?);
            match width {
                Some(width) if width != node.len() => {
                    let message = format!("Expected number columns and values to match: {width}, {}", node.len());
                    Err(SyntaxError::new(span.start, message))
                }
                _ => Ok(Spanned { node, span }),
            }
        })?;
        self.expect_end(&[])?;
        Ok(Statement::InsertValues(InsertValues { target, columns, rows }))
    }

    pub(super) fn drop_statement(&mut self) -> Parsed<Statement> {
        self.advance();
        let what = self.expect_any(&["STREAM", "TABLE", "TYPE", "CONNECTOR", "QUEUE"])?;
        let if_exists = self.is_words(&["IF", "EXISTS"]);
        if if_exists {
            self.advance();
            self.advance();
        }
        let name = self.name("a name")?;
        let statement = match what {
            0 | 1 => {
                let kind = [SourceKind::Stream, SourceKind::Table][what];
                let delete_topic = self.eat("DELETE");
                if delete_topic {
                    self.expect("TOPIC")?;
                }
                self.expect_end(if delete_topic { &[] } else { &["DELETE TOPIC"] })?;
                Statement::DropSource(DropSource { kind, if_exists, name, delete_topic })
            }
            2 => Statement::DropType(DropType { if_exists, name }),
            3 => Statement::DropConnector(DropConnector { if_exists, name }),
            _ => Statement::DropQueue(DropQueue { if_exists, name }),
        };
        self.expect_end(&[])?;
        Ok(statement)
    }

    pub(super) fn alter(&mut self) -> Parsed<Statement> {
        let start = self.advance();
        if self.is_word("SYSTEM") {
            return Err(SyntaxError::new(start.start, "ALTER SYSTEM is not there yet").with_hint("use SET"));
        }
        let kind = [SourceKind::Stream, SourceKind::Table][self.expect_any(&["STREAM", "TABLE"])?];
        let name = self.name("the name of a stream or table")?;
        if !self.is_word("ADD") {
            return Err(self.expected(&["ADD"]));
        }
        let add = self.added_columns(kind)?;
        self.expect_end(&[])?;
        Ok(Statement::AlterSource(AlterSource { kind, name, add }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::compact::compact;

    fn check(text: &str, want: &str) {
        assert_eq!(compact(text), want, "text: {text}");
    }

    #[test]
    fn inserts() {
        check("INSERT INTO s VALUES (1, 'a', NULL, -2.5)", "insert S (*) (1, 'a', NULL, -2.5)");
        check("INSERT INTO s (a, `b`) VALUES (1, f(2)), (3, 4)", "insert S (A, `b`) (1, F(2)), (3, 4)");
        check("INSERT INTO s SELECT * FROM t", "insert S with [] select * from T");
        check(
            "INSERT INTO s WITH (QUERY_ID='q') SELECT * FROM t",
            "insert S with [QUERY_ID=Text(\"q\")] select * from T",
        );
    }

    #[test]
    fn drops_and_alters() {
        check("DROP STREAM s", "drop STREAM S topic=false");
        check("DROP TABLE IF EXISTS s DELETE TOPIC;", "drop if-exists TABLE S topic=true");
        check("DROP TYPE IF EXISTS t", "drop if-exists type T");
        check("DROP CONNECTOR c", "drop connector C");
        check(
            "ALTER STREAM s ADD COLUMN a INT, ADD COLUMN b STRING, c DATE",
            "alter STREAM S add A INT, B STRING, C DATE",
        );
        check("ALTER TABLE s ADD a INT", "alter TABLE S add A INT");
    }
}
