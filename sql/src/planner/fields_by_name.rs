//! Struct literals of INSERT VALUES as the structs of columns: fields by their names, at any depth.
//!
//! A field that the literal lacks is null; one that the column lacks is left out, as in ksqlDB.

use arrow::{
    array::{Array, ArrayRef, AsArray, ListArray, StructArray, new_null_array},
    compute::{self, CastOptions},
    datatypes::DataType,
    error::ArrowError,
};
use std::sync::Arc;

/// Casts values to a type.
///
/// # Errors
/// A value that the type cannot hold.
pub(super) fn cast(array: &ArrayRef, wanted: &DataType, options: &CastOptions<'_>) -> Result<ArrayRef, ArrowError> {
    match (array.data_type(), wanted) {
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let parts = array.as_struct();
            let column = |field: &arrow::datatypes::FieldRef| match parts.column_by_name(field.name()) {
                Some(found) => cast(found, field.data_type(), options),
                None => Ok(new_null_array(field.data_type(), parts.len())),
            };
            let columns = fields.iter().map(column).collect::<Result<_, _>>()?;
            let nulls = parts.nulls().cloned();
            Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, parts.len())?))
        }
        (DataType::List(_), DataType::List(item)) => {
            let list = array.as_list::<i32>();
            let items = cast(list.values(), item.data_type(), options)?;
            Ok(Arc::new(ListArray::try_new(Arc::clone(item), list.offsets().clone(), items, list.nulls().cloned())?))
        }
        _ => compute::cast_with_options(array, wanted, options),
    }
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{Int32Array, StringArray},
        datatypes::Field,
        util::display::array_value_to_string,
    };

    use super::*;

    #[test]
    fn fields_are_found_by_name() {
        let literal = StructArray::from(vec![
            (Arc::new(Field::new("B", DataType::Utf8, true)), Arc::new(StringArray::from(vec!["b"])) as ArrayRef),
            (Arc::new(Field::new("X", DataType::Utf8, true)), Arc::new(StringArray::from(vec!["x"])) as ArrayRef),
            (Arc::new(Field::new("A", DataType::Int32, true)), Arc::new(Int32Array::from(vec![1])) as ArrayRef),
        ]);
        let check = |fields: &[(&str, DataType)], want: &str| {
            let fields = fields.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect();
            let literal: ArrayRef = Arc::new(literal.clone());
            let options = CastOptions { safe: false, ..CastOptions::default() };
            let got = cast(&literal, &DataType::Struct(fields), &options);
            let shown = got.map(|array| array_value_to_string(&array, 0).expect("it is shown"));
            assert_eq!(shown.unwrap_or_else(|error| error.to_string()), want);
        };
        check(&[("A", DataType::Int64), ("B", DataType::Utf8)], "{A: 1, B: b}");
        check(&[("C", DataType::Int64), ("B", DataType::Utf8)], "{C: , B: b}");
        check(&[("B", DataType::Int64)], "Cast error: Cannot cast string 'b' to value of Int64 type");
    }
}
