//! Testing topologies without threads, disks and clocks.

mod driver;
mod memory_log;

pub use driver::{DriverError, TopologyTestDriver};
pub use memory_log::MemoryLog;
