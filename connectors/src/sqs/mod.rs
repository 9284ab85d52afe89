//! Amazon SQS, standard and FIFO queues, as source and sink; and any server that speaks its JSON protocol.
//!
//! [`SqsSource`] reads a queue into a topic and deletes messages only after the commit; [`SqsSink`] sends records to a queue. What each
//! promises is said at the head of its file. The client is our own: four requests, signed with Signature Version 4.

mod client;
mod inbox;
mod outbox;
mod outgoing;
mod protocol;
mod queue;
mod received_record;
mod receiver;
mod seen;
mod signature;
mod sink;
mod source;

pub use queue::{QueueKind, SqsQueue};
pub use signature::AwsCredentials;
pub use sink::{BodyEncoding, SqsSink, SqsSinkWriter};
pub use source::{SqsSource, SqsSourceReader};

use millstream::connect::ConnectError;
