//! What the Postgres source makes of large values that the log does not repeat, of tables that change their columns, and of TRUNCATE.

use millstream_tests::postgres_server::PostgresServer;
use serde_json::{Value, json};

use super::{
    log::open_log,
    postgres_source::{failure, follow, records, wait_for_records},
};

fn settings(server: &PostgresServer, tables: &str, more: &str) -> String {
    format!(
        "connector.class=postgres connection.url={} connection.user=postgres topic.prefix=shop table.include.list={tables} {more}",
        server.url(None)
    )
}

/// Text of `length` bytes, another one for each seed.
fn large(seed: u32, length: usize) -> String {
    let words = 0..length as u32 / 8 + 1;
    let text: String = words.map(|n| format!("{:08x}", (seed * 7919 + n).wrapping_mul(2_654_435_761))).collect();
    text[..length].to_owned()
}

fn values(found: &[(Option<Value>, Option<Value>)]) -> Vec<Value> {
    found.iter().map(|(_, value)| value.clone().unwrap_or(Value::Null)).collect()
}

#[test]
fn large_values_are_whole_although_the_log_has_them_once() {
    let Some(server) = PostgresServer::start() else { return };
    let (first, second) = (large(1, 9000), large(2, 9000));
    server.shop(&format!(
        "CREATE TABLE d (id int PRIMARY KEY, name text, big text); ALTER TABLE d ALTER big SET STORAGE EXTERNAL; \
         CREATE TABLE f (id int PRIMARY KEY, name text, big text); ALTER TABLE f ALTER big SET STORAGE EXTERNAL; ALTER TABLE f REPLICA IDENTITY FULL; \
         INSERT INTO d VALUES (1, 'a', '{first}'), (2, 'a', '{first}'), (3, 'a', '{first}'); INSERT INTO f SELECT * FROM d"
    ));
    let directory = tempfile::tempdir().expect("a directory");
    let log = open_log(directory.path());
    let text = settings(&server, "public.d,public.f", "");
    let running = follow(&log, "large", &text);
    wait_for_records(&running, log.as_ref(), "shop.public.f", 3);
    server.shop("UPDATE f SET name = 'b' WHERE id = 1; UPDATE d SET name = 'b' WHERE id = 1");
    let row = |id: i32, name: &str, big: &str| json!({"id": id, "name": name, "big": big});
    let untouched = [row(1, "a", &first), row(2, "a", &first), row(3, "a", &first), row(1, "b", &first)];
    for table in ["shop.public.f", "shop.public.d"] {
        assert_eq!(values(&wait_for_records(&running, log.as_ref(), table, 4)), untouched, "{table}");
    }
    running.stop();
    // Meanwhile the value that an update leaves alone is changed, moved to another key, and gone.
    for table in ["f", "d"] {
        server.shop(&format!(
            "UPDATE {table} SET name = 'c' WHERE id = 1; UPDATE {table} SET big = '{second}' WHERE id = 1; \
             UPDATE {table} SET name = 'c' WHERE id = 2; UPDATE {table} SET id = 20 WHERE id = 2; \
             UPDATE {table} SET name = 'c' WHERE id = 3; DELETE FROM {table} WHERE id = 3"
        ));
    }
    let running = follow(&log, "large", &text);
    let told = |table: &str| values(&wait_for_records(&running, log.as_ref(), table, 11)[4..]);
    let full = [
        row(1, "c", &first),
        row(1, "c", &second),
        row(2, "c", &first),
        Value::Null,
        row(20, "c", &first),
        row(3, "c", &first),
        Value::Null,
    ];
    assert_eq!(told("shop.public.f"), full, "the log has the whole row of before");
    // As the table is now: the newer value comes early, and what is gone is left out. The end of each key is right.
    let partly = [
        row(1, "c", &second),
        row(1, "c", &second),
        json!({"id": 2, "name": "c"}),
        Value::Null,
        row(20, "c", &first),
        json!({"id": 3, "name": "c"}),
        Value::Null,
    ];
    assert_eq!(told("shop.public.d"), partly);
}

#[test]
fn keys_may_be_large_too() {
    let Some(server) = PostgresServer::start() else { return };
    let (key, moved, big) = (large(3, 2500), large(4, 2500), large(5, 9000));
    server.shop(&format!(
        "CREATE TABLE k (id text PRIMARY KEY, name text, big text); ALTER TABLE k ALTER id SET STORAGE EXTERNAL, ALTER big SET STORAGE EXTERNAL; \
         INSERT INTO k VALUES ('{key}', 'a', '{big}')"
    ));
    let directory = tempfile::tempdir().expect("a directory");
    let log = open_log(directory.path());
    let running = follow(&log, "keys", &settings(&server, "public.k", ""));
    wait_for_records(&running, log.as_ref(), "shop.public.k", 1);
    server.shop(&format!("UPDATE k SET name = 'b'; UPDATE k SET id = '{moved}'; DELETE FROM k"));
    let found = wait_for_records(&running, log.as_ref(), "shop.public.k", 5);
    let row = |id: &str, name: &str| Some(json!({"id": id, "name": name, "big": big}));
    let whole = found[1].1.clone() == row(&key, "b") || found[1].1 == Some(json!({"id": key, "name": "b"}));
    assert!(whole && found[1].0 == Some(json!(key)), "an update that leaves the key alone");
    let keys: Vec<_> = found.iter().map(|(key, _)| key.clone().expect("a key")).collect();
    assert_eq!(keys, [json!(key), json!(key), json!(key), json!(moved), json!(moved)]);
    assert_eq!(found.iter().map(|(_, value)| value.is_some()).collect::<Vec<_>>(), [true, true, false, true, false]);
}

#[test]
fn tables_change_their_columns() {
    let Some(server) = PostgresServer::start() else { return };
    server.shop("CREATE TABLE s (id int PRIMARY KEY, a text, b int); INSERT INTO s VALUES (1, 'x', 1)");
    let directory = tempfile::tempdir().expect("a directory");
    let log = open_log(directory.path());
    let text = settings(&server, "public.s", "");
    let running = follow(&log, "schema", &text);
    wait_for_records(&running, log.as_ref(), "shop.public.s", 1);
    server.shop("ALTER TABLE s ADD c text DEFAULT 'c'; UPDATE s SET a = 'x1'");
    wait_for_records(&running, log.as_ref(), "shop.public.s", 2);
    running.stop();
    server.shop(
        "INSERT INTO s VALUES (2, 'y', 2); INSERT INTO s VALUES (3, 'z', 3, 'd'); ALTER TABLE s DROP b; UPDATE s SET a = 'x2' WHERE id = 1; \
         ALTER TABLE s RENAME a TO aa; INSERT INTO s VALUES (4, 'w', 'e'); ALTER TABLE s RENAME id TO nr; INSERT INTO s VALUES (5, 'v'); \
         ALTER TABLE s ALTER c DROP DEFAULT, ALTER c TYPE int USING length(c); UPDATE s SET aa = 'v2' WHERE nr = 5; DELETE FROM s WHERE nr = 2",
    );
    let running = follow(&log, "schema", &text);
    let found = wait_for_records(&running, log.as_ref(), "shop.public.s", 9);
    // While it runs.
    server.shop("ALTER TABLE s RENAME nr TO id; INSERT INTO s VALUES (6, 'u', 6); ALTER TABLE s DROP c; UPDATE s SET aa = 't' WHERE id = 6");
    let found_later = wait_for_records(&running, log.as_ref(), "shop.public.s", 11);
    assert_eq!(found_later[..9], found);
    let expected = [
        (1, json!({"id": 1, "a": "x", "b": 1})),
        (1, json!({"id": 1, "a": "x1", "b": 1, "c": "c"})),
        (2, json!({"id": 2, "a": "y", "b": 2, "c": "c"})),
        (3, json!({"id": 3, "a": "z", "b": 3, "c": "d"})),
        (1, json!({"id": 1, "a": "x2", "c": "c"})),
        (4, json!({"id": 4, "aa": "w", "c": "e"})),
        (5, json!({"nr": 5, "aa": "v", "c": "c"})),
        (5, json!({"nr": 5, "aa": "v2", "c": 1})),
        (2, Value::Null),
        (6, json!({"id": 6, "aa": "u", "c": 6})),
        (6, json!({"id": 6, "aa": "t"})),
    ];
    let found: Vec<(Value, Value)> =
        found_later.into_iter().map(|(key, value)| (key.expect("a key"), value.unwrap_or(Value::Null))).collect();
    assert_eq!(found, expected.map(|(key, value)| (json!(key), value)));
    // Under another name it is not the table that is followed: that is said, and nothing is passed over.
    server.shop("ALTER TABLE s RENAME TO s2; INSERT INTO s2 VALUES (7, 'r')");
    let error = failure(&running);
    assert!(error.contains("table public.s was renamed to public.s2"), "{error}");
    drop(running);
    server.shop("ALTER TABLE s2 RENAME TO s; DROP TABLE s; CREATE TABLE s (id int PRIMARY KEY); ALTER PUBLICATION millstream_schema ADD TABLE s");
    let error = failure(&follow(&log, "schema", &text));
    assert!(error.contains("table public.s is not the one") && error.contains("another name"), "{error}");
    assert_eq!(records(log.as_ref(), "shop.public.s").len(), 11);
}

#[test]
fn a_key_of_several_columns_that_gets_another_name_is_an_error() {
    let Some(server) = PostgresServer::start() else { return };
    server.shop("CREATE TABLE p (a int, b int, c int, PRIMARY KEY (a, b)); INSERT INTO p VALUES (1, 1, 1)");
    let directory = tempfile::tempdir().expect("a directory");
    let log = open_log(directory.path());
    let running = follow(&log, "pair", &settings(&server, "public.p", ""));
    wait_for_records(&running, log.as_ref(), "shop.public.p", 1);
    server.shop("ALTER TABLE p RENAME a TO aa; UPDATE p SET c = 2");
    let error = failure(&running);
    assert!(error.contains("table public.p, column `a` of its key"), "{error}");
}

#[test]
fn truncate_is_an_event() {
    let Some(server) = PostgresServer::start() else { return };
    server.shop(
        "CREATE TABLE e (id int PRIMARY KEY, a text); CREATE TABLE part (id int PRIMARY KEY, e int REFERENCES e); CREATE TABLE other (id int PRIMARY KEY); \
         INSERT INTO e VALUES (1, 'x'); INSERT INTO part VALUES (1, 1)",
    );
    let directory = tempfile::tempdir().expect("a directory");
    let log = open_log(directory.path());
    for (name, more) in [("fail", ""), ("skip", "truncate.handling=skip")] {
        // What is done with rows does not matter to events.
        let more = format!("envelope=true topic.prefix={name} {more}");
        let text = settings(&server, "public.e,public.part", &more).replacen("topic.prefix=shop ", "", 1);
        let running = follow(&log, name, &text);
        wait_for_records(&running, log.as_ref(), &format!("{name}.public.part"), 1);
        server.shop("BEGIN; INSERT INTO e VALUES (2, 'y'); TRUNCATE e, other CASCADE; INSERT INTO e VALUES (1, 'x'); INSERT INTO part VALUES (1, 1); COMMIT");
        let told = |table: &str, count| {
            let found = wait_for_records(&running, log.as_ref(), &format!("{name}.public.{table}"), count);
            let told = |(key, event): (Option<Value>, Option<Value>)| {
                let event = event.expect("events have values");
                (key.unwrap_or(Value::Null), event["op"].clone(), event["source"]["table"].clone())
            };
            found.into_iter().map(told).collect::<Vec<_>>()
        };
        let event = |key: Value, op: &str, table: &str| (key, json!(op), json!(table));
        let (one, two) = (json!(1), json!(2));
        let expected = [
            event(one.clone(), "r", "e"),
            event(two, "c", "e"),
            event(Value::Null, "t", "e"),
            event(one.clone(), "c", "e"),
        ];
        assert_eq!(told("e", 4), expected, "{name}");
        let expected = [event(one.clone(), "r", "part"), event(Value::Null, "t", "part"), event(one, "c", "part")];
        assert_eq!(told("part", 3), expected, "{name}: by way of the reference");
    }
}
