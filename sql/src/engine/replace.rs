//! Putting a query in the place of another one (CREATE OR REPLACE .. AS SELECT).
//!
//! The new query has the id, and so the positions, stores and internal topics of the old one: it goes on where that stopped. A store that is
//! laid out otherwise is a store of another name, filled from the old one before the statement is recorded; the old one is removed after the
//! new query runs, or when the directory is opened again.
//!
//! Invariant: until the statement is recorded, everything that the old query needs is as it was.

use millstream::{
    log::{Log, SharedLog},
    operator::StoreSpec,
    runtime::{StreamsError, carry_over, delete_store},
    topology::Topology,
};
use millstream_state::StateBackend;

use super::{
    Inner,
    error::EngineError,
    properties::SessionProperties,
    running::{OnFailure, RunningQuery},
};
use crate::{
    catalog::{QueryId, QueryShape, versioned},
    planner::PersistentPlan,
};

/// Fills the stores of `new` that are laid out otherwise than those of `old`.
pub(super) fn fill_stores(
    old: (&QueryShape, &Topology),
    new: (&QueryShape, &Topology),
    application: &str,
    log: &SharedLog,
) -> Result<(), StreamsError> {
    let find = |topology: &Topology, name: &str| -> Option<StoreSpec> {
        topology.stores().iter().find(|store| store.name == name).cloned()
    };
    for store in &new.0.stores {
        let Some(kept) = old.0.stores.iter().find(|kept| kept.base == store.base) else { continue };
        if kept.version == store.version {
            continue;
        }
        if let (Some(from), Some(to)) = (find(old.1, &kept.name()), find(new.1, &store.name())) {
            carry_over(&from, &to, application, log)?;
        }
    }
    Ok(())
}

/// Removes the stores that a query had before those that it has now.
pub(super) fn forget_older_stores(
    shape: &QueryShape,
    application: &str,
    log: &dyn Log,
    state: Option<&StateBackend>,
) -> Result<(), StreamsError> {
    for store in &shape.stores {
        for version in 1..store.version {
            delete_store(&versioned(&store.base, version), application, log, state)?;
        }
    }
    Ok(())
}

/// In a service other processes go on with the old query until they have read that it is replaced, so its stores must stay as they are.
fn check_kept_layout(id: &QueryId, old: &QueryShape, new: &QueryShape) -> Result<(), EngineError> {
    let changed = new
        .stores
        .iter()
        .find(|store| old.stores.iter().any(|kept| kept.base == store.base && kept.version != store.version));
    let Some(store) = changed else { return Ok(()) };
    let problem = format!(
        "what store {} keeps would change, which cannot be done while other processes of the service run the query; \
         drop it and create it anew",
        store.base
    );
    Err(EngineError::Query { id: id.0.clone(), problem })
}

impl Inner {
    /// Stops a query and fills the stores of the one that takes its place. Gives the stopped one, which runs again if something fails here.
    pub(super) fn take_over(
        &self,
        id: &QueryId,
        old: &QueryShape,
        plan: &PersistentPlan,
    ) -> Result<RunningQuery, EngineError> {
        if self.member.is_some() {
            check_kept_layout(id, old, &plan.shape)?;
        }
        let Some(stopped) = self.stop_query(id) else {
            return Err(EngineError::Query { id: id.0.clone(), problem: "it is not running".to_owned() });
        };
        let (from, to) = ((old, &stopped.topology), (&plan.shape, &plan.topology));
        match fill_stores(from, to, &stopped.application, &self.shared) {
            Ok(()) => Ok(stopped),
            Err(error) => {
                let error = EngineError::start(&id.0, &error);
                self.bring_back(id, stopped);
                Err(error)
            }
        }
    }

    /// Lets a stopped query run again.
    pub(super) fn bring_back(&self, id: &QueryId, stopped: RunningQuery) {
        self.run_query(id, stopped, OnFailure::Keep).unwrap_or_else(|error| {
            tracing::error!(query = %id, %error, "query does not start again");
        });
    }

    /// Starts the query that takes the place of a stopped one.
    pub(super) fn start_in_place(
        &self,
        id: &QueryId,
        plan: PersistentPlan,
        properties: &SessionProperties,
        on_failure: OnFailure,
    ) -> Result<(), EngineError> {
        let shape = plan.shape.clone();
        self.start_query(id, plan, properties, on_failure)?;
        self.forget_older(id, &shape);
        Ok(())
    }

    /// Removes the stores that a running query had before. That this fails is no reason not to run.
    pub(super) fn forget_older(&self, id: &QueryId, shape: &QueryShape) {
        if self.member.is_some() {
            // Stores keep their layouts there.
            return;
        }
        let log: &dyn Log = self.shared.as_ref();
        if let Err(error) = forget_older_stores(shape, &self.application(id), log, Some(self.state.as_ref())) {
            tracing::error!(query = %id, %error, "stores that are not needed any more could not be removed");
        }
    }
}
