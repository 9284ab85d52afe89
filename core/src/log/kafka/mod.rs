//! Apache Kafka as the log engine: the same program on a cluster, in as many processes as it takes.
//!
//! A [`KafkaLog`] keeps the contract of [`Log`] with what Kafka has: topics, read-committed fetches, transactions with the positions of groups
//! in them, groups. The client library is librdkafka; what it does not speak, we speak ourselves.
//!
//! # Map
//! - `config`, `properties`, `tunable`, `connection`, `secret`, `token`, `process_id`: what a user says
//! - `cluster`, `topics`, `admin`: asking and telling
//! - `cursor`, `readers`, `wake`: reading
//! - `producer`, `verdict`, `outcome`, `group_metadata`, `group_positions`: committing
//! - `group`: the place of this process among those that share the work; `wire`: our own client, for that
//! - `native`: the client library, the only place that calls C
//!
//! # Invariants
//! - Only what is committed is read, and a record is given out once per pass.
//! - A commit that may have taken place is never aborted and never called a failure.
//! - No secret is in an error, a log or a `Debug`.

mod admin;
mod client_metrics;
mod client_properties;
pub(crate) mod clock;
mod cluster;
mod config;
mod config_error;
pub(crate) mod connection;
mod cursor;
mod group;
mod group_metadata;
mod group_positions;
mod group_protocol;
mod native;
mod outcome;
mod process_id;
mod producer;
mod properties;
mod readers;
mod token;
mod topics;
mod tunable;
mod verdict;
mod wake;
mod wire;

use std::{sync::Arc, time::Duration};

pub use crate::secret::Secret;
pub use admin::{GroupDescription, GroupMemberDescription};
pub use client_metrics::ClientMetrics;
pub use config::{KafkaConfig, Replication};
pub use config_error::KafkaConfigError;
pub use connection::{BrokerNames, Sasl, ScramHash, Tls};
pub use group_protocol::GroupProtocol;
pub use process_id::ProcessId;
pub use token::{Token, TokenProvider, UnsecuredTokens};

use self::{
    client_properties::LARGEST_REQUEST,
    cluster::{ASK, Cluster},
    native::{Code, delete_records, offset_at},
    outcome::positions,
    producer::{Holder, KafkaProducer},
    readers::Readers,
    topics::Topics,
};
use super::{
    Fetched, GroupMembership, GroupOffset, GroupSettings, Log, LogError, Producer, TopicConfig, TopicDescription,
};
use crate::record::{GroupId, Offset, Timestamp, TopicName, TopicPartition};

/// Bytes of a request that are not the record's own.
const OVERHEAD: usize = 512;

/// A log on a Kafka cluster. Cloning shares it.
///
/// ```no_run
/// # use millstream::log::{Log, kafka::{KafkaConfig, KafkaLog}};
/// let log = KafkaLog::connect(KafkaConfig::new("127.0.0.1:9092")?)?;
/// for topic in log.topics()? {
///     println!("{} has {} partition(s)", topic.name, topic.config.partitions);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct KafkaLog {
    shared: Arc<Shared>,
}

struct Shared {
    cluster: Arc<Cluster>,
    topics: Arc<Topics>,
    readers: Arc<Readers>,
}

impl KafkaLog {
    /// Makes contact with a cluster.
    ///
    /// # Errors
    /// [`LogError::Remote`] if no broker answers, or none that lets us in: which address, why, and what to do.
    pub fn connect(config: KafkaConfig) -> Result<Self, LogError> {
        let cluster = Cluster::connect(config)?;
        let topics = Arc::new(Topics::new(Arc::clone(&cluster)));
        let readers = Arc::new(Readers::new(Arc::clone(&cluster), Arc::clone(&topics)));
        Ok(Self { shared: Arc::new(Shared { cluster, topics, readers }) })
    }

    /// What it has read and written so far, and how often it had to try again.
    pub fn client_metrics(&self) -> ClientMetrics {
        self.shared.cluster.counters.read()
    }

    /// How the cluster is reached.
    pub fn config(&self) -> &KafkaConfig {
        &self.shared.cluster.config
    }
}

impl KafkaLog {
    fn open_producer(&self, name: &str, holder: Holder) -> Result<Box<dyn Producer>, LogError> {
        let Shared { cluster, topics, readers } = &*self.shared;
        let (cluster, topics, readers) = (Arc::clone(cluster), Arc::clone(topics), Arc::clone(readers));
        Ok(Box::new(KafkaProducer::open(cluster, topics, readers, (name, holder), self.largest_record())?))
    }
}

impl Log for KafkaLog {
    fn create_topic(&self, topic: &TopicName, config: &TopicConfig) -> Result<(), LogError> {
        self.shared.topics.create(topic, config)
    }

    fn delete_topic(&self, topic: &TopicName) -> Result<(), LogError> {
        self.shared.readers.forget(topic);
        self.shared.topics.delete(topic)
    }

    fn describe_topic(&self, topic: &TopicName) -> Result<TopicDescription, LogError> {
        self.shared.topics.describe(topic)
    }

    fn topics(&self) -> Result<Vec<TopicDescription>, LogError> {
        self.shared.topics.list()
    }

    fn fetch(&self, partition: &TopicPartition, from: Offset, max_bytes: usize) -> Result<Fetched, LogError> {
        self.shared.readers.fetch(partition, from, max_bytes)
    }

    fn start_offset(&self, partition: &TopicPartition) -> Result<Offset, LogError> {
        self.shared.topics.check(partition)?;
        self.shared.readers.marks(partition).map(|marks| Offset(marks.start.unsigned_abs()))
    }

    fn end_offset(&self, partition: &TopicPartition) -> Result<Offset, LogError> {
        self.shared.topics.check(partition)?;
        self.shared.readers.end(partition)
    }

    fn offset_at(&self, partition: &TopicPartition, timestamp: Timestamp) -> Result<Option<Offset>, LogError> {
        self.shared.topics.check(partition)?;
        let cluster = &self.shared.cluster;
        let found = cluster.ask(&format!("look for a time in {partition}"), || {
            offset_at(&cluster.client, partition, timestamp, ASK)
        })?;
        match u64::try_from(found) {
            Ok(from) => self.shared.readers.first_at(partition, Offset(from), timestamp),
            Err(_) => Ok(None),
        }
    }

    fn delete_records(&self, partition: &TopicPartition, before: Offset) -> Result<(), LogError> {
        self.shared.topics.check(partition)?;
        let cluster = &self.shared.cluster;
        let end = i64::try_from(before.0).unwrap_or(i64::MAX);
        let deleted = cluster.ask_for(ASK, || delete_records(&cluster.client, partition, end, ASK));
        match deleted {
            Ok(()) => Ok(()),
            // Topics that are only compacted keep everything, and some users may not delete: both is allowed to a log.
            Err(failure)
                if matches!(
                    failure.code,
                    Code::RD_KAFKA_RESP_ERR_POLICY_VIOLATION
                        | Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED
                        | Code::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE
                ) =>
            {
                tracing::debug!(%partition, %before, %failure, "records that are needed no more stay");
                Ok(())
            }
            Err(failure) => Err(cluster.error(format!("delete records of {partition} before {before}"), &failure)),
        }
    }

    fn committed(&self, group: &GroupId, partition: &TopicPartition) -> Result<Option<GroupOffset>, LogError> {
        let found = positions(&self.shared.cluster, group, std::slice::from_ref(partition))?;
        Ok(found.into_iter().next().flatten())
    }

    fn producer(&self, name: &str) -> Result<Box<dyn Producer>, LogError> {
        self.open_producer(name, Holder::Process)
    }

    fn exclusive_producer(&self, name: &str) -> Result<Box<dyn Producer>, LogError> {
        self.open_producer(name, Holder::Cluster)
    }

    fn largest_record(&self) -> usize {
        let chosen = self.config().property("message.max.bytes").and_then(|value| value.parse().ok());
        chosen.unwrap_or(LARGEST_REQUEST).saturating_sub(OVERHEAD)
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn join_group(&self, settings: GroupSettings) -> Result<Option<Arc<dyn GroupMembership>>, LogError> {
        let config = &self.shared.cluster.config;
        group::join(config, settings, config.process_id().as_str()).map(Some)
    }

    fn wait_for_commit(&self, seen: u64, timeout: Duration) -> u64 {
        self.shared.cluster.wake.wait(seen, timeout)
    }
}
