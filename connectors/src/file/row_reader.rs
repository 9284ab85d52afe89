//! Cuts a file into rows and knows, after each one, where the next begins.
//!
//! A row is a line; in CSV a quoted field may hold line breaks, and the row goes on. A row that is not complete at the end
//! of a file that is followed is not a row yet: reading stops before it and later goes on with what was already read.
//! At the end of a file that is not followed it is the last row. No row is unbounded: see [`Defect`].

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
};

/// A line longer than this is not kept whole.
const LINE_BYTES_MAX: usize = 16 << 20;
/// What is kept of such a line.
const KEPT_BYTES: usize = 1 << 10;
/// A quote is closed within so many bytes, or it was none: otherwise one stray quote would swallow the file.
const QUOTED_ROW_BYTES_MAX: usize = 1 << 20;
const BUFFER_BYTES: usize = 256 << 10;

/// What makes a row unreadable before anyone looks into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Defect {
    /// The line is too long; so many bytes of it are left out.
    TooLong { dropped: u64 },
    /// A quote is not closed by the end of the file, or within the limit.
    OpenQuote,
}

/// A row and where it began.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row<'a> {
    /// Without the line break at its end.
    pub(super) text: &'a [u8],
    /// The number of its first line, from 1.
    pub(super) line: u64,
    /// The byte at which it begins.
    pub(super) byte: u64,
    pub(super) defect: Option<Defect>,
    /// All its bytes, unless it is too long.
    pub(super) raw: &'a [u8],
}

impl Row<'_> {
    /// The same row; at the start of a file without the mark that some programs put there.
    pub(super) fn without_byte_order_mark(mut self) -> Self {
        if self.byte == 0 {
            self.text = self.text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(self.text);
        }
        self
    }
}

/// What is next in the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<'a> {
    Row(Row<'a>),
    /// The end for now; the file may grow.
    Pending,
    /// The end.
    End,
}

/// Where the next row begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct RowPosition {
    /// Bytes before it, after decompression.
    pub(crate) byte: u64,
    /// Lines before it.
    pub(crate) lines: u64,
}

/// How the input is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowRules {
    /// The delimiter of CSV; `None`: a line is a row.
    pub(super) csv_delimiter: Option<u8>,
    pub(super) follow: bool,
}

enum Input {
    Plain(BufReader<File>),
    Zstd(Box<BufReader<zstd::Decoder<'static, BufReader<Counted>>>>),
}

/// A file that counts what was read of it.
struct Counted {
    file: File,
    read: u64,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.read += count as u64;
        Ok(count)
    }
}

/// In which part of a CSV field the scan is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scan {
    FieldStart,
    Bare,
    Quoted,
    /// Behind a quote within quotes: either the first of a pair, or the end.
    AfterQuote,
}

pub(super) struct RowReader {
    input: Input,
    rules: RowRules,
    /// The row being read, line breaks included.
    row: Vec<u8>,
    scan: Scan,
    /// Bytes of the row that are not kept, once it is too long.
    dropped: Option<u64>,
    /// Line breaks in the row so far.
    breaks: u64,
    /// `row` was handed out and is cleared before the next one.
    handed_out: bool,
    position: RowPosition,
}

impl RowReader {
    /// Reads `file` from its start; `compressed` with Zstandard or not.
    pub(super) fn open(file: File, compressed: bool, rules: RowRules) -> io::Result<Self> {
        let input = if compressed {
            let decoder = zstd::Decoder::new(Counted { file, read: 0 })?;
            Input::Zstd(Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder)))
        } else {
            Input::Plain(BufReader::with_capacity(BUFFER_BYTES, file))
        };
        Ok(Self {
            input,
            rules,
            row: Vec::new(),
            scan: Scan::FieldStart,
            dropped: None,
            breaks: 0,
            handed_out: false,
            position: RowPosition::default(),
        })
    }

    /// Where the next row begins.
    pub(super) fn position(&self) -> RowPosition {
        self.position
    }

    /// How far the file is read, in bytes as they are stored.
    pub(super) fn stored_bytes_read(&self) -> u64 {
        match &self.input {
            Input::Plain(_) => self.position.byte,
            Input::Zstd(reader) => reader.get_ref().get_ref().get_ref().read,
        }
    }

    /// Goes on at a row that was to be the next one in an earlier run. Of a compressed file, what lies before is read
    /// and thrown away, from the present position on.
    pub(super) fn seek(&mut self, to: RowPosition) -> io::Result<()> {
        match &mut self.input {
            Input::Plain(reader) => {
                reader.seek(SeekFrom::Start(to.byte))?;
            }
            Input::Zstd(reader) => {
                let ahead = to.byte.saturating_sub(self.position.byte);
                let skipped = io::copy(&mut reader.take(ahead), &mut io::sink())?;
                if skipped < ahead {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the file ends before the saved position",
                    ));
                }
            }
        }
        self.row.clear();
        self.scan = Scan::FieldStart;
        (self.dropped, self.breaks, self.handed_out) = (None, 0, false);
        self.position = to;
        Ok(())
    }

    /// The next row. After `Pending` or an error nothing is lost: call again.
    pub(super) fn next(&mut self) -> io::Result<Next<'_>> {
        if self.handed_out {
            self.row.clear();
            self.handed_out = false;
        }
        loop {
            let line_start = self.row.len();
            let reader: &mut dyn BufRead = match &mut self.input {
                Input::Plain(reader) => reader,
                Input::Zstd(reader) => reader.as_mut(),
            };
            if self.dropped.is_some() {
                match drop_line(reader, &mut self.dropped)? {
                    true => self.breaks += 1,
                    false if self.rules.follow => return Ok(Next::Pending),
                    false => {}
                }
                return Ok(self.hand_out(None));
            }
            let room = LINE_BYTES_MAX.saturating_sub(self.row.len()).max(1);
            let count = reader.take(room as u64).read_until(b'\n', &mut self.row)?;
            if count == 0 {
                return Ok(match () {
                    () if self.rules.follow => Next::Pending,
                    () if self.row.is_empty() => Next::End,
                    () => self.hand_out((self.scan == Scan::Quoted).then_some(Defect::OpenQuote)),
                });
            }
            self.scan_from(line_start);
            if self.row.ends_with(b"\n") {
                self.breaks += 1;
                let is_quote_open = self.scan == Scan::Quoted;
                if !is_quote_open || self.row.len() > QUOTED_ROW_BYTES_MAX {
                    return Ok(self.hand_out(is_quote_open.then_some(Defect::OpenQuote)));
                }
            } else if self.row.len() >= LINE_BYTES_MAX {
                self.dropped = Some((self.row.len() - KEPT_BYTES) as u64);
                self.row.truncate(KEPT_BYTES);
            }
        }
    }

    /// Follows quotes through the part of the row from `from` on.
    fn scan_from(&mut self, from: usize) {
        let Some(delimiter) = self.rules.csv_delimiter else { return };
        let part = &self.row[from..];
        if from == 0 && part.ends_with(b"\n") && !part.contains(&b'"') {
            return;
        }
        for byte in part {
            self.scan = match (self.scan, *byte) {
                (Scan::FieldStart | Scan::AfterQuote, b'"') => Scan::Quoted,
                (Scan::Quoted, b'"') => Scan::AfterQuote,
                (Scan::Quoted, _) => Scan::Quoted,
                (_, byte) if byte == delimiter => Scan::FieldStart,
                (_, b'\n') => Scan::FieldStart,
                _ => Scan::Bare,
            };
        }
    }

    fn hand_out(&mut self, defect: Option<Defect>) -> Next<'_> {
        let start = self.position;
        let dropped = self.dropped.take();
        self.position.byte += self.row.len() as u64 + dropped.unwrap_or(0);
        // A last line without a line break is a line all the same.
        let is_broken_off = dropped.is_none() && !self.row.ends_with(b"\n");
        self.position.lines += self.breaks + u64::from(is_broken_off);
        self.breaks = 0;
        self.scan = Scan::FieldStart;
        self.handed_out = true;
        let defect = dropped.map_or(defect, |dropped| Some(Defect::TooLong { dropped }));
        let text = self.row.strip_suffix(b"\n").unwrap_or(&self.row);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        Next::Row(Row { text, line: start.lines + 1, byte: start.byte, defect, raw: &self.row })
    }
}

/// Counts and throws away the rest of a line; false if the input ends first.
fn drop_line(reader: &mut dyn BufRead, dropped: &mut Option<u64>) -> io::Result<bool> {
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(false);
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let count = end.map_or(buffer.len(), |end| end + 1);
        reader.consume(count);
        *dropped = Some(dropped.unwrap_or(0) + count as u64);
        if end.is_some() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn reader(text: &[u8], rules: RowRules) -> (File, RowReader) {
        let mut file = tempfile::NamedTempFile::new().expect("temporary file");
        file.write_all(text).expect("written");
        let read = file.reopen().expect("opened");
        (file.into_file(), RowReader::open(read, false, rules).expect("opened"))
    }

    /// Text, line, byte, defect.
    type ReadRow = (String, u64, u64, Option<Defect>);

    /// The rows up to the end, and whether more may come.
    fn rows(reader: &mut RowReader) -> (Vec<ReadRow>, bool) {
        let mut rows = Vec::new();
        loop {
            match reader.next().expect("readable") {
                Next::Row(row) => {
                    rows.push((String::from_utf8_lossy(row.text).into_owned(), row.line, row.byte, row.defect));
                }
                Next::Pending => return (rows, true),
                Next::End => return (rows, false),
            }
        }
    }

    fn check(csv_delimiter: Option<u8>, text: &str, expected: &[(&str, u64, u64, Option<Defect>)]) {
        let (_file, mut reader) = reader(text.as_bytes(), RowRules { csv_delimiter, follow: false });
        let expected: Vec<_> =
            expected.iter().map(|(text, line, byte, defect)| ((*text).to_owned(), *line, *byte, *defect)).collect();
        assert_eq!(rows(&mut reader), (expected, false), "{text:?}");
        assert_eq!(reader.position().byte, text.len() as u64);
    }

    #[test]
    fn rows_know_where_they_begin() {
        check(None, "", &[]);
        check(None, "a\nbc\r\n\nd", &[("a", 1, 0, None), ("bc", 2, 2, None), ("", 3, 6, None), ("d", 4, 7, None)]);
        check(None, "\"a\nb\n", &[("\"a", 1, 0, None), ("b", 2, 3, None)]);
        check(Some(b','), "\"a\nb\",1\nc\n", &[("\"a\nb\",1", 1, 0, None), ("c", 3, 8, None)]);
        check(
            Some(b','),
            "5\" pipe,\"x\"\"\n\"\"y\"\nz\n",
            &[("5\" pipe,\"x\"\"\n\"\"y\"", 1, 0, None), ("z", 3, 18, None)],
        );
        check(Some(b','), "a\n\"b\nc", &[("a", 1, 0, None), ("\"b\nc", 2, 2, Some(Defect::OpenQuote))]);
    }

    #[test]
    fn a_stray_quote_ends_at_the_limit_and_the_rest_is_read() {
        let mut text = b"\"open\n".to_vec();
        while text.len() <= QUOTED_ROW_BYTES_MAX {
            text.extend_from_slice(b"line of text, and more\n");
        }
        text.extend_from_slice(b"after\n");
        let (_file, mut reader) = reader(&text, RowRules { csv_delimiter: Some(b','), follow: false });
        let (rows, _) = rows(&mut reader);
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].3, rows[1].0.as_str(), rows[1].3), (Some(Defect::OpenQuote), "after", None));
    }

    #[test]
    fn a_line_too_long_is_cut_and_the_rest_is_read() {
        let mut text = vec![b'x'; LINE_BYTES_MAX + 5];
        text.extend_from_slice(b"\nafter\n");
        let (_file, mut reader) = reader(&text, RowRules { csv_delimiter: None, follow: false });
        let (rows, _) = rows(&mut reader);
        let dropped = (LINE_BYTES_MAX + 6 - KEPT_BYTES) as u64;
        assert_eq!((rows[0].0.len(), rows[0].3), (KEPT_BYTES, Some(Defect::TooLong { dropped })));
        assert_eq!((rows[1].0.as_str(), rows[1].1, rows[1].2), ("after", 2, (LINE_BYTES_MAX + 6) as u64));
    }

    #[test]
    fn an_unfinished_row_waits_for_its_end_when_followed() {
        let (mut file, mut reader) = reader(b"a\n\"b", RowRules { csv_delimiter: Some(b','), follow: true });
        assert_eq!(rows(&mut reader), (vec![("a".into(), 1, 0, None)], true));
        assert_eq!(reader.position(), RowPosition { byte: 2, lines: 1 });
        for (more, expected) in [(&b"c\n"[..], None), (b"d\"", None), (b"\ne", Some("\"bc\nd\""))] {
            file.write_all(more).expect("written");
            let (rows, is_pending) = rows(&mut reader);
            assert!(is_pending);
            assert_eq!(rows.first().map(|row| row.0.as_str()), expected, "{more:?}");
        }
        assert_eq!(reader.position(), RowPosition { byte: 9, lines: 3 });
    }
}
