//! What flows between operators: rows in arrival order, by the column.
//!
//! Invariants: columns are those of the [`StreamSchema`], in its order; rows stay in the order in which they arrived;
//! `ROWTIME` has no nulls. Headers, where records have any, lie beside the columns. A batch of a table says for each row what was there before; a batch of a stream does not.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array, new_null_array},
    buffer::NullBuffer,
    compute,
    datatypes::Int64Type,
    error::ArrowError,
};

use crate::{record::no_headers, schema::StreamSchema};

/// Rows of a stream or changes of a table.
#[derive(Debug, Clone)]
pub struct Batch {
    schema: Arc<StreamSchema>,
    rows: RecordBatch,
    present: Option<NullBuffer>,
    before: Option<Before>,
    headers: Option<ArrayRef>,
    superseded: bool,
}

/// The rows that changes replace, one a row of the batch.
#[derive(Debug, Clone)]
pub struct Before {
    /// The value columns as they were.
    pub values: Vec<ArrayRef>,
    /// Which rows were there; `None` if all were.
    pub present: Option<NullBuffer>,
}

impl Batch {
    /// Rows that all have a value.
    ///
    /// # Panics
    /// If `columns` are not the columns of `schema`: a mistake of the operator that made them.
    pub fn new(schema: Arc<StreamSchema>, columns: Vec<ArrayRef>) -> Self {
        let rows =
            RecordBatch::try_new(Arc::clone(schema.columns()), columns).expect("columns are those of the schema");
        Self { schema, rows, present: None, before: None, headers: None, superseded: false }
    }

    /// No rows of these columns.
    pub fn empty(schema: &Arc<StreamSchema>) -> Self {
        let columns = schema.columns().fields().iter().map(|field| arrow::array::new_empty_array(field.data_type()));
        Self::new(Arc::clone(schema), columns.collect())
    }

    /// Says which rows have a value; the others are null values: tombstones in a table.
    pub fn with_present(mut self, present: Option<NullBuffer>) -> Self {
        self.present = present.filter(|present| present.null_count() > 0);
        self
    }

    /// Makes the rows changes of a table by saying what was there before.
    pub fn with_before(mut self, before: Option<Before>) -> Self {
        self.before = before;
        self
    }

    /// Gives the rows the headers of the records that they come from, if these have any: a column of [`headers_type`](crate::record::headers_type).
    pub fn with_headers(mut self, headers: Option<ArrayRef>) -> Self {
        debug_assert!(headers.as_ref().is_none_or(|headers| headers.len() == self.len()), "one list a row");
        self.headers = headers;
        self
    }

    /// Makes the rows versions of a versioned table that are not the newest of their keys: they change its past and not what it is now.
    ///
    /// ```
    /// # use millstream::{Batch, schema::StreamSchema};
    /// # let schema = StreamSchema::new(vec![], vec![], false)?;
    /// # let none: arrow::array::ArrayRef = std::sync::Arc::new(arrow::array::Int64Array::from(vec![0_i64; 0]));
    /// # let batch = Batch::new(schema, vec![none, Batch::no_offsets(0)]);
    /// let past = batch.into_superseded();
    /// assert!(past.is_superseded() && past.slice(0, 0).is_superseded() && !past.into_current().is_superseded());
    /// # Ok::<(), millstream::schema::SchemaError>(())
    /// ```
    pub fn into_superseded(self) -> Self {
        Self { superseded: true, ..self }
    }

    /// Makes the rows records like any others again.
    pub fn into_current(self) -> Self {
        Self { superseded: false, ..self }
    }

    /// Whether the rows are versions of a versioned table that are not the newest of their keys.
    pub fn is_superseded(&self) -> bool {
        self.superseded
    }

    /// The headers of the records that the rows come from; `None` if none of them has any.
    pub fn headers(&self) -> Option<&ArrayRef> {
        self.headers.as_ref()
    }

    /// The headers of the rows at `rows`, for what is made of these rows.
    ///
    /// # Errors
    /// If a row is past the end.
    pub fn headers_at(&self, rows: &UInt32Array) -> Result<Option<ArrayRef>, ArrowError> {
        self.headers.as_ref().map(|headers| compute::take(headers, rows, None)).transpose()
    }

    /// The columns' names and types.
    pub fn schema(&self) -> &Arc<StreamSchema> {
        &self.schema
    }

    /// All columns, pseudo columns included.
    pub fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.rows.num_rows()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Which rows have a value; `None` if all have.
    pub fn present(&self) -> Option<&NullBuffer> {
        self.present.as_ref()
    }

    /// What was there before, if this is a batch of changes.
    pub fn before(&self) -> Option<&Before> {
        self.before.as_ref()
    }

    /// The key columns, window bounds included.
    pub fn keys(&self) -> &[ArrayRef] {
        &self.rows.columns()[..self.schema.key_width()]
    }

    /// The value columns; where [`present`](Self::present) says no, their content means nothing.
    pub fn values(&self) -> &[ArrayRef] {
        &self.rows.columns()[self.schema.value_range()]
    }

    /// `ROWTIME`.
    pub fn times(&self) -> &Int64Array {
        self.rows.column(self.schema.time_index()).as_primitive::<Int64Type>()
    }

    /// `ROWOFFSET`.
    pub fn offsets(&self) -> &Int64Array {
        self.rows.column(self.schema.offset_index()).as_primitive::<Int64Type>()
    }

    /// `length` rows from `from` on, sharing the columns.
    pub fn slice(&self, from: usize, length: usize) -> Self {
        let cut = |present: &Option<NullBuffer>| present.as_ref().map(|present| present.slice(from, length));
        Self {
            schema: Arc::clone(&self.schema),
            rows: self.rows.slice(from, length),
            present: cut(&self.present),
            before: self.before.as_ref().map(|before| Before {
                values: before.values.iter().map(|column| column.slice(from, length)).collect(),
                present: cut(&before.present),
            }),
            headers: self.headers.as_ref().map(|headers| headers.slice(from, length)),
            superseded: self.superseded,
        }
    }

    /// The rows for which `keep` is true; null counts as false.
    ///
    /// # Errors
    /// Those of the compute kernel, which has none for arrays of one length.
    pub fn filter(&self, keep: &BooleanArray) -> Result<Self, ArrowError> {
        let cut = |present: &Option<NullBuffer>| -> Result<Option<NullBuffer>, ArrowError> {
            let Some(present) = present else { return Ok(None) };
            let kept = compute::filter(&BooleanArray::new(present.inner().clone(), None), keep)?;
            Ok(Some(NullBuffer::new(kept.as_boolean().values().clone())).filter(|present| present.null_count() > 0))
        };
        let before = match &self.before {
            None => None,
            Some(before) => Some(Before {
                values: before.values.iter().map(|column| compute::filter(column, keep)).collect::<Result<_, _>>()?,
                present: cut(&before.present)?,
            }),
        };
        Ok(Self {
            schema: Arc::clone(&self.schema),
            rows: compute::filter_record_batch(&self.rows, keep)?,
            present: cut(&self.present)?,
            before,
            headers: self.headers.as_ref().map(|headers| compute::filter(headers, keep)).transpose()?,
            superseded: self.superseded,
        })
    }

    /// The rows at `indices`, in that order.
    ///
    /// # Errors
    /// If an index is past the end.
    pub fn take(&self, indices: &UInt32Array) -> Result<Self, ArrowError> {
        let cut = |present: &Option<NullBuffer>| {
            present.as_ref().map(|present| {
                NullBuffer::from_iter(indices.values().iter().map(|&row| present.is_valid(row as usize)))
            })
        };
        let column = |column: &ArrayRef| compute::take(column, indices, None);
        let before = match &self.before {
            None => None,
            Some(before) => Some(Before {
                values: before.values.iter().map(column).collect::<Result<_, _>>()?,
                present: cut(&before.present),
            }),
        };
        let columns = self.rows.columns().iter().map(column).collect::<Result<_, _>>()?;
        let taken = Self::new(Arc::clone(&self.schema), columns).with_present(cut(&self.present)).with_before(before);
        Ok(Self { superseded: self.superseded, ..taken.with_headers(self.headers_at(indices)?) })
    }

    /// The batches one after another, as one.
    ///
    /// # Errors
    /// If they differ in schema. All are versions of one kind, or none is.
    ///
    /// # Panics
    /// If there is none.
    pub fn concat(batches: &[Self]) -> Result<Self, ArrowError> {
        let first = batches.first().expect("at least one batch");
        if batches.len() == 1 {
            return Ok(first.clone());
        }
        let masks = |of: &dyn Fn(&Self) -> Option<NullBuffer>| {
            batches.iter().any(|batch| of(batch).is_some()).then(|| {
                let mut bits = arrow::array::BooleanBufferBuilder::new(batches.iter().map(Self::len).sum());
                for batch in batches {
                    match of(batch) {
                        Some(mask) => bits.append_buffer(mask.inner()),
                        None => bits.append_n(batch.len(), true),
                    }
                }
                NullBuffer::new(bits.finish())
            })
        };
        let before = match &first.before {
            None => None,
            Some(_) => Some(Before {
                values: (0..first.schema.value().len())
                    .map(|index| {
                        let columns: Vec<&dyn Array> = batches
                            .iter()
                            .filter_map(|batch| Some(batch.before.as_ref()?.values[index].as_ref()))
                            .collect();
                        compute::concat(&columns)
                    })
                    .collect::<Result<_, _>>()?,
                present: masks(&|batch| batch.before.as_ref().and_then(|before| before.present.clone())),
            }),
        };
        let rows = compute::concat_batches(first.schema.columns(), batches.iter().map(Self::rows))?;
        let headers = match batches.iter().any(|batch| batch.headers.is_some()) {
            false => None,
            true => {
                let lists = |batch: &Self| batch.headers.clone().unwrap_or_else(|| no_headers(batch.len()));
                let lists: Vec<ArrayRef> = batches.iter().map(lists).collect();
                Some(compute::concat(&lists.iter().map(AsRef::as_ref).collect::<Vec<&dyn Array>>())?)
            }
        };
        let present = masks(&|batch| batch.present.clone());
        let superseded = first.superseded;
        Ok(Self { schema: Arc::clone(&first.schema), rows, present, before, headers, superseded })
    }

    /// A column of `rows` nulls for `ROWOFFSET`: the rows were computed, not read.
    pub fn no_offsets(rows: usize) -> ArrayRef {
        new_null_array(&arrow::datatypes::DataType::Int64, rows)
    }
}
