//! Processes and brokers fail, again and again, while a repartitioned aggregation runs on eight partitions in two and three processes; in
//! the end, every version of every result is there exactly once.
//!
//! The seed is printed first, then each fault as it happens and the time that some partition was without output for it. In the end, when
//! the workers have stopped, [`verdict`] compares all of the output with all of the input, and no transaction may be open.
//!
//! - `MILLSTREAM_KAFKA_FAULTS`: how many ([`FAULTS`] if unset)
//! - `MILLSTREAM_KAFKA_SEED`: which; the same number and the same seed repeat the list, not the moments at which they hit
//! - `MILLSTREAM_KAFKA_NODES`: brokers, 1 to 3; three from ten faults on, if unset
//! - `MILLSTREAM_KAFKA_SIDE=kafka-streams`: the same with Kafka Streams in our place, to see what it takes

mod evidence;
mod outages;
mod pipeline;
mod plan;
mod traffic;
mod verdict;
mod workers;

use std::{str::FromStr, thread, time::Duration};

use millstream_tests::kafka_cluster::{ClusterSettings, KafkaCluster, tools};

use self::{
    outages::Outages,
    pipeline::Work,
    plan::{Fault, plan},
    traffic::{Arrived, Feed, Millis, Watch},
    workers::{Side, Workers},
};
use crate::kcat;

/// How many faults, if nobody says.
const FAULTS: usize = 4;
const SEED: u64 = 20_261_129;
const PARTITIONS: usize = 8;
const PER_SECOND: u64 = 400;
/// For how long a worker may be silent.
const SESSION: Duration = Duration::from_secs(6);
/// After how long the brokers abort what a process that is gone has begun.
const TRANSACTION: Duration = Duration::from_secs(5);
/// The same where there is one broker only: longer than it takes to come back. A lone broker of Kafka 4.4.0 that comes back after the timeout of a
/// transaction may note it as aborted in its transaction log without having written the markers to the partitions, which nobody can read
/// to their ends any more.
const TRANSACTION_OF_ONE: Duration = Duration::from_secs(25);
/// For how long there may be no output after a fault.
const PATIENCE: Duration = Duration::from_secs(120);

/// A number from the environment.
fn setting<T: FromStr>(name: &str, otherwise: T) -> T {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => otherwise,
    }
}

struct Campaign {
    cluster: KafkaCluster,
    workers: Workers,
    feed: Feed,
    arrived: Arrived,
    watch: Watch,
    outages: Outages,
}

impl Campaign {
    fn start(cluster: KafkaCluster, side: Side) -> Self {
        cluster.create_topic("numbers", PARTITIONS as u32);
        cluster.create_topic("totals", PARTITIONS as u32);
        let bootstrap = cluster.bootstrap();
        let work = Work {
            bootstrap: bootstrap.clone(),
            application: "totals-app".to_owned(),
            directory: String::new(),
            threads: 2,
            session_timeout_ms: SESSION.as_millis() as u64,
            transaction_timeout_ms: if cluster.nodes() == 1 { TRANSACTION_OF_ONE } else { TRANSACTION }.as_millis()
                as u64,
            standby_replicas: 1,
        };
        let mut workers = Workers::new(side, work, cluster.directory());
        workers.start(&cluster, 1);
        workers.start(&cluster, 2);
        let watch = Watch::default();
        let arrived = Arrived::start(&bootstrap, PARTITIONS, &watch);
        let feed = Feed::start(&bootstrap, PER_SECOND);
        Self { cluster, workers, feed, arrived, watch, outages: Outages::default() }
    }

    /// Waits until there is output for all that goes in from now on: until every partition works again.
    fn settle(&self, what: &str) {
        thread::sleep(Duration::from_millis(500));
        self.wait_for_output(self.feed.written(), what);
    }

    fn wait_for_output(&self, count: u64, what: &str) {
        let until = self.watch.now() + PATIENCE.as_millis() as Millis;
        while self.arrived.count() < count {
            self.workers.assert_running();
            if self.watch.now() >= until {
                panic!(
                    "{what}: {} of {count} results after {PATIENCE:?}; evidence is in {}\n{}\n{}",
                    self.arrived.count(),
                    evidence::keep(&self.cluster).display(),
                    evidence::hanging(&self.cluster),
                    self.workers.all_said()
                );
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn suffer(&mut self, fault: Fault) {
        let began = self.watch.now();
        match fault {
            Fault::KillWorker { worker, keeps } => {
                self.workers.kill(worker, keeps);
                self.workers.start(&self.cluster, worker);
            }
            Fault::FreezeWorker { worker } => {
                self.workers.freeze(worker);
                thread::sleep(SESSION + Duration::from_secs(2));
                self.settle("while it is frozen");
                self.workers.thaw(worker);
            }
            Fault::AddWorker { worker } => self.workers.start(&self.cluster, worker),
            Fault::RemoveWorker { worker } => self.workers.stop(worker),
            Fault::KillNode { node } => self.cluster.restart(node),
            Fault::RestartNode { node } => {
                self.cluster.stop(node);
                self.cluster.restart(node);
            }
        }
        self.settle(&fault.to_string());
        // What comes late, such as another round of the group, belongs to this fault, too.
        thread::sleep(Duration::from_secs(1));
        self.settle(&fault.to_string());
        let pause = self.arrived.longest_pause(began);
        eprintln!("{:7.1} s  {fault}: {:.1} s without output", began as f64 / 1e3, pause as f64 / 1e3);
        self.outages.add(fault.kind(), pause);
    }

    /// Lets everything be done and everyone stop; then judges.
    fn finish(self) {
        let Self { cluster, mut workers, feed, arrived, watch, outages } = self;
        let written = feed.finish();
        let until = watch.now() + PATIENCE.as_millis() as Millis;
        while arrived.count() < written && watch.now() < until {
            thread::sleep(Duration::from_millis(50));
        }
        // If something is doubled, it may still come.
        thread::sleep(Duration::from_secs(1));
        workers.stop_all();
        eprintln!("{outages}");
        let bootstrap = cluster.bootstrap();
        let numbers = verdict::numbers(&kcat::consume(&bootstrap, "numbers", "%p|%o|%s"));
        assert_eq!(numbers.len() as u64, written, "kcat wrote something else than it was given");
        let versions = verdict::versions(&kcat::consume(&bootstrap, "totals", "%p|%o|%k|%s"));
        let problems = verdict::judge(&numbers, &versions);
        let shown: Vec<&String> = problems.iter().take(40).collect();
        if !problems.is_empty() {
            let evidence = evidence::keep(&cluster);
            panic!("{} problems, evidence is in {}\n{shown:#?}", problems.len(), evidence.display());
        }
        let count: usize = versions.values().map(Vec::len).sum();
        eprintln!("{count} versions of {} groups: each exactly once", versions.len());
        assert_no_open_transactions(&cluster);
    }
}

/// Kafka's own tool finds no transaction that is neither committed nor aborted, nor any that hangs in a partition.
fn assert_no_open_transactions(cluster: &KafkaCluster) {
    let is_open = |line: &&str| ["Ongoing", "Prepare"].iter().any(|state| line.contains(state));
    let mut rounds = 0;
    loop {
        let listed = cluster.tool(tools::TRANSACTIONS, &["list"]).succeeded();
        let open: Vec<&str> = listed.lines().filter(is_open).collect();
        if open.is_empty() {
            eprintln!("{} transactional producers, no open transaction", listed.lines().count().saturating_sub(1));
            break;
        }
        // Those of processes that were killed end by their timeout.
        rounds += 1;
        assert!(rounds < 20, "open transactions:\n{}", open.join("\n"));
        thread::sleep(Duration::from_secs(1));
    }
    for node in 1..=cluster.nodes() {
        let node = node.to_string();
        let arguments = ["find-hanging", "--broker-id", &node, "--max-transaction-timeout", "0"];
        let found = cluster.tool(tools::TRANSACTIONS, &arguments).succeeded();
        assert!(found.lines().count() <= 1, "hanging transactions on node {node}:\n{found}");
    }
}

#[test]
fn every_version_is_written_exactly_once_whatever_fails() {
    if !kcat::is_there() {
        return;
    }
    let (faults, seed) = (setting("MILLSTREAM_KAFKA_FAULTS", FAULTS), setting("MILLSTREAM_KAFKA_SEED", SEED));
    let nodes = setting("MILLSTREAM_KAFKA_NODES", if faults < 10 { 1 } else { 3 });
    let side = match std::env::var("MILLSTREAM_KAFKA_SIDE").as_deref() {
        Ok("kafka-streams") => Side::KafkaStreams,
        Ok("millstream") | Err(_) => Side::Millstream,
        Ok(other) => panic!("MILLSTREAM_KAFKA_SIDE={other} is neither millstream nor kafka-streams"),
    };
    // A streams group has the number of copies from its brokers.
    let properties = vec![("group.streams.num.standby.replicas".to_owned(), "1".to_owned())];
    let settings = ClusterSettings {
        nodes,
        streams_session_timeout_ms: SESSION.as_millis() as u32,
        properties,
        ..ClusterSettings::default()
    };
    let Some(cluster) = KafkaCluster::start(settings) else { return };
    eprintln!("MILLSTREAM_KAFKA_SEED={seed} MILLSTREAM_KAFKA_FAULTS={faults} MILLSTREAM_KAFKA_NODES={nodes}");
    let mut campaign = Campaign::start(cluster, side);
    campaign.settle("at the start");
    eprintln!("{:7.1} s  all partitions work", campaign.watch.now() as f64 / 1e3);
    for fault in plan(seed, faults, nodes) {
        campaign.suffer(fault);
    }
    campaign.finish();
}
