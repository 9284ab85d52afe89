//! The text of one value of a column.
//!
//! Numbers, booleans and times as Arrow prints them (times in ISO 8601); nested values as JSON; bytes as base64. A null is
//! the caller's to show.

use arrow::{
    array::{Array, AsArray},
    datatypes::{DataType, FieldRef},
    error::ArrowError,
    util::display::{ArrayFormatter, DurationFormat, FormatOptions},
};
use base64::{Engine, prelude::BASE64_STANDARD};

use super::json;

/// Arrow's formatting with an error in the text where a value has no form, and ISO 8601 throughout.
const OPTIONS: FormatOptions<'static> =
    FormatOptions::new().with_display_error(true).with_duration_format(DurationFormat::ISO8601);

/// The texts of one column.
pub struct Cells<'a> {
    column: &'a dyn Array,
    form: Form<'a>,
}

enum Form<'a> {
    Plain(ArrayFormatter<'a>),
    Json(json::Values<'a>),
    Bytes,
}

impl<'a> Cells<'a> {
    /// Prepares `column`.
    ///
    /// # Errors
    /// If the column's type has no text form.
    pub fn new(field: &'a FieldRef, column: &'a dyn Array) -> Result<Self, ArrowError> {
        let form = match column.data_type() {
            DataType::Binary => Form::Bytes,
            data_type if data_type.is_nested() => Form::Json(json::Values::new(field, column)?),
            _ => Form::Plain(ArrayFormatter::try_new(column, &OPTIONS)?),
        };
        Ok(Self { column, form })
    }

    /// The text of row `row`; `None` for null.
    pub fn text(&mut self, row: usize) -> Option<String> {
        if self.column.is_null(row) {
            return None;
        }
        Some(match &mut self.form {
            Form::Plain(formatter) => formatter.value(row).to_string(),
            Form::Json(values) => values.text(row),
            Form::Bytes => BASE64_STANDARD.encode(self.column.as_binary::<i32>().value(row)),
        })
    }
}

/// Whether values of this type are put to the right of their column.
pub fn is_right_aligned(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

/// `text` on one line and without control characters: a line end becomes `\n`, a tab `\t`, an escape `\u{1b}`.
pub fn on_one_line(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    text.chars().fold(String::with_capacity(text.len() + 8), |mut line, letter| {
        if letter.is_control() {
            line.extend(letter.escape_default());
        } else {
            line.push(letter);
        }
        line
    })
}

/// The first `width` letters of `text`, the last of them an ellipsis if more were there.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(std::iter::once('…')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::sample;

    #[test]
    fn every_type_has_a_text() {
        let batch = sample::batch();
        let schema = batch.schema();
        let check = |name: &str, expected: &str| {
            let (place, field) = schema.fields().find(name).expect("a column of the sample");
            let mut cells = Cells::new(field, batch.column(place)).expect("a text form");
            assert_eq!(cells.text(0).as_deref(), Some(expected), "{name}");
            assert_eq!(cells.text(1).is_none(), batch.column(place).is_null(1), "{name}");
        };
        check("N", "-7");
        check("D", "1.5");
        check("DEC", "12.50");
        check("T", "a, \"b\"\nc");
        check("E", "");
        check("B", "true");
        check("DAY", "2001-01-01");
        check("TS", "2001-01-01T00:01:00.500");
        check("BIN", "AP8=");
        check("L", "[1,null]");
        check("S", "{\"F\":\"x\\\"y\"}");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        for (text, line) in [("plain ä", "plain ä"), ("a\nb\tc", "a\\nb\\tc"), ("\u{1b}[2J", "\\u{1b}[2J")] {
            assert_eq!(on_one_line(text), line);
        }
    }

    #[test]
    fn long_texts_are_cut_by_letters() {
        for (text, width, expected) in [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("äöüß", 2, "ä…"), ("ab", 1, "…")]
        {
            assert_eq!(cut(text, width), expected);
        }
    }
}
