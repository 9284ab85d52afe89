//! The headers that every request of a webhook has: `Name: value|Name: value`, where a value may end in a reference to a secret.

use millstream::secret::Secret;
use ureq::http::{HeaderName, HeaderValue};

use crate::config::ConfigError;

/// A header of every request; its value is never printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookHeader {
    /// The name, in lower case.
    pub name: String,
    /// The value.
    pub value: Secret,
}

/// Headers that are not for users to set.
const OURS: [&str; 7] =
    ["host", "content-length", "content-type", "transfer-encoding", "connection", "idempotency-key", "expect"];
/// Headers whose value is a secret.
const SECRET: [&str; 6] = ["authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "x-auth-token"];

impl WebhookHeader {
    /// A header.
    ///
    /// # Errors
    /// [`ConfigError::BadValue`] if HTTP has no such name or value, or the connector sets this header itself. The value is not shown.
    pub fn new(name: &str, value: Secret) -> Result<Self, ConfigError> {
        let name = name.trim().to_ascii_lowercase();
        if HeaderName::from_bytes(name.as_bytes()).is_err() {
            return Err(bad(&name, "names of HTTP headers: Name: value|Name: value"));
        }
        if OURS.contains(&name.as_str()) {
            return Err(bad(
                &name,
                "headers that the connector does not set itself (the type of the body is 'content.type')",
            ));
        }
        if HeaderValue::from_str(value.reveal()).is_err() {
            return Err(bad(&name, "headers whose values are text without line breaks"));
        }
        Ok(Self { name, value })
    }

    /// Reads `Name: value|Name: Bearer ${env:TOKEN}`.
    pub(super) fn parse_all(text: &str) -> Result<Vec<Self>, ConfigError> {
        text.split('|').filter(|part| !part.trim().is_empty()).map(Self::parse).collect()
    }

    fn parse(text: &str) -> Result<Self, ConfigError> {
        let Some((name, value)) = text.split_once(':') else {
            return Err(bad("***", "headers with names: Name: value|Name: value"));
        };
        let (name, value) = (name.trim(), value.trim());
        let Some(start) = value.find("${") else {
            if SECRET.contains(&name.to_ascii_lowercase().as_str()) {
                let expected = "headers whose secrets are not written down: name where the value is as ${env:VARIABLE} or ${file:PATH}";
                return Err(bad(name, expected));
            }
            return Self::new(name, Secret::new(value));
        };
        let secret = Secret::from_reference(&value[start..])
            .map_err(|error| ConfigError::Secret { name: format!("headers, {name}"), problem: error.to_string() })?;
        Self::new(name, Secret::new(format!("{}{}", &value[..start], secret.reveal())))
    }
}

fn bad(shown: &str, expected: &str) -> ConfigError {
    ConfigError::BadValue { name: "headers".into(), value: shown.into(), expected: expected.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_end_in_secrets() {
        let folder = tempfile::tempdir().expect("a directory is made");
        let file = folder.path().join("token");
        std::fs::write(&file, "tiger\n").expect("written");
        let text = format!("X-Team: a:b | Authorization: Bearer ${{file:{}}}", file.display());
        let headers = WebhookHeader::parse_all(&text).expect("legal");
        let shown: Vec<(&str, &str)> =
            headers.iter().map(|header| (header.name.as_str(), header.value.reveal())).collect();
        assert_eq!(shown, [("x-team", "a:b"), ("authorization", "Bearer tiger")]);
        assert!(!format!("{headers:?}").contains("tiger"));
    }

    #[test]
    fn what_is_no_header_or_no_secret_is_refused() {
        let check = |text: &str, part: &str| {
            let error = WebhookHeader::parse_all(text).expect_err(text).to_string();
            assert!(error.contains("headers") && error.contains(part) && !error.contains("tiger"), "{error}");
        };
        check("tiger", "with names");
        check("a b: c", "names of HTTP headers");
        check("Host: tiger", "does not set itself");
        check("Authorization: Bearer tiger", "not written down");
        check("A: b\nC: tiger", "line breaks");
        check("Authorization: ${env:MILLSTREAM_NO_SUCH_VARIABLE}", "MILLSTREAM_NO_SUCH_VARIABLE");
    }
}
