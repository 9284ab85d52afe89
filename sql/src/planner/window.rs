//! WINDOW: the windows of a clause, their grace and how long they are kept, with ksqlDB's defaults.

use millstream::{
    record::TimeSpan,
    window::{SessionWindows, TimeWindows, Windows},
};

use super::error::PlanError;
use crate::syntax::ast::{self, Emit, StreamQuery, Window, WindowClause};

const DAY_MS: i64 = 86_400_000;

/// An interval as a length of time.
pub(super) fn span(interval: &ast::Interval) -> TimeSpan {
    TimeSpan::from_millis(interval.millis()).unwrap_or_default()
}

/// The windows of a query as text, if it has any.
pub(super) fn text(query: &StreamQuery) -> String {
    let Some(clause) = &query.window else { return String::new() };
    match windows_of(clause, is_final(query)) {
        Ok(windows) => format!(" in windows {windows}"),
        Err(_) => String::new(),
    }
}

/// Whether only final results are wanted.
pub(super) fn is_final(query: &StreamQuery) -> bool {
    query.emit.as_ref().is_some_and(|emit| emit.node == Emit::Final)
}

/// The windows of a clause.
///
/// # Errors
/// If there are no such windows.
pub(super) fn windows_of(clause: &WindowClause, is_final: bool) -> Result<Windows, PlanError> {
    let (length, advance) = match &clause.window {
        Window::Tumbling { size } => (size, size),
        Window::Hopping { size, advance } => (size, advance),
        Window::Session { gap } => (gap, gap),
    };
    // ksqlDB's defaults: a day in all, as Kafka Streams had it before grace was asked for; none if only final results are wanted.
    let default = if is_final { 0 } else { (DAY_MS - length.millis()).max(0) };
    let grace = clause.grace.as_ref().map_or(TimeSpan::from_millis(default).unwrap_or_default(), span);
    let windows = match &clause.window {
        Window::Session { gap } => SessionWindows::new(span(gap), grace).map(Windows::Session),
        _ => TimeWindows::hopping(span(length), span(advance), grace).map(Windows::Time),
    };
    windows.map_err(|error| PlanError::invalid(clause.span.start, error.to_string()))
}

/// How long windows are kept, if that is written.
///
/// # Errors
/// If it is shorter than the windows are open.
pub(super) fn retention(query: &StreamQuery) -> Result<Option<TimeSpan>, PlanError> {
    let Some(clause) = &query.window else { return Ok(None) };
    let Some(written) = &clause.retention else { return Ok(None) };
    let least = windows_of(clause, is_final(query))?.least_retention();
    if written.millis() < least.millis() {
        let problem = format!("RETENTION {} is shorter than size and grace period, {least}", span(written));
        return Err(PlanError::invalid_hint(
            written.span.start,
            problem,
            "give a shorter GRACE PERIOD or a longer RETENTION",
        ));
    }
    Ok(Some(span(written)))
}
