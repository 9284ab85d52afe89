//! Which of Kafka's two kinds of groups an application uses.

use std::str::FromStr;

use super::KafkaConfigError;

/// How the processes of an application share its tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GroupProtocol {
    /// A streams group (KIP-1071) if the brokers offer it, and a classic one otherwise.
    #[default]
    BestKnown,
    /// A classic group, whatever the brokers offer. All processes of an application must choose the same.
    Classic,
}

impl FromStr for GroupProtocol {
    type Err = KafkaConfigError;

    /// `auto` or `classic`.
    fn from_str(text: &str) -> Result<Self, KafkaConfigError> {
        match text {
            "auto" => Ok(Self::BestKnown),
            "classic" => Ok(Self::Classic),
            _ => Err(KafkaConfigError::InvalidValue {
                name: "group.protocol".to_owned(),
                problem: "must be auto or classic".to_owned(),
            }),
        }
    }
}
