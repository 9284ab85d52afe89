//! What runs: persistent queries and connectors.

use std::{collections::BTreeMap, sync::Arc};

use millstream::{
    operator::Reason,
    query::View,
    runtime::{Status, Streams, StreamsConfig, delete_application, delete_local_state},
    topology::Topology,
};
use millstream_connectors::ConnectorState;

use super::{
    Inner,
    claim::Claimed,
    config::handlers,
    error::EngineError,
    lag::InputLag,
    progress::{ConnectorProgress, Progress, QueryProgress, QueryState},
    properties::SessionProperties,
    service,
};
use crate::{
    catalog::QueryId,
    planner::{LogicalPlan, PersistentPlan, ViewPlan, legal},
    pull::Views,
};

/// The queries and connectors of an engine.
#[derive(Default)]
pub(super) struct Running {
    pub(super) queries: BTreeMap<QueryId, RunningQuery>,
    pub(super) connectors: BTreeMap<String, Claimed>,
    /// Connectors that did not start when the directory was opened, and why.
    pub(super) unstarted: BTreeMap<String, String>,
}

/// A persistent query at work.
pub(super) struct RunningQuery {
    pub(super) topology: Topology,
    /// What it does, clause by clause.
    pub(super) logical: LogicalPlan,
    pub(super) application: String,
    /// The stream or table that it writes.
    pub(super) sink: String,
    /// How the rows of that table are read.
    pub(super) view: Option<ViewPlan>,
    /// Those of the session that started it.
    pub(super) properties: SessionProperties,
    /// Why it did not start, if it did not when the directory was opened.
    pub(super) streams: Result<Streams, String>,
}

/// What becomes of a query or connector that does not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnFailure {
    /// It is refused: nothing of it stays.
    Refuse,
    /// It stays, as failed, until it is ended.
    Keep,
}

/// An id that is longer is shortened in the name of its application.
const LONGEST_ID: usize = 100;
/// How much of such an id stays, its number not counted.
const SHORTENED_ID: usize = 60;

/// The name under which a query commits and keeps its topics and stores. No two queries have the same: generated ids end in a number of
/// their own, which is always part of it, and [`check_query_id`](super::names::check_query_id) sees to the others.
pub(super) fn application_id(query: &QueryId) -> String {
    let id = &query.0;
    let short = match id.rsplit_once('_') {
        Some((name, number)) if id.chars().count() > LONGEST_ID => {
            let kept: String = name.chars().take(SHORTENED_ID).collect();
            legal(&format!("{kept}_{number}"))
        }
        _ => legal(id),
    };
    format!("_millstream-{}", short.to_ascii_lowercase())
}

impl Inner {
    /// Starts a planned query, its topic being there.
    pub(super) fn start_query(
        &self,
        id: &QueryId,
        plan: PersistentPlan,
        properties: &SessionProperties,
        on_failure: OnFailure,
    ) -> Result<(), EngineError> {
        let PersistentPlan { topology, sink, view, logical, .. } = plan;
        let query = RunningQuery {
            topology,
            logical,
            application: self.application(id),
            sink: sink.name,
            view,
            properties: properties.clone(),
            streams: Err("it was not started".to_owned()),
        };
        self.run_query(id, query, on_failure)
    }

    /// Lets a query run that does not.
    pub(super) fn run_query(
        &self,
        id: &QueryId,
        mut query: RunningQuery,
        on_failure: OnFailure,
    ) -> Result<(), EngineError> {
        let mut config = self.streams_config(&query.application, &query.properties);
        config.paused = self.catalog.read().query(id).is_some_and(|query| query.paused);
        query.streams = match Streams::start(&query.topology, config) {
            Err(error) if on_failure == OnFailure::Refuse => {
                return Err(EngineError::start_of(&id.0, &error, &self.catalog.read()));
            }
            started => started.map_err(|error| error.to_string()),
        };
        if let Err(error) = &query.streams {
            tracing::error!(query = %id, %error, "query does not start");
        }
        self.running.lock().queries.insert(id.clone(), query);
        Ok(())
    }

    /// Lets a query wait or go on.
    pub(super) fn pause_query(&self, id: &QueryId, paused: bool) {
        if let Some(Ok(streams)) = self.running.lock().queries.get(id).map(|query| &query.streams) {
            streams.set_paused(paused);
        }
    }

    pub(super) fn streams_config(&self, application: &str, properties: &SessionProperties) -> StreamsConfig {
        let mut config = StreamsConfig::new(application, Arc::clone(&self.shared), Arc::clone(&self.state));
        config.threads = self.config.threads;
        config.commit_interval = properties.commit_interval(self.config.commit_interval);
        config.emit = properties.emit(self.config.emit);
        config.clock = Arc::clone(&self.clock);
        config.reads = Arc::clone(&self.reads);
        config.handlers = handlers();
        config.queries = self.member.as_ref().map(|member| Arc::clone(&member.queries));
        if let Some(cluster) = &self.config.cluster {
            config.standby_replicas = cluster.standby_replicas;
            config.instance = cluster.kafka.instance().map(str::to_owned);
        }
        config
    }

    /// The name under which a query commits and keeps its topics and stores.
    pub(super) fn application(&self, id: &QueryId) -> String {
        service::application(id, self.member.as_ref().map(|member| &member.service))
    }

    /// Stops a query in this process, after what it has processed is committed.
    pub(super) fn stop_query(&self, id: &QueryId) -> Option<RunningQuery> {
        let mut query = self.running.lock().queries.remove(id)?;
        if let Ok(streams) = std::mem::replace(&mut query.streams, Err("it was stopped".to_owned())) {
            // Why it failed, if it had, is of no interest any more.
            let _ = streams.stop();
        }
        Some(query)
    }

    /// Ends a query and removes what it has kept; its output stays.
    pub(super) fn end_query(&self, id: &QueryId) -> Result<(), EngineError> {
        let Some(query) = self.stop_query(id) else { return Ok(()) };
        self.end_group(&query.application);
        delete_application(&query.topology, &query.application, self.shared.as_ref(), self.state.as_ref())
            .map_err(|error| EngineError::start(&id.0, &error))
    }

    /// Ends a query that another process has ended for the whole service: only what is in this process is removed.
    pub(super) fn leave_query(&self, id: &QueryId) -> Result<(), EngineError> {
        let Some(query) = self.stop_query(id) else { return Ok(()) };
        delete_local_state(&query.application, self.state.as_ref())
            .map(drop)
            .map_err(|error| EngineError::start(&id.0, &error))
    }

    pub(super) fn progress(&self) -> Progress {
        let running = self.running.lock();
        let connectors = running.connectors.iter().map(|(name, connector)| connector.progress(name));
        let mut connectors: Vec<ConnectorProgress> = connectors.collect();
        connectors.extend(running.unstarted.iter().map(|(name, error)| unstarted(name, error)));
        connectors.sort_by(|a, b| a.name.cmp(&b.name));
        let queries = running.queries.iter().map(|(id, query)| self.query_progress(id, query)).collect();
        Progress { connectors, queries }
    }

    /// How far a query is in each partition that it reads; nothing if it does not run.
    ///
    /// # Errors
    /// Those of the log.
    pub(super) fn input_lags(&self, id: &QueryId) -> Result<Vec<InputLag>, EngineError> {
        let running = self.running.lock();
        let Some(Ok(streams)) = running.queries.get(id).map(|query| &query.streams) else { return Ok(Vec::new()) };
        let lags = self.tails.lags(streams, self.shared.as_ref());
        lags.map_err(|error| EngineError::start(&id.0, &error))
    }
}

impl Views for Inner {
    fn view(&self, table: &str) -> Option<(View, ViewPlan)> {
        let running = self.running.lock();
        let query = running.queries.values().find(|query| query.sink == table && query.view.is_some())?;
        let plan = query.view.clone()?;
        Some((query.streams.as_ref().ok()?.view(&plan.store)?, plan))
    }
}

fn unstarted(name: &str, error: &str) -> ConnectorProgress {
    ConnectorProgress::at_rest(name, ConnectorState::Failed.to_string(), Some(error.to_owned()))
}

impl Inner {
    fn query_progress(&self, id: &QueryId, query: &RunningQuery) -> QueryProgress {
        let streams = match &query.streams {
            Ok(streams) => streams,
            Err(error) => {
                return QueryProgress {
                    id: id.0.clone(),
                    state: QueryState::Failed,
                    records_in: 0,
                    records_out: 0,
                    commits: 0,
                    lag: 0,
                    late: 0,
                    errors: 0,
                    error: Some(error.clone()),
                };
            }
        };
        let metrics = streams.metrics();
        let (state, error) = match streams.status() {
            Status::Running if streams.is_paused() => (QueryState::Paused, None),
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
            commits: metrics.commits,
            lag: self.lag(streams),
            late: dead(|reason| reason == Reason::Late),
            errors: dead(|reason| reason != Reason::Late),
            error,
        }
    }

    /// How many records wait in the inputs of a query; the greatest number if that is not known.
    fn lag(&self, streams: &Streams) -> u64 {
        // In a service other processes have a part of the work: the log knows about all of it.
        let lags = self.tails.lags(streams, self.shared.as_ref());
        lags.map_or(u64::MAX, |lags| lags.iter().map(|input| input.lag).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn applications_of_different_queries_differ() {
        let check = |id: &str, want: &str| assert_eq!(application_id(&QueryId(id.to_owned())), want);
        check("CTAS_T_0", "_millstream-ctas_t_0");
        check("CSAS_\u{e9}_7", "_millstream-csas___7");
        let long = "X".repeat(200);
        let start = format!("_millstream-ctas_{}", "x".repeat(SHORTENED_ID - 5));
        check(&format!("CTAS_{long}_12"), &format!("{start}_12"));
        check(&format!("CTAS_{long}_13"), &format!("{start}_13"));
    }
}
