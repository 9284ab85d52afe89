//! What a log holds: records, and the names and positions by which they are found.
//!
//! A record is a key, a value, a timestamp and headers. Key and value are bytes or null; a null value deletes its key
//! where the topic is read as a table (a *tombstone*). Names and positions are newtypes with only the arithmetic that
//! means something; raw integers live in the codecs.

mod header_column;
mod id;
mod moment;
mod position;
mod records;
mod time;

pub use header_column::{headers_column, headers_of, headers_type, last_header, no_headers};
pub use id::{GroupId, InvalidName, Offset, PartitionId, TopicName, TopicPartition};
pub use moment::{MomentFormat, moments};
pub use position::Position;
pub use records::{Header, Record, RecordRef, Records, RecordsBuilder};
pub use time::{TimeSpan, Timestamp};
