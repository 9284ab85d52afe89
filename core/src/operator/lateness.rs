//! What is said of records that are late, and stream time that goes on without one.

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

/// Moves the stream time of each input on, of an operator that holds nothing back; gives when it has to let go of something: never.
pub(super) fn move_on(stream_times: &mut [Timestamp], to: Timestamp) -> Option<Timestamp> {
    stream_times.iter_mut().for_each(|time| *time = to.max(*time));
    None
}

/// The number up to which windows are not kept any more because of records of some input, by the stream time of each; with one input they are closed
/// before.
pub(super) fn last_gone(windows: &TimeWindows, stream_times: &[Timestamp]) -> i64 {
    let newest = stream_times.iter().copied().max().filter(|newest| *newest != Timestamp::NONE);
    match newest.filter(|_| stream_times.len() > 1) {
        None => i64::MIN,
        Some(newest) => {
            let oldest = windows.newest_start(newest).minus(windows.least_retention());
            windows.first_from(Timestamp(oldest.millis().saturating_add(1))).saturating_sub(1)
        }
    }
}
