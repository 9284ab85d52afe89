//! Windowed-key: takes the window off the keys of a topic that a windowed table was written to.
//!
//! Such a key is the bare key followed by the window's start, eight bytes big-endian. The topic is read with the whole key as
//! bytes; this transform makes columns of them. A key that is too short, or cannot be decoded, leaves its row out and is reported.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray, Int64Array},
    buffer::BooleanBuffer,
    datatypes::{DataType, Field, FieldRef},
};
use millstream::{
    Batch,
    expression::RowError,
    format::{Deserializer, Format, FormatError, Side, Wrapping},
    operator::{Reads, Transform, TransformError},
    schema::StreamSchema,
};
use parking_lot::Mutex;

/// The column in which the whole key is read.
pub(crate) const RAW_KEY: &str = "__KEY";

const START_BYTES: usize = 8;

/// Splits windowed keys.
pub(super) struct WindowedKey {
    size_ms: i64,
    key: Mutex<Box<dyn Deserializer>>,
    output: Arc<StreamSchema>,
}

/// The key column as which a windowed key is read.
pub(crate) fn raw_key() -> FieldRef {
    Arc::new(Field::new(RAW_KEY, DataType::Binary, true))
}

impl WindowedKey {
    /// Splits keys of `format` into the key columns of `output` and windows of `size_ms`.
    ///
    /// # Errors
    /// If the format cannot hold the key columns.
    pub(super) fn new(format: Format, output: Arc<StreamSchema>, size_ms: i64) -> Result<Self, FormatError> {
        let all: Vec<usize> = (0..output.key().len()).collect();
        let key = format.deserializer(Side::Key, Wrapping::Wrapped, output.key(), &all)?;
        Ok(Self { size_ms, key: Mutex::new(key), output })
    }
}

impl Transform for WindowedKey {
    fn apply(&self, batch: &Batch, errors: &mut Vec<RowError>) -> Result<Batch, TransformError> {
        let raw = batch.rows().column(0).as_binary::<i32>();
        let mut bare = BinaryBuilder::new();
        let mut starts = Vec::with_capacity(raw.len());
        let mut keep = vec![true; raw.len()];
        for (row, bytes) in raw.iter().enumerate() {
            match bytes.and_then(|bytes| bytes.split_last_chunk::<START_BYTES>()) {
                Some((key, start)) => {
                    bare.append_value(key);
                    starts.push(i64::from_be_bytes(*start));
                }
                None => {
                    bare.append_null();
                    starts.push(0);
                    keep[row] = false;
                    errors.push(RowError { row, problem: "the key has no window".to_owned() });
                }
            }
        }
        let decoded = self.key.lock().decode(&bare.finish());
        for error in decoded.errors {
            keep[error.row] = false;
            errors.push(RowError { row: error.row, problem: format!("key: {}", error.problem) });
        }
        let ends = Int64Array::from_iter_values(starts.iter().map(|start| start.saturating_add(self.size_ms)));
        let mut columns: Vec<ArrayRef> = decoded.columns;
        columns.extend([Arc::new(Int64Array::from(starts)) as ArrayRef, Arc::new(ends)]);
        columns.extend(batch.rows().columns()[1..].iter().cloned());
        let split = Batch::new(Arc::clone(&self.output), columns).with_present(batch.present().cloned());
        if keep.iter().all(|keep| *keep) {
            return Ok(split);
        }
        split.filter(&BooleanArray::new(BooleanBuffer::from(keep), None)).map_err(TransformError::of)
    }

    fn reads(&self) -> Reads {
        Reads::AndPassesOn(Vec::new())
    }

    fn describe(&self) -> String {
        format!("windows of {} ms from keys", self.size_ms)
    }
}

#[cfg(test)]
mod tests {
    use arrow::{array::BinaryArray, datatypes::Int64Type};

    use super::*;

    #[test]
    fn a_key_is_split_and_one_without_a_window_is_reported() {
        let key: FieldRef = Arc::new(Field::new("K", DataType::Utf8, true));
        let input = StreamSchema::new(vec![raw_key()], vec![], false).unwrap();
        let output = StreamSchema::new(vec![key], vec![], true).unwrap();
        let transform = WindowedKey::new(Format::Kafka, output, 60).unwrap();
        let mut windowed = b"ada".to_vec();
        windowed.extend_from_slice(&120_i64.to_be_bytes());
        let keys: ArrayRef = Arc::new(BinaryArray::from(vec![windowed.as_slice(), b"x"]));
        let times: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let batch = Batch::new(input, vec![keys, times, Batch::no_offsets(2)]);
        let mut errors = Vec::new();
        let split = transform.apply(&batch, &mut errors).unwrap();
        assert_eq!(split.len(), 1);
        assert_eq!(split.rows().column(0).as_string::<i32>().value(0), "ada");
        let bound = |index: usize| split.rows().column(index).as_primitive::<Int64Type>().value(0);
        assert_eq!((bound(1), bound(2)), (120, 180));
        assert_eq!(errors.iter().map(|error| error.row).collect::<Vec<_>>(), [1]);
    }
}
