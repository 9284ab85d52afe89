//! The properties of a session: `SET 'auto.offset.reset' = 'earliest'`.

use std::{collections::BTreeMap, time::Duration};

use millstream::{operator::EmitPolicy, topology::OffsetReset};

use super::error::EngineError;
use crate::{
    catalog::{FormatDefaults, FormatKind},
    syntax::{Position, suggest::nearest},
};

/// Where queries begin in topics of which they have read nothing.
const RESET: &str = "auto.offset.reset";
/// How often queries commit.
const COMMIT_INTERVAL: &str = "commit.interval.ms";
/// When updates of tables are passed on.
const EMIT: &str = "emit";

/// The format of keys where a statement names none.
const KEY_FORMAT: &str = "ksql.persistence.default.format.key";
/// The format of values where a statement names none.
const VALUE_FORMAT: &str = "ksql.persistence.default.format.value";
/// Whether single values are wrapped where a statement does not say.
const WRAP: &str = "ksql.persistence.wrap.single.values";

/// Every property: name, default, what it is.
pub(super) const KNOWN: [(&str, &str, &str); 6] = [
    (RESET, "earliest", "where persistent queries begin: earliest or latest (push queries: latest unless set)"),
    (COMMIT_INTERVAL, "100", "how often queries commit, in milliseconds"),
    (EMIT, "commit", "when updates of tables are passed on: at each commit or at each record"),
    (KEY_FORMAT, "kafka", "the format of keys where a statement names none"),
    (VALUE_FORMAT, "", "the format of values where a statement names none"),
    (WRAP, "true", "whether the only column of a value is wrapped in a record"),
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
        let name = known(name, name_at)?;
        let expected = match name {
            RESET => (reset(value).is_none()).then_some("earliest or latest"),
            COMMIT_INTERVAL => {
                (!value.parse::<u64>().is_ok_and(|millis| millis > 0)).then_some("a number of milliseconds from 1 on")
            }
            KEY_FORMAT | VALUE_FORMAT => FormatKind::from_name(value).is_none().then_some("the name of a format"),
            WRAP => (value.to_ascii_lowercase().parse::<bool>().is_err()).then_some("true or false"),
            _ => (value.to_ascii_lowercase().parse::<EmitPolicy>().is_err()).then_some("commit or record"),
        };
        if let Some(expected) = expected {
            return Err(EngineError::at(value_at, format!("'{name}' is {expected}, not '{value}'")));
        }
        self.set.insert(name.to_owned(), value.to_ascii_lowercase());
        Ok(())
    }

    /// Goes back to the default.
    ///
    /// # Errors
    /// An unknown name.
    pub(super) fn unset(&mut self, name: &str, at: Position) -> Result<(), EngineError> {
        self.set.remove(known(name, at)?);
        Ok(())
    }

    /// Where a query begins.
    pub(super) fn reset(&self, default: OffsetReset) -> OffsetReset {
        self.set.get(RESET).and_then(|value| reset(value)).unwrap_or(default)
    }

    /// The formats that hold where a statement names none.
    pub(super) fn format_defaults(&self) -> FormatDefaults {
        let format = |name: &str| self.set.get(name).and_then(|value| FormatKind::from_name(value));
        FormatDefaults {
            key: format(KEY_FORMAT),
            value: format(VALUE_FORMAT),
            wrap_single_value: self.set.get(WRAP).and_then(|value| value.parse().ok()),
        }
    }

    /// How often a query commits.
    pub(super) fn commit_interval(&self, default: Duration) -> Duration {
        self.set.get(COMMIT_INTERVAL).and_then(|value| value.parse().ok()).map_or(default, Duration::from_millis)
    }

    /// When a query passes updates on.
    pub(super) fn emit(&self, default: EmitPolicy) -> EmitPolicy {
        self.set.get(EMIT).and_then(|value| value.parse().ok()).unwrap_or(default)
    }
}

fn reset(value: &str) -> Option<OffsetReset> {
    match value.to_ascii_lowercase().as_str() {
        "earliest" => Some(OffsetReset::Earliest),
        "latest" => Some(OffsetReset::Latest),
        _ => None,
    }
}

fn known(name: &str, at: Position) -> Result<&'static str, EngineError> {
    let lower = name.to_ascii_lowercase();
    let bare = lower.strip_prefix("ksql.streams.").unwrap_or(&lower);
    if let Some((known, ..)) = KNOWN.iter().find(|(known, ..)| *known == bare) {
        return Ok(known);
    }
    let names: Vec<&str> = KNOWN.iter().map(|(known, ..)| *known).collect();
    let hint = match nearest(bare, names.iter().copied()) {
        Some(near) => format!("did you mean '{near}'"),
        None => format!("there is '{}'", names.join("', '")),
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
        check("auto.ofset.reset", "earliest", "1:5: no property 'auto.ofset.reset'; did you mean 'auto.offset.reset'");
        check("auto.offset.reset", "first", "1:20: 'auto.offset.reset' is earliest or latest, not 'first'");
        check("commit.interval.ms", "0", "1:20: 'commit.interval.ms' is a number of milliseconds from 1 on, not '0'");
    }
}
