//! The clock of the test driver: it stands still until the test lets time pass.

use std::time::Duration;

use super::{DriverError, TopologyTestDriver};
use crate::{record::Timestamp, runtime::Clock};

impl TopologyTestDriver {
    /// Lets time pass by the time of day. Each schedule on wall-clock time that has come due makes one tick, however many of its ticks were
    /// passed, and what comes of it is committed as records are. While the driver is paused or after a crash only the clock moves.
    ///
    /// # Errors
    /// If a task fails.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream::{StreamsBuilder, record::Timestamp, dsl::Consumed, testing::{DriverOptions, TopologyTestDriver}};
    ///
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka());
    /// let options = DriverOptions { wall_clock_start: Timestamp(1_000), ..DriverOptions::default() };
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, options)?;
    /// driver.advance_wall_clock(Duration::from_millis(500))?;
    /// assert_eq!(driver.wall_clock(), Timestamp(1_500));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn advance_wall_clock(&self, by: Duration) -> Result<(), DriverError> {
        self.state.lock().advance_wall_clock(by)
    }

    /// What the clock shows.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, record::Timestamp, dsl::Consumed, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka());
    /// assert_eq!(TopologyTestDriver::new(&builder.build()?)?.wall_clock(), Timestamp(0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wall_clock(&self) -> Timestamp {
        self.state.lock().clock.wall()
    }
}
