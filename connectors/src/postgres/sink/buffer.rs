//! Rows that wait to be brought to a table, in the order in which they were read, and the choice of those that count.
//!
//! Of several changes of a key within a chunk only the last one goes to the server. If it turns out to be one that the table does not take,
//! the one before counts again: so the choice is made anew without it.

use std::collections::HashMap;

use arrow::{
    array::{Array, ArrayRef},
    row::{RowConverter, Rows as KeyRows, SortField},
};
use bytes::{BufMut, Bytes, BytesMut};
use millstream::{connect::RejectedRecord, log::FetchedBatch, record::TopicPartition};

use super::{
    InsertMode,
    encode::{Writer, writer},
    target::{Target, Tombstones},
};
use crate::rows::Rows;

/// A batch as it was read, and its rows.
pub(super) struct Piece {
    pub(super) partition: TopicPartition,
    pub(super) batch: FetchedBatch,
    pub(super) rows: Rows,
}

/// Where a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) piece: usize,
    pub(super) row: usize,
}

impl Piece {
    /// The record of a row, and what is wrong with it.
    pub(super) fn rejected(&self, row: usize, problem: String) -> RejectedRecord {
        RejectedRecord::of(&self.partition, &self.batch, self.rows.records[row], problem)
    }
}

/// The pieces of one table, made ready for the server.
pub(super) struct Buffer<'a> {
    target: &'a Target,
    pieces: &'a [Piece],
    /// A writer for each column of each piece.
    writers: Vec<Vec<Writer>>,
    /// The keys of each piece; empty for rows that are only added.
    keys: Vec<KeyRows>,
}

/// A row, or a value of it, that cannot be written.
pub(super) type Refusal = (Place, String);

impl<'a> Buffer<'a> {
    /// # Errors
    /// The problem, if values of a column cannot be written at all.
    pub(super) fn new(target: &'a Target, pieces: &'a [Piece]) -> Result<Self, String> {
        let column_writers = |piece: &Piece| {
            let columns = target.columns.iter().enumerate();
            columns
                .map(|(at, column)| {
                    writer(&column.wire, piece.rows.column(at))
                        .map_err(|problem| format!("column `{}`: {problem}", column.name))
                })
                .collect::<Result<Vec<_>, String>>()
        };
        let writers = pieces.iter().map(column_writers).collect::<Result<_, _>>()?;
        Ok(Self { target, pieces, writers, keys: keys(target, pieces)? })
    }

    /// All rows, and what is wrong with those that can be seen to be of no use to the table.
    pub(super) fn rows(&self) -> (Vec<Place>, Vec<Refusal>) {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for (piece, of) in self.pieces.iter().enumerate() {
            for row in 0..of.rows.len() {
                let place = Place { piece, row };
                match self.look(of, row) {
                    Ok(true) => good.push(place),
                    Ok(false) => {}
                    Err(problem) => bad.push((place, problem)),
                }
            }
        }
        (good, bad)
    }

    /// Whether a row goes to the table.
    fn look(&self, piece: &Piece, row: usize) -> Result<bool, String> {
        if let Some(at) = self.target.key.iter().find(|at| piece.rows.column(**at).is_null(row)) {
            return Err(format!("column `{}` is part of the key and null", self.target.columns[*at].name));
        }
        if !piece.rows.is_tombstone(row) {
            return Ok(true);
        }
        match self.target.tombstones {
            Tombstones::Delete => Ok(true),
            Tombstones::Skip => Ok(false),
            Tombstones::Reject => Err(
                "a tombstone, and rows are only added here; use 'insert.mode' = 'upsert', or leave deletions out with \
                                       'delete.enabled' = 'false'"
                    .to_owned(),
            ),
        }
    }

    /// Of rows in order, those that count: the last one of each key.
    pub(super) fn last_of_keys(&self, rows: &[Place]) -> Vec<Place> {
        if self.target.mode == InsertMode::Insert {
            return rows.to_vec();
        }
        let mut last: HashMap<&[u8], usize> = HashMap::with_capacity(rows.len());
        for (at, place) in rows.iter().enumerate() {
            last.insert(self.keys[place.piece].row(place.row).data(), at);
        }
        let counts = |(at, place): &(usize, &Place)| last[self.keys[place.piece].row(place.row).data()] == *at;
        rows.iter().enumerate().filter(counts).map(|(_, place)| *place).collect()
    }

    /// Whether the row is deleted.
    pub(super) fn is_deletion(&self, place: Place) -> bool {
        self.pieces[place.piece].rows.is_tombstone(place.row)
    }

    /// The rows as data of a binary COPY into a staging table, numbered from 0; or the rows that cannot be written.
    pub(super) fn staged(&self, rows: &[Place]) -> Result<Bytes, Vec<Refusal>> {
        let upserts = self.target.mode == InsertMode::Upsert;
        self.encoded(rows, if upserts { 2 } else { 1 }, |number, place, out| {
            out.put_i32(4);
            out.put_i32(number as i32);
            if upserts {
                out.put_i32(1);
                out.put_u8(self.is_deletion(place).into());
            }
        })
    }

    /// The rows as data of a binary COPY into the table itself.
    pub(super) fn direct(&self, rows: &[Place]) -> Result<Bytes, Vec<Refusal>> {
        self.encoded(rows, 0, |_, _, _| {})
    }

    fn encoded(
        &self,
        rows: &[Place],
        more: usize,
        put_more: impl Fn(usize, Place, &mut BytesMut),
    ) -> Result<Bytes, Vec<Refusal>> {
        let mut out = BytesMut::with_capacity(64 + rows.len() * 16 * (self.target.columns.len() + 1));
        out.put_slice(b"PGCOPY\n\xff\r\n\0");
        out.put_i64(0);
        let mut bad = Vec::new();
        for (number, place) in rows.iter().enumerate() {
            out.put_i16((more + self.target.columns.len()) as i16);
            put_more(number, *place, &mut out);
            for (at, write) in self.writers[place.piece].iter().enumerate() {
                if let Err(problem) = write(place.row, &mut out) {
                    bad.push((*place, format!("column `{}`: {problem}", self.target.columns[at].name)));
                    break;
                }
            }
        }
        out.put_i16(-1);
        if bad.is_empty() { Ok(out.freeze()) } else { Err(bad) }
    }

    /// The record of a row, and what is wrong with it.
    pub(super) fn rejected(&self, (place, problem): Refusal) -> RejectedRecord {
        self.pieces[place.piece].rejected(place.row, problem)
    }
}

fn keys(target: &Target, pieces: &[Piece]) -> Result<Vec<KeyRows>, String> {
    let Some(first) = pieces.first().filter(|_| !target.key.is_empty()) else { return Ok(Vec::new()) };
    let columns = |piece: &Piece| target.key.iter().map(|at| piece.rows.column(*at).clone()).collect::<Vec<ArrayRef>>();
    let fields = columns(first).iter().map(|column| SortField::new(column.data_type().clone())).collect();
    let converter = RowConverter::new(fields).map_err(|error| format!("the key cannot be compared: {error}"))?;
    let convert = |piece: &Piece| converter.convert_columns(&columns(piece)).map_err(|error| error.to_string());
    pieces.iter().map(convert).collect()
}
