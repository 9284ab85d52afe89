//! Opening Millstream's Kafka log on a test's cluster.

use std::{sync::Arc, time::Duration};

use millstream::log::{
    SharedLog,
    kafka::{KafkaConfig, KafkaLog, Sasl, Tls},
};

/// How a test wants to be connected.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) bootstrap: String,
    pub(crate) process: Option<String>,
    pub(crate) transaction_timeout: Option<Duration>,
    pub(crate) security: Option<(Tls, Sasl)>,
}

impl Connection {
    pub(crate) fn to(bootstrap: &str) -> Self {
        Self { bootstrap: bootstrap.to_owned(), process: None, transaction_timeout: None, security: None }
    }

    pub(crate) fn open(self) -> SharedLog {
        let mut config = KafkaConfig::new(&self.bootstrap).expect("addresses are legal");
        if let Some(process) = self.process {
            config = config.with_process_id(process.parse().expect("a legal name"));
        }
        if let Some(timeout) = self.transaction_timeout {
            config = config.with_transaction_timeout(timeout).expect("a legal timeout");
        }
        if let Some((tls, sasl)) = self.security {
            config = config.with_tls(tls).with_sasl(sasl);
        }
        Arc::new(KafkaLog::connect(config).expect("the cluster is there"))
    }
}
