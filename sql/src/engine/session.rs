//! A session: statements in, answers out, with properties and variables of its own.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{Inner, assert, error::EngineError, properties::SessionProperties, variables};
use crate::{
    catalog::Catalog,
    planner::PlanError,
    pull::{self, PullContext, access::Scans},
    response::{Response, Rows},
    syntax::{
        ast::{ParsedStatement, PullQuery, Statement},
        parse_script, parse_statement,
    },
};

/// How long the rows of a view may be on their way from one process to another.
const MOVED_WITHIN: Duration = Duration::from_secs(15);
/// How long to wait before they are asked for again.
const PAUSE: Duration = Duration::from_millis(50);
/// What [`QueryError::NotHere`](millstream::query::QueryError::NotHere) says, by which it is known behind the errors of the planner.
const NOT_HERE: &str = "is not in this process";

/// A client of an engine.
pub struct Session {
    pub(super) inner: Arc<Inner>,
    pub(super) properties: SessionProperties,
    pub(super) variables: BTreeMap<String, String>,
}

/// What is made of a statement that is in force already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repetition {
    /// It is refused, as in ksqlDB.
    Refused,
    /// It is recognised: a script can be run again.
    Recognised,
}

impl Session {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        Self { inner, properties: SessionProperties::default(), variables: BTreeMap::new() }
    }

    /// Sets a property; one that the engine does not know is left out.
    pub(crate) fn set_property(&mut self, name: &str, value: &str) {
        let at = crate::syntax::Position::START;
        if self.properties.set(name, value, at, at).is_err() {
            tracing::debug!(name, "a property that the engine does not know");
        }
    }

    /// Runs one statement. One that declares something there already is refused.
    ///
    /// # Errors
    /// [`EngineError`], with places in `statement`.
    pub fn execute(&mut self, statement: &str) -> Result<Response, EngineError> {
        let text = variables::substitute(statement, &self.variables)?;
        let parsed = parse_statement(&text)?;
        self.run(&parsed, Repetition::Refused)
    }

    /// Runs the statements of a script, one after another. The whole script is parsed before anything runs. A statement that is in force
    /// already, word for word, is recognised, so that a script can be run again on the same directory. Rows of INSERT .. VALUES are
    /// inserted again. A variable has the value that the last DEFINE before gave it.
    ///
    /// # Errors
    /// The first [`EngineError`], with places in `script`; the statements before it were run.
    pub fn run_script(&mut self, script: &str, on_response: &mut dyn FnMut(&str, Response)) -> Result<(), EngineError> {
        let text = variables::substitute(script, &self.variables)?;
        for parsed in parse_script(&text)? {
            let response = self.run(&parsed, Repetition::Recognised)?;
            on_response(&parsed.text, response);
        }
        Ok(())
    }

    fn run(&mut self, parsed: &ParsedStatement, repetition: Repetition) -> Result<Response, EngineError> {
        // What declares something catches up by itself, and must; the others answer with what is known.
        if let Err(error) = self.inner.catch_up() {
            tracing::warn!(%error, "statements of other processes were not read");
        }
        match &parsed.statement {
            Statement::CreateSource(_)
            | Statement::CreateAsSelect(_)
            | Statement::InsertSelect(_)
            | Statement::CreateType(_)
            | Statement::CreateConnector(_)
            | Statement::DropSource(_)
            | Statement::DropType(_)
            | Statement::DropConnector(_)
            | Statement::SteerConnector(_)
            | Statement::CreateQueue(_)
            | Statement::DropQueue(_)
            | Statement::AlterSource(_)
            | Statement::Terminate(_)
            | Statement::Pause(_)
            | Statement::Resume(_) => self.declare(parsed, repetition),
            Statement::Assert(asserted) => {
                let registry = self.inner.catalog.read().registry().clone();
                let now = || self.inner.clock.monotonic();
                assert::wait_for(asserted, self.inner.shared.as_ref(), &registry, &now).map(done)
            }
            Statement::QueueWork(work) => self.inner.work_on_queue(work),
            Statement::InsertValues(insert) => self.inner.insert_values(insert).map(done),
            Statement::PullQuery(query) => self.pull(query).map(Response::Rows),
            Statement::PushQuery(query) => self.push(query).map(Response::Push),
            Statement::Print(print) => self.print(print).map(Response::Push),
            Statement::Show(show) => self.show(show),
            Statement::Describe(describe) => self.describe(describe),
            Statement::Explain(explain) => self.explain(explain),
            Statement::Set(set) => {
                let (name, value) = (&set.name, &set.value);
                self.properties.set(&name.node, &value.node, name.span.start, value.span.start)?;
                Ok(done(format!("Set {} to {}", name.node, value.node)))
            }
            Statement::Unset(name) => {
                self.properties.unset(&name.node, name.span.start)?;
                Ok(done(format!("{} has its default again", name.node)))
            }
            Statement::Define(define) => {
                self.variables.insert(define.name.value.to_ascii_uppercase(), define.value.node.clone());
                Ok(done(format!("Defined {}", define.name.value)))
            }
            Statement::Undefine(name) => match self.variables.remove(&name.value.to_ascii_uppercase()) {
                Some(_) => Ok(done(format!("Undefined {}", name.value))),
                None => Err(EngineError::at(
                    name.span.start,
                    format!("no variable {}; give it a value with DEFINE", name.value),
                )),
            },
        }
    }

    /// Answers a pull query. On a cluster the rows of a view may be between two processes: then they are waited for.
    fn pull(&self, query: &PullQuery) -> Result<Rows, EngineError> {
        let inner = &self.inner;
        let start = inner.clock.monotonic();
        loop {
            let catalog = inner.catalog.read().clone();
            let answer = pull::run(query, &inner.pull_context(&catalog, self.properties.scans()));
            let is_early = |error: &PlanError| inner.member.is_some() && error.to_string().contains(NOT_HERE);
            let waited = inner.clock.monotonic().saturating_sub(start);
            if !answer.as_ref().is_err_and(is_early) || waited >= MOVED_WITHIN {
                return Ok(answer?);
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn declare(&mut self, parsed: &ParsedStatement, repetition: Repetition) -> Result<Response, EngineError> {
        let existing = |catalog: &Catalog| {
            let message = existing(catalog, parsed, repetition)?;
            Some(check_not_terminated(catalog, parsed).map(|()| message))
        };
        self.inner.declare_until_done(parsed, &self.properties, &existing).map(done)
    }
}

impl Inner {
    /// What pull queries read from.
    pub(super) fn pull_context<'a>(&'a self, catalog: &'a Catalog, scans: Scans) -> PullContext<'a> {
        PullContext { catalog, log: &self.shared, views: self, scans }
    }
}

fn done(message: String) -> Response {
    Response::Done { message }
}

/// The answer to a statement that has nothing to do: what it declares is there, and that is fine.
fn existing(catalog: &Catalog, parsed: &ParsedStatement, repetition: Repetition) -> Option<String> {
    let is_same = |text: &str| repetition == Repetition::Recognised && normalised(text) == normalised(&parsed.text);
    let unchanged = |what: &str, name: &str| format!("{what} {name} exists already, unchanged");
    let is_query = matches!(&parsed.statement, Statement::CreateAsSelect(_));
    let source = |name: &str, if_not_exists: bool, or_replace: bool| {
        let source = catalog.source(name)?;
        let what = source.kind.to_string();
        if or_replace && source.created_by.is_none() && is_query {
            return None;
        }
        let is_same =
            is_same(&source.statement) || (or_replace && normalised(&source.statement) == normalised(&parsed.text));
        if is_same {
            return Some(unchanged(&sentence(&what), name));
        }
        if_not_exists.then(|| format!("{} {name} exists already", sentence(&what)))
    };
    match &parsed.statement {
        Statement::CreateSource(create) => source(&create.name.value, create.if_not_exists, create.or_replace),
        Statement::CreateAsSelect(create) => source(&create.name.value, create.if_not_exists, create.or_replace),
        Statement::InsertSelect(_) => {
            let query = catalog.queries().find(|query| is_same(&query.statement))?;
            Some(unchanged("Query", &query.id.0))
        }
        Statement::CreateConnector(create) => {
            let connector = catalog.connectors().find(|connector| connector.name == create.name.value)?;
            if is_same(&connector.statement) {
                return Some(unchanged("Connector", &connector.name));
            }
            create.if_not_exists.then(|| format!("Connector {} exists already", connector.name))
        }
        Statement::CreateQueue(create) => {
            let queue = catalog.queue(&create.name.value)?;
            if is_same(&queue.statement) {
                return Some(unchanged("Queue", &queue.name));
            }
            create.if_not_exists.then(|| format!("Queue {} exists already", queue.name))
        }
        Statement::DropQueue(drop) if drop.if_exists && catalog.queue(&drop.name.value).is_none() => {
            Some(format!("There is no queue {}", drop.name.value))
        }
        Statement::CreateType(create) => {
            let (name, known) = catalog.types().find(|(name, _)| *name == create.name.value)?;
            let same = catalog.resolve_type(&create.data_type).is_ok_and(|wanted| wanted == *known);
            if same && repetition == Repetition::Recognised {
                return Some(unchanged("Type", name));
            }
            create.if_not_exists.then(|| format!("Type {name} exists already"))
        }
        Statement::DropSource(drop) if drop.if_exists && catalog.source(&drop.name.value).is_none() => {
            Some(format!("There is no {}", drop.name.value))
        }
        Statement::DropType(drop) if drop.if_exists && !catalog.types().any(|(name, _)| name == drop.name.value) => {
            Some(format!("There is no type {}", drop.name.value))
        }
        Statement::DropConnector(drop)
            if drop.if_exists && !catalog.connectors().any(|connector| connector.name == drop.name.value) =>
        {
            Some(format!("There is no connector {}", drop.name.value))
        }
        _ => None,
    }
}

/// For a statement that has nothing to do: whether that is fine. None if it has to be carried out.
pub(super) fn in_force(catalog: &Catalog, parsed: &ParsedStatement) -> Option<Result<(), EngineError>> {
    existing(catalog, parsed, Repetition::Refused).map(|_| check_not_terminated(catalog, parsed))
}

/// Refuses to say of a statement whose query was terminated that it is in force.
fn check_not_terminated(catalog: &Catalog, parsed: &ParsedStatement) -> Result<(), EngineError> {
    let Statement::CreateAsSelect(create) = &parsed.statement else { return Ok(()) };
    let name = &create.name.value;
    let ended = catalog.source(name).filter(|source| source.created_by.is_none());
    match ended {
        Some(source) if !create.if_not_exists => {
            let kind = source.kind;
            let problem = format!(
                "{kind} {name} exists, but its query was terminated; DROP {kind} {name} first to start it again from the beginning"
            );
            Err(EngineError::at(create.name.span.start, problem))
        }
        _ => Ok(()),
    }
}

fn sentence(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_string() + &letters.as_str().to_lowercase())
}

/// A statement without comments, with single spaces and in upper case outside of quotes: equal for statements that differ in layout only.
pub(super) fn normalised(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    let mut space = false;
    while let Some(letter) = letters.next() {
        match letter {
            '-' if letters.peek() == Some(&'-') => {
                letters.by_ref().find(|c| *c == '\n');
                space = true;
            }
            '/' if letters.peek() == Some(&'*') => {
                let mut last = ' ';
                letters.by_ref().skip(1).find(|c| std::mem::replace(&mut last, *c) == '*' && *c == '/');
                space = true;
            }
            _ if letter.is_whitespace() => space = true,
            _ => {
                let word = |c: char| c.is_alphanumeric() || c == '_';
                if std::mem::take(&mut space) && out.chars().next_back().is_some_and(word) && word(letter) {
                    out.push(' ');
                }
                out.extend(letter.to_uppercase());
                if matches!(letter, '\'' | '"' | '`') {
                    for inner in letters.by_ref() {
                        out.push(inner);
                        if inner == letter {
                            break;
                        }
                    }
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_and_case_make_no_other_statement() {
        let check = |a: &str, b: &str, same: bool| assert_eq!(normalised(a) == normalised(b), same, "{a} | {b}");
        check("CREATE  STREAM s\n(a INT)", "create stream S (A int) ", true);
        check("SELECT a -- the first\nFROM s", "SELECT a FROM s", true);
        check("SELECT a /* no */ FROM s", "SELECT a FROM s", true);
        check("SELECT 'a  b' FROM s", "SELECT 'a b' FROM s", false);
        check("SELECT 'a' FROM s", "SELECT 'A' FROM s", false);
        check("SELECT a, b", "SELECT a,b", true);
        check("SELECT ab", "SELECT a b", false);
    }
}
