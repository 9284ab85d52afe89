//! Expressions as messages show them: as ksqlDB writes them, operators in parentheses.

use datafusion::sql::sqlparser::ast::{self as sql, AccessExpr, Subscript, Value};

/// An expression as text.
pub(crate) fn shown(expr: &sql::Expr) -> String {
    match expr {
        sql::Expr::Identifier(name) => name.value.clone(),
        // Qualified columns are known by this name in joins.
        sql::Expr::CompoundIdentifier(parts) => {
            parts.iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join("_")
        }
        sql::Expr::Nested(inner) => shown(inner),
        sql::Expr::Value(value) => match &value.value {
            Value::Boolean(value) => value.to_string(),
            Value::Null => "null".to_owned(),
            other => other.to_string(),
        },
        sql::Expr::BinaryOp { left, op: sql::BinaryOperator::Assignment, right } => {
            format!("{}:={}", shown(left), shown(right))
        }
        sql::Expr::BinaryOp { left, op, right } => format!("({} {op} {})", shown(left), shown(right)),
        sql::Expr::UnaryOp { op, expr } => format!("{op}{}", shown(expr)),
        sql::Expr::Array(array) => format!("ARRAY[{}]", list(array.elem.iter())),
        sql::Expr::Struct { values, .. } => format!("STRUCT({})", list(values.iter())),
        sql::Expr::Function(call) => match &call.args {
            sql::FunctionArguments::List(arguments) => {
                let arguments: Vec<String> = arguments
                    .args
                    .iter()
                    .map(|argument| match argument {
                        sql::FunctionArg::Unnamed(sql::FunctionArgExpr::Expr(expr)) => shown(expr),
                        other => other.to_string(),
                    })
                    .collect();
                format!("{}({})", call.name, arguments.join(", "))
            }
            _ => call.to_string(),
        },
        sql::Expr::CompoundFieldAccess { root, access_chain } => {
            let mut text = shown(root);
            for access in access_chain {
                text.push_str(&match access {
                    AccessExpr::Dot(field) => format!(".{}", shown(field)),
                    AccessExpr::Subscript(Subscript::Index { index }) => format!("[{}]", shown(index)),
                    AccessExpr::Subscript(other) => format!("[{other}]"),
                });
            }
            text
        }
        other => other.to_string(),
    }
}

fn list<'a>(parts: impl Iterator<Item = &'a sql::Expr>) -> String {
    parts.map(shown).collect::<Vec<_>>().join(", ")
}
