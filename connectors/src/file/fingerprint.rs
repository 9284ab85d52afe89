//! Recognises a file by its first bytes.
//!
//! The fingerprint covers at most 1024 bytes, and of a growing file only those already dealt with, so that it stays true
//! while the file grows. FNV-1a, 64 bits: it tells files apart, it does not resist forgery.

use std::io::{self, Read};

use serde::{Deserialize, Serialize};

const COVERED_BYTES_MAX: u64 = 1024;
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// A hash of the first `bytes` bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fingerprint {
    bytes: u64,
    hash: u64,
}

impl Default for Fingerprint {
    fn default() -> Self {
        Self { bytes: 0, hash: FNV_OFFSET }
    }
}

impl Fingerprint {
    /// Takes in the bytes that follow those already covered; what lies beyond the limit changes nothing.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        let room = (COVERED_BYTES_MAX - self.bytes) as usize;
        for byte in &bytes[..bytes.len().min(room)] {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
            self.bytes += 1;
        }
    }

    /// The fingerprint of as many first bytes of `input` as a fingerprint can cover.
    pub(super) fn of_head(input: impl Read) -> io::Result<Self> {
        Self::of_first(COVERED_BYTES_MAX, input)
    }

    fn of_first(count: u64, input: impl Read) -> io::Result<Self> {
        let mut head = Vec::new();
        input.take(count).read_to_end(&mut head)?;
        let mut fingerprint = Self::default();
        fingerprint.extend(&head);
        Ok(fingerprint)
    }

    /// Whether `input`, read from its start, begins with the bytes covered.
    pub(super) fn matches(&self, input: impl Read) -> io::Result<bool> {
        Ok(Self::of_first(self.bytes, input)? == *self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_matches_while_it_only_grows() {
        let mut long = vec![b'x'; 3000];
        for covered in [0, 1, 10, 1024, 3000] {
            let mut fingerprint = Fingerprint::default();
            for piece in long[..covered].chunks(7) {
                fingerprint.extend(piece);
            }
            assert!(fingerprint.matches(&long[..]).expect("memory"), "{covered} bytes");
        }
        let fingerprint = Fingerprint::of_head(&long[..]).expect("memory");
        long[2000] = b'y';
        assert!(fingerprint.matches(&long[..]).expect("memory"));
        long[10] = b'y';
        assert!(!fingerprint.matches(&long[..]).expect("memory"));
        assert!(!fingerprint.matches(&long[..5]).expect("memory"));
    }
}
