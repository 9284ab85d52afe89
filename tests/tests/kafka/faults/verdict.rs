//! Whether every version was written exactly once: the output, as anyone reads it, against the input, worked out in plain Rust.
//!
//! The versions of a group have to count 1, 2, 3.. in order, and the sum of each has to exceed that of the one before by a number of that
//! group that was not used yet. Nothing is said about the order among numbers of several partitions, but those of one partition have to
//! come in their order. When all versions are used up, so have to be all numbers.

use std::collections::BTreeMap;

use super::pipeline::{Total, group};

/// What is in the topic `numbers`: the number, and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) number: u64,
    pub(super) partition: u32,
    pub(super) offset: u64,
}

/// Takes lines `partition|offset|number`.
pub(super) fn numbers(lines: &[String]) -> Vec<Number> {
    let parse = |line: &String| {
        let words: Vec<&str> = line.split('|').collect();
        let word = |at: usize| words[at].parse::<u64>().unwrap_or_else(|_| panic!("not a number: {line}"));
        Number { partition: word(0) as u32, offset: word(1), number: word(2) }
    };
    lines.iter().map(parse).collect()
}

/// Takes lines `partition|offset|key|value`; those of one key in order.
pub(super) fn versions(lines: &[String]) -> BTreeMap<String, Vec<Total>> {
    let mut found: BTreeMap<String, (String, Vec<Total>)> = BTreeMap::new();
    for line in lines {
        let words: Vec<&str> = line.splitn(4, '|').collect();
        let total: Total = serde_json::from_str(words[3]).unwrap_or_else(|error| panic!("{line}: {error}"));
        let (partition, totals) = found.entry(words[2].to_owned()).or_insert((words[0].to_owned(), Vec::new()));
        assert_eq!(partition, words[0], "group {} is in two partitions", words[2]);
        totals.push(total);
    }
    found.into_iter().map(|(key, (_, totals))| (key, totals)).collect()
}

/// Everything that is wrong.
pub(super) fn judge(numbers: &[Number], versions: &BTreeMap<String, Vec<Total>>) -> Vec<String> {
    let mut open: BTreeMap<String, BTreeMap<u64, Number>> = BTreeMap::new();
    let mut problems = Vec::new();
    for number in numbers {
        if open.entry(group(number.number)).or_default().insert(number.number, *number).is_some() {
            problems.push(format!("the input has {} twice, which makes it useless", number.number));
        }
    }
    for (key, totals) in versions {
        let mut unused = open.remove(key).unwrap_or_default();
        problems.extend(judge_group(key, totals, &mut unused));
        open.insert(key.clone(), unused);
    }
    for (key, unused) in open.iter().filter(|(_, unused)| !unused.is_empty()) {
        problems.push(format!(
            "{key}: {} numbers were lost: {:?}",
            unused.len(),
            unused.keys().take(5).collect::<Vec<_>>()
        ));
    }
    problems
}

fn judge_group(key: &str, totals: &[Total], unused: &mut BTreeMap<u64, Number>) -> Vec<String> {
    let mut problems = Vec::new();
    let mut last = Total::default();
    let mut positions: BTreeMap<u32, u64> = BTreeMap::new();
    for total in totals {
        if total.count != last.count + 1 {
            problems.push(format!("{key}: version {} follows version {}", total.count, last.count));
        }
        match u64::try_from(total.sum - last.sum).ok().and_then(|number| unused.remove(&number)) {
            None => problems.push(format!("{key}: version {} adds {}", total.count, total.sum - last.sum)),
            Some(Number { partition, offset, number }) => {
                if positions.insert(partition, offset).is_some_and(|before| before >= offset) {
                    problems.push(format!("{key}: {number} came out of order"));
                }
            }
        }
        last = total.clone();
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(totals: &[(i64, i64)], expected: &[&str]) {
        let input: Vec<Number> = (0..3)
            .map(|at| Number {
                number: 1 + at * super::super::pipeline::GROUPS,
                partition: (at % 2) as u32,
                offset: at,
            })
            .collect();
        let totals: Vec<Total> = totals.iter().map(|(count, sum)| Total { count: *count, sum: *sum }).collect();
        let found = judge(&input, &BTreeMap::from([("g1".to_owned(), totals)]));
        assert_eq!(found, expected);
    }

    #[test]
    fn whatever_is_lost_doubled_or_turned_around_is_found() {
        // Numbers 1, 65 and 129; 1 and 129 are in one partition.
        check(&[(1, 1), (2, 66), (3, 195)], &[]);
        check(&[(1, 65), (2, 66), (3, 195)], &[]);
        check(&[(1, 1), (2, 66)], &["g1: 1 numbers were lost: [129]"]);
        check(&[(1, 129), (2, 194), (3, 195)], &["g1: 1 came out of order"]);
        let doubled = ["g1: version 2 follows version 2", "g1: version 2 adds 0"];
        check(&[(1, 1), (2, 66), (2, 66), (3, 195)], &doubled);
        let from_an_old_state = ["g1: version 2 follows version 2", "g1: version 2 adds 64"];
        check(&[(1, 1), (2, 66), (2, 130)], &[&from_an_old_state[..], &["g1: 1 numbers were lost: [129]"]].concat());
    }
}
