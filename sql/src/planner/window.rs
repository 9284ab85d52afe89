//! The windows of a query: from the clause to what the DSL takes, and to what the catalog says about the result.
//!
//! Grace and retention default as in ksqlDB. CUMULATE, OFFSET and TIMEZONE are as in Flink SQL; keys in windows that are not all of one length
//! (CUMULATE, TIMEZONE) are written with both bounds, as those of sessions are.

use millstream::{
    record::TimeSpan,
    window::{EmitStrategy, InvalidWindow, SessionWindows, TimeWindows, Windows},
};

use super::{PlanError, zone};
use crate::{
    catalog::{WindowInfo, WindowType},
    syntax::{
        Span,
        ast::{Emit, Interval, StreamQuery, Window, WindowClause},
    },
};

const DAY_MS: i64 = 86_400_000;

/// An interval as a length of time.
pub(super) fn span(interval: &Interval) -> TimeSpan {
    TimeSpan::from_millis(interval.millis()).unwrap_or_default()
}

/// The windows of a clause.
///
/// # Errors
/// [`PlanError`] at the part of the clause that does not fit the others.
pub(super) fn windows_of(clause: &WindowClause, is_final: bool) -> Result<Windows, PlanError> {
    let (length, step) = match &clause.window {
        Window::Tumbling { size } => (size, size),
        Window::Hopping { size, advance: step } | Window::Cumulate { size, step } => (size, step),
        Window::Session { gap } => (gap, gap),
    };
    // ksqlDB's defaults: a day in all, as Kafka Streams had it before grace was asked for; none if only final results are wanted.
    let default = if is_final { 0 } else { (DAY_MS - length.millis()).max(0) };
    let grace = clause.grace.as_ref().map_or(TimeSpan::from_millis(default).unwrap_or_default(), span);
    let at = |place: Span| move |error: InvalidWindow| PlanError::invalid(place.start, error.to_string());
    let mut windows = match &clause.window {
        Window::Session { gap } => {
            return SessionWindows::new(span(gap), grace).map(Windows::Session).map_err(at(clause.span));
        }
        Window::Cumulate { .. } => TimeWindows::cumulating(span(length), span(step), grace).map_err(at(step.span))?,
        _ => TimeWindows::hopping(span(length), span(step), grace).map_err(at(clause.span))?,
    };
    if let Some(offset) = &clause.offset {
        windows = windows.with_offset(span(offset)).map_err(at(offset.span))?;
    }
    if let Some(written) = &clause.zone {
        windows = windows.in_zone(zone::local_time(written)?).map_err(at(written.span))?;
    }
    Ok(Windows::Time(windows))
}

/// How long closed windows are kept, if the query says so.
///
/// # Errors
/// If that is shorter than they are open.
pub(super) fn retention(query: &StreamQuery, windows: Option<&Windows>) -> Result<Option<TimeSpan>, PlanError> {
    let written = query.window.as_ref().and_then(|clause| clause.retention.as_ref());
    let (Some(written), Some(windows)) = (written, windows) else { return Ok(None) };
    let least = windows.least_retention();
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

/// Whether only final results are wanted.
pub(super) fn is_final(query: &StreamQuery) -> bool {
    query.emit.as_ref().is_some_and(|emit| emit.node == Emit::Final)
}

/// The windows of a query as text, with every setting; none without windows.
pub(crate) fn shown(query: &StreamQuery) -> Option<String> {
    let windows = windows_of(query.window.as_ref()?, is_final(query)).ok()?;
    Some(windows.to_string())
}

/// Which final results are passed on. As ksqlDB has it, a window that is no longer kept when it closes is not; of windows that ksqlDB does not
/// have, all are.
pub(super) fn final_strategy(windows: Option<&Windows>) -> EmitStrategy {
    match windows {
        Some(Windows::Time(windows)) if !windows.is_numbered_by_start() => EmitStrategy::OnClose,
        _ => EmitStrategy::OnCloseIfKept,
    }
}

/// What the catalog says about a result with such windows.
pub(super) fn info(windows: &Windows) -> WindowInfo {
    match windows {
        Windows::Session(_) => WindowInfo { window_type: WindowType::Session, size_ms: None },
        Windows::Sliding(_) => unreachable!("SQL has no sliding windows"),
        Windows::Time(windows) => {
            let window_type = match (windows.is_cumulating(), windows.is_tumbling()) {
                (true, _) => WindowType::Cumulate,
                (false, true) => WindowType::Tumbling,
                (false, false) => WindowType::Hopping,
            };
            WindowInfo { window_type, size_ms: windows.has_one_length().then(|| windows.size().millis()) }
        }
    }
}
