//! 13: a work queue.
//!
//! You learn how work is given out from a topic, message by message: two consumers, one of which gets ill; what cannot be done at all; and a
//! result that is written in the transaction that acknowledges the work.
//!
//! ```text
//! $ cargo run --example work_queue
//! anna has mail 0 to ada, attempt 1
//! anna is ill, and a minute passes
//! bert has mail 0 to ada, attempt 2
//! bert has mail 1 to bob, attempt 1: no such address
//! sent: ada; dead: bob; left: 0
//! ```
#![expect(clippy::print_stdout, reason = "examples show their results")]

use std::{error::Error, sync::Arc, time::Duration};

use millstream::{
    log::{Append, Log, Transaction},
    queue::{Delivery, Message, Queue, QueueConfig},
    record::{PartitionId, Record, Timestamp, TopicPartition},
    runtime::ManualClock,
    testing::MemoryLog,
};

const NOW: Duration = Duration::ZERO;

fn show(who: &str, delivery: &Delivery) -> String {
    let to = String::from_utf8_lossy(delivery.record.key.as_deref().unwrap_or_default());
    format!("{who} has mail {} to {to}, attempt {}", delivery.receipt.offset(), delivery.attempts)
}

fn main() -> Result<(), Box<dyn Error>> {
    let (log, clock) = (Arc::new(MemoryLog::new()), Arc::new(ManualClock::at(Timestamp(0))));
    log.create_topic(&"mails".parse()?, &Default::default())?;
    log.create_topic(&"sent".parse()?, &Default::default())?;
    let config = QueueConfig {
        visibility: Duration::from_secs(60),
        dead_letter: Some("mails-dead".parse()?),
        ..QueueConfig::new("mailer", "mails".parse()?)
    };
    let queue = Queue::open_with_clock(Arc::<MemoryLog>::clone(&log), config, Arc::<ManualClock>::clone(&clock))?;
    queue.send_all(vec![Message::new("ada", "welcome"), Message::new("bob", "welcome")])?;

    let annas = queue.receive(1, NOW)?;
    println!("{}", show("anna", &annas[0]));
    println!("anna is ill, and a minute passes");
    clock.advance(Duration::from_secs(60));

    // What she had comes again; her receipt is good for nothing now.
    let berts = queue.receive(10, NOW)?;
    let [ada, bob] = &berts[..] else { return Err("two mails".into()) };
    println!("{}", show("bert", ada));
    assert!(queue.ack(&annas[0].receipt).is_err());
    // Work and result in one transaction: neither is ever there without the other.
    let partition = TopicPartition::new("sent".parse()?, PartitionId(0));
    let result = Append { partition: partition.clone(), records: [Record::new("ada", "sent")].into_iter().collect() };
    queue.ack_with(&[ada.receipt], Transaction { appends: vec![result], offsets: vec![] })?;
    println!("{}: no such address", show("bert", bob));
    queue.reject(&bob.receipt, "no such address")?;

    let dead = TopicPartition::new("mails-dead".parse()?, PartitionId(0));
    let first = |partition| -> Result<String, Box<dyn Error>> {
        let fetched = log.fetch(partition, Default::default(), 1)?;
        let record = fetched.batches.first().ok_or("a record")?.records.get(0);
        Ok(String::from_utf8_lossy(record.key.unwrap_or_default()).into_owned())
    };
    let stats = queue.stats()?;
    let summary = format!("sent: {}; dead: {}; left: {}", first(&partition)?, first(&dead)?, stats.available);
    println!("{summary}");
    assert_eq!(summary, "sent: ada; dead: bob; left: 0");
    assert_eq!((stats.acknowledged, stats.dead), (1, 1));
    Ok(())
}

#[test]
fn prints_what_it_says() -> Result<(), Box<dyn Error>> {
    main()
}
