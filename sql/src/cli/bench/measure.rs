//! What the process has used: processor time, memory, bytes written. Read from `/proc`; where there is none, figures are absent.

use std::fs;

use crate::cli::stopwatch::Stopwatch;

/// Kernel ticks a second in `/proc/self/stat`: 100 on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Measures from its start.
#[derive(Debug)]
pub struct Meter {
    watch: Stopwatch,
    cpu_seconds: Option<f64>,
    bytes_written: Option<u64>,
}

/// What was used between start and reading.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// By the wall clock.
    pub wall_seconds: f64,
    /// All threads together.
    pub cpu_seconds: Option<f64>,
    /// The most memory that the process held at once, in bytes, all of it: what it held at the start as well.
    pub peak_rss_bytes: Option<u64>,
    /// Bytes handed to the file system that are to reach the disk.
    pub bytes_written: Option<u64>,
}

impl Meter {
    /// Starts now, and begins the peak of memory anew.
    pub fn start() -> Self {
        // Not permitted everywhere; the peak then includes what was before.
        let _ = fs::write("/proc/self/clear_refs", "5");
        Self { cpu_seconds: cpu_seconds(), bytes_written: io_field("write_bytes"), watch: Stopwatch::start() }
    }

    /// What was used since.
    pub fn read(&self) -> Usage {
        let since = |now: Option<f64>, then: Option<f64>| Some(now? - then?);
        Usage {
            wall_seconds: self.watch.elapsed().as_secs_f64(),
            cpu_seconds: since(cpu_seconds(), self.cpu_seconds),
            peak_rss_bytes: status_kib("VmHWM").map(|kib| kib * 1024),
            bytes_written: io_field("write_bytes").and_then(|now| Some(now - self.bytes_written?)),
        }
    }
}

/// User and system time of the process so far.
fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the process, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / TICKS_PER_SECOND)
}

fn status_kib(name: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

fn io_field(name: &str) -> Option<u64> {
    let io = fs::read_to_string("/proc/self/io").ok()?;
    io.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?.trim().parse().ok()
}
