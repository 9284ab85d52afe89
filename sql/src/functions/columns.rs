//! Columns as functions read and write them: the value of a row or nothing, whether the argument is a column or a constant.
//!
//! A [`Reader`] hides that difference and copies nothing. The writers take a closure that gives one row; texts and bytes are written
//! into one buffer that all rows share, so that a row costs no allocation. Lists and maps have the field names of
//! [`SqlType::to_arrow`](crate::catalog::SqlType::to_arrow).

use std::any::type_name;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayAccessor, ArrayRef, ArrowPrimitiveType, BinaryArray, BinaryBuilder, BooleanArray, BooleanBuilder,
    Decimal128Array, Float64Array, Int32Array, Int64Array, ListBuilder, MapArray, MapBuilder, MapFieldNames,
    PrimitiveBuilder, StringArray, StringBuilder,
};

use super::signature::{Argument, Call};

/// An argument as values of one kind, a row at a time.
#[derive(Debug, Clone, Copy)]
pub struct Reader<A> {
    values: A,
    is_constant: bool,
}

impl<A: ArrayAccessor> Reader<A> {
    /// The value of a row; nothing if it is null.
    #[inline]
    pub fn get(&self, row: usize) -> Option<A::Item> {
        let row = if self.is_constant { 0 } else { row };
        if self.values.is_null(row) { None } else { Some(self.values.value(row)) }
    }

    /// The value for all rows, if the argument is a constant that is not null.
    pub fn constant(&self) -> Option<A::Item> {
        if self.is_constant { self.get(0) } else { None }
    }
}

/// The argument `index` as what `A` holds.
///
/// # Errors
/// The argument is missing or of another type: the call was not resolved to an overload that says so.
pub fn read<'a, A: Array + 'static>(call: &'a Call<'_>, index: usize) -> Result<Reader<&'a A>, String>
where
    &'a A: ArrayAccessor,
{
    let argument = call.arguments.get(index).ok_or_else(|| format!("argument {} is missing", index + 1))?;
    read_argument(argument)
}

/// An argument as what `A` holds.
///
/// # Errors
/// The argument is of another type.
pub(crate) fn read_argument<'a, A: Array + 'static>(argument: &'a Argument) -> Result<Reader<&'a A>, String>
where
    &'a A: ArrayAccessor,
{
    let (array, is_constant) = match argument {
        Argument::Column(column) => (column, false),
        Argument::Constant(value) => (value, true),
    };
    Ok(Reader { values: downcast(array)?, is_constant })
}

/// An array as its kind.
///
/// # Errors
/// It is of another kind.
pub(crate) fn downcast<A: Array + 'static>(array: &ArrayRef) -> Result<&A, String> {
    array.as_any().downcast_ref::<A>().ok_or_else(|| {
        let wanted = type_name::<A>().rsplit("::").next().unwrap_or_default();
        format!("an argument is {} where {wanted} was expected", array.data_type())
    })
}

/// STRING.
pub(crate) type Texts<'a> = Reader<&'a StringArray>;
/// BYTES.
pub(crate) type Bytes<'a> = Reader<&'a BinaryArray>;
/// INT.
pub(crate) type Ints<'a> = Reader<&'a Int32Array>;
/// BIGINT.
pub(crate) type BigInts<'a> = Reader<&'a Int64Array>;
/// DOUBLE.
pub(crate) type Doubles<'a> = Reader<&'a Float64Array>;
/// BOOLEAN.
pub(crate) type Booleans<'a> = Reader<&'a BooleanArray>;
/// DECIMAL, as whole numbers of its scale.
pub(crate) type Decimals<'a> = Reader<&'a Decimal128Array>;

/// The column of an argument that is a map, constants repeated.
///
/// # Errors
/// The argument is missing or of another type.
pub(crate) fn maps(call: &Call<'_>, index: usize) -> Result<MapArray, String> {
    downcast::<MapArray>(&column(call, index)?).cloned()
}

/// The column of an argument of any type, constants repeated.
///
/// # Errors
/// The argument is missing.
pub fn column(call: &Call<'_>, index: usize) -> Result<ArrayRef, String> {
    let argument = call.arguments.get(index).ok_or_else(|| format!("argument {} is missing", index + 1))?;
    argument.column(call.rows).map_err(|error| error.to_string())
}

/// What a row's closure says: there is a value (and it has been written), there is none, or the row fails.
pub type Written = Result<Option<()>, String>;

/// A column of STRING; `write` appends a row's text to an empty buffer.
///
/// # Errors
/// What the closure fails with.
pub fn write_texts(rows: usize, mut write: impl FnMut(usize, &mut String) -> Written) -> Result<ArrayRef, String> {
    let mut builder = StringBuilder::with_capacity(rows, rows * 16);
    let mut buffer = String::new();
    for row in 0..rows {
        buffer.clear();
        builder.append_option(write(row, &mut buffer)?.map(|()| buffer.as_str()));
    }
    Ok(Arc::new(builder.finish()))
}

/// A column of STRING whose texts exist already, as parts of an argument do.
pub(crate) fn copy_texts<'a>(
    rows: usize,
    mut text: impl FnMut(usize) -> Result<Option<&'a str>, String>,
) -> Result<ArrayRef, String> {
    let mut builder = StringBuilder::with_capacity(rows, rows * 16);
    for row in 0..rows {
        builder.append_option(text(row)?);
    }
    Ok(Arc::new(builder.finish()))
}

/// A column of BYTES; `write` appends a row's bytes to an empty buffer.
pub(crate) fn write_bytes(
    rows: usize,
    mut write: impl FnMut(usize, &mut Vec<u8>) -> Written,
) -> Result<ArrayRef, String> {
    let mut builder = BinaryBuilder::with_capacity(rows, rows * 16);
    let mut buffer = Vec::new();
    for row in 0..rows {
        buffer.clear();
        builder.append_option(write(row, &mut buffer)?.map(|()| buffer.as_slice()));
    }
    Ok(Arc::new(builder.finish()))
}

/// A column of numbers, days or times, such as `Int32Type`; the type of `T` without precision or zone.
///
/// # Errors
/// What the closure fails with.
pub fn write_values<T: ArrowPrimitiveType>(
    rows: usize,
    mut value: impl FnMut(usize) -> Result<Option<T::Native>, String>,
) -> Result<ArrayRef, String> {
    let mut builder = PrimitiveBuilder::<T>::with_capacity(rows);
    for row in 0..rows {
        builder.append_option(value(row)?);
    }
    Ok(Arc::new(builder.finish()))
}

/// A column of BOOLEAN.
///
/// # Errors
/// What the closure fails with.
pub fn write_booleans(
    rows: usize,
    mut value: impl FnMut(usize) -> Result<Option<bool>, String>,
) -> Result<ArrayRef, String> {
    let mut builder = BooleanBuilder::with_capacity(rows);
    for row in 0..rows {
        builder.append_option(value(row)?);
    }
    Ok(Arc::new(builder.finish()))
}

/// A column of ARRAY<STRING>; `write` appends a row's items.
pub(crate) fn write_text_lists(
    rows: usize,
    mut write: impl FnMut(usize, &mut StringBuilder) -> Written,
) -> Result<ArrayRef, String> {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for row in 0..rows {
        let written = write(row, builder.values())?;
        builder.append(written.is_some());
    }
    Ok(Arc::new(builder.finish()))
}

/// A column of ARRAY<BYTES>; `write` appends a row's items.
pub(crate) fn write_bytes_lists(
    rows: usize,
    mut write: impl FnMut(usize, &mut BinaryBuilder) -> Written,
) -> Result<ArrayRef, String> {
    let mut builder = ListBuilder::new(BinaryBuilder::new());
    for row in 0..rows {
        let written = write(row, builder.values())?;
        builder.append(written.is_some());
    }
    Ok(Arc::new(builder.finish()))
}

/// A column of MAP<STRING, STRING>; `write` appends a row's keys, each once, and as many values.
pub(crate) fn write_text_maps(
    rows: usize,
    mut write: impl FnMut(usize, &mut StringBuilder, &mut StringBuilder) -> Written,
) -> Result<ArrayRef, String> {
    let names = MapFieldNames { entry: "entries".to_owned(), key: "key".to_owned(), value: "value".to_owned() };
    let mut builder = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
    for row in 0..rows {
        let (keys, values) = builder.entries();
        let written = write(row, keys, values)?;
        builder.append(written.is_some()).map_err(|error| error.to_string())?;
    }
    Ok(Arc::new(builder.finish()))
}

#[cfg(test)]
pub(crate) mod harness {
    //! Calls of functions for tests: the overload that the arguments' types name, results as text.

    use std::collections::HashMap;
    use std::sync::Arc;

    use arrow::array::{
        Array, ArrayRef, BinaryArray, Float64Array, Int32Array, Int64Array, StringArray, new_null_array,
    };
    use arrow::util::display::{ArrayFormatter, FormatOptions};

    use super::super::signature::{Argument, Call, Overload, Parameter, Returns, ScalarFunction};
    use crate::catalog::SqlType;

    /// A column of STRING.
    pub(crate) fn texts(values: &[Option<&str>]) -> Argument {
        Argument::Column(Arc::new(StringArray::from(values.to_vec())))
    }

    /// A column of BYTES.
    pub(crate) fn bytes(values: &[Option<&[u8]>]) -> Argument {
        Argument::Column(Arc::new(BinaryArray::from(values.to_vec())))
    }

    /// A column of INT.
    pub(crate) fn ints(values: &[Option<i32>]) -> Argument {
        Argument::Column(Arc::new(Int32Array::from(values.to_vec())))
    }

    /// A column of BIGINT.
    pub(crate) fn big_ints(values: &[Option<i64>]) -> Argument {
        Argument::Column(Arc::new(Int64Array::from(values.to_vec())))
    }

    /// A column of DOUBLE.
    pub(crate) fn doubles(values: &[Option<f64>]) -> Argument {
        Argument::Column(Arc::new(Float64Array::from(values.to_vec())))
    }

    /// One STRING for all rows.
    pub(crate) fn text(value: &str) -> Argument {
        Argument::Constant(Arc::new(StringArray::from(vec![value])))
    }

    /// One INT for all rows.
    pub(crate) fn int(value: i32) -> Argument {
        Argument::Constant(Arc::new(Int32Array::from(vec![value])))
    }

    /// NULL of a type for all rows.
    pub(crate) fn null(data_type: &SqlType) -> Argument {
        Argument::Constant(new_null_array(&data_type.to_arrow(), 1))
    }

    /// Calls `name` with the arguments and compares the rows shown: nulls as `null`, an error of the batch as one row `error: ..`.
    pub(crate) fn check(functions: &[ScalarFunction], name: &str, arguments: &[Argument], want: &[&str]) {
        let rows = if want.first().is_some_and(|first| first.starts_with("error: ")) {
            arguments.iter().filter_map(column_rows).next().unwrap_or(1)
        } else {
            want.len()
        };
        assert_eq!(call(functions, name, arguments, rows), want, "{name} of {arguments:?}");
    }

    fn column_rows(argument: &Argument) -> Option<usize> {
        match argument {
            Argument::Column(column) => Some(column.len()),
            Argument::Constant(_) => None,
        }
    }

    /// Calls `name` with the arguments; the rows as text.
    pub(crate) fn call(functions: &[ScalarFunction], name: &str, arguments: &[Argument], rows: usize) -> Vec<String> {
        let function = functions.iter().find(|function| function.name == name).expect("a function of the family");
        let types: Vec<SqlType> = arguments.iter().map(sql_type).collect();
        let (overload, bound) = function
            .overloads
            .iter()
            .find_map(|overload| Some((overload, bind(overload, &types)?)))
            .unwrap_or_else(|| panic!("{name} has no overload for {types:?}"));
        let returns = match &overload.returns {
            Returns::Type(returns) => returns.clone(),
            Returns::Like(parameter) => like(parameter, &bound),
            Returns::Computed(compute) => match compute(&types) {
                Ok(returns) => returns,
                Err(error) => return vec![format!("error: {error}")],
            },
        }
        .to_arrow();
        match (overload.evaluate)(&Call { arguments, rows, returns: &returns }) {
            Ok(column) => {
                assert_eq!(column.data_type(), &returns, "type of {name}");
                assert_eq!(column.len(), rows, "rows of {name}");
                show(&column)
            }
            Err(error) => vec![format!("error: {error}")],
        }
    }

    fn sql_type(argument: &Argument) -> SqlType {
        let (Argument::Column(array) | Argument::Constant(array)) = argument;
        SqlType::from_arrow(array.data_type()).expect("a type of the language")
    }

    /// The type variables, if the types are exactly those of the parameters.
    fn bind(overload: &Overload, types: &[SqlType]) -> Option<HashMap<char, SqlType>> {
        let mut parameters: Vec<&Parameter> = overload.parameters.iter().collect();
        if let Some(variadic) = overload.variadic {
            let repeated = (types.len() + 1).checked_sub(parameters.len())?;
            let parameter = parameters[variadic];
            parameters.splice(variadic..=variadic, std::iter::repeat_n(parameter, repeated));
        }
        let mut bound = HashMap::new();
        let fits = parameters.len() == types.len()
            && parameters.iter().zip(types).all(|(parameter, given)| fit(parameter, given, &mut bound));
        fits.then_some(bound)
    }

    fn fit(parameter: &Parameter, given: &SqlType, bound: &mut HashMap<char, SqlType>) -> bool {
        match (parameter, given) {
            (Parameter::Type(wanted), _) => wanted == given,
            (Parameter::AnyDecimal, SqlType::Decimal { .. })
            | (Parameter::AnyStruct, SqlType::Struct(_))
            | (Parameter::Unit, SqlType::BigInt) => true,
            (Parameter::Any(variable), _) => bound.entry(*variable).or_insert_with(|| given.clone()) == given,
            (Parameter::Array(inner), SqlType::Array(item)) => fit(inner, item, bound),
            (Parameter::Map(key, value), SqlType::Map(given_key, given_value)) => {
                fit(key, given_key, bound) && fit(value, given_value, bound)
            }
            _ => false,
        }
    }

    fn like(parameter: &Parameter, bound: &HashMap<char, SqlType>) -> SqlType {
        match parameter {
            Parameter::Type(data_type) => data_type.clone(),
            Parameter::Any(variable) => bound[variable].clone(),
            Parameter::Array(inner) => SqlType::Array(Box::new(like(inner, bound))),
            Parameter::Map(key, value) => SqlType::Map(Box::new(like(key, bound)), Box::new(like(value, bound))),
            other => panic!("a result cannot be like {other:?}"),
        }
    }

    /// The rows of a column as text, nulls as `null`.
    pub(crate) fn show(column: &ArrayRef) -> Vec<String> {
        let options = FormatOptions::default().with_null("null");
        let formatter = ArrayFormatter::try_new(column.as_ref(), &options).expect("a type that can be shown");
        (0..column.len()).map(|row| formatter.value(row).to_string()).collect()
    }
}
