//! Calls of aggregate functions: the function and the types that it wants.
//!
//! Those of ksqlDB are resolved by [`aggregate`](crate::functions::aggregate); DataFusion's others can be called too.

use datafusion::{
    common::ScalarValue,
    execution::FunctionRegistry,
    logical_expr::{Expr, expr::AggregateFunction, lit},
    sql::sqlparser::ast as sql,
};

use super::{
    binder::Binder,
    call::is_distinct,
    coercion::coerce,
    error::BindError,
    typed::{Node, Typed, untyped_null},
};
use crate::{catalog::SqlType, functions::registry, syntax::Position};

impl<'a> Binder<'a> {
    /// Binds a call of an aggregate function.
    pub(super) fn aggregate(
        &mut self,
        name: &str,
        call: &'a sql::Function,
        arguments: &[&'a sql::Expr],
        written: &'a sql::Expr,
        at: Position,
    ) -> Result<Typed<'a>, BindError> {
        let filter = match &call.filter {
            None => None,
            Some(filter) => {
                let condition = self.typed(filter, at)?;
                if condition.data_type != Some(SqlType::Boolean) {
                    return Err(BindError::invalid(condition.at, "FILTER needs BOOLEAN"));
                }
                Some(Box::new(condition.into_expr()?))
            }
        };
        let mut parts = Vec::with_capacity(arguments.len());
        for argument in arguments {
            parts.push(self.typed(argument, at)?);
        }
        let made = |function, arguments| {
            let call = AggregateFunction::new_udf(function, arguments, is_distinct(call), filter, vec![], None);
            Expr::AggregateFunction(call)
        };
        if !self.scope.functions.is_aggregate(name) {
            let function = registry::context()
                .state()
                .udaf(&name.to_ascii_lowercase())
                .map_err(|error| BindError::invalid(at, error.strip_backtrace()))?;
            let parts = parts.into_iter().map(Self::foreign_argument).collect::<Result<Vec<_>, _>>()?;
            return self.foreign(made(function, parts), written, at);
        }
        let types = parts.iter().map(|part| part.data_type.clone().ok_or_else(|| untyped_null(part.at)));
        let types = types.collect::<Result<Vec<SqlType>, _>>()?;
        let constants: Vec<Option<ScalarValue>> = parts.iter().map(Self::constant).collect();
        let resolved = self.scope.functions.resolve_aggregate(self.scope.limits, name, &types, &constants);
        let resolved = resolved.map_err(|mut problem| {
            let is_constant = |part: &Typed<'_>| Self::constant(part).is_some();
            if let (true, Some(part)) =
                (problem.ends_with("must be a literal constant"), parts.iter().rev().find(|part| !is_constant(part)))
            {
                problem.push_str(&format!(", but was expression: '{}'", part.shown()));
            }
            BindError::invalid(at, problem)
        })?;
        let mut values = parts
            .into_iter()
            .zip(&resolved.arguments)
            .map(|(part, wanted)| coerce(part, wanted))
            .collect::<Result<Vec<_>, _>>()?;
        if values.is_empty() {
            values.push(lit(1_i64));
        }
        let expr = made(resolved.function, values);
        Ok(Typed { node: Node::Expr(expr), data_type: Some(resolved.returns), written, at })
    }
}
