//! The typed key space of a column family: data under one byte, the one metadata record under another.
//!
//! ```text
//! 0x00              metadata: version 1 | flags 1 | incarnation 16 | next 8 | expired_before 8   (integers big endian)
//! 0x01 ++ key       value
//! ```
//! Data iterators are bounded by `[0x01, 0x02)`, so that the record can never show up in a scan. It lives in the same column
//! family as the data, because one write batch into one column family lands in one memtable and hence in one file: a
//! crash keeps both or neither. Two column families would need atomic flush, which ties every store's flush to all others.

use std::fmt;

pub(crate) const METADATA_KEY: &[u8] = &[0x00];
pub(crate) const DATA: u8 = 0x01;
pub(crate) const DATA_END: &[u8] = &[0x02];

const VERSION: u8 = 1;
const HAS_POSITION: u8 = 1;
const ENCODED_BYTES: usize = 34;

/// How a store orders and expires its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreKind {
    /// Any bytes as keys, no expiry.
    KeyValue,
    /// Keys made by [`crate::key::window_key`]; whole windows expire together.
    Window,
}

impl fmt::Display for StoreKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::KeyValue => "key-value",
            Self::Window => "window",
        })
    }
}

/// The place in a changelog that a store's content corresponds to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// Identity of the changelog; a topic that is deleted and made again gets another one.
    pub incarnation: u128,
    /// The next offset: every entry below it is applied, none from it on.
    pub next: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "incarnation={:032x} next={}", self.incarnation, self.next)
    }
}

/// What a checkpoint says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Metadata {
    pub(crate) position: Option<Position>,
    /// Windows that start below are gone; `i64::MIN` before the first expiry.
    pub(crate) expired_before: i64,
}

impl Metadata {
    pub(crate) const EMPTY: Self = Self { position: None, expired_before: i64::MIN };

    pub(crate) fn encode(&self) -> [u8; ENCODED_BYTES] {
        let position = self.position.unwrap_or(Position { incarnation: 0, next: 0 });
        let mut bytes = [0; ENCODED_BYTES];
        bytes[0] = VERSION;
        bytes[1] = if self.position.is_some() { HAS_POSITION } else { 0 };
        bytes[2..18].copy_from_slice(&position.incarnation.to_be_bytes());
        bytes[18..26].copy_from_slice(&position.next.to_be_bytes());
        bytes[26..34].copy_from_slice(&self.expired_before.to_be_bytes());
        bytes
    }

    /// The record, or what is wrong with the bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let [VERSION, flags, rest @ ..] = bytes else {
            return Err(format!("metadata record of version {:?}, known is {VERSION}", bytes.first()));
        };
        let wrong_length = || format!("metadata record of {} bytes instead of {ENCODED_BYTES}", bytes.len());
        let (incarnation, rest) = rest.split_first_chunk::<16>().ok_or_else(wrong_length)?;
        let (next, rest) = rest.split_first_chunk::<8>().ok_or_else(wrong_length)?;
        let expired_before = <[u8; 8]>::try_from(rest).map_err(|_| wrong_length())?;
        let position = match *flags {
            0 => None,
            HAS_POSITION => {
                Some(Position { incarnation: u128::from_be_bytes(*incarnation), next: u64::from_be_bytes(*next) })
            }
            other => return Err(format!("metadata record with unknown flags {other:#x}")),
        };
        Ok(Self { position, expired_before: i64::from_be_bytes(expired_before) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_records_come_back() {
        let position = Position { incarnation: u128::MAX - 5, next: 1 << 40 };
        for metadata in [Metadata::EMPTY, Metadata { position: Some(position), expired_before: -3 }] {
            assert_eq!(Metadata::decode(&metadata.encode()), Ok(metadata));
        }
    }

    #[test]
    fn foreign_bytes_are_refused() {
        let mut newer = Metadata::EMPTY.encode();
        newer[0] = 2;
        let mut flagged = Metadata::EMPTY.encode();
        flagged[1] = 8;
        for bytes in [&newer[..], &flagged, &Metadata::EMPTY.encode()[..20], &[], &[1]] {
            assert!(Metadata::decode(bytes).is_err(), "{bytes:?}");
        }
    }
}
