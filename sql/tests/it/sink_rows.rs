//! What sinks of records get: rows of a stream or table, and what queries make of them, as JSON.

use std::path::{Path, PathBuf};

use millstream::{
    log::{Append, Transaction},
    record::{Header, Offset, PartitionId, Record, RecordRef, TopicName, TopicPartition},
};

use super::harness::{Sql, wait_for};

struct Files {
    directory: tempfile::TempDir,
    sql: Sql,
}

impl Files {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let sql = Sql::open(&directory.path().join("data"));
        Self { directory, sql }
    }

    /// Makes a file sink of this name, with what stands between CONNECTOR and WITH, more properties, and what stands behind WITH.
    fn sink(&mut self, name: &str, from: &str, more: &str, query: &str) {
        let path = self.path(name);
        self.sql.run(&format!(
            "CREATE SINK CONNECTOR {name} {from} WITH ('connector.class' = 'file', 'path' = '{}' {more}) {query};",
            path.display()
        ));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn lines(&self, name: &str) -> Vec<String> {
        self.sql.settle();
        lines(&self.path(name))
    }

    /// Dead letters, as `value offset: problem`.
    fn letters(&self, topic: &str) -> Vec<String> {
        let partition = TopicPartition::new(TopicName::new(topic).expect("legal"), PartitionId(0));
        let fetched = self.sql.engine.log().fetch(&partition, Offset(0), 1 << 20).expect("it is there");
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).expect("text");
        let letter = |record: RecordRef<'_>| {
            let header = |name: &str| {
                let found = record.headers.iter().find(|header| header.name == name).expect("it has the header");
                text(found.value.as_deref())
            };
            format!("{} offset {}: {}", text(record.value), header("millstream.offset"), header("millstream.problem"))
        };
        fetched.batches.iter().flat_map(|batch| batch.records.iter()).map(letter).collect()
    }

    /// Appends records to a topic as they are.
    fn append(&self, topic: &str, records: Vec<Record>) {
        let log = self.sql.engine.log();
        let partition = TopicPartition::new(TopicName::new(topic).expect("legal"), PartitionId(0));
        let append = Append { partition, records: records.into_iter().collect() };
        let mut producer = log.producer("tests").expect("opens");
        producer.commit(Transaction { appends: vec![append], offsets: Vec::new() }).expect("committed");
    }
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[test]
fn a_file_gets_records_rows_or_what_a_query_makes_of_them() {
    let mut files = Files::new();
    files.sql.run(
        "CREATE STREAM orders (id BIGINT KEY, city STRING, amount DOUBLE)
            WITH (KAFKA_TOPIC = 'orders', VALUE_FORMAT = 'DELIMITED', PARTITIONS = 1);",
    );
    files.sink("records", "", ", 'topics' = 'orders'", "");
    files.sink("rows", "FROM orders", "", "");
    let query =
        "AS SELECT UCASE(city) AS city, amount * 2 AS twice, ROWPARTITION AS part FROM orders WHERE amount > 10";
    files.sink("large", "", ", 'envelope' = 'true'", query);
    files.sql.run(
        "INSERT INTO orders (ROWTIME, id, city, amount) VALUES (1000, 1, 'Bonn', 5.0);
         INSERT INTO orders (ROWTIME, id, city, amount) VALUES (2000, 2, 'Ulm', 20.5);
         INSERT INTO orders (ROWTIME, id, city, amount) VALUES (3000, 3, NULL, 30.0);",
    );
    assert_eq!(files.lines("records"), ["\"Bonn,5.0\"", "\"Ulm,20.5\"", "\",30.0\""]);
    assert_eq!(
        files.lines("rows"),
        [
            r#"{"ID":1,"CITY":"Bonn","AMOUNT":5.0}"#,
            r#"{"ID":2,"CITY":"Ulm","AMOUNT":20.5}"#,
            r#"{"ID":3,"CITY":null,"AMOUNT":30.0}"#
        ]
    );
    assert_eq!(
        files.lines("large"),
        [
            r#"{"topic":"orders","partition":0,"offset":1,"timestamp":2000,"key":"2","value":{"CITY":"ULM","TWICE":41.0,"PART":0}}"#,
            r#"{"topic":"orders","partition":0,"offset":2,"timestamp":3000,"key":"3","value":{"CITY":null,"TWICE":60.0,"PART":0}}"#
        ]
    );
    files.sql.close();
}

#[test]
fn a_row_of_a_table_that_fits_no_longer_is_a_deletion() {
    let mut files = Files::new();
    files.sql.run(
        "CREATE TABLE stock (item STRING PRIMARY KEY, n INT) WITH (KAFKA_TOPIC = 'stock', VALUE_FORMAT = 'JSON', PARTITIONS = 1);",
    );
    files.sink("few", "", ", 'envelope' = 'true'", "AS SELECT n - 1 AS left FROM stock WHERE n < 5");
    files.sql.run("INSERT INTO stock VALUES ('a', 3), ('b', 9), ('a', 7);");
    files.append("stock", vec![Record { key: Some(b"b".to_vec()), ..Record::default() }]);
    let few: Vec<String> =
        files.lines("few").iter().map(|line| line[line.find("\"key\"").expect("a key")..].to_owned()).collect();
    let deleted = |key: &str| format!("\"key\":\"{key}\",\"value\":null}}");
    assert_eq!(few, ["\"key\":\"a\",\"value\":{\"LEFT\":2}}".to_owned(), deleted("b"), deleted("a"), deleted("b")]);
    files.sql.close();
}

#[test]
fn columns_from_headers_are_written() {
    let mut files = Files::new();
    files.sql.run(
        "CREATE STREAM s (v INT, origin BYTES HEADER('origin')) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
         CREATE STREAM a (v INT, h ARRAY<STRUCT<key STRING, value BYTES>> HEADERS) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON');",
    );
    files.sink("one", "FROM s", "", "");
    files.sink("every", "FROM a", "", "");
    files.sink("text", "", "", "AS SELECT FROM_BYTES(origin, 'utf8') AS origin FROM s WHERE origin IS NOT NULL");
    let sizes = ", 'format' = 'csv', 'flush.size' = '2'";
    files.sink("csv", "", sizes, "AS SELECT v, FROM_BYTES(origin, 'utf8') AS origin FROM s");
    let record = |v: u32, headers: &[&str]| {
        let header = |value: &&str| Header { name: "origin".into(), value: Some(value.as_bytes().to_vec()) };
        let value = Some(format!("{{\"v\":{v}}}").into_bytes());
        Record { value, headers: headers.iter().map(header).collect(), ..Record::default() }
    };
    files.append("s", vec![record(1, &["x", "web"]), record(2, &[])]);
    assert_eq!(files.lines("one"), [r#"{"V":1,"ORIGIN":"d2Vi"}"#, r#"{"V":2,"ORIGIN":null}"#]);
    assert_eq!(
        files.lines("every"),
        [r#"{"V":1,"H":[{"KEY":"origin","VALUE":"eA=="},{"KEY":"origin","VALUE":"d2Vi"}]}"#, r#"{"V":2,"H":[]}"#]
    );
    assert_eq!(files.lines("text"), [r#"{"ORIGIN":"web"}"#]);
    let csv = files.path("csv").join("s+0+0000000000000000.csv");
    files.sql.settle();
    assert_eq!(lines(&csv), ["V,ORIGIN", "1,web", "2,"]);
    files.sql.close();
}

#[test]
fn what_cannot_be_a_row_is_kept_with_its_place() {
    let mut files = Files::new();
    files.sql.run("CREATE STREAM s (v INT) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON', PARTITIONS = 1);");
    files.sink("good", "", ", 'errors.tolerance' = 'all'", "AS SELECT 10 / v AS q FROM s");
    files.sink("strict", "FROM s", "", "");
    let record = |value: &str| Record { value: Some(value.as_bytes().to_vec()), ..Record::default() };
    let records = ["{\"v\":5}", "{\"v\":0}", "{", "{\"v\":2}"];
    files.append("s", records.map(record).into());
    wait_for(|| files.sql.engine.progress().connectors.iter().any(|found| found.state == "FAILED"));
    let strict = files.sql.engine.progress().connectors.into_iter().find(|found| found.name == "STRICT");
    let error = strict.and_then(|found| found.error).expect("an error");
    assert!(error.contains("topic=s partition=0 offset=2") && error.contains("value: "), "{error}");
    files.sql.run("DROP CONNECTOR strict;");
    assert_eq!(files.lines("good"), ["{\"Q\":2}", "{\"Q\":5}"]);
    let letters = files.letters("connect-GOOD-dead-letter");
    let [first, second] = letters.as_slice() else { panic!("two letters: {letters:?}") };
    assert!(first.starts_with("{\"v\":0} offset 1: column Q: "), "{first}");
    assert!(second.starts_with("{ offset 2: value: "), "{second}");
    files.sql.close();
}

#[test]
fn mistakes_are_told_at_their_place() {
    let mut files = Files::new();
    files
        .sql
        .run("CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON', PARTITIONS = 1);");
    let mut check = |query: &str, expected: &str| {
        let statement = format!(
            "CREATE SINK CONNECTOR f WITH ('connector.class' = 'webhook', 'http.url' = 'http://127.0.0.1:1') {query};"
        );
        let error = files.sql.error(&statement);
        assert!(error.contains(expected), "{query}: {error}");
    };
    check("AS SELECT COUNT(*) AS n FROM s GROUP BY v", "a connector works row by row");
    check("AS SELECT x FROM s", "X");
    check("AS SELECT v FROM t", "T");
    files.sql.close();
}
