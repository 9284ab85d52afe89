//! The bytes of one Avro record, read from the front.
//!
//! After the specification of Avro 1.12, section "Binary Encoding": whole numbers are zigzag varints, lengths come first, arrays and maps come in
//! blocks. No length is believed before the bytes behind it have been seen.

use super::schema::{AvroSchema, Type, TypeId};

/// A position in the bytes of a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    length: usize,
}

/// The most nested values that are skipped; a recursive schema can ask for any number.
const MAX_DEPTH: usize = 200;

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, length: bytes.len() }
    }

    #[cold]
    fn ended(&self) -> String {
        format!("the record ends at byte {} in the middle of a value", self.length)
    }

    pub(super) fn at(&self) -> usize {
        self.length - self.rest.len()
    }

    /// Refuses bytes behind the record.
    pub(super) fn finish(&self) -> Result<(), String> {
        match self.rest.len() {
            0 => Ok(()),
            more => Err(format!("{more} more bytes follow the record at byte {}", self.at())),
        }
    }

    #[inline]
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| self.ended())?;
        self.rest = rest;
        Ok(taken)
    }

    /// A whole number.
    #[inline]
    pub(super) fn long(&mut self) -> Result<i64, String> {
        let mut value = 0_u64;
        for (index, &byte) in self.rest.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[index + 1..];
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        match self.rest.len() {
            0..10 => Err(self.ended()),
            _ => Err(format!("a number of more than 10 bytes at byte {}", self.at())),
        }
    }

    #[inline]
    pub(super) fn int(&mut self) -> Result<i32, String> {
        let at = self.at();
        let value = self.long()?;
        i32::try_from(value).map_err(|_| format!("{value} is no int, at byte {at}"))
    }

    #[inline]
    pub(super) fn boolean(&mut self) -> Result<bool, String> {
        match self.take(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            other => Err(format!("{} is no boolean, at byte {}", other[0], self.at() - 1)),
        }
    }

    #[inline]
    pub(super) fn float(&mut self) -> Result<f32, String> {
        let bytes = self.take(4)?;
        Ok(f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    #[inline]
    pub(super) fn double(&mut self) -> Result<f64, String> {
        let bytes = self.take(8)?;
        let mut number = [0; 8];
        number.copy_from_slice(bytes);
        Ok(f64::from_le_bytes(number))
    }

    #[inline]
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], String> {
        let at = self.at();
        let length = self.long()?;
        let length = usize::try_from(length).map_err(|_| format!("{length} is no length, at byte {at}"))?;
        self.take(length)
    }

    #[inline]
    pub(super) fn text(&mut self) -> Result<&'a str, String> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| format!("a string is not UTF-8, at byte {}", self.at() - bytes.len()))
    }

    /// Which branch of a union or symbol of an enum, of `count`.
    #[inline]
    pub(super) fn choice(&mut self, count: usize) -> Result<usize, String> {
        let at = self.at();
        let index = self.long()?;
        match usize::try_from(index) {
            Ok(index) if index < count => Ok(index),
            _ => Err(format!("{index} is none of {count} choices, at byte {at}")),
        }
    }

    /// Calls `each` once an element of an array or map.
    pub(super) fn blocks(&mut self, mut each: impl FnMut(&mut Self) -> Result<(), String>) -> Result<(), String> {
        // Elements of no bytes (nulls, empty records) cost nothing to claim.
        const FREE: u64 = 1 << 20;
        let mut claimed = 0;
        loop {
            let count = match self.long()? {
                0 => return Ok(()),
                count if count < 0 => {
                    self.long()?;
                    count.unsigned_abs()
                }
                count => count.unsigned_abs(),
            };
            for _ in 0..count {
                let before = self.rest.len();
                each(self)?;
                if self.rest.len() == before {
                    claimed += 1;
                    if claimed > FREE {
                        return Err(format!("more than {FREE} empty elements at byte {}", self.at()));
                    }
                }
            }
        }
    }

    /// Steps over a value of a type.
    pub(super) fn skip(&mut self, schema: &AvroSchema, id: TypeId) -> Result<(), String> {
        self.skip_within(schema, id, 0)
    }

    fn skip_within(&mut self, schema: &AvroSchema, id: TypeId, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(format!("values are nested more than {MAX_DEPTH} deep, at byte {}", self.at()));
        }
        match schema.get(id) {
            Type::Null => Ok(()),
            Type::Boolean => self.take(1).map(drop),
            Type::Int(_) | Type::Long(_) | Type::Enum { .. } => self.long().map(drop),
            Type::Float => self.take(4).map(drop),
            Type::Double => self.take(8).map(drop),
            Type::Bytes(_) | Type::String => self.bytes().map(drop),
            Type::Fixed { size, .. } => self.take(*size).map(drop),
            Type::Array { items, .. } => self.blocks(|cursor| cursor.skip_within(schema, *items, depth + 1)),
            Type::Map { values } => self.blocks(|cursor| {
                cursor.bytes()?;
                cursor.skip_within(schema, *values, depth + 1)
            }),
            Type::Union(branches) => {
                let branch = self.choice(branches.len())?;
                self.skip_within(schema, branches[branch], depth + 1)
            }
            Type::Record { fields, .. } => {
                fields.iter().try_for_each(|field| self.skip_within(schema, field.data_type, depth + 1))
            }
        }
    }
}
