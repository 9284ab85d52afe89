//! Two writers of one name to S3: the older one, which was replaced while it stood still, ends with an error, and the output is each order once.
//!
//! Where processes share a log, the log fences a former writer. Here it does not: the new writer works on a copy of the log, so the manifest in
//! the bucket is all that stands between the two. `MILLSTREAM_S3_FAULTS` and `MILLSTREAM_S3_SEED` are those of `s3_faults`.

use std::{collections::BTreeMap, sync::Arc, thread, time::Duration};

use millstream::{
    connect::{ConnectError, Sink, SinkPosition},
    log::{FetchedBatch, Offsets},
    record::{Offset, PartitionId, TopicPartition},
};
use millstream_connectors::{
    file_format::{Compression, WrittenFormat},
    rows::RowKind,
    runtime::SystemClock,
    s3::{Rotation, S3Sink, S3SinkWriter},
};
use millstream_tests::{fault_proxy::FaultProxy, moto_server::MotoServer};
use rand::RngExt as _;

use super::{
    log::topic,
    orders::{bucket, check, order, order_rows, read},
    s3_faults::{faults, random, shape},
    s3_process::{Files, NAME, Work, Writer},
};

/// Orders that are written in the time of a replacement, or more.
const ORDERS_A_ROUND: u64 = 1500;
const REPLACED: &str = "another connector of the same name";

/// A writer of files of 300 orders.
fn writer(url: &str, name: &str) -> S3SinkWriter {
    let rotation = Rotation { rows: 300, ..Rotation::default() };
    let format = WrittenFormat::Json(Compression::None);
    let sink = S3Sink { rotation, ..S3Sink::new(bucket(url, name), vec![topic("orders")], format) };
    sink.writer(name, order_rows("orders", RowKind::Stream), Arc::new(SystemClock))
}

fn partition() -> TopicPartition {
    TopicPartition::new(topic("orders"), PartitionId(0))
}

fn position(mark: Option<Vec<u8>>) -> Vec<SinkPosition> {
    vec![SinkPosition { partition: partition(), next: Offset(0), mark }]
}

/// A file full of orders.
fn orders(from: u64) -> FetchedBatch {
    FetchedBatch { offsets: Offsets::From(Offset(from)), records: (from..from + 300).map(order).collect() }
}

fn is_replaced(error: &ConnectError) -> bool {
    matches!(error, ConnectError::Position { .. }) && error.to_string().contains(REPLACED)
}

#[test]
fn a_writer_that_was_replaced_is_fenced_by_the_manifest() {
    let Some(server) = MotoServer::shared() else { return };
    server.create_bucket("fenced");
    let (mut old, mut new) = (writer(&server.url(), "fenced"), writer(&server.url(), "fenced"));
    old.open(&position(None)).expect("it is new");
    let mark = old.flush().expect("nothing to do");
    old.write(&partition(), &orders(0)).expect("encoded");
    new.open(&position(Some(mark.clone()))).expect("it takes over");
    new.write(&partition(), &orders(0)).expect("encoded");
    new.flush().expect("put");
    let error = old.flush().expect_err("it is fenced");
    assert!(is_replaced(&error), "{error}");
    check(read(&server.url(), "fenced", "fenced"), 300);
    // Nor does it take over when it is opened again, as it is after an error that passes; the new one goes on.
    let error = old.open(&position(Some(mark.clone()))).expect_err("it was replaced");
    assert!(is_replaced(&error), "{error}");
    new.open(&position(Some(mark))).expect("it is the newest");
    new.write(&partition(), &orders(300)).expect("encoded");
    new.flush().expect("put");
    check(read(&server.url(), "fenced", "fenced"), 600);
    let error = writer(&server.url(), "fenced").open(&position(None)).expect_err("another Millstream's");
    assert!(error.to_string().contains("not known to this Millstream"), "{error}");
}

#[test]
fn what_a_replaced_writer_still_puts_does_not_stay() {
    let Some(server) = MotoServer::shared() else { return };
    server.create_bucket("late");
    let proxy = FaultProxy::start(server.port());
    let (mut old, mut new) = (writer(&proxy.url(), "late"), writer(&server.url(), "late"));
    old.open(&position(None)).expect("it is new");
    let mark = old.flush().expect("nothing to do");
    old.write(&partition(), &orders(0)).expect("encoded");
    proxy.hold("PUT /late/topics/orders/");
    let old = thread::spawn(move || old.flush());
    for _ in 0..400 {
        if proxy.cuts() == 1 {
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(proxy.cuts(), 1, "the object that it has announced is on its way");
    new.open(&position(Some(mark.clone()))).expect("it takes over");
    new.write(&partition(), &orders(0)).expect("encoded");
    new.flush().expect("put");
    proxy.let_go();
    let error = old.join().expect("no panic").expect_err("it was replaced");
    assert!(is_replaced(&error), "{error}");
    check(read(&server.url(), "late", "late"), 300);

    // A writer that dies before it notices leaves the object to the next start.
    let late = "topics/orders/partition=0/orders+0+0000000000000000+1.json";
    server.put_object("late", late, b"{\"N\":0}\n");
    new.write(&partition(), &orders(300)).expect("encoded");
    new.flush().expect("put");
    assert!(read(&server.url(), "late", "late").listed.iter().any(|key| key == late));
    writer(&server.url(), "late").open(&position(Some(mark))).expect("it takes over");
    check(read(&server.url(), "late", "late"), 600);
}

#[test]
fn writers_that_are_replaced_while_they_stand_still_end_and_spoil_nothing() {
    let Some(server) = MotoServer::start() else { return };
    server.create_bucket(NAME);
    let mut random = random();
    let folder = tempfile::tempdir().expect("made");
    let rounds = (faults() / 2).max(2);
    let orders = rounds * ORDERS_A_ROUND;
    let work = Work { url: server.url(), orders, pause: Duration::from_millis(150), files: Files::Parquet };
    let mut current = Writer::spawn(&folder.path().join("0"), &work);
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    let mut count = |what| *counts.entry(what).or_default() += 1;
    for round in 1..=rounds {
        thread::sleep(Duration::from_millis(random.random_range(400..1200)));
        current.wait_until_begun();
        if !current.runs() {
            break;
        }
        current.pause();
        let next = folder.path().join(round.to_string());
        current.copy_log(&next);
        let older = std::mem::replace(&mut current, Writer::spawn(&next, &work));
        // Below or above the time after which a call to the server has failed.
        thread::sleep(Duration::from_millis(random.random_range(500..2800)));
        if random.random_bool(0.3) {
            current = current.restart(&work);
            count("newer killed");
        }
        older.resume();
        if random.random_bool(0.3) {
            thread::sleep(Duration::from_millis(random.random_range(0..60)));
            drop(older);
            count("older killed soon after it went on");
        } else {
            let error = older.error();
            assert!(error.contains(REPLACED), "{error}");
            count("older ended by itself");
        }
    }
    current.wait_until_written();
    // What a writer put last, and was killed over, the next start removes.
    current.restart(&work).wait_until_written();
    let output = read(&server.url(), NAME, NAME);
    let shape = shape(&output);
    check(output, orders);
    eprintln!("{orders} orders in {shape}, {counts:?}");
}
