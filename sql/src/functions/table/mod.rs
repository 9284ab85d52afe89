//! Table functions: functions that make several rows of one.
//!
//! A table function gives an array for each row, and the items of the array become rows (`millstream::operator::Unnest`). Several of them
//! side by side go in step, the shorter ones padded with null. So an [`Overload`] of a table function is that of a scalar function whose
//! `returns` is an ARRAY: the type of the column is that of its items. A null array gives no rows.

mod cube;

use std::sync::LazyLock;

use super::{
    columns::column,
    overload::{array_of_any, overload},
    signature::{Overload, Returns, ScalarFunction},
};

/// A table function of the language.
#[derive(Debug, Clone)]
pub struct TableFunction {
    /// Its name, in upper case.
    pub name: &'static str,
    /// What it is good for, one sentence, for `DESCRIBE FUNCTION`.
    pub description: &'static str,
    /// How it can be called; each returns an ARRAY, whose items become rows.
    pub overloads: Vec<Overload>,
}

impl TableFunction {
    /// The scalar function that gives its arrays.
    pub(crate) fn items(&self) -> ScalarFunction {
        ScalarFunction::new(self.name, self.description, self.overloads.clone())
    }
}

/// The name of the scalar function that gives the arrays of a table function; no statement can write it without quotes.
pub(crate) fn items_of(name: &str) -> String {
    format!("ITEMS OF {name}")
}

/// All table functions of the language itself.
pub(crate) fn table_functions() -> &'static [TableFunction] {
    static FUNCTIONS: LazyLock<Vec<TableFunction>> = LazyLock::new(|| {
        vec![
            TableFunction {
                name: "CUBE_EXPLODE",
                description: "A row for each way in which some of the items are null.",
                overloads: vec![cube::overload()],
            },
            TableFunction {
                name: "EXPLODE",
                description: "A row for each item of an array.",
                overloads: vec![overload(&[array_of_any()], Returns::Like(array_of_any()), |call| column(call, 0))],
            },
        ]
    });
    &FUNCTIONS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::{
        array::samples::{int_lists, text_lists},
        columns::harness::check,
        signature::Argument,
    };

    #[test]
    fn arrays_become_the_items_of_rows() {
        let family: Vec<ScalarFunction> = table_functions().iter().map(TableFunction::items).collect();
        let check = |name: &str, argument: Argument, want: &[&str]| check(&family, name, &[argument], want);
        check("EXPLODE", int_lists(&[Some(&[Some(1), None]), Some(&[]), None]), &["[1, null]", "[]", "null"]);
        check(
            "CUBE_EXPLODE",
            text_lists(&[Some(&[Some("one"), Some("two")])]),
            &["[[null, null], [null, two], [one, null], [one, two]]"],
        );
        check(
            "CUBE_EXPLODE",
            int_lists(&[Some(&[Some(1), None]), Some(&[]), None, Some(&[None])]),
            &["[[null, null], [1, null]]", "[[]]", "null", "[[null]]"],
        );
        let many = [Some(1); 17];
        check(
            "CUBE_EXPLODE",
            int_lists(&[Some(&many)]),
            &["error: CUBE_EXPLODE makes 2^17 rows of 17 items; 16 are allowed"],
        );
    }
}
