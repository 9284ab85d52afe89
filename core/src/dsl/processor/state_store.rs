//! Handles to state stores, and the way from a handle to the rows of a task.

use crate::{
    operator::{ProcessorError, TaskStore},
    record::Timestamp,
};

/// A state store, by its name: what a processor is connected to.
pub trait StateStore {
    /// The name, unique in the topology.
    fn name(&self) -> &str;

    /// Whether processors cannot write it.
    fn is_read_only(&self) -> bool {
        false
    }
}

/// A typed state store: what [`store`](super::ProcessingContext::store) opens.
pub trait StoreHandle: StateStore {
    /// The rows of the task's partition, to be read and written.
    type Rows<'a>;

    /// Opens the rows.
    ///
    /// # Errors
    /// If the types of keys or values have no columns.
    fn open<'a>(&self, access: StoreAccess<'a>) -> Result<Self::Rows<'a>, ProcessorError>;
}

/// The way to the rows of a store: what an open store is made of.
pub struct StoreAccess<'a> {
    pub(super) store: &'a mut TaskStore,
    /// When what is written is said to have happened.
    pub(super) timestamp: Timestamp,
    /// The task's stream time.
    pub(super) stream_time: Timestamp,
}

/// An error of a store: nothing that is read or written after it could be trusted.
pub(super) fn failed(problem: impl std::fmt::Display) -> ProcessorError {
    ProcessorError::fatal(problem)
}
