//! Foreign-key join: a row of the left table meets the row of the right table whose key it names.
//!
//! The tables are partitioned by different keys, so that they talk through two topics, as in Kafka Streams:
//!
//! ```text
//! left table --changes--> subscribe --subscriptions, by foreign key--> answer ----+
//!                                                                      |          |
//!                                                        right table --+-> notify +--responses, by primary key--> resolve --> result
//!                                                                                            left table, as it is now --^
//! ```
//!
//! Each row of the left table subscribes to its foreign key. An answer is the right row of the moment; a change of a right row goes to all
//! that subscribe to it. Answers carry a hash of the left row that asked, and *resolve* drops those to rows that have changed since: their
//! own subscription is on its way. Deletions may be passed on more than once.
//!
//! Times: of what a left row causes, the higher one of both rows; of what a right row causes, its own.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BinaryArray},
    datatypes::{DataType, Field, FieldRef},
};

use super::FoldError;
use crate::{
    row::RowCodec,
    schema::{SchemaError, StreamSchema},
};

/// What a subscription asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Instruction {
    /// Ends; no answer.
    Unsubscribe,
    /// Ends, and is answered with nothing: the row of the result goes.
    UnsubscribeAndClear,
    /// Begins or goes on, and is answered in any case.
    Answer,
    /// Begins or goes on, and is answered if there is a right row.
    AnswerIfThere,
}

impl Instruction {
    /// How it is written.
    pub(crate) fn code(self) -> i32 {
        match self {
            Self::Unsubscribe => 0,
            Self::UnsubscribeAndClear => 1,
            Self::Answer => 2,
            Self::AnswerIfThere => 3,
        }
    }

    pub(crate) fn from_code(code: i32) -> Option<Self> {
        [Self::Unsubscribe, Self::UnsubscribeAndClear, Self::Answer, Self::AnswerIfThere]
            .into_iter()
            .find(|instruction| instruction.code() == code)
    }
}

/// The columns of the two topics of a join.
pub struct ForeignKeySchemas {
    /// Key: that of the right table. Value: the left key, the hash (null for a deleted row), the instruction, the left partition.
    pub subscription: Arc<StreamSchema>,
    /// Key: that of the left table. Value: the right values, whether there is a right row, the hash, the left partition.
    pub response: Arc<StreamSchema>,
}

impl ForeignKeySchemas {
    /// The topics' columns for a join of these tables.
    ///
    /// # Errors
    /// [`SchemaError`] if key columns have names that are used here.
    pub fn new(left: &StreamSchema, right: &StreamSchema) -> Result<Self, SchemaError> {
        let renamed = |fields: &[FieldRef], prefix: &str| -> Vec<FieldRef> {
            let field = |(number, field): (usize, &FieldRef)| {
                Arc::new(field.as_ref().clone().with_name(format!("__{prefix}{number}")))
            };
            fields.iter().enumerate().map(field).collect()
        };
        let field = |name: &str, kind: DataType| Arc::new(Field::new(name, kind, true));
        let mut asked = renamed(left.key(), "left");
        asked.extend([field("__hash", DataType::Binary), field("__instruction", DataType::Int32)]);
        asked.push(field("__partition", DataType::Int32));
        let mut answered = renamed(right.value(), "right");
        answered.extend([field("__found", DataType::Boolean), field("__hash", DataType::Binary)]);
        answered.push(field("__partition", DataType::Int32));
        Ok(Self {
            subscription: StreamSchema::new(right.key().to_vec(), asked, false)?,
            response: StreamSchema::new(left.key().to_vec(), answered, false)?,
        })
    }
}

impl ForeignKeySchemas {
    /// Which value column of a response says which partition it goes to: the one that the left row is in, however that was found.
    pub fn partition_column(&self) -> usize {
        self.response.value().len() - 1
    }
}

/// Hashes of rows: 128 bits of FNV-1a over the row encoding, the same in every run.
pub(crate) struct RowHash {
    codec: RowCodec,
}

impl RowHash {
    pub(crate) fn new(fields: &[FieldRef]) -> Result<Self, FoldError> {
        Ok(Self { codec: RowCodec::new(fields).map_err(FoldError::of)? })
    }

    /// The hash of each row that is there; null for the others.
    pub(crate) fn of(
        &self,
        values: &[ArrayRef],
        rows: usize,
        is_there: impl Fn(usize) -> bool,
    ) -> Result<BinaryArray, FoldError> {
        let encoded = self.codec.encode_rows(values, rows).map_err(FoldError::of)?;
        Ok((0..rows).map(|row| is_there(row).then(|| fnv(encoded.value(row)).to_be_bytes())).collect())
    }
}

/// FNV-1a with 128 bits (Fowler, Noll, Vo).
fn fnv(bytes: &[u8]) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(BASIS, |hash, &byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, Int64Array};

    use super::*;

    #[test]
    fn hashes_are_those_of_the_definition() {
        assert_eq!(fnv(b""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(fnv(b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
        assert_eq!(fnv(b"foobar"), 0x343e_1662_793c_64bf_6f0d_3597_ba44_6f18);
    }

    #[test]
    fn rows_that_differ_have_different_hashes_and_those_that_are_not_there_none() {
        let hash = RowHash::new(&[Arc::new(Field::new("a", DataType::Int64, true))]).expect("encodable");
        let column: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(1), Some(2)]));
        let hashes = hash.of(&[column], 4, |row| row != 3).expect("hashed");
        assert!(hashes.is_null(3));
        assert_eq!(hashes.value(0), hashes.value(2));
        assert_ne!(hashes.value(0), hashes.value(1));
    }

    #[test]
    fn instructions_are_read_as_they_are_written() {
        for instruction in [
            Instruction::Unsubscribe,
            Instruction::UnsubscribeAndClear,
            Instruction::Answer,
            Instruction::AnswerIfThere,
        ] {
            assert_eq!(Instruction::from_code(instruction.code()), Some(instruction));
        }
        assert_eq!(Instruction::from_code(9), None);
    }
}
