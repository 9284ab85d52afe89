//! The key of a joined result: which columns are equal to it, and under which of their names a projection may select it.
//!
//! ```text
//! S1 JOIN S2 ON S1.ID = S2.ID         viable S1.ID, S2.ID      S1 FULL JOIN S2 ON ..          synthetic ROWKEY
//! S1 JOIN S2 ON S1.ID = ABS(S2.ID)    viable S1.ID             S1 JOIN S2 ON ABS(..) = ABS(..)  synthetic ROWKEY
//! ```

use super::condition::{ColumnRef, Equality, spelling};
use crate::{
    catalog::Source,
    planner::{error::PlanError, named_key, projection::WrittenItem, query::Item, scope::Scope},
    syntax::{Position, ast::JoinKind},
};

/// What the key column at a position is called in the batches.
pub(in crate::planner) fn key_name(position: usize) -> String {
    format!("__KEY_{position}")
}

/// One column of the key.
#[derive(Debug, Clone, Default)]
pub(in crate::planner) struct KeyColumn {
    /// The columns that a projection may select as this one.
    viable: Vec<ColumnRef>,
    /// All that was compared to make it, in one spelling.
    compared: Vec<String>,
    /// Whether a FULL join made it: then no side is equal to it in every row.
    of_full_join: bool,
}

/// The key of a joined result.
#[derive(Debug, Clone)]
pub(in crate::planner) struct JoinKey {
    columns: Vec<KeyColumn>,
    /// How messages call what makes the key.
    of_foreign_key_join: bool,
}

impl JoinKey {
    /// The key of the first source.
    pub(super) fn of_source(source: &Source) -> Self {
        let column = |name: &str| {
            let column = (0, name.to_owned());
            KeyColumn { compared: vec![spelling(&column)], viable: vec![column], of_full_join: false }
        };
        Self { columns: source.key_columns().map(|known| column(&known.name)).collect(), of_foreign_key_join: false }
    }

    /// Whether the left sides of `on` are this key. A table keeps its key even where its columns may be null.
    pub(super) fn is(&self, on: &[Equality], of_table: bool) -> bool {
        self.columns.len() == on.len()
            && self.columns.iter().zip(on).all(|(key, equality)| {
                (of_table || !key.of_full_join) && key.compared.contains(&equality.left.spelling())
            })
    }

    /// The key after a join on it, or on other columns if it does not keep it.
    pub(super) fn joined(&self, on: &[Equality], kind: JoinKind, keeps: bool) -> Self {
        let column = |(position, equality): (usize, &Equality)| {
            let mut column = if keeps { self.columns[position].clone() } else { KeyColumn::default() };
            for side in [&equality.left, &equality.right] {
                column.compared.push(side.spelling());
                if let Some(named) = side.column.as_ref().filter(|named| !column.viable.contains(*named)) {
                    column.viable.push(named.clone());
                }
            }
            column.of_full_join = kind == JoinKind::Full;
            if column.of_full_join {
                column.viable.clear();
            }
            column
        };
        Self { columns: on.iter().enumerate().map(column).collect(), of_foreign_key_join: false }
    }

    /// The same key, kept by a join by foreign key.
    pub(super) fn kept(mut self) -> Self {
        self.of_foreign_key_join = true;
        self
    }

    /// The names of key columns that no source has: ROWKEY, or something like it that is free.
    pub(super) fn synthetic(&self, scope: &Scope) -> Vec<(usize, String)> {
        let mut taken: Vec<String> = scope.columns.iter().map(|column| column.name.clone()).collect();
        let mut free = || {
            let name = (0..).map(|number| if number == 0 { "ROWKEY".to_owned() } else { format!("ROWKEY_{number}") });
            let name = name.into_iter().find(|name| !taken.contains(name)).unwrap_or_default();
            taken.push(name.clone());
            name
        };
        let columns = self.columns.iter().enumerate().filter(|(_, column)| column.viable.is_empty());
        columns.map(|(position, _)| (position, free())).collect()
    }

    /// Makes items of a projection the key, those selected a second time copies of it.
    ///
    /// # Errors
    /// If the projection has no item for a key column.
    pub(in crate::planner) fn choose(
        &self,
        written: &[WrittenItem],
        items: &mut [Item],
        scope: &Scope,
        (at, result): (Position, &str),
    ) -> Result<(), PlanError> {
        let is = |item: &WrittenItem| super::condition::plain_column(&item.expr, scope, item.at).ok().flatten();
        let selected: Vec<Option<ColumnRef>> =
            written.iter().map(|item| if item.is_copy { None } else { is(item) }).collect();
        let synthetic = self.synthetic_of(scope);
        for (position, column) in self.columns.iter().enumerate() {
            let name = key_name(position);
            let candidates: Vec<ColumnRef> = match synthetic.iter().find(|(of, _)| *of == position) {
                Some((_, synthetic)) => vec![synthetic.clone()],
                None => column.viable.clone(),
            };
            let chosen = candidates.iter().find(|viable| selected.iter().flatten().any(|found| found == *viable));
            let Some(chosen) = chosen else {
                let is_selected = |column: &ColumnRef| selected.iter().flatten().any(|found| found == column);
                return Err(self.missing(&candidates, !synthetic.is_empty(), scope, &is_selected, (at, result)));
            };
            let key = millstream::expression::col(&name);
            let mut first = true;
            for (item, found) in items.iter_mut().zip(&selected) {
                if found.as_ref() == Some(chosen) {
                    if !first {
                        let aliases = written.iter().zip(&selected);
                        let aliases = aliases.filter(|(_, found)| found.as_ref() == Some(chosen));
                        let aliases: Vec<String> = aliases.map(|(item, _)| item.name.clone()).collect();
                        let problem = named_key::twice(&aliases[0], &aliases);
                        let hint = format!("write AS_VALUE({}) for a copy", chosen.1);
                        return Err(PlanError::invalid_hint(item.at, problem, hint));
                    }
                    first = false;
                    item.expr = key.clone();
                } else if item.expr == key {
                    item.is_copy = true;
                }
            }
        }
        Ok(())
    }

    /// Synthetic columns as the scope knows them.
    fn synthetic_of(&self, scope: &Scope) -> Vec<(usize, ColumnRef)> {
        let columns = self.columns.iter().enumerate().filter(|(_, column)| column.viable.is_empty());
        columns
            .filter_map(|(position, _)| {
                let internal = key_name(position);
                let column = scope.columns.iter().find(|known| known.is_pseudo && known.internal == internal)?;
                Some((position, (column.source, column.name.clone())))
            })
            .collect()
    }

    fn missing(
        &self,
        candidates: &[ColumnRef],
        synthetic: bool,
        scope: &Scope,
        is_selected: &dyn Fn(&ColumnRef) -> bool,
        (at, result): (Position, &str),
    ) -> PlanError {
        let shown = |(source, name): &ColumnRef| match synthetic {
            true => name.clone(),
            false => format!("{}.{name}", scope.sources[*source].reference),
        };
        let names: Vec<String> = candidates.iter().map(shown).collect();
        if self.of_foreign_key_join {
            let missing = self.columns.iter().filter(|column| !column.viable.iter().any(is_selected));
            let missing = missing.filter_map(|column| column.viable.first());
            let missing: Vec<String> = missing.map(|(_, name)| format!("`{name}`")).collect();
            let plural = if missing.len() > 1 { "s" } else { "" };
            let problem = format!(
                "Primary key column{plural} missing in projection. For foreign-key table-table joins, the projection must \
                 include all primary key columns from the left input table (`{}`). Missing column{plural}: {}.",
                scope.sources[0].name,
                missing.join(", ")
            );
            return PlanError::invalid(at, problem);
        }
        let names = if names.is_empty() { vec!["ROWKEY".to_owned()] } else { names };
        let mut problem = named_key::missing("join expression", &names, ("or", &names[0]), result);
        if synthetic {
            problem.push_str(&format!(
                " {} was added as a synthetic key column because the join criteria did not match any source column.",
                names[0]
            ));
        }
        PlanError::invalid(at, problem)
    }
}
