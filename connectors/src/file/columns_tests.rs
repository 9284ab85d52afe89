//! Files of columns: written into a directory once whatever crashes, and read back.

use std::{fs, path::Path, sync::Arc, time::Duration};

use arrow::datatypes::{DataType, Field};
use millstream::{
    log::{Log, TopicConfig},
    record::{Record, Timestamp, TopicName},
};

use super::*;
use crate::{
    config::{TaskSettings, Tolerance},
    file_format::{Compression, WrittenFormat},
    memory_log::MemoryLog,
    rows::{RecordColumns, RowKind, TopicRows},
    runtime::{Clock, ConnectorState, ConnectorStatus, StopSignal, start_sink, start_source, testing::ManualClock},
};

const PATIENCE: Option<Duration> = Some(Duration::from_secs(20));

fn topic(name: &str) -> TopicName {
    TopicName::new(name).expect("legal")
}

fn log_of(numbers: std::ops::Range<u64>) -> Arc<MemoryLog> {
    let log = MemoryLog::new();
    log.create_topic(&topic("t"), &TopicConfig { partitions: 2, ..TopicConfig::default() }).expect("made");
    let half = numbers.start + (numbers.end - numbers.start) / 3;
    log.append("t", 0, (numbers.start..half).map(record).collect());
    log.append("t", 1, (half..numbers.end).map(record).collect());
    log
}

fn record(n: u64) -> Record {
    let value = Some(format!("{{\"N\":{n},\"TEXT\":\"no {n}\"}}").into_bytes());
    Record { value, timestamp: Timestamp(5), ..Record::default() }
}

fn rows() -> TopicRows {
    let column = |name: &str, data_type| Arc::new(Field::new(name, data_type, true));
    let columns = vec![column("N", DataType::Int64), column("TEXT", DataType::Utf8)];
    let format = RecordColumns::json(RowKind::Stream, columns).row_format().expect("legal");
    TopicRows::default().with(topic("t"), format)
}

/// Runs the sink until it is idle and nothing is due; the clock moves while it waits.
fn write(sink: &DirectorySink, log: &Arc<MemoryLog>) -> Result<ConnectorStatus, crate::runtime::WaitError> {
    let clock = ManualClock::new();
    let settings = TaskSettings { tolerance: Some(Tolerance::All), ..TaskSettings::default() };
    let writer = Box::new(sink.clone().writer(rows(), clock.clone()));
    let running = start_sink("out", writer, settings, log.clone(), clock.clone()).expect("started");
    running.wait_for_status(PATIENCE, |status| status.idle)?;
    while !running.is_idle().expect("asked")
        || fs::read_dir(&sink.path).is_ok_and(|mut files| files.any(|file| is_hidden(&file)))
    {
        if running.status().state != ConnectorState::Running {
            return Ok(running.stop());
        }
        clock.wait(Duration::from_millis(20), &StopSignal::default());
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(running.stop())
}

fn is_hidden(file: &std::io::Result<fs::DirEntry>) -> bool {
    file.as_ref().is_ok_and(|file| file.file_name().to_string_lossy().starts_with('.'))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("there").map(|entry| entry.expect("there").file_name());
    let mut names: Vec<String> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn files_hold_each_record_once_whatever_crashes() {
    for crash_after in 0..5 {
        let folder = tempfile::tempdir().expect("made");
        let log = log_of(0..900);
        let format = WrittenFormat::Csv(Compression::None);
        let sink = DirectorySink {
            rows: 250,
            schedule: Some(Duration::from_millis(500)),
            ..DirectorySink::new(folder.path().join("out"), vec![topic("t")], format)
        };
        log.crash_after(Some(crash_after));
        let _ = write(&sink, &log);
        log.crash_after(None);
        write(&sink, &log).expect("written");
        let names = names(&sink.path);
        assert_eq!(names[0], "t+0+0000000000000000.csv", "{names:?}");
        let mut numbers: Vec<u64> = Vec::new();
        for name in &names {
            let text = fs::read_to_string(sink.path.join(name)).expect("there");
            let mut lines = text.lines();
            assert_eq!(lines.next(), Some("N,TEXT"), "{name}");
            numbers.extend(
                lines.map(|line| line.split(',').next().and_then(|n| n.parse::<u64>().ok()).expect("a number")),
            );
        }
        numbers.sort_unstable();
        assert_eq!(numbers, (0..900).collect::<Vec<_>>(), "crashed after {crash_after}");
    }
}

#[test]
fn a_directory_of_somebody_else_is_left_alone_and_poison_is_a_dead_letter_once() {
    let folder = tempfile::tempdir().expect("made");
    let log = log_of(0..2);
    let sink = DirectorySink {
        schedule: Some(Duration::from_millis(1)),
        ..DirectorySink::new(folder.path(), vec![topic("t")], WrittenFormat::Parquet(Compression::Snappy))
    };
    fs::write(folder.path().join("mine"), "x").expect("written");
    let error = write(&sink, &log).expect_err("it is refused").to_string();
    assert!(error.contains("mine") && error.contains("empty directory"), "{error}");
    fs::remove_file(folder.path().join("mine")).expect("there");
    log.append("t", 0, vec![Record { value: Some(b"{".to_vec()), ..record(0) }, record(7)]);
    assert_eq!(write(&sink, &log).expect("written").rejected, 1);
    assert_eq!(write(&sink, &log).expect("nothing is left").rejected, 0);
    assert_eq!(log.records("connect-out-dead-letter", 0).len(), 1);
}

#[test]
fn columns_are_read_back_as_rows_of_json() {
    for format in [WrittenFormat::Parquet(Compression::Zstd), WrittenFormat::Avro(Compression::Deflate)] {
        let folder = tempfile::tempdir().expect("made");
        let log = log_of(0..30);
        let sink = DirectorySink {
            schedule: Some(Duration::from_millis(1)),
            ..DirectorySink::new(folder.path(), vec![topic("t")], format)
        };
        write(&sink, &log).expect("written");
        let read_as = if matches!(format, WrittenFormat::Avro(_)) { FileFormat::Avro } else { FileFormat::Parquet };
        let path = folder.path().join(format!("t+1+{:016}.{}", 0, format.extension()));
        let source = FileSource { key_field: Some("N".into()), ..FileSource::new(path, topic("back"), read_as) };
        // Read in small batches, with a crash in between: a position is a row.
        for crash_after in [Some(2), None] {
            log.crash_after(crash_after);
            let clock = ManualClock::new();
            let mut settings = TaskSettings::default();
            settings.limits.rows = 7;
            let reader = Box::new(source.clone().reader(clock.clone()));
            let running = start_source("in", reader, settings, log.clone(), clock).expect("started");
            running.wait_for_status(PATIENCE, |status| status.state != ConnectorState::Running).ok();
        }
        let read: Vec<(Option<Vec<u8>>, serde_json::Value)> = log
            .records("back", 0)
            .into_iter()
            .map(|record| (record.key, serde_json::from_slice(&record.value.expect("a row")).expect("JSON")))
            .collect();
        let expected =
            |n: u64| (Some(n.to_string().into_bytes()), serde_json::json!({"N": n, "TEXT": format!("no {n}")}));
        assert_eq!(read, (10..30).map(expected).collect::<Vec<_>>());
    }
}
