//! Functions with regular expressions in Java's syntax: REGEXP_EXTRACT, REGEXP_EXTRACT_ALL, REGEXP_REPLACE, REGEXP_SPLIT_TO_ARRAY.
//!
//! Null in any argument gives null; a pattern that is not valid fails the row. A constant pattern is looked up once a batch.

mod java;
mod syntax;

use std::rc::Rc;

use arrow::array::ArrayRef;
use fancy_regex::Captures;

use super::columns::{self, Ints, Texts};
use super::declare::{INT, TEXT, array_of, function, overload};
use super::signature::{Call, ScalarFunction};
use crate::catalog::SqlType;
use java::{JavaRegex, span};

/// The functions of this file.
pub(crate) fn functions() -> Vec<ScalarFunction> {
    let texts = || array_of(SqlType::Varchar);
    vec![
        function(
            "REGEXP_EXTRACT",
            "The first part of a text that a pattern matches, or a group of that match; null if there is none.",
            [overload([TEXT, TEXT], SqlType::Varchar, extract), overload([TEXT, TEXT, INT], SqlType::Varchar, extract)],
        ),
        function(
            "REGEXP_EXTRACT_ALL",
            "All parts of a text that a pattern matches, or a group of each match.",
            [overload([TEXT, TEXT], texts(), extract_all), overload([TEXT, TEXT, INT], texts(), extract_all)],
        ),
        function(
            "REGEXP_REPLACE",
            "The text with every match of a pattern replaced; $1 stands for the first group.",
            [overload([TEXT, TEXT, TEXT], SqlType::Varchar, replace)],
        ),
        function(
            "REGEXP_SPLIT_TO_ARRAY",
            "The parts of a text between the matches of a pattern; with an empty pattern each character.",
            [overload([TEXT, TEXT], texts(), split)],
        ),
    ]
}

/// The patterns of a batch; one that is the same for all rows is compiled before the first.
struct Patterns<'a> {
    texts: Texts<'a>,
    constant: Option<Result<Rc<JavaRegex>, String>>,
}

impl<'a> Patterns<'a> {
    fn read(call: &'a Call<'_>, index: usize) -> Result<Self, String> {
        let texts: Texts<'_> = columns::read(call, index)?;
        Ok(Self { constant: texts.constant().map(JavaRegex::cached), texts })
    }

    fn get(&self, row: usize) -> Result<Option<Rc<JavaRegex>>, String> {
        match &self.constant {
            Some(constant) => constant.clone().map(Some),
            None => self.texts.get(row).map(JavaRegex::cached).transpose(),
        }
    }
}

/// Pattern, text and number of the group of each row.
struct Extracts<'a> {
    patterns: Patterns<'a>,
    texts: Texts<'a>,
    groups: Option<Ints<'a>>,
}

/// A pattern, a text, and the number of a group of the pattern.
type Extract<'a> = (Rc<JavaRegex>, &'a str, usize);

impl<'a> Extracts<'a> {
    fn read(call: &'a Call<'_>) -> Result<Self, String> {
        let groups = if call.arguments.len() > 2 { Some(columns::read(call, 2)?) } else { None };
        Ok(Self { patterns: Patterns::read(call, 0)?, texts: columns::read(call, 1)?, groups })
    }

    /// None if one is null, or if the pattern has no such group.
    fn get(&self, row: usize) -> Result<Option<Extract<'a>>, String> {
        let group = match &self.groups {
            None => Some(0),
            Some(groups) => groups.get(row),
        };
        let (Some(regex), Some(text), Some(group)) = (self.patterns.get(row)?, self.texts.get(row), group) else {
            return Ok(None);
        };
        let group = usize::try_from(group).map_err(|_| format!("a pattern has no group {group}"))?;
        Ok((group <= regex.group_count()).then_some((regex, text, group)))
    }
}

fn extract(call: &Call<'_>) -> Result<ArrayRef, String> {
    let extracts = Extracts::read(call)?;
    columns::copy_texts(call.rows, |row| {
        let Some((regex, text, group)) = extracts.get(row)? else { return Ok(None) };
        Ok(regex.find_from(text, 0)?.and_then(|found| found.get(group)).map(|found| found.as_str()))
    })
}

fn extract_all(call: &Call<'_>) -> Result<ArrayRef, String> {
    let extracts = Extracts::read(call)?;
    columns::write_text_lists(call.rows, |row, items| {
        let Some((regex, text, group)) = extracts.get(row)? else { return Ok(None) };
        regex.find_all(text, |found| {
            items.append_option(found.get(group).map(|found| found.as_str()));
            Ok(())
        })?;
        Ok(Some(()))
    })
}

fn replace(call: &Call<'_>) -> Result<ArrayRef, String> {
    let texts: Texts<'_> = columns::read(call, 0)?;
    let patterns = Patterns::read(call, 1)?;
    let replacements: Texts<'_> = columns::read(call, 2)?;
    columns::write_texts(call.rows, |row, out| {
        let (Some(text), Some(regex), Some(replacement)) = (texts.get(row), patterns.get(row)?, replacements.get(row))
        else {
            return Ok(None);
        };
        let mut kept = 0;
        regex.find_all(text, |found| {
            let (start, end) = span(found);
            out.push_str(&text[kept..start]);
            kept = end;
            push_replacement(&regex, found, replacement, out)
        })?;
        out.push_str(&text[kept..]);
        Ok(Some(()))
    })
}

/// Appends a replacement: `$1` and `${name}` are groups, `\` takes the next character as it is.
fn push_replacement(
    regex: &JavaRegex,
    found: &Captures<'_>,
    replacement: &str,
    out: &mut String,
) -> Result<(), String> {
    let mut rest = replacement;
    while let Some(at) = rest.find(['\\', '$']) {
        out.push_str(&rest[..at]);
        let special = &rest[at..at + 1];
        rest = &rest[at + 1..];
        let group;
        if special == "\\" {
            let mut characters = rest.chars();
            out.push(characters.next().ok_or("nothing follows the last `\\` of the replacement")?);
            rest = characters.as_str();
            continue;
        } else if let Some(after) = rest.strip_prefix('{') {
            let (name, after) = after.split_once('}').ok_or("a `${` of the replacement is not closed")?;
            group = regex.group_number(name).ok_or_else(|| format!("the pattern has no group named {name}"))?;
            rest = after;
        } else {
            (group, rest) = numbered_group(rest, regex.group_count())?;
        }
        out.push_str(found.get(group).map_or("", |found| found.as_str()));
    }
    out.push_str(rest);
    Ok(())
}

/// The group that digits name, as many of them as there is a group for, and what follows.
fn numbered_group(text: &str, count: usize) -> Result<(usize, &str), String> {
    let digit = |text: &str| text.chars().next().and_then(|next| next.to_digit(10)).map(|digit| digit as usize);
    let mut group =
        digit(text).ok_or("a `$` of the replacement must be followed by a group; write `\\$` for the sign")?;
    if group > count {
        return Err(format!("the pattern has no group {group}"));
    }
    let mut rest = &text[1..];
    while let Some(longer) = digit(rest).map(|next| group * 10 + next).filter(|longer| *longer <= count) {
        group = longer;
        rest = &rest[1..];
    }
    Ok((group, rest))
}

fn split(call: &Call<'_>) -> Result<ArrayRef, String> {
    let texts: Texts<'_> = columns::read(call, 0)?;
    let patterns = Patterns::read(call, 1)?;
    let mut parts = Vec::new();
    columns::write_text_lists(call.rows, |row, items| {
        let (Some(text), Some(regex)) = (texts.get(row), patterns.get(row)?) else { return Ok(None) };
        parts.clear();
        if regex.find_from("", 0)?.is_some() {
            split_between_characters(&regex, text, &mut parts)?;
        } else {
            split_at_separators(&regex, text, &mut parts)?;
        }
        parts.iter().for_each(|part| items.append_value(part));
        Ok(Some(()))
    })
}

/// For patterns that match nothing at all, by the rules of `java.util.regex.Pattern.split`: no empty part in front of an empty
/// match, no empty parts at the end.
fn split_between_characters<'t>(regex: &JavaRegex, text: &'t str, parts: &mut Vec<&'t str>) -> Result<(), String> {
    let mut kept = 0;
    regex.find_all(text, |found| {
        let (start, end) = span(found);
        if end > 0 {
            parts.push(&text[kept..start]);
            kept = end;
        }
        Ok(())
    })?;
    if parts.is_empty() {
        parts.push(text);
        return Ok(());
    }
    parts.push(&text[kept..]);
    while parts.last().is_some_and(|part| part.is_empty()) {
        parts.pop();
    }
    Ok(())
}

/// Empty parts stay, also those at the ends. A separator that is empty where it matches does not cut at the beginning of a part.
fn split_at_separators<'t>(regex: &JavaRegex, text: &'t str, parts: &mut Vec<&'t str>) -> Result<(), String> {
    let mut kept = 0;
    let mut from = 0;
    while from <= text.len() {
        let Some(found) = regex.find_from(text, from)? else { break };
        let (start, end) = span(&found);
        if end == kept {
            from = end + text[end..].chars().next().map_or(1, char::len_utf8);
            continue;
        }
        parts.push(&text[kept..start]);
        (kept, from) = (end, end);
    }
    parts.push(&text[kept..]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::columns::harness::{self, int, ints, null, text, texts};
    use super::*;

    fn check(name: &str, arguments: &[super::super::signature::Argument], want: &[&str]) {
        harness::check(&functions(), name, arguments, want);
    }

    #[test]
    fn parts_that_match() {
        let given = || texts(&[Some("some_test_string_testab"), Some("anothertest"), Some("testa"), None]);
        check("REGEXP_EXTRACT", &[text("test."), given()], &["test_", "null", "testa", "null"]);
        check("REGEXP_EXTRACT_ALL", &[text("test."), given()], &["[test_, testa]", "[]", "[testa]", "null"]);
        let words = "(\\w+) (\\w+)";
        let groups = || ints(&[Some(0), Some(1), Some(2), Some(3), None]);
        check(
            "REGEXP_EXTRACT",
            &[text(words), text("hello there nice day"), groups()],
            &["hello there", "hello", "there", "null", "null"],
        );
        check(
            "REGEXP_EXTRACT_ALL",
            &[text(words), text("hello there nice day"), groups()],
            &["[hello there, nice day]", "[hello, nice]", "[there, day]", "null", "null"],
        );
        check("REGEXP_EXTRACT_ALL", &[text("(a)|b"), text("ab"), int(1)], &["[a, null]"]);
        check("REGEXP_EXTRACT", &[text("a"), text("a"), int(-1)], &["error: a pattern has no group -1"]);
        check("REGEXP_EXTRACT", &[texts(&[Some("a"), Some("b."), None]), text("abc")], &["a", "bc", "null"]);
        check("REGEXP_EXTRACT", &[null(&SqlType::Varchar), text("abc")], &["null"]);
    }

    #[test]
    fn replacing() {
        check("REGEXP_REPLACE", &[texts(&[Some("axbb ab"), None]), text("a.b+"), text("bar")], &["bar ab", "null"]);
        check("REGEXP_REPLACE", &[text("baac"), text("a*"), text("-")], &["-b--c-"]);
        check("REGEXP_REPLACE", &[text("ab"), text("(a)(b)"), text("$2$1$0")], &["baab"]);
        check("REGEXP_REPLACE", &[text("ab"), text("(?<x>a)"), text("${x}${x}\\$\\\\$12")], &["aa$\\a2b"]);
        check("REGEXP_REPLACE", &[text("b"), text("(a)?b"), text("[$1]")], &["[]"]);
        check("REGEXP_REPLACE", &[text("b"), text("b"), text("$1")], &["error: the pattern has no group 1"]);
        check("REGEXP_REPLACE", &[text("b"), text("b"), null(&SqlType::Varchar)], &["null"]);
        check("REGEXP_REPLACE", &[text("b"), null(&SqlType::Varchar), text("")], &["null"]);
    }

    #[test]
    fn splitting() {
        let given = texts(&[Some("aabcda"), Some("aabdcda"), Some("zxy"), Some("abxcd"), Some(""), None]);
        check(
            "REGEXP_SPLIT_TO_ARRAY",
            &[given, text("(ab|cd)")],
            &["[a, , a]", "[a, d, a]", "[zxy]", "[, x, ]", "[]", "null"],
        );
        check("REGEXP_SPLIT_TO_ARRAY", &[text("añb"), text("")], &["[a, ñ, b]"]);
        check("REGEXP_SPLIT_TO_ARRAY", &[text("a1b22"), text("\\d*")], &["[a, , b]"]);
        check("REGEXP_SPLIT_TO_ARRAY", &[text("aBcD"), text("(?=[A-Z])")], &["[a, Bc, D]"]);
        check("REGEXP_SPLIT_TO_ARRAY", &[text("a"), null(&SqlType::Varchar)], &["null"]);
    }
}
