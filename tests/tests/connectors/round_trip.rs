//! The whole way in SQL: flights out of Postgres by change data capture, joined and aggregated, back into Postgres and into S3 as Parquet;
//! what `psql` and pyarrow read there is what `psql` itself computes. Connectors are paused, restarted and checked by statements on the way.

use std::collections::BTreeMap;

use millstream_sql::engine::check_connectors;
use millstream_tests::{moto_server::MotoServer, postgres_server::PostgresServer};
use serde_json::Value;

use super::{
    orders::read,
    sql::{Sql, wait_for},
};

const TABLES: &str = "CREATE TABLE airports (code TEXT PRIMARY KEY, city TEXT NOT NULL);
    CREATE TABLE flights (id BIGINT PRIMARY KEY, origin TEXT NOT NULL, delay INT);
    INSERT INTO airports VALUES ('JFK', 'New York'), ('LGA', 'New York'), ('EWR', 'Newark'), ('HPN', 'White Plains');
    INSERT INTO flights SELECT n, (ARRAY['JFK', 'LGA', 'EWR', 'HPN'])[1 + n % 4], CASE WHEN n % 11 = 0 THEN NULL ELSE (n * 7919) % 240 - 20 END
        FROM generate_series(1, 2000) AS n;";

/// What happens while the pipeline runs.
const CHANGES: &str = "UPDATE flights SET delay = delay + 5 WHERE id % 3 = 0;
    DELETE FROM flights WHERE id % 10 = 7;
    INSERT INTO flights SELECT n, 'EWR', n % 50 FROM generate_series(2001, 2200) AS n;
    UPDATE flights SET origin = 'LGA' WHERE id BETWEEN 2001 AND 2050;
    UPDATE airports SET city = 'Westchester' WHERE code = 'HPN';
    DELETE FROM flights WHERE origin = 'JFK' AND id > 1900;";

/// The answer, by somebody else.
const EXPECTED: &str = "SELECT a.city, count(*), coalesce(sum(f.delay), 0) FROM flights f JOIN airports a ON f.origin = a.code GROUP BY a.city ORDER BY 1";

fn script(postgres: &PostgresServer, moto: &MotoServer, secrets: &std::path::Path) -> String {
    let url = postgres.url(None);
    let (s3, secret) = (moto.url(), secrets.display());
    format!(
        "CREATE SOURCE CONNECTOR shop WITH ('connector.class' = 'postgres', 'connection.url' = '{url}', 'connection.user' = 'postgres',
            'topic.prefix' = 'shop', 'table.include.list' = 'public.flights,public.airports');
        CREATE TABLE flights (id BIGINT PRIMARY KEY, origin STRING, delay INT)
            WITH (KAFKA_TOPIC = 'shop.public.flights', FORMAT = 'JSON', PARTITIONS = 1);
        CREATE TABLE airports (code STRING PRIMARY KEY, city STRING)
            WITH (KAFKA_TOPIC = 'shop.public.airports', FORMAT = 'JSON', PARTITIONS = 1);
        CREATE TABLE located AS SELECT f.id AS id, a.city AS city, f.delay AS delay FROM flights f JOIN airports a ON f.origin = a.code;
        CREATE TABLE by_city AS SELECT city, COUNT(*) AS flights, SUM(delay) AS delay FROM located GROUP BY city HAVING COUNT(*) > 0;
        CREATE SINK CONNECTOR back FROM by_city WITH ('connector.class' = 'postgres', 'connection.url' = '{url}', 'connection.user' = 'postgres',
            'table.name.format' = 'by_city', 'auto.create' = 'true');
        CREATE SINK CONNECTOR much WITH ('connector.class' = 'postgres', 'connection.url' = '{url}', 'connection.user' = 'postgres',
            'table.name.format' = 'much_delay', 'auto.create' = 'true')
            AS SELECT city, delay / flights AS mean FROM by_city WHERE flights > 500;
        CREATE SINK CONNECTOR lake FROM by_city WITH ('connector.class' = 's3', 's3.bucket.name' = 'lake', 'store.url' = '{s3}',
            'aws.access.key.id' = '${{file:{secret}}}', 'aws.secret.access.key' = '${{file:{secret}}}',
            'format' = 'parquet', 'rotate.schedule.interval.ms' = '200');"
    )
}

/// The newest row of each city in the files, as psql shows it.
fn lake(moto: &MotoServer) -> String {
    let mut newest: BTreeMap<String, (u64, Value)> = BTreeMap::new();
    for row in read(&moto.url(), "lake", "LAKE").rows {
        let (city, offset) =
            (row["CITY"].as_str().expect("text").to_owned(), row["_offset"].as_u64().expect("a number"));
        if newest.get(&city).is_none_or(|(known, _)| *known < offset) {
            newest.insert(city, (offset, row));
        }
    }
    let there = newest.into_values().map(|(_, row)| row).filter(|row| row["_op"] == "upsert");
    there.map(|row| format!("{}|{}|{}\n", row["CITY"].as_str().expect("text"), row["FLIGHTS"], row["DELAY"])).collect()
}

#[test]
fn flights_come_back_as_psql_itself_counts_them() {
    let (Some(postgres), Some(moto)) = (PostgresServer::start(), MotoServer::shared()) else { return };
    postgres.shop(TABLES);
    moto.create_bucket("lake");
    let directory = tempfile::tempdir().expect("made");
    let secrets = directory.path().join("secret");
    std::fs::write(&secrets, "key\n").expect("written");
    let script = script(&postgres, moto, &secrets);
    let problems: Vec<String> =
        check_connectors(&script).expect("a script").into_iter().filter_map(|checked| checked.problem).collect();
    assert_eq!(problems, [""; 0]);

    let data = directory.path().join("data");
    let mut sql = Sql::open(&data);
    sql.run(&script);
    let expected = || postgres.shop(EXPECTED);
    let in_postgres = || postgres.shop("SELECT city, flights, delay FROM by_city ORDER BY 1");
    wait_for(
        "after the snapshot",
        || postgres.try_psql("shop", "SELECT city, flights, delay FROM by_city ORDER BY 1").unwrap_or_default(),
        expected,
    );

    postgres.shop(CHANGES);
    wait_for("after the changes", in_postgres, expected);
    let means = "SELECT city, sum(delay) / count(*) FROM flights JOIN airports ON origin = code GROUP BY city HAVING count(*) > 500 ORDER BY 1";
    wait_for(
        "what a query makes of rows",
        || postgres.shop("SELECT city, mean FROM much_delay ORDER BY 1"),
        || postgres.shop(means),
    );
    wait_for("in files", || lake(moto), expected);

    sql.run("PAUSE CONNECTOR back;");
    wait_for("a paused connector", || sql.connector("BACK")["Status"].clone(), || "PAUSED".to_owned());
    let before = in_postgres();
    postgres.shop("DELETE FROM flights WHERE id <= 100");
    wait_for("others go on", || lake(moto), expected);
    assert_eq!(in_postgres(), before);
    assert_ne!(sql.connector("BACK")["Lag"], "0");

    // It stays paused in a directory that is opened again, and so does everything else that was committed.
    drop(sql.session);
    sql.engine.shutdown().expect("stops");
    let mut sql = Sql::open(&data);
    sql.run(&script);
    wait_for("it stays paused", || sql.connector("BACK")["Status"].clone(), || "PAUSED".to_owned());
    sql.run("RESUME CONNECTOR back; RESTART CONNECTOR lake;");
    wait_for("after it goes on", in_postgres, expected);
    postgres.shop("INSERT INTO flights VALUES (9999, 'JFK', 1)");
    wait_for("after a restart", in_postgres, expected);
    wait_for("files after a restart", || lake(moto), expected);

    let error = sql.error("CREATE SINK CONNECTOR x WITH ('connector.class' = 'postgres', 'connection.url' = 'postgresql://127.0.0.1/shop', \
        'connection.user' = 'postgres') AS SELECT flights FROM by_city;");
    assert!(error.contains("select all of CITY"), "{error}");
    let error = sql.error("CREATE SINK CONNECTOR x FROM by_city WITH ('connector.class' = 'postgres', 'connection.url' = 'postgresql://127.0.0.1/shop', \
        'connection.user' = 'postgres', 'connection.password' = 'tiger');");
    assert!(error.contains("connection.password") && error.contains("${env:") && !error.contains("tiger"), "{error}");
    drop(sql.session);
    sql.engine.shutdown().expect("stops");
}
