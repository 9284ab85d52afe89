//! The name of a process among those that share a cluster.

use std::{fmt, str::FromStr};

use ring::rand::{SecureRandom, SystemRandom};

use super::KafkaConfigError;

/// Names a process: random, or one that lasts over restarts. It is part of the names under which the process writes, so two
/// processes that run at the same time must not have the same one: the later would fence the earlier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessId(String);

impl ProcessId {
    /// A new one that no other process has: a random UUID (RFC 9562, version 4).
    ///
    /// # Panics
    /// If the operating system has no random numbers.
    pub fn random() -> Self {
        let mut bytes = [0_u8; 16];
        SystemRandom::new().fill(&mut bytes).expect("every supported system has a source of random numbers");
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Self([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProcessId {
    type Err = KafkaConfigError;

    fn from_str(text: &str) -> Result<Self, KafkaConfigError> {
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if (1..=100).contains(&text.len()) && text.bytes().all(is_legal) {
            return Ok(Self(text.to_owned()));
        }
        let problem = "must be 1 to 100 of the characters a-z A-Z 0-9 . _ -".to_owned();
        Err(KafkaConfigError::InvalidValue { name: "process.id".to_owned(), problem })
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_ids_are_uuids_of_version_4() {
        let id = ProcessId::random();
        assert_eq!((id.as_str().len(), &id.as_str()[14..15]), (36, "4"));
        assert_ne!(id, ProcessId::random());
        assert!("a b".parse::<ProcessId>().is_err());
    }
}
