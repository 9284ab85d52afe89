//! One connection, spoken to from a thread of its own: each call waits for the answer, and no longer than the configuration allows.
//!
//! The connection makes progress only while a call waits. What was left open on the server when a session is dropped, the server rolls back.

use std::{future::Future, sync::Arc};

use bytes::Bytes;
use futures::SinkExt;
use millstream::connect::ConnectError;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{
    Client, Config, Error, NoTls, Row, SimpleQueryMessage, Statement, config::SslMode as Tls, types::ToSql,
};

use super::{
    problem::{Failure, outside},
    settings::{PostgresConnection, SslMode},
    tls,
};

/// What a statement is given.
pub(super) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Bytes of COPY data that are handed over at once.
const COPY_CHUNK: usize = 64 << 10;

pub(super) struct Session {
    /// Before the runtime, so that it ends first.
    client: Client,
    runtime: Runtime,
    settings: Arc<PostgresConnection>,
}

impl Session {
    /// Connects, and sets what statements rely on: UTC, ISO dates, and an end to transactions and lock waits of a client
    /// that has gone silent.
    pub(super) fn open(settings: &Arc<PostgresConnection>, application: &str) -> Result<Self, ConnectError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|source| ConnectError::Io {
            file: "a runtime for a connection".into(),
            action: "start",
            source,
        })?;
        let client = connect(&runtime, settings, application)?;
        let session = Self { client, runtime, settings: Arc::clone(settings) };
        session.batch(
            "set up the connection",
            "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, MDY'; SET IntervalStyle = 'postgres'; SET bytea_output = 'hex'; \
             SET extra_float_digits = 1; SET standard_conforming_strings = on; SET client_min_messages = warning; SET plan_cache_mode = force_custom_plan; \
             SET idle_in_transaction_session_timeout = '60s'; SET lock_timeout = '30s'; \
             SELECT set_config('client_connection_check_interval', '2s', false) \
             WHERE current_setting('server_version_num')::int >= 140000",
        )?;
        Ok(session)
    }

    /// Waits for an answer.
    pub(super) fn wait<T>(&self, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
        let limit = self.settings.request_timeout;
        match self.runtime.block_on(async { tokio::time::timeout(limit, answer).await }) {
            Ok(answer) => answer.map_err(Failure::Postgres),
            Err(_) => Err(Failure::TimedOut),
        }
    }

    /// An error of a connector.
    pub(super) fn error(&self, action: &str, failure: Failure) -> ConnectError {
        outside(&self.settings, action, failure)
    }

    /// An error that nobody can wait away.
    pub(super) fn refusal(&self, problem: String) -> ConnectError {
        ConnectError::Outside { system: self.settings.system(), problem, retryable: false, source: None }
    }

    /// An error that may pass.
    pub(super) fn passing(&self, problem: String) -> ConnectError {
        ConnectError::Outside { system: self.settings.system(), problem, retryable: true, source: None }
    }

    /// Runs statements without results.
    pub(super) fn batch(&self, action: &str, sql: &str) -> Result<(), ConnectError> {
        self.try_batch(sql).map_err(|failure| self.error(action, failure))
    }

    /// Runs statements without results, and leaves it to the caller what a failure means.
    pub(super) fn try_batch(&self, sql: &str) -> Result<(), Failure> {
        self.wait(self.client.batch_execute(sql))
    }

    /// Makes a statement ready.
    pub(super) fn prepare(&self, sql: &str) -> Result<Statement, Failure> {
        self.wait(self.client.prepare(sql))
    }

    /// Rows of a query.
    pub(super) fn query(&self, action: &str, sql: &str, parameters: Parameters<'_>) -> Result<Vec<Row>, ConnectError> {
        self.wait(self.client.query(sql, parameters)).map_err(|failure| self.error(action, failure))
    }

    /// Runs a prepared statement; how many rows it touched.
    pub(super) fn execute(&self, statement: &Statement, parameters: Parameters<'_>) -> Result<u64, Failure> {
        self.wait(self.client.execute(statement, parameters))
    }

    /// Results of a statement as text, as the server's output functions write them.
    pub(super) fn text(&self, sql: &str) -> Result<Vec<SimpleQueryMessage>, Failure> {
        self.wait(self.client.simple_query(sql))
    }

    /// Sends the data of a COPY.
    pub(super) fn copy_in(&self, statement: &Statement, data: Bytes) -> Result<u64, Failure> {
        self.wait(async {
            let mut sink = Box::pin(self.client.copy_in::<_, Bytes>(statement).await?);
            let mut rest = data;
            while !rest.is_empty() {
                sink.feed(rest.split_to(rest.len().min(COPY_CHUNK))).await?;
            }
            sink.as_mut().finish().await
        })
    }
}

fn connect(runtime: &Runtime, settings: &PostgresConnection, application: &str) -> Result<Client, ConnectError> {
    let mut config = Config::new();
    config.user(&settings.user).dbname(&settings.database).port(settings.port).application_name(application);
    if settings.host.starts_with('/') {
        config.host_path(&settings.host);
    } else {
        config.host(&settings.host);
    }
    if let Some(password) = &settings.password {
        config.password(password.reveal());
    }
    let failed = |failure| outside(settings, "connect", failure);
    let made = if settings.ssl_mode == SslMode::Disable {
        config.ssl_mode(Tls::Disable);
        runtime.block_on(async {
            let (client, connection) = tokio::time::timeout(settings.connect_timeout, config.connect(NoTls)).await??;
            tokio::spawn(connection);
            Ok::<Client, ConnectFailure>(client)
        })
    } else {
        config.ssl_mode(Tls::Require);
        let connector = tls::connector(settings).map_err(|problem| ConnectError::Outside {
            system: settings.system(),
            problem,
            retryable: false,
            source: None,
        })?;
        runtime.block_on(async {
            let (client, connection) =
                tokio::time::timeout(settings.connect_timeout, config.connect(connector)).await??;
            tokio::spawn(connection);
            Ok(client)
        })
    };
    made.map_err(|ConnectFailure(failure)| failed(failure))
}

/// A connection that was not made.
struct ConnectFailure(Failure);

impl From<Error> for ConnectFailure {
    fn from(error: Error) -> Self {
        Self(Failure::Postgres(error))
    }
}

impl From<tokio::time::error::Elapsed> for ConnectFailure {
    fn from(_: tokio::time::error::Elapsed) -> Self {
        Self(Failure::TimedOut)
    }
}
