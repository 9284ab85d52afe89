//! Latency at a rate: bids that are made as they are appended, and how old they are when their results can be read.
//!
//! A bid carries the wall time right before its append; a result carries the time of the newest bid in it. A reader of the output topic takes the
//! difference to its own wall time, for each record that it sees: the commit of the input, the query and the commit of the output are all in it.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use arrow::array::{BinaryBuilder, Int64Array};
use millstream::{
    log::{Append, SharedLog, Transaction, partition_for_key},
    record::{Offset, PartitionId, Records, TopicName, TopicPartition},
    runtime::{Clock, SystemClock},
};
use serde::Serialize;

use super::bids::BidWriter;
use crate::cli::failure::Failure;

/// How often bids are appended.
const TICK: Duration = Duration::from_millis(5);
/// What one read of the output brings.
const FETCH_BYTES: usize = 4 << 20;
/// How long the reader waits before it looks whether the run is over.
const WAIT: Duration = Duration::from_millis(20);

/// Milliseconds from append to committed output, by share of the results.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Latency {
    /// Half of the results were at most so old.
    pub p50: f64,
    /// Nine tenths.
    pub p90: f64,
    /// All but one in a hundred.
    pub p99: f64,
    /// All but one in a thousand.
    pub p99_9: f64,
    /// The oldest.
    pub max: f64,
    /// How many results were looked at.
    pub results: u64,
}

/// How bids come.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Bids a second.
    pub rate: u64,
    /// How many.
    pub events: u64,
    /// Where to; its partitions.
    pub topic: TopicName,
    /// Partitions of that topic.
    pub partitions: u32,
    /// The bids.
    pub bids: BidWriter,
}

impl Pace {
    /// Appends the bids at their rate; gives the bytes of their values.
    ///
    /// # Errors
    /// Those of the log; [`Failure::Refused`] if the log cannot keep up with the rate.
    pub fn append(&self, log: &SharedLog) -> Result<u64, Failure> {
        let clock = SystemClock::default();
        let mut producer = log.producer("millstream-bench")?;
        let mut bids = self.bids.clone();
        let (mut sent, mut bytes) = (0, 0);
        while sent < self.events {
            let due = (clock.monotonic().as_secs_f64() * self.rate as f64) as u64;
            if due > sent + 5 * self.rate {
                let problem = format!("the log is five seconds behind a rate of {} a second", self.rate);
                return Err(Failure::Refused(problem));
            }
            let count = due.min(self.events).saturating_sub(sent);
            let at = clock.wall().millis();
            let records = self.records(&mut bids, count, at);
            bytes += records.iter().map(|append| append.records.values().value_data().len() as u64).sum::<u64>();
            producer.commit(Transaction { appends: records, offsets: Vec::new() })?;
            sent += count;
            let next = TICK.saturating_sub(Duration::from_millis((clock.wall().millis() - at).max(0) as u64));
            std::thread::sleep(next);
        }
        Ok(bytes)
    }

    fn records(&self, bids: &mut BidWriter, count: u64, at: i64) -> Vec<Append> {
        let empty = || (BinaryBuilder::new(), BinaryBuilder::new(), 0_usize);
        let mut parts: Vec<_> = (0..self.partitions).map(|_| empty()).collect();
        let mut line = Vec::new();
        for _ in 0..count {
            line.clear();
            let auction = bids.write_next_at(at, &mut line);
            let key = (auction as i64).to_be_bytes();
            let (keys, values, rows) = &mut parts[partition_for_key(&key, self.partitions).0 as usize];
            keys.append_value(key);
            values.append_value(&line);
            *rows += 1;
        }
        let append = |(partition, (mut keys, mut values, rows)): (u32, (BinaryBuilder, BinaryBuilder, usize))| Append {
            partition: TopicPartition::new(self.topic.clone(), PartitionId(partition)),
            records: Records::new(keys.finish(), values.finish(), Int64Array::from(vec![at; rows]), None),
        };
        (0..).zip(parts).filter(|(_, (_, _, rows))| *rows > 0).map(append).collect()
    }
}

/// Reads a topic as it grows, until `over` is set and nothing is left.
///
/// # Errors
/// Those of the log.
pub fn watch(log: &SharedLog, topic: &TopicName, over: &AtomicBool) -> Result<Latency, Failure> {
    let clock = SystemClock::default();
    let partitions = log.describe_topic(topic)?.config.partitions;
    let mut next: Vec<Offset> = vec![Offset(0); partitions as usize];
    let mut ages: Vec<u64> = Vec::new();
    let mut seen = 0;
    loop {
        let is_over = over.load(Ordering::Acquire);
        let mut found = false;
        for (partition, next) in (0..).zip(&mut next) {
            let partition = TopicPartition::new(topic.clone(), PartitionId(partition));
            let fetched = log.fetch(&partition, *next, FETCH_BYTES)?;
            let now = clock.wall().millis();
            for batch in &fetched.batches {
                for &time in batch.records.timestamps().values() {
                    let age = (now - time).max(0) as usize;
                    if ages.len() <= age {
                        ages.resize(age + 1, 0);
                    }
                    ages[age] += 1;
                }
            }
            found |= !fetched.batches.is_empty();
            *next = fetched.next;
        }
        if is_over && !found {
            return Ok(Latency::of(&ages));
        }
        if !found {
            seen = log.wait_for_commit(seen, WAIT);
        }
    }
}

impl Latency {
    /// From how many results had each age in milliseconds.
    fn of(ages: &[u64]) -> Self {
        let results: u64 = ages.iter().sum();
        let quantile = |share: f64| {
            let mut left = (results as f64 * share).ceil() as u64;
            let age = ages.iter().position(|&count| {
                left = left.saturating_sub(count);
                left == 0
            });
            age.unwrap_or(0) as f64
        };
        let max = ages.len().saturating_sub(1) as f64;
        Self { p50: quantile(0.5), p90: quantile(0.9), p99: quantile(0.99), p99_9: quantile(0.999), max, results }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_the_least_age_that_enough_results_have() {
        let mut ages = vec![0; 101];
        (1..=100).for_each(|age| ages[age] = 1);
        let latency = Latency::of(&ages);
        assert_eq!((latency.p50, latency.p90, latency.p99, latency.p99_9), (50.0, 90.0, 99.0, 100.0));
        assert_eq!((latency.max, latency.results), (100.0, 100));
        assert_eq!(Latency::of(&[]).p99, 0.0);
    }
}
