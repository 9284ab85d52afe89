//! Carrying the rows of a store over to one of another layout, when a query is changed.
//!
//! The new store has a name, and so a changelog, of its own: every change of the old changelog is written to the new one in the new layout,
//! and the store comes back from there when its topology is started. Parts that both layouts have ([`StateLayout::parts`]) keep what they
//! held; those that are new begin empty; those that are gone are left out.
//!
//! Invariant: the old store and its changelog are not touched. What was carried over is complete or, after a crash, made anew by the next
//! attempt: until the changed query is recorded, the old one is the one that runs.
//!
//! Cost: one pass over the old changelog, a batch at a time.

use arrow::{
    array::{Array, ArrayRef, BinaryArray, Int64Array, UInt64Array},
    compute::take,
};

use super::{StreamsError, build::changelog_topic, stores::store_name};
use crate::{
    log::{Append, Log, LogError, SharedLog, Transaction},
    operator::{FoldError, StateLayout, StoreSpec, stored_fields},
    record::{PartitionId, Records, TopicName, TopicPartition},
    row::RowCodec,
    topology::{NodeId, NodeKind, SourceNode, Subtopology, TopicRef, Topology},
};

/// Bytes of a changelog carried over at once.
const BYTES_AT_ONCE: usize = 4 << 20;

/// What each part of a topology reads, as text: topics, and for those of the topology itself their columns. A topology can go on from the
/// positions of another one if both read the same.
///
/// ```
/// # use millstream::{StreamsBuilder, dsl::Consumed, runtime::inputs};
/// # let builder = StreamsBuilder::new();
/// builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
/// assert_eq!(inputs(&builder.build()?), [["orders"]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn inputs(topology: &Topology) -> Vec<Vec<String>> {
    let input = |source: NodeId| {
        let node = &topology.nodes()[source.0];
        match &node.kind {
            NodeKind::Source(SourceNode { topic: topic @ TopicRef::Internal { .. }, .. }) => {
                let columns = node.schema.columns().fields().iter();
                let columns: Vec<String> =
                    columns.map(|field| format!("{} {}", field.name(), field.data_type())).collect();
                format!("{topic} ({})", columns.join(", "))
            }
            NodeKind::Source(SourceNode { topic, .. }) => topic.to_string(),
            _ => node.name.clone(),
        }
    };
    let part = |part: &Subtopology| {
        let mut inputs: Vec<String> = part.sources.iter().copied().map(input).collect();
        inputs.sort();
        inputs
    };
    topology.subtopologies().iter().map(part).collect()
}

/// Fills the changelog of `to` with the rows of `from`, both of `application`, which must not be running.
///
/// # Errors
/// Those of the log, and rows that cannot be read or written.
///
/// ```
/// # use std::sync::Arc;
/// # use millstream::{StreamsBuilder, dsl::Consumed, operator::{EmitPolicy, StoreSpec}, record::{PartitionId, Record, TopicPartition}};
/// # use millstream::{log::{Append, Log, SharedLog, Transaction}, runtime::{SynchronousStreams, carry_over}, testing::MemoryLog};
/// # let log: SharedLog = Arc::new(MemoryLog::new());
/// # log.create_topic(&"orders".parse()?, &Default::default())?;
/// # let builder = StreamsBuilder::new();
/// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
/// # let topology = builder.build()?;
/// # let partition = TopicPartition::new("orders".parse()?, PartitionId(0));
/// # let records = ["ada", "bob", "ada"].map(|key| Record::new(key, 30_i64.to_be_bytes())).into_iter().collect();
/// # log.producer("till")?.commit(Transaction { appends: vec![Append { partition, records }], offsets: vec![] })?;
/// # SynchronousStreams::new(&topology, "app", Arc::clone(&log), EmitPolicy::Commit)?.run_until_idle()?;
/// let old = &topology.stores()[0];
/// let new = StoreSpec { name: "counts-2".to_owned(), ..old.clone() }; // as the store of the changed topology
/// carry_over(old, &new, "app", &log)?;
/// assert!(log.describe_topic(&"app-counts-2-changelog".parse()?).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn carry_over(from: &StoreSpec, to: &StoreSpec, application: &str, log: &SharedLog) -> Result<(), StreamsError> {
    let (old, new) = (changelog_topic(application, &from.name)?, changelog_topic(application, &to.name)?);
    match log.delete_topic(&new) {
        Ok(()) | Err(LogError::UnknownTopic { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let config = match log.describe_topic(&old) {
        Ok(found) => found.config,
        // Nothing was ever stored: the new one is made when it is needed.
        Err(LogError::UnknownTopic { .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    log.create_topic(&new, &config)?;
    let failed = |error: FoldError| StreamsError::Store { store: to.name.clone(), problem: error.problem };
    let layout = Change::new(from.layout.as_ref(), to.layout.as_ref()).map_err(failed)?;
    let mut producer = log.producer(&format!("{application}-carry-over"))?;
    for partition in (0..config.partitions).map(PartitionId) {
        let old = TopicPartition::new(old.clone(), partition);
        let mut next = log.start_offset(&old)?;
        let end = log.end_offset(&old)?;
        while next < end {
            let fetched = log.fetch(&old, next, BYTES_AT_ONCE)?;
            for batch in &fetched.batches {
                let partition = TopicPartition::new(new.clone(), partition);
                let records = layout.carry_over(&batch.records).map_err(failed)?;
                producer.commit(Transaction { appends: vec![Append { partition, records }], offsets: Vec::new() })?;
            }
            if fetched.next <= next {
                break;
            }
            next = fetched.next;
        }
    }
    Ok(())
}

/// Removes a store of an application, with its changelog. Nothing may be using it.
///
/// # Errors
/// Those of the log and of the stores; what was removed until then stays removed.
///
/// ```
/// # use std::sync::Arc;
/// # use millstream::{StreamsBuilder, dsl::Consumed, operator::EmitPolicy, record::{PartitionId, Record, TopicPartition}};
/// # use millstream::{log::{Append, Log, Transaction}, runtime::{SynchronousStreams, delete_store}, testing::MemoryLog};
/// # let log = Arc::new(MemoryLog::new());
/// # log.create_topic(&"orders".parse()?, &Default::default())?;
/// # let builder = StreamsBuilder::new();
/// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
/// # let partition = TopicPartition::new("orders".parse()?, PartitionId(0));
/// # let records = ["ada", "bob", "ada"].map(|key| Record::new(key, 30_i64.to_be_bytes())).into_iter().collect();
/// # log.producer("till")?.commit(Transaction { appends: vec![Append { partition, records }], offsets: vec![] })?;
/// # SynchronousStreams::new(&builder.build()?, "app", log.clone(), EmitPolicy::Commit)?.run_until_idle()?;
/// assert!(log.describe_topic(&"app-counts-changelog".parse()?).is_ok());
/// delete_store("counts", "app", log.as_ref(), None)?;
/// assert!(log.describe_topic(&"app-counts-changelog".parse()?).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn delete_store(
    store: &str,
    application: &str,
    log: &dyn Log,
    state: Option<&millstream_state::StateBackend>,
) -> Result<(), StreamsError> {
    delete_topic(&changelog_topic(application, store)?, log)?;
    let Some(state) = state else { return Ok(()) };
    let existing = state.store_names();
    let all = (0..).map(|partition| store_name(application, store, PartitionId(partition)));
    for name in all.take_while(|name| existing.contains(name)) {
        let error =
            |e: millstream_state::StoreError| StreamsError::Store { store: name.clone(), problem: e.to_string() };
        state.drop_store(&name).map_err(error)?;
    }
    Ok(())
}

/// Removes a topic, unless it is gone already.
pub(super) fn delete_topic(topic: &TopicName, log: &dyn Log) -> Result<(), StreamsError> {
    match log.delete_topic(topic) {
        Ok(()) | Err(LogError::UnknownTopic { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Where the columns of a new row come from.
struct Change {
    old: RowCodec,
    new: RowCodec,
    /// For each column of the new state the column of the old one, or one row of what stands there instead.
    columns: Vec<Result<usize, ArrayRef>>,
    /// The column of the old row that holds the timestamp.
    time: usize,
}

impl Change {
    fn new(from: &dyn StateLayout, to: &dyn StateLayout) -> Result<Self, FoldError> {
        let placed = |parts: Vec<(String, usize)>| {
            let mut next = 0;
            let place = move |(what, columns): (String, usize)| {
                let start = next;
                next += columns;
                (what, start..next)
            };
            parts.into_iter().map(place).collect::<Vec<_>>()
        };
        let (old, new) = (placed(from.parts()), placed(to.parts()));
        let empty = to.empty_states()?;
        let mut columns = Vec::with_capacity(empty.len());
        for (what, range) in new {
            match old.iter().find(|(known, kept)| *known == what && kept.len() == range.len()) {
                Some((_, kept)) => columns.extend(kept.clone().map(Ok)),
                None => columns.extend(range.map(|column| Err(empty[column].clone()))),
            }
        }
        let codec = |layout: &dyn StateLayout| RowCodec::new(&stored_fields(layout)).map_err(FoldError::of);
        Ok(Self { old: codec(from)?, new: codec(to)?, columns, time: from.state_fields().len() })
    }

    /// The same changes in the new layout.
    fn carry_over(&self, changes: &Records) -> Result<Records, FoldError> {
        let rows: Vec<_> = changes.iter().collect();
        let present: Vec<&[u8]> = rows.iter().filter_map(|change| change.value).collect();
        let old = self.old.decode(present.iter().copied()).map_err(FoldError::of)?;
        let column = |from: &Result<usize, ArrayRef>| match from {
            Ok(column) => Ok(ArrayRef::clone(&old[*column])),
            Err(instead) => take(instead, &UInt64Array::from(vec![0; present.len()]), None),
        };
        let mut columns = self.columns.iter().map(column).collect::<Result<Vec<_>, _>>().map_err(FoldError::of)?;
        columns.push(ArrayRef::clone(&old[self.time]));
        let encoded = self.new.encode_rows(&columns, present.len()).map_err(FoldError::of)?;
        let mut next = 0..encoded.len();
        let values: BinaryArray =
            rows.iter().map(|change| change.value.and_then(|_| next.next()).map(|row| encoded.value(row))).collect();
        let keys: BinaryArray = rows.iter().map(|change| change.key).collect();
        let times = Int64Array::from_iter_values(rows.iter().map(|change| change.timestamp.millis()));
        Ok(Records::new(keys, values, times, None))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::AsArray,
        datatypes::{DataType, Field, Int64Type},
    };

    use super::*;
    use crate::{
        expression::{Aggregation, AggregationSet, Expr, col, count, lit, max, sum},
        record::Record,
        schema::StreamSchema,
    };

    fn layout(calls: &[Expr]) -> AggregationSet {
        let fields = ["a", "b"].map(|name| Arc::new(Field::new(name, DataType::Int64, true)));
        let schema = StreamSchema::new(vec![], fields.to_vec(), false).expect("legal schema");
        AggregationSet::new(calls.iter().map(|call| Aggregation::bind(call, &schema).expect("binds")).collect())
    }

    fn codec(layout: &AggregationSet) -> RowCodec {
        RowCodec::new(&stored_fields(layout)).expect("encodable")
    }

    #[test]
    fn what_both_have_is_kept_and_what_is_new_begins_empty() {
        let check = |from: &[Expr], row: &[i64], to: &[Expr], want: &[Option<i64>]| {
            let (from, to) = (layout(from), layout(to));
            let columns: Vec<ArrayRef> =
                row.iter().map(|value| Arc::new(Int64Array::from(vec![*value])) as ArrayRef).collect();
            let row = codec(&from).encode_binary(&columns).expect("encodes");
            let deleted = Record { key: Some(b"gone".to_vec()), value: None, ..Record::default() };
            let stored = Record::new("k", row.value(0)).at_ms(9);
            let changes = Records::from_iter([deleted, stored]);
            let carried = Change::new(&from, &to).and_then(|change| change.carry_over(&changes)).expect("carries over");
            let carried: Vec<_> = carried.iter().collect();
            assert_eq!((carried[0].key, carried[0].value), (Some(&b"gone"[..]), None));
            assert_eq!((carried[1].key, carried[1].timestamp.millis()), (Some(&b"k"[..]), 9));
            let columns = codec(&to).decode(carried[1].value).expect("decodes");
            let got: Vec<Option<i64>> =
                columns.iter().map(|column| column.as_primitive::<Int64Type>().iter().next().flatten()).collect();
            assert_eq!(got, want);
        };
        let (all, total, top) = (count(lit(1_i64)), sum(col("a")), max(col("a")));
        let named = |expr: &Expr, name: &str| expr.clone().alias(name);
        check(&[all.clone(), total.clone()], &[2, 7, 5], &[all.clone(), total.clone()], &[Some(2), Some(7), Some(5)]);
        check(
            &[all.clone(), total.clone()],
            &[2, 7, 5],
            &[named(&total, "x"), named(&top, "y"), named(&all, "z")],
            &[Some(7), None, Some(2), Some(5)],
        );
        // A count of nothing is 0.
        check(std::slice::from_ref(&total), &[7, 5], &[count(col("b")), total.clone()], &[Some(0), Some(7), Some(5)]);
        check(&[all, total.clone()], &[2, 7, 5], &[total], &[Some(7), Some(5)]);
    }
}
