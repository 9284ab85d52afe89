//! Unnest: makes a row of each item of a row's lists. Several lists go in step, the shorter ones padded with null.
//!
//! ```text
//! key  a    b       c            key  a    b     c
//!  k   [1]  [2, 3]  x     ->      k   1    2     x
//!                                 k   null 3     x
//!  l   []   null    y     ->      nothing
//! ```
//!
//! Key, `ROWTIME`, `ROWOFFSET` and the other columns are those of the row. A row whose lists are all null or empty vanishes, as does one
//! without a value. For streams only: rows of a table would share one key.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, ListArray, UInt32Array},
    compute::take,
    datatypes::{DataType, Field},
};

use super::{Reads, Transform, TransformError};
use crate::{
    Batch,
    expression::RowError,
    schema::{SchemaError, StreamSchema},
};

/// Why columns cannot be unnested.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnnestError {
    /// There is no such value column.
    #[error("no value column `{name}`; there are {known}")]
    UnknownColumn {
        /// The name.
        name: String,
        /// The value columns.
        known: String,
    },
    /// The column holds no lists.
    #[error("column `{name}` is of type {data_type}; only lists can be made rows")]
    NotAList {
        /// The column.
        name: String,
        /// Its type.
        data_type: DataType,
    },
    /// The output columns cannot stand together.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

/// Makes rows of lists.
pub struct Unnest {
    /// Which value columns are made rows, in their order.
    lists: Vec<usize>,
    names: Vec<String>,
    output: Arc<StreamSchema>,
}

impl Unnest {
    /// Makes rows of the value columns `lists`, which keep their names.
    ///
    /// # Errors
    /// [`UnnestError`] if one is missing or holds no lists.
    pub fn new(lists: &[&str], input: &StreamSchema) -> Result<Self, UnnestError> {
        let mut value = input.value().to_vec();
        let mut indices = Vec::with_capacity(lists.len());
        for name in lists {
            let known =
                || input.value().iter().map(|field| format!("`{}`", field.name())).collect::<Vec<_>>().join(", ");
            let index = input.value().iter().position(|field| field.name() == name);
            let index = index.ok_or_else(|| UnnestError::UnknownColumn { name: (*name).to_owned(), known: known() })?;
            match input.value()[index].data_type() {
                DataType::List(item) => {
                    value[index] = Arc::new(Field::new(*name, item.data_type().clone(), true));
                }
                other => {
                    return Err(UnnestError::NotAList { name: (*name).to_owned(), data_type: other.clone() });
                }
            }
            indices.push(index);
        }
        indices.sort_unstable();
        indices.dedup();
        let output = StreamSchema::new(input.key().to_vec(), value, input.window())?;
        let names = indices.iter().map(|index| output.value()[*index].name().clone()).collect();
        Ok(Self { lists: indices, names, output })
    }

    /// The columns it gives.
    pub fn output(&self) -> &Arc<StreamSchema> {
        &self.output
    }

    /// Per output row the row it comes from; per list the item that each output row takes, if any.
    fn plan(&self, batch: &Batch, lists: &[&ListArray]) -> (UInt32Array, Vec<UInt32Array>) {
        let mut rows: Vec<u32> = Vec::with_capacity(batch.len());
        let mut items: Vec<Vec<Option<u32>>> = vec![Vec::with_capacity(batch.len()); lists.len()];
        for row in 0..batch.len() {
            if batch.present().is_some_and(|present| present.is_null(row)) {
                continue;
            }
            let length = |list: &ListArray| if list.is_null(row) { 0 } else { list.value_length(row) as u32 };
            let longest = lists.iter().map(|list| length(list)).max().unwrap_or(0);
            rows.extend(std::iter::repeat_n(row as u32, longest as usize));
            for (list, items) in lists.iter().zip(&mut items) {
                let first = list.value_offsets()[row] as u32;
                let own = length(list);
                items.extend((0..longest).map(|item| (item < own).then_some(first + item)));
            }
        }
        (UInt32Array::from(rows), items.into_iter().map(UInt32Array::from).collect())
    }
}

impl Transform for Unnest {
    fn apply(&self, batch: &Batch, _errors: &mut Vec<RowError>) -> Result<Batch, TransformError> {
        if batch.before().is_some() {
            return Err(TransformError::of("lists of a table cannot be made rows: these would share one key"));
        }
        let lists: Vec<&ListArray> = self.lists.iter().map(|index| batch.values()[*index].as_list::<i32>()).collect();
        let (rows, items) = self.plan(batch, &lists);
        let first_value = self.output.value_range().start;
        let column = |(index, column): (usize, &ArrayRef)| {
            let list = self.lists.iter().position(|list| first_value + list == index);
            match list {
                Some(list) => take(lists[list].values(), &items[list], None),
                None => take(column, &rows, None),
            }
        };
        let columns = batch.rows().columns().iter().enumerate().map(column).collect::<Result<_, _>>();
        let headers = batch.headers_at(&rows).map_err(TransformError::of)?;
        Ok(Batch::new(Arc::clone(&self.output), columns.map_err(TransformError::of)?).with_headers(headers))
    }

    fn reads(&self) -> Reads {
        Reads::AndPassesOn(self.names.clone())
    }

    fn describe(&self) -> String {
        format!("unnest: {}", self.names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{Int64Array, StringArray},
        buffer::NullBuffer,
        datatypes::Int32Type,
        util::pretty::pretty_format_batches,
    };

    use super::*;

    fn schema() -> Arc<StreamSchema> {
        let field = |name: &str, data_type: DataType| Arc::new(Field::new(name, data_type, true));
        let list = || DataType::List(Arc::new(Field::new("item", DataType::Int32, true)));
        let value = vec![field("a", list()), field("c", DataType::Utf8), field("b", list())];
        StreamSchema::new(vec![field("k", DataType::Utf8)], value, false).unwrap()
    }

    type Items<'a> = Option<&'a [Option<i32>]>;

    fn batch(rows: &[(&str, Items<'_>, Items<'_>)]) -> Batch {
        let list = |items: Vec<Items<'_>>| -> ArrayRef {
            let items = items.into_iter().map(|items| items.map(<[Option<i32>]>::to_vec));
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(items))
        };
        let numbers = || Arc::new(Int64Array::from_iter_values(0..rows.len() as i64)) as ArrayRef;
        let texts = |suffix: &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(rows.iter().map(|(key, ..)| format!("{key}{suffix}"))))
        };
        let (a, b) = (rows.iter().map(|row| row.1).collect(), rows.iter().map(|row| row.2).collect());
        Batch::new(schema(), vec![texts(""), list(a), texts("!"), list(b), numbers(), numbers()])
    }

    fn check(lists: &[&str], batch: &Batch, want: &[&str]) {
        let unnest = Unnest::new(lists, batch.schema()).unwrap();
        let whole = unnest.apply(batch, &mut Vec::new()).unwrap();
        let shown = pretty_format_batches(&[whole.rows().clone()]).unwrap().to_string();
        let line = |line: &str| line.split_whitespace().filter(|word| *word != "|").collect::<Vec<_>>().join(" ");
        let rows: Vec<String> = shown.lines().filter(|line| line.starts_with('|')).skip(1).map(line).collect();
        assert_eq!(rows, want, "unnest {lists:?}");
        let cut: Vec<Batch> =
            (0..batch.len()).map(|row| unnest.apply(&batch.slice(row, 1), &mut Vec::new()).unwrap()).collect();
        assert_eq!(Batch::concat(&cut).unwrap().rows(), whole.rows(), "cut into rows");
    }

    #[test]
    fn items_become_rows() {
        let rows = [
            ("p", Some(&[Some(1)][..]), Some(&[Some(2), None, Some(4)][..])),
            ("q", Some(&[]), None),
            ("r", None, Some(&[Some(5)])),
            ("s", Some(&[Some(6), Some(7)]), Some(&[Some(8), Some(9)])),
        ];
        let sample = batch(&rows);
        let both = ["p 1 p! 2 0 0", "p p! 0 0", "p p! 4 0 0", "r r! 5 2 2", "s 6 s! 8 3 3", "s 7 s! 9 3 3"];
        check(&["a", "b"], &sample, &both);
        check(&["b", "a", "b"], &sample, &both);
        check(&["a"], &sample, &["p 1 p! [2, , 4] 0 0", "s 6 s! [8, 9] 3 3", "s 7 s! [8, 9] 3 3"]);
        check(&["a", "b"], &sample.slice(1, 2), &["r r! 5 2 2"]);
        let without_value = sample.with_present(Some(NullBuffer::from(vec![false, true, true, true])));
        check(&["a", "b"], &without_value, &both[3..]);
    }

    #[test]
    fn wrong_columns_are_refused() {
        let check = |name: &str, want: &str| {
            assert_eq!(Unnest::new(&[name], &schema()).err().unwrap().to_string(), want);
        };
        check("x", "no value column `x`; there are `a`, `c`, `b`");
        check("k", "no value column `k`; there are `a`, `c`, `b`");
        check("c", "column `c` is of type Utf8; only lists can be made rows");
        let unnest = Unnest::new(&["b", "a"], &schema()).unwrap();
        assert_eq!(unnest.describe(), "unnest: a, b");
    }
}
