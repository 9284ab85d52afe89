//! A segment: batches of one partition, one after the other, in one file.
//!
//! How far the file is committed is not known here: every read is given the committed length and end offset as a limit,
//! and nothing past it is looked at. Within it the batches must form a chain: the first starts at the base offset of the
//! segment, each starts where the one before ended, the last ends at the limit, and all carry the tag of the partition.
//! Whatever breaks the chain is damage.
//!
//! The index (a mark every [`MARK_BYTES`], with the highest timestamp that follows it) lives in memory only. It is built
//! from the headers the first time the segment is read, and grows with the limit: there is no index file to lose.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::buffer::Buffer;
use parking_lot::Mutex;

use super::{
    batch::{BatchHeader, HEADER_BYTES},
    storage::{LogFile, Storage, corrupt},
};
use crate::{
    log::{FetchedBatch, LogError},
    record::Timestamp,
};

/// One mark stands for at least so many bytes.
const MARK_BYTES: u64 = 32 << 10;

/// How far a segment is committed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    pub(super) length: u64,
    pub(super) end: u64,
}

#[derive(Debug)]
struct Mark {
    position: u64,
    base: u64,
    max_timestamp: i64,
    /// Bodies from the mark up to here have been verified since the log was opened.
    verified: u64,
}

#[derive(Debug, Default)]
struct Index {
    marks: Vec<Mark>,
    /// Where the next batch to be indexed starts, and its offset.
    position: u64,
    end: u64,
}

/// The file of a segment; opened when it is first read.
pub(super) struct SegmentFile {
    storage: Arc<Storage>,
    path: PathBuf,
    tag: u64,
    file: Mutex<Option<LogFile>>,
    index: Mutex<Index>,
}

/// A batch in its place.
pub(super) struct Placed {
    pub(super) header: BatchHeader,
    pub(super) position: u64,
}

impl SegmentFile {
    pub(super) fn new(storage: Arc<Storage>, path: PathBuf, tag: u64, base: u64) -> Self {
        let index = Mutex::new(Index { end: base, ..Index::default() });
        Self { storage, path, tag, file: Mutex::new(None), index }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn file(&self) -> Result<LogFile, LogError> {
        let mut file = self.file.lock();
        if let Some(file) = &*file {
            return Ok(file.clone());
        }
        let opened = self.storage.open(&self.path)?;
        Ok(file.insert(opened).clone())
    }

    /// Closes the file until it is read again.
    pub(super) fn release(&self) {
        *self.file.lock() = None;
    }

    /// Bytes in the file, committed or not.
    pub(super) fn size(&self) -> Result<u64, LogError> {
        self.file()?.size()
    }

    /// Reads the header of the batch at `position`, whose offset must be `base`.
    fn header(&self, file: &LogFile, position: u64, base: u64, limit: Limit) -> Result<Placed, LogError> {
        if position + HEADER_BYTES as u64 > limit.length {
            return Err(corrupt(&self.path, position, "the last batch is cut off"));
        }
        let header = BatchHeader::parse(&file.view(position, HEADER_BYTES)?)
            .map_err(|problem| corrupt(&self.path, position, problem))?;
        if header.tag != self.tag {
            return Err(corrupt(&self.path, position, "a batch belongs to another partition or an earlier topic"));
        }
        if header.base != base {
            return Err(corrupt(
                &self.path,
                position,
                format!("a batch starts at offset {} instead of {base}", header.base),
            ));
        }
        let after = position + header.stored_len();
        if after > limit.length || header.end > limit.end || (after == limit.length) != (header.end == limit.end) {
            return Err(corrupt(
                &self.path,
                position,
                format!("a batch does not fit what is committed, up to {}", limit.end),
            ));
        }
        Ok(Placed { header, position })
    }

    /// Brings the index up to the limit.
    fn extend_index(&self, file: &LogFile, index: &mut Index, limit: Limit) -> Result<(), LogError> {
        while index.position < limit.length {
            let placed = self.header(file, index.position, index.end, limit)?;
            let header = placed.header;
            match index.marks.last_mut() {
                Some(mark) if index.position - mark.position < MARK_BYTES => {
                    mark.max_timestamp = mark.max_timestamp.max(header.max_timestamp);
                }
                _ => index.marks.push(Mark {
                    position: index.position,
                    base: header.base,
                    max_timestamp: header.max_timestamp,
                    verified: index.position,
                }),
            }
            index.position += header.stored_len();
            index.end = header.end;
        }
        Ok(())
    }

    /// The mark at or before an offset: position and offset.
    fn seek(&self, file: &LogFile, from: u64, limit: Limit) -> Result<Option<(u64, u64)>, LogError> {
        let mut index = self.index.lock();
        self.extend_index(file, &mut index, limit)?;
        let after = index.marks.partition_point(|mark| mark.base <= from);
        Ok(after.checked_sub(1).map(|i| (index.marks[i].position, index.marks[i].base)))
    }

    /// The body of a batch, verified once.
    fn body(&self, file: &LogFile, placed: &Placed) -> Result<Buffer, LogError> {
        let Placed { header, position } = placed;
        let body = file.view(position + HEADER_BYTES as u64, header.body_len as usize)?;
        let after = position + header.stored_len();
        let mark_of = |index: &Index| index.marks.partition_point(|mark| mark.position <= *position).checked_sub(1);
        {
            let index = self.index.lock();
            if mark_of(&index).is_some_and(|i| index.marks[i].verified >= after) {
                return Ok(body);
            }
        }
        header.verify(&body).map_err(|problem| corrupt(&self.path, *position, problem))?;
        let mut index = self.index.lock();
        if let Some(mark) = mark_of(&index).map(|i| &mut index.marks[i])
            && mark.verified == *position
        {
            mark.verified = after;
        }
        Ok(body)
    }

    /// Calls `visit` with each batch from the one that holds `from`, until it answers `false` or the limit is reached.
    pub(super) fn visit(
        &self,
        from: u64,
        limit: Limit,
        mut visit: impl FnMut(&BatchHeader, &dyn Fn() -> Result<FetchedBatch, LogError>) -> Result<bool, LogError>,
    ) -> Result<(), LogError> {
        let file = self.file()?;
        let Some((mut position, mut base)) = self.seek(&file, from, limit)? else { return Ok(()) };
        while position < limit.length {
            let placed = self.header(&file, position, base, limit)?;
            if placed.header.end > from {
                let read = || {
                    let body = self.body(&file, &placed)?;
                    placed.header.decode(body).map_err(|problem| corrupt(&self.path, placed.position, problem))
                };
                if !visit(&placed.header, &read)? {
                    return Ok(());
                }
            }
            position += placed.header.stored_len();
            base = placed.header.end;
        }
        Ok(())
    }

    /// The first record at or after `from` with this timestamp or a later one.
    pub(super) fn offset_at(&self, from: u64, at: Timestamp, limit: Limit) -> Result<Option<u64>, LogError> {
        let file = self.file()?;
        let start = {
            let mut index = self.index.lock();
            self.extend_index(&file, &mut index, limit)?;
            match index.marks.iter().find(|mark| mark.max_timestamp >= at.0) {
                Some(mark) => mark.base,
                None => return Ok(None),
            }
        };
        let mut found = None;
        self.visit(start.max(from), limit, |header, read| {
            if header.count == 0 || header.max_timestamp < at.0 {
                return Ok(true);
            }
            let batch = read()?;
            let row = (0..batch.records.len())
                .find(|&row| batch.records.timestamps().value(row) >= at.0 && batch.offsets.at(row).0 >= from);
            found = row.map(|row| batch.offsets.at(row).0);
            Ok(found.is_none())
        })?;
        Ok(found)
    }

    /// Reads and verifies everything from byte `from` on: for bytes that may not have reached the disk.
    pub(super) fn verify_from(&self, from: u64, base: u64, limit: Limit) -> Result<(), LogError> {
        let file = self.file()?;
        let (mut position, mut base) = (from, base);
        while position < limit.length {
            let placed = self.header(&file, position, base, limit)?;
            let body = file.view(position + HEADER_BYTES as u64, placed.header.body_len as usize)?;
            placed.header.verify(&body).map_err(|problem| corrupt(&self.path, position, problem))?;
            position += placed.header.stored_len();
            base = placed.header.end;
        }
        Ok(())
    }

    /// Cuts off what is not committed and makes the rest durable.
    pub(super) fn settle(&self, length: u64, cut: bool) -> Result<(), LogError> {
        let file = self.file()?;
        if cut && file.size()? > length {
            file.truncate(length)?;
        }
        file.sync()
    }
}
