//! The rows of a stream or table as sink connectors write them, whole or as a query makes them.
//!
//! `AS SELECT items FROM source WHERE ..` works row by row. Of a table, a row that the condition does not take is a deletion: its target may hold
//! an earlier version that it took. A deletion passes whatever the condition says, and its value columns are null.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch},
    compute::{filter_record_batch, kernels::nullif::nullif, not, prep_null_mask_filter},
    datatypes::{Field, FieldRef, Schema},
};
use datafusion::logical_expr::Expr;
use millstream::{
    connect::{ConnectError, RejectedRecord},
    expression::Expression,
    log::FetchedBatch,
    record::TopicPartition,
    schema::StreamSchema,
    topology::{OffsetReset, RecordPart},
};
use millstream_connectors::rows::{RecordColumns, RowFormat, RowKind, RowReader, RowSchema, Rows};

use super::{PlainProjection, PlanError, input};
use crate::{
    catalog::{Catalog, Source},
    syntax::{
        Position,
        ast::{SourceKind, StreamQuery},
    },
};

/// The rows of a source, all columns.
///
/// # Errors
/// If its columns have a name that rows cannot have.
pub(crate) fn declared_rows(source: &Source, at: Position) -> Result<Arc<dyn RowFormat>, PlanError> {
    let options = input::options(source, OffsetReset::Earliest, at)?;
    let columns = RecordColumns {
        kind: kind(source),
        key_format: options.formats.key,
        key: options.key,
        window: options.window,
        value_format: options.formats.value,
        wrapping: options.formats.wrapping,
        value: options.value,
        parts: options.parts,
    };
    columns.row_format().map_err(|error| PlanError::invalid(at, error.to_string()))
}

fn kind(source: &Source) -> RowKind {
    match source.kind {
        SourceKind::Stream => RowKind::Stream,
        SourceKind::Table => RowKind::Table,
    }
}

/// Where the key of a table's row is in what a sink gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyColumns {
    /// In the columns alone, so that a query has to select it.
    Selected,
    /// Beside the columns, whatever they are.
    Beside,
}

/// What a query makes of the rows of its source.
///
/// # Errors
/// [`PlanError`] with the place of what is wrong, or of a clause that needs more than one row.
pub(crate) fn selected_rows(
    query: &StreamQuery,
    source: &Source,
    catalog: &Catalog,
    key_columns: KeyColumns,
) -> Result<Arc<dyn RowFormat>, PlanError> {
    check_clauses(query)?;
    let at = query.span.start;
    let inner = declared_rows(source, at)?;
    let key: Vec<FieldRef> = source.key_columns().map(input::field).collect();
    let partition: FieldRef = Arc::new(Field::new(input::ROWPARTITION, RecordPart::Partition.data_type(), true));
    let rest = source.value_columns().chain(source.header_columns()).map(input::field);
    let value: Vec<FieldRef> = rest.chain([partition]).collect();
    let invalid = |problem: String| PlanError::invalid(at, problem);
    let columns = StreamSchema::new(key, value, input::window(source)).map_err(|error| invalid(error.to_string()))?;
    let bind = |expr: &Expr| Expression::bind(expr, &columns).map_err(|error| invalid(error.to_string()));
    let plan = PlainProjection::bind(query, source, columns.columns(), catalog)?;
    let filter = plan.filter.as_ref().map(bind).transpose()?;
    let mut items: Vec<(Option<usize>, String, Expression)> = Vec::new();
    for item in &plan.items {
        let (name, expr) = match item {
            Expr::Alias(alias) => (alias.name.clone(), alias.expr.as_ref()),
            other => (other.schema_name().to_string(), other),
        };
        let is_taken = |place: usize| items.iter().any(|(key, ..)| *key == Some(place));
        let key = key_place(expr, &columns).filter(|place| !is_taken(*place));
        items.push((key, name, bind(expr)?));
    }
    let keys = items.iter().filter(|(key, ..)| key.is_some()).count();
    if source.kind == SourceKind::Table && key_columns == KeyColumns::Selected && keys < columns.key_width() {
        let names: Vec<&str> = columns.whole_key().iter().map(|field| field.name().as_str()).collect();
        let hint = format!("select all of {}", names.join(", "));
        return Err(PlanError::invalid_hint(
            at,
            "the rows of a table are known by their key, which is not selected",
            hint,
        ));
    }
    // Keys first, in their order; the others as they were written.
    items.sort_by_key(|(key, ..)| key.unwrap_or(usize::MAX));
    let field = |(_, name, expr): &(Option<usize>, String, Expression)| {
        Arc::new(Field::new(name, expr.field().data_type().clone(), true))
    };
    let schema = RowSchema {
        columns: Arc::new(Schema::new(items.iter().map(field).collect::<Vec<_>>())),
        key_columns: keys,
        kind: kind(source),
    };
    let items = items.into_iter().map(|(_, _, expr)| expr).collect();
    Ok(Arc::new(Selected { inner, columns, filter, items, schema }))
}

/// Refuses what does not work row by row.
fn check_clauses(query: &StreamQuery) -> Result<(), PlanError> {
    let clauses = [
        (query.group_by.as_ref().map(|clause| clause.span), "GROUP BY"),
        (query.partition_by.as_ref().map(|clause| clause.span), "PARTITION BY"),
        (query.having.as_ref().map(|clause| clause.span), "HAVING"),
        (query.limit.as_ref().map(|clause| clause.span), "LIMIT"),
        (query.window.as_ref().map(|_| query.span), "WINDOW"),
        (query.joins.first().map(|_| query.span), "JOIN"),
        (query.made_of().map(|_| query.span), "a query of several parts"),
    ];
    match clauses.into_iter().find_map(|(span, clause)| Some((span?, clause))) {
        None => Ok(()),
        Some((span, clause)) => Err(PlanError::invalid_hint(
            span.start,
            format!("{clause} needs more than one row, and a connector works row by row"),
            "make a stream or table of the query, and the connector FROM that",
        )),
    }
}

/// Which column of the key an expression is.
fn key_place(expr: &Expr, columns: &StreamSchema) -> Option<usize> {
    let Expr::Column(column) = expr else { return None };
    columns.whole_key().iter().position(|field| *field.name() == column.name)
}

struct Selected {
    inner: Arc<dyn RowFormat>,
    /// What the expressions are over.
    columns: Arc<StreamSchema>,
    filter: Option<Expression>,
    items: Vec<Expression>,
    schema: RowSchema,
}

impl RowFormat for Selected {
    fn schema(&self) -> &RowSchema {
        &self.schema
    }

    fn reader(&self) -> Result<Box<dyn RowReader>, ConnectError> {
        Ok(Box::new(SelectedReader {
            inner: self.inner.reader()?,
            columns: Arc::clone(&self.columns),
            filter: self.filter.clone(),
            items: self.items.clone(),
            schema: self.schema.clone(),
        }))
    }
}

struct SelectedReader {
    inner: Box<dyn RowReader>,
    columns: Arc<StreamSchema>,
    filter: Option<Expression>,
    items: Vec<Expression>,
    schema: RowSchema,
}

/// Rows on their way through a query.
struct Passing<'a> {
    partition: &'a TopicPartition,
    batch: &'a FetchedBatch,
    records: Vec<usize>,
    /// Which rows stay.
    keep: Vec<bool>,
    /// Which of them have a value.
    present: Vec<bool>,
    rejected: Vec<RejectedRecord>,
}

impl Passing<'_> {
    fn reject(&mut self, row: usize, problem: String) {
        if self.present[row] && std::mem::replace(&mut self.keep[row], false) {
            self.rejected.push(RejectedRecord::of(self.partition, self.batch, self.records[row], problem));
        }
    }
}

impl SelectedReader {
    /// The columns that expressions are over.
    fn input(&self, rows: &Rows, partition: &TopicPartition, batch: &FetchedBatch) -> RecordBatch {
        let times = rows.records.iter().map(|record| batch.records.timestamps().value(*record));
        let offsets = rows.records.iter().map(|record| batch.offsets.at(*record).0 as i64);
        let mut columns: Vec<ArrayRef> = rows.batch.columns().to_vec();
        columns.push(RecordPart::Partition.column(partition.partition, None, rows.len()));
        columns.push(Arc::new(Int64Array::from_iter_values(times)));
        columns.push(Arc::new(Int64Array::from_iter_values(offsets)));
        RecordBatch::try_new(Arc::clone(self.columns.columns()), columns)
            .expect("rows of a source have the columns of its schema")
    }

    fn filter(&self, input: &RecordBatch, passing: &mut Passing<'_>) {
        let Some(filter) = &self.filter else { return };
        let evaluated = filter.evaluate(input);
        evaluated.errors.into_iter().for_each(|error| passing.reject(error.row, format!("WHERE: {}", error.problem)));
        let taken = match evaluated.column.as_boolean() {
            answers if answers.null_count() > 0 => prep_null_mask_filter(answers),
            answers => answers.clone(),
        };
        for row in (0..taken.len()).filter(|row| !taken.value(*row)) {
            match self.schema.kind {
                RowKind::Stream => passing.keep[row] = false,
                RowKind::Table => passing.present[row] = false,
            }
        }
    }

    fn select(&self, input: &RecordBatch, passing: &mut Passing<'_>) -> RecordBatch {
        let fields = self.schema.columns.fields();
        let mut columns = Vec::with_capacity(self.items.len());
        for (item, field) in self.items.iter().zip(fields) {
            let evaluated = item.evaluate(input);
            for error in evaluated.errors {
                passing.reject(error.row, format!("column {}: {}", field.name(), error.problem));
            }
            columns.push(evaluated.column);
        }
        if !passing.present.iter().all(|present| *present) {
            let absent = not(&BooleanArray::from(passing.present.clone())).expect("a mask has a complement");
            for column in &mut columns[self.schema.key_columns..] {
                *column = nullif(column, &absent).expect("the mask has one bit a row");
            }
        }
        RecordBatch::try_new(Arc::clone(&self.schema.columns), columns).expect("expressions keep their types")
    }
}

impl RowReader for SelectedReader {
    fn read(&mut self, partition: &TopicPartition, batch: &FetchedBatch) -> Result<Rows, ConnectError> {
        let rows = self.inner.read(partition, batch)?;
        let input = self.input(&rows, partition, batch);
        let key = rows.key.clone();
        let present = (0..rows.len()).map(|row| !rows.is_tombstone(row)).collect();
        let keep = vec![true; rows.len()];
        let mut passing = Passing { partition, batch, records: rows.records, keep, present, rejected: rows.rejected };
        self.filter(&input, &mut passing);
        let selected = self.select(&input, &mut passing);
        let Passing { records, keep, present, mut rejected, .. } = passing;
        rejected.sort_by_key(|rejected| rejected.offset);
        let kept = |row: &usize| keep[*row];
        let present: BooleanArray = (0..records.len()).filter(kept).map(|row| Some(present[row])).collect();
        let mask = BooleanArray::from(keep.clone());
        let of_kept = |rows: &RecordBatch| filter_record_batch(rows, &mask).expect("the mask has one bit a row");
        Ok(Rows {
            batch: of_kept(&selected),
            key: of_kept(&key),
            records: (0..records.len()).filter(kept).map(|row| records[row]).collect(),
            present: (present.true_count() < present.len()).then_some(present),
            rejected,
        })
    }
}
