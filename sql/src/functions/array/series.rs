//! Arrays by number: how long they are, parts of them, series of numbers.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, ArrowPrimitiveType, PrimitiveArray},
    datatypes::{DataType, Int32Type, Int64Type},
};

use super::super::{
    columns::{Ints, read, write_values},
    lists::{ListPicker, items, list_of, lists},
    overload::{array_of_any, function, of, overload},
    signature::{Call, Parameter, Returns, ScalarFunction},
};
use crate::catalog::SqlType::{self, BigInt, Int};

/// The most numbers of a series: 128 MiB of BIGINT.
const MAX_SERIES: i128 = 1 << 24;

/// The functions of this file.
pub(super) fn functions() -> Vec<ScalarFunction> {
    let array = |item: SqlType| SqlType::Array(Box::new(item));
    let series = vec![
        of(&[Int, Int], array(Int), series::<Int32Type>),
        of(&[BigInt, BigInt], array(BigInt), series::<Int64Type>),
        of(&[Int, Int, Int], array(Int), series::<Int32Type>),
        of(&[BigInt, BigInt, Int], array(BigInt), series::<Int64Type>),
    ];
    let bounded = [array_of_any(), Parameter::Type(Int), Parameter::Type(Int)];
    vec![
        function(
            "ARRAY_LENGTH",
            "How many items an array has.",
            vec![overload(&[array_of_any()], Returns::Type(Int), length)],
        ),
        function("GENERATE_SERIES", "The numbers from one to another, both included, in steps.", series),
        function(
            "SLICE",
            "The items from one position to another, both included; the first is at 1.",
            vec![overload(&bounded, Returns::Like(array_of_any()), slice)],
        ),
    ]
}

fn length(call: &Call<'_>) -> Result<ArrayRef, String> {
    let array = lists(call, 0)?;
    write_values::<Int32Type>(call.rows, |row| Ok(array.is_valid(row).then(|| array.value_length(row))))
}

/// A bound that is null is that of the array; bounds outside of the array make the result null.
fn slice(call: &Call<'_>) -> Result<ArrayRef, String> {
    let array = lists(call, 0)?;
    let (from, to): (Ints<'_>, Ints<'_>) = (read(call, 1)?, read(call, 2)?);
    let mut picker = ListPicker::new(vec![array.values().as_ref()], call.rows);
    for row in 0..call.rows {
        let part = items(&array, row).and_then(|items| {
            let length = i64::try_from(items.len()).ok()?;
            let start = from.get(row).map_or(0, |from| i64::from(from) - 1);
            let end = to.get(row).map_or(length, i64::from);
            let inside = 0 <= start && start <= end && end <= length;
            inside.then(|| items.start + start as usize..items.start + end as usize)
        });
        let valid = part.is_some();
        part.into_iter().flatten().for_each(|item| picker.pick(0, item));
        picker.end(valid)?;
    }
    picker.finish(call.returns)
}

fn series<T: ArrowPrimitiveType>(call: &Call<'_>) -> Result<ArrayRef, String>
where
    T::Native: Into<i64> + TryFrom<i64>,
{
    let (first, last) = (read::<PrimitiveArray<T>>(call, 0)?, read::<PrimitiveArray<T>>(call, 1)?);
    let steps: Option<Ints<'_>> = if call.arguments.len() > 2 { Some(read(call, 2)?) } else { None };
    let DataType::List(field) = call.returns else { return Err(format!("ARRAY is wanted, not {}", call.returns)) };
    let mut numbers: Vec<T::Native> = Vec::new();
    let mut offsets = vec![0];
    let mut valid = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        let bounds = first.get(row).zip(last.get(row)).map(|(first, last)| (first.into(), last.into()));
        let step = match (&steps, bounds) {
            (Some(steps), _) => steps.get(row).map(i64::from),
            (None, Some((first, last))) if first > last => Some(-1),
            (None, _) => Some(1),
        };
        let all = bounds.zip(step);
        if let Some(((first, last), step)) = all {
            for index in 0..count(first, last, step)? {
                let number = first + index * step;
                numbers.push(number.try_into().map_err(|_| format!("{number} is too large for a series"))?);
            }
        }
        valid.push(all.is_some());
        offsets.push(i32::try_from(numbers.len()).map_err(|error| error.to_string())?);
    }
    let values = Arc::new(PrimitiveArray::<T>::from_iter_values(numbers));
    list_of(Arc::clone(field), offsets, values, Some(valid.into()))
}

/// How many numbers a series has.
fn count(first: i64, last: i64, step: i64) -> Result<i64, String> {
    if step == 0 {
        return Err("the step of a series is 0".to_owned());
    }
    let distance = i128::from(last) - i128::from(first);
    if distance != 0 && (distance > 0) != (step > 0) {
        return Err(format!("steps of {step} do not lead from {first} to {last}"));
    }
    let count = distance / i128::from(step) + 1;
    if count > MAX_SERIES {
        return Err(format!("a series of {count} numbers is too long; {MAX_SERIES} are allowed"));
    }
    i64::try_from(count).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::{
        super::samples::{int_lists, text_lists},
        *,
    };
    use crate::functions::{
        columns::harness::{big_ints, check, int, ints, null},
        signature::Argument,
    };

    #[test]
    fn series_of_numbers() {
        let family = functions();
        let check = |arguments: &[Argument], want: &[&str]| check(&family, "GENERATE_SERIES", arguments, want);
        let first = || ints(&[Some(0), Some(-2), Some(4), Some(4), None]);
        let last = || ints(&[Some(3), Some(1), Some(3), Some(4), Some(1)]);
        check(&[first(), last()], &["[0, 1, 2, 3]", "[-2, -1, 0, 1]", "[4, 3]", "[4]", "null"]);
        check(&[int(0), ints(&[Some(9), Some(10), None]), int(5)], &["[0, 5]", "[0, 5, 10]", "null"]);
        check(&[int(9), ints(&[Some(0)]), int(-4)], &["[9, 5, 1]"]);
        check(&[int(0), ints(&[Some(0)]), null(&Int)], &["null"]);
        check(
            &[big_ints(&[Some(i64::MAX - 1)]), big_ints(&[Some(i64::MAX)])],
            &["[9223372036854775806, 9223372036854775807]"],
        );
        check(&[int(0), ints(&[Some(1)]), int(0)], &["error: the step of a series is 0"]);
        check(&[int(0), ints(&[Some(1)]), int(-1)], &["error: steps of -1 do not lead from 0 to 1"]);
        check(
            &[big_ints(&[Some(i64::MIN)]), big_ints(&[Some(i64::MAX)])],
            &["error: a series of 18446744073709551616 numbers is too long; 16777216 are allowed"],
        );
    }

    #[test]
    fn lengths_and_parts() {
        let family = functions();
        let check = |name: &str, arguments: &[Argument], want: &[&str]| check(&family, name, arguments, want);
        let letters = || text_lists(&[Some(&[Some("a"), Some("b"), None, Some("d")]), Some(&[]), None]);
        check("ARRAY_LENGTH", &[letters()], &["4", "0", "null"]);
        check("SLICE", &[letters(), int(2), int(3)], &["[b, null]", "null", "null"]);
        check("SLICE", &[letters(), int(1), int(0)], &["[]", "[]", "null"]);
        check("SLICE", &[letters(), null(&Int), int(2)], &["[a, b]", "null", "null"]);
        check("SLICE", &[letters(), int(3), null(&Int)], &["[null, d]", "null", "null"]);
        let ints = || int_lists(&[Some(&[Some(1), Some(2)])]);
        check("SLICE", &[ints(), int(0), int(1)], &["null"]);
        check("SLICE", &[ints(), int(2), int(1)], &["[]"]);
        check("SLICE", &[ints(), int(3), int(1)], &["null"]);
        check("SLICE", &[ints(), int(1), int(3)], &["null"]);
    }
}
