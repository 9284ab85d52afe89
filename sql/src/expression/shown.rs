//! Expressions as messages show them: as ksqlDB writes them, operators in parentheses.

use datafusion::sql::sqlparser::ast::{self as sql, AccessExpr, Subscript, Value};

/// An expression as text; columns of joined sources under the names by which they are known there: `O_ID`.
pub(crate) fn shown(expr: &sql::Expr) -> String {
    Style { between: "_" }.shown(expr)
}

/// An expression as text; columns of sources as they are written: `O.ID`.
pub(crate) fn shown_as_written(expr: &sql::Expr) -> String {
    Style { between: "." }.shown(expr)
}

/// How expressions are shown.
struct Style {
    /// What stands between a source and a column.
    between: &'static str,
}

impl Style {
    fn shown(&self, expr: &sql::Expr) -> String {
        match expr {
            sql::Expr::Identifier(name) => name.value.clone(),
            // Qualified columns are known by this name in joins.
            sql::Expr::CompoundIdentifier(parts) => {
                parts.iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join(self.between)
            }
            sql::Expr::Nested(inner) => self.shown(inner),
            sql::Expr::Value(value) => match &value.value {
                Value::Boolean(value) => value.to_string(),
                Value::Null => "null".to_owned(),
                other => other.to_string(),
            },
            sql::Expr::BinaryOp { left, op: sql::BinaryOperator::Assignment, right } => {
                format!("{}:={}", self.shown(left), self.shown(right))
            }
            sql::Expr::BinaryOp { left, op, right } => format!("({} {op} {})", self.shown(left), self.shown(right)),
            sql::Expr::UnaryOp { op, expr } => format!("{op}{}", self.shown(expr)),
            sql::Expr::Array(array) => format!("ARRAY[{}]", self.list(array.elem.iter())),
            sql::Expr::Struct { values, .. } => format!("STRUCT({})", self.list(values.iter())),
            sql::Expr::Function(call) => match &call.args {
                sql::FunctionArguments::List(arguments) => {
                    let arguments: Vec<String> = arguments
                        .args
                        .iter()
                        .map(|argument| match argument {
                            sql::FunctionArg::Unnamed(sql::FunctionArgExpr::Expr(expr)) => self.shown(expr),
                            other => other.to_string(),
                        })
                        .collect();
                    format!("{}({})", call.name, arguments.join(", "))
                }
                _ => call.to_string(),
            },
            sql::Expr::CompoundFieldAccess { root, access_chain } => {
                let mut text = self.shown(root);
                for access in access_chain {
                    text.push_str(&match access {
                        AccessExpr::Dot(field) => format!(".{}", self.shown(field)),
                        AccessExpr::Subscript(Subscript::Index { index }) => format!("[{}]", self.shown(index)),
                        AccessExpr::Subscript(other) => format!("[{other}]"),
                    });
                }
                text
            }
            other => other.to_string(),
        }
    }

    fn list<'a>(&self, parts: impl Iterator<Item = &'a sql::Expr>) -> String {
        parts.map(|part| self.shown(part)).collect::<Vec<_>>().join(", ")
    }
}
