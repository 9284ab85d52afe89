//! `millstream reset`: lets an application begin anew.
//!
//! Its positions are set to where it is to begin, its internal topics and the stores of this directory are removed; its outputs stay, and so do
//! dead letters. Stores of other processes are thrown away by these when they find that the changelogs are others.
//!
//! Nothing is done unless `--execute` is given, and nothing while processes of the application are at work. What was begun and broke off is
//! completed by giving the command again; until then the application must not be started.

mod plan;

use std::{io, path::PathBuf, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch, StringArray, UInt64Array},
    error::ArrowError,
};
use clap::Args;
use millstream::{
    log::{GroupOffset, Log, LogError, OffsetCommit, Transaction, embedded::EmbeddedLog, kafka::KafkaLog},
    record::{GroupId, Timestamp, TopicPartition},
    runtime::{StreamsError, delete_local_state, local_stores},
};
use millstream_state::{StateBackend, StateConfig};

use self::plan::{Move, Plan};
use super::{
    cluster::{LogArguments, Missing, OpenLog},
    failure::Failure,
};
use crate::{
    catalog::QueryId,
    engine::{ServiceId, service::application},
    output::{OutputError, OutputFormat, write_rows},
    shell::console::terminal_width,
};

/// Memory for looking at the stores of a directory.
const STATE_MEMORY: usize = 16 << 20;
/// Who sets positions back in the log of a data directory.
const PRODUCER: &str = "_millstream-reset";

/// `millstream reset`
#[derive(Debug, Args)]
pub struct ResetArguments {
    /// The application, which has the name of its group.
    #[arg(long, value_name = "NAME", required_unless_present = "query", conflicts_with = "query")]
    pub application: Option<String>,
    /// The application of a query, by the query's id.
    #[arg(long, value_name = "ID")]
    pub query: Option<String>,
    /// The service that the query belongs to [default: default]
    #[arg(long, value_name = "NAME", requires_all = ["cluster", "query"])]
    pub service: Option<ServiceId>,
    /// Set back the positions in these topics only, with commas between them [default: all that it has read]
    #[arg(long, value_name = "TOPICS", value_delimiter = ',')]
    pub topics: Vec<String>,
    /// Where it is to begin.
    #[command(flatten)]
    pub to: ResetTarget,
    /// Do it, instead of showing what would be done.
    #[arg(long)]
    pub execute: bool,
    /// Where positions and topics are; stores are in the data directory in any case.
    #[command(flatten)]
    pub log: LogArguments,
    /// How rows are written.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: OutputFormat,
}

/// Where an application begins: at the oldest record that is there, unless said otherwise.
#[derive(Debug, Clone, Default, Args)]
#[group(id = "target", multiple = false)]
pub struct ResetTarget {
    /// Begin at the oldest records that are there; the default.
    #[arg(long)]
    pub to_earliest: bool,
    /// Begin behind the newest records.
    #[arg(long)]
    pub to_latest: bool,
    /// Begin at this offset of each partition, or the nearest that is there.
    #[arg(long, value_name = "N")]
    pub to_offset: Option<u64>,
    /// Begin at the first record with this timestamp or a later one, in milliseconds since the epoch.
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    pub to_timestamp: Option<i64>,
}

/// A target, as one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Earliest,
    Latest,
    Offset(u64),
    Time(Timestamp),
}

impl ResetTarget {
    fn target(&self) -> Target {
        match (self.to_latest, self.to_offset, self.to_timestamp) {
            (true, ..) => Target::Latest,
            (false, Some(offset), _) => Target::Offset(offset),
            (false, None, Some(millis)) => Target::Time(Timestamp(millis)),
            (false, None, None) => Target::Earliest,
        }
    }
}

impl ResetArguments {
    fn application(&self) -> String {
        let service = self.log.cluster.is_given().then(|| self.service.clone().unwrap_or_default());
        match (&self.application, &self.query) {
            (Some(name), _) => name.clone(),
            (None, query) => {
                let id = QueryId(query.clone().unwrap_or_default().to_ascii_uppercase());
                application(&id, service.as_ref())
            }
        }
    }
}

/// Runs the command.
///
/// # Errors
/// [`Failure`]; among others if the application is at work.
pub fn run(arguments: &ResetArguments) -> Result<(), Failure> {
    let application = arguments.application();
    let log = arguments.log.open(Missing::Refused)?;
    let (positions, groups) = match &log {
        OpenLog::Embedded(log) => in_directory(log, &application),
        OpenLog::Kafka(log) => on_cluster(log, &application)?,
    };
    let shared = log.shared();
    let mut plan =
        Plan::make(&application, positions, &groups, &arguments.topics, arguments.to.target(), shared.as_ref())?;
    let state = state(&arguments.log.data.join("state"))?;
    plan.stores = state.as_ref().map(|state| local_stores(&application, state)).unwrap_or_default();
    show(&plan, arguments.output)?;
    if !arguments.execute {
        eprintln!("Nothing was done; --execute does it");
        return Ok(());
    }
    match &log {
        OpenLog::Embedded(log) => set_in_directory(log, &plan.moves)?,
        OpenLog::Kafka(log) => set_on_cluster(log, &application, &plan.moves)?,
    }
    for topic in &plan.topics {
        match shared.delete_topic(topic) {
            Ok(()) | Err(LogError::UnknownTopic { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if let Some(state) = &state {
        delete_local_state(&application, state).map_err(|error: StreamsError| Failure::Refused(error.to_string()))?;
    }
    eprintln!("Done: {application} begins anew when it is started");
    Ok(())
}

/// Positions, each with its group, and the names of all groups.
type Positions = (Vec<(GroupId, TopicPartition, GroupOffset)>, Vec<String>);

/// This process has the directory, so nothing is at work in it.
fn in_directory(log: &EmbeddedLog, application: &str) -> Positions {
    let all = log.group_positions();
    let of_parts = |group: &str| match group.rsplit_once('-') {
        Some((name, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => name.to_owned(),
        _ => group.to_owned(),
    };
    let groups = all.iter().map(|(group, ..)| of_parts(group.as_str())).collect();
    let own = all.into_iter().filter(|(group, ..)| of_parts(group.as_str()) == application).collect();
    (own, groups)
}

fn on_cluster(log: &KafkaLog, application: &str) -> Result<Positions, Failure> {
    let group = GroupId::new(application).map_err(LogError::from)?;
    let groups: Vec<String> = log.groups()?.iter().map(|found| found.as_str().to_owned()).collect();
    if !groups.iter().any(|name| name == application) {
        return Ok((Vec::new(), groups));
    }
    let members = log.describe_group(&group)?.members;
    if !members.is_empty() {
        let hosts: Vec<String> = members.iter().map(|member| format!("{} at {}", member.id, member.host)).collect();
        return Err(Failure::Refused(format!(
            "{application} is at work: {}; stop it, or wait until the session of a process that is gone has ended",
            hosts.join(", ")
        )));
    }
    let offsets = log.group_positions(&group)?.into_iter();
    Ok((offsets.map(|(partition, position)| (group.clone(), partition, position)).collect(), groups))
}

fn set_in_directory(log: &EmbeddedLog, moves: &[Move]) -> Result<(), Failure> {
    let offset = |step: &Move| OffsetCommit {
        group: step.group.clone(),
        partition: step.partition.clone(),
        position: GroupOffset { next: step.to, metadata: Vec::new() },
    };
    let offsets = moves.iter().map(offset).collect();
    log.producer(PRODUCER)?.commit(Transaction { appends: Vec::new(), offsets })?;
    Ok(())
}

fn set_on_cluster(log: &KafkaLog, application: &str, moves: &[Move]) -> Result<(), Failure> {
    let group = GroupId::new(application).map_err(LogError::from)?;
    let position = |step: &Move| (step.partition.clone(), GroupOffset { next: step.to, metadata: Vec::new() });
    let positions: Vec<(TopicPartition, GroupOffset)> = moves.iter().map(position).collect();
    if !positions.is_empty() {
        log.set_group_positions(&group, &positions)?;
    }
    Ok(())
}

/// The stores of a data directory, if it has any.
fn state(directory: &PathBuf) -> Result<Option<Arc<StateBackend>>, Failure> {
    if !directory.is_dir() {
        return Ok(None);
    }
    let opened = StateBackend::open(StateConfig::new(directory, STATE_MEMORY));
    opened.map(Some).map_err(|error| Failure::Refused(error.to_string()))
}

/// One row a step.
fn show(plan: &Plan, format: OutputFormat) -> Result<(), Failure> {
    let (moves, topics, stores) = (plan.moves.iter(), plan.topics.iter(), plan.stores.iter());
    let rows: Vec<(&str, &str, Option<&Move>)> = moves
        .map(|step| ("set position", step.partition.topic.as_str(), Some(step)))
        .chain(topics.map(|topic| ("delete topic", topic.as_str(), None)))
        .chain(stores.map(|store| ("delete store", store.as_str(), None)))
        .collect();
    let numbers = |of: fn(&Move) -> u64| UInt64Array::from_iter(rows.iter().map(|(.., step)| step.map(of)));
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("STEP", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))), false),
        ("NAME", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1))), false),
        ("PARTITION", Arc::new(numbers(|step| u64::from(step.partition.partition.0))), true),
        ("FROM", Arc::new(numbers(|step| step.from.0)), true),
        ("TO", Arc::new(numbers(|step| step.to.0)), true),
    ];
    let rows =
        RecordBatch::try_from_iter_with_nullable(columns).map_err(|error: ArrowError| Failure::Output(error.into()))?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    write_rows(format, &rows.schema(), std::slice::from_ref(&rows), terminal_width(), &mut out)
        .map_err(|error: OutputError| error.into())
}
