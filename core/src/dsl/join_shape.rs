//! The columns of a typed join: what a flat join gives, nested into the two values that its closure takes.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, StructArray},
    buffer::NullBuffer,
    datatypes::{DataType, Field, FieldRef, Fields},
};

use super::typed::{Data, Shape};
use crate::{
    Batch,
    expression::RowError,
    operator::{JoinKind, Reads, Transform, TransformError},
    schema::StreamSchema,
};

/// Nests the value columns of a flat join into `stream` and `table`.
struct Nest {
    stream: Shaped,
    table: Shaped,
    kind: JoinKind,
    output: Arc<StreamSchema>,
}

/// One side: its columns, or one column if its type is no struct.
struct Shaped {
    fields: Fields,
    bare: bool,
}

impl Shaped {
    fn of<T: Data>() -> Result<Self, String> {
        let shape = Shape::<T>::of("value")?;
        Ok(Self { fields: shape.fields.clone().into(), bare: shape.is_bare() })
    }

    fn field(&self, name: &str) -> FieldRef {
        let kind = if self.bare { self.fields[0].data_type().clone() } else { DataType::Struct(self.fields.clone()) };
        Arc::new(Field::new(name, kind, true))
    }

    /// The side as one column; null where all its columns are null, if it may be missing.
    fn column(&self, columns: &[ArrayRef], may_miss: bool) -> ArrayRef {
        if self.bare {
            return Arc::clone(&columns[0]);
        }
        let rows = columns.first().map_or(0, |column| column.len());
        let there = |row: usize| columns.iter().any(|column| column.is_valid(row));
        let nulls = may_miss.then(|| NullBuffer::from_iter((0..rows).map(there)));
        Arc::new(StructArray::new(self.fields.clone(), columns.to_vec(), nulls))
    }
}

/// The transform that nests a flat join of a `V` and a `T`, and its output.
pub(super) fn nest<V: Data, T: Data>(
    flat: &StreamSchema,
    kind: JoinKind,
) -> Result<(Arc<dyn Transform>, Arc<StreamSchema>), String> {
    let (stream, table) = (Shaped::of::<V>()?, Shaped::of::<T>()?);
    if flat.value().len() != stream.fields.len() + table.fields.len() {
        return Err("the columns of the join are not those of its types".to_owned());
    }
    let value = vec![stream.field("stream"), table.field("table")];
    let output = StreamSchema::new(flat.key().to_vec(), value, false).map_err(|error| error.to_string())?;
    Ok((Arc::new(Nest { stream, table, kind, output: Arc::clone(&output) }), output))
}

impl Transform for Nest {
    fn apply(&self, batch: &Batch, _errors: &mut Vec<RowError>) -> Result<Batch, TransformError> {
        let (stream, table) = batch.values().split_at(self.stream.fields.len());
        let schema = batch.schema();
        let mut columns = batch.keys().to_vec();
        columns.extend([self.stream.column(stream, false), self.table.column(table, self.kind == JoinKind::Left)]);
        columns
            .extend([schema.time_index(), schema.offset_index()].map(|index| Arc::clone(batch.rows().column(index))));
        let nested = Batch::new(Arc::clone(&self.output), columns).with_present(batch.present().cloned());
        Ok(nested.with_headers(batch.headers().cloned()))
    }

    fn reads(&self) -> Reads {
        Reads::Everything
    }

    fn describe(&self) -> String {
        "nest both sides of the join".to_owned()
    }
}
