//! Writing: each item of a pattern gives its text.

use super::{
    Item,
    calendar::Local,
    names,
    offset::{self, OffsetStyle},
};

/// Appends the text of `items`.
///
/// # Errors
/// If something is asked for that is not there, such as the hour of a date, or does not fit.
pub(super) fn items(items: &[Item], local: &Local<'_>, out: &mut String) -> Result<(), String> {
    items.iter().try_for_each(|next| item(next, local, out))
}

fn item(item: &Item, local: &Local<'_>, out: &mut String) -> Result<(), String> {
    let zone = || local.zone.ok_or("the pattern asks for a zone, and the value has none".to_owned());
    match item {
        Item::Literal(text) => out.push_str(text),
        Item::Number(number) => {
            let value = local.get(number.field).ok_or_else(|| missing(local))?;
            number.write(value, out)?;
        }
        Item::Text { field, style } => {
            let value = local.get(*field).ok_or_else(|| missing(local))?;
            match names::name(*field, *style, value) {
                Some(name) => out.push_str(name),
                None => out.push_str(&value.to_string()),
            }
        }
        Item::Offset(style) => style.write(zone()?.1, out),
        Item::LocalizedOffset { full } => offset::write_localized(zone()?.1, *full, out),
        Item::ZoneId => out.push_str(&zone()?.0.id()),
        Item::ZoneName { full } => {
            let (zone, offset) = zone()?;
            let local_seconds = match (local.date, local.ms_of_day) {
                (Some(date), Some(ms)) => date.days * 86_400 + ms / 1000,
                _ => return Err(missing(local)),
            };
            match zone.name_at(local_seconds - i64::from(offset), *full) {
                Some(name) => out.push_str(&name),
                None if offset == 0 => out.push_str("GMT"),
                None => {
                    out.push_str("GMT");
                    OffsetStyle::ID.write(offset, out);
                }
            }
        }
        Item::Padded { width, item: inner } => {
            let start = out.len();
            self::item(inner, local, out)?;
            let length = out[start..].chars().count();
            if length > *width {
                return Err(format!("`{}` is longer than its {width} places", &out[start..]));
            }
            out.insert_str(start, &" ".repeat(width - length));
        }
        Item::Optional(inner) => {
            let start = out.len();
            if items(inner, local, out).is_err() {
                out.truncate(start);
            }
        }
    }
    Ok(())
}

fn missing(local: &Local<'_>) -> String {
    match local.date {
        Some(_) => "the pattern asks for a time, and the value is a date".to_owned(),
        None => "the pattern asks for a date, and the value is a time".to_owned(),
    }
}
