//! Arrays: as sets, in order, as text, in parts.

mod order;
mod series;
mod sets;
mod text;

use super::signature::ScalarFunction;

/// The functions of this family.
pub(crate) fn functions() -> Vec<ScalarFunction> {
    [sets::functions(), order::functions(), series::functions(), text::functions()].concat()
}

#[cfg(test)]
pub(crate) mod samples {
    //! Columns of arrays for tests.

    use std::sync::Arc;

    use arrow::{
        array::{ArrayRef, Int32Builder, ListArray, ListBuilder, MapBuilder, MapFieldNames, StringBuilder},
        datatypes::Int32Type,
    };

    use crate::functions::signature::Argument;

    /// A row of ARRAY<INT>.
    pub(crate) type Ints<'a> = Option<&'a [Option<i32>]>;

    /// A column of ARRAY<INT>.
    pub(crate) fn int_lists(rows: &[Ints<'_>]) -> Argument {
        let rows = rows.iter().map(|row| row.map(<[Option<i32>]>::to_vec));
        Argument::Column(Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(rows)))
    }

    /// A column of ARRAY<STRING>.
    pub(crate) fn text_lists(rows: &[Option<&[Option<&str>]>]) -> Argument {
        let mut builder = ListBuilder::new(StringBuilder::new());
        for row in rows {
            row.unwrap_or_default().iter().for_each(|text| builder.values().append_option(*text));
            builder.append(row.is_some());
        }
        Argument::Column(Arc::new(builder.finish()))
    }

    /// MAP<STRING, INT> of these entries, one map a row.
    pub(crate) fn maps(rows: &[&[(&str, i32)]]) -> ArrayRef {
        let names = MapFieldNames { entry: "entries".to_owned(), key: "key".to_owned(), value: "value".to_owned() };
        let mut maps = MapBuilder::new(Some(names), StringBuilder::new(), Int32Builder::new());
        for entries in rows {
            for (key, value) in *entries {
                maps.keys().append_value(key);
                maps.values().append_value(*value);
            }
            maps.append(true).expect("as many keys as values");
        }
        Arc::new(maps.finish())
    }
}
