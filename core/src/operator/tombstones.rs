//! Tombstones of rows that were never there.

/// Whether tables pass on tombstones for rows that were not there.
///
/// Kafka Streams often does not know whether there was a row, and deletes it to be on the safe side. The tables are the same either way.
///
/// ```
/// use millstream::{StreamsBuilder, dsl::{Consumed, Produced, Tombstones}, record::Record, testing::TopologyTestDriver};
///
/// let deletions = |tombstones: Tombstones| -> Result<usize, Box<dyn std::error::Error>> {
///     let builder = StreamsBuilder::new().with_tombstones(tombstones);
///     let stock = builder.table::<String, i64>("stock", Consumed::kafka(), "stock".into());
///     stock.filter(|_, left| *left > 0).to_stream().to("in-stock", Produced::kafka());
///     let mut driver = TopologyTestDriver::new(&builder.build()?)?;
///     driver.push("stock", Record::new("tea", 0_i64.to_be_bytes()))?;
///     Ok(driver.drain("in-stock")?.len())
/// };
/// assert_eq!(deletions(Tombstones::OfRows)?, 0);
/// assert_eq!(deletions(Tombstones::AsKafkaStreams)?, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tombstones {
    /// Only rows that were there are deleted.
    #[default]
    OfRows,
    /// As Kafka Streams passes them on, those of rows that were not there among them.
    AsKafkaStreams,
}
