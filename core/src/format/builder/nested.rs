//! Arrays, maps and structs under construction; the parts of a [`ColumnBuilder`].
//!
//! A decoder appends the items first, then ends the row with `append`. The ends of rows are where the items stand then.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, ListArray, MapArray, NullBufferBuilder, StringBuilder, StructArray},
    buffer::{NullBuffer, OffsetBuffer, ScalarBuffer},
    datatypes::{DataType, FieldRef, Fields},
};

use super::ColumnBuilder;
use crate::format::error::FormatError;

/// The ends of the rows of a list or map, and which of them are null.
#[derive(Debug)]
struct Extents {
    ends: Vec<usize>,
    nulls: NullBufferBuilder,
}

impl Extents {
    fn new() -> Self {
        Self { ends: Vec::new(), nulls: NullBufferBuilder::new(0) }
    }

    fn push(&mut self, end: usize, valid: bool) {
        self.ends.push(end);
        self.nulls.append(valid);
    }

    fn finish(&mut self) -> (OffsetBuffer<i32>, Option<NullBuffer>) {
        let ends = std::mem::take(&mut self.ends);
        let offset = |end| i32::try_from(end).expect("a batch of at most 2 GiB has fewer elements than bytes");
        let offsets: ScalarBuffer<i32> = std::iter::once(0).chain(ends).map(offset).collect();
        (OffsetBuffer::new(offsets), self.nulls.finish())
    }
}

/// An ARRAY column under construction.
#[derive(Debug)]
pub(in crate::format) struct ListBuilder {
    item: FieldRef,
    extents: Extents,
    /// The items of all rows.
    pub(in crate::format) items: ColumnBuilder,
}

impl ListBuilder {
    pub(super) fn new(item: &FieldRef, path: &str, format: &'static str) -> Result<Self, FormatError> {
        let items = ColumnBuilder::new(item.data_type(), &format!("{path}[]"), format)?;
        Ok(Self { item: Arc::clone(item), extents: Extents::new(), items })
    }

    /// Ends a row of the items that were added since the last one.
    pub(in crate::format) fn append(&mut self) {
        self.extents.push(self.items.len(), true);
    }

    pub(super) fn append_null(&mut self) {
        self.extents.push(self.items.len(), false);
    }

    pub(super) fn len(&self) -> usize {
        self.extents.ends.len()
    }

    pub(super) fn settle(&mut self) {
        self.items.settle();
    }

    pub(super) fn finish(&mut self) -> ListArray {
        let (offsets, nulls) = self.extents.finish();
        ListArray::new(Arc::clone(&self.item), offsets, self.items.finish(), nulls)
    }
}

/// A MAP column under construction.
#[derive(Debug)]
pub(in crate::format) struct MapBuilder {
    entries: FieldRef,
    parts: Fields,
    sorted: bool,
    extents: Extents,
    /// The keys of all rows.
    pub(in crate::format) keys: StringBuilder,
    /// The values of all rows.
    pub(in crate::format) values: ColumnBuilder,
}

impl MapBuilder {
    /// None if the keys are no texts.
    pub(super) fn new(
        entries: &FieldRef,
        sorted: bool,
        path: &str,
        format: &'static str,
    ) -> Result<Option<Self>, FormatError> {
        let DataType::Struct(parts) = entries.data_type() else { return Ok(None) };
        let [key, value] = parts.as_ref() else { return Ok(None) };
        if *key.data_type() != DataType::Utf8 {
            return Ok(None);
        }
        Ok(Some(Self {
            entries: Arc::clone(entries),
            parts: parts.clone(),
            sorted,
            extents: Extents::new(),
            keys: StringBuilder::new(),
            values: ColumnBuilder::new(value.data_type(), &format!("{path}{{}}"), format)?,
        }))
    }

    /// Ends a row of the entries that were added since the last one.
    pub(in crate::format) fn append(&mut self) {
        self.extents.push(self.values.len(), true);
    }

    pub(super) fn append_null(&mut self) {
        self.extents.push(self.values.len(), false);
    }

    pub(super) fn len(&self) -> usize {
        self.extents.ends.len()
    }

    pub(super) fn settle(&mut self) {
        self.values.settle();
        let keys = arrow::array::ArrayBuilder::len(&self.keys);
        for _ in self.values.len()..keys {
            self.values.push_null();
        }
        for _ in keys..self.values.len() {
            self.keys.append_value("");
        }
    }

    pub(super) fn finish(&mut self) -> MapArray {
        let (offsets, nulls) = self.extents.finish();
        let columns: Vec<ArrayRef> = vec![Arc::new(self.keys.finish()), self.values.finish()];
        let entries = StructArray::new(self.parts.clone(), columns, None);
        MapArray::new(Arc::clone(&self.entries), offsets, entries, nulls, self.sorted)
    }
}

/// A STRUCT column under construction.
#[derive(Debug)]
pub(in crate::format) struct StructBuilder {
    fields: Fields,
    nulls: NullBufferBuilder,
    rows: usize,
    /// The fields.
    pub(in crate::format) columns: Vec<ColumnBuilder>,
}

impl StructBuilder {
    pub(super) fn new(fields: &Fields, path: &str, format: &'static str) -> Result<Self, FormatError> {
        let column =
            |field: &FieldRef| ColumnBuilder::new(field.data_type(), &format!("{path}.{}", field.name()), format);
        let columns = fields.iter().map(column).collect::<Result<_, _>>()?;
        Ok(Self { fields: fields.clone(), nulls: NullBufferBuilder::new(0), rows: 0, columns })
    }

    /// Ends a row, to which every field has got its value.
    pub(in crate::format) fn append(&mut self) {
        self.nulls.append_non_null();
        self.rows += 1;
        debug_assert!(self.columns.iter().all(|column| column.len() == self.rows));
    }

    /// Ends a row that is null.
    pub(in crate::format) fn append_null(&mut self) {
        self.columns.iter_mut().for_each(ColumnBuilder::push_null);
        self.nulls.append_null();
        self.rows += 1;
    }

    pub(super) fn len(&self) -> usize {
        self.rows
    }

    pub(super) fn settle(&mut self) {
        self.columns.iter_mut().for_each(ColumnBuilder::settle);
        let begun = self.columns.iter().any(|column| column.len() > self.rows);
        if begun {
            let rows = self.rows;
            self.columns.iter_mut().filter(|column| column.len() == rows).for_each(ColumnBuilder::push_null);
            self.nulls.append_null();
            self.rows += 1;
        }
    }

    pub(super) fn finish(&mut self) -> StructArray {
        let rows = std::mem::take(&mut self.rows);
        let columns = self.columns.iter_mut().map(ColumnBuilder::finish).collect();
        let parts = StructArray::try_new_with_length(self.fields.clone(), columns, self.nulls.finish(), rows);
        let parts = parts.expect("every field has one value a row, of its type");
        debug_assert_eq!(parts.len(), rows);
        parts
    }
}
