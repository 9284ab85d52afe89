//! Names and texts inside SQL statements, and how names of topics and columns become those of tables and their columns.
//!
//! Identifiers are always quoted, so that a topic's name is never syntax. A name without lower-case letters, as SQL's unquoted names are here,
//! becomes lower case, as Postgres' unquoted names are.

/// `"name"`.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `'text'`, whatever `standard_conforming_strings` says.
pub(super) fn literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') { format!(" E'{}'", doubled.replace('\\', "\\\\")) } else { format!("'{doubled}'") }
}

/// How a name would be written in Postgres.
pub(super) fn folded(name: &str) -> String {
    if name.chars().any(char::is_lowercase) { name.to_owned() } else { name.to_lowercase() }
}

/// A table: its schema, if it is not to be found by the search path, and its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TableName {
    pub(super) schema: Option<String>,
    pub(super) table: String,
}

impl TableName {
    /// The name as SQL.
    pub(super) fn sql(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", quoted(schema), quoted(&self.table)),
            None => quoted(&self.table),
        }
    }
}

impl std::fmt::Display for TableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.table),
            None => f.write_str(&self.table),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_never_syntax() {
        assert_eq!(quoted(r#"a"; DROP TABLE t; --"#), r#""a""; DROP TABLE t; --""#);
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\'"), r" E'a\\'''");
        let table = TableName { schema: Some("s".into()), table: "a.b".into() };
        assert_eq!(table.sql(), r#""s"."a.b""#);
    }

    #[test]
    fn names_without_lower_case_are_folded() {
        for (name, expected) in [("ORDER_ID", "order_id"), ("orderId", "orderId"), ("orders", "orders"), ("Ä1", "ä1")]
        {
            assert_eq!(folded(name), expected);
        }
    }
}
