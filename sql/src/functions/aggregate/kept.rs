//! What functions share that keep values of a group: a list with a rule about which values stay in it.
//!
//! The state is the list. Keeping the older list first and what is added behind it, and then applying the rule, gives the same list
//! however the rows are cut: every rule keeps, of a list, what it would keep of any list that begins with it.

use std::{cmp::Ordering, collections::HashSet, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, ListArray, StructArray, UInt32Array, make_comparator, new_empty_array},
    buffer::OffsetBuffer,
    compute::{self, SortOptions},
    datatypes::{DataType, Field, Fields},
    row::{RowConverter, SortField},
};
use datafusion::{common::ScalarValue, error::Result as DataFusionResult, logical_expr::Accumulator};

/// Which values of a list stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// The first ones.
    First(usize),
    /// The last ones.
    Last(usize),
    /// The first of equal ones, as many different ones.
    Distinct(usize),
    /// The greatest ones, falling; of structs by their first field. Of equal ones the older is first.
    Greatest {
        /// How many.
        count: usize,
        /// Whether equal ones count once.
        distinct: bool,
    },
}

/// Whether null is a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nulls {
    /// It is left out.
    Skipped,
    /// It is kept like any other.
    Kept,
}

/// Whether rows can be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Undo {
    /// They cannot.
    Unsupported,
    /// Of equal values the last one goes.
    LastEqual,
}

/// A list of values under a rule.
#[derive(Debug)]
pub(super) struct Kept {
    rule: Rule,
    nulls: Nulls,
    undo: Undo,
    /// The columns that make one value: of several, a struct.
    columns: usize,
    of: DataType,
    values: ArrayRef,
}

/// A list of one row as a value.
pub(super) fn list_of(values: ArrayRef) -> ScalarValue {
    let item = Arc::new(Field::new("item", values.data_type().clone(), true));
    ScalarValue::List(Arc::new(ListArray::new(item, OffsetBuffer::from_lengths([values.len()]), values, None)))
}

/// The type of lists of values of `of`.
pub(super) fn list_type(of: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", of, true)))
}

impl Kept {
    /// An empty list of values of type `of`, each made of the first `columns` arguments.
    pub(super) fn new(of: DataType, columns: usize, rule: Rule, nulls: Nulls, undo: Undo) -> Self {
        Self { rule, nulls, undo, columns, values: new_empty_array(&of), of }
    }

    /// The values of rows; those left out that are null.
    fn values_of(&self, arguments: &[ArrayRef]) -> DataFusionResult<ArrayRef> {
        let values = match (&self.of, self.columns) {
            (_, 1) => Arc::clone(&arguments[0]),
            (DataType::Struct(fields), columns) => {
                let columns = arguments[..columns].to_vec();
                Arc::new(StructArray::try_new(Fields::clone(fields), columns, None)?) as ArrayRef
            }
            (other, _) => {
                let problem = format!("several columns make no {other}");
                return Err(datafusion::error::DataFusionError::Internal(problem));
            }
        };
        if self.nulls == Nulls::Kept || arguments[0].null_count() == 0 {
            return Ok(values);
        }
        Ok(compute::filter(&values, &compute::is_not_null(&arguments[0])?)?)
    }

    fn append(&mut self, more: &ArrayRef) -> DataFusionResult<()> {
        let (kept, added) = (self.values.len(), more.len());
        let all = |values: &ArrayRef| -> DataFusionResult<ArrayRef> {
            if kept == 0 { Ok(Arc::clone(more)) } else { Ok(compute::concat(&[values.as_ref(), more.as_ref()])?) }
        };
        self.values = match self.rule {
            Rule::First(count) if kept >= count => return Ok(()),
            Rule::First(count) => {
                let all = all(&self.values)?;
                all.slice(0, all.len().min(count))
            }
            Rule::Last(count) if added >= count => more.slice(added - count, count),
            Rule::Last(count) => {
                let all = all(&self.values)?;
                let keep = all.len().min(count);
                all.slice(all.len() - keep, keep)
            }
            Rule::Distinct(count) if kept >= count => return Ok(()),
            Rule::Distinct(count) => distinct(&all(&self.values)?, count)?,
            Rule::Greatest { count, distinct } => greatest(&all(&self.values)?, count, distinct)?,
        };
        Ok(())
    }
}

/// The first of equal values, at most `count` different ones.
fn distinct(values: &ArrayRef, count: usize) -> DataFusionResult<ArrayRef> {
    let converter = RowConverter::new(vec![SortField::new(values.data_type().clone())])?;
    let rows = converter.convert_columns(std::slice::from_ref(values))?;
    let mut seen = HashSet::with_capacity(rows.num_rows());
    let first: Vec<u32> = rows
        .iter()
        .enumerate()
        .filter_map(|(index, row)| seen.insert(row).then_some(index as u32))
        .take(count)
        .collect();
    if first.len() == values.len() {
        return Ok(Arc::clone(values));
    }
    Ok(compute::take(values, &UInt32Array::from(first), None)?)
}

/// The `count` greatest values, falling.
fn greatest(values: &ArrayRef, count: usize, distinct: bool) -> DataFusionResult<ArrayRef> {
    let keys = match values.as_struct_opt() {
        Some(structs) => Arc::clone(structs.column(0)),
        None => Arc::clone(values),
    };
    let falling = SortOptions { descending: true, nulls_first: false };
    let compare = make_comparator(&keys, &keys, falling)?;
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| compare(a, b));
    if distinct {
        order.dedup_by(|a, b| compare(*a, *b) == Ordering::Equal);
    }
    let best: UInt32Array = order.into_iter().take(count).map(|index| index as u32).collect();
    Ok(compute::take(values, &best, None)?)
}

impl Accumulator for Kept {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        let values = self.values_of(values)?;
        self.append(&values)
    }

    fn evaluate(&mut self) -> DataFusionResult<ScalarValue> {
        Ok(list_of(Arc::clone(&self.values)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.get_array_memory_size()
    }

    fn state(&mut self) -> DataFusionResult<Vec<ScalarValue>> {
        Ok(vec![list_of(Arc::clone(&self.values))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DataFusionResult<()> {
        states[0].as_list::<i32>().iter().flatten().try_for_each(|list| self.append(&list))
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        let gone = self.values_of(values)?;
        let converter = RowConverter::new(vec![SortField::new(self.of.clone())])?;
        let kept = converter.convert_columns(std::slice::from_ref(&self.values))?;
        let gone = converter.convert_columns(std::slice::from_ref(&gone))?;
        let mut stays: Vec<u32> = (0..self.values.len() as u32).collect();
        for gone in &gone {
            // A value that is not there any more was cut off by the limit.
            if let Some(at) = stays.iter().rposition(|&index| kept.row(index as usize) == gone) {
                stays.remove(at);
            }
        }
        self.values = compute::take(&self.values, &UInt32Array::from(stays), None)?;
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        self.undo == Undo::LastEqual
    }
}
