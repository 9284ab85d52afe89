//! Testing topologies without threads, disks and clocks.

mod crash_point;
mod driver;
mod driver_clock;
mod driver_error;
mod driver_faults;
mod driver_options;
mod driver_state;
mod faulty_log;
mod input_topic;
pub mod log_contract;
mod memory_cluster;
mod memory_log;
mod output_topic;
mod test_record;
mod topic_columns;

pub use crash_point::CrashPoint;
pub use driver::TopologyTestDriver;
pub use driver_error::DriverError;
pub use driver_options::{CommitPolicy, DriverOptions};
pub use faulty_log::CommitFault;
pub use input_topic::TestInputTopic;
pub use memory_cluster::MemoryCluster;
pub use memory_log::MemoryLog;
pub use output_topic::TestOutputTopic;
pub use test_record::TestRecord;
