//! Whether what came out is what was expected.
//!
//! Whole numbers are equal; DOUBLEs within 1e-6, absolute or relative; DECIMALs digit by digit; objects have the same fields, in any
//! order; DELIMITED lines are compared field by field.

use crate::catalog::{FormatKind, SqlType};

use super::{payload::SideLayout, value::Value};

/// How far DOUBLEs may be apart, absolute and relative.
const TOLERANCE: f64 = 1e-6;

/// Whether the payloads of one side of a record are equal.
pub(super) fn same_payload(expected: &Value, actual: &Value, side: &SideLayout) -> bool {
    if side.format.kind == FormatKind::Delimited {
        let (Some(expected), Some(actual)) = (expected.text(), actual.text()) else { return expected == actual };
        let delimiter = side.format.delimiter.unwrap_or(',');
        return fields(expected, delimiter) == fields(actual, delimiter);
    }
    match (side.columns.as_slice(), expected, actual) {
        (columns, Value::Object(_), Value::Object(fields)) => {
            let typed = |name: &str| columns.iter().find(|column| column.name == name).map(|column| &column.data_type);
            // A single column that stands alone may be an object itself.
            let is_record = columns.len() != 1 || fields.iter().any(|(name, _)| *name == columns[0].name);
            if is_record {
                same_object(expected, actual, &typed)
            } else {
                same(expected, actual, Some(&columns[0].data_type))
            }
        }
        ([one], ..) => same(expected, actual, Some(&one.data_type)),
        _ => same(expected, actual, None),
    }
}

/// Whether two values are equal; the type says how numbers are compared.
pub(super) fn same(expected: &Value, actual: &Value, data_type: Option<&SqlType>) -> bool {
    match (expected, actual) {
        (Value::Number(a), Value::Number(b)) => same_number(a, b, data_type),
        (Value::Text(text), Value::Number(number)) | (Value::Number(number), Value::Text(text)) => {
            matches!(data_type, Some(SqlType::Decimal { .. })) && plain_decimal(text) == plain_decimal(number)
        }
        (Value::Array(a), Value::Array(b)) => {
            let item = match data_type {
                Some(SqlType::Array(item)) => Some(item.as_ref()),
                _ => None,
            };
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b, item))
        }
        (Value::Object(_), Value::Object(_)) => {
            let typed = |name: &str| match data_type {
                Some(SqlType::Map(_, value)) => Some(value.as_ref()),
                Some(SqlType::Struct(fields)) => {
                    fields.iter().find(|field| field.name == name).map(|field| &field.data_type)
                }
                _ => None,
            };
            same_object(expected, actual, &typed)
        }
        _ => expected == actual,
    }
}

/// A decimal without zeros before its whole part: padded texts are equal to plain ones.
fn plain_decimal(text: &str) -> String {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    let digits = digits.trim_start_matches('0');
    format!("{sign}{}{digits}", if digits.starts_with('.') || digits.is_empty() { "0" } else { "" })
}

fn same_object<'a>(expected: &Value, actual: &Value, typed: &dyn Fn(&str) -> Option<&'a SqlType>) -> bool {
    let (Value::Object(wanted), Value::Object(found)) = (expected, actual) else { return false };
    wanted.len() == found.len()
        && wanted.iter().all(|(name, value)| {
            let exact = found.iter().find(|(known, _)| known == name);
            let upper = name.to_uppercase();
            let field = exact.or_else(|| found.iter().find(|(known, _)| *known == upper));
            field.is_some_and(|(known, actual)| same(value, actual, typed(known)))
        })
}

fn same_number(a: &str, b: &str, data_type: Option<&SqlType>) -> bool {
    if a == b {
        return true;
    }
    if let (Ok(a), Ok(b)) = (a.parse::<i64>(), b.parse::<i64>())
        && !matches!(data_type, Some(SqlType::Double))
    {
        return a == b;
    }
    if matches!(data_type, Some(SqlType::Decimal { .. })) {
        return false;
    }
    match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => (a - b).abs() <= TOLERANCE * 1.0_f64.max(a.abs()).max(b.abs()) || (a.is_nan() && b.is_nan()),
        _ => false,
    }
}

/// The fields of a line; one in quotes is what is inside.
fn fields(line: &str, delimiter: char) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut letters = line.chars().peekable();
    let mut quoted = false;
    while let Some(letter) = letters.next() {
        let current = fields.last_mut().expect("there is always a field");
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                current.push('"');
            }
            '"' if quoted || current.is_empty() => quoted = !quoted,
            letter if letter == delimiter && !quoted => fields.push(String::new()),
            letter => current.push(letter),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_by_their_type() {
        let decimal = SqlType::Decimal { precision: 4, scale: 2 };
        let check = |a: &str, b: &str, data_type: Option<&SqlType>, want: bool| {
            let (a, b) = (Value::parse(a).expect("JSON"), Value::parse(b).expect("JSON"));
            assert_eq!(same(&a, &b, data_type), want, "{a} {b}");
        };
        check("1", "2", None, false);
        check("9007199254740993", "9007199254740992", None, false);
        check("1.0", "1.0000001", Some(&SqlType::Double), true);
        check("10", "10.0", Some(&SqlType::Double), true);
        check("1.10", "1.1", Some(&decimal), false);
        check("\"1.10\"", "1.10", Some(&decimal), true);
        check("\"-00.10\"", "-0.10", Some(&decimal), true);
        check("{\"a\":1,\"B\":[1]}", "{\"B\":[1],\"A\":1}", None, true);
        check("{\"a\":1}", "{\"A\":1,\"B\":2}", None, false);
    }

    #[test]
    fn lines_are_compared_by_field() {
        assert_eq!(fields("a,\"b,\"\"c\",\"-10\"", ','), ["a", "b,\"c", "-10"]);
    }
}
