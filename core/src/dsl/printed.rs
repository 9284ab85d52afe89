//! Printing records, to see what goes through a pipeline.

use std::{
    fmt::Debug,
    io::Write,
    sync::{Arc, Mutex},
};

type Writer = Arc<Mutex<dyn Write + Send>>;

/// Where and how records are printed: `[label]: key, value`, one a line, key and value as `Debug` writes them.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use millstream::{StreamsBuilder, dsl::{Consumed, Printed}, record::Record, testing::TopologyTestDriver};
///
/// let lines = Arc::new(Mutex::new(Vec::new()));
/// let builder = StreamsBuilder::new();
/// let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
/// orders.print(Printed::to_writer(Arc::clone(&lines)).with_label("orders"));
/// let mut driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.push("orders", Record::new("ada", 30_i64.to_be_bytes()))?;
/// assert_eq!(String::from_utf8_lossy(&lines.lock().expect("not poisoned")), "[orders]: \"ada\", 30\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Printed {
    writer: Writer,
    label: String,
}

impl Printed {
    /// To the standard output of the process.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Printed}};
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// orders.print(Printed::to_sys_out().with_label("orders"));
    /// # builder.build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_sys_out() -> Self {
        Self::to_writer(Arc::new(Mutex::new(std::io::stdout())))
    }

    /// To a writer that others may hold, too.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Printed}, testing::TopologyTestDriver};
    /// # use std::sync::Mutex;
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// let lines = Arc::new(Mutex::new(Vec::new()));
    /// orders.print(Printed::to_writer(Arc::clone(&lines)));
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe("ada", 30)?;
    /// assert_eq!(String::from_utf8_lossy(&lines.lock().expect("not poisoned")), "[stream]: \"ada\", 30\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_writer<W: Write + Send + 'static>(writer: Arc<Mutex<W>>) -> Self {
        Self { writer, label: "stream".to_owned() }
    }

    /// With this label in front of each line.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{StreamsBuilder, dsl::{Consumed, Printed}, testing::TopologyTestDriver};
    /// # use std::sync::Mutex;
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka());
    /// # let lines = Arc::new(Mutex::new(Vec::new()));
    /// orders.print(Printed::to_writer(Arc::clone(&lines)).with_label("orders"));
    /// # let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe("ada", 30)?;
    /// assert_eq!(String::from_utf8_lossy(&lines.lock().expect("not poisoned")), "[orders]: \"ada\", 30\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_label(mut self, label: &str) -> Self {
        self.label = label.to_owned();
        self
    }

    /// Prints a record. A writer that fails is told in the log of the program and does not stop the pipeline.
    pub(super) fn print(&self, key: &impl Debug, value: &impl Debug) {
        let mut writer = self.writer.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Err(error) = writeln!(writer, "[{}]: {key:?}, {value:?}", self.label) {
            tracing::warn!("a record of {} could not be printed: {error}", self.label);
        }
    }
}
