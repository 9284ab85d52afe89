//! Postgres over encrypted connections, with a password: what succeeds, and what each failure says. The server takes nothing else.

use std::{fs, path::Path};

use arrow::datatypes::DataType;
use millstream::log::SharedLog;
use millstream_connectors::{
    Direction,
    rows::{RowKind, TopicRows},
};
use millstream_tests::{
    certificates::Certificate,
    postgres_server::{End, PostgresServer, WALLED},
};

use super::{
    log::{append, make_topic, open_log, record},
    postgres_source::{follow, json, wait_for_records},
    running::{self, columns, config, rows_of, wait_until_drained},
};

/// Files of a test: the server's certificate is for `localhost`, not for the address.
struct Files {
    directory: tempfile::TempDir,
    server: Certificate,
    authority: Certificate,
    foreign: Certificate,
}

impl Files {
    fn make() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        let authority = Certificate::authority(path, "authority", None);
        let foreign = Certificate::authority(path, "foreign", None);
        let server = authority.sign(path, "server", "DNS:localhost");
        fs::write(path.join("password"), WALLED.1).expect("written");
        fs::write(path.join("wrong"), "lion").expect("written");
        Self { directory, server, authority, foreign }
    }

    /// The way to the server, as the role with a password.
    fn at(&self, server: &PostgresServer, host: &str, password: &str, more: &str) -> String {
        format!(
            "connector.class=postgres connection.url=postgresql://{host}:{}/shop connection.user={} connection.password=${{file:{}}} max.retries=1 {more}",
            server.port(),
            WALLED.0,
            self.directory.path().join(password).display()
        )
    }
}

fn root(file: &Path) -> String {
    format!("sslrootcert={}", file.display())
}

/// A log with topic `t` of one row, and what the role needs for source and sink.
fn prepare(server: &PostgresServer, directory: &Path) -> SharedLog {
    server.psql("ALTER ROLE walled REPLICATION");
    server.shop(
        "GRANT EXECUTE ON FUNCTION pg_control_system() TO walled; GRANT CREATE ON SCHEMA public TO walled; \
         CREATE TABLE origin (id int PRIMARY KEY, a text); ALTER TABLE origin OWNER TO walled; INSERT INTO origin VALUES (1, 'ada')",
    );
    let log = open_log(directory);
    make_topic(log.as_ref(), "t", 1);
    append(log.as_ref(), "t", &[record(1, Some(r#"{"A":"ada"}"#))]);
    log
}

fn rows() -> TopicRows {
    rows_of(&[("t", columns(RowKind::Table, &[("A", DataType::Utf8)]))])
}

const ENCRYPTED: &str =
    "SELECT count(*), bool_and(s.ssl) FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid) WHERE usename = 'walled'";

/// Both ways, each with what is there and what comes later, in connections of the kind that `sslmode` names.
fn goes_both_ways(server: &PostgresServer, log: &SharedLog, name: &str, way: &str) {
    let text = format!("{way} topics=t table.name.format={name}_t auto.create=true");
    let sink = running::drain(log, name, config(Direction::Sink, &text, rows()));
    assert_eq!(server.shop(ENCRYPTED), "1|t\n", "{name}");
    append(log.as_ref(), "t", &[record(2, Some(r#"{"A":"bob"}"#))]);
    wait_until_drained(&sink);
    sink.stop();
    assert!(server.shop(&format!("SELECT * FROM {name}_t ORDER BY id")).starts_with("1|ada\n2|bob\n"), "{name}");
    let source =
        follow(log, &format!("{name}-source"), &format!("{way} topic.prefix={name} table.include.list=public.origin"));
    let count = wait_for_records(&source, log.as_ref(), &format!("{name}.public.origin"), 1).len();
    assert_eq!(server.shop(ENCRYPTED), "1|t\n", "{name}");
    let before = server.shop("SELECT max(confirmed_flush_lsn) FROM pg_replication_slots");
    server.shop(&format!("INSERT INTO origin SELECT max(id) + 1, '{name}' FROM origin"));
    let found = wait_for_records(&source, log.as_ref(), &format!("{name}.public.origin"), count + 1);
    assert_eq!(
        found.last().and_then(|(_, value)| value.as_ref()).map(|value| &value["a"]),
        json(&format!("\"{name}\"")).as_ref()
    );
    source.stop();
    let after = server.shop("SELECT max(confirmed_flush_lsn) FROM pg_replication_slots");
    assert_ne!(before, after, "{name}: the slot is confirmed");
}

#[test]
fn encrypted_connections_of_every_mode() {
    let files = Files::make();
    let Some(server) = PostgresServer::start_encrypted(&files.server) else { return };
    let log = prepare(&server, &files.directory.path().join("log"));
    let authority = root(&files.authority.certificate);
    goes_both_ways(&server, &log, "any", &files.at(&server, "127.0.0.1", "password", "sslmode=require"));
    let way = format!("sslmode=verify-ca {authority}");
    goes_both_ways(&server, &log, "ca", &files.at(&server, "127.0.0.1", "password", &way));
    let way = format!("sslmode=verify-full {authority}");
    goes_both_ways(&server, &log, "full", &files.at(&server, "localhost", "password", &way));
    // A certificate that its owner has signed is one's own authority, as with psql; its name counts all the same.
    let own = Certificate::authority(files.directory.path(), "own", Some("DNS:localhost"));
    server.stop(End::Fast);
    server.encrypt(&own);
    server.start_again();
    let way = format!("sslmode=verify-full {}", root(&own.certificate));
    goes_both_ways(&server, &log, "own", &files.at(&server, "localhost", "password", &way));
    let text = format!("{} topics=t auto.create=true", files.at(&server, "127.0.0.1", "password", &way));
    let error = running::failure(&log, "own-name", config(Direction::Sink, &text, rows()));
    assert!(error.contains("not for 127.0.0.1"), "{error}");
}

#[test]
fn what_is_wrong_with_a_connection_is_said() {
    let files = Files::make();
    let Some(server) = PostgresServer::start_encrypted(&files.server) else { return };
    let log = prepare(&server, &files.directory.path().join("log"));
    let (authority, foreign) = (root(&files.authority.certificate), root(&files.foreign.certificate));
    let check = |name: &str, way: &str, parts: &[&str]| {
        let place = format!("postgres {}:{}/shop", way.split(['/', ':']).nth(3).expect("a host"), server.port());
        let sink = config(Direction::Sink, &format!("{way} topics=t auto.create=true"), rows());
        let of_sink = running::failure(&log, &format!("{name}-sink"), sink);
        let text = format!("{way} topic.prefix=p table.include.list=public.origin");
        let of_source = super::postgres_source::failure(&follow(&log, &format!("{name}-source"), &text));
        for error in [of_sink, of_source] {
            eprintln!("{name}: {error}");
            assert!(error.contains(&place) && parts.iter().all(|part| error.contains(part)), "{name}: {error}");
            assert!(!error.contains("lion") && !error.contains("tiger"), "{error}");
        }
    };
    let at = |host: &str, password: &str, way: &str| files.at(&server, host, password, way);
    check(
        "other-name",
        &at("127.0.0.1", "password", &format!("sslmode=verify-full {authority}")),
        &["not for 127.0.0.1", "localhost", "'sslmode' = 'verify-ca'"],
    );
    for mode in ["verify-full", "verify-ca", "require"] {
        check(
            &format!("foreign-{mode}"),
            &at("localhost", "password", &format!("sslmode={mode} {foreign}")),
            &["UnknownIssuer", "'sslrootcert'", "foreign.pem", "has signed it"],
        );
    }
    check(
        "public",
        &at("localhost", "password", "sslmode=verify-full"),
        &["UnknownIssuer", "no public authority", "'sslrootcert'"],
    );
    check("plain", &at("127.0.0.1", "password", "sslmode=disable"), &["no encryption", "'sslmode' = 'require'"]);
    check(
        "password",
        &at("localhost", "wrong", &format!("sslmode=verify-full {authority}")),
        &["password authentication failed", "\"walled\"", "'connection.password'"],
    );
    let missing = files.directory.path().join("none.pem");
    check(
        "no-file",
        &at("localhost", "password", &format!("sslmode=verify-ca {}", root(&missing))),
        &["'sslrootcert'", "none.pem"],
    );
    let key = &files.authority.key;
    check(
        "no-certificate",
        &at("localhost", "password", &format!("sslmode=verify-ca {}", root(key))),
        &["'sslrootcert'", "no PEM of a certificate"],
    );
}
