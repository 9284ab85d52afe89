//! Directories by time: patterns such as `'year'=yyyy/'month'=MM/'day'=dd/'hour'=HH`.
//!
//! The letters are those of Java's date patterns that make sense in a path: `y`, `Y` or `u` (year, four digits), `M`, `d`, `H`, `m`, `s`
//! (two digits each); text in single quotes and everything that is no letter stands for itself.

use chrono::{DateTime, Datelike, NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike};
use chrono_tz::Tz;

/// A pattern, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathFormat {
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Part(char),
}

impl PathFormat {
    /// Reads a pattern; says what is wrong with it.
    ///
    /// # Errors
    /// A letter that is not known, or a quote that is not closed.
    pub fn new(pattern: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut letters = pattern.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '\'' => {
                    let mut text = String::new();
                    loop {
                        match letters.next() {
                            None => return Err("a single quote is not closed".to_owned()),
                            Some('\'') => break,
                            Some(letter) => text.push(letter),
                        }
                    }
                    pieces.push(Piece::Text(if text.is_empty() { "'".to_owned() } else { text }));
                }
                'y' | 'Y' | 'u' | 'M' | 'd' | 'H' | 'm' | 's' => {
                    while letters.next_if_eq(&letter).is_some() {}
                    pieces.push(Piece::Part(if matches!(letter, 'Y' | 'u') { 'y' } else { letter }));
                }
                letter if letter.is_alphabetic() => {
                    return Err(format!(
                        "letter {letter} is not known; y, M, d, H, m, s are, and text goes in single quotes"
                    ));
                }
                other => pieces.push(Piece::Text(other.to_string())),
            }
        }
        if !pieces.iter().any(|piece| matches!(piece, Piece::Part(_))) {
            return Err("it has no part of a time".to_owned());
        }
        Ok(Self { text: pattern.to_owned(), pieces })
    }

    /// The pattern as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The directory of a time; `None` if it is beyond what calendars know.
    pub(super) fn directory(&self, millis: i64, zone: Tz, duration_ms: Option<i64>) -> Option<String> {
        let local = local_time(millis, zone)?;
        let local = match duration_ms {
            None => local,
            Some(step) => {
                let millis = local.and_utc().timestamp_millis();
                DateTime::from_timestamp_millis(millis.div_euclid(step) * step)?.naive_utc()
            }
        };
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Part('y') => out.push_str(&format!("{:04}", local.year())),
                Piece::Part(part) => {
                    let number = match part {
                        'M' => local.month(),
                        'd' => local.day(),
                        'H' => local.hour(),
                        'm' => local.minute(),
                        _ => local.second(),
                    };
                    out.push_str(&format!("{number:02}"));
                }
            }
        }
        Some(out)
    }
}

/// What clocks of the zone show.
fn local_time(millis: i64, zone: Tz) -> Option<NaiveDateTime> {
    let utc = DateTime::from_timestamp_millis(millis)?.naive_utc();
    let ahead = zone.offset_from_utc_datetime(&utc).fix().local_minus_utc();
    utc.checked_add_signed(TimeDelta::seconds(ahead.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_become_directories() {
        let check = |pattern: &str, zone: Tz, duration: Option<i64>, millis: i64, expected: &str| {
            let format = PathFormat::new(pattern).expect(pattern);
            assert_eq!(format.directory(millis, zone, duration).as_deref(), Some(expected), "{pattern}");
        };
        let at = 1_357_034_400_000;
        check("'year'=YYYY/'month'=MM/'day'=dd/'hour'=HH", Tz::UTC, None, at, "year=2013/month=01/day=01/hour=10");
        check("yyyy-MM-dd", Tz::America__New_York, None, at - 6 * 3_600_000, "2012-12-31");
        check("HH''mm", Tz::Asia__Kolkata, None, at, "15'30");
        check("'h'HH-mm-ss", Tz::UTC, Some(900_000), at + 1_234_567, "h10-15-00");
        check("yyyy", Tz::UTC, None, -1, "1969");
        let far = PathFormat::new("yyyy").expect("legal").directory(i64::MAX, Tz::UTC, None);
        assert_eq!(far, None);
    }

    #[test]
    fn patterns_are_checked() {
        for (pattern, part) in [("'year=yyyy", "not closed"), ("yyyy/Q", "letter Q"), ("'a'/1", "no part")] {
            let problem = PathFormat::new(pattern).expect_err(pattern);
            assert!(problem.contains(part), "{pattern}: {problem}");
        }
    }
}
