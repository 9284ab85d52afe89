//! Errors of Postgres as errors of a connector: what happened, whether it may pass, what to do.

use millstream::connect::ConnectError;
use tokio_postgres::{Error, error::DbError};

use super::settings::{PostgresConnection, SslMode};

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
        let text = format!("cannot {action}: {causes}; {}", tls_advice(connection, &causes));
        return (text, was_cut_short(error));
    }
    if kind.contains("authentication") || kind.contains("configuration") {
        let text =
            format!("{causes}; give the password as 'connection.password' = '${{env:NAME}}' or '${{file:PATH}}'");
        return (format!("cannot {action}: {text}"), false);
    }
    (format!("cannot {action}: the connection is lost ({causes})"), true)
}

/// What to do about an encrypted connection that was not made.
fn tls_advice(connection: &PostgresConnection, causes: &str) -> String {
    if causes.contains("does not support TLS") {
        return "a server without TLS is reached with 'sslmode' = 'disable'".to_owned();
    }
    if causes.contains("not valid for name") || causes.contains("NotValidForName") {
        return format!(
            "the certificate is not for {}: connect by a name that it is for, have one made for this host, or have only its origin checked with \
             'sslmode' = 'verify-ca'",
            connection.host
        );
    }
    if causes.contains("certificate") {
        return match &connection.ssl_root_certificate {
            Some(file) => format!(
                "the server's certificate must come from one in 'sslrootcert' {}: name the file of the authority that has signed it",
                file.display()
            ),
            None => "of a certificate that no public authority has signed, name the file of its own authority in 'sslrootcert'".to_owned(),
        };
    }
    "is there a Postgres server at this port, and are its TLS versions 1.2 or 1.3?".to_owned()
}

/// Whether a handshake ended because the connection did, and not by what either side said: a server that stops cuts it like that.
fn was_cut_short(error: &Error) -> bool {
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            return !matches!(io.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput);
        }
        next = cause.source();
    }
    false
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
        "28000" if connection.ssl_mode == SslMode::Disable => format!(
            "{text}; a server that takes encrypted connections only is reached with 'sslmode' = 'require' or 'verify-full'; else check \
             'connection.user', and pg_hba.conf on the server"
        ),
        "28P01" | "28000" => {
            format!("{text}; check 'connection.user' and 'connection.password', and pg_hba.conf on the server")
        }
        "3D000" => format!("{text}; check the database in 'connection.url'"),
        "42501" => format!("{text}; the role {user} needs that right: GRANT it"),
        _ => text,
    }
}
