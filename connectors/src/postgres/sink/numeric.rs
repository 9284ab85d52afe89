//! Decimals in Postgres' binary form: groups of four decimal digits, the first of weight 10000^`weight`.
//!
//! Header: count of groups, weight, sign (0 or 0x4000), digits behind the point; each 16 bits.

use bytes::{BufMut, BytesMut};

/// Appends a number, given as the decimal digits of its amount and how many of them lie behind the point (negative: so many zeros follow).
pub(super) fn put(out: &mut BytesMut, is_negative: bool, digits: &[u8], scale: i8) {
    let behind = usize::from(scale.max(0).unsigned_abs());
    let zeros = usize::from(scale.min(0).unsigned_abs());
    let mut before: Vec<u8> = digits.iter().map(|digit| digit - b'0').collect();
    before.resize(before.len() + zeros, 0);
    if before.len() < behind {
        before.splice(0..0, std::iter::repeat_n(0, behind - before.len()));
    }
    let fraction = before.split_off(before.len() - behind);
    // Groups are counted from the point: zeros fill the first one in front, the last one behind.
    let lead = before.len().next_multiple_of(4) - before.len();
    let mut all = vec![0; lead];
    all.extend(&before);
    let weight = (all.len() / 4) as i16 - 1;
    all.extend(&fraction);
    all.resize(all.len().next_multiple_of(4), 0);
    let groups: Vec<i16> =
        all.chunks_exact(4).map(|four| four.iter().fold(0, |sum, digit| sum * 10 + i16::from(*digit))).collect();
    let first = groups.iter().position(|group| *group != 0).unwrap_or(groups.len());
    let last = groups.iter().rposition(|group| *group != 0).map_or(first, |last| last + 1);
    let is_zero = first == groups.len();
    out.put_i16((last - first) as i16);
    out.put_i16(if is_zero { 0 } else { weight - first as i16 });
    out.put_i16(if is_negative && !is_zero { 0x4000 } else { 0 });
    out.put_i16(behind as i16);
    groups[first..last].iter().for_each(|group| out.put_i16(*group));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the bytes say, worked out the other way round.
    fn read(bytes: &[u8]) -> String {
        let word = |at: usize| i16::from_be_bytes([bytes[2 * at], bytes[2 * at + 1]]);
        let (count, weight, sign, scale) = (word(0), word(1), word(2), word(3) as usize);
        let group = |power: i16| -> i16 {
            let place = weight - power;
            if (0..count).contains(&place) { word(4 + place as usize) } else { 0 }
        };
        let whole: String = (0..=weight.max(0)).rev().map(|power| format!("{:04}", group(power))).collect();
        let fraction: String = (1..=8).map(|power| format!("{:04}", group(-power))).collect();
        let whole = whole.trim_start_matches('0');
        let point = if scale > 0 { format!(".{}", &fraction[..scale]) } else { String::new() };
        format!("{}{}{point}", if sign == 0 { "" } else { "-" }, if whole.is_empty() { "0" } else { whole })
    }

    #[test]
    fn digits_come_back() {
        let check = |is_negative, digits: &str, scale, expected: &str| {
            let mut out = BytesMut::new();
            put(&mut out, is_negative, digits.as_bytes(), scale);
            assert_eq!(read(&out), expected, "{digits} {scale}");
        };
        check(false, "0", 0, "0");
        check(true, "0", 2, "0.00");
        check(false, "1", 0, "1");
        check(true, "12345", 0, "-12345");
        check(false, "12345", 2, "123.45");
        check(false, "5", 5, "0.00005");
        check(false, "10000", 0, "10000");
        check(false, "100000000", 4, "10000.0000");
        check(false, "12", -3, "12000");
        check(true, "99999999999999999999999999999999999999", 10, "-9999999999999999999999999999.9999999999");
    }
}
