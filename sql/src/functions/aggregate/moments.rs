//! STDDEV_SAMP, STDDEV_SAMPLE and CORRELATION: from means and squared distances to them.
//!
//! STDDEV_SAMP gives the variance of the sample: what ksqlDB documents, and keeps for compatibility. Of fewer than two values variance and
//! deviation are 0. The correlation of rows with no spread in one column is not a number. Rows with a null do not count.
//!
//! Welford's updates, forward and backward; parts are merged by Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for
//! Computing Sample Variances", 1979.

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{DataType, Float64Type, Int64Type},
};
use datafusion::{
    common::ScalarValue,
    error::{DataFusionError, Result as DataFusionResult},
    logical_expr::Accumulator,
};

use super::{Aggregate, Bound, Shape};
use crate::catalog::SqlType;

/// The functions of means and squares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    Variance,
    Deviation,
    Correlation,
}

/// Means, and sums of squared distances to them, of rows `(x, y)`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Moments {
    rows: i64,
    mean_x: f64,
    mean_y: f64,
    squares_x: f64,
    squares_y: f64,
    products: f64,
}

impl Moments {
    fn add(&mut self, x: f64, y: f64) {
        self.rows += 1;
        let rows = self.rows as f64;
        let (from_x, from_y) = (x - self.mean_x, y - self.mean_y);
        self.mean_x += from_x / rows;
        self.mean_y += from_y / rows;
        self.squares_x += from_x * (x - self.mean_x);
        self.squares_y += from_y * (y - self.mean_y);
        self.products += from_x * (y - self.mean_y);
    }

    fn remove(&mut self, x: f64, y: f64) {
        // Of one row everything is known exactly; the updates would leave rounding errors behind.
        if self.rows <= 1 {
            *self = Self::default();
            return;
        }
        self.rows -= 1;
        let rows = self.rows as f64;
        let (from_x, from_y) = (x - self.mean_x, y - self.mean_y);
        self.mean_x -= from_x / rows;
        self.mean_y -= from_y / rows;
        if self.rows == 1 {
            (self.squares_x, self.squares_y, self.products) = (0.0, 0.0, 0.0);
            return;
        }
        self.squares_x = (self.squares_x - from_x * (x - self.mean_x)).max(0.0);
        self.squares_y = (self.squares_y - from_y * (y - self.mean_y)).max(0.0);
        self.products -= (x - self.mean_x) * from_y;
    }

    fn merge(&mut self, other: &Self) {
        if self.rows == 0 || other.rows == 0 {
            if other.rows != 0 {
                *self = *other;
            }
            return;
        }
        let (mine, theirs) = (self.rows as f64, other.rows as f64);
        let all = mine + theirs;
        let (apart_x, apart_y) = (other.mean_x - self.mean_x, other.mean_y - self.mean_y);
        let weight = mine * theirs / all;
        self.squares_x += other.squares_x + apart_x * apart_x * weight;
        self.squares_y += other.squares_y + apart_y * apart_y * weight;
        self.products += other.products + apart_x * apart_y * weight;
        self.mean_x += apart_x * theirs / all;
        self.mean_y += apart_y * theirs / all;
        self.rows += other.rows;
    }
}

#[derive(Debug)]
struct MomentAccumulator {
    of: Moment,
    moments: Moments,
}

impl MomentAccumulator {
    fn each(&mut self, values: &[ArrayRef], step: impl Fn(&mut Moments, f64, f64)) {
        let x = values[0].as_primitive::<Float64Type>();
        let y = values.get(1).map(|column| column.as_primitive::<Float64Type>());
        for row in 0..x.len() {
            if x.is_valid(row) && y.is_none_or(|y| y.is_valid(row)) {
                step(&mut self.moments, x.value(row), y.map_or(0.0, |y| y.value(row)));
            }
        }
    }
}

impl Accumulator for MomentAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        self.each(values, Moments::add);
        Ok(())
    }

    fn evaluate(&mut self) -> DataFusionResult<ScalarValue> {
        let Moments { rows, squares_x, squares_y, products, .. } = self.moments;
        let variance = if rows < 2 { 0.0 } else { squares_x / (rows - 1) as f64 };
        Ok(ScalarValue::Float64(Some(match self.of {
            Moment::Variance => variance,
            Moment::Deviation => variance.sqrt(),
            Moment::Correlation => products / (squares_x * squares_y).sqrt(),
        })))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> DataFusionResult<Vec<ScalarValue>> {
        let Moments { rows, mean_x, mean_y, squares_x, squares_y, products } = self.moments;
        let mut state = vec![ScalarValue::Int64(Some(rows))];
        let parts: &[f64] = match self.of {
            Moment::Correlation => &[mean_x, squares_x, mean_y, squares_y, products],
            Moment::Variance | Moment::Deviation => &[mean_x, squares_x],
        };
        state.extend(parts.iter().map(|&part| ScalarValue::Float64(Some(part))));
        Ok(state)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DataFusionResult<()> {
        let [rows, parts @ ..] = states else {
            return Err(DataFusionError::Internal("moments have a state".to_owned()));
        };
        let part = |index: usize, row: usize| {
            parts.get(index).map_or(0.0, |column| column.as_primitive::<Float64Type>().value(row))
        };
        for (row, &count) in rows.as_primitive::<Int64Type>().values().iter().enumerate() {
            self.moments.merge(&Moments {
                rows: count,
                mean_x: part(0, row),
                squares_x: part(1, row),
                mean_y: part(2, row),
                squares_y: part(3, row),
                products: part(4, row),
            });
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        self.each(values, Moments::remove);
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }
}

impl Moment {
    fn columns(self) -> usize {
        if self == Self::Correlation { 2 } else { 1 }
    }
}

impl Aggregate for Moment {
    fn name(&self) -> &'static str {
        match self {
            Self::Variance => "STDDEV_SAMP",
            Self::Deviation => "STDDEV_SAMPLE",
            Self::Correlation => "CORRELATION",
        }
    }

    fn description(&self) -> &'static str {
        match self {
            Self::Variance => "The variance of the sample: the square of STDDEV_SAMPLE, kept for compatibility.",
            Self::Deviation => "The standard deviation of the sample; null does not count.",
            Self::Correlation => "Pearson's correlation of two columns, over rows in which both have a value.",
        }
    }

    fn shape(&self, arguments: &[SqlType]) -> Option<Shape> {
        let is_number =
            |of: &SqlType| matches!(of, SqlType::Int | SqlType::BigInt | SqlType::Double | SqlType::Decimal { .. });
        let accepted = arguments.len() == self.columns() && arguments.iter().all(is_number);
        let arguments = vec![SqlType::Double; arguments.len()];
        accepted.then_some(Shape { arguments, constants: 0, returns: SqlType::Double })
    }

    fn is_ordered(&self) -> bool {
        false
    }

    fn state(&self, _arguments: &[DataType]) -> Vec<DataType> {
        let parts = if *self == Self::Correlation { 5 } else { 2 };
        std::iter::once(DataType::Int64).chain(std::iter::repeat_n(DataType::Float64, parts)).collect()
    }

    fn accumulator(&self, _call: &Bound) -> DataFusionResult<Box<dyn Accumulator>> {
        Ok(Box::new(MomentAccumulator { of: *self, moments: Moments::default() }))
    }
}
