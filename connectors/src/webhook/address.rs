//! The address of a webhook: which ones are allowed, and what of them may be shown.
//!
//! Paths and queries of webhooks often are their passwords, so only scheme, host and port are ever printed.

use std::fmt;

use url::Url;

use crate::config::ConfigError;

/// The URL of a webhook. `Debug` and `Display` show scheme, host and port.
///
/// ```
/// use millstream_connectors::webhook::WebhookUrl;
///
/// let url = WebhookUrl::new("https://hooks.example.com/services/T0/B1/secret")?;
/// assert_eq!(url.to_string(), "https://hooks.example.com");
/// # Ok::<(), millstream_connectors::ConfigError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl(Url);

impl WebhookUrl {
    /// Takes an `http` or `https` URL.
    ///
    /// # Errors
    /// [`ConfigError::BadValue`], which does not show the URL: for other schemes, a name or password in it, or a fragment.
    pub fn new(text: &str) -> Result<Self, ConfigError> {
        let bad = |expected: &str| {
            Err(ConfigError::BadValue { name: "http.url".into(), value: "***".into(), expected: expected.into() })
        };
        let Ok(url) = Url::parse(text.trim()) else {
            return bad(
                "a URL, such as https://hooks.example.com/orders, or a reference to one, ${env:VARIABLE} or ${file:PATH}",
            );
        };
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return bad("a URL that begins with https:// or http://");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return bad("a URL without name and password; give them in 'headers' as Authorization: ${env:VARIABLE}");
        }
        if url.fragment().is_some() {
            return bad("a URL without a fragment (#), which no server ever sees");
        }
        Ok(Self(url))
    }

    /// The whole URL, for the request.
    pub(super) fn reveal(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.0.host_str().unwrap_or_default())?;
        self.0.port().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}/***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_web_addresses_are_allowed_and_none_is_shown() {
        let check = |text: &str, part: &str| {
            let error = WebhookUrl::new(text).expect_err(text).to_string();
            assert!(error.contains(part) && !error.contains("tiger"), "{error}");
        };
        check("tiger", "a URL");
        check("file:///tiger", "https://");
        check("ftp://host/tiger", "https://");
        check("https://ada:tiger@host/", "without name and password");
        check("https://tiger@host/", "without name and password");
        check("https://host/#tiger", "fragment");
        let url = WebhookUrl::new("http://127.0.0.1:8080/tiger?token=tiger").expect("legal");
        assert_eq!(format!("{url} {url:?}"), "http://127.0.0.1:8080 http://127.0.0.1:8080/***");
    }
}
