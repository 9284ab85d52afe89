//! The depth of expressions: chains of AND and of OR become balanced trees, everything else may be so deep and no deeper.
//!
//! `sqlparser` reads `a + b + c` in a loop and makes a tree of it that leans to the left, one level an operator, whatever brackets there
//! are. Whoever walks, copies, evaluates or drops it does so recursively. AND and OR may be grouped in any way, so that long ones,
//! as programs write them, cost the logarithm; other chains are limited to [`MAX_EXPRESSION_DEPTH`].
//!
//! Invariant: nothing here goes deeper into an expression than the limit; what lies below is taken apart piece by piece.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{AccessExpr, BinaryOperator, Expr, Value, VisitMut, VisitorMut};

use super::error::SyntaxError;
use super::position::Position;

/// The deepest expression, a level for each operator, call and pair of parentheses on the way to a column or literal.
pub const MAX_EXPRESSION_DEPTH: usize = 300;

/// How deep it may be where each level is one of recursion for the binder: everything but the left operands of operators. As deep as NOT
/// after NOT may be.
const MAX_NESTED: usize = 120;

/// Chains of AND or OR up to this length stay as they were read.
const MAX_LEANING: usize = 16;

/// Balances the chains in a tree.
///
/// # Errors
/// If something in it is too deep; the tree is then not whole any more.
pub(super) fn settle(tree: &mut impl VisitMut) -> Result<(), TooDeep> {
    match tree.visit(&mut Settle::default()) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(too_deep) => Err(too_deep),
    }
}

/// An expression is deeper than [`MAX_EXPRESSION_DEPTH`], or in another way too deep.
pub(super) struct TooDeep {
    limit: usize,
}

impl TooDeep {
    /// As an error at the beginning of the expression.
    pub(super) fn error(self, at: Position) -> SyntaxError {
        let message = format!("this expression has more than {} operators on each other", self.limit);
        SyntaxError::new(at, message).with_hint("put parentheses around parts of it, or split it in two")
    }
}

#[derive(Default)]
struct Settle {
    /// The expressions around, each with whether it is a level of recursion of its own.
    around: Vec<bool>,
    /// How many of them are.
    nested: usize,
    /// The next expression is the left operand of the last one.
    is_left: bool,
}

impl VisitorMut for Settle {
    type Break = TooDeep;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<TooDeep> {
        balance(expr);
        let is_operator = matches!(expr, Expr::BinaryOp { .. });
        let is_level = !(std::mem::replace(&mut self.is_left, is_operator) && is_operator);
        self.around.push(is_level);
        self.nested += usize::from(is_level);
        for (depth, limit) in [(self.around.len(), MAX_EXPRESSION_DEPTH), (self.nested, MAX_NESTED)] {
            if depth > limit {
                take_apart(expr);
                return ControlFlow::Break(TooDeep { limit });
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, _expr: &mut Expr) -> ControlFlow<TooDeep> {
        self.is_left = false;
        self.nested -= usize::from(self.around.pop().unwrap_or_default());
        ControlFlow::Continue(())
    }
}

fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::value(Value::Null))
}

/// Makes a long chain of one logical operator a tree whose halves are as long as each other.
fn balance(expr: &mut Expr) {
    let Expr::BinaryOp { op: op @ (BinaryOperator::And | BinaryOperator::Or), .. } = expr else { return };
    let op = op.clone();
    let mut length = 1;
    let mut left = &*expr;
    while let Expr::BinaryOp { left: next, op: other, .. } = left
        && *other == op
    {
        (left, length) = (next, length + 1);
    }
    if length <= MAX_LEANING {
        return;
    }
    let mut parts = Vec::with_capacity(length);
    let mut rest = take(expr);
    loop {
        match rest {
            Expr::BinaryOp { left, op: other, right } if other == op => {
                parts.push(*right);
                rest = *left;
            }
            first => {
                parts.push(first);
                break;
            }
        }
    }
    // Two and two, from the left, until one is left: the order of the parts stays.
    parts.reverse();
    while parts.len() > 1 {
        let mut halves = parts.into_iter();
        let mut next = Vec::with_capacity(halves.len().div_ceil(2));
        while let Some(left) = halves.next() {
            next.push(match halves.next() {
                Some(right) => Expr::BinaryOp { left: Box::new(left), op: op.clone(), right: Box::new(right) },
                None => left,
            });
        }
        parts = next;
    }
    if let Some(whole) = parts.pop() {
        *expr = whole;
    }
}

/// Drops an expression of any depth: chains level by level, what is in brackets as usual.
fn take_apart(expr: &mut Expr) {
    let mut waiting = vec![take(expr)];
    while let Some(mut expr) = waiting.pop() {
        match &mut expr {
            Expr::BinaryOp { left, right, .. } => waiting.extend([take(left), take(right)]),
            Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => {
                waiting.extend([take(left), take(right)]);
            }
            Expr::UnaryOp { expr, .. }
            | Expr::Nested(expr)
            | Expr::IsNull(expr)
            | Expr::IsNotNull(expr)
            | Expr::IsTrue(expr)
            | Expr::IsNotTrue(expr)
            | Expr::IsFalse(expr)
            | Expr::IsNotFalse(expr)
            | Expr::IsUnknown(expr)
            | Expr::IsNotUnknown(expr)
            | Expr::Between { expr, .. }
            | Expr::InList { expr, .. }
            | Expr::InSubquery { expr, .. }
            | Expr::InUnnest { expr, .. }
            | Expr::Like { expr, .. }
            | Expr::ILike { expr, .. }
            | Expr::SimilarTo { expr, .. }
            | Expr::RLike { expr, .. }
            | Expr::Cast { expr, .. }
            | Expr::Collate { expr, .. }
            | Expr::AtTimeZone { timestamp: expr, .. } => waiting.push(take(expr)),
            Expr::CompoundFieldAccess { root, access_chain } => {
                waiting.push(take(root));
                waiting.extend(access_chain.iter_mut().filter_map(|access| match access {
                    AccessExpr::Dot(expr) => Some(take(expr)),
                    AccessExpr::Subscript(_) => None,
                }));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::syntax::{ast::Statement, parse_statement};

    /// The filter of a query as text, and the deepest way through its operators.
    fn check(filter: &str, want_depth: Result<usize, &str>) {
        let text = format!("SELECT * FROM s WHERE {filter} EMIT CHANGES;");
        let parsed = parse_statement(&text);
        let found = parsed.as_ref().map_err(ToString::to_string).map(|parsed| {
            let Statement::PushQuery(query) = &parsed.statement else { panic!("a push query") };
            let filter = query.filter.as_ref().expect("a filter");
            (filter.node.to_string(), depth(&filter.node))
        });
        match want_depth {
            Ok(depth) => assert_eq!(found, Ok((filter.to_owned(), depth))),
            Err(problem) => assert_eq!(found, Err(problem.to_owned())),
        }
    }

    fn depth(expr: &super::Expr) -> usize {
        match expr {
            super::Expr::BinaryOp { left, right, .. } => 1 + depth(left).max(depth(right)),
            super::Expr::IsNull(inner) => 1 + depth(inner),
            _ => 0,
        }
    }

    #[test]
    fn long_conditions_are_balanced_and_long_sums_are_limited() {
        let chain = |first: &str, operator: &str, times: usize| format!("{first}{}", operator.repeat(times));
        check("A AND B AND C OR D", Ok(3));
        check(&chain("A", " AND B", 3_000), Ok(12));
        check(&chain("A", " OR B = 1", 2_400), Ok(13));
        check(&format!("{} OR {}", chain("A", " AND B", 100), chain("C", " AND D", 100)), Ok(8));
        check(&chain("A", " + 1", 299), Ok(299));
        let problem = |limit: usize| {
            let hint = "put parentheses around parts of it, or split it in two";
            format!("1:23: this expression has more than {limit} operators on each other; {hint}")
        };
        check(&chain("A", " + 1", 300), Err(&problem(300)));
        check(&chain("A", " || B", 4_900), Err(&problem(300)));
        check(&chain("A", " IS NULL", 119), Ok(119));
        check(&chain("A", " IS NULL", 120), Err(&problem(120)));
        check(&chain("A", " IS NULL", 4_900), Err(&problem(120)));
    }
}
