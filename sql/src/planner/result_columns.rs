//! What holds for the columns of a persistent query's result: each has a name of its own, and the one that holds timestamps is there.

use super::{
    error::PlanError,
    logical_plan::type_name,
    query::{Item, Selected},
};
use crate::catalog::SourceProperties;

/// Refuses two columns of one name.
pub(super) fn check_names(items: &[Item]) -> Result<(), PlanError> {
    for (index, item) in items.iter().enumerate() {
        if items[..index].iter().any(|earlier| earlier.name == item.name) {
            let data_type = type_name(&item.data_type);
            let problem = format!("Duplicate value columns found in schema: `{}` {data_type}", item.name);
            return Err(PlanError::invalid_hint(item.at, problem, "give one of them another name with AS"));
        }
    }
    Ok(())
}

/// Refuses a column of timestamps that is not in the projection.
pub(super) fn check_timestamp(properties: &SourceProperties, selected: &Selected) -> Result<(), PlanError> {
    let Some(named) = &properties.timestamp else { return Ok(()) };
    if selected.items.iter().any(|item| item.name == named.node) {
        return Ok(());
    }
    let known: Vec<&str> = selected.items.iter().map(|item| item.name.as_str()).collect();
    let problem = format!("The TIMESTAMP column set in the WITH clause does not exist in the schema: '{}'", named.node);
    Err(PlanError::invalid_hint(named.span.start, problem, format!("it has {}", known.join(", "))))
}
