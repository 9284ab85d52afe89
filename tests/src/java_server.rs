//! A server in Java on loopback that a test may kill and start again with the same port and files.
//!
//! `tests/java/classpath` fetches what a `pom.xml` of a folder of tests names. The server does not outlive the value, nor the process.

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    fetched,
    kafka_cluster::{Guarded, free_port},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A server. Dropping it ends it.
pub struct JavaServer {
    port: u16,
    directory: TempDir,
    command: Command,
    process: Mutex<Option<Guarded>>,
    /// How much its log held when it was started last.
    log_before: AtomicUsize,
}

impl JavaServer {
    /// Starts a server and waits until it can be connected to. `options` are what Java is called with, for a port and a directory for files.
    pub(crate) fn start(folder: &str, options: impl FnOnce(u16, &Path) -> Vec<String>) -> Option<Self> {
        let classpath = fetched::script("java/classpath", &[folder])?;
        let (port, directory) = (free_port(), tempfile::tempdir().expect("a directory is made"));
        let mut command = Command::new("java");
        command.args(["-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]);
        command.args(["-cp", &classpath]).args(options(port, directory.path()));
        let server = Self { port, directory, command, process: Mutex::default(), log_before: AtomicUsize::new(0) };
        server.start_again();
        Some(server)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Ends it by SIGKILL.
    pub fn kill(&self) {
        // Dropping it does.
        self.process().take();
    }

    /// Starts it with the files that are there.
    ///
    /// # Panics
    /// If it does not start, with what it said.
    pub fn start_again(&self) {
        let log = self.log();
        self.log_before.store(fs::read(&log).map_or(0, |log| log.len()), Ordering::Relaxed);
        let process = Guarded::spawn(&self.command, &log);
        let step = Duration::from_millis(50);
        for _ in 0..PATIENCE.as_millis() / step.as_millis() {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                *self.process() = Some(process);
                return;
            }
            assert!(process.runs(), "a server did not start:\n{}", self.said());
            thread::sleep(step);
        }
        panic!("a server was not ready in time:\n{}", self.said());
    }

    /// What it has said since it was started.
    pub(crate) fn said(&self) -> String {
        let log = fs::read(self.log()).unwrap_or_default();
        String::from_utf8_lossy(log.get(self.log_before.load(Ordering::Relaxed)..).unwrap_or_default()).into_owned()
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("server.log")
    }

    fn process(&self) -> MutexGuard<'_, Option<Guarded>> {
        self.process.lock().expect("nobody panics with it")
    }
}
