//! TRANSFORM, FILTER and REDUCE: lambdas over the items of arrays and the entries of maps.
//!
//! A body is bound over columns of its own: its parameters, then the columns around it that it reads, which are arguments of the call.
//! It is evaluated once for all items of a batch, the columns around repeated for each item; REDUCE goes position by position, with one
//! row for each collection that is so long. A body that fails for an item fails its row.

use std::{
    collections::BTreeSet,
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, RecordBatch, RecordBatchOptions, UInt32Array},
    buffer::OffsetBuffer,
    compute,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion::{common::DFSchema, logical_expr::Expr, physical_expr::PhysicalExpr, sql::sqlparser::ast as sql};
use millstream::expression::col;

use super::{
    binder::{Binder, LambdaParameter},
    cast::{convert, entries, items, map_of},
    coercion::widest,
    error::BindError,
    operation::{self, Operation},
    typed::{Node, Typed, untyped_null},
};
use crate::{
    catalog::SqlType,
    functions::{registry, resolution::told_name, signature::Call, value_keys::ValueKeys},
    syntax::Position,
};

/// What is done with a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Transform,
    Filter,
    Reduce,
}

impl<'a> Binder<'a> {
    /// Binds a call of a function with lambdas.
    pub(super) fn lambda_call(
        &mut self,
        name: &str,
        arguments: &[&'a sql::Expr],
        written: &'a sql::Expr,
        at: Position,
    ) -> Result<Typed<'a>, BindError> {
        let (kind, initial, lambdas) = match (name, arguments) {
            ("TRANSFORM", [_, lambdas @ ..]) => (Kind::Transform, None, lambdas),
            ("FILTER", [_, lambdas @ ..]) => (Kind::Filter, None, lambdas),
            ("REDUCE", [_, initial, lambdas @ ..]) => (Kind::Reduce, Some(*initial), lambdas),
            _ => {
                return Err(BindError::invalid(
                    at,
                    format!("Function '{}' does not accept parameters ().", told_name(name)),
                ));
            }
        };
        let collection = self.typed(arguments[0], at)?;
        let parts = match &collection.data_type {
            Some(SqlType::Array(item)) => vec![item.as_ref().clone()],
            Some(SqlType::Map(key, value)) => vec![key.as_ref().clone(), value.as_ref().clone()],
            _ => {
                let problem = format!(
                    "Function '{}' does not accept parameters ({}, LAMBDA).",
                    told_name(name),
                    collection.type_shown()
                );
                return Err(BindError::invalid_hint(at, problem, "its first parameter is an ARRAY or a MAP"));
            }
        };
        let is_map = parts.len() == 2;
        let wanted = if is_map && kind == Kind::Transform { 2 } else { 1 };
        if lambdas.len() != wanted {
            let problem = format!("Function '{name}' takes {wanted} lambda(s) here, there are {}", lambdas.len());
            return Err(BindError::invalid(at, problem));
        }
        let mut bodies = Vec::with_capacity(lambdas.len());
        let mut types = Vec::with_capacity(lambdas.len());
        let mut state = None;
        if let Some(initial) = initial {
            let initial = self.typed(initial, at)?;
            let Some(mut found) = initial.data_type.clone() else { return Err(untyped_null(initial.at)) };
            // A body that gives a wider number than the state makes the state wider.
            let mut bound = self.body(name, lambdas[0], &with_state(&found, &parts), at)?;
            if bound.1 != found {
                let Some(wider) = widest(&found, &bound.1) else {
                    let problem = format!("the lambda of REDUCE gives {}, its state is {found}", bound.1);
                    return Err(BindError::invalid(at, problem));
                };
                bound = self.body(name, lambdas[0], &with_state(&wider, &parts), at)?;
                state = Some(initial.into_as(&wider)?);
                found = wider;
            } else {
                state = Some(initial.into_expr()?);
            }
            bodies.push((convert(bound.0, &bound.1, &found), with_state(&found, &parts)));
            types.push(found);
        } else {
            for lambda in lambdas {
                let (expr, data_type) = self.body(name, lambda, &parts, at)?;
                bodies.push((expr, parts.clone()));
                types.push(data_type);
            }
        }
        let returns = match (kind, is_map, types.as_slice()) {
            (Kind::Transform, false, [item]) => SqlType::Array(Box::new(item.clone())),
            (Kind::Transform, true, [key, value]) => SqlType::Map(Box::new(key.clone()), Box::new(value.clone())),
            (Kind::Filter, _, [SqlType::Boolean]) => {
                collection.data_type.clone().ok_or_else(|| untyped_null(collection.at))?
            }
            (Kind::Filter, _, [other, ..]) => {
                return Err(BindError::invalid(
                    at,
                    format!("the lambda of FILTER gives {other}, it must give BOOLEAN"),
                ));
            }
            (_, _, [state, ..]) => state.clone(),
            _ => return Err(BindError::invalid(at, format!("Function '{name}' has too few lambdas"))),
        };
        let expr = self.over(kind, is_map, (collection.into_expr()?, state), bodies, &returns, at)?;
        Ok(Typed { node: Node::Expr(expr), data_type: Some(returns), written, at })
    }

    /// Binds the body of a lambda with its parameters.
    fn body(
        &mut self,
        name: &str,
        lambda: &'a sql::Expr,
        types: &[SqlType],
        at: Position,
    ) -> Result<(Expr, SqlType), BindError> {
        let sql::Expr::Lambda(lambda) = lambda else {
            return Err(BindError::invalid_hint(at, format!("{name} needs a lambda"), "write it as x => x + 1"));
        };
        if lambda.params.len() != types.len() {
            let problem =
                format!("the lambda of {name} needs {} parameter(s), it has {}", types.len(), lambda.params.len());
            return Err(BindError::invalid(at, problem));
        }
        let depth = self.frames.len();
        let parameters = lambda.params.iter().zip(types).enumerate();
        let frame = parameters.map(|(index, (parameter, data_type))| LambdaParameter {
            name: parameter.name.value.clone(),
            internal: internal(depth, index),
            data_type: data_type.clone(),
        });
        self.frames.push(frame.collect());
        let bound = self.typed(&lambda.body, at).and_then(|part| {
            let data_type = part.data_type.clone().ok_or_else(|| untyped_null(part.at))?;
            Ok((part.into_expr()?, data_type))
        });
        self.frames.pop();
        bound
    }

    /// The call with bodies compiled over their parameters and the columns around that they read.
    fn over(
        &self,
        kind: Kind,
        is_map: bool,
        (collection, state): (Expr, Option<Expr>),
        bodies: Vec<(Expr, Vec<SqlType>)>,
        returns: &SqlType,
        at: Position,
    ) -> Result<Expr, BindError> {
        let problem = |error: &dyn std::fmt::Display| BindError::invalid(at, error.to_string());
        let depth = self.frames.len();
        let around = self.schema();
        let own: Vec<String> = (0..3).map(|index| internal(depth, index)).collect();
        let read = bodies.iter().flat_map(|(body, _)| body.column_refs()).map(|column| column.name.clone());
        let captured: BTreeSet<String> = read.filter(|name| !own.contains(name)).collect();
        let captures = captured
            .iter()
            .map(|name| around.field_with_name(name).cloned().map_err(|error| problem(&error)))
            .collect::<Result<Vec<Field>, _>>()?;
        let mut compiled = Vec::with_capacity(bodies.len());
        for (expr, types) in bodies {
            let parameters =
                types.iter().enumerate().map(|(index, one)| Field::new(internal(depth, index), one.to_arrow(), true));
            let schema = Arc::new(Schema::new(parameters.chain(captures.iter().cloned()).collect::<Vec<_>>()));
            let logical = DFSchema::try_from(schema.as_ref().clone()).map_err(|error| problem(&error))?;
            let physical =
                registry::context().create_physical_expr(expr.clone(), &logical).map_err(|error| problem(&error))?;
            compiled.push(Body { expr, schema, physical });
        }
        let mut arguments = vec![collection];
        arguments.extend(state);
        arguments.extend(captured.iter().map(|name| col(name)));
        Ok(operation::call(Lambda { kind, is_map, bodies: compiled }, arguments, returns.to_arrow()))
    }
}

fn internal(depth: usize, index: usize) -> String {
    format!("__lambda{depth}_{index}")
}

fn with_state(state: &SqlType, parts: &[SqlType]) -> Vec<SqlType> {
    std::iter::once(state).chain(parts).cloned().collect()
}

/// A compiled body.
#[derive(Debug, Clone)]
struct Body {
    expr: Expr,
    schema: SchemaRef,
    physical: Arc<dyn PhysicalExpr>,
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.expr == other.expr && self.schema == other.schema
    }
}

impl Eq for Body {}

impl Hash for Body {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.expr.hash(state);
    }
}

impl Body {
    fn evaluate(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<ArrayRef, String> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(|error| error.to_string())?;
        let value = self.physical.evaluate(&batch).and_then(|value| value.into_array(rows));
        value.map_err(|error| error.strip_backtrace())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Lambda {
    kind: Kind,
    is_map: bool,
    bodies: Vec<Body>,
}

/// A collection column taken apart: where each row begins and ends among the parts, which are items, or keys and values.
struct Collection {
    offsets: OffsetBuffer<i32>,
    parts: Vec<ArrayRef>,
    column: ArrayRef,
}

impl Collection {
    fn of(column: ArrayRef, is_map: bool) -> Self {
        let (offsets, parts) = if is_map {
            let (offsets, keys, values) = entries(column.as_map());
            (offsets, vec![keys, values])
        } else {
            let (offsets, items) = items(column.as_list::<i32>());
            (offsets, vec![items])
        };
        Self { offsets, parts, column }
    }

    fn len(&self) -> usize {
        self.parts.first().map_or(0, |part| part.len())
    }

    /// The row of each item.
    fn owners(&self) -> UInt32Array {
        let rows = self.offsets.windows(2).enumerate();
        rows.flat_map(|(row, ends)| std::iter::repeat_n(row as u32, (ends[1] - ends[0]) as usize)).collect()
    }
}

fn take(column: &ArrayRef, rows: &UInt32Array) -> Result<ArrayRef, String> {
    compute::take(column, rows, None).map_err(|error| error.to_string())
}

impl Operation for Lambda {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Transform => "TRANSFORM",
            Kind::Filter => "FILTER",
            Kind::Reduce => "REDUCE",
        }
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<ArrayRef, String> {
        let column = |index: usize| call.arguments[index].column(call.rows).map_err(|error| error.to_string());
        let collection = Collection::of(column(0)?, self.is_map);
        let first_capture = if self.kind == Kind::Reduce { 2 } else { 1 };
        let captures = (first_capture..call.arguments.len()).map(column).collect::<Result<Vec<_>, _>>()?;
        if self.kind == Kind::Reduce {
            return self.reduce(&collection, column(1)?, &captures);
        }
        let owners = collection.owners();
        let mut columns = collection.parts.clone();
        for capture in &captures {
            columns.push(take(capture, &owners)?);
        }
        let of_bodies = self
            .bodies
            .iter()
            .map(|body| body.evaluate(columns.clone(), collection.len()))
            .collect::<Result<Vec<_>, _>>()?;
        match self.kind {
            Kind::Filter => filtered(&collection, of_bodies[0].as_boolean(), call.returns),
            _ => transformed(collection, of_bodies, call.returns),
        }
    }
}

impl Lambda {
    /// The states after all items: a null state stays null, a null collection leaves its state as it is.
    fn reduce(&self, collection: &Collection, initial: ArrayRef, captures: &[ArrayRef]) -> Result<ArrayRef, String> {
        let offsets = &collection.offsets;
        let length = |row: usize| {
            if collection.column.is_null(row) || initial.is_null(row) {
                0
            } else {
                (offsets[row + 1] - offsets[row]) as usize
            }
        };
        let rows = initial.len();
        let longest = (0..rows).map(length).max().unwrap_or(0);
        let mut states = Arc::clone(&initial);
        for position in 0..longest {
            let going: Vec<usize> = (0..rows).filter(|row| length(*row) > position).collect();
            let picked: UInt32Array = going.iter().map(|row| *row as u32).collect();
            let at: UInt32Array = going.iter().map(|row| (offsets[*row] as usize + position) as u32).collect();
            let mut columns = vec![take(&states, &picked)?];
            for part in &collection.parts {
                columns.push(take(part, &at)?);
            }
            for capture in captures {
                columns.push(take(capture, &picked)?);
            }
            let next = self.bodies[0].evaluate(columns, going.len())?;
            // Row by row from the new states where there is one, else from the old.
            let mut places: Vec<(usize, usize)> = (0..rows).map(|row| (0, row)).collect();
            going.iter().enumerate().for_each(|(index, row)| places[*row] = (1, index));
            states =
                compute::interleave(&[states.as_ref(), next.as_ref()], &places).map_err(|error| error.to_string())?;
        }
        Ok(states)
    }
}

fn filtered(collection: &Collection, kept: &BooleanArray, returns: &DataType) -> Result<ArrayRef, String> {
    let is_kept = |item: usize| kept.is_valid(item) && kept.value(item);
    let lengths = collection
        .offsets
        .windows(2)
        .map(|ends| (ends[0] as usize..ends[1] as usize).filter(|item| is_kept(*item)).count());
    let offsets = OffsetBuffer::from_lengths(lengths);
    let filter = |part: &ArrayRef| compute::filter(part, kept).map_err(|error| error.to_string());
    let parts = collection.parts.iter().map(filter).collect::<Result<Vec<_>, _>>()?;
    put_together(parts, offsets, collection, returns)
}

fn transformed(collection: Collection, parts: Vec<ArrayRef>, returns: &DataType) -> Result<ArrayRef, String> {
    let offsets = collection.offsets.clone();
    if let [keys, _] = parts.as_slice() {
        if keys.null_count() > 0 {
            return Err("a key of the transformed map is null".to_owned());
        }
        let names = ValueKeys::of(keys)?;
        for ends in offsets.windows(2) {
            let mut seen = BTreeSet::new();
            if !(ends[0] as usize..ends[1] as usize).all(|entry| seen.insert(names.get(entry))) {
                return Err("the transformed map has a key twice".to_owned());
            }
        }
    }
    put_together(parts, offsets, &collection, returns)
}

fn put_together(
    mut parts: Vec<ArrayRef>,
    offsets: OffsetBuffer<i32>,
    collection: &Collection,
    returns: &DataType,
) -> Result<ArrayRef, String> {
    let nulls = collection.column.nulls().cloned();
    match (returns, parts.pop()) {
        (DataType::List(field), Some(items)) => {
            let list = ListArray::try_new(Arc::clone(field), offsets, items, nulls);
            Ok(Arc::new(list.map_err(|error| error.to_string())?))
        }
        (_, Some(values)) => {
            parts.push(values);
            map_of(parts, offsets, nulls, returns)
        }
        (_, None) => Err("a lambda gave nothing".to_owned()),
    }
}
