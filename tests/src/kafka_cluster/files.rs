//! The directory of a cluster, which goes with it, even if the process is killed.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use std::os::unix::process::CommandExt as _;

/// A directory that is removed when this is dropped, and by a small process beside this one if nobody lives to drop it.
pub(super) struct Directory {
    path: PathBuf,
    sweeper: Child,
}

impl Directory {
    pub(super) fn new() -> Self {
        let path = tempfile::Builder::new().prefix("millstream-kafka-").tempdir().expect("a directory is made").keep();
        // The pipe to it closes with this process; then those who write there are told to end, too, and have a moment for it.
        let sweeper = Command::new("sh")
            .args(["-c", "read -r _; sleep 2; rm -rf -- \"$0\""])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("sh is there");
        Self { path, sweeper }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Nothing is lost if it fails: the next process to clean up the system's temporary files has more to do.
        drop(std::fs::remove_dir_all(&self.path));
        drop(self.sweeper.kill());
        drop(self.sweeper.wait());
    }
}

/// A path as text for a command line or a file.
pub(super) fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}

/// The last lines of a log.
pub(super) fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
