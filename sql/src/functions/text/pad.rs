//! Text or bytes made as long as wanted: LPAD and RPAD.
//!
//! What is longer already is cut at its end. A negative length and an empty padding give null.

use arrow::array::ArrayRef;

use super::super::columns::{self, Bytes, Ints, Texts};
use super::super::declare::{BYTES, INT, TEXT, function, overload};
use super::super::signature::{Call, ScalarFunction};
use super::utf16;
use crate::catalog::SqlType;

/// The longest result; what asks for more is a mistake, not a text.
const MAX_LENGTH: usize = 1 << 28;

/// The functions of this file.
pub(super) fn functions() -> Vec<ScalarFunction> {
    vec![
        function(
            "LPAD",
            "The input with padding before it until it is as long as wanted, or its beginning if it is longer.",
            [
                overload([TEXT, INT, TEXT], SqlType::Varchar, |call| pad_texts(call, Side::Left)),
                overload([BYTES, INT, BYTES], SqlType::Bytes, |call| pad_bytes(call, Side::Left)),
            ],
        ),
        function(
            "RPAD",
            "The input with padding after it until it is as long as wanted, or its beginning if it is longer.",
            [
                overload([TEXT, INT, TEXT], SqlType::Varchar, |call| pad_texts(call, Side::Right)),
                overload([BYTES, INT, BYTES], SqlType::Bytes, |call| pad_bytes(call, Side::Right)),
            ],
        ),
    ]
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// The wanted length, none if it is negative.
fn wanted(length: i32) -> Result<Option<usize>, String> {
    match usize::try_from(length) {
        Ok(length) if length > MAX_LENGTH => Err(format!("a padded length may not exceed {MAX_LENGTH}, not {length}")),
        wanted => Ok(wanted.ok()),
    }
}

fn pad_texts(call: &Call<'_>, side: Side) -> Result<ArrayRef, String> {
    let texts: Texts<'_> = columns::read(call, 0)?;
    let lengths: Ints<'_> = columns::read(call, 1)?;
    let paddings: Texts<'_> = columns::read(call, 2)?;
    columns::write_texts(call.rows, |row, out| {
        let (Some(text), Some(length), Some(padding)) = (texts.get(row), lengths.get(row), paddings.get(row)) else {
            return Ok(None);
        };
        let Some(length) = wanted(length)?.filter(|_| !padding.is_empty()) else { return Ok(None) };
        let missing = length.saturating_sub(utf16::len(text));
        let fill = |out: &mut String| {
            let unit = utf16::len(padding);
            for _ in 0..missing / unit {
                out.push_str(padding);
            }
            utf16::push_range(padding, 0, missing % unit, out);
        };
        if side == Side::Left {
            fill(out);
        }
        utf16::push_range(text, 0, length, out);
        if side == Side::Right {
            fill(out);
        }
        Ok(Some(()))
    })
}

fn pad_bytes(call: &Call<'_>, side: Side) -> Result<ArrayRef, String> {
    let bytes: Bytes<'_> = columns::read(call, 0)?;
    let lengths: Ints<'_> = columns::read(call, 1)?;
    let paddings: Bytes<'_> = columns::read(call, 2)?;
    columns::write_bytes(call.rows, |row, out| {
        let (Some(bytes), Some(length), Some(padding)) = (bytes.get(row), lengths.get(row), paddings.get(row)) else {
            return Ok(None);
        };
        let Some(length) = wanted(length)?.filter(|_| !padding.is_empty()) else { return Ok(None) };
        let missing = length.saturating_sub(bytes.len());
        let fill = padding.iter().cycle().take(missing);
        if side == Side::Left {
            out.extend(fill.clone());
        }
        out.extend_from_slice(&bytes[..length.min(bytes.len())]);
        if side == Side::Right {
            out.extend(fill);
        }
        Ok(Some(()))
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::columns::harness::{bytes, check, int, ints, text, texts};
    use super::*;

    #[test]
    fn padding_and_cutting() {
        let family = functions();
        let lengths = || ints(&[Some(8), Some(5), Some(3), Some(2), Some(0), Some(-1), None]);
        let arguments = [text("foo"), lengths(), text("Bar")];
        check(&family, "LPAD", &arguments, &["BarBafoo", "Bafoo", "foo", "fo", "", "null", "null"]);
        check(&family, "RPAD", &arguments, &["fooBarBa", "fooBa", "foo", "fo", "", "null", "null"]);
        let subject = || bytes(&[Some(b"foo".as_slice()); 7]);
        let padding = || bytes(&[Some(b"-".as_slice()); 7]);
        let arguments = [subject(), lengths(), padding()];
        check(&family, "LPAD", &arguments, &["2d2d2d2d2d666f6f", "2d2d666f6f", "666f6f", "666f", "", "null", "null"]);
        check(&family, "RPAD", &arguments, &["666f6f2d2d2d2d2d", "666f6f2d2d", "666f6f", "666f", "", "null", "null"]);
    }

    #[test]
    fn nothing_to_pad_with() {
        let family = functions();
        check(&family, "LPAD", &[text("foo"), int(2), texts(&[Some(""), None])], &["null", "null"]);
        check(&family, "RPAD", &[bytes(&[Some(b"a"), None]), int(2), bytes(&[Some(b""), Some(b"x")])], &["null"; 2]);
        check(&family, "RPAD", &[text("é"), int(4), text("😀")], &["é😀?"]);
        check(
            &family,
            "LPAD",
            &[text("a"), int(i32::MAX), text("b")],
            &["error: a padded length may not exceed 268435456, not 2147483647"],
        );
    }
}
