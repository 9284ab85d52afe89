//! Encoded rows under construction: one buffer for all of them, and where each ends.

use arrow::{
    array::{BinaryArray, NullBufferBuilder},
    buffer::{Buffer, OffsetBuffer, ScalarBuffer},
};

use crate::format::FormatError;

/// The rows of one batch.
#[derive(Debug)]
pub(in crate::format) struct RowBytes {
    /// The bytes of all rows so far, to which the next row is appended.
    pub(in crate::format) buffer: Vec<u8>,
    ends: Vec<usize>,
    nulls: NullBufferBuilder,
}

impl RowBytes {
    /// Room for `rows` rows of together about `bytes` bytes.
    pub(in crate::format) fn with_capacity(rows: usize, bytes: usize) -> Self {
        Self { buffer: Vec::with_capacity(bytes), ends: Vec::with_capacity(rows), nulls: NullBufferBuilder::new(rows) }
    }

    /// Where the row that is being written began.
    pub(in crate::format) fn row_start(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Ends a row: what was appended since the last one.
    #[inline]
    pub(in crate::format) fn end_row(&mut self) {
        self.ends.push(self.buffer.len());
        self.nulls.append_non_null();
    }

    /// Ends a row of null bytes; what was appended since the last one is dropped.
    pub(in crate::format) fn end_null(&mut self) {
        self.buffer.truncate(self.row_start());
        self.ends.push(self.buffer.len());
        self.nulls.append_null();
    }

    /// The rows as an array.
    ///
    /// # Errors
    /// [`FormatError::TooLarge`] beyond 2 GiB.
    pub(in crate::format) fn finish(mut self, format: &'static str) -> Result<BinaryArray, FormatError> {
        let too_large = || FormatError::TooLarge { format, bytes: self.buffer.len() };
        i32::try_from(self.buffer.len()).map_err(|_| too_large())?;
        // No end lies behind the last one, which fits.
        let offsets: ScalarBuffer<i32> = std::iter::once(0).chain(self.ends.iter().map(|&end| end as i32)).collect();
        Ok(BinaryArray::new(OffsetBuffer::new(offsets), Buffer::from_vec(self.buffer), self.nulls.finish()))
    }
}
