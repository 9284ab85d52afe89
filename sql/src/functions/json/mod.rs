//! Functions of texts that hold JSON: EXTRACTJSONFIELD, IS_JSON_STRING, JSON_..; and the whole family with TO_JSON_STRING.
//!
//! A null text gives null (IS_JSON_STRING and JSON_ARRAY_CONTAINS false), and so does a blank one or JSON of another kind than
//! wanted; a text that is no JSON fails the row (not in the two that tell). Parts are written as [`Json::push`] writes them.

mod path;
mod scan;
mod write;

use std::borrow::Cow;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int32Type, Int64Type};

use super::columns::{self, Reader, Texts};
use super::declare::{TEXT, array_of, function, overload, variadic};
use super::signature::{Call, Parameter, ScalarFunction};
use crate::catalog::SqlType;
use path::JsonPath;
use scan::{Json, Kind};

/// All functions of JSON.
pub(crate) fn functions() -> Vec<ScalarFunction> {
    let map = SqlType::Map(Box::new(SqlType::Varchar), Box::new(SqlType::Varchar));
    let own = vec![
        function(
            "EXTRACTJSONFIELD",
            "What a path such as $.a.b[0] leads to in a JSON text: a text without its quotes, anything else as JSON; null if nothing.",
            [overload([TEXT, TEXT], SqlType::Varchar, extract_field)],
        ),
        function("IS_JSON_STRING", "Whether a text holds JSON.", [overload([TEXT], SqlType::Boolean, is_json)]),
        function(
            "JSON_ARRAY_CONTAINS",
            "Whether a JSON array holds a value.",
            [overload([TEXT, Parameter::Any('T')], SqlType::Boolean, array_contains)],
        ),
        function(
            "JSON_ARRAY_LENGTH",
            "How many items a JSON array has; null for other JSON.",
            [overload([TEXT], SqlType::Int, array_length)],
        ),
        function(
            "JSON_CONCAT",
            "JSON objects merged, or arrays one after the other; what is no array becomes one of one item.",
            [variadic(overload([TEXT], SqlType::Varchar, concat))],
        ),
        function(
            "JSON_ITEMS",
            "The items of a JSON array, each as JSON text; null for other JSON.",
            [overload([TEXT], array_of(SqlType::Varchar), items)],
        ),
        function(
            "JSON_KEYS",
            "The keys of a JSON object; null for other JSON.",
            [overload([TEXT], array_of(SqlType::Varchar), keys)],
        ),
        function(
            "JSON_RECORDS",
            "The keys of a JSON object with their values as JSON text; null for other JSON.",
            [overload([TEXT], map, records)],
        ),
    ];
    [own, write::functions()].concat()
}

/// The value in a text; none if there is none.
fn parse(text: Option<&str>) -> Result<Option<Json<'_>>, String> {
    text.map_or(Ok(None), Json::parse)
}

fn extract_field(call: &Call<'_>) -> Result<ArrayRef, String> {
    let texts: Texts<'_> = columns::read(call, 0)?;
    let paths: Texts<'_> = columns::read(call, 1)?;
    let constant = paths.constant().map(JsonPath::parse);
    columns::write_texts(call.rows, |row, out| {
        let (Some(json), Some(path)) = (parse(texts.get(row))?, paths.get(row)) else { return Ok(None) };
        let path = match &constant {
            Some(constant) => Cow::Borrowed(constant.as_ref().map_err(String::clone)?),
            None => Cow::Owned(JsonPath::parse(path)?),
        };
        Ok(path.find(json).map(|found| match found.kind() {
            Kind::Text => out.push_str(&found.unescaped()),
            _ => found.push(out),
        }))
    })
}

fn is_json(call: &Call<'_>) -> Result<ArrayRef, String> {
    let texts: Texts<'_> = columns::read(call, 0)?;
    columns::write_booleans(call.rows, |row| Ok(Some(matches!(parse(texts.get(row)), Ok(Some(_))))))
}

fn array_contains(call: &Call<'_>) -> Result<ArrayRef, String> {
    let texts: Texts<'_> = columns::read(call, 0)?;
    let sought = columns::column(call, 1)?;
    columns::write_booleans(call.rows, |row| {
        let array = parse(texts.get(row)).ok().flatten().filter(|json| json.kind() == Kind::Array);
        Ok(Some(array.is_some_and(|array| array.items().any(|item| is_equal(item, &sought, row)))))
    })
}

/// Whether an item of an array is the value of a row. Kinds count: `1` is not `1.0`.
fn is_equal(item: Json<'_>, sought: &ArrayRef, row: usize) -> bool {
    if sought.is_null(row) {
        return item.kind() == Kind::Null;
    }
    match (item.kind(), sought.data_type()) {
        (Kind::Boolean, DataType::Boolean) => {
            item.raw() == if sought.as_boolean().value(row) { "true" } else { "false" }
        }
        (Kind::Integer, DataType::Int32) => item.raw().parse() == Ok(sought.as_primitive::<Int32Type>().value(row)),
        (Kind::Integer, DataType::Int64) => item.raw().parse() == Ok(sought.as_primitive::<Int64Type>().value(row)),
        (Kind::Fraction, DataType::Float64) => {
            item.raw().parse() == Ok(sought.as_primitive::<Float64Type>().value(row))
        }
        (Kind::Fraction, DataType::Decimal128(..)) => {
            let sought = sought.as_primitive::<Decimal128Type>().value_as_string(row);
            item.raw().parse::<f64>() == sought.parse()
        }
        (Kind::Text, DataType::Utf8) => item.unescaped() == sought.as_string::<i32>().value(row),
        _ => false,
    }
}

/// The value in a text if it is of a kind.
fn parse_kind(text: Option<&str>, wanted: Kind) -> Result<Option<Json<'_>>, String> {
    Ok(parse(text)?.filter(|json| json.kind() == wanted))
}

fn array_length(call: &Call<'_>) -> Result<ArrayRef, String> {
    let texts: Texts<'_> = columns::read(call, 0)?;
    columns::write_values::<Int32Type>(call.rows, |row| {
        let Some(array) = parse_kind(texts.get(row), Kind::Array)? else { return Ok(None) };
        i32::try_from(array.items().count()).map(Some).map_err(|error| error.to_string())
    })
}

fn items(call: &Call<'_>) -> Result<ArrayRef, String> {
    let texts: Texts<'_> = columns::read(call, 0)?;
    let mut written = String::new();
    columns::write_text_lists(call.rows, |row, list| {
        let Some(array) = parse_kind(texts.get(row), Kind::Array)? else { return Ok(None) };
        for item in array.items() {
            written.clear();
            item.push(&mut written);
            list.append_value(&written);
        }
        Ok(Some(()))
    })
}

fn keys(call: &Call<'_>) -> Result<ArrayRef, String> {
    let texts: Texts<'_> = columns::read(call, 0)?;
    columns::write_text_lists(call.rows, |row, list| {
        let Some(object) = parse_kind(texts.get(row), Kind::Object)? else { return Ok(None) };
        object.entries().iter().for_each(|(key, _)| list.append_value(key));
        Ok(Some(()))
    })
}

fn records(call: &Call<'_>) -> Result<ArrayRef, String> {
    let texts: Texts<'_> = columns::read(call, 0)?;
    let mut written = String::new();
    columns::write_text_maps(call.rows, |row, keys, values| {
        let Some(object) = parse_kind(texts.get(row), Kind::Object)? else { return Ok(None) };
        for (key, value) in object.entries() {
            written.clear();
            value.push(&mut written);
            keys.append_value(&key);
            values.append_value(&written);
        }
        Ok(Some(()))
    })
}

fn concat(call: &Call<'_>) -> Result<ArrayRef, String> {
    let texts: Vec<Reader<&StringArray>> =
        call.arguments.iter().map(columns::read_argument).collect::<Result<_, _>>()?;
    columns::write_texts(call.rows, |row, out| {
        let mut values = Vec::with_capacity(texts.len());
        for text in &texts {
            let Some(value) = parse(text.get(row))? else { return Ok(None) };
            values.push(value);
        }
        if values.is_empty() {
            return Ok(None);
        }
        if values.iter().all(|value| value.kind() == Kind::Object) {
            push_merged(&values, out);
        } else {
            push_joined(&values, out);
        }
        Ok(Some(()))
    })
}

/// Appends the union of objects; of a key that several have the last value.
fn push_merged(objects: &[Json<'_>], out: &mut String) {
    let mut merged: Vec<(Cow<'_, str>, Json<'_>)> = Vec::new();
    for (key, value) in objects.iter().flat_map(|object| object.entries()) {
        match merged.iter_mut().find(|(known, _)| *known == key) {
            Some(known) => known.1 = value,
            None => merged.push((key, value)),
        }
    }
    out.push('{');
    for (index, (key, value)) in merged.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        scan::push_text(&key, out);
        out.push(':');
        value.push(out);
    }
    out.push('}');
}

/// Appends one array of the items of arrays and of all other values.
fn push_joined(values: &[Json<'_>], out: &mut String) {
    out.push('[');
    let mut push = |item: Json<'_>| {
        if out.len() > 1 {
            out.push(',');
        }
        item.push(out);
    };
    for value in values {
        match value.kind() {
            Kind::Array => value.items().for_each(&mut push),
            _ => push(*value),
        }
    }
    out.push(']');
}

#[cfg(test)]
mod tests {
    use super::super::columns::harness::{self, big_ints, doubles, int, null, text, texts};
    use super::super::signature::Argument;
    use super::*;

    fn check(name: &str, arguments: &[Argument], want: &[&str]) {
        harness::check(&functions(), name, arguments, want);
    }

    /// One argument, one row.
    fn check_one(name: &str, given: &str, want: &str) {
        let wrong = format!("error: invalid JSON at byte 0 of `{given}`");
        check(name, &[texts(&[Some(given)])], &[if want == "error" { &wrong } else { want }]);
    }

    #[test]
    fn fields_at_paths() {
        let given = || {
            texts(&[
                Some(r#"{"a": "x\"y", "b": [1.50, {"c": null}], "@type": true}}"#),
                Some("[{\"a\": 1}]"),
                Some("\"a\""),
                Some(""),
                None,
            ])
        };
        for (path, want) in [
            ("$.a", ["x\"y", "null", "null", "null", "null"]),
            ("$.b", ["[1.50,{\"c\":null}]", "null", "null", "null", "null"]),
            ("$.b[0]", ["1.50", "null", "null", "null", "null"]),
            ("$.@type", ["true", "null", "null", "null", "null"]),
            ("$[0]['a']", ["null", "1", "null", "null", "null"]),
            ("$", [r#"{"a":"x\"y","b":[1.50,{"c":null}],"@type":true}"#, "[{\"a\":1}]", "a", "null", "null"]),
        ] {
            check("EXTRACTJSONFIELD", &[given(), text(path)], &want);
        }
        check(
            "EXTRACTJSONFIELD",
            &[text("{\"a\":1}"), texts(&[Some("$.a"), Some("$.b"), None])],
            &["1", "null", "null"],
        );
        check("EXTRACTJSONFIELD", &[text("oh"), text("$.a")], &["error: invalid JSON at byte 0 of `oh`"]);
        check(
            "EXTRACTJSONFIELD",
            &[given(), text("a")],
            &["error: invalid JSON path `a`; a path is like $.name[0][\"other name\"]"],
        );
    }

    #[test]
    fn what_is_json() {
        for (given, want) in [
            ("[1, 2, 3]", "true"),
            ("{}", "true"),
            ("1", "true"),
            ("\"abc\"", "true"),
            ("null", "true"),
            ("", "false"),
            ("abc", "false"),
        ] {
            check_one("IS_JSON_STRING", given, want);
        }
        check("IS_JSON_STRING", &[null(&SqlType::Varchar)], &["false"]);
    }

    #[test]
    fn what_arrays_hold() {
        let array = r#"[1, 2.0, "a\u0062", true, null, [7], {"b": 8}]"#;
        let holds = |sought: Argument, want: &str| check("JSON_ARRAY_CONTAINS", &[text(array), sought], &[want]);
        for (number, want) in [(1, "true"), (2, "false"), (7, "false")] {
            holds(int(number), want);
            holds(big_ints(&[Some(i64::from(number))]), want);
        }
        for (number, want) in [(1.0, "false"), (2.0, "true")] {
            holds(doubles(&[Some(number)]), want);
        }
        holds(text("ab"), "true");
        holds(text("1"), "false");
        holds(null(&SqlType::Int), "true");
        check(
            "JSON_ARRAY_CONTAINS",
            &[texts(&[Some("[]"), Some("{\"1\":1}"), Some("1"), Some("[1"), Some(""), None]), int(1)],
            &["false"; 6],
        );
    }

    #[test]
    fn parts_of_arrays_and_objects() {
        for (given, length, items) in [
            ("[1, [1, [2]], 3]", "3", "[1, [1,[2]], 3]"),
            ("[]", "0", "[]"),
            ("[\"a\"]", "1", "[\"a\"]"),
            ("{}", "null", "null"),
            ("123", "null", "null"),
            ("", "null", "null"),
            ("abc", "error", "error"),
        ] {
            check_one("JSON_ARRAY_LENGTH", given, length);
            check_one("JSON_ITEMS", given, items);
        }
        for (given, keys, records) in [
            (r#"{"a": "abc", "b": { "c": "a" }, "d": 1}"#, "[a, b, d]", r#"{a: "abc", b: {"c":"a"}, d: 1}"#),
            (r#"{"a": 1, "b": 2, "a": 3}"#, "[a, b]", "{a: 3, b: 2}"),
            ("{}", "[]", "{}"),
            ("[]", "null", "null"),
            ("123", "null", "null"),
            ("", "null", "null"),
            ("abc", "error", "error"),
        ] {
            check_one("JSON_KEYS", given, keys);
            check_one("JSON_RECORDS", given, records);
        }
        for name in ["JSON_ARRAY_LENGTH", "JSON_ITEMS", "JSON_KEYS", "JSON_RECORDS"] {
            check(name, &[null(&SqlType::Varchar)], &["null"]);
        }
    }

    #[test]
    fn concatenation() {
        for (first, second, want) in [
            ("{\"a\": 1}", "{\"b\": 2}", "{\"a\":1,\"b\":2}"),
            ("{\"a\": {\"5\": 6}}", "{\"a\": {\"3\": 4}}", "{\"a\":{\"3\":4}}"),
            ("{}", "{}", "{}"),
            ("[1, 2]", "[3, 4]", "[1,2,3,4]"),
            ("[]", "[[], 1]", "[[],1]"),
            ("[]", "[]", "[]"),
            ("[1, [2]]", "[[[3]], [[[4]]]]", "[1,[2],[[3]],[[[4]]]]"),
            ("null", "null", "[null,null]"),
            ("[1, 2]", "{\"a\": 1}", "[1,2,{\"a\":1}]"),
            ("1", "", "null"),
        ] {
            check("JSON_CONCAT", &[text(first), text(second)], &[want]);
        }
        check("JSON_CONCAT", &[text("1"), text("[2]"), text("{}")], &["[1,2,{}]"]);
        check("JSON_CONCAT", &[text("[1]"), null(&SqlType::Varchar)], &["null"]);
        check("JSON_CONCAT", &[text("abc"), text("[1]")], &["error: invalid JSON at byte 0 of `abc`"]);
    }
}
