//! Options that name a Kafka cluster, and opening a log: that of a cluster, or that of a data directory.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use millstream::{
    log::{
        SharedLog,
        embedded::{EmbeddedConfig, EmbeddedLog},
        kafka::{KafkaConfig, KafkaLog},
    },
    query::QueryServerConfig,
};

use super::{arguments::DEFAULT_DATA, failure::Failure};
use crate::engine::{ClusterConfig, ServiceId};

/// Where the engine keeps its log in a data directory.
const LOG_DIRECTORY: &str = "log";

/// A cluster instead of a log in the data directory.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Kafka")]
#[group(id = "cluster", multiple = false)]
pub struct ClusterArguments {
    /// Work on a Kafka cluster: some of its brokers, with commas between them
    #[arg(long, value_name = "HOST:PORT")]
    pub kafka: Option<String>,
    /// Work on a Kafka cluster: a file of client properties (bootstrap.servers, security.protocol, ..)
    #[arg(long, value_name = "FILE")]
    pub kafka_config: Option<PathBuf>,
}

impl ClusterArguments {
    /// Whether there is one.
    pub fn is_given(&self) -> bool {
        self.kafka.is_some() || self.kafka_config.is_some()
    }

    /// How to reach it; nothing if none was named.
    ///
    /// # Errors
    /// [`Failure::Cluster`] if the address or the file cannot be used.
    pub fn config(&self) -> Result<Option<KafkaConfig>, Failure> {
        match (&self.kafka, &self.kafka_config) {
            (Some(servers), _) => Ok(Some(KafkaConfig::new(servers)?)),
            (None, Some(file)) => Ok(Some(KafkaConfig::read(file)?)),
            (None, None) => Ok(None),
        }
    }
}

/// A cluster and the service that the process is part of.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Kafka")]
pub struct ServiceArguments {
    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArguments,
    /// The service that this process is part of: processes of one service share what is declared, and the work [default: default]
    #[arg(long, value_name = "NAME", requires = "cluster")]
    pub service: Option<ServiceId>,
    /// Copies of each query's state in other processes, which can then take over at once [default: 0]
    #[arg(long, value_name = "N", requires = "cluster", value_parser = clap::value_parser!(u8).range(0..=16))]
    pub standby_replicas: Option<u8>,
    /// Where to answer other processes of the service about views; port 0 is a free one [default: 127.0.0.1:0]
    #[arg(long, value_name = "ADDRESS:PORT", requires = "cluster")]
    pub query_listen: Option<SocketAddr>,
    /// What other processes are told instead, where they reach this one under another name
    #[arg(long, value_name = "HOST:PORT", requires = "cluster")]
    pub query_advertise: Option<String>,
    /// A file with a secret that all processes of the service know; without one they listen on 127.0.0.1 only
    #[arg(long, value_name = "FILE", requires = "cluster")]
    pub query_token_file: Option<PathBuf>,
}

impl ServiceArguments {
    /// The cluster of an engine; nothing if none was named.
    ///
    /// # Errors
    /// As for [`ClusterArguments::config`].
    pub fn config(&self) -> Result<Option<ClusterConfig>, Failure> {
        let service = self.service.clone().unwrap_or_default();
        let standby_replicas = usize::from(self.standby_replicas.unwrap_or(0));
        let queries = self.queries()?;
        Ok(self.cluster.config()?.map(|kafka| ClusterConfig { kafka, service, standby_replicas, queries }))
    }
}

impl ServiceArguments {
    fn queries(&self) -> Result<QueryServerConfig, Failure> {
        let token = match &self.query_token_file {
            Some(file) => {
                let text = std::fs::read_to_string(file).map_err(Failure::file(file, "read"))?;
                Some(text.trim().to_owned())
            }
            None => None,
        };
        let QueryServerConfig { listen, .. } = QueryServerConfig::default();
        Ok(QueryServerConfig {
            listen: self.query_listen.unwrap_or(listen),
            advertise: self.query_advertise.clone(),
            token,
        })
    }
}

/// Where topics are.
#[derive(Debug, Clone, Args)]
pub struct LogArguments {
    /// The data directory.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA)]
    pub data: PathBuf,
    /// Or a cluster.
    #[command(flatten)]
    pub cluster: ClusterArguments,
}

/// A log, by its kind.
pub enum OpenLog {
    /// That of a data directory, which this process owns while it is open.
    Embedded(Arc<EmbeddedLog>),
    /// That of a cluster.
    Kafka(Arc<KafkaLog>),
}

impl OpenLog {
    /// The log, whatever its kind.
    pub fn shared(&self) -> SharedLog {
        match self {
            Self::Embedded(log) => Arc::<EmbeddedLog>::clone(log),
            Self::Kafka(log) => Arc::<KafkaLog>::clone(log),
        }
    }
}

/// What becomes of a data directory that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// It is refused: looking at a directory makes none.
    Refused,
    /// It is made.
    Made,
}

impl LogArguments {
    /// Opens the log alone, so that queries and connectors stay as they are.
    ///
    /// # Errors
    /// [`Failure`]; among others if another process has the directory open, or no broker answers.
    pub fn open(&self, missing: Missing) -> Result<OpenLog, Failure> {
        if let Some(kafka) = self.cluster.config()? {
            return Ok(OpenLog::Kafka(Arc::new(KafkaLog::connect(kafka)?)));
        }
        if missing == Missing::Refused && !self.data.is_dir() {
            let advice =
                "name it with --data, make a topic with `topic produce --create`, or name a cluster with --kafka";
            return Err(Failure::Refused(format!(
                "{}: there is no such data directory; {advice}",
                self.data.display()
            )));
        }
        open_embedded(&self.data).map(OpenLog::Embedded)
    }
}

/// Opens the log of a data directory.
///
/// # Errors
/// [`Failure::Log`]; among others if another process has it open.
pub fn open_embedded(data: &Path) -> Result<Arc<EmbeddedLog>, Failure> {
    Ok(EmbeddedLog::open(&data.join(LOG_DIRECTORY), EmbeddedConfig::default())?)
}
