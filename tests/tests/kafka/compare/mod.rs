//! Millstream and Kafka Streams side by side: the same broker, the same topics, the same machine, exactly once on both.
//!
//! `tests/kafka/compare` runs it. For each workload (a windowed count, a join of a stream with a table) and each side it prints one JSON object:
//!
//! - `records`, `seconds`, `records_per_second`: from the start of the application to its end, which is when everything is committed
//! - `cpu_seconds`, `peak_memory_mib`: of the process, from its birth; `broker_cpu_seconds` beside it
//! - `latency_ms_p50`, `latency_ms_p99`: at a fixed rate, from the writing of a record to the reading of what it caused, committed
//! - `restore_seconds`: of the join without its files: from the start of the process to results of all partitions
//!
//! Then the outputs are compared: the last value of each key has to be the same.

mod inputs;
mod latency;
mod runs;
mod settings;
mod side;

use std::{
    collections::BTreeMap,
    fs, thread,
    time::{Duration, Instant},
};

use millstream::{
    log::Log,
    record::{PartitionId, TopicName, TopicPartition},
};
use millstream_tests::kafka_cluster::{ClusterSettings, Jvm, KafkaCluster};
use serde_json::{Value, json};

use self::{
    latency::{Ages, feed, percentile},
    runs::{Run, Side, pin_broker},
    settings::Settings,
    side::{Job, cpu_seconds},
};
use crate::{kafka_log::Connection, kcat};

/// For how long a side may be without a result.
const PATIENCE: Duration = Duration::from_secs(600);
/// Results of the first seconds tell of the start.
const WARM_UP_SECONDS: u64 = 5;
/// Rows of the table while latency is measured.
const LIVE_BIDDERS: u64 = 10_000;

#[test]
#[ignore = "a comparison: run tests/kafka/compare"]
fn side_by_side() {
    let settings = Settings::from_env();
    let properties = vec![("log.retention.check.interval.ms".to_owned(), "86400000".to_owned())];
    let cluster = ClusterSettings { heap_mib: 1024, jvm: Jvm::Shipped, properties, ..ClusterSettings::default() };
    let Some(cluster) = KafkaCluster::start(cluster) else { return };
    if !kcat::is_there() {
        return;
    }
    pin_broker(&cluster);
    let log = Connection::to(&cluster.bootstrap()).open();
    for topic in ["load-bids", "load-bidders"] {
        cluster.create_topic(topic, settings.partitions);
    }
    eprintln!("writing {} bids and {} bidders", settings.bids, settings.bidders);
    inputs::bids(&*log, "load-bids", settings.partitions, settings.bids, settings.keys);
    inputs::bidders(&*log, "load-bidders", settings.partitions, settings.bidders);
    for workload in ["count", "join"] {
        let outputs = Side::BOTH.map(|side| {
            let comparison = Comparison { cluster: &cluster, log: &*log, settings: &settings, side, workload };
            eprintln!("{}", comparison.run());
            last_values(&*log, &comparison.output("load"))
        });
        let differing = differing(&outputs[0], &outputs[1]);
        eprintln!("{workload}: {} keys, {differing} of them with other last values", outputs[0].len());
        assert_eq!(differing, 0, "{workload}: the sides do not agree");
    }
}

/// One side at one workload.
struct Comparison<'a> {
    cluster: &'a KafkaCluster,
    log: &'a dyn Log,
    settings: &'a Settings,
    side: Side,
    workload: &'a str,
}

impl Comparison<'_> {
    /// The application of a part of the comparison: `load` or `live`.
    fn application(&self, part: &str) -> String {
        format!("{}-{}-{part}", self.side.name(), self.workload)
    }

    fn output(&self, part: &str) -> String {
        format!("{}-out", self.application(part))
    }

    fn job(&self, part: &str, inputs: &str, until: Option<u64>) -> Job {
        let application = self.application(part);
        Job {
            workload: self.workload.to_owned(),
            bootstrap: self.cluster.bootstrap(),
            directory: self.cluster.directory().join(format!("{application}-state")).to_string_lossy().into_owned(),
            application,
            until,
            inputs: inputs.to_owned(),
        }
    }

    fn run(&self) -> Value {
        let mut report = json!({ "side": self.side.name(), "workload": self.workload });
        let fields = report.as_object_mut().expect("it is one");
        for part in [self.throughput(), self.restore(), self.latency()] {
            fields.extend(part.as_object().expect("it is one").clone());
        }
        report
    }

    fn throughput(&self) -> Value {
        self.cluster.create_topic(&self.output("load"), self.settings.partitions);
        let records = self.settings.bids + if self.workload == "join" { self.settings.bidders } else { 0 };
        let broker_before = self.broker_cpu();
        let took = Run::start(self.cluster, self.side, &self.job("load", "load", Some(records))).wait();
        let seconds = took["seconds"].as_f64().expect("it says so");
        json!({
            "records": records,
            "seconds": seconds,
            "records_per_second": (records as f64 / seconds).round(),
            "cpu_seconds": took["cpu_seconds"],
            "peak_memory_mib": took["peak_memory_mib"],
            "broker_cpu_seconds": self.broker_cpu() - broker_before,
        })
    }

    fn broker_cpu(&self) -> f64 {
        cpu_seconds(&self.cluster.pid(1).to_string())
    }

    /// Starts again without files; a few bids for each partition say when it is back.
    #[expect(clippy::disallowed_methods, reason = "it is measured from outside")]
    fn restore(&self) -> Value {
        if self.workload != "join" {
            return json!({});
        }
        const PROBES: u64 = 64;
        let job = self.job("load", "load", None);
        fs::remove_dir_all(&job.directory).expect("its files can be removed");
        let ages = Ages::of(&job.bootstrap, &self.output("load"));
        let start = Instant::now();
        let run = Run::start(self.cluster, self.side, &job);
        let probes: String = (0..PROBES).map(|number| format!("b{number}|probe\n")).collect();
        kcat::produce(&job.bootstrap, "load-bids", &[], &probes);
        for _ in 0..PROBES {
            assert!(run.runs() && ages.next(PATIENCE).is_some(), "no result after a restore\n{}", run.said());
        }
        let seconds = start.elapsed().as_secs_f64();
        let took = run.stop();
        json!({
            "restore_keys": self.settings.bidders,
            "restore_seconds": seconds,
            "restore_cpu_seconds": took["cpu_seconds"],
            "restore_peak_memory_mib": took["peak_memory_mib"],
        })
    }

    fn latency(&self) -> Value {
        let Settings { rate, seconds, partitions, .. } = *self.settings;
        // Topics of its own, in which nobody else has written.
        let inputs = self.application("live");
        let [bids, bidders] = ["bids", "bidders"].map(|what| format!("{inputs}-{what}"));
        for topic in [&bids, &bidders, &self.output("live")] {
            self.cluster.create_topic(topic, partitions);
        }
        inputs::bidders(self.log, &bidders, partitions, LIVE_BIDDERS);
        let job = self.job("live", &inputs, None);
        let ages = Ages::of(&job.bootstrap, &self.output("live"));
        let run = Run::start(self.cluster, self.side, &job);
        let mut all = Vec::new();
        let fed = thread::scope(|scope| {
            let feeding = || {
                feed(&job.bootstrap, &bids, LIVE_BIDDERS, rate, WARM_UP_SECONDS);
                feed(&job.bootstrap, &bids, LIVE_BIDDERS, rate, WARM_UP_SECONDS + seconds);
            };
            let feeder = scope.spawn(feeding);
            let mut seen = 0_u64;
            while let Some(age) = ages.next(Duration::from_secs(if feeder.is_finished() { 3 } else { 60 })) {
                seen += 1;
                // What was written while it started is not counted.
                if seen > rate * 2 * WARM_UP_SECONDS {
                    all.push(age);
                }
            }
            seen
        });
        let took = run.stop();
        json!({
            "rate": rate,
            "results": fed,
            "latency_ms_p50": percentile(&mut all, 0.5),
            "latency_ms_p99": percentile(&mut all, 0.99),
            "latency_ms_max": percentile(&mut all, 1.0),
            "latency_cpu_seconds": took["cpu_seconds"],
        })
    }
}

/// The last committed value of each key of a topic.
fn last_values(log: &dyn Log, topic: &str) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let topic = TopicName::new(topic).expect("a legal name");
    let partitions = log.describe_topic(&topic).expect("it is there").config.partitions;
    let mut last = BTreeMap::new();
    for partition in 0..partitions {
        let place = TopicPartition::new(topic.clone(), PartitionId(partition));
        let (mut next, end) =
            (log.start_offset(&place).expect("it is there"), log.end_offset(&place).expect("it is there"));
        while next < end {
            let fetched = log.fetch(&place, next, 4 << 20).expect("it can be read");
            for record in fetched.batches.iter().flat_map(|batch| batch.records.iter()) {
                last.insert(record.key.unwrap_or_default().to_vec(), record.value.unwrap_or_default().to_vec());
            }
            next = fetched.next;
        }
    }
    last
}

/// How many keys have another value, or are only in one of the two.
fn differing(one: &BTreeMap<Vec<u8>, Vec<u8>>, other: &BTreeMap<Vec<u8>, Vec<u8>>) -> usize {
    let missing = other.keys().filter(|key| !one.contains_key(*key)).count();
    missing + one.iter().filter(|(key, value)| other.get(*key) != Some(*value)).count()
}
