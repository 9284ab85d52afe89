//! `CREATE ..`: streams, tables, types, connectors.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::ast::{
    ColumnDef, ColumnRole, ConnectorKind, CreateAsSelect, CreateSource, CreateType, SourceKind, Statement,
};
use super::error::SyntaxError;
use super::parser::{Parsed, Parser, distinct};
use super::position::Span;

impl Parser<'_> {
    pub(super) fn create(&mut self) -> Parsed<Statement> {
        self.advance();
        let replace = self.here();
        let or_replace = self.eat_words(&["OR", "REPLACE"]);
        if !or_replace && self.eat("OR") {
            return Err(self.expected(&["REPLACE"]));
        }
        let source = self.here();
        let is_source = self.eat("SOURCE");
        let connector = match self.word_at(0) {
            Some("CONNECTOR") if is_source => Some(ConnectorKind::Source),
            Some("SINK") => Some(ConnectorKind::Sink),
            _ => None,
        };
        if or_replace && (connector.is_some() || self.is_any(&["TYPE", "CONNECTOR", "QUEUE"])) {
            let error = SyntaxError::new(replace.start, "OR REPLACE is for streams and tables");
            return Err(error.with_hint("drop the old one first"));
        }
        if let Some(kind) = connector {
            return self.create_connector(kind);
        }
        if is_source {
            return match self.expect_any(&["STREAM", "TABLE", "CONNECTOR"])? {
                0 => self.create_source(or_replace, Some(source), SourceKind::Stream),
                _ => self.create_source(or_replace, Some(source), SourceKind::Table),
            };
        }
        if self.is_word("CONNECTOR") {
            return Err(self.expected(&["SOURCE", "SINK"]).with_hint("say which way it moves data"));
        }
        match self.expect_any(&["STREAM", "TABLE", "TYPE", "QUEUE", "SOURCE", "SINK"])? {
            0 => self.create_source(or_replace, None, SourceKind::Stream),
            1 => self.create_source(or_replace, None, SourceKind::Table),
            2 => self.create_type(),
            _ => self.create_queue(),
        }
    }

    pub(super) fn if_not_exists(&mut self) -> Parsed<bool> {
        if !self.is_words(&["IF", "NOT"]) {
            return Ok(false);
        }
        self.advance();
        self.advance();
        self.expect("EXISTS").map(|_| true)
    }

    fn create_source(&mut self, or_replace: bool, source: Option<Span>, kind: SourceKind) -> Parsed<Statement> {
        let if_not_exists = self.if_not_exists()?;
        let name = self.name(match kind {
            SourceKind::Stream => "the name of a stream",
            SourceKind::Table => "the name of a table",
        })?;
        let has_columns = *self.token_at(0) == Token::LParen;
        let columns = if has_columns { self.columns(kind)? } else { Vec::new() };
        if !self.is_any(&["WITH", "AS"]) && !self.at_end() {
            let error = self.unexpected(if has_columns { "WITH" } else { "`(`, WITH or AS" });
            return Err(self.hinted(error, &["WITH", "AS"]));
        }
        let properties = self.properties()?;
        if self.is_word("AS") {
            if has_columns {
                let error = SyntaxError::new(self.here().start, "a column list and AS SELECT do not go together");
                return Err(error.with_hint("name the columns in SELECT"));
            }
            if let Some(source) = source {
                return Err(SyntaxError::new(source.start, "SOURCE and AS SELECT do not go together"));
            }
            self.advance();
            let query = self.stream_query()?;
            self.expect_query_end()?;
            return Ok(Statement::CreateAsSelect(CreateAsSelect {
                or_replace,
                kind,
                if_not_exists,
                name,
                properties,
                query,
            }));
        }
        self.expect_end(if has_columns { &[] } else { &["AS"] })?;
        if properties.entries.is_empty() {
            let error = SyntaxError::new(properties.span.start, "WITH (..) is missing");
            return Err(error.with_hint("say at least KAFKA_TOPIC and VALUE_FORMAT"));
        }
        let is_source = source.is_some();
        Ok(Statement::CreateSource(CreateSource {
            or_replace,
            is_source,
            kind,
            if_not_exists,
            name,
            columns,
            properties,
        }))
    }

    fn columns(&mut self, kind: SourceKind) -> Parsed<Vec<ColumnDef>> {
        let open = self.advance();
        let columns = self.comma_separated(|parser| parser.column(kind))?;
        self.close(open)?;
        distinct(columns.iter().map(|column| &column.name), "column")?;
        Ok(columns)
    }

    fn column(&mut self, kind: SourceKind) -> Parsed<ColumnDef> {
        let start = self.here();
        let name = self.name("the name of a column")?;
        if matches!(self.token_at(0), Token::Comma | Token::RParen) {
            let message = format!("column {} has no type", name.value);
            return Err(SyntaxError::new(self.here().start, message));
        }
        let data_type = self.type_ref()?;
        let at = self.here().start;
        let role = match self.word_at(0) {
            Some("KEY") if kind == SourceKind::Table => {
                let name = &name.value;
                let message = format!("Column `{name}` is a 'KEY' column: please use 'PRIMARY KEY' for tables.");
                return Err(SyntaxError::new(at, message));
            }
            Some("PRIMARY") if kind == SourceKind::Stream => {
                let name = &name.value;
                let message = format!("Column `{name}` is a 'PRIMARY KEY' column: please use 'KEY' for streams.");
                return Err(SyntaxError::new(at, message));
            }
            Some("KEY") => {
                self.advance();
                ColumnRole::Key
            }
            Some("PRIMARY") => {
                self.advance();
                self.expect("KEY")?;
                ColumnRole::PrimaryKey
            }
            Some("HEADERS") => {
                self.advance();
                ColumnRole::Headers
            }
            Some("HEADER") => {
                self.advance();
                let open = self.expect_token(&Token::LParen)?;
                let header = self.string("the name of a header")?;
                self.close(open)?;
                ColumnRole::Header(header.node)
            }
            None if matches!(self.token_at(0), Token::Comma | Token::RParen) => ColumnRole::Value,
            _ => {
                let error = self.unexpected("KEY, PRIMARY KEY, HEADERS, `,` or `)`");
                return Err(self.hinted(error, &["KEY", "PRIMARY", "HEADERS", "HEADER"]));
            }
        };
        Ok(ColumnDef { name, data_type, role, span: start.to(self.previous()) })
    }

    /// The columns after `ADD`: values only.
    pub(super) fn added_columns(&mut self, kind: SourceKind) -> Parsed<Vec<ColumnDef>> {
        let columns = self.comma_separated(|parser| {
            // `ADD` may be repeated, `COLUMN` left out; a column may be called either.
            if parser.is_word("ADD") && parser.word_at(2).is_some() {
                parser.advance();
            }
            if parser.is_word("COLUMN") && parser.word_at(2).is_some() {
                parser.advance();
            }
            let start = parser.here();
            let name = parser.name("the name of a column")?;
            let data_type = parser.type_ref()?;
            Ok(ColumnDef { name, data_type, role: ColumnRole::Value, span: start.to(parser.previous()) })
        })?;
        if self.is_any(&["KEY", "PRIMARY", "HEADER", "HEADERS"]) {
            let message = format!("only value columns can be added to a {}", kind.to_string().to_lowercase());
            return Err(SyntaxError::new(self.here().start, message));
        }
        distinct(columns.iter().map(|column| &column.name), "column")?;
        Ok(columns)
    }

    fn create_type(&mut self) -> Parsed<Statement> {
        let if_not_exists = self.if_not_exists()?;
        let name = self.name("the name of a type")?;
        self.expect("AS")?;
        let data_type = self.type_ref()?;
        self.expect_end(&[])?;
        Ok(Statement::CreateType(CreateType { if_not_exists, name, data_type }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::compact::compact;

    fn check(text: &str, want: &str) {
        assert_eq!(compact(text), want, "text: {text}");
    }

    #[test]
    fn sources() {
        check(
            "CREATE OR REPLACE STREAM s (k STRING KEY, `v` DECIMAL(4, 2), h BYTES HEADER('it''s')) \
             WITH (kafka_topic='t', PARTITIONS=-1, 'wrap_single_value'=false);",
            "create replace STREAM S (K STRING Key, `v` DECIMAL(4, 2), H BYTES Header(\"it's\")) \
             with [KAFKA_TOPIC=Text(\"t\"), PARTITIONS=Number(\"-1\"), `wrap_single_value`=Boolean(false)]",
        );
        check(
            "create source table if not exists t (a int primary key, b map<string, array<struct<c int, d t2>>>, e array<int> headers) with (format='json')",
            "create source if-not-exists TABLE T (A INT PrimaryKey, B MAP<STRING, ARRAY<STRUCT<C INT, D T2>>>, E ARRAY<INT> Headers) \
             with [FORMAT=Text(\"json\")]",
        );
        check("CREATE STREAM s WITH (KAFKA_TOPIC='t')", "create STREAM S () with [KAFKA_TOPIC=Text(\"t\")]");
        // Keywords are names where a name stands.
        check(
            "CREATE STREAM stream (type INT, key INT KEY, topic INT) WITH (x=1)",
            "create STREAM STREAM (TYPE INT, KEY INT Key, TOPIC INT) with [X=Number(\"1\")]",
        );
    }

    #[test]
    fn persistent_queries() {
        check("CREATE TABLE t AS SELECT a FROM s GROUP BY a", "create TABLE T with [] as select A from S group by [A]");
        check(
            "CREATE OR REPLACE STREAM t WITH (VALUE_FORMAT='JSON') AS SELECT a FROM s EMIT CHANGES;",
            "create replace STREAM T with [VALUE_FORMAT=Text(\"JSON\")] as select A from S emit Changes",
        );
    }

    #[test]
    fn types_and_connectors() {
        check("CREATE TYPE IF NOT EXISTS a AS STRUCT<b INT>", "create if-not-exists type A = STRUCT<B INT>");
        check(
            "CREATE SOURCE CONNECTOR IF NOT EXISTS c WITH ('connector.class' = 'file', \"path\" = 'x', follow = true)",
            "create if-not-exists SOURCE connector C with [`connector.class`=Text(\"file\"), `path`=Text(\"x\"), FOLLOW=Boolean(true)]",
        );
        check("CREATE SINK CONNECTOR c WITH ()", "create SINK connector C with []");
    }
}
