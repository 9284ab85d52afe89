//! Queues: opened with the directory, worked on by statements.
//!
//! A queue that has ended, because a commit failed, is opened again by the next statement that names it. On a log that processes share, queues are
//! refused: nobody there would own one.

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc, time::Duration};

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
};
use millstream::{
    log::LogError,
    queue::{DedupBy, Delivery, Order, Queue, QueueConfig, QueueError, QueueStats, Receipt},
    record::Header,
};

use super::{Inner, Session, error::EngineError, push::guess, text_table::TextTable};
use crate::{
    catalog::{Catalog, DeclaredQueue},
    response::{Response, Rows},
    syntax::{
        Position,
        ast::{CreateQueue, Interval, Name, ParsedStatement, QueueAction, QueueWork, Spanned, Statement},
    },
};

/// Longest time that RECEIVE waits: a session does nothing else meanwhile.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Queues that are open, by name.
pub(super) type OpenQueues = BTreeMap<String, Arc<Queue>>;

/// Reads a declaration; the topic is that of the stream or table of the name, if there is one.
pub(super) fn declared(catalog: &Catalog, create: &CreateQueue, text: &str) -> Result<DeclaredQueue, EngineError> {
    let source = catalog.source(&create.on.value).map(|source| source.topic.clone());
    Ok(DeclaredQueue::parse(create, source.as_deref().unwrap_or(&create.written), text)?)
}

impl Inner {
    /// Refuses to declare a queue where nobody would own it.
    pub(super) fn check_queue_owner(&self, statement: &ParsedStatement) -> Result<(), EngineError> {
        match &statement.statement {
            Statement::CreateQueue(create) if self.member.is_some() || self.shared.is_shared() => {
                let problem = "a queue has one owner, which the processes of a service have not; declare it in an engine \
                               with a log of its own, or use millstream::queue in one process";
                Err(EngineError::at(create.name.span.start, problem))
            }
            _ => Ok(()),
        }
    }

    /// A queue that is declared: the open one, or opened now.
    pub(super) fn open_queue(&self, name: &str, config: &QueueConfig) -> Result<Arc<Queue>, EngineError> {
        let refuse = |problem: String| EngineError::Queue { name: name.to_owned(), problem };
        // Held while it is opened: who opens it a second time would fence the first.
        let mut open = self.queues.lock();
        if let Some(queue) = open.get(name) {
            return Ok(Arc::clone(queue));
        }
        let opened = Queue::open_with_clock(Arc::clone(&self.shared), config.clone(), Arc::clone(&self.clock));
        let queue = Arc::new(opened.map_err(|error| match error {
            QueueError::Log(LogError::UnknownTopic { topic }) => {
                refuse(format!("there is no topic or stream {topic}; SHOW TOPICS lists the topics"))
            }
            error => refuse(error.to_string()),
        })?);
        open.insert(name.to_owned(), Arc::clone(&queue));
        Ok(queue)
    }

    /// The queue that a statement names.
    fn queue(&self, name: &Name) -> Result<Arc<Queue>, EngineError> {
        let declared = self.catalog.read().expect_queue(name)?.clone();
        self.open_queue(&declared.name, &declared.config).map_err(|error| error.at_place(name.span.start))
    }

    /// Forgets a queue that is of no use any more, so that the next statement opens it again.
    fn check_ended<T>(&self, queue: &Arc<Queue>, done: Result<T, QueueError>) -> Result<T, QueueError> {
        if done.as_ref().is_err_and(QueueError::is_final) {
            self.queues.lock().retain(|_, open| !Arc::ptr_eq(open, queue));
        }
        done
    }

    /// Ends a queue and removes what it has kept; the messages stay.
    pub(super) fn end_queue(&self, queue: &DeclaredQueue) -> Result<(), EngineError> {
        self.queues.lock().remove(&queue.name);
        Queue::delete(self.shared.as_ref(), &queue.config)
            .map_err(|error| EngineError::Queue { name: queue.name.clone(), problem: error.to_string() })
    }

    /// Does what a statement wants of a queue.
    pub(super) fn work_on_queue(&self, work: &QueueWork) -> Result<Response, EngineError> {
        let at = work.queue.span.start;
        check_limits(&work.what)?;
        let queue = self.queue(&work.queue)?;
        let receipt = |receipt: &Spanned<String>| {
            receipt.node.parse::<Receipt>().map_err(|error| EngineError::at(receipt.span.start, error))
        };
        let done = |what: &str| Ok(Response::Done { message: format!("{what} in {}", work.queue.value) });
        let settle = |place: Position, outcome: Result<(), QueueError>| {
            self.check_ended(&queue, outcome).map_err(|error| EngineError::at(place, error))
        };
        match &work.what {
            QueueAction::Receive { max, wait } => {
                let max = max.as_ref().map_or(1, |max| usize::try_from(max.node).unwrap_or(usize::MAX));
                let received = queue.receive(max, span(wait.as_ref()));
                let received = self.check_ended(&queue, received);
                Ok(Response::Rows(rows(&received.map_err(|error| EngineError::at(at, error))?)))
            }
            QueueAction::Ack(receipts) => {
                let read = receipts.iter().map(receipt).collect::<Result<Vec<_>, _>>()?;
                let stale = self.check_ended(&queue, queue.ack_all(&read));
                let stale = stale.map_err(|error| EngineError::at(at, error))?;
                if let Some(place) = read.iter().position(|receipt| stale.contains(receipt)) {
                    let problem = format!(
                        "{} of {} receipts were stale, this one first: the message is done with, was received again or its \
                         time was up; the others are acknowledged",
                        stale.len(),
                        read.len()
                    );
                    return Err(EngineError::at(receipts[place].span.start, problem));
                }
                done(&format!("Acknowledged {}", counted(read.len() as u64, "message")))
            }
            QueueAction::Nack { receipt: text, delay } => {
                settle(text.span.start, queue.nack(&receipt(text)?, span(delay.as_ref())))?;
                done("Gave 1 message back")
            }
            QueueAction::Reject { receipt: text, reason } => {
                let reason = reason.as_ref().map_or("rejected", |reason| reason.node.as_str());
                settle(text.span.start, queue.reject(&receipt(text)?, reason))?;
                done("Rejected 1 message")
            }
            QueueAction::Extend { receipt: text, by } => {
                settle(text.span.start, queue.extend(&receipt(text)?, span(Some(by))))?;
                done("Holds 1 message longer")
            }
            QueueAction::Redrive { rate } => {
                let rate = rate.as_ref().and_then(|rate| NonZeroU32::new(u32::try_from(rate.node).unwrap_or(u32::MAX)));
                let redriven = self.check_ended(&queue, queue.redrive(rate));
                let moved = redriven.map_err(|error| EngineError::at(at, error))?.moved;
                done(&format!("Moved {} back", counted(moved, "dead letter")))
            }
        }
    }

    fn queue_stats(&self, queue: &DeclaredQueue) -> Result<QueueStats, String> {
        let open = self.open_queue(&queue.name, &queue.config).map_err(EngineError::problem)?;
        self.check_ended(&open, open.stats()).map_err(|error| error.to_string())
    }
}

fn check_limits(action: &QueueAction) -> Result<(), EngineError> {
    match action {
        QueueAction::Receive { wait: Some(wait), .. } if span(Some(wait)) > LONGEST_WAIT => {
            let problem = format!("RECEIVE waits for {} seconds at most; give it again", LONGEST_WAIT.as_secs());
            Err(EngineError::at(wait.span.start, problem))
        }
        QueueAction::Receive { max: Some(max), .. } if max.node == 0 => {
            Err(EngineError::at(max.span.start, "RECEIVE 0 receives nothing; ask for one or more"))
        }
        QueueAction::Redrive { rate: Some(rate) } if rate.node == 0 => {
            Err(EngineError::at(rate.span.start, "at RATE 0 nothing is ever moved; leave RATE out or give one"))
        }
        _ => Ok(()),
    }
}

fn span(interval: Option<&Interval>) -> Duration {
    Duration::from_millis(interval.map_or(0, |interval| interval.millis().unsigned_abs()))
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Messages as a table. Keys and values are shown as PRINT shows them; in headers, `name=value` a header.
fn rows(received: &[Delivery]) -> Rows {
    let text = |of: &dyn Fn(&Delivery) -> Option<String>| -> ArrayRef {
        Arc::new(received.iter().map(of).collect::<StringArray>())
    };
    let number = |of: &dyn Fn(&Delivery) -> i64| -> ArrayRef {
        Arc::new(received.iter().map(|delivery| Some(of(delivery))).collect::<Int64Array>())
    };
    let header =
        |header: &Header| format!("{}={}", header.name, header.value.as_deref().map_or_else(String::new, guess));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("RECEIPT", text(&|delivery| Some(delivery.receipt.to_string()))),
        ("KEY", text(&|delivery| delivery.record.key.as_deref().map(guess))),
        ("VALUE", text(&|delivery| delivery.record.value.as_deref().map(guess))),
        ("ATTEMPTS", number(&|delivery| i64::from(delivery.attempts))),
        ("HEADERS", text(&|delivery| Some(delivery.record.headers.iter().map(header).collect::<Vec<_>>().join(", ")))),
        ("ROWTIME", text(&|delivery| Some(delivery.record.timestamp.to_string()))),
        ("PARTITION", number(&|delivery| i64::from(delivery.receipt.partition().0))),
        ("OFFSET", number(&|delivery| i64::try_from(delivery.receipt.offset().0).unwrap_or(i64::MAX))),
    ];
    let field = |(name, column): &(&str, ArrayRef)| Field::new(*name, DataType::clone(column.data_type()), true);
    let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    // The schema is made of the columns just above.
    let batches = RecordBatch::try_new(Arc::clone(&schema), columns).into_iter().collect();
    Rows { schema, batches }
}

impl Session {
    /// SHOW QUEUES: a row a queue.
    pub(super) fn show_queues(&self, catalog: &Catalog) -> Response {
        let mut table = TextTable::new(&[
            "Queue",
            "Topic",
            "Available",
            "In flight",
            "Delayed",
            "Acknowledged",
            "Dead",
            "Expired",
            "Error",
        ]);
        for queue in catalog.queues() {
            let (stats, error) = match self.inner.queue_stats(queue) {
                Ok(stats) => (Some(stats), String::new()),
                Err(error) => (None, error),
            };
            let count =
                |of: fn(&QueueStats) -> u64| stats.as_ref().map_or_else(String::new, |stats| of(stats).to_string());
            table.row(vec![
                queue.name.clone(),
                queue.config.topic.to_string(),
                count(|stats| stats.available),
                count(|stats| stats.in_flight),
                count(|stats| stats.delayed),
                count(|stats| stats.acknowledged),
                count(|stats| stats.dead),
                count(|stats| stats.expired),
                error,
            ]);
        }
        table.into_response()
    }

    /// DESCRIBE QUEUE: its settings, then how it stands.
    pub(super) fn describe_queue(&self, catalog: &Catalog, name: &Name) -> Result<Response, EngineError> {
        let queue = catalog.expect_queue(name)?;
        let mut table = TextTable::new(&["Property", "Value"]);
        let mut row = |name: &str, value: String| table.row(vec![name.to_owned(), value]);
        settings(&queue.config).into_iter().for_each(|(name, value)| row(name, value));
        let stats = self.inner.queue_stats(queue).map_err(|error| EngineError::at(name.span.start, error))?;
        row("Available", stats.available.to_string());
        row("In flight", stats.in_flight.to_string());
        row("Delayed", stats.delayed.to_string());
        row("Acknowledged", stats.acknowledged.to_string());
        row("Dead", stats.dead.to_string());
        row("Expired", stats.expired.to_string());
        row("Duplicates", stats.duplicates.to_string());
        row("Oldest", stats.oldest_age.map_or_else(String::new, |age| format!("{} ms", age.as_millis())));
        row("Statement", queue.statement.clone());
        Ok(table.into_response())
    }
}

fn settings(config: &QueueConfig) -> Vec<(&'static str, String)> {
    let time = |span: Duration| format!("{} ms", span.as_millis());
    let fifo = match config.order {
        Order::None => "none",
        Order::Key => "key",
    };
    let dedup_by = match config.dedup_by {
        DedupBy::Id => "id",
        DedupBy::Body => "body",
    };
    let attempts = match &config.dead_letter {
        Some(_) => config.max_attempts.to_string(),
        None => "without end: there is no dead_letter".to_owned(),
    };
    vec![
        ("topic", config.topic.to_string()),
        ("visibility", time(config.visibility)),
        ("max_attempts", attempts),
        ("dead_letter", config.dead_letter.as_ref().map_or_else(String::new, |topic| topic.to_string())),
        ("fifo", fifo.to_owned()),
        ("delay", time(config.delay)),
        ("dedup_window", config.dedup_window.map_or_else(String::new, time)),
        ("dedup_by", dedup_by.to_owned()),
        ("max_in_flight", config.max_in_flight.to_string()),
        ("max_tracked", config.max_tracked.to_string()),
    ]
}
