//! A real PostgreSQL on loopback for tests: a cluster of its own in a temporary directory, with logical decoding and without fsync.
//!
//! The binaries are those of the Debian package `postgresql`, or whatever is in the path. Where there are none there is no server, which
//! [`PostgresServer::start`] says by `None` and one line on standard error; with `CI` set it is a failure. As root it runs as the user
//! `postgres`, because the server refuses to be root.
//!
//! Invariants: the server does not outlive the test process, however that ends; its directory goes with it. Everybody on loopback may do
//! everything without a password, apart from the role `walled`, which needs one (`tiger`, SCRAM). A server that was started with a certificate
//! takes encrypted connections only.

use std::{
    fs,
    io::Write as _,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
    thread,
    time::Duration,
};

use tempfile::TempDir;

use crate::{certificates::Certificate, kafka_cluster::Guarded};

/// The role that needs a password.
pub const WALLED: (&str, &str) = ("walled", "tiger");

/// How long the server may take to start, recovery included.
const PATIENCE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(30);

const ACCESS: &str =
    "local all all trust\nhost all walled 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n";
const TLS_ACCESS: &str =
    "local all all trust\nhostssl all walled 127.0.0.1/32 scram-sha-256\nhostssl all all 127.0.0.1/32 trust\n";
const SETTINGS: &str = "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nwal_level = logical\nmax_wal_senders = 8\n\
    max_replication_slots = 16\nlisten_addresses = '127.0.0.1'\nshared_buffers = '64MB'\nlog_min_messages = warning\nmax_connections = 60\n";

/// A server. Dropping it ends it and removes its files.
pub struct PostgresServer {
    binaries: PathBuf,
    directory: TempDir,
    port: u16,
    process: Mutex<Option<Guarded>>,
}

/// How a server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By `SIGKILL`, with all its processes.
    Killed,
    /// At once, without a checkpoint.
    Immediate,
    /// Connections are ended, a checkpoint is made.
    Fast,
}

impl PostgresServer {
    /// Makes a cluster and starts it; `None` where there is no PostgreSQL, outside CI.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start() -> Option<Self> {
        Self::start_with(None)
    }

    /// The same with a certificate, for encrypted connections only.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_encrypted(certificate: &Certificate) -> Option<Self> {
        Self::start_with(Some(certificate))
    }

    fn start_with(certificate: Option<&Certificate>) -> Option<Self> {
        let Some(binaries) = binaries() else {
            assert!(std::env::var_os("CI").is_none(), "there is no PostgreSQL: apt-get install postgresql");
            eprintln!("left out: there is no PostgreSQL here (apt-get install postgresql)");
            return None;
        };
        let directory = tempfile::Builder::new().prefix("millstream-postgres-").tempdir().expect("a directory");
        if is_root() {
            let owned = Command::new("chown").arg("postgres:").arg(directory.path()).status();
            assert!(owned.expect("chown is there").success(), "there is a user postgres");
        }
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let server = Self { binaries, directory, port, process: Mutex::new(None) };
        server.make();
        if let Some(certificate) = certificate {
            server.encrypt(certificate);
        }
        server.run();
        server.psql(
            "CREATE ROLE walled LOGIN PASSWORD 'tiger'; CREATE DATABASE shop; GRANT ALL ON DATABASE shop TO walled",
        );
        Some(server)
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A program of PostgreSQL, as the user that may run it.
    fn program(&self, name: &str) -> Command {
        let program = self.binaries.join(name);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir("/");
        command
    }

    fn make(&self) {
        let made = self
            .program("initdb")
            .args(["-A", "trust", "-N", "-U", "postgres", "-E", "UTF8", "--locale=C", "-D"])
            .arg(self.data())
            .output();
        let made = made.expect("initdb starts");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let settings = self.data().join("postgresql.conf");
        let text = fs::read_to_string(&settings).expect("initdb wrote it");
        let socket = self.directory.path().display();
        fs::write(&settings, format!("{text}\n{SETTINGS}port = {}\nunix_socket_directories = '{socket}'\n", self.port))
            .expect("it can be written");
        fs::write(self.data().join("pg_hba.conf"), ACCESS).expect("it can be written");
    }

    /// Gives it a certificate; it shows it from its next start on, and takes encrypted connections only.
    pub fn encrypt(&self, certificate: &Certificate) {
        for (from, to) in [(&certificate.certificate, "server.crt"), (&certificate.key, "server.key")] {
            let to = self.data().join(to);
            fs::copy(from, &to).expect("it can be copied");
            fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).expect("the file is ours");
            if is_root() {
                let owned = Command::new("chown").arg("postgres:").arg(&to).status();
                assert!(owned.expect("chown is there").success(), "there is a user postgres");
            }
        }
        let settings = self.data().join("postgresql.conf");
        let text = fs::read_to_string(&settings).expect("it was written");
        fs::write(&settings, format!("{text}ssl = on\n")).expect("it can be written");
        fs::write(self.data().join("pg_hba.conf"), TLS_ACCESS).expect("it can be written");
    }

    fn run(&self) {
        let mut command = self.program("postgres");
        command.arg("-D").arg(self.data());
        let log = self.directory.path().join("log");
        *self.process.lock().expect("no test panics with it") = Some(Guarded::spawn(&command, &log));
        for _ in 0..PATIENCE.as_millis() / STEP.as_millis() {
            if self.try_psql("postgres", "SELECT 1").is_ok() {
                return;
            }
            thread::sleep(STEP);
        }
        panic!("postgres does not start:\n{}", fs::read_to_string(&log).unwrap_or_default());
    }

    /// Ends it.
    pub fn stop(&self, end: End) {
        let Some(process) = self.process.lock().expect("no test panics with it").take() else { return };
        match end {
            End::Killed => kill_with_children(process.pid()),
            End::Immediate => process.signal("QUIT"),
            End::Fast => process.signal("INT"),
        }
        assert!(process.ended_within(PATIENCE), "postgres does not end");
    }

    /// Starts it again after [`stop`](Self::stop).
    pub fn start_again(&self) {
        // Children of a killed server may still be on their way out.
        thread::sleep(STEP);
        self.run();
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of the database `shop`, by way of a port of the caller's or the server's own.
    pub fn url(&self, port: Option<u16>) -> String {
        format!("postgresql://127.0.0.1:{}/shop", port.unwrap_or(self.port))
    }

    /// Where its programs are.
    pub fn binaries(&self) -> &Path {
        &self.binaries
    }

    /// Runs statements in the database `postgres` with `psql`, each in a transaction of its own, which must succeed; columns are parted by `|`, rows by line breaks.
    pub fn psql(&self, sql: &str) -> String {
        self.try_psql("postgres", sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The same in the database `shop`.
    pub fn shop(&self, sql: &str) -> String {
        self.try_psql("shop", sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Runs statements with `psql` and gives what it says, or its errors.
    ///
    /// # Errors
    /// What `psql` wrote to standard error, if it failed.
    pub fn try_psql(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut command = Command::new(self.binaries.join("psql"));
        command
            .args([
                "-X",
                "-A",
                "-t",
                "-q",
                "-v",
                "ON_ERROR_STOP=1",
                "-h",
                "127.0.0.1",
                "-U",
                "postgres",
                "-p",
                &self.port.to_string(),
            ])
            .args(["-d", database, "-f", "-"])
            .env("PGTZ", "UTC");
        let mut running =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("psql starts");
        let mut input = running.stdin.take().expect("it is piped");
        // It may have ended already, if there is no server.
        drop(input.write_all(sql.as_bytes()));
        drop(input);
        let output = running.wait_with_output().expect("psql ends");
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.stop(End::Immediate);
    }
}

/// Kills a server and the processes that it has started: some of them do not notice that it is gone.
fn kill_with_children(pid: u32) {
    let children = Command::new("ps").args(["-o", "pid=", "--ppid", &pid.to_string()]).output().expect("ps is there");
    let children = String::from_utf8_lossy(&children.stdout).into_owned();
    let pids = std::iter::once(pid.to_string()).chain(children.split_whitespace().map(str::to_owned));
    // Those that have ended meanwhile are as good as killed.
    drop(Command::new("kill").arg("-KILL").args(pids).stderr(Stdio::null()).status());
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().expect("id is there");
    output.stdout.trim_ascii() == b"0"
}

/// The newest version of the Debian package, or what is in the path.
fn binaries() -> Option<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, path)| path.join("initdb").exists())
        .collect();
    versions.sort();
    let in_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists())
    };
    versions.pop().map(|(_, path)| path).or_else(in_path)
}
