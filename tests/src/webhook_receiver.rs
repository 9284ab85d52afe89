//! The HTTP server `tests/webhook/receiver.py`, which takes requests of webhooks and fails on purpose.
//!
//! It needs nothing but Python. Where that is missing there is no server, which is said by `None` and one line on standard error; with `CI` set it
//! is a failure.

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use tempfile::TempDir;

use crate::kafka_cluster::{Guarded, free_port};

/// A server. Dropping it ends it.
pub struct WebhookReceiver {
    port: u16,
    _process: Guarded,
    directory: TempDir,
}

impl WebhookReceiver {
    /// Starts a server of whose answers `failures` in a hundred are failures, and waits until it serves.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(failures: u32) -> Option<Self> {
        if Command::new("python3").arg("--version").output().is_err() {
            assert!(std::env::var_os("CI").is_none(), "python3 is missing");
            eprintln!("tests of webhooks are left out: python3 is missing");
            return None;
        }
        let (port, directory) = (free_port(), tempfile::tempdir().expect("a directory is made"));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("webhook/receiver.py");
        let mut command = Command::new("python3");
        command.arg(script).arg(port.to_string()).arg(taken(&directory)).args(["7", &failures.to_string()]);
        let log = directory.path().join("receiver.log");
        let process = Guarded::spawn(&command, &log);
        for _ in 0..400 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(Self { port, _process: process, directory });
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("the receiver does not answer: {}", fs::read_to_string(log).unwrap_or_default());
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it has taken so far, in order: objects of `key`, `body`, `method` and `headers`.
    pub fn requests(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(taken(&self.directory)).expect("the file is there");
        let whole = text.lines().take(text.matches('\n').count());
        whole.map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }
}

fn taken(directory: &TempDir) -> PathBuf {
    directory.path().join("taken.ndjson")
}
