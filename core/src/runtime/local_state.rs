//! What an application keeps in a process beside the log: its stores. They come back from the log, so they can be thrown away at any time
//! at which nobody uses them.

use millstream_state::StateBackend;

use super::StreamsError;

/// Removes the stores of an application from a process, all its partitions that are there; topics stay. It must not be running here.
///
/// # Errors
/// Those of the stores; what was removed until then stays removed.
///
/// ```
/// # use std::sync::Arc;
/// # use millstream::{StreamsBuilder, dsl::Consumed, log::Log, runtime::{Streams, StreamsConfig, delete_local_state}, testing::MemoryLog};
/// # use millstream_state::{StateBackend, StateConfig};
/// # let directory = tempfile::tempdir()?;
/// # let log = Arc::new(MemoryLog::new());
/// # log.create_topic(&"orders".parse()?, &Default::default())?;
/// # let builder = StreamsBuilder::new();
/// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
/// # let state = StateBackend::open(StateConfig::new(directory.path(), 8 << 20))?;
/// # Streams::start(&builder.build()?, StreamsConfig::new("app", log.clone(), Arc::clone(&state)))?.stop()?;
/// assert_eq!(delete_local_state("app", &state)?, ["app/counts/0"]);
/// assert!(state.store_names().is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn delete_local_state(application: &str, state: &StateBackend) -> Result<Vec<String>, StreamsError> {
    let stores = local_stores(application, state);
    for name in &stores {
        let error =
            |e: millstream_state::StoreError| StreamsError::Store { store: name.clone(), problem: e.to_string() };
        state.drop_store(name).map_err(error)?;
    }
    Ok(stores)
}

/// The names of the stores that an application has in a process.
///
/// ```
/// # use millstream::runtime::local_stores;
/// # use millstream_state::{StateBackend, StateConfig};
/// # let directory = tempfile::tempdir()?;
/// let state = StateBackend::open(StateConfig::new(directory.path(), 8 << 20))?;
/// assert!(local_stores("app", &state).is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn local_stores(application: &str, state: &StateBackend) -> Vec<String> {
    let start = format!("{application}/");
    state.store_names().into_iter().filter(|name| name.starts_with(&start)).collect()
}
