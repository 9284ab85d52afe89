//! Time zones: by id, by offset, by name.
//!
//! A local time that a change of clocks skips is taken with the offset before the change; one that occurs twice is the first, as Java does.

use std::{collections::HashMap, str::FromStr, sync::OnceLock};

use chrono::{DateTime, NaiveDateTime, Offset, TimeZone};
use chrono_tz::{OffsetName, TZ_VARIANTS, Tz};

use super::{
    offset::{OffsetStyle, total},
    read::Scan,
    zone_names,
};

/// A time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Zone {
    /// Always the same offset, in seconds.
    Fixed(i32),
    /// A region with its rules.
    Region(Tz),
}

impl Zone {
    /// Universal time.
    pub(crate) const UTC: Self = Self::Region(Tz::UTC);

    /// A zone by its id: `Europe/Paris`, `UTC`, `+02:00`, `+0200`, `+2`, `GMT+2`; the usual abbreviations too, such as `PST`.
    ///
    /// # Errors
    /// If there is no such zone.
    pub(crate) fn parse(id: &str) -> Result<Self, String> {
        let unknown =
            || format!("unknown time zone `{id}`; it is an id such as `Europe/Paris`, or an offset such as `+02:00`");
        if id == "Z" {
            return Ok(Self::Fixed(0));
        }
        if id.starts_with(['+', '-']) {
            return offset_id(id).map(Self::Fixed).ok_or_else(unknown);
        }
        for prefix in ["UTC", "GMT", "UT"] {
            let rest = id.strip_prefix(prefix).filter(|rest| rest.starts_with(['+', '-']));
            if let Some(offset) = rest.and_then(offset_id) {
                return Ok(Self::Fixed(offset));
            }
        }
        match id {
            "UT" => Ok(Self::UTC),
            _ => Tz::from_str(id)
                .ok()
                .map(Self::Region)
                .or_else(|| {
                    zone_names::read(id).filter(|(_, length)| *length == id.len()).map(|(zone, _)| Self::Region(zone))
                })
                .ok_or_else(unknown),
        }
    }

    /// The zone whose id, or if `names` whose name, stands at the beginning of `text`, and how long that is; the longest one.
    pub(super) fn read(text: &str, names: bool) -> Option<(Self, usize)> {
        let mut scan = Scan { text, at: 0 };
        if text.starts_with(['+', '-']) {
            let offset = OffsetStyle::ID.read(&mut scan).ok()?;
            return Some((Self::Fixed(offset), scan.at));
        }
        for prefix in ["UTC", "GMT", "UT"] {
            let mut scan = Scan { text, at: 0 };
            if scan.eat(prefix)
                && scan.rest().starts_with(['+', '-'])
                && let Ok(offset) = OffsetStyle::ID.read(&mut scan)
            {
                return Some((Self::Fixed(offset), scan.at));
            }
        }
        let named = if names { zone_names::read(text) } else { None };
        let by_id = id_at(text);
        let best = by_id.into_iter().chain(named).max_by_key(|(_, length)| *length);
        match best {
            Some((zone, length)) => Some((Self::Region(zone), length)),
            None => scan.eat("Z").then_some((Self::Fixed(0), 1)),
        }
    }

    /// Its id.
    pub(super) fn id(&self) -> String {
        match self {
            Self::Fixed(offset) => {
                let mut out = String::new();
                OffsetStyle::ID.write(*offset, &mut out);
                out
            }
            Self::Region(zone) => zone.name().to_owned(),
        }
    }

    /// Seconds from UTC at a moment, in seconds since the epoch.
    pub(crate) fn offset_at(&self, seconds: i64) -> i32 {
        match self {
            Self::Fixed(offset) => *offset,
            Self::Region(zone) => zone.offset_from_utc_datetime(&naive(seconds)).fix().local_minus_utc(),
        }
    }

    /// Seconds from UTC at a local time, in seconds since 1970-01-01T00:00:00 of that zone.
    pub(super) fn offset_of_local(&self, seconds: i64) -> i32 {
        let Self::Region(zone) = self else { return self.offset_at(seconds) };
        let local = naive(seconds);
        match zone.offset_from_local_datetime(&local).earliest() {
            Some(offset) => offset.fix().local_minus_utc(),
            // Skipped by a change of clocks; no two of them lie within a day.
            None => self.offset_at(seconds - 86_400),
        }
    }

    /// Its name at a moment, in seconds since the epoch; none if it has none there.
    pub(super) fn name_at(&self, seconds: i64, full: bool) -> Option<String> {
        let Self::Region(zone) = self else { return Some(self.id()) };
        let offset = zone.offset_from_utc_datetime(&naive(seconds));
        let short = offset.abbreviation().unwrap_or_default();
        zone_names::name(*zone, short, offset.fix().local_minus_utc() / 60, full)
    }
}

/// Clocks of a moment in UTC; beyond the years that the rules know the nearest of them.
fn naive(seconds: i64) -> NaiveDateTime {
    let nearest = if seconds < 0 { NaiveDateTime::MIN } else { NaiveDateTime::MAX };
    // Room for an offset on either side.
    let day = chrono::TimeDelta::days(2);
    let nearest = if seconds < 0 { nearest + day } else { nearest - day };
    DateTime::from_timestamp(seconds, 0)
        .map_or(nearest, |moment| moment.naive_utc().clamp(NaiveDateTime::MIN + day, NaiveDateTime::MAX - day))
}

/// An offset as ids write it: `+h`, `+hh`, `+hh:mm`, `+hhmm`, `+hh:mm:ss`, `+hhmmss`.
fn offset_id(text: &str) -> Option<i32> {
    let digits: String = text.get(1..)?.chars().filter(|c| *c != ':').collect();
    let shaped = match text.len() {
        2 | 3 | 5 | 7 => !text.contains(':'),
        6 => text.as_bytes()[3] == b':',
        9 => text.as_bytes()[3] == b':' && text.as_bytes()[6] == b':',
        _ => false,
    };
    let wanted = match text.len() {
        6 => 4,
        9 => 6,
        other => other - 1,
    };
    if !shaped || digits.len() != wanted || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let pair = |from: usize| digits.get(from..from + 2).map_or(Some(0), |pair| pair.parse::<i32>().ok());
    let hours = if digits.len() == 1 { digits.parse().ok()? } else { pair(0)? };
    total(text.starts_with('-'), hours, pair(2)?, pair(4)?)
}

/// The longest id at the beginning of a text, in any case.
fn id_at(text: &str) -> Option<(Tz, usize)> {
    static IDS: OnceLock<HashMap<String, Tz>> = OnceLock::new();
    let ids = IDS.get_or_init(|| {
        let named = TZ_VARIANTS.iter().map(|zone| (zone.name().to_ascii_lowercase(), *zone));
        named.chain([("ut".to_owned(), Tz::UTC)]).collect()
    });
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-' | b'+');
    let longest = text.bytes().take_while(word).count();
    let lower = text[..longest].to_ascii_lowercase();
    (1..=longest).rev().find_map(|length| Some((*ids.get(&lower[..length])?, length)))
}
