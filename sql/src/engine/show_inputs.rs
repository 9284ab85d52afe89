//! SHOW QUERIES EXTENDED, and the inputs in DESCRIBE .. EXTENDED: how far each query is, partition by partition.

use super::{Session, error::EngineError, lag::InputLag, text_table::TextTable};
use crate::{catalog::QueryId, response::Response};

/// One row a query and partition that it reads.
pub(super) fn queries(session: &Session, ids: &[QueryId]) -> Result<Response, EngineError> {
    let mut table = TextTable::new(&["Query", "Topic", "Partition", "Position", "End", "Behind"]);
    for id in ids {
        for input in session.inner.input_lags(id)? {
            table.row(vec![
                id.to_string(),
                input.partition.topic.to_string(),
                input.partition.partition.to_string(),
                input.next.to_string(),
                input.end.to_string(),
                input.lag.to_string(),
            ]);
        }
    }
    Ok(table.into_response())
}

/// The inputs of a query in a line: `orders/0 at 17 of 20, 3 behind`.
pub(super) fn line(session: &Session, id: &QueryId) -> Result<String, EngineError> {
    let shown = |input: InputLag| {
        let InputLag { partition, next, end, lag } = &input;
        format!("{}/{} at {next} of {end}, {lag} behind", partition.topic, partition.partition)
    };
    Ok(session.inner.input_lags(id)?.into_iter().map(shown).collect::<Vec<_>>().join("; "))
}
