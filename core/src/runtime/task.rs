//! A task: one subtopology on one partition, with its operators, its inputs and its stores.
//!
//! It knows no thread and no transaction: it is told to process and to flush, and hands over what belongs into the next commit.

use std::{collections::BTreeMap, sync::Arc};

use super::{StreamsError, metrics::Counters, punctuate::next_punctuation, source_reader::SourceReader};
use crate::{
    Batch,
    log::{Append, GroupOffset, Log, OffsetCommit},
    operator::{
        Context, DeadLetter, Operator, OperatorError, PunctuationType, SinkRecords, TaskId, TaskStore, TaskTime,
    },
    record::{GroupId, Records, Timestamp, TopicPartition},
};

/// The place of a record among those that wait; the lowest comes first.
pub(super) type Turn = (bool, (i64, i64), bool);

/// An operator in a task. A source has none.
pub(super) struct RunningNode {
    pub(super) name: String,
    /// The word for the operator.
    pub(super) word: String,
    pub(super) operator: Option<Box<dyn Operator>>,
    /// The nodes of this task that take its output, each with the number of the input that it takes it at.
    pub(super) consumers: Vec<(usize, usize)>,
}

/// A store in a task, and where its changes go.
pub(super) struct RunningStore {
    pub(super) name: String,
    pub(super) store: TaskStore,
    /// `None`: they go nowhere.
    pub(super) changelog: Option<Changelog>,
}

/// Where the changes of a store go.
pub(super) struct Changelog {
    pub(super) topic: TopicPartition,
    pub(super) incarnation: u128,
}

/// One subtopology on one partition.
pub(super) struct Task {
    pub(super) id: TaskId,
    pub(super) group: GroupId,
    pub(super) nodes: Vec<RunningNode>,
    pub(super) readers: Vec<SourceReader>,
    /// The stores, and beside them what is known of each.
    stores: Vec<TaskStore>,
    store_infos: Vec<StoreInfo>,
    dead_letter_topic: TopicPartition,
    sinks: Vec<SinkRecords>,
    dead_letters: Vec<DeadLetter>,
    counters: Arc<Counters>,
    /// Whether anything was processed since the last commit.
    pub(super) dirty: bool,
    /// Stream time, and the time of day at the last look.
    pub(super) time: TaskTime,
    /// Bytes of records and dead letters that wait for a commit, and what folded rows may cost: kept as they come, since the worker asks
    /// after every few runs.
    waiting_bytes: usize,
}

/// What a row processed since the last commit may cost in an aggregate, roughly.
const FOLDED_ROW_BYTES: usize = 64;

struct StoreInfo {
    name: String,
    changelog: Option<Changelog>,
}

/// What a task puts into a commit, and what it needs to take the receipt.
#[derive(Default)]
pub(super) struct Contribution {
    pub(super) appends: Vec<Append>,
    pub(super) offsets: Vec<OffsetCommit>,
    pub(super) records_out: usize,
    /// For each store with changes: its number, the changes, and which of `appends` holds them, if it is logged.
    pub(super) changes: Vec<(usize, Records, Option<usize>)>,
}

impl Task {
    pub(super) fn new(
        id: TaskId,
        group: GroupId,
        nodes: Vec<RunningNode>,
        readers: Vec<SourceReader>,
        stores: Vec<RunningStore>,
        dead_letter_topic: TopicPartition,
        counters: Arc<Counters>,
    ) -> Self {
        let (stores, store_infos) = stores
            .into_iter()
            .map(|running| {
                let RunningStore { name, store, changelog } = running;
                (store, StoreInfo { name, changelog })
            })
            .unzip();
        Self {
            id,
            group,
            nodes,
            readers,
            stores,
            store_infos,
            dead_letter_topic,
            sinks: Vec::new(),
            dead_letters: Vec::new(),
            counters,
            dirty: false,
            time: TaskTime::new(id, Timestamp::NONE, Timestamp(0)),
            waiting_bytes: 0,
        }
    }

    /// Processes one run of input; says whether there was any.
    pub(super) fn process(&mut self, log: &dyn Log) -> Result<bool, StreamsError> {
        let passed = self.fill(log)?;
        if self.readers.iter().any(SourceReader::has_more_to_look_at) {
            return Ok(true);
        }
        let Some((chosen, limit)) = self.choose() else { return Ok(passed) };
        self.process_run(chosen, limit)
    }

    /// Reads on where nothing waits; says whether positions moved past records that cannot be used.
    fn fill(&mut self, log: &dyn Log) -> Result<bool, StreamsError> {
        let letters = self.dead_letters.len();
        for reader in self.readers.iter_mut().filter(|reader| reader.is_drained()) {
            reader.fill(log)?;
        }
        let passed = self.pass_rejected();
        self.waiting_bytes += self.dead_letters[letters..].iter().map(DeadLetter::size_bytes).sum::<usize>();
        Ok(passed)
    }

    /// Processes rows of one input up to a timestamp, at least one.
    fn process_run(&mut self, chosen: usize, limit: Option<Timestamp>) -> Result<bool, StreamsError> {
        let (sinks, letters) = (self.sinks.len(), self.dead_letters.len());
        let reader = &mut self.readers[chosen];
        let Some(mut batch) = reader.take_run(limit) else { return Ok(false) };
        if let Some(tick) = next_punctuation(&self.nodes, PunctuationType::StreamTime) {
            batch = reader.cut_after(batch, tick);
        }
        let (node, partition) = (reader.node, reader.partition.clone());
        self.counters.add_in(batch.len());
        self.waiting_bytes += batch.len() * FOLDED_ROW_BYTES;
        self.dead_letters.extend(reader.advance());
        self.dirty = true;
        self.time = self.time.processing(&batch);
        self.deliver(node, vec![batch], Some(&partition))?;
        self.set_stream_time(self.time.stream_time());
        self.punctuate(PunctuationType::StreamTime, self.time.stream_time())?;
        self.waiting_bytes += self.sinks[sinks..].iter().map(|sink| sink.records.payload_bytes()).sum::<usize>();
        self.waiting_bytes += self.dead_letters[letters..].iter().map(DeadLetter::size_bytes).sum::<usize>();
        Ok(true)
    }

    /// Whose turn it is where records are taken one by one as they have arrived: the place of the record, and the number of its input.
    /// Records of the topology's own topics come first, so that what a record causes is done before the next one.
    pub(super) fn next_arrival(&mut self, log: &dyn Log) -> Result<Option<(Turn, usize)>, StreamsError> {
        self.fill(log)?;
        while self.readers.iter().any(SourceReader::has_more_to_look_at) {
            self.fill(log)?;
        }
        let turn = |(index, reader): (usize, &SourceReader)| {
            let (time, offset) = (reader.head()?.millis(), reader.head_offset()?);
            let arrival =
                log.arrival(&reader.partition, offset).map_or(0, |place| i64::try_from(place).unwrap_or(i64::MAX));
            let place = if reader.internal { (time, arrival) } else { (arrival, time) };
            Some(((!reader.internal, place, !reader.turns.feeds_table), index))
        };
        Ok(self.readers.iter().enumerate().filter_map(turn).min())
    }

    /// Processes one record of an input.
    pub(super) fn process_one(&mut self, input: usize) -> Result<(), StreamsError> {
        self.process_run(input, Some(Timestamp::NONE)).map(drop)
    }

    /// The input whose next row is earliest, and how far it may run before another one's turn comes.
    fn choose(&self) -> Option<(usize, Option<Timestamp>)> {
        let heads = || {
            let ready = self.readers.iter().enumerate();
            ready.filter_map(|(index, reader)| Some((reader.head()?, (!reader.turns.feeds_table, index))))
        };
        let (_, turn) = heads().min()?;
        let (_, chosen) = turn;
        // Another input's record of the same timestamp comes first if that input does.
        let limit_of = |(head, other): (Timestamp, (bool, usize))| {
            if other < turn { Timestamp(head.millis().saturating_sub(1)) } else { head }
        };
        let limit = heads().filter(|(_, other)| *other != turn).map(limit_of).min();
        Some((chosen, limit))
    }

    /// Moves positions past records none of which could be used.
    fn pass_rejected(&mut self) -> bool {
        let mut moved = false;
        for reader in self.readers.iter_mut().filter(|reader| reader.is_drained()) {
            let before = reader.next;
            self.dead_letters.extend(reader.advance());
            moved |= reader.next != before;
        }
        self.dirty |= moved;
        moved
    }

    /// Hands batches that `node` has given to its consumers, and what those give to theirs, until nothing is left. What a consumer gives is
    /// through before the next consumer sees the batch, as in Kafka Streams: where branches meet again, order depends on it.
    pub(super) fn deliver(
        &mut self,
        node: usize,
        batches: Vec<Batch>,
        origin: Option<&TopicPartition>,
    ) -> Result<(), StreamsError> {
        let mut waiting: Vec<(usize, usize, Batch)> = Vec::new();
        let push = |waiting: &mut Vec<_>, consumers: &[(usize, usize)], batches: Vec<Batch>| {
            for batch in batches.into_iter().rev() {
                waiting.extend(consumers.iter().rev().map(|&(consumer, input)| (consumer, input, batch.clone())));
            }
        };
        push(&mut waiting, &self.nodes[node].consumers, batches);
        while let Some((index, input, batch)) = waiting.pop() {
            let mut output = Vec::new();
            self.run(index, input, origin, &mut output, |operator, context| operator.on_batch(batch, context))?;
            push(&mut waiting, &self.nodes[index].consumers, output);
        }
        Ok(())
    }

    pub(super) fn run(
        &mut self,
        index: usize,
        input: usize,
        origin: Option<&TopicPartition>,
        output: &mut Vec<Batch>,
        work: impl FnOnce(&mut dyn Operator, &mut Context<'_>) -> Result<(), OperatorError>,
    ) -> Result<(), StreamsError> {
        let RunningNode { name, operator: Some(operator), .. } = &mut self.nodes[index] else { return Ok(()) };
        let mut context = Context {
            stores: &mut self.stores,
            output,
            sinks: &mut self.sinks,
            dead_letters: &mut self.dead_letters,
            operator: name,
            input,
            origin,
            time: &self.time,
        };
        work(operator.as_mut(), &mut context).map_err(|source| StreamsError::Operator { task: self.id, source })
    }

    /// Whether a commit would change anything.
    pub(super) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Whether a store was written to since the last commit.
    pub(super) fn has_pending_changes(&self) -> bool {
        self.stores.iter().any(|store| store.pending_bytes() > 0)
    }

    /// Bytes that wait for a commit; rows that were folded and not merged yet are counted as [`FOLDED_ROW_BYTES`] each.
    pub(super) fn uncommitted_bytes(&self) -> usize {
        self.waiting_bytes + self.stores.iter().map(TaskStore::pending_bytes).sum::<usize>()
    }

    /// Flushes every operator, inputs before outputs, and gives everything that belongs into the commit.
    pub(super) fn prepare_commit(&mut self) -> Result<Contribution, StreamsError> {
        for node in 0..self.nodes.len() {
            let mut output = Vec::new();
            self.run(node, 0, None, &mut output, |operator, context| operator.on_flush(context))?;
            self.deliver(node, output, None)?;
        }
        let mut contribution = Contribution::default();
        let mut by_partition: BTreeMap<TopicPartition, Vec<Records>> = BTreeMap::new();
        for SinkRecords { topic, partition, records } in self.sinks.drain(..) {
            contribution.records_out += records.len();
            by_partition.entry(TopicPartition::new(topic, partition)).or_default().push(records);
        }
        for (partition, records) in by_partition {
            contribution.appends.push(Append { partition, records: Records::concat(&records) });
        }
        if !self.dead_letters.is_empty() {
            self.dead_letters.iter().for_each(|letter| self.counters.add_dead_letter(letter.reason));
            let records = self.dead_letters.drain(..).map(|letter| letter.into_record(self.id)).collect();
            contribution.appends.push(Append { partition: self.dead_letter_topic.clone(), records });
        }
        for (index, (store, info)) in self.stores.iter().zip(&self.store_infos).enumerate() {
            let changes = store.changes();
            if !changes.is_empty() {
                let append = info.changelog.as_ref().map(|_| contribution.appends.len());
                contribution.changes.push((index, changes.clone(), append));
                let append = |log: &Changelog| Append { partition: log.topic.clone(), records: changes };
                contribution.appends.extend(info.changelog.as_ref().map(append));
            }
        }
        let metadata = self.stream_times();
        contribution.offsets.extend(self.readers.iter().map(|reader| OffsetCommit {
            group: self.group.clone(),
            partition: reader.partition.clone(),
            position: GroupOffset { next: reader.next, metadata: metadata.clone() },
        }));
        self.dirty = false;
        self.waiting_bytes = 0;
        Ok(contribution)
    }

    /// Takes changes over into the stores: they are committed now.
    pub(super) fn committed(&mut self, store: usize, changes: &Records, next: u64) -> Result<(), StreamsError> {
        let info = &self.store_infos[store];
        let incarnation = info.changelog.as_ref().map_or(0, |changelog| changelog.incarnation);
        self.stores[store]
            .apply(changes, incarnation, next)
            .map_err(|problem| StreamsError::Store { store: info.name.clone(), problem })
    }

    /// Lets go of records that nobody needs again: those of repartition topics that were processed, and changes of windows that have
    /// expired. Only what was committed may be passed over, so the task must not be dirty.
    pub(super) fn purge(&self, log: &dyn Log) -> Result<(), StreamsError> {
        debug_assert!(!self.dirty, "what is not committed may have to be read again");
        for reader in self.readers.iter().filter(|reader| reader.internal) {
            log.delete_records(&reader.partition, reader.next)?;
        }
        for (store, info) in self.stores.iter().zip(&self.store_infos) {
            let (Some(bound), Some(changelog)) = (store.expired_before(), &info.changelog) else { continue };
            // A change is not older than the start of its window: everything before the first change at the bound has expired.
            if let Some(before) = log.offset_at(&changelog.topic, bound)? {
                log.delete_records(&changelog.topic, before)?;
            }
        }
        Ok(())
    }

    /// The stream time and the clocks of each operator that has any, as JSON.
    fn stream_times(&self) -> Vec<u8> {
        let mut times: BTreeMap<String, i64> = BTreeMap::new();
        let mut keep = |name: String, time: Timestamp| {
            if time != Timestamp::NONE {
                times.insert(name, time.millis());
            }
        };
        keep(TASK_TIME.to_owned(), self.time.stream_time());
        let mut names = LastingNames::default();
        for RunningNode { word, operator, .. } in &self.nodes {
            let Some(operator) = operator else { continue };
            let name = names.next(word);
            operator.stream_time().into_iter().for_each(|time| keep(name.clone(), time));
            let clocks = operator.clocks().into_iter().enumerate();
            clocks.for_each(|(index, time)| keep(clock_name(&name, index), time));
        }
        if times.is_empty() {
            return Vec::new();
        }
        serde_json::to_vec(&times).expect("text and numbers can be written as JSON")
    }

    /// Takes back the stream times that were committed with a position.
    pub(super) fn restore_stream_times(&mut self, metadata: &[u8]) {
        let Ok(times) = serde_json::from_slice::<BTreeMap<String, i64>>(metadata) else { return };
        if let Some(&time) = times.get(TASK_TIME) {
            self.set_stream_time(self.time.stream_time().max(Timestamp(time)));
        }
        let mut names = LastingNames::default();
        for node in &mut self.nodes {
            let Some(operator) = &mut node.operator else { continue };
            let name = names.next(&node.word);
            if let Some(&time) = times.get(&name) {
                operator.restore_stream_time(Timestamp(time));
            }
            for index in 0..operator.clocks().len() {
                if let Some(&time) = times.get(&clock_name(&name, index)) {
                    operator.restore_clock(index, Timestamp(time));
                }
            }
        }
    }
}

/// What stream time of the task is called among committed times: no operator is, for their names end in numbers.
const TASK_TIME: &str = "task";

/// Names of operators in what is committed, which stay when others of another kind come or go and when a store gets another name: the word for
/// the operator, and how many such came before.
#[derive(Default)]
struct LastingNames<'a> {
    seen: BTreeMap<&'a str, usize>,
}

impl<'a> LastingNames<'a> {
    /// The name for the next operator of the task.
    fn next(&mut self, word: &'a str) -> String {
        let before = self.seen.entry(word).or_default();
        *before += 1;
        format!("{word}-{}", *before - 1)
    }
}

/// What clock number `index` of an operator is called among committed times.
fn clock_name(operator: &str, index: usize) -> String {
    format!("{operator}/{index}")
}
