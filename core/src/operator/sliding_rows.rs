//! Rows of the index of sliding windows: which windows of a key start within one stretch of time, and the newest record in each.
//!
//! ```text
//! key     | start of the stretch, ordered bytes (8) | key row |
//! value   | start (8) | timestamp (8) |   again and again, by start; little endian
//! ```
//! The windows themselves lie each in a row of its own, as those of other time windows do. With this index the windows around a moment are found
//! by a few point reads, whatever other keys there are.

use crate::record::TimeSpan;

const MOMENT: usize = 8;
/// Stretches that a retention spans at most, roughly.
const STRETCHES: i64 = 32;

/// How long the stretches are into which windows are put that are kept for `retention`, if a record looks `reach` back.
pub(crate) fn sliding_stretch(reach: TimeSpan, retention: TimeSpan) -> TimeSpan {
    let longest = (retention.millis() / STRETCHES).max(reach.millis()).max(1);
    TimeSpan::from_millis(longest).unwrap_or_default()
}

/// Appends a window to the value of its stretch.
pub(super) fn append_window(start: i64, time: i64, value: &mut Vec<u8>) {
    value.extend_from_slice(&start.to_le_bytes());
    value.extend_from_slice(&time.to_le_bytes());
}

/// The starts and timestamps of the windows in a stored value. Bytes that are none end it: stores are checksummed.
pub(super) fn windows_in(value: &[u8]) -> impl Iterator<Item = (i64, i64)> {
    let mut rest = value;
    std::iter::from_fn(move || {
        let (start, after) = rest.split_first_chunk::<MOMENT>()?;
        let (time, after) = after.split_first_chunk::<MOMENT>()?;
        rest = after;
        Some((i64::from_le_bytes(*start), i64::from_le_bytes(*time)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_come_back_from_a_stored_value() {
        let windows = [(0, 4), (7, 9), (i64::MAX - 1, i64::MAX)];
        let mut value = Vec::new();
        windows.iter().for_each(|&(start, time)| append_window(start, time, &mut value));
        assert_eq!(windows_in(&value).collect::<Vec<_>>(), windows);
        assert_eq!(windows_in(&value[..value.len() - 1]).count(), 2, "what is cut off is not read");
        assert_eq!(windows_in(&[]).count(), 0);
    }

    #[test]
    fn stretches_are_as_long_as_a_record_looks_back() {
        let span = |millis| TimeSpan::from_millis(millis).expect("not negative");
        assert_eq!(sliding_stretch(span(21), span(30)).millis(), 21);
        assert_eq!(sliding_stretch(span(20), span(6_400)).millis(), 200);
        assert_eq!(sliding_stretch(span(0), span(0)).millis(), 1);
    }
}
