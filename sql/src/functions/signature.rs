//! What a function takes and gives: its overloads, and what an implementation sees of a call.
//!
//! An [`Overload`] is data: parameter types, type of the result, and a function from columns to a column. Which overload a call
//! means is decided once, when a statement is planned; implementations then meet exactly the types that they have named.

use std::{fmt, sync::Arc};

use arrow::{array::ArrayRef, compute, datatypes::DataType, error::ArrowError};

use crate::catalog::SqlType;

/// What a parameter accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parameter {
    /// This type, or one that widens to it (INT to BIGINT to DECIMAL to DOUBLE).
    Type(SqlType),
    /// DECIMAL of any precision and scale.
    AnyDecimal,
    /// A type variable: one letter is one type wherever it stands in an overload.
    Any(char),
    /// ARRAY of what is inside.
    Array(Box<Parameter>),
    /// MAP of what is inside.
    Map(Box<Parameter>, Box<Parameter>),
    /// STRUCT of any fields.
    AnyStruct,
    /// A unit of time, such as `SECONDS`; the implementation sees its length in milliseconds as BIGINT.
    Unit,
}

/// The type of a result.
#[derive(Debug, Clone)]
pub enum Returns {
    /// Always this one.
    Type(SqlType),
    /// This, with the type variables as the arguments have bound them.
    Like(Parameter),
    /// Found from the types of the arguments.
    Computed(fn(&[SqlType]) -> Result<SqlType, String>),
}

/// One way in which a function can be called.
#[derive(Clone)]
pub struct Overload {
    /// Its parameters.
    pub parameters: Vec<Parameter>,
    /// Which of the parameters may be given any number of times, none included.
    pub variadic: Option<usize>,
    /// The type of its result.
    pub returns: Returns,
    /// What it does.
    pub evaluate: Arc<Evaluation>,
}

impl Overload {
    /// An overload of a fixed number of parameters.
    pub fn new(
        parameters: impl Into<Vec<Parameter>>,
        returns: Returns,
        evaluate: impl Fn(&Call<'_>) -> Result<ArrayRef, String> + Send + Sync + 'static,
    ) -> Self {
        Self { parameters: parameters.into(), variadic: None, returns, evaluate: Arc::new(evaluate) }
    }

    /// The same with its parameter `index` (from 0) given any number of times, none included.
    #[must_use]
    pub fn repeating(self, index: usize) -> Self {
        Self { variadic: Some(index), ..self }
    }
}

impl fmt::Debug for Overload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { parameters, variadic, returns, evaluate: _ } = self;
        let mut shown = f.debug_struct("Overload");
        shown
            .field("parameters", parameters)
            .field("variadic", variadic)
            .field("returns", returns)
            .finish_non_exhaustive()
    }
}

/// Computes a function over a batch: one value a row.
///
/// An error spoils the whole batch; who calls looks for the rows that cause it, makes them null and reports them. So an implementation
/// fails for what the language calls an error of a row, and gives null for what it calls null.
pub type Evaluation = dyn Fn(&Call<'_>) -> Result<ArrayRef, String> + Send + Sync;

/// An [`Evaluation`] that holds nothing, as the functions of the language are.
pub(crate) type Evaluate = fn(&Call<'_>) -> Result<ArrayRef, String>;

/// A call over a batch of rows.
#[derive(Debug)]
pub struct Call<'a> {
    /// The arguments, of the types of the overload.
    pub arguments: &'a [Argument],
    /// How many rows.
    pub rows: usize,
    /// The type of the result.
    pub returns: &'a DataType,
}

/// An argument of a call.
#[derive(Debug, Clone)]
pub enum Argument {
    /// One value a row.
    Column(ArrayRef),
    /// One value for all rows: an array of length 1. What is dear to prepare, such as a pattern, is prepared once a batch.
    Constant(ArrayRef),
}

impl Argument {
    /// One value a row.
    ///
    /// # Errors
    /// Those of the compute kernel that repeats a constant.
    pub fn column(&self, rows: usize) -> Result<ArrayRef, ArrowError> {
        match self {
            Self::Column(column) => Ok(ArrayRef::clone(column)),
            Self::Constant(value) => compute::take(value, &arrow::array::UInt32Array::from(vec![0; rows]), None),
        }
    }

    /// The only value, if it is one for all rows.
    pub fn constant(&self) -> Option<&ArrayRef> {
        match self {
            Self::Column(_) => None,
            Self::Constant(value) => Some(value),
        }
    }
}

/// A scalar function of the language.
#[derive(Debug, Clone)]
pub struct ScalarFunction {
    /// Its name, in upper case.
    pub name: &'static str,
    /// What it is good for, one sentence, for `DESCRIBE FUNCTION`.
    pub description: &'static str,
    /// How it can be called.
    pub overloads: Vec<Overload>,
    /// Whether it gives the same for the same arguments: then a call of constants is computed once.
    pub is_deterministic: bool,
}

impl ScalarFunction {
    /// A function that gives the same for the same arguments.
    pub fn new(name: &'static str, description: &'static str, overloads: impl Into<Vec<Overload>>) -> Self {
        Self { name, description, overloads: overloads.into(), is_deterministic: true }
    }

    /// The same function, called anew for each row even if its arguments are constants.
    #[must_use]
    pub fn volatile(self) -> Self {
        Self { is_deterministic: false, ..self }
    }
}
