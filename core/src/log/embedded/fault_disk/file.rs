//! An open file of the disk. It is dead once the power was cut.

use std::{io, sync::Arc};

use arrow::buffer::Buffer;
use parking_lot::{Mutex, MutexGuard};

use super::{
    super::disk::DiskFile,
    medium::{Medium, Pending, power_is_off},
};

/// A handle, valid until the next power cut.
pub(super) struct FaultFile {
    pub(super) disk: Arc<Mutex<Medium>>,
    pub(super) inode: usize,
    pub(super) epoch: u64,
}

impl FaultFile {
    fn inner(&self) -> io::Result<MutexGuard<'_, Medium>> {
        let inner = self.disk.lock();
        if inner.is_off || inner.epoch != self.epoch { Err(power_is_off()) } else { Ok(inner) }
    }
}

impl DiskFile for FaultFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.inner()?.inodes[self.inode].now.len() as u64)
    }

    fn view(&self, position: u64, length: usize) -> io::Result<Buffer> {
        let inner = self.inner()?;
        let bytes = &inner.inodes[self.inode].now;
        let start = position as usize;
        let end = start.checked_add(length).ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.get(start..end).map(Buffer::from).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn write_at(&self, position: u64, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.inner()?;
        if let Err(error) = inner.call() {
            if inner.is_off {
                inner.last_write = Some((self.inode, position as usize, bytes.to_vec()));
            } else {
                // A failed write leaves half of it behind.
                let half = Pending::Write { position: position as usize, bytes: bytes[..bytes.len() / 2].to_vec() };
                half.apply(&mut inner.inodes[self.inode].now);
                inner.inodes[self.inode].pending.push(half);
            }
            return Err(error);
        }
        let write = Pending::Write { position: position as usize, bytes: bytes.to_vec() };
        write.apply(&mut inner.inodes[self.inode].now);
        inner.inodes[self.inode].pending.push(write);
        Ok(())
    }

    fn preallocate(&self, length: u64) -> io::Result<()> {
        let mut inner = self.inner()?;
        inner.call()?;
        let inode = &mut inner.inodes[self.inode];
        let length = inode.now.len().max(length as usize);
        inode.now.resize(length, 0);
        inode.pending.push(Pending::Length(length));
        Ok(())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let mut inner = self.inner()?;
        inner.call()?;
        let inode = &mut inner.inodes[self.inode];
        inode.now.resize(length as usize, 0);
        inode.pending.push(Pending::Length(length as usize));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut inner = self.inner()?;
        if let Err(error) = inner.call() {
            // After a failed sync the system forgets what it did not write, as Linux does.
            if !inner.is_off {
                inner.inodes[self.inode].pending.clear();
            }
            return Err(error);
        }
        let inode = &mut inner.inodes[self.inode];
        inode.synced.clone_from(&inode.now);
        inode.pending.clear();
        Ok(())
    }
}
