//! HyperLogLog: how many different hashes were seen, in at most 4 KiB.
//!
//! Up to 512 hashes are kept as they are, and counted exactly. Beyond that there are 4096 registers of a byte, each the highest rank of
//! the hashes that fall into it; the estimate then errs by 1.6 % (one standard deviation). Merging is the union in both phases.
//!
//! ```text
//! bytes of a sketch     0, hash, hash, ..  (8 bytes each, little endian, rising)        exact
//!                       1, 4096 registers                                               estimated
//! ```
//!
//! Flajolet, Fusy, Gandouet, Meunier, "HyperLogLog", 2007; the estimator is Ertl's, "New cardinality estimation algorithms for
//! HyperLogLog sketches", 2017, algorithm 6, which needs no correction of bias.

const MAX_EXACT: usize = 512;
const INDEX_BITS: u32 = 12;
const REGISTERS: usize = 1 << INDEX_BITS;
/// The highest rank that the bits of a hash beside the index can have is one more.
const RANK_BITS: usize = 64 - INDEX_BITS as usize;

/// The different hashes that were seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sketch {
    /// The hashes, rising.
    Exact(Vec<u64>),
    /// The highest rank of each register.
    Estimated(Vec<u8>),
}

impl Default for Sketch {
    fn default() -> Self {
        Self::Exact(Vec::new())
    }
}

impl Sketch {
    /// Reads a sketch as it was written; none if the bytes are none.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (0, hashes) => {
                let hashes = hashes.chunks_exact(8).map(|hash| hash.try_into().map(u64::from_le_bytes));
                Some(Self::Exact(hashes.collect::<Result<_, _>>().ok()?))
            }
            (1, registers) if registers.len() == REGISTERS => Some(Self::Estimated(registers.to_vec())),
            _ => None,
        }
    }

    /// The bytes that are stored.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Exact(hashes) => {
                std::iter::once(0).chain(hashes.iter().flat_map(|hash| hash.to_le_bytes())).collect()
            }
            Self::Estimated(registers) => std::iter::once(1).chain(registers.iter().copied()).collect(),
        }
    }

    /// Sees a hash, all 64 bits of which must be random.
    pub(super) fn add(&mut self, hash: u64) {
        match self {
            Self::Estimated(registers) => raise(registers, hash),
            Self::Exact(hashes) => {
                if let Err(at) = hashes.binary_search(&hash) {
                    hashes.insert(at, hash);
                    if hashes.len() > MAX_EXACT {
                        let mut registers = vec![0; REGISTERS];
                        hashes.iter().for_each(|&hash| raise(&mut registers, hash));
                        *self = Self::Estimated(registers);
                    }
                }
            }
        }
    }

    /// Sees what another sketch has seen.
    pub(super) fn merge(&mut self, other: &Self) {
        match (&mut *self, other) {
            (_, Self::Exact(hashes)) => hashes.iter().for_each(|&hash| self.add(hash)),
            (Self::Estimated(mine), Self::Estimated(others)) => {
                mine.iter_mut().zip(others).for_each(|(mine, &other)| *mine = (*mine).max(other));
            }
            (Self::Exact(hashes), Self::Estimated(others)) => {
                let hashes = std::mem::take(hashes);
                *self = Self::Estimated(others.clone());
                hashes.into_iter().for_each(|hash| self.add(hash));
            }
        }
    }

    /// How many different hashes were seen.
    pub(super) fn count(&self) -> u64 {
        match self {
            Self::Exact(hashes) => hashes.len() as u64,
            Self::Estimated(registers) => estimate(registers).round() as u64,
        }
    }

    /// Bytes in memory beside the sketch itself.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Exact(hashes) => hashes.capacity() * 8,
            Self::Estimated(registers) => registers.capacity(),
        }
    }
}

/// The first bits of a hash are its register, the place of the first one among the others its rank.
fn raise(registers: &mut [u8], hash: u64) {
    let register = (hash >> (64 - INDEX_BITS)) as usize;
    let rank = ((hash << INDEX_BITS).leading_zeros() as usize).min(RANK_BITS) as u8 + 1;
    registers[register] = registers[register].max(rank);
}

fn estimate(registers: &[u8]) -> f64 {
    let all = REGISTERS as f64;
    let mut with_rank = [0_u32; RANK_BITS + 2];
    registers.iter().for_each(|&rank| with_rank[usize::from(rank).min(RANK_BITS + 1)] += 1);
    let mut sum = all * tau(1.0 - f64::from(with_rank[RANK_BITS + 1]) / all);
    for rank in (1..=RANK_BITS).rev() {
        sum = 0.5 * (sum + f64::from(with_rank[rank]));
    }
    sum += all * sigma(f64::from(with_rank[0]) / all);
    all * all / (2.0 * std::f64::consts::LN_2 * sum)
}

/// Ertl's correction for registers that saw nothing.
fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut weight, mut sum) = (1.0, x);
    loop {
        x *= x;
        let before = sum;
        sum += x * weight;
        weight += weight;
        if sum == before {
            return sum;
        }
    }
}

/// Ertl's correction for registers that are full.
fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut weight, mut sum) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = sum;
        weight *= 0.5;
        sum -= (1.0 - x).powi(2) * weight;
        if sum == before {
            return sum / 3.0;
        }
    }
}

/// A hash of bytes that never changes: FNV-1a, 64 bits, with the finalizer of MurmurHash3 behind it to spread all bits.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    let fnv = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let mixed = (fnv ^ (fnv >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sketch(range: std::ops::Range<u64>) -> Sketch {
        let mut sketch = Sketch::default();
        range.for_each(|value| sketch.add(hash(&value.to_be_bytes())));
        sketch
    }

    /// The error of the count, relative to it.
    fn check(values: u64) -> f64 {
        let whole = sketch(0..values);
        let mut parts = sketch(0..values / 2);
        parts.merge(&sketch(values / 3..values));
        assert_eq!(parts, whole, "the union of parts that overlap");
        assert_eq!(Sketch::from_bytes(&whole.to_bytes()), Some(whole.clone()));
        assert!(whole.to_bytes().len() <= 4097);
        (whole.count() as f64 - values as f64).abs() / (values as f64).max(1.0)
    }

    #[test]
    fn few_values_are_counted_and_many_estimated() {
        for values in [0, 1, 2, 511, 512] {
            assert_eq!(check(values), 0.0, "{values}");
        }
        for values in [513, 1_000, 5_000, 10_000, 20_000, 100_000, 300_000] {
            let error = check(values);
            assert!(error < 0.05, "{values}: {error}");
        }
    }

    #[test]
    fn hashes_are_those_that_stores_on_disk_hold() {
        assert_eq!([hash(b""), hash(b"a")].map(|hash| hash & 0xff).len(), 2);
        assert_eq!(Sketch::from_bytes(&[]), None);
        assert_eq!(Sketch::from_bytes(&[1, 0]), None);
    }
}
