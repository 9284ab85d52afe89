//! What can go wrong in a test: crashes at chosen points, commits that fail, and how the driver goes on from what is committed.

use super::{CommitFault, CrashPoint, DriverError, TopologyTestDriver};

impl TopologyTestDriver {
    /// Writes stores on disk as they were at the last commit, durably: a restart replays changelogs from there. Stores in memory have no
    /// checkpoints.
    ///
    /// # Errors
    /// If a store cannot be written, or the driver has ended.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.checkpoint()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn checkpoint(&self) -> Result<(), DriverError> {
        self.state.lock().checkpoint()
    }

    /// Starts anew from what is committed, after a crash or out of the blue: state comes back from checkpoints and changelogs, and what
    /// waits is processed. Stores that were given out before show the past: ask for them again.
    ///
    /// # Errors
    /// If state cannot be restored, or a task fails.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).group_by_key().count("counts");
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe("ada", 30)?;
    /// driver.restart()?;
    /// assert_eq!(driver.view("counts")?[0].num_rows(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn restart(&self) -> Result<(), DriverError> {
        let mut state = self.state.lock();
        state.restart()?;
        state.run()
    }

    /// Crashes now: everything that is not committed is gone, as under `kill -9`. Records can be piped still; they wait for
    /// [`restart`](Self::restart).
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, testing::{CommitPolicy, DriverOptions, TopologyTestDriver}};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).to("out", Produced::kafka());
    /// # let options = DriverOptions { commit: CommitPolicy::ByHand, ..DriverOptions::default() };
    /// # let driver = TopologyTestDriver::with_options(&builder.build()?, options)?;
    /// let (orders, out) = (driver.input_topic::<String, i64>("orders")?, driver.output_topic::<String, i64>("out")?);
    /// orders.pipe("ada", 30)?;
    /// driver.crash();
    /// driver.restart()?; // it is processed again
    /// driver.commit()?;
    /// assert_eq!(out.read_values_to_list()?, [Some(30)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn crash(&self) {
        self.state.lock().crash_now("it crashed, as it was told to");
    }

    /// Crashes at a chosen point, see [`CrashPoint`]. The call that comes there returns without an error, and
    /// [`has_crashed`](Self::has_crashed) says so. A later call changes the point.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, testing::{CrashPoint, TopologyTestDriver}};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).to("out", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// let orders = driver.input_topic::<String, i64>("orders")?;
    /// driver.crash_at(CrashPoint::AfterRecords(2));
    /// orders.pipe_key_value_list([("ada", 30), ("bob", 7), ("ada", 12)])?;
    /// assert!(driver.has_crashed());
    /// driver.restart()?;
    /// assert_eq!(driver.output_topic::<String, i64>("out")?.read_values_to_list()?, [Some(30), Some(7), Some(12)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn crash_at(&self, point: CrashPoint) {
        self.state.lock().crash_at(point);
    }

    /// Whether it has crashed and was not restarted yet.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::Consumed, testing::TopologyTestDriver};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.crash();
    /// assert!(driver.has_crashed());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn has_crashed(&self) -> bool {
        self.state.lock().has_crashed()
    }

    /// Lets the next commit fail. The call that meets it returns the error, and the tasks have ended as they would in production: nothing is
    /// done until [`restart`](Self::restart), which finds out what became of the commit.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Produced}, testing::{CommitFault, TopologyTestDriver}};
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream::<String, i64>("orders", Consumed::kafka()).to("out", Produced::kafka());
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// let (orders, out) = (driver.input_topic::<String, i64>("orders")?, driver.output_topic::<String, i64>("out")?);
    /// driver.fail_next_commit(CommitFault::UnknownAndWritten);
    /// assert!(orders.pipe("ada", 30).is_err());
    /// driver.restart()?;
    /// assert_eq!(out.read_values_to_list()?, [Some(30)]); // once
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fail_next_commit(&self, fault: CommitFault) {
        self.state.lock().fail_next_commit(fault);
    }
}
