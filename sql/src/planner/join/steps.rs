//! The steps of a join, looked at before anything is built: how each is done, over which equalities, and which key its result has.

use super::{
    condition::{self, Equality},
    keys::JoinKey,
};
use crate::{
    catalog::Source,
    planner::{error::PlanError, scope::Scope, window::is_final},
    syntax::ast::{self, JoinKind, SourceKind, StreamQuery},
};

/// How a step is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// Records that lie close together in time.
    StreamStream,
    /// Records meet rows.
    StreamTable,
    /// Rows of equal primary keys.
    TableTable,
    /// Rows of the left meet those whose primary key they name.
    ForeignKey,
}

/// One step.
pub(super) struct Step<'a> {
    pub(super) written: &'a ast::Join,
    /// The number of the source that it adds.
    pub(super) number: usize,
    pub(super) method: Method,
    /// In the order of the right side's key columns where these are what is compared.
    pub(super) on: Vec<Equality>,
    /// Whether the left side has this key already.
    pub(super) keeps_left: bool,
    /// Whether the right side has this key already.
    pub(super) keeps_right: bool,
    /// Whether what meets nothing is to be passed on only when nothing can meet it any more.
    pub(super) is_final: bool,
}

/// The steps of a query, and the key of its result.
///
/// # Errors
/// [`PlanError`] with the place of what does not fit.
pub(super) fn steps<'a>(
    query: &'a StreamQuery,
    scope: &Scope,
    sources: &[Source],
) -> Result<(Vec<Step<'a>>, JoinKey), PlanError> {
    let mut kind = sources[0].kind;
    let mut key = JoinKey::of_source(&sources[0]);
    let mut steps = Vec::new();
    for (index, written) in query.joins.iter().enumerate() {
        let number = index + 1;
        let right = &sources[number];
        check_windowed(&sources[0], right, written, scope)?;
        let on = condition::equalities(written, scope, number)?;
        let (mut step, next) = step(written, number, on, (kind, &key), (scope, sources))?;
        step.is_final = is_final(query);
        if right.window.is_some() && !(step.keeps_left && step.keeps_right) {
            let hint = "join on the key of both, which must be windowed alike";
            let problem = "Implicit repartitioning of windowed sources is not supported.".to_owned();
            return Err(PlanError::invalid_hint(written.on.span.start, problem, hint));
        }
        key = next;
        kind = if step.method == Method::StreamTable { SourceKind::Stream } else { right.kind };
        steps.push(step);
    }
    Ok((steps, key))
}

fn step<'a>(
    written: &'a ast::Join,
    number: usize,
    on: Vec<Equality>,
    (kind, key): (SourceKind, &JoinKey),
    (scope, sources): (&Scope, &[Source]),
) -> Result<(Step<'a>, JoinKey), PlanError> {
    let right = &sources[number];
    let at = written.span.start;
    let by_key = in_key_order(&on, right, number);
    let method = match (kind, right.kind) {
        (SourceKind::Stream, SourceKind::Stream) => Method::StreamStream,
        (SourceKind::Stream, SourceKind::Table) => Method::StreamTable,
        (SourceKind::Table, SourceKind::Table) => Method::TableTable,
        (SourceKind::Table, SourceKind::Stream) => {
            let (left, kind) = (&sources[0].name, join_words(written.kind));
            let problem = format!(
                "Invalid join order: table-stream joins are not supported; only stream-table joins. Got {left} {kind} {}.",
                right.name
            );
            let hint = format!("write FROM {} .. JOIN {left}", right.name);
            return Err(PlanError::invalid_hint(at, problem, hint));
        }
    };
    match (&written.within, method) {
        (None, Method::StreamStream) => {
            let problem = format!(
                "{} and {} are streams: a join of streams must have a WITHIN clause",
                scope.sources[0].name, right.name
            );
            return Err(PlanError::invalid_hint(at, problem, "write .. JOIN .. WITHIN 10 SECONDS ON .."));
        }
        (Some(within), Method::StreamTable | Method::TableTable) => {
            return Err(PlanError::invalid(
                within.span.start,
                "A window definition was provided: WITHIN is for joins of streams with streams",
            ));
        }
        _ => {}
    }
    if method == Method::StreamTable && matches!(written.kind, JoinKind::Right | JoinKind::Full) {
        let problem = "Invalid join type: a stream is joined with a table by INNER or LEFT JOIN only";
        return Err(PlanError::invalid_hint(at, problem, "use LEFT JOIN"));
    }
    if method == Method::StreamStream {
        let keeps_left = key.is(&on, false);
        let keeps_right = by_key.is_some();
        let on = if keeps_left { on } else { by_key.filter(|_| !keeps_left).unwrap_or(on) };
        let keeps_right = keeps_right && in_order(&on, right, number);
        let next = key.joined(&on, written.kind, keeps_left);
        return Ok((Step { written, number, method, on, keeps_left, keeps_right, is_final: false }, next));
    }
    let Some(on) = by_key else {
        let names: Vec<&str> = right.key_columns().map(|column| column.name.as_str()).collect();
        let which = if method == Method::StreamTable {
            "stream-table joins require to join on the table's primary key"
        } else {
            "table-table joins require to join on the primary key of the right input table"
        };
        let written_on: Vec<&str> = on.iter().map(|equality| equality.text.as_str()).collect();
        let problem = format!("Invalid join condition: {which}. Got {}.", written_on.join(" AND "));
        let hint = format!(
            "the key of {} is {}; use a table whose key it is: CREATE TABLE .. AS SELECT .. GROUP BY",
            right.name,
            names.join(", ")
        );
        return Err(PlanError::invalid_hint(written.on.span.start, problem, hint));
    };
    let keeps_left = key.is(&on, method == Method::TableTable);
    let (method, next) = match (method, keeps_left) {
        (Method::TableTable, false) => {
            if matches!(written.kind, JoinKind::Right | JoinKind::Full) {
                let problem = "Invalid join type: tables are joined by foreign key with INNER or LEFT JOIN only";
                return Err(PlanError::invalid(at, problem));
            }
            (Method::ForeignKey, key.clone().kept())
        }
        _ => (method, key.joined(&on, written.kind, keeps_left)),
    };
    Ok((Step { written, number, method, on, keeps_left, keeps_right: true, is_final: false }, next))
}

/// A join as ksqlDB's messages write it.
fn join_words(kind: JoinKind) -> &'static str {
    match kind {
        JoinKind::Inner => "[INNER] JOIN",
        JoinKind::Left => "LEFT [OUTER] JOIN",
        JoinKind::Right => "RIGHT [OUTER] JOIN",
        JoinKind::Full => "[FULL] OUTER JOIN",
    }
}

/// The equalities in the order of the key columns of the right side, if they compare exactly these.
fn in_key_order(on: &[Equality], right: &Source, number: usize) -> Option<Vec<Equality>> {
    let keys: Vec<&str> = right.key_columns().map(|column| column.name.as_str()).collect();
    if keys.is_empty() || keys.len() != on.len() {
        return None;
    }
    keys.iter()
        .map(|key| {
            let is = |equality: &&Equality| {
                equality.right.column.as_ref().is_some_and(|(source, name)| *source == number && name == key)
            };
            on.iter().find(is).cloned()
        })
        .collect()
}

fn in_order(on: &[Equality], right: &Source, number: usize) -> bool {
    in_key_order(on, right, number).is_some_and(|ordered| {
        ordered.iter().zip(on).all(|(ordered, equality)| ordered.right.column == equality.right.column)
    })
}

fn check_windowed(left: &Source, right: &Source, written: &ast::Join, scope: &Scope) -> Result<(), PlanError> {
    let shown = |source: &Source| match source.window {
        None => "not windowed".to_owned(),
        Some(window) => format!("{:?} windowed", window.window_type).to_uppercase().replace("WINDOWED", "windowed"),
    };
    let fits = match (left.window, right.window) {
        (None, None) => true,
        (Some(a), Some(b)) => {
            let is_session =
                |window: crate::catalog::WindowInfo| window.window_type == crate::catalog::WindowType::Session;
            is_session(a) == is_session(b) && a.has_both_bounds() == b.has_both_bounds()
        }
        _ => false,
    };
    if let (Some(a), Some(b)) = (left.window, right.window)
        && fits
        && a.size_ms != b.size_ms
        && !left.key_format.kind.has_registry()
    {
        let problem = "Implicit repartitioning of windowed sources is not supported. The windows have different sizes";
        return Err(PlanError::invalid(written.span.start, problem));
    }
    if fits {
        return Ok(());
    }
    let reference = |index: usize| scope.sources[index].name.as_str();
    let right_index = scope.sources.iter().position(|source| source.name == right.name).unwrap_or(0);
    let word = if left.window.is_some() && right.window.is_some() {
        "Incompatible windowed sources"
    } else if left.window.is_some() {
        "Can not join windowed source to non-windowed source"
    } else {
        "Can not join non-windowed source to windowed source"
    };
    let problem =
        format!("{word}.\n`{}` is {}\n`{}` is {}", reference(0), shown(left), reference(right_index), shown(right));
    Err(PlanError::invalid(written.span.start, problem))
}
