//! Parsed expressions to logical ones: names by the [`Scope`], functions and types by DataFusion.

use std::{ops::ControlFlow, sync::Arc};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::{
    common::{
        DFSchema,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{Expr, cast},
    sql::sqlparser::{
        ast::{
            self as sql, AccessExpr, BinaryOperator, ExprWithAlias, FunctionArg, FunctionArgExpr, FunctionArguments,
            Ident, ObjectNamePart, Subscript, Value, visit_expressions, visit_expressions_mut,
        },
        tokenizer::Span as TokenSpan,
    },
};

use super::{
    error::{PlanError, one_line},
    functions::{self, FunctionKind},
    iso_time,
    scope::{Scope, place},
};
use crate::{
    catalog::SqlType,
    syntax::{Position, position_of},
};

/// Binds an expression over `columns`; `at` is where its clause begins, for parts that carry no place.
///
/// # Errors
/// [`PlanError`] with the place of the part that is wrong.
pub(super) fn bind(expr: &sql::Expr, scope: &Scope, columns: &SchemaRef, at: Position) -> Result<Expr, PlanError> {
    let at = position_of(expr).unwrap_or(at);
    let resolved = resolve_names(expr, scope, at)?;
    let problem = |error: datafusion::error::DataFusionError| PlanError::Expression {
        at,
        problem: one_line(&error.strip_backtrace()),
    };
    let schema = DFSchema::try_from(columns.as_ref().clone()).map_err(problem)?;
    let state = functions::context().state_ref();
    let state = state.read();
    let bound = state.create_logical_expr_from_sql_expr(ExprWithAlias { expr: resolved, alias: None }, &schema);
    Ok(unalias(bound.map_err(problem)?))
}

/// The type that a bound expression without aggregates has.
pub(super) fn type_of(expr: &Expr, columns: &SchemaRef, at: Position) -> Result<DataType, PlanError> {
    let problem = |error: datafusion::error::DataFusionError| PlanError::Expression {
        at,
        problem: one_line(&error.strip_backtrace()),
    };
    let schema = DFSchema::try_from(columns.as_ref().clone()).map_err(problem)?;
    let physical = functions::context().create_physical_expr(expr.clone(), &schema).map_err(problem)?;
    physical.data_type(columns).map_err(problem)
}

/// The expression cast to the type by which the language knows its values, and that type: text is always `Utf8`, moments are
/// milliseconds.
pub(super) fn normalised(expr: Expr, columns: &SchemaRef, at: Position) -> Result<(Expr, DataType), PlanError> {
    let found = type_of(&expr, columns, at)?;
    let wanted = match SqlType::from_arrow(&found) {
        Some(known) => known.to_arrow(),
        None if found == DataType::Null => DataType::Utf8,
        None => {
            return Err(PlanError::Expression {
                at,
                problem: format!("there is no type for its values, which are {found}"),
            });
        }
    };
    if wanted.equals_datatype(&found) { Ok((expr, found)) } else { Ok((cast(expr, wanted.clone()), wanted)) }
}

/// Refuses a predicate that is no BOOLEAN.
pub(super) fn expect_boolean(expr: &Expr, columns: &SchemaRef, clause: &str, at: Position) -> Result<(), PlanError> {
    let found = type_of(expr, columns, at)?;
    if found == DataType::Boolean {
        return Ok(());
    }
    let shown = SqlType::from_arrow(&found).map_or_else(|| found.to_string(), |known| known.to_string());
    Err(PlanError::Expression { at, problem: format!("{clause} needs a BOOLEAN, this is {shown}") })
}

/// Columns with more columns of type BIGINT behind them.
pub(super) fn with_bigints(columns: &SchemaRef, names: &[&str]) -> SchemaRef {
    let more = names.iter().filter(|name| columns.index_of(name).is_err());
    let more = more.map(|name| Arc::new(Field::new(*name, DataType::Int64, true)));
    Arc::new(Schema::new(columns.fields().iter().cloned().chain(more).collect::<Vec<_>>()))
}

/// Names that DataFusion gives to parts, such as `count(*)`, are not wanted in plans.
fn unalias(expr: Expr) -> Expr {
    let plain = expr.clone().transform(|part| match part {
        Expr::Alias(alias) => Ok(Transformed::yes(*alias.expr)),
        other => Ok(Transformed::no(other)),
    });
    plain.map_or(expr, |plain| plain.data)
}

/// The places and names of all columns that an expression names.
pub(super) fn named_columns(expr: &sql::Expr) -> Vec<(Option<Ident>, Ident)> {
    let mut named = Vec::new();
    let _ = visit_expressions(expr, |part| {
        match part {
            sql::Expr::Identifier(name) => named.push((None, name.clone())),
            sql::Expr::CompoundIdentifier(parts) if parts.len() > 1 => {
                named.push((Some(parts[0].clone()), parts[1].clone()));
            }
            _ => {}
        }
        ControlFlow::<()>::Continue(())
    });
    named
}

/// Puts internal names in the place of written ones, and checks what DataFusion would not place well.
fn resolve_names(expr: &sql::Expr, scope: &Scope, at: Position) -> Result<sql::Expr, PlanError> {
    let mut resolved = expr.clone();
    let outcome = visit_expressions_mut(&mut resolved, |part| match resolve_part(part, scope, at) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    });
    match outcome {
        ControlFlow::Continue(()) => Ok(resolved),
        ControlFlow::Break(error) => Err(error),
    }
}

fn internal(name: &str, span: TokenSpan) -> Ident {
    Ident { value: name.to_owned(), quote_style: Some('`'), span }
}

fn resolve_part(part: &mut sql::Expr, scope: &Scope, at: Position) -> Result<(), PlanError> {
    match part {
        sql::Expr::Identifier(name) => {
            let column = scope.resolve(None, name, at)?;
            *name = internal(&column.internal, name.span);
        }
        sql::Expr::CompoundIdentifier(parts) => {
            let qualified = parts.len() > 1 && scope.is_source(&parts[0].value);
            let (qualifier, name, fields) = match parts.as_slice() {
                [qualifier, name, fields @ ..] if qualified => (Some(qualifier), name, fields),
                [name, fields @ ..] if scope.columns.iter().any(|column| column.name == name.value) => {
                    (None, name, fields)
                }
                [qualifier, name, fields @ ..] => (Some(qualifier), name, fields),
                _ => return Ok(()),
            };
            let column = scope.resolve(qualifier, name, at)?;
            let root = sql::Expr::Identifier(internal(&column.internal, name.span));
            *part = fields.iter().fold(root, |root, field| field_access(root, field.value.clone()));
        }
        sql::Expr::Lambda(_) => return Err(PlanError::not_yet(at, "lambda functions are")),
        sql::Expr::Subquery(_) | sql::Expr::InSubquery { .. } | sql::Expr::Exists { .. } => {
            return Err(PlanError::not_yet_hint(at, "subqueries in continuous queries are", "join with a table"));
        }
        sql::Expr::Function(call) => {
            return check_function(part_of_call(call), at).and_then(|()| unwrap_as_value(part));
        }
        sql::Expr::BinaryOp { op: BinaryOperator::Assignment, .. } => {
            return Err(PlanError::not_yet(at, "STRUCT(..) and MAP(..) literals are"));
        }
        sql::Expr::BinaryOp { left, op, right } if is_comparison(op) => {
            moment_literal(left, right)?;
            moment_literal(right, left)?;
        }
        sql::Expr::Between { expr, low, high, .. } => {
            moment_literal(expr, low)?;
            moment_literal(expr, high)?;
        }
        _ => {}
    }
    Ok(())
}

/// `root->field`.
pub(super) fn field_access(root: sql::Expr, field: String) -> sql::Expr {
    let index = sql::Expr::value(Value::SingleQuotedString(field));
    sql::Expr::CompoundFieldAccess {
        root: Box::new(root),
        access_chain: vec![AccessExpr::Subscript(Subscript::Index { index })],
    }
}

fn part_of_call(call: &sql::Function) -> (&sql::Function, Option<&Ident>) {
    let name = match call.name.0.as_slice() {
        [ObjectNamePart::Identifier(name)] => Some(name),
        _ => None,
    };
    (call, name)
}

fn check_function((call, name): (&sql::Function, Option<&Ident>), at: Position) -> Result<(), PlanError> {
    let Some(name) = name else {
        return Err(PlanError::UnknownFunction { at, name: call.name.to_string(), suggestion: None });
    };
    let at = place(name, at);
    if call.over.is_some() {
        return Err(PlanError::not_yet_hint(at, "OVER in continuous queries is", "use it in a query without EMIT"));
    }
    if name.value == AS_VALUE {
        return Ok(());
    }
    match functions::kind_of(&name.value) {
        FunctionKind::Scalar | FunctionKind::Aggregate => Ok(()),
        FunctionKind::Window => Err(PlanError::not_yet_hint(
            at,
            format!("{} in continuous queries is", name.value),
            "use it in a query without EMIT",
        )),
        FunctionKind::Unknown => Err(PlanError::UnknownFunction {
            at,
            name: name.value.clone(),
            suggestion: functions::nearest_function(&name.value),
        }),
    }
}

/// ksqlDB's function that copies a key column into the value.
const AS_VALUE: &str = "AS_VALUE";

/// The argument of a call of AS_VALUE, if an expression is one.
pub(super) fn as_value(expr: &sql::Expr) -> Option<&sql::Expr> {
    let sql::Expr::Function(call) = expr else { return None };
    let (_, Some(name)) = part_of_call(call) else { return None };
    let FunctionArguments::List(list) = &call.args else { return None };
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] if name.value == AS_VALUE => Some(argument),
        _ => None,
    }
}

fn unwrap_as_value(part: &mut sql::Expr) -> Result<(), PlanError> {
    if let Some(argument) = as_value(part) {
        *part = sql::Expr::Nested(Box::new(argument.clone()));
    }
    Ok(())
}

fn is_comparison(op: &BinaryOperator) -> bool {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq)
}

/// Text that is compared with a moment becomes the number of its milliseconds.
pub(crate) fn moment_literal(column: &sql::Expr, text: &mut sql::Expr) -> Result<(), PlanError> {
    let name = match column {
        sql::Expr::Identifier(name) => name,
        sql::Expr::CompoundIdentifier(parts) => match parts.last() {
            Some(name) => name,
            None => return Ok(()),
        },
        _ => return Ok(()),
    };
    let sql::Expr::Value(literal) = text else { return Ok(()) };
    let (Value::SingleQuotedString(written), true) =
        (&literal.value, iso_time::MOMENT_COLUMNS.contains(&name.value.as_str()))
    else {
        return Ok(());
    };
    let Some(millis) = iso_time::parse(written) else {
        let at = Position::from_location(literal.span.start).unwrap_or(Position::START);
        return Err(PlanError::invalid_hint(
            at,
            format!("'{written}' is no moment"),
            "write it as '2024-03-01T10:00:00'",
        ));
    };
    literal.value = Value::Number(millis.to_string(), false);
    Ok(())
}

/// Whether the values of a bound expression are those of `column` under its internal name.
pub(super) fn is_column(expr: &Expr, column: &str) -> bool {
    matches!(expr, Expr::Column(found) if found.relation.is_none() && found.name == column)
}
