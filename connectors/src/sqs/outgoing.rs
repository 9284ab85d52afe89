//! A record as a message to be sent, or why it cannot be one.
//!
//! Body: the value as text, or as base64. Attributes: `millstream.id` = `TOPIC-PARTITION-OFFSET`, by which receivers of a standard queue tell
//! duplicates; the key, and the record's headers, if wanted. On a FIFO queue the key is the group, so that messages of a key stay in order
//! (a key that SQS takes for no group id is replaced by a hash of it; without a key the group is `TOPIC-PARTITION`), and `millstream.id` is the
//! deduplication id.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use millstream::{
    connect::RejectedRecord,
    record::{Offset, Record, RecordRef, TopicPartition},
};
use ring::digest;

use super::{
    QueueKind, SqsSink,
    protocol::{Attribute, Send},
    signature::hex,
    sink::BodyEncoding,
};

/// The most attributes of a message.
const MOST_ATTRIBUTES: usize = 10;
/// The longest group or deduplication id, and the longest attribute name.
const LONGEST_ID: usize = 128;
const LONGEST_NAME: usize = 256;
/// The attribute by which a message is told from others.
pub(super) const ID_ATTRIBUTE: &str = "millstream.id";

/// A message to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outgoing {
    pub(super) body: String,
    pub(super) attributes: BTreeMap<String, Attribute>,
    pub(super) group: Option<String>,
    pub(super) deduplication: Option<String>,
    /// Where it comes from, in case that it is refused.
    pub(super) partition: TopicPartition,
    pub(super) offset: Offset,
    pub(super) record: Record,
}

impl Outgoing {
    /// Makes a message of a record.
    ///
    /// # Errors
    /// Why SQS would not take it, and what to do.
    pub(super) fn new(
        sink: &SqsSink,
        partition: &TopicPartition,
        offset: Offset,
        record: RecordRef<'_>,
    ) -> Result<Self, String> {
        let body = body(sink.body, record.value)?;
        let id = format!("{}-{}-{offset}", partition.topic, partition.partition);
        let attributes = attributes(sink, &id, record)?;
        let (group, deduplication) = match sink.queue.kind() {
            QueueKind::Standard => (None, None),
            QueueKind::Fifo => (Some(group(partition, record.key)), Some(short(&id, id.as_bytes()))),
        };
        let message = Self {
            body,
            attributes,
            group,
            deduplication,
            partition: partition.clone(),
            offset,
            record: record.into(),
        };
        let size = message.size_bytes();
        if size > sink.message_max_bytes {
            let most = sink.message_max_bytes;
            return Err(format!(
                "the message has {size} bytes with its attributes, more than the {most} of 'sqs.message.max.bytes'"
            ));
        }
        Ok(message)
    }

    /// What it counts for in a batch.
    pub(super) fn size_bytes(&self) -> usize {
        self.body.len() + self.attributes.iter().map(|(name, value)| name.len() + value.size_bytes()).sum::<usize>()
    }

    /// The entry of a batch that sends it.
    pub(super) fn entry(&self, id: usize) -> Send<'_> {
        Send {
            id: id.to_string(),
            message_body: &self.body,
            message_attributes: &self.attributes,
            message_group_id: self.group.as_deref(),
            message_deduplication_id: self.deduplication.as_deref(),
        }
    }

    /// The record that it was, refused.
    pub(super) fn reject(self, problem: String) -> RejectedRecord {
        RejectedRecord { partition: self.partition, offset: self.offset, record: self.record, problem }
    }
}

fn body(encoding: BodyEncoding, value: Option<&[u8]>) -> Result<String, String> {
    let value = value.ok_or("the record has no value, and a queue has no deletions; leave such records out with 'behavior.on.null.values' = 'ignore'")?;
    let text = match encoding {
        BodyEncoding::Base64 => BASE64_STANDARD.encode(value),
        BodyEncoding::Text => std::str::from_utf8(value)
            .map_err(|_| "the value is not UTF-8; send bytes with 'sqs.body.encoding' = 'base64'")?
            .to_owned(),
    };
    if text.is_empty() {
        return Err("the value is empty, and SQS takes no empty message".into());
    }
    match text.chars().find(|char| !is_allowed(*char)) {
        Some(char) => Err(format!(
            "the value has the character {char:?}, which SQS does not take; send bytes with 'sqs.body.encoding' = 'base64'"
        )),
        None => Ok(text),
    }
}

/// Whether SQS takes a character in a message.
fn is_allowed(char: char) -> bool {
    matches!(char, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..='\u{10FFFF}')
}

fn attributes(sink: &SqsSink, id: &str, record: RecordRef<'_>) -> Result<BTreeMap<String, Attribute>, String> {
    let mut attributes = BTreeMap::from([(ID_ATTRIBUTE.to_owned(), Attribute::text(id.to_owned()))]);
    if let (Some(name), Some(key)) = (&sink.key_attribute, record.key.filter(|key| !key.is_empty())) {
        attributes.insert(name.clone(), attribute(key));
    }
    for header in record.headers.iter().filter(|_| sink.headers_as_attributes) {
        // SQS has no attributes without a value.
        let Some(value) = header.value.as_deref().filter(|value| !value.is_empty()) else { continue };
        if !is_name(&header.name) {
            let name = &header.name;
            return Err(format!(
                "header `{name}` cannot be an attribute of a message: letters, digits, _, - and . only, not AWS. or Amazon. in front"
            ));
        }
        // Of headers with one name the last counts.
        attributes.insert(header.name.clone(), attribute(value));
    }
    if attributes.len() > MOST_ATTRIBUTES {
        let count = attributes.len();
        return Err(format!(
            "the message would have {count} attributes, SQS takes {MOST_ATTRIBUTES}: {ID_ATTRIBUTE}, the key, and the record's headers"
        ));
    }
    Ok(attributes)
}

fn attribute(value: &[u8]) -> Attribute {
    match std::str::from_utf8(value) {
        Ok(text) if text.chars().all(is_allowed) => Attribute::text(text.to_owned()),
        _ => Attribute::bytes(value),
    }
}

/// Whether SQS takes a name for an attribute.
pub(super) fn is_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let is_edge = |char: Option<char>| char == Some('.');
    !name.is_empty()
        && name.len() <= LONGEST_NAME
        && name.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '.'))
        && !is_edge(name.chars().next())
        && !is_edge(name.chars().last())
        && !name.contains("..")
        && !lower.starts_with("aws.")
        && !lower.starts_with("amazon.")
}

/// The group of a record on a FIFO queue.
fn group(partition: &TopicPartition, key: Option<&[u8]>) -> String {
    let Some(key) = key else {
        let place = format!("{}-{}", partition.topic, partition.partition);
        return short(&place, place.as_bytes());
    };
    short(std::str::from_utf8(key).unwrap_or_default(), key)
}

/// A text as it is if SQS takes it for an id, else a hash of the bytes that it stands for.
fn short(text: &str, bytes: &[u8]) -> String {
    let is_id = !text.is_empty() && text.len() <= LONGEST_ID && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_id { text.to_owned() } else { format!("sha256:{}", hex(digest::digest(&digest::SHA256, bytes).as_ref())) }
}

#[cfg(test)]
mod tests {
    use millstream::{
        record::{Header, PartitionId, TopicName},
        secret::Secret,
    };

    use super::*;
    use crate::sqs::{AwsCredentials, SqsQueue};

    fn sink(queue: &str) -> SqsSink {
        let (access_key_id, secret_access_key) = (Secret::new("id"), Secret::new("key"));
        let credentials = AwsCredentials { access_key_id, secret_access_key, session_token: None };
        let url = format!("http://127.0.0.1/1/{queue}");
        SqsSink::new(
            SqsQueue::new(&url, Some("r"), credentials).expect("legal"),
            vec![TopicName::new("t").expect("legal")],
        )
    }

    fn outgoing(sink: &SqsSink, record: &Record) -> Result<Outgoing, String> {
        let partition = TopicPartition::new(TopicName::new("orders").expect("legal"), PartitionId(3));
        let record = RecordRef {
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            timestamp: record.timestamp,
            headers: &record.headers,
        };
        Outgoing::new(sink, &partition, Offset(17), record)
    }

    #[test]
    fn a_fifo_queue_gets_groups_and_deduplication_ids() {
        let check = |key: Option<&[u8]>, group: &str| {
            let record = Record { key: key.map(Into::into), value: Some(b"v".to_vec()), ..Record::default() };
            let message = outgoing(&sink("q.fifo"), &record).expect("legal");
            assert_eq!(
                (message.group.as_deref(), message.deduplication.as_deref()),
                (Some(group), Some("orders-3-17"))
            );
        };
        check(Some(b"ada"), "ada");
        check(None, "orders-3");
        check(Some(b"a b"), "sha256:c8687a08aa5d6ed2044328fa6a697ab8e96dc34291e8c2034ae8c38e6fcc6d65");
        check(Some(b"\xff"), "sha256:a8100ae6aa1940d0b663bb31cd466142ebbdbd5187131b92d93818987832eb89");
        let standard = outgoing(&sink("q"), &Record::new("ada", "v")).expect("legal");
        assert_eq!((standard.group, standard.deduplication), (None, None));
        assert_eq!(standard.attributes[ID_ATTRIBUTE], Attribute::text("orders-3-17".into()));
    }

    #[test]
    fn what_sqs_does_not_take_is_named() {
        let check = |sink: SqsSink, record: Record, part: &str| {
            let problem = outgoing(&sink, &record).expect_err(part);
            assert!(problem.contains(part), "{problem}");
        };
        check(sink("q"), Record { value: None, ..Record::default() }, "behavior.on.null.values");
        check(sink("q"), Record::new("k", ""), "empty");
        check(sink("q"), Record::new("k", b"\xff".to_vec()), "base64");
        check(sink("q"), Record::new("k", b"a\x01".to_vec()), "base64");
        check(
            SqsSink { message_max_bytes: 100, ..sink("q") },
            Record::new("k", vec![b'x'; 80]),
            "sqs.message.max.bytes",
        );
        let header = |name: &str| Header { name: name.into(), value: Some(b"v".to_vec()) };
        let with = |headers: Vec<Header>| Record { headers, ..Record::new("k", "v") };
        let all = || SqsSink { headers_as_attributes: true, ..sink("q") };
        check(all(), with(vec![header("AWS.x")]), "AWS.x");
        check(all(), with((0..10).map(|n| header(&format!("h{n}"))).collect()), "11 attributes");
        assert!(outgoing(&sink("q"), &with(vec![header("AWS.x")])).is_ok());
        let bytes = SqsSink { body: BodyEncoding::Base64, key_attribute: Some("key".into()), ..sink("q") };
        let message = outgoing(&bytes, &Record::new(b"\xff".to_vec(), b"\x00".to_vec())).expect("legal");
        assert_eq!((message.body.as_str(), &message.attributes["key"]), ("AA==", &Attribute::bytes(b"\xff")));
    }
}
