//! Calls of scalar functions: the overload that is meant, arguments cast to its parameters, and a function of DataFusion made for the call.
//!
//! Functions of DataFusion that ksqlDB has no function of the same name for can be called too, with DataFusion's own types.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::array::ArrayRef;
use datafusion::{
    execution::FunctionRegistry,
    logical_expr::lit,
    sql::sqlparser::ast::{self as sql, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectNamePart},
};

use super::{
    binder::Binder,
    coercion::coerce,
    error::BindError,
    operation::{self, Operation},
    scope::{Scope, place},
    typed::{Node, Typed},
};
use crate::{
    functions::{
        registry::{self, FunctionKind},
        resolution::{self, Given},
        signature::{Call, Evaluation, Parameter, ScalarFunction},
    },
    syntax::Position,
};

/// ksqlDB's function that copies a key column into the value.
const AS_VALUE: &str = "AS_VALUE";
/// Functions that give another value each time, or depend on the clock, when they have no arguments.
const VOLATILE: [&str; 4] = ["RANDOM", "UUID", "UNIX_TIMESTAMP", "UNIX_DATE"];

/// Words for units of time, with their milliseconds.
const UNITS: [(&str, i64); 5] =
    [("MILLISECOND", 1), ("SECOND", 1_000), ("MINUTE", 60_000), ("HOUR", 3_600_000), ("DAY", 86_400_000)];

/// The milliseconds of a unit of time; none if the argument is no word for one.
fn unit(expr: &sql::Expr) -> Option<i64> {
    let sql::Expr::Identifier(name) = expr else { return None };
    let singular = name.value.strip_suffix('S').unwrap_or(&name.value);
    UNITS.iter().find(|(word, _)| *word == singular).map(|(_, millis)| *millis)
}

/// The arguments of a call that are units of time.
pub(crate) fn units_of(call: &sql::Function) -> Vec<&sql::Expr> {
    let [ObjectNamePart::Identifier(name)] = call.name.0.as_slice() else { return Vec::new() };
    let Some(function) = registry::scalar(&name.value) else { return Vec::new() };
    let Ok(arguments) = arguments(call, Position::START) else { return Vec::new() };
    let is_unit = |(index, argument): &(usize, &sql::Expr)| wants_unit(function, *index) && unit(argument).is_some();
    arguments.into_iter().enumerate().filter(is_unit).map(|(_, argument)| argument).collect()
}

fn wants_unit(function: &ScalarFunction, index: usize) -> bool {
    function.overloads.iter().any(|overload| overload.parameters.get(index) == Some(&Parameter::Unit))
}

impl<'a> Binder<'a> {
    /// Binds a call.
    pub(super) fn call(
        &mut self,
        call: &'a sql::Function,
        written: &'a sql::Expr,
        at: Position,
    ) -> Result<Typed<'a>, BindError> {
        let [ObjectNamePart::Identifier(name)] = call.name.0.as_slice() else {
            return Err(BindError::UnknownFunction { at, name: call.name.to_string(), suggestion: None });
        };
        let at = place(name, at);
        let not_yet =
            |what: String| BindError::NotYet { at, what, hint: Some("use it in a query without EMIT".to_owned()) };
        if call.over.is_some() {
            return Err(not_yet("OVER in continuous queries is".to_owned()));
        }
        let arguments = arguments(call, at)?;
        let name = name.value.as_str();
        if name == "MAP" && arguments.iter().all(|argument| is_entry(argument)) {
            return self.map(&arguments, written, at);
        }
        let kind = self.scope.functions.kind_of(name);
        match kind {
            FunctionKind::Aggregate => self.aggregate(name, call, &arguments, written, at),
            _ if call.filter.is_some() || !call.within_group.is_empty() || is_distinct(call) => {
                Err(BindError::invalid(
                    at,
                    format!("DISTINCT, FILTER and WITHIN GROUP are for aggregate functions, {name} is none"),
                ))
            }
            FunctionKind::Window => Err(not_yet(format!("{name} in continuous queries is"))),
            FunctionKind::Table => {
                let problem = format!("{name} makes several rows of one: it can only be in the projection of a stream");
                Err(BindError::invalid(at, problem))
            }
            FunctionKind::Scalar | FunctionKind::Unknown => self.named_call(name, &arguments, written, at),
        }
    }

    /// Binds a call of a scalar function by its name.
    pub(super) fn named_call(
        &mut self,
        name: &str,
        arguments: &[&'a sql::Expr],
        written: &'a sql::Expr,
        at: Position,
    ) -> Result<Typed<'a>, BindError> {
        if name == AS_VALUE
            && let [argument] = arguments
        {
            return Ok(Typed { written, ..self.typed(argument, at)? });
        }
        if registry::LAMBDA_FUNCTIONS.contains(&name) && arguments.iter().any(|one| matches!(one, sql::Expr::Lambda(_)))
        {
            return self.lambda_call(name, arguments, written, at);
        }
        let scope: &'a Scope = self.scope;
        match scope.functions.scalar(name) {
            Some(function) => self.scalar_call(function, arguments, written, at),
            None => self.foreign_call(name, arguments, written, at),
        }
    }

    fn scalar_call(
        &mut self,
        function: &ScalarFunction,
        arguments: &[&'a sql::Expr],
        written: &'a sql::Expr,
        at: Position,
    ) -> Result<Typed<'a>, BindError> {
        let mut parts = Vec::with_capacity(arguments.len());
        let mut given = Vec::with_capacity(arguments.len());
        for (index, argument) in arguments.iter().enumerate() {
            if let (true, Some(millis)) = (wants_unit(function, index), unit(argument)) {
                given.push(Given::Unit);
                parts.push(Err(millis));
                continue;
            }
            let part = self.typed(argument, at)?;
            given.push(match (&part.node, &part.data_type) {
                (Node::Text(_), _) => Given::Text,
                (_, None) => Given::Null,
                (_, Some(data_type)) => Given::Type(data_type.clone()),
            });
            parts.push(Ok(part));
        }
        let resolved = resolution::resolve(function, &given).map_err(|problem| BindError::invalid(at, problem))?;
        let arguments = parts
            .into_iter()
            .zip(&resolved.parameters)
            .map(|(part, parameter)| match part {
                Ok(part) => coerce(part, parameter),
                Err(millis) => Ok(lit(millis)),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let operation = FunctionCall {
            name: function.name,
            overload: resolved.overload,
            evaluate: Arc::clone(&function.overloads[resolved.overload].evaluate),
            is_deterministic: function.is_deterministic && !(arguments.is_empty() && VOLATILE.contains(&function.name)),
        };
        let expr = operation::call(operation, arguments, resolved.returns.to_arrow());
        Ok(Typed { node: Node::Expr(expr), data_type: Some(resolved.returns), written, at })
    }

    fn foreign_call(
        &mut self,
        name: &str,
        arguments: &[&'a sql::Expr],
        written: &'a sql::Expr,
        at: Position,
    ) -> Result<Typed<'a>, BindError> {
        let Ok(function) = registry::context().state().udf(&name.to_ascii_lowercase()) else {
            let suggestion = self.scope.functions.nearest(name);
            return Err(BindError::UnknownFunction { at, name: name.to_owned(), suggestion });
        };
        let mut parts = Vec::with_capacity(arguments.len());
        for argument in arguments {
            parts.push(Self::foreign_argument(self.typed(argument, at)?)?);
        }
        self.foreign(function.call(parts), written, at)
    }
}

fn is_entry(argument: &sql::Expr) -> bool {
    matches!(argument, sql::Expr::BinaryOp { op: sql::BinaryOperator::Assignment, .. })
}

/// Whether a call says DISTINCT.
pub(super) fn is_distinct(call: &sql::Function) -> bool {
    match &call.args {
        FunctionArguments::List(list) => list.duplicate_treatment == Some(sql::DuplicateTreatment::Distinct),
        _ => false,
    }
}

/// The arguments of a call; a star is none.
fn arguments(call: &sql::Function, at: Position) -> Result<Vec<&sql::Expr>, BindError> {
    let FunctionArguments::List(list) = &call.args else { return Ok(Vec::new()) };
    if let Some(clause) = list.clauses.first() {
        return Err(BindError::invalid(at, format!("`{clause}` is not supported in a call")));
    }
    let mut arguments = Vec::with_capacity(list.args.len());
    for argument in &list.args {
        match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => arguments.push(expr),
            FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => {}
            other => return Err(BindError::invalid(at, format!("`{other}` is no argument"))),
        }
    }
    Ok(arguments)
}

/// An overload of a function, called.
#[derive(Clone)]
struct FunctionCall {
    name: &'static str,
    overload: usize,
    evaluate: Arc<Evaluation>,
    is_deterministic: bool,
}

impl fmt::Debug for FunctionCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.overload)
    }
}

impl PartialEq for FunctionCall {
    fn eq(&self, other: &Self) -> bool {
        (self.name, self.overload) == (other.name, other.overload)
    }
}

impl Eq for FunctionCall {}

impl Hash for FunctionCall {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.name, self.overload).hash(state);
    }
}

impl Operation for FunctionCall {
    fn name(&self) -> &str {
        self.name
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<ArrayRef, String> {
        (self.evaluate)(call)
    }

    fn is_deterministic(&self) -> bool {
        self.is_deterministic
    }
}
