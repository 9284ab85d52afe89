//! The node of a suppression.

use std::sync::Arc;

use super::{NodeStores, OperatorNode, Site};
use crate::operator::{FoldError, Operator, Suppress, SuppressSettings, SuppressUntil, WhenFull};

/// Holds changes of a table back. The settings' store is its number in the topology; what is set where the operator is made is not looked at.
#[derive(Debug, Clone)]
pub(crate) struct SuppressNode {
    pub(crate) settings: SuppressSettings,
}

impl OperatorNode for SuppressNode {
    fn create(&self, site: &Site<'_>) -> Result<Box<dyn Operator>, FoldError> {
        let settings = SuppressSettings {
            store: (site.store)(self.settings.store),
            schema: Arc::clone(site.output),
            emit: site.emit,
            ..self.settings.clone()
        };
        Ok(Box::new(Suppress::new(settings)?))
    }

    fn stores(&self) -> NodeStores {
        NodeStores { written: vec![self.settings.store], read: Vec::new() }
    }

    fn with_before(&self) -> Option<Arc<dyn OperatorNode>> {
        let settings = SuppressSettings { needs_before: true, ..self.settings.clone() };
        Some(Arc::new(Self { settings }))
    }

    fn passes_before_through(&self) -> bool {
        true
    }

    fn needs_every_update(&self) -> bool {
        self.settings.needs_every_update()
    }

    fn describe(&self, store: &dyn Fn(usize) -> String) -> String {
        let until = match self.settings.until {
            SuppressUntil::WindowCloses { wait, .. } => format!("windows close, {wait} after their end"),
            SuppressUntil::TimeLimit(limit) => format!("{limit} after the first change"),
        };
        let records = self.settings.max_records.map(|most| format!("{most} records"));
        let bytes = self.settings.max_bytes.map(|most| format!("{most} bytes"));
        let most: Vec<String> = records.into_iter().chain(bytes).collect();
        let limit = match (most.is_empty(), self.settings.when_full) {
            (true, _) => String::new(),
            (false, WhenFull::EmitEarly) => format!(", at most {}: then early", most.join(" or ")),
            (false, WhenFull::ShutDown) => format!(", at most {}: then it ends", most.join(" or ")),
        };
        format!("suppress until {until}{limit}, {}", store(self.settings.store))
    }

    fn describe_store(&self, _store: usize) -> (String, String) {
        let growth = match (self.settings.max_records, self.settings.max_bytes) {
            (None, None) => "bounded by the keys that change while they wait".to_owned(),
            (records, bytes) => {
                let records = records.map(|most| format!("{most} records"));
                let bytes = bytes.map(|most| format!("{most} bytes"));
                let most: Vec<String> = records.into_iter().chain(bytes).collect();
                format!("bounded by {}", most.join(" or "))
            }
        };
        ("the newest change of one key that waits".to_owned(), growth)
    }
}
