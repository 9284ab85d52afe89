//! The clock of a time zone, as a table of its changes from 1970 to 2100, from the zone database that is built in.
//!
//! The database is asked once a day of that time; where the answer changes, the moment is found by halving. Clocks that are changed and changed
//! back within a day would be missed; there are none. After 2100 the clock stays as it is then.

use std::sync::Arc;

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};
use millstream::window::LocalTime;

use super::PlanError;
use crate::syntax::{ast::Spanned, suggest::nearest};

const DAY: i64 = 86_400;
const LAST: i64 = 130 * 365 * DAY + 33 * DAY;

/// The clock of a zone of this name, such as `Europe/Berlin`.
///
/// # Errors
/// If there is no such zone.
pub(super) fn local_time(name: &Spanned<String>) -> Result<Arc<LocalTime>, PlanError> {
    let Ok(zone) = name.node.parse::<Tz>() else {
        let problem = format!("there is no time zone `{}`", name.node);
        let hint = match nearest(&name.node, TZ_VARIANTS.iter().map(|zone| zone.name())) {
            Some(zone) => format!("did you mean {zone}"),
            None => "name a region and a city, as in Europe/Berlin; for windows a fixed time from UTC give OFFSET"
                .to_owned(),
        };
        return Err(PlanError::invalid_hint(name.span.start, problem, hint));
    };
    let mut changes = Vec::new();
    let mut offset = offset_s(zone, 0);
    let first = offset;
    for day in (DAY..LAST).step_by(DAY as usize) {
        let now = offset_s(zone, day);
        if now != offset {
            let (mut before, mut after) = (day - DAY, day);
            while after - before > 1 {
                let middle = before + (after - before) / 2;
                if offset_s(zone, middle) == offset { before = middle } else { after = middle }
            }
            changes.push((after * 1_000, now * 1_000));
            offset = now;
        }
    }
    let clock = LocalTime::new(zone.name(), first * 1_000, &changes);
    clock.map(Arc::new).map_err(|error| PlanError::invalid(name.span.start, error.to_string()))
}

/// What the clock shows more than UTC, in seconds, so many seconds after the epoch.
fn offset_s(zone: Tz, second: i64) -> i64 {
    let moment = DateTime::from_timestamp(second, 0).unwrap_or_default();
    i64::from(zone.offset_from_utc_datetime(&moment.naive_utc()).fix().local_minus_utc())
}

#[cfg(test)]
mod tests {
    use millstream::record::Timestamp;

    use super::*;
    use crate::syntax::{Position, Span};

    fn named(name: &str) -> Result<Arc<LocalTime>, PlanError> {
        let start = Position { line: 1, column: 1 };
        local_time(&Spanned { node: name.to_owned(), span: Span { start, end: start } })
    }

    #[test]
    fn clocks_show_local_time() {
        let check = |zone: &str, moment: &str| {
            let clock = named(zone).expect("a zone");
            let moment = moment.parse::<DateTime<chrono::Utc>>().expect("a moment").timestamp_millis();
            let reading = clock.reading(Timestamp(moment));
            DateTime::from_timestamp_millis(reading).expect("in range").format("%F %T").to_string()
        };
        assert_eq!(check("Europe/Berlin", "2024-03-31T00:59:59Z"), "2024-03-31 01:59:59");
        assert_eq!(check("Europe/Berlin", "2024-03-31T01:00:00Z"), "2024-03-31 03:00:00");
        assert_eq!(check("Europe/Berlin", "2024-10-27T01:30:00Z"), "2024-10-27 02:59:59", "set back: it waits");
        assert_eq!(check("Europe/Berlin", "2024-10-27T02:00:00Z"), "2024-10-27 03:00:00");
        assert_eq!(check("Asia/Kolkata", "2024-01-01T00:00:00Z"), "2024-01-01 05:30:00");
        assert_eq!(check("America/New_York", "1970-01-01T00:00:00Z"), "1969-12-31 19:00:00");
        assert_eq!(check("Pacific/Apia", "2011-12-30T10:00:00Z"), "2011-12-31 00:00:00", "a day that was skipped");
        assert_eq!(check("UTC", "2099-06-01T00:00:00Z"), "2099-06-01 00:00:00");
        assert!(named("Europe/Belrin").is_err_and(|error| error.to_string().contains("Europe/Berlin")));
    }
}
