//! The commands and their options.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::{
    bench::BenchArguments,
    byte_size::ByteSize,
    cluster::{LogArguments, ServiceArguments},
    connector::ConnectorCommand,
    failure::Failure,
    groups::GroupsCommand,
    reset::ResetArguments,
    test::TestArguments,
};
use crate::{engine::EngineConfig, output::OutputFormat};

/// Where data go when nothing is said.
pub const DEFAULT_DATA: &str = "millstream-data";

/// Stream processing: SQL over topics, durable and exactly once, in one process and one directory or on a Kafka cluster.
#[derive(Debug, Parser)]
#[command(name = "millstream", version, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 done, 1 a statement or run failed, 2 wrong usage.\nStart with `millstream demo`."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Log more to standard error: -v what happens, -vv details. RUST_LOG overrides it.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch half a million real flight departures become a table of delays by city and hour.
    Demo(DemoArguments),
    /// The SQL shell; with -e or -f, or with a script on standard input, run statements and end.
    Sql(SqlArguments),
    /// Run the persistent queries and connectors of a script until a signal (SIGINT, SIGTERM), then commit and end.
    ///
    /// The same script run again on the same directory goes on where it stopped.
    Run(RunArguments),
    /// List, describe, write and read topics.
    #[command(subcommand)]
    Topic(TopicCommand),
    /// List and describe groups: who works on an application, and how far it is.
    #[command(subcommand)]
    Groups(GroupsCommand),
    /// Let an application begin anew: set its positions back and remove what it keeps. Shows what it would do unless told to do it.
    Reset(ResetArguments),
    /// Check connectors of a script without running them.
    #[command(subcommand)]
    Connector(ConnectorCommand),
    /// Run cases of SQL pipelines, records in and records out, in memory, and say which came out as expected.
    Test(TestArguments),
    /// Measure how fast queries are on this machine, beside a batch engine on the same bytes.
    Bench(Box<BenchArguments>),
}

/// `millstream demo`
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// The demo's data directory. Default: `millstream/demo` in the user's cache directory.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Go on with what an earlier demo left, instead of starting afresh.
    #[arg(long)]
    pub keep: bool,
    /// How the engine works.
    #[command(flatten)]
    pub engine: EngineArguments,
}

/// `millstream sql`
#[derive(Debug, Args)]
pub struct SqlArguments {
    /// The data directory; made if it is not there.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA)]
    pub data: PathBuf,
    /// Run these statements and end.
    #[arg(short, long, value_name = "SQL", conflicts_with = "file")]
    pub execute: Option<String>,
    /// Run the statements of this file and end; `-` is standard input.
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// How rows are written. Times are ISO 8601 text in all formats; json is an object a row.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: OutputFormat,
    /// The cluster to work on, if not on a log in the data directory.
    #[command(flatten)]
    pub service: ServiceArguments,
    /// How the engine works.
    #[command(flatten)]
    pub engine: EngineArguments,
}

/// `millstream run`
#[derive(Debug, Args)]
pub struct RunArguments {
    /// The script.
    #[arg(value_name = "FILE.sql")]
    pub script: PathBuf,
    /// The data directory; made if it is not there.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// End when all sources are exhausted and all queries have caught up.
    #[arg(long)]
    pub until_idle: bool,
    /// How rows are written, if the script holds queries that answer with rows.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: OutputFormat,
    /// The cluster to work on, if not on a log in the data directory.
    #[command(flatten)]
    pub service: ServiceArguments,
    /// How the engine works.
    #[command(flatten)]
    pub engine: EngineArguments,
}

/// `millstream topic`
#[derive(Debug, Subcommand)]
pub enum TopicCommand {
    /// All topics, internal ones included.
    List(TopicListArguments),
    /// The settings of a topic and the offsets of its partitions.
    Describe(TopicDescribeArguments),
    /// Write the lines of standard input as records.
    ///
    /// Keyed records go to the partition that Kafka's clients choose, others go round. All lines of a run are committed in
    /// batches of 10,000; a batch is written as a whole or not at all.
    Produce(ProduceArguments),
    /// Print the records of a topic: up to its present end, partition by partition, or what comes.
    ///
    /// On a cluster it waits for new records unless told where to begin. One process owns a data directory, so nothing new can arrive
    /// there while this one reads: it has to be told where to begin. In JSON a record is an object of topic, partition, offset, timestamp
    /// (milliseconds since the epoch), key, value and headers (a list of name and value); keys, values and header values
    /// are text if they are UTF-8, `{"base64": ".."}` if not, and null if absent.
    Consume(ConsumeArguments),
}

/// `millstream topic list`
#[derive(Debug, Args)]
pub struct TopicListArguments {
    /// Where the topics are.
    #[command(flatten)]
    pub log: LogArguments,
    /// How rows are written.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: OutputFormat,
}

/// `millstream topic describe`
#[derive(Debug, Args)]
pub struct TopicDescribeArguments {
    /// The topic.
    pub topic: String,
    /// Where the topics are.
    #[command(flatten)]
    pub log: LogArguments,
    /// How rows are written.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: OutputFormat,
}

/// `millstream topic produce`
#[derive(Debug, Args)]
pub struct ProduceArguments {
    /// The topic.
    pub topic: String,
    /// Where the topics are.
    #[command(flatten)]
    pub log: LogArguments,
    /// What parts the key from the value in each line; without it records have no key.
    #[arg(long, value_name = "TEXT")]
    pub key_separator: Option<String>,
    /// Lines whose value is this text become tombstones (null values).
    #[arg(long, value_name = "TEXT")]
    pub null_value: Option<String>,
    /// Write to this partition, whatever the key.
    #[arg(long, value_name = "P")]
    pub partition: Option<u32>,
    /// The records' timestamp in milliseconds since the epoch, instead of the present time.
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    pub timestamp: Option<i64>,
    /// Make the topic if it is not there, with this many partitions (1 if no number is given).
    #[arg(long, value_name = "PARTITIONS", num_args = 0..=1, default_missing_value = "1")]
    pub create: Option<u32>,
}

/// `millstream topic consume`
#[derive(Debug, Args)]
pub struct ConsumeArguments {
    /// The topic.
    pub topic: String,
    /// Where the topics are.
    #[command(flatten)]
    pub log: LogArguments,
    /// Begin at the oldest record still there.
    #[arg(long, conflicts_with = "offset")]
    pub from_beginning: bool,
    /// Begin at this offset of each partition read.
    #[arg(long, value_name = "N")]
    pub offset: Option<u64>,
    /// Read this partition only.
    #[arg(long, value_name = "P")]
    pub partition: Option<u32>,
    /// Do not end at the end of the topic: wait for new records until a signal. On a cluster only.
    #[arg(long)]
    pub follow: bool,
    /// End after so many records.
    #[arg(long, value_name = "N")]
    pub max_messages: Option<u64>,
    /// How records are written.
    #[arg(long, value_enum, default_value_t = OutputFormat::Json, value_name = "FORMAT")]
    pub output: OutputFormat,
}

/// When a commit counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DurabilityArgument {
    /// When it is on the disk: survives a power cut.
    Fsync,
    /// When the operating system has it: survives the death of the process, not of the machine.
    Os,
}

/// Which updates of a table are passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EmitArgument {
    /// The last one of each key in a commit interval.
    Commit,
    /// Every one.
    Record,
}

/// How the engine works.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Engine")]
pub struct EngineArguments {
    /// When a commit counts as done [default: fsync]
    #[arg(long, value_enum)]
    pub durability: Option<DurabilityArgument>,
    /// Milliseconds between commits [default: 100]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    pub commit_interval: Option<u64>,
    /// Which updates of a table are passed on [default: commit]
    #[arg(long, value_enum)]
    pub emit: Option<EmitArgument>,
    /// Threads that run queries [default: one a processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// Memory for the state of all queries, such as 256MiB [default: a quarter of the machine's]
    #[arg(long, value_name = "BYTES")]
    pub memory: Option<ByteSize>,
    /// The schema registry, such as http://name:password@host:8081 [default: one in a topic]
    #[arg(long, value_name = "URL", value_parser = registry)]
    pub schema_registry: Option<millstream::format::registry::ConfluentConfig>,
}

/// The address of a schema registry.
fn registry(url: &str) -> Result<millstream::format::registry::ConfluentConfig, String> {
    match url.split_once("://") {
        Some(("http" | "https", host)) if !host.is_empty() => {
            Ok(millstream::format::registry::ConfluentConfig::new(url))
        }
        _ => Err("expected http://host:port or https://host:port".to_owned()),
    }
}

impl EngineArguments {
    /// Whether anything was said.
    pub fn is_any_given(&self) -> bool {
        let Self { durability, commit_interval, emit, threads, memory, schema_registry } = self;
        durability.is_some()
            || commit_interval.is_some()
            || emit.is_some()
            || threads.is_some()
            || memory.is_some()
            || schema_registry.is_some()
    }

    /// The configuration for a data directory on a cluster, or on a log of its own.
    ///
    /// # Errors
    /// [`Failure`] for a cluster that cannot be meant, and options that mean nothing there.
    pub fn config_on(&self, data: PathBuf, service: &ServiceArguments) -> Result<EngineConfig, Failure> {
        let cluster = service.config()?;
        if cluster.is_some() && self.durability.is_some() {
            let problem = "--durability is for the log of a data directory; on a cluster its brokers decide, see `min.insync.replicas` of a topic";
            return Err(Failure::Refused(problem.to_owned()));
        }
        Ok(EngineConfig { cluster, ..self.config(data) })
    }

    /// The configuration for a data directory: the engine's defaults where nothing was said.
    pub fn config(&self, data: PathBuf) -> EngineConfig {
        let mut config = EngineConfig::new(data);
        if let Some(durability) = self.durability {
            config.durability = match durability {
                DurabilityArgument::Fsync => millstream::log::embedded::Durability::Fsync,
                DurabilityArgument::Os => millstream::log::embedded::Durability::Os,
            };
        }
        if let Some(millis) = self.commit_interval {
            config.commit_interval = Duration::from_millis(millis);
        }
        if let Some(emit) = self.emit {
            config.emit = match emit {
                EmitArgument::Commit => millstream::operator::EmitPolicy::Commit,
                EmitArgument::Record => millstream::operator::EmitPolicy::Record,
            };
        }
        if let Some(threads) = self.threads {
            config.threads = usize::from(threads);
        }
        if let Some(memory) = self.memory {
            config.memory_bytes = memory.0;
        }
        config.schema_registry.clone_from(&self.schema_registry);
        config
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, error::ErrorKind};

    use super::*;

    fn parse(line: &str) -> Result<Command, ErrorKind> {
        let words = std::iter::once("millstream").chain(line.split_whitespace());
        Cli::try_parse_from(words).map(|cli| cli.command).map_err(|error| error.kind())
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn usage_errors_are_told_from_help() {
        let check = |line: &str, expected: ErrorKind| assert_eq!(parse(line).err(), Some(expected), "{line}");
        check("", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand);
        check("--help", ErrorKind::DisplayHelp);
        check("--version", ErrorKind::DisplayVersion);
        check("fly", ErrorKind::InvalidSubcommand);
        check("run x.sql", ErrorKind::MissingRequiredArgument);
        check("run x.sql --data d --memory lots", ErrorKind::ValueValidation);
        check("run x.sql --data d --threads 0", ErrorKind::ValueValidation);
        check("run x.sql --data d --durability maybe", ErrorKind::InvalidValue);
        check("sql -e x -f y", ErrorKind::ArgumentConflict);
        check("sql --output xml", ErrorKind::InvalidValue);
        check("topic consume t --from-beginning --offset 1", ErrorKind::ArgumentConflict);
        check("sql --kafka a:1 --kafka-config f", ErrorKind::ArgumentConflict);
        check("sql --service s", ErrorKind::MissingRequiredArgument);
        check("sql --kafka a:1 --service a-b", ErrorKind::ValueValidation);
    }

    #[test]
    fn a_run_takes_its_engine_options() {
        let line = "run f.sql --data d --until-idle --durability os --commit-interval 5 --emit record --threads 3 --memory 1MiB";
        let Ok(Command::Run(run)) = parse(line) else { panic!("{line} was refused") };
        assert!(run.until_idle);
        let config = run.engine.config(run.data);
        assert_eq!(
            (config.threads, config.memory_bytes, config.commit_interval),
            (3, 1 << 20, Duration::from_millis(5))
        );
        assert_eq!(run.engine.durability, Some(DurabilityArgument::Os));
        assert_eq!(run.engine.emit, Some(EmitArgument::Record));
    }

    #[test]
    fn topics_are_made_with_one_partition_unless_told() {
        for (line, expected) in [("", None), ("--create", Some(1)), ("--create 4", Some(4))] {
            let Ok(Command::Topic(TopicCommand::Produce(produce))) = parse(&format!("topic produce t {line}")) else {
                panic!("{line} was refused")
            };
            assert_eq!(produce.create, expected);
        }
    }
}
