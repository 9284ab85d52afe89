//! What goes in and what comes out while things go wrong: numbers at a steady rate, and when each partition of the output was last heard of.
//!
//! Both ends are kcat processes. The end that reads sees what is committed only.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use millstream::runtime::{Clock, SystemClock};

use crate::kcat;

/// Milliseconds since the campaign began.
pub(super) type Millis = u64;

/// A clock that threads share.
#[derive(Clone, Default)]
pub(super) struct Watch(Arc<SystemClock>);

impl Watch {
    pub(super) fn now(&self) -> Millis {
        u64::try_from(self.0.monotonic().as_millis()).expect("a campaign has an end")
    }
}

/// Writes `0`, `1`, `2`.. to the topic `numbers`.
pub(super) struct Feed {
    kcat: Child,
    writer: Option<JoinHandle<ChildStdin>>,
    written: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Feed {
    pub(super) fn start(bootstrap: &str, per_second: u64) -> Self {
        let mut command = kcat::command(bootstrap);
        command.args(["-P", "-E", "-t", "numbers", "-K", "|", "-X", "topic.partitioner=murmur2_random"]);
        command.args(["-X", "enable.idempotence=true", "-X", "linger.ms=5", "-X", "reconnect.backoff.max.ms=500"]);
        let mut kcat = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().expect("kcat is there");
        let mut stdin = kcat.stdin.take().expect("it is piped");
        let (written, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stopped) = (Arc::clone(&written), Arc::clone(&stop));
        let writer = thread::spawn(move || {
            let step = Duration::from_millis(10);
            let per_step = per_second.div_ceil(100);
            while !stopped.load(Ordering::Acquire) {
                let first = count.load(Ordering::Acquire);
                for number in first..first + per_step {
                    writeln!(stdin, "{number}|{number}").expect("kcat reads");
                }
                stdin.flush().expect("kcat reads");
                count.store(first + per_step, Ordering::Release);
                thread::sleep(step);
            }
            stdin
        });
        Self { kcat, writer: Some(writer), written, stop }
    }

    /// How many numbers were handed over.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Ends when everything is in the topic; returns how many numbers there were.
    pub(super) fn finish(mut self) -> u64 {
        self.stop.store(true, Ordering::Release);
        drop(self.writer.take().expect("it is finished once").join().expect("kcat was there to the end"));
        let status = self.kcat.wait().expect("it can be waited for");
        assert!(status.success(), "kcat did not get everything written: {status}");
        self.written()
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        drop(self.kcat.kill());
        drop(self.kcat.wait());
    }
}

/// When records of the output were seen, by partition.
type Arrivals = Arc<Mutex<Vec<Vec<Millis>>>>;

/// Reads the topic `totals` as it grows.
pub(super) struct Arrived {
    kcat: Child,
    arrivals: Arrivals,
}

impl Arrived {
    pub(super) fn start(bootstrap: &str, partitions: usize, watch: &Watch) -> Self {
        let mut command = kcat::command(bootstrap);
        command.args(["-C", "-E", "-u", "-t", "totals", "-o", "beginning", "-f", "%p\n"]);
        command.args(["-X", "isolation.level=read_committed", "-X", "fetch.wait.max.ms=20"]);
        command.args(["-X", "reconnect.backoff.max.ms=200", "-X", "topic.metadata.refresh.fast.interval.ms=100"]);
        command.args(["-X", "fetch.error.backoff.ms=50"]);
        let mut kcat = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("kcat is there");
        let lines = BufReader::new(kcat.stdout.take().expect("it is piped")).lines();
        let arrivals = Arrivals::new(Mutex::new(vec![Vec::new(); partitions]));
        let (all, watch) = (Arc::clone(&arrivals), watch.clone());
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let partition: usize = line.parse().expect("a partition");
                all.lock().expect("nobody panics with it")[partition].push(watch.now());
            }
        });
        Self { kcat, arrivals }
    }

    /// How many records there were.
    pub(super) fn count(&self) -> u64 {
        self.arrivals.lock().expect("nobody panics with it").iter().map(|times| times.len() as u64).sum()
    }

    /// The longest time that any partition was without output, of the pauses that reach beyond `since` and have ended.
    pub(super) fn longest_pause(&self, since: Millis) -> Millis {
        let arrivals = self.arrivals.lock().expect("nobody panics with it");
        let pauses = arrivals.iter().flat_map(|times| {
            let first = times.partition_point(|at| *at < since).saturating_sub(1);
            times[first..].windows(2).map(|pair| pair[1] - pair[0])
        });
        pauses.max().unwrap_or(0)
    }
}

impl Drop for Arrived {
    fn drop(&mut self) {
        drop(self.kcat.kill());
        drop(self.kcat.wait());
    }
}
