//! Rows of session stores: the sessions of a key that end within one stretch of time, as one row.
//!
//! ```text
//! key     | start of the stretch, ordered bytes (8) | key row |
//! value   | start (8) | end (8) | length (4) | state row |   again and again, by end; little endian
//! ```
//! So the sessions of a key around a moment are found by a few point reads, and expiry is one range, as in the segments of Kafka Streams'
//! stores. A stretch is at least the gap and about a 32nd of the retention long: rows stay short, and a record on time needs two of them.

use std::ops::Range;

use millstream_state::key::{split_window_key, window_key};

use super::{FoldError, TaskStore};
use crate::{
    record::{TimeSpan, Timestamp},
    window::{Session, SessionWindows},
};

const MOMENT: usize = 8;
const HEAD: usize = 2 * MOMENT + 4;
/// Stretches that a retention spans, roughly.
const STRETCHES: i64 = 32;

/// How long the stretches are into which sessions are put that are kept for `retention`.
pub(crate) fn stretch_span(windows: SessionWindows, retention: TimeSpan) -> TimeSpan {
    let parts = retention.millis() / STRETCHES;
    TimeSpan::from_millis(parts.max(windows.gap().millis()).max(1)).unwrap_or_default()
}

/// The start of the stretch that holds `time`.
pub(crate) fn stretch_of(time: i64, span: TimeSpan) -> i64 {
    time.div_euclid(span.millis()).saturating_mul(span.millis())
}

/// Appends a session and the row of its state to the value of a stretch.
pub(crate) fn append_session(session: Session, state: &[u8], value: &mut Vec<u8>) {
    value.extend_from_slice(&session.start.to_le_bytes());
    value.extend_from_slice(&session.end.to_le_bytes());
    let length = u32::try_from(state.len()).expect("a row encoding is shorter than 4 GiB, as values of stores are");
    value.extend_from_slice(&length.to_le_bytes());
    value.extend_from_slice(state);
}

/// The sessions in a stored value and where the rows of their states lie in it. Bytes that are none end it: stores are checksummed.
pub(crate) fn sessions_in(value: &[u8]) -> impl Iterator<Item = (Session, Range<usize>)> {
    let mut next = 0;
    std::iter::from_fn(move || {
        let head = value.get(next..next + HEAD)?;
        let (start, rest) = head.split_first_chunk::<MOMENT>()?;
        let (end, length) = rest.split_first_chunk::<MOMENT>()?;
        let length = u32::from_le_bytes(*length.first_chunk()?) as usize;
        let row = next + HEAD..next + HEAD + length;
        value.get(row.clone())?;
        next = row.end;
        Some((Session { start: i64::from_le_bytes(*start), end: i64::from_le_bytes(*end) }, row))
    })
}

/// The earliest end of a session in the store that does not lie before `open_from`.
pub(crate) fn first_open_end(
    open_from: i64,
    span: TimeSpan,
    store: &mut TaskStore,
) -> Result<Option<Timestamp>, FoldError> {
    let mut from = Vec::new();
    window_key(stretch_of(open_from, span), &[], &mut from);
    let mut first: Option<i64> = None;
    let mut each = |key: &[u8], value: &[u8]| {
        let Some((stretch, _)) = split_window_key(key) else { return true };
        if first.is_some_and(|end| stretch_of(end, span) < stretch) {
            return false;
        }
        let ends = sessions_in(value).map(|(session, _)| session.end).filter(|&end| end >= open_from);
        first = ends.chain(first).min();
        true
    };
    store.range(&from, None, &mut each).map_err(FoldError::of)?;
    Ok(first.map(Timestamp))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_come_back_from_a_stored_value() {
        let all = [(Session { start: -3, end: 4 }, "state"), (Session::at(9), ""), (Session::at(i64::MAX), "x")];
        let mut value = Vec::new();
        all.iter().for_each(|(session, state)| append_session(*session, state.as_bytes(), &mut value));
        let back: Vec<_> = sessions_in(&value).map(|(session, row)| (session, &value[row])).collect();
        assert_eq!(back, all.map(|(session, state)| (session, state.as_bytes())));
        assert_eq!(sessions_in(&value[..value.len() - 1]).count(), 2, "what is cut off is not read");
        assert_eq!(sessions_in(&[]).count(), 0);
    }

    #[test]
    fn stretches_follow_one_another_before_and_after_the_epoch() {
        let span = TimeSpan::from_millis(10).expect("not negative");
        let check = |time: i64| stretch_of(time, span);
        assert_eq!([-11, -10, -1, 0, 9, 10].map(check), [-20, -10, -10, 0, 0, 10]);
        let windows = SessionWindows::new(span, TimeSpan::ZERO).expect("legal");
        assert_eq!(stretch_span(windows, TimeSpan::from_millis(320).expect("legal")).millis(), 10);
        assert_eq!(stretch_span(windows, TimeSpan::from_millis(32_000).expect("legal")).millis(), 1_000);
    }
}
