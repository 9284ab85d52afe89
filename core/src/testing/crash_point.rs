//! Where a test driver crashes.

/// A moment at which the driver loses everything that only its process knew, as under `kill -9`. What the log has stays.
///
/// ```
/// use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, testing::{CrashPoint, TopologyTestDriver}};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let builder = StreamsBuilder::new();
/// builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts").to_stream().to("out", Produced::kafka());
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// let (orders, out) = (driver.input_topic::<String, i64>("orders")?, driver.output_topic::<String, i64>("out")?);
/// orders.pipe("ada", 30)?;
/// driver.crash_at(CrashPoint::BeforeCommit);
/// orders.pipe("ada", 12)?; // its commit never reaches the log
/// assert!(driver.has_crashed());
/// driver.restart()?; // what was lost is done again
/// assert_eq!(out.read_values_to_list()?, [Some(1), Some(2)]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashPoint {
    /// At the next commit, before the log has anything of it.
    BeforeCommit,
    /// At the next commit, when the log has it and the stores have not taken it over: it is not done again, and stores get it from their
    /// changelogs.
    AfterCommit,
    /// When so many more records were processed, in the middle of a run of input if need be.
    AfterRecords(usize),
    /// At the next [`checkpoint`](super::TopologyTestDriver::checkpoint), when one half of the stores is written.
    AtCheckpoint,
}
