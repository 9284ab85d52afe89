//! One request of a webhook, again and again until it is answered, and what an answer means.
//!
//! | answer | means |
//! |---|---|
//! | 2xx | taken |
//! | 408, 425, 429, 5xx, none in time, a cut connection | not yet: once more, with the same idempotency key |
//! | 3xx, 401, 403, 404, 405, 407, 410 | address or credentials are wrong, for every record: the connector fails |
//! | other 4xx | this body is not wanted: its record is rejected |

use std::{io::Read as _, sync::Arc, time::Duration};

use chrono::DateTime;
use millstream::{connect::ConnectError, record::Timestamp};
use ureq::{
    Agent,
    http::{HeaderMap, Request, Response},
};

use super::WebhookSink;
use crate::runtime::{Clock, StopSignal};

/// How often a request is sent before its failure is the connector's, and the first pause between; it doubles.
const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// So much of an answer is read, and shown.
const ANSWER_BYTES: u64 = 64 << 10;
const SHOWN_CHARS: usize = 200;

/// What an answer means.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Taken,
    NotYet { after: Option<Duration>, problem: String },
    Rejected(String),
    Wrong(String),
}

/// What became of a request in the end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Taken,
    /// Not wanted, and why.
    Rejected(String),
}

/// Sends requests.
pub(super) struct Requests {
    config: Arc<WebhookSink>,
    agent: Agent,
    clock: Arc<dyn Clock>,
}

impl Requests {
    pub(super) fn new(config: Arc<WebhookSink>, clock: Arc<dyn Clock>) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(config.connection_timeout))
            .timeout_global(Some(config.request_timeout))
            .user_agent(concat!("millstream/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Self { config, agent, clock }
    }

    /// Sends a body until it is taken or rejected.
    ///
    /// # Errors
    /// [`ConnectError::Outside`]: to be tried again later if there was no answer, else for good.
    pub(super) fn send(&self, key: &str, body: &[u8]) -> Result<Outcome, ConnectError> {
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            match self.once(key, body) {
                Verdict::Taken => return Ok(Outcome::Taken),
                Verdict::Rejected(problem) => return Ok(Outcome::Rejected(problem)),
                Verdict::Wrong(problem) => return Err(self.outside(problem, false)),
                Verdict::NotYet { problem, .. } if attempt == ATTEMPTS => return Err(self.outside(problem, true)),
                Verdict::NotYet { after, problem } => {
                    let wait = after.unwrap_or(pause).min(self.config.retry_after_max.max(pause));
                    tracing::debug!(webhook = %self.config.url, key, problem, wait_ms = wait.as_millis() as u64, "webhook retries");
                    self.clock.wait(wait, &StopSignal::default());
                    pause *= 2;
                }
            }
        }
        Err(self.outside("no attempt was made".into(), true))
    }

    fn outside(&self, problem: String, retryable: bool) -> ConnectError {
        ConnectError::Outside { system: format!("webhook {}", self.config.url), problem, retryable, source: None }
    }

    fn once(&self, key: &str, body: &[u8]) -> Verdict {
        let mut request = Request::builder().method(self.config.method.name()).uri(self.config.url.reveal());
        request = request.header("content-type", &self.config.content_type).header("idempotency-key", key);
        for header in &self.config.headers {
            request = request.header(&header.name, header.value.reveal());
        }
        let request = match request.body(body) {
            Ok(request) => request,
            Err(error) => return Verdict::Wrong(format!("no request can be made: {error}")),
        };
        match self.agent.run(request) {
            Ok(answer) => verdict(answer, self.clock.now()),
            Err(error) => Verdict::NotYet { after: None, problem: format!("no answer: {error}") },
        }
    }
}

fn verdict(answer: Response<ureq::Body>, now: Timestamp) -> Verdict {
    let (status, after) = (answer.status().as_u16(), retry_after(answer.headers(), now));
    let mut text = Vec::new();
    // The status is the answer. Read to its end, the connection can be used again.
    let _ = answer.into_body().into_reader().take(ANSWER_BYTES).read_to_end(&mut text);
    judge(status, after, &text)
}

fn judge(status: u16, after: Option<Duration>, text: &[u8]) -> Verdict {
    let said = || {
        let text: String = String::from_utf8_lossy(text).chars().take(SHOWN_CHARS).collect();
        format!("it answers with status {status}: {}", text.trim())
    };
    match status {
        200..=299 => Verdict::Taken,
        408 | 425 | 429 | 500.. => Verdict::NotYet { after, problem: said() },
        300..=399 => {
            Verdict::Wrong(format!("{}; redirects are not followed, name the final address in 'http.url'", said()))
        }
        401 | 403 | 407 => Verdict::Wrong(format!("{}; check the credentials in 'headers'", said())),
        404 | 405 | 410 => Verdict::Wrong(format!("{}; check 'http.url' and 'request.method'", said())),
        _ => Verdict::Rejected(said()),
    }
}

/// For how long the answer asks to wait: seconds, or until a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get("retry-after")?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let date = DateTime::parse_from_rfc2822(text).ok()?;
    let wait_ms = date.timestamp_millis().saturating_sub(now.0).max(0);
    Some(Duration::from_millis(wait_ms.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use ureq::http::HeaderValue;

    use super::*;

    #[test]
    fn an_answer_says_whether_record_address_or_moment_is_wrong() {
        let kind = |status: u16| match judge(status, None, b"why") {
            Verdict::Taken => "taken",
            Verdict::NotYet { .. } => "not yet",
            Verdict::Rejected(_) => "rejected",
            Verdict::Wrong(_) => "wrong",
        };
        for (statuses, expected) in [
            (&[200, 201, 204][..], "taken"),
            (&[408, 429, 500, 503, 599], "not yet"),
            (&[400, 409, 413, 415, 422], "rejected"),
            (&[301, 308, 401, 403, 404, 405], "wrong"),
        ] {
            statuses.iter().for_each(|status| assert_eq!(kind(*status), expected, "{status}"));
        }
        let long = "x".repeat(1000);
        let Verdict::Rejected(problem) = judge(422, None, long.as_bytes()) else { panic!("rejected") };
        assert!(problem.starts_with("it answers with status 422: xxx") && problem.len() < 300, "{problem}");
    }

    #[test]
    fn waits_are_given_in_seconds_or_as_a_date() {
        let check = |text: &'static str, expected: Option<u64>| {
            let mut headers = HeaderMap::new();
            headers.insert("retry-after", HeaderValue::from_static(text));
            // 2015-10-21T07:28:00Z
            assert_eq!(
                retry_after(&headers, Timestamp(1_445_412_480_000)),
                expected.map(Duration::from_secs),
                "{text}"
            );
        };
        check("120", Some(120));
        check("Wed, 21 Oct 2015 07:28:30 GMT", Some(30));
        check("Wed, 21 Oct 2015 07:00:00 GMT", Some(0));
        check("soon", None);
    }
}
