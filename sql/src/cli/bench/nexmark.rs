//! Nexmark's queries and their input: people, auctions and bids in three topics.

use std::collections::BTreeMap;

use millstream::{
    connect::{PollLimits, Positions, Readiness, Source, SourceStart},
    log::{SharedLog, Transaction},
    record::Timestamp,
};
use millstream_connectors::nexmark::NexmarkSource;

use super::load::Loaded;
use crate::cli::failure::Failure;

/// Where the three streams are declared.
pub const SOURCES: &str = include_str!("../../../../tests/nexmark/sources.sql");

/// One of the queries.
#[derive(Debug, PartialEq, Eq)]
pub struct Nexmark {
    /// `q0` to `q22`; what it writes has the same name in capitals.
    pub name: &'static str,
    /// Its statements.
    pub script: &'static str,
}

/// Events a second of event time: windows of ten seconds hold about fifty.
pub const EVENT_RATE: u64 = 5;
/// The first event: an afternoon, so that a few hours of events pass midnight.
pub const BASE_TIME: Timestamp = Timestamp(1_436_899_503_000);

const POLL: PollLimits = PollLimits { rows: 50_000, bytes: 8 << 20 };
/// How a query begins that cannot be run yet.
const NOT_YET: &str = "-- not there yet: ";

macro_rules! queries {
    ($($name:literal),*) => {
        [$(Nexmark { name: $name, script: include_str!(concat!("../../../../tests/nexmark/", $name, ".sql")) }),*]
    };
}

/// All of them.
pub static QUERIES: [Nexmark; 23] = queries![
    "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "q8", "q9", "q10", "q11", "q12", "q13", "q14", "q15", "q16", "q17",
    "q18", "q19", "q20", "q21", "q22"
];

impl Nexmark {
    /// What it needs that is not there yet, if anything.
    pub fn missing(&self) -> Option<&'static str> {
        self.script.lines().next()?.strip_prefix(NOT_YET)
    }
}

/// Moves what the generator makes into its topics, which must exist.
///
/// # Errors
/// Those of generator and log.
pub fn load(source: &NexmarkSource, log: &SharedLog, on_progress: &mut dyn FnMut(u64)) -> Result<Loaded, Failure> {
    let mut generator = source.clone().generator();
    let partitions: BTreeMap<_, _> =
        generator.topics().into_iter().map(|topic| (topic.name, topic.config.partitions)).collect();
    let refuse = |error: millstream::connect::ConnectError| Failure::Refused(error.to_string());
    generator.open(SourceStart { positions: &Positions::new(), partitions: &partitions }).map_err(refuse)?;
    let mut producer = log.producer("millstream-bench")?;
    let mut loaded = Loaded::default();
    loop {
        let batch = generator.poll(POLL).map_err(refuse)?;
        for append in &batch.appends {
            loaded.rows += append.records.len() as u64;
            loaded.bytes += append.records.values().value_data().len() as u64;
        }
        producer.commit(Transaction { appends: batch.appends, offsets: Vec::new() })?;
        on_progress(loaded.rows);
        if batch.readiness == Readiness::Exhausted {
            return Ok(loaded);
        }
    }
}
