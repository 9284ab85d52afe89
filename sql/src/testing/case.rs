//! Cases: statements with input records and what is expected of them, as JSON, one object a line.
//!
//! A *query* case compares topics, a *rest* case the answers of queries as well; a *script* runs statement by statement, among them
//! `ASSERT VALUES`. Fields are described in README.md.

use super::value::Value;

/// A case.
#[derive(Debug, Clone, Default)]
pub struct Case {
    /// Its name, unique.
    pub id: String,
    /// The group that it is counted in.
    pub tier: String,
    /// The part of the language that it is about.
    pub area: String,
    /// Run in this order.
    pub statements: Vec<String>,
    /// Session properties.
    pub properties: Vec<(String, String)>,
    /// Topics that are there first.
    pub topics: Vec<TopicSetup>,
    /// Records, in the order in which they are written.
    pub inputs: Vec<CaseRecord>,
    /// Records that must come out, per topic in this order.
    pub outputs: Vec<CaseRecord>,
    /// What must fail, if something must.
    pub failure: Option<ExpectedFailure>,
    /// The answers to queries.
    pub answers: Vec<ExpectedAnswer>,
    /// Whether rows of answers come in a given order.
    pub ordered: bool,
    /// Whether records are written only when push queries run already.
    pub inputs_after_query: bool,
    /// Whether ASSERT statements say what is expected.
    pub is_script: bool,
    /// Words that say how to compare.
    pub traits: Vec<String>,
    /// Functions that the case needs and the language does not have.
    pub test_functions: Vec<String>,
    /// A pattern that the name of no topic may match.
    pub forbidden_topics: Option<String>,
    /// Names of topics that must be there.
    pub required_topics: Vec<String>,
    /// Sources that must be there, with what is checked of them, as written.
    pub required_sources: Vec<Value>,
    /// Sources with the schemas that they have if they are there.
    pub sources: Vec<ExpectedSource>,
}

/// A topic that is there before the statements.
#[derive(Debug, Clone)]
pub struct TopicSetup {
    /// Its name.
    pub name: String,
    /// Its partitions.
    pub partitions: u32,
    /// All of it, as written.
    pub written: Value,
}

/// A record as cases write it: key and value as the payloads of their formats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseRecord {
    /// Its topic.
    pub topic: String,
    /// Milliseconds since the epoch, if they matter.
    pub timestamp: Option<i64>,
    /// Its key.
    pub key: Value,
    /// Its value.
    pub value: Value,
    /// The window of its key.
    pub window: Option<CaseWindow>,
    /// Its headers: name, and value as base64.
    pub headers: Vec<(String, Option<String>)>,
}

/// A window of a key, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaseWindow {
    /// Where it begins.
    pub start: i64,
    /// Where it ends; of a session its last moment.
    pub end: i64,
    /// Whether it is a session.
    pub is_session: bool,
}

/// What must fail.
#[derive(Debug, Clone, Default)]
pub struct ExpectedFailure {
    /// Part of the message.
    pub message: String,
    /// Whether a query fails on a record, instead of the last statement.
    pub at_runtime: bool,
}

/// The answer to a query.
#[derive(Debug, Clone)]
pub struct ExpectedAnswer {
    /// The number of its statement.
    pub statement: usize,
    /// Its columns.
    pub schema: Option<String>,
    /// Its rows.
    pub rows: Vec<Value>,
    /// What is said when it has ended.
    pub final_message: Option<String>,
}

/// A source that must be there.
#[derive(Debug, Clone)]
pub struct ExpectedSource {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub schema: String,
}

impl Case {
    /// Reads a case from a line; `file` names the group if the case does not.
    ///
    /// # Errors
    /// What is missing or wrong.
    pub fn parse(line: &str, file: &str) -> Result<Self, String> {
        let case = Value::parse(line)?;
        let text = |name: &str| case.get(name).and_then(Value::text).map(str::to_owned);
        let list = |name: &str| case.get(name).map_or(&[][..], Value::items);
        let post = |name: &str| case.get("post").and_then(|post| post.get(name)).map_or(&[][..], Value::items);
        let texts = |name: &str| list(name).iter().filter_map(|item| item.text().map(str::to_owned)).collect();
        let records = |name: &str| list(name).iter().map(record).collect::<Result<Vec<_>, _>>();
        let id = text("id").ok_or("a case needs an id")?;
        let failure = case.get("expected_exception").or_else(|| case.get("expected_error"));
        let properties = match case.get("properties") {
            Some(Value::Object(fields)) => {
                let plain = |value: &Value| value.text().map_or_else(|| value.to_string(), str::to_owned);
                fields.iter().map(|(name, value)| (name.clone(), plain(value))).collect()
            }
            _ => Vec::new(),
        };
        let topic = |topic: &Value| {
            Some(TopicSetup {
                name: topic.get("name")?.text()?.to_owned(),
                partitions: topic.get("partitions").and_then(Value::integer).map_or(1, |count| count.max(1) as u32),
                written: topic.clone(),
            })
        };
        let answer = |answer: &Value| {
            Some(ExpectedAnswer {
                statement: usize::try_from(answer.get("statement")?.integer()?).ok()?,
                schema: answer.get("schema").and_then(Value::text).map(str::to_owned),
                rows: answer.get("rows").map(|rows| rows.items().to_vec()).unwrap_or_default(),
                final_message: answer.get("final_message").and_then(Value::text).map(str::to_owned),
            })
        };
        let source = |source: &Value| {
            let text = |name: &str| source.get(name).and_then(Value::text).map(str::to_owned);
            Some(ExpectedSource { name: text("name")?, schema: text("schema")? })
        };
        Ok(Self {
            tier: text("tier").unwrap_or_else(|| file.to_owned()),
            area: text("area").unwrap_or_else(|| file.to_owned()),
            statements: texts("statements"),
            properties,
            topics: list("topics").iter().filter_map(topic).collect(),
            inputs: records("inputs")?,
            outputs: records("outputs")?,
            failure: failure.map(|failure| ExpectedFailure {
                message: failure.get("message").and_then(Value::text).unwrap_or_default().to_owned(),
                at_runtime: failure.get("kind").and_then(Value::text) == Some("runtime"),
            }),
            answers: list("responses").iter().filter_map(answer).collect(),
            ordered: case.get("ordered").is_some_and(Value::is_true),
            inputs_after_query: case.get("inputs_after_query_starts").is_some_and(Value::is_true),
            is_script: id.starts_with("sql/"),
            traits: texts("traits"),
            test_functions: texts("test_functions"),
            forbidden_topics: case
                .get("post")
                .and_then(|post| post.get("topics_must_not_match"))
                .and_then(Value::text)
                .map(str::to_owned),
            required_topics: post("topics")
                .iter()
                .filter_map(|topic| topic.get("name").and_then(Value::text).map(str::to_owned))
                .collect(),
            required_sources: post("sources").to_vec(),
            sources: list("sources").iter().filter_map(source).collect(),
            id,
        })
    }

    /// Whether it has a trait.
    pub fn has(&self, name: &str) -> bool {
        self.traits.iter().any(|known| known == name)
    }
}

fn record(record: &Value) -> Result<CaseRecord, String> {
    let window = record.get("window").and_then(|window| {
        Some(CaseWindow {
            start: window.get("start")?.integer()?,
            end: window.get("end")?.integer()?,
            is_session: window.get("type").and_then(Value::text) == Some("session"),
        })
    });
    let header = |header: &Value| {
        let name = header.get("key").and_then(Value::text).unwrap_or_default().to_owned();
        (name, header.get("value").and_then(Value::text).map(str::to_owned))
    };
    Ok(CaseRecord {
        topic: record.get("topic").and_then(Value::text).ok_or("a record needs a topic")?.to_owned(),
        timestamp: record.get("timestamp").and_then(Value::integer),
        key: record.get("key").cloned().unwrap_or(Value::Null),
        value: record.get("value").cloned().unwrap_or(Value::Null),
        window,
        headers: record.get("headers").map_or(&[][..], Value::items).iter().map(header).collect(),
    })
}
