//! An engine in a directory of its own, and answers as text.

use std::time::Duration;

use arrow::util::display::array_value_to_string;
use millstream_sql::{
    engine::{Engine, EngineConfig, Session},
    response::{Response, Rows},
};

/// An engine with a session.
pub(crate) struct Sql {
    pub(crate) engine: Engine,
    pub(crate) session: Session,
}

/// Opens an engine that does not wait for the disk.
pub(crate) fn open(directory: &std::path::Path) -> Engine {
    let mut config = EngineConfig::new(directory);
    config.durability = millstream::log::embedded::Durability::Os;
    config.commit_interval = Duration::from_millis(5);
    config.memory_bytes = 32 << 20;
    config.threads = 2;
    Engine::open(config).expect("opens")
}

impl Sql {
    pub(crate) fn open(directory: &std::path::Path) -> Self {
        let engine = open(directory);
        let session = engine.session();
        Self { engine, session }
    }

    /// Runs a script; gives the lines that its statements answered.
    pub(crate) fn run(&mut self, script: &str) -> Vec<String> {
        let mut answers = Vec::new();
        let ran = self.session.run_script(script, &mut |_, response| answers.push(text(&response)));
        ran.unwrap_or_else(|error| panic!("{script}: {error}"));
        answers
    }

    /// Waits until everything is done, then runs one statement; gives its rows, values parted by `|`.
    pub(crate) fn rows(&mut self, statement: &str) -> Vec<String> {
        self.settle();
        match self.session.execute(statement) {
            Ok(Response::Rows(rows)) => lines(&rows),
            Ok(other) => panic!("{statement}: {other:?}"),
            Err(error) => panic!("{statement}: {error}"),
        }
    }

    pub(crate) fn settle(&self) {
        self.engine.wait_until_idle(Some(Duration::from_secs(30)), &mut |_| {}).expect("comes to rest");
    }

    /// What a statement that must fail says; if it does not, that it was taken.
    pub(crate) fn error(&mut self, statement: &str) -> String {
        match self.session.execute(statement) {
            Ok(response) => format!("no error, it was taken: {response:?}"),
            Err(error) => error.to_string(),
        }
    }

    pub(crate) fn close(self) {
        drop(self.session);
        self.engine.shutdown().expect("stops in order");
    }
}

/// Waits until something is so.
pub(crate) fn wait_for(is_so: impl Fn() -> bool) {
    for _ in 0..600 {
        if is_so() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("it does not come to that");
}

fn text(response: &Response) -> String {
    match response {
        Response::Done { message } => message.clone(),
        Response::Rows(rows) => lines(rows).join("\n"),
        Response::Push(_) => "push".to_owned(),
    }
}

pub(crate) fn lines(rows: &Rows) -> Vec<String> {
    rows.batches.iter().flat_map(batch_lines).collect()
}

pub(crate) fn batch_lines(batch: &arrow::array::RecordBatch) -> Vec<String> {
    let value = |row: usize| {
        let column = |column: &arrow::array::ArrayRef| {
            if column.is_null(row) { "null".to_owned() } else { array_value_to_string(column, row).expect("shows") }
        };
        batch.columns().iter().map(column).collect::<Vec<_>>().join("|")
    };
    (0..batch.num_rows()).map(value).collect()
}

/// Runs statements in a fresh directory, then compares the rows of a query.
pub(crate) fn check(script: &str, query: &str, want: &[&str]) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut sql = Sql::open(directory.path());
    sql.run(script);
    assert_eq!(sql.rows(query), want, "{query}");
    sql.close();
}
