//! How far groups have read, asked of the brokers that look after them.
//!
//! Asked over our own connections: the client library ends the process if a coordinator goes away between being found and being asked.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    thread,
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    KafkaConfig,
    clock::Deadline,
    cluster::ASK,
    group_metadata,
    wire::{
        Outcome,
        channel::Dialer,
        coordinator::Coordinator,
        error_code,
        offset_fetch::{FetchedPosition, OffsetFetch, OffsetFetchAnswer, OffsetFetchTopic},
    },
};
use crate::{
    log::{GroupOffset, LogError},
    record::{GroupId, Offset, TopicPartition},
};

/// How long a group's positions may be undecided, for a transaction of a process that is gone may still move them, or nobody be there
/// to tell.
const STABLE: Duration = Duration::from_secs(60);

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// Asks for positions, one question at a time for each group.
pub(super) struct GroupPositions {
    dialer: Dialer,
    cluster: String,
    groups: Mutex<HashMap<GroupId, Arc<Mutex<Coordinator>>>>,
}

impl GroupPositions {
    /// On this cluster; nothing is connected yet.
    pub(super) fn new(config: &KafkaConfig) -> Result<Self, LogError> {
        let cluster = config.bootstrap_servers();
        let dialer = Dialer::new(&config.connection).map_err(|error| error.into_log_error(&cluster, "prepare TLS"))?;
        Ok(Self { dialer, cluster, groups: Mutex::default() })
    }

    /// How far a group has read in each of these partitions, when no open transaction can change it any more.
    pub(super) fn of(
        &self,
        group: &GroupId,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<GroupOffset>>, LogError> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let coordinator = Arc::clone(
            self.groups
                .lock()
                .entry(group.clone())
                .or_insert_with(|| Arc::new(Mutex::new(Coordinator::new(self.dialer.clone(), group.as_str())))),
        );
        let question = question(group, partitions);
        let mut coordinator = coordinator.lock();
        let deadline = Deadline::after(STABLE);
        loop {
            let error = match coordinator.call(&question, ASK) {
                Ok(answer) => match error_of(&answer) {
                    error_code::NONE => return Ok(found(answer, partitions)),
                    code => {
                        if error_code::is_coordinator_elsewhere(code) {
                            coordinator.forget();
                        }
                        self.error(group, code)
                    }
                },
                Err(error) if error.outcome == Outcome::Refused => {
                    return Err(error.into_log_error(&self.cluster, &action(group)));
                }
                Err(error) => error.into_log_error(&self.cluster, &action(group)),
            };
            if deadline.is_over() || !matches!(error, LogError::Remote { transient: true, .. }) {
                return Err(error);
            }
            thread::sleep(PAUSE);
        }
    }

    fn error(&self, group: &GroupId, code: i16) -> LogError {
        let transient = error_code::is_coordinator_elsewhere(code) || code == error_code::UNSTABLE_OFFSET_COMMIT;
        let problem = match code {
            error_code::GROUP_AUTHORIZATION_FAILED => {
                format!("{}; allow READ on the group to this user", error_code::name(code))
            }
            code => error_code::name(code),
        };
        LogError::Remote { cluster: self.cluster.clone(), action: action(group), problem, transient }
    }
}

fn action(group: &GroupId) -> String {
    format!("ask for the positions of group {group}")
}

fn question(group: &GroupId, partitions: &[TopicPartition]) -> OffsetFetch {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        let number = i32::try_from(partition.partition.0).unwrap_or(i32::MAX);
        topics.entry(partition.topic.as_str()).or_default().push(number);
    }
    let topics =
        topics.into_iter().map(|(name, partitions)| OffsetFetchTopic { name: name.to_owned(), partitions }).collect();
    OffsetFetch { group: group.as_str().to_owned(), topics, require_stable: true }
}

/// The error of the whole, or of some partition. A group that is not known has read nothing, and neither has any in a topic that is gone.
fn error_of(answer: &OffsetFetchAnswer) -> i16 {
    let of_partitions = answer.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error);
    let mut errors = std::iter::once(answer.error).chain(of_partitions);
    let says_nothing = |code: &i16| {
        matches!(*code, error_code::NONE | error_code::GROUP_ID_NOT_FOUND | error_code::UNKNOWN_TOPIC_OR_PARTITION)
    };
    errors.find(|code| !says_nothing(code)).unwrap_or(error_code::NONE)
}

fn found(answer: OffsetFetchAnswer, partitions: &[TopicPartition]) -> Vec<Option<GroupOffset>> {
    let mut positions: HashMap<(String, i32), GroupOffset> = HashMap::new();
    for topic in answer.topics {
        for FetchedPosition { partition, offset, metadata, .. } in topic.partitions {
            let Ok(next) = u64::try_from(offset) else { continue };
            let metadata = group_metadata::from_text(metadata.unwrap_or_default().into_bytes());
            positions.insert((topic.name.clone(), partition), GroupOffset { next: Offset(next), metadata });
        }
    }
    let key = |partition: &TopicPartition| {
        (partition.topic.as_str().to_owned(), i32::try_from(partition.partition.0).unwrap_or(i32::MAX))
    };
    partitions.iter().map(|partition| positions.remove(&key(partition))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::kafka::wire::offset_fetch::FetchedTopic;
    use crate::record::PartitionId;

    fn answer(partitions: &[(i32, i64, i16)]) -> OffsetFetchAnswer {
        let position = |&(partition, offset, error): &(i32, i64, i16)| FetchedPosition {
            partition,
            offset,
            error,
            metadata: Some("{}".to_owned()),
            ..FetchedPosition::default()
        };
        let partitions = partitions.iter().map(position).collect();
        let topics = vec![FetchedTopic { name: "orders".to_owned(), partitions }];
        OffsetFetchAnswer { topics, ..OffsetFetchAnswer::default() }
    }

    #[test]
    fn positions_come_in_the_order_of_the_question_and_none_is_none() {
        let partition = |number| TopicPartition::new("orders".parse().unwrap(), PartitionId(number));
        let partitions = [partition(2), partition(0), partition(1)];
        let found = found(answer(&[(0, 7, 0), (1, -1, 0), (2, 5, 0)]), &partitions);
        let next: Vec<_> = found.iter().map(|position| position.as_ref().map(|position| position.next.0)).collect();
        assert_eq!(next, [Some(5), Some(7), None]);
        assert_eq!(question(&"app".parse().unwrap(), &partitions).topics[0].partitions, [2, 0, 1]);
    }

    #[test]
    fn an_undecided_position_is_asked_for_again_and_an_unknown_group_has_none() {
        let check = |partitions: &[(i32, i64, i16)], expected: i16| assert_eq!(error_of(&answer(partitions)), expected);
        check(&[(0, 7, 0), (1, -1, 0)], error_code::NONE);
        check(&[(0, 7, 0), (1, -1, error_code::UNSTABLE_OFFSET_COMMIT)], error_code::UNSTABLE_OFFSET_COMMIT);
        check(&[(0, -1, error_code::UNKNOWN_TOPIC_OR_PARTITION)], error_code::NONE);
        let unknown = OffsetFetchAnswer { error: error_code::GROUP_ID_NOT_FOUND, ..answer(&[]) };
        assert_eq!(error_of(&unknown), error_code::NONE);
    }
}
