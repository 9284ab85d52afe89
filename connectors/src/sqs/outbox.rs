//! Messages on their way out: in rounds of batches, some side by side, until each was taken or refused.
//!
//! Messages wait in *lanes*: one for each group of a FIFO queue, where only the first of a lane goes into a round, so that none overtakes an
//! earlier one of its group, whatever fails; on a standard queue each message has a lane of its own. What failed for a passing reason is in
//! the next round, alone. Invariant: a message leaves its lane only when SQS has said that it has it, or that it will not take it.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    thread,
    time::Duration,
};

use millstream::connect::{ConnectError, RejectedRecord};

use super::{
    client::{SqsClient, is_passing},
    outgoing::Outgoing,
    protocol::{BATCH_ENTRIES, BatchAnswer, Failed},
};

/// So many rounds in a row in which nothing is taken, then sending has failed.
const IDLE_ROUNDS: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Messages to be sent.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    lanes: Vec<VecDeque<Outgoing>>,
    lane_of: HashMap<String, usize>,
    bytes: usize,
}

/// How batches are sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rounds {
    /// Bytes of a batch at most.
    pub(super) batch_bytes: usize,
    /// Batches side by side.
    pub(super) side_by_side: usize,
}

/// What became of the first message of a lane.
enum Outcome {
    Taken,
    Refused(String),
    Failed(String),
}

impl Outbox {
    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a message behind those of its group.
    pub(super) fn push(&mut self, message: Outgoing) {
        self.bytes += message.size_bytes();
        let next = self.lanes.len();
        let lane = match &message.group {
            Some(group) => *self.lane_of.entry(group.clone()).or_insert(next),
            None => next,
        };
        if lane == next {
            self.lanes.push(VecDeque::new());
        }
        self.lanes[lane].push_back(message);
    }

    /// Sends everything; returns what SQS refuses.
    ///
    /// # Errors
    /// Those of the queue, and if messages fail again and again. What was taken by then is sent once more after opening again.
    pub(super) fn send(&mut self, client: &SqsClient, rounds: Rounds) -> Result<Vec<RejectedRecord>, ConnectError> {
        let mut lanes = std::mem::take(&mut self.lanes);
        self.lane_of.clear();
        self.bytes = 0;
        let (mut rejected, mut idle) = (Vec::new(), 0);
        while !lanes.is_empty() {
            let (mut moved, mut problem) = (false, None);
            for (lane, outcome) in send_round(&lanes, client, rounds)? {
                if let Outcome::Failed(why) = outcome {
                    problem = Some(why);
                    continue;
                }
                moved = true;
                let message = lanes[lane].pop_front();
                if let (Outcome::Refused(why), Some(message)) = (outcome, message) {
                    rejected.push(message.reject(why));
                }
            }
            if let Some(problem) = problem {
                idle = if moved { 1 } else { idle + 1 };
                if idle == IDLE_ROUNDS {
                    return Err(client.outside(format!("messages are not taken: {problem}"), true, None));
                }
                client.pause(FIRST_PAUSE * 2_u32.pow(idle - 1));
            }
            lanes.retain(|lane| !lane.is_empty());
        }
        Ok(rejected)
    }
}

/// Sends the first message of each lane.
fn send_round(
    lanes: &[VecDeque<Outgoing>],
    client: &SqsClient,
    rounds: Rounds,
) -> Result<Vec<(usize, Outcome)>, ConnectError> {
    let batches = batches(lanes, rounds.batch_bytes);
    let share = batches.len().div_ceil(rounds.side_by_side).max(1);
    let mut outcomes = Vec::with_capacity(lanes.len());
    thread::scope(|scope| {
        let send = |part: &[Vec<usize>]| -> Result<Vec<(usize, Outcome)>, ConnectError> {
            let sent = part.iter().map(|batch| send_batch(lanes, batch, client)).collect::<Result<Vec<_>, _>>();
            sent.map(|sent| sent.into_iter().flatten().collect())
        };
        let parts: Vec<_> = batches.chunks(share).map(|part| scope.spawn(move || send(part))).collect();
        for part in parts {
            outcomes.extend(part.join().expect("sending does not panic")?);
        }
        Ok(outcomes)
    })
}

/// The lanes whose first messages go together.
fn batches(lanes: &[VecDeque<Outgoing>], batch_bytes: usize) -> Vec<Vec<usize>> {
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut size = 0;
    for (lane, message) in lanes.iter().enumerate().filter_map(|(lane, messages)| Some((lane, messages.front()?))) {
        let more = message.size_bytes();
        match batches.last_mut() {
            Some(batch) if batch.len() < BATCH_ENTRIES && size + more <= batch_bytes => {
                batch.push(lane);
                size += more;
            }
            _ => {
                batches.push(vec![lane]);
                size = more;
            }
        }
    }
    batches
}

fn send_batch(
    lanes: &[VecDeque<Outgoing>],
    batch: &[usize],
    client: &SqsClient,
) -> Result<Vec<(usize, Outcome)>, ConnectError> {
    let entries = (0..).zip(batch).filter_map(|(id, lane): (usize, _)| Some(lanes[*lane].front()?.entry(id)));
    Ok(outcomes(batch, client.send(entries.collect())?))
}

/// What an answer says of each entry. One that it does not name at all is sent again.
fn outcomes(batch: &[usize], answer: BatchAnswer) -> Vec<(usize, Outcome)> {
    let taken: BTreeSet<String> = answer.successful.into_iter().map(|done| done.id).collect();
    let failed: HashMap<String, Failed> = answer.failed.into_iter().map(|failed| (failed.id.clone(), failed)).collect();
    let outcome = |(id, lane): (usize, &usize)| {
        let id = id.to_string();
        let outcome = match failed.get(&id) {
            _ if taken.contains(&id) => Outcome::Taken,
            Some(failed) if failed.sender_fault && !is_passing(&failed.code) => Outcome::Refused(failed.problem()),
            Some(failed) => Outcome::Failed(failed.problem()),
            None => Outcome::Failed("the answer does not say what became of a message".into()),
        };
        (*lane, outcome)
    };
    batch.iter().enumerate().map(outcome).collect()
}

#[cfg(test)]
mod tests {
    use millstream::record::{Offset, PartitionId, Record, TopicName, TopicPartition};

    use super::*;

    fn message(group: Option<&str>, body: &str) -> Outgoing {
        Outgoing {
            body: body.into(),
            attributes: Default::default(),
            group: group.map(Into::into),
            deduplication: None,
            partition: TopicPartition::new(TopicName::new("t").expect("legal"), PartitionId(0)),
            offset: Offset(0),
            record: Record::default(),
        }
    }

    fn check(messages: &[(Option<&str>, &str)], batch_bytes: usize, expected: &[&[usize]]) {
        let mut outbox = Outbox::default();
        messages.iter().for_each(|(group, body)| outbox.push(message(*group, body)));
        assert_eq!(outbox.bytes(), messages.iter().map(|(_, body)| body.len()).sum::<usize>());
        assert_eq!(batches(&outbox.lanes, batch_bytes), expected);
    }

    #[test]
    fn a_batch_has_one_message_of_a_group_and_ten_in_all() {
        check(&[(None, "a"), (None, "b"), (None, "c")], 100, &[&[0, 1, 2]]);
        check(&[(None, "aaaa"), (None, "bbb"), (None, "ccc")], 7, &[&[0, 1], &[2]]);
        check(&[(Some("g"), "a"), (Some("h"), "b"), (Some("g"), "c")], 100, &[&[0, 1]]);
        check(&[(None, "a"); 12], 100, &[&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], &[10, 11]]);
    }

    #[test]
    fn entries_are_taken_refused_or_sent_again() {
        let answer: BatchAnswer = serde_json::from_str(
            r#"{"Successful":[{"Id":"1"}],"Failed":[{"Id":"0","SenderFault":true,"Code":"InvalidMessageContents"},
               {"Id":"2","SenderFault":false,"Code":"InternalError"},{"Id":"3","SenderFault":true,"Code":"RequestThrottled"}]}"#,
        )
        .expect("legal");
        let outcomes = outcomes(&[5, 6, 7, 8, 9], answer);
        let text = |outcome: &Outcome| match outcome {
            Outcome::Taken => "taken",
            Outcome::Refused(_) => "refused",
            Outcome::Failed(_) => "failed",
        };
        let said: Vec<(usize, &str)> = outcomes.iter().map(|(lane, outcome)| (*lane, text(outcome))).collect();
        assert_eq!(said, [(5, "refused"), (6, "taken"), (7, "failed"), (8, "failed"), (9, "failed")]);
    }
}
