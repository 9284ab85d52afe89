//! Writing JSON by hand: strings, and bytes that are no text.

use base64::{Engine, prelude::BASE64_STANDARD};

/// Appends a JSON string.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a string is always JSON and memory takes it");
}

/// Appends `{"base64":"..."}`: how bytes that are not UTF-8 are told from text.
pub(crate) fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(b"{\"base64\":\"");
    out.extend_from_slice(BASE64_STANDARD.encode(bytes).as_bytes());
    out.extend_from_slice(b"\"}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_padded_base64() {
        for (bytes, expected) in
            [(&b""[..], ""), (b"f", "Zg=="), (b"fo", "Zm8="), (b"foo", "Zm9v"), (b"\xff\xfe\x00\x01", "//4AAQ==")]
        {
            let mut out = Vec::new();
            push_bytes(&mut out, bytes);
            assert_eq!(String::from_utf8(out).expect("ascii"), format!("{{\"base64\":\"{expected}\"}}"));
        }
    }
}
