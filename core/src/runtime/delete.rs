//! Removing what an application has left behind.

use super::{
    StreamsError,
    build::dead_letter_topic,
    carry_over::{delete_store, delete_topic},
    global_tables::global_store_name,
    partitions::Partitions,
};
use crate::{
    log::Log,
    topology::{NodeKind, SourceNode, TopicRef, Topology},
};

/// Removes what an application has left: its internal topics and its stores. It must not be running.
///
/// # Errors
/// Those of the log and of the stores; what was removed until then stays removed.
///
/// ```
/// # use std::sync::Arc;
/// # use millstream::{StreamsBuilder, dsl::Consumed, log::Log, runtime::{Streams, StreamsConfig, delete_application}};
/// # use millstream::testing::MemoryLog;
/// # use millstream_state::{StateBackend, StateConfig};
/// # let directory = tempfile::tempdir()?;
/// # let log = Arc::new(MemoryLog::new());
/// # log.create_topic(&"orders".parse()?, &Default::default())?;
/// # let builder = StreamsBuilder::new();
/// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
/// # let state = StateBackend::open(StateConfig::new(directory.path(), 8 << 20))?;
/// # let topology = builder.build()?;
/// # Streams::start(&topology, StreamsConfig::new("app", log.clone(), Arc::clone(&state)))?.stop()?;
/// delete_application(&topology, "app", log.as_ref(), &state)?;
/// assert_eq!(log.topics()?.len(), 1); // `orders`, which is not the application's own
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn delete_application(
    topology: &Topology,
    application: &str,
    log: &dyn Log,
    state: &millstream_state::StateBackend,
) -> Result<(), StreamsError> {
    for node in topology.nodes() {
        if let NodeKind::Source(SourceNode { topic: topic @ TopicRef::Internal { .. }, .. }) = &node.kind {
            delete_topic(&Partitions::resolve(application, topic)?, log)?;
        }
    }
    delete_topic(&dead_letter_topic(application)?, log)?;
    for table in topology.globals() {
        let name = global_store_name(application, &table.store.name);
        if state.store_names().contains(&name) {
            let error =
                |e: millstream_state::StoreError| StreamsError::Store { store: name.clone(), problem: e.to_string() };
            state.drop_store(&name).map_err(error)?;
        }
    }
    topology.stores().iter().try_for_each(|spec| delete_store(&spec.name, application, log, Some(state)))
}
