//! What each aggregate function gives, row after row, and that cutting the rows does not change it.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array, ListArray, StringArray,
        StructArray,
    },
    datatypes::{DataType, Field, Int32Type},
    util::display::array_value_to_string,
};
use datafusion::{common::ScalarValue, logical_expr::lit};
use millstream::{
    Batch,
    expression::{Aggregation, AggregationSet, col},
    schema::StreamSchema,
};

use super::{AggregateCall, Limits, resolve, resolve_with};
use crate::catalog::SqlType;

fn ints(values: &[Option<i32>]) -> ArrayRef {
    Arc::new(Int32Array::from(values.to_vec()))
}

fn some(values: &[i32]) -> ArrayRef {
    Arc::new(Int32Array::from(values.to_vec()))
}

fn doubles(values: &[Option<f64>]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn decimals(values: &[i128]) -> ArrayRef {
    Arc::new(Decimal128Array::from(values.to_vec()).with_precision_and_scale(4, 1).expect("fits"))
}

fn lists(values: &[Option<Vec<Option<i32>>>]) -> ArrayRef {
    Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(values.to_vec()))
}

fn number(value: i32) -> ScalarValue {
    ScalarValue::Int32(Some(value))
}

fn yes(value: bool) -> ScalarValue {
    ScalarValue::Boolean(Some(value))
}

/// Resolves a call of `name` with columns and constants behind them.
fn call(name: &str, columns: &[ArrayRef], constants: &[ScalarValue], limits: Limits) -> Result<AggregateCall, String> {
    let of = |data_type: &arrow::datatypes::DataType| SqlType::from_arrow(data_type).expect("a type of the language");
    let types: Vec<SqlType> = columns
        .iter()
        .map(|column| of(column.data_type()))
        .chain(constants.iter().map(|constant| of(&constant.data_type())))
        .collect();
    let values: Vec<Option<ScalarValue>> =
        columns.iter().map(|_| None).chain(constants.iter().cloned().map(Some)).collect();
    resolve_with(limits, name, &types, &values)
}

fn fold(
    set: &AggregationSet,
    schema: &Arc<StreamSchema>,
    columns: &[ArrayRef],
    cut: usize,
) -> Result<Vec<String>, String> {
    let problem = |error: datafusion::error::DataFusionError| error.strip_backtrace();
    let rows = columns[0].len();
    let mut stored: Option<Vec<ArrayRef>> = None;
    let mut results = Vec::new();
    let mut from = 0;
    while from < rows {
        let length = cut.min(rows - from);
        let mut all: Vec<ArrayRef> = columns.iter().map(|column| column.slice(from, length)).collect();
        all.extend([Arc::new(Int64Array::from(vec![0; length])) as ArrayRef, Batch::no_offsets(length)]);
        let batch = Batch::new(Arc::clone(schema), all);
        let mut partial = set.accumulators().map_err(problem)?;
        set.update(&mut partial, batch.rows(), None, &vec![0; length], 1, &mut Vec::new()).map_err(problem)?;
        let mut states = set.take_states(&mut partial).map_err(problem)?;
        if let Some(stored) = stored {
            let mut whole = set.accumulators().map_err(problem)?;
            set.merge(&mut whole, &stored, &[0], 1).map_err(problem)?;
            set.merge(&mut whole, &states, &[0], 1).map_err(problem)?;
            states = set.take_states(&mut whole).map_err(problem)?;
        }
        for (state, field) in states.iter().zip(set.states()) {
            assert_eq!(state.data_type(), field.data_type(), "a state is of the type that was said");
        }
        let result = set.results_of(&states).map_err(problem)?;
        assert_eq!(result[0].data_type(), set.results()[0].data_type(), "a result is of the type that was said");
        results.push(array_value_to_string(&result[0], 0).map_err(|error| error.to_string())?);
        stored = Some(states);
        from += length;
    }
    Ok(results)
}

/// The results after each row.
fn check_limited(
    name: &str,
    columns: &[ArrayRef],
    constants: &[ScalarValue],
    limits: Limits,
) -> Result<Vec<String>, String> {
    let call = call(name, columns, constants, limits)?;
    let fields = columns.iter().enumerate();
    let fields = fields.map(|(index, column)| Field::new(format!("c{index}"), column.data_type().clone(), true));
    let schema = StreamSchema::new(Vec::new(), fields.map(Arc::new).collect(), false).expect("legal schema");
    let arguments = (0..columns.len()).map(|index| col(&format!("c{index}")));
    let arguments = arguments.chain(constants.iter().cloned().map(lit)).collect();
    let expr = call.function.call(arguments).alias("result");
    let set = AggregationSet::new(vec![Aggregation::bind(&expr, &schema).map_err(|error| error.to_string())?]);
    assert_eq!(*set.results()[0].data_type(), call.returns.to_arrow(), "{name}");
    let each = fold(&set, &schema, columns, 1)?;
    for cut in [2, 3, columns[0].len()] {
        assert_eq!(fold(&set, &schema, columns, cut)?.last(), each.last(), "{name} in parts of {cut}");
    }
    Ok(each)
}

fn check(name: &str, columns: &[ArrayRef], constants: &[ScalarValue]) -> Result<Vec<String>, String> {
    check_limited(name, columns, constants, Limits::default())
}

#[test]
fn each_function_gives_after_each_row() {
    let nulls = || ints(&[Some(3), None, Some(1), Some(3)]);
    type Row<'a> = (&'a str, Vec<ArrayRef>, Vec<ScalarValue>, &'a [&'a str]);
    let rows: Vec<Row<'_>> = vec![
        ("SUM", vec![nulls()], vec![], &["3", "3", "4", "7"]),
        ("SUM", vec![ints(&[None, Some(2)])], vec![], &["0", "2"]),
        ("SUM", vec![some(&[i32::MAX, 1])], vec![], &["2147483647", "-2147483648"]),
        ("SUM", vec![decimals(&[54, 1001])], vec![], &["5.4", "105.5"]),
        ("AVG", vec![nulls()], vec![], &["3.0", "3.0", "2.0", "2.3333333333333335"]),
        ("AVG", vec![ints(&[None, Some(2)])], vec![], &["0.0", "2.0"]),
        ("SUM_LIST", vec![lists(&[Some(vec![Some(1), None]), None, Some(vec![Some(5)])])], vec![], &["1", "1", "6"]),
        ("COUNT", vec![nulls()], vec![], &["1", "1", "2", "3"]),
        ("MAX", vec![ints(&[None, Some(-5), Some(7), None])], vec![], &["", "-5", "7", "7"]),
        ("min", vec![texts(&[None, Some("b"), Some("a")])], vec![], &["", "b", "a"]),
        ("COUNT_DISTINCT", vec![texts(&[Some("a"), Some("b"), Some("a"), None])], vec![], &["1", "2", "2", "2"]),
        (
            "STDDEV_SAMP",
            vec![some(&[0, 10, 7, 6])],
            vec![],
            &["0.0", "50.0", "26.333333333333332", "17.583333333333332"],
        ),
        ("STDDEV_SAMPLE", vec![ints(&[Some(1), None, Some(5)])], vec![], &["0.0", "0.0", "2.8284271247461903"]),
        (
            "CORRELATION",
            vec![some(&[1, 2, 9, 3]), doubles(&[Some(4.0), Some(6.0), None, Some(8.0)])],
            vec![],
            &["NaN", "1.0", "1.0", "1.0"],
        ),
        ("COLLECT_LIST", vec![nulls()], vec![], &["[3]", "[3, ]", "[3, , 1]", "[3, , 1, 3]"]),
        ("COLLECT_SET", vec![nulls()], vec![], &["[3]", "[3, ]", "[3, , 1]", "[3, , 1]"]),
        (
            "HISTOGRAM",
            vec![texts(&[Some("b"), None, Some("a"), Some("b")])],
            vec![],
            &["{b: 1}", "{b: 1}", "{b: 1, a: 1}", "{b: 2, a: 1}"],
        ),
        ("TOPK", vec![nulls()], vec![number(2)], &["[3]", "[3]", "[3, 1]", "[3, 3]"]),
        ("TOPKDISTINCT", vec![nulls()], vec![number(2)], &["[3]", "[3]", "[3, 1]", "[3, 1]"]),
        (
            "TOPK",
            vec![some(&[1, 5, 5]), texts(&[Some("a"), Some("b"), None])],
            vec![number(2)],
            &[
                "[{sort_col: 1, col0: a}]",
                "[{sort_col: 5, col0: b}, {sort_col: 1, col0: a}]",
                "[{sort_col: 5, col0: b}, {sort_col: 5, col0: }]",
            ],
        ),
        ("LATEST_BY_OFFSET", vec![nulls()], vec![], &["3", "3", "1", "3"]),
        ("LATEST_BY_OFFSET", vec![nulls()], vec![yes(false)], &["3", "", "1", "3"]),
        ("LATEST_BY_OFFSET", vec![nulls()], vec![number(2)], &["[3]", "[3]", "[3, 1]", "[1, 3]"]),
        ("LATEST_BY_OFFSET", vec![nulls()], vec![number(2), yes(false)], &["[3]", "[3, ]", "[, 1]", "[1, 3]"]),
        ("EARLIEST_BY_OFFSET", vec![ints(&[None, Some(2), Some(3)])], vec![], &["", "2", "2"]),
        ("EARLIEST_BY_OFFSET", vec![ints(&[None, Some(2)])], vec![yes(false)], &["", ""]),
        ("EARLIEST_BY_OFFSET", vec![ints(&[None, None])], vec![number(2)], &["[]", "[]"]),
        ("EARLIEST_BY_OFFSET", vec![nulls()], vec![number(2), yes(false)], &["[3]", "[3, ]", "[3, ]", "[3, ]"]),
        ("ATTR", vec![texts(&[Some("x"), Some("x"), Some("y"), Some("x")])], vec![], &["x", "x", "", ""]),
        ("ATTR", vec![texts(&[None, None, Some("x")])], vec![], &["", "", ""]),
        ("ATTR", vec![texts(&[Some("x"), None, Some("x")])], vec![], &["x", "", ""]),
    ];
    for (name, columns, constants, expected) in rows {
        let found = check(name, &columns, &constants);
        let found = found.unwrap_or_else(|problem| panic!("{name}: {problem}"));
        assert_eq!(found, expected, "{name} {constants:?}");
    }
}

#[test]
fn lists_and_structs_can_be_collected() {
    let list = lists(&[Some(vec![Some(1)]), Some(vec![Some(1)]), Some(vec![None]), None]);
    let found = check("COLLECT_SET", &[Arc::clone(&list)], &[]).expect("resolves");
    assert_eq!(found.last().map(String::as_str), Some("[[1], [], ]"));
    assert_eq!(check("ATTR", &[list], &[]).expect("resolves"), ["[1]", "[1]", "", ""]);
    let flags: ArrayRef = Arc::new(BooleanArray::from(vec![true, false, true]));
    assert_eq!(check("COLLECT_SET", &[flags], &[]).expect("resolves"), ["[true]", "[true, false]", "[true, false]"]);
}

#[test]
fn structs_are_ordered_by_their_fields_in_turn() {
    let field = |name: &str, values: &[i32]| {
        (Arc::new(Field::new(name, DataType::Int32, true)), Arc::new(Int32Array::from(values.to_vec())) as ArrayRef)
    };
    let pairs: ArrayRef = Arc::new(StructArray::from(vec![field("A", &[1, 2, 2]), field("B", &[9, 3, 4])]));
    let [first, second, third] = ["{A: 1, B: 9}", "{A: 2, B: 3}", "{A: 2, B: 4}"];
    assert_eq!(check("MAX", &[Arc::clone(&pairs)], &[]).expect("resolves"), [first, second, third]);
    assert_eq!(check("MIN", &[pairs], &[]).expect("resolves"), [first, first, first]);
}

#[test]
fn what_is_collected_has_limits() {
    let limits = Limits { collect_list: 2, collect_set: 1 };
    let column = || some(&[4, 4, 5, 6]);
    assert_eq!(check_limited("COLLECT_LIST", &[column()], &[], limits).expect("resolves")[3], "[4, 4]");
    assert_eq!(check_limited("COLLECT_SET", &[column()], &[], limits).expect("resolves")[3], "[4]");
}

#[test]
fn limits_are_properties() {
    let set = |name: &str, value: &str| Limits::default().with_property(name, value);
    let (list, set_limit) = ("ksql.functions.collect_list.limit", "ksql.functions.collect_set.limit");
    assert_eq!(set(list, "1"), Ok(Limits { collect_list: 1, ..Limits::default() }));
    assert_eq!(set(set_limit, "-1"), Ok(Limits { collect_set: usize::MAX, ..Limits::default() }));
    assert_eq!(set("auto.offset.reset", "earliest"), Ok(Limits::default()));
    assert!(set(list, "many").is_err());
}

#[test]
fn calls_that_cannot_be_are_refused() {
    let problem = |name: &str, columns: &[ArrayRef], constants: &[ScalarValue]| {
        check(name, columns, constants).expect_err("refused")
    };
    let column = || [some(&[1])];
    assert_eq!(problem("SUM", &[texts(&[None])], &[]), "Function 'SUM' does not accept parameters (STRING).");
    assert_eq!(problem("TOPK", &column(), &[]), "Function 'TOPK' does not accept parameters (INTEGER).");
    assert_eq!(problem("NOSUCH", &column(), &[]), "there is no aggregate function NOSUCH");
    let zero = problem("TOPK", &column(), &[number(0)]);
    assert_eq!(zero, "TOPK: how many values must be a whole number from 1 on");
    let two = [SqlType::Int, SqlType::Int];
    let constant =
        resolve("EARLIEST_BY_OFFSET", &two, &[None, None]).map(|call| call.returns).expect_err("no constant");
    assert_eq!(constant, "Parameter 2 passed to function EARLIEST_BY_OFFSET must be a literal constant");
    let overflow = problem("SUM", &[decimals(&[5009, 5009])], &[]);
    assert!(overflow.contains("Numeric field overflow"), "{overflow}");
}
