//! Rows of a push query as they come: the header once, then a line a row under it.
//!
//! Widths are settled by the first batch and by the kind of each column and stay; a longer cell is cut when there is a terminal
//! to fit, and pushes its line out when there is not.

use std::io::{self, Write};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, SchemaRef},
};

use super::{
    OutputError,
    cell::{cut, is_right_aligned, on_one_line},
    count_rows,
    table::{narrow, texts},
};

/// Room that text and nested columns get at least, since later values may be longer than the first.
const TEXT_WIDTH: usize = 16;
const NUMBER_WIDTH: usize = 10;
const TIME_WIDTH: usize = 23;

/// A table whose end is not known.
#[derive(Debug)]
pub struct LiveTable {
    names: Vec<String>,
    right: Vec<bool>,
    widths: Vec<usize>,
    terminal: Option<usize>,
    has_header: bool,
    rows: usize,
}

impl LiveTable {
    /// A table with the columns of `schema`, at most `terminal` wide if given.
    pub fn new(schema: &SchemaRef, terminal: Option<usize>) -> Self {
        let names: Vec<String> = schema.fields().iter().map(|field| on_one_line(field.name())).collect();
        let least = |data_type: &DataType| match data_type {
            DataType::Timestamp(..) => TIME_WIDTH,
            data_type if data_type.is_numeric() || data_type.is_temporal() => NUMBER_WIDTH,
            DataType::Boolean => 5,
            _ => TEXT_WIDTH,
        };
        let widths = schema.fields().iter().zip(&names);
        Self {
            right: schema.fields().iter().map(|field| is_right_aligned(field.data_type())).collect(),
            widths: widths.map(|(field, name)| least(field.data_type()).max(name.chars().count())).collect(),
            names,
            terminal,
            has_header: false,
            rows: 0,
        }
    }

    /// Writes the rows of `batch`, the header before the first.
    ///
    /// # Errors
    /// [`OutputError`]: a failed write, or a type without a text form.
    pub fn write(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<(), OutputError> {
        let rows = texts(batch)?;
        if !self.has_header {
            for row in &rows {
                for (width, text) in self.widths.iter_mut().zip(row) {
                    *width = (*width).max(text.chars().count());
                }
            }
            self.write_header(out)?;
        }
        for row in &rows {
            writeln!(out, "{}", self.line(row))?;
        }
        self.rows += rows.len();
        Ok(())
    }

    /// Writes how many rows there were.
    ///
    /// # Errors
    /// [`OutputError::Io`].
    pub fn finish(mut self, out: &mut dyn Write) -> Result<(), OutputError> {
        if !self.has_header {
            self.write_header(out)?;
        }
        writeln!(out, "{}", count_rows(self.rows))?;
        Ok(())
    }

    fn write_header(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if let Some(terminal) = self.terminal {
            // Columns are set apart by two spaces, where a drawn table needs three characters a column and one more.
            narrow(&mut self.widths, terminal + self.names.len() + 3);
        }
        self.has_header = true;
        let rule: Vec<String> = self.widths.iter().map(|width| "─".repeat(*width)).collect();
        writeln!(out, "{}\n{}", self.line(&self.names), rule.join("  "))
    }

    fn line(&self, row: &[String]) -> String {
        let mut line = String::new();
        for (place, text) in row.iter().enumerate() {
            if place > 0 {
                line.push_str("  ");
            }
            let width = self.widths[place];
            let text = if self.terminal.is_some() { cut(text, width) } else { text.clone() };
            line.push_str(&if self.right[place] { format!("{text:>width$}") } else { format!("{text:<width$}") });
        }
        line.truncate(line.trim_end().len());
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::sample;

    fn check(terminal: Option<usize>, expected: &str) {
        let batch = sample::batch().project(&[0, 3]).expect("columns of the sample");
        let mut table = LiveTable::new(&batch.schema(), terminal);
        let mut out = Vec::new();
        for part in [batch.slice(1, 1), batch.slice(0, 1)] {
            table.write(&part, &mut out).expect("written");
        }
        table.finish(&mut out).expect("written");
        assert_eq!(String::from_utf8(out).expect("UTF-8").trim_end(), expected.trim_matches('\n'));
    }

    #[test]
    fn the_header_comes_once_and_columns_stay_in_place() {
        check(
            None,
            "
         N  T
──────────  ────────────────
      NULL  NULL
        -7  a, \"b\"\\nc
2 rows",
        );
    }

    #[test]
    fn lines_fit_the_terminal() {
        check(
            Some(18),
            "
       N  T
────────  ────────
    NULL  NULL
      -7  a, \"b\"\\…
2 rows",
        );
    }
}
