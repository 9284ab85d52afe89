//! The items of a projection: stars replaced by columns, and a name for each.
//!
//! | item | name |
//! |---|---|
//! | `COL`, `S.COL` | the column's, or `S_COL` where several sources have it |
//! | `*`, `S.*` | the columns' names; of a join `S_COL` |
//! | `E->F` | `F`, or `F_1` where that is taken |
//! | `E->*` | the names of the fields |
//! | anything else | `KSQL_COL_0`, `KSQL_COL_1`, .. |
//!
//! A star under PARTITION BY gives the new key first and the columns of the old key last.

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::sql::sqlparser::ast::{AccessExpr, Expr as Sql, Ident, Subscript, Value};
use millstream::schema::{WINDOWEND, WINDOWSTART};

use super::{
    bind::{self, bind},
    error::PlanError,
    query::{PSEUDO_COLUMNS, Purpose},
    scope::{Scope, ScopeColumn},
};
use crate::syntax::{Position, ast, ast::SelectItem, position_of};

/// An item of the projection with its name, before it is bound.
#[derive(Debug, Clone)]
pub(super) struct WrittenItem {
    pub(super) name: String,
    pub(super) expr: ast::Expr,
    pub(super) at: Position,
    /// Written as `AS_VALUE(..)`: never the key.
    pub(super) is_copy: bool,
}

/// What the items of a projection are over.
pub(super) struct Projection<'a> {
    pub(super) scope: &'a Scope,
    /// The columns of the batches.
    pub(super) columns: &'a SchemaRef,
    pub(super) purpose: Purpose,
    pub(super) is_join: bool,
    /// PARTITION BY, and the key columns that there are before it.
    pub(super) partition_by: Option<(&'a [ast::Expr], Vec<String>)>,
}

/// Makes up names for what has none.
struct Names<'a> {
    scope: &'a Scope,
    given: Vec<String>,
    next: usize,
}

impl Names<'_> {
    fn is_taken(&self, name: &str) -> bool {
        self.scope.columns.iter().any(|column| column.name == name) || self.given.iter().any(|given| given == name)
    }

    fn unnamed(&mut self) -> String {
        loop {
            let name = format!("KSQL_COL_{}", self.next);
            self.next += 1;
            if !self.is_taken(&name) {
                return name;
            }
        }
    }

    fn field(&mut self, field: &str) -> String {
        let mut name = field.to_owned();
        let mut number = 0;
        while self.is_taken(&name) {
            number += 1;
            name = format!("{field}_{number}");
        }
        self.given.push(name.clone());
        name
    }

    fn of(&mut self, expr: &ast::Expr, columns: &SchemaRef) -> String {
        match expr {
            Sql::Nested(inner) => self.of(inner, columns),
            Sql::Identifier(name) => name.value.clone(),
            Sql::CompoundIdentifier(parts) if parts.len() == 2 && self.scope.is_source(&parts[0].value) => {
                // Every source has the pseudo columns.
                if self.scope.columns.iter().filter(|column| column.name == parts[1].value).count() > 1 {
                    format!("{}_{}", parts[0].value, parts[1].value)
                } else {
                    parts[1].value.clone()
                }
            }
            expr => match self.last_field(expr, columns) {
                Some(field) => self.field(&field),
                None => self.unnamed(),
            },
        }
    }

    /// The field that `a->b->c` ends in; none for `m['c']`, which is written the same in a parsed expression.
    fn last_field(&self, expr: &ast::Expr, columns: &SchemaRef) -> Option<String> {
        let Sql::CompoundFieldAccess { root, access_chain } = expr else { return None };
        let (last, before) = access_chain.split_last()?;
        let AccessExpr::Subscript(Subscript::Index { index: Sql::Value(value) }) = last else { return None };
        let Value::SingleQuotedString(field) = &value.value else { return None };
        let owner = match before {
            [] => root.as_ref().clone(),
            before => Sql::CompoundFieldAccess { root: root.clone(), access_chain: before.to_vec() },
        };
        let bound = bind(&owner, self.scope, columns, Position::START).ok()?;
        let owner_type = bind::type_of(&bound, columns, Position::START).ok()?;
        matches!(owner_type, DataType::Struct(_)).then(|| field.clone())
    }
}

impl Projection<'_> {
    /// The items, each with its name.
    ///
    /// # Errors
    /// [`PlanError`] if a star is of no source or no struct, or two columns of a persistent query have one name.
    pub(super) fn expand(&self, items: &[SelectItem]) -> Result<Vec<WrittenItem>, PlanError> {
        let mut names = Names { scope: self.scope, given: Vec::new(), next: 0 };
        let mut written = Vec::new();
        for item in items {
            match item {
                SelectItem::All { span } => written.extend(self.all(span.start, &mut names)?),
                SelectItem::AllOf { source, span } => {
                    let source = self.scope.source(&source.value, source.span.start)?;
                    written.extend(self.star(source, span.start));
                }
                SelectItem::AllFields { expr, span } => written.extend(self.fields(expr, span.start)?),
                SelectItem::Expr { expr, alias, span } => {
                    let is_copy = bind::as_value(expr).is_some();
                    let at = alias.as_ref().map_or(span.start, |_| position_of(expr).unwrap_or(span.start));
                    let name = match alias {
                        Some(alias) => alias.value.clone(),
                        None => names.of(expr, self.columns),
                    };
                    if PSEUDO_COLUMNS.contains(&name.as_str()) && self.purpose == Purpose::Persistent {
                        self.check_reserved(&name, expr, at)?;
                    }
                    written.push(WrittenItem { name, expr: expr.clone(), at, is_copy });
                }
            }
        }
        Ok(written)
    }

    /// Refuses an item under the name of a pseudo column.
    fn check_reserved(&self, name: &str, expr: &ast::Expr, at: Position) -> Result<(), PlanError> {
        let is_it = match expr {
            Sql::Identifier(column) => column.value == name,
            Sql::CompoundIdentifier(parts) => parts.last().is_some_and(|column| column.value == name),
            _ => false,
        };
        if !is_it {
            let problem = format!("`{name}` is a reserved column name. You cannot use it as an alias for a column.");
            return Err(PlanError::invalid_hint(at, problem, "choose another alias"));
        }
        if [WINDOWSTART, WINDOWEND].contains(&name) {
            // Known later whether it is there at all.
            return Ok(());
        }
        let problem = format!("Reserved column name in select: `{name}`. Please remove or alias the column.");
        Err(PlanError::invalid_hint(at, problem, format!("write e.g. {name} AS X")))
    }

    fn all(&self, at: Position, names: &mut Names<'_>) -> Result<Vec<WrittenItem>, PlanError> {
        let synthetic = self.scope.columns.iter().filter(|column| is_synthetic(column));
        let synthetic = synthetic.map(|column| {
            let expr = Sql::Identifier(Ident::with_quote('`', column.name.as_str()));
            WrittenItem { name: column.name.clone(), expr, at, is_copy: false }
        });
        let columns = (0..self.scope.sources.len()).flat_map(|source| self.star(source, at));
        let all: Vec<WrittenItem> = synthetic.chain(columns).collect();
        let Some((partition_by, old_key)) = &self.partition_by else { return Ok(all) };
        let drops_key = matches!(partition_by, [Sql::Value(value)] if value.value == Value::Null);
        let partition_by: &[ast::Expr] = if drops_key { &[] } else { partition_by };
        let resolved = |expr: &ast::Expr| self.column(expr).map(|column| (column.source, column.name.clone()));
        let mut items = Vec::with_capacity(all.len() + partition_by.len());
        let mut is_key = vec![false; all.len()];
        for expr in partition_by {
            let found = resolved(expr);
            let position = all.iter().position(|item| found.is_some() && resolved(&item.expr) == found);
            match position {
                Some(position) => {
                    is_key[position] = true;
                    items.push(all[position].clone());
                }
                None => items.push(WrittenItem {
                    name: names.of(expr, self.columns),
                    expr: expr.clone(),
                    at,
                    is_copy: false,
                }),
            }
        }
        let was_key =
            |item: &WrittenItem| self.column(&item.expr).is_some_and(|column| old_key.contains(&column.internal));
        let rest = || all.iter().zip(&is_key).filter(|(_, is_key)| !**is_key).map(|(item, _)| item);
        items.extend(rest().filter(|item| !was_key(item)).cloned());
        items.extend(rest().filter(|item| was_key(item)).cloned());
        Ok(items)
    }

    fn column(&self, expr: &ast::Expr) -> Option<&ScopeColumn> {
        match expr {
            Sql::Nested(inner) => self.column(inner),
            Sql::Identifier(name) => self.scope.resolve(None, name, Position::START).ok(),
            Sql::CompoundIdentifier(parts) => match parts.as_slice() {
                [source, name] if self.scope.is_source(&source.value) => {
                    self.scope.resolve(Some(source), name, Position::START).ok()
                }
                _ => None,
            },
            _ => None,
        }
    }

    fn star(&self, source: usize, at: Position) -> Vec<WrittenItem> {
        let reference = &self.scope.sources[source].reference;
        let with_windows = self.is_join || self.purpose == Purpose::Push;
        let is_shown = |column: &&ScopeColumn| {
            let is_bound = matches!(column.name.as_str(), WINDOWSTART | WINDOWEND);
            column.source == source && (!column.is_pseudo || (with_windows && is_bound))
        };
        let item = |column: &ScopeColumn| WrittenItem {
            name: if self.is_join { format!("{reference}_{}", column.name) } else { column.name.clone() },
            expr: Sql::CompoundIdentifier(vec![
                Ident::with_quote('`', reference.as_str()),
                Ident::with_quote('`', column.name.as_str()),
            ]),
            at,
            is_copy: false,
        };
        self.scope.columns.iter().filter(is_shown).map(item).collect()
    }

    fn fields(&self, expr: &ast::Expr, at: Position) -> Result<Vec<WrittenItem>, PlanError> {
        let bound = bind(expr, self.scope, self.columns, at)?;
        let found = bind::type_of(&bound, self.columns, at)?;
        let DataType::Struct(fields) = found else {
            return Err(PlanError::invalid(at, format!("->* is for a STRUCT, `{expr}` is none")));
        };
        let item = |name: &String| WrittenItem {
            name: name.clone(),
            expr: bind::field_access(expr.clone(), name.clone()),
            at,
            is_copy: false,
        };
        Ok(fields.iter().map(|field| item(field.name())).collect())
    }
}

/// Whether a column is a key that a join has added.
fn is_synthetic(column: &ScopeColumn) -> bool {
    column.is_pseudo && !PSEUDO_COLUMNS.contains(&column.name.as_str())
}
