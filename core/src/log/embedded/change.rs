//! What a frame of the commit log says, and its bytes.
//!
//! ```text
//! kind u8, then
//! 1 topic made       id u64, incarnation u128, name, configuration as JSON
//! 2 topic deleted    id u64
//! 3 extent           topic u64, partition u32, segment base u64, generation u32, from u64, to u64, end offset u64,
//!                    highest timestamp i64
//! 4 group offset     topic u64, partition u32, next u64, group, metadata
//! 5 producer opened  epoch u64, name
//! 6 segments         topic u64, partition u32, log start u64, partition end u64,
//!                    count u32 of removed: base u64, generation u32;
//!                    count u32 of added: base u64, generation u32, length u64, end u64, highest timestamp i64,
//!                    compacted u8, tombstones met at i64 (i64::MIN: none)
//! 7 next topic id    id u64
//! ```
//! Texts and bytes are a u32 length and the bytes. A snapshot is a frame like any other: the changes that make the state
//! from nothing.

use super::wire::{Malformed, Put, Take};
use crate::{
    log::{GroupOffset, TopicConfig},
    record::{GroupId, Offset, TopicName},
};

/// A partition by the id of its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) topic: u64,
    pub(super) partition: u32,
}

/// What is recorded of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentMeta {
    /// Its first offset.
    pub(super) base: u64,
    /// How often it was rewritten; the file name carries it.
    pub(super) generation: u32,
    /// Bytes that are committed.
    pub(super) length: u64,
    /// The offset after its last.
    pub(super) end: u64,
    /// The highest timestamp in it.
    pub(super) max_timestamp: i64,
    /// Whether compaction has been over it.
    pub(super) compacted: bool,
    /// When compaction met the tombstones in it; `None` if it is not known to hold any.
    pub(super) tombstones_since: Option<i64>,
}

/// One step of the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    TopicMade { id: u64, incarnation: u128, name: TopicName, config: TopicConfig },
    TopicDeleted { id: u64 },
    Extent { place: Place, base: u64, generation: u32, from: u64, to: u64, end: u64, max_timestamp: i64 },
    GroupOffset { group: GroupId, place: Place, position: GroupOffset },
    ProducerOpened { name: String, epoch: u64 },
    Segments { place: Place, start: u64, end: u64, removed: Vec<(u64, u32)>, added: Vec<SegmentMeta> },
    NextTopicId { id: u64 },
}

impl Change {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let put_place = |out: &mut Vec<u8>, place: &Place| {
            out.put_u64(place.topic);
            out.put_u32(place.partition);
        };
        match self {
            Self::TopicMade { id, incarnation, name, config } => {
                out.put_u8(1);
                out.put_u64(*id);
                out.put(&incarnation.to_le_bytes());
                out.put_bytes(name.as_str().as_bytes());
                out.put_bytes(&serde_json::to_vec(config).expect("a topic configuration is plain JSON"));
            }
            Self::TopicDeleted { id } => {
                out.put_u8(2);
                out.put_u64(*id);
            }
            Self::Extent { place, base, generation, from, to, end, max_timestamp } => {
                out.put_u8(3);
                put_place(out, place);
                out.put_u64(*base);
                out.put_u32(*generation);
                out.put_u64(*from);
                out.put_u64(*to);
                out.put_u64(*end);
                out.put_i64(*max_timestamp);
            }
            Self::GroupOffset { group, place, position } => {
                out.put_u8(4);
                put_place(out, place);
                out.put_u64(position.next.0);
                out.put_bytes(group.as_str().as_bytes());
                out.put_bytes(&position.metadata);
            }
            Self::ProducerOpened { name, epoch } => {
                out.put_u8(5);
                out.put_u64(*epoch);
                out.put_bytes(name.as_bytes());
            }
            Self::Segments { place, start, end, removed, added } => {
                out.put_u8(6);
                put_place(out, place);
                out.put_u64(*start);
                out.put_u64(*end);
                out.put_u32(removed.len() as u32);
                for (base, generation) in removed {
                    out.put_u64(*base);
                    out.put_u32(*generation);
                }
                out.put_u32(added.len() as u32);
                for segment in added {
                    out.put_u64(segment.base);
                    out.put_u32(segment.generation);
                    out.put_u64(segment.length);
                    out.put_u64(segment.end);
                    out.put_i64(segment.max_timestamp);
                    out.put_u8(u8::from(segment.compacted));
                    out.put_i64(segment.tombstones_since.unwrap_or(i64::MIN));
                }
            }
            Self::NextTopicId { id } => {
                out.put_u8(7);
                out.put_u64(*id);
            }
        }
    }

    pub(super) fn decode(take: &mut Take<'_>) -> Result<Self, Malformed> {
        fn place(take: &mut Take<'_>) -> Result<Place, Malformed> {
            Ok(Place { topic: take.u64()?, partition: take.u32()? })
        }
        Ok(match take.u8()? {
            1 => Self::TopicMade {
                id: take.u64()?,
                incarnation: take.u128()?,
                name: TopicName::new(take.text()?).map_err(|_| Malformed("a topic has an illegal name"))?,
                config: serde_json::from_slice(take.bytes()?)
                    .map_err(|_| Malformed("a configuration is not readable"))?,
            },
            2 => Self::TopicDeleted { id: take.u64()? },
            3 => Self::Extent {
                place: place(take)?,
                base: take.u64()?,
                generation: take.u32()?,
                from: take.u64()?,
                to: take.u64()?,
                end: take.u64()?,
                max_timestamp: take.i64()?,
            },
            4 => {
                let (place, next) = (place(take)?, Offset(take.u64()?));
                let group = GroupId::new(take.text()?).map_err(|_| Malformed("a group has an illegal name"))?;
                Self::GroupOffset { group, place, position: GroupOffset { next, metadata: take.bytes()?.to_vec() } }
            }
            5 => {
                let epoch = take.u64()?;
                Self::ProducerOpened { name: take.text()?.to_owned(), epoch }
            }
            6 => {
                let (place, start, end) = (place(take)?, take.u64()?, take.u64()?);
                let (mut removed, mut added) = (Vec::new(), Vec::new());
                for _ in 0..take.u32()? {
                    removed.push((take.u64()?, take.u32()?));
                }
                for _ in 0..take.u32()? {
                    added.push(SegmentMeta {
                        base: take.u64()?,
                        generation: take.u32()?,
                        length: take.u64()?,
                        end: take.u64()?,
                        max_timestamp: take.i64()?,
                        compacted: take.u8()? != 0,
                        tombstones_since: Some(take.i64()?).filter(|&since| since != i64::MIN),
                    });
                }
                Self::Segments { place, start, end, removed, added }
            }
            7 => Self::NextTopicId { id: take.u64()? },
            _ => return Err(Malformed("a change is of an unknown kind")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_is_read_as_it_was_written_and_no_cut_is_taken_for_whole() {
        let place = Place { topic: 3, partition: 1 };
        let segment = SegmentMeta {
            base: 5,
            generation: 2,
            length: 640,
            end: 9,
            max_timestamp: -4,
            compacted: true,
            tombstones_since: Some(77),
        };
        let changes = [
            Change::TopicMade {
                id: 3,
                incarnation: 1 << 100,
                name: TopicName::new("orders").unwrap(),
                config: TopicConfig::default(),
            },
            Change::TopicDeleted { id: 3 },
            Change::Extent { place, base: 5, generation: 0, from: 64, to: 128, end: 9, max_timestamp: 10 },
            Change::GroupOffset {
                group: GroupId::new("g").unwrap(),
                place,
                position: GroupOffset { next: Offset(4), metadata: vec![1, 2] },
            },
            Change::ProducerOpened { name: "p".into(), epoch: 8 },
            Change::Segments { place, start: 5, end: 9, removed: vec![(5, 1)], added: vec![segment] },
            Change::NextTopicId { id: 4 },
        ];
        for change in changes {
            let mut bytes = Vec::new();
            change.encode(&mut bytes);
            let mut take = Take(&bytes);
            assert_eq!(Change::decode(&mut take), Ok(change.clone()));
            assert!(take.0.is_empty());
            for cut in 0..bytes.len() {
                assert!(Change::decode(&mut Take(&bytes[..cut])).is_err(), "{change:?} cut at {cut}");
            }
        }
    }
}
