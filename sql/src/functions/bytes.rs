//! Bytes and what they stand for: ENCODE, FROM_BYTES, TO_BYTES, and numbers from bytes.
//!
//! An encoding is `hex`, `utf8`, `ascii` or `base64`. As in Java, `?` stands for a character that ASCII has not, U+FFFD for bytes that
//! are no text.

use arrow::array::ArrayRef;
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};

use super::columns::{self, Bytes, Texts};
use super::declare::{BYTES, TEXT, function, overload};
use super::encoding::{Encoding, decode_base64, decode_hex};
use super::signature::{Call, ScalarFunction};
use crate::catalog::SqlType;

/// The functions of this file.
pub(crate) fn functions() -> Vec<ScalarFunction> {
    vec![
        function(
            "BIGINT_FROM_BYTES",
            "The BIGINT that 8 bytes stand for, in the order BIG_ENDIAN (if none is given) or LITTLE_ENDIAN.",
            [overload([BYTES], SqlType::BigInt, big_ints), overload([BYTES, TEXT], SqlType::BigInt, big_ints)],
        ),
        function(
            "DOUBLE_FROM_BYTES",
            "The DOUBLE that 8 bytes stand for, in the order BIG_ENDIAN (if none is given) or LITTLE_ENDIAN.",
            [overload([BYTES], SqlType::Double, doubles), overload([BYTES, TEXT], SqlType::Double, doubles)],
        ),
        function(
            "ENCODE",
            "A text that is written in one encoding, in another one: hex, utf8, ascii or base64.",
            [overload([TEXT, TEXT, TEXT], SqlType::Varchar, encode)],
        ),
        function(
            "FROM_BYTES",
            "Bytes as text of an encoding: hex, utf8, ascii or base64.",
            [overload([BYTES, TEXT], SqlType::Varchar, from_bytes)],
        ),
        function(
            "INT_FROM_BYTES",
            "The INTEGER that 4 bytes stand for, in the order BIG_ENDIAN (if none is given) or LITTLE_ENDIAN.",
            [overload([BYTES], SqlType::Int, ints), overload([BYTES, TEXT], SqlType::Int, ints)],
        ),
        function(
            "TO_BYTES",
            "The bytes that a text of an encoding stands for: hex, utf8, ascii or base64.",
            [overload([TEXT, TEXT], SqlType::Bytes, to_bytes)],
        ),
    ]
}

fn from_bytes(call: &Call<'_>) -> Result<ArrayRef, String> {
    let bytes: Bytes<'_> = columns::read(call, 0)?;
    let encodings: Texts<'_> = columns::read(call, 1)?;
    columns::write_texts(call.rows, |row, out| {
        let (Some(bytes), Some(encoding)) = (bytes.get(row), encodings.get(row)) else { return Ok(None) };
        let encoding = Encoding::parse(encoding)?;
        encoding.encode(bytes, out);
        if encoding == Encoding::Hex {
            // Unlike ENCODE, this one writes capitals.
            out.make_ascii_uppercase();
        }
        Ok(Some(()))
    })
}

fn to_bytes(call: &Call<'_>) -> Result<ArrayRef, String> {
    let texts: Texts<'_> = columns::read(call, 0)?;
    let encodings: Texts<'_> = columns::read(call, 1)?;
    columns::write_bytes(call.rows, |row, out| {
        let (Some(text), Some(encoding)) = (texts.get(row), encodings.get(row)) else { return Ok(None) };
        Encoding::parse(encoding)?.decode(text, out).map(Some)
    })
}

fn encode(call: &Call<'_>) -> Result<ArrayRef, String> {
    let texts: Texts<'_> = columns::read(call, 0)?;
    let from: Texts<'_> = columns::read(call, 1)?;
    let to: Texts<'_> = columns::read(call, 2)?;
    let mut bytes = Vec::new();
    columns::write_texts(call.rows, |row, out| {
        let (Some(text), Some(from), Some(to)) = (texts.get(row), from.get(row), to.get(row)) else { return Ok(None) };
        bytes.clear();
        match Encoding::parse(from)? {
            Encoding::Hex => decode_hex_literal(text, &mut bytes)?,
            // What does not belong to the alphabet is skipped, and that of URLs is understood as well.
            Encoding::Base64 => {
                let digits = text.bytes().filter_map(|byte| match byte {
                    b'-' => Some(b'+'),
                    b'_' => Some(b'/'),
                    b'+' | b'/' => Some(byte),
                    _ => byte.is_ascii_alphanumeric().then_some(byte),
                });
                decode_base64(digits, &mut bytes).ok_or_else(|| format!("`{text}` is not base64"))?;
            }
            other => other.decode(text, &mut bytes)?,
        }
        Encoding::parse(to)?.encode(&bytes, out);
        Ok(Some(()))
    })
}

/// Hexadecimal digits, plain, as `X'..'`, or after `0x`, where a leading zero may be missing.
fn decode_hex_literal(text: &str, out: &mut Vec<u8>) -> Result<(), String> {
    if let Some(digits) = text.strip_prefix("0x") {
        return if digits.len() % 2 == 1 { decode_hex(&format!("0{digits}"), out) } else { decode_hex(digits, out) };
    }
    let quoted = text.strip_prefix(['x', 'X']).and_then(|rest| rest.strip_prefix('\'')?.strip_suffix('\''));
    decode_hex(quoted.unwrap_or(text), out)
}

/// Bytes of a fixed size in big-endian order.
struct Fixed<'a, const N: usize> {
    bytes: Bytes<'a>,
    orders: Option<Texts<'a>>,
}

impl<'a, const N: usize> Fixed<'a, N> {
    fn read(call: &'a Call<'_>) -> Result<Self, String> {
        let orders = if call.arguments.len() > 1 { Some(columns::read(call, 1)?) } else { None };
        Ok(Self { bytes: columns::read(call, 0)?, orders })
    }

    fn get(&self, row: usize) -> Result<Option<[u8; N]>, String> {
        let Some(bytes) = self.bytes.get(row) else { return Ok(None) };
        let order = match &self.orders {
            None => "BIG_ENDIAN",
            Some(orders) => match orders.get(row) {
                Some(order) => order,
                None => return Ok(None),
            },
        };
        let mut fixed: [u8; N] =
            bytes.try_into().map_err(|_| format!("number of bytes must be equal to {N}, but found {}", bytes.len()))?;
        if order.eq_ignore_ascii_case("LITTLE_ENDIAN") {
            fixed.reverse();
        } else if !order.eq_ignore_ascii_case("BIG_ENDIAN") {
            return Err(format!("byte order must be BIG_ENDIAN or LITTLE_ENDIAN, not {order}"));
        }
        Ok(Some(fixed))
    }
}

fn ints(call: &Call<'_>) -> Result<ArrayRef, String> {
    let fixed = Fixed::<4>::read(call)?;
    columns::write_values::<Int32Type>(call.rows, |row| Ok(fixed.get(row)?.map(i32::from_be_bytes)))
}

fn big_ints(call: &Call<'_>) -> Result<ArrayRef, String> {
    let fixed = Fixed::<8>::read(call)?;
    columns::write_values::<Int64Type>(call.rows, |row| Ok(fixed.get(row)?.map(i64::from_be_bytes)))
}

fn doubles(call: &Call<'_>) -> Result<ArrayRef, String> {
    let fixed = Fixed::<8>::read(call)?;
    columns::write_values::<Float64Type>(call.rows, |row| Ok(fixed.get(row)?.map(f64::from_be_bytes)))
}

#[cfg(test)]
mod tests {
    use super::super::columns::harness::{self, bytes, null, text, texts};
    use super::*;

    #[test]
    fn texts_in_another_encoding() {
        let check = |given: &str, from: &str, to: &str, want: &str| {
            harness::check(&functions(), "ENCODE", &[texts(&[Some(given)]), text(from), text(to)], &[want]);
        };
        for given in ["4578616d706C6521", "0x4578616d706C6521", "X'4578616d706C6521'", "x'4578616d706C6521'"] {
            check(given, "hex", "ascii", "Example!");
        }
        check("0x578616d706C6521", "hex", "utf8", "\u{5}xample!");
        for given in ["0x", "X''", "x''", ""] {
            check(given, "hex", "base64", "");
        }
        for given in ["0x0x", "X'", "x'45", "x'578616d706C6521'", "578616d706C6521", "4é"] {
            check(given, "hex", "utf8", &format!("error: `{}` is not hexadecimal", inner(given)));
        }
        check("c39c62", "hex", "ascii", "\u{FFFD}\u{FFFD}b");
        check("c39c62", "HEX", "UTF8", "Üb");
        check("w5 x\n-_-8", "base64", "base64", "w5x+/+8=");
        check("Üb", "ascii", "hex", "3f62");
        check("Üb", "utf8", "base64", "w5xi");
        check("a", "utf8", "utf16", "error: no encoding utf16; there are hex, utf8, ascii and base64");
        harness::check(&functions(), "ENCODE", &[text("a"), null(&SqlType::Varchar), text("hex")], &["null"]);
    }

    fn inner(given: &str) -> &str {
        given.strip_prefix("0x").or_else(|| given.strip_prefix("x'")?.strip_suffix('\'')).unwrap_or(given)
    }

    #[test]
    fn bytes_and_texts() {
        let family = functions();
        let check = |given: &str, encoding: &str, want: &str| {
            harness::check(&family, "TO_BYTES", &[text(given), text(encoding)], &[want]);
        };
        for (given, want) in [("", ""), ("IQ==", "21"), ("IQ", "21"), ("ISE=", "2121"), ("ISEh", "212121")] {
            check(given, "base64", want);
        }
        check("I", "base64", "error: `I` is not base64");
        check("I Q=", "base64", "error: `I Q=` is not base64");
        check("IQ=Q", "base64", "error: `IQ=Q` is not base64");
        check("7b0A", "hex", "7b0a");
        check("0x7b", "hex", "error: `0x7b` is not hexadecimal");
        check("é", "utf8", "c3a9");
        check("é", "ascii", "3f");
        let given = || bytes(&[Some(b"\x7b\xc3"), Some(b""), Some(b"abc"), None]);
        for (encoding, want) in [
            ("hex", ["7BC3", "", "616263", "null"]),
            ("utf8", ["{\u{FFFD}", "", "abc", "null"]),
            ("ascii", ["{\u{FFFD}", "", "abc", "null"]),
            ("base64", ["e8M=", "", "YWJj", "null"]),
        ] {
            harness::check(&family, "FROM_BYTES", &[given(), text(encoding)], &want);
        }
    }

    #[test]
    fn numbers_of_bytes() {
        let family = functions();
        let four = || bytes(&[Some(b"\x00\x00\x07\xe5"), None]);
        harness::check(&family, "INT_FROM_BYTES", &[four()], &["2021", "null"]);
        harness::check(&family, "INT_FROM_BYTES", &[four(), text("BIG_ENDIAN")], &["2021", "null"]);
        harness::check(
            &family,
            "INT_FROM_BYTES",
            &[bytes(&[Some(b"\xe5\x07\x00\x00")]), text("LITTLE_ENDIAN")],
            &["2021"],
        );
        harness::check(&family, "INT_FROM_BYTES", &[four(), null(&SqlType::Varchar)], &["null", "null"]);
        harness::check(
            &family,
            "INT_FROM_BYTES",
            &[bytes(&[Some(b"abc")])],
            &["error: number of bytes must be equal to 4, but found 3"],
        );
        harness::check(
            &family,
            "INT_FROM_BYTES",
            &[four(), text("middle")],
            &["error: byte order must be BIG_ENDIAN or LITTLE_ENDIAN, not middle"],
        );
        let eight = || bytes(&[Some(b"\x00\x00\x00\x01\x2a\x05\xf2\x00")]);
        harness::check(&family, "BIGINT_FROM_BYTES", &[eight()], &["5000000000"]);
        let double = || bytes(&[Some(b"\x40\x80\xa6\xfd\x9b\xc9\xf5\x82")]);
        harness::check(&family, "DOUBLE_FROM_BYTES", &[double()], &["532.8738323"]);
    }
}
