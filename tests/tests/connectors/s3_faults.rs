//! Orders on their way to S3 while Millstream is killed, connections are cut, and the server is slow, busy, gone or killed.
//!
//! A process fills a topic and runs the sink (`s3_process`), and faults come at random times: on moto, which keeps objects in memory, into Parquet;
//! on S3Proxy, which keeps them on disk and is killed too, into JSON in parts. In the end the output, read by pyarrow, is each order once, and the
//! bucket holds nothing else.
//! `MILLSTREAM_S3_FAULTS` says how many faults; the seed is printed and `MILLSTREAM_S3_SEED` brings it back.

use std::{collections::BTreeMap, collections::BTreeSet, thread, time::Duration};

use millstream_tests::{
    fault_proxy::{Fault, FaultProxy},
    moto_server::MotoServer,
    s3proxy_server::S3ProxyServer,
};
use rand::RngExt as _;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use super::{
    orders::{Output, check, read},
    s3_process::{Files, NAME, Work, Writer},
};

/// Orders a fault, for each kind of files.
const ORDERS: u64 = 1000;
const LARGE_ORDERS: u64 = 120;

/// How many faults there are to be.
pub(crate) fn faults() -> u64 {
    std::env::var("MILLSTREAM_S3_FAULTS").map_or(6, |text| text.parse().expect("a count"))
}

/// Moments, from a seed that is printed.
pub(crate) fn random() -> ChaCha8Rng {
    let seed = std::env::var("MILLSTREAM_S3_SEED")
        .map_or_else(|_| u64::from(std::process::id()), |text| text.parse().expect("a seed"));
    eprintln!("MILLSTREAM_S3_SEED={seed} MILLSTREAM_S3_FAULTS={}", faults());
    ChaCha8Rng::seed_from_u64(seed)
}

/// In how many files of how many epochs the output is.
pub(crate) fn shape(output: &Output) -> String {
    let epoch = |key: &String| key.rsplit_once('.')?.0.rsplit('+').next().map(str::to_owned);
    let epochs = output.named.iter().filter_map(epoch).collect::<BTreeSet<_>>().len();
    format!("{} files of {epochs} epochs ({} empty uploads stay)", output.named.len(), output.begun)
}

#[test]
fn each_order_is_in_the_bucket_once_whatever_fails() {
    let Some(server) = MotoServer::start() else { return };
    server.create_bucket(NAME);
    endure(&FaultProxy::start(server.port()), &server.url(), Files::Parquet, None);
}

#[test]
fn each_order_is_in_the_bucket_once_even_if_the_server_is_killed() {
    let Some(server) = S3ProxyServer::start() else { return };
    server.create_bucket(NAME);
    endure(&FaultProxy::start(server.port()), &server.url(), Files::Parts, Some(&|| server.restart()));
}

/// Writes orders under faults and checks the output.
fn endure(proxy: &FaultProxy, server: &str, files: Files, restart: Option<&dyn Fn()>) {
    let mut random = random();
    let folder = tempfile::tempdir().expect("made");
    let orders = faults() * if files == Files::Parts { LARGE_ORDERS } else { ORDERS };
    let work = Work { url: proxy.url(), orders, pause: Duration::from_millis(50), files };
    let mut writer = Writer::spawn(folder.path(), &work);
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for fault in 0..faults() {
        // Parts take longer to become a file.
        let peace = if files == Files::Parts { 600..2000 } else { 200..900 };
        thread::sleep(Duration::from_millis(random.random_range(peace)));
        // The first two are a kill and a lost answer, whatever the seed, and of a server that may die every third is its death.
        let kind = if fault < 2 { fault } else { random.random_range(0..6) };
        let kind = match restart {
            Some(restart) if fault % 3 == 2 => {
                restart();
                "server killed"
            }
            _ if kind == 0 || kind == 5 => {
                writer = writer.restart(&work);
                "connector killed"
            }
            _ => misbehave(proxy, kind, &mut random),
        };
        *counts.entry(kind).or_default() += 1;
        // Half of the time it is killed while the server misbehaves, or has just come back.
        if kind != "connector killed" && random.random_bool(0.5) {
            writer = writer.restart(&work);
            *counts.entry("connector killed").or_default() += 1;
        }
        proxy.set(Fault::None);
    }
    writer.wait_until_written();
    let output = read(server, NAME, NAME);
    let shape = shape(&output);
    check(output, orders);
    eprintln!("{orders} orders in {shape}, {counts:?}, {} pieces hit", proxy.hits());
}

/// Has the server misbehave for a while, and still when this returns.
fn misbehave(proxy: &FaultProxy, kind: u64, random: &mut ChaCha8Rng) -> &'static str {
    let (fault, name) = match kind {
        1 => (Fault::LoseAnswers, "answers lost"),
        2 => (Fault::Refuse, "server gone"),
        3 => (Fault::Delay(Duration::from_millis(random.random_range(20..300))), "server slow"),
        _ => (Fault::Unavailable, "server busy"),
    };
    proxy.set(fault);
    thread::sleep(Duration::from_millis(random.random_range(50..500)));
    name
}
