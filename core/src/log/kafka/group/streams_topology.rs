//! The topology as the broker of a streams group is told of it.

use crate::log::{
    GroupSettings,
    kafka::wire::streams_heartbeat::{Subtopology, TopicInfo, Topology},
};

/// The topology as the broker is told of it. Its epoch stays 0: brokers take no other topology for the same group.
pub(super) fn topology(settings: &GroupSettings) -> Topology {
    let named = |name: &str, partitions: u32| TopicInfo {
        name: name.to_owned(),
        partitions: i32::try_from(partitions).unwrap_or(i32::MAX),
        ..TopicInfo::default()
    };
    let mut subtopologies: Vec<Subtopology> = Vec::new();
    for (number, part) in settings.topology.parts.iter().enumerate() {
        let mut repartition: Vec<_> = part.repartition_sources.clone();
        repartition.sort();
        subtopologies.push(Subtopology {
            id: number.to_string(),
            source_topics: part.sources.iter().map(|topic| topic.as_str().to_owned()).collect(),
            changelogs: part.changelogs.iter().map(|topic| named(topic.as_str(), 0)).collect(),
            repartition_sinks: part.repartition_sinks.iter().map(|topic| topic.as_str().to_owned()).collect(),
            repartition_sources: repartition.iter().map(|(topic, count)| named(topic.as_str(), *count)).collect(),
            ..Subtopology::default()
        });
    }
    subtopologies.sort_by(|one, other| one.id.cmp(&other.id));
    Topology { epoch: 0, subtopologies }
}
