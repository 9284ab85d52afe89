//! Values of any type as bytes: equal bytes are equal values.
//!
//! Equality is that of Java's objects, which ksqlDB compares: null equals null, NaN equals NaN, 0.0 is not -0.0, and the order of a map's
//! entries does not matter. One buffer holds the keys of a whole column.

use arrow::{
    array::{Array, ArrayRef, AsArray, make_comparator},
    compute::SortOptions,
    datatypes::{
        DataType, Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, Time32MillisecondType, TimeUnit,
        TimestampMillisecondType,
    },
};

/// The keys of a column.
#[derive(Debug)]
pub(crate) struct ValueKeys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl ValueKeys {
    /// The keys of all values of `column`.
    ///
    /// # Errors
    /// If a value is of no type of the language.
    pub(crate) fn of(column: &ArrayRef) -> Result<Self, String> {
        let mut keys = Self { bytes: Vec::with_capacity(column.len() * 9), ends: Vec::with_capacity(column.len()) };
        for row in 0..column.len() {
            append(column.as_ref(), row, &mut keys.bytes)?;
            keys.ends.push(keys.bytes.len());
        }
        Ok(keys)
    }

    /// The key of the value at `row`.
    pub(crate) fn get(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.bytes[start..self.ends[row]]
    }
}

/// Whether a value of one column equals one of another of the same type.
pub(crate) type Equality = Box<dyn Fn(usize, usize) -> bool>;

/// Compares values where they lie if they are flat, by their keys otherwise.
///
/// # Errors
/// If a value is of no type of the language.
pub(crate) fn equality(left: &ArrayRef, right: &ArrayRef) -> Result<Equality, String> {
    if left.data_type().is_nested() {
        let (left, right) = (ValueKeys::of(left)?, ValueKeys::of(right)?);
        return Ok(Box::new(move |at, other| left.get(at) == right.get(other)));
    }
    let order = make_comparator(left.as_ref(), right.as_ref(), SortOptions::default());
    let order = order.map_err(|error| error.to_string())?;
    Ok(Box::new(move |at, other| order(at, other).is_eq()))
}

/// Appends the key of one value: a byte that says whether it is there, then what it is, lengths before what has one.
fn append(array: &dyn Array, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
    if array.is_null(row) {
        out.push(0);
        return Ok(());
    }
    out.push(1);
    match array.data_type() {
        DataType::Boolean => out.push(u8::from(array.as_boolean().value(row))),
        DataType::Int32 => out.extend(array.as_primitive::<Int32Type>().value(row).to_le_bytes()),
        DataType::Int64 => out.extend(array.as_primitive::<Int64Type>().value(row).to_le_bytes()),
        DataType::Float64 => {
            let value = array.as_primitive::<Float64Type>().value(row);
            let value = if value.is_nan() { f64::NAN } else { value };
            out.extend(value.to_bits().to_le_bytes());
        }
        DataType::Decimal128(..) => out.extend(array.as_primitive::<Decimal128Type>().value(row).to_le_bytes()),
        DataType::Date32 => out.extend(array.as_primitive::<Date32Type>().value(row).to_le_bytes()),
        DataType::Time32(TimeUnit::Millisecond) => {
            out.extend(array.as_primitive::<Time32MillisecondType>().value(row).to_le_bytes());
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            out.extend(array.as_primitive::<TimestampMillisecondType>().value(row).to_le_bytes());
        }
        DataType::Utf8 => sized(array.as_string::<i32>().value(row).as_bytes(), out),
        DataType::Binary => sized(array.as_binary::<i32>().value(row), out),
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            out.extend(items.len().to_le_bytes());
            (0..items.len()).try_for_each(|item| append(items.as_ref(), item, out))?;
        }
        DataType::Struct(_) => {
            array.as_struct().columns().iter().try_for_each(|field| append(field.as_ref(), row, out))?;
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let mut keys = Vec::with_capacity(entries.len());
            for entry in 0..entries.len() {
                let mut key = Vec::new();
                entries.columns().iter().try_for_each(|part| append(part.as_ref(), entry, &mut key))?;
                keys.push(key);
            }
            keys.sort_unstable();
            out.extend(keys.len().to_le_bytes());
            keys.iter().for_each(|key| out.extend_from_slice(key));
        }
        other => return Err(format!("values of {other} cannot be compared")),
    }
    Ok(())
}

fn sized(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend(bytes.len().to_le_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int32Builder, ListArray, MapBuilder, StringArray, StringBuilder};

    use super::*;

    /// Which rows have equal keys: for each row the first that equals it.
    fn check(column: ArrayRef, want: &[usize]) {
        let keys = ValueKeys::of(&column).unwrap();
        let first = |row| (0..=row).find(|&other| keys.get(other) == keys.get(row)).unwrap();
        assert_eq!((0..column.len()).map(first).collect::<Vec<_>>(), want, "{column:?}");
    }

    #[test]
    fn equal_values_have_equal_keys() {
        check(Arc::new(StringArray::from(vec![Some("a"), None, Some("a"), Some(""), None])), &[0, 1, 0, 3, 1]);
        let other_nan = f64::from_bits(f64::NAN.to_bits() | 1);
        check(Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, other_nan])), &[0, 1, 2, 2]);
        let lists =
            [Some(vec![Some(1), None]), Some(vec![Some(1)]), Some(vec![None, Some(1)]), Some(vec![Some(1), None])];
        check(Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists)), &[0, 1, 2, 0]);
        let mut maps = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
        for entries in [[("a", 1), ("b", 2)], [("b", 2), ("a", 1)], [("a", 2), ("b", 1)]] {
            for (key, value) in entries {
                maps.keys().append_value(key);
                maps.values().append_value(value);
            }
            maps.append(true).unwrap();
        }
        check(Arc::new(maps.finish()), &[0, 0, 2]);
    }
}
