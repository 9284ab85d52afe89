//! Errors of Postgres as errors of a connector: what happened, whether it may pass, what to do.

use millstream::connect::ConnectError;
use tokio_postgres::{Error, error::DbError};

use super::settings::PostgresConnection;

/// What went wrong with a statement.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server, or the way to it.
    Postgres(Error),
    /// It took longer than it may.
    TimedOut,
}

impl Failure {
    /// What the server said, if it spoke.
    pub(super) fn database(&self) -> Option<&DbError> {
        match self {
            Self::Postgres(error) => error.as_db_error(),
            Self::TimedOut => None,
        }
    }

    /// Whether it is the fault of a row's values: data exceptions, integrity constraints, checks of views, errors raised by triggers.
    pub(super) fn is_of_a_row(&self) -> bool {
        let class = self.database().and_then(|error| error.code().code().get(..2));
        matches!(class, Some("22" | "23" | "44" | "P0"))
    }
}

/// The server's words, with what belongs to them.
pub(super) fn words(error: &DbError) -> String {
    let mut text = error.message().to_owned();
    for more in [error.detail(), error.hint()].into_iter().flatten() {
        text.push_str("; ");
        text.push_str(more);
    }
    text
}

/// The error of a connector that could not `action`.
pub(super) fn outside(connection: &PostgresConnection, action: &str, failure: Failure) -> ConnectError {
    let (problem, retryable) = match (&failure, failure.database()) {
        (_, Some(error)) => (format!("cannot {action}: {}", advised(connection, error)), may_pass(error.code().code())),
        (Failure::Postgres(error), None) => unanswered(connection, action, error),
        (Failure::TimedOut, None) => {
            let text = "the server has not answered in time; see what it is busy with, or raise 'request.timeout.ms'";
            (format!("cannot {action}: {text}"), true)
        }
    };
    let source = match failure {
        Failure::Postgres(error) => Some(Box::new(error).into()),
        Failure::TimedOut => None,
    };
    ConnectError::Outside { system: connection.system(), problem, retryable, source }
}

/// Trouble before or besides an answer.
fn unanswered(connection: &PostgresConnection, action: &str, error: &Error) -> (String, bool) {
    let kind = error.to_string();
    let mut causes = kind.clone();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        causes = format!("{causes}: {cause}");
        next = cause.source();
    }
    if kind.contains("connecting") {
        let text = format!("{causes}; is the server up, and are host and port right?");
        return (format!("cannot {action}: {text}"), true);
    }
    if kind.contains("TLS") {
        let advice = if connection.ssl_root_certificate.is_some() {
            "is it the server's certificate that 'sslrootcert' vouches for, and for this host?"
        } else {
            "a server without TLS is reached with 'sslmode' = 'disable'; of a certificate of its own name the root in 'sslrootcert'"
        };
        return (format!("cannot {action}: {causes}; {advice}"), false);
    }
    if kind.contains("authentication") || kind.contains("configuration") {
        let text =
            format!("{causes}; give the password as 'connection.password' = '${{env:NAME}}' or '${{file:PATH}}'");
        return (format!("cannot {action}: {text}"), false);
    }
    (format!("cannot {action}: the connection is lost ({causes})"), true)
}

/// Whether an error of this SQLSTATE may pass by itself: lost connections, a server that starts or stops, a lack of something, a victim of
/// others' locks.
fn may_pass(state: &str) -> bool {
    matches!(&state[..2.min(state.len())], "08" | "53" | "57" | "58")
        || matches!(state, "40001" | "40P01" | "55P03" | "25P03" | "25P04" | "55006" | "XX000")
}

fn advised(connection: &PostgresConnection, error: &DbError) -> String {
    let text = words(error);
    let user = &connection.user;
    match error.code().code() {
        "28P01" | "28000" => {
            format!("{text}; check 'connection.user' and 'connection.password', and pg_hba.conf on the server")
        }
        "3D000" => format!("{text}; check the database in 'connection.url'"),
        "42501" => format!("{text}; the role {user} needs that right: GRANT it"),
        _ => text,
    }
}
