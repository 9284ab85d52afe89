//! `millstream bench`: how fast queries are on this machine.
//!
//! The log is filled first; the query then reads it from its start to its end and writes its result, with everything that makes it durable and
//! exactly once. Beside it stands DataFusion as a batch over the same lines.
//!
//! - [`workload`]: what can be run; [`bids`]: the input of w0 to w4; [`nexmark`]: that of q0 to q22; [`load`]: lines to records
//! - [`run`]: one run; [`latency`]: one at a rate; [`log_speed`]: the log alone; [`baseline`]: the batch
//! - [`sink`]: a sink connector, from a topic to its target; [`queue`]: a work queue; [`formats`]: bytes to columns and back
//! - [`measure`]: processor time, memory, bytes written; [`output`] and [`table_hash`]: the result in one number; [`report`]: all of it

pub mod baseline;
pub mod bids;
pub mod formats;
pub mod latency;
pub mod load;
pub mod log_speed;
pub mod measure;
pub mod nexmark;
pub mod output;
pub mod queue;
pub mod report;
pub mod run;
pub mod sink;
pub mod table_hash;
pub mod workload;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use serde::Serialize;

use self::{
    formats::FormatsArguments,
    nexmark::QUERIES,
    queue::QueueArguments,
    run::Plan,
    sink::SinkArguments,
    workload::{BIDS, Workload},
};
use super::{arguments::EngineArguments, failure::Failure, progress::Reporter};
use crate::{engine::EngineConfig, output::OutputError};

/// Bids or events of a run when nothing is said.
const DEFAULT_EVENTS: u64 = 1_000_000;
/// Windows that a bid is in when nothing is said.
const DEFAULT_HOPS: u32 = 5;

/// `millstream bench`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "Workloads:\n  \
    w0  project and filter            w1  tumbling windows             w2  hopping windows\n  \
    w3  stream-table join, windows    w4  running totals, many keys    q0 to q22  Nexmark's queries\n  \
    log append and scan of the log    list  which of them can be run\n  \
    sink FILE  a sink connector, from a topic to its target\n\n\
    The table hash is the sum, modulo 2^64, of FNV-1a over the rows as text, columns joined by `|`.\n\
    Write amplification: bytes handed to the disk for each byte of keys and values in the output topic.")]
pub struct BenchArguments {
    /// Other things than a run.
    #[command(subcommand)]
    pub command: Option<BenchCommand>,
    /// The run.
    #[command(flatten)]
    pub run: BenchRun,
}

/// `millstream bench generate`, `millstream bench list`, `millstream bench sink` and others
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Write made-up bids as lines of JSON, and `bidders.ndjson` beside them.
    Generate(GenerateArguments),
    /// The workloads, and which of them cannot be run yet.
    List,
    /// How fast a sink connector takes made-up bids from a topic to its target. Nothing at the target is removed afterwards.
    ///
    /// FILE is a script, such as CREATE SINK CONNECTOR out FROM bids WITH ('connector.class' = 'file', 'path' = 'bids.ndjson');
    /// the stream BIDS is declared before it: AUCTION (the key), BIDDER, PRICE, CHANNEL, URL, DATE_TIME, EXTRA. The run ends when the connector
    /// has committed all: where files stay open, let them end with 'flush.size' or soon with 'rotate.schedule.interval.ms'.
    Sink(SinkArguments),
    /// How fast messages of a work queue are received and acknowledged.
    Queue(QueueArguments),
    /// How fast values become columns and columns values, by format.
    Formats(FormatsArguments),
}

/// `millstream bench generate`
#[derive(Debug, Args)]
pub struct GenerateArguments {
    /// How many bids.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_EVENTS)]
    pub events: u64,
    /// What they follow from.
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// So many pairs of auction and bidder, each once before the first comes again.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=bids::MOST_KEYS))]
    pub keys: Option<u64>,
    /// The file.
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
}

/// `millstream bench WORKLOAD`
#[derive(Debug, Args)]
pub struct BenchRun {
    /// What to run: w0 to w4, q0 to q22, log.
    #[arg(required = true)]
    pub workload: Option<Workload>,
    /// Bids to read, as `bench generate` writes them; made if there are none (w0 to w4).
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// At most so many events.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_EVENTS, value_parser = clap::value_parser!(u64).range(1..))]
    pub events: u64,
    /// What made-up events follow from.
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// So many pairs of auction and bidder in bids that are made (w0 to w4), each once before the first comes again.
    #[arg(long, value_name = "N", conflicts_with = "input", value_parser = clap::value_parser!(u64).range(1..=bids::MOST_KEYS))]
    pub keys: Option<u64>,
    /// Partitions of each topic.
    #[arg(long, value_name = "P", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub partitions: u32,
    /// So many queries read the bids at the same time (w0 to w4).
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub queries: u32,
    /// In how many windows of ten seconds a bid is (w2) [default: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub hops: Option<u32>,
    /// Append bids at this rate while the query runs, and measure latency (w0, w1, w2, w4).
    #[arg(long, value_name = "EVENTS/S", conflicts_with_all = ["input", "baseline", "queries"], value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: Option<u64>,
    /// Run the same as a batch, one thread, nothing durable (w0 to w4).
    #[arg(long, value_name = "ENGINE", value_parser = ["datafusion"])]
    pub baseline: Option<String>,
    /// One JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Where to work: a directory that is not there yet; removed in the end.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// How the engine works.
    #[command(flatten)]
    pub engine: EngineArguments,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`].
pub fn run(arguments: &BenchArguments) -> Result<(), Failure> {
    match &arguments.command {
        Some(BenchCommand::Generate(generate)) => write_bids(generate),
        Some(BenchCommand::List) => list(),
        Some(BenchCommand::Sink(sink)) => measure_sink(sink),
        Some(BenchCommand::Queue(queue)) => measure_queue(queue),
        Some(BenchCommand::Formats(formats)) => measure_formats(formats),
        None => measure(&arguments.run),
    }
}

fn write_bids(arguments: &GenerateArguments) -> Result<(), Failure> {
    let GenerateArguments { events, seed, keys, output } = arguments;
    let bids = bids::BidWriter::new(*seed).with_keys(*keys);
    let mut reporter = Reporter::new();
    let (bidders, bytes) =
        bids::generate(bids, *events, output, &mut |n| reporter.show_line(&format!("{n} of {events} bids")))
            .map_err(Failure::file(output, "write"))?;
    reporter.clear();
    eprintln!(
        "{events} bids, {} MB, in {}; {} bidders in {}",
        bytes / 1_000_000,
        output.display(),
        bids::BIDDERS,
        bidders.display()
    );
    Ok(())
}

fn list() -> Result<(), Failure> {
    let mut text = String::new();
    for bids in &BIDS {
        text += &format!("{:4} runs\n", bids.name);
    }
    for query in &QUERIES {
        match query.missing() {
            None => text += &format!("{:4} runs\n", query.name),
            Some(missing) => text += &format!("{:4} is not there yet: {missing}\n", query.name),
        }
    }
    say(&text)
}

fn measure_sink(arguments: &SinkArguments) -> Result<(), Failure> {
    let directory = Scratch::make(arguments.data.as_deref())?;
    let mut reporter = Reporter::new();
    let report = arguments.run(EngineConfig::new(&directory.0), &mut |line| reporter.show_line(line));
    reporter.clear();
    let report = report?;
    show(arguments.json, &report, || report.lines())
}

fn measure_queue(arguments: &QueueArguments) -> Result<(), Failure> {
    let directory = Scratch::make(None)?;
    let report = arguments.run(&directory.0)?;
    show(arguments.json, &report, || report.lines())
}

fn measure_formats(arguments: &FormatsArguments) -> Result<(), Failure> {
    let mut reporter = Reporter::new();
    let report = arguments.run(&mut |line| reporter.show_line(line));
    reporter.clear();
    let report = report?;
    show(arguments.json, &report, || report.lines())
}

fn measure(arguments: &BenchRun) -> Result<(), Failure> {
    let workload = arguments.workload.ok_or_else(|| Failure::Refused("name a workload; see --help".to_owned()))?;
    check(workload, arguments)?;
    let directory = Scratch::make(arguments.data.as_deref())?;
    let mut reporter = Reporter::new();
    if workload == Workload::Log {
        let speed = log_speed::run(arguments.events, arguments.seed, &directory.0)?;
        reporter.clear();
        return show(arguments.json, &speed, || {
            vec![
                ("append", format!("{:.0} MB/s", speed.append_mb_per_second)),
                ("a plain file, synced the same way", format!("{:.0} MB/s", speed.file_mb_per_second)),
                ("ratio", format!("{:.2}", speed.append_ratio)),
                ("first scan", format!("{:.0} MB/s", speed.first_scan_mb_per_second)),
                ("scan", format!("{:.0} MB/s", speed.scan_mb_per_second)),
            ]
        });
    }
    let plan = Plan {
        workload,
        input: arguments.input.clone(),
        events: arguments.events,
        seed: arguments.seed,
        keys: arguments.keys,
        partitions: arguments.partitions,
        queries: arguments.queries,
        hops: arguments.hops.unwrap_or(DEFAULT_HOPS),
        rate: arguments.rate,
        with_baseline: arguments.baseline.is_some(),
        engine: arguments.engine.config(directory.0.clone()),
    };
    let report = plan.run(&mut |line| reporter.show_line(line));
    reporter.clear();
    let report = report?;
    show(arguments.json, &report, || report.lines())?;
    match &report.baseline {
        Some(baseline) if baseline.table_hash != report.table_hash => Err(Failure::Refused(format!(
            "the results differ: {} rows, hash {}, in the topic; {} rows, hash {}, from the batch",
            report.output_rows, report.table_hash, baseline.output_rows, baseline.table_hash
        ))),
        _ => Ok(()),
    }
}

/// Refuses options that the workload would have to ignore.
fn check(workload: Workload, arguments: &BenchRun) -> Result<(), Failure> {
    let refuse = |option: &str, with: &str| -> Result<(), Failure> {
        Err(Failure::Refused(format!("{option} goes with {with}, not with {workload}")))
    };
    for (option, is_given) in [
        ("--input", arguments.input.is_some()),
        ("--baseline", arguments.baseline.is_some()),
        ("--rate", arguments.rate.is_some()),
        ("--keys", arguments.keys.is_some()),
        ("--queries", arguments.queries > 1),
    ] {
        if is_given && !matches!(workload, Workload::Bids(_)) {
            return refuse(option, "w0 to w4");
        }
    }
    match (workload, arguments.hops) {
        (Workload::Bids(bids), Some(hops)) if bids.name == "w2" && 10_000 % hops != 0 => {
            let problem = format!("{hops} windows of ten seconds do not begin at whole milliseconds");
            Err(Failure::Refused(format!("--hops: {problem}; use a divisor of 10000")))
        }
        (Workload::Bids(bids), Some(_)) if bids.name == "w2" => Ok(()),
        (_, Some(_)) => refuse("--hops", "w2"),
        (Workload::Log, _) if arguments.partitions > 1 => refuse("--partitions", "queries"),
        (Workload::Log, _) if arguments.engine.is_any_given() => refuse("an option of the engine", "queries"),
        _ => Ok(()),
    }
}

fn show<N: AsRef<str>>(
    json: bool,
    figures: &impl Serialize,
    lines: impl FnOnce() -> Vec<(N, String)>,
) -> Result<(), Failure> {
    if json {
        let text = serde_json::to_string(figures).expect("plain figures are always JSON");
        return say(&format!("{text}\n"));
    }
    let lines = lines();
    let width = lines.iter().map(|(name, _)| name.as_ref().len()).max().unwrap_or(0);
    say(&lines.iter().map(|(name, value)| format!("{:width$}  {value}\n", name.as_ref())).collect::<String>())
}

fn say(text: &str) -> Result<(), Failure> {
    Ok(io::stdout().lock().write_all(text.as_bytes()).map_err(OutputError::from)?)
}

/// A directory of a run, removed with all that is in it.
struct Scratch(PathBuf);

impl Scratch {
    fn make(wanted: Option<&Path>) -> Result<Self, Failure> {
        let path = match wanted {
            Some(path) => path.to_owned(),
            None => std::env::temp_dir().join(format!("millstream-bench-{}", std::process::id())),
        };
        if path.exists() {
            let problem = "is there already; a run wants a directory of its own, which it removes in the end";
            return Err(Failure::Refused(format!("{}: {problem}", path.display())));
        }
        fs::create_dir_all(&path).map_err(Failure::file(&path, "make"))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(directory = %self.0.display(), %error, "the directory of the run stays");
        }
    }
}
