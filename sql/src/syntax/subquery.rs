//! Queries made of queries: `WITH name AS (query) SELECT ..`, `FROM (query) AS name`, `SELECT .. UNION ALL SELECT ..`.
//!
//! Limits: subqueries nest at most [`MAX_SUBQUERIES`] deep; WITH names at most [`MAX_PARTS`] queries, UNION ALL joins as many.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::ast::{NamedQuery, Properties, SourceRef, StreamQuery};
use super::error::SyntaxError;
use super::parser::{Parsed, Parser, distinct};
use super::position::Span;

/// How deep subqueries nest.
const MAX_SUBQUERIES: usize = 8;
/// How many queries one WITH or one UNION ALL has.
const MAX_PARTS: usize = 64;

impl Parser<'_> {
    /// A continuous query up to the end of its clauses; the caller says what may follow.
    pub(super) fn stream_query(&mut self) -> Parsed<StreamQuery> {
        let start = self.here();
        let named = if self.is_word("WITH") { self.named_queries()? } else { Vec::new() };
        let mut query = self.select_query()?;
        while self.is_word("UNION") {
            self.union(&mut query)?;
        }
        query.named = named;
        query.span = start.to(self.previous());
        Ok(query)
    }

    /// `WITH name AS (query), ..`.
    fn named_queries(&mut self) -> Parsed<Vec<NamedQuery>> {
        self.advance();
        if self.is_word("RECURSIVE") && self.word_at(1) != Some("AS") {
            let error = SyntaxError::new(self.here().start, "a query cannot read itself: WITH RECURSIVE is not there");
            return Err(error.with_hint("write WITH name AS (SELECT ..)"));
        }
        let named = self.comma_separated(Self::named_query)?;
        distinct(named.iter().map(|one| &one.name), "query")?;
        match named.get(MAX_PARTS) {
            None => Ok(named),
            Some(one) => {
                let message = format!("WITH names more than {MAX_PARTS} queries");
                Err(SyntaxError::new(one.name.span.start, message).with_hint("split the statement in two"))
            }
        }
    }

    fn named_query(&mut self) -> Parsed<NamedQuery> {
        let name = self.name("the name of a query after WITH")?;
        if *self.token_at(0) == Token::LParen {
            let error = SyntaxError::new(self.here().start, "a query in WITH has no list of columns");
            return Err(error.with_hint("name the columns in its SELECT"));
        }
        self.expect("AS")?;
        let (query, _) = self.in_parentheses()?;
        Ok(NamedQuery { name, query })
    }

    /// `(query) [AS] name`.
    pub(super) fn subquery(&mut self) -> Parsed<SourceRef> {
        let start = self.here();
        let (query, span) = self.in_parentheses()?;
        let Some(name) = self.alias()? else {
            let error = SyntaxError::new(span.start, "a subquery needs a name");
            return Err(error.with_hint("write FROM (SELECT ..) AS name"));
        };
        Ok(SourceRef { name, query: Some(Box::new(query)), alias: None, span: start.to(self.previous()) })
    }

    fn in_parentheses(&mut self) -> Parsed<(StreamQuery, Span)> {
        let open = self.expect_token(&Token::LParen)?;
        if !self.is_any(&["SELECT", "WITH"]) {
            return Err(self.unexpected("SELECT or WITH"));
        }
        if self.subqueries == MAX_SUBQUERIES {
            let error = SyntaxError::new(open.start, format!("subqueries nest more than {MAX_SUBQUERIES} deep"));
            return Err(error.with_hint("name some of them: WITH name AS (SELECT ..)"));
        }
        self.subqueries += 1;
        let query = self.stream_query()?;
        self.subqueries -= 1;
        if !self.eat_token(&Token::RParen) {
            let error = self.unexpected("a clause or the `)` of the subquery");
            return Err(error.with_hint(format!("it opened at {}", open.start)));
        }
        Ok((query, open.to(self.previous())))
    }

    /// `UNION ALL SELECT ..`, put behind `query`; what ends the whole is `query`'s.
    fn union(&mut self, query: &mut StreamQuery) -> Parsed<()> {
        let misplaced = query.emit.as_ref().map(|emit| ("EMIT", emit.span));
        if let Some((clause, span)) = misplaced.or(query.limit.as_ref().map(|limit| ("LIMIT", limit.span))) {
            let error = SyntaxError::new(span.start, format!("{clause} must come after the last SELECT of UNION ALL"));
            return Err(error.with_hint("it holds for the whole query"));
        }
        let start = self.advance();
        if !self.eat("ALL") {
            let error =
                SyntaxError::new(start.start, "UNION without ALL is not there: it would have to keep every row");
            return Err(error.with_hint("write UNION ALL, or SELECT DISTINCT .. FROM (.. UNION ALL ..) AS name"));
        }
        if *self.token_at(0) == Token::LParen {
            return Err(SyntaxError::new(self.here().start, "SELECT follows UNION ALL, without parentheses"));
        }
        let mut branch = self.select_query()?;
        query.emit = branch.emit.take();
        query.limit = branch.limit.take();
        query.unions.push(branch);
        if query.unions.len() >= MAX_PARTS {
            let error = SyntaxError::new(start.start, format!("UNION ALL of more than {MAX_PARTS} queries"));
            return Err(error.with_hint("write INSERT INTO .. SELECT for some"));
        }
        Ok(())
    }

    /// The properties before the query of an INSERT: `WITH name AS` is the query's own.
    pub(super) fn properties_before_query(&mut self) -> Parsed<Properties> {
        if matches!(self.token_at(1), Token::Word(_)) {
            let at = self.here().start;
            return Ok(Properties { entries: Vec::new(), span: Span { start: at, end: at } });
        }
        self.properties()
    }
}

#[cfg(test)]
mod tests {
    use super::super::compact::compact;

    fn check(text: &str, want: &str) {
        assert_eq!(compact(text), want, "text: {text}");
    }

    #[test]
    fn queries_are_made_of_queries() {
        check(
            "WITH a AS (SELECT x FROM s), b AS (SELECT * FROM a) SELECT * FROM b JOIN a ON a.x = b.x EMIT CHANGES",
            "push with A = (select X from S), B = (select * from A) select * from B Inner join A on A.X = B.X emit Changes",
        );
        check(
            "SELECT DISTINCT x FROM (SELECT x, y FROM s EMIT FINAL) AS q WHERE x > 1 EMIT CHANGES LIMIT 2",
            "push select distinct X from (select X, Y from S emit Final) Q where X > 1 emit Changes limit 2",
        );
        check("SELECT distinct, x FROM s EMIT CHANGES", "push select DISTINCT, X from S emit Changes");
        check(
            "CREATE STREAM u AS SELECT x FROM s WHERE x > 1 UNION ALL SELECT y FROM t UNION ALL SELECT z FROM w EMIT CHANGES",
            "create STREAM U with [] as select X from S where X > 1 union select Y from T union select Z from W emit Changes",
        );
        check(
            "INSERT INTO t WITH a AS (SELECT x FROM s) SELECT * FROM a",
            "insert T with [] with A = (select X from S) select * from A",
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let check = |text: &str, want: &str| check(&format!("CREATE STREAM c AS {text}"), want);
        check("SELECT * FROM (SELECT x FROM s)", "1:34: a subquery needs a name; write FROM (SELECT ..) AS name");
        check(
            "SELECT * FROM s UNION SELECT * FROM t",
            "1:36: UNION without ALL is not there: it would have to keep every row; write UNION ALL, or SELECT DISTINCT .. \
             FROM (.. UNION ALL ..) AS name",
        );
        check(
            "SELECT * FROM s EMIT CHANGES UNION ALL SELECT * FROM t",
            "1:36: EMIT must come after the last SELECT of UNION ALL; it holds for the whole query",
        );
        check(
            "WITH RECURSIVE a AS (SELECT * FROM a) SELECT * FROM a",
            "1:25: a query cannot read itself: WITH RECURSIVE is not there; write WITH name AS (SELECT ..)",
        );
        check(
            "WITH a (x) AS (SELECT y FROM s) SELECT * FROM a",
            "1:27: a query in WITH has no list of columns; name the columns in its SELECT",
        );
        check("SELECT * FROM (SELECT x FROM s ORDER) AS q", "1:51: ORDER BY is not there yet in a continuous query");
        let deep = format!("{}s{}", "(SELECT * FROM ".repeat(9), ") AS q".repeat(9));
        let got = compact(&format!("CREATE STREAM c AS SELECT * FROM {deep}"));
        assert!(
            got.ends_with("subqueries nest more than 8 deep; name some of them: WITH name AS (SELECT ..)"),
            "{got}"
        );
    }
}
