//! The properties of a session: `SET 'auto.offset.reset' = 'earliest'`.
//!
//! There are those that change what statements do ([`KNOWN`]), and those of ksqlDB that scripts set and that need nothing done here
//! ([`WITHOUT_EFFECT`], each with the reason). Any other name is refused with the nearest known one.

use std::{collections::BTreeMap, time::Duration};

use millstream::{
    operator::EmitPolicy,
    topology::{InvalidTimestamps, OffsetReset},
};

use super::error::EngineError;
use crate::{
    catalog::{Catalog, FormatDefaults, FormatKind, SinkDefaults},
    pull::access::Scans,
    syntax::{Position, suggest::nearest},
};

/// Where queries begin in topics of which they have read nothing.
const RESET: &str = "auto.offset.reset";
/// How often queries commit.
const COMMIT_INTERVAL: &str = "commit.interval.ms";
/// When updates of tables are passed on.
const EMIT: &str = "emit";
/// Whether CREATE OR REPLACE is allowed.
const REPLACE: &str = "ksql.create.or.replace.enabled";
/// What the names of topics of queries begin with, where WITH names none.
const TOPIC_PREFIX: &str = "ksql.output.topic.name.prefix";
/// The formats that hold where WITH names none.
const KEY_FORMAT: &str = "ksql.persistence.default.format.key";
const VALUE_FORMAT: &str = "ksql.persistence.default.format.value";
/// Whether a single value column is wrapped in a record.
const WRAP: &str = "ksql.persistence.wrap.single.values";
/// Whether a record without a usable timestamp ends the query.
const THROW: &str = "ksql.timestamp.throw.on.invalid";
/// How many partitions topics of queries have, where WITH does not say.
const SINK_PARTITIONS: &str = "ksql.sink.partitions";
/// How many values the functions that collect keep.
const LIST_LIMIT: &str = "ksql.functions.collect_list.limit";
const SET_LIMIT: &str = "ksql.functions.collect_set.limit";
/// Whether pull queries may scan whole tables.
const TABLE_SCAN: &str = "ksql.query.pull.table.scan.enabled";
/// Whether pull queries may scan ranges of keys.
const RANGE_SCAN: &str = "ksql.query.pull.range.scan.enabled";

/// Every property: name, default, what it is.
pub(super) const KNOWN: [(&str, &str, &str); 14] = [
    (RESET, "earliest", "where persistent queries begin: earliest or latest (push queries: latest unless set)"),
    (COMMIT_INTERVAL, "100", "how often queries commit, in milliseconds"),
    (EMIT, "commit", "when updates of tables are passed on: at each commit or at each record"),
    (REPLACE, "true", "whether CREATE OR REPLACE is allowed"),
    (TOPIC_PREFIX, "", "what the names of topics that queries write begin with, where WITH names no topic"),
    (KEY_FORMAT, "KAFKA", "the format of keys, where neither WITH nor a source names one"),
    (VALUE_FORMAT, "", "the format of values, where neither WITH nor a source names one"),
    (WRAP, "true", "whether a single value column is wrapped in a record, for formats that can do both"),
    (
        SINK_PARTITIONS,
        "",
        "how many partitions topics that queries write have, where WITH does not say; else as many as the source",
    ),
    (LIST_LIMIT, "1000", "how many values COLLECT_LIST keeps"),
    (SET_LIMIT, "1000", "how many values COLLECT_SET keeps"),
    (THROW, "false", "whether a record without a usable timestamp ends the query; else it is a dead letter"),
    (TABLE_SCAN, "true", "whether pull queries may scan whole tables"),
    (RANGE_SCAN, "true", "whether pull queries may scan ranges of keys"),
];

/// Properties of ksqlDB that need nothing done: what they ask for is so, or does not exist here. Prefixes end in a full stop.
pub(super) const WITHOUT_EFFECT: [(&str, &str); 22] = [
    (
        "__emit.interval.ms.kstreams.windowed.aggregation__",
        "final results are passed on as soon as their window closes",
    ),
    ("default.timestamp.extractor", "a record without a usable timestamp is left out and counted"),
    ("ksql.sink.replicas", "the log keeps one copy"),
    ("ksql.internal.topic.replicas", "the log keeps one copy"),
    ("ksql.internal.topic.min.insync.replicas", "the log keeps one copy"),
    ("ksql.query.pull.enable.standby.reads", "there are no standbys"),
    ("ksql.query.pull.max.allowed.offset.lag", "there are no standbys"),
    ("ksql.query.pull.stream.enabled", "pull queries on streams are always there"),
    ("ksql.query.pull.interpreter.enabled", "expressions run one way"),
    ("ksql.query.push.v2.enabled", "push queries run one way"),
    ("ksql.new.query.planner.enabled", "there is one planner"),
    ("ksql.suppress.enabled", "EMIT FINAL is always there"),
    ("ksql.headers.columns.enabled", "columns of headers are always there"),
    ("ksql.source.table.materialization.enabled", "source tables can always be queried"),
    ("ksql.functions.substring.legacy.args", "positions begin at 1"),
    ("cache.max.bytes.buffering", "the property emit says when updates are passed on"),
    ("statestore.cache.max.bytes", "the property emit says when updates are passed on"),
    ("processing.guarantee", "each record counts exactly once, always"),
    ("num.stream.threads", "the engine has threads of its own for all queries"),
    ("replication.factor", "the log keeps one copy"),
    ("producer.", "there is no client between queries and their log"),
    ("consumer.", "there is no client between queries and their log"),
];

/// The properties that were set, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SessionProperties {
    pub(super) set: BTreeMap<String, String>,
}

impl SessionProperties {
    /// Sets a property; names may have ksqlDB's prefix `ksql.streams.`.
    ///
    /// # Errors
    /// An unknown name or a value that cannot be, at its place.
    pub(super) fn set(
        &mut self,
        name: &str,
        value: &str,
        name_at: Position,
        value_at: Position,
    ) -> Result<(), EngineError> {
        let Some(name) = known(name, name_at)? else { return Ok(()) };
        if let Some(expected) = expected(name, value) {
            return Err(EngineError::at(value_at, format!("'{name}' is {expected}, not '{value}'")));
        }
        let is_word = !matches!(name, TOPIC_PREFIX);
        self.set.insert(name.to_owned(), if is_word { value.to_ascii_lowercase() } else { value.to_owned() });
        Ok(())
    }

    /// Goes back to the default.
    ///
    /// # Errors
    /// An unknown name.
    pub(super) fn unset(&mut self, name: &str, at: Position) -> Result<(), EngineError> {
        if let Some(name) = known(name, at)? {
            self.set.remove(name);
        }
        Ok(())
    }

    /// Where a query begins.
    pub(super) fn reset(&self, default: OffsetReset) -> OffsetReset {
        self.set.get(RESET).and_then(|value| reset(value)).unwrap_or(default)
    }

    /// Which scans pull queries may do.
    pub(super) fn scans(&self) -> Scans {
        let allowed = |name: &str| self.set.get(name).and_then(|value| value.parse().ok()).unwrap_or(true);
        Scans { table: allowed(TABLE_SCAN), range: allowed(RANGE_SCAN) }
    }

    /// How often a query commits.
    pub(super) fn commit_interval(&self, default: Duration) -> Duration {
        self.set.get(COMMIT_INTERVAL).and_then(|value| value.parse().ok()).map_or(default, Duration::from_millis)
    }

    /// When a query passes updates on.
    pub(super) fn emit(&self, default: EmitPolicy) -> EmitPolicy {
        self.set.get(EMIT).and_then(|value| value.parse().ok()).unwrap_or(default)
    }

    /// Whether CREATE OR REPLACE is allowed.
    pub(super) fn may_replace(&self) -> bool {
        self.set.get(REPLACE).is_none_or(|value| value == "true")
    }

    /// The formats that hold where a statement names none.
    pub(super) fn format_defaults(&self) -> FormatDefaults {
        let format = |name: &str| self.set.get(name).and_then(|value| FormatKind::from_name(value));
        FormatDefaults {
            key: format(KEY_FORMAT),
            value: format(VALUE_FORMAT),
            wrap_single_value: self.set.get(WRAP).map(|value| value == "true"),
        }
    }

    /// What becomes of records without a usable timestamp.
    pub(super) fn invalid_timestamps(&self) -> InvalidTimestamps {
        match self.set.get(THROW).map(String::as_str) {
            Some("true") => InvalidTimestamps::Fail,
            _ => InvalidTimestamps::DeadLetter,
        }
    }

    /// Has a catalog plan as this session wants it.
    pub(super) fn settle(&self, catalog: &mut Catalog) {
        catalog.set_format_defaults(self.format_defaults());
        catalog.set_sink_defaults(self.sink_defaults());
        catalog.set_function_properties(self.of_functions());
        catalog.set_invalid_timestamps(self.invalid_timestamps());
    }

    /// A copy of a catalog that plans as this session wants it.
    pub(super) fn settled(&self, catalog: &Catalog) -> Catalog {
        let mut settled = catalog.clone();
        self.settle(&mut settled);
        settled
    }

    /// Those that functions have.
    pub(super) fn of_functions(&self) -> BTreeMap<String, String> {
        let set = self.set.iter().filter(|(name, _)| [LIST_LIMIT, SET_LIMIT].contains(&name.as_str()));
        set.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// What holds for the topics of queries where a statement does not say.
    pub(super) fn sink_defaults(&self) -> SinkDefaults {
        SinkDefaults {
            topic_prefix: self.set.get(TOPIC_PREFIX).cloned().unwrap_or_default(),
            partitions: self.set.get(SINK_PARTITIONS).and_then(|value| value.parse().ok()),
        }
    }
}

/// What a property takes, if it does not take this value.
fn expected(name: &str, value: &str) -> Option<&'static str> {
    let at_least_one = |value: &str| value.parse::<u64>().is_ok_and(|number| number > 0);
    let is_flag = value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false");
    let (is_fine, expected) = match name {
        RESET => (reset(value).is_some(), "earliest or latest"),
        COMMIT_INTERVAL => (at_least_one(value), "a number of milliseconds from 1 on"),
        EMIT => (value.to_ascii_lowercase().parse::<EmitPolicy>().is_ok(), "commit or record"),
        REPLACE | WRAP | THROW | TABLE_SCAN | RANGE_SCAN => (is_flag, "true or false"),
        KEY_FORMAT | VALUE_FORMAT => (FormatKind::from_name(value).is_some(), "the name of a format, such as JSON"),
        LIST_LIMIT | SET_LIMIT => (value.trim().parse::<i64>().is_ok(), "a whole number"),
        SINK_PARTITIONS => (at_least_one(value) && value.parse::<u32>().is_ok(), "a number of partitions from 1 on"),
        _ => (true, ""),
    };
    (!is_fine).then_some(expected)
}

fn reset(value: &str) -> Option<OffsetReset> {
    match value.to_ascii_lowercase().as_str() {
        "earliest" => Some(OffsetReset::Earliest),
        "latest" => Some(OffsetReset::Latest),
        _ => None,
    }
}

/// The name of a property as it is kept; none for one that needs nothing done.
fn known(name: &str, at: Position) -> Result<Option<&'static str>, EngineError> {
    let lower = name.to_ascii_lowercase();
    let bare = lower.strip_prefix("ksql.streams.").unwrap_or(&lower);
    if let Some((known, ..)) = KNOWN.iter().find(|(known, ..)| *known == bare) {
        return Ok(Some(known));
    }
    let is_meant = |known: &str| if known.ends_with('.') { bare.starts_with(known) } else { bare == known };
    if WITHOUT_EFFECT.iter().any(|(known, _)| is_meant(known)) {
        return Ok(None);
    }
    let names = || KNOWN.iter().map(|(known, ..)| *known);
    let hint = match nearest(bare, names().chain(WITHOUT_EFFECT.iter().map(|(known, _)| *known))) {
        Some(near) => format!("did you mean '{near}'"),
        None => format!("there is '{}'", names().collect::<Vec<_>>().join("', '")),
    };
    Err(EngineError::at(at, format!("no property '{name}'; {hint}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_checked_when_they_are_set() {
        let check = |name: &str, value: &str, want: &str| {
            let got = SessionProperties::default().set(name, value, Position::new(1, 5), Position::new(1, 20));
            assert_eq!(got.map_or_else(|error| error.to_string(), |()| String::new()), want);
        };
        check("auto.offset.reset", "Earliest", "");
        check("ksql.streams.commit.interval.ms", "5", "");
        check("emit", "record", "");
        check("ksql.create.or.replace.enabled", "TRUE", "");
        check("ksql.streams.producer.linger.ms", "5", "");
        check("ksql.suppress.enabled", "true", "");
        check("ksql.persistence.default.format.key", "json_sr", "");
        check("auto.ofset.reset", "earliest", "1:5: no property 'auto.ofset.reset'; did you mean 'auto.offset.reset'");
        check("ksql.sink.replica", "1", "1:5: no property 'ksql.sink.replica'; did you mean 'ksql.sink.replicas'");
        check("auto.offset.reset", "first", "1:20: 'auto.offset.reset' is earliest or latest, not 'first'");
        check("commit.interval.ms", "0", "1:20: 'commit.interval.ms' is a number of milliseconds from 1 on, not '0'");
        check(
            "ksql.create.or.replace.enabled",
            "on",
            "1:20: 'ksql.create.or.replace.enabled' is true or false, not 'on'",
        );
        check(
            "ksql.persistence.default.format.value",
            "XML",
            "1:20: 'ksql.persistence.default.format.value' is the name of a format, such as JSON, not 'XML'",
        );
    }

    #[test]
    fn prefixes_keep_their_case() {
        let mut properties = SessionProperties::default();
        let at = Position::START;
        properties.set("ksql.output.topic.name.prefix", "My-", at, at).unwrap();
        properties.set("ksql.persistence.default.format.value", "Avro", at, at).unwrap();
        assert_eq!(properties.sink_defaults().topic_prefix, "My-");
        assert_eq!(properties.format_defaults().value, Some(FormatKind::Avro));
        properties.unset("ksql.output.topic.name.prefix", at).unwrap();
        assert_eq!(properties.sink_defaults().topic_prefix, "");
    }
}
