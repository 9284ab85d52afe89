//! What each aggregate function gives over a table: rows come, go, and are replaced.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int8Array, Int32Array, Int64Array, new_null_array},
    compute,
    datatypes::{DataType, Field},
    util::display::array_value_to_string,
};
use datafusion::{common::ScalarValue, logical_expr::lit};
use millstream::{
    Batch,
    expression::{RetractableAggregation, RetractableSet, col},
    operator::{Finished, FoldFactory, Folded, Rows, StateLayout},
    schema::StreamSchema,
};

use super::resolve;
use crate::catalog::SqlType;

/// The value that goes and the one that comes.
type Change = (Option<Option<i32>>, Option<Option<i32>>);

fn comes(value: i32) -> Change {
    (None, Some(Some(value)))
}

fn goes(value: i32) -> Change {
    (Some(Some(value)), None)
}

fn becomes(old: i32, new: i32) -> Change {
    (Some(Some(old)), Some(Some(new)))
}

fn set(name: &str, of: &SqlType, constants: &[ScalarValue]) -> (RetractableSet, Arc<StreamSchema>) {
    let types = constants.iter().map(|constant| SqlType::from_arrow(&constant.data_type()).expect("a known type"));
    let types: Vec<SqlType> = std::iter::once(of.clone()).chain(types).collect();
    let values: Vec<_> = std::iter::once(None).chain(constants.iter().cloned().map(Some)).collect();
    let call = resolve(name, &types, &values).expect("resolves");
    let field = |name: &str, of: DataType| Arc::new(Field::new(name, of, true));
    let value = || call.arguments[0].to_arrow();
    let fields = vec![field("c", value()), field("__change", DataType::Int8), field("__was_c", value())];
    let schema = StreamSchema::new(Vec::new(), fields, false).expect("legal schema");
    let arguments = std::iter::once(col("c")).chain(constants.iter().cloned().map(lit)).collect();
    let bound = RetractableAggregation::bind(&call.function.call(arguments).alias("result"), &schema);
    (RetractableSet::new(vec![bound.expect("binds")]), schema)
}

fn batch(schema: &Arc<StreamSchema>, changes: &[Change]) -> Batch {
    let column = |side: &dyn Fn(&Change) -> Option<i32>| -> ArrayRef {
        let numbers: ArrayRef = Arc::new(changes.iter().map(side).collect::<Int32Array>());
        compute::cast(&numbers, schema.value()[0].data_type()).expect("numbers become text and numbers")
    };
    let sides = changes.iter().map(|(old, new)| i8::from(new.is_some()) + 2 * i8::from(old.is_some()));
    let times: ArrayRef = Arc::new(Int64Array::from(vec![0; changes.len()]));
    let columns = vec![
        column(&|change| change.1.flatten()),
        Arc::new(Int8Array::from_iter_values(sides)),
        column(&|change| change.0.flatten()),
        times,
        new_null_array(&DataType::Int64, changes.len()),
    ];
    Batch::new(Arc::clone(schema), columns)
}

/// Results after every `cut` changes of one group.
fn fold(set: &RetractableSet, schema: &Arc<StreamSchema>, changes: &[Change], cut: usize) -> Vec<String> {
    let mut fold = set.create().expect("can be folded");
    let mut stored: Vec<ArrayRef> = Vec::new();
    let mut results = Vec::new();
    for part in changes.chunks(cut) {
        let batch = batch(schema, part);
        let rows = Rows { batch: &batch, picked: None, groups: &vec![0; part.len()], total: 1, input: 0 };
        fold.add(&rows, &mut Vec::new()).expect("folds");
        let groups = if stored.is_empty() { Vec::new() } else { vec![0] };
        let Finished { states, present, .. } = fold.finish(Folded { states: stored, groups }, 1).expect("finishes");
        assert_eq!(present, None, "a group that had a row stays");
        let result = &StateLayout::results_of(set, &states).expect("has results")[0];
        results.push(array_value_to_string(result, 0).expect("can be shown"));
        stored = states;
    }
    results
}

fn check(name: &str, constants: &[ScalarValue], changes: &[Change], expected: &[&str]) {
    let of = if name == "HISTOGRAM" { SqlType::Varchar } else { SqlType::Int };
    let (set, schema) = set(name, &of, constants);
    let each = fold(&set, &schema, changes, 1);
    assert_eq!(each, expected, "{name}");
    for cut in [2, 3, changes.len()] {
        assert_eq!(fold(&set, &schema, changes, cut).last(), each.last(), "{name} in parts of {cut}");
    }
}

#[test]
fn each_function_takes_rows_back() {
    let two = [ScalarValue::Int32(Some(2))];
    let changes = [comes(1), comes(5), becomes(5, 3), goes(1), goes(3)];
    let falling = [comes(5), comes(1), becomes(1, 3), goes(5)];
    check("LATEST_BY_OFFSET", &[], &falling, &["5", "1", "3", "3"]);
    check("EARLIEST_BY_OFFSET", &[], &falling, &["5", "5", "5", "3"]);
    check("COLLECT_SET", &[], &falling, &["[5]", "[5, 1]", "[5, 3]", "[3]"]);
    check("SUM", &[], &changes, &["1", "6", "4", "3", "0"]);
    check("AVG", &[], &changes, &["1.0", "3.0", "2.0", "3.0", "0.0"]);
    check("COUNT", &[], &changes, &["1", "2", "2", "1", "0"]);
    check("MIN", &[], &changes, &["1", "1", "1", "3", ""]);
    check("MAX", &[], &changes, &["1", "5", "3", "3", ""]);
    check("STDDEV_SAMP", &[], &changes, &["0.0", "8.0", "2.0", "0.0", "0.0"]);
    check("COUNT_DISTINCT", &[], &changes, &["1", "2", "2", "1", "0"]);
    check("ATTR", &[], &changes, &["1", "", "", "3", ""]);
    check("COLLECT_LIST", &[], &changes, &["[1]", "[1, 5]", "[1, 3]", "[3]", "[]"]);
    check("COLLECT_SET", &[], &changes, &["[1]", "[1, 5]", "[1, 3]", "[3]", "[]"]);
    check("HISTOGRAM", &[], &changes, &["{1: 1}", "{1: 1, 5: 1}", "{1: 1, 3: 1}", "{3: 1}", "{}"]);
    check("TOPK", &two, &changes, &["[1]", "[5, 1]", "[3, 1]", "[3]", "[]"]);
    check("TOPKDISTINCT", &two, &changes, &["[1]", "[5, 1]", "[3, 1]", "[3]", "[]"]);
    check("LATEST_BY_OFFSET", &[], &changes, &["1", "5", "3", "3", ""]);
    check("EARLIEST_BY_OFFSET", &[], &changes, &["1", "1", "1", "3", ""]);
    check("EARLIEST_BY_OFFSET", &two, &changes, &["[1]", "[1, 5]", "[1, 3]", "[3]", "[]"]);
}

#[test]
fn equal_rows_are_taken_back_one_by_one() {
    let two = [ScalarValue::Int32(Some(2))];
    let changes = [comes(4), comes(4), comes(2), goes(4), (Some(Some(2)), Some(None)), (Some(None), None)];
    check("MAX", &[], &changes, &["4", "4", "4", "4", "4", "4"]);
    check("COUNT", &[], &changes, &["1", "2", "3", "2", "1", "1"]);
    check("COLLECT_LIST", &[], &changes, &["[4]", "[4, 4]", "[4, 4, 2]", "[4, 2]", "[4, ]", "[4]"]);
    check("TOPK", &two, &changes, &["[4]", "[4, 4]", "[4, 4]", "[4, 2]", "[4]", "[4]"]);
    check("ATTR", &[], &changes, &["4", "4", "", "", "", "4"]);
}
