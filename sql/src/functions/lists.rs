//! Columns of ARRAY: which items a row has, and how results are put together from items of the arguments.
//!
//! Items are never copied one by one: a [`ListPicker`] notes where each comes from, and one kernel gathers them all.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, ListArray},
    buffer::{NullBuffer, OffsetBuffer},
    compute::interleave,
    datatypes::DataType,
};

use super::{
    columns::{column, downcast},
    signature::Call,
};

/// The argument `index` as a column of ARRAY, constants repeated.
///
/// # Errors
/// The argument is missing or of another type.
pub(crate) fn lists(call: &Call<'_>, index: usize) -> Result<ListArray, String> {
    downcast::<ListArray>(&column(call, index)?).cloned()
}

/// Where the items of a row lie in the values of the column; none if the row is null.
pub(crate) fn items(lists: &ListArray, row: usize) -> Option<Range<usize>> {
    let offsets = lists.value_offsets();
    lists.is_valid(row).then(|| offsets[row] as usize..offsets[row + 1] as usize)
}

/// Builds a column of ARRAY from items of other columns.
pub(crate) struct ListPicker<'a> {
    sources: Vec<&'a dyn Array>,
    picked: Vec<(usize, usize)>,
    offsets: Vec<i32>,
    valid: Vec<bool>,
}

impl<'a> ListPicker<'a> {
    /// A column of `rows` arrays of items of `sources`.
    pub(crate) fn new(sources: Vec<&'a dyn Array>, rows: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self { sources, picked: Vec::new(), offsets, valid: Vec::with_capacity(rows) }
    }

    /// Adds an item of a source to the array that grows.
    pub(crate) fn pick(&mut self, source: usize, item: usize) {
        self.picked.push((source, item));
    }

    /// Ends an array, or makes it null.
    ///
    /// # Errors
    /// If all of them have too many items together.
    pub(crate) fn end(&mut self, valid: bool) -> Result<(), String> {
        let end = i32::try_from(self.picked.len());
        self.offsets
            .push(end.map_err(|_| format!("arrays of {} items are too many for one batch", self.picked.len()))?);
        self.valid.push(valid);
        Ok(())
    }

    /// The column, of type `returns`.
    ///
    /// # Errors
    /// If the items are of another type than `returns` says.
    pub(crate) fn finish(self, returns: &DataType) -> Result<ArrayRef, String> {
        let DataType::List(field) = returns else { return Err(format!("ARRAY is wanted, not {returns}")) };
        let values = interleave(&self.sources, &self.picked).map_err(|error| error.to_string())?;
        list_of(Arc::clone(field), self.offsets, values, Some(NullBuffer::from(self.valid)))
    }
}

/// A column of ARRAY from its parts.
///
/// # Errors
/// If the values are of another type than `field` says.
pub(crate) fn list_of(
    field: arrow::datatypes::FieldRef,
    offsets: Vec<i32>,
    values: ArrayRef,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, String> {
    let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
    let list = ListArray::try_new(field, OffsetBuffer::new(offsets.into()), values, nulls);
    Ok(Arc::new(list.map_err(|error| error.to_string())?))
}
