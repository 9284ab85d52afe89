//! What a topology does, as data for programs and as text for people: its operators as trees, its topics and its state stores.
//!
//! ```text
//! streaming plan
//!   subtopology 0: one task a partition
//!     sink-TOTALS: to topic TOTALS
//!       aggregate-TOTALS: COUNT(..), one row a key, store `TOTALS`
//!         source-orders: topic orders, decodes [CITY]
//! topics
//!   orders   read      key KAFKA (ID Int32), value JSON (CITY Utf8)
//! state stores
//!   TOTALS   of aggregate-TOTALS     key (CITY Utf8), value (N Int64)     one row a key: grows with the number of keys
//! ```
//!
//! A tree begins with what nobody reads, its inputs below it; what several operators read is drawn once and named after that.
//! Invariant: [`TopologyDescription::render`] is the only place that makes text of it.

use std::{collections::BTreeSet, fmt::Write};

use arrow::datatypes::{DataType, FieldRef};

/// What a topology does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopologyDescription {
    /// The parts that run as tasks of their own, by their numbers.
    pub subtopologies: Vec<SubtopologyDescription>,
    /// What is read and written, each topic once, in the order of the operators.
    pub topics: Vec<TopicDescription>,
    /// What is kept, in the order of the operators.
    pub stores: Vec<StoreDescription>,
    /// What is read whole into each process.
    pub global_tables: Vec<GlobalTableDescription>,
}

/// A part of a topology: one task a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubtopologyDescription {
    /// Its operators, inputs before outputs.
    pub operators: Vec<OperatorDescription>,
}

/// An operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorDescription {
    /// Its name, unique in the topology.
    pub name: String,
    /// What it does, with every setting that can change a result.
    pub what: String,
    /// The names of the operators whose output it takes.
    pub inputs: Vec<String>,
}

/// What a topology does with a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicRole {
    /// It is read.
    Read,
    /// It is written.
    Written,
    /// It belongs to the topology, which writes and reads it.
    Internal,
    /// It holds the changes of a store of the topology.
    Changelog,
}

impl TopicRole {
    fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Written => "written",
            Self::Internal => "internal",
            Self::Changelog => "changelog",
        }
    }
}

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its name, of internal ones with `<application>` for that of the application.
    pub name: String,
    /// What is done with it.
    pub role: TopicRole,
    /// How many partitions, or as many as what has.
    pub partitions: String,
    /// How keys are written.
    pub key_format: String,
    /// How values are written.
    pub value_format: String,
    /// The key columns.
    pub key: Vec<FieldRef>,
    /// The value columns.
    pub value: Vec<FieldRef>,
}

/// A state store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreDescription {
    /// Its name; a view of that name can be queried.
    pub name: String,
    /// The operator that writes it.
    pub operator: String,
    /// The number of its subtopology.
    pub subtopology: usize,
    /// What a row is for: `one row a key` ..
    pub rows: String,
    /// The key columns.
    pub key: Vec<FieldRef>,
    /// The columns of a stored row; none if it is laid out in a way of its own.
    pub value: Vec<FieldRef>,
    /// How long rows are kept, in milliseconds; `None` if until they are deleted.
    pub retention_ms: Option<i64>,
    /// What its size is bounded by, or what it grows with.
    pub growth: String,
}

/// A global table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlobalTableDescription {
    /// The name of its store; a view of that name can be queried.
    pub name: String,
    /// The topic that it is read from.
    pub topic: String,
    /// The key columns.
    pub key: Vec<FieldRef>,
    /// The value columns.
    pub value: Vec<FieldRef>,
}

impl TopologyDescription {
    /// The description as text; `type_name` gives the names of types.
    pub fn render(&self, type_name: &dyn Fn(&DataType) -> String) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "streaming plan");
        for (number, part) in self.subtopologies.iter().enumerate() {
            let _ = writeln!(text, "  subtopology {number}: one task a partition");
            part.render(&mut text);
        }
        let _ = writeln!(text, "topics");
        for topic in &self.topics {
            let TopicDescription { name, role, partitions, key_format, value_format, key, value } = topic;
            let _ = writeln!(text, "  {name} ({}), partitions: {partitions}", role.word());
            if *role == TopicRole::Changelog {
                continue;
            }
            let _ = writeln!(text, "    key {key_format} {}", columns(key, type_name));
            let _ = writeln!(text, "    value {value_format} {}", columns(value, type_name));
        }
        let _ = writeln!(text, "state stores");
        if self.stores.is_empty() {
            let _ = writeln!(text, "  none");
        }
        for store in &self.stores {
            let StoreDescription { name, operator, subtopology, rows, key, value, growth, .. } = store;
            let _ = writeln!(text, "  {name}: {rows}, of {operator} in subtopology {subtopology}");
            let _ = writeln!(text, "    key {}", columns(key, type_name));
            if !value.is_empty() {
                let _ = writeln!(text, "    value {}", columns(value, type_name));
            }
            let _ = writeln!(text, "    {growth}");
        }
        if !self.global_tables.is_empty() {
            let _ = writeln!(text, "global tables");
        }
        for GlobalTableDescription { name, topic, key, value } in &self.global_tables {
            let _ = writeln!(text, "  {name}: the whole topic {topic} in each process");
            let _ = writeln!(text, "    key {}", columns(key, type_name));
            let _ = writeln!(text, "    value {}", columns(value, type_name));
            let _ = writeln!(text, "    one row a key of {topic}: grows with the number of keys");
        }
        text
    }
}

fn columns(fields: &[FieldRef], type_name: &dyn Fn(&DataType) -> String) -> String {
    let column = |field: &FieldRef| format!("{} {}", field.name(), type_name(field.data_type()));
    format!("({})", fields.iter().map(column).collect::<Vec<_>>().join(", "))
}

impl SubtopologyDescription {
    fn render(&self, text: &mut String) {
        let is_read =
            |name: &str| self.operators.iter().any(|operator| operator.inputs.iter().any(|from| from == name));
        let mut drawn = BTreeSet::new();
        for operator in self.operators.iter().filter(|operator| !is_read(&operator.name)) {
            self.tree(operator, 2, &mut drawn, text);
        }
    }

    fn tree<'a>(
        &'a self,
        operator: &'a OperatorDescription,
        depth: usize,
        drawn: &mut BTreeSet<&'a str>,
        text: &mut String,
    ) {
        let indent = "  ".repeat(depth);
        if !drawn.insert(&operator.name) {
            let _ = writeln!(text, "{indent}{}: as above", operator.name);
            return;
        }
        let _ = writeln!(text, "{indent}{}: {}", operator.name, operator.what.trim_end());
        for input in &operator.inputs {
            if let Some(input) = self.operators.iter().find(|other| other.name == *input) {
                self.tree(input, depth + 1, drawn, text);
            }
        }
    }
}
