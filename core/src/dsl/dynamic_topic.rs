//! Writing to topics that are chosen record by record.

use std::sync::Arc;

use super::{ColumnStream, Produced};
use crate::{
    operator::{DynamicSink, DynamicSinkSettings, FoldError, Operator, RecordFormats, Routing, TopicNameExtractor},
    topology::{NodeKind, OperatorNode, Site},
};

/// The node of a sink whose topics are chosen row by row.
struct DynamicSinkNode {
    extractor: Arc<dyn TopicNameExtractor>,
    formats: RecordFormats,
    routing: Routing,
}

impl OperatorNode for DynamicSinkNode {
    fn create(&self, site: &Site<'_>) -> Result<Box<dyn Operator>, FoldError> {
        let settings = DynamicSinkSettings {
            extractor: Arc::clone(&self.extractor),
            schema: Arc::clone(&site.inputs[0]),
            formats: self.formats.clone(),
            routing: self.routing.clone(),
            keyless: site.task.partition,
            counts: Arc::clone(site.partition_counts),
            largest_record: site.largest_record,
        };
        Ok(Box::new(DynamicSink::new(settings).map_err(FoldError::of)?))
    }

    fn describe(&self, _store: &dyn Fn(usize) -> String) -> String {
        format!("to topics chosen by record (key {}, value {})", self.formats.key, self.formats.value)
    }
}

impl ColumnStream {
    /// Writes each record to the topic that `extractor` chooses for it: see [`KStream::to_dynamic`](super::KStream::to_dynamic).
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use millstream::{{Batch, StreamsBuilder}, dsl::{Consumed, Produced}, expression::RowError, operator::TopicNameExtractor, log::Log};
    /// # use millstream::testing::TopologyTestDriver;
    /// # let builder = StreamsBuilder::new();
    /// # let orders = builder.stream::<String, i64>("orders", Consumed::kafka()).columns().clone();
    /// struct ToSales;
    ///
    /// impl TopicNameExtractor for ToSales {
    ///     fn topics(&self, rows: &Batch, _errors: &mut Vec<RowError>) -> Vec<Option<String>> {
    ///         vec![Some("sales".to_owned()); rows.len()]
    ///     }
    /// }
    ///
    /// orders.to_dynamic(Arc::new(ToSales), Produced::kafka());
    /// # let mut driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.create_topic("sales", 1)?;
    /// driver.input_topic::<String, i64>("orders")?.pipe("ada", 5)?;
    /// assert_eq!(driver.drain("sales")?.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_dynamic(&self, extractor: Arc<dyn TopicNameExtractor>, produced: Produced) {
        let routing = match self.checked(&produced) {
            Ok(routing) => routing,
            Err(problem) => return drop(self.failed("to_dynamic", problem)),
        };
        let formats = produced.formats.of_records(self.rekeyed);
        let node = NodeKind::Operator(Arc::new(DynamicSinkNode { extractor, formats, routing }));
        let mut graph = self.graph.borrow_mut();
        let node = graph.add("dynamic-sink", node, vec![self.node], Arc::clone(&self.schema));
        graph.nodes[node.0].given_name = produced.name;
    }
}
