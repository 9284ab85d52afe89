//! File source and file sink as tasks on a log in memory: restarts, crashes, bad rows, replaced files.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use millstream::{
    log::{Log, TopicConfig},
    record::{Header, Record, Timestamp, TopicName},
};
use tempfile::TempDir;

use super::*;
use crate::{
    config::TaskSettings,
    memory_log::MemoryLog,
    runtime::{
        ConnectorState, ConnectorStatus, RunningConnector, forget, start_sink, start_source, testing::ManualClock,
    },
};

/// Only a test that fails waits so long.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(20));

fn topic(name: &str) -> TopicName {
    TopicName::new(name).expect("legal")
}

fn settings(rows: usize) -> TaskSettings {
    let mut settings = TaskSettings::default();
    settings.limits.rows = rows;
    settings
}

fn start(source: &FileSource, rows: usize, log: &Arc<MemoryLog>) -> RunningConnector {
    let clock = ManualClock::new();
    start_source("in", Box::new(source.clone().reader(clock.clone())), settings(rows), log.clone(), clock)
        .expect("started")
}

/// Runs the source until it ends by itself.
fn run(source: &FileSource, rows: usize, log: &Arc<MemoryLog>) -> ConnectorStatus {
    start(source, rows, log)
        .wait_for_status(PATIENCE, |status| status.state != ConnectorState::Running)
        .expect("it ends")
}

fn written(directory: &TempDir, name: &str, content: &[u8]) -> PathBuf {
    let path = directory.path().join(name);
    fs::write(&path, content).expect("written");
    path
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn values(log: &MemoryLog, name: &str, partitions: u32) -> Vec<Vec<String>> {
    let text = |record: Record| String::from_utf8_lossy(&record.value.unwrap_or_default()).into_owned();
    (0..partitions).map(|partition| log.records(name, partition).into_iter().map(text).collect()).collect()
}

/// Crashes the source at each of its commits in turn, and at all of them one after another; each time the topic must end
/// as if nothing had happened.
fn check_restarts(source: &FileSource, rows: usize) {
    let whole = MemoryLog::new();
    assert_eq!(run(source, 1_000_000, &whole).state, ConnectorState::Exhausted);
    let name = source.topic.as_str();
    let expected = values(&whole, name, source.partitions);
    let dead = values(&whole, &source.dead_letter_topic(), 1);
    for crash_after in 0.. {
        let log = MemoryLog::new();
        log.crash_after(Some(crash_after));
        let ended = run(source, rows, &log);
        let reached_end = ended.state == ConnectorState::Exhausted;
        assert!(reached_end || ended.last_error.is_some_and(|error| error.contains("told to crash")));
        log.crash_after(None);
        assert_eq!(run(source, rows, &log).state, ConnectorState::Exhausted);
        assert_eq!(values(&log, name, source.partitions), expected, "crashed after {crash_after} commits");
        assert_eq!(values(&log, &source.dead_letter_topic(), 1), dead);
        if reached_end {
            assert!(crash_after > 2, "the test is to cross several commits");
            break;
        }
    }
    let log = MemoryLog::new();
    loop {
        log.crash_after(Some(1));
        if run(source, rows, &log).state == ConnectorState::Exhausted {
            break;
        }
    }
    assert_eq!(values(&log, name, source.partitions), expected, "crashed after each commit");
}

fn json_lines(count: u32) -> Vec<u8> {
    let mut lines = Vec::new();
    for n in 0..count {
        writeln!(lines, "{{\"id\":{},\"n\":{n}}}", n % 5).expect("memory");
        if n % 17 == 3 {
            writeln!(lines, "not json {n}\n").expect("memory");
        }
    }
    lines
}

#[test]
fn every_json_row_arrives_once_and_in_order_whatever_crashes() {
    let directory = directory();
    let path = written(&directory, "a.ndjson", &json_lines(60));
    let keyed = FileSource {
        key_field: Some("id".into()),
        partitions: 3,
        ..FileSource::new(&path, topic("t"), FileFormat::Json)
    };
    check_restarts(&keyed, 7);
    check_restarts(&FileSource { key_field: None, ..keyed }, 1);
}

#[test]
fn every_csv_row_arrives_once_and_in_order_whatever_crashes() {
    let directory = directory();
    let mut text = "\u{feff}id,text\r\n".to_owned();
    for n in 0..40 {
        text += &format!("{n},\"line {n}\r\nand \"\"more\"\"\"\r\n");
        if n % 11 == 2 {
            text += "too,many,fields\r\n\r\n";
        }
    }
    let path = written(&directory, "a.csv", text.as_bytes());
    let source =
        FileSource { partitions: 2, ..FileSource::new(&path, topic("t"), FileFormat::Csv(CsvOptions::default())) };
    check_restarts(&source, 6);
    let log = MemoryLog::new();
    run(&source, 100, &log);
    assert_eq!(values(&log, "t", 2)[1][0], r#"{"id":1,"text":"line 1\r\nand \"more\""}"#);
}

#[test]
fn compressed_rows_arrive_once_and_in_order_whatever_crashes() {
    let directory = directory();
    let packed = zstd::encode_all(&json_lines(60)[..], 1).expect("packed");
    let path = written(&directory, "a.ndjson.zst", &packed);
    check_restarts(&FileSource::new(&path, topic("t"), FileFormat::Json), 9);
    let path = written(&directory, "a.csv.zst", &zstd::encode_all(&b"a,b\n1,2\n3,4\n5,6\n7,8"[..], 1).expect("packed"));
    check_restarts(&FileSource::new(&path, topic("t"), FileFormat::Csv(CsvOptions::default())), 1);
}

#[test]
fn keys_and_times_come_from_fields_and_partitions_from_keys() {
    let directory = directory();
    let path = written(
        &directory,
        "a",
        b"{\"id\":\"21\",\"at\":\"1970-01-01T00:00:05Z\"}\n{\"id\":7}\n{\"id\":\"x\",\"at\":9}",
    );
    let source = FileSource {
        key_field: Some("id".into()),
        timestamp_field: Some("at".into()),
        partitions: 10,
        ..FileSource::new(&path, topic("t"), FileFormat::Json)
    };
    let log = MemoryLog::new();
    let status = run(&source, 100, &log);
    assert_eq!((status.rows, status.rejected, status.progress.done), (2, 1, fs::metadata(&path).expect("there").len()));
    let partition = millstream::log::partition_for_key(b"21", 10);
    let record = &log.records("t", partition.0)[0];
    assert_eq!((record.key.as_deref(), record.timestamp), (Some(&b"21"[..]), Timestamp(5000)));
    let dead = &log.records("t-dead-letter", 0)[0];
    assert_eq!((dead.value.as_deref(), dead.timestamp), (Some(&b"{\"id\":7}"[..]), Timestamp(1000)));
    let header = |name: &str, value: &str| Header { name: name.into(), value: Some(value.into()) };
    let expected = [
        header("reason", "no timestamp field at"),
        header("file", &path.display().to_string()),
        header("line", "2"),
        header("byte", "40"),
    ];
    assert_eq!(dead.headers, expected);
}

#[test]
fn an_existing_topic_keeps_its_partitions() {
    let directory = directory();
    let path = written(&directory, "a", b"{}\n{}\n{}\n");
    let log = MemoryLog::new();
    log.create_topic(&topic("t"), &TopicConfig { partitions: 2, ..TopicConfig::default() }).expect("made");
    run(&FileSource { partitions: 5, ..FileSource::new(&path, topic("t"), FileFormat::Json) }, 2, &log);
    assert_eq!(values(&log, "t", 2).iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn another_file_in_its_place_is_noticed() {
    let first: &[u8] = b"{\"n\":1}\n{\"n\":2}\n";
    let check = |name: &str, second: &[u8], expected: Option<&str>| {
        let directory = directory();
        let pack = |content: &[u8]| {
            if name.ends_with(".zst") { zstd::encode_all(content, 1).expect("packed") } else { content.to_vec() }
        };
        let path = written(&directory, name, &pack(first));
        let source = FileSource::new(&path, topic("t"), FileFormat::Json);
        let log = MemoryLog::new();
        assert_eq!(run(&source, 100, &log).rows, 2);
        fs::write(&path, pack(second)).expect("written");
        let status = run(&source, 100, &log);
        match expected {
            None => assert_eq!(status.state, ConnectorState::Exhausted, "{:?}", status.last_error),
            Some(part) => {
                let error = status.last_error.expect("an error");
                assert!(error.contains(part) && error.contains(name) && error.contains("another name"), "{error}");
                assert_eq!(values(&log, "t", 1)[0].len(), 2);
            }
        }
        forget(log.as_ref(), "in", &[]).expect("forgotten");
        assert_eq!(run(&source, 100, &log).state, ConnectorState::Exhausted);
    };
    check("a", first, None);
    check("a", b"{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n", None);
    check("a", b"{\"n\":1}\n", Some("fewer than the 16 already read"));
    check("a", b"{\"n\":7}\n{\"n\":8}\n{\"n\":9}\n", Some("replaced"));
    check("a.zst", b"{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n", Some("it had"));
}

#[test]
fn a_missing_file_and_a_bad_header_are_clear_errors() {
    let directory = directory();
    let check = |source: FileSource, expected: &str| {
        let status = run(&source, 10, &MemoryLog::new());
        let error = status.last_error.unwrap_or_default();
        assert!(status.state == ConnectorState::Failed && error.contains(expected), "{error}");
    };
    let csv = FileFormat::Csv(CsvOptions::default());
    check(FileSource::new(directory.path().join("no"), topic("t"), FileFormat::Json), "no: cannot open: No such file");
    check(FileSource::new(directory.path(), topic("t"), FileFormat::Json), "is a directory");
    let path = written(&directory, "a.csv", b"a,b\n1,2\n");
    let source = FileSource { key_field: Some("c".into()), ..FileSource::new(path, topic("t"), csv) };
    check(source, "key.field is `c`, but the header line has a, b");
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().append(true).open(path).and_then(|mut file| file.write_all(text.as_bytes())).expect("appended");
}

#[test]
fn a_followed_file_is_read_as_it_grows() {
    let directory = directory();
    let path = written(&directory, "a.csv", b"a,");
    let csv = FileFormat::Csv(CsvOptions::default());
    let source = FileSource { follow: true, ..FileSource::new(&path, topic("t"), csv) };
    let log = MemoryLog::new();
    let running = start(&source, 100, &log);
    running.wait_for_status(PATIENCE, |status| status.idle).expect("waits for its header");
    append(&path, "b\n1,2\n3");
    running.wait_for_status(PATIENCE, |status| status.rows == 1).expect("one whole row");
    append(&path, "4,5\n");
    running.wait_for_status(PATIENCE, |status| status.rows == 2).expect("the row completed");
    assert!(running.is_idle().is_ok());
    assert_eq!(running.stop().state, ConnectorState::Stopped);
    append(&path, "6,7\n8,9");
    let running = start(&source, 100, &log);
    running.wait_for_status(PATIENCE, |status| status.rows == 1).expect("goes on");
    assert_eq!(values(&log, "t", 1)[0], ["{\"a\":1,\"b\":2}", "{\"a\":34,\"b\":5}", "{\"a\":6,\"b\":7}"]);
    let other = written(&directory, "other", b"a,b\n1,2\n3,4,5\n6,7,8,9,10,11\n");
    fs::rename(other, &path).expect("replaced");
    let error = running.wait_for_status(PATIENCE, |_| false).expect_err("fails").to_string();
    assert!(error.contains("replaced"), "{error}");
}

fn record(key: Option<&[u8]>, value: Option<&[u8]>) -> Record {
    Record { key: key.map(Into::into), value: value.map(Into::into), timestamp: Timestamp(5), headers: Vec::new() }
}

fn numbered(from: u32, to: u32) -> Vec<Record> {
    (from..to).map(|n| record(None, Some(n.to_string().as_bytes()))).collect()
}

fn start_writing(sink: &FileSink, log: &Arc<MemoryLog>) -> RunningConnector {
    start_sink("out", Box::new(sink.clone().writer()), TaskSettings::default(), log.clone(), ManualClock::new())
        .expect("started")
}

fn made(log: &MemoryLog, name: &str, partitions: u32) -> Vec<TopicName> {
    log.create_topic(&topic(name), &TopicConfig { partitions, ..TopicConfig::default() }).expect("made");
    vec![topic(name)]
}

/// Runs the sink until it has committed everything that is there.
fn write_all(sink: &FileSink, log: &Arc<MemoryLog>) -> Result<ConnectorStatus, crate::runtime::WaitError> {
    let running = start_writing(sink, log);
    running.wait_for_status(PATIENCE, |status| status.idle)?;
    assert!(running.is_idle().expect("asked"));
    Ok(running.stop())
}

#[test]
fn lines_are_written_once_whatever_crashes() {
    for crash_after in 0..4 {
        let (directory, log) = (directory(), MemoryLog::new());
        let path = directory.path().join("out.ndjson");
        let sink = FileSink::new(&path, made(&log, "t", 2));
        log.append("t", 0, numbered(0, 2500));
        log.append("t", 1, numbered(5000, 5010));
        log.crash_after(Some(crash_after));
        let crashed = write_all(&sink, &log);
        log.crash_after(None);
        write_all(&sink, &log).expect("written");
        log.append("t", 0, numbered(2500, 2600));
        write_all(&sink, &log).expect("written");
        let text = fs::read_to_string(&path).expect("there");
        let mut lines: Vec<u32> = text.lines().map(|line| line.parse().expect("a number")).collect();
        let in_order: Vec<u32> = lines.iter().copied().filter(|n| *n < 5000).collect();
        assert_eq!(in_order, (0..2600).collect::<Vec<_>>(), "crashed after {crash_after}: {crashed:?}");
        lines.retain(|n| *n >= 5000);
        assert_eq!(lines, (5000..5010).collect::<Vec<_>>());
        assert!(crash_after > 1 || crashed.is_err(), "the first commits are to be hit");
    }
}

#[test]
fn what_was_not_committed_is_cut_off_and_foreign_files_are_left_alone() {
    let (directory, log) = (directory(), MemoryLog::new());
    let path = written(&directory, "out", b"mine\n");
    let sink = FileSink::new(&path, made(&log, "t", 1));
    log.append("t", 0, numbered(0, 3));
    let check = |content: Option<&str>, expected: Result<&str, &str>| {
        if let Some(content) = content {
            fs::write(&path, content).expect("written");
        }
        let before = fs::read_to_string(&path).expect("there");
        match (write_all(&sink, &log), expected) {
            (Ok(_), Ok(expected)) => assert_eq!(fs::read_to_string(&path).expect("there"), expected),
            (Err(error), Err(part)) => {
                assert!(error.to_string().contains(part), "{error}");
                assert_eq!(fs::read_to_string(&path).expect("there"), before, "the file was touched");
            }
            (result, _) => panic!("{content:?}: {result:?}"),
        }
    };
    check(None, Err("not this connector's"));
    check(Some(""), Ok("0\n1\n2\n"));
    check(Some("0\n1\n2\n3\nuncommitt"), Ok("0\n1\n2\n"));
    check(Some("0\n1\n"), Err("has 4 bytes, 6 were committed"));
    check(Some("0\n1\n7\n8\n"), Err("does not begin as"));
    forget(log.as_ref(), "out", &sink.topics).expect("forgotten");
    check(None, Err("not this connector's"));
    check(Some(""), Ok("0\n1\n2\n"));
}

#[test]
fn any_record_becomes_a_line() {
    let check = |lines: LineShape, record: Record, expected: &str| {
        let (directory, log) = (directory(), MemoryLog::new());
        let path = directory.path().join("out");
        let sink = FileSink { lines, ..FileSink::new(&path, made(&log, "t", 1)) };
        log.append("t", 0, vec![record]);
        write_all(&sink, &log).expect("written");
        assert_eq!(fs::read_to_string(&path).expect("there"), format!("{expected}\n"));
    };
    use LineShape::{Envelope, Value};
    check(Value, record(None, Some(b"{\"a\":\r\n1}")), "{\"a\":  1}");
    check(Value, record(None, Some(b"plain \"text\"\n")), r#""plain \"text\"\n""#);
    check(Value, record(None, Some(b"\xff")), r#"{"base64":"/w=="}"#);
    check(Value, record(Some(b"k"), None), "null");
    check(
        Envelope,
        record(Some(b"k"), Some(b"[1]")),
        r#"{"topic":"t","partition":0,"offset":0,"timestamp":5,"key":"k","value":[1]}"#,
    );
    let mut headed = record(Some(b"\xfe"), None);
    headed.headers =
        vec![Header { name: "h".into(), value: Some(b"v".into()) }, Header { name: "n".into(), value: None }];
    check(
        Envelope,
        headed,
        r#"{"topic":"t","partition":0,"offset":0,"timestamp":5,"key":{"base64":"/g=="},"value":null,"headers":[{"name":"h","value":"v"},{"name":"n","value":null}]}"#,
    );
}
