//! Servers that speak SQS, on loopback, for tests: moto and, made independently, ElasticMQ; and Amazon's own client to look into them.
//!
//! Where Python, or Java and maven, are missing there is no server ([`fetched`](crate::fetched)). Servers keep everything in memory, but for an
//! ElasticMQ that is told to keep it on disk, and end with this process.

use std::{
    fs,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use crate::{
    fetched::{self, python_with_input},
    java_server::JavaServer,
    moto_server::MotoServer,
};

/// A server. Dropping it ends it, unless others share it.
pub struct SqsServer {
    port: u16,
    messages: Messages,
    own: Own,
    /// How many queues it has.
    queues: AtomicUsize,
}

/// What ends with the server.
enum Own {
    Nothing,
    Moto(#[expect(dead_code, reason = "it is there to be dropped")] MotoServer),
    Java(Box<JavaServer>),
}

/// What an ElasticMQ does with messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Messages {
    InMemory,
    /// A database keeps queues and messages; what it has confirmed is in its file.
    OnDisk,
}

impl SqsServer {
    /// The moto that all tests of this process share; `None` where there is no Python, outside CI.
    pub fn moto() -> Option<Self> {
        MotoServer::shared().map(|moto| Self {
            port: moto.port(),
            messages: Messages::InMemory,
            queues: AtomicUsize::new(0),
            own: Own::Nothing,
        })
    }

    /// A moto where nobody has the credentials that it asks for.
    ///
    /// # Panics
    /// If it does not start.
    pub fn moto_without_users() -> Option<Self> {
        MotoServer::start_strict().map(|moto| Self {
            port: moto.port(),
            messages: Messages::InMemory,
            queues: AtomicUsize::new(0),
            own: Own::Moto(moto),
        })
    }

    /// The ElasticMQ that all tests of this process share; `None` where there is no Java or no Python, outside CI. Queues are to be named
    /// after the test.
    pub fn elasticmq() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<SqsServer>> = OnceLock::new();
        SHARED.get_or_init(|| Self::start_elasticmq(Messages::InMemory)).as_ref()
    }

    /// An ElasticMQ that keeps queues and messages on disk, so that it can be killed.
    ///
    /// # Panics
    /// If it does not start.
    pub fn elasticmq_on_disk() -> Option<Self> {
        Self::start_elasticmq(Messages::OnDisk)
    }

    fn start_elasticmq(messages: Messages) -> Option<Self> {
        fetched::script("moto/run", &["python"])?;
        let java = JavaServer::start("elasticmq", |port, directory| {
            let settings = directory.join("elasticmq.conf");
            let storage = match messages {
                Messages::InMemory => "messages-storage { enabled = false }\n".to_owned(),
                // Without the option the database writes up to half a second after it has confirmed.
                Messages::OnDisk => format!(
                    "messages-storage {{ enabled = true, driver-class = \"org.h2.Driver\", username = \"\", password = \"\", \
                     prune-data-on-init = false, uri = \"jdbc:h2:{};WRITE_DELAY=0\" }}\n",
                    directory.join("messages").display()
                ),
            };
            let text = format!(
                "node-address {{ protocol = http, host = \"127.0.0.1\", port = {port}, context-path = \"\" }}\n\
                 rest-sqs {{ enabled = true, bind-port = {port}, bind-hostname = \"127.0.0.1\", sqs-limits = strict }}\n\
                 rest-stats {{ enabled = false }}\n{storage}"
            );
            fs::write(&settings, text).expect("a file in a new directory");
            vec![format!("-Dconfig.file={}", settings.display()), "org.elasticmq.server.Main".into()]
        })?;
        Some(Self { port: java.port(), messages, queues: AtomicUsize::new(0), own: Own::Java(Box::new(java)) })
    }

    /// Whether it still has its messages when it was killed and started again.
    pub fn keeps_messages(&self) -> bool {
        self.messages == Messages::OnDisk
    }

    /// Kills it with SIGKILL and starts it with what it has on disk.
    ///
    /// # Panics
    /// If it is none that keeps anything, or does not start.
    pub fn restart(&self) {
        self.kill();
        self.start_again();
    }

    /// Kills it with SIGKILL.
    ///
    /// # Panics
    /// If it is none that keeps anything.
    pub fn kill(&self) {
        self.java().kill();
    }

    /// Starts one that was killed, and waits until it has read what it kept of each queue. Before that it takes messages, even of a FIFO queue
    /// those that it has.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_again(&self) {
        self.java().start_again();
        let queues = self.queues.load(Ordering::Relaxed);
        for _ in 0..1000 {
            if self.java().said().matches("Restored ").count() >= queues {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("it does not read what it kept:\n{}", self.java().said());
    }

    fn java(&self) -> &JavaServer {
        let Own::Java(java) = &self.own else { panic!("this server is not one that can be started again") };
        java
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
        self.queues.fetch_add(1, Ordering::Relaxed);
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

    /// Sends message after message until the server is gone, receives some and deletes half of those; what of it the server has confirmed:
    /// numbers `sent` and `deleted`.
    pub fn try_until_gone(&self, queue: &str) -> serde_json::Value {
        serde_json::from_str(&self.queues("try", &[queue], "")).expect("a line of JSON")
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
        let endpoint = self.endpoint();
        python_with_input("queues.py", &[&[endpoint.as_str(), action], arguments].concat(), input)
    }
}
