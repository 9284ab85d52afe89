//! Running a case: statements, then records, then what came out beside what was expected.

use std::{collections::BTreeSet, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use millstream::{
    format::registry::EmbeddedRegistry,
    log::TopicConfig,
    operator::EmitPolicy,
    record::{Header, Record, Timestamp, TopicName},
};

use super::{
    answers,
    case::{Case, CaseRecord, TopicSetup},
    cluster_stage::{ClusterStage, TestCluster},
    compare::same_payload,
    payload::Layout,
    post, schemas, script,
    stage::Stage,
    value::Value,
};
use crate::{
    catalog::RegistryHandle,
    engine::{
        EngineError,
        in_memory::{Answer, InMemoryEngine},
    },
    functions::{Functions, registry::FunctionKind},
};

/// How cases are run and judged.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Records that come in a row to one topic are processed so many at a time, as batches; none processes all of the input record by
    /// record, in the order in which it was written.
    pub batch_rows: Option<usize>,
    /// Queries are made anew in the middle of the input.
    pub restart: bool,
    /// Of a table only the last record of each key counts.
    pub changelog: bool,
    /// When updates of tables are passed on.
    pub emit: EmitPolicy,
    /// What statements can call beside the functions of the language; a case that names others is skipped.
    pub functions: Functions,
    /// The cluster to play cases on; none means memory.
    pub cluster: Option<TestCluster>,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            batch_rows: None,
            restart: false,
            changelog: false,
            emit: EmitPolicy::Record,
            functions: Functions::new(),
            cluster: None,
        }
    }
}

/// What became of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As expected.
    Passed {
        /// Of a case that must fail: whether the expected message is in the one that came. None for a case that must succeed.
        message_fits: Option<bool>,
        /// The message that came, if one was expected.
        message: Option<String>,
    },
    /// Not as expected, and why.
    Failed(String),
    /// Not run, and why.
    Skipped(String),
}

/// Runs a case.
pub fn run(case: &Case, options: &RunOptions) -> Outcome {
    Run { case, options }.outcome()
}

struct Run<'a> {
    case: &'a Case,
    options: &'a RunOptions,
}

/// Why a case ended early.
enum Stop {
    /// The statement with this index was refused.
    Refused(usize, String),
    /// A query failed on a record.
    Runtime(String),
    /// Something is not as expected.
    Differs(String),
    /// It cannot be run.
    Skipped(String),
}

impl From<String> for Stop {
    fn from(problem: String) -> Self {
        if problem.ends_with(": not there yet") && problem.starts_with("format ") {
            Self::Skipped(problem)
        } else {
            Self::Differs(problem)
        }
    }
}

/// Whether a message has the expected part, whatever its line ends.
fn fits(message: &str, part: &str) -> bool {
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    plain(message).contains(&plain(part))
}

impl Run<'_> {
    fn outcome(&self) -> Outcome {
        let is_unknown = |name: &&String| self.options.functions.kind_of(name) == FunctionKind::Unknown;
        let unknown: Vec<&str> = self.case.test_functions.iter().filter(is_unknown).map(String::as_str).collect();
        if !unknown.is_empty() {
            let names = unknown.join(", ");
            return Outcome::Skipped(format!("it calls functions of a user: {names}"));
        }
        let is_planner = |(name, value): &(String, String)| name == "ksql.new.query.planner.enabled" && value == "true";
        if self.case.properties.iter().any(is_planner) {
            return Outcome::Skipped("it asks for another planner (ksql.new.query.planner.enabled)".to_owned());
        }
        if self.options.cluster.is_some() && self.case.statements.iter().any(|text| script::is_push(text)) {
            return Outcome::Skipped("the answer of a push query has no end on a cluster".to_owned());
        }
        if self.options.cluster.is_some() && self.case.statements.iter().any(|text| text.contains("ROWOFFSET")) {
            return Outcome::Skipped("on a cluster the marks of transactions have offsets, too".to_owned());
        }
        match self.judged() {
            Ok(None) => Outcome::Passed { message_fits: None, message: None },
            Ok(Some((message_fits, message))) => {
                Outcome::Passed { message_fits: Some(message_fits), message: Some(message) }
            }
            Err(Stop::Refused(index, problem)) if index + 1 < self.case.statements.len() => {
                Outcome::Failed(format!("statement {} of {}: {problem}", index + 1, self.case.statements.len()))
            }
            Err(Stop::Refused(_, problem) | Stop::Runtime(problem) | Stop::Differs(problem)) => {
                Outcome::Failed(problem)
            }
            Err(Stop::Skipped(reason)) => Outcome::Skipped(reason),
        }
    }

    /// Whether the message was the expected one, and the message, if one was expected.
    fn judged(&self) -> Result<Option<(bool, String)>, Stop> {
        let registry = Arc::new(EmbeddedRegistry::in_memory());
        let handle = RegistryHandle(Arc::clone(&registry) as _);
        let mut stage = self.stage(handle).map_err(|error| error.to_string())?;
        let engine = stage.as_mut();
        engine.set_property("auto.offset.reset", "earliest");
        for (name, value) in &self.case.properties {
            engine.set_property(name, value);
        }
        self.make_topics(engine)?;
        schemas::register(self.case, &engine.catalog(), &registry)?;
        let Some(failure) = &self.case.failure else { return self.execute(engine).map(|()| None) };
        let last = self.case.statements.len().saturating_sub(1);
        match self.execute(engine) {
            Ok(()) => {
                let what = match (self.case.is_script, failure.at_runtime) {
                    (true, _) => "every statement was accepted",
                    (false, true) => "no record failed",
                    (false, false) => "the last statement was accepted",
                };
                Err(Stop::Differs(format!("{what}; expected was: {}", failure.message)))
            }
            Err(Stop::Refused(index, problem)) if self.case.is_script || (index == last && !failure.at_runtime) => {
                Ok(Some((fits(&problem, &failure.message), problem)))
            }
            Err(Stop::Runtime(problem)) if failure.at_runtime => Ok(Some((fits(&problem, &failure.message), problem))),
            Err(stop) => Err(stop),
        }
    }

    /// Where it is played.
    fn stage(&self, registry: RegistryHandle) -> Result<Box<dyn Stage>, EngineError> {
        if let Some(cluster) = &self.options.cluster {
            return Ok(Box::new(ClusterStage::open(cluster, self.options, registry)?));
        }
        let engine = InMemoryEngine::with_registry(self.options.emit, registry)?;
        Ok(Box::new(engine.with_functions(self.options.functions.clone())))
    }

    fn make_topics(&self, engine: &dyn Stage) -> Result<(), Stop> {
        let listed = self.case.topics.iter().map(|TopicSetup { name, partitions, .. }| (name, *partitions));
        let said = schemas::partitions(self.case);
        for (name, partitions) in listed {
            let listed =
                self.case.topics.iter().any(|topic| topic.name == *name && topic.written.get("partitions").is_some());
            let partitions = said.get(name).copied().filter(|_| !listed).unwrap_or(partitions);
            let topic = TopicName::new(name).map_err(|error| error.to_string())?;
            let config = TopicConfig { partitions, ..TopicConfig::default() };
            engine.log().create_topic(&topic, &config).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Everything that may fail because it should.
    fn execute(&self, engine: &mut dyn Stage) -> Result<(), Stop> {
        if self.case.is_script {
            return script::run(self.case, engine, self.options)
                .map_err(|(index, problem)| Stop::Refused(index, problem));
        }
        let first_query = self.case.statements.iter().position(|text| script::is_query(text));
        let (before, queries) = self.case.statements.split_at(first_query.unwrap_or(self.case.statements.len()));
        for (index, text) in before.iter().enumerate() {
            engine.execute(text).map_err(|error| Stop::Refused(index, error.to_string()))?;
        }
        if !self.case.inputs_after_query {
            self.feed(engine)?;
        }
        let mut answers = Vec::with_capacity(queries.len());
        for (index, text) in queries.iter().enumerate() {
            let number = before.len() + index;
            let answer = engine.execute(text).map_err(|error| Stop::Refused(number, error.to_string()))?;
            answers.push((number, answer));
        }
        if self.case.inputs_after_query {
            self.feed(engine)?;
        }
        for (number, answer) in &mut answers {
            if let Answer::Push(run) = answer {
                run.run().map_err(|error| Stop::Refused(*number, error.to_string()))?;
            }
            if let Some(expected) = self.case.answers.iter().find(|answer| answer.statement == *number) {
                answers::check(answer, expected, self.case.ordered)?;
            }
        }
        self.check_sources(engine)?;
        post::check(self.case, engine)?;
        self.check_outputs(engine)
    }

    /// Writes the inputs and has them processed.
    fn feed(&self, engine: &mut dyn Stage) -> Result<(), Stop> {
        let half = if self.options.restart { self.case.inputs.len() / 2 } else { usize::MAX };
        let inputs = &self.case.inputs;
        let mut waiting = 0;
        for (index, record) in inputs.iter().enumerate() {
            self.produce(engine, record)?;
            waiting += 1;
            let is_other = inputs.get(index + 1).is_none_or(|next| next.topic != record.topic);
            if self.options.batch_rows.is_some_and(|rows| waiting >= rows.max(1) || is_other) {
                engine.run_in_batches().map_err(|error| Stop::Runtime(error.to_string()))?;
                waiting = 0;
            }
            if index + 1 == half {
                engine.run().map_err(|error| Stop::Runtime(error.to_string()))?;
                engine.restart().map_err(|error| Stop::Runtime(error.to_string()))?;
                waiting = 0;
            }
        }
        engine.run().map_err(|error| Stop::Runtime(error.to_string()))
    }

    fn produce(&self, engine: &mut dyn Stage, record: &CaseRecord) -> Result<(), Stop> {
        let layout = layout(engine, &record.topic)?;
        let headers = record.headers.iter().map(|(name, value)| Header {
            name: name.clone(),
            value: value.as_deref().and_then(|text| BASE64_STANDARD.decode(text).ok()),
        });
        let written = Record {
            key: layout.key_bytes(record)?,
            value: layout.value.encode(&record.value)?,
            timestamp: Timestamp(record.timestamp.unwrap_or_default()),
            headers: headers.collect(),
        };
        engine.produce(&record.topic, vec![written]).map_err(|error| error.to_string())?;
        Ok(())
    }

    fn check_sources(&self, engine: &dyn Stage) -> Result<(), Stop> {
        for expected in &self.case.sources {
            let catalog = engine.catalog();
            let Some(source) = catalog.source(&expected.name) else { continue };
            let found = answers::schema_text(source);
            if found != expected.schema {
                return Err(Stop::Differs(format!(
                    "schema of {}\n  expected {}\n  found    {found}",
                    expected.name, expected.schema
                )));
            }
        }
        Ok(())
    }

    fn check_outputs(&self, engine: &dyn Stage) -> Result<(), Stop> {
        let topics: BTreeSet<&str> = self.case.outputs.iter().map(|record| record.topic.as_str()).collect();
        for topic in topics {
            let expected: Vec<&CaseRecord> = self.case.outputs.iter().filter(|record| record.topic == topic).collect();
            let layout = layout(engine, topic)?;
            let like = expected.iter().find_map(|record| record.window);
            let records = engine.records(topic).map_err(|error| error.to_string())?;
            let skipped = if self.case.has("input-to-sink") { 0 } else { self.written_by_case(topic) };
            let mut actual = Vec::with_capacity(records.len());
            for record in &records[skipped.min(records.len())..] {
                let (key, window) = layout.key_of(record.key.as_deref(), like)?;
                let header = |header: &Header| {
                    (header.name.clone(), header.value.as_deref().map(|bytes| BASE64_STANDARD.encode(bytes)))
                };
                actual.push(CaseRecord {
                    topic: topic.to_owned(),
                    timestamp: Some(record.timestamp.millis()),
                    key,
                    value: layout.value.decode(record.value.as_deref())?,
                    window,
                    headers: record.headers.iter().map(header).collect(),
                });
            }
            let name = TopicName::new(topic).map_err(|error| error.to_string())?;
            let partitions = engine.log().describe_topic(&name).map_or(1, |topic| topic.config.partitions);
            self.check_records(topic, &expected, &actual, &layout, partitions > 1)?;
        }
        Ok(())
    }

    /// How many of a topic's records the case has written itself.
    fn written_by_case(&self, topic: &str) -> usize {
        self.case.inputs.iter().filter(|record| record.topic == topic).count()
    }

    fn check_records(
        &self,
        topic: &str,
        expected: &[&CaseRecord],
        actual: &[CaseRecord],
        layout: &Layout,
        is_interleaved: bool,
    ) -> Result<(), Stop> {
        let no_clock = self.case.inputs.is_empty();
        let same = |expected: &CaseRecord, actual: &CaseRecord| {
            let time = expected.timestamp.is_none()
                || expected.timestamp == actual.timestamp
                || (no_clock && expected.timestamp == Some(0));
            same_payload(&expected.key, &actual.key, &layout.key)
                && expected.window == actual.window
                && same_payload(&expected.value, &actual.value, &layout.value)
                && expected.headers == actual.headers
                && time
        };
        let fits = if self.options.changelog && layout.is_table {
            let (wanted, found) = (last_of_keys(expected.iter().copied(), layout), last_of_keys(actual.iter(), layout));
            same_in_any_order(&wanted, &found, &same)
        } else if self.case.has("multi-writer") {
            same_in_any_order(expected, &actual.iter().collect::<Vec<_>>(), &same)
        } else if is_interleaved {
            // Only the records of one key have an order.
            let of_key = |wanted: &CaseRecord| {
                let same_key = |record: &&CaseRecord| same_payload(&wanted.key, &record.key, &layout.key);
                let found: Vec<&CaseRecord> = actual.iter().filter(same_key).collect();
                let wanted: Vec<&CaseRecord> = expected.iter().copied().filter(same_key).collect();
                wanted.len() == found.len() && wanted.iter().zip(found).all(|(wanted, found)| same(wanted, found))
            };
            expected.len() == actual.len() && expected.iter().all(|wanted| of_key(wanted))
        } else {
            expected.len() == actual.len() && expected.iter().zip(actual).all(|(wanted, found)| same(wanted, found))
        };
        if fits {
            return Ok(());
        }
        let wanted: Vec<String> = expected.iter().map(|record| shown(record)).collect();
        let found: Vec<String> = actual.iter().map(shown).collect();
        Err(Stop::Differs(super::report::beside(&format!("records of {topic}"), &wanted, &found)))
    }
}

/// The last record of each key and window, without tombstones.
fn last_of_keys<'a>(records: impl Iterator<Item = &'a CaseRecord>, layout: &Layout) -> Vec<&'a CaseRecord> {
    let mut last: Vec<&CaseRecord> = Vec::new();
    for record in records {
        last.retain(|other| other.window != record.window || !same_payload(&record.key, &other.key, &layout.key));
        last.push(record);
    }
    last.retain(|record| record.value != Value::Null);
    last
}

/// Whether two sequences hold the same, each as often.
fn same_in_any_order(
    expected: &[&CaseRecord],
    actual: &[&CaseRecord],
    same: &dyn Fn(&CaseRecord, &CaseRecord) -> bool,
) -> bool {
    let mut left = actual.to_vec();
    expected.len() == actual.len()
        && expected.iter().all(|wanted| match left.iter().position(|found| same(wanted, found)) {
            Some(position) => {
                left.remove(position);
                true
            }
            None => false,
        })
}

fn shown(record: &CaseRecord) -> String {
    let window = record.window.map_or_else(String::new, |window| format!(" @{}-{}", window.start, window.end));
    let time = record.timestamp.map_or_else(String::new, |time| format!(" t={time}"));
    let headers = if record.headers.is_empty() { String::new() } else { format!(" headers {:?}", record.headers) };
    format!("{}{window} : {}{time}{headers}", record.key, record.value)
}

fn layout(engine: &dyn Stage, topic: &str) -> Result<Layout, Stop> {
    let mut sources = engine.sources_of(topic);
    // What a query writes tells more of a topic than what was declared over it.
    sources.sort_by_key(|source| source.created_by.is_none());
    let source = sources.first().ok_or_else(|| Stop::Differs(format!("no stream or table is over topic {topic}")))?;
    Ok(Layout::of(source))
}
