//! Final results: the rows of time windows that have closed since the last look, once each.
//!
//! A window `[start, end)` is closed when stream time reaches its end and grace. No record can change it from then on, so its
//! row in the store is final, and it does not matter after which record it is passed on. Rows leave in the order of windows, then keys: the
//! order in which Kafka Streams' time index gives them, which is also the order of closing.
//!
//! Invariants: everything closed at the stream time of the last look has been passed on. The look is taken at every commit and stream time is
//! committed with it, so that after a restart nothing comes twice and nothing is missed.
//!
//! [`EmitStrategy::OnCloseIfKept`]: when stream time jumps from `before` to `now`, windows that close by it and start below
//! `start of the newest window - retention` have left Kafka Streams' store before they could be emitted.
//!
//! ```text
//! size 2, grace 1, retention 3     records at 0, 2, 5: at 5 both [0,2) and [2,4) close; the newest window starts at 4, so 1 is the
//!                                  first start that is still there: [2,4) is passed on, [0,2) is not
//! ```

use std::sync::Arc;

use arrow::array::{BinaryBuilder, BooleanArray, Int64Array};
use millstream_state::key::{split_window_key, window_key};

use super::{Context, FoldError, FoldFactory, OperatorError, Reason, TaskStore};
use crate::{
    Batch,
    record::{TimeSpan, Timestamp},
    row::RowCodec,
    schema::StreamSchema,
    window::{EmitStrategy, SlidingWindows, TimeWindows},
};

/// Where the rows of windows are stored, and how.
pub(crate) struct StoredWindows<'a> {
    /// The number of the store in the task.
    pub(crate) store: usize,
    /// The columns that are passed on.
    pub(crate) output: &'a Arc<StreamSchema>,
    /// What reads results from states.
    pub(crate) fold: &'a dyn FoldFactory,
    /// How keys are stored behind the number of their window.
    pub(crate) keys: &'a RowCodec,
    /// How states and timestamps are stored.
    pub(crate) states: &'a RowCodec,
}

/// Finds the windows whose results are due.
#[derive(Debug)]
pub(crate) struct FinalResults {
    windows: TimeWindows,
    /// How long windows are kept from their start, if they may be gone before they close.
    kept: Option<TimeSpan>,
    retention: TimeSpan,
    /// The stream time of the last look.
    looked_at: Timestamp,
    /// Numbers of windows that were gone when they closed, since the last look: ranges, ends included.
    gone: Vec<(i64, i64)>,
}

/// Windows that are due: those with numbers in `first..=last`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) first: i64,
    pub(crate) last: i64,
    gone: Vec<(i64, i64)>,
}

impl Due {
    /// Whether the window of this number is no longer kept and must be left out.
    pub(crate) fn is_gone(&self, number: i64) -> bool {
        self.gone.iter().any(|(first, last)| (*first..=*last).contains(&number))
    }
}

impl FinalResults {
    /// Nothing has been passed on yet. `None` if all updates are to be passed on.
    pub(crate) fn new(strategy: EmitStrategy, windows: TimeWindows, retention: TimeSpan) -> Option<Self> {
        let kept = (strategy == EmitStrategy::OnCloseIfKept).then_some(retention);
        let looked_at = Timestamp::NONE;
        strategy.is_final().then_some(Self { windows, kept, retention, looked_at, gone: Vec::new() })
    }

    /// The same for sliding windows, of which the newest begins as long before stream time as they are long.
    pub(crate) fn of_sliding(strategy: EmitStrategy, windows: &SlidingWindows, retention: TimeSpan) -> Option<Self> {
        let results = Self::new(strategy, windows.as_time_windows(), retention)?;
        let from_stream_time = |kept: TimeSpan| kept.millis().saturating_add(windows.time_difference().millis());
        let kept = results.kept.and_then(|kept| TimeSpan::from_millis(from_stream_time(kept)));
        Some(Self { kept, ..results })
    }

    /// Is told every time stream time moves on.
    pub(crate) fn advance(&mut self, before: Timestamp, now: Timestamp) {
        let Some(kept) = self.kept else { return };
        let oldest_kept = self.windows.first_from(self.windows.newest_start(now).minus(kept));
        let first = self.windows.last_closed(before).saturating_add(1);
        let last = self.windows.last_closed(now).min(oldest_kept.saturating_sub(1));
        if first <= last {
            self.gone.push((first, last));
        }
    }

    /// The windows that have closed since the last look; `None` if there can be none.
    pub(crate) fn take_due(&mut self, stream_time: Timestamp) -> Option<Due> {
        let before = self.windows.last_closed(self.looked_at);
        let last = self.windows.last_closed(stream_time);
        self.looked_at = self.looked_at.max(stream_time);
        let gone = std::mem::take(&mut self.gone);
        (last > before).then(|| Due { first: before.saturating_add(1), last, gone })
    }

    /// Passes on the rows of windows that have closed since the last look; those that were gone by then become dead letters.
    pub(crate) fn emit(
        &mut self,
        stream_time: Timestamp,
        stored: &StoredWindows<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), OperatorError> {
        let Some(due) = self.take_due(stream_time) else { return Ok(()) };
        let (rows, numbers) =
            self.read(stored, &due, &mut context.stores[stored.store]).map_err(|error| context.error(error))?;
        let keep: BooleanArray = numbers.iter().map(|&number| Some(!due.is_gone(number))).collect();
        let gone = (0..rows.len()).filter(|&row| !keep.value(row)).map(|row| {
            let (bounds, retention) = (self.windows.bounds(numbers[row]), self.retention);
            let (start, end) = (Timestamp(bounds.start), Timestamp(bounds.end));
            let problem = format!(
                "the window {start} to {end} was no longer kept when it closed, at stream time {stream_time}: \
                 give windows a longer retention than {retention}"
            );
            (row, problem)
        });
        context.reject(&rows, Reason::Late, gone);
        let kept = rows.filter(&keep).map_err(|error| context.error(error))?;
        context.output.extend((!kept.is_empty()).then_some(kept));
        Ok(())
    }

    /// The rows of due windows and the numbers of their windows.
    fn read(
        &self,
        stored: &StoredWindows<'_>,
        due: &Due,
        store: &mut TaskStore,
    ) -> Result<(Batch, Vec<i64>), FoldError> {
        let (mut from, mut to) = (Vec::new(), Vec::new());
        window_key(due.first, &[], &mut from);
        window_key(due.last.saturating_add(1), &[], &mut to);
        let (mut numbers, mut keys, mut rows) = (Vec::new(), BinaryBuilder::new(), BinaryBuilder::new());
        let mut each = |key: &[u8], row: &[u8]| {
            if let Some((number, key)) = split_window_key(key) {
                numbers.push(number);
                keys.append_value(key);
                rows.append_value(row);
            }
            true
        };
        store.range(&from, Some(&to), &mut each).map_err(FoldError::of)?;
        let mut columns = stored.keys.decode(keys.finish().iter().flatten()).map_err(FoldError::of)?;
        let mut states = stored.states.decode(rows.finish().iter().flatten()).map_err(FoldError::of)?;
        let times = states.pop();
        let offsets = Batch::no_offsets(numbers.len());
        columns.extend(self.windows.bound_columns(Arc::new(Int64Array::from(numbers.clone()))));
        columns.extend(stored.fold.results_of(&states)?);
        columns.extend(times);
        columns.push(offsets);
        Ok((Batch::new(Arc::clone(stored.output), columns), numbers))
    }

    /// The earliest stream time at which a window closes that is open at `stream_time`; `None` if none is open.
    pub(crate) fn next_due(
        &self,
        stream_time: Timestamp,
        store: usize,
        context: &mut Context<'_>,
    ) -> Result<Option<Timestamp>, OperatorError> {
        let mut from = Vec::new();
        window_key(self.windows.last_closed(stream_time).saturating_add(1), &[], &mut from);
        let mut first = None;
        let mut each = |key: &[u8], _: &[u8]| {
            first = split_window_key(key).map(|(number, _)| number);
            false
        };
        context.stores[store].range(&from, None, &mut each).map_err(|problem| context.error(problem))?;
        Ok(first.map(|number| Timestamp(self.windows.bounds(number).end).plus(self.windows.grace())))
    }

    /// Takes the stream time of the last commit back: what had closed by then was passed on by it.
    pub(crate) fn restore(&mut self, stream_time: Timestamp) {
        self.looked_at = self.looked_at.max(stream_time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(millis: i64) -> TimeSpan {
        TimeSpan::from_millis(millis).expect("not negative")
    }

    /// The starts below 20 that are passed on when stream time takes these values, with one look at the end.
    fn check(strategy: EmitStrategy, (size, advance, grace): (i64, i64, i64), times: &[i64]) -> Vec<i64> {
        let windows = TimeWindows::hopping(span(size), span(advance), span(grace)).expect("legal");
        let mut results = FinalResults::new(strategy, windows, span(size + grace)).expect("final");
        let mut stream_time = Timestamp::NONE;
        for &time in times {
            results.advance(stream_time, Timestamp(time));
            stream_time = Timestamp(time);
        }
        let Some(due) = results.take_due(stream_time) else { return Vec::new() };
        assert_eq!(results.take_due(stream_time), None, "nothing is due twice");
        (0..20)
            .step_by(advance as usize)
            .filter(|start| (due.first..=due.last).contains(start) && !due.is_gone(*start))
            .collect()
    }

    #[test]
    fn windows_are_due_when_their_grace_is_over() {
        let all = EmitStrategy::OnClose;
        assert_eq!(check(all, (2, 2, 0), &[0, 1]), [0_i64; 0]);
        assert_eq!(check(all, (2, 2, 0), &[0, 1, 2]), [0]);
        assert_eq!(check(all, (2, 2, 1), &[0, 1, 2, 5]), [0, 2]);
        assert_eq!(check(all, (5, 2, 1), &[0, 6, 10]), [0, 2, 4]);
        assert_eq!(check(all, (5, 2, 1), &[]), [0_i64; 0]);
    }

    #[test]
    fn windows_that_are_no_longer_kept_are_left_out() {
        let kept = EmitStrategy::OnCloseIfKept;
        assert_eq!(check(kept, (2, 2, 0), &[0, 1, 2]), [0]);
        assert_eq!(check(kept, (2, 2, 1), &[0, 1, 2, 5]), [2]);
        assert_eq!(check(kept, (2, 2, 1), &[0, 1, 2, 3]), [0]);
        assert_eq!(check(kept, (5, 2, 1), &[0, 1, 2, 6, 10]), [0, 4]);
    }

    #[test]
    fn what_was_passed_on_before_a_restart_does_not_come_again() {
        let windows = TimeWindows::tumbling(span(10), span(0)).expect("legal");
        let mut results = FinalResults::new(EmitStrategy::OnClose, windows, span(10)).expect("final");
        results.restore(Timestamp(20));
        let due = results.take_due(Timestamp(31)).expect("a window has closed");
        assert_eq!((due.first, due.last), (11, 21));
    }
}
