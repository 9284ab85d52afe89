//! A pipeline that runs in this process on a cluster.

use millstream::{
    log::SharedLog,
    operator::EmitPolicy,
    runtime::{Status, Streams, StreamsConfig},
    topology::Topology,
};
use millstream_state::{StateBackend, StateConfig};
use std::{thread, time::Duration};
use tempfile::TempDir;

/// A running pipeline and the directory of its state.
pub(crate) struct Running {
    streams: Streams,
    _directory: TempDir,
}

impl Running {
    /// Starts a topology; each version of a result is written.
    pub(crate) fn start(application: &str, topology: &Topology, log: SharedLog) -> Self {
        let directory = tempfile::tempdir().expect("a directory is made");
        let state = StateBackend::open(StateConfig::new(directory.path(), 16 << 20)).expect("state opens");
        let config = StreamsConfig { emit: EmitPolicy::Record, ..StreamsConfig::new(application, log, state) };
        let streams = Streams::start(topology, config).expect("it starts");
        Self { streams, _directory: directory }
    }

    /// Waits until everything that was written before is worked off, then stops.
    pub(crate) fn finish(self) {
        let step = Duration::from_millis(50);
        for _ in 0..1200 {
            assert_eq!(self.streams.status(), Status::Running);
            if self.streams.lag().expect("the cluster is there") == 0 {
                self.streams.stop().expect("it stops");
                return;
            }
            thread::sleep(step);
        }
        panic!("not everything is worked off after a minute: {} records are left", self.streams.lag().unwrap_or(0));
    }
}
