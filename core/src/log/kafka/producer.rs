//! Commits on Kafka: one transactional producer, one transaction after another.
//!
//! A commit has two halves. Until the library is told to commit, everything can be taken back: whatever goes wrong, the transaction is
//! aborted and nothing was committed. From then on nothing is ever aborted: the same call is made again as long as the library says so, and if it
//! gives up, the outcome is [looked up](super::outcome). What is known of the errors is in [`super::verdict`].

use std::{collections::HashMap, sync::Arc, thread, time::Duration};

use super::{
    KafkaConfig,
    clock::Deadline,
    cluster::Cluster,
    group_metadata,
    native::{Client, Delivery, Failure, PartitionList, Remedy, Role, Transactions},
    outcome::Outcomes,
    readers::Readers,
    topics::Topics,
    verdict::{Verdict, verdict},
};
use crate::{
    log::{Append, CommitError, CommitReceipt, GroupMember, LogError, OffsetCommit, Producer, Transaction},
    record::{GroupId, Offset},
};

/// How long it may take to settle what an older producer of the same name has left.
const SETTLED: Duration = Duration::from_secs(60);

/// How long a commit is asked for again before its outcome is called unknown.
const COMMITTED: Duration = Duration::from_secs(300);

/// Between two attempts, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// The producer of a name.
pub(super) struct KafkaProducer {
    cluster: Arc<Cluster>,
    topics: Arc<Topics>,
    outcomes: Outcomes,
    name: String,
    holder: Holder,
    /// `None` after the library gave up: the next commit makes a new one.
    open: Option<Open>,
    is_fenced: bool,
    largest_record: usize,
}

struct Open {
    client: Arc<Client>,
    transactions: Transactions,
}

/// Among whom a producer has its name alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    /// In its process: other processes have one of the same name each.
    Process,
    /// On the whole cluster.
    Cluster,
}

impl Holder {
    fn transactional_id(self, name: &str, config: &KafkaConfig) -> String {
        match self {
            Self::Process => format!("{name}-{}", config.process_id()),
            Self::Cluster => name.to_owned(),
        }
    }
}

impl KafkaProducer {
    /// Fences an older producer of this name and process.
    pub(super) fn open(
        cluster: Arc<Cluster>,
        topics: Arc<Topics>,
        readers: Arc<Readers>,
        (name, holder): (&str, Holder),
        largest_record: usize,
    ) -> Result<Self, LogError> {
        let outcomes = Outcomes::new(Arc::clone(&cluster), readers);
        let name = name.to_owned();
        let mut producer =
            Self { cluster, topics, outcomes, name, holder, open: None, is_fenced: false, largest_record };
        producer.open = Some(producer.open_anew()?);
        Ok(producer)
    }

    /// A new client of the same transactional id. Whatever an older one left is committed or aborted when this returns.
    fn open_anew(&self) -> Result<Open, LogError> {
        let id = self.holder.transactional_id(&self.name, &self.cluster.config);
        let action = || format!("open producer {id}");
        let refused = |failure: Failure| self.cluster.error(action(), &failure);
        let client = Client::new(&self.cluster.config, &Role::Writing(id.clone())).map_err(refused)?;
        let transactions = Transactions::new(Arc::clone(&client));
        let deadline = Deadline::after(SETTLED);
        loop {
            match transactions.init(Duration::from_secs(10)) {
                Ok(()) => return Ok(Open { client, transactions }),
                Err(failure) if failure.is_transient() && !deadline.is_over() => thread::sleep(PAUSES.0),
                Err(failure) => return Err(self.cluster.error_of(action(), &failure, client.complaint())),
            }
        }
    }

    fn commit_for(
        &mut self,
        member: Option<&GroupMember>,
        transaction: &Transaction,
    ) -> Result<CommitReceipt, CommitError> {
        if self.is_fenced {
            return Err(self.fenced());
        }
        self.check(transaction).map_err(CommitError::Rejected)?;
        let has_records = transaction.appends.iter().any(|append| !append.records.is_empty());
        let deliveries = match has_records || !transaction.offsets.is_empty() {
            true => self.write(member, transaction).inspect_err(|_| self.cluster.counters.refused())?,
            false => vec![None; transaction.appends.len()],
        };
        self.cluster.counters.committed(transaction);
        self.cluster.wake.bump();
        self.outcomes.remember(&transaction.offsets);
        Ok(self.receipt(transaction, &deliveries))
    }

    /// What cannot be committed in any case.
    fn check(&self, transaction: &Transaction) -> Result<(), LogError> {
        for Append { partition, records } in &transaction.appends {
            self.topics.check_once(partition)?;
            // The keys and values together bound the largest of them.
            if records.payload_bytes() <= self.largest_record {
                continue;
            }
            let size = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
            let largest = records.iter().map(|record| size(record.key) + size(record.value)).max().unwrap_or(0);
            if largest > self.largest_record {
                let problem = format!(
                    "a record has {largest} bytes, {} at most are taken; raise message.max.bytes here and max.message.bytes of the topic",
                    self.largest_record
                );
                return Err(self.cluster.problem(format!("write to {partition}"), problem));
            }
        }
        for OffsetCommit { partition, position, .. } in &transaction.offsets {
            self.topics.check_once(partition)?;
            group_metadata::check(&position.metadata)
                .map_err(|problem| self.cluster.problem(format!("commit a position in {partition}"), problem))?;
        }
        Ok(())
    }

    /// Both halves of a commit.
    fn write(
        &mut self,
        member: Option<&GroupMember>,
        transaction: &Transaction,
    ) -> Result<Vec<Option<Delivery>>, CommitError> {
        if self.open.is_none() {
            self.open = Some(self.open_anew().map_err(CommitError::Rejected)?);
        }
        let Some(open) = &mut self.open else { return Err(self.fenced()) };
        match open.prepare(member, transaction, self.cluster.config.transaction_timeout) {
            Err(failure) => Err(self.take_back(member, transaction, &failure)),
            Ok(deliveries) => match open.commit() {
                Ok(()) => Ok(deliveries),
                Err(failure) => self.look_up(member, transaction, deliveries, &failure),
            },
        }
    }

    /// After a failure in the first half: nothing was committed.
    fn take_back(&mut self, member: Option<&GroupMember>, transaction: &Transaction, failure: &Failure) -> CommitError {
        let complaint = self.open.as_ref().and_then(|open| open.client.complaint());
        let verdict = verdict(failure);
        let is_lost = verdict == Verdict::Fenced || failure.remedy == Remedy::NewClient;
        let is_usable = self.open.as_ref().is_some_and(|open| !is_lost && open.abort());
        if !is_usable {
            self.open = None;
        }
        self.is_fenced |= verdict == Verdict::Fenced;
        for append in &transaction.appends {
            self.topics.forget(&append.partition.topic);
        }
        self.refusal(member, transaction, failure, complaint)
    }

    /// The error that says that nothing was committed, and why.
    fn refusal(
        &self,
        member: Option<&GroupMember>,
        transaction: &Transaction,
        failure: &Failure,
        complaint: Option<String>,
    ) -> CommitError {
        match (verdict(failure), member) {
            (Verdict::Fenced, _) => self.fenced(),
            (Verdict::NotOwner, Some(member)) => {
                CommitError::NotOwner { group: member.group.clone(), problem: failure.text.clone() }
            }
            (verdict, _) => {
                if failure.is_unknown_topic()
                    && let Err(error) = self.check(transaction)
                {
                    return CommitError::Rejected(error);
                }
                let mut error = self.cluster.error_of(format!("commit as {}", self.name), failure, complaint);
                if let LogError::Remote { transient, .. } = &mut error {
                    *transient = verdict != Verdict::Permanent;
                }
                CommitError::Rejected(error)
            }
        }
    }

    /// After a failure in the second half: settles the transaction, and finds out how.
    fn look_up(
        &mut self,
        member: Option<&GroupMember>,
        transaction: &Transaction,
        deliveries: Vec<Option<Delivery>>,
        failure: &Failure,
    ) -> Result<Vec<Option<Delivery>>, CommitError> {
        tracing::warn!(producer = self.name, %failure, "the outcome of a commit is looked up");
        self.cluster.counters.looked_up();
        let complaint = self.open.take().and_then(|open| open.client.complaint());
        let unknown = |error: LogError| CommitError::Unknown(error);
        if verdict(failure) == Verdict::Fenced {
            // Whoever fenced us has settled it.
            self.is_fenced = true;
        } else {
            self.open = Some(self.open_anew().map_err(unknown)?);
        }
        match self.outcomes.was_committed(transaction, &deliveries).map_err(unknown)? {
            Some(true) => Ok(deliveries),
            Some(false) => Err(self.refusal(member, transaction, failure, complaint)),
            None => {
                let action = format!("tell whether a commit as {} took place", self.name);
                Err(CommitError::Unknown(self.cluster.error_of(action, failure, complaint)))
            }
        }
    }

    fn fenced(&self) -> CommitError {
        CommitError::Fenced { producer: self.name.clone() }
    }

    /// An append without records has the end of its partition.
    fn receipt(&self, transaction: &Transaction, deliveries: &[Option<Delivery>]) -> CommitReceipt {
        let mut receipt = CommitReceipt::default();
        for (append, delivery) in transaction.appends.iter().zip(deliveries) {
            let (base, end) = match delivery {
                Some(delivery) => (Offset(delivery.base.unsigned_abs()), Offset(delivery.last.unsigned_abs()).next()),
                None => {
                    let end = self.outcomes.end(&append.partition);
                    (end, end)
                }
            };
            receipt.base_offsets.push(base);
            receipt.end_offsets.push(end);
        }
        // The end of a partition is that of its last append.
        let mut ends = HashMap::new();
        for (append, end) in transaction.appends.iter().zip(&receipt.end_offsets) {
            let known = ends.entry(&append.partition).or_insert(*end);
            *known = (*known).max(*end);
        }
        receipt.end_offsets = transaction.appends.iter().map(|append| ends[&append.partition]).collect();
        receipt
    }
}

impl Open {
    /// The first half: everything is written and nothing committed. `timeout` is that of transactions: after it the brokers have aborted this one, and
    /// there is nothing to wait for.
    fn prepare(
        &mut self,
        member: Option<&GroupMember>,
        transaction: &Transaction,
        timeout: Duration,
    ) -> Result<Vec<Option<Delivery>>, Failure> {
        self.transactions.begin()?;
        let deliveries = self.transactions.send(&transaction.appends)?;
        let mut groups: HashMap<&GroupId, PartitionList> = HashMap::new();
        for OffsetCommit { group, partition, position } in &transaction.offsets {
            let list = groups.entry(group).or_insert_with(PartitionList::empty);
            let next = i64::try_from(position.next.0).unwrap_or(i64::MAX);
            list.push_with(partition, next, group_metadata::to_text(&position.metadata).as_bytes());
        }
        for (group, positions) in groups {
            let member = member.filter(|member| member.group == *group);
            let positions = Arc::new(positions);
            again(COMMITTED, || self.transactions.send_offsets(group, member, &positions, timeout))?;
        }
        Ok(deliveries)
    }

    /// The second half.
    fn commit(&self) -> Result<(), Failure> {
        again(COMMITTED, || self.transactions.commit())
    }

    /// Aborts what was begun; whether the client can go on.
    fn abort(&self) -> bool {
        self.transactions.fatal().is_none() && again(SETTLED, || self.transactions.abort()).is_ok()
    }
}

/// Makes a call again as long as the library says so, pausing longer and longer.
fn again(patience: Duration, mut call: impl FnMut() -> Result<(), Failure>) -> Result<(), Failure> {
    let deadline = Deadline::after(patience);
    let mut pause = PAUSES.0;
    loop {
        match call() {
            Err(failure) if failure.remedy == Remedy::Retry && !deadline.is_over() => {
                thread::sleep(pause);
                pause = (pause * 2).min(PAUSES.1);
            }
            settled => return settled,
        }
    }
}

impl Producer for KafkaProducer {
    fn commit(&mut self, transaction: Transaction) -> Result<CommitReceipt, CommitError> {
        self.commit_for(None, &transaction)
    }

    fn commit_as(&mut self, member: &GroupMember, transaction: Transaction) -> Result<CommitReceipt, CommitError> {
        self.commit_for(Some(member), &transaction)
    }
}
