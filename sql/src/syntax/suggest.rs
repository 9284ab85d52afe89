//! The nearest known word to a misspelt one.
//!
//! The distance counts insertions, deletions, replacements and swaps of neighbours (Damerau 1964, the restricted form);
//! a third of the word may be wrong, and words of two letters or fewer get no suggestion.

/// The candidate nearest to `word`, letter case aside, if one is near enough; the first of equals.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = word.chars().flat_map(char::to_uppercase).collect();
    if wanted.len() < 3 || wanted.len() > 64 {
        return None;
    }
    let allowed = (wanted.len() / 3).clamp(1, 3);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let upper: Vec<char> = candidate.chars().flat_map(char::to_uppercase).collect();
        if upper.len().abs_diff(wanted.len()) > allowed {
            continue;
        }
        let distance = distance(&wanted, &upper);
        if distance <= allowed && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = above;
        above = row;
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(word: &str, candidates: &[&str], want: Option<&str>) {
        assert_eq!(nearest(word, candidates.iter().copied()), want, "word: {word}");
    }

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        check("FORM", &["FROM", "FOR"], Some("FROM"));
        check("selct", &["INSERT", "SELECT"], Some("SELECT"));
        check("kafka_topc", &["KAFKA_TOPIC", "PARTITIONS"], Some("KAFKA_TOPIC"));
        check("ab", &["ac"], None);
        check("orders", &["customers"], None);
        check("x", &[], None);
    }
}
