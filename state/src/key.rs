//! Keys of window stores: the window's start, then the key, so that byte order is time order and expiry is one range.
//!
//! ```text
//! | start_ms as u64 with the sign bit flipped, big endian (8 bytes) | key bytes |
//! ```
//! Flipping the sign bit makes starts before 1970 sort before those after it.

/// Bytes that the window start takes at the front of a window key.
pub const START_BYTES: usize = 8;

const SIGN_BIT: u64 = 1 << 63;

/// The order-preserving bytes of a window start.
pub fn encode_start(start_ms: i64) -> [u8; START_BYTES] {
    (start_ms.cast_unsigned() ^ SIGN_BIT).to_be_bytes()
}

/// The window start that [`encode_start`] encoded.
pub fn decode_start(bytes: [u8; START_BYTES]) -> i64 {
    (u64::from_be_bytes(bytes) ^ SIGN_BIT).cast_signed()
}

/// Appends the window key of `key` in the window that starts at `start_ms` to `out`.
pub fn window_key(start_ms: i64, key: &[u8], out: &mut Vec<u8>) {
    out.reserve(START_BYTES + key.len());
    out.extend_from_slice(&encode_start(start_ms));
    out.extend_from_slice(key);
}

/// The window start and the key inside a window key; `None` if it is shorter than a start.
pub fn split_window_key(window_key: &[u8]) -> Option<(i64, &[u8])> {
    let (start, key) = window_key.split_first_chunk::<START_BYTES>()?;
    Some((decode_start(*start), key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_order_is_time_order_then_key_order() {
        let ordered: [(i64, &[u8]); 8] =
            [(i64::MIN, b"z"), (-2, b"a"), (-1, b""), (0, b""), (0, b"a"), (0, b"aa"), (1, b"a"), (i64::MAX, b"a")];
        let encoded: Vec<Vec<u8>> = ordered
            .iter()
            .map(|(start, key)| {
                let mut out = Vec::new();
                window_key(*start, key, &mut out);
                out
            })
            .collect();
        assert!(encoded.is_sorted());
        for (bytes, expected) in encoded.iter().zip(ordered) {
            assert_eq!(split_window_key(bytes), Some(expected));
        }
    }

    #[test]
    fn a_key_shorter_than_a_start_is_no_window_key() {
        assert_eq!(split_window_key(&[0; 7]), None);
    }
}
