//! A message as a record: key, timestamp and headers.

use millstream::record::{Header, Timestamp};

use super::protocol::Message;

/// What a message says of itself, apart from its body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ReceivedRecord {
    pub(super) key: Option<Vec<u8>>,
    pub(super) timestamp: Timestamp,
    pub(super) headers: Vec<Header>,
}

/// Headers of what SQS says: theirs and its name.
const FROM_QUEUE: [(&str, &str); 4] = [
    ("sqs.receive.count", "ApproximateReceiveCount"),
    ("sqs.group.id", "MessageGroupId"),
    ("sqs.deduplication.id", "MessageDeduplicationId"),
    ("sqs.sequence.number", "SequenceNumber"),
];

impl ReceivedRecord {
    /// Reads a message; `now` is the timestamp of one that does not say when it was sent.
    ///
    /// # Errors
    /// What is wrong with an attribute.
    pub(super) fn new(message: &Message, key_attribute: Option<&str>, now: Timestamp) -> Result<Self, String> {
        let mut headers = Vec::with_capacity(message.message_attributes.len() + FROM_QUEUE.len() + 1);
        for (name, attribute) in &message.message_attributes {
            let value = attribute.value();
            let value =
                value.ok_or_else(|| format!("message {}: attribute `{name}` is not base64", message.message_id))?;
            headers.push(Header { name: name.clone(), value: Some(value) });
        }
        let key = match key_attribute {
            Some(name) => headers.iter().find(|header| header.name == name).and_then(|header| header.value.clone()),
            None => message.attributes.get("MessageGroupId").map(|group| group.clone().into_bytes()),
        };
        let header = |name: &str, value: &str| Header { name: name.into(), value: Some(value.as_bytes().to_vec()) };
        headers.push(header("sqs.message.id", &message.message_id));
        for (name, of_queue) in FROM_QUEUE {
            headers.extend(message.attributes.get(of_queue).map(|value| header(name, value)));
        }
        let sent = message.attributes.get("SentTimestamp").and_then(|sent| sent.parse().ok());
        Ok(Self { key, timestamp: sent.map_or(now, Timestamp), headers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        serde_json::from_value(serde_json::json!({
            "MessageId": "m", "ReceiptHandle": "r", "Body": "b",
            "Attributes": { "MessageGroupId": "g", "ApproximateReceiveCount": "3", "SentTimestamp": "1700000000123" },
            "MessageAttributes": { "customer": { "DataType": "String", "StringValue": "ada" } },
        }))
        .expect("legal")
    }

    #[test]
    fn the_group_is_the_key_unless_an_attribute_is() {
        let read = |key: Option<&str>| ReceivedRecord::new(&message(), key, Timestamp(7)).expect("legal");
        assert_eq!(read(None).key.as_deref(), Some(&b"g"[..]));
        assert_eq!(read(Some("customer")).key.as_deref(), Some(&b"ada"[..]));
        assert_eq!(read(Some("absent")).key, None);
        assert_eq!(read(None).timestamp, Timestamp(1_700_000_000_123));
        let record = read(None);
        let names: Vec<&str> = record.headers.iter().map(|header| header.name.as_str()).collect();
        assert_eq!(names, ["customer", "sqs.message.id", "sqs.receive.count", "sqs.group.id"]);
    }

    #[test]
    fn bytes_that_are_none_are_an_error() {
        let mut message = message();
        message.message_attributes.get_mut("customer").expect("there").string_value = None;
        message.message_attributes.get_mut("customer").expect("there").binary_value = Some("?".into());
        let problem = ReceivedRecord::new(&message, None, Timestamp(7)).expect_err("no base64");
        assert!(problem.contains("message m") && problem.contains("customer"), "{problem}");
    }
}
