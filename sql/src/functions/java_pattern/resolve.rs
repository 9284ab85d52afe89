//! From fields to a date, a time, a moment.
//!
//! As Java resolves smartly: 31 April is 30 April, 24:00 is midnight of the next day, a year of era without an era is a year; two fields
//! that contradict each other are an error.

use super::{DAY_MS, Field, Zone, calendar, read::Fields};

const NANOS_A_MS: i64 = 1_000_000;
const NANOS_A_SECOND: i64 = 1_000_000_000;
/// Years beyond this one cannot be written either.
const MAX_YEAR: i64 = 999_999_999;

/// A date that the text says wholly, in days since the epoch.
pub(super) fn date(fields: &Fields) -> Result<i64, String> {
    let extra = match full_time(fields)? {
        Some((_, midnight)) => i64::from(midnight),
        None => 0,
    };
    match full_date(fields)? {
        Some(days) => Ok(days + extra),
        None => Err("it does not say year, month and day".to_owned()),
    }
}

/// A time that the text says from the hour on, in ms of the day.
pub(super) fn time(fields: &Fields) -> Result<i64, String> {
    if fields.any(false) {
        return Err("a time has no year, month or day".to_owned());
    }
    match full_time(fields)? {
        Some((nanos, _)) => Ok(nanos / NANOS_A_MS),
        None => Err("it does not say the hour, or leaves out what lies between hour and fraction".to_owned()),
    }
}

/// A moment in ms since the epoch; what the text does not say is that of 1970-01-01T00:00:00 in `zone`.
pub(super) fn moment(fields: &Fields, zone: &Zone) -> Result<i64, String> {
    let (nanos, midnight) = match full_time(fields)? {
        Some(time) => time,
        None => (partial_time(fields)?, false),
    };
    let days = match full_date(fields)? {
        Some(days) => days,
        None => partial_date(fields)?,
    } + i64::from(midnight);
    let ms = nanos / NANOS_A_MS;
    let local = days.checked_mul(DAY_MS).and_then(|start| start.checked_add(ms));
    let local = local.ok_or("it is further from 1970 than 64 bits of milliseconds reach")?;
    let local_seconds = local.div_euclid(1000);
    let offset = match (fields.offset, &fields.zone) {
        (Some(offset), _) => offset,
        (None, Some(named)) => named.offset_of_local(local_seconds),
        (None, None) => zone.offset_of_local(local_seconds),
    };
    Ok(local - i64::from(offset) * 1000)
}

/// The value of a field, in its range.
fn within(fields: &Fields, field: Field, from: i64, to: i64) -> Result<Option<i64>, String> {
    match fields.get(field) {
        Some(value) if !(from..=to).contains(&value) => {
            Err(format!("{} is {value}, which is not from {from} to {to}", words(field)))
        }
        value => Ok(value),
    }
}

fn words(field: Field) -> &'static str {
    match field {
        Field::YearOfEra | Field::Year => "the year",
        Field::Month => "the month",
        Field::DayOfMonth => "the day of the month",
        Field::DayOfYear => "the day of the year",
        Field::HourOfAmPm | Field::ClockHourOfAmPm | Field::HourOfDay | Field::ClockHourOfDay => "the hour",
        Field::Minute => "the minute",
        Field::Second => "the second",
        _ => "a field",
    }
}

fn year(fields: &Fields) -> Result<Option<i64>, String> {
    let of_era = within(fields, Field::YearOfEra, 1, MAX_YEAR)?;
    let of_era = match (of_era, fields.get(Field::Era)) {
        (Some(year), Some(0)) => Some(1 - year),
        (year, _) => year,
    };
    match (within(fields, Field::Year, -MAX_YEAR, MAX_YEAR)?, of_era) {
        (Some(year), Some(other)) if year != other => Err("it says two different years".to_owned()),
        (year, of_era) => Ok(year.or(of_era)),
    }
}

/// The days of a date of which year, month and day, or year and day of the year, are said.
fn full_date(fields: &Fields) -> Result<Option<i64>, String> {
    let month = within(fields, Field::Month, 1, 12)?;
    let day = within(fields, Field::DayOfMonth, 1, 31)?;
    let of_year = within(fields, Field::DayOfYear, 1, 366)?;
    let Some(year) = year(fields)? else { return Ok(None) };
    let days = match (month, day, of_year) {
        (Some(month), Some(day), _) => calendar::days(year, month, day.min(calendar::month_length(year, month))),
        (_, _, Some(of_year)) if of_year == 366 && !calendar::is_leap(year) => {
            return Err(format!("{year} has no day 366"));
        }
        (_, _, Some(of_year)) => calendar::days(year, 1, 1) + of_year - 1,
        _ => return Ok(None),
    };
    let date = calendar::date(days);
    let contradicts = |field: Field| fields.get(field).is_some_and(|said| said != date.get(field));
    const CHECKED: [Field; 8] = [
        Field::Quarter,
        Field::Month,
        Field::DayOfYear,
        Field::DayOfWeek,
        Field::WeekBasedYear,
        Field::WeekOfYear,
        Field::WeekOfMonth,
        Field::LocalDayOfWeek,
    ];
    if CHECKED.into_iter().any(contradicts) {
        return Err("its day of the week, of the month and of the year contradict each other".to_owned());
    }
    Ok(Some(days))
}

/// The days of a date of which something is said, the rest being 1970-01-01.
fn partial_date(fields: &Fields) -> Result<i64, String> {
    let year = year(fields)?.unwrap_or(1970);
    if let Some(of_year) = fields.get(Field::DayOfYear) {
        if of_year == 366 && !calendar::is_leap(year) {
            return Err("day 366 needs a year".to_owned());
        }
        return Ok(calendar::days(year, 1, 1) + of_year - 1);
    }
    let month = fields.get(Field::Month).unwrap_or(1);
    let day = fields.get(Field::DayOfMonth).unwrap_or(1);
    if day > calendar::month_length(year, month) {
        return Err(format!("month {month} of {year} has no day {day}"));
    }
    Ok(calendar::days(year, month, day))
}

/// The hour of the day, if it is said; what is said of it in several ways must agree.
fn hour(fields: &Fields) -> Result<Option<i64>, String> {
    let plain = within(fields, Field::HourOfDay, 0, 24)?;
    let clock = within(fields, Field::ClockHourOfDay, 0, 24)?.map(|hour| hour % 24);
    let (half, of_half) = (fields.get(Field::AmPm), hour_of_half(fields)?);
    let split = half.zip(of_half).map(|(half, hour)| half * 12 + hour);
    let hour = plain.or(clock).or(split);
    let is = |said: Option<i64>, is: i64| said.is_none_or(|said| said == is);
    match hour {
        Some(hour) if !is(clock, hour) || !is(half, hour % 24 / 12) || !is(of_half, hour % 12) => {
            Err("it says two different hours".to_owned())
        }
        hour => Ok(hour),
    }
}

/// The hour since midnight or noon, if it is said.
fn hour_of_half(fields: &Fields) -> Result<Option<i64>, String> {
    let plain = within(fields, Field::HourOfAmPm, 0, 11)?;
    let clock = within(fields, Field::ClockHourOfAmPm, 0, 12)?.map(|hour| hour % 12);
    match plain.zip(clock) {
        Some((plain, clock)) if plain != clock => Err("it says two different hours".to_owned()),
        _ => Ok(plain.or(clock)),
    }
}

/// Nanoseconds of the day, and whether it is midnight of the next day, if the hour is said and no gap follows.
fn full_time(fields: &Fields) -> Result<Option<(i64, bool)>, String> {
    let of_day = within(fields, Field::NanoOfDay, 0, DAY_MS * NANOS_A_MS - 1)?;
    let ms_of_day = within(fields, Field::MilliOfDay, 0, DAY_MS - 1)?;
    let minute = within(fields, Field::Minute, 0, 59)?;
    let second = within(fields, Field::Second, 0, 59)?;
    let nano = within(fields, Field::Nano, 0, 999_999_999)?;
    let (hour, of_half) = (hour(fields)?, hour_of_half(fields)?);
    let nanos = if let Some(nanos) = of_day.or(ms_of_day.map(|ms| ms * NANOS_A_MS)) {
        nanos
    } else {
        let Some(hour) = hour else { return Ok(None) };
        if (minute.is_none() && (second.is_some() || nano.is_some())) || (second.is_none() && nano.is_some()) {
            return Ok(None);
        }
        let rest = (minute.unwrap_or(0) * 60 + second.unwrap_or(0)) * NANOS_A_SECOND + nano.unwrap_or(0);
        match hour {
            24 if rest == 0 => return Ok(Some((0, true))),
            24 => return Err("the hour 24 is midnight only".to_owned()),
            hour => hour * 3600 * NANOS_A_SECOND + rest,
        }
    };
    let said = [
        (hour, nanos / NANOS_A_SECOND / 3600),
        (fields.get(Field::AmPm), nanos / NANOS_A_SECOND / 3600 / 12),
        (of_half, nanos / NANOS_A_SECOND / 3600 % 12),
        (minute, nanos / NANOS_A_SECOND / 60 % 60),
        (second, nanos / NANOS_A_SECOND % 60),
        (nano, nanos % NANOS_A_SECOND),
        (ms_of_day, nanos / NANOS_A_MS),
    ];
    if said.into_iter().any(|(said, is)| said.is_some_and(|said| said != is)) {
        return Err("its hours, minutes and seconds contradict each other".to_owned());
    }
    Ok(Some((nanos, false)))
}

/// Nanoseconds of the day of a time of which something is said, the rest being 00:00:00.
fn partial_time(fields: &Fields) -> Result<i64, String> {
    let of_half = hour_of_half(fields)?.unwrap_or(0) + fields.get(Field::AmPm).unwrap_or(0) * 12;
    let hour = hour(fields)?.unwrap_or(of_half);
    if hour == 24 {
        return Err("the hour 24 is midnight only".to_owned());
    }
    let get = |field: Field| fields.get(field).unwrap_or(0);
    Ok(((hour * 60 + get(Field::Minute)) * 60 + get(Field::Second)) * NANOS_A_SECOND + get(Field::Nano))
}
