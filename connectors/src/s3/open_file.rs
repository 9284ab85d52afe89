//! A file while rows are added to it: encoded in memory, and beyond a part's size put to S3 in parts that nobody sees until it is finished.

use arrow::array::RecordBatch;
use bytes::Bytes;
use millstream::{connect::ConnectError, record::Timestamp};
use object_store::multipart::PartId;

use super::{
    connection::Connection,
    manifest::{EntryKind, FileEntry, Manifest, Upload},
};
use crate::file_format::{LinesFile, RowsFile};

/// What turns rows into the bytes of a file.
pub(super) enum Encoder {
    /// Columns.
    Rows(Box<dyn RowsFile>),
    /// Values as they are.
    Lines(LinesFile),
}

/// A file that rows are added to.
pub(super) struct OpenFile {
    pub(super) entry: FileEntry,
    /// The time of its first row.
    pub(super) first_time: i64,
    /// When it was begun, by the wall clock.
    pub(super) opened: Timestamp,
    encoder: Encoder,
    /// Encoded and not put yet.
    pending: Vec<u8>,
    parts: Option<Parts>,
}

/// The parts of a file that are put.
pub(super) struct Parts {
    id: String,
    put: Vec<PartId>,
}

/// A file that no row will be added to.
pub(super) struct FinishedFile {
    pub(super) entry: FileEntry,
    /// The whole file, or what comes behind its parts.
    pub(super) rest: Bytes,
    pub(super) parts: Option<Parts>,
}

impl OpenFile {
    pub(super) fn new(entry: FileEntry, first_time: i64, opened: Timestamp, encoder: Encoder) -> Self {
        Self { entry, first_time, opened, encoder, pending: Vec::new(), parts: None }
    }

    /// Adds rows of columns.
    pub(super) fn add_rows(&mut self, batch: &RecordBatch, last: u64) -> Result<(), String> {
        if let Encoder::Rows(file) = &mut self.encoder {
            file.write(batch)?;
            let taken = file.take();
            self.hold(taken);
        }
        self.entry.rows += batch.num_rows() as u64;
        self.entry.last = last;
        Ok(())
    }

    /// Adds a line, which `push` appends without its line break.
    pub(super) fn add_line(&mut self, push: impl FnOnce(&mut Vec<u8>), offset: u64) -> Result<(), String> {
        if let Encoder::Lines(file) = &mut self.encoder {
            file.write_line(push)?;
            let taken = file.take();
            self.hold(taken);
        }
        self.entry.rows += 1;
        self.entry.last = offset;
        Ok(())
    }

    fn hold(&mut self, mut encoded: Vec<u8>) {
        self.entry.bytes += encoded.len() as u64;
        self.pending.append(&mut encoded);
    }

    /// How long the file is by now.
    pub(super) fn bytes(&self) -> u64 {
        match &self.encoder {
            Encoder::Rows(file) => file.bytes(),
            Encoder::Lines(file) => file.bytes(),
        }
    }

    /// What it holds in memory.
    pub(super) fn buffered(&self) -> usize {
        let encoder = match &self.encoder {
            Encoder::Rows(file) => file.buffered(),
            Encoder::Lines(file) => file.buffered(),
        };
        encoder + self.pending.len()
    }

    /// Puts what fills parts. The upload is in the manifest before its first part is put, so that it is found whatever happens.
    pub(super) fn put_parts(
        &mut self,
        connection: &Connection,
        manifest: &mut Manifest,
        part_bytes: usize,
    ) -> Result<(), ConnectError> {
        while self.pending.len() >= part_bytes {
            let key = &self.entry.key;
            let parts = match &mut self.parts {
                Some(parts) => parts,
                none => {
                    let id = connection.create_upload(key)?;
                    let mut entry = manifest.state().clone();
                    entry.kind = EntryKind::Upload;
                    entry.files.clear();
                    entry.uploads.push(Upload { key: key.clone(), id: id.clone() });
                    manifest.append(connection, entry).inspect_err(|_| give_up(connection, key, &id))?;
                    none.insert(Parts { id, put: Vec::new() })
                }
            };
            let rest = self.pending.split_off(part_bytes);
            let part = std::mem::replace(&mut self.pending, rest);
            parts.put.push(connection.put_part(key, &parts.id, parts.put.len(), part)?);
        }
        Ok(())
    }

    /// Ends the file.
    pub(super) fn finish(self) -> Result<FinishedFile, String> {
        let Self { mut entry, encoder, mut pending, parts, .. } = self;
        let mut tail = match encoder {
            Encoder::Rows(file) => file.finish()?,
            Encoder::Lines(file) => file.finish()?,
        };
        entry.bytes += tail.len() as u64;
        pending.append(&mut tail);
        Ok(FinishedFile { entry, rest: Bytes::from(pending), parts })
    }
}

/// Gives up an upload that the manifest does not name. If that fails an upload without parts stays, which costs nothing.
fn give_up(connection: &Connection, key: &str, id: &str) {
    if let Err(error) = connection.abort_upload(key, id) {
        tracing::warn!(key, %error, "an upload without parts stays");
    }
}

impl FinishedFile {
    /// Puts the last part and makes the object visible.
    pub(super) fn complete(self, connection: &Connection) -> Result<(), ConnectError> {
        let Some(mut parts) = self.parts else { return Ok(()) };
        let key = &self.entry.key;
        if !self.rest.is_empty() {
            parts.put.push(connection.put_part(key, &parts.id, parts.put.len(), self.rest.into())?);
        }
        connection.complete_upload(key, &parts.id, parts.put)
    }
}
