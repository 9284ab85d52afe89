//! When everything is done: sources have nothing more to read, and no query has anything left to do; paused ones do not count.
//!
//! Queries are chained through topics, so that one look is not enough: between looking at the first and the second, the first may have
//! written for the second. Two looks with nothing done in between are.
//!
//! In a service queries count as a whole, whichever process has their tasks; connectors count where they run.

use std::time::Duration;

use super::{Engine, EngineError, Progress, QueryState};

/// How long a look waits for something to happen.
const PAUSE: Duration = Duration::from_millis(2);
/// The same where looking means asking brokers.
const PAUSE_ON_CLUSTER: Duration = Duration::from_millis(50);
/// How often progress is told.
const TELL: Duration = Duration::from_millis(100);

/// What was done until a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Done {
    rows: u64,
    records_in: u64,
    records_out: u64,
}

impl Engine {
    /// Waits until connectors are exhausted or idle and every query has caught up.
    ///
    /// # Errors
    /// [`EngineError::StillBusy`] after `timeout`; [`EngineError::Query`] or [`EngineError::Connector`] if one failed.
    pub fn wait_until_idle(
        &self,
        timeout: Option<Duration>,
        on_progress: &mut dyn FnMut(&Progress),
    ) -> Result<(), EngineError> {
        let clock = &self.inner.clock;
        let start = clock.monotonic();
        let mut told = start;
        let mut idle_before: Option<Done> = None;
        loop {
            let progress = self.progress();
            check_failures(&progress)?;
            let busy = busy(&progress);
            let done = done(&progress);
            if busy.is_none() && idle_before.as_ref() == Some(&done) {
                on_progress(&progress);
                return Ok(());
            }
            let now = clock.monotonic();
            if now.saturating_sub(told) >= TELL {
                told = now;
                on_progress(&progress);
            }
            let waited = now.saturating_sub(start);
            if timeout.is_some_and(|timeout| waited >= timeout) {
                let what = busy.unwrap_or_else(|| "settling".to_owned());
                return Err(EngineError::StillBusy { waited, what });
            }
            idle_before = busy.is_none().then_some(done);
            std::thread::sleep(if self.inner.member.is_some() { PAUSE_ON_CLUSTER } else { PAUSE });
        }
    }
}

fn check_failures(progress: &Progress) -> Result<(), EngineError> {
    if let Some(connector) = progress.connectors.iter().find(|connector| connector.state == "FAILED") {
        let problem = connector.error.clone().unwrap_or_default();
        return Err(EngineError::Connector { name: connector.name.clone(), problem });
    }
    if let Some(query) = progress.queries.iter().find(|query| query.state == QueryState::Failed) {
        return Err(EngineError::Query { id: query.id.clone(), problem: query.error.clone().unwrap_or_default() });
    }
    Ok(())
}

/// What is not done, if anything.
fn busy(progress: &Progress) -> Option<String> {
    let connectors = progress.connectors.iter().filter(|connector| !connector.idle);
    let connectors = connectors.map(|connector| format!("connector {} at work", connector.name));
    let queries = progress.queries.iter().filter(|query| query.lag > 0 && query.state != QueryState::Paused);
    let queries = queries.map(|query| format!("query {} is {} records behind", query.id, query.lag));
    connectors.chain(queries).next()
}

fn done(progress: &Progress) -> Done {
    Done {
        rows: progress.connectors.iter().map(|connector| connector.rows).sum(),
        records_in: progress.queries.iter().map(|query| query.records_in).sum(),
        records_out: progress.queries.iter().map(|query| query.records_out).sum(),
    }
}
