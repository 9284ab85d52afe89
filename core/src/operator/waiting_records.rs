//! Waiting records: those of a left or outer join that have met nothing yet and may still, in the order in which their time runs out.
//!
//! Rows lie in a store, which brings them back after a restart; an index of their keys is in memory. The order is that of Kafka Streams:
//! by timestamp, then the right side before the left one, then by key.
//!
//! ```text
//! timestamp (8) | side (1) | key   ->   rows that came with this key at this time, each as length (4) and bytes
//! ```

use std::collections::BTreeSet;

use super::{FoldError, TaskStore};
use crate::{
    record::Timestamp,
    window::{JoinSide, JoinWindows},
};

/// When the results of records that met nothing are passed on, in a join with a grace.
///
/// ```
/// use std::time::Duration;
/// use millstream::{StreamsBuilder, dsl::{Consumed, Produced, StreamJoined, Unmatched}, record::Record};
/// use millstream::{testing::TopologyTestDriver, window::JoinWindows};
///
/// let released = |unmatched: Unmatched| -> Result<usize, Box<dyn std::error::Error>> {
///     let builder = StreamsBuilder::new();
///     let [left, right] = ["left", "right"].map(|topic| builder.stream::<String, String>(topic, Consumed::kafka()));
///     let windows = JoinWindows::new(Duration::ZERO, Duration::from_millis(10)).with_grace(Duration::from_millis(5));
///     let joined = StreamJoined::within(windows).unmatched(unmatched);
///     left.outer_join_stream(&right, joined, |_, left, right| format!("{left:?} {right:?}")).to("out", Produced::kafka());
///     let mut driver = TopologyTestDriver::new(&builder.build()?)?;
///     driver.push("right", Record::new("ada", "tea").at_ms(20))?; // it may be met until 25
///     driver.push("left", Record::new("bob", "ink").at_ms(30))?;
///     Ok(driver.drain("out")?.len())
/// };
/// assert_eq!(released(Unmatched::WhenClosed)?, 1);
/// assert_eq!(released(Unmatched::AsKafkaStreams)?, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unmatched {
    /// With the first record that has the highest timestamp so far and lies beyond their window and its grace.
    #[default]
    WhenClosed,
    /// With the record with which Kafka Streams does so: it does not always look. It remembers the time of a record that waits, not always that of
    /// the first one, and looks when that is past by the window of the side that the new record is on. So results may come later.
    AsKafkaStreams,
}

/// The records of both sides that wait.
pub(crate) struct WaitingRecords {
    store: usize,
    unmatched: Unmatched,
    /// The time that says whether to look, as Kafka Streams keeps it; [`Timestamp::NONE`] if it is to be looked in any case.
    first_time: Timestamp,
    /// `None` until the store was read.
    index: Option<BTreeSet<Vec<u8>>>,
}

/// What waited under one key, and waits no more.
pub(crate) struct Released {
    pub(crate) side: JoinSide,
    pub(crate) time: i64,
    pub(crate) key: Vec<u8>,
    pub(crate) rows: Vec<Vec<u8>>,
}

/// The name of what waits.
fn name_of(time: i64, side: JoinSide, key: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(9 + key.len());
    millstream_state::key::window_key(time, &[u8::from(side == JoinSide::Left)], &mut name);
    name.extend_from_slice(key);
    name
}

fn split(name: &[u8]) -> Result<(i64, JoinSide, &[u8]), FoldError> {
    let damaged =
        || FoldError { problem: "a waiting record of a join is damaged; delete the state to rebuild it".to_owned() };
    let (time, rest) = millstream_state::key::split_window_key(name).ok_or_else(damaged)?;
    let (&side, key) = rest.split_first().ok_or_else(damaged)?;
    Ok((time, if side == 0 { JoinSide::Right } else { JoinSide::Left }, key))
}

/// Whether rows that wait under one name are more than one.
fn has_several(rows: &[u8]) -> bool {
    rows.split_first_chunk::<4>().is_some_and(|(length, rest)| rest.len() > u32::from_le_bytes(*length) as usize)
}

impl WaitingRecords {
    /// The records in store number `store`.
    pub(crate) fn new(store: usize, unmatched: Unmatched) -> Self {
        Self { store, unmatched, first_time: Timestamp::NONE, index: None }
    }

    /// What has to be committed beside the records themselves.
    pub(crate) fn first_time(&self) -> Timestamp {
        self.first_time
    }

    /// Takes what was committed.
    pub(crate) fn restore_first_time(&mut self, time: Timestamp) {
        self.first_time = time;
    }

    fn index(&mut self, stores: &mut [TaskStore]) -> Result<&mut BTreeSet<Vec<u8>>, FoldError> {
        if self.index.is_none() {
            let mut index = BTreeSet::new();
            let each = &mut |name: &[u8], _: &[u8]| {
                index.insert(name.to_vec());
                true
            };
            stores[self.store].range(&[], None, each).map_err(FoldError::of)?;
            self.index = Some(index);
        }
        Ok(self.index.as_mut().expect("made above"))
    }

    fn rows(&self, name: &[u8], stores: &mut [TaskStore]) -> Result<Vec<u8>, FoldError> {
        let mut rows = Vec::new();
        let mut each = |_: usize, value: Option<&[u8]>| rows.extend_from_slice(value.unwrap_or_default());
        stores[self.store].get_many(&[name], &mut each).map_err(FoldError::of)?;
        Ok(rows)
    }

    /// Lets a record wait.
    pub(crate) fn add(
        &mut self,
        side: JoinSide,
        time: i64,
        key: &[u8],
        row: &[u8],
        stores: &mut [TaskStore],
    ) -> Result<(), FoldError> {
        self.first_time = match self.first_time {
            Timestamp::NONE => Timestamp(time),
            first => first.min(Timestamp(time)),
        };
        let name = name_of(time, side, key);
        let mut rows = if self.index(stores)?.contains(&name) { self.rows(&name, stores)? } else { Vec::new() };
        rows.extend_from_slice(&u32::try_from(row.len()).map_err(FoldError::of)?.to_le_bytes());
        rows.extend_from_slice(row);
        stores[self.store].put(&name, Some(&rows), Timestamp(time));
        self.index(stores)?.insert(name);
        Ok(())
    }

    /// The records of `key` at `time` have met something.
    pub(crate) fn met(
        &mut self,
        side: JoinSide,
        time: i64,
        key: &[u8],
        stores: &mut [TaskStore],
    ) -> Result<(), FoldError> {
        let name = name_of(time, side, key);
        if self.index(stores)?.remove(&name) {
            stores[self.store].put(&name, None, Timestamp(time));
        }
        Ok(())
    }

    /// The earliest stream time at which something can meet nothing any more; `None` if nothing waits.
    pub(crate) fn next_due(
        &mut self,
        windows: &JoinWindows,
        stores: &mut [TaskStore],
    ) -> Result<Option<Timestamp>, FoldError> {
        let mut first: Option<Timestamp> = None;
        for name in &*self.index(stores)? {
            let (time, side, _) = split(name)?;
            if first.is_some_and(|first| first < Timestamp(time)) {
                break;
            }
            let closes = windows.closes_after(side, Timestamp(time)).millis().saturating_add(1);
            first = first.into_iter().chain([Timestamp(closes)]).min();
        }
        Ok(first)
    }

    /// Takes out what can meet nothing any more at this stream time, when a record of `own` is there that has it; maybe not yet, see
    /// [`Unmatched`].
    pub(crate) fn release_at(
        &mut self,
        own: JoinSide,
        windows: &JoinWindows,
        stream_time: Timestamp,
        stores: &mut [TaskStore],
    ) -> Result<Vec<Released>, FoldError> {
        if self.unmatched == Unmatched::AsKafkaStreams {
            if self.first_time != Timestamp::NONE && !windows.is_closed(own, self.first_time, stream_time) {
                return Ok(Vec::new());
            }
            self.first_time = self.last_looked_at(windows, stream_time, stores)?;
        }
        self.release(windows, stream_time, stores)
    }

    /// The time of the last record that Kafka Streams looks at when it releases records: it goes on until one of either side is still open.
    fn last_looked_at(
        &mut self,
        windows: &JoinWindows,
        stream_time: Timestamp,
        stores: &mut [TaskStore],
    ) -> Result<Timestamp, FoldError> {
        let (mut last, mut open) = (Timestamp::NONE, [false; 2]);
        let names: Vec<Vec<u8>> = self.index(stores)?.iter().cloned().collect();
        for name in names {
            let (time, side, _) = split(&name)?;
            last = Timestamp(time);
            if open == [true; 2] {
                break;
            }
            if windows.is_closed(side, last, stream_time) {
                continue;
            }
            open[usize::from(side == JoinSide::Right)] = true;
            // It looks at the records of one time one by one.
            if open == [true; 2] && has_several(&self.rows(&name, stores)?) {
                break;
            }
        }
        Ok(last)
    }

    /// Takes out what can meet nothing any more at this stream time.
    pub(crate) fn release(
        &mut self,
        windows: &JoinWindows,
        stream_time: Timestamp,
        stores: &mut [TaskStore],
    ) -> Result<Vec<Released>, FoldError> {
        let mut names = Vec::new();
        for name in &*self.index(stores)? {
            let (time, side, _) = split(name)?;
            if windows.is_closed(side, Timestamp(time), stream_time) {
                names.push(name.clone());
            } else if !windows.is_closed(side.other(), Timestamp(time), stream_time) {
                break;
            }
        }
        let mut released = Vec::with_capacity(names.len());
        for name in names {
            let (time, side, key) = split(&name)?;
            let bytes = self.rows(&name, stores)?;
            let mut rest = bytes.as_slice();
            let mut rows = Vec::new();
            while let Some((length, after)) = rest.split_first_chunk::<4>() {
                let row = after.split_at_checked(u32::from_le_bytes(*length) as usize);
                let Some((row, after)) = row else {
                    return Err(FoldError { problem: "the rows of a waiting record are cut off".to_owned() });
                };
                rows.push(row.to_vec());
                rest = after;
            }
            released.push(Released { side, time, key: key.to_vec(), rows });
            stores[self.store].put(&name, None, Timestamp(time));
            self.index(stores)?.remove(&name);
        }
        Ok(released)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{MemoryStore, StoreRetention},
        *,
    };
    use crate::record::TimeSpan;

    #[test]
    fn records_leave_in_the_order_of_their_time_and_come_back_after_a_restart() {
        let span = |millis| TimeSpan::from_millis(millis).expect("not negative");
        let windows = JoinWindows::new(span(3), span(10)).with_grace(span(5));
        let committed = MemoryStore::default();
        let rows = committed.rows();
        let mut stores = [TaskStore::new(Box::new(committed), StoreRetention::Forever)];
        let mut waiting = WaitingRecords::new(0, Unmatched::default());
        for (side, time, key, row) in [
            (JoinSide::Left, 100, "b", "1"),
            (JoinSide::Left, 100, "a", "2"),
            (JoinSide::Right, 100, "c", "3"),
            (JoinSide::Left, 100, "a", "4"),
            (JoinSide::Left, 90, "met", "5"),
            (JoinSide::Right, 200, "d", "6"),
        ] {
            waiting.add(side, time, key.as_bytes(), row.as_bytes(), &mut stores).expect("memory does not fail");
        }
        waiting.met(JoinSide::Left, 90, b"met", &mut stores).expect("memory does not fail");
        waiting.met(JoinSide::Right, 90, b"never there", &mut stores).expect("memory does not fail");
        let changes = stores[0].changes();
        stores[0].apply(&changes, 1, 1).expect("memory does not fail");
        assert_eq!(rows.read().len(), 4);

        let mut waiting = WaitingRecords::new(0, Unmatched::default());
        let mut check = |stream_time: i64| {
            let released =
                waiting.release(&windows, Timestamp(stream_time), &mut stores).expect("memory does not fail");
            let rows = |released: Released| released.rows.into_iter().map(|row| String::from_utf8(row).expect("text"));
            released.into_iter().flat_map(rows).collect::<Vec<_>>()
        };
        assert_eq!(check(108), [""; 0], "the right side waits for what is 3 before it, and 5 more");
        assert_eq!(check(109), ["3"]);
        assert_eq!(check(116), ["2", "4", "1"]);
        assert_eq!(check(300), ["6"]);
        assert_eq!(check(400), [""; 0]);
    }
}
