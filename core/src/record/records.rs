//! Records by the column: the form in which a log takes and gives them.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayBuilder, ArrayRef, BinaryArray, BinaryBuilder, Int64Array, Int64Builder},
    buffer::NullBuffer,
};

use super::Timestamp;

/// A named value beside a record; the value may be null, names may repeat, order is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The name.
    pub name: String,
    /// The bytes, if any.
    pub value: Option<Vec<u8>>,
}

/// One record on its own, for tests, tools and connectors. Hot paths use [`Records`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// The key; null sorts under no key.
    pub key: Option<Vec<u8>>,
    /// The value; null is a tombstone in a table.
    pub value: Option<Vec<u8>>,
    /// Event time.
    pub timestamp: Timestamp,
    /// Headers in order.
    pub headers: Vec<Header>,
}

impl Record {
    /// A record of text, at time 0.
    pub fn new(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self { key: Some(key.into()), value: Some(value.into()), ..Self::default() }
    }

    /// The same record at another time, in milliseconds since the epoch.
    pub fn at_ms(mut self, millis: i64) -> Self {
        self.timestamp = Timestamp(millis);
        self
    }
}

/// A borrowed view of one record of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
    /// Event time.
    pub timestamp: Timestamp,
    /// Headers in order; empty for most records.
    pub headers: &'a [Header],
}

/// A copy that stands alone.
impl From<RecordRef<'_>> for Record {
    fn from(record: RecordRef<'_>) -> Self {
        Self {
            key: record.key.map(Into::into),
            value: record.value.map(Into::into),
            timestamp: record.timestamp,
            headers: record.headers.to_vec(),
        }
    }
}

/// A batch of records, column by column: `n` keys, `n` values, `n` timestamps, and headers where any record has one.
///
/// Cloning is cheap: columns are shared.
#[derive(Debug, Clone)]
pub struct Records {
    keys: BinaryArray,
    values: BinaryArray,
    timestamps: Int64Array,
    /// `None`: no record of the batch has headers, which is the common case and costs nothing.
    headers: Option<Arc<[Vec<Header>]>>,
}

impl Records {
    /// Puts columns together.
    ///
    /// # Panics
    /// If the columns differ in length or a timestamp is null: a mistake of the caller, not of data.
    pub fn new(
        keys: BinaryArray,
        values: BinaryArray,
        timestamps: Int64Array,
        headers: Option<Arc<[Vec<Header>]>>,
    ) -> Self {
        let rows = values.len();
        assert!(keys.len() == rows && timestamps.len() == rows, "columns of one batch have one length");
        assert!(headers.as_ref().is_none_or(|headers| headers.len() == rows), "headers are one list a record");
        assert_eq!(timestamps.null_count(), 0, "every record has a timestamp");
        Self { keys, values, timestamps, headers }
    }

    /// How many records.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The keys, null where a record has none.
    pub fn keys(&self) -> &BinaryArray {
        &self.keys
    }

    /// The values, null where a record has none.
    pub fn values(&self) -> &BinaryArray {
        &self.values
    }

    /// Milliseconds since the epoch, without nulls.
    pub fn timestamps(&self) -> &Int64Array {
        &self.timestamps
    }

    /// One list of headers a record, or `None` if no record has any.
    pub fn headers(&self) -> Option<&Arc<[Vec<Header>]>> {
        self.headers.as_ref()
    }

    /// Bytes of keys, values and timestamps: what limits on batches are measured in.
    pub fn payload_bytes(&self) -> usize {
        fn bytes(column: &BinaryArray) -> usize {
            let offsets = column.value_offsets();
            (offsets[column.len()] - offsets[0]) as usize
        }
        bytes(&self.keys) + bytes(&self.values) + 8 * self.len()
    }

    /// The record at `row`.
    ///
    /// # Panics
    /// If `row` is not below [`len`](Self::len).
    pub fn get(&self, row: usize) -> RecordRef<'_> {
        RecordRef {
            key: self.keys.is_valid(row).then(|| self.keys.value(row)),
            value: self.values.is_valid(row).then(|| self.values.value(row)),
            timestamp: Timestamp(self.timestamps.value(row)),
            headers: self.headers.as_ref().map_or(&[], |headers| &headers[row]),
        }
    }

    /// The records in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = RecordRef<'_>> {
        (0..self.len()).map(|row| self.get(row))
    }

    /// `length` records from `from` on, sharing the columns.
    ///
    /// # Panics
    /// If the range reaches past the end.
    pub fn slice(&self, from: usize, length: usize) -> Self {
        Self {
            keys: self.keys.slice(from, length),
            values: self.values.slice(from, length),
            timestamps: self.timestamps.slice(from, length),
            headers: self.headers.as_ref().map(|headers| headers[from..from + length].into()),
        }
    }

    /// The records at `rows`, in that order.
    pub fn take(&self, rows: &[u32]) -> Self {
        let indices = arrow::array::UInt32Array::from(rows.to_vec());
        let column = |column: &dyn Array| -> ArrayRef {
            arrow::compute::take(column, &indices, None).expect("row numbers lie within the batch")
        };
        Self {
            keys: BinaryArray::from(column(&self.keys).to_data()),
            values: BinaryArray::from(column(&self.values).to_data()),
            timestamps: Int64Array::from(column(&self.timestamps).to_data()),
            headers: self
                .headers
                .as_ref()
                .map(|headers| rows.iter().map(|&row| headers[row as usize].clone()).collect()),
        }
    }

    /// The batches one after another, as one.
    ///
    /// # Panics
    /// If together they hold more bytes than one column can: 2 GiB.
    pub fn concat(batches: &[Self]) -> Self {
        match batches {
            [] => return RecordsBuilder::default().finish(),
            [only] => return only.clone(),
            _ => {}
        }
        let column = |of: &dyn Fn(&Self) -> &dyn Array| -> ArrayRef {
            let parts: Vec<&dyn Array> = batches.iter().map(of).collect();
            arrow::compute::concat(&parts).expect("one batch stays below 2 GiB")
        };
        let headers = batches.iter().any(|batch| batch.headers.is_some()).then(|| {
            let lists = batches.iter().flat_map(|batch| match &batch.headers {
                Some(headers) => headers.to_vec(),
                None => vec![Vec::new(); batch.len()],
            });
            lists.collect()
        });
        Self {
            keys: BinaryArray::from(column(&|batch| &batch.keys).to_data()),
            values: BinaryArray::from(column(&|batch| &batch.values).to_data()),
            timestamps: Int64Array::from(column(&|batch| &batch.timestamps).to_data()),
            headers,
        }
    }

    /// A column of `rows` nulls: the keys of records without keys.
    pub fn null_column(rows: usize) -> BinaryArray {
        BinaryArray::new(
            arrow::buffer::OffsetBuffer::new_zeroed(rows),
            arrow::buffer::Buffer::from(Vec::<u8>::new()),
            (rows > 0).then(|| NullBuffer::new_null(rows)),
        )
    }
}

impl FromIterator<Record> for Records {
    fn from_iter<I: IntoIterator<Item = Record>>(records: I) -> Self {
        let mut builder = RecordsBuilder::default();
        for record in records {
            builder.push(RecordRef {
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                timestamp: record.timestamp,
                headers: &record.headers,
            });
        }
        builder.finish()
    }
}

/// Collects records one by one into a batch.
#[derive(Debug, Default)]
pub struct RecordsBuilder {
    keys: BinaryBuilder,
    values: BinaryBuilder,
    timestamps: Int64Builder,
    headers: Vec<Vec<Header>>,
    payload_bytes: usize,
}

impl RecordsBuilder {
    /// Adds a record at the end.
    pub fn push(&mut self, record: RecordRef<'_>) {
        if !record.headers.is_empty() {
            self.headers.resize_with(self.len(), Vec::new);
            self.headers.push(record.headers.to_vec());
        }
        self.payload_bytes += record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len) + 8;
        self.keys.append_option(record.key);
        self.values.append_option(record.value);
        self.timestamps.append_value(record.timestamp.0);
    }

    /// How many records were added.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether none was added.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of keys, values and timestamps added.
    pub fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    /// The batch; the builder is empty afterwards.
    pub fn finish(&mut self) -> Records {
        let headers = (!self.headers.is_empty()).then(|| {
            let mut headers = std::mem::take(&mut self.headers);
            headers.resize_with(self.timestamps.len(), Vec::new);
            headers.into()
        });
        self.payload_bytes = 0;
        Records::new(self.keys.finish(), self.values.finish(), self.timestamps.finish(), headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: Option<&str>, value: Option<&str>, at: i64, headers: &[&str]) -> Record {
        Record {
            key: key.map(Into::into),
            value: value.map(Into::into),
            timestamp: Timestamp(at),
            headers: headers.iter().map(|name| Header { name: (*name).into(), value: None }).collect(),
        }
    }

    #[test]
    fn columns_give_back_the_records_they_were_built_from() {
        let all =
            [record(Some("a"), Some("1"), 5, &[]), record(None, None, -1, &["h"]), record(Some(""), Some("2"), 7, &[])];
        let records: Records = all.clone().into_iter().collect();
        let back = |row: RecordRef<'_>| Record {
            key: row.key.map(Into::into),
            value: row.value.map(Into::into),
            timestamp: row.timestamp,
            headers: row.headers.to_vec(),
        };
        assert_eq!(records.iter().map(back).collect::<Vec<_>>(), all);
        assert_eq!(records.slice(1, 2).iter().map(back).collect::<Vec<_>>(), all[1..]);
        assert_eq!(records.take(&[2, 0]).iter().map(back).collect::<Vec<_>>(), [all[2].clone(), all[0].clone()]);
        assert_eq!(records.payload_bytes(), 3 * 8 + 3);
    }
}
