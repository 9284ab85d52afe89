//! MIN and MAX: null does not count. DataFusion's, which are vectorised. Beyond ksqlDB they take structs, whose first field decides, then the
//! second, and so on: so the greatest of a column comes with what stands beside it.

use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};

use super::{Definition, Kind, Shape};
use crate::catalog::SqlType;

/// The least value.
pub(super) fn min() -> Definition {
    let description = "The least value of a column; null does not count.";
    Definition { name: "MIN", description, kind: Kind::DataFusion(min_udaf(), shape) }
}

/// The greatest value.
pub(super) fn max() -> Definition {
    let description = "The greatest value of a column; null does not count.";
    Definition { name: "MAX", description, kind: Kind::DataFusion(max_udaf(), shape) }
}

fn shape(arguments: &[SqlType]) -> Option<Shape> {
    let [argument] = arguments else { return None };
    let shape = Shape { arguments: vec![argument.clone()], constants: 0, returns: argument.clone() };
    let can_be_chosen = is_ordered(argument) || matches!(argument, SqlType::Struct(_)) && argument.has_order();
    can_be_chosen.then_some(shape)
}

/// Whether values of a type have an order that ksqlDB's MIN, MAX and TOPK go by.
pub(super) fn is_ordered(of: &SqlType) -> bool {
    !matches!(of, SqlType::Boolean | SqlType::Array(_) | SqlType::Map(..) | SqlType::Struct(_))
}
