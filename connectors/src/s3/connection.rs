//! A bucket: where it is, and the calls that are made to it.
//!
//! The library below is asynchronous; a small runtime of its own turns each call into a blocking one with a time limit. A call is tried again
//! at once a few times by the library; longer patience is the connector runtime's. Answers that nobody can wait away (no such bucket, refused
//! credentials, a wrong region) are told from those that pass.

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use millstream::{connect::ConnectError, secret::Secret};
use object_store::{
    BackoffConfig, ClientOptions, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    PutPayload, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    multipart::{MultipartStore, PartId},
    path::Path,
};

use crate::config::{ConfigError, Properties};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the library tries a call again by itself.
const QUICK_RETRIES: usize = 2;
/// How many objects are put, or deleted, at the same time.
const CALLS_AT_ONCE: usize = 8;

/// A bucket and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Bucket {
    /// The bucket (`'s3.bucket.name'`).
    pub name: String,
    /// The region (`'s3.region'`, default `us-east-1`).
    pub region: String,
    /// Another server than Amazon's (`'store.url'`), such as `http://127.0.0.1:9000`; the bucket is then part of the path.
    pub store_url: Option<String>,
    /// `'aws.access.key.id'` and `'aws.secret.access.key'`; `None`: what the machine has been given by Amazon (web identity, instance role).
    pub keys: Option<(Secret, Secret)>,
    /// Goes with keys that are valid for a while (`'aws.session.token'`).
    pub session_token: Option<Secret>,
    /// After how long a call has failed (`'s3.timeout.ms'`, default 30 s).
    pub timeout: Duration,
}

impl S3Bucket {
    /// A bucket of Amazon's in `us-east-1`, with the keys of the machine.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            region: "us-east-1".to_owned(),
            store_url: None,
            keys: None,
            session_token: None,
            timeout: Duration::from_secs(30),
        }
    }

    pub(super) fn from_properties(properties: &mut Properties) -> Result<Self, ConfigError> {
        let name = properties.required("s3.bucket.name");
        let region = properties.optional("s3.region");
        let store_url = properties.optional("store.url");
        let keys = match (properties.secret("aws.access.key.id")?, properties.secret("aws.secret.access.key")?) {
            (Some(id), Some(key)) => Some((id, key)),
            (None, None) => None,
            (Some(_), None) => return Err(alone("aws.access.key.id", "aws.secret.access.key")),
            (None, Some(_)) => return Err(alone("aws.secret.access.key", "aws.access.key.id")),
        };
        let session_token = properties.secret("aws.session.token")?;
        let timeout_ms = properties.parsed("s3.timeout.ms", 100_u64, 30_000, "milliseconds, 100 or more")?;
        if let Some(url) = &store_url {
            check_url(url)?;
        }
        let new = Self::new(name.unwrap_or_default());
        let region = region.unwrap_or_else(|| new.region.clone());
        Ok(Self { region, store_url, keys, session_token, timeout: Duration::from_millis(timeout_ms), ..new })
    }

    /// How it is called in messages.
    pub(crate) fn system(&self) -> String {
        match &self.store_url {
            None => format!("s3 bucket {}", self.name),
            Some(url) => format!("s3 bucket {} at {url}", self.name),
        }
    }
}

fn alone(name: &str, other: &str) -> ConfigError {
    ConfigError::Conflict {
        name: name.into(),
        other: format!("no '{other}'"),
        reason: "both are given, or neither".into(),
    }
}

fn check_url(url: &str) -> Result<(), ConfigError> {
    let parsed = url::Url::parse(url).ok().filter(|parsed| matches!(parsed.scheme(), "http" | "https"));
    if parsed
        .is_some_and(|parsed| parsed.username().is_empty() && parsed.password().is_none() && parsed.query().is_none())
    {
        return Ok(());
    }
    let expected = "the address of a server, http:// or https://, without credentials in it".into();
    // The text may hold a password, so it is not repeated.
    Err(ConfigError::BadValue { name: "store.url".into(), value: "***".into(), expected })
}

/// What became of an object that was to be put where there was none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    Done,
    /// Something is there already. If the call was repeated on its way, that may be what was put.
    Exists,
}

/// An open connection to a bucket.
pub(super) struct Connection {
    store: Arc<AmazonS3>,
    runtime: tokio::runtime::Runtime,
    system: String,
    bucket: String,
    timeout: Duration,
}

impl Connection {
    pub(super) fn open(of: &S3Bucket) -> Result<Self, ConnectError> {
        let system = of.system();
        let refused = |problem: String| ConnectError::Input { input: system.clone(), problem };
        let options =
            ClientOptions::new().with_allow_http(true).with_connect_timeout(CONNECT_TIMEOUT).with_timeout(of.timeout);
        let retry = RetryConfig {
            backoff: BackoffConfig { init_backoff: Duration::from_millis(50), ..BackoffConfig::default() },
            max_retries: QUICK_RETRIES,
            retry_timeout: of.timeout,
        };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&of.name)
            .with_region(&of.region)
            .with_client_options(options)
            .with_retry(retry);
        if let Some(url) = &of.store_url {
            builder = builder.with_endpoint(url).with_virtual_hosted_style_request(false);
        }
        if let Some((id, key)) = &of.keys {
            builder = builder.with_access_key_id(id.reveal()).with_secret_access_key(key.reveal());
        }
        if let Some(token) = &of.session_token {
            builder = builder.with_token(token.reveal());
        }
        let store = Arc::new(builder.build().map_err(|error| refused(error.to_string()))?);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| refused(format!("no runtime for its calls ({error})")))?;
        Ok(Self { store, runtime, system, bucket: of.name.clone(), timeout: of.timeout })
    }

    /// Waits for a call, its quick repetitions included.
    fn wait<T>(&self, action: &str, call: impl Future<Output = object_store::Result<T>>) -> Result<T, ConnectError> {
        let limit = self.timeout * 2;
        match self.runtime.block_on(async { tokio::time::timeout(limit, call).await }) {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(self.failure(action, error)),
            Err(_) => Err(ConnectError::Outside {
                system: self.system.clone(),
                problem: format!("cannot {action}: no answer within {limit:?}"),
                retryable: true,
                source: None,
            }),
        }
    }

    fn failure(&self, action: &str, error: object_store::Error) -> ConnectError {
        let text = chain(&error);
        let (problem, retryable) = diagnose(&error, &text, &self.bucket);
        ConnectError::Outside {
            system: self.system.clone(),
            problem: format!("cannot {action}: {problem}"),
            retryable,
            source: None,
        }
    }

    /// Puts an object where there is none.
    pub(super) fn put_new(&self, key: &str, content: Vec<u8>) -> Result<Put, ConnectError> {
        self.put_all_new(vec![(key.to_owned(), Bytes::from(content))]).map(|puts| puts[0])
    }

    /// Puts objects where there are none, several at a time.
    pub(super) fn put_all_new(&self, objects: Vec<(String, Bytes)>) -> Result<Vec<Put>, ConnectError> {
        let store = &self.store;
        let puts = objects.into_iter().map(|(key, content)| async move {
            let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
            match store.put_opts(&path(&key)?, PutPayload::from_bytes(content), options).await {
                Ok(_) => Ok(Put::Done),
                Err(object_store::Error::AlreadyExists { .. }) => Ok(Put::Exists),
                Err(error) => Err(error),
            }
        });
        self.wait("put objects", stream::iter(puts).buffered(CALLS_AT_ONCE).try_collect())
    }

    /// The content of an object of at most `bytes_max`; `None` if it is not there.
    pub(super) fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Bytes>, ConnectError> {
        let call = async {
            let got = match self.store.get(&path(key)?).await {
                Err(object_store::Error::NotFound { source, .. }) if !names_no_bucket(&source.to_string()) => {
                    return Ok(None);
                }
                got => got?,
            };
            if got.meta.size > bytes_max {
                let source = format!("it has {} bytes, more than {bytes_max}", got.meta.size).into();
                return Err(object_store::Error::Generic { store: "S3", source });
            }
            got.bytes().await.map(Some)
        };
        self.wait(&format!("get {key}"), call)
    }

    /// A part of an object, if it still has this ETag.
    pub(super) fn get_range(&self, meta: &ObjectMeta, range: std::ops::Range<u64>) -> Result<Bytes, ConnectError> {
        let options =
            GetOptions { if_match: meta.e_tag.clone(), range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let call = async { self.store.get_opts(&meta.location, options).await?.bytes().await };
        self.wait(&format!("get {}", meta.location), call)
    }

    /// The objects under a prefix, in the order of their keys; with `after` only those behind that key.
    pub(super) fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<ObjectMeta>, ConnectError> {
        let call = async {
            let prefix = path(prefix)?;
            let prefix = (!prefix.as_ref().is_empty()).then_some(prefix);
            let listed = match after {
                Some(after) => self.store.list_with_offset(prefix.as_ref(), &path(after)?),
                None => self.store.list(prefix.as_ref()),
            };
            let mut objects: Vec<ObjectMeta> = listed.try_collect().await?;
            objects.sort_by(|a, b| a.location.as_ref().cmp(b.location.as_ref()));
            Ok(objects)
        };
        self.wait("list objects", call)
    }

    /// Removes objects, several at a time; they may be gone already.
    pub(super) fn delete_all(&self, keys: &[String]) -> Result<(), ConnectError> {
        let store = &self.store;
        let delete = |key: String| async move {
            match store.delete(&path(&key)?).await {
                Err(object_store::Error::NotFound { source, .. }) if !names_no_bucket(&source.to_string()) => Ok(()),
                deleted => deleted,
            }
        };
        // The time limit is for so many calls as go side by side.
        keys.chunks(CALLS_AT_ONCE).try_for_each(|keys| {
            self.wait("delete objects", futures::future::try_join_all(keys.iter().cloned().map(delete))).map(drop)
        })
    }

    /// Begins an object of parts; returns the upload's name.
    pub(super) fn create_upload(&self, key: &str) -> Result<String, ConnectError> {
        self.wait(&format!("begin to put {key}"), async { self.store.create_multipart(&path(key)?).await })
    }

    pub(super) fn put_part(
        &self,
        key: &str,
        upload: &str,
        part: usize,
        content: Vec<u8>,
    ) -> Result<PartId, ConnectError> {
        let call = async { self.store.put_part(&path(key)?, &upload.to_owned(), part, content.into()).await };
        self.wait(&format!("put part {} of {key}", part + 1), call)
    }

    /// Makes the object of its parts.
    pub(super) fn complete_upload(&self, key: &str, upload: &str, parts: Vec<PartId>) -> Result<(), ConnectError> {
        let call = async { self.store.complete_multipart(&path(key)?, &upload.to_owned(), parts).await.map(|_| ()) };
        self.wait(&format!("finish {key}"), call)
    }

    /// Gives up the parts; they may be gone already.
    pub(super) fn abort_upload(&self, key: &str, upload: &str) -> Result<(), ConnectError> {
        let call = async {
            match self.store.abort_multipart(&path(key)?, &upload.to_owned()).await {
                Err(error) if chain(&error).contains("NoSuchUpload") => Ok(()),
                aborted => aborted,
            }
        };
        self.wait(&format!("give up the parts of {key}"), call)
    }
}

fn path(key: &str) -> object_store::Result<Path> {
    Ok(Path::parse(key)?)
}

fn names_no_bucket(text: &str) -> bool {
    text.contains("NoSuchBucket")
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// What is wrong, for people, and whether it may pass.
fn diagnose(error: &object_store::Error, text: &str, bucket: &str) -> (String, bool) {
    let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(code, _)| code);
    if names_no_bucket(text) {
        return (format!("there is no bucket {bucket}; create it, or correct 's3.bucket.name'"), false);
    }
    if code == Some("NoSuchUpload") {
        // Either way the sink is opened anew, which tells.
        let why = "its parts were given up by another writer, or it was finished by a call whose answer was lost";
        return (why.to_owned(), true);
    }
    let status = text.split_once("status code: ").map(|(_, rest)| rest.chars().take(3).collect::<String>());
    if matches!(error, object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. })
        || status.as_deref().is_some_and(|status| matches!(status, "401" | "403"))
    {
        let code = code.unwrap_or("no reason given");
        let problem = format!(
            "the server refuses the credentials ({code}); check 'aws.access.key.id', 'aws.secret.access.key' and what they are allowed to do"
        );
        return (problem, false);
    }
    if text.contains("redirect without LOCATION") {
        return ("the bucket is in another region; correct 's3.region'".to_owned(), false);
    }
    let passes = |status: &str| ["408", "409", "412", "425", "429"].contains(&status);
    let is_refusal = status.as_deref().is_some_and(|status| status.starts_with('4') && !passes(status));
    let short: String = text.chars().take(400).collect();
    match code {
        Some(code) if is_refusal => (format!("the server refuses it ({code}): {short}"), false),
        _ => (short, !is_refusal && !matches!(error, object_store::Error::InvalidPath { .. })),
    }
}
