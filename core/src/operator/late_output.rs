//! Late output: the second output of an operator with windows, for those who asked for its late records.
//!
//! A record goes there once, however many of its windows were closed; it is counted once for each of them. Records are in the order in which
//! they came and unchanged: the columns are those of the operator's input. What is late for a subscribed operator is no dead letter.

use crate::Batch;

/// Where late records go that someone asked for.
#[derive(Debug, Default)]
pub struct LateOutput {
    /// The inputs whose late records are asked for.
    pub wanted: Vec<usize>,
    /// Late records, with the number of the input that they came by.
    pub records: Vec<(usize, Batch)>,
    /// For how many windows the records were late.
    pub misses: u64,
}
