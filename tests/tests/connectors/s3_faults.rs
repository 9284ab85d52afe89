//! Orders on their way to S3 while Millstream is killed, connections are cut, and the server is slow, busy or gone.
//!
//! A child process fills a topic and runs the sink, into Parquet by directories, with all of rows, parts and wall clock ending files; faults
//! come at random times. In the end the output, read by pyarrow, is each order once, and the bucket holds nothing else.
//! `MILLSTREAM_S3_FAULTS` says how many faults; the seed is printed and `MILLSTREAM_S3_SEED` brings it back.

use std::{
    collections::BTreeSet,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use millstream::{
    log::SharedLog,
    record::{Offset, PartitionId, TopicPartition},
};
use millstream_connectors::{
    file_format::{Compression, WrittenFormat},
    rows::RowKind,
    s3::{Partitioner, Rotation, S3Sink},
};
use millstream_tests::{
    fault_proxy::{Fault, FaultProxy},
    moto_server::MotoServer,
};
use rand::RngExt as _;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use crate::s3_log::{append, bucket, check, columns, create, open_log, order, read, start, topic, wait_until_written};

const PARTITIONS: u64 = 2;
/// Orders of one transaction of the child.
const STEP: u64 = 100;
const ORDERS_A_FAULT: u64 = 1000;

fn faults() -> u64 {
    std::env::var("MILLSTREAM_S3_FAULTS").map_or(6, |text| text.parse().expect("a count"))
}

fn sink(url: &str, schedule_ms: u64) -> S3Sink {
    let rotation = Rotation { rows: 150, schedule: Some(Duration::from_millis(schedule_ms)), ..Rotation::default() };
    let mut of = bucket(url, "faults");
    of.timeout = Duration::from_secs(2);
    S3Sink {
        rotation,
        partitioner: Partitioner::Field(vec!["NAME".into()]),
        ..S3Sink::new(of, vec![topic("orders")], WrittenFormat::Parquet(Compression::Snappy))
    }
}

fn end(log: &SharedLog, partition: u64) -> u64 {
    let partition = TopicPartition::new(topic("orders"), PartitionId(partition as u32));
    log.end_offset(&partition).unwrap_or(Offset(0)).0
}

/// Fills the topic up to a count of orders, at a pace, and writes it out; ends when all is written.
#[test]
#[ignore = "the process that the campaign kills"]
fn child() {
    let variable = |name: &str| std::env::var(name).expect("the campaign sets it");
    let (folder, url) = (variable("S3_CHILD_FOLDER"), variable("S3_CHILD_URL"));
    let orders: u64 = variable("S3_CHILD_ORDERS").parse().expect("a count");
    let log = open_log(Path::new(&folder));
    if log.describe_topic(&topic("orders")).is_err() {
        create(log.as_ref(), "orders", PARTITIONS as u32);
    }
    let running = start("faults", sink(&url, 150), columns("orders", RowKind::Stream), &log);
    while (0..PARTITIONS).map(|partition| end(&log, partition)).sum::<u64>() < orders {
        for partition in 0..PARTITIONS {
            // Order n lies in partition n % 2, at offset n / 2: what is there says which come next.
            let next = end(&log, partition);
            let numbers = (next..next + STEP / PARTITIONS).map(|offset| offset * PARTITIONS + partition);
            let records = numbers.filter(|n| *n < orders).map(order).collect::<Vec<_>>();
            if !records.is_empty() {
                append(log.as_ref(), "orders", partition as u32, records);
            }
        }
        thread::sleep(Duration::from_millis(50));
    }
    wait_until_written(&running, "faults", "orders", &log);
}

fn spawn(folder: &Path, url: &str, orders: u64) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("it runs"));
    command.args(["--ignored", "--exact", "s3_faults::child", "--nocapture"]);
    command.env("S3_CHILD_FOLDER", folder).env("S3_CHILD_URL", url).env("S3_CHILD_ORDERS", orders.to_string());
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started")
}

#[test]
fn each_order_is_in_the_bucket_once_whatever_fails() {
    let Some(server) = MotoServer::start() else { return };
    server.create_bucket("faults");
    let proxy = FaultProxy::start(server.port());
    let seed = std::env::var("MILLSTREAM_S3_SEED")
        .map_or_else(|_| u64::from(std::process::id()), |text| text.parse().expect("a seed"));
    eprintln!("MILLSTREAM_S3_SEED={seed} MILLSTREAM_S3_FAULTS={}", faults());
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let folder = tempfile::tempdir().expect("made");
    let orders = faults() * ORDERS_A_FAULT;
    let mut child = spawn(folder.path(), &proxy.url(), orders);
    let (mut kills, mut others) = (0, 0);
    for fault in 0..faults() {
        thread::sleep(Duration::from_millis(random.random_range(200..900)));
        // The first two are a kill and a lost answer, whatever the seed.
        let kind = if fault < 2 { fault } else { random.random_range(0..6) };
        let during = Duration::from_millis(random.random_range(50..500));
        match kind {
            0 | 5 => {
                child.kill().and_then(|()| child.wait()).expect("it is ours");
                kills += 1;
                child = spawn(folder.path(), &proxy.url(), orders);
                continue;
            }
            1 => proxy.set(Fault::LoseAnswers),
            2 => proxy.set(Fault::Refuse),
            3 => proxy.set(Fault::Delay(Duration::from_millis(random.random_range(20..300)))),
            _ => proxy.set(Fault::Unavailable),
        }
        others += 1;
        thread::sleep(during);
        // Half of the time it is killed while the server misbehaves.
        if random.random_bool(0.5) {
            child.kill().and_then(|()| child.wait()).expect("it is ours");
            kills += 1;
            child = spawn(folder.path(), &proxy.url(), orders);
        }
        proxy.set(Fault::None);
    }
    proxy.set(Fault::None);
    let status = child.wait().expect("it ends");
    assert!(status.success(), "the last child has failed");
    let output = read(&server, "faults", "faults");
    let files = output.named.len();
    let epoch = |key: &String| key.trim_end_matches(".parquet").rsplit('+').next().map(str::to_owned);
    let epochs = output.named.iter().filter_map(epoch).collect::<BTreeSet<_>>().len();
    check(output, orders);
    eprintln!(
        "{orders} orders in {files} files of {epochs} epochs, {kills} kills, {others} faults of the server, {} pieces hit",
        proxy.hits()
    );
}
