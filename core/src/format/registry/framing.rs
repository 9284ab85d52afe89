//! The five bytes in front of a record whose schema is registered: a zero, and the schema's id, big-endian.
//!
//! In Protobuf the path to the message follows (`protobuf/framing.rs`).

use super::SchemaId;

/// A record and the id of its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::format) struct Framed<'a> {
    /// The schema.
    pub(in crate::format) id: SchemaId,
    /// What follows.
    pub(in crate::format) body: &'a [u8],
}

/// Cuts the frame off a record; what is wrong with it otherwise.
#[inline]
pub(in crate::format) fn unframe(bytes: &[u8]) -> Result<Framed<'_>, String> {
    match bytes {
        [0, a, b, c, d, body @ ..] => Ok(Framed { id: SchemaId(u32::from_be_bytes([*a, *b, *c, *d])), body }),
        [0, ..] | [] => Err(format!("expected a schema id of 5 bytes, found {} bytes", bytes.len())),
        [magic, ..] => Err(format!("unknown magic byte {magic}: not written with a schema registry")),
    }
}

/// Appends the frame of a schema.
#[inline]
pub(in crate::format) fn frame(id: SchemaId, out: &mut Vec<u8>) {
    out.push(0);
    out.extend_from_slice(&id.0.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_and_what_is_none() {
        let check = |bytes: &[u8], expected: Result<(u32, &[u8]), &str>| {
            let read = unframe(bytes).map(|framed| (framed.id.0, framed.body));
            assert_eq!(read, expected.map_err(str::to_owned), "{bytes:?}");
        };
        check(&[0, 0, 0, 1, 2, 7, 8], Ok((258, &[7, 8])));
        check(&[0, 255, 255, 255, 255], Ok((u32::MAX, &[])));
        check(&[], Err("expected a schema id of 5 bytes, found 0 bytes"));
        check(&[0, 0, 1], Err("expected a schema id of 5 bytes, found 3 bytes"));
        check(b"{\"A\":1}", Err("unknown magic byte 123: not written with a schema registry"));
        let mut out = vec![9];
        frame(SchemaId(258), &mut out);
        assert_eq!(out, [9, 0, 0, 0, 1, 2]);
    }
}
