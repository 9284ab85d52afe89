//! A server on loopback that speaks S3 and SQS: moto, which `tests/moto/run` installs.
//!
//! It keeps everything in memory. Where Python is missing there is no server, which [`MotoServer::start`] says by `None` and one line on
//! standard error; with `CI` set it is a failure. The server does not outlive the value, nor the process.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::OnceLock,
    thread,
    time::Duration,
};

use crate::{fetched, kafka_cluster::Guarded};

const STEP: Duration = Duration::from_millis(50);
const STEPS: u32 = 600;
/// The server looks whether a request is signed, not by whom.
const SIGNED: &str =
    "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";

/// A running server. Dropping it ends it.
pub struct MotoServer {
    port: u16,
    _directory: tempfile::TempDir,
    _process: Guarded,
}

impl MotoServer {
    /// Starts a server and waits until it answers; `None` where there is no Python, outside CI.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// Starts a server that checks credentials, of which it knows none: it refuses every call.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_strict() -> Option<Self> {
        Self::start_with(&[("INITIAL_NO_AUTH_ACTION_COUNT", "0")])
    }

    fn start_with(environment: &[(&str, &str)]) -> Option<Self> {
        let program = fetched::script("moto/run", &["server"])?;
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port is free").port();
        let directory = tempfile::tempdir().expect("made");
        let log = directory.path().join("moto.log");
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]).envs(environment.iter().copied());
        let server = Self { port, _process: Guarded::spawn(&command, &log), _directory: directory };
        for _ in 0..STEPS {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(server);
            }
            thread::sleep(STEP);
        }
        panic!("moto does not answer: {}", std::fs::read_to_string(log).unwrap_or_default());
    }

    /// The server that all tests of this process share. Buckets and queues are to be named after the test.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<MotoServer>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Makes a bucket.
    ///
    /// # Panics
    /// If the server refuses.
    pub fn create_bucket(&self, name: &str) {
        S3Calls { port: self.port }.create_bucket(name);
    }

    /// Puts an object, whose key needs no encoding.
    ///
    /// # Panics
    /// If the server refuses.
    pub fn put_object(&self, bucket: &str, key: &str, content: &[u8]) {
        S3Calls { port: self.port }.put(&format!("/{bucket}/{key}"), content);
    }
}

/// Calls to a server of S3 that does not look who signs them.
pub(crate) struct S3Calls {
    pub(crate) port: u16,
}

impl S3Calls {
    pub(crate) fn create_bucket(&self, name: &str) {
        self.put(&format!("/{name}"), b"");
    }

    fn put(&self, path: &str, body: &[u8]) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the server runs");
        let head = format!(
            "PUT {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAuthorization: {SIGNED}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.port,
            body.len()
        );
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("answered");
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}
