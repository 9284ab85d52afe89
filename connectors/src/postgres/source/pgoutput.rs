//! The messages of Postgres' decoding plugin `pgoutput`, protocol version 1: bytes in, nothing kept.
//!
//! After the chapter "Logical Replication Message Formats" of the PostgreSQL manual. Every length is checked against what is there.

/// A message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message<'a> {
    Begin {
        commit: u64,
        commit_micros: i64,
        xid: u32,
    },
    Commit {
        end: u64,
    },
    Relation(Relation),
    Insert {
        relation: u32,
        new: Tuple<'a>,
    },
    Update {
        relation: u32,
        old: Option<Old<'a>>,
        new: Tuple<'a>,
    },
    Delete {
        relation: u32,
        old: Old<'a>,
    },
    Truncate {
        relations: Vec<u32>,
    },
    /// A message that says nothing about rows: origin, type, or one that a program wrote to the log.
    Other,
}

/// A table as the messages behind it mean it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Relation {
    pub(super) id: u32,
    pub(super) schema: String,
    pub(super) table: String,
    pub(super) columns: Vec<Column>,
    pub(super) identity: Identity,
}

/// By what the log tells the old row of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Identity {
    /// By these columns: those of the primary key or of another index; none, if the table has no key.
    Columns(Vec<usize>),
    /// By all of them.
    Full,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) type_oid: u32,
}

/// The values of a row, in the order of the columns.
pub(super) type Tuple<'a> = Vec<Value<'a>>;

/// A row as it was before a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Old<'a> {
    /// Only the columns of the replica identity; the others are null here, whatever they were.
    Key(Tuple<'a>),
    /// All columns.
    Row(Tuple<'a>),
}

impl<'a> Old<'a> {
    pub(super) fn tuple(&self) -> &Tuple<'a> {
        match self {
            Self::Key(tuple) | Self::Row(tuple) => tuple,
        }
    }
}

/// A value of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Null,
    /// Large, stored apart and not touched by the update: it is not in the log.
    Unchanged,
    /// As the output function of its type writes it.
    Text(&'a str),
}

/// Reads one message.
///
/// # Errors
/// What is not as it should be.
pub(super) fn parse(bytes: &[u8]) -> Result<Message<'_>, String> {
    let mut input = Input(bytes);
    let message = match input.byte()? {
        b'B' => Message::Begin { commit: input.u64()?, commit_micros: input.i64()?, xid: input.u32()? },
        b'C' => {
            input.byte()?;
            input.u64()?;
            let end = input.u64()?;
            input.i64()?;
            Message::Commit { end }
        }
        b'R' => Message::Relation(input.relation()?),
        b'I' => {
            let relation = input.u32()?;
            input.expect(b'N')?;
            Message::Insert { relation, new: input.tuple()? }
        }
        b'U' => {
            let relation = input.u32()?;
            let (old, new) = match input.byte()? {
                kind @ (b'K' | b'O') => {
                    let old = input.old(kind)?;
                    input.expect(b'N')?;
                    (Some(old), input.tuple()?)
                }
                b'N' => (None, input.tuple()?),
                other => return Err(unknown(other)),
            };
            Message::Update { relation, old, new }
        }
        b'D' => {
            let relation = input.u32()?;
            match input.byte()? {
                kind @ (b'K' | b'O') => Message::Delete { relation, old: input.old(kind)? },
                other => return Err(unknown(other)),
            }
        }
        b'T' => {
            let count = input.u32()?;
            input.byte()?;
            Message::Truncate { relations: (0..count).map(|_| input.u32()).collect::<Result<_, _>>()? }
        }
        b'O' | b'Y' | b'M' => return Ok(Message::Other),
        other => return Err(unknown(other)),
    };
    if input.0.is_empty() {
        Ok(message)
    } else {
        Err(format!("a message of pgoutput has {} bytes too many", input.0.len()))
    }
}

fn unknown(kind: u8) -> String {
    format!("a message of pgoutput has an unknown part `{}`", kind.escape_ascii())
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("a message of pgoutput is cut short")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        Ok(self.take(N)?.try_into().expect("so many bytes were taken"))
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.array::<1>()?[0])
    }

    fn expect(&mut self, expected: u8) -> Result<(), String> {
        let found = self.byte()?;
        if found == expected { Ok(()) } else { Err(unknown(found)) }
    }

    fn u16(&mut self) -> Result<u16, String> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, String> {
        self.array().map(u64::from_be_bytes)
    }

    fn i64(&mut self) -> Result<i64, String> {
        self.array().map(i64::from_be_bytes)
    }

    fn text(bytes: &'a [u8]) -> Result<&'a str, String> {
        std::str::from_utf8(bytes).map_err(|_| "a message of pgoutput is not UTF-8".to_owned())
    }

    /// Text with a zero byte behind it.
    fn name(&mut self) -> Result<String, String> {
        let length = self.0.iter().position(|byte| *byte == 0).ok_or("a name in a message of pgoutput has no end")?;
        let name = Self::text(self.take(length)?)?.to_owned();
        self.byte()?;
        Ok(name)
    }

    fn relation(&mut self) -> Result<Relation, String> {
        let (id, schema, table) = (self.u32()?, self.name()?, self.name()?);
        let is_full = self.byte()? == b'f';
        let mut marked = Vec::new();
        let columns = (0..self.u16()?).map(|at| {
            if self.byte()? & 1 == 1 {
                marked.push(usize::from(at));
            }
            let column = Column { name: self.name()?, type_oid: self.u32()? };
            self.u32()?;
            Ok(column)
        });
        let columns = columns.collect::<Result<_, String>>()?;
        let identity = if is_full { Identity::Full } else { Identity::Columns(marked) };
        let schema = if schema.is_empty() { "pg_catalog".to_owned() } else { schema };
        Ok(Relation { id, schema, table, columns, identity })
    }

    fn old(&mut self, kind: u8) -> Result<Old<'a>, String> {
        let tuple = self.tuple()?;
        Ok(if kind == b'K' { Old::Key(tuple) } else { Old::Row(tuple) })
    }

    fn tuple(&mut self) -> Result<Tuple<'a>, String> {
        let count = self.u16()?;
        let value = |_| match self.byte()? {
            b'n' => Ok(Value::Null),
            b'u' => Ok(Value::Unchanged),
            b't' => {
                let length = self.u32()?;
                Ok(Value::Text(Self::text(self.take(length as usize)?)?))
            }
            other => Err(unknown(other)),
        };
        (0..count).map(value).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tuple(values: &[Option<&str>]) -> Vec<u8> {
        let mut bytes = (values.len() as u16).to_be_bytes().to_vec();
        for value in values {
            match value {
                None => bytes.push(b'n'),
                Some("TOAST") => bytes.push(b'u'),
                Some(text) => {
                    bytes.push(b't');
                    bytes.extend((text.len() as u32).to_be_bytes());
                    bytes.extend(text.as_bytes());
                }
            }
        }
        bytes
    }

    #[test]
    fn messages_are_read() {
        let begin = [&b"B"[..], &7_u64.to_be_bytes(), &8_i64.to_be_bytes(), &9_u32.to_be_bytes()].concat();
        assert_eq!(parse(&begin), Ok(Message::Begin { commit: 7, commit_micros: 8, xid: 9 }));
        let commit = [&b"C\0"[..], &1_u64.to_be_bytes(), &2_u64.to_be_bytes(), &3_i64.to_be_bytes()].concat();
        assert_eq!(parse(&commit), Ok(Message::Commit { end: 2 }));
        let relation = [&b"R\0\0\0\x05public\0t\0d\0\x01\x01id\0\0\0\0\x17\xff\xff\xff\xff"[..]].concat();
        let columns = vec![Column { name: "id".into(), type_oid: 23 }];
        let identity = Identity::Columns(vec![0]);
        let expected = Relation { id: 5, schema: "public".into(), table: "t".into(), columns, identity };
        assert_eq!(parse(&relation), Ok(Message::Relation(expected)));
        let update =
            [b"U\0\0\0\x05K".to_vec(), tuple(&[Some("1"), None]), b"N".to_vec(), tuple(&[Some("2"), Some("TOAST")])]
                .concat();
        let (old, new) =
            (Some(Old::Key(vec![Value::Text("1"), Value::Null])), vec![Value::Text("2"), Value::Unchanged]);
        assert_eq!(parse(&update), Ok(Message::Update { relation: 5, old, new }));
        assert_eq!(parse(b"T\0\0\0\x01\0\0\0\0\x05"), Ok(Message::Truncate { relations: vec![5] }));
        assert!(parse(&update[..update.len() - 1]).is_err() && parse(&[&update[..], b"x"].concat()).is_err());
        assert!(parse(b"Z").is_err_and(|error| error.contains("`Z`")));
        assert!(parse(b"").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>, kind in prop::sample::select(b"BCRIUDTOYM".to_vec())) {
            let _ = parse(&[vec![kind], bytes].concat());
        }
    }
}
