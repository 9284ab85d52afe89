//! Patterns of `java.time.format.DateTimeFormatter`: compiled once, then written and read with.
//!
//! A pattern becomes a list of [`Item`]s: literal text, numbers, names, fractions, offsets, zones, optional parts. Writing asks each
//! item for its text; reading walks the text with the items, collects fields, and then resolves them to a date, a time, a moment.
//! Rules are those of Java's builder with strict widths, smart resolution (31 April is 30 April) and English names; letters
//! of a text match in any case, as ksqlDB asks for. Week-based fields (`Y w W e c`), quarters and `G` are those of the United States
//! where a locale decides; week-based fields and quarters are written, never read into a date.
//!
//! | letters | meaning |
//! |---|---|
//! | `y` `u` `G` | year of era, year, era; two letters are the years 2000 to 2099 |
//! | `M` `L` `d` `D` `E` `Q` `q` | month, day of month, day of year, day of week, quarter |
//! | `Y` `w` `W` `e` `c` | week-based year, week of year, week of month, day of week as a number |
//! | `a` `h` `K` `H` `k` `m` `s` | half of the day, hours 1-12, 0-11, 0-23, 1-24, minute, second |
//! | `S` `n` `A` `N` | fraction of the second, nanosecond, millisecond and nanosecond of the day |
//! | `X` `x` `Z` `O` | offset, with `Z` for zero or without, `+0000`, `GMT+8` |
//! | `z` `VV` | name and id of the zone |
//! | `'text'` `''` `[ ]` `p` | text, a quote, an optional part, padding with spaces |
//!
//! After the documentation of `java.time.format.DateTimeFormatterBuilder`; `B`, `F`, `g` and `v` are refused.

mod calendar;
mod compile;
mod names;
mod number;
mod offset;
mod read;
mod resolve;
mod write;
mod zone;
mod zone_names;

use calendar::Local;
pub(crate) use zone::Zone;

/// Milliseconds in a day.
pub(crate) const DAY_MS: i64 = 86_400_000;

/// A pattern, ready to write and read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JavaPattern {
    items: Vec<Item>,
}

/// One piece of a pattern.
#[derive(Debug, Clone, PartialEq)]
enum Item {
    /// Text that stands for itself.
    Literal(String),
    /// A field as a number.
    Number(number::Number),
    /// A field as a word.
    Text { field: Field, style: Style },
    /// An offset such as `+02:00`.
    Offset(offset::OffsetStyle),
    /// An offset such as `GMT+2` (`full`: `GMT+02:00`).
    LocalizedOffset { full: bool },
    /// The id of a zone: `Europe/Paris`, `Z`, `+02:00`.
    ZoneId,
    /// The name of a zone: `PST`; `full`: `Pacific Standard Time`.
    ZoneName { full: bool },
    /// An item with spaces before it, `width` characters in all.
    Padded { width: usize, item: Box<Item> },
    /// What need not be there.
    Optional(Vec<Item>),
}

/// How long a word is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Short,
    Full,
    Narrow,
}

/// What a number or word stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Era,
    YearOfEra,
    Year,
    Quarter,
    Month,
    DayOfMonth,
    DayOfYear,
    DayOfWeek,
    WeekBasedYear,
    WeekOfYear,
    WeekOfMonth,
    LocalDayOfWeek,
    AmPm,
    HourOfAmPm,
    ClockHourOfAmPm,
    HourOfDay,
    ClockHourOfDay,
    Minute,
    Second,
    Nano,
    MilliOfDay,
    NanoOfDay,
}

impl Field {
    /// How many there are, for tables by field.
    const COUNT: usize = Self::NanoOfDay as usize + 1;

    /// Whether it is part of a time, not of a date.
    fn is_time(self) -> bool {
        self as usize >= Self::AmPm as usize
    }
}

impl JavaPattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// Which letter or bracket is wrong.
    pub(crate) fn parse(pattern: &str) -> Result<Self, String> {
        compile::compile(pattern)
            .map(|items| Self { items })
            .map_err(|problem| format!("invalid date or time pattern `{pattern}`: {problem}"))
    }

    /// Appends a moment, in ms since the epoch, as the clocks of `zone` show it.
    ///
    /// # Errors
    /// If something does not fit its width.
    pub(crate) fn format(&self, epoch_ms: i64, zone: &Zone, out: &mut String) -> Result<(), String> {
        let offset = zone.offset_at(epoch_ms.div_euclid(1000));
        let local_ms = epoch_ms.saturating_add(i64::from(offset) * 1000);
        let local = Local {
            date: Some(calendar::date(local_ms.div_euclid(DAY_MS))),
            ms_of_day: Some(local_ms.rem_euclid(DAY_MS)),
            zone: Some((zone, offset)),
        };
        write::items(&self.items, &local, out)
    }

    /// Appends a date, in days since the epoch.
    ///
    /// # Errors
    /// If the pattern asks for a time or a zone.
    pub(crate) fn format_date(&self, days: i64, out: &mut String) -> Result<(), String> {
        let local = Local { date: Some(calendar::date(days)), ms_of_day: None, zone: None };
        write::items(&self.items, &local, out)
    }

    /// Appends a time, in ms of the day.
    ///
    /// # Errors
    /// If the pattern asks for a date or a zone.
    pub(crate) fn format_time(&self, ms_of_day: i64, out: &mut String) -> Result<(), String> {
        write::items(&self.items, &Local { date: None, ms_of_day: Some(ms_of_day), zone: None }, out)
    }

    /// Reads a moment, in ms since the epoch. What the pattern does not say is that of 1970-01-01T00:00:00; a text without zone is in
    /// `zone`. Digits below the millisecond are cut off.
    ///
    /// # Errors
    /// Where the text leaves the pattern, or what is no date or time.
    pub(crate) fn parse_moment(&self, text: &str, zone: &Zone) -> Result<i64, String> {
        let fields = read::fields(&self.items, text).map_err(|problem| cannot(text, &problem))?;
        resolve::moment(&fields, zone).map_err(|problem| cannot(text, &problem))
    }

    /// Reads a date, in days since the epoch; the text must say all of it.
    ///
    /// # Errors
    /// As [`parse_moment`](Self::parse_moment).
    pub(crate) fn parse_date(&self, text: &str) -> Result<i64, String> {
        let fields = read::fields(&self.items, text).map_err(|problem| cannot(text, &problem))?;
        resolve::date(&fields).map_err(|problem| cannot(text, &problem))
    }

    /// Reads a time, in ms of the day; the text must say at least the hour, and nothing of a date.
    ///
    /// # Errors
    /// As [`parse_moment`](Self::parse_moment).
    pub(crate) fn parse_time(&self, text: &str) -> Result<i64, String> {
        let fields = read::fields(&self.items, text).map_err(|problem| cannot(text, &problem))?;
        resolve::time(&fields).map_err(|problem| cannot(text, &problem))
    }
}

fn cannot(text: &str, problem: &str) -> String {
    format!("`{text}` cannot be read: {problem}")
}

#[cfg(test)]
mod tests;
