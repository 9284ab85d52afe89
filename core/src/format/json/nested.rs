//! Arrays, maps and structs under construction; the parts of a [`Column`].
//!
//! A nested value arrives as a piece of text that has been scanned once, to find its end; it is scanned a second time to
//! find its parts. That is slower than one pass, and keeps the path of plain columns short.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{ArrayRef, GenericListArray, MapArray, NullBufferBuilder, OffsetSizeTrait, StructArray},
    buffer::{NullBuffer, OffsetBuffer, ScalarBuffer},
    datatypes::{DataType, FieldRef, Fields},
};

use super::{
    column::{Column, Mismatch},
    names::{FieldNames, Slot},
    scan::{Cursor, Key, SyntaxError, Token, unescape},
};
use crate::format::error::FormatError;

/// The ends of the rows of a list or map, and which of them are null.
#[derive(Debug)]
struct Extents {
    ends: Vec<usize>,
    nulls: NullBufferBuilder,
    length: usize,
}

impl Extents {
    fn new() -> Self {
        Self { ends: Vec::new(), nulls: NullBufferBuilder::new(0), length: 0 }
    }

    /// Ends a row.
    fn push(&mut self, valid: bool) {
        self.ends.push(self.length);
        self.nulls.append(valid);
    }

    fn finish<O: OffsetSizeTrait>(&mut self) -> (OffsetBuffer<O>, Option<NullBuffer>) {
        self.length = 0;
        let ends = std::mem::take(&mut self.ends);
        let offset = |end| O::from_usize(end).expect("a batch of at most 2 GiB has fewer elements than bytes");
        let offsets: ScalarBuffer<O> = std::iter::once(0).chain(ends).map(offset).collect();
        (OffsetBuffer::new(offsets), self.nulls.finish())
    }
}

/// A list column under construction.
#[derive(Debug)]
pub(in crate::format) struct ListColumn {
    item: FieldRef,
    large: bool,
    extents: Extents,
    items: Column,
}

/// A map column under construction.
#[derive(Debug)]
pub(in crate::format) struct MapColumn {
    entries: FieldRef,
    parts: Fields,
    sorted: bool,
    extents: Extents,
    keys: Column,
    values: Column,
}

/// A struct column under construction.
#[derive(Debug)]
pub(in crate::format) struct StructColumn {
    fields: Fields,
    names: FieldNames,
    nulls: NullBufferBuilder,
    columns: Vec<Column>,
    rows: usize,
}

impl ListColumn {
    pub(in crate::format) fn new(
        item: &FieldRef,
        large: bool,
        path: &str,
        format: &'static str,
    ) -> Result<Self, FormatError> {
        let items = Column::new(item, &format!("{path}[]"), format)?;
        Ok(Self { item: Arc::clone(item), large, extents: Extents::new(), items })
    }

    /// Adds a null, or an empty list where a null is not `valid`.
    pub(in crate::format) fn append_absent(&mut self, valid: bool) {
        self.extents.push(valid);
    }

    pub(in crate::format) fn append(
        &mut self,
        token: &Token<'_>,
        data_type: &DataType,
        scratch: &mut String,
    ) -> Result<(), Mismatch> {
        let done = match token {
            Token::Array(raw) => self.append_items(raw, scratch),
            _ => Err(Mismatch::new(data_type, token)),
        };
        self.extents.push(done.is_ok());
        done
    }

    fn append_items(&mut self, raw: &str, scratch: &mut String) -> Result<(), Mismatch> {
        let mut cursor = Cursor::new(raw);
        cursor.enter();
        for index in 0.. {
            if !cursor.next_element(index == 0)? {
                break;
            }
            let token = cursor.value()?;
            self.extents.length += 1;
            self.items.append(&token, scratch).map_err(|mismatch| mismatch.inside(&format!("[{index}]")))?;
        }
        Ok(())
    }

    pub(in crate::format) fn finish(&mut self) -> ArrayRef {
        if self.large { self.finish_list::<i64>() } else { self.finish_list::<i32>() }
    }

    fn finish_list<O: OffsetSizeTrait>(&mut self) -> ArrayRef {
        let (offsets, nulls) = self.extents.finish::<O>();
        Arc::new(GenericListArray::new(Arc::clone(&self.item), offsets, self.items.finish(), nulls))
    }
}

impl MapColumn {
    /// None if the keys are no texts.
    pub(in crate::format) fn new(
        entries: &FieldRef,
        sorted: bool,
        path: &str,
        format: &'static str,
    ) -> Result<Option<Self>, FormatError> {
        let DataType::Struct(parts) = entries.data_type() else { return Ok(None) };
        let [key, value] = parts.as_ref() else { return Ok(None) };
        if !matches!(key.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
            return Ok(None);
        }
        Ok(Some(Self {
            entries: Arc::clone(entries),
            parts: parts.clone(),
            sorted,
            extents: Extents::new(),
            keys: Column::new(key, &format!("{path}{{}}"), format)?,
            values: Column::new(value, &format!("{path}{{}}"), format)?,
        }))
    }

    /// Adds a null, or an empty map where a null is not `valid`.
    pub(in crate::format) fn append_absent(&mut self, valid: bool) {
        self.extents.push(valid);
    }

    pub(in crate::format) fn append(
        &mut self,
        token: &Token<'_>,
        data_type: &DataType,
        scratch: &mut String,
    ) -> Result<(), Mismatch> {
        let done = match token {
            Token::Object(raw) => self.append_entries(raw, scratch),
            _ => Err(Mismatch::new(data_type, token)),
        };
        self.extents.push(done.is_ok());
        done
    }

    /// Of entries with one key the last one counts; it stands where the first one stood.
    fn append_entries(&mut self, raw: &str, scratch: &mut String) -> Result<(), Mismatch> {
        let mut entries: Vec<(String, Token<'_>)> = Vec::new();
        let mut places = HashMap::new();
        let mut cursor = Cursor::new(raw);
        cursor.enter();
        while let Key::Other { raw, .. } = cursor.next_field(entries.is_empty(), None)? {
            let mut key = String::with_capacity(raw.len());
            unescape(raw, &mut key);
            let token = cursor.value()?;
            let place = *places.entry(key.clone()).or_insert(entries.len());
            match entries.get_mut(place) {
                Some(entry) => entry.1 = token,
                None => entries.push((key, token)),
            }
        }
        for (key, token) in &entries {
            self.extents.length += 1;
            let taken = self.keys.append(&Token::Text { raw: key, escaped: false }, scratch);
            let valued = self.values.append(token, scratch).map_err(|mismatch| mismatch.inside(&format!("[{key:?}]")));
            taken.and(valued)?;
        }
        Ok(())
    }

    pub(in crate::format) fn finish(&mut self) -> ArrayRef {
        let (offsets, nulls) = self.extents.finish();
        let entries = StructArray::new(self.parts.clone(), vec![self.keys.finish(), self.values.finish()], None);
        Arc::new(MapArray::new(Arc::clone(&self.entries), offsets, entries, nulls, self.sorted))
    }
}

impl StructColumn {
    pub(in crate::format) fn new(fields: &Fields, path: &str, format: &'static str) -> Result<Self, FormatError> {
        let names = FieldNames::new(fields.iter().map(|field| field.name().as_str()), vec![true; fields.len()]);
        let column = |field: &FieldRef| Column::new(field, &format!("{path}.{}", field.name()), format);
        let columns = fields.iter().map(column).collect::<Result<_, _>>()?;
        Ok(Self { fields: fields.clone(), names, nulls: NullBufferBuilder::new(0), columns, rows: 0 })
    }

    /// Adds a null, or a struct of nulls where a null is not `valid`.
    pub(in crate::format) fn append_absent(&mut self, valid: bool) {
        self.push(valid);
        self.columns.iter_mut().for_each(Column::append_null);
    }

    pub(in crate::format) fn append(
        &mut self,
        token: &Token<'_>,
        data_type: &DataType,
        scratch: &mut String,
    ) -> Result<(), Mismatch> {
        let Token::Object(raw) = token else {
            self.append_absent(false);
            return Err(Mismatch::new(data_type, token));
        };
        let mut slots = vec![Slot::EMPTY; self.columns.len()];
        let read = self.names.read(&mut Cursor::new(raw), &mut slots);
        let mut done = read.map_err(Mismatch::from);
        for ((column, slot), field) in self.columns.iter_mut().zip(&slots).zip(&self.fields) {
            let appended = column.append(&slot.token, scratch);
            done = done.and(appended.map_err(|mismatch| mismatch.inside(&format!(".{}", field.name()))));
        }
        self.push(done.is_ok());
        done
    }

    fn push(&mut self, valid: bool) {
        self.nulls.append(valid);
        self.rows += 1;
    }

    pub(in crate::format) fn finish(&mut self) -> ArrayRef {
        let rows = std::mem::take(&mut self.rows);
        let columns = self.columns.iter_mut().map(Column::finish).collect();
        let parts = StructArray::try_new_with_length(self.fields.clone(), columns, self.nulls.finish(), rows);
        Arc::new(parts.expect("every part has one value a row, of its field's type"))
    }
}

impl Mismatch {
    /// The same, seen from one level further out.
    #[cold]
    fn inside(mut self, step: &str) -> Self {
        self.path.insert_str(0, step);
        self
    }
}

impl From<SyntaxError> for Mismatch {
    fn from(error: SyntaxError) -> Self {
        Self { path: String::new(), problem: error.to_string(), address: None }
    }
}
