//! The threads of a source: receivers, which ask for messages, and a keeper, which keeps those that are held invisible to others.
//!
//! A receive may wait for messages for many seconds, so nobody waits for these threads to end: once their inbox is closed they give back what
//! they still get, and go. Receivers delete messages that were committed before and came again.

use std::{collections::BTreeSet, io, sync::Arc, thread, time::Duration};

use millstream::record::Timestamp;

use super::{
    client::{Effort, ReceiveTimes, SqsClient},
    inbox::{Inbox, Lease, Taken},
    protocol::{BATCH_ENTRIES, ChangeVisibility, Delete},
};

/// How receiving is done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pattern {
    /// Messages of one receive.
    pub(super) most: u32,
    pub(super) times: ReceiveTimes,
    /// Receives side by side.
    pub(super) receivers: usize,
}

/// Starts the threads that fill an inbox.
pub(super) fn start(client: &SqsClient, inbox: &Arc<Inbox>, pattern: Pattern) -> io::Result<()> {
    for receiver in 0..pattern.receivers {
        let (client, inbox) = (client.clone(), Arc::clone(inbox));
        thread::Builder::new()
            .name(format!("sqs-receiver-{receiver}"))
            .spawn(move || receive(&client, &inbox, pattern, receiver))?;
    }
    let (client, inbox) = (client.clone(), Arc::clone(inbox));
    thread::Builder::new()
        .name("sqs-keeper".to_owned())
        .spawn(move || keep(&client, &inbox, pattern.times.visibility))?;
    Ok(())
}

fn receive(client: &SqsClient, inbox: &Inbox, pattern: Pattern, receiver: usize) {
    while let Some(room) = inbox.wait_for_room(receiver) {
        let most = pattern.most.min(u32::try_from(room).unwrap_or(u32::MAX));
        let asked = client.now();
        let received = match client.receive(most, pattern.times) {
            Ok(received) => received,
            Err(error) => return inbox.fail(error),
        };
        // The queue counts from when it hands a message out, which was not before we asked.
        let until = later(asked, pattern.times.visibility);
        let (mut left_over, mut refused) = (Vec::new(), Vec::new());
        for taken in inbox.put(received.messages, until) {
            match taken {
                Taken::Held => {}
                Taken::LeftOver(lease) => left_over.push(lease),
                Taken::Refused(lease) => refused.push(lease),
            }
        }
        give_back(client, &refused);
        if !left_over.is_empty() {
            tracing::debug!(queue = %client.queue().url, messages = left_over.len(), "messages that were committed came again");
            match delete(client, &left_over) {
                Ok(deleted) => inbox.settle(&[], &deleted),
                Err(error) => return inbox.fail(error),
            }
        }
    }
}

fn later(from: Timestamp, seconds: u32) -> Timestamp {
    Timestamp(from.0.saturating_add(i64::from(seconds) * 1000))
}

/// Deletes messages from the queue; returns the ids of those that are surely gone: a queue may take an old receipt and do nothing.
pub(super) fn delete(client: &SqsClient, leases: &[Lease]) -> Result<BTreeSet<String>, super::ConnectError> {
    let mut gone = BTreeSet::new();
    for batch in leases.chunks(BATCH_ENTRIES) {
        let entries = (0..)
            .zip(batch)
            .map(|(id, lease): (usize, _)| Delete { id: id.to_string(), receipt_handle: &lease.receipt });
        let answer = client.delete(entries.collect())?;
        let now = client.now();
        for done in answer.successful {
            let lease = done.id.parse::<usize>().ok().and_then(|place| batch.get(place));
            gone.extend(lease.filter(|lease| now < lease.until).map(|lease| lease.id.clone()));
        }
        for failed in answer.failed {
            tracing::warn!(queue = %client.queue().url, problem = %failed.problem(), "a message is not deleted; it will come again and is dropped then");
        }
    }
    Ok(gone)
}

/// Shows messages to other receivers at once, as far as that succeeds: in the end they are shown anyway.
pub(super) fn give_back(client: &SqsClient, leases: &[Lease]) {
    for batch in leases.chunks(BATCH_ENTRIES) {
        if let Err(error) = change(client, batch, 0, Effort::Slight) {
            tracing::debug!(queue = %client.queue().url, %error, "messages are not given back; they come again after their visibility timeout");
            return;
        }
    }
}

/// Changes for how long messages are invisible; returns the places of those for which it was done.
fn change(
    client: &SqsClient,
    batch: &[Lease],
    seconds: u32,
    effort: Effort,
) -> Result<Vec<usize>, super::ConnectError> {
    let entries = (0..).zip(batch).map(|(id, lease): (usize, _)| ChangeVisibility {
        id: id.to_string(),
        receipt_handle: &lease.receipt,
        visibility_timeout: seconds,
    });
    let answer = client.change_visibility(entries.collect(), effort)?;
    Ok(answer.successful.iter().filter_map(|done| done.id.parse().ok()).collect())
}

/// Extends the invisibility of what is held once half of it is over, as a commit may take long.
fn keep(client: &SqsClient, inbox: &Inbox, visibility: u32) {
    let whole = Duration::from_secs(visibility.into());
    while !inbox.wait_until_closed(whole / 8) {
        let limit = Timestamp(client.now().0.saturating_add((whole / 2).as_millis() as i64));
        for batch in inbox.expiring(limit).chunks(BATCH_ENTRIES) {
            let asked = client.now();
            match change(client, batch, visibility, Effort::Thorough) {
                Ok(done) => done
                    .iter()
                    .filter_map(|place| batch.get(*place))
                    .for_each(|lease| inbox.extend(lease, later(asked, visibility))),
                Err(error) => {
                    tracing::warn!(queue = %client.queue().url, %error, "the invisibility of messages is not extended; they may come again and are dropped then");
                    break;
                }
            }
        }
    }
}
