//! Errors of expressions, told by the clause they stand in: the phrases of ksqlDB before what is wrong and where.
//!
//! Invariant: places and hints stay as they are.

use super::error::PlanError;

/// A clause that has expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Clause {
    /// The items of a projection.
    Select,
    /// Which rows are read.
    Where,
    /// Which groups are kept.
    Having,
    /// What makes groups.
    GroupBy,
    /// What makes the key.
    PartitionBy,
    /// What is compared in a join.
    JoinOn,
}

impl Clause {
    /// As it is written.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Select => "SELECT",
            Self::Where => "WHERE",
            Self::Having => "HAVING",
            Self::GroupBy => "GROUP BY",
            Self::PartitionBy => "PARTITION BY",
            Self::JoinOn => "JOIN ON",
        }
    }

    /// An error of an expression of this clause.
    pub(super) fn tell(self, error: impl Into<PlanError>) -> PlanError {
        match error.into() {
            PlanError::UnknownColumn { at, name, written, scope, suggestion, known, clause: None } => {
                PlanError::UnknownColumn { at, name, written, scope, suggestion, known, clause: Some(self) }
            }
            PlanError::Invalid { at, problem, hint } => PlanError::Invalid { at, problem: self.told(problem), hint },
            PlanError::Expression { at, problem } => PlanError::Expression { at, problem: self.told(problem) },
            other => other,
        }
    }

    fn told(self, problem: String) -> String {
        // What ksqlDB finds only when it generates code.
        let is_late = ["operator does not exist", "invalid input syntax", "Cast of"];
        match self {
            Self::Where | Self::Having if is_late.iter().any(|start| problem.starts_with(start)) => {
                format!("Invalid Predicate: {problem}")
            }
            Self::Where | Self::Having => format!("Error in {} expression: {problem}", self.name()),
            Self::Select => format!("Invalid Select: {problem}"),
            Self::GroupBy | Self::PartitionBy | Self::JoinOn => problem,
        }
    }
}

/// What is said of a column that there is not: `written` with its source, if it has one.
pub(super) fn unresolved(clause: Option<Clause>, written: &str) -> String {
    let Some(clause) = clause else { return String::new() };
    let name = clause.name();
    let why = match clause {
        Clause::GroupBy | Clause::PartitionBy => {
            format!(". '{written}' must be a column in the source schema since {name} is applied on the input")
        }
        _ => String::new(),
    };
    format!("{name} column '{written}' cannot be resolved{why}. There is ")
}
