//! HISTOGRAM: how often each text occurs, as a map. Null does not count; of more than 1000 texts the first 1000 do.
//!
//! What an interval adds is not cut to the limit before it meets the stored counts: it may hold texts that are known already.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, MapArray, StringArray, StructArray},
    buffer::OffsetBuffer,
    datatypes::{DataType, Int64Type},
};
use datafusion::{
    common::ScalarValue,
    error::{DataFusionError, Result as DataFusionResult},
    logical_expr::Accumulator,
};

use super::{
    Aggregate, Bound, Shape,
    kept::{list_of, list_type},
};
use crate::catalog::SqlType;

const MAX_KEYS: usize = 1000;

/// The function.
#[derive(Debug)]
pub(super) struct Histogram;

#[derive(Debug, Default)]
struct Counts {
    /// Texts in the order in which they came first; a count of 0 means that the text is gone.
    counts: Vec<(String, i64)>,
    index: HashMap<String, usize>,
    returns: Option<DataType>,
}

impl Counts {
    fn add(&mut self, text: &str, count: i64, limit: usize) {
        match self.index.get(text) {
            Some(&at) => self.counts[at].1 += count,
            None if self.index.len() < limit => {
                self.index.insert(text.to_owned(), self.counts.len());
                self.counts.push((text.to_owned(), count));
            }
            None => {}
        }
    }

    fn remove(&mut self, text: &str) {
        let Some(&at) = self.index.get(text) else { return };
        self.counts[at].1 -= 1;
        if self.counts[at].1 <= 0 {
            self.index.remove(text);
            self.counts[at].1 = 0;
        }
    }

    fn columns(&self) -> (StringArray, Int64Array) {
        let there = || self.counts.iter().filter(|(_, count)| *count > 0);
        (there().map(|(text, _)| Some(text.as_str())).collect(), there().map(|&(_, count)| count).collect())
    }
}

impl Accumulator for Counts {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        values[0].as_string::<i32>().iter().flatten().for_each(|text| self.add(text, 1, usize::MAX));
        Ok(())
    }

    fn evaluate(&mut self) -> DataFusionResult<ScalarValue> {
        let (texts, counts) = self.columns();
        let shown = texts.len().min(MAX_KEYS);
        let Some(DataType::Map(entries, sorted)) = &self.returns else {
            return Err(DataFusionError::Internal("a histogram is a map".to_owned()));
        };
        let DataType::Struct(fields) = entries.data_type() else {
            return Err(DataFusionError::Internal("a map has entries".to_owned()));
        };
        let columns: Vec<ArrayRef> = vec![Arc::new(texts.slice(0, shown)), Arc::new(counts.slice(0, shown))];
        let rows = StructArray::try_new(fields.clone(), columns, None)?;
        let map = MapArray::try_new(Arc::clone(entries), OffsetBuffer::from_lengths([shown]), rows, None, *sorted)?;
        Ok(ScalarValue::Map(Arc::new(map)))
    }

    fn size(&self) -> usize {
        self.counts.iter().map(|(text, _)| 2 * text.capacity() + size_of::<(String, i64, String, usize)>()).sum()
    }

    fn state(&mut self) -> DataFusionResult<Vec<ScalarValue>> {
        let (texts, counts) = self.columns();
        Ok(vec![list_of(Arc::new(texts)), list_of(Arc::new(counts))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DataFusionResult<()> {
        let (texts, counts) = (states[0].as_list::<i32>(), states[1].as_list::<i32>());
        for (texts, counts) in texts.iter().zip(counts.iter()) {
            let (Some(texts), Some(counts)) = (texts, counts) else { continue };
            let counts = counts.as_primitive::<Int64Type>().values();
            for (text, &count) in texts.as_string::<i32>().iter().flatten().zip(counts) {
                self.add(text, count, MAX_KEYS);
            }
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        values[0].as_string::<i32>().iter().flatten().for_each(|text| self.remove(text));
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }
}

impl Aggregate for Histogram {
    fn name(&self) -> &'static str {
        "HISTOGRAM"
    }

    fn description(&self) -> &'static str {
        "How often each value of a VARCHAR column occurs, as a map; of the first 1000 values."
    }

    fn shape(&self, arguments: &[SqlType]) -> Option<Shape> {
        let returns = SqlType::Map(Box::new(SqlType::Varchar), Box::new(SqlType::BigInt));
        let accepted = *arguments == [SqlType::Varchar];
        accepted.then(|| Shape { arguments: arguments.to_vec(), constants: 0, returns })
    }

    fn is_ordered(&self) -> bool {
        true
    }

    fn state(&self, _arguments: &[DataType]) -> Vec<DataType> {
        vec![list_type(DataType::Utf8), list_type(DataType::Int64)]
    }

    fn accumulator(&self, call: &Bound) -> DataFusionResult<Box<dyn Accumulator>> {
        Ok(Box::new(Counts { returns: Some(call.returns.clone()), ..Counts::default() }))
    }
}
