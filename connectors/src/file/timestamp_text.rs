//! Timestamps as text: ISO-8601 and its everyday relatives, to milliseconds since the epoch.

use chrono::NaiveDate;

/// Reads epoch milliseconds (`1357034400000`), a date (`2013-01-01`), or a date and a time: `2013-01-01T10:00:00`,
/// `T` or a space between, seconds optional, a fraction (cut to milliseconds) optional, then `Z`, `+hh:mm`, `+hhmm`,
/// `+hh` or nothing, which means UTC. `None` for anything else.
pub(crate) fn parse_timestamp(text: &str) -> Option<i64> {
    let text = text.trim().as_bytes();
    if text.get(4) != Some(&b'-') {
        return epoch_millis(text);
    }
    let (date, rest) = text.split_at_checked(10)?;
    if date[7] != b'-' {
        return None;
    }
    let days = NaiveDate::from_ymd_opt(number(&date[..4])? as i32, number(&date[5..7])?, number(&date[8..])?)?
        .signed_duration_since(NaiveDate::default())
        .num_days();
    let midnight_ms = days * 86_400_000;
    match rest {
        [] => Some(midnight_ms),
        [b'T' | b't' | b' ', time @ ..] => Some(midnight_ms + time_millis(time)?),
        _ => None,
    }
}

fn epoch_millis(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// `hh:mm[:ss[.f..]][zone]` as milliseconds from midnight UTC.
fn time_millis(text: &[u8]) -> Option<i64> {
    let (clock, mut rest) = text.split_at_checked(5)?;
    let (hour, minute) = (number(&clock[..2])?, number(&clock[3..])?);
    let (mut second, mut millis) = (0, 0);
    if let [b':', tail @ ..] = rest {
        second = number(tail.get(..2)?)?;
        rest = &tail[2..];
        if let [b'.' | b',', fraction @ ..] = rest {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 || digits > 9 {
                return None;
            }
            millis = fraction[..digits.min(3)].iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
            millis *= 10_u32.pow(3 - digits.min(3) as u32);
            rest = &fraction[digits..];
        }
    }
    if clock[2] != b':' || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let local = i64::from(((hour * 60 + minute) * 60 + second) * 1000 + millis);
    Some(local - zone_millis(rest)?)
}

/// How far a zone is ahead of UTC.
fn zone_millis(text: &[u8]) -> Option<i64> {
    let (sign, hours, minutes) = match text {
        [] | [b'Z' | b'z'] => return Some(0),
        [sign, hours @ ..] if hours.len() == 2 => (sign, hours, &b"00"[..]),
        [sign, digits @ ..] if digits.len() == 4 => (sign, &digits[..2], &digits[2..]),
        [sign, h1, h2, b':', minutes @ ..] if minutes.len() == 2 => (sign, &[*h1, *h2][..], minutes),
        _ => return None,
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    if hours > 18 || minutes > 59 {
        return None;
    }
    let ahead = i64::from((hours * 60 + minutes) * 60_000);
    match sign {
        b'+' => Some(ahead),
        b'-' => Some(-ahead),
        _ => None,
    }
}

/// Decimal digits, at most nine of them.
fn number(digits: &[u8]) -> Option<u32> {
    let legal = (1..=9).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    legal.then(|| digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyday_forms_are_read_and_others_refused() {
        let check = |text: &str, expected: Option<i64>| assert_eq!(parse_timestamp(text), expected, "{text:?}");
        check("1357034400000", Some(1_357_034_400_000));
        check("-5", Some(-5));
        check("2013-01-01", Some(1_356_998_400_000));
        check("2013-01-01T10:00:00Z", Some(1_357_034_400_000));
        check("2013-01-01 10:00:00", Some(1_357_034_400_000));
        check("2013-01-01T10:00", Some(1_357_034_400_000));
        check("2013-01-01T05:00:00-05:00", Some(1_357_034_400_000));
        check("2013-01-01T15:30:00+0530", Some(1_357_034_400_000));
        check("2013-01-01T11:00:00+01", Some(1_357_034_400_000));
        check("2013-01-01T10:00:00.5Z", Some(1_357_034_400_500));
        check("2013-01-01T10:00:00.123456789Z", Some(1_357_034_400_123));
        check("1969-12-31T23:59:59.999Z", Some(-1));
        for refused in [
            "",
            "NA",
            "2013-13-01",
            "2013-02-29",
            "2013-01-01T24:00:00",
            "2013-01-01T10:00:00X",
            "2013-01-01T10:00:00.Z",
        ] {
            check(refused, None);
        }
        for refused in ["2013-01-01X10:00", "2013-01-0é", "12.5", "2013-01-01T10-00", "2013-01-01T10:00:00+5"] {
            check(refused, None);
        }
    }
}
