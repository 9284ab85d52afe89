//! What `help` prints: a list of statements and commands, and for each its form and an example.

use crate::syntax::suggest::nearest;

struct Topic {
    name: &'static str,
    what: &'static str,
    form: &'static str,
    example: &'static str,
}

const TOPICS: &[Topic] = &[
    Topic {
        name: "ASSERT",
        what: "go on only if a topic or a schema is there, or is not, within a time",
        form: "ASSERT [NOT EXISTS] TOPIC name [WITH (PARTITIONS = n)] [TIMEOUT n unit];\n\
               ASSERT [NOT EXISTS] SCHEMA [SUBJECT name] [ID n] [TIMEOUT n unit];",
        example: "ASSERT TOPIC orders WITH (PARTITIONS = 4) TIMEOUT 5 SECONDS;",
    },
    Topic {
        name: "CREATE CONNECTOR",
        what: "read from or write to outside systems",
        form: "CREATE SOURCE CONNECTOR [IF NOT EXISTS] name WITH ('connector.class' = '..', ..);\n\
               CREATE SINK CONNECTOR [IF NOT EXISTS] name [FROM source] WITH ('connector.class' = '..', ..) [AS SELECT .. FROM source WHERE ..];\n\
               PAUSE|RESUME|RESTART CONNECTOR name;\n\
               source 'file': path, topic, format = 'json'|'csv', key.field, timestamp.field, partitions, follow = 'true'|'false'",
        example: "CREATE SOURCE CONNECTOR orders_file WITH ('connector.class' = 'file', 'path' = 'orders.ndjson',\n  \
                  'topic' = 'orders', 'format' = 'json', 'key.field' = 'customer', 'timestamp.field' = 'at');",
    },
    Topic {
        name: "CREATE QUEUE",
        what: "give the records of a topic out as work, each until it is acknowledged or dead; see RECEIVE",
        form: "CREATE QUEUE [IF NOT EXISTS] name ON stream|topic WITH (visibility = '30s', dead_letter = 'topic', max_attempts = 5,\n  \
               fifo = 'key'|'none', delay = '0s', dedup_window = '5m', dedup_by = 'id'|'body', max_in_flight = 20000, start = 'earliest'|'latest');\n\
               DROP QUEUE [IF EXISTS] name; SHOW QUEUES; DESCRIBE QUEUE name;",
        example: "CREATE QUEUE mailer ON mails WITH (visibility = '1m', dead_letter = 'mails-dead', fifo = 'key');",
    },
    Topic {
        name: "CREATE STREAM",
        what: "declare the records of a topic, each a fact; or AS SELECT: start a query that writes a stream",
        form: "CREATE [OR REPLACE] STREAM [IF NOT EXISTS] name (column type [KEY], ..) WITH (KAFKA_TOPIC = '..', VALUE_FORMAT = '..', ..);\n\
               CREATE [OR REPLACE] STREAM [IF NOT EXISTS] name [WITH (..)] AS SELECT .. [PARTITION BY ..] EMIT CHANGES;",
        example: "CREATE STREAM orders (customer VARCHAR KEY, amount DOUBLE, at BIGINT)\n  \
                  WITH (KAFKA_TOPIC = 'orders', VALUE_FORMAT = 'JSON', TIMESTAMP = 'at');",
    },
    Topic {
        name: "CREATE TABLE",
        what: "declare a topic whose newest record per key is the fact; or AS SELECT: keep a materialized view",
        form: "CREATE [OR REPLACE] TABLE [IF NOT EXISTS] name (column type PRIMARY KEY, ..) WITH (KAFKA_TOPIC = '..', VALUE_FORMAT = '..', ..);\n\
               CREATE [OR REPLACE] TABLE [IF NOT EXISTS] name [WITH (..)] AS SELECT .. [WINDOW ..] GROUP BY .. [HAVING ..] EMIT CHANGES;\n\
               WITH (ROW_TTL = '7 DAYS'): a row goes when it has not been updated for so long, by the time of events",
        example: "CREATE TABLE spent AS SELECT customer, COUNT(*) AS orders, SUM(amount) AS amount FROM orders\n  \
                  WINDOW TUMBLING (SIZE 1 HOUR, GRACE PERIOD 10 MINUTES) GROUP BY customer EMIT CHANGES;",
    },
    Topic {
        name: "DESCRIBE",
        what: "the columns of a stream or table, a connector, a queue or a function",
        form: "DESCRIBE name [EXTENDED]; DESCRIBE CONNECTOR name; DESCRIBE QUEUE name; DESCRIBE FUNCTION name;",
        example: "DESCRIBE orders;",
    },
    Topic {
        name: "DROP",
        what: "remove a stream, a table, a connector or a queue",
        form: "DROP STREAM|TABLE [IF EXISTS] name [DELETE TOPIC]; DROP CONNECTOR|QUEUE [IF EXISTS] name;",
        example: "DROP TABLE IF EXISTS spent;",
    },
    Topic {
        name: "EXPLAIN",
        what: "the plan of a statement or of a running query, as text",
        form: "EXPLAIN statement; EXPLAIN query_id;",
        example: "EXPLAIN SELECT customer, amount FROM orders WHERE amount > 10 EMIT CHANGES;",
    },
    Topic {
        name: "INSERT",
        what: "add one record, or the results of a query that runs on",
        form: "INSERT INTO name [(column, ..)] VALUES (expression, ..); INSERT INTO stream SELECT .. EMIT CHANGES;",
        example: "INSERT INTO orders (customer, amount, at) VALUES ('ada', 12.5, 1700000000000);",
    },
    Topic {
        name: "JOIN",
        what: "rows of two or more sources; two streams meet within a time of each other, tables by primary key or by a column",
        form: "stream [INNER|LEFT|RIGHT|FULL] JOIN stream WITHIN n unit [GRACE PERIOD n unit] ON a = b\n\
               stream [INNER|LEFT] JOIN table ON column = key\n\
               table [INNER|LEFT|RIGHT|FULL] JOIN table ON key = key; table [INNER|LEFT] JOIN table ON expression = key\n\
               EMIT FINAL on LEFT, RIGHT and FULL JOIN of streams: what has met nothing comes once nothing can meet it any more",
        example: "SELECT o.id, p.amount FROM orders o LEFT JOIN payments p WITHIN 1 HOUR GRACE PERIOD 10 MINUTES\n  \
                  ON o.id = p.id EMIT CHANGES;",
    },
    Topic {
        name: "PAUSE",
        what: "hold a persistent query; RESUME has it go on where it stopped",
        form: "PAUSE query_id; PAUSE ALL; RESUME query_id; RESUME ALL;",
        example: "PAUSE CTAS_SPENT_1;",
    },
    Topic {
        name: "PRINT",
        what: "the records of a topic as they are",
        form: "PRINT topic [FROM BEGINNING] [INTERVAL n] [LIMIT n];",
        example: "PRINT 'orders' FROM BEGINNING LIMIT 3;",
    },
    Topic {
        name: "RECEIVE",
        what: "take messages of a queue, hidden from others for a while; then say what became of each by its receipt",
        form: "RECEIVE [n] FROM queue [WAIT n unit];\n\
               ACK queue 'receipt', ..: done; NACK queue 'receipt' [DELAY n unit]: to be tried again\n\
               REJECT queue 'receipt' ['reason']: a dead letter at once; EXTEND queue 'receipt' BY n unit: hold it longer\n\
               REDRIVE QUEUE queue [RATE n]: dead letters back into the topic, n a second",
        example: "RECEIVE 10 FROM mailer WAIT 5 SECONDS;",
    },
    Topic {
        name: "SELECT",
        what: "a pull query: reads the views once and ends; with EMIT CHANGES a push query: rows as they come, until Ctrl-C or LIMIT",
        form: "SELECT .. FROM .. [JOIN ..] [WHERE ..] [GROUP BY ..] [HAVING ..] [ORDER BY ..] [LIMIT n];\n\
               SELECT .. FROM .. [JOIN ..] [WINDOW ..] [WHERE ..] [PARTITION BY ..] [GROUP BY ..] [HAVING ..] EMIT CHANGES|FINAL [LIMIT n];",
        example: "SELECT customer, SUM(amount) AS total FROM spent GROUP BY customer ORDER BY total DESC LIMIT 10;",
    },
    Topic {
        name: "SET",
        what: "a property of this session; UNSET takes it back",
        form: "SET 'property' = 'value'; UNSET 'property'; SHOW PROPERTIES;",
        example: "SET 'auto.offset.reset' = 'earliest';",
    },
    Topic {
        name: "SHOW",
        what: "what there is",
        form: "SHOW STREAMS | TABLES | TOPICS | QUERIES | CONNECTORS | QUEUES | FUNCTIONS | PROPERTIES | VARIABLES;",
        example: "SHOW QUERIES;",
    },
    Topic {
        name: "TERMINATE",
        what: "end a persistent query; what it wrote stays",
        form: "TERMINATE query_id; TERMINATE ALL;",
        example: "TERMINATE CTAS_SPENT_1;",
    },
    Topic {
        name: "WINDOW",
        what: "cut a GROUP BY into windows of event time; a record is late when its window has closed, GRACE PERIOD after its end",
        form: "WINDOW TUMBLING (SIZE n unit [, OFFSET n unit] [, TIMEZONE 'zone'] [, RETENTION n unit] [, GRACE PERIOD n unit])\n\
               WINDOW HOPPING (SIZE n unit, ADVANCE BY n unit ..)\n\
               WINDOW CUMULATE (SIZE n unit, STEP n unit ..): windows that start together and grow by the step up to the size\n\
               WINDOW SESSION (n unit [, RETENTION n unit] [, GRACE PERIOD n unit])\n\
               OFFSET: so much later; TIMEZONE 'Europe/Berlin': days from midnight to midnight there, of 23 or 25 hours too\n\
               EMIT FINAL instead of EMIT CHANGES: one row a window, once it has closed",
        example: "SELECT customer, COUNT(*) FROM orders WINDOW TUMBLING (SIZE 1 MINUTE, GRACE PERIOD 10 SECONDS)\n  \
                  GROUP BY customer EMIT CHANGES;",
    },
];

const COMMANDS: &str = "\
Shell commands (no semicolon needed)
  help [statement]           this list, or the form of a statement
  output [table|json|csv]    how rows are shown
  run script 'file.sql'      run the statements of a file
  history, clear, version    as they say
  exit, quit, Ctrl-D         end; persistent queries go on at the next start

Keys
  Tab                        complete keywords, names and properties
  Up, Ctrl-R                 earlier input; search in it
  Ctrl-C                     end a push query, or clear the input";

/// The names of the statements there is help for.
pub fn topics() -> impl Iterator<Item = &'static str> {
    TOPICS.iter().map(|topic| topic.name)
}

/// The overview.
pub fn overview() -> String {
    let statements: String = TOPICS.iter().map(|topic| format!("  {:<26} {}\n", topic.name, topic.what)).collect();
    format!("Statements (each ends with a semicolon; `help SELECT` shows one)\n{statements}\n{COMMANDS}")
}

/// Form and example of the statements whose name begins with, or holds, `name`.
///
/// # Errors
/// If there is none; with the nearest one.
pub fn on(name: &str) -> Result<String, String> {
    let name = name.trim().to_uppercase();
    let mut found: Vec<&Topic> = TOPICS.iter().filter(|topic| topic.name.starts_with(&name)).collect();
    if found.is_empty() {
        found = TOPICS.iter().filter(|topic| topic.name.split(' ').any(|word| word == name)).collect();
    }
    if found.is_empty() {
        let hint = match nearest(&name, topics()) {
            Some(near) => format!("did you mean `help {near}`?"),
            None => "`help` lists what there is".to_owned(),
        };
        return Err(format!("there is no help on `{name}`; {hint}"));
    }
    let texts: Vec<String> = found
        .into_iter()
        .map(|topic| format!("{}: {}\n\n{}\n\nExample:\n{}", topic.name, topic.what, topic.form, topic.example))
        .collect();
    Ok(texts.join("\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_found_by_part_of_their_name() {
        for (name, heading) in [("select", "SELECT: "), ("create str", "CREATE STREAM: "), ("table", "CREATE TABLE: ")]
        {
            assert!(on(name).expect("there is help").starts_with(heading), "{name}");
        }
        assert_eq!(on("create").expect("there is help").matches("Example:").count(), 4);
    }

    #[test]
    fn misspelt_statements_get_a_hint() {
        assert_eq!(on("selct"), Err("there is no help on `SELCT`; did you mean `help SELECT`?".to_owned()));
        assert_eq!(on("xyzzy"), Err("there is no help on `XYZZY`; `help` lists what there is".to_owned()));
    }

    #[test]
    fn examples_are_whole_statements() {
        for topic in TOPICS {
            assert!(topic.example.ends_with(';'), "{}", topic.name);
            assert!(overview().contains(topic.what));
        }
    }
}
