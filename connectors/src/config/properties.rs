//! Properties while they are read: each is taken by the name that a connector asks for, and what nobody asked for is an error.
//!
//! Names asked for are remembered, found or not: they are the names known for the class, and the source of "did you mean".

use std::{fmt::Display, str::FromStr};

use millstream::{record::TopicName, secret::Secret};

use super::ConfigError;

pub(crate) struct Properties {
    /// Given and not yet taken.
    given: Vec<(String, String)>,
    /// Asked for.
    known: Vec<&'static str>,
    /// Required, asked for and not there.
    missing: Vec<&'static str>,
}

impl Properties {
    pub(crate) fn new(pairs: &[(String, String)]) -> Result<Self, ConfigError> {
        let mut given: Vec<(String, String)> = Vec::with_capacity(pairs.len());
        for (name, value) in pairs {
            if given.iter().any(|(earlier, _)| earlier.eq_ignore_ascii_case(name)) {
                return Err(ConfigError::Duplicate { name: name.clone() });
            }
            given.push((name.clone(), value.clone()));
        }
        Ok(Self { given, known: Vec::new(), missing: Vec::new() })
    }

    /// The value of a property that may be absent.
    pub(crate) fn optional(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        let at = self.given.iter().position(|(given, _)| given.eq_ignore_ascii_case(name))?;
        Some(self.given.remove(at).1)
    }

    /// The value of a property that may be absent; it is still to be taken.
    pub(crate) fn peek(&self, name: &str) -> Option<&str> {
        self.given.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The value of a property that must be there; if it is not, [`complete`](Self::complete) will say so.
    pub(crate) fn required(&mut self, name: &'static str) -> Option<String> {
        let value = self.optional(name);
        if value.is_none() {
            self.missing.push(name);
        }
        value
    }

    /// The topics that a sink reads: `topics`, with commas, or `topic`, each once. None if neither is there, which [`complete`](Self::complete)
    /// will say.
    pub(crate) fn topics(&mut self) -> Result<Vec<TopicName>, ConfigError> {
        let single = self.optional("topic");
        let text = match (self.optional("topics"), single) {
            (Some(_), Some(_)) => {
                let reason = "name all topics in `topics`".into();
                return Err(ConfigError::Conflict { name: "topic".into(), other: "`topics`".into(), reason });
            }
            (None, None) => self.required("topics"),
            (topics, topic) => topics.or(topic),
        };
        let mut names: Vec<TopicName> = Vec::new();
        for name in text.iter().flat_map(|text| text.split(',')) {
            let name = parse_value("topics", name)?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// A secret that may be absent: `${env:VARIABLE}` or `${file:PATH}`, never the text itself.
    pub(crate) fn secret(&mut self, name: &'static str) -> Result<Option<Secret>, ConfigError> {
        let Some(text) = self.optional(name) else { return Ok(None) };
        let secret = Secret::from_reference(&text);
        secret.map(Some).map_err(|error| ConfigError::Secret { name: name.into(), problem: error.to_string() })
    }

    /// The value, parsed; the default if absent.
    pub(crate) fn parsed<T: FromStr + PartialOrd>(
        &mut self,
        name: &'static str,
        least: T,
        default: T,
        expected: impl Display,
    ) -> Result<T, ConfigError> {
        let Some(value) = self.optional(name) else { return Ok(default) };
        match value.trim().parse::<T>() {
            Ok(parsed) if parsed >= least => Ok(parsed),
            _ => Err(ConfigError::BadValue { name: name.into(), value, expected: expected.to_string() }),
        }
    }

    /// `true` or `false`; false if absent.
    pub(crate) fn flag(&mut self, name: &'static str) -> Result<bool, ConfigError> {
        match self.optional(name) {
            None => Ok(false),
            Some(value) if value.eq_ignore_ascii_case("true") => Ok(true),
            Some(value) if value.eq_ignore_ascii_case("false") => Ok(false),
            Some(value) => Err(ConfigError::BadValue { name: name.into(), value, expected: "true or false".into() }),
        }
    }

    /// Fails if any required property was not there, naming all of them.
    pub(crate) fn complete(&self, class: &str) -> Result<(), ConfigError> {
        if self.missing.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = self.missing.iter().map(|name| format!("'{name}'")).collect();
        Err(ConfigError::Missing { names: format!("{}; a {class} needs it", names.join(", ")) })
    }

    /// Fails if a property is left that nobody asked for.
    pub(crate) fn finish(mut self) -> Result<(), ConfigError> {
        let Some((name, _)) = self.given.into_iter().next() else { return Ok(()) };
        self.known.sort_unstable();
        self.known.dedup();
        let lower = name.to_ascii_lowercase();
        let nearest = self
            .known
            .iter()
            .map(|known| (edit_distance(&lower, known), *known))
            .min()
            .filter(|(distance, known)| *distance <= 1 + known.len() / 4)
            .map(|(_, known)| known.to_owned());
        Err(ConfigError::Unknown { name, nearest, known: self.known.join(", ") })
    }
}

/// A value as the type of a name, or an error with the reason that the type gives.
pub(crate) fn parse_value<T: FromStr<Err: Display>>(name: &str, value: &str) -> Result<T, ConfigError> {
    value.trim().parse().map_err(|error: T::Err| ConfigError::BadValue {
        name: name.into(),
        value: value.into(),
        expected: format!("a legal name ({error})"),
    })
}

/// Levenshtein distance: insertions, deletions and replacements of a byte.
fn edit_distance(left: &str, right: &str) -> usize {
    let right = right.as_bytes();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (left, right, expected) in
            [("", "", 0), ("abc", "abc", 0), ("kitten", "sitting", 3), ("", "ab", 2), ("key.filed", "key.field", 2)]
        {
            assert_eq!(edit_distance(left, right), expected, "{left} {right}");
        }
    }
}
