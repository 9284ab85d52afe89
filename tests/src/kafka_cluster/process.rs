//! A process that ends with this one, however this one ends.
//!
//! A shell stands between the two. It starts the program, says its number, and reads from a pipe that nobody writes to: the pipe closes when
//! [`Guarded`] is dropped or when this process is no more, and then the shell kills the program. As it waits for it only after that, the
//! number belongs to the program for as long as the shell lives, even if the program has ended.

use std::{
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

const GUARD: &str = r#"
log=$1; shift
"$@" </dev/null >>"$log" 2>&1 &
echo $!
exec >&-
while read -r _; do :; done
kill -KILL $! 2>/dev/null
wait $!
"#;

/// A running program. Dropping it kills it.
pub struct Guarded {
    guard: Child,
    pid: u32,
}

impl Guarded {
    /// Starts a command whose output is added to the file `log`.
    ///
    /// # Panics
    /// If there is no `sh`.
    pub fn spawn(command: &Command, log: &Path) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", GUARD, "guard"]).arg(log).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        // A group of its own: an interrupt from the keyboard is for this process, and reaches the shell as the end of the pipe.
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut guard = shell.process_group(0).spawn().expect("sh is there");
        let mut line = String::new();
        let stdout = guard.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the shell says the number of the program");
        let pid = line.trim().parse().expect("a number");
        Self { guard, pid }
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends it a signal by name, such as `STOP`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([format!("-{name}"), self.pid.to_string()]).status();
        assert!(status.expect("kill is there").success(), "process {} is not there for signal {name}", self.pid);
    }

    /// Whether it has not ended yet.
    pub fn runs(&self) -> bool {
        let output = Command::new("ps").args(["-o", "stat=", "-p", &self.pid.to_string()]).output();
        let state = output.expect("ps is there").stdout;
        !state.is_empty() && !state.starts_with(b"Z")
    }

    /// Asks it to end by SIGTERM, and gives it `patience` for it; returns whether it ended by itself.
    pub fn terminate(self, patience: Duration) -> bool {
        self.signal("TERM");
        self.ended_within(patience)
    }

    /// Waits until it has ended, for `patience` at most; returns whether it has.
    pub fn ended_within(&self, patience: Duration) -> bool {
        let step = Duration::from_millis(20);
        for _ in 0..=patience.as_millis() / step.as_millis() {
            if !self.runs() {
                return true;
            }
            thread::sleep(step);
        }
        false
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        drop(self.guard.wait());
    }
}
