//! A registry behind HTTP, as Confluent's Schema Registry, Karapace and Apicurio (at its `/apis/ccompat/v7`) speak it.
//!
//! Schemas by id are cached for ever. Requests that fail for reasons of the network or of an overloaded server are tried again a few times.
//! Name and password never appear in errors, logs or `Debug`.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::json;
use ureq::Agent;

use super::{
    Compatibility, RegistryError, Schema, SchemaId, SchemaReference, SchemaRegistry, SchemaType, SubjectVersion,
    Version, record::Reference,
};

/// How a server is reached. `Debug` shows neither name nor password.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfluentConfig {
    /// Its address: `http://host:8081`, with a path if it has one. A name and password in it (`http://name:password@host`) count as
    /// `credentials`.
    pub url: String,
    /// Name and password.
    pub credentials: Option<(String, String)>,
    /// How long a request may take.
    pub timeout: Duration,
    /// How long an answer may be, in bytes.
    pub max_response_bytes: u64,
}

impl ConfluentConfig {
    /// The defaults for an address: 10 s, 16 MiB.
    pub fn new(url: &str) -> Self {
        let mut url = url.trim_end_matches('/').to_owned();
        let mut credentials = None;
        if let Some((scheme, rest)) = url.clone().split_once("://") {
            let host = rest.find('/').unwrap_or(rest.len());
            if let Some((user, _)) = rest[..host].rsplit_once('@') {
                let (name, password) = user.split_once(':').unwrap_or((user, ""));
                credentials = Some((decode(name), decode(password)));
                url = format!("{scheme}://{}", &rest[user.len() + 1..]);
            }
        }
        Self { url, credentials, timeout: Duration::from_secs(10), max_response_bytes: 16 << 20 }
    }
}

/// Resolves `%40` and the like.
fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = hex.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| byte == b'%');
        out.push(code.unwrap_or(byte));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&out).into_owned()
}

impl fmt::Debug for ConfluentConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, credentials, timeout, max_response_bytes } = self;
        f.debug_struct("ConfluentConfig")
            .field("url", url)
            .field("credentials", &credentials.as_ref().map(|_| "hidden"))
            .field("timeout", timeout)
            .field("max_response_bytes", max_response_bytes)
            .finish()
    }
}

/// A registry behind HTTP.
pub struct ConfluentRegistry {
    config: ConfluentConfig,
    agent: Agent,
    schemas: Mutex<HashMap<SchemaId, Arc<Schema>>>,
}

impl fmt::Debug for ConfluentRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConfluentRegistry({})", self.config.url)
    }
}

const CONTENT: &str = "application/vnd.schemaregistry.v1+json";

/// How often a request is sent before its failure counts.
const ATTEMPTS: u32 = 3;

/// The pause after the first failure; it doubles.
const PAUSE: Duration = Duration::from_millis(100);

/// A schema as requests and answers have it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SchemaText {
    schema: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    schema_type: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    references: Vec<Reference>,
}

#[derive(Debug, Deserialize)]
struct VersionText {
    subject: String,
    version: u32,
    id: u32,
    #[serde(flatten)]
    schema: SchemaText,
}

#[derive(Debug, Deserialize)]
struct IdText {
    id: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    error_code: u32,
    message: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Level {
    compatibility_level: Option<String>,
    compatibility: Option<String>,
}

enum Method<'a> {
    Get,
    Delete,
    Post(&'a str),
    Put(&'a str),
}

/// What a server says of a request it does not do.
struct Refusal {
    status: u16,
    code: u32,
    message: String,
}

impl ConfluentRegistry {
    /// A client; nothing is sent yet.
    pub fn new(config: ConfluentConfig) -> Self {
        let agent = Agent::config_builder()
            .timeout_global(Some(config.timeout))
            .http_status_as_error(false)
            .max_redirects(3)
            .build()
            .new_agent();
        Self { config, agent, schemas: Mutex::new(HashMap::new()) }
    }

    fn unreachable(&self, problem: impl fmt::Display) -> RegistryError {
        RegistryError::Unreachable { url: self.config.url.clone(), problem: problem.to_string() }
    }

    fn refused(&self, refusal: Refusal) -> RegistryError {
        RegistryError::Refused { url: self.config.url.clone(), status: refusal.status, message: refusal.message }
    }

    fn once(&self, method: &Method<'_>, path: &str) -> Result<(u16, String), RegistryError> {
        let url = format!("{}{path}", self.config.url);
        let authorization = self
            .config
            .credentials
            .as_ref()
            .map(|(name, password)| format!("Basic {}", BASE64_STANDARD.encode(format!("{name}:{password}"))));
        macro_rules! send {
            ($request:expr, $send:ident($($body:expr)?)) => {{
                let mut request = $request.header("Accept", CONTENT);
                if let Some(authorization) = &authorization {
                    request = request.header("Authorization", authorization);
                }
                request.$send($($body)?)
            }};
        }
        let answer = match method {
            Method::Get => send!(self.agent.get(&url), call()),
            Method::Delete => send!(self.agent.delete(&url), call()),
            Method::Post(body) => send!(self.agent.post(&url).header("Content-Type", CONTENT), send(*body)),
            Method::Put(body) => send!(self.agent.put(&url).header("Content-Type", CONTENT), send(*body)),
        };
        let mut answer = answer.map_err(|error| self.unreachable(error))?;
        let status = answer.status().as_u16();
        let limited = answer.body_mut().with_config().limit(self.config.max_response_bytes);
        let body = limited.read_to_string().map_err(|error| self.unreachable(error))?;
        Ok((status, body))
    }

    /// Sends a request until it is answered; the refusal, if that is the answer.
    fn send(&self, method: &Method<'_>, path: &str) -> Result<Result<String, Refusal>, RegistryError> {
        let mut pause = PAUSE;
        for attempt in 1.. {
            let answer = self.once(method, path);
            let again = match &answer {
                Ok((status, _)) => matches!(status, 429 | 500..),
                Err(error) => error.is_retryable(),
            };
            if again && attempt < ATTEMPTS {
                std::thread::sleep(pause);
                pause *= 2;
                continue;
            }
            let (status, body) = answer?;
            if (200..300).contains(&status) {
                return Ok(Ok(body));
            }
            let Problem { error_code, message } = serde_json::from_str(&body).unwrap_or_default();
            let message = if message.is_empty() { body.chars().take(200).collect() } else { message };
            return Ok(Err(Refusal { status, code: error_code, message }));
        }
        Err(self.unreachable("no attempt was made"))
    }

    fn read<T: serde::de::DeserializeOwned>(&self, body: &str) -> Result<T, RegistryError> {
        serde_json::from_str(body).map_err(|error| self.unreachable(format!("it answers with something else: {error}")))
    }

    fn schema_of(&self, text: SchemaText) -> Result<Schema, RegistryError> {
        let name = text.schema_type.as_deref().unwrap_or("AVRO");
        let schema_type = SchemaType::from_name(name)
            .ok_or_else(|| self.unreachable(format!("it has a schema of the unknown type {name}")))?;
        let references = text.references.into_iter().map(SchemaReference::from).collect();
        Ok(Schema { schema_type, text: text.schema, references })
    }

    fn body(schema: &Schema) -> String {
        // Older servers know no types; for Avro none is needed.
        let schema_type = (schema.schema_type != SchemaType::Avro).then(|| schema.schema_type.name().to_owned());
        let references = schema.references.iter().map(Reference::from).collect();
        let text = SchemaText { schema: schema.text.clone(), schema_type, references };
        serde_json::to_string(&text).expect("texts and numbers are JSON")
    }

    fn version_of(&self, body: &str) -> Result<SubjectVersion, RegistryError> {
        let VersionText { subject, version, id, schema } = self.read(body)?;
        let (id, schema) = (SchemaId(id), Arc::new(self.schema_of(schema)?));
        self.schemas.lock().insert(id, Arc::clone(&schema));
        Ok(SubjectVersion { subject, version, id, schema })
    }
}

/// A part of a path.
fn encode(part: &str) -> String {
    let mut out = String::with_capacity(part.len());
    for byte in part.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

const UNKNOWN_SUBJECT: u32 = 40401;
const UNKNOWN_VERSION: u32 = 40402;

impl SchemaRegistry for ConfluentRegistry {
    fn register(&self, subject: &str, schema: &Schema) -> Result<SchemaId, RegistryError> {
        let path = format!("/subjects/{}/versions", encode(subject));
        match self.send(&Method::Post(&Self::body(schema)), &path)? {
            Ok(body) => {
                let IdText { id } = self.read(&body)?;
                Ok(SchemaId(id))
            }
            Err(refusal) if refusal.status == 409 => Err(RegistryError::Incompatible {
                subject: subject.to_owned(),
                version: self.versions(subject).ok().and_then(|versions| versions.last().copied()).unwrap_or(0),
                level: self.compatibility(Some(subject)).map_or("unknown level", Compatibility::name),
                problem: refusal.message,
            }),
            Err(refusal) if refusal.status == 422 => Err(RegistryError::InvalidSchema { problem: refusal.message }),
            Err(refusal) => Err(self.refused(refusal)),
        }
    }

    fn schema(&self, id: SchemaId) -> Result<Arc<Schema>, RegistryError> {
        if let Some(schema) = self.schemas.lock().get(&id) {
            return Ok(Arc::clone(schema));
        }
        match self.send(&Method::Get, &format!("/schemas/ids/{id}"))? {
            Ok(body) => {
                let schema = Arc::new(self.schema_of(self.read(&body)?)?);
                self.schemas.lock().insert(id, Arc::clone(&schema));
                Ok(schema)
            }
            Err(refusal) if refusal.status == 404 => Err(RegistryError::UnknownId { id }),
            Err(refusal) => Err(self.refused(refusal)),
        }
    }

    fn version(&self, subject: &str, version: Version) -> Result<SubjectVersion, RegistryError> {
        let number = match version {
            Version::Latest => "latest".to_owned(),
            Version::Number(number) => number.to_string(),
        };
        match self.send(&Method::Get, &format!("/subjects/{}/versions/{number}", encode(subject)))? {
            Ok(body) => self.version_of(&body),
            Err(refusal) => Err(match (refusal.code, version) {
                (UNKNOWN_VERSION, Version::Number(version)) => {
                    RegistryError::UnknownVersion { subject: subject.to_owned(), version }
                }
                _ if refusal.status == 404 => RegistryError::UnknownSubject { subject: subject.to_owned() },
                _ => self.refused(refusal),
            }),
        }
    }

    fn find(&self, subject: &str, schema: &Schema) -> Result<Option<SubjectVersion>, RegistryError> {
        match self.send(&Method::Post(&Self::body(schema)), &format!("/subjects/{}", encode(subject)))? {
            Ok(body) => self.version_of(&body).map(Some),
            Err(refusal) if refusal.status == 404 => Ok(None),
            Err(refusal) => Err(self.refused(refusal)),
        }
    }

    fn subjects(&self) -> Result<Vec<String>, RegistryError> {
        match self.send(&Method::Get, "/subjects")? {
            Ok(body) => {
                let mut subjects: Vec<String> = self.read(&body)?;
                subjects.sort();
                Ok(subjects)
            }
            Err(refusal) => Err(self.refused(refusal)),
        }
    }

    fn versions(&self, subject: &str) -> Result<Vec<u32>, RegistryError> {
        match self.send(&Method::Get, &format!("/subjects/{}/versions", encode(subject)))? {
            Ok(body) => self.read(&body),
            Err(refusal) if refusal.code == UNKNOWN_SUBJECT || refusal.status == 404 => {
                Err(RegistryError::UnknownSubject { subject: subject.to_owned() })
            }
            Err(refusal) => Err(self.refused(refusal)),
        }
    }

    fn delete_subject(&self, subject: &str) -> Result<Vec<u32>, RegistryError> {
        match self.send(&Method::Delete, &format!("/subjects/{}", encode(subject)))? {
            Ok(body) => self.read(&body),
            Err(refusal) if refusal.status == 404 => Err(RegistryError::UnknownSubject { subject: subject.to_owned() }),
            Err(refusal) => Err(self.refused(refusal)),
        }
    }

    fn compatibility(&self, subject: Option<&str>) -> Result<Compatibility, RegistryError> {
        let path = subject.map_or("/config".to_owned(), |subject| format!("/config/{}", encode(subject)));
        match self.send(&Method::Get, &path)? {
            Ok(body) => {
                let Level { compatibility_level, compatibility } = self.read(&body)?;
                let name = compatibility_level.or(compatibility).unwrap_or_default();
                Compatibility::from_name(&name)
                    .ok_or_else(|| self.unreachable(format!("it has the unknown compatibility {name:?}")))
            }
            Err(refusal) if refusal.status == 404 && subject.is_some() => self.compatibility(None),
            Err(refusal) => Err(self.refused(refusal)),
        }
    }

    fn set_compatibility(&self, subject: Option<&str>, level: Compatibility) -> Result<(), RegistryError> {
        let path = subject.map_or("/config".to_owned(), |subject| format!("/config/{}", encode(subject)));
        let body = json!({"compatibility": level.name()}).to_string();
        self.send(&Method::Put(&body), &path)?.map(drop).map_err(|refusal| self.refused(refusal))
    }
}

#[cfg(test)]
mod tests;
