//! Moments in columns: milliseconds since the epoch from numbers, dates, timestamps and text.

use std::{fmt, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array},
    compute,
    datatypes::{DataType, Int64Type, TimeUnit},
};

/// A text to milliseconds since the epoch, if it is written so.
type ReadMoment = dyn Fn(&str) -> Option<i64> + Send + Sync;

/// A way to write moments as text, compiled once.
#[derive(Clone)]
pub struct MomentFormat {
    pattern: String,
    read: Arc<ReadMoment>,
}

impl MomentFormat {
    /// A format that is called `pattern` and read by `read`, which gives milliseconds since the epoch.
    pub fn new(pattern: &str, read: impl Fn(&str) -> Option<i64> + Send + Sync + 'static) -> Self {
        Self { pattern: pattern.to_owned(), read: Arc::new(read) }
    }

    /// The moment that a text means, if it is written so.
    pub fn read(&self, text: &str) -> Option<i64> {
        (self.read)(text)
    }
}

impl fmt::Debug for MomentFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MomentFormat").field(&self.pattern).finish()
    }
}

impl fmt::Display for MomentFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pattern)
    }
}

impl PartialEq for MomentFormat {
    fn eq(&self, other: &Self) -> bool {
        self.pattern == other.pattern
    }
}

impl Eq for MomentFormat {}

/// Milliseconds since the epoch from a column; null where there is no moment in it. Text without a format is ISO 8601, UTC unless it says
/// otherwise.
pub fn moments(column: &ArrayRef, format: Option<&MomentFormat>) -> Int64Array {
    let millis = match column.data_type() {
        DataType::Utf8 => {
            let text = column.as_string::<i32>();
            let read = |text: &str| format.map_or_else(|| iso(text), |format| format.read(text));
            return text.iter().map(|text| text.and_then(read)).collect();
        }
        DataType::Int64 => Ok(Arc::clone(column)),
        DataType::Date32 | DataType::Timestamp(..) => {
            compute::cast(column, &DataType::Timestamp(TimeUnit::Millisecond, None))
                .and_then(|column| compute::cast(&column, &DataType::Int64))
        }
        _ => compute::cast(column, &DataType::Int64),
    };
    match millis {
        Ok(millis) => millis.as_primitive::<Int64Type>().clone(),
        Err(_) => Int64Array::new_null(column.len()),
    }
}

fn iso(text: &str) -> Option<i64> {
    use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};
    let naive = |moment: NaiveDateTime| moment.and_utc().timestamp_millis();
    DateTime::parse_from_rfc3339(text)
        .map(|moment| moment.timestamp_millis())
        .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").map(naive))
        .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").map(naive))
        .or_else(|_| NaiveDate::parse_from_str(text, "%Y-%m-%d").map(|date| naive(date.and_time(NaiveTime::MIN))))
        .ok()
}

#[cfg(test)]
mod tests {
    use arrow::array::StringArray;

    use super::*;

    #[test]
    fn texts_are_moments_or_null() {
        let texts = StringArray::from(vec![Some("1970-01-01T00:00:01Z"), Some("1970-01-02"), Some("no"), None]);
        let column: ArrayRef = Arc::new(texts);
        assert_eq!(moments(&column, None).iter().collect::<Vec<_>>(), [Some(1_000), Some(86_400_000), None, None]);
        let length = MomentFormat::new("length", |text| i64::try_from(text.len()).ok());
        assert_eq!(moments(&column, Some(&length)).iter().collect::<Vec<_>>(), [Some(20), Some(10), Some(2), None]);
    }
}
