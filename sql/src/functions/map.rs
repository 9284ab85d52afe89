//! Maps from STRING: their parts, and how they are put together. Entries keep the order in which they came.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, MapArray, StringArray, StructArray},
    buffer::{NullBuffer, OffsetBuffer},
    compute::interleave,
    datatypes::{DataType, Fields},
};

use super::{
    columns::{Booleans, maps, read},
    lists::{ListPicker, items, list_of, lists},
    overload::{array_of_any, function, map_of_any, overload},
    signature::{Call, Parameter, Returns, ScalarFunction},
};
use crate::catalog::{SqlType, StructField};

/// The functions of this family.
pub(crate) fn functions() -> Vec<ScalarFunction> {
    let texts = || Parameter::Array(Box::new(Parameter::Type(SqlType::Varchar)));
    let entries_of = [map_of_any(), Parameter::Type(SqlType::Boolean)];
    vec![
        function(
            "AS_MAP",
            "The map of these keys to these values, as many as there are of both.",
            vec![overload(&[texts(), array_of_any()], Returns::Like(map_of_any()), as_map)],
        ),
        function(
            "ENTRIES",
            "The entries of a map as an array of structs with the fields K and V, sorted by K or not.",
            vec![overload(&entries_of, Returns::Computed(entries_type), entries)],
        ),
        function("MAP_KEYS", "The keys of a map.", vec![overload(&[map_of_any()], Returns::Like(texts()), keys)]),
        function(
            "MAP_UNION",
            "The entries of both maps; of a key in both, that of the second.",
            vec![overload(&[map_of_any(), map_of_any()], Returns::Like(map_of_any()), union)],
        ),
        function(
            "MAP_VALUES",
            "The values of a map.",
            vec![overload(&[map_of_any()], Returns::Like(array_of_any()), values)],
        ),
    ]
}

fn entries_type(types: &[SqlType]) -> Result<SqlType, String> {
    let Some(SqlType::Map(key, value)) = types.first() else { return Err("MAP is wanted".to_owned()) };
    let field = |name: &str, data_type: &SqlType| StructField { name: name.to_owned(), data_type: data_type.clone() };
    Ok(SqlType::Array(Box::new(SqlType::Struct(vec![field("K", key), field("V", value)]))))
}

fn keys(call: &Call<'_>) -> Result<ArrayRef, String> {
    let map = maps(call, 0)?;
    part(call, &map, Arc::clone(map.keys()))
}

fn values(call: &Call<'_>) -> Result<ArrayRef, String> {
    let map = maps(call, 0)?;
    part(call, &map, Arc::clone(map.values()))
}

/// Arrays as long as the maps are, of `items` for the entries.
fn part(call: &Call<'_>, map: &MapArray, items: ArrayRef) -> Result<ArrayRef, String> {
    let DataType::List(field) = call.returns else { return Err(format!("ARRAY is wanted, not {}", call.returns)) };
    list_of(Arc::clone(field), map.value_offsets().to_vec(), items, map.nulls().cloned())
}

/// Where the entries of a row lie; none if the row is null.
fn span(map: &MapArray, row: usize) -> Option<std::ops::Range<usize>> {
    let offsets = map.value_offsets();
    map.is_valid(row).then(|| offsets[row] as usize..offsets[row + 1] as usize)
}

fn entries(call: &Call<'_>) -> Result<ArrayRef, String> {
    let map = maps(call, 0)?;
    let sorted: Booleans<'_> = read(call, 1)?;
    let DataType::List(field) = call.returns else { return Err(format!("ARRAY is wanted, not {}", call.returns)) };
    let DataType::Struct(fields) = field.data_type() else { return Err(format!("STRUCT is wanted, not {field}")) };
    let pairs = pairs(fields, &map)?;
    let keys = map.keys().as_string::<i32>();
    let mut order: Vec<usize> = Vec::new();
    let mut picker = ListPicker::new(vec![&pairs], call.rows);
    for row in 0..call.rows {
        let span = span(&map, row);
        let valid = span.is_some();
        order.clear();
        order.extend(span.into_iter().flatten());
        if sorted.get(row) == Some(true) {
            order.sort_by_key(|entry| keys.value(*entry));
        }
        order.iter().for_each(|entry| picker.pick(0, *entry));
        picker.end(valid)?;
    }
    picker.finish(call.returns)
}

fn pairs(fields: &Fields, map: &MapArray) -> Result<StructArray, String> {
    let columns = vec![Arc::clone(map.keys()), Arc::clone(map.values())];
    StructArray::try_new(fields.clone(), columns, None).map_err(|error| error.to_string())
}

/// Builds a column of MAP from keys and values of other columns.
struct MapPicker<'a> {
    keys: Vec<&'a dyn Array>,
    values: Vec<&'a dyn Array>,
    /// Source and row of keys and of values; each entry has both.
    picked_keys: Vec<(usize, usize)>,
    picked_values: Vec<(usize, usize)>,
    /// Where a key stands in the map that grows.
    places: HashMap<&'a str, usize>,
    offsets: Vec<i32>,
    valid: Vec<bool>,
}

impl<'a> MapPicker<'a> {
    fn new(keys: Vec<&'a dyn Array>, values: Vec<&'a dyn Array>) -> Self {
        Self {
            keys,
            values,
            picked_keys: Vec::new(),
            picked_values: Vec::new(),
            places: HashMap::new(),
            offsets: vec![0],
            valid: Vec::new(),
        }
    }

    /// Adds an entry, or gives a key that is there already another value.
    fn put(&mut self, key: &'a str, key_at: (usize, usize), value_at: (usize, usize)) {
        match self.places.get(key) {
            Some(place) => self.picked_values[*place] = value_at,
            None => {
                self.places.insert(key, self.picked_keys.len());
                self.picked_keys.push(key_at);
                self.picked_values.push(value_at);
            }
        }
    }

    fn end(&mut self, valid: bool) -> Result<(), String> {
        self.places.clear();
        self.offsets.push(i32::try_from(self.picked_keys.len()).map_err(|error| error.to_string())?);
        self.valid.push(valid);
        Ok(())
    }

    fn finish(self, returns: &DataType) -> Result<ArrayRef, String> {
        let DataType::Map(field, ordered) = returns else { return Err(format!("MAP is wanted, not {returns}")) };
        let DataType::Struct(fields) = field.data_type() else {
            return Err(format!("entries are wanted, not {field}"));
        };
        let gather = |sources: &[&dyn Array], picked: &[(usize, usize)]| {
            interleave(sources, picked).map_err(|error| error.to_string())
        };
        let columns = vec![gather(&self.keys, &self.picked_keys)?, gather(&self.values, &self.picked_values)?];
        let entries = StructArray::try_new(fields.clone(), columns, None).map_err(|error| error.to_string())?;
        let nulls = Some(NullBuffer::from(self.valid)).filter(|nulls| nulls.null_count() > 0);
        let offsets = OffsetBuffer::new(self.offsets.into());
        let map = MapArray::try_new(Arc::clone(field), offsets, entries, nulls, *ordered);
        Ok(Arc::new(map.map_err(|error| error.to_string())?))
    }
}

/// Of a key that occurs twice the last value counts.
fn as_map(call: &Call<'_>) -> Result<ArrayRef, String> {
    let (keys, values) = (lists(call, 0)?, lists(call, 1)?);
    let texts: &StringArray = keys.values().as_string();
    let mut picker = MapPicker::new(vec![texts], vec![values.values().as_ref()]);
    for row in 0..call.rows {
        let both = items(&keys, row).zip(items(&values, row));
        let valid = both.is_some();
        for (key, value) in both.into_iter().flat_map(|(keys, values)| keys.zip(values)) {
            if texts.is_null(key) {
                return Err("a key of a map is null".to_owned());
            }
            picker.put(texts.value(key), (0, key), (0, value));
        }
        picker.end(valid)?;
    }
    picker.finish(call.returns)
}

fn union(call: &Call<'_>) -> Result<ArrayRef, String> {
    let both = [maps(call, 0)?, maps(call, 1)?];
    let keys = [both[0].keys().as_string::<i32>(), both[1].keys().as_string::<i32>()];
    let mut picker = MapPicker::new(vec![keys[0], keys[1]], both.iter().map(|map| map.values().as_ref()).collect());
    for row in 0..call.rows {
        let mut valid = false;
        for (source, map) in both.iter().enumerate() {
            let Some(span) = span(map, row) else { continue };
            valid = true;
            span.for_each(|entry| picker.put(keys[source].value(entry), (source, entry), (source, entry)));
        }
        picker.end(valid)?;
    }
    picker.finish(call.returns)
}

#[cfg(test)]
mod tests {
    use arrow::array::{BooleanArray, Int32Builder, MapBuilder, MapFieldNames, StringBuilder};

    use super::*;
    use crate::functions::{
        array::samples::{int_lists, text_lists},
        columns::harness::{check, null},
        signature::Argument,
    };

    /// The entries of a map; none is a null map.
    type Entries<'a> = Option<&'a [(&'a str, Option<i32>)]>;

    fn maps(rows: &[Entries<'_>]) -> Argument {
        let names = MapFieldNames { entry: "entries".to_owned(), key: "key".to_owned(), value: "value".to_owned() };
        let mut maps = MapBuilder::new(Some(names), StringBuilder::new(), Int32Builder::new());
        for row in rows {
            for (key, value) in row.unwrap_or_default() {
                maps.keys().append_value(key);
                maps.values().append_option(*value);
            }
            maps.append(row.is_some()).unwrap();
        }
        Argument::Column(Arc::new(maps.finish()))
    }

    #[test]
    fn maps_and_their_parts() {
        let family = functions();
        let check = |name: &str, arguments: &[Argument], want: &[&str]| check(&family, name, arguments, want);
        let sample = || maps(&[Some(&[("foo", Some(10)), ("bar", None), ("baz", Some(30))]), Some(&[]), None]);
        check("MAP_KEYS", &[sample()], &["[foo, bar, baz]", "[]", "null"]);
        check("MAP_VALUES", &[sample()], &["[10, null, 30]", "[]", "null"]);
        let is = |sorted: Option<bool>| Argument::Constant(Arc::new(BooleanArray::from(vec![sorted])));
        let sorted = ["[{K: bar, V: null}, {K: baz, V: 30}, {K: foo, V: 10}]", "[]", "null"];
        check("ENTRIES", &[sample(), is(Some(true))], &sorted);
        let unsorted = ["[{K: foo, V: 10}, {K: bar, V: null}, {K: baz, V: 30}]", "[]", "null"];
        check("ENTRIES", &[sample(), is(Some(false))], &unsorted);
        check("ENTRIES", &[sample(), is(None)], &unsorted);
        let other = || maps(&[Some(&[("bar", Some(1)), ("new", Some(2))]), None, None]);
        check("MAP_UNION", &[sample(), other()], &["{foo: 10, bar: 1, baz: 30, new: 2}", "{}", "null"]);
        check("MAP_UNION", &[other(), sample()], &["{bar: null, new: 2, foo: 10, baz: 30}", "{}", "null"]);
        let map = SqlType::Map(Box::new(SqlType::Varchar), Box::new(SqlType::Int));
        check("MAP_KEYS", &[null(&map)], &["null"]);
    }

    #[test]
    fn maps_of_keys_and_values() {
        let family = functions();
        let keys =
            text_lists(&[Some(&[Some("a"), Some("b")]), Some(&[Some("a"), Some("b"), Some("a")]), None, Some(&[])]);
        let numbers = || {
            int_lists(&[
                Some(&[Some(1), Some(2), Some(3)]),
                Some(&[Some(1), None, Some(3)]),
                Some(&[Some(1)]),
                Some(&[Some(1)]),
            ])
        };
        check(&family, "AS_MAP", &[keys, numbers()], &["{a: 1, b: 2}", "{a: 3, b: null}", "null", "{}"]);
        let without = text_lists(&[Some(&[None]), None, None, None]);
        check(&family, "AS_MAP", &[without, numbers()], &["error: a key of a map is null"]);
    }
}
