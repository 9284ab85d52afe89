//! The log by itself: how fast records are appended, beside a plain file written and synced the same way, and how fast they are read.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    time::Duration,
};

use arrow::array::{Array, BinaryBuilder, Int64Array};
use millstream::{
    log::{
        Append, Log, TopicConfig, Transaction,
        embedded::{EmbeddedConfig, EmbeddedLog},
    },
    record::{Offset, PartitionId, Records, TopicName, TopicPartition},
};
use serde::Serialize;

use super::bids::BidWriter;
use crate::cli::{failure::Failure, stopwatch::Stopwatch};

/// How often both are made durable.
const SYNC_INTERVAL: Duration = Duration::from_millis(100);
const BATCH_ROWS: usize = 16_384;
const FETCH_BYTES: usize = 8 << 20;
/// Rounds of the scan, of which the fastest counts.
const SCANS: usize = 3;
const MB: f64 = 1e6;

/// Rates in millions of bytes of values a second.
#[derive(Debug, Clone, Serialize)]
pub struct LogSpeed {
    /// Always `log`.
    pub workload: &'static str,
    /// Records appended.
    pub events: u64,
    /// Bytes of their values.
    pub bytes: u64,
    /// Appending, with a commit each 100 ms.
    pub append_mb_per_second: f64,
    /// Writing the same bytes to a file, with a sync each 100 ms.
    pub file_mb_per_second: f64,
    /// The first by the second.
    pub append_ratio: f64,
    /// Reading all of it from the page cache, every value looked at.
    pub scan_mb_per_second: f64,
    /// The first reading after opening the log, which also verifies check sums.
    pub first_scan_mb_per_second: f64,
}

/// Measures in `directory`, which is to be empty.
///
/// # Errors
/// Those of the log and of the file system.
pub fn run(events: u64, seed: u64, directory: &Path) -> Result<LogSpeed, Failure> {
    let batches = batches(events, seed);
    let bytes: u64 = batches.iter().map(|records| records.values().value_data().len() as u64).sum();
    let file_seconds = write_file(&batches, &directory.join("plain"))?;
    let log_directory = directory.join("log");
    let partition = TopicPartition::new(
        TopicName::new("bids").map_err(|error| Failure::Refused(error.to_string()))?,
        PartitionId(0),
    );
    let append_seconds = append(&batches, &log_directory, &partition)?;
    drop(batches);
    let log = EmbeddedLog::open(&log_directory, EmbeddedConfig::default())?;
    let first = scan(log.as_ref(), &partition, bytes)?;
    let mut scan_seconds = f64::MAX;
    for _ in 0..SCANS {
        scan_seconds = scan_seconds.min(scan(log.as_ref(), &partition, bytes)?);
    }
    let rate = |seconds: f64| bytes as f64 / MB / seconds.max(1e-9);
    Ok(LogSpeed {
        workload: "log",
        events,
        bytes,
        append_mb_per_second: rate(append_seconds),
        file_mb_per_second: rate(file_seconds),
        append_ratio: file_seconds / append_seconds.max(1e-9),
        scan_mb_per_second: rate(scan_seconds),
        first_scan_mb_per_second: rate(first),
    })
}

fn batches(events: u64, seed: u64) -> Vec<Records> {
    let mut bids = BidWriter::new(seed);
    let mut line = Vec::new();
    let mut left = events as usize;
    let mut batches = Vec::new();
    while left > 0 {
        let rows = left.min(BATCH_ROWS);
        let (mut keys, mut values) = (BinaryBuilder::new(), BinaryBuilder::new());
        for _ in 0..rows {
            line.clear();
            let auction = bids.write_next_at(0, &mut line);
            keys.append_value(auction.to_be_bytes());
            values.append_value(&line);
        }
        batches.push(Records::new(keys.finish(), values.finish(), Int64Array::from(vec![0; rows]), None));
        left -= rows;
    }
    batches
}

fn append(batches: &[Records], directory: &Path, partition: &TopicPartition) -> Result<f64, Failure> {
    let log = EmbeddedLog::open(directory, EmbeddedConfig::default())?;
    log.create_topic(&partition.topic, &TopicConfig::default())?;
    let mut producer = log.producer("millstream-bench")?;
    let watch = Stopwatch::start();
    let mut committed = watch.elapsed();
    let mut transaction = Transaction::default();
    for records in batches {
        transaction.appends.push(Append { partition: partition.clone(), records: records.clone() });
        // A transaction is in memory until its commit: as much as the interval brings, and no more than the runtime would let wait.
        if watch.elapsed() - committed >= SYNC_INTERVAL || transaction.payload_bytes() > 64 << 20 {
            producer.commit(std::mem::take(&mut transaction))?;
            committed = watch.elapsed();
        }
    }
    producer.commit(transaction)?;
    Ok(watch.elapsed().as_secs_f64())
}

fn write_file(batches: &[Records], path: &Path) -> Result<f64, Failure> {
    let mut file = File::create(path).map_err(Failure::file(path, "make"))?;
    let watch = Stopwatch::start();
    let mut synced = watch.elapsed();
    for records in batches {
        file.write_all(records.values().value_data()).map_err(Failure::file(path, "write"))?;
        if watch.elapsed() - synced >= SYNC_INTERVAL {
            file.sync_data().map_err(Failure::file(path, "sync"))?;
            synced = watch.elapsed();
        }
    }
    file.sync_data().map_err(Failure::file(path, "sync"))?;
    let seconds = watch.elapsed().as_secs_f64();
    fs::remove_file(path).map_err(Failure::file(path, "remove"))?;
    Ok(seconds)
}

/// Reads every byte of every value once, so that nothing is left for later.
fn scan(log: &dyn Log, partition: &TopicPartition, bytes: u64) -> Result<f64, Failure> {
    let watch = Stopwatch::start();
    let (mut next, end) = (Offset(0), log.end_offset(partition)?);
    let (mut seen, mut check) = (0, 0_u64);
    while next < end {
        let fetched = log.fetch(partition, next, FETCH_BYTES)?;
        for batch in &fetched.batches {
            let values = batch.records.values();
            let offsets = values.value_offsets();
            let data = &values.value_data()[offsets[0] as usize..offsets[values.len()] as usize];
            seen += data.len() as u64;
            let (words, _) = data.as_chunks::<8>();
            check = words.iter().fold(check, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)));
        }
        next = fetched.next;
    }
    let seconds = watch.elapsed().as_secs_f64();
    if seen != bytes || std::hint::black_box(check) == 0 {
        return Err(Failure::Refused(format!("{seen} bytes were read of {bytes}")));
    }
    Ok(seconds)
}
