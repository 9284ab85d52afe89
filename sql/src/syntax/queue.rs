//! Queues: `CREATE QUEUE`, `DROP QUEUE`, and the work on them: `RECEIVE`, `ACK`, `NACK`, `REJECT`, `EXTEND`, `REDRIVE`.

use super::ast::{Interval, Name, Properties, Spanned, Statement};
use super::parser::{Parsed, Parser};

/// `CREATE QUEUE [IF NOT EXISTS] name ON topic [WITH (..)]`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateQueue {
    /// `IF NOT EXISTS`.
    pub if_not_exists: bool,
    /// Its name.
    pub name: Name,
    /// What it is made on: a stream or table, whose topic is meant, or a topic.
    pub on: Name,
    /// The same as written: topics keep their case.
    pub written: String,
    /// Its settings; names are distinct.
    pub properties: Properties,
}

/// `DROP QUEUE [IF EXISTS] name`.
#[derive(Debug, Clone, PartialEq)]
pub struct DropQueue {
    /// `IF EXISTS`.
    pub if_exists: bool,
    /// Its name.
    pub name: Name,
}

/// Work on a queue.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueWork {
    /// The queue.
    pub queue: Name,
    /// What is done.
    pub what: QueueAction,
}

/// What is done with a queue.
#[derive(Debug, Clone, PartialEq)]
pub enum QueueAction {
    /// `RECEIVE [n] FROM queue [WAIT n unit]`.
    Receive {
        /// At most so many messages; one if it is left out.
        max: Option<Spanned<u64>>,
        /// How long to wait for one.
        wait: Option<Interval>,
    },
    /// `ACK queue 'receipt', ..`.
    Ack(Vec<Spanned<String>>),
    /// `NACK queue 'receipt' [DELAY n unit]`.
    Nack {
        /// The receipt.
        receipt: Spanned<String>,
        /// How long the message stays hidden.
        delay: Option<Interval>,
    },
    /// `REJECT queue 'receipt' ['reason']`.
    Reject {
        /// The receipt.
        receipt: Spanned<String>,
        /// Why.
        reason: Option<Spanned<String>>,
    },
    /// `EXTEND queue 'receipt' BY n unit`.
    Extend {
        /// The receipt.
        receipt: Spanned<String>,
        /// How long the message stays hidden from now on.
        by: Interval,
    },
    /// `REDRIVE QUEUE queue [RATE n]`.
    Redrive {
        /// At most so many dead letters a second.
        rate: Option<Spanned<u64>>,
    },
}

const QUEUE_NAME: &str = "the name of a queue";
const RECEIPT: &str = "a receipt";

impl Parser<'_> {
    /// After `CREATE QUEUE`.
    pub(super) fn create_queue(&mut self) -> Parsed<Statement> {
        let if_not_exists = self.if_not_exists()?;
        let name = self.name(QUEUE_NAME)?;
        self.expect("ON")?;
        let first = self.index();
        let (on, written) = self.written_name("the name of a topic or stream", first)?;
        let properties = self.properties()?;
        self.expect_end(if properties.entries.is_empty() { &["WITH"] } else { &[] })?;
        Ok(Statement::CreateQueue(CreateQueue { if_not_exists, name, on, written, properties }))
    }

    pub(super) fn receive(&mut self) -> Parsed<Statement> {
        self.advance();
        let max = if self.is_word("FROM") { None } else { Some(self.count("FROM or how many messages")?) };
        self.expect("FROM")?;
        let queue = self.name(QUEUE_NAME)?;
        let wait = if self.eat("WAIT") { Some(self.interval("a time")?) } else { None };
        self.worked(queue, QueueAction::Receive { max, wait }, &["WAIT"])
    }

    pub(super) fn ack(&mut self) -> Parsed<Statement> {
        self.advance();
        let queue = self.name(QUEUE_NAME)?;
        let receipts = self.comma_separated(|parser| parser.string(RECEIPT))?;
        self.worked(queue, QueueAction::Ack(receipts), &[])
    }

    pub(super) fn nack(&mut self) -> Parsed<Statement> {
        self.advance();
        let (queue, receipt) = (self.name(QUEUE_NAME)?, self.string(RECEIPT)?);
        let delay = if self.eat("DELAY") { Some(self.interval("a time")?) } else { None };
        self.worked(queue, QueueAction::Nack { receipt, delay }, &["DELAY"])
    }

    pub(super) fn reject(&mut self) -> Parsed<Statement> {
        self.advance();
        let (queue, receipt) = (self.name(QUEUE_NAME)?, self.string(RECEIPT)?);
        let reason = if self.at_end() { None } else { Some(self.string("a reason")?) };
        self.worked(queue, QueueAction::Reject { receipt, reason }, &[])
    }

    pub(super) fn extend(&mut self) -> Parsed<Statement> {
        self.advance();
        let (queue, receipt) = (self.name(QUEUE_NAME)?, self.string(RECEIPT)?);
        self.expect("BY")?;
        let by = self.interval("a time")?;
        self.worked(queue, QueueAction::Extend { receipt, by }, &[])
    }

    pub(super) fn redrive(&mut self) -> Parsed<Statement> {
        self.advance();
        self.expect("QUEUE")?;
        let queue = self.name(QUEUE_NAME)?;
        let rate = if self.eat("RATE") { Some(self.count("messages a second")?) } else { None };
        self.worked(queue, QueueAction::Redrive { rate }, &["RATE"])
    }

    fn worked(&mut self, queue: Name, what: QueueAction, possible: &[&str]) -> Parsed<Statement> {
        self.expect_end(possible)?;
        Ok(Statement::QueueWork(QueueWork { queue, what }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::compact::compact;

    fn check(text: &str, want: &str) {
        assert_eq!(compact(text), want, "text: {text}");
    }

    #[test]
    fn declaring() {
        check(
            "CREATE QUEUE IF NOT EXISTS q ON Mails WITH (visibility = '30s', max_attempts = 5);",
            "create if-not-exists queue Q on Mails with [VISIBILITY=Text(\"30s\"), MAX_ATTEMPTS=Number(\"5\")]",
        );
        check("CREATE QUEUE q ON 'a-b'", "create queue Q on a-b with []");
        check("DROP QUEUE IF EXISTS q", "drop if-exists queue Q");
        check("SHOW QUEUES", "show Queues extended=false");
        check("DESCRIBE QUEUE q", "describe queue Q");
        check("CREATE QUEUE q", "1:15: expected ON, found the end of the statement");
        check("CREATE OR REPLACE QUEUE q ON t", "1:8: OR REPLACE is for streams and tables; drop the old one first");
    }

    #[test]
    fn working() {
        check("RECEIVE FROM q", "work Q receive 1 wait 0");
        check("RECEIVE 10 FROM q WAIT 5 SECONDS", "work Q receive 10 wait 5000");
        check("ACK q 'a', 'b'", "work Q ack a, b");
        check("NACK q 'a' DELAY 2 MINUTES", "work Q nack a delay 120000");
        check("NACK q 'a'", "work Q nack a delay 0");
        check("REJECT q 'a' 'no such user'", "work Q reject a no such user");
        check("EXTEND q 'a' BY 1 HOUR", "work Q extend a by 3600000");
        check("REDRIVE QUEUE q RATE 50", "work Q redrive Some(50)");
        check("EXTEND q 'a'", "1:13: expected BY, found the end of the statement");
        check("ACK q", "1:6: expected a receipt in single quotes, found the end of the statement");
    }
}
