//! Columns from a schema registry, for declarations that leave them out, wholly or on one side.
//!
//! As in ksqlDB: a side without columns whose format has a registry takes those of the newest schema of the topic's subject, with names
//! in upper case, or those of the id that was asked for, with names as they are. Keys stand alone (ROWKEY) where the format can do that;
//! values do (ROWVAL) only if they are not to be wrapped. Columns from headers come first, then the key, then the value.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use millstream::format::{Side, infer_columns};

use super::error::CatalogError;
use super::format_context::RegistryHandle;
use super::source::{Column, Format, FormatKind};
use super::sql_type::SqlType;
use crate::syntax::Position;
use crate::syntax::ast::{ColumnRole, SourceKind};

/// What is to be inferred, and from where.
pub(super) struct Inference<'i> {
    /// The registry.
    pub(super) registry: &'i RegistryHandle,
    /// The topic.
    pub(super) topic: &'i str,
    /// Stream or table, which decides how key columns are called.
    pub(super) kind: SourceKind,
    /// The format of keys.
    pub(super) key: &'i Format,
    /// The format of values.
    pub(super) value: &'i Format,
    /// Whether a value is a record, or stands alone.
    pub(super) wrapped: bool,
    /// Where the statement's name stands.
    pub(super) at: Position,
}

impl Inference<'_> {
    /// The declared columns and those that are inferred, in order.
    pub(super) fn complete(&self, declared: Vec<Column>) -> Result<Vec<Column>, CatalogError> {
        let has_key = declared.iter().any(Column::is_key);
        let has_value = declared.iter().any(|column| column.role == ColumnRole::Value);
        for (side, present, format) in [("KEY", has_key, self.key), ("VALUE", has_value, self.value)] {
            if present && format.schema.id.is_some() {
                let reason = format!("Table elements and {side}_SCHEMA_ID cannot both exist for create statement.");
                return Err(CatalogError::Incomplete { at: self.at, reason });
            }
        }
        let infer_key = !has_key && self.key.kind.has_registry();
        let infer_value = !has_value && self.value.kind.has_registry();
        if !infer_key && !infer_value {
            if declared.is_empty() {
                let reason = format!(
                    "The statement does not define any columns; list them as (name type, ..), since format {} has no \
                     schemas to take them from",
                    self.value.kind
                );
                return Err(CatalogError::Incomplete { at: self.at, reason });
            }
            return Ok(declared);
        }
        let (headers, rest): (Vec<Column>, Vec<Column>) =
            declared.into_iter().partition(|column| matches!(column.role, ColumnRole::Headers | ColumnRole::Header(_)));
        let (mut key, mut value): (Vec<Column>, Vec<Column>) = rest.into_iter().partition(Column::is_key);
        if infer_key {
            let role = if self.kind == SourceKind::Table { ColumnRole::PrimaryKey } else { ColumnRole::Key };
            let bare = self.key.kind != FormatKind::Protobuf;
            key = self.side(Side::Key, self.key, bare, &role)?;
        }
        if infer_value {
            value = self.side(Side::Value, self.value, !self.wrapped, &ColumnRole::Value)?;
        }
        Ok(headers.into_iter().chain(key).chain(value).collect())
    }

    fn side(&self, side: Side, format: &Format, bare: bool, role: &ColumnRole) -> Result<Vec<Column>, CatalogError> {
        let refuse = |problem: String| CatalogError::Inference {
            at: self.at,
            side: if side == Side::Key { "key" } else { "value" },
            topic: self.topic.to_owned(),
            problem,
        };
        let core = format.to_core(self.registry, self.topic, side);
        let Some((settings, schema_type)) = core.registered() else { return Ok(Vec::new()) };
        let inferred = infer_columns(settings, schema_type, side, bare).map_err(|error| refuse(error.to_string()))?;
        let mut columns = Vec::with_capacity(inferred.columns.len());
        for field in inferred.columns {
            let field = if format.schema.id.is_some() { field } else { upper(&field) };
            let data_type = SqlType::from_arrow(field.data_type())
                .ok_or_else(|| refuse(format!("column {} has no type in SQL", field.name())))?;
            columns.push(Column { name: field.name().clone(), data_type, role: role.clone() });
        }
        if columns.is_empty() {
            return Err(refuse("the schema has no columns".to_owned()));
        }
        Ok(columns)
    }
}

/// A field with all names in it in upper case.
fn upper(field: &FieldRef) -> FieldRef {
    Arc::new(Field::new(field.name().to_uppercase(), upper_type(field.data_type()), true))
}

fn upper_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(upper).collect::<Fields>()),
        DataType::List(item) => DataType::List(Arc::new(Field::new("item", upper_type(item.data_type()), true))),
        DataType::Map(entries, sorted) => match entries.data_type() {
            DataType::Struct(parts) if parts.len() == 2 => {
                let value = Field::new("value", upper_type(parts[1].data_type()), true);
                let parts = Fields::from(vec![parts[0].as_ref().clone(), value]);
                DataType::Map(Arc::new(Field::new("entries", DataType::Struct(parts), false)), *sorted)
            }
            _ => data_type.clone(),
        },
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use millstream::format::registry::{Schema, SchemaType};

    use super::*;
    use crate::catalog::{Catalog, PropertyScope, SourceProperties, declare_source};
    use crate::syntax::ast::Statement;
    use crate::syntax::parse_statement;

    const VALUE: &str = r#"{"type": "record", "name": "v", "fields": [
        {"name": "c1", "type": "int"},
        {"name": "c2", "type": {"type": "record", "name": "i", "fields": [{"name": "f", "type": ["null", "float"]}]}}]}"#;

    /// A declaration over topic `t`, whose key is an Avro string and whose value the record above, with the ids 1 and 2.
    fn check(statement: &str, want: &str) {
        let registry = RegistryHandle::default();
        let register = |subject: &str, text: &str| {
            registry.0.register(subject, &Schema::new(SchemaType::Avro, text)).expect("a schema");
        };
        register("t-key", "\"string\"");
        register("t-value", VALUE);
        let parsed = parse_statement(statement).unwrap();
        let Statement::CreateSource(create) = &parsed.statement else { panic!("{statement}") };
        let source = SourceProperties::parse(&create.properties, PropertyScope::Declare)
            .and_then(|properties| declare_source(&Catalog::with_registry(registry), create, &properties, statement));
        assert_eq!(source.map_or_else(|error| error.to_string(), |source| source.schema_text()), want, "{statement}");
    }

    #[test]
    fn columns_come_from_the_registry() {
        check(
            "CREATE STREAM s WITH (KAFKA_TOPIC='t', FORMAT='AVRO')",
            "`ROWKEY` STRING KEY, `C1` INTEGER, `C2` STRUCT<`F` DOUBLE>",
        );
        check(
            "CREATE TABLE s WITH (KAFKA_TOPIC='t', FORMAT='AVRO', VALUE_SCHEMA_ID=2)",
            "`ROWKEY` STRING PRIMARY KEY, `c1` INTEGER, `c2` STRUCT<`f` DOUBLE>",
        );
        check(
            "CREATE STREAM s (k INT KEY) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='AVRO')",
            "`K` INTEGER KEY, `C1` INTEGER, `C2` STRUCT<`F` DOUBLE>",
        );
        check("CREATE STREAM s (v INT) WITH (KAFKA_TOPIC='t', FORMAT='AVRO')", "`ROWKEY` STRING KEY, `V` INTEGER");
        check(
            "CREATE STREAM s (h BYTES HEADER('x')) WITH (KAFKA_TOPIC='t', FORMAT='AVRO', WRAP_SINGLE_VALUE=FALSE)",
            "`H` BYTES HEADER('x'), `ROWKEY` STRING KEY, `ROWVAL` STRUCT<`C1` INTEGER, `C2` STRUCT<`F` DOUBLE>>",
        );
    }

    #[test]
    fn what_cannot_be_inferred() {
        check(
            "CREATE STREAM s WITH (KAFKA_TOPIC='u', VALUE_FORMAT='AVRO')",
            "1:16: the value columns of topic u cannot be inferred: the schema registry has no subject u-value; register a schema \
             for it, or list the columns",
        );
        check(
            "CREATE STREAM s (v INT) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='AVRO', VALUE_SCHEMA_ID=2)",
            "1:16: Table elements and VALUE_SCHEMA_ID cannot both exist for create statement.",
        );
        check(
            "CREATE STREAM s WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON_SR')",
            "1:16: the value columns of topic t cannot be inferred: JSON: schema 2 of t-value: it is AVRO",
        );
    }
}
