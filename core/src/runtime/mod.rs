//! Running topologies: tasks, threads, commits, restoring.
//!
//! [`Streams::start`] turns a [`Topology`](crate::topology::Topology) into tasks, one per subtopology and partition, and shares them out
//! to worker threads. Only [`Clock`] reads a clock.

mod build;
mod build_aggregate;
mod build_join;
mod build_progress;
mod carry_over;
mod clock;
mod config;
mod coordinator;
mod decoder;
mod delete;
mod error;
mod global_tables;
mod handlers;
mod idle;
mod local_state;
mod metrics;
mod partitions;
mod progress;
mod punctuate;
mod rejected;
mod restore;
mod restorer;
mod row_times;
mod seat;
mod shared_reads;
mod source_reader;
mod start;
mod store_partitions;
mod stores;
mod streams;
mod synchronous;
mod task;
mod task_factory;
mod task_settings;
mod views;
mod visibility;
mod waiting;
mod worker;

pub(crate) use build::StoreHandle;
pub use carry_over::{carry_over, delete_store, inputs};
pub use clock::{Clock, ManualClock, SystemClock};
pub use config::StreamsConfig;
pub(crate) use decoder::Decoder;
pub use delete::delete_application;
pub use error::StreamsError;
pub use handlers::{ErrorContext, ErrorHandler, ErrorHandlers, ErrorKind, HandlerResponse};
pub use local_state::{delete_local_state, local_stores};
pub use metrics::{Counters, Dropped, Metrics};
pub(crate) use progress::Progress;
pub use restore::RestoreProgress;
pub use shared_reads::SharedReads;
pub(crate) use store_partitions::{Role, StorePartitions};
pub use streams::{PartitionLag, Status, Streams};
pub use synchronous::{SynchronousConfig, SynchronousStreams};
pub(crate) use task_settings::TaskSettings;
pub use task_settings::{MaxTaskIdle, StreamTimeAtStart};
pub(crate) use visibility::Visibility;
