//! Aggregate functions over several columns: the sum of numbers and of the lengths of texts, plus that of constants, once.
//!
//! | | columns | constants |
//! |---|---|---|
//! | VAR_ARG | BIGINT, STRING.. | |
//! | MULTI_ARG | BIGINT, STRING | INT, STRING.. |
//! | FOUR_ARG | BIGINT, 3 x STRING | INT, STRING.. |
//! | FIVE_ARG | BIGINT, 3 x STRING, INT | INT, STRING.. |
//! | MID_VAR_ARG | BIGINT, STRING.. | INT, INT |

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{DataType, Int32Type, Int64Type},
};
use datafusion::{common::ScalarValue, error::Result as DataFusionResult, logical_expr::Accumulator};
use millstream_sql::{
    catalog::SqlType::{self, BigInt, Int, Varchar},
    functions::{
        Functions,
        aggregate::{Aggregate, Bound, Shape},
    },
};

/// Adds the family.
pub(super) fn add(functions: Functions) -> Functions {
    let one = |name, columns, constants, repeated| Lengths { name, columns, constants, repeated };
    let all = [
        one("VAR_ARG", &[BigInt] as &[SqlType], &[] as &[SqlType], Repeated::Columns),
        one("MULTI_ARG", &[BigInt, Varchar], &[Int], Repeated::Constants),
        one("FOUR_ARG", &[BigInt, Varchar, Varchar, Varchar], &[Int], Repeated::Constants),
        one("FIVE_ARG", &[BigInt, Varchar, Varchar, Varchar, Int], &[Int], Repeated::Constants),
        one("MID_VAR_ARG", &[BigInt], &[Int, Int], Repeated::Columns),
    ];
    all.into_iter().fold(functions, |functions, one| functions.with_aggregate(one).expect("a free name"))
}

/// Where texts may follow, any number of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeated {
    Columns,
    Constants,
}

#[derive(Debug)]
struct Lengths {
    name: &'static str,
    columns: &'static [SqlType],
    constants: &'static [SqlType],
    repeated: Repeated,
}

impl Aggregate for Lengths {
    fn name(&self) -> &'static str {
        self.name
    }

    fn description(&self) -> &'static str {
        "The sum of numbers and lengths of texts."
    }

    fn shape(&self, arguments: &[SqlType]) -> Option<Shape> {
        let more = arguments.len().checked_sub(self.columns.len() + self.constants.len())?;
        let (columns, constants) = match self.repeated {
            Repeated::Columns => (more, 0),
            Repeated::Constants => (0, more),
        };
        let texts = |count| std::iter::repeat_n(&Varchar, count);
        let wanted = self.columns.iter().chain(texts(columns)).chain(self.constants).chain(texts(constants));
        let wanted: Vec<SqlType> = wanted.cloned().collect();
        let fits = |(wanted, given): (&SqlType, &SqlType)| wanted == given || (*wanted == BigInt && *given == Int);
        let constants = self.constants.len() + constants;
        let fit = wanted.iter().zip(arguments).all(fits);
        fit.then_some(Shape { arguments: wanted, constants, returns: BigInt })
    }

    fn is_ordered(&self) -> bool {
        false
    }

    fn state(&self, _arguments: &[DataType]) -> Vec<DataType> {
        vec![DataType::Int64]
    }

    fn accumulator(&self, call: &Bound) -> DataFusionResult<Box<dyn Accumulator>> {
        let mut initial = 0;
        for constant in call.constants.iter().flatten() {
            initial += total(&constant.to_array()?);
        }
        let columns = call.constants.iter().filter(|constant| constant.is_none()).count();
        Ok(Box::new(Total { columns, initial, sum: 0 }))
    }
}

/// The sum of a column's numbers, or of the lengths of its texts in UTF-16; nulls are 0.
fn total(column: &ArrayRef) -> i64 {
    let length = |text: &str| text.encode_utf16().count() as i64;
    match column.data_type() {
        DataType::Int64 => column.as_primitive::<Int64Type>().iter().flatten().sum(),
        DataType::Int32 => column.as_primitive::<Int32Type>().iter().flatten().map(i64::from).sum(),
        _ => column.as_string::<i32>().iter().flatten().map(length).sum(),
    }
}

#[derive(Debug)]
struct Total {
    columns: usize,
    /// Not part of the state: it counts once, however often states are merged.
    initial: i64,
    sum: i64,
}

impl Accumulator for Total {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        self.sum += values[..self.columns].iter().map(total).sum::<i64>();
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DataFusionResult<()> {
        self.sum += total(&states[0]);
        Ok(())
    }

    fn state(&mut self) -> DataFusionResult<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Int64(Some(self.sum))])
    }

    fn evaluate(&mut self) -> DataFusionResult<ScalarValue> {
        Ok(ScalarValue::Int64(Some(self.initial + self.sum)))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}
