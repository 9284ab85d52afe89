//! The columns of INSERT INTO .. SELECT: those of the sink, in its order and of its names.
//!
//! Numbers may be narrower than the sink's: they are widened as ksqlDB does, INTEGER to BIGINT to DECIMAL to DOUBLE. Anything else that
//! differs is refused, with both schemas.

use arrow::datatypes::DataType;
use datafusion::prelude::cast;
use millstream::operator::Column as Projected;

use super::{
    error::PlanError,
    query::{Item, Selected},
    sink::Split,
};
use crate::catalog::{Source, SqlType};

/// The projection of an INSERT, cut into key and value, with the types of the stream that is written.
///
/// # Errors
/// If its columns are not those of the stream.
pub(super) fn split_like(selected: &Selected, split: Split, target: &Source) -> Result<Split, PlanError> {
    let item = |name: &str| selected.items.iter().find(|item| item.name == name);
    let result: Vec<(&str, Option<&Item>, bool)> = split
        .key_names
        .iter()
        .map(|name| (name.as_str(), item(name), true))
        .chain(split.value.iter().map(|column| (column.name.as_str(), item(&column.name), false)))
        .collect();
    let sink: Vec<_> = target.key_columns().chain(target.value_columns()).collect();
    let fits = |(name, item, is_key): &(&str, Option<&Item>, bool), column: &crate::catalog::Column| {
        let found = item.and_then(|item| SqlType::from_arrow(&item.data_type));
        *name == column.name
            && *is_key == column.is_key()
            && found.is_some_and(|found| found == column.data_type || (!is_key && widens(&found, &column.data_type)))
    };
    if result.len() != sink.len() || !result.iter().zip(&sink).all(|(result, column)| fits(result, column)) {
        let shown = |(name, item, is_key): &(&str, Option<&Item>, bool)| {
            let data_type = item.map_or(&DataType::Null, |item| &item.data_type);
            let data_type =
                SqlType::from_arrow(data_type).map_or_else(|| data_type.to_string(), |found| found.to_string());
            format!("`{name}` {data_type}{}", if *is_key { " KEY" } else { "" })
        };
        let found = result.iter().map(shown).collect::<Vec<_>>().join(", ");
        let wanted = sink.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let problem =
            format!("Incompatible schema between results and sink.\nResult schema is {found}\nSink schema is {wanted}");
        return Err(PlanError::invalid(selected.at, problem));
    }
    let value = split.value.into_iter().zip(target.value_columns()).map(|(column, wanted)| {
        let wanted = wanted.data_type.to_arrow();
        let is_same = item(&column.name).is_some_and(|item| item.data_type.equals_datatype(&wanted));
        if is_same { column } else { Projected::new(&column.name, cast(column.expression, wanted)) }
    });
    Ok(Split { value: value.collect(), ..split })
}

/// Whether every value of a type is one of another, wider type of numbers.
fn widens(from: &SqlType, to: &SqlType) -> bool {
    // Digits before and after the point.
    let digits = |data_type: &SqlType| match data_type {
        SqlType::Int => Some((10, 0)),
        SqlType::BigInt => Some((19, 0)),
        SqlType::Decimal { precision, scale } => Some((i32::from(*precision) - i32::from(*scale), i32::from(*scale))),
        _ => None,
    };
    match (from, to) {
        (SqlType::Int, SqlType::BigInt) => true,
        (_, SqlType::Double) => digits(from).is_some(),
        (_, SqlType::Decimal { .. }) => match (digits(from), digits(to)) {
            (Some((before, after)), Some((wide_before, wide_after))) => before <= wide_before && after <= wide_after,
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_widen() {
        let decimal = |precision, scale| SqlType::Decimal { precision, scale };
        let check = |from: SqlType, to: SqlType, want: bool| assert_eq!(widens(&from, &to), want, "{from} to {to}");
        check(SqlType::Int, SqlType::BigInt, true);
        check(SqlType::BigInt, SqlType::Int, false);
        check(SqlType::BigInt, SqlType::Double, true);
        check(SqlType::Double, SqlType::BigInt, false);
        check(SqlType::Int, decimal(12, 2), true);
        check(SqlType::Int, decimal(11, 2), false);
        check(decimal(4, 2), decimal(5, 2), true);
        check(decimal(4, 2), decimal(5, 4), false);
        check(decimal(4, 2), SqlType::Double, true);
        check(SqlType::Varchar, SqlType::Double, false);
    }
}
