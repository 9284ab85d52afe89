//! Text that stands where a moment in milliseconds is expected: `WINDOWSTART >= '2024-03-01T10'`.
//!
//! ksqlDB's rules: ISO 8601, what is missing at the end is padded with the start of the year, day or hour; without an offset it is UTC.

use chrono::{DateTime, NaiveDateTime};

/// The columns that hold moments in milliseconds and may be compared with text.
pub(crate) const MOMENT_COLUMNS: [&str; 3] = ["ROWTIME", "WINDOWSTART", "WINDOWEND"];

const DAY_MS: i64 = 86_400_000;

/// Milliseconds since the epoch of a moment written as ISO 8601, complete or cut short.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let text = text.trim().replacen(' ', "T", 1);
    if let Ok(moment) = DateTime::parse_from_rfc3339(&text) {
        return Some(moment.timestamp_millis());
    }
    let (moment, offset) = split_offset(&text);
    const PATTERN: &str = "0000-01-01T00:00:00";
    let (whole, fraction) = moment.split_once('.').unwrap_or((moment, ""));
    // At least a year.
    let padding = PATTERN.get(whole.len()..).filter(|_| whole.len() >= 4)?;
    let padded = format!("{whole}{padding}");
    // 24:00 is the end of a day, as in Java.
    let (padded, later) = match padded.strip_suffix("T24:00:00") {
        Some(day) if fraction.bytes().all(|digit| digit == b'0') => (format!("{day}T00:00:00"), DAY_MS),
        _ => (padded, 0),
    };
    let padded = format!("{padded}.{fraction:0<1}{offset}");
    if offset.is_empty() {
        let moment = NaiveDateTime::parse_from_str(&padded, "%Y-%m-%dT%H:%M:%S%.f").ok()?;
        return Some(moment.and_utc().timestamp_millis() + later);
    }
    DateTime::parse_from_str(&padded, "%Y-%m-%dT%H:%M:%S%.f%#z").ok().map(|moment| moment.timestamp_millis() + later)
}

/// Cuts `Z`, `+01:00` or `-0130` off, which can only stand behind a `T`.
fn split_offset(text: &str) -> (&str, &str) {
    if let Some(moment) = text.strip_suffix('Z') {
        return (moment, "+00:00");
    }
    let time = text.find('T').unwrap_or(text.len());
    match text[time..].find(['+', '-']) {
        Some(at) => text.split_at(time + at),
        None => (text, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_complete_or_cut_short() {
        let check = |text: &str, want: Option<i64>| assert_eq!(parse(text), want, "{text}");
        check("1970-01-01T00:00:01", Some(1_000));
        check("1970-01-01T00:00:01.5Z", Some(1_500));
        check("1970-01-02", Some(86_400_000));
        check("1970-01-01T01", Some(3_600_000));
        check("1970-01-01 01:30", Some(5_400_000));
        check("1970-01-01T02:00+01:00", Some(3_600_000));
        check("1971", Some(31_536_000_000));
        check("1970-01-01T24", Some(86_400_000));
        check("1970-01-01T24:30", None);
        check("yesterday", None);
        check("", None);
    }
}
