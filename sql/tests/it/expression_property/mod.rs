//! Random expressions over random rows mean the same in a streaming query and in a batch query of DataFusion.
//!
//! A persistent query in an engine in memory computes some expressions behind a filter; the oracle is DataFusion's SQL over the same rows
//! as a table in memory. Their own words are in [`tree`]: the oracle spells out what this language does by itself. What the generator
//! leaves out is in [`generate`]. Each case is run in batches of 1, of 7 and of all rows.
//!
//! A case that fails is made smaller: one expression, then its parts, then one row. `MILLSTREAM_PROPERTY_RUNS` and
//! `MILLSTREAM_PROPERTY_SEED` give other numbers of cases and other cases.

mod generate;
mod tree;

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Float64Type, Int32Type, Int64Type},
};
use datafusion::{datasource::MemTable, prelude::SessionContext};
use generate::{COLUMNS, Row, Value};
use millstream::{
    operator::EmitPolicy,
    record::{Record, Timestamp},
};
use millstream_sql::engine::in_memory::InMemoryEngine;
use serde_json::Value as Json;
use tree::{Node, Tree, Type};

use crate::random::{Random, from_environment};

const ROWS: usize = 40;
const DEPTH: usize = 4;
const ITEMS: usize = 3;

/// Expressions behind a filter.
#[derive(Debug, Clone)]
struct Case {
    items: Vec<Tree>,
    filter: Option<Tree>,
}

impl Case {
    fn random(random: &mut Random) -> Self {
        let items = (0..ITEMS).map(|_| generate::any(random, DEPTH)).collect();
        let filter = (!random.once_in(3)).then(|| generate::of(random, Type::Boolean, DEPTH, false));
        Self { items, filter }
    }

    fn streaming(&self) -> String {
        let items = self.items.iter().enumerate().map(|(index, item)| format!(", {} AS X{index}", item.streaming()));
        let filter = self.filter.as_ref().map(|filter| format!(" WHERE {}", filter.streaming()));
        format!("CREATE STREAM o AS SELECT ID{} FROM s{};", items.collect::<String>(), filter.unwrap_or_default())
    }

    fn batch(&self) -> String {
        let items = self.items.iter().enumerate().map(|(index, item)| format!(", {} AS x{index}", item.batch()));
        let filter = self.filter.as_ref().map(|filter| format!(" WHERE {}", filter.batch()));
        format!("SELECT id{} FROM s{} ORDER BY id", items.collect::<String>(), filter.unwrap_or_default())
    }
}

/// The rows of a streaming query, in the order of the input: ID, then the items.
fn streamed(case: &Case, rows: &[(usize, Row)], batch_rows: usize) -> Result<Vec<Vec<Json>>, String> {
    let shown = |error: &dyn std::fmt::Display| error.to_string();
    let mut engine = InMemoryEngine::new(EmitPolicy::Record).map_err(|error| shown(&error))?;
    let columns = COLUMNS.iter().map(|(name, of)| format!(", {name} {}", of.name())).collect::<String>();
    let with = "WITH (KAFKA_TOPIC = 's', FORMAT = 'JSON', PARTITIONS = 1)";
    engine.execute(&format!("CREATE STREAM s (ID INT KEY{columns}) {with};")).map_err(|error| shown(&error))?;
    engine.execute(&case.streaming()).map_err(|error| shown(&error))?;
    for batch in rows.chunks(batch_rows.max(1)) {
        let records = batch.iter().map(|(id, row)| {
            let fields = COLUMNS.iter().zip(row).map(|((name, _), value)| ((*name).to_owned(), json(value.as_ref())));
            Record {
                key: Some(id.to_string().into_bytes()),
                value: Some(Json::Object(fields.collect()).to_string().into_bytes()),
                timestamp: Timestamp(0),
                headers: Vec::new(),
            }
        });
        engine.produce("s", records.collect()).map_err(|error| shown(&error))?;
        engine.run_in_batches().map_err(|error| shown(&error))?;
    }
    let read = |bytes: Option<&[u8]>| serde_json::from_slice::<Json>(bytes.unwrap_or(b"null"));
    let row = |record: Record| {
        let (key, value) = (read(record.key.as_deref()), read(record.value.as_deref()));
        let (key, value) = (key.map_err(|error| shown(&error))?, value.map_err(|error| shown(&error))?);
        let items = (0..case.items.len()).map(|index| value[format!("X{index}")].clone());
        Ok(std::iter::once(key).chain(items).collect())
    };
    engine.records("O").map_err(|error| shown(&error))?.into_iter().map(row).collect()
}

fn json(value: Option<&Value>) -> Json {
    match value {
        None => Json::Null,
        Some(Value::Int(value)) => Json::from(*value),
        Some(Value::BigInt(value)) => Json::from(*value),
        Some(Value::Double(value)) => Json::from(*value),
        Some(Value::Text(value)) => Json::from(*value),
        Some(Value::Boolean(value)) => Json::from(*value),
    }
}

/// The rows of the batch query.
fn batched(case: &Case, rows: &[(usize, Row)]) -> Result<Vec<Vec<Json>>, String> {
    let shown = |error: datafusion::error::DataFusionError| format!("oracle: {}", error.strip_backtrace());
    let mut columns: Vec<(String, ArrayRef)> =
        vec![("id".to_owned(), Arc::new(rows.iter().map(|(id, _)| Some(*id as i32)).collect::<Int32Array>()))];
    for (index, (name, data_type)) in COLUMNS.iter().enumerate() {
        columns.push((name.to_lowercase(), column(rows, index, *data_type)));
    }
    let batch = RecordBatch::try_from_iter(columns).map_err(|error| error.to_string())?;
    let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).map_err(shown)?;
    let context = SessionContext::new();
    context.register_table("s", Arc::new(table)).map_err(shown)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|error| error.to_string())?;
    let text = case.batch();
    let batches = runtime.block_on(async { context.sql(&text).await?.collect().await }).map_err(shown)?;
    let mut rows = Vec::new();
    for batch in &batches {
        for row in 0..batch.num_rows() {
            rows.push(batch.columns().iter().map(|column| cell(column, row)).collect());
        }
    }
    Ok(rows)
}

fn column(rows: &[(usize, Row)], index: usize, data_type: Type) -> ArrayRef {
    macro_rules! of {
        ($array:ty, $variant:ident) => {
            Arc::new(
                rows.iter()
                    .map(|(_, row)| match &row[index] {
                        Some(Value::$variant(value)) => Some(*value),
                        _ => None,
                    })
                    .collect::<$array>(),
            )
        };
    }
    match data_type {
        Type::Int => of!(Int32Array, Int),
        Type::BigInt => of!(Int64Array, BigInt),
        Type::Double => of!(Float64Array, Double),
        Type::Text => of!(StringArray, Text),
        Type::Boolean => of!(BooleanArray, Boolean),
    }
}

fn cell(column: &ArrayRef, row: usize) -> Json {
    if column.is_null(row) {
        return Json::Null;
    }
    match column.data_type() {
        DataType::Int32 => Json::from(column.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => Json::from(column.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => Json::from(column.as_primitive::<Float64Type>().value(row)),
        DataType::Boolean => Json::from(column.as_boolean().value(row)),
        DataType::Utf8View => Json::from(column.as_string_view().value(row)),
        DataType::LargeUtf8 => Json::from(column.as_string::<i64>().value(row)),
        _ => Json::from(column.as_string::<i32>().value(row)),
    }
}

/// Whether two values of a type are the same; DOUBLEs may have lost some of their last digits.
fn same(one: &Json, other: &Json, data_type: Type) -> bool {
    // DOUBLEs may be written as whole numbers.
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) if data_type == Type::Double => {
            one == other || (one - other).abs() <= 1e-9 * one.abs().max(other.abs())
        }
        _ => one == other,
    }
}

/// Whether two rows are: the number of the row, then the items.
fn same_rows(one: &[Json], other: &[Json], case: &Case) -> bool {
    let types = std::iter::once(Type::Int).chain(case.items.iter().map(|item| item.data_type));
    one.len() == other.len()
        && one.iter().zip(other).zip(types).all(|((one, other), data_type)| same(one, other, data_type))
}

/// What is wrong with a case, if something is.
fn problem(case: &Case, rows: &[(usize, Row)]) -> Option<String> {
    let expected = match batched(case, rows) {
        Ok(expected) => expected,
        Err(error) => return Some(error),
    };
    for batch_rows in [1, 7, rows.len()] {
        let got = match streamed(case, rows, batch_rows) {
            Ok(got) => got,
            Err(error) => return Some(format!("batches of {batch_rows}: {error}")),
        };
        let different = got.iter().zip(&expected).find(|(got, expected)| !same_rows(got, expected, case));
        if let Some((got, expected)) = different {
            let row = rows.iter().find(|(id, _)| got[0] == *id).map(|(_, row)| row);
            return Some(format!("batches of {batch_rows}: {got:?} instead of {expected:?} for {row:?}"));
        }
        if got.len() != expected.len() {
            return Some(format!("batches of {batch_rows}: {} rows instead of {}", got.len(), expected.len()));
        }
    }
    None
}

/// The smallest case that still fails, that can be found by taking parts and single rows.
fn smallest(case: Case, rows: Vec<(usize, Row)>) -> (Case, Vec<(usize, Row)>) {
    let alone = |tree: &Tree| Case { items: vec![tree.clone()], filter: None };
    let singles: Vec<Case> = case.items.iter().chain(&case.filter).map(alone).collect();
    let Some(mut case) = singles.into_iter().find(|one| problem(one, &rows).is_some()) else { return (case, rows) };
    let row = rows.iter().find(|row| problem(&case, std::slice::from_ref(row)).is_some()).cloned();
    let rows = row.map_or(rows, |row| vec![row]);
    while let Some(smaller) = case.items[0].parts().iter().map(alone).find(|part| problem(part, &rows).is_some()) {
        case = smaller;
    }
    (case, rows)
}

#[test]
fn expressions_mean_the_same_in_streams_and_in_batches() {
    let (seed, runs) =
        (from_environment("MILLSTREAM_PROPERTY_SEED", 1), from_environment("MILLSTREAM_PROPERTY_RUNS", 80));
    let mut failures = Vec::new();
    for run in 0..runs {
        let mut random = Random::new(seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(run));
        let rows: Vec<(usize, Row)> = generate::rows(&mut random, ROWS).into_iter().enumerate().collect();
        let case = Case::random(&mut random);
        if problem(&case, &rows).is_some() {
            let (case, rows) = smallest(case, rows);
            let problem = problem(&case, &rows).unwrap_or_default();
            let (here, there) = (case.streaming(), case.batch());
            failures.push(format!("seed {seed}, run {run}: {problem}\n  {here}\n  {there}"));
        }
    }
    assert!(failures.is_empty(), "{} of {runs} failed:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn divisions_by_zero_and_comparisons_with_null_are_spelt_out() {
    let column = |name, data_type| Tree { node: Node::Column(name), data_type };
    let divided = Tree {
        node: Node::Arithmetic("/", vec![column("B", Type::BigInt), column("Z", Type::Int)]),
        data_type: Type::BigInt,
    };
    let compared =
        Tree { node: Node::Compare("<", vec![divided, column("D", Type::Double)]), data_type: Type::Boolean };
    assert_eq!(compared.streaming(), "((B / Z) < D)");
    assert_eq!(compared.batch(), "((CAST((b / NULLIF(CAST(z AS BIGINT), CAST(0 AS BIGINT))) AS DOUBLE) < d) IS TRUE)");
}
