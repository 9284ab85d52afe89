//! What a reset does: positions that are set, topics and stores that are removed.
//!
//! Internal topics are told by their names, `<application>-..-changelog` and the like, as Kafka Streams' own tool tells them. Those of an application
//! whose name begins with this one's and a hyphen look the same; if it has a group they are left alone.

use std::collections::BTreeSet;

use millstream::{
    log::{GroupOffset, Log, LogError},
    record::{GroupId, Offset, TopicName, TopicPartition},
};

use super::Target;
use crate::cli::failure::Failure;

/// How the names of internal topics end.
const ENDS: [&str; 4] = ["-changelog", "-repartition", "-subscription-registration", "-subscription-response"];

/// A position that is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) group: GroupId,
    pub(super) partition: TopicPartition,
    pub(super) from: Offset,
    pub(super) to: Offset,
}

/// All that a reset does.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) moves: Vec<Move>,
    pub(super) topics: Vec<TopicName>,
    /// Stores of the data directory.
    pub(super) stores: Vec<String>,
}

impl Plan {
    /// Finds out what there is to do in the log.
    ///
    /// # Errors
    /// Those of the log; a topic that is not an input.
    pub(super) fn make(
        application: &str,
        positions: Vec<(GroupId, TopicPartition, GroupOffset)>,
        groups: &[String],
        asked: &[String],
        target: Target,
        log: &dyn Log,
    ) -> Result<Self, Failure> {
        let is_other = |topic: &str| {
            let other = |group: &&String| group.starts_with(&format!("{application}-"));
            groups.iter().filter(other).any(|group| topic.starts_with(&format!("{group}-")))
        };
        let is_internal = |topic: &str| {
            let own = topic.strip_prefix(application).is_some_and(|rest| rest.starts_with('-'));
            own && ENDS.iter().any(|end| topic.ends_with(end)) && !is_other(topic)
        };
        let mut plan = Self::default();
        for topic in log.topics()? {
            if is_internal(topic.name.as_str()) {
                plan.topics.push(topic.name);
            }
        }
        let wanted: Option<BTreeSet<&str>> = (!asked.is_empty()).then(|| asked.iter().map(String::as_str).collect());
        for (group, partition, position) in positions {
            let topic = partition.topic.as_str();
            if is_internal(topic) || wanted.as_ref().is_some_and(|wanted| !wanted.contains(topic)) {
                continue;
            }
            let from = position.next;
            match place(&partition, target, log) {
                Ok(to) => plan.moves.push(Move { group, partition, from, to }),
                // What is gone is read from its start, should it come again.
                Err(LogError::UnknownTopic { .. } | LogError::UnknownPartition { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        for topic in wanted.into_iter().flatten() {
            plan.check_read(topic, application, log)?;
        }
        plan.moves.sort_by(|a, b| (&a.partition, &a.group).cmp(&(&b.partition, &b.group)));
        Ok(plan)
    }

    /// Refuses a topic that was asked for and that the application has not read.
    fn check_read(&self, topic: &str, application: &str, log: &dyn Log) -> Result<(), Failure> {
        if self.moves.iter().any(|step| step.partition.topic.as_str() == topic) {
            return Ok(());
        }
        log.describe_topic(&TopicName::new(topic).map_err(LogError::from)?)?;
        Err(Failure::Refused(format!(
            "{application} has no position in topic {topic}: it begins there anew in any case"
        )))
    }
}

/// The offset of a partition that a target means.
fn place(partition: &TopicPartition, target: Target, log: &dyn Log) -> Result<Offset, LogError> {
    let (start, end) = (log.start_offset(partition)?, log.end_offset(partition)?);
    Ok(match target {
        Target::Earliest => start,
        Target::Latest => end,
        Target::Offset(offset) => Offset(offset).clamp(start, end),
        Target::Time(time) => log.offset_at(partition, time)?.unwrap_or(end),
    })
}

#[cfg(test)]
mod tests {
    use millstream::{
        log::{Append, TopicConfig, Transaction},
        record::{PartitionId, Record, Timestamp},
        testing::MemoryLog,
    };

    use super::*;

    fn log() -> MemoryLog {
        let log = MemoryLog::new();
        for name in [
            "orders",
            "app-t-changelog",
            "app-by-city-repartition",
            "app-b-t-changelog",
            "app-dead-letter",
            "apps-t-changelog",
        ] {
            log.create_topic(&name.parse().expect("legal"), &TopicConfig::default()).expect("made");
        }
        let records = (0..10).map(|row| Record::new("k", "v").at_ms(row * 10)).collect();
        let appends = vec![Append { partition: partition("orders"), records }];
        log.producer("p").expect("one").commit(Transaction { appends, offsets: Vec::new() }).expect("written");
        log
    }

    fn partition(topic: &str) -> TopicPartition {
        TopicPartition::new(topic.parse().expect("legal"), PartitionId(0))
    }

    fn plan(asked: &[&str], target: Target) -> Result<Plan, String> {
        let group = GroupId::new("app").expect("legal");
        let position =
            |topic: &str| (group.clone(), partition(topic), GroupOffset { next: Offset(7), metadata: vec![] });
        let positions = vec![position("orders"), position("app-by-city-repartition")];
        let groups = ["app", "app-b"].map(str::to_owned);
        let asked: Vec<String> = asked.iter().map(|topic| (*topic).to_owned()).collect();
        Plan::make("app", positions, &groups, &asked, target, &log()).map_err(|error| error.to_string())
    }

    #[test]
    fn inputs_are_set_back_and_internal_topics_go() {
        let plan = plan(&[], Target::Earliest).expect("a plan");
        let topics: Vec<&str> = plan.topics.iter().map(TopicName::as_str).collect();
        assert_eq!(topics, ["app-by-city-repartition", "app-t-changelog"], "and no other application's");
        assert_eq!(plan.moves.len(), 1);
        assert_eq!((plan.moves[0].from, plan.moves[0].to), (Offset(7), Offset(0)));
    }

    #[test]
    fn targets_are_places_in_the_partition() {
        let check = |target: Target, want: u64| {
            let plan = plan(&["orders"], target).expect("a plan");
            assert_eq!(plan.moves[0].to, Offset(want), "{target:?}");
        };
        check(Target::Earliest, 0);
        check(Target::Latest, 10);
        check(Target::Offset(4), 4);
        check(Target::Offset(99), 10);
        check(Target::Time(Timestamp(25)), 3);
        check(Target::Time(Timestamp(1_000)), 10);
    }

    #[test]
    fn a_topic_that_is_no_input_is_refused() {
        assert!(plan(&["apps-t-changelog"], Target::Earliest).expect_err("no input").contains("has no position"));
        assert!(plan(&["nothing"], Target::Earliest).expect_err("no topic").contains("there is no topic nothing"));
    }
}
