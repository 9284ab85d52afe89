//! Reading: the items of a pattern walk along the text and collect fields.

use super::{Field, Item, Zone, names, offset};

/// Where the text does not follow the pattern, or says two things about one field.
#[derive(Debug)]
pub(super) struct Failure {
    at: usize,
}

impl Failure {
    /// At this byte.
    pub(super) fn at(at: usize) -> Self {
        Self { at }
    }
}

/// What a text has said.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields {
    values: [Option<i64>; Field::COUNT],
    /// Seconds from UTC.
    pub(super) offset: Option<i32>,
    /// A zone by id or name.
    pub(super) zone: Option<Zone>,
}

impl Fields {
    /// What was read for a field.
    pub(super) fn get(&self, field: Field) -> Option<i64> {
        self.values[field as usize]
    }

    /// Whether anything was read of a date (`time`: of a time).
    pub(super) fn any(&self, time: bool) -> bool {
        let split = Field::AmPm as usize;
        let part = if time { &self.values[split..] } else { &self.values[..split] };
        part.iter().any(Option::is_some)
    }

    /// Keeps what was read at `at`; the same field twice must be the same value.
    pub(super) fn set(&mut self, field: Field, value: i64, at: usize) -> Result<(), Failure> {
        match self.values[field as usize].replace(value) {
            Some(before) if before != value => Err(Failure::at(at)),
            _ => Ok(()),
        }
    }
}

/// A place in a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scan<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
}

impl<'a> Scan<'a> {
    /// What is left.
    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Passes `word`, in any case, if it comes next.
    pub(super) fn eat(&mut self, word: &str) -> bool {
        let found = self.rest().get(..word.len()).is_some_and(|head| {
            head.eq_ignore_ascii_case(word) || (!word.is_ascii() && head.to_lowercase() == word.to_lowercase())
        });
        if found {
            self.at += word.len();
        }
        found
    }

    /// Passes one digit.
    pub(super) fn digit(&mut self) -> Option<i32> {
        let digit = self.rest().bytes().next().filter(u8::is_ascii_digit)?;
        self.at += 1;
        Some(i32::from(digit - b'0'))
    }

    /// Passes two digits, or nothing.
    pub(super) fn two_digits(&mut self) -> Option<i32> {
        let before = self.at;
        let number = self.digit().and_then(|tens| Some(tens * 10 + self.digit()?));
        if number.is_none() {
            self.at = before;
        }
        number
    }
}

/// The fields of a text, all of which must follow the pattern.
///
/// # Errors
/// Where it does not.
pub(super) fn fields(pattern: &[Item], text: &str) -> Result<Fields, String> {
    let mut fields = Fields::default();
    let mut scan = Scan { text, at: 0 };
    let place = |failure: Failure| format!("it leaves the pattern at character {}", characters(text, failure.at) + 1);
    items(pattern, &mut scan, &mut fields).map_err(place)?;
    if scan.at < text.len() {
        return Err(format!("the pattern ends before character {}", characters(text, scan.at) + 1));
    }
    Ok(fields)
}

fn characters(text: &str, bytes: usize) -> usize {
    text.char_indices().take_while(|(index, _)| *index < bytes).count()
}

fn items(items: &[Item], scan: &mut Scan<'_>, fields: &mut Fields) -> Result<(), Failure> {
    items.iter().try_for_each(|next| item(next, scan, fields))
}

fn item(item: &Item, scan: &mut Scan<'_>, fields: &mut Fields) -> Result<(), Failure> {
    let start = scan.at;
    match item {
        Item::Literal(text) => {
            if !scan.eat(text) {
                return Err(Failure::at(start));
            }
        }
        Item::Number(number) => scan.at = number.read(scan.text, start, fields)?,
        Item::Text { field, style } => match names::read(*field, *style, scan.rest()) {
            Some((value, length)) => {
                fields.set(*field, value, start)?;
                scan.at += length;
            }
            None => return Err(Failure::at(start)),
        },
        Item::Offset(style) => set_offset(fields, style.read(scan)?, start)?,
        Item::LocalizedOffset { full } => set_offset(fields, offset::read_localized(scan, *full)?, start)?,
        Item::ZoneId | Item::ZoneName { .. } => {
            let names = matches!(item, Item::ZoneName { .. });
            let (zone, length) = Zone::read(scan.rest(), names).ok_or(Failure::at(start))?;
            scan.at += length;
            fields.zone = Some(zone);
        }
        Item::Padded { width, item: inner } => {
            let padded: String = scan.rest().chars().take(*width).collect();
            if padded.chars().count() < *width {
                return Err(Failure::at(start));
            }
            let end = start + padded.len();
            let mut part = Scan { text: &scan.text[..end], at: end - padded.trim_start_matches(' ').len() };
            self::item(inner, &mut part, fields)?;
            if part.at != end {
                return Err(Failure::at(part.at));
            }
            scan.at = end;
        }
        Item::Optional(inner) => {
            let before = fields.clone();
            if items(inner, scan, fields).is_err() {
                *fields = before;
                scan.at = start;
            }
        }
    }
    Ok(())
}

fn set_offset(fields: &mut Fields, offset: i32, at: usize) -> Result<(), Failure> {
    match fields.offset.replace(offset) {
        Some(before) if before != offset => Err(Failure::at(at)),
        _ => Ok(()),
    }
}
