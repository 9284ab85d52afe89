//! Time windows: tumbling, hopping and cumulating, aligned to the epoch, to an offset from it, or to midnight in a time zone.
//!
//! A window `[start, end)` accepts a record while `end + grace > stream time`, where the stream time includes the record itself.
//!
//! ```text
//! hopping, size 5, advance 3:     [0    )[     3    )        a record at 7 falls into [3,8) and [6,11),
//!                                     [3    8)  [6    11)    one at 1 into [0,5) only
//! cumulating, size 6, step 2:     [0 2)       [6 8)          a record at 3 falls into [0,4) and [0,6),
//!                                 [0   4)     [6   10)       one at 10 into [6,12) only
//!                                 [0     6)   [6      12)
//! ```
//!
//! Windows lie regularly on a clock: that of UTC less the offset, or that of a zone ([`LocalTime`]) less the offset. Each has a *number*,
//! under which it is stored: what the clock reads at its start, of a cumulating window at its end, for several of them share a start.
//! Windows of higher numbers never start or end earlier, so those that are closed, or no longer kept, are those up to some number.
//!
//! Starts of hopping and tumbling windows without offset and zone are never negative, as in Kafka Streams: a record shortly after the epoch
//! falls into fewer windows. Others may begin before the epoch. A record before the epoch falls into none.
//!
//! Cumulating windows, offsets and zones after Flink SQL's window functions.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, Int64Array},
    datatypes::Int64Type,
};

use super::{InvalidWindow, LocalTime, WindowBounds};
use crate::record::{TimeSpan, Timestamp};

const DAY_MS: i64 = 86_400_000;

/// How windows follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// One starts every step.
    Hopping,
    /// One ends every step, up to the size; then they start anew.
    Cumulating,
    /// There is one, which starts here and never ends.
    Unlimited(i64),
}

/// Windows of one size at regular distances.
///
/// ```
/// use std::time::Duration;
/// use millstream::{window::{TimeWindows, WindowBounds}, record::Timestamp};
///
/// let windows = TimeWindows::hopping(Duration::from_millis(10), Duration::from_millis(5), Duration::ZERO)?;
/// let of_seventeen: Vec<_> = windows.numbers(Timestamp(17)).map(|number| windows.bounds(number)).collect();
/// assert_eq!(of_seventeen, [WindowBounds { start: 10, end: 20 }, WindowBounds { start: 15, end: 25 }]);
/// # Ok::<(), millstream::window::InvalidWindow>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeWindows {
    shape: Shape,
    size: TimeSpan,
    step: TimeSpan,
    grace: TimeSpan,
    offset: TimeSpan,
    zone: Option<Arc<LocalTime>>,
}

impl TimeWindows {
    /// Windows that follow one another without gap or overlap.
    ///
    /// # Errors
    /// [`InvalidWindow::Empty`] if the size is below a millisecond.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{window::TimeWindows, record::Timestamp};
    /// let windows = TimeWindows::tumbling(Duration::from_millis(10), Duration::ZERO)?;
    /// assert_eq!([9, 10, 19, 20].map(|time| windows.newest_start(Timestamp(time)).millis()), [0, 10, 10, 20]);
    /// # Ok::<(), millstream::window::InvalidWindow>(())
    /// ```
    pub fn tumbling(size: impl Into<TimeSpan>, grace: impl Into<TimeSpan>) -> Result<Self, InvalidWindow> {
        let size = size.into();
        Self::hopping(size, size, grace)
    }

    /// Windows of `size` of which one starts every `advance`.
    ///
    /// # Errors
    /// [`InvalidWindow`] if the size is zero or the advance does not fit it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{window::TimeWindows, record::Timestamp};
    /// let windows = TimeWindows::hopping(Duration::from_millis(5), Duration::from_millis(3), Duration::ZERO)?;
    /// assert_eq!(windows.numbers(Timestamp(7)).collect::<Vec<_>>(), [3, 6]); // the starts of [3, 8) and [6, 11)
    /// # Ok::<(), millstream::window::InvalidWindow>(())
    /// ```
    pub fn hopping(
        size: impl Into<TimeSpan>,
        advance: impl Into<TimeSpan>,
        grace: impl Into<TimeSpan>,
    ) -> Result<Self, InvalidWindow> {
        let (size, advance, grace) = (size.into(), advance.into(), grace.into());
        if size == TimeSpan::ZERO {
            return Err(InvalidWindow::Empty);
        }
        if advance == TimeSpan::ZERO || advance > size {
            return Err(InvalidWindow::Advance { size, advance });
        }
        Ok(Self { shape: Shape::Hopping, size, step: advance, grace, offset: TimeSpan::ZERO, zone: None })
    }

    /// Windows that grow by `step` up to `size` and then start anew: of those that start at 0 one ends at each multiple of the step.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream::{record::Timestamp, window::TimeWindows};
    ///
    /// let hours = |hours: u64| Duration::from_secs(hours * 3_600);
    /// let windows = TimeWindows::cumulating(hours(24), hours(8), hours(0))?;
    /// let at_nine = Timestamp(9 * 3_600_000);
    /// let ends: Vec<i64> = windows.numbers(at_nine).map(|number| windows.bounds(number).end / 3_600_000).collect();
    /// assert_eq!(ends, [16, 24]);
    /// # Ok::<(), millstream::window::InvalidWindow>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidWindow`] if the size is zero or no multiple of the step.
    pub fn cumulating(
        size: impl Into<TimeSpan>,
        step: impl Into<TimeSpan>,
        grace: impl Into<TimeSpan>,
    ) -> Result<Self, InvalidWindow> {
        let (size, step, grace) = (size.into(), step.into(), grace.into());
        if size == TimeSpan::ZERO {
            return Err(InvalidWindow::Empty);
        }
        if step == TimeSpan::ZERO || size.millis() % step.millis() != 0 {
            return Err(InvalidWindow::Step { size, step });
        }
        Ok(Self { shape: Shape::Cumulating, size, step, grace, offset: TimeSpan::ZERO, zone: None })
    }

    /// One window `[start, i64::MAX)` that never closes. Records before `start` are in no window: they become dead letters.
    ///
    /// ```
    /// use millstream::{record::Timestamp, window::TimeWindows};
    ///
    /// let windows = TimeWindows::unlimited(Timestamp(100));
    /// let starts = |time: i64| windows.numbers(Timestamp(time)).map(|number| windows.bounds(number).start).collect::<Vec<_>>();
    /// assert_eq!((starts(99), starts(100), starts(1_000_000)), (vec![], vec![100], vec![100]));
    /// ```
    pub fn unlimited(start: Timestamp) -> Self {
        let size = TimeSpan::from_millis(i64::MAX).unwrap_or_default();
        let shape = Shape::Unlimited(start.millis());
        Self { shape, size, step: size, grace: TimeSpan::ZERO, offset: TimeSpan::ZERO, zone: None }
    }

    /// A window of `size`, which may be zero, from every moment on. Which of them hold a record is decided elsewhere.
    pub(super) fn from_every_moment(size: TimeSpan, grace: TimeSpan) -> Self {
        let step = TimeSpan::from_millis(1).unwrap_or_default();
        Self { shape: Shape::Hopping, size, step, grace, offset: TimeSpan::ZERO, zone: None }
    }

    /// The same windows, starting `offset` later.
    ///
    /// # Errors
    /// [`InvalidWindow::Offset`] if it is not shorter than the distance of two starts.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{window::TimeWindows, record::Timestamp};
    /// let windows = TimeWindows::tumbling(Duration::from_millis(10), Duration::ZERO)?.with_offset(Duration::from_millis(3))?;
    /// assert_eq!([12, 13].map(|time| windows.newest_start(Timestamp(time)).millis()), [3, 13]);
    /// # Ok::<(), millstream::window::InvalidWindow>(())
    /// ```
    pub fn with_offset(self, offset: impl Into<TimeSpan>) -> Result<Self, InvalidWindow> {
        let (offset, every) = (offset.into(), self.start_every());
        if offset >= every {
            return Err(InvalidWindow::Offset { offset, every });
        }
        Ok(Self { offset, ..self })
    }

    /// The same windows by the clock of a time zone: windows of a day start at local midnight, and last 23 or 25 hours where clocks change.
    ///
    /// # Errors
    /// [`InvalidWindow::LocalLength`] if size or step neither divide a day nor are whole days.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{window::{LocalTime, TimeWindows}, record::Timestamp};
    /// let (day, zone) = (Duration::from_secs(86_400), LocalTime::new("Etc/GMT-1", 3_600_000, &[])?);
    /// let days = TimeWindows::tumbling(day, Duration::ZERO)?.in_zone(zone.into())?;
    /// assert_eq!(days.newest_start(Timestamp(0)), Timestamp(-3_600_000)); // local midnight
    /// # Ok::<(), millstream::window::InvalidWindow>(())
    /// ```
    pub fn in_zone(self, zone: Arc<LocalTime>) -> Result<Self, InvalidWindow> {
        let fits = |length: TimeSpan| DAY_MS % length.millis() == 0 || length.millis() % DAY_MS == 0;
        match [self.size, self.step].into_iter().find(|&length| !fits(length)) {
            Some(length) => Err(InvalidWindow::LocalLength { length }),
            None => Ok(Self { zone: Some(zone), ..self }),
        }
    }

    /// How long a window is; of cumulating windows the longest one. In a time zone it may last longer or shorter by a change of the clock.
    pub fn size(&self) -> TimeSpan {
        self.size
    }

    /// The longest that a window can last.
    pub fn longest(&self) -> TimeSpan {
        let more = self.zone.as_ref().map_or(TimeSpan::ZERO, |zone| zone.most_set_back());
        TimeSpan::from_millis(self.size.millis().saturating_add(more.millis())).unwrap_or_default()
    }

    /// How long a result is needed at least: until its window is closed.
    pub fn least_retention(&self) -> TimeSpan {
        let (length, grace) = (self.longest(), self.grace());
        TimeSpan::from_millis(length.millis().saturating_add(grace.millis())).unwrap_or_default()
    }

    /// How far apart windows start; of cumulating windows by how much they grow.
    pub fn advance(&self) -> TimeSpan {
        self.step
    }

    /// How long after its end a window still accepts records.
    pub fn grace(&self) -> TimeSpan {
        self.grace
    }

    /// How much later than the epoch, or than local midnight, windows start.
    pub fn offset(&self) -> TimeSpan {
        self.offset
    }

    /// By which clock, if not by that of UTC.
    pub fn zone(&self) -> Option<&LocalTime> {
        self.zone.as_deref()
    }

    /// Whether every record falls into one window.
    pub fn is_tumbling(&self) -> bool {
        self.size == self.step && self.shape == Shape::Hopping
    }

    /// Whether several windows start together and end one after another.
    pub fn is_cumulating(&self) -> bool {
        self.shape == Shape::Cumulating
    }

    /// Whether there is one window only, which never closes.
    pub(crate) fn is_unlimited(&self) -> bool {
        matches!(self.shape, Shape::Unlimited(_))
    }

    /// Whether the start of a window says where it ends: all windows are of one length.
    pub fn has_one_length(&self) -> bool {
        self.zone.is_none() && self.shape != Shape::Cumulating
    }

    /// Whether the number of a window is its start.
    pub fn is_numbered_by_start(&self) -> bool {
        self.shape != Shape::Cumulating && self.is_plain()
    }

    fn is_plain(&self) -> bool {
        self.zone.is_none() && self.offset == TimeSpan::ZERO
    }

    /// How far apart two different starts are.
    fn start_every(&self) -> TimeSpan {
        match self.shape {
            Shape::Hopping => self.step,
            Shape::Cumulating => self.size,
            Shape::Unlimited(_) => TimeSpan::ZERO,
        }
    }

    /// What the clock of these windows reads at a moment.
    fn reading(&self, moment: Timestamp) -> i64 {
        let reading = self.zone.as_ref().map_or(moment.millis(), |zone| zone.reading(moment));
        reading.saturating_sub(self.offset.millis())
    }

    /// The first moment at which the clock of these windows shows a reading.
    fn moment(&self, reading: i64) -> i64 {
        let reading = reading.saturating_add(self.offset.millis());
        self.zone.as_ref().map_or(reading, |zone| zone.moment(reading).millis())
    }

    /// Where the window of this number lies.
    pub fn bounds(&self, number: i64) -> WindowBounds {
        let (start, end) = match self.shape {
            Shape::Hopping => (number, number.saturating_add(self.size.millis())),
            Shape::Unlimited(_) => return WindowBounds { start: number, end: i64::MAX },
            Shape::Cumulating => (floor(number.saturating_sub(1), self.size), number),
        };
        WindowBounds { start: self.moment(start), end: self.moment(end) }
    }

    /// The starts and the ends of windows, by their numbers.
    pub fn bound_columns(&self, numbers: ArrayRef) -> [ArrayRef; 2] {
        let each = numbers.as_primitive::<Int64Type>();
        if self.is_numbered_by_start() {
            let size = self.size.millis();
            let ends: Int64Array = each.unary(|start| if size == i64::MAX { size } else { start.saturating_add(size) });
            return [numbers, Arc::new(ends)];
        }
        let (starts, ends): (Vec<i64>, Vec<i64>) =
            each.values().iter().map(|&number| self.bounds(number)).map(|bounds| (bounds.start, bounds.end)).unzip();
        [Arc::new(Int64Array::from(starts)), Arc::new(Int64Array::from(ends))]
    }

    /// The numbers of the windows that hold `timestamp`, rising; none for a negative timestamp.
    pub fn numbers(&self, timestamp: Timestamp) -> impl Iterator<Item = i64> + '_ {
        let (first, last) = self.first_and_last(timestamp);
        let step = self.step.millis();
        let count = match timestamp.millis() {
            ..0 => 0,
            time if self.is_unlimited() && time < first => 0,
            _ if first == last => 1,
            _ => (last - first) / step + 1,
        };
        // Of two that end together, where clocks are set forward, one is enough.
        let ends_alike = move |number: i64| {
            self.is_cumulating() && self.zone.is_some() && self.moment(number) == self.moment(number - step)
        };
        (0..count).map(move |index| first + index * step).filter(move |&number| !ends_alike(number))
    }

    fn first_and_last(&self, timestamp: Timestamp) -> (i64, i64) {
        let time = self.reading(timestamp);
        match self.shape {
            Shape::Hopping if self.is_tumbling() => {
                let only = floor(time, self.size);
                (only, only)
            }
            Shape::Hopping => {
                let first = floor(time.saturating_sub(self.size.millis()), self.step) + self.step.millis();
                (if self.is_plain() { first.max(0) } else { first }, floor(time, self.step))
            }
            Shape::Cumulating => {
                let next = |length: TimeSpan| floor(time, length).saturating_add(length.millis());
                (next(self.step), next(self.size))
            }
            Shape::Unlimited(start) => (start, start),
        }
    }

    /// The start of the newest window that holds a moment, whatever its length.
    pub fn newest_start(&self, moment: Timestamp) -> Timestamp {
        if let Shape::Unlimited(start) = self.shape {
            return Timestamp(start);
        }
        Timestamp(self.moment(floor(self.reading(moment), self.start_every())))
    }

    /// Whether a window that ends at `end` accepts no more records at this stream time.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{window::TimeWindows, record::Timestamp};
    /// let windows = TimeWindows::tumbling(Duration::from_millis(10), Duration::from_millis(5))?;
    /// assert_eq!([14, 15].map(|now| windows.is_closed(Timestamp(10), Timestamp(now))), [false, true]);
    /// # Ok::<(), millstream::window::InvalidWindow>(())
    /// ```
    pub fn is_closed(&self, end: Timestamp, stream_time: Timestamp) -> bool {
        !self.is_unlimited() && end.plus(self.grace) <= stream_time
    }

    /// The highest number that a window closed at this stream time can have: windows up to it accept no more records.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{window::TimeWindows, record::Timestamp};
    /// let windows = TimeWindows::tumbling(Duration::from_millis(10), Duration::from_millis(5))?;
    /// assert_eq!(windows.last_closed(Timestamp(25)), 10); // that of [10, 20)
    /// # Ok::<(), millstream::window::InvalidWindow>(())
    /// ```
    pub fn last_closed(&self, stream_time: Timestamp) -> i64 {
        let reading = self.reading(stream_time.minus(self.grace));
        match self.shape {
            Shape::Hopping => reading.saturating_sub(self.size.millis()),
            Shape::Cumulating => reading,
            Shape::Unlimited(_) => i64::MIN,
        }
    }

    /// The least number that a window which starts at `moment` or later can have.
    pub fn first_from(&self, moment: Timestamp) -> i64 {
        let reading = self.reading(Timestamp(moment.millis().saturating_sub(1))).saturating_add(1);
        match self.shape {
            Shape::Hopping => reading,
            Shape::Unlimited(_) => i64::MIN,
            Shape::Cumulating => {
                let start = floor(reading.saturating_add(self.size.millis() - 1), self.size);
                start.saturating_add(1)
            }
        }
    }
}

/// The last multiple of `length` that is not after `reading`.
fn floor(reading: i64, length: TimeSpan) -> i64 {
    reading.saturating_sub(reading.rem_euclid(length.millis()))
}

impl std::fmt::Display for TimeWindows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.shape {
            Shape::Cumulating => write!(f, "CUMULATE (SIZE {}, STEP {}", self.size, self.step)?,
            Shape::Hopping if self.is_tumbling() => write!(f, "TUMBLING (SIZE {}", self.size)?,
            Shape::Unlimited(start) => return write!(f, "UNLIMITED (FROM {})", Timestamp(start)),
            Shape::Hopping => write!(f, "HOPPING (SIZE {}, ADVANCE BY {}", self.size, self.step)?,
        }
        if self.offset != TimeSpan::ZERO {
            write!(f, ", OFFSET {}", self.offset)?;
        }
        if let Some(zone) = &self.zone {
            write!(f, ", TIMEZONE '{}'", zone.zone())?;
        }
        write!(f, ", GRACE PERIOD {})", self.grace)
    }
}

#[cfg(test)]
mod tests;
