//! A group's own bytes beside its position: Kafka has text there.
//!
//! Text goes as it is. Anything else, and text that would be taken for it, goes as `base64:...`.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};

/// What marks text that stands for bytes.
const MARK: &str = "base64:";

/// Brokers take no more, unless they are told to.
const LARGEST: usize = 4_096;

/// The text for bytes.
pub(super) fn to_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.starts_with(MARK) && !text.contains('\0') => text.to_owned(),
        _ => format!("{MARK}{}", STANDARD_NO_PAD.encode(bytes)),
    }
}

/// The bytes that a text stands for. What others wrote stays as it is.
pub(super) fn from_text(text: Vec<u8>) -> Vec<u8> {
    match text.strip_prefix(MARK.as_bytes()).map(|coded| STANDARD_NO_PAD.decode(coded)) {
        Some(Ok(bytes)) => bytes,
        _ => text,
    }
}

/// Refuses what brokers would refuse.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    let length = to_text(bytes).len();
    if length <= LARGEST {
        return Ok(());
    }
    Err(format!("what goes with it has {length} bytes as text, {LARGEST} at most are taken; keep less there"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_as_they_went() {
        for bytes in [&b""[..], b"{\"stream_time\":5}", b"base64:abc", b"\xff\x00", b"a\0b", "ä".as_bytes()] {
            assert_eq!(from_text(to_text(bytes).into_bytes()), bytes);
        }
        assert_eq!(to_text(b"{}"), "{}");
        assert_eq!(from_text(b"base64:!".to_vec()), b"base64:!");
        assert!(check(&[b'x'; 4096]).is_ok() && check(&[b'x'; 4097]).is_err() && check(&[0xff; 4096]).is_err());
    }
}
