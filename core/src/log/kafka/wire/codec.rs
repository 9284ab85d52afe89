//! How fields of Kafka's messages lie in bytes: the "flexible" form that all messages spoken here have (KIP-482).
//!
//! Numbers are big-endian; lengths of texts and lists are unsigned varints of the length plus one, where 0 is null; every structure ends
//! with tagged fields, which are skipped unless they are known. What is read is not trusted: a length is checked against the bytes that
//! are left before anything is allocated, and a list grows as it is read.

/// Why bytes are not the message that they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the answer is damaged: {0}")]
pub(in crate::log::kafka) struct Malformed(pub(in crate::log::kafka) &'static str);

/// Lists reserve room for so many elements at once; longer ones grow.
const RESERVED: usize = 256;

/// Bytes under way to a broker.
#[derive(Debug, Default)]
pub(in crate::log::kafka) struct Writer(pub(in crate::log::kafka) Vec<u8>);

impl Writer {
    /// Appends bytes as they are.
    pub(in crate::log::kafka) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Appends an unsigned varint: seven bits a byte, the lowest first.
    pub(in crate::log::kafka) fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// Appends a length that may be null.
    fn length(&mut self, length: Option<usize>) {
        let length = length.map_or(0, |length| u32::try_from(length + 1).expect("messages are far smaller than 4 GiB"));
        self.varint(length);
    }

    /// Appends a text of the older form: two bytes of length.
    pub(in crate::log::kafka) fn short_text(&mut self, text: &str) {
        let length = i16::try_from(text.len()).expect("names in requests are shorter than 32 KiB");
        self.raw(&length.to_be_bytes());
        self.raw(text.as_bytes());
    }
}

/// Bytes that came from a broker.
#[derive(Debug)]
pub(in crate::log::kafka) struct Reader<'a>(pub(in crate::log::kafka) &'a [u8]);

impl<'a> Reader<'a> {
    /// The next `length` bytes.
    pub(in crate::log::kafka) fn raw(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Malformed("it ends too early"))?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        Ok(self.raw(N)?.try_into().expect("as many bytes as were asked for"))
    }

    /// The next unsigned varint.
    pub(in crate::log::kafka) fn varint(&mut self) -> Result<u32, Malformed> {
        let mut value = 0_u64;
        for shift in (0..35).step_by(7) {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return u32::try_from(value).map_err(|_| Malformed("a varint is too large"));
            }
        }
        Err(Malformed("a varint has too many bytes"))
    }

    /// The next length, checked against what is left: everything counted takes a byte at least.
    fn length(&mut self) -> Result<Option<usize>, Malformed> {
        let Some(length) = (self.varint()? as usize).checked_sub(1) else { return Ok(None) };
        match length <= self.0.len() {
            true => Ok(Some(length)),
            false => Err(Malformed("a length is larger than the answer")),
        }
    }

    /// Passes over the tagged fields at the end of a structure, showing each to `known`.
    pub(in crate::log::kafka) fn tagged(
        &mut self,
        mut known: impl FnMut(u32, &mut Reader<'_>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        for _ in 0..self.varint()? {
            let tag = self.varint()?;
            let length = self.varint()? as usize;
            known(tag, &mut Reader(self.raw(length)?))?;
        }
        Ok(())
    }

    /// A text of the older form: two bytes of length.
    pub(in crate::log::kafka) fn short_text(&mut self) -> Result<String, Malformed> {
        let length = usize::try_from(i16::take(self, 0)?).map_err(|_| Malformed("a text is null"))?;
        text(self.raw(length)?)
    }
}

fn text(bytes: &[u8]) -> Result<String, Malformed> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Malformed("a text is not UTF-8"))
}

/// What has a place in a message. Reading gives back what was written.
pub(in crate::log::kafka) trait Wire: Sized {
    /// Appends it.
    fn put(&self, out: &mut Writer, version: i16);

    /// Reads it.
    fn take(input: &mut Reader<'_>, version: i16) -> Result<Self, Malformed>;

    /// Appends it, or that it is not there. Structures have a byte before them for it.
    fn put_nullable(value: Option<&Self>, out: &mut Writer, version: i16) {
        match value {
            None => out.raw(&[0xff]),
            Some(value) => {
                out.raw(&[1]);
                value.put(out, version);
            }
        }
    }

    /// Reads it, or that it is not there.
    fn take_nullable(input: &mut Reader<'_>, version: i16) -> Result<Option<Self>, Malformed> {
        match i8::take(input, version)? {
            ..0 => Ok(None),
            _ => Self::take(input, version).map(Some),
        }
    }
}

macro_rules! number {
    ($($type:ty),+) => {
        $(impl Wire for $type {
            fn put(&self, out: &mut Writer, _: i16) {
                out.raw(&self.to_be_bytes());
            }

            fn take(input: &mut Reader<'_>, _: i16) -> Result<Self, Malformed> {
                input.array().map(Self::from_be_bytes)
            }
        })+
    };
}

number!(i8, i16, i32, i64, u16);

impl Wire for bool {
    fn put(&self, out: &mut Writer, _: i16) {
        out.raw(&[u8::from(*self)]);
    }

    fn take(input: &mut Reader<'_>, _: i16) -> Result<Self, Malformed> {
        input.array().map(|[byte]| byte != 0)
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, out: &mut Writer, version: i16) {
        T::put_nullable(self.as_ref(), out, version);
    }

    fn take(input: &mut Reader<'_>, version: i16) -> Result<Self, Malformed> {
        T::take_nullable(input, version)
    }
}

impl Wire for String {
    fn put(&self, out: &mut Writer, version: i16) {
        Self::put_nullable(Some(self), out, version);
    }

    fn take(input: &mut Reader<'_>, version: i16) -> Result<Self, Malformed> {
        Self::take_nullable(input, version)?.ok_or(Malformed("a text is null"))
    }

    fn put_nullable(value: Option<&Self>, out: &mut Writer, _: i16) {
        out.length(value.map(String::len));
        out.raw(value.map_or(&[], |text| text.as_bytes()));
    }

    fn take_nullable(input: &mut Reader<'_>, _: i16) -> Result<Option<Self>, Malformed> {
        input.length()?.map(|length| text(input.raw(length)?)).transpose()
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, out: &mut Writer, version: i16) {
        Self::put_nullable(Some(self), out, version);
    }

    fn take(input: &mut Reader<'_>, version: i16) -> Result<Self, Malformed> {
        Self::take_nullable(input, version)?.ok_or(Malformed("a list is null"))
    }

    fn put_nullable(value: Option<&Self>, out: &mut Writer, version: i16) {
        out.length(value.map(Vec::len));
        value.into_iter().flatten().for_each(|element| element.put(out, version));
    }

    fn take_nullable(input: &mut Reader<'_>, version: i16) -> Result<Option<Self>, Malformed> {
        let Some(length) = input.length()? else { return Ok(None) };
        let mut list = Self::with_capacity(length.min(RESERVED));
        for _ in 0..length {
            list.push(T::take(input, version)?);
        }
        Ok(Some(list))
    }
}

/// Bytes that mean something to others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::log::kafka) struct Blob(pub(in crate::log::kafka) Vec<u8>);

impl Wire for Blob {
    fn put(&self, out: &mut Writer, _: i16) {
        out.length(Some(self.0.len()));
        out.raw(&self.0);
    }

    fn take(input: &mut Reader<'_>, _: i16) -> Result<Self, Malformed> {
        let length = input.length()?.ok_or(Malformed("bytes are null"))?;
        input.raw(length).map(|bytes| Self(bytes.to_vec()))
    }
}

/// Structures of a message: fields in order, then tagged fields, of which none is written. `[a..=b]` before a field names the versions
/// that have it.
macro_rules! structures {
    ($($(#[$doc:meta])* struct $name:ident { $($(#[$field_doc:meta])* $([$versions:expr])? $field:ident: $type:ty),+ $(,)? })+) => {
        $($(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub(in crate::log::kafka) struct $name {
            $($(#[$field_doc])* pub(in crate::log::kafka) $field: $type,)+
        }

        impl crate::log::kafka::wire::codec::Wire for $name {
            fn put(&self, out: &mut crate::log::kafka::wire::codec::Writer, version: i16) {
                $(if true $(&& ($versions).contains(&version))? {
                    crate::log::kafka::wire::codec::Wire::put(&self.$field, out, version);
                })+
                out.varint(0);
            }

            fn take(
                input: &mut crate::log::kafka::wire::codec::Reader<'_>,
                version: i16,
            ) -> Result<Self, crate::log::kafka::wire::codec::Malformed> {
                let mut value = Self::default();
                $(if true $(&& ($versions).contains(&version))? {
                    value.$field = crate::log::kafka::wire::codec::Wire::take(input, version)?;
                })+
                input.tagged(|_, _| Ok(()))?;
                Ok(value)
            }
        })+
    };
}

pub(in crate::log::kafka) use structures;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_are_as_the_protocol_has_them() {
        for (value, bytes) in
            [(0, &[0][..]), (127, &[0x7f]), (128, &[0x80, 1]), (300, &[0xac, 2]), (u32::MAX, &[255, 255, 255, 255, 15])]
        {
            let mut out = Writer::default();
            out.varint(value);
            assert_eq!(out.0, bytes);
            assert_eq!(Reader(bytes).varint(), Ok(value));
        }
        assert!(Reader(&[255, 255, 255, 255, 255, 0]).varint().is_err());
        assert!(Reader(&[255, 255, 255, 255, 31]).varint().is_err());
    }

    #[test]
    fn a_length_past_the_end_is_refused_before_anything_is_allocated() {
        let huge = [255, 255, 255, 255, 15, 1, 2];
        assert!(Vec::<i64>::take(&mut Reader(&huge), 0).is_err());
        assert!(String::take(&mut Reader(&huge), 0).is_err());
        assert!(Blob::take(&mut Reader(&huge), 0).is_err());
        assert!(Vec::<i64>::take(&mut Reader(&[3, 0, 0]), 0).is_err());
    }

    #[test]
    fn tagged_fields_are_passed_over() {
        structures! {
            /// One.
            struct One { a: i16, [1..] b: Option<String> }
        }
        let mut input = Reader(&[0, 7, 3, b'x', b'y', 2, 0, 1, 9, 5, 2, 1, 1]);
        assert_eq!(One::take(&mut input, 1), Ok(One { a: 7, b: Some("xy".into()) }));
        assert!(input.0.is_empty());
        let mut out = Writer::default();
        One { a: 7, b: None }.put(&mut out, 0);
        assert_eq!(out.0, [0, 7, 0]);
    }
}
