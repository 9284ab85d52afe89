//! Parsed expressions to bound ones: columns by the [`Scope`] or by the parameters of lambdas around, the rest by its kind.

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::{
    common::{DFSchema, ScalarValue},
    logical_expr::{Expr, Operator, lit, not},
    sql::sqlparser::ast::{self as sql, AccessExpr, BinaryOperator, Subscript, UnaryOperator, Value},
};
use millstream::expression::col;

use super::{
    access::access,
    arithmetic::arithmetic,
    cast,
    coercion::{common_type, is_number},
    comparison::compare,
    error::BindError,
    literal::Number,
    scope::Scope,
    typed::{Node, Typed, null_of, untyped_null},
};
use crate::{
    catalog::{SqlType, StructField},
    syntax::{Position, position_of},
};

/// A parameter of a lambda.
#[derive(Debug, Clone)]
pub(super) struct LambdaParameter {
    /// As written.
    pub(super) name: String,
    /// In the batches that its body is evaluated over.
    pub(super) internal: String,
    pub(super) data_type: SqlType,
}

/// Binds expressions over the columns of one input.
#[derive(Debug)]
pub(crate) struct Binder<'a> {
    pub(super) scope: &'a Scope,
    columns: &'a SchemaRef,
    /// The parameters of the lambdas around, the innermost last.
    pub(super) frames: Vec<Vec<LambdaParameter>>,
}

impl<'a> Binder<'a> {
    /// A binder of names of `scope` over `columns`.
    pub(crate) fn new(scope: &'a Scope, columns: &'a SchemaRef) -> Self {
        Self { scope, columns, frames: Vec::new() }
    }

    /// Binds an expression; `at` is where its clause begins, for parts that carry no place. A bare NULL stays without a type.
    ///
    /// # Errors
    /// [`BindError`] with the place of the part that is wrong.
    pub(crate) fn bind(&mut self, expr: &'a sql::Expr, at: Position) -> Result<Expr, BindError> {
        self.typed(expr, at)?.into_expr()
    }

    /// Binds an expression as `wanted`, if it becomes that by itself: literals and constructors take the type, numbers widen.
    ///
    /// # Errors
    /// As [`Binder::bind`], or if it does not.
    pub(crate) fn bind_as(&mut self, expr: &'a sql::Expr, wanted: &SqlType, at: Position) -> Result<Expr, BindError> {
        super::coercion::coerce(self.typed(expr, at)?, wanted)
    }

    /// Binds an expression, with its type; none for a bare NULL.
    ///
    /// # Errors
    /// As [`Binder::bind`].
    pub(super) fn typed(&mut self, expr: &'a sql::Expr, at: Position) -> Result<Typed<'a>, BindError> {
        let at = position_of(expr).unwrap_or(at);
        let made = |node: Node<'a>, data_type: SqlType| Typed { node, data_type: Some(data_type), written: expr, at };
        let truth = |bound: Expr| made(Node::Expr(bound), SqlType::Boolean);
        match expr {
            sql::Expr::Identifier(name) => self.column(None, name, expr, at),
            sql::Expr::CompoundIdentifier(parts) => self.compound(parts, expr, at),
            sql::Expr::Nested(inner) => Ok(Typed { written: expr, ..self.typed(inner, at)? }),
            sql::Expr::Value(value) => self.literal(&value.value, expr, at),
            sql::Expr::UnaryOp { op, expr: inner } => self.unary(*op, inner, expr, at),
            sql::Expr::BinaryOp { .. } => self.binary(expr, at),
            sql::Expr::IsDistinctFrom(left, right) => {
                let (left, right) = (self.typed(left, at)?, self.typed(right, at)?);
                compare(Operator::IsDistinctFrom, left, right).map(truth)
            }
            sql::Expr::IsNotDistinctFrom(left, right) => {
                let (left, right) = (self.typed(left, at)?, self.typed(right, at)?);
                compare(Operator::IsNotDistinctFrom, left, right).map(truth)
            }
            sql::Expr::IsNull(inner) => self.is_null(inner, false, at).map(truth),
            sql::Expr::IsNotNull(inner) => self.is_null(inner, true, at).map(truth),
            sql::Expr::IsTrue(inner) => Ok(truth(Expr::IsTrue(Box::new(self.boolean(inner, "IS TRUE", at)?)))),
            sql::Expr::IsNotTrue(inner) => Ok(truth(Expr::IsNotTrue(Box::new(self.boolean(inner, "IS TRUE", at)?)))),
            sql::Expr::IsFalse(inner) => Ok(truth(Expr::IsFalse(Box::new(self.boolean(inner, "IS FALSE", at)?)))),
            sql::Expr::IsNotFalse(inner) => Ok(truth(Expr::IsNotFalse(Box::new(self.boolean(inner, "IS FALSE", at)?)))),
            sql::Expr::Between { expr, negated, low, high } => self.between(expr, *negated, (low, high), at).map(truth),
            sql::Expr::InList { expr, list, negated } => self.in_list(expr, list, *negated, at).map(truth),
            sql::Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                self.like((expr, pattern), *negated, escape_char.as_ref(), at).map(truth)
            }
            sql::Expr::Case { operand: Some(_), .. } => Err(BindError::invalid_hint(
                at,
                "CASE with an operand is not supported",
                "write CASE WHEN operand = value THEN ..",
            )),
            sql::Expr::Case { operand: None, conditions, else_result, .. } => {
                self.case(expr, conditions, else_result.as_deref(), at)
            }
            sql::Expr::Cast { kind: sql::CastKind::Cast, expr: inner, data_type, .. } => {
                let wanted = SqlType::resolve_parsed(data_type, at, &self.scope.types)?;
                self.explicit_cast(inner, &wanted, at).map(|bound| made(Node::Expr(bound), wanted))
            }
            sql::Expr::CompoundFieldAccess { root, access_chain } => self.accesses(root, access_chain, expr, at),
            sql::Expr::Array(array) => self.array(&array.elem, expr, at),
            sql::Expr::Struct { values, .. } => self.structure(values, expr, at),
            sql::Expr::Function(call) => self.call(call, expr, at),
            sql::Expr::Ceil { expr: inner, .. } => self.named_call("CEIL", &[inner], expr, at),
            sql::Expr::Floor { expr: inner, .. } => self.named_call("FLOOR", &[inner], expr, at),
            sql::Expr::Trim { trim_where: None, trim_what: None, expr: inner, trim_characters: None } => {
                self.named_call("TRIM", &[inner], expr, at)
            }
            sql::Expr::Substring { expr: inner, substring_from, substring_for, .. } => {
                let more = [substring_from, substring_for].into_iter().flatten().map(AsRef::as_ref);
                let arguments: Vec<&sql::Expr> = std::iter::once(inner.as_ref()).chain(more).collect();
                self.named_call("SUBSTRING", &arguments, expr, at)
            }
            sql::Expr::Lambda(_) => Err(BindError::invalid_hint(
                at,
                "a lambda is an argument of TRANSFORM, FILTER or REDUCE",
                "write it there",
            )),
            sql::Expr::Subquery(_) | sql::Expr::InSubquery { .. } | sql::Expr::Exists { .. } => {
                Err(BindError::NotYet {
                    at,
                    what: "subqueries in continuous queries are".to_owned(),
                    hint: Some("join with a table".to_owned()),
                })
            }
            other => Err(BindError::invalid(at, format!("`{other}` is no expression of this language"))),
        }
    }

    /// The columns that can be read here, with the parameters of the lambdas around.
    pub(super) fn schema(&self) -> Schema {
        let parameters = self.frames.iter().flatten();
        let parameters = parameters.map(|one| Field::new(&one.internal, one.data_type.to_arrow(), true).into());
        Schema::new(self.columns.fields().iter().cloned().chain(parameters).collect::<Vec<_>>())
    }

    /// The same, as DataFusion wants it.
    pub(super) fn logical_schema(&self, at: Position) -> Result<DFSchema, BindError> {
        DFSchema::try_from(self.schema()).map_err(|error| BindError::invalid(at, error.strip_backtrace()))
    }

    fn column(
        &self,
        qualifier: Option<&sql::Ident>,
        name: &sql::Ident,
        written: &'a sql::Expr,
        at: Position,
    ) -> Result<Typed<'a>, BindError> {
        if qualifier.is_none() {
            let mut parameters = self.frames.iter().rev().flatten();
            if let Some(parameter) = parameters.find(|parameter| parameter.name == name.value) {
                let node = Node::Expr(col(&parameter.internal));
                return Ok(Typed { node, data_type: Some(parameter.data_type.clone()), written, at });
            }
        }
        let column = self.scope.resolve(qualifier, name, at)?;
        let field = self
            .columns
            .field_with_name(&column.internal)
            .map_err(|_| BindError::invalid(at, format!("column {} is not there", name.value)))?;
        let Some(data_type) = SqlType::from_arrow(field.data_type()) else {
            let problem = format!("column {} is {}, which is no type here", name.value, field.data_type());
            return Err(BindError::invalid(at, problem));
        };
        let mut expr = col(&column.internal);
        let wanted = data_type.to_arrow();
        if !wanted.equals_datatype(field.data_type()) {
            expr = datafusion::logical_expr::cast(expr, wanted);
        }
        Ok(Typed { node: Node::Expr(expr), data_type: Some(data_type), written, at })
    }

    /// `source.column`, `column.field` and longer ones.
    fn compound(&self, parts: &'a [sql::Ident], written: &'a sql::Expr, at: Position) -> Result<Typed<'a>, BindError> {
        let is_parameter = |name: &str| self.frames.iter().flatten().any(|parameter| parameter.name == name);
        let qualified = parts.len() > 1 && !is_parameter(&parts[0].value) && self.scope.is_source(&parts[0].value);
        let (qualifier, name, fields) = match parts {
            [qualifier, name, fields @ ..] if qualified => (Some(qualifier), name, fields),
            [name, fields @ ..] if is_parameter(&name.value) || self.scope.has_column(&name.value) => {
                (None, name, fields)
            }
            [qualifier, name, fields @ ..] => (Some(qualifier), name, fields),
            _ => return Err(BindError::invalid(at, "a name is empty")),
        };
        let root = self.column(qualifier, name, written, at)?;
        fields.iter().try_fold(root, |root, field| {
            let at = super::scope::place(field, at);
            let index = Typed { node: Node::Text(field.value.clone()), data_type: Some(SqlType::Varchar), written, at };
            access(root, index)
        })
    }

    fn literal(&self, value: &Value, written: &'a sql::Expr, at: Position) -> Result<Typed<'a>, BindError> {
        let (node, data_type) = match value {
            Value::Null => (Node::Null, None),
            Value::Boolean(value) => (Node::Boolean(*value), Some(SqlType::Boolean)),
            Value::SingleQuotedString(text) => (Node::Text(text.clone()), Some(SqlType::Varchar)),
            Value::Number(number, _) => number_node(number, at)?,
            other => return Err(BindError::invalid(at, format!("`{other}` is no literal of this language"))),
        };
        Ok(Typed { node, data_type, written, at })
    }

    fn unary(
        &mut self,
        op: UnaryOperator,
        inner: &'a sql::Expr,
        written: &'a sql::Expr,
        at: Position,
    ) -> Result<Typed<'a>, BindError> {
        if let (UnaryOperator::Minus, Some(number)) = (op, number_of(inner)) {
            let (node, data_type) = number_node(&format!("-{number}"), at)?;
            return Ok(Typed { node, data_type, written, at });
        }
        match op {
            UnaryOperator::Not => {
                let expr = not(self.boolean(inner, "NOT", at)?);
                Ok(Typed { node: Node::Expr(expr), data_type: Some(SqlType::Boolean), written, at })
            }
            UnaryOperator::Minus | UnaryOperator::Plus => {
                let part = self.typed(inner, at)?;
                if !part.data_type.as_ref().is_some_and(is_number) {
                    let problem = format!("`{op}` needs a number, {} is {}", part.shown(), part.type_shown());
                    return Err(BindError::invalid(at, problem));
                }
                if op == UnaryOperator::Plus {
                    return Ok(part);
                }
                let data_type = part.data_type.clone();
                let expr = Expr::Negative(Box::new(part.into_expr()?));
                Ok(Typed { node: Node::Expr(expr), data_type, written, at })
            }
            other => Err(BindError::invalid(at, format!("there is no operator {other}"))),
        }
    }

    /// A chain of operators, which leans to the left: from its first operand on, without a recursion for each operator.
    fn binary(&mut self, written: &'a sql::Expr, at: Position) -> Result<Typed<'a>, BindError> {
        let mut chain = Vec::new();
        let mut first = written;
        while let sql::Expr::BinaryOp { left, op, right } = first {
            let at = position_of(first).unwrap_or(at);
            if *op == BinaryOperator::Assignment {
                return Err(BindError::invalid_hint(at, ":= stands in STRUCT(..) and MAP(..)", "compare with ="));
            }
            chain.push((first, op, right.as_ref(), at));
            first = left;
        }
        let mut bound = self.typed(first, at)?;
        for (written, op, right, at) in chain.into_iter().rev() {
            bound = self.operation(bound, op, right, written, at)?;
        }
        Ok(bound)
    }

    /// One operator of a chain, with what stands before it.
    fn operation(
        &mut self,
        left: Typed<'a>,
        op: &BinaryOperator,
        right: &'a sql::Expr,
        written: &'a sql::Expr,
        at: Position,
    ) -> Result<Typed<'a>, BindError> {
        let comparison = match op {
            BinaryOperator::And | BinaryOperator::Or => {
                let is_and = *op == BinaryOperator::And;
                let name = if is_and { "AND" } else { "OR" };
                // DataFusion leaves the right side alone where the left one decides, at the latest when a batch is cut to a row.
                let (left, right) = (boolean_of(left, name)?, self.boolean(right, name, at)?);
                let expr = if is_and { left.and(right) } else { left.or(right) };
                return Ok(Typed { node: Node::Expr(expr), data_type: Some(SqlType::Boolean), written, at });
            }
            BinaryOperator::Eq => Some(Operator::Eq),
            BinaryOperator::NotEq => Some(Operator::NotEq),
            BinaryOperator::Lt => Some(Operator::Lt),
            BinaryOperator::LtEq => Some(Operator::LtEq),
            BinaryOperator::Gt => Some(Operator::Gt),
            BinaryOperator::GtEq => Some(Operator::GtEq),
            _ => None,
        };
        let right = self.typed(right, at)?;
        let (expr, data_type) = match comparison {
            Some(comparison) => (compare(comparison, left, right)?, SqlType::Boolean),
            None => arithmetic(op, left, right)?,
        };
        Ok(Typed { node: Node::Expr(expr), data_type: Some(data_type), written, at })
    }

    /// A part that must be BOOLEAN.
    fn boolean(&mut self, expr: &'a sql::Expr, clause: &str, at: Position) -> Result<Expr, BindError> {
        boolean_of(self.typed(expr, at)?, clause)
    }

    fn explicit_cast(&mut self, inner: &'a sql::Expr, wanted: &SqlType, at: Position) -> Result<Expr, BindError> {
        let part = self.typed(inner, at)?;
        let Some(found) = part.data_type.clone() else { return Ok(null_of(wanted)) };
        if !cast::is_supported(&found, wanted) {
            return Err(BindError::invalid(part.at, format!("Cast of {found} to {wanted} is not supported")));
        }
        Ok(cast::convert(part.into_expr()?, &found, wanted))
    }

    fn accesses(
        &mut self,
        root: &'a sql::Expr,
        chain: &'a [AccessExpr],
        written: &'a sql::Expr,
        at: Position,
    ) -> Result<Typed<'a>, BindError> {
        let mut part = self.typed(root, at)?;
        for link in chain {
            let index = match link {
                AccessExpr::Subscript(Subscript::Index { index }) => self.typed(index, at)?,
                AccessExpr::Dot(sql::Expr::Identifier(name)) => {
                    let node = Node::Text(name.value.clone());
                    Typed { node, data_type: Some(SqlType::Varchar), written, at }
                }
                other => return Err(BindError::invalid(at, format!("`{other}` is no index"))),
            };
            part = access(part, index)?;
        }
        Ok(Typed { written, ..part })
    }

    fn array(&mut self, items: &'a [sql::Expr], written: &'a sql::Expr, at: Position) -> Result<Typed<'a>, BindError> {
        if items.is_empty() {
            return Err(BindError::invalid(
                at,
                "Array constructor cannot be empty. Please supply at least one element.",
            ));
        }
        let items = items.iter().map(|item| self.typed(item, at)).collect::<Result<Vec<_>, _>>()?;
        let Some(item) = common_type(&items.iter().collect::<Vec<_>>())? else {
            return Err(BindError::invalid(at, "Cannot construct an array with all NULL elements"));
        };
        Ok(Typed { node: Node::Array(items), data_type: Some(SqlType::Array(Box::new(item))), written, at })
    }

    /// `MAP(k := v, ..)`.
    pub(super) fn map(
        &mut self,
        entries: &[&'a sql::Expr],
        written: &'a sql::Expr,
        at: Position,
    ) -> Result<Typed<'a>, BindError> {
        if entries.is_empty() {
            return Err(BindError::invalid(
                at,
                "Map constructor cannot be empty. Please supply at least one key value pair.",
            ));
        }
        let mut parts = Vec::with_capacity(entries.len());
        for entry in entries {
            let sql::Expr::BinaryOp { left, op: BinaryOperator::Assignment, right } = entry else {
                return Err(BindError::invalid_hint(at, "an entry of MAP has no key", "write MAP(key := value)"));
            };
            parts.push((self.typed(left, at)?, self.typed(right, at)?));
        }
        let key = common_type(&parts.iter().map(|(key, _)| key).collect::<Vec<_>>())?;
        let value = common_type(&parts.iter().map(|(_, value)| value).collect::<Vec<_>>())?;
        let Some(key) = key else { return Err(BindError::invalid(at, "Cannot construct a map with all NULL keys")) };
        let Some(value) = value else {
            return Err(BindError::invalid(at, "Cannot construct a map with all NULL values"));
        };
        let data_type = SqlType::Map(Box::new(key), Box::new(value));
        Ok(Typed { node: Node::Map(parts), data_type: Some(data_type), written, at })
    }

    fn structure(
        &mut self,
        values: &'a [sql::Expr],
        written: &'a sql::Expr,
        at: Position,
    ) -> Result<Typed<'a>, BindError> {
        let mut parts: Vec<(String, Typed<'a>)> = Vec::with_capacity(values.len());
        for value in values {
            let named = match value {
                sql::Expr::BinaryOp { left, op: BinaryOperator::Assignment, right } => match left.as_ref() {
                    sql::Expr::Identifier(name) => Some((name.value.clone(), right)),
                    _ => None,
                },
                _ => None,
            };
            let Some((name, value)) = named else {
                return Err(BindError::invalid_hint(
                    at,
                    "a field of STRUCT has no name",
                    "write STRUCT(name := value)",
                ));
            };
            if parts.iter().any(|(known, _)| *known == name) {
                return Err(BindError::invalid(at, format!("Duplicate field names found in STRUCT: {name}")));
            }
            parts.push((name, self.typed(value, at)?));
        }
        let typed = parts.iter().filter_map(|(name, part)| Some((name.clone(), part.data_type.clone()?)));
        let fields = typed.map(|(name, data_type)| StructField { name, data_type }).collect();
        Ok(Typed { node: Node::Struct(parts), data_type: Some(SqlType::Struct(fields)), written, at })
    }

    /// The value of a literal, for functions that need one when they are planned.
    pub(super) fn constant(part: &Typed<'_>) -> Option<ScalarValue> {
        match &part.node {
            Node::Null => Some(ScalarValue::Null),
            Node::Text(text) => Some(ScalarValue::Utf8(Some(text.clone()))),
            Node::Boolean(value) => Some(ScalarValue::Boolean(Some(*value))),
            Node::Number(number) => Some(number.scalar()),
            _ => None,
        }
    }

    /// An expression of DataFusion's own, with its type and cast to what the language has for it.
    pub(super) fn foreign(&self, expr: Expr, written: &'a sql::Expr, at: Position) -> Result<Typed<'a>, BindError> {
        use datafusion::logical_expr::ExprSchemable;
        let found: DataType = expr
            .get_type(&self.logical_schema(at)?)
            .map_err(|error| BindError::invalid(at, first_line(&error.strip_backtrace())))?;
        let Some(data_type) = SqlType::from_arrow(&found) else {
            return Err(BindError::invalid(at, format!("there is no type for its values, which are {found}")));
        };
        let wanted = data_type.to_arrow();
        let expr = if wanted.equals_datatype(&found) { expr } else { datafusion::logical_expr::cast(expr, wanted) };
        Ok(Typed { node: Node::Expr(expr), data_type: Some(data_type), written, at })
    }

    /// A literal as an argument of a function of DataFusion's own.
    pub(super) fn foreign_argument(part: Typed<'_>) -> Result<Expr, BindError> {
        match part.node {
            Node::Null => Ok(lit(ScalarValue::Null)),
            Node::Number(Number::Int(value)) => Ok(lit(i64::from(value))),
            _ if part.data_type.is_none() => Err(untyped_null(part.at)),
            _ => part.into_expr(),
        }
    }
}

fn first_line(problem: &str) -> String {
    problem.lines().next().unwrap_or_default().trim_start_matches("Error during planning: ").to_owned()
}

fn number_node<'a>(number: &str, at: Position) -> Result<(Node<'a>, Option<SqlType>), BindError> {
    let number = Number::read(number).map_err(|problem| BindError::invalid(at, problem))?;
    let data_type = number.data_type();
    Ok((Node::Number(number), Some(data_type)))
}

/// The digits of a plain number.
fn number_of(expr: &sql::Expr) -> Option<&str> {
    match expr {
        sql::Expr::Value(value) => match &value.value {
            Value::Number(number, _) => Some(number),
            _ => None,
        },
        _ => None,
    }
}

/// A part that must be BOOLEAN.
fn boolean_of(part: Typed<'_>, clause: &str) -> Result<Expr, BindError> {
    match part.data_type {
        Some(SqlType::Boolean) => part.into_expr(),
        None => Ok(null_of(&SqlType::Boolean)),
        _ => {
            let problem = format!("{clause} needs BOOLEAN, {} is {}", part.shown(), part.type_shown());
            Err(BindError::invalid(part.at, problem))
        }
    }
}
