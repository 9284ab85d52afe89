//! `millstream bench formats`: how fast values become columns and columns values, in the formats that need no registry of schemas.
//!
//! The same bids in each format, batch by batch, in memory and on one thread: all seven columns written, all read, and three of them read.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BinaryArray, BinaryBuilder},
    datatypes::{DataType, Field, FieldRef},
};
use clap::Args;
use millstream::format::{Deserializer, Format, FormatError, NullableRepresentation, Side, Wrapping};
use serde::Serialize;

use super::bids::BidWriter;
use crate::cli::{failure::Failure, stopwatch::Stopwatch};

const BATCH_ROWS: u64 = 8_192;
/// Key, price and time, as a query that sums by window reads them.
const SOME: [usize; 3] = [0, 2, 5];

/// `millstream bench formats`
#[derive(Debug, Args)]
pub struct FormatsArguments {
    /// How many bids.
    #[arg(long, value_name = "N", default_value_t = super::DEFAULT_EVENTS, value_parser = clap::value_parser!(u64).range(1..))]
    pub events: u64,
    /// What they follow from.
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// One JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// One format.
#[derive(Debug, Clone, Serialize)]
pub struct FormatSpeed {
    /// Its name.
    pub format: String,
    /// Bytes of a value, on average.
    pub bytes_a_row: f64,
    /// All columns written, millions of rows a second.
    pub written: f64,
    /// All columns read.
    pub read: f64,
    /// Three of seven columns read.
    pub some_read: f64,
}

/// The outcome of a run.
#[derive(Debug, Clone, Serialize)]
pub struct FormatsReport {
    /// Always `formats`.
    pub workload: &'static str,
    /// Rows of each format.
    pub events: u64,
    /// The formats.
    pub formats: Vec<FormatSpeed>,
}

impl FormatsReport {
    /// The lines of the table.
    pub fn lines(&self) -> Vec<(String, String)> {
        let line = |speed: &FormatSpeed| {
            let FormatSpeed { bytes_a_row, written, read, some_read, .. } = speed;
            let rates =
                format!("{written:.2} M rows/s written, {read:.2} M read, {some_read:.2} M with 3 of 7 columns");
            (speed.format.clone(), format!("{rates}; {bytes_a_row:.0} bytes a row"))
        };
        self.formats.iter().map(line).collect()
    }
}

impl FormatsArguments {
    /// Measures each format.
    ///
    /// # Errors
    /// [`Failure::Refused`] if a format does not give back what it was given.
    pub fn run(&self, on_progress: &mut dyn FnMut(&str)) -> Result<FormatsReport, Failure> {
        let nullable = NullableRepresentation::Optional;
        let formats =
            [Format::Json, Format::Delimited { delimiter: ',' }, Format::ProtobufNoSr { nullable }, Format::Row];
        let measured = formats.iter().map(|format| {
            on_progress(&format!("{format}"));
            self.measure(format)
        });
        Ok(FormatsReport { workload: "formats", events: self.events, formats: measured.collect::<Result<_, _>>()? })
    }

    fn measure(&self, format: &Format) -> Result<FormatSpeed, Failure> {
        let refused = |error: FormatError| Failure::Refused(error.to_string());
        let fields = fields();
        let all: Vec<usize> = (0..fields.len()).collect();
        let reader = |format: &Format, columns: &[usize]| {
            format.deserializer(Side::Value, Wrapping::Wrapped, &fields, columns).map_err(refused)
        };
        let mut lines = reader(&Format::Json, &all)?;
        let (mut whole, mut some) = (reader(format, &all)?, reader(format, &SOME)?);
        let mut writer = format.serializer(Side::Value, Wrapping::Wrapped, &fields).map_err(refused)?;
        let mut bids = BidWriter::new(self.seed);
        let (mut written, mut read, mut some_read, mut bytes, mut left) = (0.0, 0.0, 0.0, 0, self.events);
        while left > 0 {
            let rows = left.min(BATCH_ROWS);
            left -= rows;
            let (columns, _) = decode(lines.as_mut(), &made(&mut bids, rows))?;
            let watch = Stopwatch::start();
            let values = writer.encode(&columns, rows as usize, None).map_err(refused)?;
            written += watch.elapsed().as_secs_f64();
            bytes += values.value_data().len();
            let (back, seconds) = decode(whole.as_mut(), &values)?;
            read += seconds;
            some_read += decode(some.as_mut(), &values)?.1;
            if back != columns {
                return Err(Failure::Refused(format!("{format} does not give back the bids that were written")));
            }
        }
        let rate = |seconds: f64| self.events as f64 / 1e6 / seconds.max(1e-9);
        let bytes_a_row = bytes as f64 / self.events as f64;
        let (written, read, some_read) = (rate(written), rate(read), rate(some_read));
        Ok(FormatSpeed { format: format.to_string(), bytes_a_row, written, read, some_read })
    }
}

fn fields() -> Vec<FieldRef> {
    let field = |(name, kind): &(&str, DataType)| Arc::new(Field::new(*name, kind.clone(), true));
    let (number, text) = (DataType::Int64, DataType::Utf8);
    [
        ("AUCTION", number.clone()),
        ("BIDDER", number.clone()),
        ("PRICE", number.clone()),
        ("CHANNEL", text.clone()),
        ("URL", text.clone()),
        ("DATE_TIME", number),
        ("EXTRA", text),
    ]
    .iter()
    .map(field)
    .collect()
}

/// The next bids as lines.
fn made(bids: &mut BidWriter, rows: u64) -> BinaryArray {
    let (mut values, mut line) = (BinaryBuilder::new(), Vec::new());
    for _ in 0..rows {
        line.clear();
        bids.write_next(&mut line);
        values.append_value(&line);
    }
    values.finish()
}

/// The columns, and how many seconds they took.
fn decode(reader: &mut dyn Deserializer, values: &BinaryArray) -> Result<(Vec<ArrayRef>, f64), Failure> {
    let watch = Stopwatch::start();
    let decoded = reader.decode(values);
    let seconds = watch.elapsed().as_secs_f64();
    match decoded.errors.first() {
        Some(error) => Err(Failure::Refused(format!("row {}: {}", error.row, error.problem))),
        None => Ok((decoded.columns, seconds)),
    }
}
