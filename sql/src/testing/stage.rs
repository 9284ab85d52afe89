//! Where a case is played: what takes its statements and records and shows what came of them.
//!
//! In memory everything runs in the caller's thread when it is told to; on a cluster it runs by itself and is waited for.

use millstream::{log::Log, record::Record};

use crate::{
    catalog::{Catalog, Source},
    engine::{
        EngineError,
        in_memory::{Answer, InMemoryEngine},
    },
};

/// What takes the statements and records of a case.
pub(super) trait Stage {
    /// Runs one statement.
    fn execute(&mut self, statement: &str) -> Result<Answer, EngineError>;

    /// Sets a property; one that is not known is left out.
    fn set_property(&mut self, name: &str, value: &str);

    /// What is declared.
    fn catalog(&self) -> Catalog;

    /// The log.
    fn log(&self) -> &dyn Log;

    /// Writes records to a topic, to the partitions of their keys, in one commit.
    fn produce(&mut self, topic: &str, records: Vec<Record>) -> Result<(), EngineError>;

    /// Has every query process all that there is, record by record in the order in which it was written.
    fn run(&mut self) -> Result<(), EngineError>;

    /// Has every query process all that there is, in batches.
    fn run_in_batches(&mut self) -> Result<(), EngineError>;

    /// Makes every query anew, as a restart does.
    fn restart(&mut self) -> Result<(), EngineError>;

    /// All records of a topic, partition by partition.
    fn records(&self, topic: &str) -> Result<Vec<Record>, EngineError>;

    /// The streams and tables over a topic.
    fn sources_of(&self, topic: &str) -> Vec<Source> {
        self.catalog().sources().filter(|source| source.topic == topic).cloned().collect()
    }
}

impl Stage for InMemoryEngine {
    fn execute(&mut self, statement: &str) -> Result<Answer, EngineError> {
        InMemoryEngine::execute(self, statement)
    }

    fn set_property(&mut self, name: &str, value: &str) {
        InMemoryEngine::set_property(self, name, value);
    }

    fn catalog(&self) -> Catalog {
        InMemoryEngine::catalog(self).clone()
    }

    fn log(&self) -> &dyn Log {
        InMemoryEngine::log(self)
    }

    fn produce(&mut self, topic: &str, records: Vec<Record>) -> Result<(), EngineError> {
        InMemoryEngine::produce(self, topic, records)
    }

    fn run(&mut self) -> Result<(), EngineError> {
        InMemoryEngine::run(self)
    }

    fn run_in_batches(&mut self) -> Result<(), EngineError> {
        InMemoryEngine::run_in_batches(self)
    }

    fn restart(&mut self) -> Result<(), EngineError> {
        InMemoryEngine::restart(self)
    }

    fn records(&self, topic: &str) -> Result<Vec<Record>, EngineError> {
        InMemoryEngine::records(self, topic)
    }
}
