//! The type of a column on its way from Arrow into a table: what it is staged as, what it is created as, how it is cast.
//!
//! | Arrow | staged as | created as |
//! |---|---|---|
//! | booleans, integers, floats | the same in Postgres; unsigned ones the next larger | the same |
//! | decimals | `numeric` | `numeric(p, s)` |
//! | text | `text` | `text` |
//! | binary | `bytea` | `bytea` |
//! | timestamps, which are instants | `timestamptz` | `timestamptz` |
//! | dates, times | `date`, `time` | `date`, `time` |
//! | lists of the above | arrays | arrays |
//! | structs, maps, lists of such | JSON as `text` | `jsonb` |
//!
//! From the staged type an assignment leads to the type that the column really has: what Postgres itself converts on assignment is converted,
//! with its checks of length and range. Text is moreover cast to whatever is not text, as a constant in SQL would be: `uuid`, `jsonb`,
//! enumerations, addresses.

use arrow::datatypes::DataType;

/// How values are written for the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wire {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    /// With its precision and scale, if it has any.
    Numeric(Option<(u8, i8)>),
    Text,
    Bytea,
    Timestamp,
    Date,
    Time,
    /// JSON, as text.
    Json,
    /// Of one dimension.
    Array(Box<Wire>),
}

impl Wire {
    /// How values of an Arrow type are written; `None`: Postgres has nothing for them.
    pub(super) fn of(data_type: &DataType) -> Option<Self> {
        use DataType as T;
        Some(match data_type {
            T::Boolean => Self::Bool,
            T::Int8 | T::Int16 | T::UInt8 => Self::Int2,
            T::Int32 | T::UInt16 => Self::Int4,
            T::Int64 | T::UInt32 => Self::Int8,
            T::UInt64 => Self::Numeric(Some((20, 0))),
            T::Float32 => Self::Float4,
            T::Float64 => Self::Float8,
            T::Decimal128(precision, scale) | T::Decimal256(precision, scale) => {
                Self::Numeric((*scale >= 0).then_some((*precision, *scale)))
            }
            T::Utf8 | T::LargeUtf8 | T::Utf8View => Self::Text,
            T::Binary | T::LargeBinary => Self::Bytea,
            T::Timestamp(..) => Self::Timestamp,
            T::Date32 => Self::Date,
            T::Time32(_) | T::Time64(_) => Self::Time,
            T::List(item) | T::LargeList(item) => match Self::of(item.data_type())? {
                Self::Array(_) | Self::Json => Self::Json,
                element => Self::Array(Box::new(element)),
            },
            T::Struct(_) | T::Map(..) => Self::Json,
            _ => return None,
        })
    }

    /// The type of the staging table's column.
    pub(super) fn staged(&self) -> String {
        match self {
            Self::Bool => "boolean",
            Self::Int2 => "smallint",
            Self::Int4 => "integer",
            Self::Int8 => "bigint",
            Self::Float4 => "real",
            Self::Float8 => "double precision",
            Self::Numeric(_) => "numeric",
            Self::Text | Self::Json => "text",
            Self::Bytea => "bytea",
            Self::Timestamp => "timestamp with time zone",
            Self::Date => "date",
            Self::Time => "time without time zone",
            Self::Array(element) => return format!("{}[]", element.staged()),
        }
        .to_owned()
    }

    /// The type of a column that is made for it.
    pub(super) fn created(&self) -> String {
        match self {
            Self::Numeric(Some((precision, scale))) => format!("numeric({precision},{scale})"),
            Self::Json => "jsonb".to_owned(),
            Self::Array(element) => format!("{}[]", element.created()),
            _ => self.staged(),
        }
    }

    /// The number of the type, for elements of arrays.
    pub(super) fn oid(&self) -> u32 {
        match self {
            Self::Bool => 16,
            Self::Bytea => 17,
            Self::Int8 => 20,
            Self::Int2 => 21,
            Self::Int4 => 23,
            Self::Text | Self::Json | Self::Array(_) => 25,
            Self::Float4 => 700,
            Self::Float8 => 701,
            Self::Date => 1082,
            Self::Time => 1083,
            Self::Timestamp => 1184,
            Self::Numeric(_) => 1700,
        }
    }

    /// The staged value `source` as a value for a column of the type.
    pub(super) fn assigned(&self, source: &str, target: &TargetType) -> String {
        match self {
            Self::Text | Self::Json if !target.is_text() => format!("{source}::{}", target.base),
            Self::Array(_) if matches!(target.base.as_str(), "json" | "jsonb") => format!("to_jsonb({source})"),
            Self::Array(element) if **element == Self::Text && target.base != "text[]" => {
                format!("{source}::{}", target.base)
            }
            _ => source.to_owned(),
        }
    }
}

/// The type of a column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TargetType {
    /// Without length or precision.
    pub(super) base: String,
    /// With them.
    pub(super) full: String,
    /// Postgres' category, such as `S` for text.
    pub(super) category: i8,
}

impl TargetType {
    fn is_text(&self) -> bool {
        self.category == b'S' as i8
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{Field, Fields, TimeUnit};

    use super::*;

    #[test]
    fn every_type_has_its_place() {
        let list = |item| DataType::List(Arc::new(Field::new("item", item, true)));
        let object = DataType::Struct(Fields::from(vec![Field::new("a", DataType::Int32, true)]));
        let check = |data_type: DataType, expected: &str| {
            let created = Wire::of(&data_type).map(|wire| wire.created());
            assert_eq!(created.as_deref(), Some(expected), "{data_type}");
        };
        check(DataType::UInt32, "bigint");
        check(DataType::Decimal128(12, 3), "numeric(12,3)");
        check(DataType::Decimal128(12, -3), "numeric");
        check(DataType::Timestamp(TimeUnit::Millisecond, None), "timestamp with time zone");
        check(list(DataType::Utf8), "text[]");
        check(list(list(DataType::Utf8)), "jsonb");
        check(list(object.clone()), "jsonb");
        check(object, "jsonb");
        assert_eq!(Wire::of(&DataType::Duration(TimeUnit::Second)), None);
    }

    #[test]
    fn text_is_cast_to_what_is_not_text() {
        let target =
            |base: &str, category: u8| TargetType { base: base.into(), full: base.into(), category: category as i8 };
        assert_eq!(Wire::Text.assigned("s.c0", &target("uuid", b'U')), "s.c0::uuid");
        assert_eq!(Wire::Text.assigned("s.c0", &target("character varying", b'S')), "s.c0");
        assert_eq!(Wire::Int8.assigned("s.c0", &target("integer", b'N')), "s.c0");
        let texts = Wire::Array(Box::new(Wire::Text));
        assert_eq!(texts.assigned("s.c0", &target("uuid[]", b'A')), "s.c0::uuid[]");
        assert_eq!(texts.assigned("s.c0", &target("jsonb", b'U')), "to_jsonb(s.c0)");
    }
}
