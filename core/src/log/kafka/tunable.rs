//! The properties of the client library that may be chosen, and those that may not, with the reason.
//!
//! Nothing reaches the library that is not named here: a property can read files, load libraries, or break what a commit promises.

use super::KafkaConfigError;

/// What a property may be.
#[derive(Debug, Clone, Copy)]
enum Values {
    /// A whole number between two bounds, both allowed.
    Number(u64, u64),
    /// One of these words.
    Word(&'static [&'static str]),
}

/// Which clients a property is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// All of them.
    Both,
    /// Those that read.
    Reading,
    /// Those that write.
    Writing,
}

/// A property of the client library that may be chosen.
#[derive(Debug)]
pub(super) struct Tunable {
    /// Its name.
    pub(super) name: &'static str,
    /// Which clients it is for.
    pub(super) side: Side,
    values: Values,
}

const fn number(name: &'static str, side: Side, least: u64, most: u64) -> Tunable {
    Tunable { name, side, values: Values::Number(least, most) }
}

const fn word(name: &'static str, side: Side, words: &'static [&'static str]) -> Tunable {
    Tunable { name, side, values: Values::Word(words) }
}

const MINUTES_5: u64 = 300_000;

/// All that may be chosen, by name.
pub(super) const TUNABLE: &[Tunable] = &[
    number("batch.num.messages", Side::Writing, 1, 1_000_000),
    number("batch.size", Side::Writing, 1, i32::MAX as u64),
    word("broker.address.family", Side::Both, &["any", "v4", "v6"]),
    word("check.crcs", Side::Reading, &["true", "false"]),
    word("client.dns.lookup", Side::Both, &["use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"]),
    word("compression.type", Side::Writing, &["none", "gzip", "snappy", "lz4", "zstd"]),
    number("connections.max.idle.ms", Side::Both, 0, i32::MAX as u64),
    number("fetch.error.backoff.ms", Side::Reading, 0, MINUTES_5),
    number("fetch.max.bytes", Side::Reading, 1_024, 1 << 30),
    number("fetch.min.bytes", Side::Reading, 1, 100_000_000),
    number("fetch.queue.backoff.ms", Side::Reading, 0, MINUTES_5),
    number("fetch.wait.max.ms", Side::Reading, 0, MINUTES_5),
    number("linger.ms", Side::Writing, 0, 900_000),
    number("max.partition.fetch.bytes", Side::Reading, 1, 1_000_000_000),
    number("message.max.bytes", Side::Writing, 1_000, 1_000_000_000),
    number("metadata.max.age.ms", Side::Both, 1, 86_400_000),
    number("queue.buffering.max.kbytes", Side::Writing, 1, i32::MAX as u64),
    number("queue.buffering.max.messages", Side::Writing, 1, i32::MAX as u64),
    number("queued.max.messages.kbytes", Side::Reading, 1, 2_097_151),
    number("queued.min.messages", Side::Reading, 1, 10_000_000),
    number("receive.message.max.bytes", Side::Both, 1_000, i32::MAX as u64),
    number("reconnect.backoff.max.ms", Side::Both, 0, 3_600_000),
    number("reconnect.backoff.ms", Side::Both, 0, 3_600_000),
    number("retry.backoff.max.ms", Side::Both, 1, MINUTES_5),
    number("retry.backoff.ms", Side::Both, 1, MINUTES_5),
    number("socket.connection.setup.timeout.ms", Side::Both, 1_000, i32::MAX as u64),
    word("socket.keepalive.enable", Side::Both, &["true", "false"]),
    word("socket.nagle.disable", Side::Both, &["true", "false"]),
    number("socket.receive.buffer.bytes", Side::Both, 0, 100_000_000),
    number("socket.send.buffer.bytes", Side::Both, 0, 100_000_000),
    number("socket.timeout.ms", Side::Both, 10, MINUTES_5),
    number("topic.metadata.refresh.interval.ms", Side::Both, 1_000, 3_600_000),
];

/// What cannot be chosen, and why.
pub(super) const FIXED: &[(&str, &str)] = &[
    ("acks", "a commit counts when all replicas in sync have it"),
    ("allow.auto.create.topics", "topics are made on purpose only"),
    ("auto.commit.interval.ms", "positions are committed with the results"),
    ("auto.offset.reset", "where to begin is said by the program, for each topic"),
    ("delivery.timeout.ms", "a commit is tried until its outcome is known"),
    ("enable.auto.commit", "positions are committed with the results"),
    ("enable.auto.offset.store", "positions are committed with the results"),
    ("enable.idempotence", "records are written once"),
    ("enable.partition.eof", "readers must know when they have read everything"),
    ("group.id", "the group is the application's name"),
    ("isolation.level", "only what is committed is read"),
    ("max.in.flight.requests.per.connection", "records stay in order"),
    ("message.timeout.ms", "a commit is tried until its outcome is known"),
    ("partition.assignment.strategy", "groups are joined by the engine itself"),
    ("plugin.library.paths", "no code is loaded"),
    ("retries", "a commit is tried until its outcome is known"),
    ("ssl.engine.location", "no code is loaded"),
    ("transactional.id", "it is made of the producer's name and the process id: set process.id"),
];

/// Checks a property of the client library.
pub(super) fn check(name: &str, value: &str) -> Result<&'static Tunable, KafkaConfigError> {
    let found = TUNABLE.iter().find(|tunable| tunable.name == name);
    let tunable = found.ok_or_else(|| refusal(name, TUNABLE.iter().map(|tunable| tunable.name)))?;
    let problem = match tunable.values {
        Values::Number(least, most) => match value.parse::<u64>() {
            Ok(number) if (least..=most).contains(&number) => return Ok(tunable),
            _ => format!("must be a whole number from {least} to {most}"),
        },
        Values::Word(words) if words.contains(&value) => return Ok(tunable),
        Values::Word(words) => format!("must be one of {}", words.join(", ")),
    };
    Err(KafkaConfigError::InvalidValue { name: name.to_owned(), problem })
}

/// Why a name is not taken: it is fixed, or not known.
pub(super) fn refusal(name: &str, known: impl Iterator<Item = &'static str>) -> KafkaConfigError {
    let shown: String = name.chars().take(80).collect();
    if let Some((_, reason)) = FIXED.iter().find(|(fixed, _)| *fixed == name) {
        return KafkaConfigError::FixedProperty { name: shown, reason };
    }
    let near = known.map(|known| (distance(&shown, known), known)).min();
    let nearest = near.filter(|(distance, known)| *distance <= 1 + known.len() / 4).map(|(_, known)| known);
    KafkaConfigError::UnknownProperty { name: shown, nearest }
}

/// Levenshtein distance: how many bytes to put in, take out or replace.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str, value: &str) -> String {
        check(name, value).unwrap_err().to_string()
    }

    #[test]
    fn what_is_known_is_checked_and_what_is_not_is_named() {
        assert_eq!(check("fetch.min.bytes", "1").unwrap().side, Side::Reading);
        assert_eq!(
            refused("fetch.min.bytes", "0"),
            "property `fetch.min.bytes` must be a whole number from 1 to 100000000"
        );
        assert!(refused("compression.type", "rar").contains("one of none, gzip"));
        assert_eq!(
            refused("fetch.min.byte", "1"),
            "there is no property `fetch.min.byte`; did you mean `fetch.min.bytes`?"
        );
        assert_eq!(refused("zzz", "1"), "there is no property `zzz`");
        assert_eq!(
            refused("isolation.level", "x"),
            "property `isolation.level` is fixed: only what is committed is read"
        );
    }

    #[test]
    fn nothing_is_both_free_and_fixed() {
        let both = |tunable: &&Tunable| FIXED.iter().any(|(name, _)| *name == tunable.name);
        assert!(TUNABLE.iter().find(both).is_none());
        assert!(TUNABLE.is_sorted_by_key(|tunable| tunable.name));
    }
}
