//! What a query does, as far as one that replaces it has to do the same: its steps, what it reads, what it keeps.
//!
//! Steps are called as in ksqlDB, so that its reasons for refusing a change can be given.

/// What a query does, in outline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueryShape {
    /// Its steps without filters and projections, the last one first.
    pub steps: Vec<QueryStep>,
    /// What each of its parts reads.
    pub inputs: Vec<Vec<String>>,
    /// The stores that it keeps.
    pub stores: Vec<KeptStore>,
}

/// A step of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryStep {
    /// What it is: `StreamSource`, `StreamAggregate` ..
    pub name: &'static str,
    /// Whether a query with this step can be replaced.
    pub can_change: bool,
    /// What must be the same in the query that replaces it: what it is, its value.
    pub properties: Vec<(&'static str, String)>,
}

/// A store of a query. One whose layout changes gets another version, which is a store of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptStore {
    /// Its name in the first version.
    pub base: String,
    /// Rises by one from 1.
    pub version: u32,
    /// The parts of its rows, and how many columns each has.
    pub parts: Vec<(String, usize)>,
}

impl KeptStore {
    /// Its name.
    pub fn name(&self) -> String {
        versioned(&self.base, self.version)
    }
}

/// What the property of a step is called that says which windows it has.
pub const WINDOWS: &str = "windows";

/// The name of a version of a store.
pub fn versioned(base: &str, version: u32) -> String {
    if version <= 1 { base.to_owned() } else { format!("{base}-v{version}") }
}

impl QueryShape {
    /// Why a query of this shape cannot be replaced by one of another shape, if it cannot.
    pub fn why_not_replaced_by(&self, new: &Self) -> Option<String> {
        let fixed = self.steps.iter().chain(&new.steps).find(|step| !step.can_change);
        if let Some(step) = fixed {
            let differences = self.steps.iter().zip(&new.steps).filter_map(|(old, new)| old.difference(new));
            let windows = differences.into_iter().find(|(what, ..)| *what == WINDOWS);
            let why = windows.map(|(_, was, is)| format!(": its windows would change from {was} to {is}"));
            return Some(format!("Upgrades not yet supported for {}{}", step.name, why.unwrap_or_default()));
        }
        for (old, new) in self.steps.iter().zip(&new.steps) {
            if let Some((what, was, is)) = old.difference(new) {
                let name = old.name;
                return Some(format!(
                    "Query is not upgradeable. Plan step of type {name} must have matching {what}. Values differ: {was} vs. {is}"
                ));
            }
        }
        let names = |shape: &Self| shape.steps.iter().map(|step| step.name).collect::<Vec<_>>().join(", ");
        if self.steps.len() != new.steps.len() {
            let (was, is) = (names(self), names(new));
            return Some(format!(
                "Query is not upgradeable. It must have matching steps. Values differ: [{was}] vs. [{is}]"
            ));
        }
        self.lost_state(new).or_else(|| {
            (self.inputs != new.inputs).then(|| {
                "Query is not upgradeable. What it moves through its repartition topics would change".to_owned()
            })
        })
    }

    /// What would be lost of the stores: a part that is not computed any more cannot come back.
    fn lost_state(&self, new: &Self) -> Option<String> {
        let is_aggregate = self.steps.iter().any(|step| step.name == "StreamAggregate");
        for old in &self.stores {
            let Some(kept) = new.stores.iter().find(|store| store.base == old.base) else {
                return Some(format!("Query is not upgradeable. It would not keep store {} any more", old.base));
            };
            let lost = old.parts.iter().find(|part| !kept.parts.contains(part));
            if let (Some((what, _)), true) = (lost, is_aggregate) {
                return Some(format!(
                    "Query is not upgradeable. Plan step of type StreamAggregate must have matching aggregation \
                     functions: {what} is missing"
                ));
            }
        }
        None
    }
}

impl QueryStep {
    /// The first thing that another step has different: what it is, what it was, what it would be.
    fn difference(&self, new: &Self) -> Option<(&'static str, String, String)> {
        if self.name != new.name {
            return Some(("class", self.name.to_owned(), new.name.to_owned()));
        }
        let properties = self.properties.iter().zip(&new.properties);
        let mut different = properties.filter(|(old, new)| old != new);
        different.next().map(|((what, was), (_, is))| (*what, was.clone(), is.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(steps: &[(&'static str, &str)]) -> QueryShape {
        let step = |(name, value): &(&'static str, &str)| QueryStep {
            name,
            can_change: !name.ends_with("Join"),
            properties: vec![("topicName", (*value).to_owned())],
        };
        QueryShape { steps: steps.iter().map(step).collect(), ..QueryShape::default() }
    }

    #[test]
    fn steps_must_stay() {
        let check = |old: &[(&'static str, &str)], new: &[(&'static str, &str)], want: Option<&str>| {
            assert_eq!(shape(old).why_not_replaced_by(&shape(new)).as_deref(), want, "{old:?} {new:?}");
        };
        let source = ("StreamSource", "a");
        check(&[source], &[source], None);
        check(
            &[source],
            &[("StreamSource", "b")],
            Some(
                "Query is not upgradeable. Plan step of type StreamSource must have matching topicName. Values differ: a vs. b",
            ),
        );
        check(
            &[source],
            &[("TableSource", "a")],
            Some(
                "Query is not upgradeable. Plan step of type StreamSource must have matching class. Values differ: \
                 StreamSource vs. TableSource",
            ),
        );
        let join = ("StreamTableJoin", "");
        check(&[join, source], &[join, source], Some("Upgrades not yet supported for StreamTableJoin"));
        check(&[source], &[join, source], Some("Upgrades not yet supported for StreamTableJoin"));
    }

    #[test]
    fn what_was_counted_goes_on_being_counted() {
        let kept = |parts: &[&str]| QueryShape {
            stores: vec![KeptStore {
                base: "T".to_owned(),
                version: 1,
                parts: parts.iter().map(|part| ((*part).to_owned(), 1)).collect(),
            }],
            ..shape(&[("StreamAggregate", "")])
        };
        let check = |old: &[&str], new: &[&str], want: bool| {
            assert_eq!(kept(old).why_not_replaced_by(&kept(new)).is_none(), want, "{old:?} {new:?}");
        };
        check(&["count"], &["count"], true);
        check(&["count"], &["sum", "count"], true);
        check(&["count", "sum"], &["sum"], false);
        assert_eq!(versioned("T", 1), "T");
        assert_eq!(versioned("T", 3), "T-v3");
    }
}
