//! How to reach a cluster: addresses, TLS, and who we are. Plain facts, for the client library and for our own connections alike.

use std::{fmt, path::Path, str::FromStr, sync::Arc};

use super::{KafkaConfigError, Secret, TokenProvider};
use crate::secret::read_text;

/// Where the brokers are and how to speak to them.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    /// Some brokers of the cluster; the others are learned from them.
    pub(crate) bootstrap: Vec<BrokerAddress>,
    /// How we call ourselves in the brokers' logs and quotas.
    pub(crate) client_id: String,
    /// Where we are, for brokers that care.
    pub(crate) rack: Option<String>,
    /// Encryption; none is plain text.
    pub(crate) tls: Option<Tls>,
    /// Who we are; none is nobody.
    pub(crate) sasl: Option<Sasl>,
}

impl Connection {
    /// The bootstrap addresses with commas between them.
    pub(crate) fn bootstrap_text(&self) -> String {
        let addresses: Vec<String> = self.bootstrap.iter().map(ToString::to_string).collect();
        addresses.join(",")
    }
}

/// The address of a broker: `host:port`, `[v6]:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BrokerAddress {
    /// A name or an address, without brackets.
    pub(crate) host: String,
    /// The port.
    pub(crate) port: u16,
}

impl FromStr for BrokerAddress {
    type Err = KafkaConfigError;

    fn from_str(text: &str) -> Result<Self, KafkaConfigError> {
        let invalid = || KafkaConfigError::InvalidAddress { address: text.chars().take(80).collect() };
        let (host, port) = text.trim().rsplit_once(':').ok_or_else(invalid)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port: u16 = port.parse().map_err(|_| invalid())?;
        if host.is_empty() || port == 0 || host.contains(|c: char| c.is_whitespace() || matches!(c, '/' | ',' | '@')) {
            return Err(invalid());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Takes a list such as `one:9092,two:9092`.
pub(super) fn parse_bootstrap(servers: &str) -> Result<Vec<BrokerAddress>, KafkaConfigError> {
    let addresses = servers.split(',').map(str::trim).filter(|address| !address.is_empty());
    let addresses = addresses.map(BrokerAddress::from_str).collect::<Result<Vec<_>, _>>()?;
    if addresses.is_empty() {
        return Err(KafkaConfigError::InvalidAddress { address: servers.chars().take(80).collect() });
    }
    Ok(addresses)
}

/// Encryption of connections, with the broker's name checked against its certificate.
///
/// ```no_run
/// # use millstream::log::kafka::{KafkaConfig, Tls};
/// let tls = Tls::new().with_authority("ca.pem")?.with_identity("me.pem", "me.key")?;
/// let config = KafkaConfig::new("kafka.example:9093")?.with_tls(tls);
/// # Ok::<(), millstream::log::kafka::KafkaConfigError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// PEM of those who vouch for the brokers; `None` means the public ones.
    pub(crate) authority: Option<String>,
    /// Our own certificate and key.
    pub(crate) identity: Option<TlsIdentity>,
    /// Whether a broker's certificate must be for the name by which it is reached.
    pub(crate) names: BrokerNames,
}

/// A client's certificate and key.
#[derive(Debug, Clone)]
pub(crate) struct TlsIdentity {
    /// PEM: the certificate, then those who vouch for it.
    pub(crate) certificates: String,
    /// PEM of the private key.
    pub(crate) key: Secret,
    /// What the key is encrypted with, if it is.
    pub(crate) key_password: Option<Secret>,
}

/// What a broker's certificate must say of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BrokerNames {
    /// The name or address by which the broker is reached.
    #[default]
    Checked,
    /// Anything: whoever has a certificate of the authority may pass for any broker.
    Unchecked,
}

impl Tls {
    /// Encryption with the public authorities' certificates, and no identity of our own.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts those whose certificates a PEM file holds, and nobody else.
    ///
    /// # Errors
    /// [`KafkaConfigError::Secret`].
    pub fn with_authority(self, file: impl AsRef<Path>) -> Result<Self, KafkaConfigError> {
        Ok(Self { authority: Some(read_text(file.as_ref())?), ..self })
    }

    /// Shows a certificate: PEM files of it and of its key.
    ///
    /// # Errors
    /// [`KafkaConfigError::Secret`].
    pub fn with_identity(self, certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, KafkaConfigError> {
        let certificates = read_text(certificate.as_ref())?;
        let key = Secret::new(read_text(key.as_ref())?);
        Ok(Self { identity: Some(TlsIdentity { certificates, key, key_password: None }), ..self })
    }

    /// Says what the key of the identity is encrypted with.
    ///
    /// # Errors
    /// [`KafkaConfigError::Incomplete`] if there is no identity yet.
    pub fn with_key_password(mut self, password: Secret) -> Result<Self, KafkaConfigError> {
        let missing =
            KafkaConfigError::Incomplete { setting: "the password of a key", needs: "the key: set the identity first" };
        self.identity.as_mut().ok_or(missing)?.key_password = Some(password);
        Ok(self)
    }

    /// Says whether brokers' names are checked.
    pub fn with_broker_names(self, names: BrokerNames) -> Self {
        Self { names, ..self }
    }
}

/// How we prove who we are.
#[derive(Clone)]
pub enum Sasl {
    /// The password as it is: only over TLS.
    Plain {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A proof of the password (RFC 5802).
    Scram {
        /// The hash.
        hash: ScramHash,
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// Tokens (RFC 7628).
    OauthBearer(Arc<dyn TokenProvider>),
}

/// The hash of SCRAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScramHash {
    /// SCRAM-SHA-256.
    Sha256,
    /// SCRAM-SHA-512.
    Sha512,
}

impl Sasl {
    /// The mechanism's registered name.
    pub fn mechanism(&self) -> &'static str {
        match self {
            Self::Plain { .. } => "PLAIN",
            Self::Scram { hash: ScramHash::Sha256, .. } => "SCRAM-SHA-256",
            Self::Scram { hash: ScramHash::Sha512, .. } => "SCRAM-SHA-512",
            Self::OauthBearer(_) => "OAUTHBEARER",
        }
    }
}

impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.mechanism())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_hosts_and_ports() {
        let good = |text: &str| parse_bootstrap(text).unwrap().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(good("one:9092, two:1,"), ["one:9092", "two:1"]);
        assert_eq!(good("[::1]:9092"), ["[::1]:9092"]);
        for bad in ["", ",", "one", "one:", ":9092", "one:0", "one:70000", "PLAINTEXT://one:9092", "a b:1"] {
            assert!(parse_bootstrap(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn who_we_are_is_printed_without_how_we_prove_it() {
        let sasl = Sasl::Plain { user: "ada".into(), password: Secret::new("tiger") };
        assert_eq!(format!("{sasl:?}"), "PLAIN");
    }
}
