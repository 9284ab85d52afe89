//! A versioned table at one moment: its newest rows and its history, taken together.

use arrow::array::RecordBatch;

use super::{QueryError, View, partition_snapshot::PartitionSnapshot, row_reader::RowReader};
use crate::{
    operator::{FoldError, Version, VersionedRows},
    record::{Position, TimeSpan, Timestamp},
};

/// A stored row and until when it held.
pub(super) type StoredVersion = Version;

/// Partitions of a versioned table.
pub(super) struct VersionsSnapshot {
    view: View,
    /// The newest rows and the history of each partition.
    partitions: Vec<(PartitionSnapshot, PartitionSnapshot)>,
    span: TimeSpan,
    position: Position,
}

/// Reads a store: is given keys and what takes the rows.
type ReadStore<'a> = dyn FnMut(&[&[u8]], &mut dyn FnMut(usize, Option<&[u8]>)) -> Result<(), String> + 'a;

impl VersionsSnapshot {
    pub(super) fn new(
        view: View,
        partitions: Vec<(PartitionSnapshot, PartitionSnapshot)>,
        span: TimeSpan,
        position: Position,
    ) -> Self {
        Self { view, partitions, span, position }
    }

    pub(super) fn position(&self) -> &Position {
        &self.position
    }

    /// The version of a key that held at a moment.
    pub(super) fn as_of(&self, key: &[u8], time: Timestamp) -> Result<Vec<StoredVersion>, QueryError> {
        self.read(&mut |rows, latest, history| {
            let found = rows.as_of(&[(key, time)], latest, history)?;
            Ok(found.into_iter().flatten().collect())
        })
    }

    /// The versions of a key that held from one moment to another.
    pub(super) fn between(&self, key: &[u8], from: Timestamp, to: Timestamp) -> Result<Vec<StoredVersion>, QueryError> {
        self.read(&mut |rows, latest, history| rows.between(key, from, to, latest, history))
    }

    /// What the first partition has that has anything.
    fn read(
        &self,
        find: &mut dyn FnMut(
            &VersionedRows,
            &mut ReadStore<'_>,
            &mut ReadStore<'_>,
        ) -> Result<Vec<StoredVersion>, FoldError>,
    ) -> Result<Vec<StoredVersion>, QueryError> {
        for (latest, history) in &self.partitions {
            let reading =
                |partition: &PartitionSnapshot, keys: &[&[u8]], each: &mut dyn FnMut(usize, Option<&[u8]>)| {
                    partition.get_many(keys, &mut |place, value| each(place, Some(value)))
                };
            let mut rows = VersionedRows::new(0, 1, self.span);
            let mut read_latest =
                |keys: &[&[u8]], each: &mut dyn FnMut(usize, Option<&[u8]>)| reading(latest, keys, each);
            let mut read_history =
                |keys: &[&[u8]], each: &mut dyn FnMut(usize, Option<&[u8]>)| reading(history, keys, each);
            let clock = rows.look_at_clock_in(&mut read_history);
            let found = clock.and_then(|()| find(&rows, &mut read_latest, &mut read_history));
            let found = found.map_err(|error| self.view.error(error))?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }

    /// Versions of a key as rows of the view.
    pub(super) fn rows(&self, key: &[u8], versions: &[StoredVersion]) -> Result<RecordBatch, QueryError> {
        let mut rows = RowReader::new(&self.view).map_err(|error| self.view.error(error))?;
        versions.iter().for_each(|version| rows.push(key, &version.row));
        rows.take().map_err(|error| self.view.error(error))
    }
}
