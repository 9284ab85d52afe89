//! The clock of a test driver: it stands still until a test moves it.

use std::time::Duration;

use super::{DriverError, TopologyTestDriver};
use crate::{record::Timestamp, runtime::Clock};

impl TopologyTestDriver {
    /// Lets time pass by the wall clock, then does what that makes due: tasks that wait for an empty input go on, idle ones let stream time go
    /// on, if the [`DriverOptions`](super::DriverOptions) say so. Time passes at once: what would have become due on the way is looked at once,
    /// at the end.
    ///
    /// # Errors
    /// If a task fails, or the driver has ended.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, record::Record, dsl::{Consumed, Produced}, testing::{DriverOptions, TopologyTestDriver}, window::TimeWindows};
    /// # use std::time::Duration;
    /// let builder = StreamsBuilder::new();
    /// let seconds = TimeWindows::tumbling(Duration::from_secs(1), Duration::ZERO)?;
    /// let counts = builder.stream::<String, i64>("clicks", Consumed::kafka()).group_by_key().windowed_by(seconds).emit_final().count("n");
    /// counts.to_stream().to("counts", Produced::kafka());
    ///
    /// let options = DriverOptions { idle_advance: Some(Duration::from_secs(5)), ..DriverOptions::default() };
    /// let mut driver = TopologyTestDriver::with_options(&builder.build()?, options)?;
    /// driver.push("clicks", Record::new("ada", i64::to_be_bytes(1)).at_ms(100))?;
    /// assert_eq!(driver.drain("counts")?.len(), 0, "no record has closed the window");
    /// driver.advance_wall_clock(Duration::from_secs(6))?;
    /// assert_eq!(driver.drain("counts")?.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn advance_wall_clock(&self, by: Duration) -> Result<(), DriverError> {
        let mut state = self.state.lock();
        state.clock.advance(by);
        state.run()
    }

    /// What the wall clock shows.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, record::Timestamp, testing::TopologyTestDriver};
    /// # use std::time::Duration;
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("clicks", Consumed::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.advance_wall_clock(Duration::from_secs(1))?;
    /// assert_eq!(driver.wall_clock(), Timestamp(1_000));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wall_clock(&self) -> Timestamp {
        self.state.lock().clock.wall()
    }
}
