//! How old a result is when a reader of committed records gets it, and when the first results come after a start.
//!
//! kcat writes at a steady rate, with the time of writing as the records' timestamps, and kcat reads: timestamps of results are those of
//! the records that caused them. Both sides are measured with the same two processes.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdout, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use millstream::runtime::{Clock, SystemClock};

use crate::kcat;

/// Reads timestamps of committed records as they come; tells how old each is.
pub(super) struct Ages {
    kcat: Child,
    ages: Receiver<i64>,
}

impl Ages {
    /// From the end of the topic as it is now.
    pub(super) fn of(bootstrap: &str, topic: &str) -> Self {
        let mut command = kcat::command(bootstrap);
        command.args(["-C", "-E", "-u", "-t", topic, "-o", "end", "-f", "%T\n"]);
        command.args(["-X", "isolation.level=read_committed", "-X", "fetch.wait.max.ms=10"]);
        let mut kcat = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("kcat is there");
        let lines = BufReader::new(kcat.stdout.take().expect("it is piped"));
        let (sender, ages) = channel();
        thread::spawn(move || read(lines, &sender));
        // It has to know the end before anything is written.
        thread::sleep(Duration::from_secs(2));
        Self { kcat, ages }
    }

    /// The age of the next one, if it comes in time.
    pub(super) fn next(&self, patience: Duration) -> Option<i64> {
        self.ages.recv_timeout(patience).ok()
    }
}

fn read(lines: BufReader<ChildStdout>, sender: &std::sync::mpsc::Sender<i64>) {
    let clock = SystemClock::default();
    for line in lines.lines().map_while(Result::ok) {
        let written: i64 = line.parse().expect("a timestamp");
        if sender.send(clock.wall().0 - written).is_err() {
            return;
        }
    }
}

impl Drop for Ages {
    fn drop(&mut self) {
        drop(self.kcat.kill());
        drop(self.kcat.wait());
    }
}

/// Writes bids at a rate, for so long.
pub(super) fn feed(bootstrap: &str, topic: &str, keys: u64, rate: u64, seconds: u64) {
    let mut command = kcat::command(bootstrap);
    command.args(["-P", "-t", topic, "-K", "|", "-X", "topic.partitioner=murmur2_random", "-X", "linger.ms=1"]);
    let mut kcat = command.stdin(Stdio::piped()).spawn().expect("kcat is there");
    let mut stdin = kcat.stdin.take().expect("it is piped");
    let clock = SystemClock::default();
    let end = Duration::from_secs(seconds);
    let mut written = 0;
    while clock.monotonic() < end {
        let due = clock.monotonic().as_millis() as u64 * rate / 1000;
        for number in written..due {
            writeln!(stdin, "b{}|{number}", number * 7919 % keys).expect("kcat reads");
        }
        stdin.flush().expect("kcat reads");
        written = written.max(due);
        thread::sleep(Duration::from_millis(2));
    }
    drop(stdin);
    assert!(kcat.wait().expect("it can be waited for").success(), "kcat did not get everything written");
}

/// The value below which the given share of them lies.
pub(super) fn percentile(ages: &mut [i64], share: f64) -> i64 {
    ages.sort_unstable();
    let last = ages.len().saturating_sub(1);
    ages.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
}
