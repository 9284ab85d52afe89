//! Putting texts or bytes together, and choosing among several: CONCAT, CONCAT_WS, ELT, FIELD.

use arrow::array::{Array, ArrayAccessor, ArrayRef, BinaryArray, StringArray};
use arrow::datatypes::Int32Type;

use super::super::columns::{self, Ints, Reader, Texts};
use super::super::declare::{BYTES, INT, TEXT, function, overload, variadic};
use super::super::signature::{Call, ScalarFunction};
use crate::catalog::SqlType;

/// The functions of this file.
pub(super) fn functions() -> Vec<ScalarFunction> {
    vec![
        function(
            "CONCAT",
            "All arguments one after the other; null counts as empty.",
            [
                variadic(overload([TEXT], SqlType::Varchar, concat_texts)),
                variadic(overload([BYTES], SqlType::Bytes, concat_bytes)),
            ],
        ),
        function(
            "CONCAT_WS",
            "All arguments but the first, which separates them; nulls are left out, a null separator gives null.",
            [
                variadic(overload([TEXT, TEXT], SqlType::Varchar, join_texts)),
                variadic(overload([BYTES, BYTES], SqlType::Bytes, join_bytes)),
            ],
        ),
        function(
            "ELT",
            "The n-th of the texts that follow, counted from 1; null if there is none.",
            [variadic(overload([INT, TEXT], SqlType::Varchar, elt))],
        ),
        function(
            "FIELD",
            "At which place, counted from 1, a text stands among those that follow; 0 if it does not or is null.",
            [variadic(overload([TEXT, TEXT], SqlType::Int, field))],
        ),
    ]
}

/// The arguments from `first` on.
fn readers<'a, A: Array + 'static>(call: &'a Call<'_>, first: usize) -> Result<Vec<Reader<&'a A>>, String>
where
    &'a A: ArrayAccessor,
{
    call.arguments.iter().skip(first).map(columns::read_argument).collect()
}

fn concat_texts(call: &Call<'_>) -> Result<ArrayRef, String> {
    let parts = readers::<StringArray>(call, 0)?;
    columns::write_texts(call.rows, |row, out| {
        parts.iter().filter_map(|part| part.get(row)).for_each(|part| out.push_str(part));
        Ok(Some(()))
    })
}

fn concat_bytes(call: &Call<'_>) -> Result<ArrayRef, String> {
    let parts = readers::<BinaryArray>(call, 0)?;
    columns::write_bytes(call.rows, |row, out| {
        parts.iter().filter_map(|part| part.get(row)).for_each(|part| out.extend_from_slice(part));
        Ok(Some(()))
    })
}

fn join_texts(call: &Call<'_>) -> Result<ArrayRef, String> {
    let separators: Texts<'_> = columns::read(call, 0)?;
    let parts = readers::<StringArray>(call, 1)?;
    columns::write_texts(call.rows, |row, out| {
        let Some(separator) = separators.get(row) else { return Ok(None) };
        for (index, part) in parts.iter().filter_map(|part| part.get(row)).enumerate() {
            if index > 0 {
                out.push_str(separator);
            }
            out.push_str(part);
        }
        Ok(Some(()))
    })
}

fn join_bytes(call: &Call<'_>) -> Result<ArrayRef, String> {
    let separators: Reader<&BinaryArray> = columns::read(call, 0)?;
    let parts = readers::<BinaryArray>(call, 1)?;
    columns::write_bytes(call.rows, |row, out| {
        let Some(separator) = separators.get(row) else { return Ok(None) };
        for (index, part) in parts.iter().filter_map(|part| part.get(row)).enumerate() {
            if index > 0 {
                out.extend_from_slice(separator);
            }
            out.extend_from_slice(part);
        }
        Ok(Some(()))
    })
}

fn elt(call: &Call<'_>) -> Result<ArrayRef, String> {
    let places: Ints<'_> = columns::read(call, 0)?;
    let texts = readers::<StringArray>(call, 1)?;
    columns::copy_texts(call.rows, |row| {
        let place = places.get(row).and_then(|place| usize::try_from(place).ok()?.checked_sub(1));
        Ok(place.and_then(|place| texts.get(place)?.get(row)))
    })
}

fn field(call: &Call<'_>) -> Result<ArrayRef, String> {
    let sought: Texts<'_> = columns::read(call, 0)?;
    let texts = readers::<StringArray>(call, 1)?;
    columns::write_values::<Int32Type>(call.rows, |row| {
        let place = sought.get(row).and_then(|sought| texts.iter().position(|text| text.get(row) == Some(sought)));
        Ok(Some(place.and_then(|place| i32::try_from(place + 1).ok()).unwrap_or(0)))
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::columns::harness::{bytes, check, int, ints, null, text, texts};
    use super::*;

    #[test]
    fn arguments_are_put_together() {
        let family = functions();
        let parts = [texts(&[Some("a"), None, None]), text("-"), texts(&[Some("b"), Some(""), None])];
        check(&family, "CONCAT", &parts, &["a-b", "-", "-"]);
        check(&family, "CONCAT", &[null(&SqlType::Varchar)], &[""]);
        check(&family, "CONCAT", &[bytes(&[Some(b"a"), None]), bytes(&[Some(b"b"), Some(b"c")])], &["6162", "63"]);
        let separated = [texts(&[Some(", "), Some(""), None]), text("a"), null(&SqlType::Varchar), text(""), text("d")];
        check(&family, "CONCAT_WS", &separated, &["a, , d", "ad", "null"]);
        let separated = [bytes(&[Some(b"a"), None]), bytes(&[Some(b"b"), Some(b"b")]), bytes(&[Some(b"c"), None])];
        check(&family, "CONCAT_WS", &separated, &["626163", "null"]);
        check(&family, "CONCAT_WS", &[text(",")], &[""]);
    }

    #[test]
    fn elt_undoes_field() {
        let family = functions();
        let places = ints(&[Some(1), Some(2), Some(3), Some(0), Some(-1), None]);
        check(&family, "ELT", &[places, text("a"), text("b")], &["a", "b", "null", "null", "null", "null"]);
        check(&family, "ELT", &[int(1), texts(&[Some("x"), None])], &["x", "null"]);
        let sought = texts(&[Some("a"), Some("b"), Some("c"), None]);
        check(&family, "FIELD", &[sought, null(&SqlType::Varchar), text("a"), text("b")], &["2", "3", "0", "0"]);
    }
}
