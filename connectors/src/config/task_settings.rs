//! How a connector is run, whatever its class: batches, pace and retries.

use std::time::Duration;

use millstream::{connect::PollLimits, record::TopicName};
use rand_chacha::rand_core::Rng;

use super::{ConfigError, Direction, Properties, parse_value};

/// How a connector is run. `Default` suits most.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskSettings {
    /// How much one commit of a source holds at most (`'batch.rows'`, default 10000, and 4 MiB).
    pub limits: PollLimits,
    /// How many records one commit of a sink takes at most (`'batch.rows'`); `None`: what suits its target.
    pub sink_rows: Option<usize>,
    /// A source brings no more than so many rows a second (`'rows.per.second'`); `None`: as fast as it can.
    pub rows_per_second: Option<f64>,
    /// The pause before an idle source is asked again.
    pub idle_wait: Duration,
    /// What is done after an error that may pass.
    pub retry: RetryPolicy,
    /// What becomes of records that cannot be taken (`'errors.tolerance'`: `none` or `all`; default `all` for sources, `none` for sinks).
    pub tolerance: Option<Tolerance>,
    /// The topic of records that a sink could not write (`'errors.deadletterqueue.topic.name'`, default `connect-NAME-dead-letter`).
    pub dead_letters: Option<TopicName>,
}

/// What becomes of records that cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tolerance {
    /// The connector fails at the first of them.
    None,
    /// They go to a dead-letter topic, and the connector goes on.
    All,
}

/// What is done after a retryable error. Waits double from the first to the longest, of each some part between a half and all is waited, so that
/// those who failed together do not come back together; progress resets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// So many attempts in a row before the connector fails (`'max.retries'`, default 10).
    pub attempts: u32,
    /// The first wait (`'retry.backoff.ms'`, default 500).
    pub first_wait: Duration,
    /// The longest wait.
    pub longest_wait: Duration,
}

impl RetryPolicy {
    /// The longest wait before retry number `attempt`, counted from 1.
    pub fn wait(&self, attempt: u32) -> Duration {
        let doubled =
            2_u32.checked_pow(attempt.saturating_sub(1)).and_then(|factor| self.first_wait.checked_mul(factor));
        doubled.unwrap_or(self.longest_wait).min(self.longest_wait)
    }

    /// The wait before retry number `attempt`: some part of [`wait`](Self::wait), not less than its half.
    pub(crate) fn jittered(&self, attempt: u32, random: &mut impl Rng) -> Duration {
        let longest = self.wait(attempt);
        longest.mul_f64(0.5 + f64::from(random.next_u32()) / f64::from(u32::MAX) / 2.0)
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 10, first_wait: Duration::from_millis(500), longest_wait: Duration::from_secs(60) }
    }
}

impl Default for TaskSettings {
    fn default() -> Self {
        Self {
            limits: PollLimits { rows: 10_000, bytes: 4 << 20 },
            sink_rows: None,
            rows_per_second: None,
            idle_wait: Duration::from_millis(100),
            retry: RetryPolicy::default(),
            tolerance: None,
            dead_letters: None,
        }
    }
}

impl TaskSettings {
    /// Whether a record that cannot be taken ends the connector.
    pub fn tolerance(&self, direction: Direction) -> Tolerance {
        self.tolerance.unwrap_or(match direction {
            Direction::Source => Tolerance::All,
            Direction::Sink => Tolerance::None,
        })
    }

    pub(super) fn from_properties(properties: &mut Properties, direction: Direction) -> Result<Self, ConfigError> {
        let mut settings = Self::default();
        let retry = settings.retry;
        settings.retry.attempts = properties.parsed("max.retries", 0, retry.attempts, "a count from 0 on")?;
        let wait_ms =
            properties.parsed("retry.backoff.ms", 0, retry.first_wait.as_millis() as u64, "milliseconds from 0 on")?;
        settings.retry.first_wait = Duration::from_millis(wait_ms);
        settings.tolerance = match properties.optional("errors.tolerance").as_deref() {
            None => None,
            Some("none") => Some(Tolerance::None),
            Some("all") => Some(Tolerance::All),
            Some(other) => {
                let (name, value, expected) = ("errors.tolerance".into(), other.into(), "none or all".into());
                return Err(ConfigError::BadValue { name, value, expected });
            }
        };
        if direction == Direction::Sink {
            const TOPIC: &str = "errors.deadletterqueue.topic.name";
            let topic = properties.optional(TOPIC).map(|topic| parse_value(TOPIC, &topic));
            settings.dead_letters = topic.transpose()?;
            let rows = properties.parsed("batch.rows", 1, usize::MAX, "a count from 1 on")?;
            settings.sink_rows = (rows < usize::MAX).then_some(rows);
        }
        if direction == Direction::Source {
            settings.limits.rows = properties.parsed("batch.rows", 1, settings.limits.rows, "a count from 1 on")?;
            let rate = properties.parsed("rows.per.second", 0.001, f64::INFINITY, "a number of rows from 0.001 on")?;
            settings.rows_per_second = rate.is_finite().then_some(rate);
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_wait_alike_but_none_for_long() {
        use rand_chacha::rand_core::SeedableRng;
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(7);
        let policy = RetryPolicy::default();
        let waits: Vec<u128> = (0..100).map(|_| policy.jittered(1, &mut random).as_millis()).collect();
        assert!(waits.iter().all(|wait| (250..=500).contains(wait)), "{waits:?}");
        assert!(waits.iter().collect::<std::collections::BTreeSet<_>>().len() > 20, "{waits:?}");
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let policy = RetryPolicy {
            attempts: 5,
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_millis(350),
        };
        let waits: Vec<u128> = [1, 2, 3, 40].map(|attempt| policy.wait(attempt).as_millis()).into();
        assert_eq!(waits, [100, 200, 350, 350]);
    }
}
