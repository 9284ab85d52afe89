//! `INSERT INTO .. VALUES`: constant expressions to records.
//!
//! Values are cast to the types of their columns; columns that are left out are null. `ROWTIME` may be given, as a number of
//! milliseconds or as ISO text, and is now if it is not.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, new_null_array},
    compute::{self, CastOptions},
    datatypes::{DataType, FieldRef, Schema},
};
use datafusion::common::DFSchema;
use millstream::{
    format::Side,
    record::{Records, Timestamp},
    schema::ROWTIME,
};

use super::{
    bind::{bind, bind_as},
    error::{PlanError, one_line},
    fields_by_name, functions, input, iso_time,
    scope::Scope,
};
use crate::{
    catalog::{Catalog, Column, Source, SqlType},
    syntax::{
        Position,
        ast::{self, InsertValues, SourceKind},
        position_of,
    },
};

/// Records to be written.
#[derive(Debug)]
pub struct InsertPlan {
    /// The stream or table written to.
    pub target: Source,
    /// One record a row of VALUES, in order.
    pub records: Records,
}

/// Evaluates the rows of an INSERT at the moment `now`.
///
/// # Errors
/// [`PlanError`] with the place of the value that cannot be written.
pub fn plan_insert_values(catalog: &Catalog, insert: &InsertValues, now: Timestamp) -> Result<InsertPlan, PlanError> {
    let target = catalog.expect_source(&insert.target)?.clone();
    let at = insert.target.span.start;
    if target.is_source {
        return Err(PlanError::invalid(
            at,
            format!("Cannot insert values into read-only {}: {}", target.kind.word(), target.name),
        ));
    }
    if target.window.is_some() {
        return Err(PlanError::invalid(
            at,
            format!("the keys of {} have windows; rows cannot be inserted", target.name),
        ));
    }
    let columns: Vec<Column> = writable(&target);
    let order = order(insert, &target, &columns)?;
    let scope = Scope { functions: catalog.functions().clone(), ..Scope::default() };
    let rows = insert.rows.len();
    let mut written: Vec<Vec<ArrayRef>> = vec![Vec::with_capacity(rows); columns.len()];
    let mut times = Vec::with_capacity(rows);
    for row in &insert.rows {
        if row.node.len() != order.len() {
            let problem = format!("Expected number columns and values to match: {}, {}", order.len(), row.node.len());
            return Err(PlanError::invalid(row.span.start, problem));
        }
        let mut values: Vec<Option<ArrayRef>> = vec![None; columns.len()];
        let mut time = now;
        for (expr, slot) in row.node.iter().zip(&order) {
            match slot {
                Slot::Time => time = moment(expr, &scope, row.span.start)?,
                Slot::Column(index) => values[*index] = Some(value(expr, &scope, &columns[*index], row.span.start)?),
            }
        }
        for (index, value) in values.into_iter().enumerate() {
            let value = value.unwrap_or_else(|| new_null_array(&columns[index].data_type.to_arrow(), 1));
            if target.kind == SourceKind::Table && columns[index].is_key() && value.is_null(0) {
                let problem =
                    format!("the primary key {} of table {} cannot be null", columns[index].name, target.name);
                return Err(PlanError::invalid(row.span.start, problem));
            }
            written[index].push(value);
        }
        times.push(time.millis());
    }
    let records = encode(&target, &columns, &written, times, at)?;
    Ok(InsertPlan { target, records })
}

/// Where a value goes.
enum Slot {
    Time,
    Column(usize),
}

fn writable(target: &Source) -> Vec<Column> {
    target.key_columns().chain(target.value_columns()).cloned().collect()
}

fn order(insert: &InsertValues, target: &Source, columns: &[Column]) -> Result<Vec<Slot>, PlanError> {
    let position = |name: &str| columns.iter().position(|column| column.name == name);
    let from_headers = |names: &str| format!("Cannot insert into HEADER columns: {names}");
    let Some(named) = &insert.columns else {
        let names: Vec<&str> = target.header_columns().map(|column| column.name.as_str()).collect();
        if !names.is_empty() {
            let at = insert.target.span.start;
            return Err(PlanError::invalid_hint(at, from_headers(&names.join(", ")), "list the other columns"));
        }
        // Without a list, values come in the order in which the columns were declared.
        let declared = target.columns.iter().filter_map(|column| position(&column.name));
        return Ok(declared.map(Slot::Column).collect());
    };
    let slot = |name: &ast::Name| match position(&name.value) {
        _ if name.value == ROWTIME => Ok(Slot::Time),
        Some(index) => Ok(Slot::Column(index)),
        None if target.column(&name.value).is_some() => {
            Err(PlanError::invalid(name.span.start, from_headers(&name.value)))
        }
        None if super::query::PSEUDO_COLUMNS.contains(&name.value.as_str()) => {
            let problem = format!("Inserting into column `{}` is not allowed.", name.value);
            Err(PlanError::invalid_hint(name.span.start, problem, "of the pseudo columns only ROWTIME can be given"))
        }
        None => Err(target.unknown_column(&name.value, name.span.start).into()),
    };
    named.iter().map(slot).collect()
}

/// The single value of a constant expression; collections, dates and times are bound as what is wanted.
fn constant(expr: &ast::Expr, scope: &Scope, wanted: Option<&SqlType>, at: Position) -> Result<ArrayRef, PlanError> {
    let at = position_of(expr).unwrap_or(at);
    let nothing = Arc::new(Schema::empty());
    let is_moment = |wanted: &SqlType| matches!(wanted, SqlType::Date | SqlType::Time | SqlType::Timestamp);
    let bound = match wanted {
        Some(wanted) if wanted.is_nested() || is_moment(wanted) => bind_as(expr, scope, wanted, at)?,
        _ => bind(expr, scope, &nothing, at)?,
    };
    let problem = |problem: String| PlanError::Expression { at, problem: one_line(&problem) };
    let schema = DFSchema::empty();
    let physical =
        functions::context().create_physical_expr(bound, &schema).map_err(|error| problem(error.strip_backtrace()))?;
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let row =
        RecordBatch::try_new_with_options(nothing, vec![], &options).map_err(|error| problem(error.to_string()))?;
    let value = physical.evaluate(&row).and_then(|value| value.into_array(1));
    value.map_err(|error| problem(error.strip_backtrace()))
}

fn value(expr: &ast::Expr, scope: &Scope, column: &Column, at: Position) -> Result<ArrayRef, PlanError> {
    let at = position_of(expr).unwrap_or(at);
    let value = constant(expr, scope, Some(&column.data_type), at)?;
    let wanted = column.data_type.to_arrow();
    let problem = |reason: String| {
        PlanError::invalid(at, format!("column {} is {}, {}", column.name, column.data_type, one_line(&reason)))
    };
    if value.data_type() == &DataType::Null {
        return Ok(new_null_array(&wanted, 1));
    }
    let found = value.data_type().clone();
    let is_text = |data_type: &DataType| matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    // Numbers are not silently made text, nor text truth values.
    if is_text(&wanted) && !is_text(&found) {
        return Err(problem(format!("{} is not; write it in quotes", shown(&value))));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let whole = |data_type: &DataType| matches!(data_type, DataType::Int32 | DataType::Int64);
    if whole(&wanted) && (found.is_floating() || found.is_decimal()) {
        return Err(problem(format!("{} is not whole", shown(&value))));
    }
    fields_by_name::cast(&value, &wanted, &options).map_err(|_| problem(format!("{} is not", shown(&value))))
}

fn shown(value: &ArrayRef) -> String {
    arrow::util::display::array_value_to_string(value, 0).unwrap_or_else(|_| "this value".to_owned())
}

fn moment(expr: &ast::Expr, scope: &Scope, at: Position) -> Result<Timestamp, PlanError> {
    let at = position_of(expr).unwrap_or(at);
    let value = constant(expr, scope, None, at)?;
    let refuse = || {
        PlanError::invalid_hint(
            at,
            format!("ROWTIME: {} is no moment", shown(&value)),
            "give milliseconds, or '2024-03-01T10:00:00'",
        )
    };
    let text = compute::cast(&value, &DataType::Utf8).map_err(|_| refuse())?;
    let text = arrow::array::AsArray::as_string::<i32>(&text);
    if text.is_null(0) {
        return Err(refuse());
    }
    let millis = text.value(0).parse::<i64>().ok().or_else(|| iso_time::parse(text.value(0)));
    millis.filter(|millis| *millis >= 0).map(Timestamp::from_millis).ok_or_else(refuse)
}

fn encode(
    target: &Source,
    columns: &[Column],
    written: &[Vec<ArrayRef>],
    times: Vec<i64>,
    at: Position,
) -> Result<Records, PlanError> {
    let refuse = |error: &dyn std::fmt::Display| PlanError::invalid(at, error.to_string());
    let rows = times.len();
    let formats = input::formats(target);
    let side = |side: Side, wanted: fn(&Column) -> bool, format: millstream::format::Format| {
        let picked: Vec<usize> = (0..columns.len()).filter(|index| wanted(&columns[*index])).collect();
        let fields: Vec<FieldRef> = picked.iter().map(|index| input::field(&columns[*index])).collect();
        let mut arrays = Vec::with_capacity(picked.len());
        for index in picked {
            let parts: Vec<&dyn Array> = written[index].iter().map(AsRef::as_ref).collect();
            arrays.push(compute::concat(&parts).map_err(|error| refuse(&error))?);
        }
        let mut serializer = format.serializer(side, formats.wrapping, &fields).map_err(|error| refuse(&error))?;
        serializer.encode(&arrays, rows, None).map_err(|error| refuse(&error))
    };
    let keys = side(Side::Key, Column::is_key, formats.key)?;
    let values = side(Side::Value, |column| !column.is_key(), formats.value)?;
    Ok(Records::new(keys, values, Int64Array::from(times), None))
}
