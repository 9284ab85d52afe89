//! Replay: makes an aggregation that cannot take a row back one that can, by keeping its rows.
//!
//! The state is the rows that are there, each as the bytes of its arguments; the result is that of a fresh accumulator which sees
//! them all. Where order does not matter (MIN, MAX) equal rows are kept once, with a count, in the order of their bytes. Where it
//! does, rows stay in the order in which they came, each with the key that it has in the table, so that the right one of equal rows goes.
//!
//! Cost: state and time of an update grow with the rows of the group. That is what being able to undo a MIN takes.

use std::{collections::BTreeMap, fmt, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryArray, Int64Array, ListArray, UInt32Array},
    buffer::OffsetBuffer,
    compute,
    datatypes::{DataType, Field, FieldRef, Int64Type},
};
use datafusion::{
    common::ScalarValue,
    error::{DataFusionError, Result as DataFusionResult},
    logical_expr::Accumulator,
    physical_expr::aggregate::AggregateFunctionExpr,
};

use crate::row::RowCodec;

/// What the replays of one aggregation share.
pub(crate) struct Replayed {
    function: Arc<AggregateFunctionExpr>,
    codec: RowCodec,
    /// How many arguments the function has; behind them rows may say which they are.
    arguments: usize,
    /// Whether the result depends on the order of rows.
    ordered: bool,
    /// Whether rows say which they are.
    identity: bool,
}

impl fmt::Debug for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "replay of {}", self.function.name())
    }
}

impl Replayed {
    /// `function` over arguments of these columns; with `identity`, rows that are kept in
    /// order have one more column, bytes that tell equal ones apart.
    ///
    /// # Errors
    /// If an argument is of a type without a row encoding.
    pub(super) fn new(
        function: Arc<AggregateFunctionExpr>,
        arguments: &[FieldRef],
        identity: bool,
    ) -> DataFusionResult<Self> {
        // The expression's own answer is about ORDER BY, which there is none of.
        let ordered = !function.fun().order_sensitivity().is_insensitive();
        let mut columns = arguments.to_vec();
        let identity = identity && ordered;
        if identity {
            columns.push(item(DataType::Binary));
        }
        Ok(Self { function, codec: RowCodec::new(&columns)?, arguments: arguments.len(), ordered, identity })
    }

    /// Whether rows have one more column, which says which they are.
    pub(super) fn has_identity(&self) -> bool {
        self.identity
    }

    /// Whether the result depends on the order of rows.
    pub(super) fn is_ordered(&self) -> bool {
        self.ordered
    }

    /// The columns of the state: the rows, and how often each is there (empty where order matters: once).
    pub(super) fn state(name: &str) -> Vec<FieldRef> {
        let list =
            |part: &str, of: DataType| Arc::new(Field::new(format!("{name}[{part}]"), DataType::List(item(of)), true));
        vec![list("rows", DataType::Binary), list("counts", DataType::Int64)]
    }

    /// An accumulator without rows.
    pub(super) fn accumulator(self: &Arc<Self>) -> Box<dyn Accumulator> {
        let rows = if self.ordered { Rows::Sequence(Vec::new()) } else { Rows::Counted(BTreeMap::new()) };
        Box::new(Replay { shared: Arc::clone(self), rows })
    }
}

fn item(of: DataType) -> FieldRef {
    Arc::new(Field::new("item", of, true))
}

/// The rows that are there.
#[derive(Debug)]
enum Rows {
    /// In the order in which they came.
    Sequence(Vec<Vec<u8>>),
    /// Each once, with how often it is there.
    Counted(BTreeMap<Vec<u8>, i64>),
}

impl Rows {
    fn add(&mut self, row: &[u8], count: i64) {
        match self {
            Self::Sequence(rows) => rows.push(row.to_vec()),
            Self::Counted(rows) => *rows.entry(row.to_vec()).or_insert(0) += count,
        }
    }

    /// Takes one such row away; one that never came is none to take away.
    fn remove(&mut self, row: &[u8]) {
        match self {
            Self::Sequence(rows) => {
                if let Some(at) = rows.iter().rposition(|known| known == row) {
                    rows.remove(at);
                }
            }
            Self::Counted(rows) => match rows.get_mut(row) {
                Some(count) if *count > 1 => *count -= 1,
                Some(_) => drop(rows.remove(row)),
                None => {}
            },
        }
    }

    fn iter(&self) -> Box<dyn Iterator<Item = (&[u8], i64)> + '_> {
        match self {
            Self::Sequence(rows) => Box::new(rows.iter().map(|row| (row.as_slice(), 1))),
            Self::Counted(rows) => Box::new(rows.iter().map(|(row, &count)| (row.as_slice(), count))),
        }
    }
}

/// The rows of one group.
#[derive(Debug)]
struct Replay {
    shared: Arc<Replayed>,
    rows: Rows,
}

impl Accumulator for Replay {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        let rows = self.shared.codec.encode(values)?;
        rows.iter().for_each(|row| self.rows.add(row.as_ref(), 1));
        Ok(())
    }

    fn evaluate(&mut self) -> DataFusionResult<ScalarValue> {
        let columns = self.shared.codec.decode(self.rows.iter().map(|(row, _)| row))?;
        let often = self.rows.iter().enumerate();
        let indices: UInt32Array =
            often.flat_map(|(index, (_, count))| std::iter::repeat_n(index as u32, count as usize)).collect();
        let columns = columns
            .iter()
            .take(self.shared.arguments)
            .map(|column| compute::take(column, &indices, None))
            .collect::<Result<Vec<_>, _>>();
        let mut fresh = self.shared.function.create_accumulator()?;
        if !indices.is_empty() {
            fresh.update_batch(&columns?)?;
        }
        fresh.evaluate()
    }

    fn size(&self) -> usize {
        self.rows.iter().map(|(row, _)| row.len() + size_of::<Vec<u8>>()).sum()
    }

    fn state(&mut self) -> DataFusionResult<Vec<ScalarValue>> {
        let list = |values: ArrayRef| {
            let offsets = OffsetBuffer::from_lengths([values.len()]);
            ScalarValue::List(Arc::new(ListArray::new(item(values.data_type().clone()), offsets, values, None)))
        };
        let rows = BinaryArray::from_iter_values(self.rows.iter().map(|(row, _)| row));
        let counts: Vec<i64> =
            if self.shared.ordered { Vec::new() } else { self.rows.iter().map(|(_, count)| count).collect() };
        Ok(vec![list(Arc::new(rows)), list(Arc::new(Int64Array::from(counts)))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DataFusionResult<()> {
        let [rows, counts] = states else {
            return Err(DataFusionError::Internal(format!("a replay has two states, not {}", states.len())));
        };
        let (rows, counts) = (rows.as_list::<i32>(), counts.as_list::<i32>());
        for state in 0..rows.len() {
            let (kept, often) = (rows.value(state), counts.value(state));
            let often = often.as_primitive::<Int64Type>();
            for (index, row) in kept.as_binary::<i32>().iter().enumerate() {
                let count = if self.shared.ordered { 1 } else { often.value(index) };
                self.rows.add(row.unwrap_or_default(), count);
            }
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        let rows = self.shared.codec.encode(values)?;
        rows.iter().for_each(|row| self.rows.remove(row.as_ref()));
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }
}
