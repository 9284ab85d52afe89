//! What users, files and disks do wrong: one clear error each, with its place, and nothing that was committed is lost.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use millstream_sql::engine::{Engine, EngineConfig};

use super::binary::{command, run, succeed, text};

/// A data directory in a temporary folder.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a directory") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn data(&self) -> PathBuf {
        self.path("data")
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("a file is written");
        path
    }
}

const ORDERS: &str = "
    CREATE STREAM ORDERS (ID VARCHAR KEY, CITY VARCHAR, AMOUNT DOUBLE) WITH (KAFKA_TOPIC = 'orders', PARTITIONS = 1, VALUE_FORMAT = 'JSON');
    CREATE TABLE TOTALS AS SELECT CITY, SUM(AMOUNT) AS TOTAL FROM ORDERS GROUP BY CITY EMIT CHANGES;
";

/// Statements with a mistake, where it is, and a word that the error must have.
const MISTAKES: &[(&str, &str, &str)] = &[
    ("SELEC CITY FROM ORDERS EMIT CHANGES;", "1:1", "did you mean SELECT"),
    ("SELECT CITY FORM ORDERS EMIT CHANGES;", "1:18", "ORDERS"),
    ("CREATE STRAEM X AS SELECT * FROM ORDERS;", "1:8", "STRAEM"),
    ("SELECT CITY FROM ORDERS\n WHERE AMOUNT > 'x EMIT CHANGES;", "2:17", ""),
    ("SELECT CITTY FROM ORDERS EMIT CHANGES;", "1:8", "did you mean CITY"),
    ("CREATE STREAM X AS\n  SELECT ID, CITY, AMOUNTS FROM ORDERS EMIT CHANGES;", "2:20", "did you mean AMOUNT"),
    ("SELECT TOTALL FROM TOTALS;", "1:8", "TOTAL"),
    ("SELECT * FROM ORDER_S EMIT CHANGES;", "1:15", "ORDER_S"),
    ("SELECT * FROM NOWHERE;", "1:15", "NOWHERE"),
    (
        "CREATE STREAM X (A INT) WITH (KAFKA_TOPIC = 'x', VALUE_FORMATT = 'JSON', PARTITIONS = 1);",
        "1:50",
        "did you mean VALUE_FORMAT",
    ),
    ("CREATE STREAM X (A INT) WITH (KAFKA_TOPIC = 'x', VALUE_FORMAT = 'JASON', PARTITIONS = 1);", "1:65", "JASON"),
    ("CREATE STREAM X (A INTT) WITH (KAFKA_TOPIC = 'x', VALUE_FORMAT = 'JSON', PARTITIONS = 1);", "1:20", "INTT"),
    (
        "CREATE STREAM X (A INT) WITH (KAFKA_TOPIC = 'orders', VALUE_FORMAT = 'JSON', PARTITIONS = 3);",
        "1:15",
        "1 partition",
    ),
    ("CREATE STREAM ORDERS (A INT) WITH (KAFKA_TOPIC = 'x', VALUE_FORMAT = 'JSON', PARTITIONS = 1);", "1:15", "ORDERS"),
    ("CREATE STREAM X AS SELECT ID, CITY + AMOUNT AS Y FROM ORDERS EMIT CHANGES;", "1:31", ""),
    ("INSERT INTO ORDERS (ID, CITTY) VALUES ('a', 'b');", "1:25", "CITTY"),
    ("DROP STREAM NOWHERE;", "1:13", "NOWHERE"),
    ("TERMINATE NOTHING_1;", "1:11", "NOTHING_1"),
    ("SET 'auto.ofset.reset' = 'earliest';", "1:5", "did you mean"),
    (
        "CREATE SINK CONNECTOR C WITH ('connector.class' = 'file', 'path' = '/tmp/x', 'topics' = 'orders', 'envelop' = 'true');",
        "1:99",
        "envelope",
    ),
    ("CREATE SOURCE CONNECTOR C WITH ('connector.class' = 'fiel', 'path' = 'x', 'topic' = 'x');", "1:53", "fiel"),
];

#[test]
fn mistakes_in_statements_are_told_with_their_place() {
    let place = Place::new();
    let engine = Engine::open(EngineConfig::new(place.data())).expect("the engine opens");
    let mut session = engine.session();
    session.run_script(ORDERS, &mut |_, _| {}).expect("no mistake here");
    let mut wrong = Vec::new();
    for (statement, at, word) in MISTAKES {
        match session.execute(statement) {
            Ok(response) => wrong.push(format!("{statement}\n   was taken: {response:?}")),
            Err(error) => {
                let (told, position) = (error.to_string(), error.position());
                let position = position.map(|(line, column)| format!("{line}:{column}"));
                let is_one_line = told.lines().count() == 1;
                if position.as_deref() != Some(*at)
                    || !told.starts_with(&format!("{at}: "))
                    || !told.contains(word)
                    || !is_one_line
                {
                    wrong.push(format!("{statement}\n   expected {at} and {word:?}, got {told}"));
                }
            }
        }
    }
    drop(session);
    engine.shutdown().expect("it stops in order, mistakes or not");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether a failed command says `error: ...` exactly once, with all the words, and panics nowhere.
fn assert_refused(arguments: &[&str], code: i32, words: &[&str]) {
    let said = run(arguments);
    assert_eq!(said.code, Some(code), "{arguments:?}\n{}{}", said.stdout, said.stderr);
    assert_eq!(said.stderr.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{}", said.stderr);
    assert!(!said.stderr.contains("panicked"), "{}", said.stderr);
    for word in words {
        assert!(said.stderr.contains(word), "{word} is not in: {}", said.stderr);
    }
}

#[test]
fn commands_fail_with_one_error() {
    let place = Place::new();
    let data = place.data();
    let data = text(&data);
    let script = place.write("typo.sql", &format!("{ORDERS}\nSELECT CITTY\nFROM ORDERS EMIT CHANGES;\n"));
    assert_refused(
        &["run", text(&script), "--data", data, "--until-idle"],
        1,
        &["typo.sql", "5:8", "CITTY", "SELECT CITTY"],
    );
    let script = place.write("broken.sql", "SHOW STREAMS;\nSHOW STREEMS;");
    let said = run(&["run", text(&script), "--data", data]);
    assert!(said.stderr.contains("2:6") && said.stdout.is_empty(), "nothing runs of a script with a mistake: {said:?}");
    assert_refused(&["run", text(&place.path("absent.sql")), "--data", data], 1, &["absent.sql", "No such file"]);
    assert_refused(&["topic", "consume", "absent", "--data", data, "--from-beginning"], 1, &["no topic absent"]);
    assert_refused(&["topic", "describe", "absent", "--data", data], 1, &["no topic absent"]);
    assert_refused(
        &["topic", "consume", "a/b", "--data", data, "--from-beginning"],
        1,
        &["a/b", "not a legal topic name"],
    );
    assert_refused(&["sql", "--data", data, "--output", "xml", "-e", "SHOW STREAMS;"], 2, &["xml", "json"]);
    let script = place.write(
        "absent_file.sql",
        "CREATE STREAM X (A INT) WITH (KAFKA_TOPIC = 'x', PARTITIONS = 1, VALUE_FORMAT = 'JSON');
         CREATE SOURCE CONNECTOR ABSENT WITH ('connector.class' = 'file', 'path' = '/absent/rows.json', 'topic' = 'x', 'format' = 'json');",
    );
    let arguments = ["run", text(&script), "--data", data, "--until-idle"];
    assert_refused(&arguments, 1, &["connector ABSENT", "/absent/rows.json", "No such file"]);
}

const BAD_ROWS: &str = r#"{"ID":"a","N":1,"T":5}
{"ID":"a","N":2,"T":6
{"ID":"b","N":"many","T":7}
not json
[1,2]

{"ID":"b","N":3,"T":8}
{"ID":"b","N":3,"T":"yesterday"}
{"ID":"c","N":99999999999,"T":9}
{"ID":"d","N":4}
{"N":5,"T":10}
{"ID":"a","N":7,"T":11}
"#;

/// Three rows are no JSON objects; of those that are, one each has a wrong type, a wrong timestamp, a number out of range, no timestamp,
/// no key. What is left is counted.
#[test]
fn bad_records_are_counted_and_kept_and_stop_nothing() {
    let place = Place::new();
    let input = place.write("bad.ndjson", BAD_ROWS);
    let script = format!(
        "CREATE STREAM S (ID VARCHAR KEY, N INT, T BIGINT) WITH (KAFKA_TOPIC = 's', PARTITIONS = 1, VALUE_FORMAT = 'JSON', TIMESTAMP = 'T');
         CREATE TABLE C AS SELECT ID, SUM(N) AS TOTAL FROM S GROUP BY ID EMIT CHANGES;
         CREATE SOURCE CONNECTOR F WITH ('connector.class' = 'file', 'path' = '{}', 'format' = 'json', 'topic' = 's', 'key.field' = 'ID');",
        text(&input)
    );
    let script = place.write("bad.sql", &script);
    let data = place.data();
    let data = text(&data);
    let said = run(&["run", text(&script), "--data", data, "--until-idle"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stderr.contains("connector F: 8 rows, 3 rejected"), "{}", said.stderr);
    assert!(said.stderr.contains("0 late, 5 errors"), "{}", said.stderr);
    assert!(said.stderr.contains("topic=s partition=0 offset=1 undecodable: value: field N"), "{}", said.stderr);

    let rows = succeed(&["sql", "--data", data, "--output", "json", "-e", "SELECT ID, TOTAL FROM C ORDER BY ID;"]);
    assert_eq!(rows, "{\"ID\":\"a\",\"TOTAL\":8}\n{\"ID\":\"b\",\"TOTAL\":3}\n");

    let letters = |topic: &str| {
        let lines = succeed(&["topic", "consume", topic, "--data", data, "--from-beginning"]);
        let letter = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("a letter is JSON");
        lines.lines().map(letter).collect::<Vec<_>>()
    };
    let header = |letter: &serde_json::Value, name: &str| {
        let headers = letter["headers"].as_array().expect("headers");
        let header =
            headers.iter().find(|header| header["name"] == name).unwrap_or_else(|| panic!("{name} in {letter}"));
        header["value"].as_str().expect("text").to_owned()
    };
    let rejected = letters("s-dead-letter");
    let lines: Vec<String> = rejected.iter().map(|letter| header(letter, "line")).collect();
    assert_eq!(lines, ["2", "4", "5"], "rows of the file, by line");
    assert_eq!(rejected[1]["value"], "not json", "a row is kept as it is");
    let failed = letters("_millstream-ctas_c_0-dead-letter");
    let places: Vec<(String, String)> = failed
        .iter()
        .map(|letter| (header(letter, "millstream.offset"), header(letter, "millstream.reason")))
        .collect();
    let place = |offset: &str, reason: &str| (offset.to_owned(), reason.to_owned());
    let expected =
        [("1", "undecodable"), ("3", "undecodable"), ("4", "undecodable"), ("5", "timestamp"), ("6", "null key")]
            .map(|(o, r)| place(o, r));
    assert_eq!(places, expected);
}

/// A child that is ended with the test, whatever becomes of it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_second_process_is_told_who_has_the_directory() {
    let place = Place::new();
    let data = place.data();
    let script = place.write("orders.sql", &format!("{ORDERS}\nSHOW STREAMS;"));
    let mut first = command(&["run", text(&script), "--data", text(&data)]);
    let mut first = Running(first.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the binary starts"));
    // What SHOW answers comes when the directory is open: no need to guess how long that takes.
    let answers = first.0.stdout.take().expect("it is piped");
    let shown = std::io::BufRead::lines(std::io::BufReader::new(answers))
        .map_while(Result::ok)
        .any(|line| line.contains("KAFKA"));
    assert!(shown, "the first process runs");
    let owner = first.0.id().to_string();
    assert_refused(&["sql", "--data", text(&data), "-e", "SHOW STREAMS;"], 1, &[text(&data), "in use", &owner]);
    assert_refused(&["topic", "list", "--data", text(&data)], 1, &[text(&data), "in use", &owner]);
    drop(first);
    succeed(&["sql", "--data", text(&data), "-e", "SELECT * FROM TOTALS;"]);
}

#[test]
fn a_data_directory_that_cannot_be_one_is_refused() {
    let place = Place::new();
    let file = place.write("file", "no directory");
    assert_refused(&["sql", "--data", text(&file), "-e", "SHOW STREAMS;"], 1, &[text(&file)]);
    assert_eq!(fs::read_to_string(&file).expect("it is there"), "no directory", "what is there is left alone");
    let below = file.join("deeper");
    assert_refused(&["sql", "--data", text(&below), "-e", "SHOW STREAMS;"], 1, &[text(&below), "Not a directory"]);
    let strange = Place::new();
    fs::create_dir_all(strange.path("data/log")).expect("a directory");
    strange.write("data/log/FORMAT", "something else\n");
    assert_refused(&["sql", "--data", text(&strange.data()), "-e", "SHOW STREAMS;"], 1, &["FORMAT"]);
}

/// A file system in memory, gone when dropped.
struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// Mounts one; nothing, with the reason printed, where that is not allowed.
    fn mount(at: PathBuf, options: &str) -> Option<Self> {
        fs::create_dir_all(&at).expect("a directory");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs", text(&at)]).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { at }),
            Ok(output) => {
                eprintln!("SKIPPED: cannot mount a small disk: {}", String::from_utf8_lossy(&output.stderr).trim());
                None
            }
            Err(error) => {
                eprintln!("SKIPPED: there is no mount: {error}");
                None
            }
        }
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        let status = Command::new("mount").args(["-o", &options, text(&self.at)]).status().expect("mount starts");
        assert!(status.success(), "{options}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a child that still has a file open does not keep the mount.
        let _ = Command::new("umount").args(["-l", text(&self.at)]).status();
    }
}

/// 300,000 rows over 5,000 keys, and the pipeline that counts them.
fn counting_pipeline(place: &Place) -> PathBuf {
    let rows: String = (0..300_000_u32).map(|n| format!("{{\"id\":\"c{}\",\"seq\":{n}}}\n", n % 5000)).collect();
    let input = place.write("rows.ndjson", &rows);
    place.write(
        "rows.sql",
        &format!(
            "CREATE STREAM ROWS_IN (ID VARCHAR KEY, SEQ BIGINT) WITH (KAFKA_TOPIC = 'rows', PARTITIONS = 1, VALUE_FORMAT = 'JSON');
             CREATE TABLE N AS SELECT ID, COUNT(*) AS N FROM ROWS_IN GROUP BY ID EMIT CHANGES;
             CREATE SOURCE CONNECTOR ROWS_FILE WITH ('connector.class' = 'file', 'path' = '{}', 'format' = 'json', 'topic' = 'rows',
               'key.field' = 'id');",
            text(&input)
        ),
    )
}

#[test]
fn a_full_disk_is_told_and_work_goes_on_once_there_is_room() {
    let place = Place::new();
    let script = counting_pipeline(&place);
    let Some(disk) = SmallDisk::mount(place.path("disk"), "size=10m") else { return };
    let data = disk.at.join("data");
    let arguments = ["run", text(&script), "--data", text(&data), "--until-idle"];
    assert_refused(&arguments, 1, &["No space left on device", text(&data)]);
    assert_refused(&arguments, 1, &["No space left on device", text(&data)]);
    disk.remount("size=200m");
    succeed(&arguments);
    assert_counted(&data);
}

fn assert_counted(data: &Path) {
    let query = "SELECT COUNT(*) AS KEYS, SUM(N) AS RECORDS, MIN(N) AS LEAST, MAX(N) AS MOST FROM N;";
    let row = succeed(&["sql", "--data", text(data), "--output", "json", "-e", query]);
    assert_eq!(row, "{\"KEYS\":5000,\"RECORDS\":300000,\"LEAST\":60,\"MOST\":60}\n");
}

#[test]
fn a_directory_that_cannot_be_written_is_refused() {
    let place = Place::new();
    let script = counting_pipeline(&place);
    let Some(disk) = SmallDisk::mount(place.path("disk"), "size=200m") else { return };
    let data = disk.at.join("data");
    let arguments = ["run", text(&script), "--data", text(&data), "--until-idle"];
    disk.remount("ro");
    assert_refused(&arguments, 1, &[text(&data), "Read-only file system"]);
    disk.remount("rw");
    succeed(&arguments);
    disk.remount("ro");
    assert_refused(&arguments, 1, &[text(&data), "Read-only file system"]);
    disk.remount("rw");
    assert_counted(&data);
}
