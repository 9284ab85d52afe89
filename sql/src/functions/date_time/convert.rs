//! Dates and timestamps as numbers, the clock, and the clocks of other zones.

use arrow::{
    array::{ArrayRef, Date32Array, TimestampMillisecondArray},
    datatypes::{Date32Type, Int32Type, Int64Type, TimestampMillisecondType},
};
use millstream::runtime::{Clock, SystemClock};

use super::{
    super::{
        columns::{BigInts, Ints, read, write_values},
        java_pattern::DAY_MS,
        overload::{function, of},
        signature::{Call, ScalarFunction},
    },
    prepared::zones,
};
use crate::catalog::SqlType::{BigInt, Date, Int, Timestamp, Varchar};

/// The functions of this file.
pub(super) fn functions() -> Vec<ScalarFunction> {
    vec![
        function(
            "CONVERT_TZ",
            "Moves a timestamp by the difference between the clocks of two zones.",
            vec![of(&[Timestamp, Varchar, Varchar], Timestamp, convert_tz)],
        ),
        function("FROM_DAYS", "The date that is so many days after 1970-01-01.", vec![of(&[Int], Date, from_days)]),
        function(
            "FROM_UNIXTIME",
            "The timestamp that is so many milliseconds after 1970.",
            vec![of(&[BigInt], Timestamp, from_unix_time)],
        ),
        function(
            "UNIX_DATE",
            "The days from 1970-01-01 to a date, or to today.",
            vec![of(&[], Int, today), of(&[Date], Int, unix_date)],
        ),
        function(
            "UNIX_TIMESTAMP",
            "The milliseconds from 1970 to a timestamp, or to now.",
            vec![of(&[], BigInt, now), of(&[Timestamp], BigInt, unix_timestamp)],
        ),
    ]
}

fn convert_tz(call: &Call<'_>) -> Result<ArrayRef, String> {
    let moments = read::<TimestampMillisecondArray>(call, 0)?;
    let mut from = zones(call, 1)?;
    let mut to = zones(call, 2)?;
    write_values::<TimestampMillisecondType>(call.rows, |row| {
        let (Some(ms), Some(from), Some(to)) = (moments.get(row), from.get(row)?, to.get(row)?) else {
            return Ok(None);
        };
        let seconds = ms.div_euclid(1000);
        let difference = i64::from(to.offset_at(seconds) - from.offset_at(seconds)) * 1000;
        Ok(Some(ms.saturating_add(difference)))
    })
}

fn from_days(call: &Call<'_>) -> Result<ArrayRef, String> {
    let days: Ints<'_> = read(call, 0)?;
    write_values::<Date32Type>(call.rows, |row| Ok(days.get(row)))
}

fn from_unix_time(call: &Call<'_>) -> Result<ArrayRef, String> {
    let ms: BigInts<'_> = read(call, 0)?;
    write_values::<TimestampMillisecondType>(call.rows, |row| Ok(ms.get(row)))
}

fn unix_date(call: &Call<'_>) -> Result<ArrayRef, String> {
    let dates = read::<Date32Array>(call, 0)?;
    write_values::<Int32Type>(call.rows, |row| Ok(dates.get(row)))
}

fn unix_timestamp(call: &Call<'_>) -> Result<ArrayRef, String> {
    let moments = read::<TimestampMillisecondArray>(call, 0)?;
    write_values::<Int64Type>(call.rows, |row| Ok(moments.get(row)))
}

/// All rows of a batch see one moment.
fn now(call: &Call<'_>) -> Result<ArrayRef, String> {
    let now = SystemClock::default().wall().0;
    write_values::<Int64Type>(call.rows, |_| Ok(Some(now)))
}

fn today(call: &Call<'_>) -> Result<ArrayRef, String> {
    let days = SystemClock::default().wall().0.div_euclid(DAY_MS);
    let days = i32::try_from(days).map_err(|error| error.to_string())?;
    write_values::<Int32Type>(call.rows, |_| Ok(Some(days)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::functions::{
        columns::harness::{big_ints, call, check, ints, null, text},
        signature::Argument,
    };

    #[test]
    fn numbers_and_zones_convert() {
        let family = functions();
        let check = |name: &str, arguments: &[Argument], want: &[&str]| check(&family, name, arguments, want);
        let moments = |ms: &[Option<i64>]| Argument::Column(Arc::new(TimestampMillisecondArray::from(ms.to_vec())));
        let both = || moments(&[Some(100), Some(1_589_234_313_000), None]);
        let moved = ["1970-01-01T03:00:00.100", "2020-05-12T00:58:33", "null"];
        check("CONVERT_TZ", &[both(), text("+0200"), text("+0500")], &moved);
        check("CONVERT_TZ", &[both(), text("America/Los_Angeles"), text("America/New_York")], &moved);
        check("CONVERT_TZ", &[moments(&[Some(0)]), text("UTC"), null(&Varchar)], &["null"]);
        check("FROM_DAYS", &[ints(&[Some(10), Some(-10), None])], &["1970-01-11", "1969-12-22", "null"]);
        check("FROM_UNIXTIME", &[big_ints(&[Some(1), None])], &["1970-01-01T00:00:00.001", "null"]);
        check("UNIX_TIMESTAMP", &[moments(&[Some(7), None])], &["7", "null"]);
        let dates = Argument::Column(Arc::new(Date32Array::from(vec![Some(7), None])));
        check("UNIX_DATE", &[dates], &["7", "null"]);
        let [day, ms] = ["UNIX_DATE", "UNIX_TIMESTAMP"].map(|name| call(&family, name, &[], 2));
        let numbers: Vec<i64> = [day, ms].concat().iter().map(|value| value.parse().unwrap()).collect();
        assert!(numbers[0] > 20_000 && numbers[0] == numbers[1], "{numbers:?}");
        assert!(numbers[2] / DAY_MS >= numbers[0] && numbers[2] == numbers[3], "{numbers:?}");
    }
}
