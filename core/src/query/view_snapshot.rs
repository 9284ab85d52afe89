//! A view at one moment, and how its rows are found: by key, by range, by window.

use std::ops::Range;

use arrow::array::{ArrayRef, RecordBatch};

use super::{
    QueryError, View,
    merged_walk::MergedWalk,
    partition_snapshot::{PartitionSnapshot, ScanOrder},
    row_reader::{RowFilter, RowReader},
    view::Owners,
};
use crate::record::Position;

/// A view at one moment.
///
/// ```
/// # use millstream::{StreamsBuilder, dsl::Consumed, log::Log, operator::EmitPolicy, runtime::SynchronousStreams, testing::MemoryLog};
/// # let log = MemoryLog::new();
/// # log.create_topic(&"orders".parse()?, &Default::default())?;
/// # let builder = StreamsBuilder::new();
/// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
/// # let streams = SynchronousStreams::new(&builder.build()?, "app", std::sync::Arc::new(log), EmitPolicy::Commit)?;
/// let snapshot = streams.view("counts").ok_or("no such store")?.snapshot()?;
/// let mut rows = 0;
/// snapshot.scan(8_192, &mut |batch| {
///     rows += batch.num_rows();
///     Ok(())
/// })?;
/// assert_eq!((rows, snapshot.position().to_string()), (0, "orders-0 at 0".to_owned()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ViewSnapshot {
    view: View,
    /// With the numbers of the partitions.
    partitions: Vec<(usize, PartitionSnapshot)>,
    position: Position,
}

/// Which entries are looked at, which of their rows are wanted, and in which order.
pub struct ScanPlan {
    pub(super) entries: EntryRange,
    pub(super) filter: RowFilter,
    pub(super) order: ScanOrder,
}

/// Which entries are looked at.
pub(super) enum EntryRange {
    /// Those with stored keys from one to before another.
    Stored(Vec<u8>, Option<Vec<u8>>),
    /// Those of one key, in the windows of these numbers.
    OfKey(Vec<u8>, Range<i64>),
}

impl ViewSnapshot {
    pub(super) fn new(view: View, partitions: Vec<(usize, PartitionSnapshot)>, position: Position) -> Self {
        Self { view, partitions, position }
    }

    /// What of the inputs it includes.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::Consumed, operator::EmitPolicy, record::{Offset, PartitionId, Record, TopicPartition}};
    /// # use millstream::{log::{Append, Log, Transaction}, runtime::SynchronousStreams, testing::MemoryLog};
    /// # let log = Arc::new(MemoryLog::new());
    /// # log.create_topic(&"orders".parse()?, &Default::default())?;
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let partition = TopicPartition::new("orders".parse()?, PartitionId(0));
    /// # let records = ["ada", "bob", "ada"].map(|key| Record::new(key, 30_i64.to_be_bytes())).into_iter().collect();
    /// # log.producer("till")?.commit(Transaction { appends: vec![Append { partition, records }], offsets: vec![] })?;
    /// # let mut streams = SynchronousStreams::new(&builder.build()?, "app", log, EmitPolicy::Commit)?;
    /// # streams.run_until_idle()?;
    /// let snapshot = streams.view("counts").ok_or("no such store")?.snapshot()?;
    /// let orders = TopicPartition::new("orders".parse()?, PartitionId(0));
    /// assert_eq!(snapshot.position().get(&orders), Some(Offset(3))); // it includes the first three
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// Gives every row, in batches of at most `batch_rows`, partition by partition, in the order of keys within each.
    ///
    /// # Errors
    /// [`QueryError`] if a store cannot be read, or the text that `each` fails with.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::Consumed, operator::EmitPolicy, record::{PartitionId, Record, TopicPartition}};
    /// # use millstream::{log::{Append, Log, Transaction}, runtime::SynchronousStreams, testing::MemoryLog};
    /// # let log = Arc::new(MemoryLog::new());
    /// # log.create_topic(&"orders".parse()?, &Default::default())?;
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let partition = TopicPartition::new("orders".parse()?, PartitionId(0));
    /// # let records = ["ada", "bob", "ada"].map(|key| Record::new(key, 30_i64.to_be_bytes())).into_iter().collect();
    /// # log.producer("till")?.commit(Transaction { appends: vec![Append { partition, records }], offsets: vec![] })?;
    /// # let mut streams = SynchronousStreams::new(&builder.build()?, "app", log, EmitPolicy::Commit)?;
    /// # streams.run_until_idle()?;
    /// let snapshot = streams.view("counts").ok_or("no such store")?.snapshot()?;
    /// let mut rows = 0;
    /// snapshot.scan(8_192, &mut |batch| {
    ///     rows += batch.num_rows();
    ///     Ok(())
    /// })?;
    /// assert_eq!(rows, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn scan(
        &self,
        batch_rows: usize,
        each: &mut dyn FnMut(RecordBatch) -> Result<(), String>,
    ) -> Result<(), QueryError> {
        let mut rows = self.rows()?;
        for (_, partition) in &self.partitions {
            let walk = partition.walk(&[], None, ScanOrder::Ascending);
            let mut walk = walk.map_err(|error| self.view.error(error))?;
            while let Some((key, value)) = walk.next().map_err(|error| self.view.error(error))? {
                rows.push(key, value);
                rows.emit_if(batch_rows, each)?;
            }
        }
        rows.emit_if(1, each)
    }

    /// Gives the rows of a plan, in batches of about `batch_rows`, in one order over all partitions.
    pub(super) fn run(
        &self,
        plan: &ScanPlan,
        batch_rows: usize,
        each: &mut dyn FnMut(RecordBatch) -> Result<(), String>,
    ) -> Result<(), QueryError> {
        let mut rows = self.rows()?.filtering(plan.filter.clone(), plan.order);
        let failed = |problem: String| self.view.error(problem);
        match &plan.entries {
            EntryRange::Stored(from, to) => {
                let partitions = self.partitions.iter().map(|(_, partition)| partition);
                let walk = MergedWalk::new(partitions, from, to.as_deref(), plan.order);
                let mut walk = walk.map_err(failed)?;
                while let Some((key, value)) = walk.next().map_err(failed)? {
                    rows.push(key, value);
                    rows.emit_if(batch_rows, each)?;
                }
            }
            EntryRange::OfKey(key, numbers) => {
                for (_, partition) in &self.partitions {
                    let mut found: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
                    let mut keep = |key: &[u8], value: &[u8]| found.push((key.to_vec(), value.to_vec()));
                    partition.windows_of(key, numbers.clone(), &mut keep).map_err(failed)?;
                    if plan.order == ScanOrder::Descending {
                        found.reverse();
                    }
                    for (key, value) in &found {
                        rows.push(key, value);
                        rows.emit_if(batch_rows, each)?;
                    }
                }
            }
        }
        rows.emit_if(1, each)
    }

    /// The rows of given keys, with all their windows: `keys` are the key columns, one key a row. A key is asked of the partition that owns
    /// it, where that can be told.
    ///
    /// # Errors
    /// [`QueryError`] if the columns are not those of the key or a store cannot be read.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::Consumed, operator::EmitPolicy, record::{PartitionId, Record, TopicPartition}};
    /// # use millstream::{log::{Append, Log, Transaction}, runtime::SynchronousStreams, testing::MemoryLog};
    /// # let log = Arc::new(MemoryLog::new());
    /// # log.create_topic(&"orders".parse()?, &Default::default())?;
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let partition = TopicPartition::new("orders".parse()?, PartitionId(0));
    /// # let records = ["ada", "bob", "ada"].map(|key| Record::new(key, 30_i64.to_be_bytes())).into_iter().collect();
    /// # log.producer("till")?.commit(Transaction { appends: vec![Append { partition, records }], offsets: vec![] })?;
    /// # let mut streams = SynchronousStreams::new(&builder.build()?, "app", log, EmitPolicy::Commit)?;
    /// # streams.run_until_idle()?;
    /// let snapshot = streams.view("counts").ok_or("no such store")?.snapshot()?;
    /// let keys = arrow::array::StringArray::from(vec!["ada", "eve"]);
    /// assert_eq!(snapshot.get(&[Arc::new(keys)])?.num_rows(), 1); // nothing of eve
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get(&self, keys: &[ArrayRef]) -> Result<RecordBatch, QueryError> {
        let mut rows = self.rows()?;
        let encoded = rows.keys.encode(keys).map_err(|error| self.view.error(error))?;
        let owners = self.view.owners(keys);
        if self.view.spec.retention.is_windowed() {
            for (key, owner) in encoded.iter().zip(&owners) {
                self.windows_of(key.data(), owner, &mut rows)?;
            }
        } else {
            let keys: Vec<&[u8]> = encoded.iter().map(|key| key.data()).collect();
            for (key, values) in keys.iter().zip(self.values_of(&keys, &owners)?) {
                values.iter().for_each(|value| rows.push(key, value));
            }
        }
        rows.take().map_err(|error| self.view.error(error))
    }

    /// The rows of keys of a store without windows, at most one a key, and of which of the keys each is.
    pub(super) fn get_by_place(&self, keys: &[ArrayRef]) -> Result<(RecordBatch, Vec<usize>), QueryError> {
        let mut rows = self.rows()?;
        let encoded = rows.keys.encode(keys).map_err(|error| self.view.error(error))?;
        let keys_of: Vec<&[u8]> = encoded.iter().map(|key| key.data()).collect();
        let mut places = Vec::new();
        for (place, values) in self.values_of(&keys_of, &self.view.owners(keys))?.iter().enumerate() {
            if let Some(value) = values.first() {
                rows.push(keys_of[place], value);
                places.push(place);
            }
        }
        Ok((rows.take().map_err(|error| self.view.error(error))?, places))
    }

    /// The stored values of keys, each with those of all partitions that have it. Each partition is asked once, and those that probably have
    /// nothing only for keys that were not found.
    fn values_of(&self, keys: &[&[u8]], owners: &[Owners]) -> Result<Vec<Vec<Vec<u8>>>, QueryError> {
        let mut values: Vec<Vec<Vec<u8>>> = vec![Vec::new(); keys.len()];
        for is_second in [false, true] {
            for (number, partition) in &self.partitions {
                let is_asked = |place: &usize| match owners[*place] {
                    Owners::One(owner) => !is_second && owner == *number,
                    Owners::First(owner) => {
                        (owner == *number) != is_second && (!is_second || values[*place].is_empty())
                    }
                    Owners::All => !is_second,
                };
                let places: Vec<usize> = (0..keys.len()).filter(is_asked).collect();
                if places.is_empty() {
                    continue;
                }
                let asked: Vec<&[u8]> = places.iter().map(|&place| keys[place]).collect();
                let mut keep = |place: usize, value: &[u8]| values[places[place]].push(value.to_vec());
                partition.get_many(&asked, &mut keep).map_err(|error| self.view.error(error))?;
            }
        }
        Ok(values)
    }

    fn windows_of(&self, key: &[u8], owner: &Owners, rows: &mut RowReader<'_>) -> Result<(), QueryError> {
        let mut ask = |is_asked: &dyn Fn(usize) -> bool| {
            let mut found = false;
            let mut asked = self.partitions.iter().filter(|(number, _)| is_asked(*number));
            let outcome = asked.try_for_each(|(_, partition)| {
                let mut each = |key: &[u8], value: &[u8]| {
                    found = true;
                    rows.push(key, value);
                };
                partition.windows_of(key, i64::MIN..i64::MAX, &mut each)
            });
            outcome.map(|()| found).map_err(|error| self.view.error(error))
        };
        match *owner {
            Owners::One(owner) => ask(&|number| number == owner).map(drop),
            Owners::First(owner) if ask(&|number| number == owner)? => Ok(()),
            Owners::First(owner) => ask(&|number| number != owner).map(drop),
            Owners::All => ask(&|_| true).map(drop),
        }
    }

    fn rows(&self) -> Result<RowReader<'_>, QueryError> {
        RowReader::new(&self.view).map_err(|error| self.view.error(error))
    }
}
