//! A view: the committed rows of a store over all partitions, as columns.
//!
//! A [`ViewSnapshot`] is one moment between commits: all partitions are taken while no commit is being taken over. Reading it
//! holds nobody back.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch},
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef},
    error::ArrowError,
};
use millstream_state::StoreSnapshot;

use crate::{
    operator::{FoldError, StateLayout, StoreRetention, StoreSpec, sessions_in},
    row::RowCodec,
    runtime::{StoreHandle, Visibility},
    schema::{ROWTIME, WINDOWEND, WINDOWSTART},
    window::Session,
};

/// Why a view could not be read.
#[derive(Debug, thiserror::Error)]
#[error("view {view}: {problem}")]
pub struct QueryError {
    /// The view.
    pub view: String,
    /// What happened.
    pub problem: String,
}

/// The committed rows of a store. Cloning is cheap.
#[derive(Clone)]
pub struct View {
    spec: StoreSpec,
    partitions: Arc<[StoreHandle]>,
    visibility: Arc<Visibility>,
    schema: SchemaRef,
}

/// A view at one moment.
pub struct ViewSnapshot {
    view: View,
    partitions: Vec<PartitionSnapshot>,
}

enum PartitionSnapshot {
    Persistent(Box<StoreSnapshot>),
    Memory(BTreeMap<Vec<u8>, Vec<u8>>),
}

impl View {
    pub(crate) fn new(spec: StoreSpec, partitions: Vec<StoreHandle>, visibility: Arc<Visibility>) -> Self {
        let mut fields: Vec<FieldRef> = spec.key.clone();
        if spec.retention.is_windowed() {
            fields.extend([WINDOWSTART, WINDOWEND].map(|name| Arc::new(Field::new(name, DataType::Int64, false))));
        }
        fields.extend(spec.layout.result_fields());
        // A key column of that name hides it, as in a schema.
        let is_hidden = spec.key.iter().any(|field| field.name() == ROWTIME);
        let time = if is_hidden { format!("__{ROWTIME}") } else { ROWTIME.to_owned() };
        fields.push(Arc::new(Field::new(time, DataType::Int64, false)));
        Self { spec, partitions: partitions.into(), visibility, schema: Arc::new(Schema::new(fields)) }
    }

    /// The name of the store.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// The columns: key, `WINDOWSTART` and `WINDOWEND` if there are windows, values, `ROWTIME`.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// How many columns make the key, without window bounds.
    pub fn key_columns(&self) -> usize {
        self.spec.key.len()
    }

    /// The view as it is between two commits.
    ///
    /// # Errors
    /// [`QueryError`] if a store has failed.
    pub fn snapshot(&self) -> Result<ViewSnapshot, QueryError> {
        let partition = |handle: &StoreHandle| match handle {
            StoreHandle::Persistent(store) => {
                let snapshot = store.snapshot().map_err(|error| self.error(error))?;
                Ok(PartitionSnapshot::Persistent(Box::new(snapshot)))
            }
            StoreHandle::Memory(rows) => Ok(PartitionSnapshot::Memory(rows.read().clone())),
        };
        let partitions =
            self.visibility.between_commits(|_| self.partitions.iter().map(partition).collect::<Result<_, _>>())?;
        Ok(ViewSnapshot { view: self.clone(), partitions })
    }

    fn error(&self, problem: impl std::fmt::Display) -> QueryError {
        QueryError { view: self.spec.name.clone(), problem: problem.to_string() }
    }
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("name", &self.spec.name).field("partitions", &self.partitions.len()).finish()
    }
}

impl ViewSnapshot {
    /// Gives every row, in batches of at most `batch_rows`, partition by partition, in the order of keys within each.
    ///
    /// # Errors
    /// [`QueryError`] if a store cannot be read, or the text that `each` fails with.
    pub fn scan(
        &self,
        batch_rows: usize,
        each: &mut dyn FnMut(RecordBatch) -> Result<(), String>,
    ) -> Result<(), QueryError> {
        let mut rows = self.rows()?;
        for partition in &self.partitions {
            match partition {
                PartitionSnapshot::Memory(entries) => {
                    for (key, value) in entries {
                        rows.push(key, value);
                        rows.emit_if(batch_rows, each)?;
                    }
                }
                PartitionSnapshot::Persistent(snapshot) => {
                    let mut cursor = snapshot.scan().map_err(|error| self.view.error(error))?;
                    while let Some((key, value)) = cursor.next_entry().map_err(|error| self.view.error(error))? {
                        rows.push(key, value);
                        rows.emit_if(batch_rows, each)?;
                    }
                }
            }
        }
        rows.emit_if(1, each)
    }

    /// The rows of given keys, with all their windows: `keys` are the key columns, one key a row.
    ///
    /// # Errors
    /// [`QueryError`] if the columns are not those of the key or a store cannot be read.
    pub fn get(&self, keys: &[ArrayRef]) -> Result<RecordBatch, QueryError> {
        let mut rows = self.rows()?;
        let encoded = rows.keys.encode(keys).map_err(|error| self.view.error(error))?;
        for key in &encoded {
            for partition in &self.partitions {
                self.get_one(partition, key.data(), &mut rows)?;
            }
        }
        rows.take().map_err(|error| self.view.error(error))
    }

    fn get_one(&self, partition: &PartitionSnapshot, key: &[u8], rows: &mut RowReader<'_>) -> Result<(), QueryError> {
        let windowed = self.view.spec.retention.is_windowed();
        match partition {
            PartitionSnapshot::Memory(entries) if windowed => {
                for (stored, value) in entries {
                    if millstream_state::key::split_window_key(stored).is_some_and(|(_, plain)| plain == key) {
                        rows.push(stored, value);
                    }
                }
            }
            PartitionSnapshot::Memory(entries) => {
                entries.get(key).into_iter().for_each(|value| rows.push(key, value));
            }
            PartitionSnapshot::Persistent(snapshot) if windowed => {
                let found = snapshot.fetch(key, i64::MIN..i64::MAX).map_err(|error| self.view.error(error))?;
                let mut stored = Vec::new();
                for (start, value) in found {
                    stored.clear();
                    millstream_state::key::window_key(start, key, &mut stored);
                    rows.push(&stored, &value);
                }
            }
            PartitionSnapshot::Persistent(snapshot) => {
                let values = snapshot.get_many([key]).map_err(|error| self.view.error(error))?;
                values.get(0).into_iter().for_each(|value| rows.push(key, value));
            }
        }
        Ok(())
    }

    fn rows(&self) -> Result<RowReader<'_>, QueryError> {
        RowReader::new(&self.view).map_err(|error| self.view.error(error))
    }
}

/// Collects stored entries and turns them into columns.
struct RowReader<'a> {
    view: &'a View,
    keys: RowCodec,
    states: RowCodec,
    entries: Vec<(usize, usize, usize)>,
    bytes: Vec<u8>,
    /// The bounds of the sessions in `entries`, if there are sessions.
    sessions: Vec<Session>,
}

impl<'a> RowReader<'a> {
    fn new(view: &'a View) -> Result<Self, ArrowError> {
        Ok(Self {
            view,
            keys: RowCodec::new(&view.spec.key)?,
            states: RowCodec::new(&crate::operator::stored_fields(view.spec.layout.as_ref()))?,
            entries: Vec::new(),
            bytes: Vec::new(),
            sessions: Vec::new(),
        })
    }

    /// Takes what is stored under a key: a row, or several sessions.
    fn push(&mut self, key: &[u8], value: &[u8]) {
        if !matches!(self.view.spec.retention, StoreRetention::Sessions { .. }) {
            return self.push_row(key, value);
        }
        for (session, row) in sessions_in(value) {
            self.sessions.push(session);
            self.push_row(key, &value[row]);
        }
    }

    fn push_row(&mut self, key: &[u8], value: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let middle = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.entries.push((start, middle, self.bytes.len()));
    }

    fn emit_if(
        &mut self,
        rows: usize,
        each: &mut dyn FnMut(RecordBatch) -> Result<(), String>,
    ) -> Result<(), QueryError> {
        if self.entries.len() < rows {
            return Ok(());
        }
        let view = self.view;
        self.take().map_err(|error| error.to_string()).and_then(each).map_err(|problem| view.error(problem))
    }

    /// The key columns of the entries, bounds of windows included.
    fn keys(&self) -> Result<Vec<ArrayRef>, FoldError> {
        let stored = self.entries.iter().map(|&(start, middle, _)| &self.bytes[start..middle]);
        let windowed = |stored| {
            let split = millstream_state::key::split_window_key(stored);
            split.ok_or_else(|| FoldError::of("a stored key has no window"))
        };
        let (starts, ends): (Vec<i64>, Vec<i64>) = match &self.view.spec.retention {
            StoreRetention::Forever => return self.keys.decode(stored).map_err(FoldError::of),
            StoreRetention::Windows { windows, .. } => {
                let numbers =
                    stored.clone().map(|stored| Ok(windowed(stored)?.0)).collect::<Result<Vec<_>, FoldError>>()?;
                let bounds = numbers.into_iter().map(|number| windows.bounds(number));
                bounds.map(|bounds| (bounds.start, bounds.end)).unzip()
            }
            StoreRetention::Sessions { .. } => self.sessions.iter().map(|session| (session.start, session.end)).unzip(),
        };
        let plain = stored.map(|stored| Ok(windowed(stored)?.1)).collect::<Result<Vec<_>, FoldError>>()?;
        let mut columns = self.keys.decode(plain).map_err(FoldError::of)?;
        columns.extend([Arc::new(Int64Array::from(starts)) as ArrayRef, Arc::new(Int64Array::from(ends))]);
        Ok(columns)
    }

    /// The entries collected so far as columns.
    fn take(&mut self) -> Result<RecordBatch, FoldError> {
        let mut columns = self.keys()?;
        let states = self.entries.iter().map(|&(_, middle, end)| &self.bytes[middle..end]);
        let mut states = self.states.decode(states).map_err(FoldError::of)?;
        let times = states.pop();
        columns.extend(self.view.spec.layout.results_of(&states)?);
        columns.extend(times);
        self.entries.clear();
        self.bytes.clear();
        self.sessions.clear();
        RecordBatch::try_new(Arc::clone(&self.view.schema), columns).map_err(FoldError::of)
    }
}

/// What a layout must be to be read from several threads.
const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<View>();
    shared::<Arc<dyn StateLayout>>();
};
