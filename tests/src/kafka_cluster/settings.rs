//! What a cluster is like, and the properties of its nodes that follow from it.
//!
//! Everything that takes time by default is made quick: internal topics have few partitions, groups do not wait for more members, sessions
//! may be short.

use std::{fmt::Write as _, path::Path};

use super::{Ports, Tls, files::text};

/// What a cluster is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSettings {
    /// How many nodes, 1 to 3; each is broker and controller.
    pub nodes: u32,
    /// Whether there are listeners with SASL and TLS beside those without.
    pub security: Security,
    /// Who may log in there.
    pub users: Vec<User>,
    /// Levels of features other than Kafka's own choice, such as `("streams.version", 0)` for a cluster that knows classic groups only.
    pub features: Vec<(String, u16)>,
    /// The session timeout that streams groups have, unless a group is configured otherwise.
    pub streams_session_timeout_ms: u32,
    /// More properties of nodes; they override those set here.
    pub properties: Vec<(String, String)>,
    /// The heap of a node.
    pub heap_mib: u32,
    /// What its JVM is tuned for.
    pub jvm: Jvm,
}

/// What the JVM of a node is tuned for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jvm {
    /// To be there soon, on little memory.
    QuickStart,
    /// As Kafka's own scripts start it, for measurements.
    Shipped,
}

impl Jvm {
    /// Its options, beside the heap.
    pub(super) fn options(self) -> &'static [&'static str] {
        match self {
            Self::QuickStart => &["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"],
            Self::Shipped => &[
                "-XX:+UseG1GC",
                "-XX:MaxGCPauseMillis=20",
                "-XX:InitiatingHeapOccupancyPercent=35",
                "-XX:+ExplicitGCInvokesConcurrent",
            ],
        }
    }
}

impl Default for ClusterSettings {
    fn default() -> Self {
        Self {
            nodes: 1,
            security: Security::None,
            users: Vec::new(),
            features: Vec::new(),
            streams_session_timeout_ms: 6000,
            properties: Vec::new(),
            heap_mib: 256,
            jvm: Jvm::QuickStart,
        }
    }
}

/// The listeners of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Plain text for everyone.
    None,
    /// Plain text, and beside it SASL (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512) over TLS.
    SaslTls,
}

/// Somebody who may log in, by any of the mechanisms.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Where a node is.
pub(super) struct NodePlace<'a> {
    pub(super) id: u32,
    pub(super) ports: Ports,
    pub(super) data: &'a Path,
    pub(super) voters: &'a str,
}

/// What holds for every node.
const QUICK: &str = "\
process.roles=broker,controller
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
share.coordinator.state.topic.num.partitions=1
num.network.threads=2
num.io.threads=2
num.replica.fetchers=1
background.threads=2
log.cleaner.dedupe.buffer.size=16777216
log.retention.ms=-1
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=500
group.consumer.min.session.timeout.ms=500
group.consumer.min.heartbeat.interval.ms=100
group.streams.initial.rebalance.delay.ms=0
group.streams.min.assignment.interval.ms=0
group.streams.assignment.interval.ms=0
group.streams.min.session.timeout.ms=500
group.streams.min.heartbeat.interval.ms=100
group.streams.heartbeat.interval.ms=500
group.streams.min.task.offset.interval.ms=100
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
controlled.shutdown.retry.backoff.ms=200
";

/// The properties file of a node.
pub(super) fn properties(settings: &ClusterSettings, place: &NodePlace<'_>, tls: Option<&Tls>) -> String {
    let Ports { plain, controller, secure } = place.ports;
    let (replicas, min_isr) = (settings.nodes, settings.nodes.div_ceil(2));
    let mut listeners = format!("PLAINTEXT://127.0.0.1:{plain}");
    if tls.is_some() {
        write!(listeners, ",SECURE://127.0.0.1:{secure}").expect("text takes it");
    }
    let mut text = QUICK.to_owned();
    let mut set = |name: &str, value: &str| writeln!(text, "{name}={value}").expect("text takes it");
    set("node.id", &place.id.to_string());
    set("controller.quorum.voters", place.voters);
    set("log.dirs", self::text(place.data));
    set("listeners", &format!("{listeners},CONTROLLER://127.0.0.1:{controller}"));
    set("advertised.listeners", &listeners);
    set("listener.security.protocol.map", "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SECURE:SASL_SSL");
    for topic in ["offsets.topic", "transaction.state.log", "share.coordinator.state.topic"] {
        set(&format!("{topic}.replication.factor"), &replicas.to_string());
    }
    for topic in ["transaction.state.log", "share.coordinator.state.topic"] {
        set(&format!("{topic}.min.isr"), &min_isr.to_string());
    }
    set("default.replication.factor", &replicas.to_string());
    set("min.insync.replicas", &min_isr.to_string());
    set("group.streams.session.timeout.ms", &settings.streams_session_timeout_ms.to_string());
    if let Some(tls) = tls {
        set_security(&mut set, settings, tls);
    }
    settings.properties.iter().for_each(|(name, value)| set(name, value));
    text
}

fn set_security(set: &mut impl FnMut(&str, &str), settings: &ClusterSettings, tls: &Tls) {
    const MODULES: &str = "org.apache.kafka.common.security";
    set("ssl.keystore.type", "PKCS12");
    set("ssl.keystore.location", text(&tls.keystore));
    set("ssl.keystore.password", Tls::STORE_PASSWORD);
    set("listener.name.secure.sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512");
    let users: String =
        settings.users.iter().map(|user| format!(" user_{}=\"{}\"", user.name, user.password)).collect();
    set("listener.name.secure.plain.sasl.jaas.config", &format!("{MODULES}.plain.PlainLoginModule required{users};"));
    for mechanism in ["scram-sha-256", "scram-sha-512"] {
        set(
            &format!("listener.name.secure.{mechanism}.sasl.jaas.config"),
            &format!("{MODULES}.scram.ScramLoginModule required;"),
        );
    }
}

/// The users as the tool that formats a node takes them.
pub(super) fn scram_records(settings: &ClusterSettings) -> Vec<String> {
    let of_user = |user: &User| {
        ["SCRAM-SHA-256", "SCRAM-SHA-512"]
            .map(|mechanism| format!("{mechanism}=[name={},password={}]", user.name, user.password))
    };
    if settings.security == Security::None { Vec::new() } else { settings.users.iter().flat_map(of_user).collect() }
}
