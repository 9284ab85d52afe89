//! Bytes as text: hexadecimal digits, base64, UTF-8, ASCII.
//!
//! As in Java, `?` stands for a character that ASCII has not, U+FFFD for bytes that are no text.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
    prelude::BASE64_STANDARD,
};

/// How a text stands for bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Two hexadecimal digits a byte.
    Hex,
    /// The bytes of the text itself.
    Utf8,
    /// One character a byte.
    Ascii,
    /// Four characters for three bytes.
    Base64,
}

impl Encoding {
    /// The encoding of a name, in any case.
    ///
    /// # Errors
    /// There is none of that name.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        [("hex", Self::Hex), ("utf8", Self::Utf8), ("ascii", Self::Ascii), ("base64", Self::Base64)]
            .into_iter()
            .find(|(known, _)| name.eq_ignore_ascii_case(known))
            .map(|(_, encoding)| encoding)
            .ok_or_else(|| format!("no encoding {name}; there are hex, utf8, ascii and base64"))
    }

    /// Appends what a text stands for.
    ///
    /// # Errors
    /// It is no text of this encoding.
    pub(crate) fn decode(self, text: &str, out: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Self::Hex => decode_hex(text, out),
            Self::Utf8 => {
                out.extend_from_slice(text.as_bytes());
                Ok(())
            }
            Self::Ascii => {
                out.extend(
                    text.chars().map(|character| u8::try_from(character).ok().filter(u8::is_ascii).unwrap_or(b'?')),
                );
                Ok(())
            }
            Self::Base64 => decode_base64(text.bytes(), out).ok_or_else(|| format!("`{text}` is not base64")),
        }
    }

    /// Appends the text of bytes.
    pub(crate) fn encode(self, bytes: &[u8], out: &mut String) {
        match self {
            Self::Hex => push_hex(bytes, out),
            Self::Utf8 => out.push_str(&String::from_utf8_lossy(bytes)),
            Self::Ascii => {
                out.extend(bytes.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { '\u{FFFD}' }))
            }
            Self::Base64 => encode_base64(bytes, out),
        }
    }
}

/// Appends the bytes of hexadecimal digits.
///
/// # Errors
/// They are none, or not two a byte.
pub(crate) fn decode_hex(text: &str, out: &mut Vec<u8>) -> Result<(), String> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let wrong = || format!("`{text}` is not hexadecimal");
    let pairs = text.as_bytes().chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return Err(wrong());
    }
    for pair in pairs {
        let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else { return Err(wrong()) };
        out.push((high << 4) | low);
    }
    Ok(())
}

/// Appends bytes as lower-case hexadecimal digits.
pub(crate) fn push_hex(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            out.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
}

/// Read without padding; a last group may have bits that no byte has, as in Java.
const UNPADDED: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// Appends bytes as base64, padded.
pub(crate) fn encode_base64(bytes: &[u8], out: &mut String) {
    BASE64_STANDARD.encode_string(bytes, out);
}

/// Appends the bytes; none if there is another character, or a last group that no bytes give. Padding may be missing.
pub(crate) fn decode_base64(text: impl Iterator<Item = u8>, out: &mut Vec<u8>) -> Option<()> {
    let mut digits: Vec<u8> = text.collect();
    let length = digits.iter().rposition(|digit| *digit != b'=').map_or(0, |last| last + 1);
    digits.truncate(length);
    UNPADDED.decode_vec(&digits, out).ok()
}
