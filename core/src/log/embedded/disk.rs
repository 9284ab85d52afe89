//! The file layer: the few things that the log asks of a disk, so that a test can put a failing one in its place.
//!
//! [`RealDisk`] is the file system. Large reads are memory maps of just the bytes asked for: they reach Arrow without a copy, and leave the
//! memory of the process with the last column that is made of them. A view is only ever taken of bytes that were written before and are not
//! changed again while the file is in use, and the directory lock keeps other processes of ours away.

use std::{
    any::Any,
    ffi::OsString,
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
    path::Path,
    ptr::NonNull,
    sync::Arc,
};

use arrow::buffer::{Buffer, MutableBuffer};
use memmap2::MmapOptions;
use rustix::fs::{FallocateFlags, fallocate};

/// What the log needs of a disk. Paths below one data directory only.
///
/// # Contract
/// Nothing is durable before its sync: bytes and lengths by [`DiskFile::sync`], names by [`sync_dir`](Self::sync_dir)
/// of the directory that holds them.
pub trait Disk: Send + Sync {
    /// Makes a directory and those above it, if they are not there.
    ///
    /// # Errors
    /// Those of the file system, here and below.
    fn create_dir(&self, directory: &Path) -> io::Result<()>;
    /// The names in a directory, sorted.
    ///
    /// # Errors
    /// Not found if there is no such directory.
    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>>;
    /// Opens a file that is there.
    ///
    /// # Errors
    /// Not found if there is none.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Makes an empty file, in place of one that is there.
    ///
    /// # Errors
    /// Those of the file system.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Renames a file, in place of one that is there.
    ///
    /// # Errors
    /// Those of the file system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// Not found if there is none.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory with what it holds.
    ///
    /// # Errors
    /// Not found if there is none.
    fn remove_dir(&self, directory: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// Those of the file system.
    fn sync_dir(&self, directory: &Path) -> io::Result<()>;
    /// Takes the lock file at `path`, or tells who has it.
    ///
    /// # Errors
    /// Those of the file system; a lock that is taken is not an error here.
    fn lock(&self, path: &Path) -> io::Result<Lock>;
}

/// The outcome of asking for the lock of a directory.
pub enum Lock {
    /// It is ours until this value is dropped.
    Held(Box<dyn Any + Send + Sync>),
    /// Somebody else has it, who wrote this into the file.
    TakenBy(String),
}

/// An open file.
pub trait DiskFile: Send + Sync {
    /// Its length in bytes.
    ///
    /// # Errors
    /// Those of the file system, here and below.
    fn size(&self) -> io::Result<u64>;
    /// The bytes from `position` on, as they are.
    ///
    /// # Errors
    /// Unexpected end of file if there are fewer.
    fn view(&self, position: u64, length: usize) -> io::Result<Buffer>;
    /// Writes all of `bytes` at `position`, growing the file if need be.
    ///
    /// # Errors
    /// Any, after any part of the bytes was written.
    fn write_at(&self, position: u64, bytes: &[u8]) -> io::Result<()>;
    /// Grows the file to `length` with space reserved for it. Never shrinks.
    ///
    /// # Errors
    /// Storage full, among others.
    fn preallocate(&self, length: u64) -> io::Result<()>;
    /// Cuts the file to `length`.
    ///
    /// # Errors
    /// Those of the file system.
    fn truncate(&self, length: u64) -> io::Result<()>;
    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// Any; afterwards it is unknown what is durable, and a second call proves nothing.
    fn sync(&self) -> io::Result<()>;
}

/// The file system of the machine.
#[derive(Debug, Default, Clone, Copy)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_dir(&self, directory: &Path) -> io::Result<()> {
        std::fs::create_dir_all(directory)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        let mut names = std::fs::read_dir(directory)?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Arc::new(RealFile { file }))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(Arc::new(RealFile { file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn remove_dir(&self, directory: &Path) -> io::Result<()> {
        std::fs::remove_dir_all(directory)
    }

    fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        File::open(directory)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Lock> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0)?;
                file.seek(SeekFrom::Start(0))?;
                file.write_all(format!("process {}", std::process::id()).as_bytes())?;
                Ok(Lock::Held(Box::new(file)))
            }
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                file.take(256).read_to_string(&mut holder)?;
                Ok(Lock::TakenBy(if holder.is_empty() { "another process".to_owned() } else { holder }))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

struct RealFile {
    file: File,
}

/// Shorter views are copies: a map costs two calls and whole pages.
const LEAST_MAP_BYTES: usize = 16 << 10;

impl DiskFile for RealFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn view(&self, position: u64, length: usize) -> io::Result<Buffer> {
        if length < LEAST_MAP_BYTES {
            let mut bytes = MutableBuffer::from_len_zeroed(length);
            self.file.read_exact_at(bytes.as_slice_mut(), position)?;
            return Ok(bytes.into());
        }
        let end = position.checked_add(length as u64).ok_or(io::ErrorKind::UnexpectedEof)?;
        if self.size()? < end {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        map(&self.file, position, length)
    }

    fn write_at(&self, position: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, position)
    }

    fn preallocate(&self, length: u64) -> io::Result<()> {
        if self.size()? >= length {
            return Ok(());
        }
        match fallocate(&self.file, FallocateFlags::empty(), 0, length) {
            Ok(()) => Ok(()),
            // Not every file system can reserve; a longer file without reserved space is as good for correctness.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => self.file.set_len(length),
            Err(error) => Err(error.into()),
        }
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

#[expect(unsafe_code, reason = "memory maps and the buffers made of them have no safe constructor")]
fn map(file: &File, position: u64, length: usize) -> io::Result<Buffer> {
    // SAFETY: the directory lock keeps other processes of ours from changing the file, and this process never changes or
    // cuts off bytes that it has given out: a segment is append-only below its committed length.
    let map = unsafe { MmapOptions::new().offset(position).len(length).populate().map(file)? };
    let start = NonNull::new(map.as_ptr().cast_mut()).ok_or(io::ErrorKind::Unsupported)?;
    // SAFETY: the map is valid for reads of `length` bytes for as long as its owner, which the buffer keeps.
    Ok(unsafe { Buffer::from_custom_allocation(start, length, Arc::new(map)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_shows_what_is_written_where_it_lies() {
        let directory = tempfile::tempdir().unwrap();
        let file = RealDisk.create(&directory.path().join("f")).unwrap();
        file.preallocate(65536).unwrap();
        file.write_at(64, b"one").unwrap();
        let (copied, mapped) = (file.view(64, 3).unwrap(), file.view(64, LEAST_MAP_BYTES).unwrap());
        file.write_at(4096, b"two").unwrap();
        assert_eq!((copied.as_slice(), &mapped[..3]), (&b"one"[..], &b"one"[..]));
        assert_eq!(file.view(4096, 3).unwrap().as_slice(), b"two");
        for length in [3, LEAST_MAP_BYTES] {
            let past = file.view(65536 - length as u64 + 1, length).unwrap_err();
            assert_eq!(past.kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn a_lock_is_taken_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("LOCK");
        let held = RealDisk.lock(&path).unwrap();
        let Lock::TakenBy(holder) = RealDisk.lock(&path).unwrap() else { panic!("taken twice") };
        assert_eq!(holder, format!("process {}", std::process::id()));
        drop(held);
        assert!(matches!(RealDisk.lock(&path).unwrap(), Lock::Held(_)));
    }
}
