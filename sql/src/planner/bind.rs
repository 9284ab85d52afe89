//! Parsed expressions to logical ones: the planner's face of [`expression`](crate::expression).

use std::{collections::HashSet, ops::ControlFlow, ptr, sync::Arc};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::{
    common::DFSchema,
    logical_expr::{Expr, cast},
    sql::sqlparser::ast::{
        self as sql, AccessExpr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectNamePart, Subscript,
        Value, Visit, Visitor,
    },
};

use super::{
    clause::Clause,
    error::{PlanError, one_line},
    functions, iso_time,
    scope::Scope,
};
use crate::{
    catalog::SqlType,
    expression::{BindError, Binder, shown, units_of},
    syntax::Position,
};

impl From<BindError> for PlanError {
    fn from(error: BindError) -> Self {
        match error {
            BindError::Catalog(error) => Self::Catalog(error),
            BindError::UnknownColumn { at, name, written, scope, suggestion, known } => {
                Self::UnknownColumn { at, name, written, scope, suggestion, known, clause: None }
            }
            BindError::AmbiguousColumn { at, name, sources } => Self::AmbiguousColumn { at, name, sources },
            BindError::UnknownFunction { at, name, suggestion } => Self::UnknownFunction { at, name, suggestion },
            BindError::Invalid { at, problem, hint } => Self::Invalid { at, problem, hint },
            BindError::NotYet { at, what, hint } => Self::NotYet { at, what, hint },
        }
    }
}

/// Binds an expression over `columns`; `at` is where its clause begins, for parts that carry no place.
///
/// # Errors
/// [`PlanError`] with the place of the part that is wrong.
pub(super) fn bind(expr: &sql::Expr, scope: &Scope, columns: &SchemaRef, at: Position) -> Result<Expr, PlanError> {
    Ok(Binder::new(scope, columns).bind(expr, at)?)
}

/// Binds a constant expression as `wanted`, if it becomes that by itself.
///
/// # Errors
/// As [`bind`], or if it does not.
pub(super) fn bind_as(expr: &sql::Expr, scope: &Scope, wanted: &SqlType, at: Position) -> Result<Expr, PlanError> {
    let nothing = Arc::new(Schema::empty());
    Ok(Binder::new(scope, &nothing).bind_as(expr, wanted, at)?)
}

/// Binds a predicate: where it would be null or false makes no difference, so comparisons stay as they are.
///
/// # Errors
/// As [`bind`].
pub(super) fn bind_predicate(
    expr: &sql::Expr,
    scope: &Scope,
    columns: &SchemaRef,
    at: Position,
) -> Result<Expr, PlanError> {
    Ok(without_is_true(bind(expr, scope, columns, at)?))
}

/// `a = b IS TRUE AND ..` without the IS TRUE.
fn without_is_true(expr: Expr) -> Expr {
    match expr {
        Expr::IsTrue(inner) => *inner,
        Expr::BinaryExpr(mut both) if both.op == datafusion::logical_expr::Operator::And => {
            *both.left = without_is_true(*both.left);
            *both.right = without_is_true(*both.right);
            Expr::BinaryExpr(both)
        }
        other => other,
    }
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
pub(super) fn expect_boolean(
    expr: &Expr,
    columns: &SchemaRef,
    clause: Clause,
    (written, at): (&sql::Expr, Position),
) -> Result<(), PlanError> {
    let found = type_of(expr, columns, at)?;
    if found == DataType::Boolean {
        return Ok(());
    }
    let data_type = SqlType::from_arrow(&found).map_or_else(|| found.to_string(), |known| known.to_string());
    let (clause, written) = (clause.name(), shown(written));
    let problem = format!(
        "Type error in {clause} expression: Should evaluate to boolean but is {written} ({data_type}) instead."
    );
    Err(PlanError::Expression { at, problem })
}

/// Columns with more columns of type BIGINT behind them.
pub(super) fn with_bigints(columns: &SchemaRef, names: &[&str]) -> SchemaRef {
    let more = names.iter().filter(|name| columns.index_of(name).is_err());
    let more = more.map(|name| Arc::new(Field::new(*name, DataType::Int64, true)));
    Arc::new(Schema::new(columns.fields().iter().cloned().chain(more).collect::<Vec<_>>()))
}

/// The places and names of all columns that an expression names: no parameters of lambdas, names of fields and units of time.
pub(super) fn named_columns(expr: &sql::Expr) -> Vec<(Option<Ident>, Ident)> {
    let mut found = NamedColumns::default();
    let _ = expr.visit(&mut found);
    found.named
}

#[derive(Default)]
struct NamedColumns {
    named: Vec<(Option<Ident>, Ident)>,
    /// The parameters of the lambdas around.
    parameters: Vec<Vec<String>>,
    /// Where identifiers stand that are no columns.
    other: HashSet<*const sql::Expr>,
}

impl NamedColumns {
    fn is_parameter(&self, name: &str) -> bool {
        self.parameters.iter().flatten().any(|parameter| parameter == name)
    }
}

impl Visitor for NamedColumns {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &sql::Expr) -> ControlFlow<()> {
        match expr {
            sql::Expr::Identifier(name)
                if !self.is_parameter(&name.value) && !self.other.contains(&ptr::from_ref(expr)) =>
            {
                self.named.push((None, name.clone()));
            }
            sql::Expr::CompoundIdentifier(parts) if parts.len() > 1 && !self.is_parameter(&parts[0].value) => {
                self.named.push((Some(parts[0].clone()), parts[1].clone()));
            }
            sql::Expr::Lambda(lambda) => {
                self.parameters.push(lambda.params.iter().map(|parameter| parameter.name.value.clone()).collect());
            }
            sql::Expr::Struct { values, .. } => {
                self.other.extend(values.iter().filter_map(|value| match value {
                    sql::Expr::BinaryOp { left, op: sql::BinaryOperator::Assignment, .. } => {
                        Some(ptr::from_ref(left.as_ref()))
                    }
                    _ => None,
                }));
            }
            sql::Expr::Function(call) => self.other.extend(units_of(call).into_iter().map(ptr::from_ref)),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &sql::Expr) -> ControlFlow<()> {
        if matches!(expr, sql::Expr::Lambda(_)) {
            self.parameters.pop();
        }
        ControlFlow::Continue(())
    }
}

/// `s->f` for a field by its name.
pub(super) fn field_access(root: sql::Expr, field: String) -> sql::Expr {
    let index = sql::Expr::value(Value::SingleQuotedString(field));
    sql::Expr::CompoundFieldAccess {
        root: Box::new(root),
        access_chain: vec![AccessExpr::Subscript(Subscript::Index { index })],
    }
}

/// The argument of a call of AS_VALUE, ksqlDB's function that copies a key column into the value, if an expression is one.
pub(super) fn as_value(expr: &sql::Expr) -> Option<&sql::Expr> {
    let sql::Expr::Function(call) = expr else { return None };
    let [ObjectNamePart::Identifier(name)] = call.name.0.as_slice() else { return None };
    let FunctionArguments::List(list) = &call.args else { return None };
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] if name.value == "AS_VALUE" => Some(argument),
        _ => None,
    }
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
