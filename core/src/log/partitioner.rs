//! Which partition a key belongs to: the same one that Kafka's Java client chooses.
//!
//! `(murmur2(key) & 0x7fffffff) % partitions`, with the 32-bit MurmurHash2 (Austin Appleby, public domain) and the seed of
//! Kafka's `Utils.murmur2`. Programs on either side of a topic therefore agree on where a key is.

use crate::record::PartitionId;

const SEED: u32 = 0x9747_b28c;
const MULTIPLIER: u32 = 0x5bd1_e995;

/// The partition, of `partitions`, that records with this key belong to.
///
/// # Panics
/// If `partitions` is 0: no topic has none.
pub fn partition_for_key(key: &[u8], partitions: u32) -> PartitionId {
    assert!(partitions > 0, "a topic has at least one partition");
    PartitionId((murmur2(key) & 0x7fff_ffff) % partitions)
}

fn murmur2(data: &[u8]) -> u32 {
    let mut hash = SEED ^ (data.len() as u32);
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        k ^= k >> 24;
        hash = hash.wrapping_mul(MULTIPLIER) ^ k.wrapping_mul(MULTIPLIER);
    }
    if !tail.is_empty() {
        for (place, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Kafka's own `UtilsTest`.
    #[test]
    fn hashes_are_those_of_the_java_client() {
        let check = |text: &str, expected: i32| assert_eq!(murmur2(text.as_bytes()) as i32, expected, "{text:?}");
        check("21", -973_932_308);
        check("foobar", -790_332_482);
        check("a-little-bit-long-string", -985_981_536);
        check("a-little-bit-longer-string", -1_486_304_829);
        check("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971);
        check("abc", 479_470_107);
    }

    #[test]
    fn partitions_lie_below_their_number() {
        for key in 0_u32..1000 {
            assert!(partition_for_key(&key.to_be_bytes(), 7).0 < 7);
        }
        assert_eq!(partition_for_key(b"21", 10), PartitionId(((-973_932_308_i32 as u32) & 0x7fff_ffff) % 10));
    }
}
