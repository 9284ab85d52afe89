//! Base64, the text form of BYTES in JSON and DELIMITED: the standard alphabet with padding (RFC 4648, section 4).

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends the text of `bytes`.
pub(in crate::format) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        let digit = |at: usize| match at <= chunk.len() {
            true => ALPHABET[(bits >> (18 - 6 * at)) as usize & 63],
            false => b'=',
        };
        out.extend_from_slice(&[digit(0), digit(1), digit(2), digit(3)]);
    }
}

/// The bytes of `text`, with or without padding; none if it is not base64.
pub(in crate::format) fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.as_bytes();
    let digits = match text {
        [digits @ .., b'=', b'='] | [digits @ .., b'='] if text.len().is_multiple_of(4) => digits,
        digits => digits,
    };
    let mut out = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for chunk in digits.chunks(4) {
        let mut bits = 0;
        for &digit in chunk {
            bits = bits << 6 | u32::from(value(digit)?);
        }
        bits <<= 6 * (4 - chunk.len());
        let bytes = [(bits >> 16) as u8, (bits >> 8) as u8, bits as u8];
        let whole = chunk.len().checked_sub(1).filter(|whole| *whole > 0)?;
        if bytes[whole..].iter().any(|&rest| rest != 0) {
            return None;
        }
        out.extend_from_slice(&bytes[..whole]);
    }
    Some(out)
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&[u8]>) {
        assert_eq!(decode(text).as_deref(), expected, "{text}");
    }

    #[test]
    fn the_vectors_of_the_rfc() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            check(text, Some(bytes.as_bytes()));
            let mut out = Vec::new();
            encode(bytes.as_bytes(), &mut out);
            assert_eq!(out, text.as_bytes());
        }
        check("Zg", Some(b"f"));
        check("Zh==", None);
        check("Z", None);
        check("Z===", None);
        check("Zm9v=", None);
        check("Zm 9v", None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bytes: Vec<u8>) {
            let mut out = Vec::new();
            encode(&bytes, &mut out);
            let text = String::from_utf8(out).expect("base64 is ASCII");
            prop_assert_eq!(decode(&text), Some(bytes));
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            decode(&text);
        }
    }
}
