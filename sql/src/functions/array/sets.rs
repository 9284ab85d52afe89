//! Arrays as sets and sequences: what is in them, what they share, what is left. Equality is that of [`ValueKeys`].

use std::collections::HashSet;

use arrow::array::{ArrayRef, ListArray};

use super::super::{
    columns::{column, write_booleans},
    lists::{ListPicker, items, lists},
    overload::{array_of_any, function, overload},
    signature::{Call, Evaluate, Parameter, Returns, ScalarFunction},
    value_keys::{ValueKeys, equality},
};
use crate::catalog::SqlType;

/// The functions of this file.
pub(super) fn functions() -> Vec<ScalarFunction> {
    let array = |name, description, others: &[Parameter], evaluate: Evaluate| {
        let parameters = [&[array_of_any()], others].concat();
        function(name, description, vec![overload(&parameters, Returns::Like(array_of_any()), evaluate)])
    };
    let item = [Parameter::Any('T')];
    let other = [array_of_any()];
    let contains = overload(&[array_of_any(), Parameter::Any('T')], Returns::Type(SqlType::Boolean), contains);
    vec![
        array("ARRAY_CONCAT", "The items of both arrays, one after the other.", &other, concat),
        function("ARRAY_CONTAINS", "Whether an item is in the array.", vec![contains]),
        array("ARRAY_DISTINCT", "Each item once, in the order of their first occurrence.", &[], distinct),
        array("ARRAY_EXCEPT", "Each item of the first array once that is not in the second.", &other, except),
        array(
            "ARRAY_INTERSECT",
            "Each item once that is in both arrays, in the order of the first.",
            &other,
            intersect,
        ),
        array("ARRAY_REMOVE", "The items that are not equal to this one.", &item, remove),
        array("ARRAY_UNION", "Each item of both arrays once, in the order of their first occurrence.", &other, union),
    ]
}

/// The second array alone if the first is null, and the other way round.
fn concat(call: &Call<'_>) -> Result<ArrayRef, String> {
    let (first, second) = (lists(call, 0)?, lists(call, 1)?);
    let mut picker = ListPicker::new(vec![first.values().as_ref(), second.values().as_ref()], call.rows);
    for row in 0..call.rows {
        let parts = [items(&first, row), items(&second, row)];
        let valid = parts.iter().any(Option::is_some);
        for (source, part) in parts.into_iter().enumerate() {
            part.into_iter().flatten().for_each(|item| picker.pick(source, item));
        }
        picker.end(valid)?;
    }
    picker.finish(call.returns)
}

/// False for a null array; null is in an array that has a null.
fn contains(call: &Call<'_>) -> Result<ArrayRef, String> {
    let (array, wanted) = (lists(call, 0)?, column(call, 1)?);
    let equal = equality(array.values(), &wanted)?;
    write_booleans(call.rows, |row| {
        let found = items(&array, row).is_some_and(|mut items| items.any(|item| equal(item, row)));
        Ok(Some(found))
    })
}

fn remove(call: &Call<'_>) -> Result<ArrayRef, String> {
    let (array, unwanted) = (lists(call, 0)?, column(call, 1)?);
    let equal = equality(array.values(), &unwanted)?;
    let mut picker = ListPicker::new(vec![array.values().as_ref()], call.rows);
    for row in 0..call.rows {
        let items = items(&array, row);
        let valid = items.is_some();
        for item in items.into_iter().flatten().filter(|item| !equal(*item, row)) {
            picker.pick(0, item);
        }
        picker.end(valid)?;
    }
    picker.finish(call.returns)
}

fn distinct(call: &Call<'_>) -> Result<ArrayRef, String> {
    let array = lists(call, 0)?;
    let keys = ValueKeys::of(array.values())?;
    let mut seen = HashSet::new();
    let mut picker = ListPicker::new(vec![array.values().as_ref()], call.rows);
    for row in 0..call.rows {
        seen.clear();
        let items = items(&array, row);
        let valid = items.is_some();
        for item in items.into_iter().flatten().filter(|item| seen.insert(keys.get(*item))) {
            picker.pick(0, item);
        }
        picker.end(valid)?;
    }
    picker.finish(call.returns)
}

/// Which items of two arrays make the result.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// Those of the first that are in the second.
    Shared,
    /// Those of the first that are not in the second.
    Own,
    /// Those of both.
    All,
}

fn except(call: &Call<'_>) -> Result<ArrayRef, String> {
    of_two(call, Keep::Own)
}

fn intersect(call: &Call<'_>) -> Result<ArrayRef, String> {
    of_two(call, Keep::Shared)
}

fn union(call: &Call<'_>) -> Result<ArrayRef, String> {
    of_two(call, Keep::All)
}

/// Each item once; null if one of the arrays is.
fn of_two(call: &Call<'_>, keep: Keep) -> Result<ArrayRef, String> {
    let (first, second): (ListArray, ListArray) = (lists(call, 0)?, lists(call, 1)?);
    let keys = [ValueKeys::of(first.values())?, ValueKeys::of(second.values())?];
    let (mut seen, mut others) = (HashSet::new(), HashSet::new());
    let mut picker = ListPicker::new(vec![first.values().as_ref(), second.values().as_ref()], call.rows);
    for row in 0..call.rows {
        let (Some(own), Some(other)) = (items(&first, row), items(&second, row)) else {
            picker.end(false)?;
            continue;
        };
        seen.clear();
        others.clear();
        if keep != Keep::All {
            others.extend(other.clone().map(|item| keys[1].get(item)));
        }
        for item in own {
            let key = keys[0].get(item);
            if (keep == Keep::All || others.contains(key) == (keep == Keep::Shared)) && seen.insert(key) {
                picker.pick(0, item);
            }
        }
        if keep == Keep::All {
            other.filter(|item| seen.insert(keys[1].get(*item))).for_each(|item| picker.pick(1, item));
        }
        picker.end(true)?;
    }
    picker.finish(call.returns)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{array::Array, buffer::OffsetBuffer, datatypes::Field};

    use super::{
        super::samples::{Ints, int_lists, maps, text_lists},
        *,
    };
    use crate::functions::{
        columns::harness::{check, int, null, text, texts},
        signature::Argument,
    };

    #[test]
    fn one_array() {
        let family = functions();
        let check = |name: &str, arguments: &[Argument], want: &[&str]| check(&family, name, arguments, want);
        let arrays = || {
            int_lists(&[
                Some(&[Some(0), Some(0), Some(1), Some(0), Some(-1)]),
                Some(&[Some(0), None, Some(1), None]),
                Some(&[]),
                None,
            ])
        };
        check("ARRAY_DISTINCT", &[arrays()], &["[0, 1, -1]", "[0, null, 1]", "[]", "null"]);
        check("ARRAY_REMOVE", &[arrays(), int(0)], &["[1, -1]", "[null, 1, null]", "[]", "null"]);
        check("ARRAY_REMOVE", &[arrays(), null(&SqlType::Int)], &["[0, 0, 1, 0, -1]", "[0, 1]", "[]", "null"]);
        check("ARRAY_CONTAINS", &[arrays(), int(1)], &["true", "true", "false", "false"]);
        check("ARRAY_CONTAINS", &[arrays(), null(&SqlType::Int)], &["false", "true", "false", "false"]);
        let colors = text_lists(&[Some(&[Some("Red"), Some("Pink")]), Some(&[Some("Pin")]), Some(&[None])]);
        check("ARRAY_CONTAINS", &[colors.clone(), text("Pink")], &["true", "false", "false"]);
        let wanted = texts(&[Some("Pink"), Some("Pin"), None]);
        check("ARRAY_CONTAINS", &[colors, wanted], &["true", "true", "true"]);
    }

    #[test]
    fn two_arrays() {
        let family = functions();
        let check = |name: &str, first: Ints<'_>, second: Ints<'_>, want: &str| {
            check(&family, name, &[int_lists(&[first]), int_lists(&[second])], &[want]);
        };
        let first: Ints<'_> = Some(&[Some(0), Some(0), Some(1), None, Some(-1)]);
        let second: Ints<'_> = Some(&[Some(1), Some(-2), Some(0), None]);
        check("ARRAY_UNION", first, second, "[0, 1, null, -1, -2]");
        check("ARRAY_UNION", first, Some(&[]), "[0, 1, null, -1]");
        check("ARRAY_UNION", first, None, "null");
        check("ARRAY_UNION", None, first, "null");
        check("ARRAY_INTERSECT", first, second, "[0, 1, null]");
        check("ARRAY_INTERSECT", first, Some(&[Some(7)]), "[]");
        check("ARRAY_INTERSECT", None, second, "null");
        check("ARRAY_EXCEPT", first, second, "[-1]");
        check("ARRAY_EXCEPT", first, Some(&[]), "[0, 1, null, -1]");
        check("ARRAY_EXCEPT", first, None, "null");
        check("ARRAY_CONCAT", first, second, "[0, 0, 1, null, -1, 1, -2, 0, null]");
        check("ARRAY_CONCAT", None, second, "[1, -2, 0, null]");
        check("ARRAY_CONCAT", first, None, "[0, 0, 1, null, -1]");
        check("ARRAY_CONCAT", None, None, "null");
    }

    #[test]
    fn arrays_of_maps() {
        let family = functions();
        let values = maps(&[&[("a", 1), ("b", 2)], &[("a", 3)], &[("b", 2), ("a", 1)]]);
        let field = Arc::new(Field::new("item", values.data_type().clone(), true));
        let array = ListArray::new(field, OffsetBuffer::from_lengths([3]), values, None);
        let array = Argument::Column(Arc::new(array));
        check(&family, "ARRAY_DISTINCT", std::slice::from_ref(&array), &["[{a: 1, b: 2}, {a: 3}]"]);
        let unwanted = Argument::Column(maps(&[&[("a", 1), ("b", 2)]]));
        check(&family, "ARRAY_REMOVE", &[array, unwanted], &["[{a: 3}]"]);
    }
}
