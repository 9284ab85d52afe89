//! The types of the language, to Arrow and back.
//!
//! | type | Arrow |
//! |---|---|
//! | BOOLEAN, INT, BIGINT, DOUBLE | Boolean, Int32, Int64, Float64 |
//! | DECIMAL(p, s) | Decimal128(p, s), p from 1 to 38, s from 0 to p |
//! | VARCHAR, BYTES | Utf8, Binary |
//! | TIME, DATE, TIMESTAMP | Time32(ms), Date32, Timestamp(ms) without a zone |
//! | ARRAY, STRUCT | List of nullable `item`, Struct of nullable fields |
//! | MAP | Map of `entries` with `key` (never null) and `value` (nullable), unsorted |
//!
//! Everything is nullable. `Display` prints a type as ksqlDB does in its schemas.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use datafusion::sql::sqlparser::ast as sql;

use super::error::CatalogError;
use crate::syntax::Position;
use crate::syntax::ast::{Name, TypeRef, TypeShape};
use crate::syntax::suggest::nearest;

const MAX_DECIMAL_PRECISION: u8 = 38;

const NAMES: [&str; 14] = [
    "BOOLEAN",
    "INT",
    "INTEGER",
    "BIGINT",
    "DOUBLE",
    "DECIMAL",
    "VARCHAR",
    "STRING",
    "BYTES",
    "TIME",
    "DATE",
    "TIMESTAMP",
    "ARRAY",
    "MAP",
];

/// A type of the language, custom names resolved.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SqlType {
    /// `BOOLEAN`.
    Boolean,
    /// `INT`, `INTEGER`: 32 bits.
    Int,
    /// `BIGINT`: 64 bits.
    BigInt,
    /// `DOUBLE`.
    Double,
    /// `DECIMAL(p, s)`.
    Decimal {
        /// All digits.
        precision: u8,
        /// Digits after the point.
        scale: u8,
    },
    /// `VARCHAR`, `STRING`.
    Varchar,
    /// `BYTES`.
    Bytes,
    /// `TIME` of a day, in ms.
    Time,
    /// `DATE`.
    Date,
    /// `TIMESTAMP` in ms, without a zone.
    Timestamp,
    /// `ARRAY<T>`.
    Array(Box<SqlType>),
    /// `MAP<K, V>`.
    Map(Box<SqlType>, Box<SqlType>),
    /// `STRUCT<f T, ..>`.
    Struct(Vec<StructField>),
}

/// One field of a struct.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StructField {
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: SqlType,
}

impl SqlType {
    /// The Arrow type that holds its values.
    pub fn to_arrow(&self) -> DataType {
        match self {
            SqlType::Boolean => DataType::Boolean,
            SqlType::Int => DataType::Int32,
            SqlType::BigInt => DataType::Int64,
            SqlType::Double => DataType::Float64,
            SqlType::Decimal { precision, scale } => {
                DataType::Decimal128(*precision, i8::try_from(*scale).unwrap_or(i8::MAX))
            }
            SqlType::Varchar => DataType::Utf8,
            SqlType::Bytes => DataType::Binary,
            SqlType::Time => DataType::Time32(TimeUnit::Millisecond),
            SqlType::Date => DataType::Date32,
            SqlType::Timestamp => DataType::Timestamp(TimeUnit::Millisecond, None),
            SqlType::Array(item) => DataType::List(Arc::new(Field::new("item", item.to_arrow(), true))),
            SqlType::Map(key, value) => {
                let entries = Fields::from(vec![
                    Field::new("key", key.to_arrow(), false),
                    Field::new("value", value.to_arrow(), true),
                ]);
                DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
            }
            SqlType::Struct(fields) => DataType::Struct(
                fields.iter().map(|field| Field::new(&field.name, field.data_type.to_arrow(), true)).collect(),
            ),
        }
    }

    /// The type of a column that an expression gave; none if the language has no type for it.
    ///
    /// Narrower integers and floats widen, times of other units count as TIMESTAMP and TIME, dictionaries as their values.
    pub fn from_arrow(data_type: &DataType) -> Option<SqlType> {
        Some(match data_type {
            DataType::Boolean => SqlType::Boolean,
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => SqlType::Int,
            DataType::Int64 | DataType::UInt32 | DataType::UInt64 => SqlType::BigInt,
            DataType::Float16 | DataType::Float32 | DataType::Float64 => SqlType::Double,
            DataType::Decimal32(precision, scale)
            | DataType::Decimal64(precision, scale)
            | DataType::Decimal128(precision, scale) => {
                SqlType::Decimal { precision: *precision, scale: u8::try_from(*scale).ok()? }
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => SqlType::Varchar,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                SqlType::Bytes
            }
            DataType::Time32(_) | DataType::Time64(_) => SqlType::Time,
            DataType::Date32 | DataType::Date64 => SqlType::Date,
            DataType::Timestamp(_, _) => SqlType::Timestamp,
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::ListView(item)
            | DataType::LargeListView(item)
            | DataType::FixedSizeList(item, _) => SqlType::Array(Box::new(Self::from_arrow(item.data_type())?)),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(fields) if fields.len() == 2 => SqlType::Map(
                    Box::new(Self::from_arrow(fields[0].data_type())?),
                    Box::new(Self::from_arrow(fields[1].data_type())?),
                ),
                _ => return None,
            },
            DataType::Struct(fields) => SqlType::Struct(
                fields
                    .iter()
                    .map(|field| {
                        Some(StructField {
                            name: field.name().clone(),
                            data_type: Self::from_arrow(field.data_type())?,
                        })
                    })
                    .collect::<Option<_>>()?,
            ),
            DataType::Dictionary(_, values) => Self::from_arrow(values)?,
            _ => return None,
        })
    }

    /// A type as written, with the custom types that there are.
    pub fn resolve(written: &TypeRef, custom: &BTreeMap<String, SqlType>) -> Result<SqlType, CatalogError> {
        Ok(match &written.shape {
            TypeShape::Array(item) => SqlType::Array(Box::new(Self::resolve(item, custom)?)),
            TypeShape::Map(key, value) => {
                SqlType::Map(Box::new(Self::resolve(key, custom)?), Box::new(Self::resolve(value, custom)?))
            }
            TypeShape::Struct(fields) => SqlType::Struct(
                fields
                    .iter()
                    .map(|(name, data_type)| {
                        Ok(StructField { name: name.value.clone(), data_type: Self::resolve(data_type, custom)? })
                    })
                    .collect::<Result<_, CatalogError>>()?,
            ),
            TypeShape::Named { name, arguments } => {
                let numbers: Vec<u64> = arguments.iter().map(|argument| argument.node).collect();
                Self::named(name, &numbers, custom)?
            }
        })
    }

    /// The type of a CAST in an expression; `at` is where it stands (`sqlparser` keeps no place for types).
    pub fn resolve_parsed(
        written: &sql::DataType,
        at: Position,
        custom: &BTreeMap<String, SqlType>,
    ) -> Result<SqlType, CatalogError> {
        let name = |value: String| Name { value, quoted: false, span: crate::syntax::Span { start: at, end: at } };
        Ok(match written {
            sql::DataType::Array(
                sql::ArrayElemTypeDef::AngleBracket(item) | sql::ArrayElemTypeDef::SquareBracket(item, _),
            ) => SqlType::Array(Box::new(Self::resolve_parsed(item, at, custom)?)),
            sql::DataType::Map(key, value) => SqlType::Map(
                Box::new(Self::resolve_parsed(key, at, custom)?),
                Box::new(Self::resolve_parsed(value, at, custom)?),
            ),
            sql::DataType::Struct(fields, _) => SqlType::Struct(
                fields
                    .iter()
                    .map(|field| {
                        let name = field.field_name.as_ref().map(|name| name.value.clone()).unwrap_or_default();
                        Ok(StructField { name, data_type: Self::resolve_parsed(&field.field_type, at, custom)? })
                    })
                    .collect::<Result<_, CatalogError>>()?,
            ),
            sql::DataType::Decimal(size) | sql::DataType::Numeric(size) | sql::DataType::Dec(size) => {
                let numbers = match size {
                    sql::ExactNumberInfo::None => vec![],
                    sql::ExactNumberInfo::Precision(precision) => vec![*precision],
                    sql::ExactNumberInfo::PrecisionAndScale(precision, scale) => {
                        vec![*precision, u64::try_from(*scale).unwrap_or(u64::MAX)]
                    }
                };
                Self::named(&name("DECIMAL".to_owned()), &numbers, custom)?
            }
            other => Self::named(&name(other.to_string().to_ascii_uppercase()), &[], custom)?,
        })
    }

    fn named(name: &Name, arguments: &[u64], custom: &BTreeMap<String, SqlType>) -> Result<SqlType, CatalogError> {
        let at = name.span.start;
        let built_in = match name.value.as_str() {
            _ if name.quoted => None,
            "BOOLEAN" => Some(SqlType::Boolean),
            "INT" | "INTEGER" => Some(SqlType::Int),
            "BIGINT" => Some(SqlType::BigInt),
            "DOUBLE" => Some(SqlType::Double),
            "DECIMAL" => return decimal(at, arguments),
            "VARCHAR" | "STRING" => Some(SqlType::Varchar),
            "BYTES" => Some(SqlType::Bytes),
            "TIME" => Some(SqlType::Time),
            "DATE" => Some(SqlType::Date),
            "TIMESTAMP" => Some(SqlType::Timestamp),
            _ => None,
        };
        match built_in.or_else(|| custom.get(&name.value).cloned()) {
            Some(_) if !arguments.is_empty() => Err(CatalogError::InvalidType {
                at,
                reason: format!("{} takes no numbers; only DECIMAL(precision, scale) does", name.value),
            }),
            Some(found) => Ok(found),
            None => {
                let known = NAMES.into_iter().chain(custom.keys().map(String::as_str));
                let suggestion = nearest(&name.value, known).map(str::to_owned);
                Err(CatalogError::UnknownType { at, name: name.value.clone(), suggestion })
            }
        }
    }

    /// Whether it holds other types.
    pub fn is_nested(&self) -> bool {
        matches!(self, SqlType::Array(_) | SqlType::Map(..) | SqlType::Struct(_))
    }

    /// Whether its values have an order: a STRUCT's go by its first field, then the second, and so on. Those of ARRAY and MAP have none.
    pub fn has_order(&self) -> bool {
        match self {
            Self::Array(_) | Self::Map(..) => false,
            Self::Struct(fields) => fields.iter().all(|field| field.data_type.has_order()),
            _ => true,
        }
    }

    /// Whether a map is in it, at any depth.
    pub fn contains_map(&self) -> bool {
        match self {
            SqlType::Map(..) => true,
            SqlType::Array(item) => item.contains_map(),
            SqlType::Struct(fields) => fields.iter().any(|field| field.data_type.contains_map()),
            _ => false,
        }
    }
}

fn decimal(at: Position, arguments: &[u64]) -> Result<SqlType, CatalogError> {
    let invalid = |reason: &str| CatalogError::InvalidType { at, reason: reason.to_owned() };
    let [precision, scale] = arguments else {
        return Err(invalid("DECIMAL needs its precision and scale, as in DECIMAL(10, 2)"));
    };
    match (u8::try_from(*precision), u8::try_from(*scale)) {
        (Ok(precision @ 1..=MAX_DECIMAL_PRECISION), Ok(scale)) if scale <= precision => {
            Ok(SqlType::Decimal { precision, scale })
        }
        _ => Err(invalid("DECIMAL has 1 to 38 digits, of which not more than all stand after the point")),
    }
}

impl fmt::Display for SqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SqlType::Boolean => f.write_str("BOOLEAN"),
            SqlType::Int => f.write_str("INTEGER"),
            SqlType::BigInt => f.write_str("BIGINT"),
            SqlType::Double => f.write_str("DOUBLE"),
            SqlType::Decimal { precision, scale } => write!(f, "DECIMAL({precision}, {scale})"),
            SqlType::Varchar => f.write_str("STRING"),
            SqlType::Bytes => f.write_str("BYTES"),
            SqlType::Time => f.write_str("TIME"),
            SqlType::Date => f.write_str("DATE"),
            SqlType::Timestamp => f.write_str("TIMESTAMP"),
            SqlType::Array(item) => write!(f, "ARRAY<{item}>"),
            SqlType::Map(key, value) => write!(f, "MAP<{key}, {value}>"),
            SqlType::Struct(fields) => {
                f.write_str("STRUCT<")?;
                for (index, field) in fields.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}`{}` {}", field.name, field.data_type)?;
                }
                f.write_str(">")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::ast::{SelectItem, Statement};
    use crate::syntax::parse_statement;

    fn custom() -> BTreeMap<String, SqlType> {
        BTreeMap::from([("ADDRESS".to_owned(), SqlType::Varchar)])
    }

    fn declared(text: &str) -> Result<SqlType, CatalogError> {
        match parse_statement(&format!("CREATE TYPE t AS {text}")).unwrap().statement {
            Statement::CreateType(create) => SqlType::resolve(&create.data_type, &custom()),
            other => panic!("{other:?}"),
        }
    }

    fn cast(text: &str) -> Result<SqlType, CatalogError> {
        let text = format!("SELECT CAST(x AS {text}) FROM s EMIT CHANGES");
        let Statement::PushQuery(query) = parse_statement(&text).unwrap().statement else { panic!("{text}") };
        match &query.items[0] {
            SelectItem::Expr { expr: sql::Expr::Cast { data_type, .. }, .. } => {
                SqlType::resolve_parsed(data_type, Position::new(1, 18), &custom())
            }
            other => panic!("{other:?}"),
        }
    }

    fn check(text: &str, want: &str) {
        let show = |result: Result<SqlType, CatalogError>| result.map_or_else(|e| e.to_string(), |t| t.to_string());
        assert_eq!(show(declared(text)), want, "declared: {text}");
        assert_eq!(show(cast(text)), want, "cast: {text}");
        let resolved = declared(text).unwrap();
        assert_eq!(SqlType::from_arrow(&resolved.to_arrow()).as_ref(), Some(&resolved), "round trip: {text}");
    }

    #[test]
    fn every_type_is_read_printed_and_mapped() {
        check("BOOLEAN", "BOOLEAN");
        check("int", "INTEGER");
        check("INTEGER", "INTEGER");
        check("BIGINT", "BIGINT");
        check("DOUBLE", "DOUBLE");
        check("DECIMAL(10,2)", "DECIMAL(10, 2)");
        check("VARCHAR", "STRING");
        check("STRING", "STRING");
        check("BYTES", "BYTES");
        check("TIME", "TIME");
        check("DATE", "DATE");
        check("TIMESTAMP", "TIMESTAMP");
        check("ARRAY<INT>", "ARRAY<INTEGER>");
        check("MAP<STRING, ARRAY<ARRAY<INT>>>", "MAP<STRING, ARRAY<ARRAY<INTEGER>>>");
        check("STRUCT<a INT, `b c` STRUCT<d DATE>>", "STRUCT<`A` INTEGER, `b c` STRUCT<`D` DATE>>");
        check("address", "STRING");
    }

    #[test]
    fn wrong_types_are_refused_with_a_place() {
        let check = |text: &str, want: &str| assert_eq!(declared(text).unwrap_err().to_string(), want, "type: {text}");
        check("VARCHR", "1:18: no type VARCHR; did you mean VARCHAR");
        check("ARRAY<ADRESS>", "1:24: no type ADRESS; did you mean ADDRESS");
        check("FLOAT", "1:18: no type FLOAT");
        check("DECIMAL", "1:18: DECIMAL needs its precision and scale, as in DECIMAL(10, 2)");
        check("DECIMAL(39,2)", "1:18: DECIMAL has 1 to 38 digits, of which not more than all stand after the point");
        check("DECIMAL(2,3)", "1:18: DECIMAL has 1 to 38 digits, of which not more than all stand after the point");
        check("VARCHAR(10)", "1:18: VARCHAR takes no numbers; only DECIMAL(precision, scale) does");
    }
}
