//! Windows and joins equal a batch recomputation over the same input, with 1 and 4 partitions and both ways of passing updates on.
//!
//! Nothing is late in `flights` and `bids`: grace is longer than the input. `late` has late records, told apart by hand.

mod bids;
mod flights;
mod late;

use std::{path::Path, time::Duration};

use millstream::{log::embedded::Durability, operator::EmitPolicy};
use millstream_sql::{
    engine::{Engine, EngineConfig, Session},
    response::Response,
};

use super::oracle::sorted_lines;

/// Longer than any of these scripts takes on a slow machine; a hang fails instead of waiting for ever.
const PATIENCE: Duration = Duration::from_secs(240);

/// An engine over a directory, with a session.
struct Sql {
    engine: Engine,
    session: Session,
}

impl Sql {
    /// Opens an engine that leaves the syncing of files to the operating system.
    fn open(directory: &Path, emit: EmitPolicy) -> Self {
        let config = EngineConfig { durability: Durability::Os, emit, threads: 2, ..EngineConfig::new(directory) };
        let engine = Engine::open(config).expect("the engine opens");
        let session = engine.session();
        Self { engine, session }
    }

    /// Runs a script and waits until everything in it has caught up.
    fn run(&mut self, script: &str) {
        self.session.run_script(script, &mut |_, _| {}).unwrap_or_else(|error| panic!("{error}\n{script}"));
        self.engine.wait_until_idle(Some(PATIENCE), &mut |_| {}).expect("everything catches up");
    }

    /// The rows of a pull query as sorted lines.
    fn lines(&mut self, query: &str) -> Vec<String> {
        match self.session.execute(query) {
            Ok(Response::Rows(rows)) => sorted_lines(&rows.batches),
            Ok(other) => panic!("{query}: {other:?}"),
            Err(error) => panic!("{query}: {error}"),
        }
    }

    /// No query has met a record that it could not process.
    fn assert_nothing_dropped(&self) {
        for query in self.engine.progress().queries {
            assert_eq!((query.late, query.errors), (0, 0), "{query:?}");
        }
    }

    fn close(self) {
        drop(self.session);
        self.engine.shutdown().expect("the engine stops in order");
    }
}
