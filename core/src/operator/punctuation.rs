//! Punctuations: what a processor wants to be called for besides records, and when.
//!
//! Ticks lie on a grid of their interval. On stream time the grid begins at 0, so that the first record makes the first tick; on wall-clock time
//! it begins an interval after the schedule was made. A tick is due when the time has come to it; those that were missed are skipped, and the
//! next one is the first on the grid that lies ahead. All as in Kafka Streams' `PunctuationQueue`.
//!
//! ```text
//! interval 10, stream time     3   -> tick (0)      next 10
//!                             12   -> tick (10)     next 20
//!                             45   -> tick (20)     next 50: 30 and 40 are skipped
//! ```

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::record::{TimeSpan, Timestamp};

/// Which time drives a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PunctuationType {
    /// The task's stream time: the highest timestamp of the records that it has taken. Without records nothing is due.
    StreamTime,
    /// The time of day, whether or not there are records.
    WallClockTime,
}

impl fmt::Display for PunctuationType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StreamTime => "stream time",
            Self::WallClockTime => "wall-clock time",
        })
    }
}

/// A handle to a schedule: tells its punctuations from others, and ends it.
///
/// ```
/// use std::time::Duration;
/// use millstream::dsl::{Cancellable, Processor, ProcessorContext, ProcessorError, ProcessorRecord, Punctuation, PunctuationType};
///
/// /// Says once that time has passed.
/// struct Once(Option<Cancellable>);
///
/// impl Processor<String, String, String, String> for Once {
///     fn init(&mut self, context: &mut ProcessorContext<'_, String, String>) -> Result<(), ProcessorError> {
///         self.0 = Some(context.schedule(Duration::from_secs(1), PunctuationType::WallClockTime)?);
///         Ok(())
///     }
///     fn process(
///         &mut self,
///         _record: ProcessorRecord<String, String>,
///         _context: &mut ProcessorContext<'_, String, String>,
///     ) -> Result<(), ProcessorError> {
///         Ok(())
///     }
///     fn punctuate(&mut self, tick: &Punctuation, context: &mut ProcessorContext<'_, String, String>) -> Result<(), ProcessorError> {
///         context.forward(ProcessorRecord::new("now".to_owned(), "tick".to_owned(), tick.timestamp));
///         self.0.take().iter().for_each(Cancellable::cancel);
///         Ok(())
///     }
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Cancellable {
    cancelled: Arc<AtomicBool>,
}

impl Cancellable {
    /// Ends the schedule: it makes no tick any more.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether the schedule was ended.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// Handles are equal if they are of one schedule.
impl PartialEq for Cancellable {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.cancelled, &other.cancelled)
    }
}

/// A tick of a schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct Punctuation {
    /// Which schedule.
    pub schedule: Cancellable,
    /// Which time drives it.
    pub kind: PunctuationType,
    /// That time when the tick was made; it may be past the tick.
    pub timestamp: Timestamp,
}

/// A schedule and its next tick.
struct Schedule {
    kind: PunctuationType,
    interval: i64,
    next: Timestamp,
    handle: Cancellable,
}

impl Schedule {
    /// The next tick that lies past `now`, on the grid.
    fn advance(&mut self, now: Timestamp) {
        let missed = (now.millis().saturating_sub(self.next.millis())).div_euclid(self.interval).max(0);
        let steps = missed.saturating_add(1).saturating_mul(self.interval);
        self.next = Timestamp(self.next.millis().saturating_add(steps));
    }
}

/// The schedules of one operator.
#[derive(Default)]
pub struct Schedules {
    all: Vec<Schedule>,
}

impl Schedules {
    /// Makes a schedule. Where `now` is a stream time ticks that it has passed are over if `is_restart`: they were made in an earlier life.
    pub(crate) fn add(
        &mut self,
        kind: PunctuationType,
        interval: TimeSpan,
        now: Timestamp,
        over: Over,
    ) -> Option<Cancellable> {
        let interval = Some(interval.millis()).filter(|interval| *interval > 0)?;
        let next = match kind {
            PunctuationType::StreamTime => Timestamp(0),
            PunctuationType::WallClockTime => Timestamp(now.millis().saturating_add(interval)),
        };
        let handle = Cancellable { cancelled: Arc::default() };
        let mut schedule = Schedule { kind, interval, next, handle: handle.clone() };
        if kind == PunctuationType::StreamTime && over == Over::WhatHasPassed && now >= schedule.next {
            schedule.advance(now);
        }
        self.all.push(schedule);
        Some(handle)
    }

    /// The next tick of a kind.
    pub fn next(&self, kind: PunctuationType) -> Option<Timestamp> {
        self.live(kind).map(|(_, schedule)| schedule.next).min()
    }

    fn live(&self, kind: PunctuationType) -> impl Iterator<Item = (usize, &Schedule)> {
        self.all
            .iter()
            .enumerate()
            .filter(move |(_, schedule)| schedule.kind == kind && !schedule.handle.is_cancelled())
    }

    /// Takes the earliest tick that is due, of several the one of the oldest schedule.
    pub(crate) fn take_due(&mut self, kind: PunctuationType, now: Timestamp) -> Option<Punctuation> {
        self.all.retain(|schedule| !schedule.handle.is_cancelled());
        let (index, _) = self.live(kind).filter(|(_, schedule)| schedule.next <= now).min_by_key(|(_, s)| s.next)?;
        let schedule = &mut self.all[index];
        schedule.advance(now);
        Some(Punctuation { schedule: schedule.handle.clone(), kind, timestamp: now })
    }
}

/// Which ticks of a new schedule on stream time are over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// None: one is due at once.
    Nothing,
    /// Those that stream time has passed: they were made before the task was started again.
    WhatHasPassed,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(kind: PunctuationType, start: i64, times: &[i64]) -> Vec<i64> {
        let mut schedules = Schedules::default();
        let interval = TimeSpan::from_millis(10).expect("not negative");
        schedules.add(kind, interval, Timestamp(start), Over::Nothing).expect("an interval");
        let due = |&time: &i64| {
            let due = schedules.take_due(kind, Timestamp(time)).map(|tick| tick.timestamp.millis());
            assert_eq!(schedules.take_due(kind, Timestamp(time)), None, "one tick a time");
            due
        };
        times.iter().filter_map(due).collect()
    }

    #[test]
    fn missed_ticks_are_skipped_and_the_grid_stays() {
        let stream = ticks(PunctuationType::StreamTime, 100, &[3, 9, 12, 45, 49, 50, 59, 60]);
        assert_eq!(stream, [3, 12, 45, 50, 60]);
        let wall = ticks(PunctuationType::WallClockTime, 100, &[100, 109, 110, 119, 145, 149, 150]);
        assert_eq!(wall, [110, 145, 150]);
    }

    #[test]
    fn what_was_made_before_a_restart_is_not_made_again() {
        let mut schedules = Schedules::default();
        let interval = TimeSpan::from_millis(10).expect("not negative");
        for (now, next) in [(-5, 0), (0, 10), (9, 10), (45, 50)] {
            let now = Timestamp(now);
            let handle = schedules.add(PunctuationType::StreamTime, interval, now, Over::WhatHasPassed);
            assert_eq!(schedules.next(PunctuationType::StreamTime), Some(Timestamp(next)));
            handle.expect("an interval").cancel();
            assert_eq!(schedules.next(PunctuationType::StreamTime), None);
        }
        assert_eq!(schedules.add(PunctuationType::StreamTime, TimeSpan::ZERO, Timestamp(0), Over::Nothing), None);
    }
}
