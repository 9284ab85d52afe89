//! Time windows by the clock of UTC, an offset and a zone: which windows hold a moment, and when they are closed or gone.

use super::*;

const HOUR: i64 = 3_600_000;

fn span(millis: i64) -> TimeSpan {
    TimeSpan::from_millis(millis).expect("not negative")
}

/// The bounds of the windows that hold a timestamp.
fn bounds(windows: &TimeWindows, timestamp: i64) -> Vec<(i64, i64)> {
    let bounds = windows.numbers(Timestamp(timestamp)).map(|number| windows.bounds(number));
    bounds.map(|bounds| (bounds.start, bounds.end)).collect()
}

fn check(size: i64, advance: i64, timestamp: i64) -> Vec<i64> {
    let windows = TimeWindows::hopping(span(size), span(advance), TimeSpan::ZERO).expect("legal");
    bounds(&windows, timestamp).into_iter().map(|(start, _)| start).collect()
}

#[test]
fn a_timestamp_falls_into_every_window_that_covers_it() {
    assert_eq!(check(5_000, 3_000, 7_000), [3_000, 6_000]);
    assert_eq!(check(5_000, 3_000, 1_000), [0]);
    assert_eq!(check(10, 10, 9), [0]);
    assert_eq!(check(10, 10, 10), [10]);
    assert_eq!(check(10, 2, 9), [0, 2, 4, 6, 8]);
    assert_eq!(check(10, 2, 10), [2, 4, 6, 8, 10]);
    assert_eq!(check(10, 10, -1), [0_i64; 0]);
}

#[test]
fn cumulating_windows_grow_up_to_their_size() {
    let windows = TimeWindows::cumulating(span(6), span(2), TimeSpan::ZERO).expect("legal");
    assert_eq!(bounds(&windows, 0), [(0, 2), (0, 4), (0, 6)]);
    assert_eq!(bounds(&windows, 3), [(0, 4), (0, 6)]);
    assert_eq!(bounds(&windows, 5), [(0, 6)]);
    assert_eq!(bounds(&windows, 6), [(6, 8), (6, 10), (6, 12)]);
    let later = windows.with_offset(span(5)).expect("shorter than the size");
    assert_eq!(bounds(&later, 4), [(-1, 5)]);
    assert_eq!(bounds(&later, 7), [(5, 9), (5, 11)]);
}

#[test]
fn an_offset_moves_every_window() {
    let windows = TimeWindows::tumbling(span(10), span(0)).and_then(|windows| windows.with_offset(span(4)));
    let windows = windows.expect("legal");
    assert_eq!(bounds(&windows, 3), [(-6, 4)]);
    assert_eq!(bounds(&windows, 4), [(4, 14)]);
    assert_eq!(windows.newest_start(Timestamp(13)), Timestamp(4));
    assert_eq!(windows.to_string(), "TUMBLING (SIZE 10 ms, OFFSET 4 ms, GRACE PERIOD 0 ms)");
}

/// An hour ahead; set forward on the second day at 02:00, back on the fourth at 03:00.
fn zone() -> Arc<LocalTime> {
    let changes = [(25 * HOUR, 2 * HOUR), (73 * HOUR, HOUR)];
    Arc::new(LocalTime::new("Test/Zone", HOUR, &changes).expect("rises"))
}

/// The bounds in hours of the windows that hold an hour.
fn local(windows: Result<TimeWindows, InvalidWindow>, hour: i64) -> Vec<(i64, i64)> {
    let windows = windows.and_then(|windows| windows.in_zone(zone())).expect("legal");
    bounds(&windows, hour * HOUR).into_iter().map(|(start, end)| (start / HOUR, end / HOUR)).collect()
}

#[test]
fn days_of_a_zone_start_at_midnight_there() {
    let day = || TimeWindows::tumbling(span(24 * HOUR), span(0));
    assert_eq!(local(day(), 0), [(-1, 23)]);
    assert_eq!(local(day(), 23), [(23, 46)], "23 hours");
    assert_eq!(local(day(), 46), [(46, 70)]);
    assert_eq!(local(day(), 94), [(70, 95)], "25 hours");
    assert_eq!(local(day().and_then(|day| day.with_offset(span(6 * HOUR))), 29), [(28, 52)], "from six to six");
    let hours = |size| TimeWindows::tumbling(span(size * HOUR), span(0));
    assert_eq!(local(hours(6), 70), [(70, 77)], "night shift, an hour longer");
    assert_eq!(local(hours(1), 73), [(72, 74)], "the hour that comes twice");
    assert_eq!(local(hours(1), 25), [(25, 26)]);
    let hopping = TimeWindows::hopping(span(2 * HOUR), span(HOUR), span(0));
    assert_eq!(local(hopping, 25), [(25, 26), (25, 27)], "the first one begins in the gap");
    let growing = TimeWindows::cumulating(span(6 * HOUR), span(HOUR), span(0));
    assert_eq!(local(growing, 23), [(23, 24), (23, 25), (23, 26), (23, 27), (23, 28)], "one hour is skipped");
}

#[test]
fn a_window_closes_when_stream_time_reaches_its_end_and_grace() {
    let windows = TimeWindows::tumbling(span(10), span(5)).expect("legal");
    for (stream_time, last) in [(14, -1), (15, 0), (i64::MIN, i64::MIN)] {
        assert_eq!(windows.last_closed(Timestamp(stream_time)), last);
    }
    let growing = TimeWindows::cumulating(span(10), span(5), span(5)).expect("legal");
    assert_eq!(growing.last_closed(Timestamp(10)), 5);
}

#[test]
fn numbers_say_what_is_closed_and_what_is_kept() {
    let hours = |hours: i64| span(hours * HOUR);
    let shapes = [
        TimeWindows::tumbling(hours(24), hours(1)),
        TimeWindows::hopping(hours(24), hours(6), hours(0)),
        TimeWindows::hopping(hours(2), hours(1), hours(0)),
        TimeWindows::cumulating(hours(24), hours(3), hours(2)),
    ];
    for windows in shapes {
        let windows = windows.expect("legal");
        let later = windows.clone().with_offset(hours(0)).expect("legal");
        let shifted = windows.clone().with_offset(span(HOUR / 2)).and_then(|windows| windows.in_zone(zone()));
        for windows in [windows, later.in_zone(zone()).expect("legal"), shifted.expect("legal")] {
            for hour in 0..120 {
                for number in windows.numbers(Timestamp(hour * HOUR)) {
                    let WindowBounds { start, end } = windows.bounds(number);
                    assert!(start <= hour * HOUR && hour * HOUR < end, "{windows} at {hour}");
                    assert!(end - start <= windows.longest().millis());
                    for moment in (start - 3 * HOUR..end + 5 * HOUR).step_by((HOUR / 2) as usize) {
                        let closed = windows.is_closed(Timestamp(end), Timestamp(moment));
                        assert_eq!(number <= windows.last_closed(Timestamp(moment)), closed, "{windows}");
                        assert_eq!(number >= windows.first_from(Timestamp(moment)), start >= moment, "{windows}");
                    }
                }
            }
        }
    }
}

#[test]
fn definitions_that_make_no_sense_are_refused() {
    assert_eq!(TimeWindows::tumbling(span(0), span(0)), Err(InvalidWindow::Empty));
    assert!(TimeWindows::hopping(span(5), span(6), span(0)).is_err());
    assert!(TimeWindows::hopping(span(5), span(0), span(0)).is_err());
    assert!(TimeWindows::cumulating(span(5), span(2), span(0)).is_err());
    assert!(TimeWindows::cumulating(span(4), span(0), span(0)).is_err());
    let hopping = TimeWindows::hopping(span(10), span(5), span(0)).expect("legal");
    assert!(hopping.clone().with_offset(span(5)).is_err());
    assert!(hopping.in_zone(zone()).is_ok(), "5 ms divide a day");
    let odd = TimeWindows::tumbling(span(7 * HOUR), span(0)).expect("legal");
    assert_eq!(odd.in_zone(zone()), Err(InvalidWindow::LocalLength { length: span(7 * HOUR) }));
}
