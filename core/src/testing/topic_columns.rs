//! What a topology says of the topics that it reads and writes: their columns and formats, so that tests need not repeat them.

use std::sync::Arc;

use super::DriverError;
use crate::{
    dsl::{Data, Shape, short_name},
    format::FormatError,
    record::TopicName,
    schema::StreamSchema,
    topology::{Formats, NodeKind, OffsetReset, SinkNode, SourceNode, TimestampExtractor, TopicRef, Topology},
};

/// The columns of a topic and how its records are written.
#[derive(Clone)]
pub(super) struct TopicColumns {
    pub(super) topic: TopicName,
    pub(super) schema: Arc<StreamSchema>,
    pub(super) formats: Formats,
}

impl TopicColumns {
    /// Those of a topic that the topology reads.
    pub(super) fn of_input(topology: &Topology, topic: &str) -> Result<Self, DriverError> {
        let sources = topology.nodes().iter().filter_map(|node| match &node.kind {
            NodeKind::Source(source) => Some((source, &node.schema)),
            _ => None,
        });
        let globals = topology.globals().iter().map(|table| (&table.source, &table.schema));
        let read = sources.chain(globals).filter_map(|(source, schema)| {
            let SourceNode { topic: TopicRef::External(topic), formats, parts, .. } = source else { return None };
            let value = &schema.value()[..schema.value().len() - parts.len()];
            let written = StreamSchema::new(schema.key().to_vec(), value.to_vec(), schema.window());
            let schema = written.unwrap_or_else(|_| Arc::clone(schema));
            Some(Self { topic: topic.clone(), schema, formats: formats.clone() })
        });
        Self::find(read.collect(), topic, "reads")
    }

    /// Those of a topic that the topology writes.
    pub(super) fn of_output(topology: &Topology, topic: &str) -> Result<Self, DriverError> {
        let written = topology.nodes().iter().filter_map(|node| match &node.kind {
            NodeKind::Sink(SinkNode { topic: TopicRef::External(topic), formats, .. }) => {
                Some(Self { topic: topic.clone(), schema: Arc::clone(&node.schema), formats: formats.clone() })
            }
            _ => None,
        });
        Self::find(written.collect(), topic, "writes")
    }

    /// Those of a topic that holds keys and values of these types, written so.
    pub(super) fn of_types<K: Data, V: Data>(topic: &str, formats: &Formats) -> Result<Self, DriverError> {
        let types = |side, problem| DriverError::Types { topic: topic.to_owned(), side, problem };
        let key = Shape::<K>::of("key").map_err(|problem| types("key", problem))?;
        let value = Shape::<V>::of("value").map_err(|problem| types("value", problem))?;
        let schema = StreamSchema::new(key.fields.clone(), value.fields.clone(), false);
        let schema = schema.map_err(|error| types("key", error.to_string()))?;
        let formats = Formats { wrapping: value.wrapping(), ..formats.clone() };
        Ok(Self { topic: TopicName::new(topic)?, schema, formats })
    }

    fn find(mut all: Vec<Self>, topic: &str, does: &'static str) -> Result<Self, DriverError> {
        match all.iter().position(|columns| columns.topic.as_str() == topic) {
            Some(found) => Ok(all.swap_remove(found)),
            None => {
                let mut known: Vec<&str> = all.iter().map(|columns| columns.topic.as_str()).collect();
                known.sort_unstable();
                known.dedup();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                Err(DriverError::UnknownTopic { topic: topic.to_owned(), does, known })
            }
        }
    }

    /// The shapes of a key and a value type, if the topic holds such; of windowed keys the shape of [`Windowed`](crate::dsl::Windowed).
    pub(super) fn shapes<K: Data, V: Data>(&self) -> Result<(Shape<K>, Shape<V>), DriverError> {
        let types = |side, problem| DriverError::Types { topic: self.topic.to_string(), side, problem };
        let key = Shape::<K>::of("key").map_err(|problem| types("key", problem))?;
        let value = Shape::<V>::of("value").map_err(|problem| types("value", problem))?;
        self.check_windows(&key)?;
        if !self.schema.is_windowed() {
            whole(&key, self.schema.key()).map_err(|problem| types("key", problem))?;
        }
        whole(&value, self.schema.value()).map_err(|problem| types("value", problem))?;
        Ok((key, value))
    }

    fn check_windows<K: Data>(&self, key: &Shape<K>) -> Result<(), DriverError> {
        let names: Vec<&str> = key.fields.iter().map(|field| field.name().as_str()).collect();
        let asked = names == ["key", "start", "end"];
        let error = |found, wanted| DriverError::Windows { topic: self.topic.to_string(), found, wanted };
        match (self.schema.is_windowed(), asked) {
            (true, false) => Err(error("windows", format!("Windowed<{}>", short_name::<K>()))),
            (false, true) if !self.schema.key().iter().any(|field| field.name() == "start") => {
                Err(error("no windows", "K instead of Windowed<K>".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// A source that reads the topic as it is.
    pub(super) fn source(&self) -> SourceNode {
        SourceNode {
            topic: TopicRef::External(self.topic.clone()),
            formats: self.formats.clone(),
            timestamp: TimestampExtractor::Record,
            reset: OffsetReset::Earliest,
            parts: Vec::new(),
            decoded: vec![true; self.schema.value().len()],
        }
    }

    pub(super) fn format_error(&self, source: FormatError) -> DriverError {
        DriverError::Format { topic: self.topic.to_string(), source }
    }
}

/// Checks that a type has all the columns of a side, in their order.
fn whole<T: Data>(shape: &Shape<T>, fields: &[arrow::datatypes::FieldRef]) -> Result<(), String> {
    let places = shape.places_in(fields)?;
    if places.len() == fields.len() && places.is_sorted() {
        return Ok(());
    }
    Err(format!(
        "({}), in this order; {} has ({})",
        crate::dsl::column_list(fields),
        short_name::<T>(),
        crate::dsl::column_list(&shape.fields)
    ))
}
