//! Configurations as files of `key=value`, with the names that Kafka's own tools use.
//!
//! ```text
//! bootstrap.servers=one:9093,two:9093
//! security.protocol=SASL_SSL
//! sasl.mechanism=SCRAM-SHA-512
//! sasl.username=ada
//! sasl.password=${env:KAFKA_PASSWORD}
//! ssl.ca.location=/etc/kafka/ca.pem
//! fetch.max.bytes=8388608
//! ```
//!
//! A value `${env:NAME}` is that of a variable, `${file:PATH}` what a file holds. Instead of user and password, `sasl.jaas.config` is
//! understood as Kafka's tools write it.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use super::{
    BrokerNames, KafkaConfig, KafkaConfigError, Replication, Sasl, ScramHash, Secret, Tls, UnsecuredTokens,
    tunable::{self, TUNABLE},
};
use crate::secret::read_text;

/// What is understood beside the properties of the client library.
const OWN: &[&str] = &[
    "bootstrap.servers",
    "client.id",
    "client.rack",
    "group.instance.id",
    "group.protocol",
    "process.id",
    "replication.factor",
    "sasl.jaas.config",
    "sasl.mechanism",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.location",
    "ssl.key.password",
    "transaction.timeout.ms",
];

impl KafkaConfig {
    /// Takes the text of a file of `key=value` lines; `#` and `!` begin a comment.
    ///
    /// ```
    /// # use millstream::log::kafka::KafkaConfig;
    /// let config = KafkaConfig::parse("bootstrap.servers=127.0.0.1:9092\n# near\nclient.rack=r1\n")?;
    /// assert_eq!(config.bootstrap_servers(), "127.0.0.1:9092");
    /// # Ok::<(), millstream::log::kafka::KafkaConfigError>(())
    /// ```
    ///
    /// # Errors
    /// What is not `key=value`, not known, fixed, or has a value that cannot be.
    pub fn parse(text: &str) -> Result<Self, KafkaConfigError> {
        let mut pairs = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            let (key, value) = line.split_once('=').ok_or(KafkaConfigError::InvalidLine { line: at + 1 })?;
            pairs.push((key.trim().to_owned(), value.trim().to_owned()));
        }
        Self::from_properties(pairs)
    }

    /// Reads a file as [`parse`](Self::parse) takes it.
    ///
    /// # Errors
    /// [`KafkaConfigError::Secret`], and those of [`parse`](Self::parse).
    pub fn read(file: impl AsRef<Path>) -> Result<Self, KafkaConfigError> {
        Self::parse(&read_text(file.as_ref())?)
    }

    /// Takes names and values; the later of two with the same name counts.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn from_properties(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, KafkaConfigError> {
        let mut given = Given(pairs.into_iter().map(|(key, value)| (canonical(key), value)).collect());
        let servers = given.take("bootstrap.servers")?;
        let missing =
            KafkaConfigError::Incomplete { setting: "a Kafka connection", needs: "bootstrap.servers=host:port" };
        let mut config = Self::new(&servers.ok_or(missing)?)?;
        let security = given.security()?;
        config.connection.tls = security.is_encrypted().then(|| given.tls()).transpose()?;
        config.connection.sasl = security.is_authenticated().then(|| given.sasl()).transpose()?;
        given.own(config)?.properties_of(given)
    }

    /// The rest goes to the client library, as far as it may.
    fn properties_of(mut self, given: Given) -> Result<Self, KafkaConfigError> {
        for (name, value) in given.0 {
            if OWN.contains(&name.as_str()) {
                let problem =
                    "does not fit the security.protocol and sasl.mechanism: leave it out, or change those".to_owned();
                return Err(KafkaConfigError::InvalidValue { name, problem });
            }
            if !TUNABLE.iter().any(|tunable| tunable.name == name) {
                let known = OWN.iter().copied().chain(TUNABLE.iter().map(|tunable| tunable.name));
                return Err(tunable::refusal(&name, known));
            }
            self = self.with_property(&name, &value)?;
        }
        Ok(self)
    }
}

/// Other names for the same.
fn canonical(name: String) -> String {
    match name.as_str() {
        "metadata.broker.list" => "bootstrap.servers".to_owned(),
        "sasl.mechanisms" => "sasl.mechanism".to_owned(),
        "compression.codec" => "compression.type".to_owned(),
        "queue.buffering.max.ms" => "linger.ms".to_owned(),
        "fetch.message.max.bytes" => "max.partition.fetch.bytes".to_owned(),
        _ => name,
    }
}

#[derive(Debug, Clone, Copy)]
enum Protocol {
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

impl Protocol {
    fn is_encrypted(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    fn is_authenticated(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

/// What is left to be understood.
struct Given(BTreeMap<String, String>);

impl Given {
    /// Takes a value out, as it is or from where it points.
    fn take(&mut self, name: &str) -> Result<Option<String>, KafkaConfigError> {
        let Some(value) = self.0.remove(name) else { return Ok(None) };
        let inside = value.strip_prefix("${").and_then(|value| value.strip_suffix('}'));
        let secret = match inside.and_then(|inside| inside.split_once(':')) {
            Some(("env", variable)) => Secret::from_env(variable)?,
            Some(("file", file)) => Secret::from_file(file)?,
            Some(_) => return Err(invalid(name, "must be a value, ${env:NAME} or ${file:PATH}")),
            None => return Ok(Some(value)),
        };
        Ok(Some(secret.reveal().to_owned()))
    }

    fn need(&mut self, name: &'static str, setting: &'static str) -> Result<String, KafkaConfigError> {
        self.take(name)?.ok_or(KafkaConfigError::Incomplete { setting, needs: name })
    }

    fn security(&mut self) -> Result<Protocol, KafkaConfigError> {
        let word = self.take("security.protocol")?.map(|word| word.to_ascii_uppercase());
        match word.as_deref() {
            None | Some("PLAINTEXT") => Ok(Protocol::Plaintext),
            Some("SSL") => Ok(Protocol::Ssl),
            Some("SASL_PLAINTEXT") => Ok(Protocol::SaslPlaintext),
            Some("SASL_SSL") => Ok(Protocol::SaslSsl),
            Some(_) => Err(invalid("security.protocol", "must be one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL")),
        }
    }

    fn tls(&mut self) -> Result<Tls, KafkaConfigError> {
        let mut tls = Tls::new();
        if let Some(file) = self.take("ssl.ca.location")? {
            tls = tls.with_authority(file)?;
        }
        if let Some(certificate) = self.take("ssl.certificate.location")? {
            tls = tls.with_identity(certificate, self.need("ssl.key.location", "ssl.certificate.location")?)?;
        }
        if let Some(password) = self.take("ssl.key.password")? {
            tls = tls.with_key_password(Secret::new(password))?;
        }
        match self.take("ssl.endpoint.identification.algorithm")?.as_deref() {
            None | Some("https" | "HTTPS") => Ok(tls),
            Some("" | "none") => Ok(tls.with_broker_names(BrokerNames::Unchecked)),
            Some(_) => {
                Err(invalid("ssl.endpoint.identification.algorithm", "must be `https`, or `none` to check no names"))
            }
        }
    }

    fn sasl(&mut self) -> Result<Sasl, KafkaConfigError> {
        let mechanism = self.need("sasl.mechanism", "security.protocol=SASL_...")?;
        let jaas = self.take("sasl.jaas.config")?;
        let mut user = self.take("sasl.username")?;
        let mut password = self.take("sasl.password")?.map(Secret::new);
        if let Some(jaas) = jaas {
            let option = |name: &str| jaas_option(&jaas, name);
            user = user.or_else(|| option("username").or_else(|| option("unsecuredLoginStringClaim_sub")));
            password = password.or_else(|| option("password").map(Secret::new));
        }
        let user = user.ok_or(KafkaConfigError::Incomplete { setting: "sasl.mechanism", needs: "sasl.username" })?;
        let word = mechanism.to_ascii_uppercase();
        if word == "OAUTHBEARER" {
            return Ok(Sasl::OauthBearer(Arc::new(UnsecuredTokens::new(&user)?)));
        }
        let password =
            password.ok_or(KafkaConfigError::Incomplete { setting: "sasl.mechanism", needs: "sasl.password" })?;
        match word.as_str() {
            "PLAIN" => Ok(Sasl::Plain { user, password }),
            "SCRAM-SHA-256" => Ok(Sasl::Scram { hash: ScramHash::Sha256, user, password }),
            "SCRAM-SHA-512" => Ok(Sasl::Scram { hash: ScramHash::Sha512, user, password }),
            _ => Err(invalid("sasl.mechanism", "must be one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER")),
        }
    }

    fn own(&mut self, mut config: KafkaConfig) -> Result<KafkaConfig, KafkaConfigError> {
        if let Some(id) = self.take("client.id")? {
            config = config.with_client_id(&id);
        }
        if let Some(rack) = self.take("client.rack")? {
            config = config.with_rack(&rack);
        }
        if let Some(instance) = self.take("group.instance.id")? {
            config = config.with_instance(&instance);
        }
        if let Some(protocol) = self.take("group.protocol")? {
            config = config.with_group_protocol(protocol.parse()?);
        }
        if let Some(id) = self.take("process.id")? {
            config = config.with_process_id(id.parse()?);
        }
        if let Some(factor) = self.take("replication.factor")? {
            config = config.with_replication(replication(&factor)?);
        }
        if let Some(millis) = self.take("transaction.timeout.ms")? {
            let millis = millis.parse().map_err(|_| invalid("transaction.timeout.ms", "must be a whole number"))?;
            config = config.with_transaction_timeout(Duration::from_millis(millis))?;
        }
        Ok(config)
    }
}

fn replication(factor: &str) -> Result<Replication, KafkaConfigError> {
    match factor.parse::<i32>() {
        Ok(-1) => Ok(Replication::ClusterDefault),
        Ok(factor @ 1..=32_767) => Ok(Replication::Factor(factor as u16)),
        _ => Err(invalid("replication.factor", "must be from 1 to 32767, or -1 for the cluster's default")),
    }
}

fn invalid(name: &str, problem: &str) -> KafkaConfigError {
    KafkaConfigError::InvalidValue { name: name.to_owned(), problem: problem.to_owned() }
}

/// The option `name="value"` of a JAAS line.
fn jaas_option(jaas: &str, name: &str) -> Option<String> {
    let start = jaas.match_indices(name).find(|(at, _)| {
        let before = jaas[..*at].chars().next_back();
        before.is_none_or(char::is_whitespace) && jaas[at + name.len()..].trim_start().starts_with('=')
    });
    let rest = jaas[start?.0 + name.len()..].trim_start().strip_prefix('=')?.trim_start();
    match rest.strip_prefix('"') {
        Some(quoted) => unquote(quoted),
        None => rest.split([' ', ';']).next().map(str::to_owned),
    }
}

/// The text up to the closing quote; a backslash takes the next character as it is.
fn unquote(quoted: &str) -> Option<String> {
    let mut text = String::new();
    let mut characters = quoted.chars();
    loop {
        match characters.next()? {
            '"' => return Some(text),
            '\\' => text.push(characters.next()?),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::kafka::tunable::FIXED;

    fn refused(text: &str) -> String {
        KafkaConfig::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn a_file_of_kafkas_tools_is_understood() {
        let jaas =
            r#"org.apache.kafka.common.security.scram.ScramLoginModule required username="ada" password="ti\"ger; x";"#;
        let file = format!(
            "bootstrap.servers=a:1,b:2\nsecurity.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\nsasl.jaas.config={jaas}\n\
             fetch.max.bytes=4096\nreplication.factor=3\ntransaction.timeout.ms=20000\nprocess.id=p-1\n"
        );
        let config = KafkaConfig::parse(&file).unwrap();
        let Some(Sasl::Scram { hash: ScramHash::Sha512, user, password }) = &config.connection.sasl else {
            panic!("{config:?}")
        };
        assert_eq!((user.as_str(), password.reveal()), ("ada", "ti\"ger; x"));
        assert!(config.connection.tls.is_some());
        assert_eq!(config.replication, Replication::Factor(3));
        assert_eq!(config.property("fetch.max.bytes"), Some("4096"));
        assert_eq!(config.process_id().as_str(), "p-1");
        assert!(!format!("{config:?}").contains("ger"));
    }

    #[test]
    fn passwords_may_be_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "tiger\n").unwrap();
        let text = format!(
            "bootstrap.servers=a:1\nsecurity.protocol=sasl_plaintext\nsasl.mechanism=plain\nsasl.username=ada\nsasl.password=${{file:{}}}",
            file.display()
        );
        let config = KafkaConfig::parse(&text).unwrap();
        assert!(matches!(&config.connection.sasl, Some(Sasl::Plain { password, .. }) if password.reveal() == "tiger"));
        assert!(refused("bootstrap.servers=${env:MILLSTREAM_NO_SUCH}").contains("MILLSTREAM_NO_SUCH"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |line: &str, expected: &str| {
            let error = refused(&format!("bootstrap.servers=a:1\n{line}"));
            assert!(error.contains(expected), "{line}: {error}");
        };
        assert_eq!(refused(""), "a Kafka connection needs bootstrap.servers=host:port");
        check("nothing", "line 2");
        check("group.id=x", "the group is the application's name");
        check("security.protocol=tls", "one of PLAINTEXT");
        check("security.protocol=SASL_SSL", "needs sasl.mechanism");
        check("security.protocl=SSL", "did you mean `security.protocol`");
        check("sasl.password=secret", "does not fit the security.protocol");
        check("replication.factor=0", "from 1 to 32767");
        assert!(!refused("bootstrap.servers=a:1\nsasl.password=secret").contains("=secret"));
    }

    #[test]
    fn no_name_is_in_two_lists() {
        let twice = |name: &&&str| {
            TUNABLE.iter().any(|tunable| tunable.name == **name) || FIXED.iter().any(|(fixed, _)| *fixed == **name)
        };
        assert!(OWN.iter().find(twice).is_none());
    }
}
