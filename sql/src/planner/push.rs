//! Push queries: the rows of a continuous query, sent as they come.
//!
//! The last operator projects each batch and sends it through a channel. It is bounded where the reader is another thread, so that a slow
//! reader holds back its own query and nothing else. A row that a table has lost is shown with its key and nulls.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, Receiver, SyncSender, TrySendError, sync_channel},
    },
    time::Duration,
};

use arrow::{
    array::{Array, ArrayRef, BooleanArray, RecordBatch},
    buffer::NullBuffer,
    datatypes::{Field, Schema, SchemaRef},
};
use millstream::{
    Batch, StreamsBuilder,
    expression::{Expression, RowError},
    operator::{Reads, Transform, TransformError},
    schema::StreamSchema,
    topology::{OffsetReset, Topology},
};
use parking_lot::Mutex;

use super::{
    error::PlanError,
    logical_plan::LogicalPlan,
    query::{Flow, Purpose, QueryContext},
    subquery::Nesting,
    upgrade::StoreVersions,
};
use crate::{
    catalog::Catalog,
    syntax::ast::{SourceKind, StreamQuery},
};

/// Batches that wait for their reader.
const WAITING: usize = 16;
/// How long a full channel is left alone.
const PAUSE: Duration = Duration::from_millis(2);

/// Rows of a push query, or why there are no more.
type Message = Result<RecordBatch, String>;

/// The sending side of a push query.
pub type RowSender = Arc<Mutex<Option<Sending>>>;

/// Who takes the rows of a push query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// Another thread: a query that is ahead of it waits.
    OtherThread,
    /// The thread that runs the query, between its steps: the query cannot wait.
    SameThread,
}

/// A channel to the reader.
pub enum Sending {
    /// With room for some batches.
    Bounded(SyncSender<Message>),
    /// With room for all.
    Unbounded(mpsc::Sender<Message>),
}

impl Sending {
    /// Sends rows, or why there are no more.
    ///
    /// # Errors
    /// Gives the message back if there is no room now, or nobody listens any more.
    pub fn try_send(&self, message: Message) -> Result<(), TrySendError<Message>> {
        match self {
            Self::Bounded(sender) => sender.try_send(message),
            Self::Unbounded(sender) => sender.send(message).map_err(|refused| TrySendError::Disconnected(refused.0)),
        }
    }
}

/// A push query, ready to run.
pub struct PushPlan {
    /// What runs.
    pub topology: Topology,
    /// What it does, clause by clause.
    pub logical: LogicalPlan,
    /// The columns of its rows.
    pub schema: SchemaRef,
    /// Where the rows come.
    pub rows: Receiver<Message>,
    /// Set to give up what waits to be sent.
    pub stop: Arc<AtomicBool>,
    /// The sending side, to tell why the query ended; none once all rows were sent or nobody listens.
    pub sender: RowSender,
    /// The names of the sources it reads.
    pub sources: Vec<String>,
}

/// Plans a push query that begins where `reset` says.
///
/// # Errors
/// [`PlanError`].
pub fn plan_push(
    catalog: &Catalog,
    query: &StreamQuery,
    reset: OffsetReset,
    reader: Reader,
) -> Result<PushPlan, PlanError> {
    let builder = StreamsBuilder::new();
    let context = QueryContext {
        catalog,
        builder: &builder,
        reset,
        purpose: Purpose::Push,
        store: "result".to_owned(),
        result: "result".to_owned(),
        versions: StoreVersions::default(),
        nesting: Nesting::default(),
    };
    let selected = context.select(query)?;
    let stream = match &selected.flow {
        Flow::Stream(stream) => stream.clone(),
        Flow::Table(table) => table.to_stream(),
    };
    let at = selected.at;
    let bind = |item: &super::query::Item| {
        Expression::bind(&item.expr, stream.schema())
            .map_err(|error| PlanError::Expression { at: item.at, problem: error.problem })
    };
    let columns = selected.items.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
    let fields = selected.items.iter().zip(&columns);
    let fields: Vec<Field> =
        fields.map(|(item, column)| Field::new(&item.name, column.field().data_type().clone(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let (sender, rows) = match reader {
        Reader::OtherThread => {
            let (sender, rows) = sync_channel(WAITING);
            (Sending::Bounded(sender), rows)
        }
        Reader::SameThread => {
            let (sender, rows) = mpsc::channel();
            (Sending::Unbounded(sender), rows)
        }
    };
    let sender: RowSender = Arc::new(Mutex::new(Some(sender)));
    let stop = Arc::new(AtomicBool::new(false));
    let send = Send {
        columns,
        schema: Arc::clone(&schema),
        sender: Arc::clone(&sender),
        is_table: matches!(selected.flow, Flow::Table(_)) || selected.sources[0].kind == SourceKind::Table,
        left: AtomicU64::new(query.limit.as_ref().map_or(u64::MAX, |limit| limit.node)),
        stop: Arc::clone(&stop),
    };
    if query.limit.as_ref().is_some_and(|limit| limit.node == 0) {
        *send.sender.lock() = None;
    }
    let output = StreamSchema::new(vec![], vec![], false).map_err(|error| PlanError::invalid(at, error.to_string()))?;
    stream.transform("send", Arc::new(send), output, false);
    let topology = builder.build().map_err(|error| PlanError::invalid(at, error.to_string()))?;
    let sources = selected.sources.iter().map(|source| source.name.clone()).collect();
    let logical = LogicalPlan::of(query, catalog, &selected.items);
    Ok(PushPlan { logical, topology, schema, rows, stop, sender, sources })
}

/// Sends rows to whoever asked for them.
struct Send {
    columns: Vec<Expression>,
    schema: SchemaRef,
    /// None once nobody listens or all rows were sent.
    sender: RowSender,
    /// Whether the rows are changes of a table: one without a value is a row that it has lost.
    is_table: bool,
    /// How many rows may still be sent.
    left: AtomicU64,
    stop: Arc<AtomicBool>,
}

impl Send {
    fn rows(&self, batch: &Batch, errors: &mut Vec<RowError>) -> Result<RecordBatch, TransformError> {
        let input = with_nulls(batch)?;
        let column = |expression: &Expression| -> ArrayRef {
            let mut evaluated = expression.evaluate(&input);
            errors.append(&mut evaluated.errors);
            evaluated.column
        };
        let columns: Vec<ArrayRef> = self.columns.iter().map(column).collect();
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.len()));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(TransformError::of)?;
        // A table has no rows without a key, and a stream says nothing by a record without a value.
        let shown = if self.is_table {
            let keys = batch.keys().iter().map(Array::logical_nulls);
            keys.fold(None, |all, nulls| NullBuffer::union(all.as_ref(), nulls.as_ref()))
        } else {
            batch.present().cloned()
        };
        match shown {
            Some(shown) => {
                let shown = BooleanArray::new(shown.into_inner(), None);
                arrow::compute::filter_record_batch(&rows, &shown).map_err(TransformError::of)
            }
            None => Ok(rows),
        }
    }

    fn send(&self, rows: RecordBatch) {
        // One sender at a time, so that the limit is exact whatever the number of tasks.
        let mut sender = self.sender.lock();
        let Some(open) = sender.as_ref() else { return };
        let left = self.left.load(Ordering::Relaxed);
        let count = (rows.num_rows() as u64).min(left);
        let mut message = Ok(rows.slice(0, count as usize));
        loop {
            match open.try_send(message) {
                Ok(()) => break,
                Err(TrySendError::Full(back)) if !self.stop.load(Ordering::Relaxed) => {
                    message = back;
                    std::thread::sleep(PAUSE);
                }
                Err(_) => {
                    *sender = None;
                    return;
                }
            }
        }
        self.left.store(left - count, Ordering::Relaxed);
        if left == count {
            *sender = None;
        }
    }
}

/// The rows of a batch; value columns are null where there is no value.
fn with_nulls(batch: &Batch) -> Result<RecordBatch, TransformError> {
    let Some(present) = batch.present() else { return Ok(batch.rows().clone()) };
    let absent = BooleanArray::new(!present.inner(), None);
    let values = batch.schema().value_range();
    let column = |(index, column): (usize, &ArrayRef)| {
        if values.contains(&index) { arrow::compute::nullif(column, &absent) } else { Ok(Arc::clone(column)) }
    };
    let columns = batch.rows().columns().iter().enumerate().map(column).collect::<Result<_, _>>();
    RecordBatch::try_new(batch.rows().schema(), columns.map_err(TransformError::of)?).map_err(TransformError::of)
}

impl Transform for Send {
    fn apply(&self, batch: &Batch, errors: &mut Vec<RowError>) -> Result<Batch, TransformError> {
        let rows = self.rows(batch, errors)?;
        if rows.num_rows() > 0 {
            self.send(rows);
        }
        let schema = StreamSchema::new(vec![], vec![], false).map_err(TransformError::of)?;
        let nothing = || Batch::no_offsets(0);
        Ok(Batch::new(schema, vec![nothing(), nothing()]))
    }

    fn reads(&self) -> Reads {
        Reads::Only(self.columns.iter().flat_map(Expression::columns).collect())
    }

    fn describe(&self) -> String {
        let column = |(field, column): (&Arc<Field>, &Expression)| format!("{} = {column}", field.name());
        format!("send: {}", self.schema.fields().iter().zip(&self.columns).map(column).collect::<Vec<_>>().join(", "))
    }
}
