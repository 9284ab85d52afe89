//! The ISO calendar, proleptic: days since the epoch to years, months and days, and back.
//!
//! Works for all days that milliseconds in 64 bits can name; no time zones here. After Howard Hinnant, "chrono-Compatible Low-Level
//! Date Algorithms".

use super::{Field, Zone};

/// A date, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Date {
    pub(super) days: i64,
    pub(super) year: i64,
    pub(super) month: i64,
    pub(super) day: i64,
}

/// What is written: a date, a time, a moment in a zone.
pub(super) struct Local<'a> {
    pub(super) date: Option<Date>,
    pub(super) ms_of_day: Option<i64>,
    /// The zone and its offset in seconds.
    pub(super) zone: Option<(&'a Zone, i32)>,
}

/// The date that is `days` after 1970-01-01.
pub(super) fn date(days: i64) -> Date {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    Date { days, year: year_of_era + era * 400 + i64::from(month <= 2), month, day }
}

/// The days from 1970-01-01 to a date that exists.
pub(super) fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let from_march = (month + 9) % 12;
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Whether the year has a 29 February.
pub(super) fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// How many days a month has.
pub(super) fn month_length(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl Date {
    /// 1 is Monday, 7 Sunday.
    pub(super) fn day_of_week(self) -> i64 {
        (self.days + 3).rem_euclid(7) + 1
    }

    /// From 1.
    pub(super) fn day_of_year(self) -> i64 {
        self.days - days(self.year, 1, 1) + 1
    }

    /// Weeks begin on Sunday, and 1 January is always in week 1.
    fn week(self) -> (i64, i64) {
        let start_of = |year: i64| {
            let first = days(year, 1, 1);
            first - (first + 4).rem_euclid(7)
        };
        let year = if self.days >= start_of(self.year + 1) { self.year + 1 } else { self.year };
        (year, (self.days - start_of(year)) / 7 + 1)
    }

    /// The value of a field of dates.
    pub(super) fn get(self, field: Field) -> i64 {
        match field {
            Field::Era => i64::from(self.year > 0),
            Field::YearOfEra if self.year > 0 => self.year,
            Field::YearOfEra => 1 - self.year,
            Field::Quarter => (self.month - 1) / 3 + 1,
            Field::Month => self.month,
            Field::DayOfMonth => self.day,
            Field::DayOfYear => self.day_of_year(),
            Field::DayOfWeek => self.day_of_week(),
            Field::LocalDayOfWeek => self.day_of_week() % 7 + 1,
            Field::WeekBasedYear => self.week().0,
            Field::WeekOfYear => self.week().1,
            Field::WeekOfMonth => {
                let first = date(self.days - self.day + 1);
                (self.day - 1 + first.day_of_week() % 7) / 7 + 1
            }
            _ => self.year,
        }
    }
}

impl Local<'_> {
    /// The value of a field; none if this is a date and the field one of a time, or the other way round.
    pub(super) fn get(&self, field: Field) -> Option<i64> {
        if !field.is_time() {
            return self.date.map(|date| date.get(field));
        }
        let ms = self.ms_of_day?;
        let hour = ms / 3_600_000;
        Some(match field {
            Field::AmPm => hour / 12,
            Field::HourOfAmPm => hour % 12,
            Field::ClockHourOfAmPm => (hour + 11) % 12 + 1,
            Field::HourOfDay => hour,
            Field::ClockHourOfDay => (hour + 23) % 24 + 1,
            Field::Minute => ms / 60_000 % 60,
            Field::Second => ms / 1000 % 60,
            Field::Nano => ms % 1000 * 1_000_000,
            Field::NanoOfDay => ms * 1_000_000,
            _ => ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_each_others_inverse() {
        for day in (-1_000_000..1_000_000).step_by(97) {
            let found = date(day);
            assert_eq!(days(found.year, found.month, found.day), day);
            assert!((1..=month_length(found.year, found.month)).contains(&found.day), "{found:?}");
        }
        let check = |day: i64, want: (i64, i64, i64)| {
            let found = date(day);
            assert_eq!((found.year, found.month, found.day), want, "{day}");
        };
        check(0, (1970, 1, 1));
        check(-1, (1969, 12, 31));
        check(19_782, (2024, 2, 29));
        check(-719_528, (0, 1, 1));
    }
}
