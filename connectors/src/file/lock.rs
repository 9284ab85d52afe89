//! One writer at a time.
//!
//! A writer that stood still while another one took its place has its files open still, and would write on when it wakes, before it hears that it
//! was replaced. So whoever opens a sink takes the operating system's lock on the file or directory, which the other one has until it
//! has closed it or is dead, and tries again until then.

use std::{
    fs::{File, TryLockError},
    io,
    path::Path,
};

use millstream::connect::ConnectError;

/// Locks an open file or directory for as long as it is open. Some network file systems have no locks: there the sink goes without, and says so.
///
/// # Errors
/// [`ConnectError::Outside`], which may pass, while another writer has it.
pub(super) fn lock(file: &File, path: &Path) -> Result<(), ConnectError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(ConnectError::Outside {
            system: format!("file {}", path.display()),
            problem:
                "another connector has it open, perhaps one of this name in a process that stands still; end that one"
                    .to_owned(),
            retryable: true,
            source: None,
        }),
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
            tracing::warn!(file = %path.display(), "its file system has no locks: nothing keeps a second writer out");
            Ok(())
        }
        Err(TryLockError::Error(source)) => Err(ConnectError::Io { file: path.to_path_buf(), action: "lock", source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_writer_waits_until_the_first_is_gone() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("out");
        let open = || File::create(&path).expect("made");
        let first = open();
        lock(&first, &path).expect("it is free");
        let refused = lock(&open(), &path).expect_err("the first has it");
        assert!(refused.is_retryable() && refused.to_string().contains("another connector"), "{refused}");
        drop(first);
        lock(&open(), &path).expect("it is free again");
        let folder = || File::open(directory.path()).expect("there");
        let first = folder();
        lock(&first, directory.path()).expect("directories are locked, too");
        lock(&folder(), directory.path()).expect_err("the first has it");
    }
}
