//! Encryption of connections: what a certificate is checked for in each mode.
//!
//! Only `require` without a root certificate takes any certificate; with one it is `verify-ca`, as in `psql`.

use millstream::tls::{ServerCheck, TlsError, client};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::settings::{PostgresConnection, SslMode};

/// What makes encrypted connections, or why there is none.
pub(super) fn connector(connection: &PostgresConnection) -> Result<MakeRustlsConnect, String> {
    let file = connection.ssl_root_certificate.as_ref();
    let bad = |problem: String| match file {
        Some(file) => format!("'sslrootcert' {}: {problem}", file.display()),
        None => problem,
    };
    let check = match (connection.ssl_mode, file) {
        (SslMode::Disable | SslMode::Require, None) => ServerCheck::Nothing,
        (SslMode::VerifyFull, _) => ServerCheck::AuthorityAndName,
        _ => ServerCheck::Authority,
    };
    let authority = file.map(std::fs::read_to_string).transpose().map_err(|error| bad(error.to_string()))?;
    let builder = client(check, authority.as_deref()).map_err(|error| match error {
        TlsError::Authority { problem } => bad(problem),
        other => other.to_string(),
    })?;
    Ok(MakeRustlsConnect::new(builder.with_no_client_auth()))
}
