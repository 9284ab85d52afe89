//! Offsets from UTC as text: `+02:00`, `-0330`, `Z`, `GMT+2`.

use std::fmt::Write as _;

use super::read::{Failure, Scan};

/// How an offset looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OffsetStyle {
    colon: bool,
    minutes: Part,
    seconds: Part,
    /// The text of no offset.
    zero: &'static str,
}

/// Whether a part of an offset is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Never,
    /// Only if it is not zero.
    IfAny,
    Always,
}

/// The largest offset, 18 hours.
const MAX_SECONDS: i32 = 18 * 3600;

impl OffsetStyle {
    /// That of ids of zones: `+02:00`, seconds if there are any, `Z`.
    pub(super) const ID: Self = Self { colon: true, minutes: Part::Always, seconds: Part::IfAny, zero: "Z" };

    /// The style of `count` times the letter `X`, `x` or `Z`.
    pub(super) fn new(letter: char, count: usize) -> Option<Self> {
        let zero = |short, plain| if count == 1 { short } else { plain };
        let (count, zero) = match (letter, count) {
            ('Z', 1..=3) => (2, "+0000"),
            ('Z', 5) => (5, "Z"),
            ('X', 1..=5) => (count, "Z"),
            ('x', 2 | 4) => (count, "+0000"),
            ('x', 1 | 3 | 5) => (count, zero("+00", "+00:00")),
            _ => return None,
        };
        let minutes = if count == 1 { Part::IfAny } else { Part::Always };
        let seconds = if count > 3 { Part::IfAny } else { Part::Never };
        Some(Self { colon: count == 3 || count == 5, minutes, seconds, zero })
    }

    /// Appends an offset in seconds.
    pub(super) fn write(&self, offset: i32, out: &mut String) {
        let (hours, minutes, seconds) = parts(offset);
        let with_seconds = self.seconds == Part::IfAny && seconds > 0;
        let with_minutes = self.minutes == Part::Always || minutes > 0;
        let shown = hours + if with_minutes { minutes } else { 0 } + if with_seconds { seconds } else { 0 };
        if shown == 0 {
            out.push_str(self.zero);
            return;
        }
        let colon = if self.colon { ":" } else { "" };
        out.push(if offset < 0 { '-' } else { '+' });
        // Writing to a text cannot fail.
        let _ = write!(out, "{hours:02}");
        if with_minutes {
            let _ = write!(out, "{colon}{minutes:02}");
        }
        if with_seconds {
            let _ = write!(out, "{colon}{seconds:02}");
        }
    }

    /// Reads an offset in seconds.
    pub(super) fn read(&self, scan: &mut Scan<'_>) -> Result<i32, Failure> {
        if scan.eat(self.zero) {
            return Ok(0);
        }
        let start = scan.at;
        let negative = sign(scan)?;
        let hours = scan.two_digits().ok_or(Failure::at(start))?;
        let minutes = self.part(self.minutes, scan, start)?;
        let seconds = match minutes {
            Some(_) => self.part(self.seconds, scan, start)?,
            None => None,
        };
        total(negative, hours, minutes.unwrap_or(0), seconds.unwrap_or(0)).ok_or(Failure::at(start))
    }

    fn part(&self, part: Part, scan: &mut Scan<'_>, start: usize) -> Result<Option<i32>, Failure> {
        if part == Part::Never {
            return Ok(None);
        }
        let before = scan.at;
        let value = if self.colon && !scan.eat(":") { None } else { scan.two_digits().filter(|value| *value < 60) };
        if value.is_none() {
            scan.at = before;
            if part == Part::Always {
                return Err(Failure::at(start));
            }
        }
        Ok(value)
    }
}

/// Appends `GMT+2`, or `GMT+02:00` if `full`.
pub(super) fn write_localized(offset: i32, full: bool, out: &mut String) {
    out.push_str("GMT");
    if offset == 0 {
        return;
    }
    let (hours, minutes, seconds) = parts(offset);
    out.push(if offset < 0 { '-' } else { '+' });
    let _ = if full { write!(out, "{hours:02}") } else { write!(out, "{hours}") };
    if full || minutes != 0 || seconds != 0 {
        let _ = write!(out, ":{minutes:02}");
    }
    if seconds != 0 {
        let _ = write!(out, ":{seconds:02}");
    }
}

/// Reads `GMT+2`, or `GMT+02:00` if `full`.
pub(super) fn read_localized(scan: &mut Scan<'_>, full: bool) -> Result<i32, Failure> {
    let start = scan.at;
    if !scan.eat("GMT") {
        return Err(Failure::at(start));
    }
    let Ok(negative) = sign(scan) else { return Ok(0) };
    let hours = match scan.two_digits() {
        Some(hours) => hours,
        None if full => return Err(Failure::at(start)),
        None => scan.digit().ok_or(Failure::at(start))?,
    };
    let mut part = |needed: bool| {
        let before = scan.at;
        let value = if scan.eat(":") { scan.two_digits() } else { None };
        match value {
            None if needed => Err(Failure::at(start)),
            None => {
                scan.at = before;
                Ok(0)
            }
            Some(value) => Ok(value),
        }
    };
    let minutes = part(full)?;
    let seconds = part(false)?;
    total(negative, hours, minutes, seconds).ok_or(Failure::at(start))
}

fn sign(scan: &mut Scan<'_>) -> Result<bool, Failure> {
    if scan.eat("-") {
        Ok(true)
    } else if scan.eat("+") {
        Ok(false)
    } else {
        Err(Failure::at(scan.at))
    }
}

fn parts(offset: i32) -> (i32, i32, i32) {
    let all = offset.abs();
    (all / 3600, all / 60 % 60, all % 60)
}

/// An offset from its parts; none if there is no such one.
pub(super) fn total(negative: bool, hours: i32, minutes: i32, seconds: i32) -> Option<i32> {
    let all = hours * 3600 + minutes * 60 + seconds;
    let fits = minutes < 60 && seconds < 60 && all <= MAX_SECONDS;
    fits.then_some(if negative { -all } else { all })
}
