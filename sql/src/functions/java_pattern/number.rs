//! Fields as numbers: how many digits are written and read, and how digits are shared out where numbers touch (`yyyyMMdd`).
//!
//! Invariant: a number that is followed directly by others of fixed width leaves them their digits (`reserved`).

use std::fmt::Write;

use super::{
    Field,
    read::{Failure, Fields},
};

/// When a sign is written and read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// Only that of negative numbers.
    Normal,
    /// None: there are no negative numbers.
    Never,
    /// That of negative numbers, and `+` where there are more digits than the width.
    Exceeds,
}

/// What the digits mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The number.
    Plain,
    /// The last two digits of a year of this century.
    TwoDigitYear,
    /// The first digits of nine behind the point of a second.
    Fraction,
}

/// A field as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) field: Field,
    pub(super) min: usize,
    pub(super) max: usize,
    pub(super) sign: Sign,
    pub(super) kind: Kind,
    /// Digits of the numbers that follow directly.
    pub(super) reserved: usize,
}

/// The most digits of a number of 64 bits.
pub(super) const MAX_DIGITS: usize = 19;

impl Number {
    /// As many digits as the number has.
    pub(super) fn variable(field: Field) -> Self {
        Self::between(field, 1, MAX_DIGITS, Sign::Normal)
    }

    /// Always this many digits.
    pub(super) fn fixed(field: Field, width: usize) -> Self {
        Self::between(field, width, width, Sign::Never)
    }

    /// From `min` to `max` digits.
    pub(super) fn between(field: Field, min: usize, max: usize, sign: Sign) -> Self {
        Self { field, min, max, sign, kind: Kind::Plain, reserved: 0 }
    }

    /// Whether it always has the same number of digits and no sign.
    pub(super) fn is_fixed(&self) -> bool {
        self.min == self.max && self.sign == Sign::Never
    }

    /// Appends the digits of `value`.
    pub(super) fn write(&self, value: i64, out: &mut String) -> Result<(), String> {
        let value = match self.kind {
            Kind::Plain => value,
            Kind::TwoDigitYear => value.abs() % 100,
            Kind::Fraction => {
                let end = out.len() + self.max;
                let written = write!(out, "{value:09}");
                out.truncate(end);
                return written.map_err(|error| error.to_string());
            }
        };
        let magnitude = value.unsigned_abs();
        let digits = magnitude.checked_ilog10().map_or(1, |power| power as usize + 1);
        if digits > self.max {
            return Err(format!("{value} has more than {} digits", self.max));
        }
        if value < 0 {
            out.push('-');
        } else if self.sign == Sign::Exceeds && digits > self.min {
            out.push('+');
        }
        let width = self.min;
        write!(out, "{magnitude:0width$}").map_err(|error| error.to_string())
    }

    /// Reads digits at `at`; the position behind them.
    pub(super) fn read(&self, text: &str, at: usize, fields: &mut Fields) -> Result<usize, Failure> {
        let bytes = text.as_bytes();
        let sign = bytes.get(at).copied();
        let negative = sign == Some(b'-') && self.sign != Sign::Never;
        let positive = sign == Some(b'+') && self.sign == Sign::Exceeds;
        let start = at + usize::from(negative || positive);
        let limit = self.max + self.reserved;
        let mut count = bytes[start..].iter().take(limit).take_while(|byte| byte.is_ascii_digit()).count();
        if count < self.min {
            return Err(Failure::at(start));
        }
        if self.reserved > 0 {
            count = self.min.max(count.saturating_sub(self.reserved)).min(count);
        }
        let end = start + count;
        let digits = &text[start..end];
        let value: i64 = digits.parse().map_err(|_| Failure::at(at))?;
        if negative && value == 0 {
            return Err(Failure::at(at));
        }
        if self.sign == Sign::Exceeds && !negative && positive != (count > self.min) {
            return Err(Failure::at(at));
        }
        let value = match self.kind {
            Kind::Plain if negative => -value,
            Kind::Plain => value,
            Kind::TwoDigitYear => 2000 + value,
            Kind::Fraction => value * 10_i64.pow(9_u32.saturating_sub(count as u32)),
        };
        fields.set(self.field, value, at)?;
        Ok(end)
    }
}
