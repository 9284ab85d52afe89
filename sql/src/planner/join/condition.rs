//! ON: equalities, each with one side over what is joined so far and one over the source that is added.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr as Sql};

use crate::{
    expression::shown,
    planner::{bind, clause::Clause, error::PlanError, query::qualified, scope::Scope},
    syntax::{Position, ast, position_of},
};

/// A column of a query: the number of its source, and its name there.
pub(super) type ColumnRef = (usize, String);

/// One equality of ON.
#[derive(Debug, Clone)]
pub(super) struct Equality {
    /// The side over what is joined so far.
    pub(super) left: Operand,
    /// The side over the source that is added.
    pub(super) right: Operand,
    /// As written.
    pub(super) text: String,
    pub(super) at: Position,
}

/// One side of an equality.
#[derive(Debug, Clone)]
pub(super) struct Operand {
    pub(super) expr: ast::Expr,
    /// The column that it is, if it is nothing but a column.
    pub(super) column: Option<ColumnRef>,
}

impl Operand {
    /// The same text for what is the same: a column however it is qualified, an expression as it is written.
    pub(super) fn spelling(&self) -> String {
        self.column.as_ref().map_or_else(|| self.expr.to_string(), spelling)
    }
}

/// The spelling of a column.
pub(super) fn spelling((source, name): &ColumnRef) -> String {
    format!("{source}.`{name}`")
}

/// The equalities of a step that adds source `number`.
///
/// # Errors
/// If ON is something else, or a side names no source, several, or the wrong one.
pub(super) fn equalities(step: &ast::Join, scope: &Scope, number: usize) -> Result<Vec<Equality>, PlanError> {
    for (qualifier, _) in bind::named_columns(&step.on.node) {
        // Mistaken sources before columns that may be of several.
        if let Some(qualifier) = qualifier.filter(|name| !scope.has_column(&name.value)) {
            scope.source(&qualifier.value, crate::expression::scope::place(&qualifier, step.on.span.start))?;
        }
    }
    let mut found: Vec<Equality> = Vec::new();
    split(&step.on.node, step.on.span.start, &mut |left, right, at| {
        let equality = equality(left, right, at, scope, number)?;
        let sides = |equality: &Equality| (equality.left.spelling(), equality.right.spelling());
        if found.iter().any(|known| sides(known) == sides(&equality)) {
            let problem = format!("Invalid join condition: {} stands twice", equality.text);
            return Err(PlanError::invalid_hint(at, problem, "write it once"));
        }
        found.push(equality);
        Ok(())
    })?;
    Ok(found)
}

/// Gives the two sides of each equality in a conjunction.
fn split(
    on: &Sql,
    at: Position,
    each: &mut dyn FnMut(&Sql, &Sql, Position) -> Result<(), PlanError>,
) -> Result<(), PlanError> {
    match on {
        Sql::Nested(inner) => split(inner, at, each),
        Sql::BinaryOp { left, op: BinaryOperator::And, right } => {
            split(left, at, each)?;
            split(right, at, each)
        }
        Sql::BinaryOp { left, op: BinaryOperator::Eq, right } => each(left, right, position_of(on).unwrap_or(at)),
        other => {
            let hint = "write ON a.column = b.column, other conditions in WHERE";
            Err(PlanError::invalid_hint(
                position_of(other).unwrap_or(at),
                format!("Unsupported join expression: {other}; ON must be an equality"),
                hint,
            ))
        }
    }
}

fn equality(a: &Sql, b: &Sql, at: Position, scope: &Scope, number: usize) -> Result<Equality, PlanError> {
    let text = format!("{} = {}", qualified(a, scope), qualified(b, scope));
    let (first, second) = (operand(a, at, scope, &text)?, operand(b, at, scope, &text)?);
    let name = |source: usize| scope.sources[source].name.as_str();
    let (left, right) = match (first.0, second.0) {
        (left, right) if left == right => {
            let problem = format!(
                "Each side of the join must reference exactly one source and not the same source. Left side references \
                 `{}` and right references `{}`",
                name(left),
                name(right)
            );
            return Err(PlanError::invalid(at, problem));
        }
        (left, right) if right == number && left < number => (first.1, second.1),
        (left, right) if left == number && right < number => (second.1, first.1),
        (left, right) => {
            let problem = format!(
                "A join criteria is expected to reference the source (`{}`) in the FROM clause, instead the right source \
                 references `{}` and the left source references `{}`",
                name(number),
                name(right),
                name(left)
            );
            return Err(PlanError::invalid(at, problem));
        }
    };
    Ok(Equality { left, right, text, at })
}

/// A side, and the source that it is over.
fn operand(expr: &Sql, at: Position, scope: &Scope, text: &str) -> Result<(usize, Operand), PlanError> {
    let at = position_of(expr).unwrap_or(at);
    let mut sources: Vec<usize> = Vec::new();
    for (qualifier, name) in bind::named_columns(expr) {
        sources.push(column_of(scope, qualifier.as_ref(), &name, at)?.0);
    }
    sources.sort_unstable();
    sources.dedup();
    let &[source] = sources.as_slice() else {
        let problem = format!(
            "Invalid comparison expression '{}' in join '({text})'. Each side of the join comparision must contain \
             references from exactly one source.",
            shown(expr)
        );
        return Err(PlanError::invalid(at, problem));
    };
    Ok((source, Operand { expr: expr.clone(), column: plain_column(expr, scope, at)? }))
}

/// The column that an expression is, if it is nothing but a column.
///
/// # Errors
/// If there is no such column.
pub(super) fn plain_column(expr: &Sql, scope: &Scope, at: Position) -> Result<Option<ColumnRef>, PlanError> {
    match expr {
        Sql::Nested(inner) => plain_column(inner, scope, at),
        Sql::Identifier(name) => column_of(scope, None, name, at).map(Some),
        Sql::CompoundIdentifier(parts) => match parts.as_slice() {
            [qualifier, name] if scope.is_source(&qualifier.value) => {
                column_of(scope, Some(qualifier), name, at).map(Some)
            }
            _ => Ok(None),
        },
        _ => Ok(None),
    }
}

/// The column that is named; a qualifier that is no source is a column with fields.
fn column_of(
    scope: &Scope,
    qualifier: Option<&datafusion::sql::sqlparser::ast::Ident>,
    name: &datafusion::sql::sqlparser::ast::Ident,
    at: Position,
) -> Result<ColumnRef, PlanError> {
    let column = match qualifier {
        Some(column)
            if !scope.is_source(&column.value) && scope.columns.iter().any(|known| known.name == column.value) =>
        {
            scope.resolve(None, column, at)
        }
        qualifier => scope.resolve(qualifier, name, at),
    };
    let column = column.map_err(|error| Clause::JoinOn.tell(error))?;
    Ok((column.source, column.name.clone()))
}
