//! A script in the real binary that is killed, and cut off from its server, again and again, and finishes in peace. The server may be killed, too.
//!
//! `MILLSTREAM_CONNECTOR_FAULTS=n` sets how many faults there are, `MILLSTREAM_CONNECTOR_SEED=n` when they hit; both are printed.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Stdio},
    thread,
    time::Duration,
};

use millstream::log::SharedLog;
use millstream_tests::fault_proxy::{Fault, FaultProxy};
use rand::RngExt;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use tempfile::TempDir;

use super::{
    binary::{command, text},
    log::open_log,
};

const FEW_FAULTS: u32 = 5;
/// The same where a server dies and comes back, which takes it a while.
const FEW_DEATHS: u32 = 3;
const DEFAULT_SEED: u64 = 20_260_101;
/// How long a slow server holds up each piece: longer than connectors wait.
const SLOWNESS: Duration = Duration::from_millis(1200);
/// How long it may take to finish in peace.
const PATIENCE: Duration = Duration::from_secs(120);

/// A script and its data.
pub(crate) struct Pipeline {
    directory: TempDir,
    child: Option<Child>,
}

/// What a script works with, and how that fails.
#[derive(Clone, Copy, Default)]
pub(crate) struct Outside<'a> {
    /// What is in between.
    pub(crate) proxy: Option<&'a FaultProxy>,
    /// Kills the server, which keeps what it has on disk, and starts it again.
    pub(crate) restart: Option<&'a dyn Fn()>,
}

impl Outside<'_> {
    fn faults(self) -> u32 {
        let wanted = number("MILLSTREAM_CONNECTOR_FAULTS").is_some();
        if self.restart.is_some() && !wanted { FEW_DEATHS } else { faults() }
    }
}

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// How many faults there are to be.
pub(crate) fn faults() -> u32 {
    number("MILLSTREAM_CONNECTOR_FAULTS").and_then(|faults| u32::try_from(faults).ok()).unwrap_or(FEW_FAULTS)
}

/// Rows a second at which the work lasts as long as the faults.
pub(crate) fn rate(rows: usize) -> usize {
    (rows / faults() as usize).max(1)
}

impl Pipeline {
    pub(crate) fn new(script: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory is made");
        fs::write(directory.path().join("script.sql"), script).expect("the script is written");
        Self { directory, child: None }
    }

    /// Puts a file beside the script.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, content).expect("the file is written");
        path
    }

    pub(crate) fn script(&self, script: &str) {
        self.file("script.sql", script);
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The log of its data directory, when it does not run.
    pub(crate) fn log(&self) -> SharedLog {
        open_log(&self.data().join("log"))
    }

    /// What it said.
    pub(crate) fn complaints(&self) -> String {
        fs::read_to_string(self.directory.path().join("stderr.txt")).unwrap_or_default()
    }

    /// Starts it unless it runs.
    fn start(&mut self) {
        if self.child.is_some() {
            return;
        }
        let (script, data) = (self.directory.path().join("script.sql"), self.data());
        let complaints = File::options().create(true).append(true).open(self.directory.path().join("stderr.txt"));
        let child = command(&["run", text(&script), "--data", text(&data)])
            .env("MILLSTREAM_TEST_KEY_ID", "test")
            .env("MILLSTREAM_TEST_KEY", "canary-secret")
            .stdout(Stdio::null())
            .stderr(complaints.expect("a file for what it says"))
            .spawn();
        self.child = Some(child.expect("the binary starts"));
    }

    pub(crate) fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let ended = child.try_wait().expect("the child can be asked");
        child.kill().expect("the child can be killed");
        child.wait().expect("the child ends");
        assert!(ended.is_none(), "it ended by itself: {ended:?}\n{}", self.complaints());
    }

    /// Lets it suffer the faults, then waits until `is_done`, and kills it.
    pub(crate) fn endure(&mut self, name: &str, outside: Outside<'_>, is_done: impl Fn() -> bool) {
        let (faults, seed) = (outside.faults(), number("MILLSTREAM_CONNECTOR_SEED").unwrap_or(DEFAULT_SEED));
        eprintln!("{name}: MILLSTREAM_CONNECTOR_FAULTS={faults} MILLSTREAM_CONNECTOR_SEED={seed}");
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        for fault in 0..faults {
            self.start();
            thread::sleep(Duration::from_millis(random.random_range(400..1500)));
            self.suffer(fault, outside);
        }
        self.start();
        let step = Duration::from_secs(1);
        for _ in 0..PATIENCE.as_secs() / step.as_secs() {
            if is_done() {
                self.kill();
                return;
            }
            thread::sleep(step);
        }
        panic!("{name}: not done in time\n{}", self.complaints());
    }

    /// Kill, cut, lose answers, be slow or busy, in turns; every other fault is the death of the server where it may die.
    fn suffer(&mut self, fault: u32, outside: Outside<'_>) {
        let kind = match outside.restart {
            Some(restart) if fault.is_multiple_of(2) => return restart(),
            Some(_) => fault / 2,
            None => fault,
        };
        match (kind % 5, outside.proxy) {
            (1, Some(proxy)) => hold(proxy, Fault::Refuse, 300),
            (2, Some(proxy)) => hold(proxy, Fault::LoseAnswers, 300),
            (3, Some(proxy)) => hold(proxy, Fault::Delay(SLOWNESS), 500),
            (4, Some(proxy)) => hold(proxy, Fault::Unavailable, 300),
            _ => self.kill(),
        }
    }
}

fn hold(proxy: &FaultProxy, fault: Fault, millis: u64) {
    proxy.set(fault);
    thread::sleep(Duration::from_millis(millis));
    proxy.set(Fault::None);
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}
