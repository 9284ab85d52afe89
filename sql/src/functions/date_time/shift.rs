//! Adding intervals to dates, times and timestamps, and taking them away.
//!
//! The unit arrives as its length in milliseconds. A time goes round the clock; a date takes whole days only, what is over is cut
//! off towards 1970.

use arrow::{
    array::{ArrayRef, Date32Array, Time32MillisecondArray, TimestampMillisecondArray},
    datatypes::{Date32Type, Time32MillisecondType, TimestampMillisecondType},
};

use super::super::{
    columns::{BigInts, Ints, read, write_values},
    java_pattern::DAY_MS,
    overload::{function, overload},
    signature::{Call, Evaluate, Parameter, Returns, ScalarFunction},
};
use crate::catalog::SqlType;

/// The functions of this file.
pub(super) fn functions() -> Vec<ScalarFunction> {
    let shift = |name, description, of: SqlType, evaluate: Evaluate| {
        let parameters = [Parameter::Unit, Parameter::Type(SqlType::Int), Parameter::Type(of.clone())];
        function(name, description, vec![overload(&parameters, Returns::Type(of), evaluate)])
    };
    vec![
        shift("DATEADD", "Adds an interval to a date.", SqlType::Date, date::<1>),
        shift("DATESUB", "Takes an interval from a date.", SqlType::Date, date::<-1>),
        shift("TIMEADD", "Adds an interval to a time; after midnight it begins anew.", SqlType::Time, time::<1>),
        shift("TIMESUB", "Takes an interval from a time; before midnight it ends anew.", SqlType::Time, time::<-1>),
        shift("TIMESTAMPADD", "Adds an interval to a timestamp.", SqlType::Timestamp, timestamp::<1>),
        shift("TIMESTAMPSUB", "Takes an interval from a timestamp.", SqlType::Timestamp, timestamp::<-1>),
    ]
}

/// The intervals in milliseconds, a row at a time; `SIGN` says whether they are added or taken away.
fn intervals<'a, const SIGN: i64>(
    call: &'a Call<'_>,
) -> Result<impl Fn(usize) -> Result<Option<i64>, String> + use<'a, SIGN>, String> {
    let units: BigInts<'_> = read(call, 0)?;
    let counts: Ints<'_> = read(call, 1)?;
    Ok(move |row: usize| {
        let (Some(unit), Some(count)) = (units.get(row), counts.get(row)) else { return Ok(None) };
        unit.checked_mul(i64::from(count) * SIGN).map(Some).ok_or_else(|| too_far(count))
    })
}

fn too_far(count: impl std::fmt::Display) -> String {
    format!("an interval of {count} leads out of the range of its type")
}

fn date<const SIGN: i64>(call: &Call<'_>) -> Result<ArrayRef, String> {
    let interval = intervals::<SIGN>(call)?;
    let dates = read::<Date32Array>(call, 2)?;
    write_values::<Date32Type>(call.rows, |row| {
        let (Some(interval), Some(days)) = (interval(row)?, dates.get(row)) else { return Ok(None) };
        let moved = (i64::from(days) * DAY_MS).checked_add(interval).map(|ms| ms / DAY_MS);
        moved.and_then(|days| i32::try_from(days).ok()).map(Some).ok_or_else(|| too_far(interval))
    })
}

fn time<const SIGN: i64>(call: &Call<'_>) -> Result<ArrayRef, String> {
    let interval = intervals::<SIGN>(call)?;
    let times = read::<Time32MillisecondArray>(call, 2)?;
    write_values::<Time32MillisecondType>(call.rows, |row| {
        let (Some(interval), Some(ms)) = (interval(row)?, times.get(row)) else { return Ok(None) };
        let moved = (i64::from(ms) + interval % DAY_MS).rem_euclid(DAY_MS);
        i32::try_from(moved).map(Some).map_err(|_| too_far(interval))
    })
}

fn timestamp<const SIGN: i64>(call: &Call<'_>) -> Result<ArrayRef, String> {
    let interval = intervals::<SIGN>(call)?;
    let timestamps = read::<TimestampMillisecondArray>(call, 2)?;
    write_values::<TimestampMillisecondType>(call.rows, |row| {
        let (Some(interval), Some(ms)) = (interval(row)?, timestamps.get(row)) else { return Ok(None) };
        ms.checked_add(interval).map(Some).ok_or_else(|| too_far(interval))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array, Int64Array};

    use super::*;
    use crate::functions::{
        columns::harness::{check, int, ints},
        signature::Argument,
    };

    #[test]
    fn intervals_are_added_and_taken_away() {
        let family = functions();
        let check = |name: &str, unit_ms: i64, count: Argument, of: Arc<dyn Array>, want: &[&str]| {
            let unit = Argument::Constant(Arc::new(Int64Array::from(vec![unit_ms])));
            check(&family, name, &[unit, count, Argument::Column(of)], want);
        };
        let dates = |days: &[Option<i32>]| Arc::new(Date32Array::from(days.to_vec()));
        check("DATEADD", DAY_MS, int(2), dates(&[Some(5), None]), &["1970-01-08", "null"]);
        check("DATEADD", 1, ints(&[Some(5), None]), dates(&[Some(5), Some(5)]), &["1970-01-06", "null"]);
        check("DATEADD", 3_600_000, int(-30), dates(&[Some(5)]), &["1970-01-04"]);
        check("DATESUB", DAY_MS, int(10), dates(&[Some(5)]), &["1969-12-27"]);
        check(
            "DATEADD",
            DAY_MS,
            int(i32::MAX),
            dates(&[Some(5)]),
            &["error: an interval of 185542587100800000 leads out of the range of its type"],
        );
        let times = |ms: &[Option<i32>]| Arc::new(Time32MillisecondArray::from(ms.to_vec()));
        check(
            "TIMEADD",
            1,
            int(10),
            times(&[Some(10), Some(86_399_995), None]),
            &["00:00:00.020", "00:00:00.005", "null"],
        );
        check("TIMEADD", 1, int(-5), times(&[Some(2)]), &["23:59:59.997"]);
        check("TIMESUB", 86_400_000, int(400), times(&[Some(2)]), &["00:00:00.002"]);
        let moments = |ms: &[Option<i64>]| Arc::new(TimestampMillisecondArray::from(ms.to_vec()));
        check("TIMESTAMPADD", 60_000, int(5), moments(&[Some(0), None]), &["1970-01-01T00:05:00", "null"]);
        check(
            "TIMESTAMPSUB",
            60_000,
            ints(&[Some(-5), None]),
            moments(&[Some(0), Some(0)]),
            &["1970-01-01T00:05:00", "null"],
        );
        check(
            "TIMESTAMPSUB",
            1,
            int(1),
            moments(&[Some(i64::MIN)]),
            &["error: an interval of -1 leads out of the range of its type"],
        );
    }
}
