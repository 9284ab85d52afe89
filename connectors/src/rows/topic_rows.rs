//! The row formats of the topics that a sink reads.

use std::{collections::BTreeMap, fmt, sync::Arc};

use millstream::{connect::ConnectError, record::TopicName};

use super::RowFormat;

/// The row formats of topics. Cloning is cheap.
#[derive(Clone, Default)]
pub struct TopicRows(BTreeMap<TopicName, Arc<dyn RowFormat>>);

impl TopicRows {
    /// Adds the format of a topic.
    pub fn with(mut self, topic: TopicName, format: Arc<dyn RowFormat>) -> Self {
        self.0.insert(topic, format);
        self
    }

    /// Whether the columns of no topic are known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The format of a topic, if its columns are known.
    pub fn get(&self, topic: &TopicName) -> Option<&Arc<dyn RowFormat>> {
        self.0.get(topic)
    }

    /// The format of a topic whose columns are needed.
    ///
    /// # Errors
    /// [`ConnectError::Input`] if they are not known.
    pub fn expect(&self, topic: &TopicName) -> Result<&Arc<dyn RowFormat>, ConnectError> {
        self.get(topic).ok_or_else(|| ConnectError::Input {
            input: format!("topic {topic}"),
            problem: "its columns are not known; declare a stream or table over it, or give the connector its columns"
                .to_owned(),
        })
    }
}

/// The topics and their columns.
impl fmt::Debug for TopicRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(topic, format)| (topic, format.schema()))).finish()
    }
}

/// Whether the same topics have the same columns.
impl PartialEq for TopicRows {
    fn eq(&self, other: &Self) -> bool {
        let columns = |rows: &Self| rows.0.iter().map(|(t, f)| (t.clone(), f.schema().clone())).collect::<Vec<_>>();
        columns(self) == columns(other)
    }
}
