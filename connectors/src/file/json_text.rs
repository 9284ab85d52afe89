//! Writing JSON by hand: strings, and bytes that are no text.

/// Appends a JSON string.
pub(super) fn push_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a string is always JSON and memory takes it");
}

/// Appends `{"base64":"..."}`: how bytes that are not UTF-8 are told from text.
pub(super) fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    out.extend_from_slice(b"{\"base64\":\"");
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().enumerate().fold(0_u32, |word, (place, byte)| word | u32::from(*byte) << (16 - 8 * place));
        for place in 0..4 {
            let digit = ALPHABET[(word >> (18 - 6 * place)) as usize & 63];
            out.push(if place <= chunk.len() { digit } else { b'=' });
        }
    }
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
