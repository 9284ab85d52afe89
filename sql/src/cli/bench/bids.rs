//! The input of w0 to w4: bids as lines of JSON, made up, the same for the same seed.
//!
//! | field | values |
//! |---|---|
//! | `auction` | half of the bids: one of 100 hot auctions (0 to 99); the others: uniform in a million |
//! | `bidder` | uniform in 100,000 |
//! | `price` | log-uniform, 100 to 10^8 |
//! | `channel`, `url` | one of 32 channels; about 60 characters with the auction in them |
//! | `date_time` | milliseconds since the epoch, ten bids a millisecond; one in a hundred up to two seconds early |
//! | `extra` | about 50 random letters |
//!
//! If a number of keys is asked for, auction and bidder go instead through so many pairs, in a scattered order, each once before the first comes
//! again.
//!
//! Numbers come from SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).

use std::{
    fs::File,
    io::{self, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

/// The first moment: 2023-11-14T22:13:20Z.
pub const FIRST_MOMENT: i64 = 1_700_000_000_000;
/// How many bidders there are.
pub const BIDDERS: u64 = 100_000;
/// The name of the file of bidders, beside that of the bids.
pub const BIDDERS_FILE: &str = "bidders.ndjson";

const HOT_AUCTIONS: u64 = 100;
const AUCTIONS: u64 = 1_000_000;
const CHANNELS: u64 = 32;
const BIDS_PER_MILLISECOND: u64 = 10;
/// A prime larger than any number of keys that is allowed has nothing in common with it, so its multiples reach every remainder.
const SCATTER: u64 = 618_033_988_751;
/// The most keys that can be asked for.
pub const MOST_KEYS: u64 = 100_000_000_000;
const MOST_EARLY_MS: u64 = 2_000;
const FIRST_NAMES: [&str; 16] = [
    "Ada", "Ben", "Cleo", "Dora", "Emil", "Fay", "Gil", "Hana", "Ivo", "Jana", "Kim", "Lena", "Milo", "Nora", "Otto",
    "Pia",
];
const CITY_STARTS: [&str; 20] = [
    "North", "South", "East", "West", "Old", "New", "Upper", "Lower", "Grand", "Little", "Green", "Stone", "River",
    "Lake", "Hill", "Sand", "Wood", "Mill", "Bridge", "Harbour",
];
const CITY_ENDS: [&str; 10] =
    ["ton", " Springs", "ford", " Falls", "field", "burg", " Park", "haven", " Ridge", "dale"];

/// Bids, one after another.
#[derive(Debug, Clone)]
pub struct BidWriter {
    random: SplitMix64,
    keys: Option<u64>,
    next: u64,
}

impl BidWriter {
    /// The bids that follow from a seed.
    pub fn new(seed: u64) -> Self {
        Self { random: SplitMix64(seed), keys: None, next: 0 }
    }

    /// With so many pairs of auction and bidder, from 1 to [`MOST_KEYS`]; `None`: as they come.
    pub fn with_keys(self, keys: Option<u64>) -> Self {
        Self { keys, ..self }
    }

    /// Appends the line of the next bid, without an end of line.
    pub fn write_next(&mut self, out: &mut Vec<u8>) {
        let early = if self.random.below(100) == 0 { self.random.below(MOST_EARLY_MS) as i64 } else { 0 };
        let at = FIRST_MOMENT + (self.next / BIDS_PER_MILLISECOND) as i64 - early;
        self.write_next_at(at.max(FIRST_MOMENT), out);
    }

    /// Appends the line of the next bid as if it were made at `at`; gives its auction.
    pub fn write_next_at(&mut self, at: i64, out: &mut Vec<u8>) -> u64 {
        let random = &mut self.random;
        let hot = random.next() & 1 == 0;
        let auction = if hot { random.below(HOT_AUCTIONS) } else { HOT_AUCTIONS + random.below(AUCTIONS) };
        let bidder = random.below(BIDDERS);
        let (auction, bidder) = match self.keys {
            Some(keys) => {
                let pair = (u128::from(self.next) * u128::from(SCATTER) % u128::from(keys)) as u64;
                (pair / BIDDERS, pair % BIDDERS)
            }
            None => (auction, bidder),
        };
        let price = (100.0 * 10_f64.powf(6.0 * random.unit())) as u64;
        let channel = random.below(CHANNELS);
        let query = random.next();
        self.next += 1;
        write!(
            out,
            "{{\"auction\":{auction},\"bidder\":{bidder},\"price\":{price},\"channel\":\"channel-{channel}\",\
             \"url\":\"https://auction.example/{channel}/item/{auction}?q={query:016x}\",\"date_time\":{at},\"extra\":\""
        )
        .expect("memory takes everything");
        let letters = 45 + random.below(11);
        let mut bits = 0;
        for letter in 0..letters {
            if letter % 12 == 0 {
                bits = random.next();
            }
            out.push(b'a' + (bits % 26) as u8);
            bits /= 26;
        }
        out.extend_from_slice(b"\"}");
        auction
    }
}

/// The same bids as a file that is never written.
#[derive(Debug)]
pub struct BidReader {
    writer: BidWriter,
    left: u64,
    line: Vec<u8>,
    read: usize,
}

impl BidReader {
    /// The next so many bids.
    pub fn new(writer: BidWriter, events: u64) -> Self {
        Self { writer, left: events, line: Vec::new(), read: 0 }
    }
}

impl Read for BidReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < out.len() {
            if self.read == self.line.len() {
                if self.left == 0 {
                    break;
                }
                self.left -= 1;
                self.line.clear();
                self.writer.write_next(&mut self.line);
                self.line.push(b'\n');
                self.read = 0;
            }
            let count = (self.line.len() - self.read).min(out.len() - filled);
            out[filled..filled + count].copy_from_slice(&self.line[self.read..self.read + count]);
            self.read += count;
            filled += count;
        }
        Ok(filled)
    }
}

/// The line of bidder `id`, without an end of line.
pub fn write_bidder(id: u64, out: &mut Vec<u8>) {
    let mut random = SplitMix64(id);
    let (name, number) = (random.pick(&FIRST_NAMES), random.below(10_000));
    let (start, end) = (random.pick(&CITY_STARTS), random.pick(&CITY_ENDS));
    write!(out, "{{\"id\":{id},\"name\":\"{name} {number}\",\"city\":\"{start}{end}\"}}").expect("memory takes it");
}

/// The file of bidders that belongs to a file of bids.
pub fn bidders_of(bids: &Path) -> PathBuf {
    bids.with_file_name(BIDDERS_FILE)
}

/// Writes `events` bids to `path`, and the bidders to [`BIDDERS_FILE`] beside it; gives that file's path and the bytes of the bids.
///
/// # Errors
/// Those of the file system.
pub fn generate(
    mut bids: BidWriter,
    events: u64,
    path: &Path,
    on_progress: &mut dyn FnMut(u64),
) -> io::Result<(PathBuf, u64)> {
    let mut bytes = 0;
    let mut line = Vec::with_capacity(512);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    for event in 0..events {
        line.clear();
        bids.write_next(&mut line);
        line.push(b'\n');
        bytes += line.len() as u64;
        out.write_all(&line)?;
        if event % 65_536 == 0 {
            on_progress(event);
        }
    }
    out.into_inner().map_err(io::IntoInnerError::into_error)?;
    let bidders = bidders_of(path);
    let mut out = BufWriter::new(File::create(&bidders)?);
    for id in 0..BIDDERS {
        line.clear();
        write_bidder(id, &mut line);
        line.push(b'\n');
        out.write_all(&line)?;
    }
    out.into_inner().map_err(io::IntoInnerError::into_error)?;
    Ok((bidders, bytes))
}

#[derive(Debug, Clone)]
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// From 0 to below 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn bids_have_the_promised_shape() {
        let mut writer = BidWriter::new(7);
        let (mut hot, mut early, mut bytes, mut auctions) = (0, 0, 0, HashSet::new());
        let rows = 20_000;
        for n in 0..rows {
            let mut line = Vec::new();
            writer.write_next(&mut line);
            bytes += line.len();
            let bid: serde_json::Value = serde_json::from_slice(&line).expect("a bid is JSON");
            let number = |name: &str| bid[name].as_i64().expect("a number");
            hot += i32::from(number("auction") < 100);
            auctions.insert(number("auction"));
            early += i32::from(number("date_time") < FIRST_MOMENT + n / 10);
            assert!((100..=100_000_000).contains(&number("price")) && (0..100_000).contains(&number("bidder")));
        }
        assert!((9_500..10_500).contains(&hot), "{hot}");
        assert!((100..300).contains(&early), "{early}");
        assert!(auctions.len() > 9_000, "{}", auctions.len());
        assert!((200..240).contains(&(bytes as i64 / rows)), "{} bytes a row", bytes as i64 / rows);
    }

    #[test]
    fn each_key_comes_once_before_the_first_comes_again() {
        let keys = 200_003;
        let mut writer = BidWriter::new(7).with_keys(Some(keys));
        let mut next = || {
            let mut line = Vec::new();
            writer.write_next(&mut line);
            let bid: serde_json::Value = serde_json::from_slice(&line).expect("a bid is JSON");
            (bid["auction"].as_u64().expect("a number"), bid["bidder"].as_u64().expect("a number"))
        };
        let first = next();
        let others: HashSet<_> = (1..keys).map(|_| next()).collect();
        assert_eq!(others.len() as u64, keys - 1);
        assert!(!others.contains(&first));
        assert_eq!(next(), first);
    }

    #[test]
    fn a_seed_gives_the_same_bids_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let write = |seed: u64, name: &str| {
            let path = directory.path().join(name);
            generate(BidWriter::new(seed), 100, &path, &mut |_| {}).expect("written");
            std::fs::read(path).expect("read")
        };
        assert_eq!(write(1, "a"), write(1, "b"));
        let mut unwritten = Vec::new();
        BidReader::new(BidWriter::new(1), 100).read_to_end(&mut unwritten).expect("memory");
        assert_eq!(write(1, "a"), unwritten);
        assert_ne!(write(1, "a"), write(2, "b"));
        let bidders = std::fs::read_to_string(directory.path().join(BIDDERS_FILE)).expect("read");
        assert_eq!(bidders.lines().count(), BIDDERS as usize);
    }
}
