//! Servers that speak SQS, on loopback, for tests: moto and, made independently, ElasticMQ; and Amazon's own client to look into them.
//!
//! `tests/moto/run` and `tests/elasticmq/run` fetch them. Where Python, or Java and maven, are missing there is no server, which is said by `None`
//! and one line on standard error; with `CI` set it is a failure. Servers keep everything in memory and end with this process.

use std::{
    fs,
    io::Write as _,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    thread,
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    kafka_cluster::{Guarded, free_port},
    moto_server::MotoServer,
};

/// The exit status of the scripts that says that something is missing.
const MISSING: i32 = 69;
const PATIENCE: Duration = Duration::from_secs(60);

/// A server. Dropping it ends it, unless others share it.
pub struct SqsServer {
    port: u16,
    _own: Own,
}

/// What ends with the server.
enum Own {
    Nothing,
    Moto(#[expect(dead_code, reason = "it is there to be dropped")] MotoServer),
    Process(
        #[expect(dead_code, reason = "it is there to be dropped")] Guarded,
        #[expect(dead_code, reason = "the same")] TempDir,
    ),
}

impl SqsServer {
    /// The moto that all tests of this process share; `None` where there is no Python, outside CI.
    pub fn moto() -> Option<Self> {
        MotoServer::shared().map(|moto| Self { port: moto.port(), _own: Own::Nothing })
    }

    /// A moto where nobody has the credentials that it asks for.
    ///
    /// # Panics
    /// If it does not start.
    pub fn moto_without_users() -> Option<Self> {
        MotoServer::start_strict().map(|moto| Self { port: moto.port(), _own: Own::Moto(moto) })
    }

    /// The ElasticMQ that all tests of this process share; `None` where there is no Java or no Python, outside CI. Queues are to be named
    /// after the test.
    pub fn elasticmq() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<SqsServer>> = OnceLock::new();
        SHARED.get_or_init(Self::start_elasticmq).as_ref()
    }

    fn start_elasticmq() -> Option<Self> {
        program("moto/run", &["python"])?;
        let classpath = program("elasticmq/run", &[])?;
        let (port, directory) = (free_port(), tempfile::tempdir().expect("a directory is made"));
        let settings = directory.path().join("elasticmq.conf");
        let text = format!(
            "node-address {{ protocol = http, host = \"127.0.0.1\", port = {port}, context-path = \"\" }}\n\
             rest-sqs {{ enabled = true, bind-port = {port}, bind-hostname = \"127.0.0.1\", sqs-limits = strict }}\n\
             rest-stats {{ enabled = false }}\n"
        );
        fs::write(&settings, text).expect("a file in a new directory");
        let mut command = Command::new("java");
        command.args(["-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]);
        command.arg(format!("-Dconfig.file={}", settings.display()));
        command.args(["-cp", &classpath, "org.elasticmq.server.Main"]);
        Some(Self::start(&command, port, directory))
    }

    fn start(command: &Command, port: u16, directory: TempDir) -> Self {
        let log: PathBuf = directory.path().join("server.log");
        let said = || fs::read_to_string(&log).unwrap_or_default();
        let process = Guarded::spawn(command, &log);
        let step = Duration::from_millis(50);
        for _ in 0..PATIENCE.as_millis() / step.as_millis() {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Self { port, _own: Own::Process(process, directory) };
            }
            assert!(process.runs(), "a server did not start:\n{}", said());
            thread::sleep(step);
        }
        panic!("a server was not ready in time:\n{}", said());
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address, `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Makes a queue with attributes such as `FifoQueue=true`; returns its URL.
    pub fn create_queue(&self, name: &str, attributes: &[&str]) -> String {
        self.queues("create", &[&[name], attributes].concat(), "").trim().to_owned()
    }

    /// Sends messages: one JSON object a line with `body` and, where wanted, `group` with `id`, and `attributes`.
    pub fn send(&self, queue: &str, lines: &str) {
        self.queues("send", &[queue], lines);
    }

    /// Receives and deletes what is in a queue until it is empty: one JSON object a message.
    pub fn drain(&self, queue: &str) -> Vec<serde_json::Value> {
        let lines = self.queues("drain", &[queue], "");
        lines.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// How many messages a queue has, visible or not.
    pub fn count(&self, queue: &str) -> u64 {
        self.queues("count", &[queue], "")
            .split_whitespace()
            .map(|number| number.parse::<u64>().expect("a number"))
            .sum()
    }

    /// Runs `tests/moto/queues.py`, which asks with Amazon's own client.
    fn queues(&self, action: &str, arguments: &[&str], input: &str) -> String {
        let python = program("moto/run", &["python"]).expect("whoever starts a server has Python");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("moto/queues.py");
        let mut command = Command::new(python);
        command.arg(script).args([&self.endpoint(), action]).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("Python starts");
        let mut stdin = child.stdin.take().expect("it is piped");
        let input = input.to_owned();
        let writer = thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().expect("it ends");
        let written = writer.join().expect("writing does not panic");
        assert!(output.status.success(), "queues.py {action}: {}", String::from_utf8_lossy(&output.stderr));
        written.expect("everything was read");
        String::from_utf8(output.stdout).expect("JSON is UTF-8")
    }
}

/// What a script of this folder prints; `None` where something is missing, outside CI.
fn program(script: &str, arguments: &[&str]) -> Option<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
    let output = Command::new(&script).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", script.display()));
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(MISSING) && std::env::var_os("CI").is_none() {
        eprintln!("tests on SQS are left out: {}", said.trim());
        return None;
    }
    assert!(output.status.success(), "{}: {said}", script.display());
    Some(String::from_utf8(output.stdout).expect("paths are UTF-8").trim().to_owned())
}
