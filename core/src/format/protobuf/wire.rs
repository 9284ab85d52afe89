//! The wire format of Protobuf: tags, varints, lengths; and the path to the message that Confluent puts in front.
//!
//! After "Encoding" of the documentation of Protocol Buffers. Groups are refused.

/// The bytes of a field, still undecoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire<'a> {
    /// A varint, or 4 or 8 bytes little-endian.
    Number(u64),
    /// A length and so many bytes.
    Bytes(&'a [u8]),
}

/// The bytes of a message, read from the front.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

const ENDED: &str = "the record ends in the middle of a value";

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0_u64;
        for (index, &byte) in self.rest.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(if self.rest.len() < 10 { ENDED.to_owned() } else { "a number of more than 10 bytes".to_owned() })
    }

    #[inline]
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| ENDED.to_owned())?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    pub(super) fn fixed32(&mut self) -> Result<u64, String> {
        let bytes = self.take(4)?;
        Ok(u64::from(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])))
    }

    #[inline]
    pub(super) fn fixed64(&mut self) -> Result<u64, String> {
        let mut number = [0; 8];
        number.copy_from_slice(self.take(8)?);
        Ok(u64::from_le_bytes(number))
    }

    /// The next field: its number and value.
    #[inline]
    pub(super) fn field(&mut self) -> Result<(u32, Wire<'a>), String> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| *number > 0);
        let number = number.ok_or_else(|| format!("{} is no number of a field", tag >> 3))?;
        let wire = match tag & 7 {
            0 => Wire::Number(self.varint()?),
            1 => Wire::Number(self.fixed64()?),
            2 => {
                let length = self.varint()?;
                Wire::Bytes(self.take(usize::try_from(length).unwrap_or(usize::MAX))?)
            }
            5 => Wire::Number(self.fixed32()?),
            other => return Err(format!("field {number} has the wire type {other}, which is not there")),
        };
        Ok((number, wire))
    }

    /// Steps over the path to the message in its file; gives its bytes.
    #[inline]
    pub(super) fn skip_path(&mut self) -> Result<&'a [u8], String> {
        let before = self.rest;
        if before.first() == Some(&0) {
            self.rest = &before[1..];
        } else {
            self.path()?;
        }
        Ok(&before[..before.len() - self.rest.len()])
    }

    /// The path to the message in its file, in front of a record.
    pub(super) fn path(&mut self) -> Result<Vec<usize>, String> {
        const MOST: u64 = 64;
        let unzigzag = |value: u64| (value >> 1) ^ (value & 1).wrapping_neg();
        let count = unzigzag(self.varint()?);
        if count == 0 {
            return Ok(vec![0]);
        }
        if count > MOST {
            return Err(format!("the path to the message has {count} steps"));
        }
        let step = |_| self.varint().map(|step| usize::try_from(unzigzag(step)).unwrap_or(usize::MAX));
        (0..count).map(step).collect()
    }
}

/// Appends a varint.
#[inline]
pub(super) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a tag.
#[inline]
pub(super) fn put_tag(number: u32, wire_type: u64, out: &mut Vec<u8>) {
    put_varint(u64::from(number) << 3 | wire_type, out);
}

/// Appends the path to a message.
pub(super) fn put_path(path: &[usize], out: &mut Vec<u8>) {
    if path == [0] {
        out.push(0);
        return;
    }
    put_varint((path.len() as u64) << 1, out);
    path.iter().for_each(|step| put_varint((*step as u64) << 1, out));
}

/// Puts the length of what was appended since `from` in front of it.
pub(super) fn put_length(from: usize, out: &mut Vec<u8>) {
    let length = out.len() - from;
    if let Ok(one) = u8::try_from(length)
        && one < 0x80
    {
        out.insert(from, one);
        return;
    }
    let mut prefix = Vec::with_capacity(10);
    put_varint(length as u64, &mut prefix);
    out.splice(from..from, prefix);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let check = |path: &[usize], bytes: &[u8]| {
            let mut out = Vec::new();
            put_path(path, &mut out);
            assert_eq!(out, bytes);
            assert_eq!(Reader::new(bytes).path().as_deref(), Ok(path));
        };
        check(&[0], &[0]);
        check(&[1], &[2, 2]);
        check(&[2, 0], &[4, 4, 0]);
        assert!(Reader::new(&[0xff, 0x7f]).path().is_err());
    }

    #[test]
    fn fields_of_every_wire_type() {
        let mut reader =
            Reader::new(&[0x08, 0x96, 0x01, 0x12, 2, 7, 8, 0x1d, 1, 0, 0, 0, 0x21, 2, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(reader.field(), Ok((1, Wire::Number(150))));
        assert_eq!(reader.field(), Ok((2, Wire::Bytes(&[7, 8]))));
        assert_eq!(reader.field(), Ok((3, Wire::Number(1))));
        assert_eq!(reader.field(), Ok((4, Wire::Number(2))));
        assert!(reader.is_empty());
        assert!(Reader::new(&[0x12, 9, 1]).field().is_err());
        assert!(Reader::new(&[0x0b]).field().is_err(), "a group");
    }
}
