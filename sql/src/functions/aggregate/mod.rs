//! Aggregate functions: ksqlDB's names, overloads, null handling and results, as accumulators of DataFusion.
//!
//! A family a file. A family says what it accepts and gives ([`Aggregate::shape`]) and makes accumulators for those types; [`Udaf`] makes
//! a function of DataFusion of it. Arguments that must be constants (how many, whether nulls count) stay arguments of the call; they
//! are read from it when an accumulator is made.
//!
//! Invariants: states are stored rows, so they hold primitives, text, bytes and lists, and no more than the function's own bound.
//! Merging takes the older state first, then the newer: the result is that of all rows in order.
//!
//! Over tables rows are taken back: sums subtract, functions with `retract_batch` undo, for the others the core keeps the rows.

mod attr;
mod collect;
mod count;
mod count_distinct;
mod extreme;
mod histogram;
mod hyperloglog;
mod kept;
mod moments;
mod offset;
mod sums;
mod top;
mod udaf;

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use arrow::datatypes::DataType;
use datafusion::{
    common::ScalarValue,
    error::Result as DataFusionResult,
    logical_expr::{Accumulator, AggregateUDF, GroupsAccumulator},
};

use crate::catalog::SqlType;
use udaf::Udaf;

/// A call of an aggregate function, with its types decided.
#[derive(Debug, Clone)]
pub struct AggregateCall {
    /// What is called, with one argument for each that was written; a call without arguments gets the constant 1.
    pub function: Arc<AggregateUDF>,
    /// The types that the arguments must have: whoever builds the call casts to them.
    pub arguments: Vec<SqlType>,
    /// The type of the result.
    pub returns: SqlType,
}

/// How many values the functions that collect keep; what comes later is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    /// `ksql.functions.collect_list.limit`.
    pub collect_list: usize,
    /// `ksql.functions.collect_set.limit`.
    pub collect_set: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { collect_list: 1000, collect_set: 1000 }
    }
}

impl Limits {
    /// The limits with a property of a session or server put in force; other properties change nothing. A number below 0 is no limit.
    ///
    /// # Errors
    /// If the value of a limit is no whole number.
    pub fn with_property(mut self, name: &str, value: &str) -> Result<Self, String> {
        let limit = match name.to_ascii_lowercase().as_str() {
            "ksql.functions.collect_list.limit" => &mut self.collect_list,
            "ksql.functions.collect_set.limit" => &mut self.collect_set,
            _ => return Ok(self),
        };
        let number: i64 = value.trim().parse().map_err(|_| format!("{name} must be a whole number, not `{value}`"))?;
        *limit = usize::try_from(number).unwrap_or(usize::MAX);
        Ok(self)
    }
}

/// What a function accepts and gives.
#[derive(Debug, Clone)]
pub struct Shape {
    /// The types its arguments are cast to, as many as there are arguments.
    pub arguments: Vec<SqlType>,
    /// How many of the last arguments must be constants.
    pub constants: usize,
    /// The type of the result.
    pub returns: SqlType,
}

/// A call as an accumulator sees it.
#[derive(Debug)]
pub struct Bound {
    /// The types of the arguments: those that [`Aggregate::shape`] asked for.
    pub arguments: Vec<DataType>,
    /// The type of the result.
    pub returns: DataType,
    /// One entry an argument: its value, if it must be a constant.
    pub constants: Vec<Option<ScalarValue>>,
}

/// A family of aggregate functions, or one of them. Two with the same `Debug` text are the same.
///
/// # State
/// What is kept of a group between commits are the columns that [`state`](Self::state) names, the values of which the accumulator gives
/// in the same order. They are stored rows: primitives, text, bytes and lists of those, and never more than a bound of the function's own.
/// A state is merged into an older one by `merge_batch`, the older one first; the result must be that of all rows in order.
///
/// Over a table rows are taken back: by `retract_batch` if the accumulator supports it, otherwise the rows of each group are kept.
pub trait Aggregate: fmt::Debug + Send + Sync {
    /// Its name in upper case.
    fn name(&self) -> &'static str;

    /// What it is good for, one sentence.
    fn description(&self) -> &'static str;

    /// What becomes of arguments of these types; none if it does not accept them.
    fn shape(&self, arguments: &[SqlType]) -> Option<Shape>;

    /// Refuses constants that make no sense.
    ///
    /// # Errors
    /// A text that says which, and what would do.
    fn check(&self, _constants: &[Option<ScalarValue>]) -> Result<(), String> {
        Ok(())
    }

    /// Whether the order of rows matters to the result.
    fn is_ordered(&self) -> bool;

    /// The types of the columns of its state, for arguments of the types that [`shape`](Self::shape) asked for.
    fn state(&self, arguments: &[DataType]) -> Vec<DataType>;

    /// An accumulator for one group.
    ///
    /// # Errors
    /// If there is none for these types or constants; then the statement is refused.
    fn accumulator(&self, call: &Bound) -> DataFusionResult<Box<dyn Accumulator>>;

    /// Whether there is an accumulator for many groups.
    fn has_groups(&self, _arguments: &[DataType]) -> bool {
        false
    }

    /// An accumulator for many groups, if [`has_groups`](Self::has_groups) says so.
    ///
    /// # Errors
    /// As [`accumulator`](Self::accumulator).
    fn groups(&self, _call: &Bound) -> DataFusionResult<Box<dyn GroupsAccumulator>> {
        Err(datafusion::error::DataFusionError::Internal(format!("{} goes group by group", self.name())))
    }
}

/// A function under its name.
#[derive(Debug, Clone)]
pub(crate) struct Definition {
    name: &'static str,
    description: &'static str,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    /// One of ours.
    Own(Arc<dyn Aggregate>),
    /// DataFusion's, for the types that the language has it for.
    DataFusion(Arc<AggregateUDF>, fn(&[SqlType]) -> Option<Shape>),
}

impl Definition {
    pub(crate) fn own(of: impl Aggregate + 'static) -> Self {
        Self { name: of.name(), description: of.description(), kind: Kind::Own(Arc::new(of)) }
    }

    fn shape(&self, arguments: &[SqlType]) -> Option<Shape> {
        match &self.kind {
            Kind::Own(own) => own.shape(arguments),
            Kind::DataFusion(_, shape) => shape(arguments),
        }
    }

    pub(crate) fn description(&self) -> &'static str {
        self.description
    }

    pub(crate) fn function(&self) -> Arc<AggregateUDF> {
        match &self.kind {
            Kind::Own(own) => Arc::new(AggregateUDF::from(Udaf::new(Arc::clone(own)))),
            Kind::DataFusion(function, _) => Arc::clone(function),
        }
    }
}

fn definitions(limits: Limits) -> Vec<Definition> {
    use collect::Collect;
    use moments::Moment;
    use offset::ByOffset;
    use sums::Sums;
    use top::Top;
    vec![
        Definition::own(attr::Attr),
        Definition::own(Sums::Avg),
        Definition::own(Collect::List { limit: limits.collect_list }),
        Definition::own(Collect::Set { limit: limits.collect_set }),
        Definition::own(Moment::Correlation),
        count::count(),
        Definition::own(count_distinct::CountDistinct),
        Definition::own(ByOffset::Earliest),
        Definition::own(histogram::Histogram),
        Definition::own(ByOffset::Latest),
        extreme::max(),
        extreme::min(),
        Definition::own(Moment::Variance),
        Definition::own(Moment::Deviation),
        Definition::own(Sums::Sum),
        Definition::own(Sums::SumList),
        Definition::own(Top::All),
        Definition::own(Top::Distinct),
    ]
}

fn defaults() -> &'static [Definition] {
    static DEFAULTS: OnceLock<Vec<Definition>> = OnceLock::new();
    DEFAULTS.get_or_init(|| definitions(Limits::default()))
}

/// The names in upper case and what each is good for, by name.
pub fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    defaults().iter().map(|definition| (definition.name, definition.description))
}

/// Whether there is an aggregate function of this name; letter case does not matter.
pub fn is_aggregate(name: &str) -> bool {
    defaults().iter().any(|definition| definition.name.eq_ignore_ascii_case(name))
}

/// The functions that are not DataFusion's own, for a registry; they win over DataFusion's of the same name.
pub(crate) fn own_functions() -> Vec<Arc<AggregateUDF>> {
    let own = |definition: &&Definition| matches!(definition.kind, Kind::Own(_));
    defaults().iter().filter(own).map(Definition::function).collect()
}

/// Finds the function that a call means: `constants` holds the values of those arguments that are constants.
///
/// # Errors
/// A text that says what is wrong: an unknown name, arguments that it does not accept, or one that must be a constant and is none.
pub fn resolve(name: &str, arguments: &[SqlType], constants: &[Option<ScalarValue>]) -> Result<AggregateCall, String> {
    resolve_in(defaults(), name, arguments, constants)
}

/// As [`resolve`], with other limits than the default ones.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_with(
    limits: Limits,
    name: &str,
    arguments: &[SqlType],
    constants: &[Option<ScalarValue>],
) -> Result<AggregateCall, String> {
    resolve_in(&definitions(limits), name, arguments, constants)
}

fn resolve_in(
    definitions: &[Definition],
    name: &str,
    arguments: &[SqlType],
    constants: &[Option<ScalarValue>],
) -> Result<AggregateCall, String> {
    match definitions.iter().find(|definition| definition.name.eq_ignore_ascii_case(name)) {
        Some(definition) => resolve_one(definition, arguments, constants),
        None => Err(format!("there is no aggregate function {name}")),
    }
}

/// The call of one function, as [`resolve`] finds it.
///
/// # Errors
/// As [`resolve`].
pub(crate) fn resolve_one(
    definition: &Definition,
    arguments: &[SqlType],
    constants: &[Option<ScalarValue>],
) -> Result<AggregateCall, String> {
    let Some(shape) = definition.shape(arguments) else {
        let types = arguments.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        return Err(format!("Function '{}' does not accept parameters ({types}).", definition.name));
    };
    let first_constant = arguments.len().saturating_sub(shape.constants);
    for index in first_constant..arguments.len() {
        if constants.get(index).is_none_or(Option::is_none) {
            let (place, name) = (index + 1, definition.name);
            return Err(format!("Parameter {place} passed to function {name} must be a literal constant"));
        }
    }
    if let Kind::Own(own) = &definition.kind {
        own.check(constants)?;
    }
    Ok(AggregateCall { function: definition.function(), arguments: shape.arguments, returns: shape.returns })
}

#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod tests;
