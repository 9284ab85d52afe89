//! What is asked and answered, and its bytes: integers big-endian, byte strings behind their length, lists behind their number.

use crate::{
    query::partition_snapshot::ScanOrder,
    record::{Offset, PartitionId, Position, TopicName, TopicPartition},
};

/// The first bytes of a connection: the protocol and its version.
pub(super) const HELLO: &[u8] = b"millstream-query-1";

/// Which stores of a partition a snapshot takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The store.
    Rows,
    /// The store and behind it the one with what its rows were before.
    RowsAndHistory,
}

/// Who may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// Only who processes the partition.
    Active,
    /// Also who follows it, at most so many changes behind.
    Within(u64),
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request {
    Open { application: String, store: String, partitions: Vec<u32>, wanted: Wanted, freshness: Freshness },
    Get { place: u32, keys: Vec<Vec<u8>> },
    Windows { place: u32, key: Vec<u8>, from: i64, to: i64 },
    Walk { place: u32, from: Vec<u8>, to: Option<Vec<u8>>, order: ScanOrder },
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Response {
    Welcome,
    Opened(Position),
    /// Values by the number of their key.
    Values(Vec<(u32, Vec<u8>)>),
    /// Entries, and whether there are more.
    Entries(Vec<(Vec<u8>, Vec<u8>)>, More),
    /// The partition is not here (any more).
    NotHere(u32),
    Refused(String),
}

/// Whether there is more to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum More {
    Yes,
    No,
}

/// Bytes that are no message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

struct Out(Vec<u8>);

impl Out {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
        self.0.extend_from_slice(bytes);
    }

    fn number(&mut self, number: usize) {
        self.0.extend_from_slice(&(number as u32).to_be_bytes());
    }
}

struct In<'a>(&'a [u8]);

impl<'a> In<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, left) = self.0.split_at_checked(length).ok_or(Malformed("it ends too early"))?;
        self.0 = left;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_be_bytes(self.take(4)?.try_into().expect("four bytes")))
    }

    fn long(&mut self) -> Result<i64, Malformed> {
        Ok(i64::from_be_bytes(self.take(8)?.try_into().expect("eight bytes")))
    }

    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.number()? as usize;
        self.take(length)
    }

    fn text(&mut self) -> Result<String, Malformed> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| Malformed("text that is not UTF-8"))
    }

    /// A list: each element takes a byte at least, so that no number makes more room than the message has bytes.
    fn list<T>(&mut self, each: impl Fn(&mut Self) -> Result<T, Malformed>) -> Result<Vec<T>, Malformed> {
        let number = self.number()? as usize;
        if number > self.0.len() {
            return Err(Malformed("a list that is longer than the message"));
        }
        (0..number).map(|_| each(self)).collect()
    }

    fn end<T>(self, message: T) -> Result<T, Malformed> {
        if self.0.is_empty() { Ok(message) } else { Err(Malformed("something follows it")) }
    }
}

impl Request {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Out(Vec::new());
        match self {
            Self::Open { application, store, partitions, wanted, freshness } => {
                out.0.push(1);
                out.bytes(application.as_bytes());
                out.bytes(store.as_bytes());
                out.number(partitions.len());
                partitions.iter().for_each(|partition| out.number(*partition as usize));
                out.0.push(u8::from(*wanted == Wanted::RowsAndHistory));
                let behind = match freshness {
                    Freshness::Active => -1,
                    Freshness::Within(changes) => i64::try_from(*changes).unwrap_or(i64::MAX),
                };
                out.0.extend_from_slice(&behind.to_be_bytes());
            }
            Self::Get { place, keys } => {
                out.0.push(2);
                out.number(*place as usize);
                out.number(keys.len());
                keys.iter().for_each(|key| out.bytes(key));
            }
            Self::Windows { place, key, from, to } => {
                out.0.push(3);
                out.number(*place as usize);
                out.bytes(key);
                out.0.extend_from_slice(&from.to_be_bytes());
                out.0.extend_from_slice(&to.to_be_bytes());
            }
            Self::Walk { place, from, to, order } => {
                out.0.push(4);
                out.number(*place as usize);
                out.bytes(from);
                out.0.push(u8::from(to.is_some()));
                out.bytes(to.as_deref().unwrap_or_default());
                out.0.push(u8::from(*order == ScanOrder::Descending));
            }
        }
        out.0
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut bytes = In(bytes);
        let request = match bytes.byte()? {
            1 => {
                let (application, store) = (bytes.text()?, bytes.text()?);
                let partitions = bytes.list(In::number)?;
                let wanted = if bytes.byte()? == 0 { Wanted::Rows } else { Wanted::RowsAndHistory };
                let freshness = u64::try_from(bytes.long()?).map_or(Freshness::Active, Freshness::Within);
                Self::Open { application, store, partitions, wanted, freshness }
            }
            2 => Self::Get { place: bytes.number()?, keys: bytes.list(|bytes| Ok(bytes.bytes()?.to_vec()))? },
            3 => Self::Windows {
                place: bytes.number()?,
                key: bytes.bytes()?.to_vec(),
                from: bytes.long()?,
                to: bytes.long()?,
            },
            4 => {
                let (place, from) = (bytes.number()?, bytes.bytes()?.to_vec());
                let (is_bounded, to) = (bytes.byte()? != 0, bytes.bytes()?.to_vec());
                let order = if bytes.byte()? == 0 { ScanOrder::Ascending } else { ScanOrder::Descending };
                Self::Walk { place, from, to: is_bounded.then_some(to), order }
            }
            _ => return Err(Malformed("a question that is not known")),
        };
        bytes.end(request)
    }
}

impl Response {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Out(Vec::new());
        match self {
            Self::Welcome => out.0.push(1),
            Self::Opened(position) => {
                out.0.push(2);
                out.number(position.iter().count());
                for (partition, next) in position.iter() {
                    out.bytes(partition.topic.as_str().as_bytes());
                    out.number(partition.partition.0 as usize);
                    out.0.extend_from_slice(&next.0.to_be_bytes());
                }
            }
            Self::Values(values) => {
                out.0.push(3);
                out.number(values.len());
                for (place, value) in values {
                    out.number(*place as usize);
                    out.bytes(value);
                }
            }
            Self::Entries(entries, more) => {
                out.0.push(4);
                out.0.push(u8::from(*more == More::Yes));
                out.number(entries.len());
                for (key, value) in entries {
                    out.bytes(key);
                    out.bytes(value);
                }
            }
            Self::NotHere(partition) => {
                out.0.push(5);
                out.number(*partition as usize);
            }
            Self::Refused(why) => {
                out.0.push(6);
                out.bytes(why.as_bytes());
            }
        }
        out.0
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut bytes = In(bytes);
        let response = match bytes.byte()? {
            1 => Self::Welcome,
            2 => Self::Opened(Position::from_iter(bytes.list(position)?)),
            3 => Self::Values(bytes.list(|bytes| Ok((bytes.number()?, bytes.bytes()?.to_vec())))?),
            4 => {
                let more = if bytes.byte()? == 0 { More::No } else { More::Yes };
                Self::Entries(bytes.list(|bytes| Ok((bytes.bytes()?.to_vec(), bytes.bytes()?.to_vec())))?, more)
            }
            5 => Self::NotHere(bytes.number()?),
            6 => Self::Refused(bytes.text()?),
            _ => return Err(Malformed("an answer that is not known")),
        };
        bytes.end(response)
    }
}

fn position(bytes: &mut In<'_>) -> Result<(TopicPartition, Offset), Malformed> {
    let topic = TopicName::new(&bytes.text()?).map_err(|_| Malformed("a topic's name that cannot be"))?;
    let partition = TopicPartition::new(topic, PartitionId(bytes.number()?));
    Ok((partition, Offset(bytes.long()? as u64)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(any::<u8>(), 0..20)
    }

    fn request() -> impl Strategy<Value = Request> {
        let order = prop_oneof![Just(ScanOrder::Ascending), Just(ScanOrder::Descending)];
        let freshness = prop_oneof![Just(Freshness::Active), (0..1_000_u64).prop_map(Freshness::Within)];
        let wanted = prop_oneof![Just(Wanted::Rows), Just(Wanted::RowsAndHistory)];
        prop_oneof![
            ("[a-z]{0,9}", "[a-z]{0,9}", proptest::collection::vec(0..9_u32, 0..5), wanted, freshness).prop_map(
                |(application, store, partitions, wanted, freshness)| Request::Open {
                    application,
                    store,
                    partitions,
                    wanted,
                    freshness
                }
            ),
            (0..9_u32, proptest::collection::vec(bytes(), 0..5)).prop_map(|(place, keys)| Request::Get { place, keys }),
            (0..9_u32, bytes(), any::<i64>(), any::<i64>()).prop_map(|(place, key, from, to)| Request::Windows {
                place,
                key,
                from,
                to
            }),
            (0..9_u32, bytes(), proptest::option::of(bytes()), order)
                .prop_map(|(place, from, to, order)| Request::Walk { place, from, to, order }),
        ]
    }

    proptest! {
        #[test]
        fn requests_come_back_as_they_were(request in request()) {
            prop_assert_eq!(Request::decode(&request.encode()), Ok(request));
        }

        #[test]
        fn any_bytes_are_a_message_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Request::decode(&bytes);
            let _ = Response::decode(&bytes);
        }

        #[test]
        fn entries_come_back_as_they_were(entries in proptest::collection::vec((bytes(), bytes()), 0..6)) {
            for response in [Response::Entries(entries.clone(), More::Yes), Response::NotHere(3), Response::Refused("no".into())] {
                prop_assert_eq!(Response::decode(&response.encode()), Ok(response));
            }
        }
    }

    #[test]
    fn positions_come_back_as_they_were() {
        let partition = TopicPartition::new(TopicName::new("orders").expect("legal"), PartitionId(2));
        let opened = Response::Opened(Position::from_iter([(partition, Offset(17))]));
        assert_eq!(Response::decode(&opened.encode()), Ok(opened));
    }
}
