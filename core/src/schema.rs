//! The columns of a stream or table: which are key, which are value, and the pseudo columns beside them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

use crate::record::TimeSpan;

/// The pseudo column that holds a record's timestamp: milliseconds since the epoch, never null.
pub const ROWTIME: &str = "ROWTIME";
/// The pseudo column that holds a record's offset where it was read; null in results that were computed.
pub const ROWOFFSET: &str = "ROWOFFSET";
/// The key column that holds the first moment of a window, in milliseconds since the epoch.
pub const WINDOWSTART: &str = "WINDOWSTART";
/// The key column that holds the end of a window, in milliseconds since the epoch: of a time window the first moment after it, of a session
/// the moment of its last record.
pub const WINDOWEND: &str = "WINDOWEND";

/// A schema that cannot be: two columns of one name, or one that is reserved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// Two columns have the same name.
    #[error("two columns are called `{name}`; rename one")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// A key column is of a type that has no encoding as a key.
    #[error("it cannot be a key: {problem}")]
    Encoding {
        /// Why not.
        problem: String,
    },
    /// The name belongs to a pseudo column.
    #[error("`{name}` is the name of a pseudo column; choose another")]
    Reserved {
        /// The name.
        name: String,
    },
}

/// What kind of window the keys of a stream or table carry. It decides how keys are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum WindowKind {
    /// Keys without a window.
    #[default]
    None,
    /// Time windows `[start, end)`.
    Time {
        /// Their length, if it is known: written keys hold the start only.
        size: Option<TimeSpan>,
    },
    /// Sessions, from their first record to their last.
    Session,
    /// Time windows `[start, end)` of several lengths: written keys hold start and end.
    Bounds,
}

impl WindowKind {
    /// Time windows of a known length.
    pub const fn time(size: TimeSpan) -> Self {
        Self::Time { size: Some(size) }
    }

    /// Whether keys carry a window.
    pub const fn is_windowed(self) -> bool {
        !matches!(self, Self::None)
    }
}

/// Whether there are time windows, of whatever length.
impl From<bool> for WindowKind {
    fn from(windowed: bool) -> Self {
        if windowed { Self::Time { size: None } } else { Self::None }
    }
}

/// The columns of a stream or table, in the order in which a [`Batch`](crate::Batch) carries them:
///
/// ```text
/// key columns | WINDOWSTART WINDOWEND (windowed only) | value columns | ROWTIME | ROWOFFSET
/// ```
///
/// A key column may be called `ROWTIME` or `ROWOFFSET`, as that of a stream which is partitioned by them; it hides the pseudo column from
/// expressions. The window bounds belong to the key: a windowed table has one row per key and window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSchema {
    key: Vec<FieldRef>,
    value: Vec<FieldRef>,
    window: WindowKind,
    columns: SchemaRef,
}

impl StreamSchema {
    /// Puts key and value columns together. Every column is nullable, whatever the fields say.
    ///
    /// # Errors
    /// [`SchemaError`] if a name occurs twice or is reserved.
    pub fn new(
        key: Vec<FieldRef>,
        value: Vec<FieldRef>,
        window: impl Into<WindowKind>,
    ) -> Result<Arc<Self>, SchemaError> {
        let window = window.into();
        let windowed = window.is_windowed();
        let nullable = |fields: Vec<FieldRef>| -> Vec<FieldRef> {
            fields.into_iter().map(|field| Arc::new(field.as_ref().clone().with_nullable(true))).collect()
        };
        let (key, value) = (nullable(key), nullable(value));
        let bound = |name: &str| Arc::new(Field::new(name, DataType::Int64, true));
        let bounds = if windowed { vec![bound(WINDOWSTART), bound(WINDOWEND)] } else { Vec::new() };
        let reserved = |name: &str| {
            name == ROWTIME || name == ROWOFFSET || (windowed && (name == WINDOWSTART || name == WINDOWEND))
        };
        let mut seen = std::collections::HashSet::new();
        for (place, field) in key.iter().chain(&value).enumerate() {
            let is_hidden = place < key.len() && (field.name() == ROWTIME || field.name() == ROWOFFSET);
            if reserved(field.name()) && !is_hidden {
                return Err(SchemaError::Reserved { name: field.name().clone() });
            }
            if !seen.insert(field.name().as_str()) {
                return Err(SchemaError::Duplicate { name: field.name().clone() });
            }
        }
        let hidden = |name: &str| {
            if key.iter().any(|field| field.name() == name) { format!("__{name}") } else { name.to_owned() }
        };
        let pseudo = [
            Arc::new(Field::new(hidden(ROWTIME), DataType::Int64, false)),
            Arc::new(Field::new(hidden(ROWOFFSET), DataType::Int64, true)),
        ];
        let columns = Arc::new(Schema::new(
            key.iter().cloned().chain(bounds).chain(value.iter().cloned()).chain(pseudo).collect::<Vec<_>>(),
        ));
        Ok(Arc::new(Self { key, value, window, columns }))
    }

    /// The key columns, without window bounds.
    pub fn key(&self) -> &[FieldRef] {
        &self.key
    }

    /// The value columns.
    pub fn value(&self) -> &[FieldRef] {
        &self.value
    }

    /// Whether the key includes the bounds of a window.
    pub fn is_windowed(&self) -> bool {
        self.window.is_windowed()
    }

    /// What kind of window the key includes.
    pub fn window(&self) -> WindowKind {
        self.window
    }

    /// The columns that make the key, window bounds included.
    pub fn whole_key(&self) -> &[FieldRef] {
        &self.columns.fields()[..self.key_width()]
    }

    /// All columns in batch order, pseudo columns last.
    pub fn columns(&self) -> &SchemaRef {
        &self.columns
    }

    /// How many columns make the key, window bounds included.
    pub fn key_width(&self) -> usize {
        self.key.len() + if self.is_windowed() { 2 } else { 0 }
    }

    /// Where the value columns lie.
    pub fn value_range(&self) -> std::ops::Range<usize> {
        self.key_width()..self.key_width() + self.value.len()
    }

    /// Where `ROWTIME` lies.
    pub fn time_index(&self) -> usize {
        self.value_range().end
    }

    /// Where `ROWOFFSET` lies.
    pub fn offset_index(&self) -> usize {
        self.time_index() + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str) -> FieldRef {
        Arc::new(Field::new(name, DataType::Int64, false))
    }

    #[test]
    fn columns_lie_in_batch_order() {
        let schema = StreamSchema::new(vec![field("k")], vec![field("a"), field("b")], true).expect("legal");
        let names: Vec<_> = schema.columns().fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["k", "WINDOWSTART", "WINDOWEND", "a", "b", "ROWTIME", "ROWOFFSET"]);
        assert_eq!((schema.key_width(), schema.value_range(), schema.time_index()), (3, 3..5, 5));
    }

    #[test]
    fn names_are_unique_and_not_reserved() {
        assert_eq!(
            StreamSchema::new(vec![field("k")], vec![field("k")], false),
            Err(SchemaError::Duplicate { name: "k".into() })
        );
        let hiding = StreamSchema::new(vec![field("ROWTIME")], vec![field("a")], false).expect("legal");
        let names: Vec<_> = hiding.columns().fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["ROWTIME", "a", "__ROWTIME", "ROWOFFSET"]);
        assert_eq!(
            StreamSchema::new(vec![], vec![field("ROWTIME")], false),
            Err(SchemaError::Reserved { name: "ROWTIME".into() })
        );
    }
}
