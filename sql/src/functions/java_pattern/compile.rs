//! From the letters of a pattern to its items.

use super::{
    Field, Item, Style,
    number::{Kind, MAX_DIGITS, Number, Sign},
    offset::OffsetStyle,
};

/// A pattern, or a part between brackets, while it grows.
#[derive(Default)]
struct Part {
    items: Vec<Item>,
    /// The number that gives digits up to the fixed numbers after it.
    open: Option<usize>,
    /// The width of a padding whose item is still to come.
    padding: Option<usize>,
}

impl Part {
    fn push(&mut self, item: Item) {
        let item = match self.padding.take() {
            Some(width) => Item::Padded { width, item: Box::new(item) },
            None => item,
        };
        let Item::Number(number) = item else {
            self.open = None;
            self.items.push(item);
            return;
        };
        // Numbers that touch: fixed ones take their digits from the one before them that is not.
        match self.open.and_then(|index| self.items.get_mut(index)) {
            Some(Item::Number(first)) if number.is_fixed() => first.reserved += number.max,
            _ => self.open = Some(self.items.len()),
        }
        self.items.push(Item::Number(number));
    }

    fn literal(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        if let (None, Some(Item::Literal(last))) = (self.padding, self.items.last_mut()) {
            last.push_str(text);
        } else {
            self.push(Item::Literal(text.to_owned()));
        }
    }
}

/// The items of a pattern.
pub(super) fn compile(pattern: &str) -> Result<Vec<Item>, String> {
    let mut parts = vec![Part::default()];
    let mut rest = pattern;
    while let Some(letter) = rest.chars().next() {
        let part = parts.last_mut().ok_or("no part is open")?;
        match letter {
            'A'..='Z' | 'a'..='z' => {
                let count = rest.chars().take_while(|next| *next == letter).count();
                rest = &rest[count..];
                if letter == 'p' {
                    if !rest.starts_with(|next: char| next.is_ascii_alphabetic()) {
                        return Err("after `p` the letter of what is padded must follow".to_owned());
                    }
                    part.padding = Some(count);
                } else {
                    part.push(item(letter, count)?);
                }
            }
            '\'' => {
                let (text, after) = quoted(&rest[1..])?;
                part.literal(&text);
                rest = after;
            }
            '[' => {
                part.open = None;
                parts.push(Part::default());
                rest = &rest[1..];
            }
            ']' => {
                close(&mut parts)?;
                rest = &rest[1..];
            }
            '{' | '}' | '#' => return Err(format!("`{letter}` is reserved; write it in single quotes")),
            other => {
                part.literal(&rest[..other.len_utf8()]);
                rest = &rest[other.len_utf8()..];
            }
        }
    }
    while parts.len() > 1 {
        close(&mut parts)?;
    }
    Ok(parts.pop().map(|part| part.items).unwrap_or_default())
}

/// Ends the part that a bracket has begun.
fn close(parts: &mut Vec<Part>) -> Result<(), String> {
    let closed = if parts.len() > 1 { parts.pop() } else { None };
    match (closed, parts.last_mut()) {
        (Some(closed), Some(around)) => {
            if !closed.items.is_empty() {
                around.push(Item::Optional(closed.items));
            }
            Ok(())
        }
        _ => Err("`]` without `[` before it".to_owned()),
    }
}

/// The text up to the closing quote, two quotes being one, and what follows. No text at all is a quote.
fn quoted(rest: &str) -> Result<(String, &str), String> {
    let mut text = String::new();
    let mut from = 0;
    loop {
        let quote = rest[from..].find('\'').ok_or("a single quote is not closed")?;
        text.push_str(&rest[from..from + quote]);
        from += quote + 1;
        if !rest[from..].starts_with('\'') {
            break;
        }
        // The first quote of `''''` opens; only a pair inside is a quote.
        text.push('\'');
        from += 1;
    }
    if text.is_empty() { Ok(("'".to_owned(), &rest[from..])) } else { Ok((text, &rest[from..])) }
}

fn item(letter: char, count: usize) -> Result<Item, String> {
    let too_many = || Err(format!("too many letters: `{}`", std::iter::repeat_n(letter, count).collect::<String>()));
    let number = |number: Number| Ok(Item::Number(number));
    let text = |field: Field, style: Style| Ok(Item::Text { field, style });
    match letter {
        'u' | 'y' | 'Y' => {
            let field = match letter {
                'u' => Field::Year,
                'y' => Field::YearOfEra,
                _ => Field::WeekBasedYear,
            };
            match count {
                2 => number(Number { kind: Kind::TwoDigitYear, ..Number::fixed(field, 2) }),
                1 | 3 => number(Number::between(field, count, MAX_DIGITS, Sign::Normal)),
                4..=MAX_DIGITS => number(Number::between(field, count, MAX_DIGITS, Sign::Exceeds)),
                _ => too_many(),
            }
        }
        'M' | 'L' | 'Q' | 'q' => {
            let field = if matches!(letter, 'M' | 'L') { Field::Month } else { Field::Quarter };
            match count {
                1 => number(Number::variable(field)),
                2 => number(Number::fixed(field, 2)),
                3 => text(field, Style::Short),
                4 => text(field, Style::Full),
                5 => text(field, Style::Narrow),
                _ => too_many(),
            }
        }
        'E' | 'e' | 'c' => match count {
            1 if letter != 'E' => number(Number::variable(Field::LocalDayOfWeek)),
            2 if letter == 'e' => number(Number::fixed(Field::LocalDayOfWeek, 2)),
            2 if letter == 'c' => Err("`cc` has no meaning".to_owned()),
            1..=3 => text(Field::DayOfWeek, Style::Short),
            4 => text(Field::DayOfWeek, Style::Full),
            5 => text(Field::DayOfWeek, Style::Narrow),
            _ => too_many(),
        },
        'G' => match count {
            1..=3 => text(Field::Era, Style::Short),
            4 => text(Field::Era, Style::Full),
            5 => text(Field::Era, Style::Narrow),
            _ => too_many(),
        },
        'a' if count == 1 => text(Field::AmPm, Style::Short),
        'D' => match count {
            1 => number(Number::variable(Field::DayOfYear)),
            2 => number(Number::between(Field::DayOfYear, 2, 3, Sign::Never)),
            3 => number(Number::fixed(Field::DayOfYear, 3)),
            _ => too_many(),
        },
        'd' | 'h' | 'H' | 'k' | 'K' | 'm' | 's' | 'w' => {
            let field = match letter {
                'd' => Field::DayOfMonth,
                'h' => Field::ClockHourOfAmPm,
                'H' => Field::HourOfDay,
                'k' => Field::ClockHourOfDay,
                'K' => Field::HourOfAmPm,
                'm' => Field::Minute,
                's' => Field::Second,
                _ => Field::WeekOfYear,
            };
            match count {
                1 => number(Number::variable(field)),
                2 => number(Number::fixed(field, 2)),
                _ => too_many(),
            }
        }
        'W' if count == 1 => number(Number::variable(Field::WeekOfMonth)),
        'S' if count <= 9 => number(Number { kind: Kind::Fraction, ..Number::fixed(Field::Nano, count) }),
        'n' | 'A' | 'N' if count <= MAX_DIGITS => {
            let field = match letter {
                'n' => Field::Nano,
                'A' => Field::MilliOfDay,
                _ => Field::NanoOfDay,
            };
            number(Number::between(field, count, MAX_DIGITS, Sign::Never))
        }
        'X' | 'x' | 'Z' => match (letter, count) {
            ('Z', 4) => Ok(Item::LocalizedOffset { full: true }),
            _ => OffsetStyle::new(letter, count).map(Item::Offset).map_or_else(too_many, Ok),
        },
        'O' => match count {
            1 | 4 => Ok(Item::LocalizedOffset { full: count == 4 }),
            _ => Err("`O` is written once or four times".to_owned()),
        },
        'V' if count == 2 => Ok(Item::ZoneId),
        'V' => Err("the id of a zone is `VV`".to_owned()),
        'z' if count <= 4 => Ok(Item::ZoneName { full: count == 4 }),
        'a' | 'W' | 'S' | 'n' | 'A' | 'N' | 'z' => too_many(),
        'B' | 'F' | 'g' | 'v' => Err(format!("the letter `{letter}` is not there yet")),
        other => Err(format!("`{other}` is not a letter of patterns; write text in single quotes")),
    }
}
