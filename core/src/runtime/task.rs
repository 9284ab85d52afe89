//! A task: one subtopology on one partition, with its operators, its inputs and its stores.
//!
//! It knows no thread and no transaction: it is told to process and to flush, and hands over what belongs into the next commit.

use std::{
    any::Any,
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use super::{
    StreamTimeAtStart, StreamsError, TaskSettings, idle::TaskIdle, metrics::Counters, punctuate::next_punctuation,
    rejected::Rejected, source_reader::SourceReader, waiting::Readiness,
};
use crate::{
    Batch,
    log::{Append, GroupOffset, Log, OffsetCommit},
    operator::{
        Context, DeadLetter, LateOutput, Operator, OperatorError, PunctuationType, Reason, SinkRecords, TaskId,
        TaskStore, TaskTime,
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
    /// The nodes that take its late records: the number of the input by which these came, and the node.
    pub(super) late_consumers: Vec<(usize, usize)>,
}

/// What an operator gives: batches, and late records for those who asked for them.
#[derive(Default)]
pub(super) struct Output {
    pub(super) batches: Vec<Batch>,
    late: Vec<(usize, Batch)>,
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
    rejected: Rejected,
    sinks: Vec<SinkRecords>,
    /// What no handler was asked about yet.
    dead_letters: Vec<DeadLetter>,
    pub(super) settings: TaskSettings,
    /// The highest timestamp read.
    read_up_to: Timestamp,
    /// The moment, by the monotonic clock, at which it looked for input last.
    pub(super) now: Duration,
    pub(super) idle: TaskIdle,
    pub(super) counters: Arc<Counters>,
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
    #[expect(clippy::too_many_arguments, reason = "all of it is what a task is made of")]
    pub(super) fn new(
        id: TaskId,
        group: GroupId,
        nodes: Vec<RunningNode>,
        readers: Vec<SourceReader>,
        stores: Vec<RunningStore>,
        rejected: Rejected,
        counters: Arc<Counters>,
        settings: TaskSettings,
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
            rejected,
            sinks: Vec::new(),
            dead_letters: Vec::new(),
            settings,
            read_up_to: Timestamp::NONE,
            now: Duration::ZERO,
            idle: TaskIdle::new(id),
            counters,
            dirty: false,
            time: TaskTime::new(id, Timestamp::NONE, Timestamp(0)),
            waiting_bytes: 0,
        }
    }

    /// Processes one run of input at the moment `now`; says whether there was any.
    pub(super) fn process(&mut self, log: &dyn Log, now: Duration) -> Result<bool, StreamsError> {
        self.now = now;
        let passed = self.fill(log)?;
        match self.readiness() {
            Readiness::LookOn => Ok(true),
            Readiness::Wait => Ok(passed),
            Readiness::Go => {
                let Some((chosen, limit)) = self.choose() else { return Ok(passed) };
                self.process_run(chosen, limit)
            }
        }
    }

    /// Reads on where nothing waits; says whether positions moved past records that cannot be used.
    fn fill(&mut self, log: &dyn Log) -> Result<bool, StreamsError> {
        for reader in self.readers.iter_mut().filter(|reader| reader.is_drained()) {
            reader.fill(log)?;
        }
        let passed = self.pass_rejected();
        self.handle_rejected()?;
        Ok(passed)
    }

    /// Processes rows of one input up to a timestamp, at least one.
    fn process_run(&mut self, chosen: usize, limit: Option<Timestamp>) -> Result<bool, StreamsError> {
        let sinks = self.sinks.len();
        let reader = &mut self.readers[chosen];
        let Some(mut batch) = reader.take_run(limit) else { return Ok(false) };
        if let Some(tick) = next_punctuation(&self.nodes, PunctuationType::StreamTime) {
            batch = reader.cut_after(batch, tick);
        }
        let (node, partition) = (reader.node, reader.partition.clone());
        self.counters.add_in(batch.len());
        self.observe(&batch);
        self.waiting_bytes += batch.len() * FOLDED_ROW_BYTES;
        self.dead_letters.extend(self.readers[chosen].advance());
        self.dirty = true;
        self.time = self.time.processing(&batch);
        self.deliver(node, Output { batches: vec![batch], late: Vec::new() }, Some(&partition))?;
        self.set_stream_time(self.time.stream_time());
        self.punctuate(PunctuationType::StreamTime, self.time.stream_time())?;
        self.waiting_bytes += self.sinks[sinks..].iter().map(|sink| sink.records.payload_bytes()).sum::<usize>();
        self.handle_rejected()?;
        Ok(true)
    }

    /// Asks handlers about what was rejected.
    pub(super) fn handle_rejected(&mut self) -> Result<(), StreamsError> {
        if !self.dead_letters.is_empty() {
            self.waiting_bytes += self.rejected.take(self.dead_letters.drain(..))?;
        }
        Ok(())
    }

    /// Measures how far records are behind the highest timestamp read.
    fn observe(&mut self, batch: &Batch) {
        let (mut sum, mut most) = (0_u64, 0);
        for &time in batch.times().values() {
            self.read_up_to = self.read_up_to.max(Timestamp(time));
            let behind = self.read_up_to.millis().abs_diff(time);
            sum = sum.saturating_add(behind);
            most = most.max(behind);
        }
        self.counters.add_lateness(sum, most);
        self.settings.idleness.saw(self.read_up_to, self.now);
        self.idle.wake(self.now, &self.settings.idleness);
    }

    /// Whose turn it is where records are taken one by one as they have arrived: the place of the record, and the number of its input.
    /// Records of the topology's own topics come first, so that what a record causes is done before the next one.
    pub(super) fn next_arrival(&mut self, log: &dyn Log, now: Duration) -> Result<Option<(Turn, usize)>, StreamsError> {
        self.now = now;
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
        output: Output,
        origin: Option<&TopicPartition>,
    ) -> Result<(), StreamsError> {
        let mut waiting: Vec<(usize, usize, Batch)> = Vec::new();
        let push = |waiting: &mut Vec<_>, node: &RunningNode, output: Output| {
            // The last one pushed is the first one delivered: late records come after what the others have made.
            for (input, batch) in output.late.into_iter().rev() {
                let takers = node.late_consumers.iter().rev().filter(|(wanted, _)| *wanted == input);
                waiting.extend(takers.map(|&(_, taker)| (taker, 0, batch.clone())));
            }
            for batch in output.batches.into_iter().rev() {
                waiting.extend(node.consumers.iter().rev().map(|&(taker, input)| (taker, input, batch.clone())));
            }
        };
        push(&mut waiting, &self.nodes[node], output);
        while let Some((index, input, batch)) = waiting.pop() {
            let output = self.run(index, input, origin, |operator, context| operator.on_batch(batch, context))?;
            push(&mut waiting, &self.nodes[index], output);
        }
        Ok(())
    }

    pub(super) fn run(
        &mut self,
        index: usize,
        input: usize,
        origin: Option<&TopicPartition>,
        work: impl FnOnce(&mut dyn Operator, &mut Context<'_>) -> Result<(), OperatorError>,
    ) -> Result<Output, StreamsError> {
        let RunningNode { name, operator: Some(operator), late_consumers, .. } = &mut self.nodes[index] else {
            return Ok(Output::default());
        };
        let wanted = late_consumers.iter().map(|(input, _)| *input).collect();
        let (mut batches, mut late) = (Vec::new(), LateOutput { wanted, ..LateOutput::default() });
        let mut context = Context {
            stores: &mut self.stores,
            output: &mut batches,
            sinks: &mut self.sinks,
            dead_letters: &mut self.dead_letters,
            late: &mut late,
            operator: name,
            input,
            origin,
            time: &self.time,
        };
        // Closures catch their own panics, row by row; what arrives here cannot be blamed on a record and ends the task.
        let worked = catch_unwind(AssertUnwindSafe(|| work(operator.as_mut(), &mut context)));
        let worked = worked.unwrap_or_else(|panic| Err(context.error(panic_message(panic.as_ref()))));
        worked.map_err(|source| StreamsError::Operator { task: self.id, source })?;
        self.rejected.count(name, Reason::Late, late.misses);
        Ok(Output { batches, late: late.records })
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
            let output = self.run(node, 0, None, |operator, context| operator.on_flush(context))?;
            self.deliver(node, output, None)?;
        }
        self.handle_rejected()?;
        let mut contribution = Contribution::default();
        let mut by_partition: BTreeMap<TopicPartition, Vec<Records>> = BTreeMap::new();
        for SinkRecords { topic, partition, records } in self.sinks.drain(..) {
            contribution.records_out += records.len();
            by_partition.entry(TopicPartition::new(topic, partition)).or_default().push(records);
        }
        for (partition, records) in by_partition {
            contribution.appends.push(Append { partition, records: Records::concat(&records) });
        }
        contribution.appends.extend(self.rejected.commit(&self.counters));
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
    pub(super) fn stream_times(&self) -> Vec<u8> {
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
        times.values().for_each(|&time| self.settings.idleness.knows(Timestamp(time)));
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
            if self.settings.stream_time_at_start == StreamTimeAtStart::Forgotten {
                operator.forget_stream_time();
            }
        }
    }
}

/// What stream time of the task is called among committed times: no operator is, for their names end in numbers.
const TASK_TIME: &str = "task";

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("it panicked: {}", text.unwrap_or("without a message"))
}

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
