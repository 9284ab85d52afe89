//! A secret that is not there any more when a data directory is opened again: its connector has failed, and nothing else.

use std::{fs, process::Command};

use millstream_tests::webhook_receiver::WebhookReceiver;

use super::binary::{Said, command, text};

const VARIABLE: &str = "MILLSTREAM_TEST_TOKEN";

fn run(command: &mut Command) -> String {
    let said: Said = command.output().expect("the binary starts").into();
    assert_eq!(said.code, Some(0), "{}\n{}", said.stdout, said.stderr);
    assert!(!said.stdout.contains("tiger") && !said.stderr.contains("tiger"), "{}\n{}", said.stdout, said.stderr);
    said.stdout
}

#[test]
fn a_variable_that_is_unset_fails_its_connector_until_it_is_set_again() {
    let Some(receiver) = WebhookReceiver::start(0) else { return };
    let directory = tempfile::tempdir().expect("made");
    let (script, data) = (directory.path().join("script.sql"), directory.path().join("data"));
    let declared = format!(
        "CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
         CREATE SINK CONNECTOR hook FROM s WITH ('connector.class' = 'webhook', 'http.url' = 'http://127.0.0.1:{}/in',
           'headers' = 'Authorization: Bearer ${{env:{VARIABLE}}}');",
        receiver.port()
    );
    fs::write(&script, declared).expect("written");
    let until_idle = ["run", text(&script), "--data", text(&data), "--until-idle"];
    let sql = |statements: &str| command(&["sql", "--data", text(&data), "--output", "json", "-e", statements]);
    run(command(&until_idle).env(VARIABLE, "tiger"));
    run(sql("INSERT INTO s VALUES ('a', 1);").env(VARIABLE, "tiger"));

    let shown = run(sql("SHOW CONNECTORS; INSERT INTO s VALUES ('b', 2); SELECT k FROM s;").env_remove(VARIABLE));
    for part in ["FAILED", VARIABLE, "RESTART CONNECTOR HOOK", r#"{"K":"a"}"#, r#"{"K":"b"}"#] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    run(command(&until_idle).env(VARIABLE, "tiger"));
    let requests = receiver.requests();
    let bodies: Vec<&str> = requests.iter().map(|request| request["body"].as_str().expect("text")).collect();
    let offsets: Vec<&str> = requests.iter().map(|request| request["key"].as_str().expect("text")).collect();
    assert_eq!(
        (bodies.as_slice(), offsets.as_slice()),
        (&[r#"{"K":"a","V":1}"#, r#"{"K":"b","V":2}"#][..], &["s-0-0", "s-0-1"][..])
    );
    assert!(requests.iter().all(|request| request["headers"]["authorization"] == "Bearer tiger"), "{requests:?}");
}
