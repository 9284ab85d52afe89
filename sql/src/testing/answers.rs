//! Answers of queries beside the expected ones.

use arrow::{
    array::{Array, ArrayRef, RecordBatch},
    datatypes::FieldRef,
};

use super::{case::ExpectedAnswer, compare::same, post::columns, report::beside, value::Value};
use crate::{
    catalog::{Source, SqlType},
    engine::in_memory::Answer,
    output::json::Values,
    syntax::ast::ColumnRole,
};

/// Checks the rows of an answer, in order only if that is asked for, and the names and types of its columns.
///
/// # Errors
/// Both sides.
pub(super) fn check(answer: &mut Answer, expected: &ExpectedAnswer, ordered: bool) -> Result<(), String> {
    let (schema, batches, is_limited): (_, Vec<RecordBatch>, _) = match answer {
        Answer::Done => return Err("the statement answers nothing".to_owned()),
        Answer::Rows(rows) => (rows.schema.clone(), rows.batches.clone(), true),
        Answer::Push(run) => {
            let schema = run.schema().clone();
            let (batches, is_limited) = run.run().map_err(|error| error.to_string())?;
            (schema, batches.to_vec(), is_limited)
        }
    };
    let types: Vec<Option<SqlType>> =
        schema.fields().iter().map(|field| SqlType::from_arrow(field.data_type())).collect();
    let mut rows = Vec::new();
    for batch in &batches {
        for row in 0..batch.num_rows() {
            let fields = schema.fields().iter().zip(batch.columns());
            let cells = fields.map(|(field, column)| cell(field, column, row));
            rows.push(cells.collect::<Result<Vec<_>, String>>()?);
        }
    }
    let same_row = |wanted: &Value, found: &[Value]| {
        wanted.items().len() == found.len()
            && wanted.items().iter().zip(found).zip(&types).all(|((a, b), kind)| same(a, b, kind.as_ref()))
    };
    let fits = if ordered {
        expected.rows.len() == rows.len()
            && expected.rows.iter().zip(&rows).all(|(wanted, found)| same_row(wanted, found))
    } else {
        let mut left: Vec<&Vec<Value>> = rows.iter().collect();
        expected.rows.len() == rows.len()
            && expected.rows.iter().all(|wanted| match left.iter().position(|found| same_row(wanted, found)) {
                Some(position) => {
                    left.remove(position);
                    true
                }
                None => false,
            })
    };
    if !fits {
        let wanted: Vec<String> = expected.rows.iter().map(Value::to_string).collect();
        let found: Vec<String> = rows.into_iter().map(|row| Value::Array(row).to_string()).collect();
        return Err(beside(&format!("rows of statement {}", expected.statement), &wanted, &found));
    }
    // A pull query ends by itself and says nothing of its limit.
    if expected.final_message.as_deref() == Some("Limit Reached") && !is_limited {
        return Err(format!("statement {} has not reached its limit", expected.statement));
    }
    if let Some(wanted) = &expected.schema {
        let column = |(field, kind): (&FieldRef, &Option<SqlType>)| {
            format!("`{}` {}", field.name(), kind.as_ref().map_or_else(String::new, SqlType::to_string))
        };
        let found = schema.fields().iter().zip(&types).map(column).collect::<Vec<_>>().join(", ");
        // Answers do not say which of their columns are keys.
        let plain = columns(wanted)?.replace(" KEY", "");
        if plain != found {
            return Err(format!("schema of statement {}\n  expected {plain}\n  found    {found}", expected.statement));
        }
    }
    Ok(())
}

/// One value of a column.
///
/// # Errors
/// If JSON cannot hold it.
pub(super) fn cell(field: &FieldRef, column: &ArrayRef, row: usize) -> Result<Value, String> {
    if column.is_null(row) {
        return Ok(Value::Null);
    }
    let mut values = Values::new(field, column).map_err(|error| error.to_string())?;
    Value::parse(&values.text(row))
}

/// The columns of a source, as text: `` `NAME` TYPE [KEY] ``, separated by commas.
pub(super) fn schema_text(source: &Source) -> String {
    let columns = source.columns.iter().map(|column| {
        let role = match &column.role {
            ColumnRole::Key | ColumnRole::PrimaryKey => " KEY".to_owned(),
            ColumnRole::Headers => " HEADERS".to_owned(),
            ColumnRole::Header(name) => format!(" HEADER('{name}')"),
            ColumnRole::Value => String::new(),
        };
        format!("`{}` {}{role}", column.name, column.data_type)
    });
    columns.collect::<Vec<_>>().join(", ")
}
