//! Values as Postgres writes them, as JSON.
//!
//! | type | JSON |
//! |---|---|
//! | booleans | `true`, `false` |
//! | integers, floats, `numeric` | a number with the digits that Postgres gives; `NaN` and the infinities are strings |
//! | `json`, `jsonb` | as it is |
//! | `bytea` | base64 in a string |
//! | `timestamp`, `timestamptz` | ISO 8601 in a string, the latter with `Z` |
//! | arrays of these, and of text | arrays |
//! | all others: text, dates, times, `uuid`, enumerations, intervals, addresses | a string |

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::json_text::push_string;

/// What becomes of the text of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bool,
    Number,
    Json,
    Bytes,
    Timestamp,
    Text,
}

/// By number of the type.
fn kind(type_oid: u32) -> Kind {
    match type_oid {
        16 => Kind::Bool,
        20 | 21 | 23 | 26 | 700 | 701 | 1700 => Kind::Number,
        114 | 3802 => Kind::Json,
        17 => Kind::Bytes,
        1114 | 1184 => Kind::Timestamp,
        _ => Kind::Text,
    }
}

/// The type of an array's elements, if it is an array.
fn element(type_oid: u32) -> Option<u32> {
    Some(match type_oid {
        1000 => 16,
        1001 => 17,
        1005 => 21,
        1007 => 23,
        1016 => 20,
        1028 => 26,
        1021 => 700,
        1022 => 701,
        1231 => 1700,
        199 => 114,
        3807 => 3802,
        1115 => 1114,
        1185 => 1184,
        1009 | 1002 | 1003 | 1014 | 1015 | 1182 | 1183 | 2951 => 25,
        _ => return None,
    })
}

/// Appends a value.
pub(super) fn push(out: &mut Vec<u8>, type_oid: u32, text: &str) {
    match element(type_oid) {
        Some(element) => push_array(out, element, text),
        None => push_scalar(out, kind(type_oid), text),
    }
}

fn push_scalar(out: &mut Vec<u8>, kind: Kind, text: &str) {
    match kind {
        Kind::Bool => out.extend_from_slice(if text == "t" { b"true" } else { b"false" }),
        Kind::Number if text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e')) => {
            out.extend_from_slice(text.as_bytes());
        }
        Kind::Json => out.extend(text.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte })),
        Kind::Bytes => push_string(out, &STANDARD.encode(from_hex(text))),
        Kind::Timestamp => push_string(out, &iso(text)),
        Kind::Number | Kind::Text => push_string(out, text),
    }
}

/// The bytes behind `\x`.
fn from_hex(text: &str) -> Vec<u8> {
    let digits = text.strip_prefix("\\x").unwrap_or(text).as_bytes();
    let digit = |byte: u8| (byte as char).to_digit(16).unwrap_or(0) as u8;
    digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, next| byte << 4 | digit(*next))).collect()
}

/// `2023-11-14 22:13:20.123+00` with a `T` and a `Z`; infinities and years before Christ as they are.
fn iso(text: &str) -> String {
    if text.ends_with("BC") || !text.starts_with(|first: char| first.is_ascii_digit()) {
        return text.to_owned();
    }
    let text = text.replacen(' ', "T", 1);
    text.strip_suffix("+00").map(|local| format!("{local}Z")).unwrap_or(text)
}

/// `{1,NULL,"a \"b\"",{2}}`; what does not look like an array becomes a string.
fn push_array(out: &mut Vec<u8>, element: u32, text: &str) {
    let start = out.len();
    // Bounds other than 1 are written in front.
    let body = text.find('{').map_or(text, |at| &text[at..]);
    let mut rest = body.chars().peekable();
    if rest.next() != Some('{') || push_elements(out, element, &mut rest).is_none() || rest.next().is_some() {
        out.truncate(start);
        push_string(out, text);
    }
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn push_elements(out: &mut Vec<u8>, element: u32, rest: &mut Chars<'_>) -> Option<()> {
    out.push(b'[');
    if rest.next_if_eq(&'}').is_some() {
        out.push(b']');
        return Some(());
    }
    loop {
        match rest.peek()? {
            '{' => {
                rest.next();
                push_elements(out, element, rest)?;
            }
            '"' => {
                rest.next();
                push_scalar(out, kind(element), &quoted(rest)?);
            }
            _ => {
                let mut plain = String::new();
                while let Some(next) = rest.next_if(|next| !matches!(next, ',' | '}')) {
                    plain.push(if next == '\\' { rest.next()? } else { next });
                }
                if plain == "NULL" { out.extend_from_slice(b"null") } else { push_scalar(out, kind(element), &plain) }
            }
        }
        match rest.next()? {
            ',' => out.push(b','),
            '}' => break,
            _ => return None,
        }
    }
    out.push(b']');
    Some(())
}

fn quoted(rest: &mut Chars<'_>) -> Option<String> {
    let mut text = String::new();
    loop {
        match rest.next()? {
            '"' => return Some(text),
            '\\' => text.push(rest.next()?),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(type_oid: u32, text: &str, expected: &str) {
        let mut out = Vec::new();
        push(&mut out, type_oid, text);
        assert_eq!(String::from_utf8_lossy(&out), expected, "{type_oid} {text}");
    }

    #[test]
    fn values_become_json() {
        check(16, "t", "true");
        check(1700, "-12345678901234567890.10", "-12345678901234567890.10");
        check(1700, "NaN", "\"NaN\"");
        check(701, "1e+20", "1e+20");
        check(3802, "{\"a\": [1, 2]}", "{\"a\": [1, 2]}");
        check(17, "\\x0001ff", "\"AAH/\"");
        check(1184, "2023-11-14 22:13:20.123+00", "\"2023-11-14T22:13:20.123Z\"");
        check(1114, "2023-11-14 22:13:20", "\"2023-11-14T22:13:20\"");
        check(1184, "infinity", "\"infinity\"");
        check(25, "a \"b\"\n", "\"a \\\"b\\\"\\n\"");
        check(2950, "6f2b1c1e-0000-4000-8000-000000000000", "\"6f2b1c1e-0000-4000-8000-000000000000\"");
    }

    #[test]
    fn arrays_become_json() {
        check(1007, "{}", "[]");
        check(1007, "{1,NULL,-3}", "[1,null,-3]");
        check(1009, r#"{a,"b, \"c\"\\",NULL,"NULL"}"#, r#"["a","b, \"c\"\\",null,"NULL"]"#);
        check(1007, "{{1,2},{3,4}}", "[[1,2],[3,4]]");
        check(1007, "[0:1]={7,8}", "[7,8]");
        check(1001, r#"{"\\x00ff"}"#, "[\"AP8=\"]");
        check(1000, "{t,f}", "[true,false]");
        check(1007, "{1", "\"{1\"");
    }
}
