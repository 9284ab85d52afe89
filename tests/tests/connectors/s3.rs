//! S3 as sink and source, without faults: formats, directories, rotation, changes of tables, parts, errors.

use std::{collections::BTreeSet, time::Duration};

use millstream::{
    log::SharedLog,
    record::{Offset, PartitionId, Record, TopicPartition},
};
use millstream_connectors::{
    ConnectorConfig, ConnectorState, RunningConnector,
    config::Tolerance,
    file::{CsvOptions, FileFormat},
    file_format::{Compression, WrittenFormat},
    rows::{RowKind, TopicRows},
    runtime,
    s3::{OnChanged, Partitioner, PathFormat, Rotation, RowTime, S3Sink, S3Source, TimePartitioner},
};
use millstream_tests::{
    fault_proxy::{Cut, FaultProxy},
    moto_server::MotoServer,
};
use serde_json::json;

use super::{
    log::{PATIENCE, append_to, make_topic, open_log, topic},
    orders::{bucket, check, order, order_rows, read, row, start},
    running::wait_until_drained,
};

/// A sink that ends files soon.
fn sink(server: &MotoServer, of: &str, format: WrittenFormat) -> S3Sink {
    let rotation = Rotation { rows: 300, schedule: Some(Duration::from_millis(100)), ..Rotation::default() };
    S3Sink { rotation, ..S3Sink::new(bucket(&server.url(), of), vec![topic("orders")], format) }
}

/// A log with so many orders, every third in another partition.
fn orders(folder: &tempfile::TempDir, count: u64) -> SharedLog {
    let log = open_log(folder.path());
    make_topic(log.as_ref(), "orders", 2);
    for remainder in 0..2 {
        let part = (0..count).filter(|n| u64::from(n % 3 == 0) == remainder).map(order).collect();
        append_to(log.as_ref(), "orders", remainder as u32, part);
    }
    log
}

#[test]
fn every_format_is_read_back_by_another_program() {
    let Some(server) = MotoServer::shared() else { return };
    let formats = [
        WrittenFormat::Json(Compression::None),
        WrittenFormat::Json(Compression::Zstd),
        WrittenFormat::Csv(Compression::None),
        WrittenFormat::Avro(Compression::Deflate),
        WrittenFormat::Parquet(Compression::Snappy),
        WrittenFormat::Parquet(Compression::Zstd),
    ];
    let folder = tempfile::tempdir().expect("made");
    let log = orders(&folder, 1000);
    for (number, format) in formats.into_iter().enumerate() {
        let name = format!("formats-{number}");
        server.create_bucket(&name);
        let running = start(&name, sink(server, &name, format), order_rows("orders", RowKind::Stream), &log);
        wait_until_drained(&running);
        assert_eq!(running.stop().rows, 1000);
        let output = read(&server.url(), &name, &name);
        let (first, ending) = (&output.listed[0], format.extension());
        assert_eq!(*first, format!("topics/orders/partition=0/orders+0+0000000000000000+1.{ending}"));
        assert_eq!(output.listed.len(), 3 + 2, "files of 300 rows");
        check(output, 1000);
    }
}

#[test]
fn values_without_columns_are_lines_of_json() {
    let Some(server) = MotoServer::shared() else { return };
    server.create_bucket("raw");
    let folder = tempfile::tempdir().expect("made");
    let log = open_log(folder.path());
    make_topic(log.as_ref(), "orders", 1);
    let values: [&[u8]; 3] = [b"{\"N\":0,\n\"x\":[1]}", b"{\"N\":1}", b"{\"N\":2}"];
    append_to(log.as_ref(), "orders", 0, values.iter().map(|value| Record::new("k", *value)).collect());
    let running = start("raw", sink(server, "raw", WrittenFormat::Json(Compression::None)), TopicRows::default(), &log);
    wait_until_drained(&running);
    assert_eq!(read(&server.url(), "raw", "raw").rows, [json!({"N": 0, "x": [1]}), json!({"N": 1}), json!({"N": 2})]);
    let parquet =
        start("none", sink(server, "raw", WrittenFormat::Parquet(Compression::None)), TopicRows::default(), &log);
    let error = parquet.wait_for_status(Some(PATIENCE), |_| false).expect_err("it needs columns").to_string();
    assert!(error.contains("topic orders") && error.contains("columns are not known"), "{error}");
}

#[test]
fn rows_go_to_directories_and_a_restart_in_the_middle_repeats_none() {
    let Some(server) = MotoServer::shared() else { return };
    let zone = "America/New_York".parse().expect("a zone");
    let format = PathFormat::new("'day'=yyyy-MM-dd/'hour'=HH").expect("legal");
    let partitioners = [
        ("by-field", Partitioner::Field(vec!["NAME".into()]), RowTime::Record, "NAME=__HIVE_DEFAULT_PARTITION__"),
        (
            "by-time",
            Partitioner::Time(TimePartitioner { format: format.clone(), zone, duration_ms: None }),
            RowTime::Record,
            "day=2013-01-01/hour=05/",
        ),
        (
            "by-column",
            Partitioner::Time(TimePartitioner { format, zone, duration_ms: Some(7_200_000) }),
            RowTime::Field("AT".into()),
            "/hour=04/",
        ),
    ];
    for (name, partitioner, time, part) in partitioners {
        server.create_bucket(name);
        let folder = tempfile::tempdir().expect("made");
        let log = orders(&folder, 600);
        // Full files end, the others stay open: their directories are not as far as the full ones.
        let rotation = Rotation { rows: 17, schedule: None, open_files: 60, ..Rotation::default() };
        let config =
            S3Sink { partitioner, time, rotation, ..sink(server, name, WrittenFormat::Parquet(Compression::Snappy)) };
        let running = start(name, config.clone(), order_rows("orders", RowKind::Stream), &log);
        running.wait_for_status(Some(PATIENCE), |status| status.idle && status.rows == 600).expect("all is taken");
        running.stop();
        let before = read(&server.url(), name, name);
        assert!(
            before.rows.len() < 600 && before.listed == before.named,
            "{} rows of files that ended",
            before.rows.len()
        );
        let rotation = Rotation { schedule: Some(Duration::from_millis(50)), ..rotation };
        let running = start(name, S3Sink { rotation, ..config }, order_rows("orders", RowKind::Stream), &log);
        wait_until_drained(&running);
        drop(running);
        let output = read(&server.url(), name, name);
        assert!(output.listed.iter().any(|key| key.contains(part)), "{:?}", output.listed);
        check(output, 600);
    }
}

#[test]
fn a_table_becomes_change_files() {
    let Some(server) = MotoServer::shared() else { return };
    server.create_bucket("changes");
    let folder = tempfile::tempdir().expect("made");
    let log = open_log(folder.path());
    make_topic(log.as_ref(), "orders", 1);
    let deleted = Record { value: None, ..order(1) };
    append_to(log.as_ref(), "orders", 0, vec![order(1), order(2), deleted]);
    let running = start(
        "changes",
        sink(server, "changes", WrittenFormat::Avro(Compression::Deflate)),
        order_rows("orders", RowKind::Table),
        &log,
    );
    wait_until_drained(&running);
    let rows = read(&server.url(), "changes", "changes").rows;
    let change = |row: serde_json::Value, op: &str, offset: u64| {
        let mut row = row;
        (row["_op"], row["_offset"]) = (op.into(), offset.into());
        row
    };
    let gone = json!({"ID": 1, "N": null, "NAME": null, "PRICE": null, "AT": null});
    assert_eq!(rows, [change(row(1), "upsert", 0), change(row(2), "upsert", 1), change(gone, "delete", 2)]);
}

#[test]
fn files_end_by_the_time_of_records() {
    let Some(server) = MotoServer::shared() else { return };
    server.create_bucket("by-interval");
    let folder = tempfile::tempdir().expect("made");
    let log = open_log(folder.path());
    make_topic(log.as_ref(), "orders", 1);
    append_to(log.as_ref(), "orders", 0, (0..100).map(order).collect());
    let rotation =
        Rotation { interval_ms: Some(30 * 60_000), schedule: Some(Duration::from_millis(200)), ..Rotation::default() };
    let config = S3Sink { rotation, ..sink(server, "by-interval", WrittenFormat::Json(Compression::None)) };
    let running = start("by-interval", config, order_rows("orders", RowKind::Stream), &log);
    wait_until_drained(&running);
    let output = read(&server.url(), "by-interval", "by-interval");
    let first = |n: u64| format!("topics/orders/partition=0/orders+0+{n:016}+1.json");
    assert_eq!(output.listed, [first(0), first(30), first(60), first(90)]);
    check(output, 100);
}

/// Values of about 100 KB that do not compress to nothing.
fn large(n: u64) -> Record {
    let value = format!("{{\"N\":{n},\"TEXT\":\"{}\"}}", format!("{n:09}").repeat(11_000));
    Record { value: Some(value.into_bytes()), ..order(n) }
}

#[test]
fn large_files_are_put_in_parts_and_abandoned_parts_are_given_up() {
    let Some(server) = MotoServer::shared() else { return };
    server.create_bucket("parts");
    let folder = tempfile::tempdir().expect("made");
    let log = open_log(folder.path());
    make_topic(log.as_ref(), "orders", 1);
    append_to(log.as_ref(), "orders", 0, (0..130).map(large).collect());
    let rotation = Rotation { part_bytes: 5 << 20, schedule: None, ..Rotation::default() };
    let config = S3Sink { rotation, ..sink(server, "parts", WrittenFormat::Json(Compression::None)) };
    let running = start("parts", config.clone(), TopicRows::default(), &log);
    running.wait_for_status(Some(PATIENCE), |status| status.idle && status.rows == 130).expect("all is taken");
    running.stop();
    let before = read(&server.url(), "parts", "parts");
    assert_eq!((before.listed.len(), before.uploads.len()), (0, 1), "parts are put, nobody sees a file");
    let rotation = Rotation { schedule: Some(Duration::from_millis(50)), ..rotation };
    let running = start("parts", S3Sink { rotation, ..config }, TopicRows::default(), &log);
    wait_until_drained(&running);
    let output = read(&server.url(), "parts", "parts");
    assert_eq!((output.uploads.len(), output.listed == output.named), (0, true));
    assert_eq!(output.rows.len(), 130);
    assert!(
        output
            .rows
            .iter()
            .zip(0..)
            .all(|(row, n): (_, u64)| row["N"] == n && row["TEXT"] == format!("{n:09}").repeat(11_000))
    );
}

#[test]
fn a_large_file_is_there_once_if_the_answer_that_it_is_whole_is_lost() {
    let Some(server) = MotoServer::shared() else { return };
    server.create_bucket("lost-answer");
    let folder = tempfile::tempdir().expect("made");
    let log = open_log(folder.path());
    make_topic(log.as_ref(), "orders", 1);
    append_to(log.as_ref(), "orders", 0, (0..120).map(large).collect());
    let proxy = FaultProxy::start(server.port());
    proxy.arm("<CompleteMultipartUpload", Cut::Behind);
    let rotation = Rotation { rows: 60, part_bytes: 5 << 20, ..Rotation::default() };
    let (to, format) = (bucket(&proxy.url(), "lost-answer"), WrittenFormat::Json(Compression::None));
    let config = S3Sink { rotation, ..S3Sink::new(to, vec![topic("orders")], format) };
    let running = start("lost-answer", config, TopicRows::default(), &log);
    wait_until_drained(&running);
    drop(running);
    assert_eq!(proxy.cuts(), 1);
    let output = read(&server.url(), "lost-answer", "lost-answer");
    assert_eq!((output.uploads.len(), output.listed == output.named), (0, true));
    let numbers: Vec<u64> = output.rows.iter().map(|row| row["N"].as_u64().expect("a number")).collect();
    assert_eq!(numbers, (0..120).collect::<Vec<_>>());
}

fn failure(running: &RunningConnector) -> String {
    running.wait_for_status(Some(PATIENCE), |_| false).expect_err("it fails").to_string()
}

#[test]
fn what_is_wrong_is_said() {
    let Some(server) = MotoServer::shared() else { return };
    server.create_bucket("errors");
    let folder = tempfile::tempdir().expect("made");
    let log = orders(&folder, 10);
    let json = WrittenFormat::Json(Compression::None);
    let started = |name: &str, sink: S3Sink| {
        let mut config = ConnectorConfig { rows: order_rows("orders", RowKind::Stream), ..sink.into() };
        (config.settings.retry.attempts, config.settings.retry.first_wait) = (1, Duration::from_millis(10));
        runtime::start(name, config, log.clone()).expect("started")
    };
    let check = |error: String, parts: &[&str]| {
        parts.iter().for_each(|part| assert!(error.contains(part), "{error:?} does not say {part:?}"));
        assert!(!error.contains("secret"), "{error}");
    };
    check(failure(&started("no-bucket", sink(server, "nowhere", json))), &["no-bucket", "there is no bucket nowhere"]);
    let away = S3Sink { bucket: bucket("http://127.0.0.1:9", "errors"), ..sink(server, "errors", json) };
    check(failure(&started("away", away)), &["s3 bucket errors at http://127.0.0.1:9", "cannot list objects"]);
    let by = S3Sink { partitioner: Partitioner::Field(vec!["DEST".into()]), ..sink(server, "errors", json) };
    check(failure(&started("column", by)), &["`DEST`", "it has ID, N, NAME"]);
}

#[test]
fn refused_credentials_are_said() {
    let Some(server) = MotoServer::start_strict() else { return };
    let folder = tempfile::tempdir().expect("made");
    let log = orders(&folder, 1);
    let running =
        start("refused", sink(&server, "refused", WrittenFormat::Json(Compression::None)), TopicRows::default(), &log);
    let error = failure(&running);
    assert!(error.contains("refuses the credentials") && error.contains("aws.secret.access.key"), "{error}");
}

#[test]
fn poison_rows_are_dead_letters_once_or_stop_it() {
    let Some(server) = MotoServer::shared() else { return };
    server.create_bucket("poison");
    let folder = tempfile::tempdir().expect("made");
    let log = open_log(folder.path());
    make_topic(log.as_ref(), "orders", 1);
    let poison = || Record { value: Some(b"{\"N\":".to_vec()), ..order(0) };
    append_to(log.as_ref(), "orders", 0, vec![order(0), poison(), order(1)]);
    let config = sink(server, "poison", WrittenFormat::Parquet(Compression::Snappy));
    let error = failure(&start("strict", config.clone(), order_rows("orders", RowKind::Stream), &log));
    assert!(error.contains("topic=orders partition=0 offset=1") || error.contains("offset=1"), "{error}");
    let tolerant = |schedule| {
        let rotation = Rotation { schedule, ..config.rotation };
        let mut tolerant = ConnectorConfig {
            rows: order_rows("orders", RowKind::Stream),
            ..S3Sink { rotation, ..config.clone() }.into()
        };
        tolerant.settings.tolerance = Some(Tolerance::All);
        runtime::start("tolerant", tolerant, log.clone()).expect("started")
    };
    // The file with the first row stays open, so that all three records are read again.
    let running = tolerant(None);
    running.wait_for_status(Some(PATIENCE), |status| status.idle && status.rejected == 1).expect("it goes on");
    running.stop();
    let running = tolerant(Some(Duration::from_millis(50)));
    wait_until_drained(&running);
    assert_eq!(running.stop().rejected, 0, "the dead letter is not written again");
    check(read(&server.url(), "poison", "tolerant"), 2);
    let letters = TopicPartition::new(topic("connect-tolerant-dead-letter"), PartitionId(0));
    assert_eq!(log.end_offset(&letters).expect("there"), Offset(1));
}

fn source(server: &MotoServer, of: &str, format: FileFormat) -> S3Source {
    S3Source {
        prefix: Some("in".into()),
        key_field: Some("id".into()),
        poll_interval: Duration::from_millis(20),
        ..S3Source::new(bucket(&server.url(), of), topic(of), format)
    }
}

fn start_source(source: S3Source, batch_rows: usize, log: &SharedLog) -> RunningConnector {
    let name = source.topic.to_string();
    let mut config: ConnectorConfig = source.into();
    config.settings.limits.rows = batch_rows;
    config.settings.idle_wait = Duration::from_millis(10);
    runtime::start(&name, config, log.clone()).expect("started")
}

fn values(log: &SharedLog, of: &str) -> Vec<serde_json::Value> {
    let partition = TopicPartition::new(topic(of), PartitionId(0));
    let fetched = log.fetch(&partition, Offset(0), 64 << 20).expect("read");
    let records = fetched.batches.iter().flat_map(|batch| batch.records.iter());
    records.map(|record| serde_json::from_slice(record.value.expect("a value")).expect("JSON")).collect()
}

#[test]
fn objects_are_read_once_each_in_the_order_of_their_keys() {
    let Some(server) = MotoServer::shared() else { return };
    server.create_bucket("source");
    let folder = tempfile::tempdir().expect("made");
    let log = open_log(folder.path());
    let lines = |from: u64, to: u64| (from..to).map(|n| format!("{{\"id\":{n}}}\n")).collect::<String>();
    server.put_object("source", "in/b.json", lines(10, 20).as_bytes());
    server.put_object("source", "in/a.json.zst", &zstd::encode_all(lines(0, 10).as_bytes(), 1).expect("packed"));
    server.put_object("source", "in/_SUCCESS", b"no row");
    server.put_object("source", "in/c.json", b"{\"id\":20}\nno row\n");
    server.put_object("source", "other/z.json", b"{\"id\":99}\n");
    let follow = S3Source { follow: true, ..source(server, "source", FileFormat::Json) };
    let running = start_source(follow.clone(), 7, &log);
    running.wait_for_status(Some(PATIENCE), |status| status.idle && status.rows == 21).expect("all is read");
    assert_eq!((running.status().rejected, running.status().state), (1, ConnectorState::Running));
    // A new object before the others, while it runs; another while it does not.
    server.put_object("source", "in/0.json", lines(21, 25).as_bytes());
    running.wait_for_status(Some(PATIENCE), |status| status.rows == 25).expect("the new one is read");
    running.stop();
    server.put_object("source", "in/d.json", lines(25, 30).as_bytes());
    let running = start_source(S3Source { follow: false, ..follow.clone() }, 2, &log);
    let status = running.wait_until_exhausted(Some(PATIENCE)).expect("it ends");
    assert_eq!((status.rows, status.rejected), (5, 0));
    let numbers: Vec<u64> =
        values(&log, "source").iter().map(|value| value["id"].as_u64().expect("a number")).collect();
    assert_eq!(numbers, (0..30).collect::<Vec<_>>());
    server.put_object("source", "in/b.json", lines(30, 31).as_bytes());
    let error = failure(&start_source(follow.clone(), 2, &log));
    assert!(error.contains("s3:source/in/b.json") && error.contains("on.changed.object"), "{error}");
    let anew = S3Source { on_changed: OnChanged::Read, follow: false, ..follow };
    start_source(anew, 2, &log).wait_until_exhausted(Some(PATIENCE)).expect("it is read");
    assert_eq!(values(&log, "source").last(), Some(&json!({"id": 30})));
}

#[test]
fn what_the_sink_wrote_the_source_reads() {
    let Some(server) = MotoServer::shared() else { return };
    let folder = tempfile::tempdir().expect("made");
    let log = open_log(folder.path());
    make_topic(log.as_ref(), "orders", 1);
    append_to(log.as_ref(), "orders", 0, (0..500).map(order).collect());
    let formats = [
        (WrittenFormat::Csv(Compression::Zstd), FileFormat::Csv(CsvOptions::default())),
        (WrittenFormat::Avro(Compression::Deflate), FileFormat::Avro),
        (WrittenFormat::Parquet(Compression::Zstd), FileFormat::Parquet),
    ];
    for (number, (written, read_as)) in formats.into_iter().enumerate() {
        let name = format!("round-{number}");
        server.create_bucket(&name);
        let running =
            start(&format!("{name}-out"), sink(server, &name, written), order_rows("orders", RowKind::Stream), &log);
        wait_until_drained(&running);
        drop(running);
        let back = S3Source {
            prefix: Some("topics".into()),
            key_field: Some("ID".into()),
            timestamp_field: Some("AT".into()),
            ..source(server, &name, read_as)
        };
        // It is stopped in the middle of an object and goes on there.
        let running = start_source(S3Source { follow: true, ..back.clone() }, 40, &log);
        running.wait_for_status(Some(PATIENCE), |status| status.rows >= 120).expect("some are read");
        running.stop();
        start_source(back, 40, &log).wait_until_exhausted(Some(PATIENCE)).expect("all are read");
        let values = values(&log, &name);
        let names: BTreeSet<String> = values.iter().map(|value| value["NAME"].to_string()).collect();
        assert_eq!(
            values.iter().map(|value| value["N"].as_u64()).collect::<Vec<_>>(),
            (0..500).map(Some).collect::<Vec<_>>()
        );
        assert!(names.contains("null") && names.contains(r#""item, \"3\"""#), "{names:?}");
        let partition = TopicPartition::new(topic(&name), PartitionId(0));
        let fetched = log.fetch(&partition, Offset(0), 64 << 20).expect("read");
        let first = fetched.batches[0].records.get(0);
        assert_eq!((first.key, first.timestamp.0), (Some(&b"0"[..]), 1_357_034_400_000));
    }
}
