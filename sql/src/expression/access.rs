//! Parts of collections: `a[i]`, `m['k']`, `s->f`. What is not there is null.

use arrow::{
    array::{Array, ArrayRef, AsArray, UInt32Array, make_array},
    buffer::NullBuffer,
    compute,
    datatypes::Int64Type,
};
use datafusion::logical_expr::Expr;

use super::{
    cast::convert,
    cast::{entries, items},
    coercion::coerce,
    error::BindError,
    operation::{self, Operation},
    typed::{Node, Typed},
};
use crate::{
    catalog::SqlType,
    functions::{signature::Call, value_keys::ValueKeys},
};

/// Binds `root[index]`, where the index of a struct is the name of a field.
pub(super) fn access<'a>(root: Typed<'a>, index: Typed<'a>) -> Result<Typed<'a>, BindError> {
    let at = root.at;
    let (written, data_type) = (root.written, root.data_type.clone());
    let made = |expr: Expr, found: SqlType| Typed { node: Node::Expr(expr), data_type: Some(found), written, at };
    match data_type {
        Some(SqlType::Array(item)) => {
            let index = match index.data_type {
                Some(SqlType::Int) => convert(index.into_expr()?, &SqlType::Int, &SqlType::BigInt),
                Some(SqlType::BigInt) => index.into_expr()?,
                _ => {
                    let problem =
                        format!("an index of {} must be a whole number, this is {}", root.shown(), index.type_shown());
                    return Err(BindError::invalid(index.at, problem));
                }
            };
            let expr = operation::call(Item, vec![root.into_expr()?, index], item.to_arrow());
            Ok(made(expr, *item))
        }
        Some(SqlType::Map(key, value)) => {
            let key = coerce(index, &key)?;
            let expr = operation::call(Entry, vec![root.into_expr()?, key], value.to_arrow());
            Ok(made(expr, *value))
        }
        Some(SqlType::Struct(fields)) => {
            let Node::Text(name) = &index.node else {
                return Err(BindError::invalid_hint(
                    at,
                    format!("{} is a STRUCT", root.shown()),
                    "name its field with ->",
                ));
            };
            let Some(position) = fields.iter().position(|field| field.name == *name) else {
                let known = fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>().join(", ");
                let problem = format!("no field {name} in {}; it has {known}", root.shown());
                return Err(BindError::invalid(index.at, problem));
            };
            let found = fields[position].data_type.clone();
            let field = Field { name: name.clone(), position };
            let expr = operation::call(field, vec![root.into_expr()?], found.to_arrow());
            Ok(made(expr, found))
        }
        _ => {
            let problem = format!("{} is {}, it has no parts", root.shown(), root.type_shown());
            Err(BindError::invalid(at, problem))
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Item;

impl Operation for Item {
    fn name(&self) -> &str {
        "item"
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<ArrayRef, String> {
        let list = call.arguments[0].column(call.rows).map_err(|error| error.to_string())?;
        let index = call.arguments[1].column(call.rows).map_err(|error| error.to_string())?;
        let (offsets, values) = items(list.as_list::<i32>());
        let wanted = index.as_primitive::<Int64Type>();
        let place = |row: usize| {
            if list.is_null(row) || wanted.is_null(row) {
                return None;
            }
            let (start, end) = (i64::from(offsets[row]), i64::from(offsets[row + 1]));
            let place = match wanted.value(row) {
                index if index > 0 => start.checked_add(index - 1)?,
                index if index < 0 => end.checked_add(index)?,
                _ => return None,
            };
            if (start..end).contains(&place) { u32::try_from(place).ok() } else { None }
        };
        let places: UInt32Array = (0..call.rows).map(place).collect();
        compute::take(&values, &places, None).map_err(|error| error.to_string())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Entry;

impl Operation for Entry {
    fn name(&self) -> &str {
        "entry"
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<ArrayRef, String> {
        let map = call.arguments[0].column(call.rows).map_err(|error| error.to_string())?;
        let (offsets, keys, values) = entries(map.as_map());
        let names = ValueKeys::of(&keys)?;
        let wanted = match call.arguments[1].constant() {
            Some(constant) => ValueKeys::of(constant)?,
            None => ValueKeys::of(&call.arguments[1].column(call.rows).map_err(|error| error.to_string())?)?,
        };
        let is_constant = call.arguments[1].constant().is_some();
        let place = |row: usize| {
            if map.is_null(row) {
                return None;
            }
            let wanted = wanted.get(if is_constant { 0 } else { row });
            let mut places = offsets[row] as usize..offsets[row + 1] as usize;
            places.find(|place| names.get(*place) == wanted).and_then(|place| u32::try_from(place).ok())
        };
        let places: UInt32Array = (0..call.rows).map(place).collect();
        compute::take(&values, &places, None).map_err(|error| error.to_string())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Field {
    name: String,
    position: usize,
}

impl Operation for Field {
    fn name(&self) -> &str {
        "field"
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<ArrayRef, String> {
        let owner = call.arguments[0].column(call.rows).map_err(|error| error.to_string())?;
        let field = owner.as_struct().column(self.position);
        let nulls = NullBuffer::union(owner.nulls(), field.nulls());
        if nulls.as_ref().map(NullBuffer::null_count) == field.nulls().map(NullBuffer::null_count) {
            return Ok(ArrayRef::clone(field));
        }
        let data = field.to_data().into_builder().nulls(nulls).build().map_err(|error| error.to_string())?;
        Ok(make_array(data))
    }
}
