//! The Nexmark generator: people, auctions and bids of an online auction, made up.
//!
//! The event with number `n` follows from the seed and `n` alone, so the position of the source is just `n`. How events
//! look and relate is in [`event`]; this file makes a source of them.
//!
//! Properties: `topic` for one topic of all events, told apart by the field `event` (`person`, `auction`, `bid`), or any of
//! `topic.person`, `topic.auction`, `topic.bid` for one topic a kind (a kind without a topic is not written, but counted as
//! an event); `events` (how many; endless if absent), `event.rate` (events a second of *event time*, default 10000),
//! `seed` (default 0), `base.time` (the first timestamp, ms or ISO-8601; default 2015-07-15T00:00:00Z), `partitions`
//! (default 1). How fast events come by the wall clock is `rows.per.second`, as for any source.
//!
//! Keys are the text of an identifier: a person's own, an auction's own, and for a bid that of its auction. Timestamps
//! are the event's `dateTime`.

mod event;

use std::collections::BTreeMap;

use millstream::{
    connect::{
        ConnectError, PollLimits, Position, Positions, Progress, ProgressUnit, Readiness, Source, SourceBatch,
        SourceStart, SourceTopic,
    },
    log::{Append, TopicConfig, partition_for_key},
    record::{PartitionId, RecordRef, RecordsBuilder, Timestamp, TopicName, TopicPartition},
};
use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, Properties, parse_value};
use event::{EventKind, EventWriter, Tag};

/// 2015-07-15T00:00:00Z, where the reference generators begin.
const BASE_TIME: Timestamp = Timestamp(1_436_918_400_000);
const SOURCE_PARTITION: &str = "nexmark";

/// Where events go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NexmarkTopics {
    /// All to one topic, with the field `event`.
    One(TopicName),
    /// Each kind to its own; `None`: not written.
    Each {
        /// People.
        person: Option<TopicName>,
        /// Auctions.
        auction: Option<TopicName>,
        /// Bids.
        bid: Option<TopicName>,
    },
}

/// What is generated: the settings of `'connector.class' = 'nexmark'`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NexmarkSource {
    /// Where to.
    pub topics: NexmarkTopics,
    /// How many events; `None`: without end.
    pub events: Option<u64>,
    /// Events a second of event time.
    pub event_rate: u64,
    /// From which everything follows.
    pub seed: u64,
    /// The timestamp of the first event.
    pub base_time: Timestamp,
    /// How many partitions topics are made with.
    pub partitions: u32,
}

impl NexmarkSource {
    /// A generator of so many events, 10000 a second of event time, with seed 0.
    pub fn new(topics: NexmarkTopics, events: Option<u64>) -> Self {
        Self { topics, events, event_rate: 10_000, seed: 0, base_time: BASE_TIME, partitions: 1 }
    }

    pub(crate) fn from_properties(properties: &mut Properties) -> Result<Self, ConfigError> {
        let all = properties.optional("topic");
        let mut own = |name| properties.optional(name).map(|value| parse_value(name, &value)).transpose();
        let (person, auction, bid) = (own("topic.person")?, own("topic.auction")?, own("topic.bid")?);
        let has_own = [("topic.person", &person), ("topic.auction", &auction), ("topic.bid", &bid)]
            .into_iter()
            .find_map(|(name, topic): (_, &Option<TopicName>)| topic.as_ref().map(|_| name));
        let topics = match (all, has_own) {
            (Some(topic), None) => NexmarkTopics::One(parse_value("topic", &topic)?),
            (None, Some(_)) => NexmarkTopics::Each { person, auction, bid },
            (None, None) => {
                let names = "'topic', or some of 'topic.person', 'topic.auction', 'topic.bid'".into();
                return Err(ConfigError::Missing { names });
            }
            (Some(_), Some(name)) => {
                let reason = "either one topic for all events or one for each kind".into();
                return Err(ConfigError::Conflict { name: name.into(), other: "`topic`".into(), reason });
            }
        };
        let events = properties.parsed("events", 0, u64::MAX, "a count from 0 on")?;
        let mut source = Self::new(topics, (events != u64::MAX).then_some(events));
        source.event_rate = properties.parsed("event.rate", 1, source.event_rate, "events a second, from 1 on")?;
        source.seed = properties.parsed("seed", 0, 0, "a whole number from 0 on")?;
        source.partitions = properties.parsed("partitions", 1, 1, "a count from 1 on")?;
        if let Some(value) = properties.optional("base.time") {
            let expected = "epoch ms or ISO-8601, from 1970 on".into();
            let bad = ConfigError::BadValue { name: "base.time".into(), value: value.clone(), expected };
            source.base_time = crate::file::parse_timestamp(&value).filter(|ms| *ms >= 0).map(Timestamp).ok_or(bad)?;
        }
        Ok(source)
    }

    /// The source that generates it.
    pub fn generator(self) -> NexmarkGenerator {
        NexmarkGenerator {
            writer: EventWriter::new(self.seed, self.event_rate, self.base_time),
            next: 0,
            counts: BTreeMap::new(),
            config: self,
        }
    }

    fn topic_of(&self, kind: EventKind) -> Option<&TopicName> {
        match &self.topics {
            NexmarkTopics::One(topic) => Some(topic),
            NexmarkTopics::Each { person, auction, bid } => match kind {
                EventKind::Person => person.as_ref(),
                EventKind::Auction => auction.as_ref(),
                EventKind::Bid => bid.as_ref(),
            },
        }
    }
}

/// The number of the next event, and what it is generated from: with another seed it would be another event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct NexmarkPosition {
    next: u64,
    seed: u64,
    event_rate: u64,
    base_time_ms: i64,
}

/// Generates the events.
pub struct NexmarkGenerator {
    config: NexmarkSource,
    writer: EventWriter,
    /// The number of the next event.
    next: u64,
    /// Partitions of each topic.
    counts: BTreeMap<TopicName, u32>,
}

impl NexmarkGenerator {
    fn position(&self) -> NexmarkPosition {
        let NexmarkSource { seed, event_rate, base_time, .. } = self.config;
        NexmarkPosition { next: self.next, seed, event_rate, base_time_ms: base_time.0 }
    }

    fn end(&self) -> u64 {
        self.config.events.unwrap_or(u64::MAX)
    }
}

impl Source for NexmarkGenerator {
    fn topics(&self) -> Vec<SourceTopic> {
        let config = TopicConfig { partitions: self.config.partitions, ..TopicConfig::default() };
        let mut names: Vec<&TopicName> = EventKind::ALL.iter().filter_map(|kind| self.config.topic_of(*kind)).collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter().map(|name| SourceTopic { name: name.clone(), config: config.clone() }).collect()
    }

    fn open(&mut self, start: SourceStart<'_>) -> Result<(), ConnectError> {
        self.counts = start.partitions.clone();
        self.next = 0;
        if let Some(saved) = start.positions.get(SOURCE_PARTITION) {
            let refused = |problem| ConnectError::Position { partition: SOURCE_PARTITION.into(), problem };
            let saved: NexmarkPosition = serde_json::from_slice(&saved.0).map_err(|error| {
                refused(format!("the position is not readable ({error}); use another connector name"))
            })?;
            self.next = saved.next;
            if self.position() != saved {
                let problem = format!(
                    "it was made with seed {}, event.rate {} and base.time {}; use these, or another connector name",
                    saved.seed, saved.event_rate, saved.base_time_ms
                );
                return Err(refused(problem));
            }
        }
        self.writer.seek(self.next);
        Ok(())
    }

    fn poll(&mut self, limits: PollLimits) -> Result<SourceBatch, ConnectError> {
        let (first, end) = (self.next, self.end());
        // A builder for each kind and partition, found by number; kinds that share a topic share builders.
        let places = EventKind::ALL.map(|kind| {
            let topic = self.config.topic_of(kind)?;
            Some((topic.clone(), self.counts.get(topic).copied().unwrap_or(self.config.partitions)))
        });
        let is_one_topic = matches!(self.config.topics, NexmarkTopics::One(_));
        let tag = if is_one_topic { Tag::Written } else { Tag::Left };
        let mut builders: [Vec<RecordsBuilder>; 3] = Default::default();
        for (builders, place) in builders.iter_mut().zip(&places) {
            builders.resize_with(place.as_ref().map_or(0, |(_, partitions)| *partitions as usize), Default::default);
        }
        let (mut rows, mut bytes) = (0, 0);
        while rows < limits.rows && bytes < limits.bytes && self.next < end {
            let event = self.writer.write_next(tag);
            self.next += 1;
            rows += 1;
            let Some((_, partitions)) = &places[event.kind as usize] else { continue };
            let partition = partition_for_key(event.key, *partitions);
            let slot = if is_one_topic { 0 } else { event.kind as usize };
            bytes += event.value.len() + event.key.len();
            let record =
                RecordRef { key: Some(event.key), value: Some(event.value), timestamp: event.timestamp, headers: &[] };
            builders[slot][partition.0 as usize].push(record);
        }
        let mut appends = Vec::new();
        for (builders, place) in builders.iter_mut().zip(places) {
            let Some((topic, _)) = place else { continue };
            for (partition, builder) in builders.iter_mut().enumerate().filter(|(_, builder)| !builder.is_empty()) {
                let partition = TopicPartition::new(topic.clone(), PartitionId(partition as u32));
                appends.push(Append { partition, records: builder.finish() });
            }
        }
        let mut positions = Positions::new();
        if self.next != first {
            let position = serde_json::to_vec(&self.position()).expect("plain numbers are always JSON");
            positions.insert(SOURCE_PARTITION.into(), Position(position));
        }
        let readiness = if self.next < end { Readiness::Ready } else { Readiness::Exhausted };
        Ok(SourceBatch { appends, positions, readiness, rejected: 0 })
    }

    fn progress(&self) -> Progress {
        Progress { done: self.next, total: self.config.events, unit: ProgressUnit::Rows }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> NexmarkSource {
        let pairs: Vec<(String, String)> = text
            .split_whitespace()
            .map(|pair| pair.split_once('=').expect("a pair"))
            .map(|(n, v)| (n.into(), v.into()))
            .collect();
        NexmarkSource::from_properties(&mut Properties::new(&pairs).expect("unique")).expect("legal")
    }

    /// Keys, values and timestamps by topic and partition.
    type Generated = BTreeMap<TopicPartition, Vec<(Vec<u8>, Vec<u8>, i64)>>;

    /// All records by topic and partition, generated in batches of `rows`, from a saved position each time.
    fn generate(config: &NexmarkSource, rows: usize) -> Generated {
        let mut all = Generated::new();
        let mut positions = Positions::new();
        loop {
            let mut generator = config.clone().generator();
            let partitions =
                generator.topics().into_iter().map(|topic| (topic.name, topic.config.partitions)).collect();
            generator.open(SourceStart { positions: &positions, partitions: &partitions }).expect("opened");
            let batch = generator.poll(PollLimits { rows, bytes: usize::MAX }).expect("generated");
            for append in batch.appends {
                let rows = append.records.iter().map(|record| {
                    (
                        record.key.unwrap_or_default().to_vec(),
                        record.value.unwrap_or_default().to_vec(),
                        record.timestamp.0,
                    )
                });
                all.entry(append.partition.clone()).or_default().extend(rows);
            }
            positions.extend(batch.positions);
            if batch.readiness == Readiness::Exhausted {
                return all;
            }
        }
    }

    #[test]
    fn resuming_anywhere_equals_an_uninterrupted_run() {
        let config = source("topic=events events=500 partitions=3 seed=7");
        let whole = generate(&config, 500);
        assert_eq!(whole.len(), 3);
        for rows in [1, 49, 50, 333] {
            assert_eq!(generate(&config, rows), whole, "batches of {rows}");
        }
        assert_ne!(generate(&source("topic=events events=500 partitions=3 seed=8"), 500), whole);
    }

    #[test]
    fn kinds_keep_their_proportions_and_their_topics() {
        let all = generate(&source("topic.person=p topic.auction=a topic.bid=b events=5000"), 5000);
        let counts: Vec<(&str, usize)> =
            all.iter().map(|(partition, rows)| (partition.topic.as_str(), rows.len())).collect();
        assert_eq!(counts, [("a", 300), ("b", 4600), ("p", 100)]);
        let only_bids = generate(&source("topic.bid=b events=100"), 7);
        assert_eq!(only_bids.values().map(Vec::len).collect::<Vec<_>>(), [92]);
    }

    #[test]
    fn another_seed_does_not_go_on_at_the_position() {
        let mut generator = source("topic=t events=9 seed=1").generator();
        let (mut positions, partitions) = (Positions::new(), BTreeMap::new());
        generator.open(SourceStart { positions: &positions, partitions: &partitions }).expect("opened");
        positions.extend(generator.poll(PollLimits { rows: 5, bytes: 1 << 20 }).expect("generated").positions);
        let error = source("topic=t events=9 seed=2")
            .generator()
            .open(SourceStart { positions: &positions, partitions: &partitions });
        assert!(error.is_err_and(|error| error.to_string().contains("seed 1")));
        let mut more = source("topic=t events=12 seed=1").generator();
        more.open(SourceStart { positions: &positions, partitions: &partitions }).expect("more of the same");
        assert_eq!(more.progress().done, 5);
    }
}
