//! The commit log: the one file that says what is committed.
//!
//! ```text
//! commit/<number>.log      number in 20 digits; the highest is the log, it starts with a snapshot of all before it
//! byte  0  magic "MSCOMMIT"
//!       8  u32  version, 1
//!      12  u32  CRC32C of bytes 16..64
//!      16  u64  number, as in the name
//!      24  u64  capacity: the file is made this long, of zeros, and never has another length
//!      32  u128 identity of the data directory
//!      48  zeros
//!      64  frames, each at a multiple of 16; zeros after the last
//!
//! frame 0  magic "MSF1"
//!       4  u32  CRC32C of the rest of the frame
//!       8  u32  length of the payload
//!      12  u32  flags: 1 = all that this frame and those before it cover was synced before it was written
//!      16  u64  sequence, one more than that of the frame before
//!      24  u64  number of the file
//!      32  payload: changes, see `change.rs`
//! ```
//!
//! A frame that is not whole ends the log: it is the tear of a crash, and is cut off physically. If a whole frame that
//! claims everything before it was synced follows such a place, or the file does not have its length, or the log ends
//! before the place where it was closed, bytes were damaged after they were durable, and the log is refused.
//!
//! When the file is full, the next one is written with a snapshot, synced, put in place by a rename, and only then is the
//! old one removed.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    change::Change,
    storage::{LogFile, Storage, corrupt},
    wire::{Put, Take},
};
use crate::log::LogError;

const MAGIC: &[u8; 8] = b"MSCOMMIT";
const FRAME_MAGIC: &[u8; 4] = b"MSF1";
/// The version of everything in the directory.
pub(super) const VERSION: u32 = 1;
const HEADER_BYTES: usize = 64;
const FRAME_HEADER_BYTES: usize = 32;
const FRAME_ALIGN: usize = 16;
/// All that a frame and those before it cover was synced before it was written.
const SYNCED: u32 = 1;

/// A frame as read.
pub(super) struct Frame {
    pub(super) position: u64,
    end: u64,
    sequence: u64,
    pub(super) synced: bool,
    pub(super) changes: Vec<Change>,
}

/// The commit log, open for appending.
pub(super) struct CommitLog {
    storage: Arc<Storage>,
    directory: PathBuf,
    file: LogFile,
    pub(super) number: u64,
    capacity: u64,
    pub(super) position: u64,
    pub(super) next_sequence: u64,
    identity: u128,
}

fn file_name(number: u64) -> String {
    format!("{number:020}.log")
}

/// The number in the name of a commit log file.
pub(super) fn file_number(name: &str) -> Option<u64> {
    name.strip_suffix(".log")?.parse().ok()
}

fn encode_frame(number: u64, sequence: u64, synced: bool, changes: &[Change]) -> Vec<u8> {
    let mut payload = Vec::new();
    for change in changes {
        change.encode(&mut payload);
    }
    let mut checked = Vec::with_capacity(payload.len() + FRAME_HEADER_BYTES);
    checked.put_u32(payload.len() as u32);
    checked.put_u32(if synced { SYNCED } else { 0 });
    checked.put_u64(sequence);
    checked.put_u64(number);
    checked.put(&payload);
    let mut frame = FRAME_MAGIC.to_vec();
    frame.put_u32(crc32c::crc32c(&checked));
    frame.put(&checked);
    frame.resize(frame.len().next_multiple_of(FRAME_ALIGN), 0);
    frame
}

/// The frame at `position`, if it is whole.
fn parse_frame(bytes: &[u8], position: usize, number: u64) -> Result<Frame, &'static str> {
    let mut take = Take(bytes.get(position..).unwrap_or_default());
    let short = |_| "a frame ends too early";
    if take.take(4).map_err(short)? != FRAME_MAGIC {
        return Err("no frame starts here");
    }
    let crc = take.u32().map_err(short)?;
    let rest = take.0;
    let length = take.u32().map_err(short)? as usize;
    let flags = take.u32().map_err(short)?;
    let sequence = take.u64().map_err(short)?;
    let of_file = take.u64().map_err(short)?;
    let payload = take.take(length).map_err(short)?;
    if crc32c::crc32c(&rest[..FRAME_HEADER_BYTES - 8 + length]) != crc {
        return Err("the check sum of a frame does not match");
    }
    if of_file != number {
        return Err("a frame of another file");
    }
    let (mut take, mut changes) = (Take(payload), Vec::new());
    while !take.0.is_empty() {
        changes.push(Change::decode(&mut take).map_err(|malformed| malformed.0)?);
    }
    let end = (position + FRAME_HEADER_BYTES + length).next_multiple_of(FRAME_ALIGN) as u64;
    Ok(Frame { position: position as u64, end, sequence, synced: flags & SYNCED != 0, changes })
}

impl CommitLog {
    /// Writes commit log `number`, starting with a snapshot, and puts it in place. `room` bytes are left for frames.
    /// Everything that the snapshot covers must be synced.
    pub(super) fn create(
        storage: &Arc<Storage>,
        directory: &Path,
        (number, identity, sequence): (u64, u128, u64),
        snapshot: &[Change],
        room: u64,
    ) -> Result<Self, LogError> {
        let frame = encode_frame(number, sequence, true, snapshot);
        let position = (HEADER_BYTES + frame.len()) as u64;
        let capacity = (position + room.max(position)).next_multiple_of(4096);
        let mut checked = Vec::new();
        checked.put_u64(number);
        checked.put_u64(capacity);
        checked.put(&identity.to_le_bytes());
        checked.resize(HEADER_BYTES - 16, 0);
        let mut bytes = Vec::with_capacity(capacity as usize);
        bytes.put(MAGIC);
        bytes.put_u32(VERSION);
        bytes.put_u32(crc32c::crc32c(&checked));
        bytes.put(&checked);
        bytes.put(&frame);
        bytes.resize(capacity as usize, 0);
        storage.replace(directory, &file_name(number), &bytes)?;
        let file = storage.open(&directory.join(file_name(number)))?;
        let (storage, directory) = (Arc::clone(storage), directory.to_owned());
        Ok(Self { storage, directory, file, number, capacity, position, next_sequence: sequence + 1, identity })
    }

    /// Reads commit log `number`: every whole frame from the snapshot on, and whether something torn follows them.
    pub(super) fn read(
        storage: &Arc<Storage>,
        directory: &Path,
        number: u64,
    ) -> Result<(Self, Vec<Frame>, bool), LogError> {
        let path = directory.join(file_name(number));
        let file = storage.open(&path)?;
        let size = file.size()?;
        let bytes = file.view(0, size as usize)?;
        let broken = |byte: u64, problem: &str| corrupt(&path, byte, problem);
        let early = |_| broken(size, "the header is cut off");
        let mut take = Take(&bytes);
        if take.take(8).map_err(early)? != MAGIC {
            return Err(broken(0, "this is not a commit log"));
        }
        let version = take.u32().map_err(early)?;
        let crc = take.u32().map_err(early)?;
        let checked = take.take(HEADER_BYTES - 16).map_err(early)?;
        if crc32c::crc32c(checked) != crc {
            return Err(broken(12, "the check sum of the header does not match"));
        }
        if version != VERSION {
            return Err(LogError::UnknownVersion { file: path, found: version, known: VERSION });
        }
        let mut take = Take(checked);
        let (in_header, capacity) = (take.u64().map_err(early)?, take.u64().map_err(early)?);
        let identity = take.u128().map_err(early)?;
        if in_header != number {
            return Err(broken(16, "the file has the name of another"));
        }
        if size != capacity {
            return Err(broken(size.min(capacity), &format!("the file has {size} bytes instead of {capacity}")));
        }
        let mut frames: Vec<Frame> = Vec::new();
        let mut position = HEADER_BYTES;
        let torn = loop {
            let problem = match parse_frame(&bytes, position, number) {
                Ok(frame) if frames.last().is_none_or(|last| last.sequence + 1 == frame.sequence) => {
                    position = frame.end as usize;
                    frames.push(frame);
                    continue;
                }
                Ok(_) => "a frame is out of sequence",
                Err(problem) => problem,
            };
            if frames.is_empty() || synced_frame_follows(&bytes, position, number) {
                return Err(broken(position as u64, problem));
            }
            break bytes[position.min(bytes.len())..].iter().any(|&byte| byte != 0);
        };
        let next_sequence = frames.last().map_or(0, |last| last.sequence + 1);
        let (storage, directory) = (Arc::clone(storage), directory.to_owned());
        let position = position as u64;
        Ok((Self { storage, directory, file, number, capacity, position, next_sequence, identity }, frames, torn))
    }

    pub(super) fn path(&self) -> &Path {
        &self.file.path
    }

    /// Forgets the frames from `position` on: they were never known to be durable.
    pub(super) fn cut(&mut self, position: u64, next_sequence: u64) -> Result<(), LogError> {
        self.file.write_at(position, &vec![0; (self.capacity - position) as usize])?;
        (self.position, self.next_sequence) = (position, next_sequence);
        Ok(())
    }

    /// Whether a frame of these changes still fits.
    pub(super) fn has_room_for(&self, frame: &[u8]) -> bool {
        self.position + frame.len() as u64 <= self.capacity
    }

    /// The bytes of the next frame.
    pub(super) fn encode(&self, synced: bool, changes: &[Change]) -> Vec<u8> {
        encode_frame(self.number, self.next_sequence, synced, changes)
    }

    /// Appends what [`encode`](Self::encode) has made.
    pub(super) fn append(&mut self, frame: &[u8]) -> Result<(), LogError> {
        self.file.write_at(self.position, frame)?;
        self.position += frame.len() as u64;
        self.next_sequence += 1;
        Ok(())
    }

    pub(super) fn sync(&self) -> Result<(), LogError> {
        self.file.sync()
    }

    /// The log that goes on after this one, starting with a snapshot.
    pub(super) fn successor(&self, snapshot: &[Change], room: u64) -> Result<Self, LogError> {
        let head = (self.number + 1, self.identity, self.next_sequence);
        Self::create(&self.storage, &self.directory, head, snapshot, room)
    }

    /// Removes the file, once its successor is in place. Should it come back, the higher number wins.
    pub(super) fn remove(self) -> Result<(), LogError> {
        let storage = Arc::clone(&self.storage);
        storage.remove_file(&self.file.into_path())
    }
}

fn synced_frame_follows(bytes: &[u8], from: usize, number: u64) -> bool {
    (from.next_multiple_of(FRAME_ALIGN)..bytes.len()).step_by(FRAME_ALIGN).skip(1).any(|position| {
        bytes[position..].starts_with(FRAME_MAGIC)
            && parse_frame(bytes, position, number).is_ok_and(|frame| frame.synced)
    })
}

/// Where a log ended when it was closed: the note in the file `CLOSED`.
///
/// ```text
/// magic "MSCLOSED", u32 CRC32C of the rest, u64 number of the commit log, u64 position of its end, u64 next sequence
/// ```
/// It is removed, durably, before a log is changed again. A note that cannot be read says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClosedNote {
    pub(super) number: u64,
    pub(super) position: u64,
    pub(super) next_sequence: u64,
}

impl ClosedNote {
    pub(super) fn of(log: &CommitLog) -> Self {
        Self { number: log.number, position: log.position, next_sequence: log.next_sequence }
    }

    pub(super) fn encode(self) -> Vec<u8> {
        let mut checked = Vec::new();
        checked.put_u64(self.number);
        checked.put_u64(self.position);
        checked.put_u64(self.next_sequence);
        let mut bytes = b"MSCLOSED".to_vec();
        bytes.put_u32(crc32c::crc32c(&checked));
        bytes.put(&checked);
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut take = Take(bytes.strip_prefix(b"MSCLOSED")?);
        let crc = take.u32().ok()?;
        if crc32c::crc32c(take.0) != crc {
            return None;
        }
        Some(Self { number: take.u64().ok()?, position: take.u64().ok()?, next_sequence: take.u64().ok()? })
    }
}
