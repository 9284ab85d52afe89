//! What can go wrong between bytes and columns.
//!
//! Two kinds, never mixed: a record that does not hold what its columns promise is a [`DecodeError`], one a row, and
//! spoils no other row; columns that a format cannot hold are a [`FormatError`] and spoil the query that asked.

use arrow::{
    array::{Array, ArrayRef},
    datatypes::{DataType, FieldRef},
};

/// A row whose bytes do not hold what the columns promise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("row {row}: {problem}")]
pub struct DecodeError {
    /// The row in the decoded batch, from 0.
    pub row: usize,
    /// What was expected where, and what was found.
    pub problem: String,
}

/// Columns or values that a format cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The format has no way to write this type.
    #[error("column `{column}`: the {format} format cannot hold {data_type}; choose another format or type")]
    UnsupportedType {
        /// The format.
        format: &'static str,
        /// The column, or the path to a part of it.
        column: String,
        /// Its type.
        data_type: String,
    },
    /// The format holds fewer columns.
    #[error("the {format} format holds {limit}, but there are {found} columns; choose another format")]
    TooManyColumns {
        /// The format.
        format: &'static str,
        /// What it holds.
        limit: &'static str,
        /// How many columns there are.
        found: usize,
    },
    /// Two columns cannot be told apart.
    #[error("column `{column}` occurs twice in a {format} record; rename one")]
    DuplicateColumn {
        /// The format.
        format: &'static str,
        /// The name.
        column: String,
    },
    /// Maps are written with text keys only.
    #[error("{format} only supports MAP types with STRING keys but got {key}; cast the keys")]
    MapKey {
        /// The format.
        format: &'static str,
        /// The type of the keys.
        key: String,
    },
    /// A schema that is none, or that does not fit the columns.
    #[error("{format}: {problem}")]
    Schema {
        /// The format.
        format: &'static str,
        /// What does not fit.
        problem: String,
    },
    /// The schema registry did not do what was asked.
    #[error("{problem}")]
    Registry {
        /// What it said.
        problem: String,
    },
    /// A value that the schema cannot hold.
    #[error("column `{column}` as {format}: {problem}")]
    Value {
        /// The format.
        format: &'static str,
        /// The column, or the path to a part of it.
        column: String,
        /// What does not fit.
        problem: String,
    },
    /// The delimiter would be confused with the text around it.
    #[error("{delimiter:?} cannot separate values; choose a character that is no quote and no end of line")]
    Delimiter {
        /// The character.
        delimiter: char,
    },
    /// A column that does not exist was asked for.
    #[error("column number {index} was asked for, but there are {columns} columns")]
    NoSuchColumn {
        /// The number, from 0.
        index: usize,
        /// How many columns there are.
        columns: usize,
    },
    /// The columns handed over are not the ones that the encoder was built for.
    #[error("the encoder was built for {expected}, but was handed {found}")]
    WrongColumns {
        /// What it was built for.
        expected: String,
        /// What it was handed.
        found: String,
    },
    /// A batch of encoded rows does not fit into one array.
    #[error("{bytes} bytes of {format} rows do not fit into one batch of 2 GiB; encode fewer rows at a time")]
    TooLarge {
        /// The format.
        format: &'static str,
        /// The size of all rows.
        bytes: usize,
    },
    /// The row encoder refused the columns.
    #[error("the row encoding of the columns failed")]
    RowEncoding {
        /// Why.
        message: String,
    },
}

impl FormatError {
    /// Whether it is the values of some rows that cannot be written, and others could be: not the columns, and not a registry that is away.
    pub fn is_of_values(&self) -> bool {
        matches!(self, Self::Value { .. } | Self::TooLarge { .. } | Self::RowEncoding { .. })
    }
}

/// The name of a type in SQL, or Arrow's own where SQL has none.
pub(super) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Int32 => "INTEGER".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "STRING".to_owned(),
        DataType::Binary | DataType::LargeBinary => "BYTES".to_owned(),
        DataType::Date32 => "DATE".to_owned(),
        DataType::Time32(_) => "TIME".to_owned(),
        DataType::Timestamp(..) => "TIMESTAMP".to_owned(),
        DataType::List(item) | DataType::LargeList(item) => format!("ARRAY<{}>", type_name(item.data_type())),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(parts) if parts.len() == 2 => {
                format!("MAP<{}, {}>", type_name(parts[0].data_type()), type_name(parts[1].data_type()))
            }
            _ => "MAP".to_owned(),
        },
        DataType::Struct(fields) => {
            let fields: Vec<_> = fields.iter().map(|f| format!("{} {}", f.name(), type_name(f.data_type()))).collect();
            format!("STRUCT<{}>", fields.join(", "))
        }
        other => other.to_string(),
    }
}

/// The fields at `projection`.
pub(super) fn project(fields: &[FieldRef], projection: &[usize]) -> Result<Vec<FieldRef>, FormatError> {
    let field =
        |&index: &usize| fields.get(index).cloned().ok_or(FormatError::NoSuchColumn { index, columns: fields.len() });
    projection.iter().map(field).collect()
}

/// Refuses arrays that are not the columns `fields` of `rows` rows.
pub(super) fn check_arrays(fields: &[FieldRef], arrays: &[ArrayRef], rows: usize) -> Result<(), FormatError> {
    if fields.len() != arrays.len() {
        return Err(FormatError::WrongColumns {
            expected: format!("{} columns", fields.len()),
            found: format!("{} columns", arrays.len()),
        });
    }
    for (field, array) in fields.iter().zip(arrays) {
        if !field.data_type().equals_datatype(array.data_type()) {
            return Err(FormatError::WrongColumns {
                expected: format!("column `{}` of {}", field.name(), field.data_type()),
                found: array.data_type().to_string(),
            });
        }
        if array.len() != rows {
            return Err(FormatError::WrongColumns {
                expected: format!("column `{}` of {rows} rows", field.name()),
                found: format!("{} rows", array.len()),
            });
        }
    }
    Ok(())
}
