//! What time it is for an operator: the task's stream time record by record, and the time of day.
//!
//! Stream time is the highest timestamp of the records that the task has taken, whatever became of them. A batch brings many records at once;
//! which of them an operator is at is known by the offset of its row, so that cutting the input otherwise shows the operator the same times.

use std::sync::{Arc, OnceLock};

use arrow::array::Int64Array;

use crate::{
    Batch,
    operator::TaskId,
    record::{Offset, Timestamp},
};

/// The times of a task while an operator runs.
#[derive(Debug, Clone)]
pub struct TaskTime {
    /// The task.
    pub task: TaskId,
    /// The time of day when the task began its present work.
    pub wall_clock: Timestamp,
    /// The highest timestamp of the records taken before the run that is being processed.
    before: Timestamp,
    run: Option<Run>,
}

/// The records that are being processed.
#[derive(Debug, Clone)]
struct Run {
    offsets: Int64Array,
    times: Int64Array,
    /// Stream time after each record.
    reached: Arc<OnceLock<Vec<i64>>>,
}

impl TaskTime {
    /// The times of a task that processes nothing.
    pub fn new(task: TaskId, stream_time: Timestamp, wall_clock: Timestamp) -> Self {
        Self { task, wall_clock, before: stream_time, run: None }
    }

    /// The same while the records of `run` are being processed.
    pub fn processing(&self, run: &Batch) -> Self {
        let run = Run { offsets: run.offsets().clone(), times: run.times().clone(), reached: Arc::default() };
        Self { run: Some(run), ..self.clone() }
    }

    /// Stream time after all that is being processed.
    pub fn stream_time(&self) -> Timestamp {
        self.run
            .as_ref()
            .and_then(|run| arrow::compute::max(&run.times))
            .map_or(self.before, |newest| self.before.max(Timestamp(newest)))
    }

    /// The place of a record in the run.
    pub(crate) fn place_of(&self, offset: Offset) -> Option<usize> {
        let run = self.run.as_ref()?;
        run.offsets.values().binary_search(&i64::try_from(offset.0).ok()?).ok()
    }

    /// How many records the run has.
    pub(crate) fn places(&self) -> usize {
        self.run.as_ref().map_or(0, |run| run.times.len())
    }

    /// Stream time after the record at `place` of the run.
    pub(crate) fn reached(&self, place: usize) -> Timestamp {
        let Some(run) = &self.run else { return self.before };
        let reached = run.reached.get_or_init(|| {
            let newest = |newest: &mut i64, time: &i64| {
                *newest = (*newest).max(*time);
                Some(*newest)
            };
            run.times.values().iter().scan(self.before.millis(), newest).collect()
        });
        reached.get(place).map_or(self.before, |time| Timestamp(*time))
    }
}
