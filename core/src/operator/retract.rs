//! Retract: the changes of a table under a new key, so that an aggregation can take back what a row contributed.
//!
//! A row that changes within its group is one change with both sides; one that moves to another group is two, first the side that goes.
//! The side that comes is in the value columns, the side that goes in columns of the same types behind them; `__change` says which
//! sides there are. What is not there is null.
//!
//! ```text
//! key  before  after          new key  v  __change  __was_v
//!  a   (x, 1)  (x, 2)    ->      x     2     3         1       comes and goes
//!  b   (x, 1)  (y, 2)    ->      x           2         1       goes
//!                                y     2     1                 comes
//! ```
//!
//! Where aggregations ask which of equal rows goes, `__row` holds the bytes of the key that the row has in the table.
//!
//! As Kafka Streams does for grouped tables since KIP-904. A side whose new key is null, or cannot be computed, is left out.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, Int8Array, RecordBatch, UInt32Array},
    buffer::NullBuffer,
    compute,
    datatypes::{DataType, Field, FieldRef, Int8Type},
};

use super::{
    Column, ProjectError, Reads, Superseded, Transform, TransformError, filter::rows_before, project::evaluate,
};
use crate::{
    Batch,
    expression::{Expression, ROW, RowError},
    row::RowCodec,
    schema::{SchemaError, StreamSchema},
};

/// The column that says which sides a change has: the sum of [`COMES`] and [`GOES`].
pub(crate) const CHANGE: &str = "__change";
/// There is a row now.
pub(crate) const COMES: i8 = 1;
/// There was a row before.
pub(crate) const GOES: i8 = 2;

/// The column that holds what the column `name` was.
pub(crate) fn was(name: &str) -> String {
    format!("__was_{name}")
}

/// What a row is in a group: computes the new key and the values of rows.
pub trait Regroup: Send + Sync {
    /// The columns of the new key and of the values, and which rows have both; `None` if all have. Rows that fail are added to `errors` and have
    /// neither. Rows without value are not looked at.
    fn regroup(&self, rows: &Batch, errors: &mut Vec<RowError>) -> Regrouped;

    /// Which columns of a row it needs.
    fn reads(&self) -> Reads;

    /// What it does, for `describe`.
    fn describe(&self) -> String;
}

/// What rows are in their groups.
pub struct Regrouped {
    /// The columns of the new key.
    pub keys: Vec<ArrayRef>,
    /// The value columns.
    pub values: Vec<ArrayRef>,
    /// Which rows are in a group; `None` if all those are that have a value and no null in their key.
    pub there: Option<Vec<bool>>,
}

/// Turns changes into changes under a new key.
#[derive(Clone)]
pub struct Retract {
    regroup: Arc<dyn Regroup>,
    /// The encoding of the new key.
    codec: Arc<RowCodec>,
    /// The encoding of the old key, if rows carry it.
    identity: Option<Arc<RowCodec>>,
    output: Arc<StreamSchema>,
}

/// One side of a batch of changes, computed.
struct Side {
    keys: Vec<ArrayRef>,
    values: Vec<ArrayRef>,
    /// Whether the row has this side, under a key.
    there: Vec<bool>,
}

impl Retract {
    /// Changes of `value` columns under `key`.
    ///
    /// # Errors
    /// [`ProjectError`] if an expression does not bind, names clash or a key has no row encoding.
    pub fn new(key: &[Column], value: &[Column], input: &StreamSchema) -> Result<Self, ProjectError> {
        let bind = |columns: &[Column]| -> Result<Vec<Expression>, ProjectError> {
            columns.iter().map(|column| Ok(Expression::bind(&column.expression, input)?)).collect()
        };
        let (bound_key, bound_value) = (bind(key)?, bind(value)?);
        let field =
            |name: &str, bound: &Expression| Arc::new(Field::new(name, bound.field().data_type().clone(), true));
        let fields = |columns: &[Column], bound: &[Expression]| -> Vec<FieldRef> {
            columns.iter().zip(bound).map(|(column, bound)| field(&column.name, bound)).collect()
        };
        let regroup = ByExpressions {
            names: key.iter().chain(value).map(|column| column.name.clone()).collect(),
            key: bound_key.clone(),
            value: bound_value.clone(),
        };
        Self::of(Arc::new(regroup), fields(key, &bound_key), fields(value, &bound_value))
    }

    /// Changes of `value` columns under `key` columns, both as `regroup` computes them.
    ///
    /// # Errors
    /// [`ProjectError`] if names clash or a key has no row encoding.
    pub fn of(regroup: Arc<dyn Regroup>, key: Vec<FieldRef>, value: Vec<FieldRef>) -> Result<Self, ProjectError> {
        let past = |field: &FieldRef| Arc::new(field.as_ref().clone().with_name(was(field.name())));
        let change: FieldRef = Arc::new(Field::new(CHANGE, DataType::Int8, true));
        let values = value.iter().cloned().chain([change]).chain(value.iter().map(past)).collect();
        let codec = RowCodec::new(&key).map_err(|error| SchemaError::Encoding { problem: error.to_string() })?;
        let output = StreamSchema::new(key, values, false)?;
        Ok(Self { regroup, codec: Arc::new(codec), identity: None, output })
    }

    /// The same with `__row`, for rows of `input`.
    ///
    /// # Errors
    /// [`SchemaError`] if a key has no row encoding or a column is called so already.
    pub(crate) fn with_identity(&self, input: &StreamSchema) -> Result<Self, ProjectError> {
        let keys = &input.columns().fields()[..input.key_width()];
        let codec = RowCodec::new(keys).map_err(|error| SchemaError::Encoding { problem: error.to_string() })?;
        let mut values = self.output.value().to_vec();
        values.push(Arc::new(Field::new(ROW, DataType::Binary, true)));
        let output = StreamSchema::new(self.output.key().to_vec(), values, false)?;
        Ok(Self { identity: Some(Arc::new(codec)), output, ..self.clone() })
    }

    /// The columns it gives: the new key, the values, `__change`, the values as they were.
    pub fn output(&self) -> &Arc<StreamSchema> {
        &self.output
    }

    /// Computes a side; only rows that have a value may complain.
    fn side(&self, rows: &Batch, errors: &mut Vec<RowError>) -> Side {
        let present = |row: usize| rows.present().is_none_or(|present| present.is_valid(row));
        let mut found = Vec::new();
        let Regrouped { keys, values, there } = self.regroup.regroup(rows, &mut found);
        errors.extend(found.into_iter().filter(|error| present(error.row)));
        let nulls: Vec<_> = keys.iter().filter_map(|key| key.logical_nulls()).collect();
        let is_there = |row: usize| {
            let is_grouped = there.as_ref().is_none_or(|there| there[row]);
            present(row) && is_grouped && nulls.iter().all(|nulls| nulls.is_valid(row))
        };
        let there = (0..rows.len()).map(is_there).collect();
        Side { keys, values, there }
    }
}

/// Which rows of the sides make an output row.
#[derive(Clone, Copy)]
struct Change {
    row: u32,
    sides: i8,
}

impl Transform for Retract {
    fn apply(&self, batch: &Batch, errors: &mut Vec<RowError>) -> Result<Batch, TransformError> {
        let comes = self.side(batch, errors);
        let goes = batch.before().map(|before| {
            let columns = rows_before(batch, before).columns().to_vec();
            let past = Batch::new(Arc::clone(batch.schema()), columns).with_present(before.present.clone());
            self.side(&past, &mut Vec::new())
        });
        let changes = self.changes(batch.len(), &comes, goes.as_ref())?;
        let rows: UInt32Array = changes.iter().map(|change| change.row).collect();
        let side = |of: i8| -> UInt32Array {
            changes.iter().map(|change| (change.sides & of != 0).then_some(change.row)).collect()
        };
        let take =
            |column: &ArrayRef, rows: &UInt32Array| compute::take(column, rows, None).map_err(TransformError::of);
        let (new, old) = (side(COMES), side(GOES));
        let mut columns = Vec::with_capacity(self.output.columns().fields().len());
        for (index, key) in comes.keys.iter().enumerate() {
            columns.push(match &goes {
                None => take(key, &rows)?,
                Some(goes) => {
                    let pick = |change: &Change| (usize::from(change.sides == GOES), change.row as usize);
                    let picked: Vec<(usize, usize)> = changes.iter().map(pick).collect();
                    compute::interleave(&[key.as_ref(), goes.keys[index].as_ref()], &picked)
                        .map_err(TransformError::of)?
                }
            });
        }
        for value in &comes.values {
            columns.push(take(value, &new)?);
        }
        columns.push(Arc::new(changes.iter().map(|change| Some(change.sides)).collect::<Int8Array>()));
        for (index, value) in comes.values.iter().enumerate() {
            columns.push(match &goes {
                Some(goes) => take(&goes.values[index], &old)?,
                None => arrow::array::new_null_array(value.data_type(), changes.len()),
            });
        }
        if let Some(identity) = &self.identity {
            let keys = identity.encode_binary(batch.keys()).map_err(TransformError::of)?;
            columns.push(take(&(Arc::new(keys) as ArrayRef), &rows)?);
        }
        let input = batch.schema();
        for index in [input.time_index(), input.offset_index()] {
            columns.push(take(batch.rows().column(index), &rows)?);
        }
        let headers = batch.headers_at(&rows).map_err(TransformError::of)?;
        Ok(Batch::new(Arc::clone(&self.output), columns).with_headers(headers))
    }

    fn reads(&self) -> Reads {
        self.regroup.reads()
    }

    fn superseded(&self) -> Superseded {
        Superseded::Refused
    }

    fn describe(&self) -> String {
        format!("take back and add, {}", self.regroup.describe())
    }
}

/// Groups computed by expressions.
struct ByExpressions {
    /// The names of key columns, then of value columns.
    names: Vec<String>,
    key: Vec<Expression>,
    value: Vec<Expression>,
}

impl Regroup for ByExpressions {
    fn regroup(&self, rows: &Batch, errors: &mut Vec<RowError>) -> Regrouped {
        let keys = evaluate(&self.key, rows.rows(), errors);
        Regrouped { keys, values: evaluate(&self.value, rows.rows(), errors), there: None }
    }

    fn reads(&self) -> Reads {
        Reads::Only(self.key.iter().chain(&self.value).flat_map(Expression::columns).collect())
    }

    fn describe(&self) -> String {
        let list = |names: &[String], expressions: &[Expression]| {
            let column = |(name, expression): (&String, &Expression)| format!("{name} = {expression}");
            names.iter().zip(expressions).map(column).collect::<Vec<_>>().join(", ")
        };
        let (key_names, value_names) = self.names.split_at(self.key.len());
        match (list(key_names, &self.key), list(value_names, &self.value)) {
            (key, value) if value.is_empty() => format!("key {key}"),
            (key, value) => format!("key {key}; {value}"),
        }
    }
}

/// The value columns of the side that comes and of the one that goes, and which rows have them.
pub(crate) fn change_sides(
    batch: &Batch,
    value_columns: usize,
) -> Result<[(Vec<ArrayRef>, NullBuffer); 2], TransformError> {
    let sides = sides(batch)?;
    let columns = batch.values();
    let there = |side: i8| NullBuffer::from_iter(sides.values().iter().map(|found| found & side != 0));
    let past = value_columns + 1;
    let columns = [&columns[..value_columns], &columns[past..past + value_columns]].map(<[ArrayRef]>::to_vec);
    let [new, old] = columns;
    Ok([(new, there(COMES)), (old, there(GOES))])
}

impl Retract {
    /// The output rows, in the order of the input.
    fn changes(&self, rows: usize, comes: &Side, goes: Option<&Side>) -> Result<Vec<Change>, TransformError> {
        let both = goes.is_some_and(|goes| (0..rows).any(|row| comes.there[row] && goes.there[row]));
        let encoded = match goes.filter(|_| both) {
            None => None,
            Some(goes) => {
                let encode = |keys: &[ArrayRef]| self.codec.encode(keys).map_err(TransformError::of);
                Some((encode(&comes.keys)?, encode(&goes.keys)?))
            }
        };
        let same = |row: usize| encoded.as_ref().is_some_and(|(new, old)| new.row(row) == old.row(row));
        let mut changes = Vec::with_capacity(rows);
        for row in 0..rows {
            let mut add = |sides: i8| changes.push(Change { row: row as u32, sides });
            match (goes.is_some_and(|goes| goes.there[row]), comes.there[row]) {
                (true, true) if same(row) => add(COMES | GOES),
                (went, came) => {
                    if went {
                        add(GOES);
                    }
                    if came {
                        add(COMES);
                    }
                }
            }
        }
        Ok(changes)
    }
}

/// Which sides the changes of a batch have, row by row.
pub(crate) fn sides(batch: &Batch) -> Result<Int8Array, TransformError> {
    let column = batch.rows().column_by_name(CHANGE).ok_or_else(|| TransformError::of("the rows are no changes"))?;
    let sides = arrow::array::AsArray::as_primitive_opt::<Int8Type>(column);
    sides.cloned().ok_or_else(|| TransformError::of("the rows are no changes"))
}

/// The rows of a batch of changes as they were: the value columns that have a past, replaced by it.
pub(crate) fn rows_that_go(batch: &Batch) -> Result<RecordBatch, TransformError> {
    let rows = batch.rows();
    let past = |(field, column): (&FieldRef, &ArrayRef)| {
        rows.column_by_name(&was(field.name())).cloned().unwrap_or_else(|| Arc::clone(column))
    };
    let schema = rows.schema();
    let columns = schema.fields().iter().zip(rows.columns()).map(past).collect();
    RecordBatch::try_new(Arc::clone(&schema), columns).map_err(TransformError::of)
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;

    use super::*;
    use crate::{batch::Before, expression::col};

    type Row = Option<(Option<i64>, i64)>;

    /// Changes of rows `(group, value)`; gives `(group, sides, value, value before)`.
    fn check(changes: &[(Row, Row)]) -> Vec<(i64, i8, Option<i64>, Option<i64>)> {
        let field = |name: &str| Arc::new(Field::new(name, DataType::Int64, true));
        let input = StreamSchema::new(vec![field("id")], vec![field("g"), field("v")], false).expect("legal");
        let retract =
            Retract::new(&[Column::new("g", col("g"))], &[Column::new("v", col("v"))], &input).expect("binds");
        let columns = |side: &dyn Fn(&(Row, Row)) -> Row| -> Vec<ArrayRef> {
            let group: Int64Array = changes.iter().map(|change| side(change).and_then(|row| row.0)).collect();
            let value: Int64Array = changes.iter().map(|change| side(change).map(|row| row.1)).collect();
            vec![Arc::new(group), Arc::new(value)]
        };
        let present = |side: &dyn Fn(&(Row, Row)) -> Row| -> Option<NullBuffer> {
            Some(changes.iter().map(|change| side(change).is_some()).collect())
        };
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..changes.len() as i64));
        let mut all = vec![Arc::clone(&ids)];
        all.extend(columns(&|change| change.1));
        all.extend([ids, Batch::no_offsets(changes.len())]);
        let before = Before { values: columns(&|change| change.0), present: present(&|change| change.0) };
        let batch = Batch::new(input, all).with_present(present(&|change| change.1)).with_before(Some(before));
        let output = retract.apply(&batch, &mut Vec::new()).expect("applies");
        let whole = |name: &str| {
            let column = output.rows().column_by_name(name).expect("a column");
            Int64Array::from(column.to_data()).iter().collect::<Vec<_>>()
        };
        let sides = sides(&output).expect("changes");
        let (groups, values, past) = (whole("g"), whole("v"), whole("__was_v"));
        (0..output.len()).map(|row| (groups[row].expect("a key"), sides.value(row), values[row], past[row])).collect()
    }

    #[test]
    fn changes_keep_their_sides_together_within_a_group() {
        let row = |group: i64, value: i64| Some((Some(group), value));
        let keyless = Some((None, 9));
        assert_eq!(check(&[(None, row(1, 5))]), [(1, COMES, Some(5), None)]);
        assert_eq!(check(&[(row(1, 5), row(1, 6))]), [(1, 3, Some(6), Some(5))]);
        assert_eq!(check(&[(row(1, 5), row(2, 6))]), [(1, GOES, None, Some(5)), (2, COMES, Some(6), None)]);
        assert_eq!(check(&[(row(1, 5), None)]), [(1, GOES, None, Some(5))]);
        assert_eq!(check(&[(row(1, 5), keyless)]), [(1, GOES, None, Some(5))]);
        assert_eq!(check(&[(keyless, row(1, 5)), (None, keyless)]), [(1, COMES, Some(5), None)]);
    }
}
