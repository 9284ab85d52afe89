//! How a pull query reaches the rows of a table, and whether it may.
//!
//! | WHERE, in each of its alternatives | access |
//! |---|---|
//! | `=` or `IN` on every key column, with constants | lookup |
//! | one comparison of a single text key with a constant | range scan |
//! | anything else, or no WHERE | scan of the table |
//!
//! Further conditions on other columns and on window bounds filter what was reached. Lookups are always allowed; the properties
//! `ksql.query.pull.range.scan.enabled` and `ksql.query.pull.table.scan.enabled` take the others away. The names of conditions and the
//! rules are ksqlDB's, and so are their messages.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{BinaryOperator as Op, Expr, Query, SetExpr, TableFactor, Value, Visit, Visitor};
use millstream::schema::{WINDOWEND, WINDOWSTART};

use crate::{
    catalog::{Column, Source, SqlType},
    planner::PlanError,
    syntax::{Position, position_of},
};

/// Alternatives beyond this count are not looked at one by one.
const MOST_ALTERNATIVES: usize = 4096;

/// Which scans are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scans {
    /// Of whole tables.
    pub table: bool,
    /// Of ranges of keys.
    pub range: bool,
}

impl Default for Scans {
    fn default() -> Self {
        Self { table: true, range: true }
    }
}

/// Checks a query that reads the table `source`.
///
/// # Errors
/// If it needs a scan that is not allowed, or compares a key with NULL.
pub(super) fn check(query: &Query, source: &Source, scans: Scans, at: Position) -> Result<(), PlanError> {
    let needs_scan = || {
        let problem = "Query requires table scan to be enabled";
        PlanError::invalid_hint(
            at,
            problem,
            "SET 'ksql.query.pull.table.scan.enabled' = 'true', or compare the whole key",
        )
    };
    let keys: Vec<&Column> = source.key_columns().collect();
    let condition = match query.body.as_ref() {
        SetExpr::Select(select) if is_single(&select.from) => select.selection.as_ref(),
        _ if scans.table => return Ok(()),
        _ => return Err(needs_scan()),
    };
    let Some(condition) = condition else { return if scans.table { Ok(()) } else { Err(needs_scan()) } };
    check_lists(condition, &keys, at)?;
    let Some(alternatives) = alternatives(condition, &keys) else {
        return if scans.table { Ok(()) } else { Err(needs_scan()) };
    };
    for alternative in &alternatives {
        let null = alternative.iter().find(|condition| matches!(condition, Condition::Key { is_null: true, .. }));
        if let Some(Condition::Key { key, at: place, .. }) = null {
            let problem = format!("Primary key columns can not be NULL: ({} = null)", keys[*key].name);
            return Err(PlanError::invalid(place.unwrap_or(at), problem));
        }
        if !scans.table {
            check_alternative(alternative, source, &keys, scans, at)?.then_some(()).ok_or_else(needs_scan)?;
        }
    }
    Ok(())
}

/// Refuses text in a list that a key which is no text is looked up by.
fn check_lists(condition: &Expr, keys: &[&Column], at: Position) -> Result<(), PlanError> {
    match condition {
        Expr::Nested(inner) => check_lists(inner, keys, at),
        Expr::BinaryOp { left, op: Op::And | Op::Or, right } => {
            check_lists(left, keys, at)?;
            check_lists(right, keys, at)
        }
        Expr::InList { expr, list, .. } => {
            let Some(key) = key(expr, keys).map(|key| keys[key]) else { return Ok(()) };
            let is_number = matches!(
                key.data_type,
                SqlType::Boolean | SqlType::Int | SqlType::BigInt | SqlType::Double | SqlType::Decimal { .. }
            );
            let is_text = |item: &&Expr| match item {
                Expr::Value(value) => matches!(value.value, Value::SingleQuotedString(_)),
                _ => false,
            };
            let Some(text) = list.iter().find(is_text).filter(|_| is_number) else { return Ok(()) };
            let problem = format!(
                "{text} can not be converted to the type of the key column: {} {} KEY",
                key.name, key.data_type
            );
            Err(PlanError::invalid_hint(position_of(text).unwrap_or(at), problem, "write it without quotes"))
        }
        _ => Ok(()),
    }
}

fn is_single(from: &[datafusion::sql::sqlparser::ast::TableWithJoins]) -> bool {
    matches!(from, [only] if only.joins.is_empty() && matches!(only.relation, TableFactor::Table { .. }))
}

/// One condition of an alternative, all of which hold together.
#[derive(Debug, Clone)]
enum Condition {
    /// A key column compared with something.
    Key { key: usize, kind: Comparison, is_null: bool, is_constant: bool, at: Option<Position> },
    /// A bound of the window compared with something.
    Window,
    /// Anything else.
    Other(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Range,
}

/// Whether an alternative can be reached without a scan of the table.
///
/// # Errors
/// What cannot be without one, whatever else is said.
fn check_alternative(
    alternative: &[Condition],
    source: &Source,
    keys: &[&Column],
    scans: Scans,
    at: Position,
) -> Result<bool, PlanError> {
    let (mut compared, mut ranges, mut others) = (Vec::new(), 0, Vec::new());
    for condition in alternative {
        match condition {
            Condition::Window => {}
            Condition::Other(text) => others.push(text.as_str()),
            Condition::Key { key, kind, is_constant, at: place, .. } => {
                let refuse = |problem: String| Err(PlanError::invalid(place.unwrap_or(at), problem));
                if !is_constant {
                    return refuse("A comparison must be between a key column and a resolvable expression.".to_owned());
                }
                if *kind == Comparison::NotEqual {
                    let columns: Vec<String> =
                        keys.iter().map(|key| format!("`{}` {} KEY", key.name, key.data_type)).collect();
                    return refuse(format!("Bound on key columns '[{}]' must currently be '='. ", columns.join(", ")));
                }
                if compared.contains(key) {
                    let problem = "A comparison condition on the key column cannot be combined with other comparisons such as an IN predicate";
                    return refuse(problem.to_owned());
                }
                compared.push(*key);
                ranges += usize::from(*kind == Comparison::Range);
            }
        }
    }
    if compared.is_empty() {
        let shown = others.join(" AND ");
        return Err(PlanError::invalid(at, format!("WHERE clause missing key column for disjunct: ({shown})")));
    }
    if compared.len() < keys.len() {
        let names = |columns: &mut dyn Iterator<Item = usize>| -> String {
            columns.map(|key| keys[key].name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let problem = format!(
            "Multi-column sources must specify every key in the WHERE clause. Specified: [{}] Expected: [{}]",
            names(&mut compared.iter().copied()),
            names(&mut (0..keys.len()))
        );
        return Err(PlanError::invalid(at, problem));
    }
    let is_text = matches!(keys, [only] if only.data_type == SqlType::Varchar);
    Ok(ranges == 0 || (scans.range && is_text && source.window.is_none()))
}

/// The alternatives of a condition, each the conditions that hold together in it; none if there are too many.
fn alternatives(expr: &Expr, keys: &[&Column]) -> Option<Vec<Vec<Condition>>> {
    let single = |condition: Condition| Some(vec![vec![condition]]);
    match expr {
        Expr::Nested(inner) => alternatives(inner, keys),
        Expr::BinaryOp { left, op: Op::Or, right } => {
            let mut all = alternatives(left, keys)?;
            all.extend(alternatives(right, keys)?);
            (all.len() <= MOST_ALTERNATIVES).then_some(all)
        }
        Expr::BinaryOp { left, op: Op::And, right } => {
            let (left, right) = (alternatives(left, keys)?, alternatives(right, keys)?);
            let both = left.iter().flat_map(|a| right.iter().map(|b| a.iter().chain(b).cloned().collect()));
            (left.len() * right.len() <= MOST_ALTERNATIVES).then(|| both.collect())
        }
        Expr::InList { expr: tested, list, negated: false } if key(tested, keys).is_some() => {
            let items = list.iter().map(|item| vec![comparison(tested, &Op::Eq, item, expr, keys)]);
            Some(items.collect())
        }
        Expr::Between { expr: tested, negated: false, low, high } => Some(vec![vec![
            comparison(tested, &Op::GtEq, low, expr, keys),
            comparison(tested, &Op::LtEq, high, expr, keys),
        ]]),
        Expr::BinaryOp { left, op, right } => single(comparison(left, op, right, expr, keys)),
        _ => single(Condition::Other(expr.to_string())),
    }
}

fn comparison(left: &Expr, op: &Op, right: &Expr, whole: &Expr, keys: &[&Column]) -> Condition {
    let kind = match op {
        Op::Eq => Comparison::Equal,
        Op::NotEq => Comparison::NotEqual,
        Op::Lt | Op::LtEq | Op::Gt | Op::GtEq => Comparison::Range,
        _ => return Condition::Other(whole.to_string()),
    };
    let found = key(left, keys).map(|key| (key, right)).or_else(|| key(right, keys).map(|key| (key, left)));
    if let Some((key, other)) = found {
        let is_null = matches!(other, Expr::Value(value) if value.value == Value::Null);
        return Condition::Key { key, kind, is_null, is_constant: is_constant(other), at: position_of(whole) };
    }
    let is_bound = |expr: &Expr| matches!(name(expr), Some(WINDOWSTART | WINDOWEND));
    if is_bound(left) || is_bound(right) { Condition::Window } else { Condition::Other(whole.to_string()) }
}

/// The column that an expression names.
fn name(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Identifier(name) => Some(&name.value),
        Expr::CompoundIdentifier(parts) => parts.last().map(|name| name.value.as_str()),
        Expr::Nested(inner) => name(inner),
        _ => None,
    }
}

fn key(expr: &Expr, keys: &[&Column]) -> Option<usize> {
    let name = name(expr)?;
    keys.iter().position(|key| key.name == name)
}

/// Whether an expression names no column.
fn is_constant(expr: &Expr) -> bool {
    struct Names;
    impl Visitor for Names {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Identifier(_) | Expr::CompoundIdentifier(_) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    expr.visit(&mut Names).is_continue()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog::{Catalog, PropertyScope, SourceProperties, declare_source},
        syntax::{ast::Statement, parse_statement},
    };

    fn source(columns: &str) -> Source {
        let text =
            format!("CREATE TABLE t ({columns}) WITH (KAFKA_TOPIC = 't', VALUE_FORMAT = 'JSON', KEY_FORMAT = 'JSON')");
        let Statement::CreateSource(create) = parse_statement(&text).unwrap().statement else { panic!("{text}") };
        let properties = SourceProperties::parse(&create.properties, PropertyScope::Declare).unwrap();
        declare_source(&Catalog::new(), &create, &properties, &text).unwrap()
    }

    fn check_where(columns: &str, condition: &str, scans: Scans, want: &str) {
        let text = format!("SELECT * FROM t {condition}");
        let Statement::PullQuery(query) = parse_statement(&text).unwrap().statement else { panic!("{text}") };
        let got = check(&query.query, &source(columns), scans, Position::START);
        let got = got.map_or_else(|error| error.to_string(), |()| "allowed".to_owned());
        assert!(got.contains(want), "{text}: {got}");
    }

    #[test]
    fn without_scans_of_tables_keys_are_looked_up() {
        let scans = Scans { table: false, range: true };
        let check = |condition: &str, want: &str| check_where("id STRING PRIMARY KEY, n INT", condition, scans, want);
        check("WHERE id = 'a'", "allowed");
        check("WHERE 'a' = id AND n > 3", "allowed");
        check("WHERE id IN ('a', 'b') OR (id = 'c')", "allowed");
        check("WHERE id < 'c'", "allowed");
        check("", "Query requires table scan to be enabled");
        check("WHERE n = 3", "WHERE clause missing key column for disjunct: (N = 3)");
        check("WHERE id = 'a' OR n = 3", "missing key column");
        check("WHERE id <> 'a'", "Bound on key columns '[`ID` STRING KEY]' must currently be '='.");
        check("WHERE 'a' < id AND id < 'b'", "cannot be combined with other comparisons");
        check("WHERE id = CAST(n AS STRING)", "a key column and a resolvable expression");
    }

    #[test]
    fn ranges_need_a_text_key() {
        let scans = Scans { table: false, range: true };
        let needed = "Query requires table scan to be enabled";
        check_where("id INT PRIMARY KEY, n INT", "WHERE id < 3", scans, needed);
        check_where("id INT PRIMARY KEY, n INT", "WHERE id = 1 + 2", scans, "allowed");
        check_where("id STRING PRIMARY KEY, n INT", "WHERE id < 'c'", Scans { table: false, range: false }, needed);
        let two = "a STRING PRIMARY KEY, b INT PRIMARY KEY, n INT";
        check_where(two, "WHERE a = 'x' AND b = 2", scans, "allowed");
        check_where(two, "WHERE a < 'x' AND b > 2", scans, needed);
        check_where(two, "WHERE a = 'x'", scans, "Specified: [A] Expected: [A, B]");
    }

    #[test]
    fn keys_are_never_null() {
        let check =
            |condition: &str, want: &str| check_where("id INT PRIMARY KEY, n INT", condition, Scans::default(), want);
        check("WHERE id IN (1, NULL)", "Primary key columns can not be NULL: (ID = null)");
        check("WHERE n = NULL", "allowed");
        check("WHERE n > 2", "allowed");
    }
}
