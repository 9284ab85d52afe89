//! A queue whose process is killed with SIGKILL again and again while several consumers and a sender work.
//!
//! The process is this test binary, run again as [`worker`]: it writes what it did, line by line, to a file that outlives it. When everything
//! is done, `verdict` goes through those lines, the topic and the dead letters, and knows nothing of how queues work.
//!
//! `MILLSTREAM_QUEUE_KILLS=n` sets the number of kills, `MILLSTREAM_QUEUE_SEED=n` their moments.

mod evidence;
mod verdict;
mod worker;

use std::{
    fs::File,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use rand::RngExt;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use self::worker::{DIRECTORY, RUN, STOP};

const DEFAULT_SEED: u64 = 20_260_102;
const DEFAULT_KILLS: u64 = 8;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Not a test: what the processes do that are killed.
#[test]
fn worker() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        worker::work(Path::new(&directory), setting(RUN, 0));
    }
}

fn start(directory: &Path, run: u64) -> Child {
    let complaints = File::create(directory.join("stderr.txt")).expect("a file for what it says");
    Command::new(std::env::current_exe().expect("a test knows where it is"))
        .args(["--exact", "queue::worker", "--nocapture", "--test-threads", "1"])
        .env(DIRECTORY, directory)
        .env(RUN, run.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(complaints)
        .spawn()
        .expect("the test binary starts")
}

#[test]
fn a_queue_killed_at_any_moment_loses_nothing_and_repeats_nothing_confirmed() {
    let (seed, kills) =
        (setting("MILLSTREAM_QUEUE_SEED", DEFAULT_SEED), setting("MILLSTREAM_QUEUE_KILLS", DEFAULT_KILLS));
    eprintln!("MILLSTREAM_QUEUE_SEED={seed} MILLSTREAM_QUEUE_KILLS={kills}");
    let folder = tempfile::tempdir().expect("a directory");
    worker::prepare(folder.path());
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let said = || std::fs::read_to_string(folder.path().join("stderr.txt")).unwrap_or_default();
    let mut hit_work = 0;
    for run in 0..kills {
        let before = evidence::read(folder.path()).len();
        let mut child = start(folder.path(), seed.wrapping_add(run));
        thread::sleep(Duration::from_millis(random.random_range(60..600)));
        let ended = child.try_wait().expect("the child can be asked");
        child.kill().expect("the child can be killed");
        child.wait().expect("the child ends");
        assert!(ended.is_none(), "it ended by itself: {ended:?}\n{}", said());
        hit_work += u64::from(evidence::read(folder.path()).len() > before);
    }
    assert!(hit_work * 2 > kills, "the machine was too slow: only {hit_work} of {kills} kills hit work");
    File::create(folder.path().join(STOP)).expect("the sender is told to stop");
    let status = start(folder.path(), seed.wrapping_add(kills)).wait().expect("the child ends");
    assert!(status.success(), "{}", said());
    verdict::check(folder.path());
}
