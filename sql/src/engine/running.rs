//! What runs: persistent queries and connectors.

use std::{collections::BTreeMap, sync::Arc};

use millstream::{
    operator::Reason,
    query::View,
    runtime::{Status, Streams, StreamsConfig, delete_application},
    topology::Topology,
};
use millstream_connectors::{ConnectorState, RunningConnector};

use super::{
    Inner,
    error::EngineError,
    progress::{ConnectorProgress, Progress, QueryProgress, QueryState},
    properties::SessionProperties,
};
use crate::{
    catalog::QueryId,
    planner::{PersistentPlan, ViewPlan, legal},
    pull::Views,
};

/// The queries and connectors of an engine.
#[derive(Default)]
pub(super) struct Running {
    pub(super) queries: BTreeMap<QueryId, RunningQuery>,
    pub(super) connectors: BTreeMap<String, RunningConnector>,
}

/// A persistent query at work.
pub(super) struct RunningQuery {
    pub(super) topology: Topology,
    pub(super) application: String,
    /// The stream or table that it writes.
    pub(super) sink: String,
    /// How the rows of that table are read.
    pub(super) view: Option<ViewPlan>,
    pub(super) streams: Streams,
}

/// The name under which a query commits and keeps its topics and stores.
pub(super) fn application_id(query: &QueryId) -> String {
    format!("_millstream-{}", legal(&query.0).to_ascii_lowercase())
}

impl Inner {
    /// Starts a planned query, its topic being there.
    pub(super) fn start_query(
        &self,
        id: &QueryId,
        plan: PersistentPlan,
        properties: &SessionProperties,
    ) -> Result<(), EngineError> {
        let application = application_id(id);
        let streams = Streams::start(&plan.topology, self.streams_config(&application, properties))
            .map_err(|error| EngineError::start(&id.0, &error))?;
        let PersistentPlan { topology, sink, view, .. } = plan;
        let running = RunningQuery { topology, application, sink: sink.name, view, streams };
        self.running.lock().queries.insert(id.clone(), running);
        Ok(())
    }

    pub(super) fn streams_config(&self, application: &str, properties: &SessionProperties) -> StreamsConfig {
        let mut config = StreamsConfig::new(application, Arc::clone(&self.shared), Arc::clone(&self.state));
        config.threads = self.config.threads;
        config.commit_interval = properties.commit_interval(self.config.commit_interval);
        config.emit = properties.emit(self.config.emit);
        config.clock = Arc::clone(&self.clock);
        config
    }

    /// Ends a query and removes what it has kept; its output stays.
    pub(super) fn end_query(&self, id: &QueryId) -> Result<(), EngineError> {
        let Some(query) = self.running.lock().queries.remove(id) else { return Ok(()) };
        // Why it failed, if it had, is of no interest any more.
        let _ = query.streams.stop();
        delete_application(&query.topology, &query.application, self.shared.as_ref(), self.state.as_ref())
            .map_err(|error| EngineError::start(&id.0, &error))
    }

    pub(super) fn progress(&self) -> Progress {
        let running = self.running.lock();
        let connectors = running.connectors.values().map(connector_progress).collect();
        let queries = running.queries.iter().map(|(id, query)| query_progress(id, query)).collect();
        Progress { connectors, queries }
    }
}

impl Views for Inner {
    fn view(&self, table: &str) -> Option<(View, ViewPlan)> {
        let running = self.running.lock();
        let query = running.queries.values().find(|query| query.sink == table && query.view.is_some())?;
        let plan = query.view.clone()?;
        Some((query.streams.view(&plan.store)?, plan))
    }
}

fn connector_progress(connector: &RunningConnector) -> ConnectorProgress {
    let status = connector.status();
    ConnectorProgress {
        name: status.name,
        state: status.state.to_string(),
        idle: status.state != ConnectorState::Running || connector.is_idle().unwrap_or(false),
        rows: status.rows,
        rejected: status.rejected,
        done: status.progress.done,
        total: status.progress.total,
        error: status.last_error,
    }
}

fn query_progress(id: &QueryId, query: &RunningQuery) -> QueryProgress {
    let metrics = query.streams.metrics();
    let (state, error) = match query.streams.status() {
        Status::Running => (QueryState::Running, None),
        Status::Failed { error } => (QueryState::Failed, Some(error)),
        Status::Stopped => (QueryState::Stopped, None),
    };
    let dead = |wanted: fn(Reason) -> bool| {
        metrics.dead_letters.iter().filter(|(reason, _)| wanted(*reason)).map(|(_, count)| count).sum()
    };
    QueryProgress {
        id: id.0.clone(),
        state,
        records_in: metrics.records_in,
        records_out: metrics.records_out,
        lag: query.streams.lag().unwrap_or(u64::MAX),
        late: dead(|reason| reason == Reason::Late),
        errors: dead(|reason| reason != Reason::Late),
        error,
    }
}
