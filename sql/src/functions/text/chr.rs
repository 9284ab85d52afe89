//! CHR: the character of a code point.

use arrow::array::ArrayRef;

use super::super::columns::{self, Ints, Texts};
use super::super::declare::{INT, TEXT, function, overload};
use super::super::signature::{Call, ScalarFunction};
use crate::catalog::SqlType;

/// The functions of this file.
pub(super) fn functions() -> Vec<ScalarFunction> {
    vec![function(
        "CHR",
        "The character of a Unicode code point, given as a number or as \\uXXXX; null if there is none.",
        [overload([INT], SqlType::Varchar, chr_of_number), overload([TEXT], SqlType::Varchar, chr_of_escape)],
    )]
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

#[cfg(test)]
mod tests {
    use super::super::super::columns::harness::{check, ints, texts};
    use super::*;

    #[test]
    fn characters_of_numbers_and_escapes() {
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
    }
}
