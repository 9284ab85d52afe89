//! `millstream groups list`.

use std::{collections::BTreeSet, sync::Arc};

use arrow::array::UInt64Array;
use millstream::record::GroupId;

use super::{GroupListArguments, texts, write};
use crate::cli::{
    cluster::{Missing, OpenLog},
    failure::Failure,
};

/// A group in a list.
struct Row {
    group: String,
    state: Option<String>,
    members: Option<u64>,
}

/// One row a group.
pub(super) fn run(arguments: &GroupListArguments) -> Result<(), Failure> {
    let rows = match arguments.log.open(Missing::Refused)? {
        OpenLog::Embedded(log) => {
            let names: BTreeSet<String> =
                log.group_positions().into_iter().map(|(group, ..)| group.as_str().to_owned()).collect();
            names.into_iter().map(|group| Row { group, state: None, members: None }).collect::<Vec<_>>()
        }
        OpenLog::Kafka(log) => {
            let mut groups = log.groups()?;
            groups.sort();
            let row = |group: &GroupId| -> Result<Row, Failure> {
                let found = log.describe_group(group)?;
                let members = Some(found.members.len() as u64);
                Ok(Row { group: group.as_str().to_owned(), state: Some(found.state), members })
            };
            groups.iter().map(row).collect::<Result<_, _>>()?
        }
    };
    write(
        arguments.output,
        vec![
            ("GROUP", texts(rows.iter().map(|row| Some(row.group.as_str())))),
            ("STATE", texts(rows.iter().map(|row| row.state.as_deref()))),
            ("MEMBERS", Arc::new(UInt64Array::from_iter(rows.iter().map(|row| row.members)))),
        ],
    )
}
