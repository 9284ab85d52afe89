//! COUNT: how many rows, or how many with a value. DataFusion's, which is vectorised.

use datafusion::functions_aggregate::count::count_udaf;

use super::{Definition, Kind, Shape};
use crate::catalog::SqlType;

/// `COUNT(*)`, `COUNT()` and `COUNT(x)`.
pub(super) fn count() -> Definition {
    let shape = |arguments: &[SqlType]| {
        let accepted = arguments.len() <= 1;
        accepted.then(|| Shape { arguments: arguments.to_vec(), constants: 0, returns: SqlType::BigInt })
    };
    Definition {
        name: "COUNT",
        description: "The number of rows, or of rows in which a column is not null.",
        kind: Kind::DataFusion(count_udaf(), shape),
    }
}
