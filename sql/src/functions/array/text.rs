//! ARRAY_JOIN: the items of an array as one text.

use std::fmt::Write;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{DataType, Decimal128Type, Float64Type, Int32Type, Int64Type},
};

use super::super::{
    columns::{Texts, read, write_texts},
    java_number::push_double,
    lists::{items, lists},
    overload::{array_of_any, function, overload},
    signature::{Call, Parameter, Returns, ScalarFunction},
};
use crate::catalog::SqlType;

/// The functions of this file.
pub(super) fn functions() -> Vec<ScalarFunction> {
    let delimited = [array_of_any(), Parameter::Type(SqlType::Varchar)];
    vec![function(
        "ARRAY_JOIN",
        "The items as text with a delimiter between them, which is a comma unless another is given.",
        vec![
            overload(&[array_of_any()], Returns::Computed(text_of), join),
            overload(&delimited, Returns::Computed(text_of), join),
        ],
    )]
}

fn text_of(types: &[SqlType]) -> Result<SqlType, String> {
    match types.first() {
        Some(SqlType::Array(item)) => match item.as_ref() {
            SqlType::Boolean
            | SqlType::Int
            | SqlType::BigInt
            | SqlType::Double
            | SqlType::Decimal { .. }
            | SqlType::Varchar => Ok(SqlType::Varchar),
            other => Err(format!("items of {other} cannot be joined; cast them to STRING")),
        },
        other => Err(format!("ARRAY is wanted, not {other:?}")),
    }
}

/// A null item is written `null`; a null delimiter is no delimiter.
fn join(call: &Call<'_>) -> Result<ArrayRef, String> {
    let array = lists(call, 0)?;
    let delimiters: Option<Texts<'_>> = if call.arguments.len() > 1 { Some(read(call, 1)?) } else { None };
    let values = array.values().as_ref();
    write_texts(call.rows, |row, out| {
        let Some(items) = items(&array, row) else { return Ok(None) };
        let delimiter = delimiters.as_ref().map_or(",", |delimiters| delimiters.get(row).unwrap_or_default());
        let first = items.start;
        for item in items {
            if item > first {
                out.push_str(delimiter);
            }
            write_item(values, item, out)?;
        }
        Ok(Some(()))
    })
}

fn write_item(values: &dyn Array, item: usize, out: &mut String) -> Result<(), String> {
    if values.is_null(item) {
        out.push_str("null");
        return Ok(());
    }
    let written = match values.data_type() {
        DataType::Boolean => write!(out, "{}", values.as_boolean().value(item)),
        DataType::Int32 => write!(out, "{}", values.as_primitive::<Int32Type>().value(item)),
        DataType::Int64 => write!(out, "{}", values.as_primitive::<Int64Type>().value(item)),
        DataType::Float64 => {
            push_double(values.as_primitive::<Float64Type>().value(item), out);
            Ok(())
        }
        DataType::Decimal128(..) => out.write_str(&values.as_primitive::<Decimal128Type>().value_as_string(item)),
        DataType::Utf8 => out.write_str(values.as_string::<i32>().value(item)),
        other => return Err(format!("items of {other} cannot be joined")),
    };
    written.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{BooleanArray, Date32Array, Decimal128Array, Float64Array, ListArray},
        buffer::OffsetBuffer,
        datatypes::Field,
    };

    use super::{
        super::samples::{int_lists, text_lists},
        *,
    };
    use crate::functions::{
        columns::harness::{check, null, text},
        signature::Argument,
    };

    #[test]
    fn items_are_joined() {
        let family = functions();
        let check = |arguments: &[Argument], want: &[&str]| check(&family, "ARRAY_JOIN", arguments, want);
        let list = |values: ArrayRef| {
            let field = Arc::new(Field::new("item", values.data_type().clone(), true));
            Argument::Column(Arc::new(ListArray::new(field, OffsetBuffer::from_lengths([values.len()]), values, None)))
        };
        check(&[int_lists(&[Some(&[Some(1), Some(-42), None]), Some(&[]), None])], &["1,-42,null", "", "null"]);
        let words = || text_lists(&[Some(&[Some("Hello"), Some(""), Some("you")])]);
        check(&[words(), text("_")], &["Hello__you"]);
        check(&[words(), null(&SqlType::Varchar)], &["Helloyou"]);
        check(&[list(Arc::new(BooleanArray::from(vec![Some(true), None])))], &["true,null"]);
        let doubles = vec![1.23, 0.0, -23.42, 1e7, 1.5e-4, 123_456.0, f64::INFINITY, 1e-3];
        check(
            &[list(Arc::new(Float64Array::from(doubles)))],
            &["1.23,0.0,-23.42,1.0E7,1.5E-4,123456.0,Infinity,0.001"],
        );
        let decimals = Decimal128Array::from(vec![12_345, -5]).with_precision_and_scale(5, 2).unwrap();
        check(&[list(Arc::new(decimals)), text("#")], &["123.45#-0.05"]);
        let dates = list(Arc::new(Date32Array::from(vec![1])));
        check(&[dates], &["error: items of DATE cannot be joined; cast them to STRING"]);
    }
}
