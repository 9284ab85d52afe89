//! Searched CASE: a branch is evaluated for the rows that reach it, and all branches have one type.

use datafusion::{
    logical_expr::{Case, Expr},
    sql::sqlparser::ast as sql,
};

use super::{
    binder::Binder,
    coercion::{coerce, common_type},
    error::BindError,
    typed::{Node, Typed},
};
use crate::{catalog::SqlType, syntax::Position};

impl<'a> Binder<'a> {
    /// Binds a CASE.
    pub(super) fn case(
        &mut self,
        written: &'a sql::Expr,
        conditions: &'a [sql::CaseWhen],
        otherwise: Option<&'a sql::Expr>,
        at: Position,
    ) -> Result<Typed<'a>, BindError> {
        let mut whens = Vec::with_capacity(conditions.len());
        let mut results = Vec::with_capacity(conditions.len() + 1);
        for branch in conditions {
            let condition = self.typed(&branch.condition, at)?;
            if condition.data_type != Some(SqlType::Boolean) {
                let problem = format!(
                    "WHEN operand type should be boolean. Type for '{}' is {}",
                    condition.shown(),
                    condition.type_shown()
                );
                return Err(BindError::invalid(condition.at, problem));
            }
            whens.push(condition.into_expr()?);
            results.push(self.typed(&branch.result, at)?);
        }
        if let Some(otherwise) = otherwise {
            results.push(self.typed(otherwise, at)?);
        }
        let common = common_type(&results.iter().collect::<Vec<_>>())?;
        let Some(common) = common else {
            return Err(BindError::invalid(at, "Invalid Case expression. All case branches have a NULL type"));
        };
        let mut results = results.into_iter().map(|result| coerce(result, &common)).collect::<Result<Vec<_>, _>>()?;
        let otherwise = if results.len() > whens.len() { results.pop().map(Box::new) } else { None };
        let branches = whens.into_iter().zip(results).map(|(when, then)| (Box::new(when), Box::new(then))).collect();
        let expr = Expr::Case(Case::new(None, branches, otherwise));
        Ok(Typed { node: Node::Expr(expr), data_type: Some(common), written, at })
    }
}
