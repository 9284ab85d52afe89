//! Continuous queries: `SELECT items FROM source [joins] [clauses]`.
//!
//! The clauses after the joins come in one fixed order, ksqlDB's, each at most once; anything else is an error that names the
//! clause that is out of place.

use datafusion::sql::sqlparser::ast::Expr;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::ast::{Emit, Interval, Join, JoinKind, Name, SelectItem, SourceRef, Spanned, StreamQuery, TimeUnit, Within};
use super::error::SyntaxError;
use super::parser::{Parsed, Parser};
use super::position::Span;

/// The clauses after the projection, in order.
const CLAUSES: [&str; 8] = ["JOIN", "WINDOW", "WHERE", "GROUP BY", "PARTITION BY", "HAVING", "EMIT", "LIMIT"];

/// The words that end a list of expressions or follow a source, so are no alias there without AS.
const RESERVED: [&str; 28] = [
    "FROM",
    "JOIN",
    "INNER",
    "LEFT",
    "RIGHT",
    "FULL",
    "OUTER",
    "CROSS",
    "ON",
    "WITHIN",
    "GRACE",
    "WINDOW",
    "WHERE",
    "GROUP",
    "PARTITION",
    "HAVING",
    "EMIT",
    "LIMIT",
    "AS",
    "SELECT",
    "UNION",
    "ORDER",
    "WITH",
    "INTO",
    "EXCEPT",
    "INTERSECT",
    "OFFSET",
    "VALUES",
];

/// Words that may have been meant where a clause should begin.
const CLAUSE_WORDS: [&str; 16] = [
    "FROM",
    "JOIN",
    "INNER",
    "LEFT",
    "RIGHT",
    "FULL",
    "WITHIN",
    "ON",
    "WINDOW",
    "WHERE",
    "GROUP",
    "PARTITION",
    "HAVING",
    "EMIT",
    "LIMIT",
    "AS",
];

const UNITS: [(&str, TimeUnit); 10] = [
    ("MILLISECONDS", TimeUnit::Millisecond),
    ("SECONDS", TimeUnit::Second),
    ("MINUTES", TimeUnit::Minute),
    ("HOURS", TimeUnit::Hour),
    ("DAYS", TimeUnit::Day),
    ("MILLISECOND", TimeUnit::Millisecond),
    ("SECOND", TimeUnit::Second),
    ("MINUTE", TimeUnit::Minute),
    ("HOUR", TimeUnit::Hour),
    ("DAY", TimeUnit::Day),
];

impl Parser<'_> {
    /// One SELECT up to the end of its clauses.
    pub(super) fn select_query(&mut self) -> Parsed<StreamQuery> {
        let start = self.here();
        self.expect("SELECT")?;
        let is_column = matches!(self.token_at(1), Token::Comma | Token::Period) || self.word_at(1) == Some("FROM");
        let distinct = (self.is_word("DISTINCT") && !is_column).then(|| self.advance());
        let items = self.comma_separated(Self::select_item)?;
        if !self.is_word("FROM") {
            return Err(self.hinted(self.unexpected("`,` or FROM"), &["FROM", "AS"]));
        }
        self.advance();
        let from = self.source_ref()?;
        if *self.token_at(0) == Token::Comma {
            let error = SyntaxError::new(self.here().start, "FROM takes one source");
            return Err(error.with_hint("join the others: JOIN name ON .."));
        }
        let mut query = StreamQuery {
            named: Vec::new(),
            distinct,
            items,
            from,
            joins: Vec::new(),
            window: None,
            filter: None,
            group_by: None,
            partition_by: None,
            having: None,
            emit: None,
            limit: None,
            unions: Vec::new(),
            span: start,
        };
        self.clauses(&mut query)?;
        query.span = start.to(self.previous());
        Ok(query)
    }

    fn clauses(&mut self, query: &mut StreamQuery) -> Parsed<()> {
        let mut last: Option<usize> = None;
        while let Some(clause) = self.next_clause()? {
            match last {
                Some(last) if clause < last => {
                    let message = format!("{} must come before {}", CLAUSES[clause], CLAUSES[last]);
                    let hint = format!("the order is {}", CLAUSES.join(", "));
                    return Err(SyntaxError::new(self.here().start, message).with_hint(hint));
                }
                Some(last) if clause == last && clause > 0 => {
                    return Err(SyntaxError::new(self.here().start, format!("a second {}", CLAUSES[clause])));
                }
                _ => last = Some(clause),
            }
            match clause {
                0 => query.joins.push(self.join()?),
                1 => query.window = Some(self.window()?),
                2 => {
                    self.advance();
                    query.filter = Some(self.spanned_expression("a condition after WHERE")?);
                }
                3 => query.group_by = Some(self.key_list("GROUP")?),
                4 => query.partition_by = Some(self.key_list("PARTITION")?),
                5 => {
                    self.advance();
                    query.having = Some(self.spanned_expression("a condition after HAVING")?);
                }
                6 => {
                    let start = self.advance();
                    let node = [Emit::Changes, Emit::Final][self.expect_any(&["CHANGES", "FINAL"])?];
                    query.emit = Some(Spanned { node, span: start.to(self.previous()) });
                }
                _ => {
                    self.advance();
                    query.limit = Some(self.count("a limit")?);
                }
            }
        }
        Ok(())
    }

    /// Which clause begins here, if any.
    fn next_clause(&self) -> Parsed<Option<usize>> {
        let Some(word) = self.word_at(0) else { return Ok(None) };
        Ok(Some(match word {
            "JOIN" | "INNER" | "LEFT" | "RIGHT" | "FULL" => 0,
            "WINDOW" => 1,
            "WHERE" => 2,
            "GROUP" => 3,
            "PARTITION" => 4,
            "HAVING" => 5,
            "EMIT" => 6,
            "LIMIT" => 7,
            "CROSS" | "ORDER" | "EXCEPT" | "INTERSECT" | "OFFSET" => {
                let name = match word {
                    "CROSS" => "CROSS JOIN",
                    "ORDER" => "ORDER BY",
                    other => other,
                };
                return Err(self.not_here(name));
            }
            _ => return Ok(None),
        }))
    }

    pub(super) fn not_here(&self, what: &str) -> SyntaxError {
        SyntaxError::new(self.here().start, format!("{what} is not there yet in a continuous query"))
    }

    /// The end of a continuous query, with a guess at the clause that was meant by what is there.
    pub(super) fn expect_query_end(&mut self) -> Parsed<()> {
        if self.at_end() {
            return Ok(());
        }
        let error = self.unexpected("a clause or the end of the query");
        Err(self.hinted(error, &CLAUSE_WORDS))
    }

    fn select_item(&mut self) -> Parsed<SelectItem> {
        let start = self.here();
        if self.eat_token(&Token::Mul) {
            return Ok(SelectItem::All { span: start });
        }
        if matches!(self.token_at(0), Token::Word(_))
            && *self.token_at(1) == Token::Period
            && *self.token_at(2) == Token::Mul
        {
            let source = self.name("a source")?;
            self.advance();
            self.advance();
            return Ok(SelectItem::AllOf { source, span: start.to(self.previous()) });
        }
        if self.is_word("FROM") {
            return Err(self.unexpected("a column or an expression after SELECT"));
        }
        let expr = self.expression("a column or an expression")?;
        if *self.token_at(0) == Token::LongArrow {
            self.advance();
            self.advance();
            return Ok(SelectItem::AllFields { expr, span: start.to(self.previous()) });
        }
        let alias = self.alias()?;
        Ok(SelectItem::Expr { expr, alias, span: start.to(self.previous()) })
    }

    /// `[AS] name`, or nothing.
    pub(super) fn alias(&mut self) -> Parsed<Option<Name>> {
        if self.eat("AS") {
            return self.name("an alias after AS").map(Some);
        }
        match self.token_at(0) {
            Token::Word(word) if word.quote_style.is_some() || !RESERVED.contains(&word.value.as_str()) => {
                self.name("an alias").map(Some)
            }
            _ => Ok(None),
        }
    }

    fn source_ref(&mut self) -> Parsed<SourceRef> {
        let start = self.here();
        if *self.token_at(0) == Token::LParen {
            return self.subquery();
        }
        if self.is_any(&RESERVED) {
            return Err(self.unexpected("the name of a stream or table"));
        }
        let name = self.name("the name of a stream or table")?;
        let alias = self.alias()?;
        Ok(SourceRef { name, query: None, alias, span: start.to(self.previous()) })
    }

    fn join(&mut self) -> Parsed<Join> {
        let start = self.here();
        let kind = match self.word_at(0) {
            Some("JOIN") => JoinKind::Inner,
            _ => {
                let kinds = [JoinKind::Inner, JoinKind::Left, JoinKind::Right, JoinKind::Full];
                let kind = kinds[self.expect_any(&["INNER", "LEFT", "RIGHT", "FULL"])?];
                if kind != JoinKind::Inner {
                    self.eat("OUTER");
                }
                kind
            }
        };
        self.expect("JOIN")?;
        let right = self.source_ref()?;
        let within = if self.is_word("WITHIN") { Some(self.within()?) } else { None };
        if !self.is_word("ON") {
            let wanted: &[&str] = if within.is_some() { &["GRACE PERIOD", "ON"] } else { &["WITHIN", "ON"] };
            return Err(self.expected(wanted));
        }
        self.advance();
        let on = self.spanned_expression("a condition after ON")?;
        Ok(Join { kind, right, within, on, span: start.to(self.previous()) })
    }

    fn within(&mut self) -> Parsed<Within> {
        let start = self.advance();
        let (before, after) = if *self.token_at(0) == Token::LParen {
            let open = self.advance();
            let before = self.interval("the time before")?;
            self.expect_token(&Token::Comma)?;
            let after = self.interval("the time after")?;
            self.close(open)?;
            (before, after)
        } else {
            let both = self.interval("a time after WITHIN")?;
            (both, both)
        };
        let grace = if self.is_word("GRACE") { Some(self.grace()?) } else { None };
        Ok(Within { before, after, grace, span: start.to(self.previous()) })
    }

    pub(super) fn grace(&mut self) -> Parsed<Interval> {
        self.advance();
        self.expect("PERIOD")?;
        self.interval("a time after GRACE PERIOD")
    }

    pub(super) fn interval(&mut self, what: &str) -> Parsed<Interval> {
        let count = self.count(what)?;
        let names = UNITS.map(|(name, _)| name);
        let Some((_, unit)) = UNITS.iter().find(|(name, _)| self.is_word(name)) else {
            let error = self.unexpected("MILLISECONDS, SECONDS, MINUTES, HOURS or DAYS");
            return Err(self.hinted(error, &names));
        };
        let span: Span = count.span.to(self.advance());
        let fits = i64::try_from(count.node).ok().and_then(|n| n.checked_mul(unit.millis()));
        if fits.is_none() {
            return Err(SyntaxError::new(span.start, "this time is too long to be counted in milliseconds"));
        }
        Ok(Interval { count: count.node, unit: *unit, span })
    }

    /// `GROUP BY ..` or `PARTITION BY ..`: a list, with or without parentheses around it.
    fn key_list(&mut self, word: &str) -> Parsed<Spanned<Vec<Expr>>> {
        let start = self.advance();
        self.expect("BY")?;
        let mut keys = self.comma_separated(|parser| parser.expression(&format!("an expression after {word} BY")))?;
        if let [Expr::Tuple(_)] = keys.as_slice()
            && let Some(Expr::Tuple(inner)) = keys.pop()
        {
            keys = inner;
        }
        Ok(Spanned { node: keys, span: start.to(self.previous()) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::compact::compact;
    use super::super::script::parse_statement;
    use super::*;
    use crate::syntax::ast::Statement;
    use crate::syntax::position_of;

    fn check(text: &str, want: &str) {
        assert_eq!(compact(text), want, "text: {text}");
    }

    #[test]
    fn every_clause_is_read() {
        check("select a from s emit changes", "push select A from S emit Changes");
        check(
            "SELECT *, o.*, s->*, a AS x, b y, c AS `z` FROM orders AS o EMIT CHANGES LIMIT 3",
            "push select *, O.*, S->*, A as X, B as Y, C as `z` from ORDERS O emit Changes limit 3",
        );
        check(
            "SELECT a, COUNT(*) FROM s WINDOW HOPPING (SIZE 1 HOUR, ADVANCE BY 10 MINUTES, RETENTION 2 DAYS, GRACE PERIOD 0 SECONDS) \
             WHERE b > 1 AND c LIKE 'x%' GROUP BY a HAVING COUNT(*) > 2 EMIT FINAL",
            "push select A, COUNT(*) from S hopping 3600000 by 600000 retention 172800000 grace 0 where B > 1 AND C LIKE 'x%' \
             group by [A] having COUNT(*) > 2 emit Final",
        );
        check(
            "SELECT a FROM s WINDOW CUMULATE (SIZE 1 DAY, STEP 1 HOUR, TIMEZONE 'Asia/Tokyo', OFFSET 6 HOURS) GROUP BY a EMIT FINAL",
            "push select A from S cumulate 86400000 step 3600000 offset 21600000 timezone Asia/Tokyo group by [A] emit Final",
        );
        check(
            "SELECT a FROM s WINDOW w SESSION (30 SECONDS, GRACE PERIOD 1 MINUTE) GROUP BY (a, b) EMIT CHANGES",
            "push select A from S session 30000 grace 60000 group by [A, B] emit Changes",
        );
        check(
            "SELECT a FROM s PARTITION BY b, c EMIT CHANGES",
            "push select A from S partition by [B, C] emit Changes",
        );
        check(
            "SELECT a FROM s PARTITION BY NULL EMIT CHANGES",
            "push select A from S partition by [NULL] emit Changes",
        );
    }

    #[test]
    fn joins_are_read_left_to_right() {
        check(
            "CREATE STREAM j AS SELECT * FROM l JOIN r WITHIN 10 SECONDS GRACE PERIOD 1 DAY ON l.a = r.a \
             LEFT OUTER JOIN t x ON l.b = x.b FULL JOIN u WITHIN (1 DAY, 2 DAYS) ON u.c = l.c",
            "create STREAM J with [] as select * from L Inner join R within 10000/10000 grace 86400000 on L.A = R.A \
             Left join T X on L.B = X.B Full join U within 86400000/172800000 on U.C = L.C",
        );
    }

    #[test]
    fn expressions_keep_their_shape() {
        let select = |expr: &str| format!("SELECT {expr} FROM s EMIT CHANGES");
        let check = |expr: &str, want: &str| check(&select(expr), &format!("push select {want} from S emit Changes"));
        check("a->b->`c`[1]->d", "A['B']['c'][1]['D']");
        check("f(x)->y + 1", "F(X)['Y'] + 1");
        check("src.col->fld", "SRC.COL['FLD']");
        check("transform(m, (k, v) => ucase(k), (k, v) => v + 1)", "TRANSFORM(M, (K, V) -> UCASE(K), (K, V) -> V + 1)");
        check("filter(a, x => x->f > 1 OR x IS NULL)", "FILTER(A, X -> X['F'] > 1 OR X IS NULL)");
        check("STRUCT(a := 1, b := x OR y)", "STRUCT(A := 1, B := X OR Y)");
        check("MAP('k' := v * 2, c := d)", "MAP('k' := V * 2, C := D)");
        check("ARRAY[1, 2][-1]", "ARRAY[1, 2][-1]");
        check("CAST(a AS DECIMAL(4, 2))", "CAST(A AS DECIMAL(4,2))");
        check("a || 'it''s' || `b c`", "A || 'it''s' || `b c`");
        check("CASE WHEN a = 1 THEN 'x' ELSE 'y' END", "CASE WHEN A = 1 THEN 'x' ELSE 'y' END");
        check("a BETWEEN 1 AND 2 AND b NOT IN (1, 2)", "A BETWEEN 1 AND 2 AND B NOT IN (1, 2)");
        check("a IS NOT DISTINCT FROM b", "A IS NOT DISTINCT FROM B");
        check("timestamp, date, time, key, type, rowtime", "TIMESTAMP, DATE, TIME, KEY, TYPE, ROWTIME");
        check("floor, trim, position, cast, interval", "FLOOR, TRIM, POSITION, CAST, INTERVAL");
        check("floor(x), substring(x, 1, 2), trim(x)", "FLOOR(X), SUBSTRING(X, 1, 2), TRIM(X)");
        check("CAST(a AS MAP<STRING, ARRAY<ARRAY<INT>>>)", "CAST(A AS Map(STRING, ARRAY<ARRAY<INT>>))");
        check("COUNT_DISTINCT(x), COUNT(), COUNT(*)", "COUNT_DISTINCT(X), COUNT(), COUNT(*)");
    }

    #[test]
    fn clauses_and_expressions_know_their_places() {
        let text = "CREATE STREAM t AS\n  SELECT a,\n  s->f + 1 AS g\n  FROM s WHERE (a = 1) EMIT CHANGES;";
        let Statement::CreateAsSelect(create) = parse_statement(text).unwrap().statement else { panic!("{text}") };
        let query = create.query;
        let place = |span: Span| format!("{}-{}", span.start, span.end);
        assert_eq!(place(query.span), "2:3-4:36");
        assert_eq!(query.filter.as_ref().map(|f| place(f.span)).as_deref(), Some("4:16-4:23"));
        assert_eq!(
            query.filter.as_ref().and_then(|f| position_of(&f.node)).map(|p| p.to_string()).as_deref(),
            Some("4:17")
        );
        assert_eq!(query.emit.as_ref().map(|e| place(e.span)).as_deref(), Some("4:24-4:36"));
        assert_eq!(place(query.from.span), "4:8-4:9");
        match &query.items[1] {
            SelectItem::Expr { expr, alias, span } => {
                assert_eq!(position_of(expr).map(|p| p.to_string()).as_deref(), Some("3:3"));
                assert_eq!(alias.as_ref().map(|a| place(a.span)).as_deref(), Some("3:15-3:16"));
                assert_eq!(place(*span), "3:3-3:16");
            }
            other => panic!("{other:?}"),
        }
    }
}
