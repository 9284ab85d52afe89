//! Trees as one short line each, for the tables of the tests.

use super::ast::*;
use super::script::parse_statement;

/// The statement as a short line, or the error.
pub(super) fn compact(text: &str) -> String {
    match parse_statement(text) {
        Ok(parsed) => statement(&parsed.statement),
        Err(error) => error.to_string(),
    }
}

fn statement(parsed: &Statement) -> String {
    let flag = |on: bool, word: &str| if on { format!("{word} ") } else { String::new() };
    match parsed {
        Statement::CreateSource(s) => {
            let columns: Vec<String> = s.columns.iter().map(column).collect();
            let flags =
                flag(s.or_replace, "replace") + &flag(s.is_source, "source") + &flag(s.if_not_exists, "if-not-exists");
            format!(
                "create {flags}{} {} ({}) with {}",
                s.kind,
                name(&s.name),
                columns.join(", "),
                properties(&s.properties)
            )
        }
        Statement::CreateAsSelect(s) => {
            let flags = flag(s.or_replace, "replace") + &flag(s.if_not_exists, "if-not-exists");
            format!(
                "create {flags}{} {} with {} as {}",
                s.kind,
                name(&s.name),
                properties(&s.properties),
                query(&s.query)
            )
        }
        Statement::InsertSelect(s) => {
            format!("insert {} with {} {}", name(&s.target), properties(&s.properties), query(&s.query))
        }
        Statement::InsertValues(s) => {
            let columns = s.columns.as_ref().map_or("*".to_owned(), |columns| join(columns, name));
            format!(
                "insert {} ({columns}) {}",
                name(&s.target),
                join(&s.rows, |row| format!("({})", join(&row.node, expr)))
            )
        }
        Statement::DropSource(s) => {
            format!("drop {}{} {} topic={}", flag(s.if_exists, "if-exists"), s.kind, name(&s.name), s.delete_topic)
        }
        Statement::AlterSource(s) => format!("alter {} {} add {}", s.kind, name(&s.name), join(&s.add, column)),
        Statement::CreateType(s) => {
            format!(
                "create {}type {} = {}",
                flag(s.if_not_exists, "if-not-exists"),
                name(&s.name),
                data_type(&s.data_type)
            )
        }
        Statement::DropType(s) => format!("drop {}type {}", flag(s.if_exists, "if-exists"), name(&s.name)),
        Statement::CreateConnector(s) => {
            let flags = flag(s.if_not_exists, "if-not-exists");
            let input = match &s.input {
                None => String::new(),
                Some(SinkInput::From(source)) => format!(" from {}", name(source)),
                Some(SinkInput::Select(query)) => format!(" as {}", self::query(query)),
            };
            format!("create {flags}{} connector {}{input} with {}", s.kind, name(&s.name), properties(&s.properties))
        }
        Statement::SteerConnector(s) => format!("{} connector {}", s.steering, name(&s.name)),
        Statement::DropConnector(s) => format!("drop {}connector {}", flag(s.if_exists, "if-exists"), name(&s.name)),
        Statement::CreateQueue(s) => {
            let flags = flag(s.if_not_exists, "if-not-exists");
            format!("create {flags}queue {} on {} with {}", name(&s.name), s.written, properties(&s.properties))
        }
        Statement::DropQueue(s) => format!("drop {}queue {}", flag(s.if_exists, "if-exists"), name(&s.name)),
        Statement::QueueWork(s) => format!("work {} {}", name(&s.queue), action(&s.what)),
        Statement::Explain(Explain::Statement(s)) => format!("explain [{}] {}", s.span.start, statement(&s.statement)),
        Statement::Explain(Explain::Query(id)) => format!("explain query {}", name(id)),
        Statement::Print(s) => format!(
            "print {} from_beginning={} interval={:?} limit={:?}",
            s.topic.node,
            s.from_beginning,
            s.interval.as_ref().map(|n| n.node),
            s.limit.as_ref().map(|n| n.node)
        ),
        Statement::PushQuery(q) => format!("push {}", query(q)),
        Statement::PullQuery(q) => format!("pull {}", q.query),
        Statement::Show(s) => format!("show {:?} extended={}", s.what, s.extended),
        Statement::Describe(Describe::Source { name: n, extended }) => {
            format!("describe {} extended={extended}", name(n))
        }
        Statement::Describe(Describe::Sources { kind, extended }) => format!("describe all {kind} extended={extended}"),
        Statement::Describe(Describe::Function(n)) => format!("describe function {}", name(n)),
        Statement::Describe(Describe::Connector(n)) => format!("describe connector {}", name(n)),
        Statement::Describe(Describe::Queue(n)) => format!("describe queue {}", name(n)),
        Statement::Terminate(choice) => format!("terminate {}", chosen(choice)),
        Statement::Pause(choice) => format!("pause {}", chosen(choice)),
        Statement::Resume(choice) => format!("resume {}", chosen(choice)),
        Statement::Assert(assert) => {
            let what = match &assert.what {
                Asserted::Topic { written, properties, .. } => {
                    format!("Topic {written} ({})", properties.entries.len())
                }
                Asserted::Schema { subject, id } => format!(
                    "Schema {} {}",
                    subject.as_ref().map_or("-", |subject| subject.node.as_str()),
                    id.as_ref().map_or_else(|| "-".to_owned(), |id| id.node.to_string())
                ),
            };
            let absent = if assert.is_absent { "not " } else { "" };
            let within = assert.timeout.as_ref().map_or_else(String::new, |time| format!(" within {}", time.millis()));
            format!("assert {absent}{what}{within}")
        }
        Statement::Set(s) => format!("set {} = {}", s.name.node, s.value.node),
        Statement::Unset(s) => format!("unset {}", s.node),
        Statement::Define(s) => format!("define {} = {}", name(&s.name), s.value.node),
        Statement::Undefine(n) => format!("undefine {}", name(n)),
    }
}

fn action(what: &QueueAction) -> String {
    let time = |interval: &Option<Interval>| interval.as_ref().map_or(0, Interval::millis);
    match what {
        QueueAction::Receive { max, wait } => {
            format!("receive {} wait {}", max.as_ref().map_or(1, |max| max.node), time(wait))
        }
        QueueAction::Ack(receipts) => format!("ack {}", join(receipts, |receipt| receipt.node.clone())),
        QueueAction::Nack { receipt, delay } => format!("nack {} delay {}", receipt.node, time(delay)),
        QueueAction::Reject { receipt, reason } => {
            format!("reject {} {}", receipt.node, reason.as_ref().map_or("-", |reason| reason.node.as_str()))
        }
        QueueAction::Extend { receipt, by } => format!("extend {} by {}", receipt.node, by.millis()),
        QueueAction::Redrive { rate } => format!("redrive {:?}", rate.as_ref().map(|rate| rate.node)),
    }
}

fn chosen(choice: &QueryChoice) -> String {
    match choice {
        QueryChoice::All => "all".to_owned(),
        QueryChoice::Id(id) => name(id),
    }
}

fn query(q: &StreamQuery) -> String {
    let mut out = match q.named.as_slice() {
        [] => String::new(),
        named => format!("with {} ", join(named, |n| format!("{} = ({})", name(&n.name), query(&n.query)))),
    };
    let distinct = if q.distinct.is_some() { "distinct " } else { "" };
    out += &format!("select {distinct}{} from {}", join(&q.items, item), source(&q.from));
    for j in &q.joins {
        out += &format!(" {:?} join {}", j.kind, source(&j.right));
        if let Some(w) = &j.within {
            out += &format!(" within {}/{}", w.before.millis(), w.after.millis());
            out += &w.grace.map_or(String::new(), |grace| format!(" grace {}", grace.millis()));
        }
        out += &format!(" on {}", expr(&j.on.node));
    }
    if let Some(w) = &q.window {
        out += &match &w.window {
            Window::Tumbling { size } => format!(" tumbling {}", size.millis()),
            Window::Hopping { size, advance } => format!(" hopping {} by {}", size.millis(), advance.millis()),
            Window::Cumulate { size, step } => format!(" cumulate {} step {}", size.millis(), step.millis()),
            Window::Session { gap } => format!(" session {}", gap.millis()),
        };
        out += &w.offset.map_or(String::new(), |offset| format!(" offset {}", offset.millis()));
        out += &w.zone.as_ref().map_or(String::new(), |zone| format!(" timezone {}", zone.node));
        out += &w.retention.map_or(String::new(), |retention| format!(" retention {}", retention.millis()));
        out += &w.grace.map_or(String::new(), |grace| format!(" grace {}", grace.millis()));
    }
    out += &q.filter.as_ref().map_or(String::new(), |e| format!(" where {}", expr(&e.node)));
    out += &q.group_by.as_ref().map_or(String::new(), |k| format!(" group by [{}]", join(&k.node, expr)));
    out += &q.partition_by.as_ref().map_or(String::new(), |k| format!(" partition by [{}]", join(&k.node, expr)));
    out += &q.having.as_ref().map_or(String::new(), |e| format!(" having {}", expr(&e.node)));
    q.unions.iter().for_each(|branch| out += &format!(" union {}", query(branch)));
    out += &q.emit.as_ref().map_or(String::new(), |e| format!(" emit {:?}", e.node));
    out += &q.limit.as_ref().map_or(String::new(), |n| format!(" limit {}", n.node));
    out
}

fn item(i: &SelectItem) -> String {
    match i {
        SelectItem::All { .. } => "*".to_owned(),
        SelectItem::AllOf { source, .. } => format!("{}.*", name(source)),
        SelectItem::AllFields { expr: e, .. } => format!("{}->*", expr(e)),
        SelectItem::Expr { expr: e, alias, .. } => {
            format!("{}{}", expr(e), alias.as_ref().map_or(String::new(), |alias| format!(" as {}", name(alias))))
        }
    }
}

fn source(s: &SourceRef) -> String {
    if let Some(inner) = &s.query {
        return format!("({}) {}", query(inner), name(&s.name));
    }
    s.alias.as_ref().map_or(name(&s.name), |alias| format!("{} {}", name(&s.name), name(alias)))
}

fn column(c: &ColumnDef) -> String {
    let role = match &c.role {
        ColumnRole::Value => String::new(),
        other => format!(" {other:?}"),
    };
    format!("{} {}{role}", name(&c.name), data_type(&c.data_type))
}

fn data_type(t: &TypeRef) -> String {
    match &t.shape {
        TypeShape::Named { name: n, arguments } if arguments.is_empty() => name(n),
        TypeShape::Named { name: n, arguments } => format!("{}({})", name(n), join(arguments, |a| a.node.to_string())),
        TypeShape::Array(item) => format!("ARRAY<{}>", data_type(item)),
        TypeShape::Map(key, value) => format!("MAP<{}, {}>", data_type(key), data_type(value)),
        TypeShape::Struct(fields) => {
            format!("STRUCT<{}>", join(fields, |(n, t)| format!("{} {}", name(n), data_type(t))))
        }
    }
}

fn properties(p: &Properties) -> String {
    format!("[{}]", join(&p.entries, |entry| format!("{}={:?}", name(&entry.name), entry.value)))
}

fn name(n: &Name) -> String {
    if n.quoted { format!("`{}`", n.value) } else { n.value.clone() }
}

fn expr(e: &Expr) -> String {
    e.to_string()
}

fn join<T>(items: &[T], each: impl Fn(&T) -> String) -> String {
    items.iter().map(each).collect::<Vec<_>>().join(", ")
}
