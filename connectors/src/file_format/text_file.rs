//! NDJSON and CSV files, compressed with Zstandard or not.
//!
//! JSON: a row is an object with all its columns, null ones too. CSV: a header line first, also in a file without rows.

use std::io::{self, Write};

use arrow::{array::RecordBatch, csv, json};

use super::{Compression, RowsFile};

const ZSTD_LEVEL: i32 = 3;
/// What is put into the compressor in one go.
const CHUNK_BYTES: usize = 64 << 10;

/// Where text goes: memory, through a compressor or not.
enum Out {
    Plain(Vec<u8>),
    Zstd(Box<zstd::Encoder<'static, Vec<u8>>>),
}

impl Out {
    fn new(compression: Compression) -> Result<Self, String> {
        match compression {
            Compression::None => Ok(Self::Plain(Vec::new())),
            Compression::Zstd => {
                let encoder = zstd::Encoder::new(Vec::new(), ZSTD_LEVEL).map_err(|error| error.to_string())?;
                Ok(Self::Zstd(Box::new(encoder)))
            }
            Compression::Snappy | Compression::Deflate => Err("text is compressed with zstd or not at all".to_owned()),
        }
    }

    fn done(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Plain(out) => out,
            Self::Zstd(encoder) => encoder.get_mut(),
        }
    }

    fn pending(&self) -> usize {
        match self {
            Self::Plain(out) => out.len(),
            Self::Zstd(encoder) => encoder.get_ref().len(),
        }
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain(out) => Ok(out),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(out) => out.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file of lines that somebody else has made.
pub(crate) struct LinesFile {
    out: Out,
    chunk: Vec<u8>,
    taken: u64,
}

impl LinesFile {
    pub(crate) fn new(compression: Compression) -> Result<Self, String> {
        Ok(Self { out: Out::new(compression)?, chunk: Vec::new(), taken: 0 })
    }

    /// Adds a line, which `push` appends without its line break.
    pub(crate) fn write_line(&mut self, push: impl FnOnce(&mut Vec<u8>)) -> Result<(), String> {
        push(&mut self.chunk);
        self.chunk.push(b'\n');
        if self.chunk.len() >= CHUNK_BYTES { self.put_out() } else { Ok(()) }
    }

    fn put_out(&mut self) -> Result<(), String> {
        self.out.write_all(&self.chunk).map_err(|error| error.to_string())?;
        self.chunk.clear();
        Ok(())
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.taken + self.buffered() as u64
    }

    pub(crate) fn buffered(&self) -> usize {
        self.out.pending() + self.chunk.len()
    }

    pub(crate) fn take(&mut self) -> Vec<u8> {
        let done = std::mem::take(self.out.done());
        self.taken += done.len() as u64;
        done
    }

    pub(crate) fn finish(mut self) -> Result<Vec<u8>, String> {
        self.put_out()?;
        self.out.finish().map_err(|error| error.to_string())
    }
}

/// How rows become text.
enum Shape {
    Json,
    Csv { has_header: bool },
}

/// A file of rows as text.
pub(super) struct TextFile {
    shape: Shape,
    lines: LinesFile,
}

impl TextFile {
    pub(super) fn json(compression: Compression) -> Result<Self, String> {
        Ok(Self { shape: Shape::Json, lines: LinesFile::new(compression)? })
    }

    pub(super) fn csv(compression: Compression) -> Result<Self, String> {
        Ok(Self { shape: Shape::Csv { has_header: false }, lines: LinesFile::new(compression)? })
    }
}

impl RowsFile for TextFile {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), String> {
        let out = &mut self.lines.chunk;
        match &mut self.shape {
            Shape::Json => json_lines(batch, out)?,
            Shape::Csv { has_header } => {
                let with_header = !std::mem::replace(has_header, true);
                let mut writer = csv::WriterBuilder::new().with_header(with_header).build(out);
                writer.write(batch).map_err(|error| error.to_string())?;
            }
        }
        self.lines.put_out()
    }

    fn bytes(&self) -> u64 {
        self.lines.bytes()
    }

    fn buffered(&self) -> usize {
        self.lines.buffered()
    }

    fn take(&mut self) -> Vec<u8> {
        self.lines.take()
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>, String> {
        self.lines.finish()
    }
}

/// Appends rows as JSON objects, a line each, with nulls as such.
pub(super) fn json_lines(batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), String> {
    let builder = json::WriterBuilder::new().with_explicit_nulls(true);
    let mut writer = builder.build::<_, json::writer::LineDelimited>(out);
    writer.write(batch).and_then(|()| writer.finish()).map_err(|error| error.to_string())
}
