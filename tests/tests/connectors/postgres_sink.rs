//! The Postgres sink on a real server: what arrives, what is refused and how, and who may write.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use millstream::{
    connect::{Sink, SinkPosition},
    log::{FetchedBatch, Log, Offsets, SharedLog},
    record::{Offset, PartitionId, Record, TopicPartition},
};
use millstream_connectors::{
    Direction,
    postgres::{InsertMode, Missing, PostgresConnection, PostgresSink},
    rows::RowKind,
};
use millstream_tests::postgres_server::{PostgresServer, WALLED};

use super::{
    log::{append, make_topic, open_log, record, topic},
    running::{columns, config, drain, failure, rows_of, wait_until_drained},
};

fn log_with(name: &str, partitions: u32) -> (tempfile::TempDir, SharedLog) {
    let directory = tempfile::tempdir().expect("a directory");
    let log = open_log(directory.path());
    make_topic(log.as_ref(), name, partitions);
    (directory, log)
}

fn properties(server: &PostgresServer, more: &str) -> String {
    format!("connector.class=postgres connection.url={} connection.user=postgres {more}", server.url(None))
}

fn letters(log: &dyn Log, name: &str) -> Vec<(u64, String)> {
    let partition = TopicPartition::new(topic(name), PartitionId(0));
    let fetched = log.fetch(&partition, Offset(0), 1 << 20).expect("the topic is there");
    let header = |headers: &[millstream::record::Header], name: &str| {
        let found = headers.iter().find(|header| header.name == name).and_then(|header| header.value.clone());
        String::from_utf8(found.expect("the header is there")).expect("text")
    };
    let records = fetched.batches.iter().flat_map(|batch| batch.records.iter());
    records
        .map(|record| {
            let offset = header(record.headers, "millstream.offset").parse().expect("a number");
            (offset, header(record.headers, "millstream.problem"))
        })
        .collect()
}

#[test]
fn rows_of_every_type_arrive_as_they_are() {
    let Some(server) = PostgresServer::start() else { return };
    let (_directory, log) = log_with("THINGS", 2);
    let item = |data_type| DataType::List(Arc::new(Field::new("item", data_type, true)));
    let object = DataType::Struct(Fields::from(vec![
        Field::new("X", DataType::Int32, true),
        Field::new("Y", DataType::Utf8, true),
    ]));
    let value = columns(
        RowKind::Table,
        &[
            ("FLAG", DataType::Boolean),
            ("SMALL", DataType::Int32),
            ("RATIO", DataType::Float64),
            ("PRICE", DataType::Decimal128(20, 4)),
            ("NAME", DataType::Utf8),
            ("RAW", DataType::Binary),
            ("SEEN", DataType::Timestamp(TimeUnit::Millisecond, None)),
            ("DAY", DataType::Date32),
            ("HOUR", DataType::Time32(TimeUnit::Millisecond)),
            ("TAGS", item(DataType::Utf8)),
            ("COUNTS", item(DataType::Int64)),
            ("OBJECT", object.clone()),
            ("OBJECTS", item(object)),
        ],
    );
    append(
        log.as_ref(),
        "THINGS",
        &[
            record(
                1,
                Some(
                    r#"{"FLAG":true,"SMALL":-7,"RATIO":0.1,"PRICE":-12345678901.2345,"NAME":"it's \"ü\"","RAW":"AAEC/w==","SEEN":1700000000123,"DAY":19000,
                    "HOUR":3661001,"TAGS":["a","b, c",null],"COUNTS":[],"OBJECT":{"X":1,"Y":"z"},"OBJECTS":[{"X":2,"Y":null}]}"#,
                ),
            ),
            record(2, Some("{}")),
        ],
    );
    let text = properties(&server, "topics=THINGS auto.create=true");
    drain(&log, "things", config(Direction::Sink, &text, rows_of(&[("THINGS", value)]))).stop();
    let found = server.shop(
        "SELECT id, flag, small, ratio, price, name, encode(raw, 'hex'), seen, day, hour, tags, counts, object, objects FROM things ORDER BY id",
    );
    let expected = "1|t|-7|0.1|-12345678901.2345|it's \"ü\"|000102ff|2023-11-14 22:13:20.123+00|2022-01-08|01:01:01.001|{a,\"b, c\",NULL}|{}|\
        {\"X\": 1, \"Y\": \"z\"}|[{\"X\": 2, \"Y\": null}]\n2|||||||||||||\n";
    assert_eq!(found, expected);
    let types = server.shop(
        "SELECT string_agg(format_type(atttypid, atttypmod), ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'things'::regclass AND attnum > 0",
    );
    let expected = "bigint,boolean,integer,double precision,numeric(20,4),text,bytea,timestamp with time zone,date,time without time zone,text[],bigint[],jsonb,jsonb\n";
    assert_eq!(types, expected);
}

#[test]
fn the_last_change_of_a_key_counts_and_bad_rows_are_kept_apart() {
    let Some(server) = PostgresServer::start() else { return };
    let (_directory, log) = log_with("people", 1);
    server.shop(
        "CREATE TABLE people (id int PRIMARY KEY, who uuid, name varchar(8) NOT NULL, born date, extra jsonb DEFAULT '{}', age smallint CHECK (age < 150))",
    );
    let value = columns(
        RowKind::Table,
        &[("WHO", DataType::Utf8), ("NAME", DataType::Utf8), ("BORN", DataType::Utf8), ("AGE", DataType::Int64)],
    );
    let row = |name: &str, age: i64| {
        format!(
            r#"{{"WHO":"6f2b1c1e-0000-4000-8000-00000000000{}","NAME":"{name}","BORN":"1815-12-10","AGE":{age}}}"#,
            age % 10
        )
    };
    let good = |key, name: &str| record(key, Some(&row(name, 36)));
    let records = [
        good(1, "ada"),                                                            // 0
        good(2, "bob"),                                                            // 1
        record(1, None),                                                           // 2: deleted,
        good(1, "ada II"),                                                         // 3: and there again
        good(3, "carl"),                                                           // 4
        record(3, None),                                                           // 5
        good(4, "dora"),                                                           // 6
        record(4, Some(r#"{"WHO":"no uuid","NAME":"dora","BORN":"1815-12-10"}"#)), // 7: the row before counts
        good(5, "a long name"),                                                    // 8
        record(6, Some(r#"{"BORN":"1815-12-10"}"#)),                               // 9: no name
        record(7, Some(&row("old", 151))),                                         // 10: a constraint
        record(8, Some(&row("older", 100_000))),                                   // 11: no smallint
        record(9, Some("{")),                                                      // 12: no JSON
        record(10, Some("{\"NAME\":\"zero \\u0000\"}")),                           // 13
        record(5_000_000_000, Some(&row("far", 1))),                               // 14: no int
        good(11, "eve"),                                                           // 15
    ];
    append(log.as_ref(), "people", &records);
    let rows = || rows_of(&[("people", value.clone())]);
    let strict = properties(&server, "topics=people");
    let error = failure(&log, "people", config(Direction::Sink, &strict, rows()));
    assert!(
        error.contains("partition=0 offset=7") && error.contains("`who`") && error.contains("'errors.tolerance'"),
        "{error}"
    );
    assert_eq!(server.shop("SELECT count(*) FROM people"), "0\n", "nothing of a commit that failed is seen");
    let lenient = format!("{strict} errors.tolerance=all");
    let running = drain(&log, "people", config(Direction::Sink, &lenient, rows()));
    assert_eq!(running.stop().rejected, 8);
    let found = server.shop("SELECT id, who, name, born, extra, age FROM people ORDER BY id");
    let line = |id: i64, name: &str| format!("{id}|6f2b1c1e-0000-4000-8000-000000000006|{name}|1815-12-10|{{}}|36\n");
    assert_eq!(found, [line(1, "ada II"), line(2, "bob"), line(4, "dora"), line(11, "eve")].concat());
    let letters = letters(log.as_ref(), "connect-people-dead-letter");
    let expected = [
        (7, "`who`"),
        (8, "`name`"),
        (9, "`name`"),
        (10, "people_age_check"),
        (11, "`age`"),
        (12, "value"),
        (13, "zero byte"),
        (14, "`id`"),
    ];
    assert_eq!(letters.len(), expected.len(), "{letters:#?}");
    for ((offset, problem), (expected_offset, part)) in letters.iter().zip(expected) {
        assert!(*offset == expected_offset && problem.contains(part), "{offset} {problem}: {expected_offset} {part}");
    }
}

#[test]
fn streams_are_appended_and_columns_added() {
    let Some(server) = PostgresServer::start() else { return };
    let (_directory, log) = log_with("CLICKS", 2);
    server.shop("CREATE SCHEMA web; CREATE TABLE web.t_clicks (nr serial, id bigint, kind text DEFAULT 'click')");
    let value = |names: &[&str]| {
        columns(RowKind::Stream, &names.iter().map(|name| (*name, DataType::Utf8)).collect::<Vec<_>>())
    };
    let all: Vec<Record> = (0..100).map(|id| record(id % 10, Some(r#"{"PAGE":"home"}"#))).collect();
    append(log.as_ref(), "CLICKS", &all);
    let text = properties(&server, "topics=CLICKS table.name.format=web.t_${topic}");
    let error = failure(&log, "clicks", config(Direction::Sink, &text, rows_of(&[("CLICKS", value(&["PAGE"]))])));
    for part in ["topic CLICKS into table web.t_clicks", "ADD COLUMN IF NOT EXISTS \"page\" text", "'auto.evolve'"] {
        assert!(error.contains(part), "{error}");
    }
    let text = format!("{text} auto.evolve=true batch.size=7");
    let running = drain(&log, "clicks", config(Direction::Sink, &text, rows_of(&[("CLICKS", value(&["PAGE"]))])));
    let counts = "SELECT count(*), count(DISTINCT id), count(DISTINCT nr), min(kind), max(page) FROM web.t_clicks";
    assert_eq!(server.shop(counts), "100|10|100|click|home\n");
    append(log.as_ref(), "CLICKS", &all);
    wait_until_drained(&running);
    assert_eq!(server.shop(counts), "200|10|200|click|home\n");
    running.stop();
    server.shop("DELETE FROM _millstream_sink_progress");
    let error = failure(&log, "clicks", config(Direction::Sink, &text, rows_of(&[("CLICKS", value(&["PAGE"]))])));
    assert!(error.contains("another database"), "{error}");
}

#[test]
fn tables_that_copy_cannot_write_to_are_written_all_the_same() {
    let Some(server) = PostgresServer::start() else { return };
    server.shop("GRANT CREATE ON SCHEMA public TO walled");
    let password = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(password.path(), WALLED.1).expect("written");
    let way = format!(
        "connector.class=postgres connection.url={} connection.user={} connection.password=${{file:{}}}",
        server.url(None),
        WALLED.0,
        password.path().display()
    );
    for (name, kind) in [("added", RowKind::Stream), ("upserted", RowKind::Table)] {
        let (_directory, log) = log_with(name, 1);
        server.shop(&format!(
            "CREATE TABLE {name} (id bigint PRIMARY KEY, a text); GRANT ALL ON {name} TO walled; ALTER TABLE {name} ENABLE ROW LEVEL SECURITY; \
             CREATE POLICY all_but_nine ON {name} TO walled USING (id <> 9)"
        ));
        let rows = [1, 2, 9, 3].map(|id| record(id, Some(r#"{"A":"x"}"#)));
        append(log.as_ref(), name, &rows);
        let text = format!("{way} topics={name} errors.tolerance=all");
        let value = rows_of(&[(name, columns(kind, &[("A", DataType::Utf8)]))]);
        let error = failure(&log, name, config(Direction::Sink, &text, value));
        // What the policy refuses is a lack of rights, and nothing to be left out.
        assert!(error.contains("row-level security policy"), "{error}");
        server.shop(&format!(
            "DROP POLICY all_but_nine ON {name}; CREATE POLICY everything ON {name} TO walled USING (true)"
        ));
        let value = rows_of(&[(name, columns(kind, &[("A", DataType::Utf8)]))]);
        drain(&log, name, config(Direction::Sink, &text, value)).stop();
        assert_eq!(server.shop(&format!("SELECT string_agg(id::text, ',' ORDER BY id) FROM {name}")), "1,2,3,9\n");
    }
}

#[test]
fn what_a_trigger_of_the_statement_refuses_is_said() {
    let Some(server) = PostgresServer::start() else { return };
    server.shop(
        "CREATE TABLE shut (id bigint, a text); CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'the shop is shut'; END $$; \
         CREATE TRIGGER refuse BEFORE INSERT ON shut FOR EACH STATEMENT EXECUTE FUNCTION refuse()",
    );
    let (_directory, log) = log_with("shut", 1);
    append(log.as_ref(), "shut", &[record(1, Some(r#"{"A":"x"}"#))]);
    let value = rows_of(&[("shut", columns(RowKind::Stream, &[("A", DataType::Utf8)]))]);
    let error = failure(&log, "shut", config(Direction::Sink, &properties(&server, "topics=shut"), value));
    assert!(error.contains("the shop is shut") && error.contains("offset=0"), "{error}");
}

#[test]
fn wrong_settings_are_named_with_what_to_do() {
    let Some(server) = PostgresServer::start() else { return };
    let (_directory, log) = log_with("t", 1);
    server.shop("CREATE TABLE nokey (id bigint, a text); CREATE TABLE typed (id bigint PRIMARY KEY, a boolean); CREATE TABLE full_ (id bigint PRIMARY KEY, a text, b int NOT NULL)");
    let rows = |kind, data_type| rows_of(&[("t", columns(kind, &[("A", data_type)]))]);
    let check = |text: &str, rows, parts: &[&str]| {
        let error = failure(&log, "wrong", config(Direction::Sink, text, rows));
        assert!(parts.iter().all(|part| error.contains(part)), "{text}: {error}");
        assert!(!error.contains(WALLED.1), "{error}");
    };
    let table = || rows(RowKind::Table, DataType::Utf8);
    let to = |more: &str| properties(&server, &format!("topics=t {more}"));
    check(&to(""), table(), &["topic t into table t", "no such table", "CREATE TABLE", "'auto.create'"]);
    check(&to("table.name.format=nokey"), table(), &["no primary key", "ADD PRIMARY KEY (\"id\")", "'pk.fields'"]);
    check(
        &to("table.name.format=typed"),
        rows(RowKind::Table, DataType::Float64),
        &["\"a\" is of type boolean", "double precision"],
    );
    check(&to("table.name.format=full_"), table(), &["column `b`", "default"]);
    check(&to("table.name.format=typed pk.fields=X"), table(), &["'pk.fields'", "`X`", "ID, A"]);
    check(&to(""), millstream_connectors::rows::TopicRows::default(), &["topic t", "columns are not known"]);
    let at = |url: &str, user: &str| {
        format!("connector.class=postgres topics=t max.retries=1 connection.url={url} connection.user={user}")
    };
    check(
        &at(&server.url(None).replace("/shop", "/none"), "postgres"),
        table(),
        &["\"none\" does not exist", "'connection.url'"],
    );
    check(&at(&server.url(Some(1)), "postgres"), table(), &["postgres 127.0.0.1:1/shop", "is the server up"]);
    check(&at(&server.url(None), WALLED.0), table(), &["'connection.password'"]);
    check(
        &format!("{} sslmode=require", at(&server.url(None), "postgres")),
        table(),
        &["TLS", "'sslmode' = 'disable'"],
    );
    let password = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(password.path(), "lion").expect("written");
    let walled =
        format!("{} connection.password=${{file:{}}}", at(&server.url(None), WALLED.0), password.path().display());
    check(&walled, table(), &["password authentication failed", "'connection.user'"]);
    std::fs::write(password.path(), WALLED.1).expect("written");
    check(&walled, table(), &["permission denied", "GRANT"]);
}

/// A batch of one record.
fn batch(offset: u64, key: i64, name: &str) -> FetchedBatch {
    let record = record(key, Some(&format!(r#"{{"NAME":"{name}"}}"#)));
    FetchedBatch { records: [record].into_iter().collect(), offsets: Offsets::From(Offset(offset)) }
}

#[test]
fn a_writer_is_fenced_by_its_successor() {
    let Some(server) = PostgresServer::start() else { return };
    let partition = TopicPartition::new(topic("names"), PartitionId(0));
    let sink = || PostgresSink {
        insert_mode: Some(InsertMode::Upsert),
        missing_table: Missing::Create,
        ..PostgresSink::new(
            PostgresConnection::new("127.0.0.1", server.port(), "shop", "postgres"),
            vec![topic("names")],
        )
    };
    let rows = rows_of(&[("names", columns(RowKind::Table, &[("NAME", DataType::Utf8)]))]);
    let writer = || sink().writer("names", rows.clone());
    let at = |next, mark: Option<Vec<u8>>| [SinkPosition { partition: partition.clone(), next: Offset(next), mark }];
    let mut older = writer();
    older.open(&at(0, None)).expect("open");
    let mark = older.flush().expect("nothing to write");
    older.write(&partition, &batch(0, 1, "ada")).expect("read");
    older.settle().expect("written");
    older.flush().expect("committed");
    // The older one falls silent with a row written and not committed. Its successor takes the sink over without waiting for it.
    older.write(&partition, &batch(1, 2, "bob, by the older")).expect("read");
    older.settle().expect("written");
    let mut newer = writer();
    newer.open(&at(0, Some(mark.clone()))).expect("open");
    assert_eq!(newer.positions().and_then(|positions| positions.get(&partition)), Some(&Offset(1)));
    let fenced = older.flush().expect_err("fenced");
    assert!(fenced.to_string().contains("fenced: another connector named names") && !fenced.is_retryable(), "{fenced}");
    newer.write(&partition, &batch(1, 2, "bob")).expect("read");
    newer.settle().expect("written");
    newer.flush().expect("committed");
    let fenced = older.open(&at(1, Some(mark.clone()))).expect_err("still fenced");
    assert!(fenced.to_string().contains("fenced"), "{fenced}");
    assert_eq!(server.shop("SELECT id, name FROM names ORDER BY id"), "1|ada\n2|bob\n");
    // A log that has forgotten the connector writes nothing twice.
    let forgotten = writer().open(&at(0, None)).expect_err("refused");
    assert!(forgotten.to_string().contains("DELETE FROM _millstream_sink_progress"), "{forgotten}");
    // A successor of the same log goes on where the table is, whatever the log has committed.
    let mut next = writer();
    next.open(&at(0, Some(mark))).expect("open");
    assert_eq!(next.positions().and_then(|positions| positions.get(&partition)), Some(&Offset(2)));
}
