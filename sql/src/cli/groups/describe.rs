//! `millstream groups describe`.

use std::sync::Arc;

use arrow::array::{UInt32Array, UInt64Array};
use millstream::{
    log::{
        Log, LogError,
        embedded::EmbeddedLog,
        kafka::{GroupDescription, KafkaLog},
    },
    record::{GroupId, Offset, TopicPartition},
};

use super::{GroupDescribeArguments, texts, write};
use crate::{
    cli::{
        cluster::{Missing, OpenLog},
        failure::Failure,
    },
    output::OutputFormat,
};

/// A position of a group.
struct Row {
    group: String,
    partition: TopicPartition,
    next: Offset,
    end: Offset,
    /// Who has the partition, by member id and host.
    member: Option<(String, String)>,
}

/// One row a position; a person is told the state and the members too.
pub(super) fn run(arguments: &GroupDescribeArguments) -> Result<(), Failure> {
    let rows = match arguments.log.open(Missing::Refused)? {
        OpenLog::Embedded(log) => of_directory(&log, &arguments.group)?,
        OpenLog::Kafka(log) => of_cluster(&log, arguments)?,
    };
    let member = |part: fn(&(String, String)) -> &str| texts(rows.iter().map(move |row| row.member.as_ref().map(part)));
    let numbers = |of: fn(&Row) -> u64| Arc::new(UInt64Array::from_iter_values(rows.iter().map(of)));
    write(
        arguments.output,
        vec![
            ("GROUP", texts(rows.iter().map(|row| Some(row.group.as_str())))),
            ("TOPIC", texts(rows.iter().map(|row| Some(row.partition.topic.as_str())))),
            ("PARTITION", Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.partition.partition.0)))),
            ("POSITION", numbers(|row| row.next.0)),
            ("END", numbers(|row| row.end.0)),
            ("LAG", numbers(|row| row.end.since(row.next))),
            ("MEMBER", member(|(id, _)| id)),
            ("HOST", member(|(_, host)| host)),
        ],
    )
}

/// The groups of an application's parts, or one of them.
fn of_directory(log: &EmbeddedLog, name: &str) -> Result<Vec<Row>, Failure> {
    let is_meant = |group: &GroupId| is_group_of(group.as_str(), name);
    let mut rows = Vec::new();
    for (group, partition, position) in log.group_positions().into_iter().filter(|(group, ..)| is_meant(group)) {
        let end = log.end_offset(&partition)?;
        rows.push(Row { group: group.as_str().to_owned(), partition, next: position.next, end, member: None });
    }
    if rows.is_empty() {
        return Err(Failure::Refused(format!("no group or application {name} has positions; see `groups list`")));
    }
    Ok(rows)
}

/// Whether a group is the one named, or that of a part of the application named.
fn is_group_of(group: &str, name: &str) -> bool {
    let part = group.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
    group == name || part.is_some_and(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

fn of_cluster(log: &KafkaLog, arguments: &GroupDescribeArguments) -> Result<Vec<Row>, Failure> {
    let group = GroupId::new(&arguments.group).map_err(LogError::from)?;
    let description = log.describe_group(&group)?;
    if arguments.output == OutputFormat::Table {
        eprintln!("{}", headline(&description));
    }
    let mut rows = Vec::new();
    for (partition, position) in log.group_positions(&group)? {
        let end = match log.end_offset(&partition) {
            Ok(end) => end,
            // Deleted, and the group has not forgotten it yet.
            Err(LogError::UnknownTopic { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        let owner = description.members.iter().find(|member| member.partitions.contains(&partition));
        let member = owner.map(|member| (member.id.clone(), member.host.clone()));
        rows.push(Row { group: arguments.group.clone(), partition, next: position.next, end, member });
    }
    rows.sort_by(|a, b| a.partition.cmp(&b.partition));
    Ok(rows)
}

fn headline(group: &GroupDescription) -> String {
    let mut lines = vec![format!("group {}: {}, {} member(s)", group.group, group.state, group.members.len())];
    for member in &group.members {
        let (id, client, host) = (&member.id, &member.client, &member.host);
        lines.push(format!("member {id}: client {client} at {host}, {} partition(s)", member.partitions.len()));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::is_group_of;

    #[test]
    fn parts_of_an_application_are_told_from_other_applications() {
        let check = |group: &str, want: bool| assert_eq!(is_group_of(group, "app"), want, "{group}");
        check("app", true);
        check("app-0", true);
        check("app-12", true);
        check("app-x", false);
        check("app-", false);
        check("apps-0", false);
    }
}
