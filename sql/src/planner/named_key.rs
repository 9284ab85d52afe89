//! What makes the key of a result, as messages call it when a projection lacks it or has it twice.
//!
//! A persistent query has every key column in its projection, once.

/// What makes a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamedKey {
    /// What one of its columns is: `key column`, `grouping expression` ..
    what: &'static str,
    /// Its columns, as ksqlDB writes them.
    names: Vec<String>,
}

impl NamedKey {
    /// The key of a source.
    pub(super) fn columns(names: Vec<String>) -> Self {
        Self { what: "key column", names }
    }

    /// GROUP BY.
    pub(super) fn grouping(names: Vec<String>) -> Self {
        Self { what: "grouping expression", names }
    }

    /// PARTITION BY.
    pub(super) fn partitioning(names: Vec<String>) -> Self {
        Self { what: "partitioning expression", names }
    }

    /// What is wrong with a projection of the query of `result` that has not all of it.
    pub(super) fn missing(&self, result: &str) -> String {
        missing(self.what, &self.names, ("and", &self.names.join(", ")), result)
    }

    /// What is wrong with a projection that has its column `key` under several `aliases`.
    pub(super) fn twice(&self, key: &str, aliases: &[String]) -> String {
        if self.what == "grouping expression" {
            let quoted: Vec<String> = aliases.iter().map(|alias| format!("`{alias}`")).collect();
            return format!("The projection contains a key column more than once: {}.", listed(&quoted, "and"));
        }
        twice(key, aliases)
    }
}

/// What is wrong with a projection that has a key column under several `aliases`.
pub(super) fn twice(key: &str, aliases: &[String]) -> String {
    let mut aliases = aliases.to_vec();
    aliases.sort();
    let listed = listed(&aliases, "and");
    format!("The projection contains a key column (`{key}`) more than once, aliased as: {listed}.")
}

/// What is wrong with a projection that has not one of `names` which make the key; `example` is what to select.
pub(super) fn missing(what: &str, names: &[String], (word, example): (&str, &str), result: &str) -> String {
    let plural = if names.len() > 1 { "s" } else { "" };
    format!(
        "Key missing from projection (ie, SELECT). The query used to build `{result}` must include the {what}{plural} {} \
         in its projection (eg, SELECT {example}...).",
        listed(names, word)
    )
}

/// `a, b and c`.
fn listed(names: &[String], word: &str) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} {word} {last}", most.join(", ")),
    }
}
