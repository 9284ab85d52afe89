//! Rounds: rows dealt so that no key occurs twice in one, and each key's rows come in their order.
//!
//! ```text
//! rows   a b a a b      rounds  1: a b    2: a b    3: a
//! ```

use arrow::row::Rows;
use hashbrown::HashMap;

/// Deals entries, each of a group below `total`, into rounds.
pub(super) fn deal(groups: &[usize], total: usize) -> Vec<Vec<u32>> {
    let mut seen = vec![0_usize; total];
    let mut rounds: Vec<Vec<u32>> = Vec::new();
    for (entry, &group) in groups.iter().enumerate() {
        let round = seen[group];
        seen[group] += 1;
        if round == rounds.len() {
            rounds.push(Vec::new());
        }
        rounds[round].push(entry as u32);
    }
    rounds
}

/// Deals rows into rounds by their encoded keys.
pub(super) fn rounds(keys: &Rows) -> Vec<Vec<u32>> {
    let mut seen: HashMap<&[u8], usize> = HashMap::with_capacity(keys.num_rows());
    let mut rounds: Vec<Vec<u32>> = Vec::new();
    for row in 0..keys.num_rows() {
        let round = seen.entry(keys.row(row).data()).or_insert(0);
        if *round == rounds.len() {
            rounds.push(Vec::new());
        }
        rounds[*round].push(row as u32);
        *round += 1;
    }
    rounds
}
