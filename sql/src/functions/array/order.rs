//! Arrays of values that have an order: the least, the greatest, all of them sorted. Nulls count for nothing and are sorted last.

use arrow::{
    array::{Array, ArrayRef, UInt32Array, make_comparator},
    compute::{SortOptions, take},
};

use super::super::{
    columns::{Texts, read},
    lists::{ListPicker, items, lists},
    overload::{array_of_any, function, overload},
    signature::{Call, Parameter, Returns, ScalarFunction},
};
use crate::catalog::SqlType;

/// The functions of this file.
pub(super) fn functions() -> Vec<ScalarFunction> {
    let one = || [array_of_any()];
    let directed = [array_of_any(), Parameter::Type(SqlType::Varchar)];
    let sort = vec![
        overload(&one(), Returns::Computed(array_in_order), sort),
        overload(&directed, Returns::Computed(array_in_order), sort),
    ];
    vec![
        function(
            "ARRAY_MAX",
            "The greatest item; null if there is none.",
            vec![overload(&one(), Returns::Computed(item_in_order), |call| extreme(call, true))],
        ),
        function(
            "ARRAY_MIN",
            "The least item; null if there is none.",
            vec![overload(&one(), Returns::Computed(item_in_order), |call| extreme(call, false))],
        ),
        function("ARRAY_SORT", "The items in order, 'ASC' or 'DESC', nulls last.", sort),
    ]
}

fn item_in_order(types: &[SqlType]) -> Result<SqlType, String> {
    match types.first() {
        Some(SqlType::Array(item)) if item.has_order() => Ok(item.as_ref().clone()),
        Some(SqlType::Array(item)) => Err(format!("values of {item} have no order")),
        other => Err(format!("ARRAY is wanted, not {other:?}")),
    }
}

fn array_in_order(types: &[SqlType]) -> Result<SqlType, String> {
    item_in_order(types).map(|item| SqlType::Array(Box::new(item)))
}

fn extreme(call: &Call<'_>, greatest: bool) -> Result<ArrayRef, String> {
    let array = lists(call, 0)?;
    let values = array.values();
    // With the greatest first, what is wanted is the first in either case.
    let order = SortOptions { descending: greatest, nulls_first: false };
    let compare = make_comparator(values.as_ref(), values.as_ref(), order).map_err(|error| error.to_string())?;
    let best = |row: usize| {
        let there = items(&array, row)?.filter(|item| values.is_valid(*item));
        there.reduce(|best, item| if compare(item, best).is_lt() { item } else { best })
    };
    let picked: UInt32Array = (0..call.rows).map(|row| best(row).map(|item| item as u32)).collect();
    take(values.as_ref(), &picked, None).map_err(|error| error.to_string())
}

fn sort(call: &Call<'_>) -> Result<ArrayRef, String> {
    let array = lists(call, 0)?;
    let values = array.values();
    let directions: Option<Texts<'_>> = if call.arguments.len() > 1 { Some(read(call, 1)?) } else { None };
    let comparator = |descending| {
        let order = SortOptions { descending, nulls_first: false };
        make_comparator(values.as_ref(), values.as_ref(), order).map_err(|error| error.to_string())
    };
    let (ascending, descending) = (comparator(false)?, comparator(true)?);
    let mut sorted: Vec<usize> = Vec::new();
    let mut picker = ListPicker::new(vec![values.as_ref()], call.rows);
    for row in 0..call.rows {
        let is_descending = match &directions {
            None => Some(false),
            Some(directions) => directions.get(row).map(is_descending).transpose()?,
        };
        let (Some(is_descending), Some(items)) = (is_descending, items(&array, row)) else {
            picker.end(false)?;
            continue;
        };
        sorted.clear();
        sorted.extend(items);
        sorted.sort_by(
            |first, second| {
                if is_descending { descending(*first, *second) } else { ascending(*first, *second) }
            },
        );
        sorted.iter().for_each(|item| picker.pick(0, *item));
        picker.end(true)?;
    }
    picker.finish(call.returns)
}

fn is_descending(direction: &str) -> Result<bool, String> {
    let is = |names: [&str; 2]| names.iter().any(|name| direction.eq_ignore_ascii_case(name));
    if is(["ASC", "ASCENDING"]) {
        Ok(false)
    } else if is(["DESC", "DESCENDING"]) {
        Ok(true)
    } else {
        Err(format!("arrays are sorted 'ASC' or 'DESC', not `{direction}`"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{BooleanArray, Decimal128Array, Float64Array, ListArray},
        buffer::OffsetBuffer,
        datatypes::Field,
    };

    use super::{
        super::samples::{int_lists, text_lists},
        *,
    };
    use crate::functions::{
        columns::harness::{check, null, text, texts},
        signature::Argument,
    };

    fn list(values: ArrayRef) -> Argument {
        let field = Arc::new(Field::new("item", values.data_type().clone(), true));
        Argument::Column(Arc::new(ListArray::new(field, OffsetBuffer::from_lengths([values.len()]), values, None)))
    }

    #[test]
    fn arrays_in_order() {
        let family = functions();
        let check = |name: &str, arguments: &[Argument], want: &[&str]| check(&family, name, arguments, want);
        let ints = || int_lists(&[Some(&[Some(0), None, Some(1), Some(-1)]), Some(&[None]), Some(&[]), None]);
        check("ARRAY_MAX", &[ints()], &["1", "null", "null", "null"]);
        check("ARRAY_MIN", &[ints()], &["-1", "null", "null", "null"]);
        check("ARRAY_SORT", &[ints()], &["[-1, 0, 1, null]", "[null]", "[]", "null"]);
        check("ARRAY_SORT", &[ints(), text("desc")], &["[1, 0, -1, null]", "[null]", "[]", "null"]);
        let directions = texts(&[Some("ASCENDING"), None, Some("Desc"), Some("ASC")]);
        check("ARRAY_SORT", &[ints(), directions], &["[-1, 0, 1, null]", "null", "[]", "null"]);
        check("ARRAY_SORT", &[ints(), null(&SqlType::Varchar)], &["null"; 4]);
        check("ARRAY_SORT", &[ints(), text("up")], &["error: arrays are sorted 'ASC' or 'DESC', not `up`"]);
        let words = || text_lists(&[Some(&[Some("foo"), Some("fo"), Some("Food"), None, Some("F")])]);
        check("ARRAY_SORT", &[words()], &["[F, Food, fo, foo, null]"]);
        check("ARRAY_MAX", &[words()], &["foo"]);
        check("ARRAY_MIN", &[words()], &["F"]);
        check("ARRAY_MAX", &[list(Arc::new(BooleanArray::from(vec![None, Some(false), Some(true)])))], &["true"]);
        check("ARRAY_MIN", &[list(Arc::new(Float64Array::from(vec![0.5, f64::NAN, -0.5])))], &["-0.5"]);
        let decimals = Decimal128Array::from(vec![10, -99]).with_precision_and_scale(2, 1).unwrap();
        check("ARRAY_SORT", &[list(Arc::new(decimals))], &["[-9.9, 1.0]"]);
        let Argument::Column(nested) = ints() else { unreachable!() };
        check("ARRAY_MAX", &[list(nested)], &["error: values of ARRAY<INTEGER> have no order"]);
    }
}
