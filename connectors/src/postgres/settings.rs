//! Where a Postgres server is and as whom it is spoken to: the properties that source and sink have in common.

use std::{path::PathBuf, time::Duration};

use millstream::secret::Secret;
use url::Url;

use crate::config::{ConfigError, Properties};

/// A database and the way to it.
///
/// `'connection.url'` is `postgresql://HOST:PORT/DATABASE`, also with `jdbc:` in front, and may carry `user`, `sslmode` and `sslrootcert`;
/// a password in it is refused. Instead of it there are `'connection.host'`, `'connection.port'` and `'connection.database'`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresConnection {
    /// A name, an address, or the directory of a Unix socket.
    pub host: String,
    /// The port (default 5432).
    pub port: u16,
    /// The database.
    pub database: String,
    /// The role (`'connection.user'`).
    pub user: String,
    /// Its password (`'connection.password'`, as `${env:NAME}` or `${file:PATH}`); `None`: the server asks for none.
    pub password: Option<Secret>,
    /// Whether the connection is encrypted, and what is checked (`'sslmode'`; default `disable` on the same machine, else `require`).
    pub ssl_mode: SslMode,
    /// Certificates that the server's must come from (`'sslrootcert'`, a PEM file); `None`: those of the public web.
    pub ssl_root_certificate: Option<PathBuf>,
    /// How long a connection may take to be made (`'connection.timeout.ms'`, default 10000).
    pub connect_timeout: Duration,
    /// How long a statement may take (`'request.timeout.ms'`, default 300000).
    pub request_timeout: Duration,
}

/// Whether a connection is encrypted and whom it trusts, as in `psql`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// Plain text.
    Disable,
    /// Encrypted; the server may be anybody, unless a root certificate is named.
    Require,
    /// Encrypted; the server's certificate comes from a known root.
    VerifyCa,
    /// Encrypted; moreover the certificate is for the host's name.
    VerifyFull,
}

const CONNECT_TIMEOUT_MS: u64 = 10_000;
const REQUEST_TIMEOUT_MS: u64 = 300_000;
const PORT: u16 = 5432;

impl PostgresConnection {
    /// A server without password and, on the same machine, without encryption.
    pub fn new(host: impl Into<String>, port: u16, database: impl Into<String>, user: impl Into<String>) -> Self {
        let host = host.into();
        Self {
            ssl_mode: default_mode(&host),
            host,
            port,
            database: database.into(),
            user: user.into(),
            password: None,
            ssl_root_certificate: None,
            connect_timeout: Duration::from_millis(CONNECT_TIMEOUT_MS),
            request_timeout: Duration::from_millis(REQUEST_TIMEOUT_MS),
        }
    }

    pub(super) fn from_properties(properties: &mut Properties, class: &str) -> Result<Self, ConfigError> {
        let given = match properties.optional("connection.url") {
            Some(url) => Given::from_url(properties, &url)?,
            None => Given::from_parts(properties)?,
        };
        let user = properties.optional("connection.user").or(given.user);
        if user.is_none() {
            properties.required("connection.user");
        }
        properties.complete(class)?;
        let mut connection = Self::new(given.host, given.port, given.database, user.unwrap_or_default());
        connection.password = properties.secret("connection.password")?;
        if let Some(mode) = properties.optional("sslmode").or(given.ssl_mode) {
            connection.ssl_mode = parse_mode(mode)?;
        }
        connection.ssl_root_certificate =
            properties.optional("sslrootcert").or(given.ssl_root_certificate).map(PathBuf::from);
        let ms = "milliseconds from 1 on";
        connection.connect_timeout =
            Duration::from_millis(properties.parsed("connection.timeout.ms", 1, CONNECT_TIMEOUT_MS, ms)?);
        connection.request_timeout =
            Duration::from_millis(properties.parsed("request.timeout.ms", 1, REQUEST_TIMEOUT_MS, ms)?);
        Ok(connection)
    }

    /// How people know it.
    pub(crate) fn system(&self) -> String {
        format!("postgres {}:{}/{}", self.host, self.port, self.database)
    }
}

/// What a URL says, or the single properties in its place.
#[derive(Default)]
struct Given {
    host: String,
    port: u16,
    database: String,
    user: Option<String>,
    ssl_mode: Option<String>,
    ssl_root_certificate: Option<String>,
}

impl Given {
    fn from_url(properties: &mut Properties, text: &str) -> Result<Self, ConfigError> {
        for other in ["connection.host", "connection.port", "connection.database"] {
            if properties.optional(other).is_some() {
                let reason = "the URL says it already".into();
                return Err(ConfigError::Conflict { name: other.into(), other: "`connection.url`".into(), reason });
            }
        }
        // The URL is not repeated in errors: it may hold a password.
        let bad = |expected: &str| ConfigError::BadValue {
            name: "connection.url".into(),
            value: "...".into(),
            expected: expected.into(),
        };
        let form = "of the form postgresql://HOST:PORT/DATABASE";
        let url = Url::parse(text.trim().trim_start_matches("jdbc:")).map_err(|_| bad(form))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(bad(form));
        }
        let parameters: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        if url.password().is_some() || parameters.iter().any(|(name, _)| name.eq_ignore_ascii_case("password")) {
            return Err(bad("without a password: give it as 'connection.password' = '${env:NAME}' or '${file:PATH}'"));
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| bad(form))?;
        let database = url.path().trim_start_matches('/');
        if database.is_empty() || database.contains('/') {
            return Err(bad(form));
        }
        let mut given = Self {
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: url.port().unwrap_or(PORT),
            database: percent_decoded(database).ok_or_else(|| bad(form))?,
            user: (!url.username().is_empty()).then(|| percent_decoded(url.username())).flatten(),
            ..Self::default()
        };
        for (name, value) in parameters {
            match name.as_str() {
                "user" => given.user = Some(value),
                "sslmode" => given.ssl_mode = Some(value),
                "sslrootcert" => given.ssl_root_certificate = Some(value),
                _ => {
                    let expected = format!("without `{name}`: it may carry user, sslmode and sslrootcert");
                    return Err(bad(&expected));
                }
            }
        }
        Ok(given)
    }

    fn from_parts(properties: &mut Properties) -> Result<Self, ConfigError> {
        let host = properties.optional("connection.host");
        if host.is_none() {
            // Whoever gives neither is told of the URL.
            properties.required("connection.url");
        }
        let port = properties.parsed("connection.port", 1, PORT, "a port")?;
        let database = match host {
            Some(_) => properties.required("connection.database"),
            None => properties.optional("connection.database"),
        };
        Ok(Self { host: host.unwrap_or_default(), port, database: database.unwrap_or_default(), ..Self::default() })
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}

fn parse_mode(text: String) -> Result<SslMode, ConfigError> {
    match text.as_str() {
        "disable" => Ok(SslMode::Disable),
        "require" => Ok(SslMode::Require),
        "verify-ca" => Ok(SslMode::VerifyCa),
        "verify-full" => Ok(SslMode::VerifyFull),
        _ => Err(ConfigError::BadValue {
            name: "sslmode".into(),
            value: text,
            expected: "disable, require, verify-ca or verify-full (there is none that falls back to plain text)".into(),
        }),
    }
}

fn default_mode(host: &str) -> SslMode {
    let is_local = host.starts_with('/')
        || host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    if is_local { SslMode::Disable } else { SslMode::Require }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<PostgresConnection, ConfigError> {
        let pairs: Vec<(String, String)> = text
            .split_whitespace()
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let mut properties = Properties::new(&pairs)?;
        let connection = PostgresConnection::from_properties(&mut properties, "postgres sink")?;
        properties.finish()?;
        Ok(connection)
    }

    #[test]
    fn a_url_and_its_parts_say_the_same() {
        let url =
            parse("connection.url=jdbc:postgresql://db.example:5433/my%20shop?user=ada&sslmode=verify-full").unwrap();
        assert_eq!((url.host.as_str(), url.port, url.database.as_str()), ("db.example", 5433, "my shop"));
        assert_eq!((url.user.as_str(), url.ssl_mode), ("ada", SslMode::VerifyFull));
        let parts = parse("connection.host=localhost connection.database=shop connection.user=ada").unwrap();
        assert_eq!((parts.port, parts.ssl_mode), (5432, SslMode::Disable));
        assert_eq!(parse("connection.url=postgresql://ada@[::1]/shop").unwrap().ssl_mode, SslMode::Disable);
        assert_eq!(parse("connection.url=postgresql://ada@db/shop").unwrap().ssl_mode, SslMode::Require);
    }

    #[test]
    fn mistakes_are_named_and_passwords_are_not() {
        let check = |text: &str, parts: &[&str]| {
            let error = parse(text).expect_err(text).to_string();
            assert!(parts.iter().all(|part| error.contains(part)), "{text}: {error}");
            assert!(!error.contains("tiger"), "{error}");
        };
        check("connection.user=ada", &["'connection.url'"]);
        check("connection.url=postgresql://db/shop", &["'connection.user'"]);
        check("connection.url=postgresql://ada:tiger@db/shop", &["'connection.password'"]);
        check("connection.url=postgresql://ada@db/shop?password=tiger", &["'connection.password'"]);
        check("connection.url=mysql://ada@db/shop", &["postgresql://"]);
        check("connection.url=postgresql://ada@db/shop?pool=4", &["`pool`"]);
        check("connection.url=postgresql://ada@db/shop sslmode=prefer", &["sslmode", "plain text"]);
        check("connection.url=postgresql://ada@db/shop connection.port=1", &["connection.port"]);
        check("connection.url=postgresql://ada@db/shop connection.password=tiger", &["connection.password", "${env:"]);
        check("connection.host=db connection.user=ada", &["'connection.database'"]);
    }
}
