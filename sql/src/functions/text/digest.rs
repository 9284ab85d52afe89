//! Texts of a fixed number of hexadecimal digits: MD5 and UUID.

use std::hash::{BuildHasher, Hasher, RandomState};

use arrow::array::ArrayRef;
use md5::{Digest, Md5};

use super::super::columns::{self, Bytes, Texts};
use super::super::declare::{BYTES, TEXT, function, overload};
use super::super::encoding::push_hex;
use super::super::signature::{Call, ScalarFunction};
use crate::catalog::SqlType;

/// The functions of this file.
pub(super) fn functions() -> Vec<ScalarFunction> {
    vec![
        function(
            "MD5",
            "The MD5 digest of a text, in hexadecimal digits.",
            [overload([TEXT], SqlType::Varchar, md5_digests)],
        ),
        function(
            "UUID",
            "A random UUID of version 4, or the text of one given as 16 bytes.",
            [overload([], SqlType::Varchar, uuid), overload([BYTES], SqlType::Varchar, uuid_of_bytes)],
        ),
    ]
}

fn md5_digests(call: &Call<'_>) -> Result<ArrayRef, String> {
    let texts: Texts<'_> = columns::read(call, 0)?;
    columns::write_texts(call.rows, |row, out| {
        Ok(texts.get(row).map(|text| push_hex(&Md5::digest(text.as_bytes()), out)))
    })
}

fn uuid(call: &Call<'_>) -> Result<ArrayRef, String> {
    // The keys of a `RandomState` come from the system's random source; the hash is a pseudorandom function of the row under them.
    let state = RandomState::new();
    let random = |row: usize, half: u8| {
        let mut hasher = state.build_hasher();
        hasher.write_usize(row);
        hasher.write_u8(half);
        hasher.finish()
    };
    columns::write_texts(call.rows, |row, out| {
        let mut value = [0; 16];
        value[..8].copy_from_slice(&random(row, 0).to_be_bytes());
        value[8..].copy_from_slice(&random(row, 1).to_be_bytes());
        value[6] = (value[6] & 0x0F) | 0x40;
        value[8] = (value[8] & 0x3F) | 0x80;
        push_uuid(&value, out);
        Ok(Some(()))
    })
}

fn uuid_of_bytes(call: &Call<'_>) -> Result<ArrayRef, String> {
    let bytes: Bytes<'_> = columns::read(call, 0)?;
    columns::write_texts(call.rows, |row, out| {
        let value: Option<&[u8; 16]> = bytes.get(row).and_then(|bytes| bytes.try_into().ok());
        Ok(value.map(|value| push_uuid(value, out)))
    })
}

fn push_uuid(value: &[u8; 16], out: &mut String) {
    for (part, range) in [0..4, 4..6, 6..8, 8..10, 10..16].into_iter().enumerate() {
        if part > 0 {
            out.push('-');
        }
        push_hex(&value[range], out);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::columns::harness::{bytes, call, check, texts};
    use super::*;

    #[test]
    fn digests() {
        let family = functions();
        check(
            &family,
            "MD5",
            &[texts(&[Some("r1"), Some(""), None])],
            &["7c92cf1eee8d99cc85f8355a3d6e4b86", "d41d8cd98f00b204e9800998ecf8427e", "null"],
        );
    }

    #[test]
    fn uuids_are_random_or_given() {
        let family = functions();
        let given: Vec<u8> = (0..16).collect();
        check(
            &family,
            "UUID",
            &[bytes(&[Some(&given), Some(b"short"), None])],
            &["00010203-0405-0607-0809-0a0b0c0d0e0f", "null", "null"],
        );
        let made = call(&family, "UUID", &[], 3);
        for uuid in &made {
            assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"), "{uuid}");
            assert!("89ab".contains(&uuid[19..20]), "{uuid}");
        }
        assert!(made[0] != made[1] && made[1] != made[2] && made != call(&family, "UUID", &[], 3));
    }
}
