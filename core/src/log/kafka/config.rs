//! What is needed to work on a Kafka cluster.

use std::{collections::BTreeMap, time::Duration};

use super::{
    GroupProtocol, KafkaConfigError, ProcessId, Sasl, Tls,
    connection::{Connection, parse_bootstrap},
    tunable::{self, Side, TUNABLE},
};

/// Where a cluster is, how to speak to it, and how this process works on it.
///
/// ```
/// # use millstream::log::kafka::{KafkaConfig, Sasl, Secret};
/// let sasl = Sasl::Plain { user: "ada".to_owned(), password: Secret::new("tiger") };
/// let config = KafkaConfig::new("127.0.0.1:9092")?.with_sasl(sasl).with_property("fetch.min.bytes", "1")?;
/// assert!(!format!("{config:?}").contains("tiger"));
///
/// let error = KafkaConfig::new("127.0.0.1:9092")?.with_property("fetch.min.byte", "1").unwrap_err();
/// assert!(error.to_string().contains("did you mean `fetch.min.bytes`"));
/// # Ok::<(), millstream::log::kafka::KafkaConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct KafkaConfig {
    pub(crate) connection: Connection,
    pub(crate) process: ProcessId,
    pub(crate) instance: Option<String>,
    pub(crate) group_protocol: GroupProtocol,
    pub(crate) replication: Replication,
    pub(crate) transaction_timeout: Duration,
    properties: BTreeMap<&'static str, (Side, String)>,
}

/// How many brokers keep a partition of the topics that are made here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replication {
    /// As many as the cluster's default says.
    ClusterDefault,
    /// So many; at least 1.
    Factor(u16),
}

impl KafkaConfig {
    /// A cluster at `host:port`; several with commas between them. Plain text, nobody in particular, a random process id.
    ///
    /// # Errors
    /// [`KafkaConfigError::InvalidAddress`].
    pub fn new(servers: &str) -> Result<Self, KafkaConfigError> {
        let connection = Connection {
            bootstrap: parse_bootstrap(servers)?,
            client_id: "millstream".to_owned(),
            rack: None,
            tls: None,
            sasl: None,
        };
        Ok(Self {
            connection,
            process: ProcessId::random(),
            instance: None,
            group_protocol: GroupProtocol::default(),
            replication: Replication::ClusterDefault,
            transaction_timeout: Duration::from_secs(10),
            properties: BTreeMap::new(),
        })
    }

    /// Encrypts all connections.
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.connection.tls = Some(tls);
        self
    }

    /// Proves who we are.
    pub fn with_sasl(mut self, sasl: Sasl) -> Self {
        self.connection.sasl = Some(sasl);
        self
    }

    /// Names this client in the brokers' logs and quotas; `millstream` if never called.
    pub fn with_client_id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.connection.client_id);
        self
    }

    /// Says where this process is, so that it may read from brokers near it.
    pub fn with_rack(mut self, rack: &str) -> Self {
        self.connection.rack = Some(rack.to_owned());
        self
    }

    /// Gives the process a name that lasts: when it starts again, it ends what its former life left open, at once.
    pub fn with_process_id(self, process: ProcessId) -> Self {
        Self { process, ..self }
    }

    /// Gives the process a lasting name in its groups: if it comes back soon, it gets its tasks back.
    pub fn with_instance(self, instance: &str) -> Self {
        Self { instance: Some(instance.to_owned()), ..self }
    }

    /// Says which kind of group the processes of an application share its tasks in; whatever the brokers offer if never called.
    pub fn with_group_protocol(self, group_protocol: GroupProtocol) -> Self {
        Self { group_protocol, ..self }
    }

    /// Says how many brokers keep a partition of the topics that are made here.
    pub fn with_replication(self, replication: Replication) -> Self {
        Self { replication, ..self }
    }

    /// Says after how long the brokers abort a transaction whose process is gone; 10 seconds if never called. Readers wait for it that long.
    ///
    /// # Errors
    /// [`KafkaConfigError::InvalidValue`] below a second and above an hour.
    pub fn with_transaction_timeout(self, timeout: Duration) -> Result<Self, KafkaConfigError> {
        if !(Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&timeout) {
            let problem = "must be from 1000 to 3600000".to_owned();
            return Err(KafkaConfigError::InvalidValue { name: "transaction.timeout.ms".to_owned(), problem });
        }
        Ok(Self { transaction_timeout: timeout, ..self })
    }

    /// Sets a property of the client library, by the library's name for it.
    ///
    /// # Errors
    /// [`KafkaConfigError::UnknownProperty`] with the nearest known one, [`KafkaConfigError::FixedProperty`] with the reason,
    /// [`KafkaConfigError::InvalidValue`] with what it may be.
    pub fn with_property(mut self, name: &str, value: &str) -> Result<Self, KafkaConfigError> {
        let tunable = tunable::check(name, value)?;
        self.properties.insert(tunable.name, (tunable.side, value.to_owned()));
        Ok(self)
    }

    /// The names of all properties that [`with_property`](Self::with_property) takes.
    pub fn property_names() -> impl Iterator<Item = &'static str> {
        TUNABLE.iter().map(|tunable| tunable.name)
    }

    /// Where the cluster is: `host:port`, with commas between several.
    pub fn bootstrap_servers(&self) -> String {
        self.connection.bootstrap_text()
    }

    /// The name of this process.
    pub fn process_id(&self) -> &ProcessId {
        &self.process
    }

    /// The lasting name of this process in its groups.
    pub fn instance(&self) -> Option<&str> {
        self.instance.as_deref()
    }

    /// Which kind of group is used.
    pub fn group_protocol(&self) -> GroupProtocol {
        self.group_protocol
    }

    /// The chosen properties for one side.
    pub(super) fn properties_for(&self, side: Side) -> impl Iterator<Item = (&'static str, &str)> {
        let fits = move |found: Side| found == Side::Both || found == side;
        self.properties.iter().filter(move |(_, (of, _))| fits(*of)).map(|(name, (_, value))| (*name, value.as_str()))
    }

    /// A chosen property.
    pub(super) fn property(&self, name: &str) -> Option<&str> {
        self.properties.get(name).map(|(_, value)| value.as_str())
    }
}
