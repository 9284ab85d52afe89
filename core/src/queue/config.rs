//! The settings of a queue.

use std::time::Duration;

use super::QueueError;
use crate::record::TopicName;

/// Longest visibility timeout, delay and extension, as elsewhere.
const LONGEST: Duration = Duration::from_secs(12 * 3600);
/// Longest name: it is part of the name of a topic.
const LONGEST_NAME: usize = 200;
/// Most messages that may be held or waited for.
const MOST_TRACKED: usize = 1_000_000;
/// Most attempts.
const MOST_ATTEMPTS: u32 = 1_000;

/// In which order messages are given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// By offset, as far as messages are available.
    #[default]
    None,
    /// Messages with the same key one at a time and in order, retries included; other keys go on. Messages without a key are in no order.
    Key,
}

/// Where a new queue begins in its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartAt {
    /// With the first message that is there.
    #[default]
    Earliest,
    /// With the first message to come.
    Latest,
}

/// What makes two sent messages the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DedupBy {
    /// The id that the sender gave; messages without one are all different.
    #[default]
    Id,
    /// That id or, without one, the SHA-256 of the value.
    Body,
}

/// Settings of a queue.
///
/// ```
/// use std::time::Duration;
/// use millstream::queue::{Order, QueueConfig};
///
/// let config = QueueConfig {
///     visibility: Duration::from_secs(60),
///     dead_letter: Some("mails-dead".parse()?),
///     order: Order::Key,
///     ..QueueConfig::new("mailer", "mails".parse()?)
/// };
/// assert_eq!((config.max_attempts, config.topic.as_str()), (5, "mails"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueConfig {
    /// The name of the queue. Several queues on one topic each see all messages.
    pub name: String,
    /// The topic whose records are the messages.
    pub topic: TopicName,
    /// How long a received message is hidden from others; 30 s by default.
    pub visibility: Duration,
    /// How often a message is received before it is a dead letter, if there is a topic for those; 5 by default.
    pub max_attempts: u32,
    /// Where messages go whose attempts are used up; made if it is missing. Without one they are tried again without end.
    pub dead_letter: Option<TopicName>,
    /// In which order messages are given out.
    pub order: Order,
    /// How long a message stays hidden after it was sent; a record that was not sent through the queue, after its timestamp. None by default.
    pub delay: Duration,
    /// How long the same message is not taken twice; `None`, the default, takes everything.
    pub dedup_window: Option<Duration>,
    /// What makes two messages the same.
    pub dedup_by: DedupBy,
    /// How many messages may be held at a time; 20,000 by default.
    pub max_in_flight: usize,
    /// How many messages are looked at that are not done with: those held, delayed, to be tried again, and those that wait for another one of
    /// their key. The queue looks no further until some are done with. 100,000 by default.
    pub max_tracked: usize,
    /// Where a new queue begins.
    pub start_at: StartAt,
    /// After how many commits the state is written whole; 1,000 by default.
    pub snapshot_every: u32,
}

impl QueueConfig {
    /// The settings of a queue of this name on this topic, everything else by default.
    pub fn new(name: &str, topic: TopicName) -> Self {
        Self {
            name: name.to_owned(),
            topic,
            visibility: Duration::from_secs(30),
            max_attempts: 5,
            dead_letter: None,
            order: Order::default(),
            delay: Duration::ZERO,
            dedup_window: None,
            dedup_by: DedupBy::default(),
            max_in_flight: 20_000,
            max_tracked: 100_000,
            start_at: StartAt::default(),
            snapshot_every: 1_000,
        }
    }

    /// The topic in which the queue keeps its state; also the name of its producer and of the group that reads its dead letters.
    ///
    /// # Errors
    /// [`QueueError::InvalidSetting`] if the name of the queue cannot be part of the name of a topic.
    pub fn state_topic(&self) -> Result<TopicName, QueueError> {
        if self.name.is_empty() || self.name.len() > LONGEST_NAME {
            return Err(self.refuse("name", format!("has {} bytes; use 1 to {LONGEST_NAME}", self.name.len())));
        }
        TopicName::new(&format!("_millstream_queue_{}", self.name))
            .map_err(|_| self.refuse("name", "may have the characters a-z A-Z 0-9 . _ - only".to_owned()))
    }

    fn refuse(&self, setting: &'static str, problem: String) -> QueueError {
        QueueError::InvalidSetting { queue: self.name.clone(), setting, problem }
    }

    /// A length of time that somebody has asked for.
    pub(super) fn check_span(&self, setting: &'static str, span: Duration) -> Result<(), QueueError> {
        if span > LONGEST {
            return Err(self.refuse(setting, format!("is {} s; at most {} s", span.as_secs(), LONGEST.as_secs())));
        }
        Ok(())
    }

    /// Whether the queue can be opened with these settings, as far as they can say.
    ///
    /// # Errors
    /// [`QueueError::InvalidSetting`] for the first that cannot be.
    pub fn check(&self) -> Result<(), QueueError> {
        self.state_topic()?;
        self.check_span("visibility", self.visibility)?;
        self.check_span("delay", self.delay)?;
        let out_of =
            |setting, value: usize, most: usize| Err(self.refuse(setting, format!("is {value}; use 1 to {most}")));
        if self.visibility < Duration::from_millis(1) {
            return Err(
                self.refuse("visibility", "is shorter than a millisecond; give the consumers time to work".to_owned())
            );
        }
        if !(1..=MOST_ATTEMPTS).contains(&self.max_attempts) {
            return out_of("max_attempts", self.max_attempts as usize, MOST_ATTEMPTS as usize);
        }
        if !(1..=MOST_TRACKED).contains(&self.max_in_flight) {
            return out_of("max_in_flight", self.max_in_flight, MOST_TRACKED);
        }
        if !(self.max_in_flight..=MOST_TRACKED).contains(&self.max_tracked) {
            let problem =
                format!("is {}; use {} (max_in_flight) to {MOST_TRACKED}", self.max_tracked, self.max_in_flight);
            return Err(self.refuse("max_tracked", problem));
        }
        if self.snapshot_every == 0 {
            return Err(self.refuse("snapshot_every", "is 0; use at least 1".to_owned()));
        }
        if self.dedup_window.is_some_and(|window| window > LONGEST || window.is_zero()) {
            return Err(
                self.refuse("dedup_window", format!("must be longer than 0 s and at most {} s", LONGEST.as_secs()))
            );
        }
        if self.dedup_window.is_none() && self.dedup_by != DedupBy::Id {
            return Err(self.refuse("dedup_by", "has no use without dedup_window; give both".to_owned()));
        }
        match &self.dead_letter {
            Some(topic) if *topic == self.topic => {
                Err(self.refuse("dead_letter", "is the topic of the queue; use another one".to_owned()))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_be_are_named() {
        let check = |change: &dyn Fn(&mut QueueConfig), expected: &str| {
            let mut config = QueueConfig::new("q", TopicName::new("t").unwrap());
            change(&mut config);
            let said = config.check().map_or_else(|error| error.to_string(), |()| String::new());
            assert!(said.starts_with(expected) && said.is_empty() == expected.is_empty(), "{said}");
        };
        check(&|_| (), "");
        check(&|config| config.name = "a b".to_owned(), "queue a b: name may have");
        check(&|config| config.name = String::new(), "queue : name has 0 bytes");
        check(&|config| config.visibility = Duration::ZERO, "queue q: visibility is shorter");
        check(&|config| config.delay = Duration::from_secs(100_000), "queue q: delay is 100000 s; at most 43200 s");
        check(&|config| config.max_attempts = 0, "queue q: max_attempts is 0; use 1 to 1000");
        check(&|config| config.max_in_flight = 0, "queue q: max_in_flight is 0");
        check(&|config| config.max_tracked = 10, "queue q: max_tracked is 10; use 20000");
        check(&|config| config.dead_letter = Some(config.topic.clone()), "queue q: dead_letter is the topic");
        check(&|config| config.dedup_by = DedupBy::Body, "queue q: dedup_by has no use");
        check(&|config| config.dedup_window = Some(Duration::ZERO), "queue q: dedup_window must");
    }
}
