//! Table functions: a row for each argument, as text, and one that fails.

use std::{fmt::Write, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, StringBuilder, new_empty_array},
    buffer::OffsetBuffer,
    datatypes::{DataType, Int32Type},
    util::display::{ArrayFormatter, FormatOptions},
};
use millstream_sql::{
    catalog::SqlType,
    functions::{
        Functions,
        columns::{column, read},
        signature::{Call, Overload, Parameter, Returns},
        table::TableFunction,
    },
};

/// Adds the family.
pub(super) fn add(functions: Functions) -> Functions {
    let functions = functions.with_table(test_udtf()).expect("a free name");
    functions.with_table(throwing_udtf()).expect("a free name")
}

fn test_udtf() -> TableFunction {
    let plain = || {
        [SqlType::Int, SqlType::BigInt, SqlType::Double, SqlType::Boolean, SqlType::Varchar]
            .map(Parameter::Type)
            .into_iter()
            .chain([Parameter::AnyDecimal, Parameter::AnyStruct])
    };
    let map = |value| Parameter::Map(Box::new(Parameter::Type(SqlType::Varchar)), Box::new(value));
    let array = |item| Parameter::Array(Box::new(item));
    let texts = || Returns::Type(SqlType::Array(Box::new(SqlType::Varchar)));
    let overloads = vec![
        Overload::new(plain().collect::<Vec<_>>(), texts(), shown),
        Overload::new(plain().map(array).collect::<Vec<_>>(), texts(), shown),
        Overload::new(plain().map(map).collect::<Vec<_>>(), texts(), shown),
        Overload::new([Parameter::Any('T')], Returns::Like(array(Parameter::Any('T'))), one_row),
    ];
    TableFunction { name: "TEST_UDTF", description: "Its arguments, a row each.", overloads }
}

/// `(fails)`: fails if it is true, otherwise gives it as a row.
fn throwing_udtf() -> TableFunction {
    let evaluate = |call: &Call<'_>| {
        let fails = read::<BooleanArray>(call, 0)?;
        match (0..call.rows).any(|row| fails.get(row) == Some(true)) {
            true => Err("THROWING_UDTF was told to fail".to_owned()),
            false => one_row(call),
        }
    };
    let returns = Returns::Type(SqlType::Array(Box::new(SqlType::Boolean)));
    let overloads = vec![Overload::new([Parameter::Type(SqlType::Boolean)], returns, evaluate)];
    TableFunction { name: "THROWING_UDTF", description: "Fails if it is told to.", overloads }
}

/// The argument as an array of one item.
fn one_row(call: &Call<'_>) -> Result<ArrayRef, String> {
    let DataType::List(item) = call.returns else { return Err(format!("not an ARRAY: {}", call.returns)) };
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(1, call.rows));
    Ok(Arc::new(ListArray::new(Arc::clone(item), offsets, column(call, 0)?, None)))
}

/// Each argument as text; of an array its first item, of a map the value of its first entry.
fn shown(call: &Call<'_>) -> Result<ArrayRef, String> {
    let DataType::List(item) = call.returns else { return Err(format!("not an ARRAY: {}", call.returns)) };
    let columns = (0..call.arguments.len()).map(|index| column(call, index)).collect::<Result<Vec<_>, _>>()?;
    let mut texts = StringBuilder::new();
    for row in 0..call.rows {
        for column in &columns {
            let first = first(&column.slice(row, 1));
            match first.is_empty() || first.is_null(0) {
                true => texts.append_null(),
                false => texts.append_value(text(&first)?),
            }
        }
    }
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(columns.len(), call.rows));
    Ok(Arc::new(ListArray::new(Arc::clone(item), offsets, Arc::new(texts.finish()), None)))
}

/// The value of one row, looked for inside of arrays and maps.
fn first(one: &ArrayRef) -> ArrayRef {
    match one.data_type() {
        DataType::List(_) => one.as_list::<i32>().value(0),
        DataType::Map(_, _) => ArrayRef::clone(one.as_map().value(0).column(1)),
        _ if one.is_empty() => new_empty_array(one.data_type()),
        _ => ArrayRef::clone(one),
    }
}

/// A value as Java prints it.
fn text(one: &ArrayRef) -> Result<String, String> {
    match one.data_type() {
        DataType::Struct(fields) => {
            let mut out = "Struct{".to_owned();
            for (index, (field, value)) in fields.iter().zip(one.as_struct().columns()).enumerate() {
                let separator = if index > 0 { "," } else { "" };
                let value = text(&value.slice(0, 1))?;
                write!(out, "{separator}{}={value}", field.name()).map_err(|error| error.to_string())?;
            }
            Ok(out + "}")
        }
        DataType::Int32 => Ok(one.as_primitive::<Int32Type>().value(0).to_string()),
        _ => {
            let formatter = ArrayFormatter::try_new(one, &FormatOptions::default());
            Ok(formatter.map_err(|error| error.to_string())?.value(0).to_string())
        }
    }
}
