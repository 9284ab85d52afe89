//! Sizes in bytes as people write them: `256MiB`, `1GB`, `4096`.

use std::{fmt, str::FromStr};

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub usize);

/// A text that is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no size: write a whole number with B, KB, MB, GB (powers of 1000) or KiB, MiB, GiB (powers of 1024)")]
pub struct InvalidByteSize(String);

const UNITS: [(&str, usize); 9] = [
    ("gib", 1 << 30),
    ("mib", 1 << 20),
    ("kib", 1 << 10),
    ("gb", 1_000_000_000),
    ("mb", 1_000_000),
    ("kb", 1_000),
    ("b", 1),
    ("", 1),
    ("bytes", 1),
];

impl FromStr for ByteSize {
    type Err = InvalidByteSize;

    /// Case does not matter, a space before the unit is allowed.
    fn from_str(text: &str) -> Result<Self, InvalidByteSize> {
        let invalid = || InvalidByteSize(text.to_owned());
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim().to_ascii_lowercase();
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(invalid)?;
        let number: usize = number.parse().map_err(|_| invalid())?;
        number.checked_mul(*factor).map(Self).ok_or_else(invalid)
    }
}

impl fmt::Display for ByteSize {
    /// The largest binary unit that divides it: what [`from_str`](Self::from_str) reads back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, factor) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
            if self.0 >= factor && self.0.is_multiple_of(factor) {
                return write!(f, "{}{unit}", self.0 / factor);
            }
        }
        write!(f, "{}B", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        let check = |text: &str, expected: Option<usize>| {
            assert_eq!(text.parse::<ByteSize>().ok(), expected.map(ByteSize), "{text:?}");
        };
        check("256MiB", Some(256 << 20));
        check("1 gib", Some(1 << 30));
        check("10KB", Some(10_000));
        check("4096", Some(4096));
        check("0B", Some(0));
        for wrong in ["", "MiB", "-1B", "1.5GB", "1TB", "1MiBs", "99999999999GiB", "18446744073709551616"] {
            check(wrong, None);
        }
    }

    #[test]
    fn sizes_print_as_they_are_read() {
        for (size, text) in [(256 << 20, "256MiB"), (1 << 30, "1GiB"), (1_000, "1000B"), (0, "0B"), (3 << 10, "3KiB")] {
            assert_eq!(ByteSize(size).to_string(), text);
            assert_eq!(text.parse(), Ok(ByteSize(size)));
        }
    }
}
