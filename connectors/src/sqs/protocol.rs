//! Requests and answers of SQS as JSON (protocol AWS JSON 1.0): only what connectors ask.
//!
//! Answers are checked for what is relied on: every message has an id and a receipt; attributes of bytes are decoded.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Deserializer, Serialize};

/// The most entries of a batch, and the most messages of a receive.
pub(super) const BATCH_ENTRIES: usize = 10;

/// Asks for messages.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Receive<'a> {
    pub(super) queue_url: &'a str,
    pub(super) max_number_of_messages: u32,
    pub(super) visibility_timeout: u32,
    pub(super) wait_time_seconds: u32,
    /// The newer name of the next one; servers know one or both.
    pub(super) message_system_attribute_names: [&'static str; 1],
    pub(super) attribute_names: [&'static str; 1],
    pub(super) message_attribute_names: [&'static str; 1],
}

/// Messages that were received.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Received {
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) messages: Vec<Message>,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Message {
    /// Stays the same if it is delivered again.
    pub(super) message_id: String,
    /// By which this delivery is settled.
    pub(super) receipt_handle: String,
    #[serde(default)]
    pub(super) body: String,
    /// What SQS says of it.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) attributes: BTreeMap<String, String>,
    /// What its sender says of it.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) message_attributes: BTreeMap<String, Attribute>,
}

/// An attribute that a sender gave a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Attribute {
    pub(super) data_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) string_value: Option<String>,
    /// Base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) binary_value: Option<String>,
}

impl Attribute {
    /// An attribute of text.
    pub(super) fn text(value: String) -> Self {
        Self { data_type: "String".into(), string_value: Some(value), binary_value: None }
    }

    /// An attribute of bytes.
    pub(super) fn bytes(value: &[u8]) -> Self {
        Self { data_type: "Binary".into(), string_value: None, binary_value: Some(BASE64_STANDARD.encode(value)) }
    }

    /// Its bytes; `None` if what should be base64 is not.
    pub(super) fn value(&self) -> Option<Vec<u8>> {
        match (&self.string_value, &self.binary_value) {
            (Some(text), _) => Some(text.clone().into_bytes()),
            (None, Some(base64)) => BASE64_STANDARD.decode(base64).ok(),
            (None, None) => Some(Vec::new()),
        }
    }

    /// What it counts for in the size of a message, beside its name.
    pub(super) fn size_bytes(&self) -> usize {
        let bytes = self.binary_value.as_ref().map_or(0, |base64| base64.len() / 4 * 3);
        self.data_type.len() + self.string_value.as_ref().map_or(0, String::len) + bytes
    }
}

/// A batch of up to [`BATCH_ENTRIES`] entries.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Batch<'a, E> {
    pub(super) queue_url: &'a str,
    pub(super) entries: Vec<E>,
}

/// A message to be deleted.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Delete<'a> {
    pub(super) id: String,
    pub(super) receipt_handle: &'a str,
}

/// A message to stay invisible for other than as long as planned; 0: it is given back.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ChangeVisibility<'a> {
    pub(super) id: String,
    pub(super) receipt_handle: &'a str,
    pub(super) visibility_timeout: u32,
}

/// A message to be sent.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Send<'a> {
    pub(super) id: String,
    pub(super) message_body: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) message_attributes: &'a BTreeMap<String, Attribute>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message_group_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message_deduplication_id: Option<&'a str>,
}

/// What became of the entries of a batch.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct BatchAnswer {
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) successful: Vec<Done>,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) failed: Vec<Failed>,
}

/// An entry that was done.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Done {
    pub(super) id: String,
}

/// An entry that was not.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Failed {
    pub(super) id: String,
    #[serde(default)]
    pub(super) sender_fault: bool,
    #[serde(default)]
    pub(super) code: String,
    #[serde(default)]
    pub(super) message: Option<String>,
}

impl Failed {
    /// Code and text.
    pub(super) fn problem(&self) -> String {
        let message = self.message.as_deref().unwrap_or_default();
        if message.is_empty() { self.code.clone() } else { format!("{}: {message}", self.code) }
    }
}

/// A request that was refused.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Refused {
    #[serde(rename = "__type")]
    pub(super) kind: String,
    pub(super) message: Option<String>,
    /// The same in the words of other servers; some say it twice.
    #[serde(rename = "Message")]
    pub(super) message_too: Option<String>,
}

fn null_is_empty<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_with_and_without_what_is_optional() {
        let received: Received = serde_json::from_str(
            r#"{"Messages":[{"MessageId":"m","ReceiptHandle":"r","Body":"b","Attributes":{"MessageGroupId":"g"},
               "MessageAttributes":{"n":{"DataType":"Binary","BinaryValue":"AP8="},"t":{"DataType":"Number","StringValue":"7"}}}]}"#,
        )
        .expect("legal");
        let message = &received.messages[0];
        assert_eq!((message.body.as_str(), message.attributes["MessageGroupId"].as_str()), ("b", "g"));
        assert_eq!(message.message_attributes["n"].value(), Some(vec![0, 255]));
        assert_eq!(message.message_attributes["t"].value(), Some(b"7".to_vec()));
        for nothing in ["{}", r#"{"Messages":null}"#] {
            assert!(serde_json::from_str::<Received>(nothing).expect("legal").messages.is_empty());
        }
        assert!(serde_json::from_str::<Received>(r#"{"Messages":[{"Body":"b"}]}"#).is_err());
    }

    #[test]
    fn sizes_are_those_of_the_decoded_bytes() {
        assert_eq!(Attribute::bytes(&[0; 30]).size_bytes(), "Binary".len() + 30);
        assert_eq!(Attribute::text("é".into()).size_bytes(), "String".len() + 2);
    }
}
