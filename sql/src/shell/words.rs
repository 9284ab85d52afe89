//! The words that the editor colours and completes: keywords, types, functions, properties.
//!
//! They decide nothing: a word missing here still works, it only stays plain.

/// Words of the language, upper case, sorted.
pub const KEYWORDS: &[&str] = &[
    "ACK",
    "ADVANCE",
    "ALL",
    "AND",
    "AS",
    "ASC",
    "ASSERT",
    "BEGINNING",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "CHANGES",
    "COLUMN",
    "CONNECTOR",
    "CONNECTORS",
    "CREATE",
    "CROSS",
    "CUMULATE",
    "DAY",
    "DAYS",
    "DEFINE",
    "DELAY",
    "DELETE",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "DROP",
    "ELSE",
    "EMIT",
    "END",
    "ESCAPE",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "EXTEND",
    "EXTENDED",
    "FALSE",
    "FINAL",
    "FROM",
    "FULL",
    "FUNCTION",
    "FUNCTIONS",
    "GRACE",
    "GROUP",
    "HAVING",
    "HEADER",
    "HEADERS",
    "HOPPING",
    "HOUR",
    "HOURS",
    "IF",
    "IN",
    "INNER",
    "INSERT",
    "INTERSECT",
    "INTERVAL",
    "INTO",
    "IS",
    "JOIN",
    "KEY",
    "LEFT",
    "LIKE",
    "LIMIT",
    "LIST",
    "MILLISECOND",
    "MILLISECONDS",
    "MINUTE",
    "MINUTES",
    "MONTH",
    "MONTHS",
    "NACK",
    "NOT",
    "NULL",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PARTITION",
    "PARTITIONS",
    "PAUSE",
    "PERIOD",
    "PRIMARY",
    "PRINT",
    "PROPERTIES",
    "QUERIES",
    "QUEUE",
    "QUEUES",
    "RATE",
    "RECEIVE",
    "REDRIVE",
    "REJECT",
    "REPLACE",
    "RESTART",
    "RESUME",
    "RETENTION",
    "RIGHT",
    "RUN",
    "SAMPLE",
    "SCRIPT",
    "SECOND",
    "SECONDS",
    "SELECT",
    "SESSION",
    "SET",
    "SHOW",
    "SINK",
    "SIZE",
    "SOURCE",
    "STEP",
    "STREAM",
    "STREAMS",
    "TABLE",
    "TABLES",
    "TERMINATE",
    "THEN",
    "TIMEZONE",
    "TO",
    "TOPIC",
    "TOPICS",
    "TRUE",
    "TUMBLING",
    "TYPE",
    "TYPES",
    "UNDEFINE",
    "UNION",
    "UNSET",
    "USING",
    "VALUES",
    "VARIABLES",
    "WAIT",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
    "WITHIN",
    "YEAR",
    "YEARS",
];

/// Types of columns, upper case, sorted.
pub const TYPES: &[&str] = &[
    "ARRAY",
    "BIGINT",
    "BOOLEAN",
    "BYTES",
    "DATE",
    "DECIMAL",
    "DOUBLE",
    "INT",
    "INTEGER",
    "MAP",
    "STRING",
    "STRUCT",
    "TIME",
    "TIMESTAMP",
    "VARCHAR",
];

/// Functions people reach for most, upper case, sorted.
pub const FUNCTIONS: &[&str] = &[
    "ABS",
    "AVG",
    "CEIL",
    "COALESCE",
    "CONCAT",
    "COUNT",
    "EARLIEST_BY_OFFSET",
    "FLOOR",
    "FORMAT_TIMESTAMP",
    "FROM_UNIXTIME",
    "IFNULL",
    "LATEST_BY_OFFSET",
    "LCASE",
    "LEN",
    "MAX",
    "MIN",
    "NULLIF",
    "PARSE_TIMESTAMP",
    "REPLACE",
    "ROUND",
    "SUBSTRING",
    "SUM",
    "TRIM",
    "UCASE",
];

/// Names that every stream and table has, upper case, sorted.
pub const PSEUDO_COLUMNS: &[&str] = &["ROWOFFSET", "ROWPARTITION", "ROWTIME", "WINDOWEND", "WINDOWSTART"];

/// Properties of `WITH (..)` on streams and tables, sorted.
pub const PROPERTIES: &[&str] = &[
    "FORMAT",
    "KAFKA_TOPIC",
    "KEY_FORMAT",
    "PARTITIONS",
    "RETENTION_MS",
    "ROW_TTL",
    "TIMESTAMP",
    "TIMESTAMP_FORMAT",
    "VALUE_DELIMITER",
    "VALUE_FORMAT",
];

/// Properties of `WITH (..)` on connectors, sorted.
pub const CONNECTOR_PROPERTIES: &[&str] =
    &["connector.class", "follow", "format", "key.field", "partitions", "path", "timestamp.field", "topic"];

/// Properties of `WITH (..)` on queues, sorted.
pub const QUEUE_PROPERTIES: &[&str] = &[
    "DEAD_LETTER",
    "DEDUP_BY",
    "DEDUP_WINDOW",
    "DELAY",
    "FIFO",
    "MAX_ATTEMPTS",
    "MAX_IN_FLIGHT",
    "MAX_TRACKED",
    "START",
    "VISIBILITY",
];

/// Whether `word`, in whatever case, is a keyword or a type.
pub fn is_keyword(word: &str) -> bool {
    let word = word.to_ascii_uppercase();
    [KEYWORDS, TYPES].iter().any(|list| list.binary_search(&word.as_str()).is_ok())
}

/// Whether `word`, in whatever case, is one of the functions here.
pub fn is_function(word: &str) -> bool {
    FUNCTIONS.binary_search(&word.to_ascii_uppercase().as_str()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_so_that_they_can_be_searched() {
        for list in [KEYWORDS, TYPES, FUNCTIONS, PSEUDO_COLUMNS, PROPERTIES, CONNECTOR_PROPERTIES, QUEUE_PROPERTIES] {
            assert!(list.is_sorted(), "{list:?}");
        }
    }

    #[test]
    fn words_are_known_in_any_case() {
        for (word, keyword, function) in
            [("select", true, false), ("Varchar", true, false), ("sum", false, true), ("x", false, false)]
        {
            assert_eq!((is_keyword(word), is_function(word)), (keyword, function), "{word}");
        }
    }
}
