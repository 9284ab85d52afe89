//! The queues of a [`Catalog`].

use super::{Catalog, near};
use crate::{
    catalog::{CatalogError, DeclaredQueue},
    syntax::{Position, ast::Name},
};

impl Catalog {
    /// The queues, by name.
    pub fn queues(&self) -> impl Iterator<Item = &DeclaredQueue> {
        self.queues.values()
    }

    /// A queue by its exact name.
    pub fn queue(&self, name: &str) -> Option<&DeclaredQueue> {
        self.queues.get(name)
    }

    /// The queue that a statement names.
    ///
    /// # Errors
    /// [`CatalogError::UnknownQueue`] if there is none.
    pub fn expect_queue(&self, name: &Name) -> Result<&DeclaredQueue, CatalogError> {
        self.queues.get(&name.value).ok_or_else(|| {
            let (suggestion, known) = near(&name.value, self.queues.keys().map(String::as_str));
            CatalogError::UnknownQueue { at: name.span.start, name: name.value.clone(), suggestion, known }
        })
    }

    /// Records a queue.
    ///
    /// # Errors
    /// [`CatalogError::AlreadyExists`] if there is one of that name.
    pub fn add_queue(&mut self, queue: DeclaredQueue, at: Position) -> Result<(), CatalogError> {
        if self.queues.contains_key(&queue.name) {
            let advice = "drop it first, or write IF NOT EXISTS";
            return Err(CatalogError::AlreadyExists { at, what: "queue", name: queue.name, advice });
        }
        self.queues.insert(queue.name.clone(), queue);
        Ok(())
    }

    /// Takes a queue away.
    ///
    /// # Errors
    /// [`CatalogError::UnknownQueue`] if there is none.
    pub fn drop_queue(&mut self, name: &Name) -> Result<DeclaredQueue, CatalogError> {
        let queue = self.expect_queue(name)?.clone();
        self.queues.remove(&name.value);
        Ok(queue)
    }
}
