//! A real Kafka cluster on loopback for tests: one to three nodes in KRaft mode, each a JVM with a small heap.
//!
//! `tests/kafka/run` fetches Kafka from Maven Central. Where Java or maven is missing there is no cluster, which [`KafkaCluster::start`]
//! says by `None` and one line on standard error; with `CI` set it is a failure.
//!
//! Invariants: nothing outlives the cluster, and the cluster does not outlive the process, however that ends (see [`process`](Guarded));
//! its directory goes with it; ports are outside the range from which the system takes those of clients, so that a node that was stopped
//! finds its own free.
//!
//! ```no_run
//! use millstream_tests::kafka_cluster::{ClusterSettings, KafkaCluster, tools};
//!
//! let Some(cluster) = KafkaCluster::start(ClusterSettings::default()) else { return };
//! cluster.create_topic("orders", 8);
//! let topics = cluster.tool(tools::TOPICS, &["--list"]).succeeded();
//! assert_eq!(topics, "orders\n");
//! ```

mod files;
mod process;
mod programs;
mod settings;
mod tls;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU16, Ordering},
    },
    thread,
    time::Duration,
};

pub use process::Guarded;
pub use programs::{ToolOutput, run_with_input, tools};
pub use settings::{ClusterSettings, Jvm, Security, User};
pub use tls::Tls;

/// The exit status of `tests/kafka/run` that says that Java or maven is missing.
const MISSING: i32 = 69;

/// How long a node may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(120);

/// A cluster. Dropping it ends its processes and removes its files.
pub struct KafkaCluster {
    settings: ClusterSettings,
    classpath: String,
    directory: files::Directory,
    nodes: Vec<Node>,
    tls: Option<Tls>,
}

/// One node: where it is, and its process while it runs.
struct Node {
    ports: Ports,
    properties: PathBuf,
    log: PathBuf,
    process: Mutex<Option<Guarded>>,
}

/// The ports of a node.
#[derive(Debug, Clone, Copy)]
struct Ports {
    plain: u16,
    controller: u16,
    secure: u16,
}

impl KafkaCluster {
    /// Starts a cluster and waits until it serves; `None` where there is no Java, outside CI.
    ///
    /// # Panics
    /// If it does not start, with the end of the nodes' logs.
    pub fn start(settings: ClusterSettings) -> Option<Self> {
        assert!((1..=3).contains(&settings.nodes), "a cluster has one to three nodes, not {}", settings.nodes);
        let classpath = classpath()?;
        let directory = files::Directory::new();
        let tls = (settings.security == Security::SaslTls).then(|| Tls::generate(directory.path()));
        let nodes = (1..=settings.nodes).map(|id| Node::new(directory.path(), id)).collect();
        let cluster = Self { settings, classpath, directory, nodes, tls };
        cluster.write_properties();
        cluster.format();
        for node in &cluster.nodes {
            cluster.launch(node);
        }
        cluster.nodes.iter().for_each(Node::wait_until_ready);
        Some(cluster)
    }

    /// The cluster of one node that all tests of this process share. Topics and groups are to be named after the test.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<KafkaCluster>> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(ClusterSettings::default())).as_ref()
    }

    /// The addresses of all nodes, as `bootstrap.servers` takes them.
    pub fn bootstrap(&self) -> String {
        self.addresses(|ports| ports.plain)
    }

    /// The addresses of the listeners with SASL and TLS.
    ///
    /// # Panics
    /// If the cluster has none.
    pub fn secure_bootstrap(&self) -> String {
        assert!(self.tls.is_some(), "this cluster was started without Security::SaslTls");
        self.addresses(|ports| ports.secure)
    }

    fn addresses(&self, port: impl Fn(&Ports) -> u16) -> String {
        let addresses: Vec<String> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", port(&node.ports))).collect();
        addresses.join(",")
    }

    /// The certificates of the listeners with TLS.
    ///
    /// # Panics
    /// If the cluster has none.
    pub fn tls(&self) -> &Tls {
        self.tls.as_ref().expect("a cluster with Security::SaslTls")
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> u32 {
        self.settings.nodes
    }

    /// A directory for a test's files, which goes with the cluster.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where node `node`, from 1, keeps its partitions.
    pub fn data(&self, node: u32) -> PathBuf {
        self.directory.path().join(format!("node-{node}"))
    }

    /// The process of node `node`, from 1.
    pub fn pid(&self, node: u32) -> u32 {
        self.node(node).process().as_ref().expect("it runs").pid()
    }

    /// What node `node`, from 1, has logged: warnings and errors.
    pub fn log(&self, node: u32) -> String {
        fs::read_to_string(&self.node(node).log).unwrap_or_default()
    }

    /// Ends node `node`, from 1, by SIGKILL.
    pub fn kill(&self, node: u32) {
        // Dropping it does.
        self.node(node).process().take();
    }

    /// Ends node `node`, from 1, by SIGTERM, and waits until it has given up its leaderships and stopped.
    pub fn stop(&self, node: u32) {
        if let Some(process) = self.node(node).process().take() {
            process.terminate(PATIENCE);
        }
    }

    /// Starts node `node`, from 1, again, with its files, and waits until it serves. One that runs is ended by SIGKILL before.
    pub fn restart(&self, node: u32) {
        self.kill(node);
        self.launch(self.node(node));
        self.node(node).wait_until_ready();
    }

    /// Has node `node`, from 1, stand still.
    pub fn pause(&self, node: u32) {
        self.node(node).process().as_ref().expect("it runs").signal("STOP");
    }

    /// Lets node `node`, from 1, go on.
    pub fn resume(&self, node: u32) {
        self.node(node).process().as_ref().expect("it runs").signal("CONT");
    }

    fn node(&self, node: u32) -> &Node {
        &self.nodes[node as usize - 1]
    }

    /// Runs one of Kafka's tools that take `--bootstrap-server`, with it.
    pub fn tool(&self, class: &str, arguments: &[&str]) -> ToolOutput {
        self.tool_with_input(class, arguments, "")
    }

    /// The same, and writes `input` to its standard input.
    pub fn tool_with_input(&self, class: &str, arguments: &[&str], input: &str) -> ToolOutput {
        let bootstrap = self.bootstrap();
        let all: Vec<&str> = ["--bootstrap-server", &bootstrap].into_iter().chain(arguments.iter().copied()).collect();
        self.program(class, &all, input)
    }

    /// Runs any Java program on the class path of Kafka, to its end.
    pub fn program(&self, class: &str, arguments: &[&str], input: &str) -> ToolOutput {
        let mut command = programs::java(&self.classpath);
        command.arg(class).args(arguments);
        run_with_input(&mut command, input)
    }

    /// How to start a Java program on the class path of Kafka that is to be watched, with options for the JVM.
    pub fn java(&self, options: &[&str], class: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("java");
        command.args(options).args(["-cp", &self.classpath]);
        command.arg(class).args(arguments);
        command
    }

    /// Makes a topic, replicated as far as the cluster goes.
    pub fn create_topic(&self, topic: &str, partitions: u32) {
        self.create_topic_with(topic, partitions, &[]);
    }

    /// Makes a topic with settings such as `cleanup.policy=compact`.
    pub fn create_topic_with(&self, topic: &str, partitions: u32, settings: &[&str]) {
        let (partitions, replicas) = (partitions.to_string(), self.nodes().to_string());
        let mut arguments = vec!["--create", "--topic", topic, "--partitions", &partitions];
        arguments.extend(["--replication-factor", &replicas]);
        arguments.extend(settings.iter().flat_map(|setting| ["--config", setting]));
        self.tool(tools::TOPICS, &arguments).succeeded();
    }

    fn write_properties(&self) {
        let voters: Vec<String> =
            (1..).zip(&self.nodes).map(|(id, node)| format!("{id}@127.0.0.1:{}", node.ports.controller)).collect();
        for (id, node) in (1..).zip(&self.nodes) {
            let text = settings::properties(
                &self.settings,
                &settings::NodePlace { id, ports: node.ports, data: &self.data(id), voters: &voters.join(",") },
                self.tls.as_ref(),
            );
            fs::write(&node.properties, text).expect("a file in a new directory");
        }
    }

    fn format(&self) {
        let formatted: Vec<ToolOutput> = thread::scope(|scope| {
            let runs: Vec<_> = self.nodes.iter().map(|node| scope.spawn(|| self.format_node(node))).collect();
            runs.into_iter().map(|run| run.join().expect("it does not panic")).collect()
        });
        formatted.into_iter().for_each(|output| drop(output.succeeded()));
    }

    fn format_node(&self, node: &Node) -> ToolOutput {
        let properties = files::text(&node.properties);
        let mut arguments = vec!["format", "--cluster-id", "TWlsbHN0cmVhbVRlc3RzMQ", "--config", properties];
        let features: Vec<String> =
            self.settings.features.iter().map(|(name, level)| format!("{name}={level}")).collect();
        arguments.extend(features.iter().flat_map(|feature| ["--feature", feature]));
        let scram = settings::scram_records(&self.settings);
        arguments.extend(scram.iter().flat_map(|user| ["--add-scram", user]));
        self.program("kafka.tools.StorageTool", &arguments, "")
    }

    fn launch(&self, node: &Node) {
        let (least, most) =
            (format!("-Xms{}m", self.settings.heap_mib / 2), format!("-Xmx{}m", self.settings.heap_mib));
        let log = ["defaultLogLevel=warn", "log.kafka.server.KafkaRaftServer=info"]
            .map(|level| format!("-Dorg.slf4j.simpleLogger.{level}"));
        let own = [least.as_str(), &most, &log[0], &log[1]];
        let options = [self.settings.jvm.options(), &own].concat();
        let command = self.java(&options, "kafka.Kafka", &[files::text(&node.properties)]);
        // Whether it is ready is read off its log.
        drop(fs::remove_file(&node.log));
        *node.process() = Some(Guarded::spawn(&command, &node.log));
    }
}

impl Node {
    fn new(directory: &Path, id: u32) -> Self {
        Self {
            ports: Ports { plain: free_port(), controller: free_port(), secure: free_port() },
            properties: directory.join(format!("node-{id}.properties")),
            log: directory.join(format!("node-{id}.log")),
            process: Mutex::new(None),
        }
    }

    fn process(&self) -> std::sync::MutexGuard<'_, Option<Guarded>> {
        self.process.lock().expect("nobody panics with it")
    }

    fn wait_until_ready(&self) {
        let step = Duration::from_millis(50);
        for _ in 0..PATIENCE.as_millis() / step.as_millis() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            if log.contains("Kafka Server started") {
                return;
            }
            let runs = self.process().as_ref().is_some_and(Guarded::runs);
            assert!(runs, "a node did not start:\n{}", files::tail(&log));
            thread::sleep(step);
        }
        panic!("a node was not ready in time:\n{}", files::tail(&fs::read_to_string(&self.log).unwrap_or_default()));
    }
}

/// The class path of Kafka; `None` where there is no Java, outside CI.
fn classpath() -> Option<String> {
    static CLASSPATH: OnceLock<Option<String>> = OnceLock::new();
    let find = || {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("kafka/run");
        let output = Command::new(&program).arg("classpath").output();
        let output = output.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        if output.status.code() == Some(MISSING) && std::env::var_os("CI").is_none() {
            let why = String::from_utf8_lossy(&output.stderr);
            eprintln!("tests on Kafka are left out: {}; see `make deps-java`", why.trim());
            return None;
        }
        assert!(output.status.success(), "Kafka is not there: {}", String::from_utf8_lossy(&output.stderr));
        Some(String::from_utf8(output.stdout).expect("paths are UTF-8").trim().to_owned())
    };
    CLASSPATH.get_or_init(find).clone()
}

/// A port that nobody listens on, below those that the system gives to clients.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes begin at places of their own.
    let start = std::process::id().wrapping_mul(37) % u32::from(COUNT);
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + ((start + u32::from(step)) % u32::from(COUNT)) as u16;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free between {FIRST} and {}", FIRST + COUNT);
}
