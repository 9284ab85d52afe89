//! What the bytes of a topic's records mean: formats and columns of key and value.

use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, SchemaRef};
use millstream::{
    connect::ConnectError,
    format::{Format, Wrapping},
    schema::{StreamSchema, WindowKind},
    topology::RecordPart,
};

use super::{RecordReader, RowFormat, RowKind, RowReader, RowSchema};

/// Formats and columns of a topic.
///
/// ```
/// use std::sync::Arc;
/// use arrow::datatypes::{DataType, Field};
/// use millstream::format::Format;
/// use millstream_connectors::rows::{RecordColumns, RowFormat, RowKind};
///
/// let column = |name: &str, kind| Arc::new(Field::new(name, kind, true));
/// let orders = RecordColumns {
///     key_format: Format::Kafka,
///     key: vec![column("ID", DataType::Int64)],
///     ..RecordColumns::json(RowKind::Table, vec![column("AMOUNT", DataType::Float64)])
/// };
/// assert_eq!(orders.row_format()?.schema().key_columns, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct RecordColumns {
    /// Whether records are rows or changes of a table.
    pub kind: RowKind,
    /// How keys are written.
    pub key_format: Format,
    /// The columns of the key.
    pub key: Vec<FieldRef>,
    /// The window that keys carry; its bounds are columns of the key, `WINDOWSTART` and `WINDOWEND`.
    pub window: WindowKind,
    /// How values are written.
    pub value_format: Format,
    /// Whether a single value column stands alone.
    pub wrapping: Wrapping,
    /// The columns of the value.
    pub value: Vec<FieldRef>,
    /// Columns behind those of the value that are not in its bytes: headers, each under the name of its column. Of a deletion they are null.
    pub parts: Vec<(String, RecordPart)>,
}

impl RecordColumns {
    /// Records without keys whose values are JSON objects of these columns.
    pub fn json(kind: RowKind, value: Vec<FieldRef>) -> Self {
        Self {
            kind,
            key_format: Format::None,
            key: Vec::new(),
            window: WindowKind::None,
            value_format: Format::Json,
            wrapping: Wrapping::Wrapped,
            value,
            parts: Vec::new(),
        }
    }

    /// How records become rows of these columns.
    ///
    /// # Errors
    /// [`ConnectError::Input`] if a name occurs twice or is that of a pseudo column.
    pub fn row_format(self) -> Result<Arc<dyn RowFormat>, ConnectError> {
        let problem = |problem: String| ConnectError::Input { input: "the columns of a topic".to_owned(), problem };
        let part = |(name, part): &(String, RecordPart)| Arc::new(Field::new(name, part.data_type(), true));
        let value = self.value.iter().cloned().chain(self.parts.iter().map(part)).collect();
        let columns =
            StreamSchema::new(self.key.clone(), value, self.window).map_err(|error| problem(error.to_string()))?;
        let fields: Vec<FieldRef> = columns.columns().fields()[..columns.value_range().end].to_vec();
        let schema = RowSchema {
            columns: SchemaRef::new(arrow::datatypes::Schema::new(fields)),
            key_columns: columns.key_width(),
            kind: self.kind,
        };
        Ok(Arc::new(Described { of: self, schema }))
    }
}

struct Described {
    of: RecordColumns,
    schema: RowSchema,
}

impl RowFormat for Described {
    fn schema(&self) -> &RowSchema {
        &self.schema
    }

    fn reader(&self) -> Result<Box<dyn RowReader>, ConnectError> {
        Ok(Box::new(RecordReader::new(&self.of, &self.schema)?))
    }
}
