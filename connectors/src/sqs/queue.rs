//! Which queue, and who asks: the settings that source and sink have in common.

use std::time::Duration;

use url::Url;

use super::AwsCredentials;
use crate::config::{ConfigError, Properties};

/// A queue and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqsQueue {
    /// Its URL (`'sqs.queue.url'`): requests go to the host in it, Amazon's or that of another server that speaks SQS. The queue is a FIFO
    /// queue if the URL ends in `.fifo`.
    pub url: Url,
    /// The region for which requests are signed (`'sqs.region'`; by default the one in the URL, `https://sqs.REGION.amazonaws.com/..`).
    pub region: String,
    /// Who asks.
    pub credentials: AwsCredentials,
    /// How long an answer may take, beside the time that a receive waits for messages (`'sqs.request.timeout.ms'`, default 10000).
    pub request_timeout: Duration,
}

/// What order a queue keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueKind {
    /// None, and a message may come more than once.
    Standard,
    /// That of sending, within each group of messages.
    Fifo,
}

impl SqsQueue {
    /// A queue with a request timeout of 10 s.
    ///
    /// # Errors
    /// [`ConfigError::BadValue`] if the URL is not that of a queue, [`ConfigError::Missing`] if there is no region and the URL names none.
    pub fn new(url: &str, region: Option<&str>, credentials: AwsCredentials) -> Result<Self, ConfigError> {
        let url = queue_url(url)?;
        let of_host = || {
            url.host_str().and_then(|host| host.strip_prefix("sqs.")).and_then(|rest| rest.split_once(".amazonaws."))
        };
        let region = region.or_else(|| of_host().map(|(region, _)| region)).map(str::to_owned);
        let region = region.filter(|region| !region.is_empty()).ok_or_else(|| ConfigError::Missing {
            names: "'sqs.region'; the URL of the queue does not name it".into(),
        })?;
        Ok(Self { url, region, credentials, request_timeout: Duration::from_secs(10) })
    }

    pub(super) fn from_properties(properties: &mut Properties, what: &str) -> Result<Self, ConfigError> {
        let url = properties.required("sqs.queue.url");
        let region = properties.optional("sqs.region");
        let access_key_id = properties.secret("aws.access.key.id")?;
        let secret_access_key = properties.secret("aws.secret.access.key")?;
        let session_token = properties.secret("aws.session.token")?;
        let timeout = properties.parsed("sqs.request.timeout.ms", 1, 10_000_u64, "milliseconds from 1 on")?;
        properties.complete(what)?;
        let (Some(access_key_id), Some(secret_access_key)) = (access_key_id, secret_access_key) else {
            let names = format!("'aws.access.key.id', 'aws.secret.access.key'; a {what} needs both");
            return Err(ConfigError::Missing { names });
        };
        let credentials = AwsCredentials { access_key_id, secret_access_key, session_token };
        let queue = Self::new(&url.unwrap_or_default(), region.as_deref(), credentials)?;
        Ok(Self { request_timeout: Duration::from_millis(timeout), ..queue })
    }

    /// What order it keeps, as its name says.
    pub fn kind(&self) -> QueueKind {
        if self.url.path().ends_with(".fifo") { QueueKind::Fifo } else { QueueKind::Standard }
    }

    /// The URL that requests go to: host and port of the queue's.
    pub(super) fn endpoint(&self) -> Url {
        let mut endpoint = self.url.clone();
        endpoint.set_path("/");
        endpoint
    }

    /// The host as requests name it, with the port unless it is the scheme's own.
    pub(super) fn host(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}

fn queue_url(text: &str) -> Result<Url, ConfigError> {
    let bad = |shown: &str, expected: &str| {
        Err(ConfigError::BadValue { name: "sqs.queue.url".into(), value: shown.into(), expected: expected.into() })
    };
    let Ok(url) = Url::parse(text.trim()) else {
        return bad(text, "the URL of a queue, such as https://sqs.eu-west-1.amazonaws.com/123456789012/orders");
    };
    if !url.username().is_empty() || url.password().is_some() {
        return bad(
            "***",
            "a URL without name and password; credentials are 'aws.access.key.id' and 'aws.secret.access.key'",
        );
    }
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return bad(text, "a URL that begins with https:// or http://");
    }
    if url.path().trim_matches('/').is_empty() || url.query().is_some() || url.fragment().is_some() {
        return bad(text, "a URL whose path is that of a queue, such as /123456789012/orders, and that ends with it");
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use millstream::secret::Secret;

    use super::*;

    fn queue(url: &str, region: Option<&str>) -> Result<SqsQueue, ConfigError> {
        let (access_key_id, secret_access_key) = (Secret::new("id"), Secret::new("key"));
        SqsQueue::new(url, region, AwsCredentials { access_key_id, secret_access_key, session_token: None })
    }

    #[test]
    fn the_url_says_where_in_which_region_and_what_kind() {
        let amazon = queue("https://sqs.eu-west-1.amazonaws.com/123456789012/orders.fifo", None).expect("legal");
        assert_eq!((amazon.region.as_str(), amazon.kind()), ("eu-west-1", QueueKind::Fifo));
        assert_eq!(
            (amazon.endpoint().as_str(), amazon.host().as_str()),
            ("https://sqs.eu-west-1.amazonaws.com/", "sqs.eu-west-1.amazonaws.com")
        );
        let local = queue("http://127.0.0.1:9324/000000000000/orders", Some("local")).expect("legal");
        assert_eq!((local.kind(), local.host().as_str()), (QueueKind::Standard, "127.0.0.1:9324"));
    }

    #[test]
    fn urls_that_are_none_of_a_queue_are_refused() {
        let check = |url: &str, part: &str| {
            let error = queue(url, Some("r")).expect_err(url).to_string();
            assert!(error.contains("sqs.queue.url") && error.contains(part) && !error.contains("tiger"), "{error}");
        };
        check("orders", "the URL of a queue");
        check("ftp://host/1/orders", "https://");
        check("https://name:tiger@host/1/orders", "without name and password");
        check("https://host/", "path");
        check("https://host/1/orders?a=b", "path");
        assert!(queue("https://host/1/orders", None).expect_err("no region").to_string().contains("sqs.region"));
    }
}
