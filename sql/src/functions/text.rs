//! Functions of text: single characters, cases, replacing, digests; and the whole family, of which other parts have files of their own.
//!
//! Null in any argument gives null, unless a function says otherwise. Positions and lengths are UTF-16 units.

use std::hash::{BuildHasher, Hasher, RandomState};

use arrow::array::ArrayRef;
use arrow::datatypes::Int32Type;
use md5::{Digest, Md5};

use super::columns::{self, Bytes, Ints, Texts};
use super::declare::{BYTES, INT, TEXT, function, overload};
use super::signature::{Call, ScalarFunction};
use super::{text_concat, text_mask, text_pad, text_position, text_split, utf16};
use crate::catalog::SqlType;

/// All functions of text.
pub(crate) fn functions() -> Vec<ScalarFunction> {
    let own = vec![
        function(
            "CHR",
            "The character of a Unicode code point, given as a number or as \\uXXXX; null if there is none.",
            [overload([INT], SqlType::Varchar, chr_of_number), overload([TEXT], SqlType::Varchar, chr_of_escape)],
        ),
        function(
            "INITCAP",
            "Words, separated by whitespace, with their first letter in upper case and all others in lower case.",
            [overload([TEXT], SqlType::Varchar, |call| map(call, initcap))],
        ),
        function("LCASE", "The text in lower case.", [overload([TEXT], SqlType::Varchar, |call| map(call, lower))]),
        function(
            "LEN",
            "How many characters a text has, or how many bytes.",
            [overload([TEXT], SqlType::Int, len_of_text), overload([BYTES], SqlType::Int, len_of_bytes)],
        ),
        function(
            "MD5",
            "The MD5 digest of a text, in hexadecimal digits.",
            [overload([TEXT], SqlType::Varchar, |call| map(call, md5_digest))],
        ),
        function(
            "REPLACE",
            "The text with all occurrences of a part replaced.",
            [overload([TEXT, TEXT, TEXT], SqlType::Varchar, replace)],
        ),
        function(
            "TRIM",
            "The text without spaces and control characters at its ends.",
            [overload([TEXT], SqlType::Varchar, trim)],
        ),
        function("UCASE", "The text in upper case.", [overload([TEXT], SqlType::Varchar, |call| map(call, upper))]),
        function(
            "UUID",
            "A random UUID of version 4, or the text of one given as 16 bytes.",
            [overload([], SqlType::Varchar, uuid), overload([BYTES], SqlType::Varchar, uuid_of_bytes)],
        ),
    ];
    [
        own,
        text_concat::functions(),
        text_mask::functions(),
        text_pad::functions(),
        text_position::functions(),
        text_split::functions(),
    ]
    .concat()
}

/// A function of one text that gives a text.
fn map(call: &Call<'_>, write: fn(&str, &mut String)) -> Result<ArrayRef, String> {
    let texts: Texts<'_> = columns::read(call, 0)?;
    columns::write_texts(call.rows, |row, out| Ok(texts.get(row).map(|text| write(text, out))))
}

fn chr_of_number(call: &Call<'_>) -> Result<ArrayRef, String> {
    let codes: Ints<'_> = columns::read(call, 0)?;
    columns::write_texts(call.rows, |row, out| {
        let character = codes.get(row).and_then(|code| char::from_u32(u32::try_from(code).ok()?));
        Ok(character.map(|character| out.push(character)))
    })
}

fn chr_of_escape(call: &Call<'_>) -> Result<ArrayRef, String> {
    let texts: Texts<'_> = columns::read(call, 0)?;
    columns::write_texts(call.rows, |row, out| Ok(texts.get(row).and_then(|text| unescape(text, out))))
}

/// The characters of `\uXXXX`, one or several (two for a surrogate pair).
fn unescape(text: &str, out: &mut String) -> Option<()> {
    let mut units = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.strip_prefix('\\')?.trim_start_matches('u');
        let code = digits.get(..4).filter(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        if rest.len() == digits.len() + 1 {
            return None;
        }
        units.push(u16::from_str_radix(code, 16).ok()?);
        rest = &digits[4..];
    }
    out.push_str(&String::from_utf16(&units).ok()?);
    (!units.is_empty()).then_some(())
}

fn initcap(text: &str, out: &mut String) {
    let mut starts_word = true;
    for character in text.chars() {
        if starts_word {
            out.extend(character.to_uppercase());
        } else {
            out.extend(character.to_lowercase());
        }
        starts_word = character.is_whitespace();
    }
}

fn lower(text: &str, out: &mut String) {
    if text.is_ascii() {
        out.push_str(text);
        out.make_ascii_lowercase();
    } else {
        // Not by character: a sigma at the end of a word has a form of its own.
        out.push_str(&text.to_lowercase());
    }
}

fn upper(text: &str, out: &mut String) {
    if text.is_ascii() {
        out.push_str(text);
        out.make_ascii_uppercase();
    } else {
        out.extend(text.chars().flat_map(char::to_uppercase));
    }
}

fn len_of_text(call: &Call<'_>) -> Result<ArrayRef, String> {
    let texts: Texts<'_> = columns::read(call, 0)?;
    columns::write_values::<Int32Type>(call.rows, |row| texts.get(row).map(utf16::len).map(length).transpose())
}

fn len_of_bytes(call: &Call<'_>) -> Result<ArrayRef, String> {
    let bytes: Bytes<'_> = columns::read(call, 0)?;
    columns::write_values::<Int32Type>(call.rows, |row| bytes.get(row).map(<[u8]>::len).map(length).transpose())
}

fn length(length: usize) -> Result<i32, String> {
    i32::try_from(length).map_err(|_| format!("a length of {length} does not fit in INTEGER"))
}

fn md5_digest(text: &str, out: &mut String) {
    push_hex(&Md5::digest(text.as_bytes()), out);
}

/// Appends bytes as lower-case hexadecimal digits.
pub(super) fn push_hex(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            out.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
}

fn replace(call: &Call<'_>) -> Result<ArrayRef, String> {
    let texts: Texts<'_> = columns::read(call, 0)?;
    let old: Texts<'_> = columns::read(call, 1)?;
    let new: Texts<'_> = columns::read(call, 2)?;
    columns::write_texts(call.rows, |row, out| {
        let (Some(text), Some(old), Some(new)) = (texts.get(row), old.get(row), new.get(row)) else { return Ok(None) };
        let mut kept = 0;
        for (at, found) in text.match_indices(old) {
            out.push_str(&text[kept..at]);
            out.push_str(new);
            kept = at + found.len();
        }
        out.push_str(&text[kept..]);
        Ok(Some(()))
    })
}

fn trim(call: &Call<'_>) -> Result<ArrayRef, String> {
    let texts: Texts<'_> = columns::read(call, 0)?;
    // All of what Java calls a space here: up to U+0020.
    columns::copy_texts(call.rows, |row| Ok(texts.get(row).map(|text| text.trim_matches(|c| c <= ' '))))
}

fn uuid(call: &Call<'_>) -> Result<ArrayRef, String> {
    // The keys of a `RandomState` come from the system's random source; the hash is a pseudorandom function of the row under them.
    let state = RandomState::new();
    let random = |row: usize, half: u8| {
        let mut hasher = state.build_hasher();
        hasher.write_usize(row);
        hasher.write_u8(half);
        hasher.finish()
    };
    columns::write_texts(call.rows, |row, out| {
        let mut value = [0; 16];
        value[..8].copy_from_slice(&random(row, 0).to_be_bytes());
        value[8..].copy_from_slice(&random(row, 1).to_be_bytes());
        value[6] = value[6] & 0x0F | 0x40;
        value[8] = value[8] & 0x3F | 0x80;
        push_uuid(&value, out);
        Ok(Some(()))
    })
}

fn uuid_of_bytes(call: &Call<'_>) -> Result<ArrayRef, String> {
    let bytes: Bytes<'_> = columns::read(call, 0)?;
    columns::write_texts(call.rows, |row, out| {
        let value: Option<&[u8; 16]> = bytes.get(row).and_then(|bytes| bytes.try_into().ok());
        Ok(value.map(|value| push_uuid(value, out)))
    })
}

fn push_uuid(value: &[u8; 16], out: &mut String) {
    for (part, range) in [0..4, 4..6, 6..8, 8..10, 10..16].into_iter().enumerate() {
        if part > 0 {
            out.push('-');
        }
        push_hex(&value[range], out);
    }
}

#[cfg(test)]
mod tests {
    use super::super::columns::harness::{bytes, call, check, ints, null, text, texts};
    use super::*;

    #[test]
    fn characters_cases_and_digests() {
        let family = functions();
        check(
            &family,
            "CHR",
            &[ints(&[Some(75), Some(22909), Some(99000), Some(-1), Some(0x11_0000), None])],
            &["K", "好", "𘊸", "null", "null", "null"],
        );
        check(
            &family,
            "CHR",
            &[texts(&[
                Some("\\u004b"),
                Some("\\u597d"),
                Some("\\ud820\\udeb8"),
                Some("75"),
                Some("004b"),
                Some("\\004b"),
                Some("\\ud820"),
                Some("\\u00é"),
                Some(""),
                None,
            ])],
            &["K", "好", "𘊸", "null", "null", "null", "null", "null", "null", "null"],
        );
        check(
            &family,
            "INITCAP",
            &[texts(&[Some("hello  wORLD\tof-mine"), Some(" éa"), Some(""), None])],
            &["Hello  World\tOf-mine", " Éa", "", "null"],
        );
        check(&family, "LCASE", &[texts(&[Some("MiXeD"), Some("ÀΣ"), None])], &["mixed", "àς", "null"]);
        check(&family, "UCASE", &[texts(&[Some("MiXeD"), Some("ß"), None])], &["MIXED", "SS", "null"]);
        check(&family, "LEN", &[texts(&[Some("abc"), Some("é😀"), Some(""), None])], &["3", "3", "0", "null"]);
        check(&family, "LEN", &[bytes(&[Some(b"ab"), Some(b""), None])], &["2", "0", "null"]);
        check(
            &family,
            "MD5",
            &[texts(&[Some("r1"), Some(""), None])],
            &["7c92cf1eee8d99cc85f8355a3d6e4b86", "d41d8cd98f00b204e9800998ecf8427e", "null"],
        );
        check(&family, "TRIM", &[texts(&[Some(" \t a b \n"), Some("\u{a0}a"), None])], &["a b", "\u{a0}a", "null"]);
        check(
            &family,
            "REPLACE",
            &[texts(&[Some("anaconda"), Some("aa"), Some("b"), None]), text("a"), text("o")],
            &["onocondo", "oo", "b", "null"],
        );
        check(&family, "REPLACE", &[text("ab"), text(""), text("-")], &["-a-b-"]);
        check(&family, "REPLACE", &[text("ab"), null(&SqlType::Varchar), text("-")], &["null"]);
    }

    #[test]
    fn uuids_are_random_or_given() {
        let family = functions();
        let given: Vec<u8> = (0..16).collect();
        check(
            &family,
            "UUID",
            &[bytes(&[Some(&given), Some(b"short"), None])],
            &["00010203-0405-0607-0809-0a0b0c0d0e0f", "null", "null"],
        );
        let made = call(&family, "UUID", &[], 3);
        for uuid in &made {
            assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"), "{uuid}");
            assert!("89ab".contains(&uuid[19..20]), "{uuid}");
        }
        assert!(made[0] != made[1] && made[1] != made[2] && made != call(&family, "UUID", &[], 3));
    }
}
