//! Where stores can be asked for: running topologies.

use super::{QueryError, ReadOnlyStore};
use crate::{
    dsl::Data,
    runtime::{Streams, SynchronousStreams},
};

impl Streams {
    /// A store to be read while tasks process: see [`ReadOnlyStore`]. `K` is the key, without window; `V` the value or a struct of some of
    /// its columns. It can be read as long as the application's state is open, also when the topology has stopped.
    ///
    /// # Errors
    /// [`QueryError::UnknownStore`], and [`QueryError::Types`] if it has other columns.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::Consumed, log::Log, runtime::{Streams, StreamsConfig}, testing::MemoryLog};
    /// # use millstream_state::{StateBackend, StateConfig};
    /// # let directory = tempfile::tempdir()?;
    /// # let log = Arc::new(MemoryLog::new());
    /// # log.create_topic(&"orders".parse()?, &Default::default())?;
    /// # let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let state = StateBackend::open(StateConfig::new(directory.path(), 8 << 20))?;
    /// let streams = Streams::start(&builder.build()?, StreamsConfig::new("app", log, state))?;
    /// assert_eq!(streams.store::<String, i64>("counts")?.get("ada")?, None);
    /// let error = streams.store::<String, i64>("count").err().map(|error| error.to_string());
    /// assert_eq!(error.as_deref(), Some("there is no store `count` that can be read; did you mean `counts`?"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn store<K: Data, V: Data>(&self, name: &str) -> Result<ReadOnlyStore<K, V>, QueryError> {
        ReadOnlyStore::find(name, self.view(name), self.views().map(|(name, _)| name.to_owned()))
    }
}

impl SynchronousStreams {
    /// A store to be read between two steps: see [`ReadOnlyStore`].
    ///
    /// # Errors
    /// [`QueryError::UnknownStore`], and [`QueryError::Types`] if it has other columns.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::Consumed, log::Log, operator::EmitPolicy, runtime::SynchronousStreams, testing::MemoryLog};
    /// # let log = MemoryLog::new();
    /// # log.create_topic(&"orders".parse()?, &Default::default())?;
    /// # let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// let streams = SynchronousStreams::new(&builder.build()?, "app", Arc::new(log), EmitPolicy::Commit)?;
    /// assert_eq!(streams.store::<String, i64>("counts")?.get("ada")?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn store<K: Data, V: Data>(&self, name: &str) -> Result<ReadOnlyStore<K, V>, QueryError> {
        ReadOnlyStore::find(name, self.view(name), self.views().map(|(name, _)| name.to_owned()))
    }
}
