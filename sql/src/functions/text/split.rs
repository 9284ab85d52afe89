//! Cutting texts and bytes at a delimiter: SPLIT and SPLIT_TO_MAP.
//!
//! An empty delimiter cuts between all characters (a pair of surrogates stays whole, unlike in Java) or bytes.

use arrow::array::{ArrayRef, BinaryBuilder, StringBuilder};

use super::super::columns::{self, Bytes, Texts};
use super::super::declare::{BYTES, TEXT, array_of, function, overload};
use super::super::signature::{Call, ScalarFunction};
use crate::catalog::SqlType;

/// The functions of this file.
pub(super) fn functions() -> Vec<ScalarFunction> {
    let map = SqlType::Map(Box::new(SqlType::Varchar), Box::new(SqlType::Varchar));
    vec![
        function(
            "SPLIT",
            "The parts between delimiters; with an empty delimiter each character or byte.",
            [
                overload([TEXT, TEXT], array_of(SqlType::Varchar), split_texts),
                overload([BYTES, BYTES], array_of(SqlType::Bytes), split_bytes),
            ],
        ),
        function(
            "SPLIT_TO_MAP",
            "A map from a text of entries: the first delimiter separates entries, the second keys from values; the last value of a key counts.",
            [overload([TEXT, TEXT, TEXT], map, split_to_map)],
        ),
    ]
}

fn split_texts(call: &Call<'_>) -> Result<ArrayRef, String> {
    let texts: Texts<'_> = columns::read(call, 0)?;
    let delimiters: Texts<'_> = columns::read(call, 1)?;
    columns::write_text_lists(call.rows, |row, items| {
        let (Some(text), Some(delimiter)) = (texts.get(row), delimiters.get(row)) else { return Ok(None) };
        push_parts(text, delimiter, items);
        Ok(Some(()))
    })
}

fn push_parts(text: &str, delimiter: &str, items: &mut StringBuilder) {
    if delimiter.is_empty() && !text.is_empty() {
        text.chars().for_each(|character| items.append_value(character.encode_utf8(&mut [0; 4])));
    } else if delimiter.is_empty() {
        items.append_value("");
    } else {
        text.split(delimiter).for_each(|part| items.append_value(part));
    }
}

fn split_bytes(call: &Call<'_>) -> Result<ArrayRef, String> {
    let bytes: Bytes<'_> = columns::read(call, 0)?;
    let delimiters: Bytes<'_> = columns::read(call, 1)?;
    columns::write_bytes_lists(call.rows, |row, items| {
        let (Some(bytes), Some(delimiter)) = (bytes.get(row), delimiters.get(row)) else { return Ok(None) };
        push_byte_parts(bytes, delimiter, items);
        Ok(Some(()))
    })
}

fn push_byte_parts(bytes: &[u8], delimiter: &[u8], items: &mut BinaryBuilder) {
    if bytes.is_empty() {
        items.append_value(b"");
        return;
    }
    if delimiter.is_empty() {
        bytes.chunks(1).for_each(|byte| items.append_value(byte));
        return;
    }
    let mut start = 0;
    let mut at = 0;
    while at + delimiter.len() <= bytes.len() {
        if bytes[at..].starts_with(delimiter) {
            items.append_value(&bytes[start..at]);
            at += delimiter.len();
            start = at;
        } else {
            at += 1;
        }
    }
    items.append_value(&bytes[start..]);
}

fn split_to_map(call: &Call<'_>) -> Result<ArrayRef, String> {
    let texts: Texts<'_> = columns::read(call, 0)?;
    let between_entries: Texts<'_> = columns::read(call, 1)?;
    let after_keys: Texts<'_> = columns::read(call, 2)?;
    let mut entries: Vec<(&str, &str)> = Vec::new();
    columns::write_text_maps(call.rows, |row, keys, values| {
        let (Some(text), Some(between), Some(after_key)) =
            (texts.get(row), between_entries.get(row), after_keys.get(row))
        else {
            return Ok(None);
        };
        if between.is_empty() || after_key.is_empty() || between == after_key {
            return Ok(None);
        }
        entries.clear();
        for entry in text.split(between) {
            let mut parts = entry.split(after_key);
            // What has no key is no entry; of `a=b=c` the value is `b`.
            let (Some(key), Some(value)) = (parts.next(), parts.next()) else { continue };
            match entries.iter_mut().find(|(known, _)| *known == key) {
                Some(known) => known.1 = value,
                None => entries.push((key, value)),
            }
        }
        for (key, value) in &entries {
            keys.append_value(key);
            values.append_value(value);
        }
        Ok(Some(()))
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::columns::harness::{bytes, check, null, text, texts};
    use super::*;

    #[test]
    fn parts_between_delimiters() {
        let family = functions();
        let given = || texts(&[Some("a.b"), Some(".a."), Some("..a"), Some("abc"), Some(""), None]);
        check(&family, "SPLIT", &[given(), text(".")], &["[a, b]", "[, a, ]", "[, , a]", "[abc]", "[]", "null"]);
        check(
            &family,
            "SPLIT",
            &[given(), text("")],
            &["[a, ., b]", "[., a, .]", "[., ., a]", "[a, b, c]", "[]", "null"],
        );
        check(&family, "SPLIT", &[text("a$$b$"), text("$$")], &["[a, b$]"]);
        check(&family, "SPLIT", &[text("é😀"), text("")], &["[é, 😀]"]);
        check(&family, "SPLIT", &[text("a"), null(&SqlType::Varchar)], &["null"]);
        let given = || bytes(&[Some(b"a.b"), Some(b".a."), Some(b""), None]);
        check(
            &family,
            "SPLIT",
            &[given(), bytes(&[Some(b".".as_slice()); 4])],
            &["[61, 62]", "[, 61, ]", "[]", "null"],
        );
        check(
            &family,
            "SPLIT",
            &[given(), bytes(&[Some(b""), Some(b""), Some(b""), None])],
            &["[61, 2e, 62]", "[2e, 61, 2e]", "[]", "null"],
        );
    }

    #[test]
    fn one_empty_part_is_not_an_empty_list() {
        let call = |array: ArrayRef| {
            use super::super::super::signature::Argument;
            use arrow::array::{AsArray, StringArray};
            let arguments =
                [Argument::Column(array), Argument::Constant(std::sync::Arc::new(StringArray::from(vec![""])))];
            let returns = array_of(SqlType::Varchar).to_arrow();
            let lists = split_texts(&Call { arguments: &arguments, rows: 1, returns: &returns }).unwrap();
            lists.as_list::<i32>().value_length(0)
        };
        assert_eq!(call(std::sync::Arc::new(arrow::array::StringArray::from(vec![""]))), 1);
    }

    #[test]
    fn entries_of_a_map() {
        let family = functions();
        let check = |given: &str, between: &str, after_key: &str, want: &str| {
            check(&family, "SPLIT_TO_MAP", &[text(given), text(between), text(after_key)], &[want]);
        };
        check("'apple':='green'/'cherry':='red'", "/", ":=", "{'apple': 'green', 'cherry': 'red'}");
        check("a=1&b=2&a=3", "&", "=", "{a: 3, b: 2}");
        check("a=1&&b&c=", "&", "=", "{a: 1, c: }");
        check("a=b=c", "&", "=", "{a: b}");
        check("", "&", "=", "{}");
        check("a=1", "", "=", "null");
        check("a=1", "&", "", "null");
        check("a=1", "=", "=", "null");
        let nothing = || null(&SqlType::Varchar);
        super::super::super::columns::harness::check(
            &family,
            "SPLIT_TO_MAP",
            &[nothing(), text("&"), text("=")],
            &["null"],
        );
        super::super::super::columns::harness::check(
            &family,
            "SPLIT_TO_MAP",
            &[text("a"), nothing(), text("=")],
            &["null"],
        );
    }
}
