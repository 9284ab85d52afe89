//! A finite result as a drawn table: numbers to the right, `NULL` for nulls, a line with the count below.
//!
//! A table wider than the terminal has its widest columns narrowed until it fits, but none below [`NARROWEST`] letters; cells
//! are cut, not wrapped, so that a row is a line.

use std::io::Write;

use arrow::{array::RecordBatch, datatypes::SchemaRef, error::ArrowError};
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};

use super::{
    OutputError,
    cell::{Cells, cut, is_right_aligned, on_one_line},
    count_rows,
};

/// Columns are not narrowed below this.
pub const NARROWEST: usize = 8;

/// What nulls look like.
pub const NULL: &str = "NULL";

/// Writes the rows under their column names, and their count.
///
/// # Errors
/// [`OutputError`]: a failed write, or a type without a text form.
pub fn write(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    width: Option<usize>,
    out: &mut dyn Write,
) -> Result<(), OutputError> {
    let header: Vec<String> = schema.fields().iter().map(|field| on_one_line(field.name())).collect();
    let mut rows = Vec::new();
    for batch in batches {
        rows.extend(texts(batch)?);
    }
    let mut widths: Vec<usize> = header.iter().map(|name| name.chars().count()).collect();
    for row in &rows {
        for (width, text) in widths.iter_mut().zip(row) {
            *width = (*width).max(text.chars().count());
        }
    }
    if let Some(width) = width {
        narrow(&mut widths, width);
    }
    let mut table = Table::new();
    table
        .load_preset(presets::UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Disabled)
        .force_no_tty();
    let cells = |row: &[String]| -> Vec<Cell> {
        row.iter().zip(&widths).map(|(text, width)| Cell::new(cut(text, *width))).collect()
    };
    table.set_header(cells(&header));
    for row in &rows {
        table.add_row(cells(row));
    }
    for (column, field) in table.column_iter_mut().zip(schema.fields()) {
        if is_right_aligned(field.data_type()) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    writeln!(out, "{table}\n{}", count_rows(rows.len()))?;
    Ok(())
}

/// The rows of `batch` as texts, each on one line.
///
/// # Errors
/// If a column's type has no text form.
pub fn texts(batch: &RecordBatch) -> Result<Vec<Vec<String>>, ArrowError> {
    let schema = batch.schema();
    let mut cells = schema
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, column)| Cells::new(field, column))
        .collect::<Result<Vec<_>, _>>()?;
    let text = |text: Option<String>| text.map_or_else(|| NULL.to_owned(), |text| on_one_line(&text));
    Ok((0..batch.num_rows()).map(|row| cells.iter_mut().map(|cells| text(cells.text(row))).collect()).collect())
}

/// Narrows the widest of `widths` until they fit in `total` with their frame: three characters a column and one more.
pub fn narrow(widths: &mut [usize], total: usize) {
    let room = total.saturating_sub(3 * widths.len() + 1);
    while widths.iter().sum::<usize>() > room {
        let excess = widths.iter().sum::<usize>() - room;
        let widest = widths.iter().copied().max().unwrap_or(0);
        if widest <= NARROWEST {
            return;
        }
        // All that share the greatest width go down together to the next one below, or as far as is needed.
        let next = widths.iter().copied().filter(|width| *width < widest).max().unwrap_or(0).max(NARROWEST);
        let count = widths.iter().filter(|width| **width == widest).count();
        let step = (widest - next).min(excess.div_ceil(count)).max(1);
        for width in widths.iter_mut().filter(|width| **width == widest) {
            *width -= step;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::sample;

    fn check(columns: &[usize], width: Option<usize>, expected: &str) {
        let batch = sample::batch().project(columns).expect("columns of the sample");
        let mut out = Vec::new();
        write(&batch.schema(), &[batch.clone(), batch.slice(1, 1)], width, &mut out).expect("written");
        assert_eq!(String::from_utf8(out).expect("UTF-8").trim_end(), expected.trim_matches('\n'));
    }

    #[test]
    fn numbers_stand_right_and_nulls_are_named() {
        check(
            &[0, 2, 3],
            None,
            "
┌──────┬───────┬───────────┐
│    N ┆   DEC ┆ T         │
╞══════╪═══════╪═══════════╡
│   -7 ┆ 12.50 ┆ a, \"b\"\\nc │
│ NULL ┆  NULL ┆ NULL      │
│ NULL ┆  NULL ┆ NULL      │
└──────┴───────┴───────────┘
3 rows",
        );
    }

    #[test]
    fn long_cells_are_cut_to_the_terminal() {
        check(
            &[0, 7],
            Some(23),
            "
┌──────┬──────────────┐
│    N ┆ TS           │
╞══════╪══════════════╡
│   -7 ┆ 2001-01-01T… │
│ NULL ┆ NULL         │
│ NULL ┆ NULL         │
└──────┴──────────────┘
3 rows",
        );
    }

    #[test]
    fn the_widest_columns_give_way_first() {
        let check = |widths: &[usize], total: usize, expected: &[usize]| {
            let mut narrowed = widths.to_vec();
            narrow(&mut narrowed, total);
            assert_eq!(narrowed, expected, "{widths:?} in {total}");
        };
        check(&[5, 50], 200, &[5, 50]);
        check(&[5, 50, 20], 60, &[5, 25, 20]);
        check(&[30, 30], 40, &[16, 16]);
        check(&[5, 50], 3, &[5, 8]);
    }
}
