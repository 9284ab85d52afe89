//! Queries that are read once: any query of DataFusion's, parsed as a whole by `sqlparser`.
//!
//! A query is continuous if `EMIT CHANGES` or `EMIT FINAL` (or a misspelling of these) stands in it outside brackets.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Query, TableFactor, Visit, Visitor};
use datafusion::sql::sqlparser::parser::Parser as SqlParser;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::ast::{PullQuery, StreamQuery};
use super::depth::settle;
use super::dialect::MillstreamDialect;
use super::error::SyntaxError;
use super::parser::{MAX_EXPRESSION_TOKENS, Parsed, Parser, RECURSION_LIMIT};
use super::position::Position;
use super::suggest::nearest;

/// The deepest nesting of subqueries.
const MAX_SUBQUERY_DEPTH: usize = 16;

/// The most joins and set operations together: trees of plans lean as those of operators do.
const MAX_COMBINATIONS: usize = 64;

/// Words that may have been meant where `sqlparser` gives up.
const WORDS: [&str; 23] = [
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP",
    "HAVING",
    "ORDER",
    "LIMIT",
    "OFFSET",
    "JOIN",
    "INNER",
    "LEFT",
    "RIGHT",
    "FULL",
    "UNION",
    "EMIT",
    "WINDOW",
    "PARTITION",
    "DISTINCT",
    "BETWEEN",
    "LIKE",
    "WHEN",
    "THEN",
    "CAST",
];

const TOO_MANY: &str = "more than 64 joins and set operations in one query";

const NO_ARROW: &str = "->* is not there yet in a query of this form without EMIT";

/// Counts tables, which commas join too.
struct Tables(usize);

impl Visitor for Tables {
    type Break = ();

    fn pre_visit_table_factor(&mut self, _table: &TableFactor) -> ControlFlow<()> {
        self.0 += 1;
        if self.0 > MAX_COMBINATIONS + 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Bounds what walks the tree of a query has to do.
fn check_tree(query: &mut Query, at: Position) -> Parsed<()> {
    settle(query).map_err(|deep| deep.error(at))?;
    match query.visit(&mut Tables(0)) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(SyntaxError::new(at, TOO_MANY).with_hint("split the query in two")),
    }
}

impl Parser<'_> {
    /// Whether the query that begins here is continuous.
    pub(super) fn is_push_query(&self) -> bool {
        let mut depth = 0_usize;
        let left = self.token_count().saturating_sub(self.index());
        (0..left).any(|ahead| {
            match self.token_at(ahead) {
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0
                && ahead > 0
                && self.word_at(ahead) == Some("EMIT")
                && (ahead + 1 == left
                    || self.word_at(ahead + 1).is_some_and(|word| nearest(word, ["CHANGES", "FINAL"]).is_some()))
        })
    }

    /// A query up to the end of the statement.
    pub(super) fn pull_query(&mut self) -> Parsed<PullQuery> {
        let start = self.here();
        let first = self.index();
        let left = self.token_count() - first;
        if left > MAX_EXPRESSION_TOKENS {
            return Err(self.too_long("this query"));
        }
        self.check_clauses(left)?;
        let plain = self.plain_query(first);
        let arrow = self.left().find(|token| token.token == Token::LongArrow).cloned();
        if let Some(arrow) = arrow {
            let arrow = Position::from_location(arrow.span.start).unwrap_or(start.start);
            let query = self.with_all_fields(plain)?;
            return match query.plain {
                Some(_) => Ok(query),
                None => Err(SyntaxError::new(arrow, NO_ARROW).with_hint("name the fields")),
            };
        }
        let mut query = match self.with_sql(|sql| sql.parse_query()) {
            Ok(query) => query,
            Err(error) => return Err(self.hinted(error, &WORDS)),
        };
        check_tree(&mut query, start.start)?;
        if !self.at_end() {
            let error = self.unexpected("a clause or the end of the query");
            return Err(self.hinted(error, &WORDS));
        }
        let span = start.to(self.previous());
        Ok(PullQuery { text: self.text_since(first).to_owned(), span, query, plain })
    }

    /// A query with `->*`, which is no SQL of `sqlparser`'s: its tree has the structs as they are.
    fn with_all_fields(&mut self, plain: Option<Box<StreamQuery>>) -> Parsed<PullQuery> {
        let start = self.here();
        let first = self.index();
        let mut tokens: Vec<TokenWithSpan> = Vec::new();
        let mut is_star = false;
        for token in self.left() {
            let is_arrow = token.token == Token::LongArrow;
            if !is_arrow && !is_star {
                tokens.push(token.clone());
            }
            // The star behind the arrow is a token of its own.
            is_star = is_arrow;
        }
        let sql = SqlParser::new(&MillstreamDialect).with_recursion_limit(RECURSION_LIMIT);
        let mut sql = sql.with_tokens_with_locations(tokens);
        let parsed = sql.parse_query().and_then(|query| match sql.peek_token() {
            TokenWithSpan { token: Token::EOF, .. } => Ok(query),
            found => sql.expected("a clause or the end of the query", found),
        });
        let mut query = parsed.map_err(|error| self.hinted(self.sql_error(error), &WORDS))?;
        check_tree(&mut query, start.start)?;
        while !self.at_end() {
            self.advance();
        }
        let span = start.to(self.previous());
        Ok(PullQuery { text: self.text_since(first).to_owned(), span, query, plain })
    }

    /// The query that begins at token `first`, if it is ksqlDB's own form; the cursor goes back to where it was.
    fn plain_query(&mut self, first: usize) -> Option<Box<StreamQuery>> {
        let parsed = self.stream_query();
        let is_whole = self.at_end();
        while self.index() > first {
            self.back();
        }
        let query = parsed.ok().filter(|_| is_whole)?;
        let is_plain = query.made_of().is_none()
            && query.joins.is_empty()
            && query.window.is_none()
            && query.group_by.is_none()
            && query.partition_by.is_none()
            && query.having.is_none();
        is_plain.then(|| Box::new(query))
    }

    /// Refuses clauses that only continuous queries have, and subqueries in subqueries beyond measure: when one of those
    /// turns out wrong, `sqlparser` tries another reading at each level.
    fn check_clauses(&mut self, left: usize) -> Parsed<()> {
        let mut brackets: Vec<bool> = Vec::new();
        let mut combinations = 0;
        for ahead in 0..left {
            match self.token_at(ahead) {
                Token::LParen => brackets.push(matches!(self.word_at(ahead + 1), Some("SELECT" | "WITH"))),
                Token::RParen => drop(brackets.pop()),
                _ => {}
            }
            let too_deep = brackets.iter().filter(|subquery| **subquery).count() > MAX_SUBQUERY_DEPTH;
            combinations +=
                usize::from(matches!(self.word_at(ahead), Some("UNION" | "EXCEPT" | "MINUS" | "INTERSECT" | "JOIN")));
            let wrong = match (self.token_at(ahead), self.word_at(ahead), self.word_at(ahead + 1)) {
                _ if combinations > MAX_COMBINATIONS => Some((TOO_MANY, "split the query in two")),
                _ if too_deep => Some(("subqueries are nested more than 16 deep", "name some of them with WITH")),
                (_, Some("WINDOW"), Some("TUMBLING" | "HOPPING" | "CUMULATE" | "SESSION")) => {
                    Some(("Pull queries don't support WINDOW clauses.", "add EMIT CHANGES for a continuous query"))
                }
                _ => None,
            };
            let wrong =
                wrong.or_else(|| match (self.word_at(ahead), self.token_at(ahead + 1), self.token_at(ahead + 2)) {
                    (Some("LIMIT"), Token::Minus, Token::Number(..)) => Some((
                        "Pull queries don't support negative integers in the LIMIT clause.",
                        "give how many rows at most",
                    )),
                    (Some("LIMIT"), Token::Number(text, _), _) if text.contains(['.', 'e', 'E']) => {
                        Some(("Value must be integer for command: LIMIT", "give how many rows at most"))
                    }
                    _ => None,
                });
            if let Some((message, hint)) = wrong {
                for _ in 0..ahead {
                    self.advance();
                }
                return Err(SyntaxError::new(self.here().start, message).with_hint(hint));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::compact::compact;
    use super::super::script::parse_statement;
    use crate::syntax::ast::Statement;

    fn check(text: &str, want: &str) {
        assert_eq!(compact(text), want, "text: {text}");
    }

    #[test]
    fn anything_without_emit_is_a_pull_query() {
        check("SELECT a, s->b FROM t WHERE k = 'x' LIMIT 3", "pull SELECT A, S['B'] FROM T WHERE K = 'x' LIMIT 3");
        check(
            "WITH x AS (SELECT a FROM t) SELECT x.a, COUNT(*) AS n FROM x LEFT JOIN u ON x.a = u.a GROUP BY x.a ORDER BY n DESC",
            "pull WITH X AS (SELECT A FROM T) SELECT X.A, COUNT(*) AS N FROM X LEFT JOIN U ON X.A = U.A GROUP BY X.A ORDER BY N DESC",
        );
        check("SELECT a, s->*, t->* FROM t WHERE k = 1", "pull SELECT A, S, T FROM T WHERE K = 1");
        check("SELECT 1 UNION ALL SELECT 2", "pull SELECT 1 UNION ALL SELECT 2");
        check("VALUES (1, 2), (3, 4)", "pull VALUES (1, 2), (3, 4)");
        check("(SELECT 1)", "pull (SELECT 1)");
        check("SELECT emit FROM t", "pull SELECT EMIT FROM T");
        check(
            "SELECT SUM(v) OVER (PARTITION BY a ORDER BY b) FROM t",
            "pull SELECT SUM(V) OVER (PARTITION BY A ORDER BY B) FROM T",
        );
    }

    #[test]
    fn all_fields_are_for_plain_queries() {
        let check = |text: &str, at: &str| {
            check(text, &format!("{at}: ->* is not there yet in a query of this form without EMIT; name the fields"));
        };
        check("SELECT k, v->* FROM t JOIN u ON t.k = u.k", "1:12");
        check("SELECT v->* FROM t GROUP BY v", "1:9");
        check("SELECT *\nFROM (SELECT v->* FROM t) AS x", "2:15");
        check("SELECT v->* FROM t ORDER BY k", "1:9");
        check("SELECT k FROM t UNION ALL SELECT v->* FROM t", "1:35");
    }

    #[test]
    fn mistakes_beside_all_fields_are_told_as_others() {
        check(
            "SELECT k, v->* FROM t WERE k = 1",
            "1:28: expected a clause or the end of the query, found `k`; `WERE` was read as a name, did you mean WHERE",
        );
        check("SELECT v->* FROM t WHERE", "1:25: expected an expression, found the end of the statement");
    }

    #[test]
    fn its_text_is_kept() {
        let text = " /* x */ SELECT a -- y\n FROM t ; ";
        let Statement::PullQuery(query) = parse_statement(text).unwrap().statement else { panic!("{text}") };
        assert_eq!(query.text, "SELECT a -- y\n FROM t");
        assert_eq!((query.span.start.to_string(), query.span.end.to_string()), ("1:10".to_owned(), "2:8".to_owned()));
    }
}
