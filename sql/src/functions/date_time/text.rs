//! Dates, times and timestamps to text and back, by patterns.

use arrow::{
    array::{
        Array, ArrayAccessor, ArrayRef, Date32Array, Int32Array, Int64Array, Time32MillisecondArray,
        TimestampMillisecondArray,
    },
    datatypes::{
        ArrowPrimitiveType, Date32Type, Int32Type, Int64Type, Time32MillisecondType, TimestampMillisecondType,
    },
};

use super::{
    super::{
        columns::{Texts, read, write_texts, write_values},
        java_pattern::{DAY_MS, JavaPattern, Zone},
        overload::{function, of},
        signature::{Call, ScalarFunction},
    },
    prepared::{patterns, zones},
};
use crate::catalog::SqlType::{BigInt, Date, Int, Time, Timestamp, Varchar};

/// The functions of this file.
pub(super) fn functions() -> Vec<ScalarFunction> {
    let text = || [Varchar, Varchar];
    let zoned = || [Varchar, Varchar, Varchar];
    vec![
        function("FORMAT_DATE", "Writes a date by a pattern.", vec![of(&[Date, Varchar], Varchar, format_date)]),
        function("FORMAT_TIME", "Writes a time by a pattern.", vec![of(&[Time, Varchar], Varchar, format_time)]),
        function(
            "FORMAT_TIMESTAMP",
            "Writes a timestamp by a pattern, as the clocks of a zone show it.",
            vec![
                of(&[Timestamp, Varchar], Varchar, format_moment::<TimestampMillisecondArray>),
                of(&[Timestamp, Varchar, Varchar], Varchar, format_moment::<TimestampMillisecondArray>),
            ],
        ),
        function("PARSE_DATE", "Reads a date by a pattern.", vec![of(&text(), Date, parse_date)]),
        function("PARSE_TIME", "Reads a time by a pattern.", vec![of(&text(), Time, parse_time)]),
        function(
            "PARSE_TIMESTAMP",
            "Reads a timestamp by a pattern; a text without zone is in the given one.",
            vec![
                of(&text(), Timestamp, parse_moment::<TimestampMillisecondType>),
                of(&zoned(), Timestamp, parse_moment::<TimestampMillisecondType>),
            ],
        ),
        function(
            "DATETOSTRING",
            "Writes days since 1970-01-01 by a pattern. The newer form is FORMAT_DATE.",
            vec![of(&[Int, Varchar], Varchar, date_to_string)],
        ),
        function(
            "STRINGTODATE",
            "Reads a date by a pattern, as days since 1970-01-01. The newer form is PARSE_DATE.",
            vec![of(&text(), Int, string_to_date)],
        ),
        function(
            "TIMESTAMPTOSTRING",
            "Writes milliseconds since 1970 by a pattern, as the clocks of a zone show them. The newer form is FORMAT_TIMESTAMP.",
            vec![
                of(&[BigInt, Varchar], Varchar, format_moment::<Int64Array>),
                of(&[BigInt, Varchar, Varchar], Varchar, format_moment::<Int64Array>),
            ],
        ),
        function(
            "STRINGTOTIMESTAMP",
            "Reads a timestamp by a pattern, as milliseconds since 1970. The newer form is PARSE_TIMESTAMP.",
            vec![of(&text(), BigInt, parse_moment::<Int64Type>), of(&zoned(), BigInt, parse_moment::<Int64Type>)],
        ),
    ]
}

/// Writes the values of the first argument by the patterns of the second.
fn write_by<'a, A: Array + 'static>(
    call: &'a Call<'_>,
    write: impl Fn(&JavaPattern, <&'a A as ArrayAccessor>::Item, &mut String) -> Result<(), String>,
) -> Result<ArrayRef, String>
where
    &'a A: ArrayAccessor,
{
    let values = read::<A>(call, 0)?;
    let mut patterns = patterns(call, 1)?;
    write_texts(call.rows, |row, out| {
        let (Some(value), Some(pattern)) = (values.get(row), patterns.get(row)?) else { return Ok(None) };
        write(pattern, value, out).map(Some)
    })
}

fn format_date(call: &Call<'_>) -> Result<ArrayRef, String> {
    write_by::<Date32Array>(call, |pattern, days, out| pattern.format_date(i64::from(days), out))
}

fn date_to_string(call: &Call<'_>) -> Result<ArrayRef, String> {
    write_by::<Int32Array>(call, |pattern, days, out| pattern.format_date(i64::from(days), out))
}

fn format_time(call: &Call<'_>) -> Result<ArrayRef, String> {
    write_by::<Time32MillisecondArray>(call, |pattern, ms, out| pattern.format_time(i64::from(ms), out))
}

fn format_moment<A: Array + 'static>(call: &Call<'_>) -> Result<ArrayRef, String>
where
    for<'a> &'a A: ArrayAccessor<Item = i64>,
{
    let Some(_) = call.arguments.get(2) else {
        return write_by::<A>(call, |pattern, ms, out| pattern.format(ms, &Zone::UTC, out));
    };
    let values = read::<A>(call, 0)?;
    let mut patterns = patterns(call, 1)?;
    let mut zones = zones(call, 2)?;
    write_texts(call.rows, |row, out| {
        let (Some(ms), Some(pattern), Some(zone)) = (values.get(row), patterns.get(row)?, zones.get(row)?) else {
            return Ok(None);
        };
        pattern.format(ms, zone, out).map(Some)
    })
}

/// Reads the texts of the first argument by the patterns of the second.
fn read_by<T: ArrowPrimitiveType>(
    call: &Call<'_>,
    parse: impl Fn(&JavaPattern, &str) -> Result<T::Native, String>,
) -> Result<ArrayRef, String> {
    let texts: Texts<'_> = read(call, 0)?;
    let mut patterns = patterns(call, 1)?;
    write_values::<T>(call.rows, |row| {
        let (Some(text), Some(pattern)) = (texts.get(row), patterns.get(row)?) else { return Ok(None) };
        parse(pattern, text).map(Some)
    })
}

/// Days as DATE and INT hold them.
fn narrow(days: i64) -> Result<i32, String> {
    i32::try_from(days).map_err(|_| format!("{days} days from 1970 are too many for a date"))
}

fn parse_date(call: &Call<'_>) -> Result<ArrayRef, String> {
    read_by::<Date32Type>(call, |pattern, text| {
        let ms = pattern.parse_moment(text, &Zone::UTC)?;
        if ms % DAY_MS != 0 {
            return Err(format!("`{text}` has a time, which a date has not"));
        }
        narrow(ms / DAY_MS)
    })
}

fn string_to_date(call: &Call<'_>) -> Result<ArrayRef, String> {
    read_by::<Int32Type>(call, |pattern, text| narrow(pattern.parse_date(text)?))
}

fn parse_time(call: &Call<'_>) -> Result<ArrayRef, String> {
    read_by::<Time32MillisecondType>(call, |pattern, text| {
        i32::try_from(pattern.parse_time(text)?).map_err(|error| error.to_string())
    })
}

fn parse_moment<T: ArrowPrimitiveType<Native = i64>>(call: &Call<'_>) -> Result<ArrayRef, String> {
    let Some(_) = call.arguments.get(2) else {
        return read_by::<T>(call, |pattern, text| pattern.parse_moment(text, &Zone::UTC));
    };
    let texts: Texts<'_> = read(call, 0)?;
    let mut patterns = patterns(call, 1)?;
    let mut zones = zones(call, 2)?;
    write_values::<T>(call.rows, |row| {
        let (Some(text), Some(pattern), Some(zone)) = (texts.get(row), patterns.get(row)?, zones.get(row)?) else {
            return Ok(None);
        };
        pattern.parse_moment(text, zone).map(Some)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::functions::{
        columns::harness::{big_ints, check, ints, null, text, texts},
        signature::Argument,
    };

    fn timestamps(values: &[Option<i64>]) -> Argument {
        Argument::Column(Arc::new(TimestampMillisecondArray::from(values.to_vec())))
    }

    fn dates(values: &[Option<i32>]) -> Argument {
        Argument::Column(Arc::new(Date32Array::from(values.to_vec())))
    }

    fn times(values: &[Option<i32>]) -> Argument {
        Argument::Column(Arc::new(Time32MillisecondArray::from(values.to_vec())))
    }

    #[test]
    fn values_are_written() {
        let family = functions();
        let check = |name: &str, arguments: &[Argument], want: &[&str]| check(&family, name, arguments, want);
        check("FORMAT_DATE", &[dates(&[Some(18_765), None]), text("yyyy-MM-dd'T'")], &["2021-05-18T", "null"]);
        let wants_time = "error: the pattern asks for a time, and the value is a date";
        check("FORMAT_DATE", &[dates(&[Some(0)]), text("HH:mm")], &[wants_time]);
        check("FORMAT_DATE", &[dates(&[Some(0)]), null(&Varchar)], &["null"]);
        check("FORMAT_TIME", &[times(&[Some(65_000), None]), text("HH:mm:ss.SSS")], &["00:01:05.000", "null"]);
        let wants_date = "error: the pattern asks for a date, and the value is a time";
        check("FORMAT_TIME", &[times(&[Some(0)]), text("yyyy HH")], &[wants_date]);
        let moments = || timestamps(&[Some(1_589_234_313_123), None]);
        let plain = text("yyyy-MM-dd HH:mm:ss.SSS");
        check("FORMAT_TIMESTAMP", &[moments(), plain.clone()], &["2020-05-11 21:58:33.123", "null"]);
        let losangeles = [moments(), plain.clone(), text("America/Los_Angeles")];
        check("FORMAT_TIMESTAMP", &losangeles, &["2020-05-11 14:58:33.123", "null"]);
        let patterns = texts(&[Some("HH"), None]);
        check("FORMAT_TIMESTAMP", &[timestamps(&[Some(0), Some(0)]), patterns, text("+02:00")], &["02", "null"]);
        check(
            "TIMESTAMPTOSTRING",
            &[big_ints(&[Some(0)]), text("yyyy-MM-dd HH:mm:ss Z"), text("UTC")],
            &["1970-01-01 00:00:00 +0000"],
        );
        let nowhere =
            "error: unknown time zone `Nowhere`; it is an id such as `Europe/Paris`, or an offset such as `+02:00`";
        check("TIMESTAMPTOSTRING", &[big_ints(&[Some(0)]), text("yyyy"), text("Nowhere")], &[nowhere]);
        check("DATETOSTRING", &[ints(&[Some(16_383), None]), text("dd/MMM/yyyy")], &["09/Nov/2014", "null"]);
    }

    #[test]
    fn texts_are_read() {
        let family = functions();
        let check = |name: &str, arguments: &[Argument], want: &[&str]| check(&family, name, arguments, want);
        let read = |value: &str, pattern: &str| [texts(&[Some(value)]), text(pattern)];
        check("PARSE_DATE", &[texts(&[Some("2021-12"), None]), text("yyyy-MM")], &["2021-12-01", "null"]);
        check(
            "PARSE_DATE",
            &read("2021-12-01 10", "yyyy-MM-dd HH"),
            &["error: `2021-12-01 10` has a time, which a date has not"],
        );
        check("PARSE_TIME", &read("01:00:00 Pm", "hh:mm:ss a"), &["13:00:00"]);
        check("PARSE_TIME", &read("11/05/19", "HH/mm/ss"), &["11:05:19"]);
        let dated = "error: `2020 11` cannot be read: a time has no year, month or day";
        check("PARSE_TIME", &read("2020 11", "yyyy HH"), &[dated]);
        check("PARSE_TIMESTAMP", &read("2018-05-11T21:58:33", "yyyy-MM-dd'T'HH:mm:ss"), &["2018-05-11T21:58:33"]);
        check("PARSE_TIMESTAMP", &read("2018-05-11 21:58:33 PST", "yyyy-MM-dd HH:mm:ss zzz"), &["2018-05-12T04:58:33"]);
        let zoned = [texts(&[Some("2018-05-11 21:58")]), text("yyyy-MM-dd HH:mm"), text("Europe/Paris")];
        check("PARSE_TIMESTAMP", &zoned, &["2018-05-11T19:58:00"]);
        check("STRINGTOTIMESTAMP", &read("2018-05-11T21:58:33z", "yyyy-MM-dd'T'HH:mm:ssX"), &["1526075913000"]);
        check(
            "STRINGTOTIMESTAMP",
            &read("x", "yyyy"),
            &["error: `x` cannot be read: it leaves the pattern at character 1"],
        );
        check("STRINGTODATE", &read("01-Jan-2022", "dd-MMM-yyyy"), &["18993"]);
        check(
            "STRINGTODATE",
            &read("2022", "yyyy"),
            &["error: `2022` cannot be read: it does not say year, month and day"],
        );
        check(
            "STRINGTODATE",
            &read("2022", "yyyyb"),
            &[
                "error: invalid date or time pattern `yyyyb`: `b` is not a letter of patterns; write text in single quotes",
            ],
        );
        check("STRINGTODATE", &[null(&Varchar), null(&Varchar)], &["null"]);
    }
}
