//! What is said of records that are late.

use crate::{
    record::Timestamp,
    window::{Session, SessionWindows, SlidingWindows, TimeWindows},
};

pub(super) fn late_for_window(windows: &TimeWindows, time: Timestamp, number: i64, stream_time: Timestamp) -> String {
    let bounds = windows.bounds(number);
    let (start, end) = (Timestamp(bounds.start), Timestamp(bounds.end));
    format!(
        "the record of {time} is late for the window {start} to {end}: stream time is {stream_time}, grace {}",
        windows.grace()
    )
}

pub(super) fn late_for_session(windows: SessionWindows, time: i64, session: Session, stream_time: Timestamp) -> String {
    let (start, end) = (Timestamp(session.start), Timestamp(session.end));
    format!(
        "the record of {} is late for the session {start} to {end}: stream time is {stream_time}, gap {}, grace {}",
        Timestamp(time),
        windows.gap(),
        windows.grace()
    )
}

pub(super) fn late_for_sliding(windows: SlidingWindows, time: Timestamp, start: i64, stream_time: Timestamp) -> String {
    let (start, end) = (Timestamp(start), Timestamp(windows.end_of(start)));
    format!(
        "the record of {time} is late for the window {start} to {end}, which is included: stream time is {stream_time}, grace {}",
        windows.grace()
    )
}
