//! Functions that users of the library write in Rust: what an engine knows beside the functions of the language.
//!
//! [`Functions`] is a value that goes to an engine with its configuration; nothing is global. A scalar function is a [`ScalarFunction`], a
//! table function a [`TableFunction`], an aggregate function anything that is an [`Aggregate`]: just what the language's own ones are.
//!
//! Invariants: names are upper-case identifiers; no function has the name of another one or of one of the language. What a recorded
//! statement calls must be there when the data directory is opened again, or opening fails with the name of the function.

use std::{collections::BTreeMap, sync::Arc};

use datafusion::{
    common::ScalarValue,
    prelude::SessionContext,
    sql::sqlparser::ast::{Expr, SelectItem, SetExpr},
};

use super::{
    aggregate::{self, Aggregate, AggregateCall, Definition, Limits},
    called::CalledByName,
    registry::{self, FunctionKind},
    signature::{Overload, Parameter, Returns, ScalarFunction},
    table::{TableFunction, items_of},
};
use crate::{
    catalog::SqlType,
    syntax::{
        ast::{self, Statement},
        parse_statement,
        suggest::nearest,
    },
};

/// Words that stand before parentheses and are no functions of the registry.
const SYNTAX: [&str; 10] =
    ["ARRAY", "AS_VALUE", "CASE", "CAST", "EXISTS", "EXTRACT", "INTERVAL", "MAP", "STRUCT", "TRY_CAST"];

/// Why a function is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FunctionError {
    /// No call could be written with this name.
    #[error(
        "`{name}` cannot be called so: the name of a function is of upper-case letters, digits and underscores, and begins with no digit"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// The language has a function of this name.
    #[error("the language has {name} itself and it cannot be replaced: choose another name")]
    Builtin {
        /// The name.
        name: String,
    },
    /// Before parentheses it is no name.
    #[error("{name}(..) means something else in a statement, so that it could never be called: choose another name")]
    Word {
        /// The name.
        name: String,
    },
    /// There are two.
    #[error("there are two functions called {name}: put their overloads into one")]
    Twice {
        /// The name.
        name: String,
    },
    /// An overload contradicts itself.
    #[error("function {name}, overload {number}: {problem}")]
    Overload {
        /// The name of the function.
        name: String,
        /// Which, from 1; 0 if there is none.
        number: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// The functions of a user. Cloning gives another handle to the same ones.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, AsArray, StringArray};
/// use millstream::operator::EmitPolicy;
/// use millstream_sql::{
///     catalog::SqlType,
///     engine::in_memory::InMemoryEngine,
///     functions::{Functions, signature::{Call, Overload, Parameter, Returns, ScalarFunction}},
/// };
///
/// /// The text from back to front; null stays null.
/// fn reversed(call: &Call<'_>) -> Result<ArrayRef, String> {
///     let texts = call.arguments[0].column(call.rows).map_err(|error| error.to_string())?;
///     let back = texts.as_string::<i32>().iter().map(|text| text.map(|text| text.chars().rev().collect::<String>()));
///     Ok(Arc::new(back.collect::<StringArray>()))
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let text = SqlType::Varchar;
/// let overload = Overload::new([Parameter::Type(text.clone())], Returns::Type(text), reversed);
/// let functions = Functions::new().with_scalar(ScalarFunction::new("BACKWARDS", "The text from back to front.", [overload]))?;
///
/// let mut engine = InMemoryEngine::new(EmitPolicy::Record)?.with_functions(functions);
/// engine.execute("CREATE STREAM words (w STRING KEY) WITH (KAFKA_TOPIC = 'words', VALUE_FORMAT = 'JSON', PARTITIONS = 1);")?;
/// engine.execute("CREATE STREAM back AS SELECT w, BACKWARDS(w) AS b FROM words;")?;
/// engine.execute("INSERT INTO words (w) VALUES ('stream');")?;
/// engine.run()?;
/// assert_eq!(engine.records("BACK")?[0].value.as_deref(), Some(br#"{"B":"maerts"}"#.as_slice()));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Functions {
    inner: Arc<Inner>,
}

#[derive(Debug, Clone, Default)]
struct Inner {
    /// With those that give the arrays of table functions.
    scalars: BTreeMap<String, ScalarFunction>,
    tables: BTreeMap<&'static str, &'static str>,
    aggregates: BTreeMap<&'static str, Definition>,
}

impl Functions {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// These and a scalar function: a value for each row.
    ///
    /// # Errors
    /// [`FunctionError`], if its name cannot be taken or an overload contradicts itself.
    pub fn with_scalar(mut self, function: ScalarFunction) -> Result<Self, FunctionError> {
        self.check_name(function.name)?;
        check_overloads(function.name, &function.overloads)?;
        Arc::make_mut(&mut self.inner).scalars.insert(function.name.to_owned(), function);
        Ok(self)
    }

    /// These and a table function: any number of rows for each row of a stream. Its overloads return an ARRAY, whose items become rows.
    ///
    /// # Errors
    /// As for [`with_scalar`](Self::with_scalar), and if an overload returns no ARRAY.
    pub fn with_table(mut self, function: TableFunction) -> Result<Self, FunctionError> {
        self.check_name(function.name)?;
        check_overloads(function.name, &function.overloads)?;
        for (index, overload) in function.overloads.iter().enumerate() {
            if !may_be_array(&overload.returns) {
                let problem = "a table function returns an ARRAY, whose items become rows";
                return Err(FunctionError::Overload { name: function.name.to_owned(), number: index + 1, problem });
            }
        }
        let inner = Arc::make_mut(&mut self.inner);
        inner.tables.insert(function.name, function.description);
        inner.scalars.insert(items_of(function.name), function.items());
        Ok(self)
    }

    /// These and an aggregate function: a value for each group of rows.
    ///
    /// # Errors
    /// [`FunctionError`], if its name cannot be taken.
    pub fn with_aggregate(mut self, function: impl Aggregate + 'static) -> Result<Self, FunctionError> {
        self.check_name(function.name())?;
        Arc::make_mut(&mut self.inner).aggregates.insert(function.name(), Definition::own(function));
        Ok(self)
    }

    fn check_name(&self, name: &str) -> Result<(), FunctionError> {
        let is_legal = name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
            && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
        if !is_legal {
            return Err(FunctionError::Name { name: name.to_owned() });
        }
        if SYNTAX.contains(&name) || registry::kind_of(name) != FunctionKind::Unknown {
            return Err(FunctionError::Builtin { name: name.to_owned() });
        }
        if !is_callable(name) {
            return Err(FunctionError::Word { name: name.to_owned() });
        }
        match self.own_kind(name) {
            None => Ok(()),
            Some(_) => Err(FunctionError::Twice { name: name.to_owned() }),
        }
    }

    fn own_kind(&self, name: &str) -> Option<FunctionKind> {
        let Inner { scalars, tables, aggregates } = self.inner.as_ref();
        if tables.contains_key(name) {
            Some(FunctionKind::Table)
        } else if aggregates.contains_key(name) {
            Some(FunctionKind::Aggregate)
        } else {
            scalars.contains_key(name).then_some(FunctionKind::Scalar)
        }
    }

    /// What the function called `name` is, of the user or of the language; letter case does not matter.
    pub(crate) fn kind_of(&self, name: &str) -> FunctionKind {
        self.own_kind(&name.to_ascii_uppercase()).unwrap_or_else(|| registry::kind_of(name))
    }

    /// What the user's function called `name` is good for; none if the language has it, or nobody.
    pub(crate) fn description(&self, name: &str) -> Option<&'static str> {
        let inner = self.inner.as_ref();
        let scalar = inner.scalars.get(name).map(|function| function.description);
        scalar
            .or_else(|| inner.tables.get(name).copied())
            .or_else(|| inner.aggregates.get(name).map(Definition::description))
    }

    /// The scalar function called `name`, of the user or of the language; names are in upper case.
    pub(crate) fn scalar(&self, name: &str) -> Option<&ScalarFunction> {
        self.inner.scalars.get(name).or_else(|| registry::scalar(name))
    }

    /// Whether there is an aggregate function of this name that has the language's types, not DataFusion's.
    pub(crate) fn is_aggregate(&self, name: &str) -> bool {
        self.inner.aggregates.contains_key(name) || aggregate::is_aggregate(name)
    }

    /// The call of an aggregate function; see [`aggregate::resolve`].
    pub(crate) fn resolve_aggregate(
        &self,
        limits: Limits,
        name: &str,
        arguments: &[SqlType],
        constants: &[Option<ScalarValue>],
    ) -> Result<AggregateCall, String> {
        if let Some(definition) = self.inner.aggregates.get(name) {
            return aggregate::resolve_one(definition, arguments, constants);
        }
        match limits == Limits::default() {
            true => aggregate::resolve(name, arguments, constants),
            false => aggregate::resolve_with(limits, name, arguments, constants),
        }
    }

    /// All functions, of the user and of the language: name in upper case, and what it is, by name.
    pub(crate) fn all(&self) -> Vec<(String, FunctionKind)> {
        let Inner { scalars, tables, aggregates } = self.inner.as_ref();
        let scalars = scalars.keys().filter(|name| !name.contains(' ')).map(String::as_str);
        let own = scalars.chain(tables.keys().copied()).chain(aggregates.keys().copied());
        let own = own.filter_map(|name| Some((name.to_owned(), self.own_kind(name)?)));
        let mut all: Vec<_> = registry::all().into_iter().chain(own).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// The function whose name is most like `name`.
    pub(crate) fn nearest(&self, name: &str) -> Option<String> {
        let all = self.all();
        nearest(name, all.iter().map(|(name, _)| name.as_str())).map(str::to_owned)
    }

    /// Makes the scalar and aggregate functions of the user known to a session of DataFusion.
    pub(crate) fn register(&self, session: &SessionContext) {
        for function in self.inner.scalars.iter().filter(|(name, _)| !name.contains(' ')).map(|(_, function)| function)
        {
            session.register_udf(CalledByName::new(function.clone()).into());
        }
        for definition in self.inner.aggregates.values() {
            session.register_udaf(definition.function().as_ref().clone());
        }
    }
}

/// Whether statements read `name(..)` as a call of a function, in continuous queries and in those that are read once.
fn is_callable(name: &str) -> bool {
    let is_call = |expr: &Expr| match expr {
        Expr::Nested(inner) => matches!(inner.as_ref(), Expr::Function(call) if call.name.to_string() == name),
        Expr::Function(call) => call.name.to_string() == name,
        _ => false,
    };
    let parsed = |end: &str| parse_statement(&format!("SELECT {name}(A), ({name}(A, A)) FROM S{end}"));
    let is_continuous = matches!(parsed(" EMIT CHANGES").map(|parsed| parsed.statement), Ok(Statement::PushQuery(query))
        if query.items.iter().all(|item| matches!(item, ast::SelectItem::Expr { expr, .. } if is_call(expr))));
    let is_pulled = match parsed("").map(|parsed| parsed.statement) {
        Ok(Statement::PullQuery(query)) => match query.query.body.as_ref() {
            SetExpr::Select(select) => {
                select.projection.iter().all(|item| matches!(item, SelectItem::UnnamedExpr(expr) if is_call(expr)))
            }
            _ => false,
        },
        _ => false,
    };
    is_continuous && is_pulled
}

fn check_overloads(name: &str, overloads: &[Overload]) -> Result<(), FunctionError> {
    let refuse = |number, problem| Err(FunctionError::Overload { name: name.to_owned(), number, problem });
    if overloads.is_empty() {
        return refuse(0, "there is none, so it could never be called");
    }
    for (index, overload) in overloads.iter().enumerate() {
        let number = index + 1;
        if overload.variadic.is_some_and(|repeated| repeated >= overload.parameters.len()) {
            return refuse(number, "the parameter that may be repeated is not there");
        }
        if overload.parameters.iter().any(|parameter| contains(parameter, &Parameter::Unit)) {
            return refuse(
                number,
                "units of time are for functions of the language only; take a STRING or milliseconds",
            );
        }
        if let Returns::Like(like) = &overload.returns
            && let Some(problem) = unbound(like, &overload.parameters)
        {
            return refuse(number, problem);
        }
    }
    Ok(())
}

/// Why a result cannot be like `like`, if it cannot.
fn unbound(like: &Parameter, parameters: &[Parameter]) -> Option<&'static str> {
    match like {
        Parameter::Type(_) => None,
        Parameter::Any(_) if parameters.iter().any(|parameter| contains(parameter, like)) => None,
        Parameter::Any(_) => Some("its result is like a type variable that no parameter has"),
        Parameter::Array(item) => unbound(item, parameters),
        Parameter::Map(key, value) => unbound(key, parameters).or_else(|| unbound(value, parameters)),
        Parameter::AnyDecimal | Parameter::AnyStruct | Parameter::Unit => {
            Some("its result is like something of many types; use Returns::Computed")
        }
    }
}

fn contains(parameter: &Parameter, wanted: &Parameter) -> bool {
    parameter == wanted
        || match parameter {
            Parameter::Array(item) => contains(item, wanted),
            Parameter::Map(key, value) => contains(key, wanted) || contains(value, wanted),
            _ => false,
        }
}

fn may_be_array(returns: &Returns) -> bool {
    match returns {
        Returns::Type(returns) => matches!(returns, SqlType::Array(_)),
        Returns::Like(like) => matches!(like, Parameter::Array(_)),
        // Known when it is called: a statement that would unnest anything else is refused.
        Returns::Computed(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overload(parameters: &[Parameter], returns: Returns) -> Overload {
        Overload::new(parameters, returns, |call| {
            call.arguments[0].column(call.rows).map_err(|error| error.to_string())
        })
    }

    fn check(name: &'static str, overloads: &[Overload], want: &str) {
        let same = overload(&[Parameter::Any('T')], Returns::Like(Parameter::Any('T')));
        let first = ScalarFunction::new("SAME", "The same.", [same]);
        let functions = Functions::new().with_scalar(first).expect("a legal function");
        let got = functions.with_scalar(ScalarFunction::new(name, "", overloads));
        assert_eq!(got.map_or_else(|error| error.to_string(), |_| "taken".to_owned()), want, "{name}");
    }

    #[test]
    fn names_and_overloads_are_checked() {
        let (text, any) = (Parameter::Type(SqlType::Varchar), Parameter::Any('T'));
        let plain = overload(std::slice::from_ref(&text), Returns::Type(SqlType::Varchar));
        check("OTHER_1", std::slice::from_ref(&plain), "taken");
        check(
            "SAME",
            std::slice::from_ref(&plain),
            "there are two functions called SAME: put their overloads into one",
        );
        for name in ["UCASE", "SUM", "EXPLODE", "TRANSFORM", "STRPOS", "ROW_NUMBER", "AS_VALUE", "CAST"] {
            let want = format!("the language has {name} itself and it cannot be replaced: choose another name");
            check(name, std::slice::from_ref(&plain), &want);
        }
        for name in ["CONVERT", "SAFE_CAST", "NOT", "FROM", "DISTINCT", "ALL", "SELECT"] {
            let want = format!(
                "{name}(..) means something else in a statement, so that it could never be called: choose another name"
            );
            check(name, std::slice::from_ref(&plain), &want);
        }
        for name in ["LEFT_OF", "KEY", "TYPE", "CURRENT", "_F"] {
            check(name, std::slice::from_ref(&plain), "taken");
        }
        for name in ["", "lower", "1ST", "A B", "Ä"] {
            let want = format!(
                "`{name}` cannot be called so: the name of a function is of upper-case letters, digits and underscores, \
                 and begins with no digit"
            );
            check(name, std::slice::from_ref(&plain), &want);
        }
        check("F", &[], "function F, overload 0: there is none, so it could never be called");
        check(
            "F",
            &[plain.clone(), plain.clone().repeating(1)],
            "function F, overload 2: the parameter that may be repeated is not there",
        );
        check(
            "F",
            &[overload(std::slice::from_ref(&text), Returns::Like(any))],
            "function F, overload 1: its result is like a type variable that no parameter has",
        );
        check(
            "F",
            &[overload(&[Parameter::Unit], Returns::Type(SqlType::BigInt))],
            "function F, overload 1: units of time are for functions of the language only; take a STRING or milliseconds",
        );
    }

    #[test]
    fn a_table_function_gives_arrays() {
        let given = |returns| {
            let overloads = vec![overload(&[Parameter::Any('T')], returns)];
            Functions::new().with_table(TableFunction { name: "ROWS_OF", description: "", overloads })
        };
        let of_arrays = given(Returns::Like(Parameter::Array(Box::new(Parameter::Any('T'))))).expect("arrays");
        assert_eq!(of_arrays.kind_of("rows_of"), FunctionKind::Table);
        assert_eq!(of_arrays.nearest("ROWS_OFF").as_deref(), Some("ROWS_OF"));
        let error = given(Returns::Like(Parameter::Any('T'))).expect_err("no array");
        let want = "function ROWS_OF, overload 1: a table function returns an ARRAY, whose items become rows";
        assert_eq!(error.to_string(), want);
    }
}
