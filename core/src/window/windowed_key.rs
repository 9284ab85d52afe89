//! Keys with windows as bytes in topics, as Kafka Streams writes them.
//!
//! ```text
//! time window   | key | start (8 bytes, big endian) |
//! session       | key | end (8) | start (8) |
//! bounds        | key | end (8) | start (8) |
//! ```
//! The end of a time window is not written: a reader knows the windows' length. Where it is not the same for all windows (cumulating ones, and
//! days of a time zone) both bounds are written as those of a session are. Keys are partitioned by the key without its window.

use arrow::array::{Array, BinaryArray, BinaryBuilder, Int64Array};

use crate::schema::WindowKind;

/// Bytes that a moment takes.
const MOMENT: usize = 8;

/// The bounds of a window, in milliseconds since the epoch.
///
/// ```
/// # use std::time::Duration;
/// # use millstream::window::{TimeWindows, WindowBounds};
/// let windows = TimeWindows::tumbling(Duration::from_millis(10), Duration::ZERO)?;
/// assert_eq!(windows.bounds(20), WindowBounds { start: 20, end: 30 });
/// # Ok::<(), millstream::window::InvalidWindow>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WindowBounds {
    /// Its start.
    pub start: i64,
    /// Its end: of a time window the first moment after it, of a session the moment of its last record.
    pub end: i64,
}

/// Appends a window of this kind to a key; appends nothing to keys without windows.
///
/// ```
/// # use millstream::{window::{WindowBounds, append_window}, schema::WindowKind};
/// let mut key = b"ada".to_vec();
/// append_window(WindowKind::Session, WindowBounds { start: 1, end: 258 }, &mut key);
/// assert_eq!(key, *b"ada\0\0\0\0\0\0\x01\x02\0\0\0\0\0\0\0\x01");
/// ```
pub fn append_window(kind: WindowKind, window: WindowBounds, key: &mut Vec<u8>) {
    match kind {
        WindowKind::None => {}
        WindowKind::Time { .. } => key.extend_from_slice(&window.start.to_be_bytes()),
        WindowKind::Session | WindowKind::Bounds => {
            key.extend_from_slice(&window.end.to_be_bytes());
            key.extend_from_slice(&window.start.to_be_bytes());
        }
    }
}

/// A key and its window; `None` if the bytes have no window of this kind. The end of a time window of unknown length is its start.
///
/// ```
/// # use std::time::Duration;
/// # use millstream::{window::{WindowBounds, split_key}, schema::WindowKind};
/// let minutes = WindowKind::time(Duration::from_millis(60).into());
/// let (key, window) = split_key(minutes, b"ada\0\0\0\0\0\0\x01\x02").ok_or("no window")?;
/// assert_eq!((key, window), (b"ada".as_slice(), WindowBounds { start: 258, end: 318 }));
/// # Ok::<(), &str>(())
/// ```
pub fn split_key(kind: WindowKind, bytes: &[u8]) -> Option<(&[u8], WindowBounds)> {
    let (rest, start) = bytes.split_last_chunk::<MOMENT>()?;
    let start = i64::from_be_bytes(*start);
    match kind {
        WindowKind::None => None,
        WindowKind::Time { size } => {
            let end = start.saturating_add(size.map_or(0, |size| size.millis()));
            Some((rest, WindowBounds { start, end }))
        }
        WindowKind::Session | WindowKind::Bounds => {
            let (key, end) = rest.split_last_chunk::<MOMENT>()?;
            Some((key, WindowBounds { start, end: i64::from_be_bytes(*end) }))
        }
    }
}

/// Keys with their windows behind them, one a row. A null key is written as no bytes before its window.
///
/// ```
/// # use millstream::{window::with_windows, schema::WindowKind};
/// # use arrow::array::{BinaryArray, Int64Array};
/// let keys = BinaryArray::from_vec(vec![b"ada"]);
/// let windowed = with_windows(WindowKind::Session, &keys, &Int64Array::from(vec![1]), &Int64Array::from(vec![258]));
/// assert_eq!(windowed.value(0), b"ada\0\0\0\0\0\0\x01\x02\0\0\0\0\0\0\0\x01");
/// ```
pub fn with_windows(kind: WindowKind, keys: &BinaryArray, starts: &Int64Array, ends: &Int64Array) -> BinaryArray {
    let mut windowed = BinaryBuilder::with_capacity(keys.len(), keys.value_data().len() + 2 * MOMENT * keys.len());
    let mut bytes = Vec::new();
    for (row, (&start, &end)) in starts.values().iter().zip(ends.values()).enumerate() {
        bytes.clear();
        if keys.is_valid(row) {
            bytes.extend_from_slice(keys.value(row));
        }
        append_window(kind, WindowBounds { start, end }, &mut bytes);
        windowed.append_value(&bytes);
    }
    windowed.finish()
}

/// Keys taken apart: see [`split_keys`].
///
/// ```
/// # use std::time::Duration;
/// # use millstream::{window::split_keys, schema::WindowKind};
/// # use arrow::array::BinaryArray;
/// let windowed = BinaryArray::from_vec(vec![b"ada\0\0\0\0\0\0\x01\x02", b"bob"]);
/// let split = split_keys(WindowKind::time(Duration::from_millis(60).into()), &windowed);
/// assert_eq!((split.keys.value(0), split.ends.value(0), split.broken), (b"ada".as_slice(), 318, vec![1]));
/// ```
#[derive(Debug, Clone)]
pub struct SplitKeys {
    /// The keys without their windows; null where there is no window.
    pub keys: BinaryArray,
    /// The starts; 0 where there is no window.
    pub starts: Int64Array,
    /// The ends; 0 where there is no window.
    pub ends: Int64Array,
    /// The rows whose bytes have no window.
    pub broken: Vec<usize>,
}

/// Takes keys with windows of one kind apart.
///
/// ```
/// # use std::time::Duration;
/// # use millstream::{window::split_keys, schema::WindowKind};
/// # use arrow::array::BinaryArray;
/// let windowed = BinaryArray::from_vec(vec![b"ada\0\0\0\0\0\0\x01\x02"]);
/// let split = split_keys(WindowKind::time(Duration::from_millis(60).into()), &windowed);
/// assert_eq!((split.keys.value(0), split.starts.value(0), split.ends.value(0)), (b"ada".as_slice(), 258, 318));
/// ```
pub fn split_keys(kind: WindowKind, windowed: &BinaryArray) -> SplitKeys {
    let mut keys = BinaryBuilder::with_capacity(windowed.len(), windowed.value_data().len());
    let (mut starts, mut ends) = (Vec::with_capacity(windowed.len()), Vec::with_capacity(windowed.len()));
    let mut broken = Vec::new();
    for (row, bytes) in windowed.iter().enumerate() {
        let split = bytes.and_then(|bytes| split_key(kind, bytes));
        keys.append_option(split.map(|(key, _)| key));
        let bounds = split.map_or(WindowBounds { start: 0, end: 0 }, |(_, bounds)| bounds);
        starts.push(bounds.start);
        ends.push(bounds.end);
        if split.is_none() {
            broken.push(row);
        }
    }
    SplitKeys { keys: keys.finish(), starts: Int64Array::from(starts), ends: Int64Array::from(ends), broken }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::TimeSpan;

    fn check(kind: WindowKind, start: i64, end: i64, bytes: &[u8]) {
        let mut key = b"ada".to_vec();
        append_window(kind, WindowBounds { start, end }, &mut key);
        assert_eq!(key, [b"ada".as_slice(), bytes].concat());
        assert_eq!(split_key(kind, &key), Some((b"ada".as_slice(), WindowBounds { start, end })));
    }

    #[test]
    fn keys_are_written_as_kafka_streams_writes_them() {
        let size = TimeSpan::from_millis(60).expect("not negative");
        check(WindowKind::time(size), 258, 318, &[0, 0, 0, 0, 0, 0, 1, 2]);
        check(WindowKind::Bounds, 0, 258, &[0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0]);
        check(WindowKind::Session, 1, 258, &[0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn keys_without_a_window_are_reported() {
        let keys = BinaryArray::from_opt_vec(vec![Some(&[7_u8; 17][..]), Some(&[1; 9]), None]);
        assert_eq!(split_keys(WindowKind::Session, &keys).broken, [1, 2]);
        let split = split_keys(true.into(), &keys);
        assert_eq!((split.broken, split.keys.value(1)), (vec![2], [1_u8].as_slice()));
    }
}
