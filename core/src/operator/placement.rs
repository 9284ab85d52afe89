//! Placement: which partitions of a topic a record goes to.
//!
//! By default the partition is that of Kafka's own partitioner over the key's bytes, of a windowed key over the key without its window. A column
//! or a [`Partitioner`] may say otherwise. Records without a key go to the partition of the task.

use std::{fmt, sync::Arc};

use arrow::{
    array::{Array, AsArray},
    datatypes::Int32Type,
};

use super::record_encoder::EncodedRows;
use crate::{
    Batch,
    expression::RowError,
    log::partition_for_key,
    record::{PartitionId, Records},
    schema::StreamSchema,
};

/// Where a record goes, as a partitioner says (Kafka's KIP-873).
///
/// ```
/// use millstream::operator::Placement;
///
/// let even = |id: u32| if id % 2 == 0 { Placement::One(0) } else { Placement::Nowhere };
/// assert_eq!((even(4), even(5)), (Placement::One(0), Placement::Nowhere));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// To the partition of its key, as without a partitioner.
    ByKey,
    /// To this partition, counted from 0.
    One(u32),
    /// To each of these partitions: one copy a partition.
    Each(Vec<u32>),
    /// Nowhere: the record is left out.
    Nowhere,
}

/// Chooses partitions for rows.
pub trait Partitioner: Send + Sync {
    /// Where each row goes in a topic of so many partitions: one placement a row. Rows for which none can be found are added to `errors`.
    fn place(&self, batch: &Batch, partitions: u32, errors: &mut Vec<RowError>) -> Vec<Placement>;

    /// Whether rows of these columns can be placed.
    ///
    /// # Errors
    /// A text that says which columns it takes.
    fn check(&self, schema: &StreamSchema) -> Result<(), String>;
}

/// How rows find their partition.
#[derive(Clone, Default)]
pub enum Routing {
    /// By their key.
    #[default]
    ByKey,
    /// A value column, of whole numbers of 32 bits, says it; where it is null the key does.
    Column(usize),
    /// A partitioner does.
    By(Arc<dyn Partitioner>),
}

impl fmt::Debug for Routing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByKey => f.write_str("ByKey"),
            Self::Column(column) => write!(f, "Column({column})"),
            Self::By(_) => f.write_str("By(a partitioner)"),
        }
    }
}

/// How many partitions a topic has, and where records without a key go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partitioning {
    /// How many partitions the topic has.
    pub partitions: u32,
    /// Where records without a key go, modulo the above.
    pub keyless: PartitionId,
}

impl Routing {
    /// The records of each partition that has some; rows that have no place are added to `errors` and left out.
    pub(crate) fn spread(
        &self,
        batch: &Batch,
        encoded: &EncodedRows,
        partitioning: Partitioning,
        errors: &mut Vec<RowError>,
    ) -> Vec<(PartitionId, Records)> {
        let Partitioning { partitions, keyless } = partitioning;
        let EncodedRows { records, bare_keys } = encoded;
        if partitions == 1 && !matches!(self, Self::By(_)) {
            return vec![(PartitionId(0), records.clone())];
        }
        let by_key = |row: usize| match bare_keys.is_valid(row) {
            true => partition_for_key(bare_keys.value(row), partitions).0,
            false => keyless.0 % partitions,
        };
        let mut rows: Vec<Vec<u32>> = vec![Vec::new(); partitions as usize];
        let mut put = |row: usize, partition: u32| rows[partition as usize].push(row as u32);
        match self {
            Self::ByKey => (0..batch.len()).for_each(|row| put(row, by_key(row))),
            Self::Column(column) => {
                let told = batch.values()[*column].as_primitive::<Int32Type>();
                for row in 0..batch.len() {
                    let told = told.is_valid(row).then(|| told.value(row).cast_unsigned() % partitions);
                    put(row, told.unwrap_or_else(|| by_key(row)));
                }
            }
            Self::By(partitioner) => {
                for (row, placement) in partitioner.place(batch, partitions, errors).into_iter().enumerate() {
                    let chosen = match placement {
                        Placement::ByKey => vec![by_key(row)],
                        Placement::One(partition) => vec![partition],
                        Placement::Each(partitions) => partitions,
                        Placement::Nowhere => Vec::new(),
                    };
                    match chosen.iter().find(|&&partition| partition >= partitions) {
                        None => chosen.into_iter().for_each(|partition| put(row, partition)),
                        Some(wrong) => {
                            let problem = format!("the partitioner chose partition {wrong} of {partitions}");
                            errors.push(RowError { row, problem });
                        }
                    }
                }
            }
        }
        let filled = rows.iter().enumerate().filter(|(_, rows)| !rows.is_empty());
        filled.map(|(partition, rows)| (PartitionId(partition as u32), records.take(rows))).collect()
    }
}
