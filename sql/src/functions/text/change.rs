//! Texts changed as a whole: INITCAP, LCASE, REPLACE, TRIM, UCASE.

use arrow::array::ArrayRef;

use super::super::columns::{self, Texts};
use super::super::declare::{TEXT, function, overload};
use super::super::signature::{Call, ScalarFunction};
use crate::catalog::SqlType;

/// The functions of this file.
pub(super) fn functions() -> Vec<ScalarFunction> {
    vec![
        function(
            "INITCAP",
            "Words, separated by whitespace, with their first letter in upper case and all others in lower case.",
            [overload([TEXT], SqlType::Varchar, |call| map(call, initcap))],
        ),
        function("LCASE", "The text in lower case.", [overload([TEXT], SqlType::Varchar, |call| map(call, lower))]),
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
    ]
}

/// A function of one text that gives a text.
fn map(call: &Call<'_>, write: fn(&str, &mut String)) -> Result<ArrayRef, String> {
    let texts: Texts<'_> = columns::read(call, 0)?;
    columns::write_texts(call.rows, |row, out| Ok(texts.get(row).map(|text| write(text, out))))
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

fn upper(text: &str, out: &mut String) {
    if text.is_ascii() {
        out.push_str(text);
        out.make_ascii_uppercase();
    } else {
        out.extend(text.chars().flat_map(char::to_uppercase));
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::columns::harness::{check, null, text, texts};
    use super::*;

    #[test]
    fn cases() {
        let family = functions();
        check(
            &family,
            "INITCAP",
            &[texts(&[Some("hello  wORLD\tof-mine"), Some(" éa"), Some(""), None])],
            &["Hello  World\tOf-mine", " Éa", "", "null"],
        );
        check(&family, "LCASE", &[texts(&[Some("MiXeD"), Some("ÀΣ"), None])], &["mixed", "àς", "null"]);
        check(&family, "UCASE", &[texts(&[Some("MiXeD"), Some("ß"), None])], &["MIXED", "SS", "null"]);
    }

    #[test]
    fn parts_replaced_and_cut_off() {
        let family = functions();
        check(
            &family,
            "REPLACE",
            &[texts(&[Some("anaconda"), Some("aa"), Some("b"), None]), text("a"), text("o")],
            &["onocondo", "oo", "b", "null"],
        );
        check(&family, "REPLACE", &[text("ab"), text(""), text("-")], &["-a-b-"]);
        check(&family, "REPLACE", &[text("ab"), null(&SqlType::Varchar), text("-")], &["null"]);
        check(&family, "TRIM", &[texts(&[Some(" \t a b \n"), Some("\u{a0}a"), None])], &["a b", "\u{a0}a", "null"]);
    }
}
