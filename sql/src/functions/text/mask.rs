//! Hiding what a text says but not its shape: MASK and its variants for one end of the text.
//!
//! Upper-case letters, lower-case letters, digits and all others are replaced by `X`, `x`, `n` and `-`, or by the first character of
//! the texts given instead; null keeps that kind as it is. Characters are UTF-16 units: one above U+FFFF is masked twice.

use std::sync::LazyLock;

use arrow::array::ArrayRef;
use fancy_regex::Regex;

use super::super::columns::{self, Ints, Texts};
use super::super::declare::{INT, TEXT, function, overload};
use super::super::signature::{Call, Evaluate, ScalarFunction};
use super::utf16;
use crate::catalog::SqlType;

/// The functions of this file.
pub(super) fn functions() -> Vec<ScalarFunction> {
    let all: Evaluate = |call| mask(call, Part::All);
    vec![
        function(
            "MASK",
            "The text with its letters, digits and other characters replaced by X, x, n and -, or by those given.",
            [overload([TEXT], SqlType::Varchar, all), overload([TEXT, TEXT, TEXT, TEXT, TEXT], SqlType::Varchar, all)],
        ),
        partial("MASK_KEEP_LEFT", "As MASK, but the first n characters stay as they are.", |call| {
            mask(call, Part::AfterFirst)
        }),
        partial("MASK_KEEP_RIGHT", "As MASK, but the last n characters stay as they are.", |call| {
            mask(call, Part::BeforeLast)
        }),
        partial("MASK_LEFT", "As MASK, of the first n characters only.", |call| mask(call, Part::First)),
        partial("MASK_RIGHT", "As MASK, of the last n characters only.", |call| mask(call, Part::Last)),
    ]
}

fn partial(name: &'static str, description: &'static str, evaluate: Evaluate) -> ScalarFunction {
    function(
        name,
        description,
        [
            overload([TEXT, INT], SqlType::Varchar, evaluate),
            overload([TEXT, INT, TEXT, TEXT, TEXT, TEXT], SqlType::Varchar, evaluate),
        ],
    )
}

/// Which characters are masked; all but the first of these have their number as second argument.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    First,
    Last,
    AfterFirst,
    BeforeLast,
}

/// What stands for upper case, lower case, digits and others; none keeps them.
type Masks = [Option<char>; 4];

const DEFAULT_MASKS: Masks = [Some('X'), Some('x'), Some('n'), Some('-')];

fn mask(call: &Call<'_>, part: Part) -> Result<ArrayRef, String> {
    let texts: Texts<'_> = columns::read(call, 0)?;
    let counts: Option<Ints<'_>> = if part == Part::All { None } else { Some(columns::read(call, 1)?) };
    let given = 1 + usize::from(counts.is_some());
    let masks: Vec<Texts<'_>> =
        call.arguments.iter().skip(given).map(columns::read_argument).collect::<Result<_, _>>()?;
    columns::write_texts(call.rows, |row, out| {
        let Some(text) = texts.get(row) else { return Ok(None) };
        let count = match &counts {
            None => 0,
            Some(counts) => match counts.get(row) {
                Some(count) => usize::try_from(count)
                    .map_err(|_| format!("the number of characters must not be negative, as {count} is"))?,
                None => return Ok(None),
            },
        };
        let length = || utf16::len(text);
        let masked = match part {
            Part::All => 0..usize::MAX,
            Part::First => 0..count,
            Part::AfterFirst => count..usize::MAX,
            Part::Last => length().saturating_sub(count)..usize::MAX,
            Part::BeforeLast => 0..length().saturating_sub(count),
        };
        let mut wanted = DEFAULT_MASKS;
        for (mask, given) in wanted.iter_mut().zip(&masks) {
            *mask = given.get(row).and_then(|text| text.chars().next());
        }
        let mut at = 0;
        for character in text.chars() {
            let units = character.len_utf16();
            match wanted[kind(character)].filter(|_| masked.contains(&at)) {
                Some(mask) => out.extend(std::iter::repeat_n(mask, units)),
                None => out.push(character),
            }
            at += units;
        }
        Ok(Some(()))
    })
}

/// The place of a character's kind in [`Masks`]: by Unicode's general categories Lu, Ll and Nd.
fn kind(character: char) -> usize {
    match character {
        'A'..='Z' => 0,
        'a'..='z' => 1,
        '0'..='9' => 2,
        _ if character.is_ascii() => 3,
        // Surrogates have a category of their own.
        _ if character.len_utf16() > 1 => 3,
        _ if character.is_uppercase() && is_category(&UPPER, character) => 0,
        _ if character.is_lowercase() && is_category(&LOWER, character) => 1,
        _ if character.is_numeric() && is_category(&DIGIT, character) => 2,
        _ => 3,
    }
}

static UPPER: LazyLock<Regex> = LazyLock::new(|| category(r"\p{Lu}"));
static LOWER: LazyLock<Regex> = LazyLock::new(|| category(r"\p{Ll}"));
static DIGIT: LazyLock<Regex> = LazyLock::new(|| category(r"\p{Nd}"));

fn category(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern of one Unicode category is valid")
}

fn is_category(category: &Regex, character: char) -> bool {
    category.is_match(character.encode_utf8(&mut [0; 4])).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::super::super::columns::harness::{check, int, ints, null, text, texts};
    use super::*;

    #[test]
    fn masks_of_each_kind() {
        let family = functions();
        let given = texts(&[Some("My Test $123"), Some("Äß٣ªⅣ😀"), Some(""), None]);
        check(&family, "MASK", std::slice::from_ref(&given), &["Xx-Xxxx--nnn", "Xxn----", "", "null"]);
        let nothing = || null(&SqlType::Varchar);
        check(
            &family,
            "MASK",
            &[given, text("*"), nothing(), text("12"), nothing()],
            &["*y *est $111", "*ß1ªⅣ😀", "", "null"],
        );
    }

    #[test]
    fn masks_of_one_end() {
        let family = functions();
        let counts = || ints(&[Some(4), Some(0), Some(99), None]);
        for (name, four, zero, all) in [
            ("MASK_KEEP_LEFT", "My Txxx--nnn", "Xx-Xxxx--nnn", "My Test $123"),
            ("MASK_KEEP_RIGHT", "Xx-Xxxx-$123", "Xx-Xxxx--nnn", "My Test $123"),
            ("MASK_LEFT", "Xx-Xest $123", "My Test $123", "Xx-Xxxx--nnn"),
            ("MASK_RIGHT", "My Test -nnn", "My Test $123", "Xx-Xxxx--nnn"),
        ] {
            check(&family, name, &[text("My Test $123"), counts()], &[four, zero, all, "null"]);
            let masks = || text("#");
            let wanted = four.replace(['X', 'x', 'n', '-'], "#");
            check(&family, name, &[text("My Test $123"), int(4), masks(), masks(), masks(), masks()], &[&wanted]);
            check(
                &family,
                name,
                &[text("a"), int(-1)],
                &["error: the number of characters must not be negative, as -1 is"],
            );
        }
    }
}
