//! Choosing among arguments: AS_VALUE, COALESCE, GREATEST, IFNULL, LEAST, NULLIF.
//!
//! Values are compared as Java compares them: NaN equals itself and is above all numbers, -0 is below 0. Text is compared by code
//! points and bytes without sign, as the language's operators do.

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, BooleanArray, make_comparator};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{SortOptions, cast, is_not_null, nullif};

use super::columns;
use super::declare::{function, overload, returning, variadic};
use super::signature::{Call, Evaluate, Overload, Parameter, Returns, ScalarFunction};
use super::value_keys::ValueKeys;
use crate::catalog::SqlType;

/// The functions of this file.
pub(crate) fn functions() -> Vec<ScalarFunction> {
    let any = || Parameter::Any('T');
    vec![
        function(
            "AS_VALUE",
            "The argument, as it is; for a copy of a key column in the value.",
            [returning([any()], Returns::Like(any()), |call| columns::column(call, 0))],
        ),
        function(
            "COALESCE",
            "The first argument that is not null.",
            [variadic(returning([any(), any()], Returns::Like(any()), coalesce))],
        ),
        function(
            "GREATEST",
            "The largest argument that is not null.",
            comparable(|call| extreme(call, Ordering::Greater)),
        ),
        function(
            "IFNULL",
            "The first argument, or the second where the first is null.",
            [returning([any(), any()], Returns::Like(any()), coalesce)],
        ),
        function("LEAST", "The smallest argument that is not null.", comparable(|call| extreme(call, Ordering::Less))),
        function(
            "NULLIF",
            "The first argument, or null where it equals the second.",
            [returning([any(), any()], Returns::Like(any()), null_if)],
        ),
    ]
}

/// An overload for each type that has an order.
fn comparable(evaluate: Evaluate) -> Vec<Overload> {
    let types = [
        SqlType::Int,
        SqlType::BigInt,
        SqlType::Double,
        SqlType::Varchar,
        SqlType::Bytes,
        SqlType::Date,
        SqlType::Time,
        SqlType::Timestamp,
    ];
    let of = |data_type: SqlType| {
        let parameter = || Parameter::Type(data_type.clone());
        variadic(overload([parameter(), parameter()], data_type.clone(), evaluate))
    };
    let decimal =
        returning([Parameter::AnyDecimal, Parameter::AnyDecimal], Returns::Computed(widest_decimal), evaluate);
    types.into_iter().map(of).chain([variadic(decimal)]).collect()
}

/// The DECIMAL with as many digits before and after the point as any of the arguments.
fn widest_decimal(arguments: &[SqlType]) -> Result<SqlType, String> {
    let (mut whole, mut scale) = (0, 0);
    for argument in arguments {
        let digits = match argument {
            SqlType::Int => (10, 0),
            SqlType::BigInt => (19, 0),
            SqlType::Decimal { precision, scale } => (precision - scale, *scale),
            other => return Err(format!("{other} is no DECIMAL")),
        };
        (whole, scale) = (whole.max(digits.0), scale.max(digits.1));
    }
    match whole + scale {
        precision @ 1..=38 => Ok(SqlType::Decimal { precision, scale }),
        precision => Err(format!("the arguments need DECIMAL({precision}, {scale}); it has at most 38 digits")),
    }
}

fn coalesce(call: &Call<'_>) -> Result<ArrayRef, String> {
    let mut chosen = columns::column(call, 0)?;
    for index in 1..call.arguments.len() {
        if chosen.null_count() == 0 {
            break;
        }
        let present = is_not_null(&chosen).map_err(|error| error.to_string())?;
        let next = columns::column(call, index)?;
        chosen = zip(&present, &chosen, &next).map_err(|error| error.to_string())?;
    }
    Ok(chosen)
}

fn extreme(call: &Call<'_>, wanted: Ordering) -> Result<ArrayRef, String> {
    // Decimals come as they are and are compared as the result is.
    let column = |index| cast(&columns::column(call, index)?, call.returns).map_err(|error| error.to_string());
    let mut chosen: ArrayRef = column(0)?;
    for index in 1..call.arguments.len() {
        let next = column(index)?;
        let better: BooleanArray = {
            let compare = comparator(&next, &chosen)?;
            let is_better = |row| next.is_valid(row) && (chosen.is_null(row) || compare(row, row) == wanted);
            (0..call.rows).map(is_better).map(Some).collect()
        };
        chosen = zip(&better, &next, &chosen).map_err(|error| error.to_string())?;
    }
    Ok(chosen)
}

fn null_if(call: &Call<'_>) -> Result<ArrayRef, String> {
    let column = columns::column(call, 0)?;
    let other = columns::column(call, 1)?;
    let (keys, other_keys) = (ValueKeys::of(&column)?, ValueKeys::of(&other)?);
    let equal: BooleanArray = (0..call.rows).map(|row| Some(keys.get(row) == other_keys.get(row))).collect();
    nullif(&column, &equal).map_err(|error| error.to_string())
}

type Comparator = Box<dyn Fn(usize, usize) -> Ordering + Send + Sync>;

fn comparator(left: &ArrayRef, right: &ArrayRef) -> Result<Comparator, String> {
    make_comparator(left, right, SortOptions::default()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Date32Array, Decimal128Array, ListArray, MapBuilder, MapFieldNames, StringBuilder};
    use arrow::array::{Int32Builder, types::Int32Type};

    use super::super::columns::harness::{big_ints, bytes, check, doubles, int, ints, null, text, texts};
    use super::super::signature::Argument;
    use super::*;

    #[test]
    fn the_first_that_is_not_null() {
        let family = functions();
        let first = || texts(&[Some("a"), None, None]);
        check(&family, "COALESCE", &[first()], &["a", "null", "null"]);
        check(&family, "COALESCE", &[first(), texts(&[Some("b"), Some("c"), None]), text("d")], &["a", "c", "d"]);
        check(&family, "IFNULL", &[ints(&[Some(1), None]), int(10)], &["1", "10"]);
        check(&family, "IFNULL", &[null(&SqlType::Int), ints(&[Some(1), None])], &["1", "null"]);
        check(&family, "AS_VALUE", &[first()], &["a", "null", "null"]);
        let lists = |rows: [Option<Vec<Option<i32>>>; 2]| {
            Argument::Column(Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(rows)))
        };
        let given = || lists([Some(vec![Some(1), None]), None]);
        check(&family, "IFNULL", &[given(), lists([None, Some(vec![Some(3)])])], &["[1, null]", "[3]"]);
        check(&family, "NULLIF", &[given(), lists([Some(vec![Some(1), None]), None])], &["null", "null"]);
        check(&family, "NULLIF", &[given(), lists([Some(vec![Some(1)]), None])], &["[1, null]", "null"]);
    }

    #[test]
    fn null_where_equal() {
        let family = functions();
        check(&family, "NULLIF", &[ints(&[Some(1), Some(10), None]), int(10)], &["1", "null", "null"]);
        check(&family, "NULLIF", &[texts(&[Some("x"), Some("y")]), null(&SqlType::Varchar)], &["x", "y"]);
        check(
            &family,
            "NULLIF",
            &[doubles(&[Some(f64::NAN), Some(0.0)]), doubles(&[Some(f64::NAN), Some(-0.0)])],
            &["null", "0.0"],
        );
        let map = |entries: &[(&str, i32)]| {
            let names = MapFieldNames { entry: "entries".to_owned(), key: "key".to_owned(), value: "value".to_owned() };
            let mut builder = MapBuilder::new(Some(names), StringBuilder::new(), Int32Builder::new());
            for (key, value) in entries {
                builder.keys().append_value(key);
                builder.values().append_value(*value);
            }
            builder.append(true).unwrap();
            Argument::Column(Arc::new(builder.finish()))
        };
        check(&family, "NULLIF", &[map(&[("a", 1), ("b", 2)]), map(&[("b", 2), ("a", 1)])], &["null"]);
        check(&family, "NULLIF", &[map(&[("a", 1)]), map(&[("a", 2)])], &["{a: 1}"]);
    }

    #[test]
    fn the_largest_and_the_smallest() {
        let family = functions();
        let both = |arguments: &[Argument], greatest: &[&str], least: &[&str]| {
            check(&family, "GREATEST", arguments, greatest);
            check(&family, "LEAST", arguments, least);
        };
        let numbers = [ints(&[Some(1), None, None]), ints(&[Some(-3), Some(7), None]), null(&SqlType::Int)];
        both(&numbers, &["1", "7", "null"], &["-3", "7", "null"]);
        both(
            &[big_ints(&[Some(i64::MAX)]), big_ints(&[Some(i64::MIN)])],
            &["9223372036854775807"],
            &["-9223372036854775808"],
        );
        both(&[doubles(&[Some(0.5)]), doubles(&[Some(f64::NAN)])], &["NaN"], &["0.5"]);
        both(&[texts(&[Some("apple"), Some("!")]), text("Zebra")], &["apple", "Zebra"], &["Zebra", "!"]);
        both(&[bytes(&[Some(b"\x01")]), bytes(&[Some(b"\x80")])], &["80"], &["01"]);
        let days = |day| Argument::Column(Arc::new(Date32Array::from(vec![Some(day)])));
        both(&[days(0), days(1)], &["1970-01-02"], &["1970-01-01"]);
        let decimal = |value: i128, precision, scale| {
            let array = Decimal128Array::from(vec![value]).with_precision_and_scale(precision, scale).unwrap();
            Argument::Column(Arc::new(array))
        };
        both(&[decimal(123_456_789, 9, 2), decimal(123_456, 7, 6)], &["1234567.890000"], &["0.123456"]);
        check(
            &family,
            "GREATEST",
            &[decimal(1, 38, 0), decimal(1, 38, 38)],
            &["error: the arguments need DECIMAL(76, 38); it has at most 38 digits"],
        );
    }
}
