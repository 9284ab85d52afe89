//! Requests to a queue: signed, limited in time and size, tried again where that is safe, and their failures in words.
//!
//! Every request may be sent twice without harm: a repeated receive costs messages a visibility timeout, repeated deletions and extensions
//! change nothing, a repeated sending is told by its deduplication id or makes a duplicate that at-least-once allows.

use std::{sync::Arc, time::Duration};

use millstream::{connect::ConnectError, record::Timestamp};
use serde::{Serialize, de::DeserializeOwned};
use ureq::Agent;

use super::{
    SqsQueue,
    protocol::{Batch, BatchAnswer, ChangeVisibility, Delete, Receive, Received, Refused, Send},
    signature::{Scope, Unsigned, sign},
};
use crate::runtime::{Clock, StopSignal};

const CONTENT_TYPE: &str = "application/x-amz-json-1.0";

/// Longest answer: ten messages of 1 MiB, each byte escaped.
const ANSWER_BYTES: u64 = 64 << 20;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a request is sent before its failure counts, and the pauses between.
const ATTEMPTS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// How often a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// Until it succeeds or has failed three times.
    Thorough,
    /// Once, and not for long: what is wanted is not needed.
    Slight,
}

/// Speaks to one queue. Cloning is cheap; clones share connections.
#[derive(Clone)]
pub(super) struct SqsClient {
    queue: Arc<SqsQueue>,
    endpoint: Arc<str>,
    host: Arc<str>,
    agent: Agent,
    clock: Arc<dyn Clock>,
}

/// How long a receive waits for messages, and how long those it brings are invisible to others; in seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReceiveTimes {
    pub(super) wait: u32,
    pub(super) visibility: u32,
}

impl SqsClient {
    pub(super) fn new(queue: SqsQueue, clock: Arc<dyn Clock>) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .max_idle_connections_per_host(16)
            .build()
            .new_agent();
        let (endpoint, host) = (queue.endpoint().as_str().into(), queue.host().into());
        Self { queue: Arc::new(queue), endpoint, host, agent, clock }
    }

    pub(super) fn queue(&self) -> &SqsQueue {
        &self.queue
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Lets some time pass.
    pub(super) fn pause(&self, duration: Duration) {
        self.clock.wait(duration, &StopSignal::default());
    }

    /// Up to `most` messages; waits for the first of them.
    pub(super) fn receive(&self, most: u32, times: ReceiveTimes) -> Result<Received, ConnectError> {
        let request = Receive {
            queue_url: self.queue.url.as_str(),
            max_number_of_messages: most,
            visibility_timeout: times.visibility,
            wait_time_seconds: times.wait,
            message_system_attribute_names: ["All"],
            attribute_names: ["All"],
            message_attribute_names: ["All"],
        };
        let patience = self.queue.request_timeout + Duration::from_secs(times.wait.into());
        self.call("ReceiveMessage", &request, patience, ATTEMPTS)
    }

    pub(super) fn send(&self, entries: Vec<Send<'_>>) -> Result<BatchAnswer, ConnectError> {
        self.batch("SendMessageBatch", entries, Effort::Thorough)
    }

    pub(super) fn delete(&self, entries: Vec<Delete<'_>>) -> Result<BatchAnswer, ConnectError> {
        self.batch("DeleteMessageBatch", entries, Effort::Thorough)
    }

    pub(super) fn change_visibility(
        &self,
        entries: Vec<ChangeVisibility<'_>>,
        effort: Effort,
    ) -> Result<BatchAnswer, ConnectError> {
        self.batch("ChangeMessageVisibilityBatch", entries, effort)
    }

    fn batch<E: Serialize>(&self, action: &str, entries: Vec<E>, effort: Effort) -> Result<BatchAnswer, ConnectError> {
        let request = Batch { queue_url: self.queue.url.as_str(), entries };
        let (patience, attempts) = match effort {
            Effort::Thorough => (self.queue.request_timeout, ATTEMPTS),
            Effort::Slight => (self.queue.request_timeout.min(Duration::from_secs(2)), 1),
        };
        self.call(action, &request, patience, attempts)
    }

    fn call<A: DeserializeOwned>(
        &self,
        action: &str,
        request: &impl Serialize,
        patience: Duration,
        attempts: u32,
    ) -> Result<A, ConnectError> {
        let body = serde_json::to_vec(request).expect("texts and numbers are JSON");
        let mut pause = FIRST_PAUSE;
        for _ in 1..attempts {
            match self.call_once(action, &body, patience) {
                Err(error) if error.is_retryable() => self.pause(pause),
                answer => return answer,
            }
            pause *= 3;
        }
        self.call_once(action, &body, patience)
    }

    fn call_once<A: DeserializeOwned>(&self, action: &str, body: &[u8], patience: Duration) -> Result<A, ConnectError> {
        let target = format!("AmazonSQS.{action}");
        let headers = [("content-type", CONTENT_TYPE), ("host", &self.host), ("x-amz-target", &target)];
        let unsigned = Unsigned { method: "POST", path: "/", headers: &headers, body };
        let scope = Scope { region: &self.queue.region, service: "sqs" };
        let mut request = self.agent.post(&*self.endpoint).config().timeout_global(Some(patience)).build();
        request = request.header("content-type", CONTENT_TYPE).header("x-amz-target", &target);
        for (name, value) in sign(&unsigned, &self.queue.credentials, scope, self.now()) {
            request = request.header(name, value);
        }
        let unreachable = |error: ureq::Error| {
            self.outside(format!("{action}: it cannot be reached: {error}"), true, Some(Box::new(error)))
        };
        let mut answer = request.send(body).map_err(unreachable)?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().with_config().limit(ANSWER_BYTES).read_to_vec().map_err(unreachable)?;
        if status != 200 {
            return Err(self.refused(action, status, &text));
        }
        // Operations without a result may be answered by nothing at all.
        let text = if text.is_empty() { b"{}".as_slice() } else { &text };
        serde_json::from_slice(text).map_err(|error| {
            self.outside(format!("{action}: it answers with something else: {error}"), true, Some(Box::new(error)))
        })
    }

    fn refused(&self, action: &str, status: u16, text: &[u8]) -> ConnectError {
        let refused: Refused = serde_json::from_slice(text).unwrap_or_default();
        let code = refused.kind.rsplit('#').next().unwrap_or_default();
        let said = match refused.message.or(refused.message_too) {
            Some(message) => message,
            None => String::from_utf8_lossy(text).chars().take(200).collect(),
        };
        let retryable = status >= 500 || status == 429 || is_passing(code);
        let advice = advice(code, status);
        self.outside(format!("{action}: status {status} {code}: {said}{advice}"), retryable, None)
    }

    pub(super) fn outside(
        &self,
        problem: String,
        retryable: bool,
        source: Option<Box<dyn std::error::Error + std::marker::Send + Sync>>,
    ) -> ConnectError {
        ConnectError::Outside { system: format!("SQS queue {}", self.queue.url), problem, retryable, source }
    }
}

/// Whether a refusal may pass by itself.
pub(super) fn is_passing(code: &str) -> bool {
    const PASSING: [&str; 5] = ["throttl", "overlimit", "toomanyrequests", "internal", "unavailable"];
    let code = code.to_ascii_lowercase();
    PASSING.iter().any(|part| code.contains(part))
}

/// What to do about a refusal.
fn advice(code: &str, status: u16) -> &'static str {
    let code = code.to_ascii_lowercase();
    let is = |parts: &[&str]| parts.iter().any(|part| code.contains(part));
    if is(&["nonexistentqueue", "queuedoesnotexist"]) {
        "; make the queue, or correct 'sqs.queue.url'"
    } else if is(&["requesttimetooskewed", "requestexpired"]) {
        "; set this machine's clock"
    } else if status == 401 || status == 403 || is(&["accessdenied", "signature", "token", "authfailure", "credential"])
    {
        "; check 'aws.access.key.id', 'aws.secret.access.key', 'sqs.region' and what they allow"
    } else if (300..400).contains(&status) {
        "; redirects are not followed, name the final address in 'sqs.queue.url'"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use millstream::secret::Secret;

    use super::*;
    use crate::{runtime::testing::ManualClock, sqs::AwsCredentials};

    fn client() -> SqsClient {
        let (access_key_id, secret_access_key) = (Secret::new("ID-CANARY"), Secret::new("KEY-CANARY"));
        let credentials = AwsCredentials { access_key_id, secret_access_key, session_token: None };
        // Nobody listens on port 1.
        let queue = SqsQueue::new("http://127.0.0.1:1/1/orders", Some("eu-west-1"), credentials).expect("legal");
        SqsClient::new(queue, ManualClock::new())
    }

    #[test]
    fn refusals_say_what_to_do_and_whether_to_wait() {
        let check = |status: u16, body: &str, retryable: bool, part: &str| {
            let error = client().refused("ReceiveMessage", status, body.as_bytes());
            let text = error.to_string();
            assert!(text.contains("SQS queue http://127.0.0.1:1/1/orders") && text.contains(part), "{text}");
            assert_eq!(error.is_retryable(), retryable, "{text}");
        };
        check(400, r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"none"}"#, false, "make the queue");
        check(
            400,
            r#"{"__type":"a#QueueDoesNotExist","message":"none","Message":"none"}"#,
            false,
            "none; make the queue",
        );
        check(400, r#"{"__type":"com.amazon.coral.service#ThrottlingException"}"#, true, "Throttling");
        check(
            403,
            r#"{"__type":"com.amazon.coral.service#InvalidClientTokenId","message":"bad"}"#,
            false,
            "aws.access.key.id",
        );
        check(503, "<html>busy</html>", true, "busy");
        check(301, "", false, "redirects");
    }

    #[test]
    fn a_queue_that_cannot_be_reached_is_tried_again_and_no_secret_is_told() {
        let error = client().receive(10, ReceiveTimes { wait: 0, visibility: 30 }).expect_err("nobody listens");
        assert!(error.is_retryable(), "{error}");
        let told = format!("{error} {error:?}");
        assert!(told.contains("cannot be reached") && !told.contains("CANARY"), "{told}");
    }
}
