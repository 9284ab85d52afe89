//! Input from a seed.
//!
//! Time goes on by small steps, with ties, now and then a jump, and records that come a little or much too late. Windows in the topologies are
//! about ten milliseconds long, so that all their edges are met. Keys and values are few, so that they meet.

use std::collections::BTreeSet;

use millstream::record::{Header, Record, Timestamp};

use super::case::Step;

/// What the input of a topology is like.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    /// The topics, each as likely as the others.
    pub(crate) topics: &'static [&'static str],
    /// Every so many records has no key; none if 0.
    pub(crate) null_keys_one_in: u64,
    /// Every so many records has no value; none if 0.
    pub(crate) null_values_one_in: u64,
    /// Whether timestamps go back at times.
    pub(crate) out_of_order: bool,
    /// Whether a record without value may have the time of another record.
    pub(crate) tied_deletions: bool,
    /// Whether values may be empty texts.
    pub(crate) empty_values: bool,
    /// Before every so many records the wall clock moves on; it never does if 0.
    pub(crate) clock_one_in: u64,
}

impl Default for Input {
    fn default() -> Self {
        Self {
            topics: &["a"],
            null_keys_one_in: 15,
            null_values_one_in: 7,
            out_of_order: true,
            tied_deletions: true,
            empty_values: true,
            clock_one_in: 0,
        }
    }
}

/// Numbers that look random: SplitMix64 (Steele, Lea, Flood 2014), so that a seed means the same input for good.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, of: u64) -> bool {
        of > 0 && self.below(of) == 0
    }
}

/// The steps of a case.
pub(crate) fn steps(input: &Input, seed: u64) -> Vec<Step> {
    let mut random = Random::new(seed);
    let records = 8 + random.below(48);
    let keys = 1 + random.below(4);
    let mut now = random.below(30) as i64;
    let (mut steps, mut taken) = (Vec::new(), BTreeSet::new());
    for _ in 0..records {
        if random.one_in(input.clock_one_in) {
            steps.push(Step::Clock(1 + random.below(25)));
        }
        let topic = input.topics[random.below(input.topics.len() as u64) as usize];
        let mut record = record(input, &mut random, keys, &mut now);
        while record.value.is_none() && !input.tied_deletions && taken.contains(&record.timestamp) {
            record.timestamp.0 += 1;
        }
        taken.insert(record.timestamp);
        steps.push(Step::Record { topic, record });
    }
    steps
}

fn record(input: &Input, random: &mut Random, keys: u64, now: &mut i64) -> Record {
    let timestamp = timestamp(random, now);
    let timestamp = Timestamp(if input.out_of_order { timestamp } else { *now });
    let key = (!random.one_in(input.null_keys_one_in)).then(|| letter(random, keys).into_bytes());
    let value = (!random.one_in(input.null_values_one_in)).then(|| value(input, random).into_bytes());
    let header = |random: &mut Random| Header { name: "h".to_owned(), value: Some(vec![random.below(256) as u8]) };
    let headers = if random.one_in(6) { vec![header(random)] } else { Vec::new() };
    Record { key, value, timestamp, headers }
}

fn timestamp(random: &mut Random, now: &mut i64) -> i64 {
    match random.below(20) {
        0..=2 => *now,
        3..=5 => (*now - 1 - random.below(12) as i64).max(0),
        6 => (*now - 12 - random.below(40) as i64).max(0),
        7 => {
            *now += 10 + random.below(30) as i64;
            *now
        }
        _ => {
            *now += random.below(5) as i64;
            *now
        }
    }
}

fn letter(random: &mut Random, of: u64) -> String {
    char::from(b'a' + random.below(of) as u8).to_string()
}

/// A letter, which may be a key of another table, or `-`, and a digit; seldom nothing.
fn value(input: &Input, random: &mut Random) -> String {
    if random.one_in(40) && input.empty_values {
        return String::new();
    }
    let first = if random.one_in(8) { "-".to_owned() } else { letter(random, 4) };
    format!("{first}{}", random.below(10))
}
