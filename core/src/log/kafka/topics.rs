//! Topics of a cluster: their settings under Kafka's names, and what was last heard of them.
//!
//! A description is believed for a few seconds; whoever meets an error that does not fit it [forgets](Topics::forget) it.

use std::{
    collections::HashMap,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{
    Replication, clock,
    clock::Deadline,
    cluster::{ASK, Cluster},
    native::{Code, DescribedTopic, Failure, create_topic, delete_topic, describe_topics, topic_configs, topic_names},
};
use crate::{
    log::{CleanupPolicy, Compression, LogError, TopicConfig, TopicDescription},
    record::{TopicName, TopicPartition},
};

/// How long a description is believed.
const BELIEVED: Duration = Duration::from_secs(3);

/// How long a topic may take to come or to go.
const SETTLED: Duration = Duration::from_secs(30);

/// The smallest segment that brokers take since Kafka 4.
const SMALLEST_SEGMENT: u64 = 1 << 20;

/// Topics described in one question.
const CHUNK: usize = 100;

/// Lets records be of any time: brokers refuse those of the future otherwise. Brokers before Kafka 3.6 do not know it.
const ANY_TIME: &str = "message.timestamp.after.max.ms";

/// The topics of a cluster.
pub(super) struct Topics {
    cluster: Arc<Cluster>,
    known: Mutex<HashMap<TopicName, (Instant, TopicDescription)>>,
}

impl Topics {
    /// Of this cluster.
    pub(super) fn new(cluster: Arc<Cluster>) -> Self {
        Self { cluster, known: Mutex::default() }
    }

    /// Makes a topic and waits until it can be used.
    pub(super) fn create(&self, topic: &TopicName, config: &TopicConfig) -> Result<(), LogError> {
        if config.partitions == 0 {
            let problem = "must be at least 1".to_owned();
            return Err(LogError::InvalidTopic { topic: topic.clone(), setting: "partitions", problem });
        }
        let replication = match self.cluster.config.replication {
            Replication::ClusterDefault => -1,
            Replication::Factor(factor) => i32::from(factor),
        };
        let mut settings = settings_of(config);
        let make = |settings: &[(&str, String)]| {
            let question =
                || create_topic(&self.cluster.client, topic, config.partitions, replication, settings, SETTLED);
            self.cluster.ask_for(SETTLED, question)
        };
        let mut made = make(&settings);
        if made.as_ref().is_err_and(|failure| failure.code == Code::RD_KAFKA_RESP_ERR_INVALID_CONFIG) {
            settings.retain(|(name, _)| *name != ANY_TIME);
            made = make(&settings);
        }
        match made {
            Ok(()) => self.await_presence(topic, Some(config.partitions)),
            Err(failure) if failure.code == Code::RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS => {
                // Another process may have made it just now, and not every broker has heard of it.
                self.await_presence(topic, None)?;
                Err(LogError::TopicExists { topic: topic.clone() })
            }
            Err(failure) => Err(self.cluster.error(format!("create topic {topic}"), &failure)),
        }
    }

    /// Waits until a topic is known everywhere, with so many partitions if that is known.
    fn await_presence(&self, topic: &TopicName, partitions: Option<u32>) -> Result<(), LogError> {
        let deadline = Deadline::after(SETTLED);
        loop {
            match self.ask_one(topic) {
                Ok(found) if partitions.is_none_or(|partitions| found.config.partitions == partitions) => return Ok(()),
                Ok(_) | Err(LogError::UnknownTopic { .. }) if !deadline.is_over() => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error),
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Removes a topic and waits until it is gone.
    pub(super) fn delete(&self, topic: &TopicName) -> Result<(), LogError> {
        let gone = self.cluster.ask_for(SETTLED, || delete_topic(&self.cluster.client, topic, SETTLED));
        self.forget(topic);
        match gone {
            Ok(()) => {}
            Err(failure) if failure.is_unknown_topic() => return Err(LogError::UnknownTopic { topic: topic.clone() }),
            Err(failure) => return Err(self.cluster.error(format!("delete topic {topic}"), &failure)),
        }
        let deadline = Deadline::after(SETTLED);
        while self.ask_one(topic).is_ok() && !deadline.is_over() {
            thread::sleep(Duration::from_millis(20));
        }
        self.forget(topic);
        Ok(())
    }

    /// What was heard of a topic lately, or is heard now.
    pub(super) fn describe(&self, topic: &TopicName) -> Result<TopicDescription, LogError> {
        let known = self.known.lock().get(topic).cloned();
        match known {
            Some((at, description)) if clock::now().duration_since(at) < BELIEVED => Ok(description),
            _ => self.ask_one(topic),
        }
    }

    /// Fails if a partition is not there.
    pub(super) fn check(&self, partition: &TopicPartition) -> Result<(), LogError> {
        let partitions = self.describe(&partition.topic)?.config.partitions;
        if partition.partition.0 < partitions {
            return Ok(());
        }
        Err(LogError::UnknownPartition { topic: partition.topic.clone(), partition: partition.partition, partitions })
    }

    /// Fails if a partition was never heard of. Whoever writes to one that is gone meanwhile is told so by the brokers: no question for each commit.
    pub(super) fn check_once(&self, partition: &TopicPartition) -> Result<(), LogError> {
        let partitions = self.known.lock().get(&partition.topic).map(|(_, known)| known.config.partitions);
        match partitions {
            Some(partitions) if partition.partition.0 < partitions => Ok(()),
            _ => self.check(partition),
        }
    }

    /// Believes nothing that was heard of a topic.
    pub(super) fn forget(&self, topic: &TopicName) {
        self.known.lock().remove(topic);
    }

    /// All topics but the brokers' own, by name.
    pub(super) fn list(&self) -> Result<Vec<TopicDescription>, LogError> {
        let names = self.cluster.ask("list topics", || topic_names(&self.cluster.client, ASK))?;
        let names: Vec<_> = names.into_iter().filter(|name| !name.as_str().starts_with("__")).collect();
        let mut all = Vec::with_capacity(names.len());
        for chunk in names.chunks(CHUNK) {
            for described in self.ask_many(chunk)? {
                match described {
                    Ok(description) => all.push(description),
                    // Removed meanwhile.
                    Err(LogError::UnknownTopic { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(all)
    }

    fn ask_one(&self, topic: &TopicName) -> Result<TopicDescription, LogError> {
        let mut answers = self.ask_many(std::slice::from_ref(topic))?;
        let unanswered = || Err(self.cluster.problem(format!("describe topic {topic}"), "the cluster gave no answer"));
        answers.pop().unwrap_or_else(unanswered)
    }

    /// Asks for descriptions, in the order of the names.
    fn ask_many(&self, topics: &[TopicName]) -> Result<Vec<Result<TopicDescription, LogError>>, LogError> {
        let client = &self.cluster.client;
        let described = self.cluster.ask("describe topics", || settled(describe_topics(client, topics, ASK)?))?;
        let configs = self.cluster.ask("describe topics", || settled(topic_configs(client, topics, ASK)?))?;
        let now = clock::now();
        let answers = topics.iter().zip(described).zip(configs).map(|((topic, described), config)| {
            match described.and_then(|described| Ok(description_of(topic, described, &config?))) {
                Ok(description) => {
                    self.known.lock().insert(topic.clone(), (now, description.clone()));
                    Ok(description)
                }
                Err(failure) => {
                    self.forget(topic);
                    Err(match failure.is_unknown_topic() {
                        true => LogError::UnknownTopic { topic: topic.clone() },
                        false => self.cluster.error(format!("describe topic {topic}"), &failure),
                    })
                }
            }
        });
        Ok(answers.collect())
    }
}

/// Answers of which one is transient are asked for again.
fn settled<T>(answers: Vec<Result<T, Failure>>) -> Result<Vec<Result<T, Failure>>, Failure> {
    let transient = answers.iter().find_map(|answer| answer.as_ref().err().filter(|failure| failure.is_transient()));
    match transient.cloned() {
        Some(failure) => Err(failure),
        None => Ok(answers),
    }
}

/// The settings of a topic under Kafka's names.
fn settings_of(config: &TopicConfig) -> Vec<(&'static str, String)> {
    let millis = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX).to_string();
    let or_ever = |limit: Option<String>| limit.unwrap_or_else(|| "-1".to_owned());
    let cleanup = match config.cleanup {
        CleanupPolicy::Delete => "delete",
        CleanupPolicy::Compact => "compact",
        CleanupPolicy::CompactDelete => "compact,delete",
    };
    let compression = match config.compression {
        // As it was written: the client compresses, or does not.
        Compression::None => "producer",
        Compression::Lz4 => "lz4",
        Compression::Zstd => "zstd",
    };
    let segment = config.segment_bytes.clamp(SMALLEST_SEGMENT, i32::MAX as u64);
    vec![
        ("cleanup.policy", cleanup.to_owned()),
        ("compression.type", compression.to_owned()),
        ("delete.retention.ms", millis(config.tombstone_delay)),
        (ANY_TIME, i64::MAX.to_string()),
        ("message.timestamp.type", "CreateTime".to_owned()),
        ("retention.bytes", or_ever(config.retention_bytes.map(|bytes| bytes.to_string()))),
        ("retention.ms", or_ever(config.retention.map(millis))),
        ("segment.bytes", segment.to_string()),
    ]
}

/// What the cluster says, in our words. What it does not say, or says in words that we do not have, is as by default.
fn description_of(
    topic: &TopicName,
    described: DescribedTopic,
    settings: &HashMap<String, String>,
) -> TopicDescription {
    let standard = TopicConfig::default();
    let number = |name: &str| settings.get(name).and_then(|value| value.parse::<u64>().ok());
    let cleanup = settings.get("cleanup.policy").map_or("delete", String::as_str);
    let cleanup = match (cleanup.contains("compact"), cleanup.contains("delete")) {
        (true, true) => CleanupPolicy::CompactDelete,
        (true, false) => CleanupPolicy::Compact,
        (false, _) => CleanupPolicy::Delete,
    };
    let compression = match settings.get("compression.type").map(String::as_str) {
        Some("lz4") => Compression::Lz4,
        Some("zstd") => Compression::Zstd,
        _ => Compression::None,
    };
    let config = TopicConfig {
        partitions: described.partitions,
        cleanup,
        retention: number("retention.ms").filter(|&millis| millis < i64::MAX as u64).map(Duration::from_millis),
        retention_bytes: number("retention.bytes"),
        tombstone_delay: number("delete.retention.ms").map_or(standard.tombstone_delay, Duration::from_millis),
        compression,
        segment_bytes: number("segment.bytes").unwrap_or(standard.segment_bytes),
    };
    TopicDescription { name: topic.clone(), config, incarnation: described.id }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_back_as_they_went() {
        let config = TopicConfig {
            partitions: 3,
            cleanup: CleanupPolicy::CompactDelete,
            retention: Some(Duration::from_secs(60)),
            retention_bytes: Some(1 << 30),
            tombstone_delay: Duration::from_secs(5),
            compression: Compression::Zstd,
            segment_bytes: 8 << 20,
        };
        for config in [config, TopicConfig::default()] {
            let settings = settings_of(&config).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            let described = DescribedTopic { partitions: config.partitions, id: 7 };
            let back = description_of(&"a".parse().unwrap(), described, &settings);
            assert_eq!((back.config, back.incarnation), (config, 7));
        }
    }
}
