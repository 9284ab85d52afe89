//! Why a question to a store has no answer.

use crate::record::{Offset, PartitionId, TopicPartition};

/// Why a store could not be read, or not be asked so.
///
/// ```
/// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
/// # let builder = StreamsBuilder::new();
/// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
/// # orders.group_by_key().count("counts");
/// # let driver = TopologyTestDriver::new(&builder.build()?)?;
/// let Err(error) = driver.store::<String, String>("counts") else { return Err("counts are numbers".into()) };
/// assert!(error.to_string().starts_with("store counts: the value has the columns"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// Reading failed, or whoever was given the rows did not want them.
    #[error("store {store}: {problem}")]
    Read {
        /// The store.
        store: String,
        /// What happened.
        problem: String,
    },
    /// There is no store of that name that can be read.
    #[error("there is no store `{name}` that can be read; {known}")]
    UnknownStore {
        /// The name asked for.
        name: String,
        /// The nearest name, or all of them.
        known: String,
    },
    /// Another process has the partition and cannot be asked, or nobody has it at present.
    #[error(
        "store {store}: partition {partition} is not in this process, and nobody else gives it: {why}; ask again in a moment"
    )]
    NotHere {
        /// The store.
        store: String,
        /// The partition that was needed.
        partition: PartitionId,
        /// Why it could not be had elsewhere.
        why: String,
    },
    /// The store has other columns than the types asked for.
    #[error("store {store}: the {side} has the columns {problem}")]
    Types {
        /// The store.
        store: String,
        /// `key` or `value`.
        side: &'static str,
        /// What does not fit.
        problem: String,
    },
    /// The question does not fit what the store holds.
    #[error("store {store} holds {holds} and knows no answer to {asked}; ask {instead}")]
    WrongQuery {
        /// The store.
        store: String,
        /// What it holds.
        holds: &'static str,
        /// The type of the question.
        asked: &'static str,
        /// The types of questions that fit.
        instead: &'static str,
    },
    /// The bound speaks of a topic that does not feed the store.
    #[error("store {store}: {partition} does not feed it, so no bound can be put on it; it is fed by {inputs}")]
    UnknownInput {
        /// The store.
        store: String,
        /// What the bound speaks of.
        partition: TopicPartition,
        /// What it could speak of.
        inputs: String,
    },
    /// The store has not come as far as was asked for.
    #[error(
        "store {store} is {records} records of {partition} behind: it has come to {reached}, {wanted} was asked for; wait longer, or \
         look at the lag"
    )]
    Behind {
        /// The store.
        store: String,
        /// The input that is farthest behind.
        partition: TopicPartition,
        /// The offset that was asked for.
        wanted: Offset,
        /// The offset that was reached.
        reached: Offset,
        /// The records between them.
        records: u64,
    },
}

impl QueryError {
    /// What went wrong while reading, without the store; `None` for a question that was refused.
    ///
    /// ```
    /// use millstream::query::QueryError;
    ///
    /// let error = QueryError::Read { store: "counts".into(), problem: "gone".into() };
    /// assert_eq!(error.read_problem(), Some("gone"));
    /// ```
    pub fn read_problem(&self) -> Option<&str> {
        match self {
            Self::Read { problem, .. } => Some(problem),
            _ => None,
        }
    }
}

/// What is known instead of a store that is not: the nearest name if one is near, else all.
pub(crate) fn known_stores<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let near = known.iter().map(|other| (distance(&name.to_lowercase(), &other.to_lowercase()), *other)).min();
    match near {
        None => "the topology has none".to_owned(),
        Some((distance, other)) if distance <= name.len().div_ceil(3) => format!("did you mean `{other}`?"),
        Some(_) => format!("there are {}", known.join(", ")),
    }
}

/// How many letters have to be put in, taken out or changed to make one text of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (place, wanted) in other.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *wanted);
            diagonal = row[place + 1];
            row[place + 1] = changed.min(diagonal + 1).min(row[place] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_offered_and_otherwise_all() {
        let check = |name: &str, known: &[&str], expected: &str| {
            assert_eq!(known_stores(name, known.iter().copied()), expected);
        };
        check("Counts", &["counts", "totals"], "did you mean `counts`?");
        check("count", &["counts", "totals"], "did you mean `counts`?");
        check("prices", &["counts", "totals"], "there are counts, totals");
        check("prices", &[], "the topology has none");
        assert_eq!((distance("kitten", "sitting"), distance("", "abc"), distance("abc", "")), (3, 3, 3));
    }
}
