//! English names of months, days, eras, quarters and halves of the day.

use super::{Field, Style};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const QUARTERS: [&str; 4] = ["1st quarter", "2nd quarter", "3rd quarter", "4th quarter"];
const SHORT_QUARTERS: [&str; 4] = ["Q1", "Q2", "Q3", "Q4"];
const NARROW_QUARTERS: [&str; 4] = ["1", "2", "3", "4"];
const HALVES: [&str; 2] = ["AM", "PM"];
const ERAS: [&str; 2] = ["Before Christ", "Anno Domini"];
const SHORT_ERAS: [&str; 2] = ["BC", "AD"];

/// The names of a field and the value of the first one; none if it has no names.
fn table(field: Field, style: Style) -> Option<(&'static [&'static str], i64)> {
    Some(match (field, style) {
        (Field::Month, _) => (&MONTHS, 1),
        (Field::DayOfWeek, _) => (&DAYS, 1),
        (Field::Quarter, Style::Full) => (&QUARTERS, 1),
        (Field::Quarter, Style::Short) => (&SHORT_QUARTERS, 1),
        (Field::Quarter, Style::Narrow) => (&NARROW_QUARTERS, 1),
        (Field::AmPm, _) => (&HALVES, 0),
        (Field::Era, Style::Full) => (&ERAS, 0),
        (Field::Era, _) => (&SHORT_ERAS, 0),
        _ => return None,
    })
}

/// How many letters of a name a style shows.
fn shown(field: Field, style: Style) -> usize {
    match (field, style) {
        (Field::Month | Field::DayOfWeek, Style::Short) => 3,
        (Field::Month | Field::DayOfWeek | Field::Era, Style::Narrow) => 1,
        _ => usize::MAX,
    }
}

/// The name of a value.
pub(super) fn name(field: Field, style: Style, value: i64) -> Option<&'static str> {
    let (names, first) = table(field, style)?;
    let name = *names.get(usize::try_from(value - first).ok()?)?;
    Some(&name[..name.len().min(shown(field, style))])
}

/// The value whose name stands at the beginning of `text`, and how long the name is: the longest, whatever its case; of equal names the
/// last (`J` is July), as in Java.
pub(super) fn read(field: Field, style: Style, text: &str) -> Option<(i64, usize)> {
    let (names, first) = table(field, style)?;
    let starts = |name: &str| text.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name));
    (first..)
        .zip(names)
        .map(|(value, name)| (value, &name[..name.len().min(shown(field, style))]))
        .filter(|(_, name)| starts(name))
        .max_by_key(|(_, name)| name.len())
        .map(|(value, name)| (value, name.len()))
}
