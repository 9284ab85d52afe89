//! The connector runtime: a thread for each connector, its commits, its retries, its status.
//!
//! [`source_task`] and [`sink_task`] are the two loops; everything they know after a crash is in the log: positions of
//! sources in [`positions`], those of sinks as group offsets. Invariant: a task that fails, is stopped or is killed at any
//! point goes on, when started again, exactly behind its last commit.

mod clock;
mod dead_letters;
mod own_producer;
mod positions;
mod running;
mod sink_task;
#[cfg(test)]
mod sink_tests;
mod source_task;
mod status;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use clock::testing;
pub use clock::{Clock, StopSignal, SystemClock};
pub use positions::{POSITIONS_TOPIC, forget, read_positions};
pub use running::{RunningConnector, StartError, WaitError, start, start_sink, start_source};
pub use status::{ConnectorState, ConnectorStatus};

use millstream::record::{GroupId, InvalidName};

/// The name under which a connector commits; a newer task of the same name fences an older one.
fn producer_name(connector: &str) -> String {
    format!("connector-{connector}")
}

/// The group whose offsets are a sink's, named as Kafka Connect names it.
///
/// # Errors
/// [`InvalidName`] if the connector's name holds other characters than a topic's may.
pub fn sink_group(connector: &str) -> Result<GroupId, InvalidName> {
    GroupId::new(&format!("connect-{connector}"))
}
