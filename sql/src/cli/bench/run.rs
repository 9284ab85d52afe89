//! One run: a log is filled, a query reads it from the start to its end, its result is counted.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use millstream::{
    log::{SharedLog, TopicConfig},
    record::TopicName,
};
use millstream_connectors::nexmark::{NexmarkSource, NexmarkTopics};

use super::{
    baseline,
    bids::{self, BidReader, BidWriter},
    latency::{self, Latency, Pace},
    load::{Lines, Loaded},
    measure::{Meter, Usage},
    nexmark::{self, Nexmark},
    output::{FinalTable, final_table},
    report::{Options, Report},
    table_hash::shown,
    workload::{BIDS_SOURCE, Bids, Workload, advance_ms},
};
use crate::{
    catalog::Source,
    cli::{failure::Failure, progress::line, stopwatch::Stopwatch},
    engine::{Engine, EngineConfig},
};

/// What is to be run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Which workload.
    pub workload: Workload,
    /// A file of bids; made, and removed afterwards, if there is none.
    pub input: Option<PathBuf>,
    /// At most so many events.
    pub events: u64,
    /// The seed of what is made.
    pub seed: u64,
    /// How many pairs of auction and bidder the bids that are made have; `None`: as they come.
    pub keys: Option<u64>,
    /// Partitions of each topic.
    pub partitions: u32,
    /// How many queries read the bids; the first one's result is counted.
    pub queries: u32,
    /// In how many windows a bid is, where they overlap.
    pub hops: u32,
    /// Bids a second; `None`: all of them are there before the query.
    pub rate: Option<u64>,
    /// Whether DataFusion runs the same as a batch.
    pub with_baseline: bool,
    /// How the engine works; its directory is empty and is removed by the caller.
    pub engine: EngineConfig,
}

impl Plan {
    /// Runs it.
    ///
    /// # Errors
    /// [`Failure`]; also if workload and options do not fit.
    pub fn run(&self, on_progress: &mut dyn FnMut(&str)) -> Result<Report, Failure> {
        match self.workload {
            Workload::Log => Err(Failure::Refused("`log` is no query".to_owned())),
            Workload::Bids(bids) => match self.rate {
                Some(rate) => self.run_at_rate(bids, rate, on_progress),
                None => self.run_bids(bids, on_progress),
            },
            Workload::Nexmark(query) => self.run_nexmark(query, on_progress),
        }
    }

    fn run_bids(&self, workload: &Bids, on_progress: &mut dyn FnMut(&str)) -> Result<Report, Failure> {
        let made = self.engine.data.join("bids.ndjson");
        let input = match &self.input {
            Some(input) => Some(input),
            // The batch reads a file, and bidders come from one.
            None if self.with_baseline || workload.with_bidders => {
                fs::create_dir_all(&self.engine.data).map_err(Failure::file(&self.engine.data, "make"))?;
                bids::generate(self.bids(), self.events, &made, &mut |n| on_progress(&format!("{n} bids made")))
                    .map_err(Failure::file(&made, "write"))?;
                Some(&made)
            }
            None => None,
        };
        let engine = self.open()?;
        let watch = Stopwatch::start();
        let loaded = match input {
            Some(input) => self.load(workload, &engine.log(), input, on_progress)?,
            None => self.make(workload, &engine.log(), on_progress)?,
        };
        let load_seconds = watch.elapsed().as_secs_f64();
        let copies: String = (2..=self.queries).map(|copy| workload.script_of_copy(copy)).collect();
        let script = format!("{}{copies}", workload.script);
        let mut report = self.measure(engine, &script, BIDS_SOURCE, loaded, load_seconds, on_progress)?;
        if let (true, Some(input)) = (self.with_baseline, input) {
            on_progress("DataFusion runs the same as a batch");
            let result = baseline::run(workload, self.hops, &self.same_events(input, loaded)?, &self.engine.data)?;
            report.ratio = Some(result.seconds * f64::from(self.queries) / report.wall_seconds);
            report.baseline = Some(result.into());
        }
        Ok(report)
    }

    fn bids(&self) -> BidWriter {
        BidWriter::new(self.seed).with_keys(self.keys)
    }

    /// Fills the log with bids that are in no file.
    fn make(&self, workload: &Bids, log: &SharedLog, on_progress: &mut dyn FnMut(&str)) -> Result<Loaded, Failure> {
        let (topic, timestamp) = (self.topic(log, "bids")?, Some("date_time"));
        let path = Path::new("made-up bids");
        let lines =
            Lines { path, topic, partitions: self.partitions, key: workload.key, timestamp, limit: self.events };
        let reader = BidReader::new(self.bids(), self.events);
        lines.load_from(reader, log, &mut |rows| on_progress(&format!("{rows} bids made")))
    }

    /// The file with just the bids that were loaded.
    fn same_events(&self, input: &Path, loaded: Loaded) -> Result<PathBuf, Failure> {
        let whole = fs::metadata(input).map_err(Failure::file(input, "look at"))?.len();
        // Each line ends in one byte more; the last one may not.
        if loaded.bytes + loaded.rows >= whole {
            return Ok(input.to_owned());
        }
        let path = self.engine.data.join("bids.ndjson");
        let mut from = fs::File::open(input).map_err(Failure::file(input, "open"))?;
        let mut to = fs::File::create(&path).map_err(Failure::file(&path, "make"))?;
        std::io::copy(&mut std::io::Read::take(&mut from, loaded.bytes + loaded.rows), &mut to)
            .map_err(Failure::file(&path, "write"))?;
        let (from, to) = (bids::bidders_of(input), bids::bidders_of(&path));
        if from.exists() {
            fs::copy(&from, &to).map_err(Failure::file(&to, "write"))?;
        }
        Ok(path)
    }

    fn open(&self) -> Result<Engine, Failure> {
        Ok(Engine::open(self.engine.clone())?)
    }

    fn load(
        &self,
        workload: &Bids,
        log: &SharedLog,
        input: &Path,
        on_progress: &mut dyn FnMut(&str),
    ) -> Result<Loaded, Failure> {
        let partitions = self.partitions;
        if workload.with_bidders {
            let (path, topic) = (&bids::bidders_of(input), self.topic(log, "bidders")?);
            let bidders = Lines { path, topic, partitions, key: "id", timestamp: None, limit: u64::MAX };
            bidders.load(log, &mut |_| {})?;
        }
        let (topic, timestamp) = (self.topic(log, "bids")?, Some("date_time"));
        let bids = Lines { path: input, topic, partitions, key: workload.key, timestamp, limit: self.events };
        bids.load(log, &mut |rows| on_progress(&format!("{rows} bids loaded")))
    }

    fn topic(&self, log: &SharedLog, name: &str) -> Result<TopicName, Failure> {
        let topic = topic_name(name)?;
        log.create_topic(&topic, &TopicConfig { partitions: self.partitions, ..TopicConfig::default() })?;
        Ok(topic)
    }

    fn run_at_rate(&self, workload: &Bids, rate: u64, on_progress: &mut dyn FnMut(&str)) -> Result<Report, Failure> {
        if workload.key != "auction" {
            return Err(Failure::Refused(format!(
                "--rate makes bids keyed by auction, which {} has not",
                workload.name
            )));
        }
        let engine = self.open()?;
        let log = engine.log();
        let topic = self.topic(&log, "bids")?;
        let pace = Pace { rate, events: self.events, topic, partitions: self.partitions, bids: self.bids() };
        let meter = Meter::start();
        self.start(&engine, BIDS_SOURCE, workload.script)?;
        let output = topic_name(&output_of(&engine, workload.name)?.topic)?;
        on_progress(&format!("{} bids come at {rate} a second", self.events));
        let over = AtomicBool::new(false);
        let (bytes, latency) = std::thread::scope(|scope| {
            let watcher = scope.spawn(|| latency::watch(&log, &output, &over));
            let appended = pace.append(&log).and_then(|bytes| wait(&engine, on_progress).map(|()| bytes));
            over.store(true, Ordering::Release);
            let latency = watcher.join().map_err(|_| Failure::Refused("the reader panicked".to_owned()))?;
            Ok::<(u64, Latency), Failure>((appended?, latency?))
        })?;
        let usage = meter.read();
        let loaded = Loaded { rows: self.events, bytes };
        let mut report = self.report(engine, workload.name, loaded, 0.0, usage)?;
        report.latency_ms = Some(latency);
        Ok(report)
    }

    fn run_nexmark(&self, query: &Nexmark, on_progress: &mut dyn FnMut(&str)) -> Result<Report, Failure> {
        if let Some(missing) = query.missing() {
            return Err(Failure::Refused(format!("{} is not there yet: {missing}", query.name)));
        }
        let engine = self.open()?;
        let log = engine.log();
        let watch = Stopwatch::start();
        let topics = [self.topic(&log, "person")?, self.topic(&log, "auction")?, self.topic(&log, "bid")?];
        let [person, auction, bid] = topics.map(Some);
        let source = NexmarkSource {
            seed: self.seed,
            partitions: self.partitions,
            event_rate: nexmark::EVENT_RATE,
            base_time: nexmark::BASE_TIME,
            ..NexmarkSource::new(NexmarkTopics::Each { person, auction, bid }, Some(self.events))
        };
        let loaded = nexmark::load(&source, &log, &mut |rows| on_progress(&format!("{rows} events made")))?;
        let load_seconds = watch.elapsed().as_secs_f64();
        self.measure(engine, query.script, nexmark::SOURCES, loaded, load_seconds, on_progress)
    }

    /// Declares the sources and starts the query.
    fn start(&self, engine: &Engine, sources: &str, script: &str) -> Result<(), Failure> {
        let mut session = engine.session();
        let advance = advance_ms(self.hops);
        let define = format!("DEFINE partitions = '{}';\nDEFINE advance = '{advance}';\n", self.partitions);
        session.run_script(&format!("{define}{sources}\n{script}"), &mut |_, _| {})?;
        Ok(())
    }

    fn measure(
        &self,
        engine: Engine,
        script: &str,
        sources: &str,
        loaded: Loaded,
        load_seconds: f64,
        on_progress: &mut dyn FnMut(&str),
    ) -> Result<Report, Failure> {
        let meter = Meter::start();
        self.start(&engine, sources, script)?;
        wait(&engine, on_progress)?;
        let usage = meter.read();
        self.report(engine, &self.workload.to_string(), loaded, load_seconds, usage)
    }

    fn report(
        &self,
        engine: Engine,
        name: &str,
        loaded: Loaded,
        load_seconds: f64,
        usage: Usage,
    ) -> Result<Report, Failure> {
        let log = engine.log();
        let FinalTable { records, bytes, rows, hash } = final_table(&log, &output_of(&engine, name)?)?;
        let commits = engine.progress().queries.iter().map(|query| query.commits).sum();
        let state_keys = engine.state_keys();
        drop(log);
        engine.shutdown()?;
        let Usage { wall_seconds, cpu_seconds, peak_rss_bytes, bytes_written } = usage;
        let config = &self.engine;
        Ok(Report {
            workload: name.to_owned(),
            options: Options {
                partitions: self.partitions,
                keys: self.keys,
                queries: self.queries,
                hops: self.hops,
                threads: config.threads,
                emit: config.emit.to_string(),
                commit_interval_ms: config.commit_interval.as_millis() as u64,
                durability: match config.durability {
                    millstream::log::embedded::Durability::Fsync => "fsync",
                    millstream::log::embedded::Durability::Os => "os",
                },
                memory_bytes: config.memory_bytes,
                rate: self.rate,
            },
            events: loaded.rows,
            load_seconds,
            load_mb_per_second: if load_seconds > 0.0 { loaded.bytes as f64 / 1e6 / load_seconds } else { 0.0 },
            wall_seconds,
            cpu_seconds,
            events_per_second: loaded.rows as f64 * f64::from(self.queries) / wall_seconds,
            bytes_per_second: loaded.bytes as f64 * f64::from(self.queries) / wall_seconds,
            output_rows: rows,
            table_hash: shown(hash),
            output_records: records,
            commits,
            state_keys,
            peak_rss_bytes,
            bytes_written,
            write_amplification: bytes_written.map(|written| written as f64 / bytes.max(1) as f64),
            latency_ms: None,
            baseline: None,
            ratio: None,
        })
    }
}

pub(super) fn topic_name(name: &str) -> Result<TopicName, Failure> {
    TopicName::new(name).map_err(|error| Failure::Refused(error.to_string()))
}

/// The stream or table that a workload writes.
fn output_of(engine: &Engine, name: &str) -> Result<Source, Failure> {
    let output = engine.source(&name.to_ascii_uppercase());
    output.ok_or_else(|| Failure::Refused(format!("{name} made no output of its name")))
}

/// Waits until every query has committed all that there is to read.
pub(super) fn wait(engine: &Engine, on_progress: &mut dyn FnMut(&str)) -> Result<(), Failure> {
    let watch = Stopwatch::start();
    Ok(engine.wait_until_idle(None, &mut |progress| on_progress(&line(progress, watch.elapsed())))?)
}
