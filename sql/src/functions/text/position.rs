//! Places and lengths in text and bytes: INSTR, LEN, SUBSTRING.
//!
//! Places are counted from 1, negative ones from the end, in UTF-16 units or bytes.

use arrow::array::ArrayRef;
use arrow::datatypes::Int32Type;

use super::super::columns::{self, Bytes, Ints, Texts};
use super::super::declare::{BYTES, INT, TEXT, function, overload};
use super::super::signature::{Call, ScalarFunction};
use super::utf16;
use crate::catalog::SqlType;

/// The functions of this file.
pub(super) fn functions() -> Vec<ScalarFunction> {
    vec![
        function(
            "INSTR",
            "Where a part stands in a text, counted from 1, or 0; searched from a place on (backwards if it is negative), the n-th.",
            [
                overload([TEXT, TEXT], SqlType::Int, instr),
                overload([TEXT, TEXT, INT], SqlType::Int, instr),
                overload([TEXT, TEXT, INT, INT], SqlType::Int, instr),
            ],
        ),
        function(
            "LEN",
            "How many characters a text has, or how many bytes.",
            [overload([TEXT], SqlType::Int, len_of_text), overload([BYTES], SqlType::Int, len_of_bytes)],
        ),
        function(
            "SUBSTRING",
            "The part that begins at a place, counted from 1 or negative from the end, as long as given or up to the end.",
            [
                overload([TEXT, INT], SqlType::Varchar, substring_of_text),
                overload([TEXT, INT, INT], SqlType::Varchar, substring_of_text),
                overload([BYTES, INT], SqlType::Bytes, substring_of_bytes),
                overload([BYTES, INT, INT], SqlType::Bytes, substring_of_bytes),
            ],
        ),
    ]
}

fn instr(call: &Call<'_>) -> Result<ArrayRef, String> {
    let texts: Texts<'_> = columns::read(call, 0)?;
    let parts: Texts<'_> = columns::read(call, 1)?;
    let positions = optional(call, 2)?;
    let occurrences = optional(call, 3)?;
    let number = |numbers: &Option<Ints<'_>>, row| numbers.as_ref().map_or(Some(1), |numbers| numbers.get(row));
    columns::write_values::<Int32Type>(call.rows, |row| {
        let found = match (texts.get(row), parts.get(row), number(&positions, row), number(&occurrences, row)) {
            (Some(text), Some(part), Some(position), Some(occurrence)) => find(text, part, position, occurrence),
            _ => None,
        };
        Ok(Some(found.map_or(0, |unit| unit + 1)))
    })
}

fn optional<'a>(call: &'a Call<'_>, index: usize) -> Result<Option<Ints<'a>>, String> {
    if call.arguments.len() > index { columns::read(call, index).map(Some) } else { Ok(None) }
}

/// The unit, counted from 0, of the `occurrence`-th `part` from `position` on. Occurrences may overlap.
fn find(text: &str, part: &str, position: i32, occurrence: i32) -> Option<i32> {
    let skipped = usize::try_from(occurrence).ok()?.checked_sub(1)?;
    let distance = usize::try_from(position.unsigned_abs()).ok()?.checked_sub(1)?;
    let byte = if position > 0 {
        if distance > utf16::len(text) {
            return None;
        }
        let mut from = utf16::byte_at(text, distance);
        let mut candidates = std::iter::from_fn(|| {
            let found = from + text.get(from..)?.find(part)?;
            from = found + text[found..].chars().next().map_or(1, char::len_utf8);
            Some(found)
        });
        candidates.nth(skipped)?
    } else {
        // A character that begins at the place or before ends at the next one or before.
        let end = utf16::byte_at(text, utf16::len(text).checked_sub(distance)?);
        let starts = text.char_indices().rev().map(|(at, _)| at);
        starts.filter(|at| *at < end && text[*at..].starts_with(part)).nth(skipped)?
    };
    i32::try_from(utf16::unit_at(text, byte)).ok()
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

/// From where and up to where, counted from 0, of `length`.
fn range(length: usize, position: i32, wanted: Option<i32>) -> (usize, usize) {
    let distance = usize::try_from(position.unsigned_abs()).unwrap_or(usize::MAX);
    let start = if position < 0 { length.saturating_sub(distance) } else { distance.saturating_sub(1).min(length) };
    let end = match wanted {
        None => length,
        Some(wanted) => start.saturating_add(usize::try_from(wanted).unwrap_or(0)).min(length),
    };
    (start, end)
}

/// Position and length of a row; none if one is null.
struct Places<'a> {
    positions: Ints<'a>,
    lengths: Option<Ints<'a>>,
}

impl<'a> Places<'a> {
    fn read(call: &'a Call<'_>) -> Result<Self, String> {
        Ok(Places { positions: columns::read(call, 1)?, lengths: optional(call, 2)? })
    }

    fn get(&self, row: usize) -> Option<(i32, Option<i32>)> {
        let length = match &self.lengths {
            None => None,
            Some(lengths) => Some(lengths.get(row)?),
        };
        Some((self.positions.get(row)?, length))
    }
}

fn substring_of_text(call: &Call<'_>) -> Result<ArrayRef, String> {
    let texts: Texts<'_> = columns::read(call, 0)?;
    let places = Places::read(call)?;
    columns::write_texts(call.rows, |row, out| {
        let (Some(text), Some((position, length))) = (texts.get(row), places.get(row)) else { return Ok(None) };
        let (start, end) = range(utf16::len(text), position, length);
        utf16::push_range(text, start, end, out);
        Ok(Some(()))
    })
}

fn substring_of_bytes(call: &Call<'_>) -> Result<ArrayRef, String> {
    let bytes: Bytes<'_> = columns::read(call, 0)?;
    let places = Places::read(call)?;
    columns::write_bytes(call.rows, |row, out| {
        let (Some(bytes), Some((position, length))) = (bytes.get(row), places.get(row)) else { return Ok(None) };
        let (start, end) = range(bytes.len(), position, length);
        out.extend_from_slice(&bytes[start..end]);
        Ok(Some(()))
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::columns::harness::{bytes, check, int, ints, null, text, texts};
    use super::*;

    #[test]
    fn where_a_part_stands() {
        let family = functions();
        let floor = || text("CORPORATE FLOOR");
        check(
            &family,
            "INSTR",
            &[texts(&[Some("corporate floor"), Some("short"), Some("no"), None]), text("or")],
            &["2", "3", "0", "0"],
        );
        for (position, want) in [(3, "5"), (5, "5"), (6, "14"), (15, "0"), (99, "0"), (0, "0"), (-3, "5"), (-2, "14")] {
            check(&family, "INSTR", &[floor(), text("OR"), int(position)], &[want]);
        }
        for (position, occurrence, want) in [(3, 2, "14"), (3, 3, "0"), (-3, 2, "2"), (-3, 3, "0"), (1, 0, "0")] {
            check(&family, "INSTR", &[floor(), text("OR"), int(position), int(occurrence)], &[want]);
        }
        check(&family, "INSTR", &[text("aaa"), text("aa"), int(1), ints(&[Some(1), Some(2), None])], &["1", "2", "0"]);
        check(&family, "INSTR", &[text("aaa"), text("aa"), int(-1), ints(&[Some(1), Some(2), None])], &["2", "1", "0"]);
        check(&family, "INSTR", &[text("é😀é"), text("é"), ints(&[Some(1), Some(2), Some(-1)])], &["1", "4", "4"]);
        check(&family, "INSTR", &[text("é😀é"), text("é"), int(-2)], &["1"]);
        check(&family, "INSTR", &[text("short"), text("or"), int(-4)], &["0"]);
        check(&family, "INSTR", &[text("abc"), text("")], &["1"]);
        check(&family, "INSTR", &[text("a"), null(&SqlType::Varchar)], &["0"]);
    }

    #[test]
    fn lengths() {
        let family = functions();
        check(&family, "LEN", &[texts(&[Some("abc"), Some("é😀"), Some(""), None])], &["3", "3", "0", "null"]);
        check(&family, "LEN", &[bytes(&[Some(b"ab"), Some(b""), None])], &["2", "0", "null"]);
    }

    #[test]
    fn parts_of_texts_and_bytes() {
        let family = functions();
        let positions = || ints(&[Some(1), Some(3), Some(6), Some(7), Some(0), Some(-2), Some(-99), None]);
        check(
            &family,
            "SUBSTRING",
            &[text("stream"), positions()],
            &["stream", "ream", "m", "", "stream", "am", "stream", "null"],
        );
        check(
            &family,
            "SUBSTRING",
            &[text("stream"), positions(), int(2)],
            &["st", "re", "m", "", "st", "am", "st", "null"],
        );
        let lengths = ints(&[Some(0), Some(-1), Some(i32::MAX), None]);
        check(&family, "SUBSTRING", &[text("stream"), int(2), lengths], &["", "", "tream", "null"]);
        check(&family, "SUBSTRING", &[text("a😀b"), int(2), int(2)], &["😀"]);
        check(&family, "SUBSTRING", &[null(&SqlType::Varchar), int(1)], &["null"]);
        let short = || bytes(&[Some(b"another"), Some(b"short"), None]);
        check(&family, "SUBSTRING", &[short(), int(6)], &["6572", "", "null"]);
        check(&family, "SUBSTRING", &[short(), int(-2), int(1)], &["65", "72", "null"]);
    }
}
