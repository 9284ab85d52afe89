//! Global tables at run time: their topics, read whole into stores of the process and then followed.
//!
//! A topic is read from its start at every start of the process, so that nothing has to be remembered but which dead letters were written: the
//! position up to which they were is committed with them, under a group of the application's own. Rows do not take part in commits of tasks.

use std::{collections::HashMap, sync::Arc};

use arrow::array::ArrayRef;

use super::{
    StreamsError,
    build::{Builder, StoreHandle},
    metrics::Counters,
    partitions::Partitions,
    rejected::Rejected,
    source_reader::{SourceReader, Turns},
    stores::PersistentStore,
};
use crate::{
    Batch,
    log::{Append, GroupOffset, Log, OffsetCommit},
    operator::{CommittedStore, DeadLetter, FoldError, GlobalRows, MemoryStore, Reason, TaskId, stored_fields},
    record::{GroupId, Offset, PartitionId, Record, Records, Timestamp, TopicPartition},
    row::RowCodec,
    topology::GlobalTable,
};

/// The global tables of an application in one process.
#[derive(Default)]
pub(super) struct GlobalTables {
    tables: Vec<Following>,
    /// What cannot be used, and under which group it is committed up to where that is known; there is nothing to follow without.
    rejected: Option<(GroupId, Rejected)>,
    counters: Arc<Counters>,
    /// Whether anything was rejected since the last commit.
    dirty: bool,
}

/// The place of a record among all records of the log, and where it waits: the number of a table and that of a partition.
type Arrival = (u64, (usize, usize));

/// A global table that follows its topic.
struct Following {
    name: String,
    readers: Vec<SourceReader>,
    /// Up to where dead letters of each partition are written.
    reported: Vec<Offset>,
    keys: RowCodec,
    rows: RowCodec,
    store: Box<dyn CommittedStore>,
    handle: StoreHandle,
    applied: u64,
}

/// The group under which dead letters of global tables are committed.
fn group_of(application: &str) -> Result<GroupId, StreamsError> {
    Ok(GroupId::new(&format!("{application}-global"))?)
}

/// What the store of a global table is called in a process.
pub(super) fn global_store_name(application: &str, store: &str) -> String {
    format!("{application}/{store}/global")
}

impl GlobalTables {
    /// Reads every global table of a topology to the end of its topic.
    ///
    /// # Errors
    /// If a topic is not there, or log or store fail.
    pub(super) fn read(builder: &Builder<'_>) -> Result<Self, StreamsError> {
        if builder.topology.globals().is_empty() {
            return Ok(Self::default());
        }
        let group = group_of(builder.application)?;
        // Behind the tasks of all parts.
        let task = TaskId { subtopology: builder.topology.subtopologies().len(), partition: PartitionId(0) };
        let (handlers, letters) = (Arc::clone(&builder.settings.handlers), builder.dead_letters()?);
        let rejected = Rejected::new(task, handlers, letters, None, builder.log.largest_record());
        let tables = builder.topology.globals().iter().map(|table| Following::begin(builder, table, &group));
        let tables = tables.collect::<Result<_, _>>()?;
        let counters = Arc::clone(&builder.counters);
        let mut read = Self { tables, rejected: Some((group, rejected)), counters, dirty: false };
        read.update(builder.log.as_ref())?;
        Ok(read)
    }

    /// What tasks read, by the numbers of the tables.
    pub(super) fn rows(&self) -> Vec<Arc<dyn GlobalRows>> {
        self.tables.iter().map(|table| Arc::new(table.handle.clone()) as Arc<dyn GlobalRows>).collect()
    }

    /// What views read, by the numbers of the tables.
    pub(super) fn handles(&self) -> impl Iterator<Item = StoreHandle> {
        self.tables.iter().map(|table| table.handle.clone())
    }

    /// Takes in what has come; says whether there was anything.
    pub(super) fn update(&mut self, log: &dyn Log) -> Result<bool, StreamsError> {
        let mut moved = false;
        for table in 0..self.tables.len() {
            for number in 0..self.tables[table].readers.len() {
                while self.take((table, number), None, log)? {
                    moved = true;
                }
            }
        }
        Ok(moved)
    }

    /// Takes in what waits of a partition, at most so many records; says whether there was anything.
    fn take(
        &mut self,
        (table, number): (usize, usize),
        most: Option<usize>,
        log: &dyn Log,
    ) -> Result<bool, StreamsError> {
        let mut letters = Vec::new();
        let moved = self.tables[table].take(number, most, log, &mut letters)?;
        if let (Some((_, rejected)), false) = (&mut self.rejected, letters.is_empty()) {
            rejected.take(letters)?;
            self.dirty = true;
        }
        Ok(moved)
    }

    /// The place among all records of the log of the record that comes next, and where it is: the number of the table and of the partition.
    pub(super) fn next_arrival(&mut self, log: &dyn Log) -> Result<Option<Arrival>, StreamsError> {
        let mut next: Option<Arrival> = None;
        for (table, following) in self.tables.iter_mut().enumerate() {
            for (number, reader) in following.readers.iter_mut().enumerate() {
                if reader.is_drained() {
                    reader.fill(log)?;
                }
                let arrival = reader.head_offset().and_then(|offset| log.arrival(&reader.partition, offset));
                let arrival = arrival.map(|arrival| (arrival, (table, number)));
                next = next.into_iter().chain(arrival).min();
            }
        }
        Ok(next)
    }

    /// Takes in one record.
    pub(super) fn update_one(&mut self, place: (usize, usize), log: &dyn Log) -> Result<(), StreamsError> {
        self.take(place, Some(1), log).map(drop)
    }

    /// Whether there is something to be committed.
    pub(super) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Dead letters, if there are any, and up to where they are those of the topics.
    pub(super) fn contribution(&mut self) -> Option<(Option<Append>, Vec<OffsetCommit>)> {
        let (group, rejected) = self.rejected.as_mut().filter(|_| self.dirty)?;
        self.dirty = false;
        let letters = rejected.commit(&self.counters);
        let readers = self.tables.iter().flat_map(|table| &table.readers);
        let offsets = readers.map(|reader| OffsetCommit {
            group: group.clone(),
            partition: reader.partition.clone(),
            position: GroupOffset { next: reader.next, metadata: Vec::new() },
        });
        Some((letters, offsets.collect()))
    }
}

impl Following {
    fn begin(builder: &Builder<'_>, table: &GlobalTable, group: &GroupId) -> Result<Self, StreamsError> {
        let log = builder.log.as_ref();
        let name = format!("global-{}", table.store.name);
        let topic = Partitions::resolve(builder.application, &table.source.topic)?;
        let (mut readers, mut reported) = (Vec::new(), Vec::new());
        for partition in 0..log.describe_topic(&topic)?.config.partitions {
            let from = TopicPartition::new(topic.clone(), PartitionId(partition));
            let start = log.start_offset(&from)?;
            reported.push(log.committed(group, &from)?.map_or(start, |position| position.next));
            let turns = Turns { feeds_table: true, one_by_one: false };
            let reader = SourceReader::new(0, &name, &table.source, &table.schema, from, start, turns);
            readers.push(reader.map_err(|source| StreamsError::Format { operator: name.clone(), source })?);
        }
        let fold_error = |source: FoldError| StreamsError::Fold { operator: name.clone(), source };
        let codec =
            |fields: &[arrow::datatypes::FieldRef]| RowCodec::new(fields).map_err(FoldError::of).map_err(fold_error);
        let (store, handle) = open(builder, table)?;
        let rows = codec(&stored_fields(table.store.layout.as_ref()))?;
        Ok(Self { keys: codec(table.schema.whole_key())?, rows, readers, reported, store, handle, applied: 0, name })
    }

    /// Takes in what waits of a partition, at most so many records; says whether there was anything.
    fn take(
        &mut self,
        number: usize,
        most: Option<usize>,
        log: &dyn Log,
        letters: &mut Vec<DeadLetter>,
    ) -> Result<bool, StreamsError> {
        let reader = &mut self.readers[number];
        if reader.is_drained() {
            reader.fill(log)?;
        }
        let before = reader.next;
        let batch = reader.take_at_most(most);
        let reported = self.reported[number];
        let new = |letter: &DeadLetter| letter.offset.is_none_or(|offset| offset >= reported);
        letters.extend(reader.advance().filter(new));
        let (next, partition, more) = (reader.next, reader.partition.clone(), reader.has_more_to_look_at());
        if let Some(batch) = batch {
            let keyless = self.apply(&batch)?;
            let letter = |row: usize| {
                let problem = "the record has no key".to_owned();
                DeadLetter::of_row(&self.name, Some(&partition), &batch, row, Reason::NullKey, problem)
            };
            letters.extend(keyless.into_iter().map(letter).filter(new));
        }
        Ok(next != before || more)
    }

    /// Makes rows of records; gives the records that have no key.
    fn apply(&mut self, batch: &Batch) -> Result<Vec<usize>, StreamsError> {
        let error = |problem: String| StreamsError::Store { store: self.name.clone(), problem };
        let encode = |codec: &RowCodec, columns: &[ArrayRef]| {
            codec.encode_rows(columns, batch.len()).map_err(|problem| error(problem.to_string()))
        };
        let keys = encode(&self.keys, batch.keys())?;
        let mut columns = batch.values().to_vec();
        columns.push(Arc::clone(batch.rows().column(batch.schema().time_index())));
        let rows = encode(&self.rows, &columns)?;
        let has_value = |row: usize| batch.present().is_none_or(|present| present.is_valid(row));
        let has_key = |row: usize| batch.keys().iter().all(|key| !key.is_null(row));
        let mut last: HashMap<&[u8], usize> = HashMap::with_capacity(batch.len());
        for row in (0..batch.len()).filter(|&row| has_key(row)) {
            last.insert(keys.value(row), row);
        }
        let record = |row: usize| Record {
            key: Some(keys.value(row).to_vec()),
            value: has_value(row).then(|| rows.value(row).to_vec()),
            timestamp: Timestamp(batch.times().value(row)),
            headers: Vec::new(),
        };
        // Each key once: its last record is its row.
        let changes: Records =
            (0..batch.len()).filter(|&row| last.get(keys.value(row)) == Some(&row)).map(record).collect();
        self.applied += changes.len() as u64;
        self.store.apply(&changes, 0, self.applied).map_err(error)?;
        Ok((0..batch.len()).filter(|&row| !has_key(row)).collect())
    }
}

/// The empty store of a global table.
fn open(builder: &Builder<'_>, table: &GlobalTable) -> Result<(Box<dyn CommittedStore>, StoreHandle), StreamsError> {
    let error = |problem: String| StreamsError::Store { store: table.store.name.clone(), problem };
    let Some(backend) = builder.state else {
        let store = MemoryStore::default();
        let handle = StoreHandle::Memory(store.rows());
        return Ok((Box::new(store), handle));
    };
    let name = global_store_name(builder.application, &table.store.name);
    let store = PersistentStore::open(backend, &name, &table.store.retention);
    let mut store = store.map_err(|problem| error(problem.to_string()))?;
    store.reset().map_err(error)?;
    let handle = StoreHandle::Persistent(store.store());
    Ok((Box::new(store), handle))
}

impl GlobalRows for StoreHandle {
    fn get_many(&self, keys: &[&[u8]], each: &mut dyn FnMut(usize, Option<&[u8]>)) -> Result<(), String> {
        match self {
            Self::Persistent(store) => {
                let values = store.get_many(keys.iter().copied()).map_err(|error| error.to_string())?;
                values.iter().enumerate().for_each(|(index, value)| each(index, value));
            }
            Self::Memory(rows) => {
                let rows = rows.read();
                keys.iter().enumerate().for_each(|(index, key)| each(index, rows.get(key)));
            }
        }
        Ok(())
    }
}
