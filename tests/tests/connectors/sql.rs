//! An engine in this process, and waiting for what its connectors do.

use std::{collections::BTreeMap, time::Duration};

use millstream::log::embedded::Durability;
use millstream_sql::{
    engine::{Engine, EngineConfig, Session},
    response::{Response, Rows},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// An engine with a session.
pub(crate) struct Sql {
    pub(crate) engine: Engine,
    pub(crate) session: Session,
}

impl Sql {
    pub(crate) fn open(directory: &std::path::Path) -> Self {
        let mut config = EngineConfig::new(directory);
        config.durability = Durability::Os;
        config.commit_interval = Duration::from_millis(10);
        let engine = Engine::open(config).expect("opens");
        Self { session: engine.session(), engine }
    }

    pub(crate) fn run(&mut self, script: &str) {
        let ran = self.session.run_script(script, &mut |_, _| {});
        ran.unwrap_or_else(|error| panic!("{error}"));
    }

    pub(crate) fn error(&mut self, statement: &str) -> String {
        self.session.execute(statement).expect_err("it is refused").to_string()
    }

    /// The row of a connector in SHOW CONNECTORS, by column.
    pub(crate) fn connector(&mut self, name: &str) -> BTreeMap<String, String> {
        let Ok(Response::Rows(Rows { schema, batches })) = self.session.execute("SHOW CONNECTORS;") else {
            panic!("it shows rows")
        };
        let text = |batch: &arrow::array::RecordBatch, column: usize, row: usize| {
            arrow::util::display::array_value_to_string(batch.column(column), row).expect("text")
        };
        let rows = batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| (batch, row)));
        let mut rows = rows.filter(|(batch, row)| text(batch, 0, *row) == name);
        let (batch, row) = rows.next().expect("it is listed");
        (0..batch.num_columns()).map(|at| (schema.field(at).name().clone(), text(batch, at, row))).collect()
    }
}

/// Waits until what is found is what is expected.
#[expect(clippy::disallowed_methods, reason = "a test that hangs is to fail")]
pub(crate) fn wait_for(what: &str, mut found: impl FnMut() -> String, expected: impl Fn() -> String) {
    let until = std::time::Instant::now() + PATIENCE;
    loop {
        let (now, wanted) = (found(), expected());
        if now == wanted {
            return;
        }
        assert!(std::time::Instant::now() < until, "{what}:\n{now}\nexpected:\n{wanted}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
