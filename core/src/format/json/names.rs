//! Which column a field of a JSON object fills.
//!
//! A name matches a column exactly, or else without regard to case. Most records of a topic have their fields in the same
//! order, so [`FieldNames`] remembers the order of the last record and lets the scanner compare one expected name with the
//! text, instead of looking names up. Names that were looked up once are remembered, up to a limit, so that neither order
//! nor unknown fields cost an allocation a record.

use std::borrow::Cow;

use hashbrown::HashMap;

use super::scan::{Cursor, Key, SyntaxError, Token, unescape};

/// How many names are remembered.
const MAX_LEARNED: usize = 1024;

/// Where a field goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Target {
    column: usize,
    exact: bool,
}

/// A name as it stood in a record.
#[derive(Debug)]
struct Learned {
    raw: Box<str>,
    target: Option<Target>,
}

/// What a record holds for a column.
#[derive(Debug, Clone, Copy)]
pub(in crate::format) struct Slot<'a> {
    /// The value.
    pub(in crate::format) token: Token<'a>,
    exact: bool,
}

impl Slot<'_> {
    /// Nothing yet.
    pub(in crate::format) const EMPTY: Self = Slot { token: Token::Null, exact: false };
}

impl<'a> Slot<'a> {
    /// This value.
    pub(in crate::format) fn of(token: Token<'a>) -> Self {
        Self { token, exact: true }
    }
}

/// The names of an object's columns.
#[derive(Debug)]
pub(in crate::format) struct FieldNames {
    exact: HashMap<String, usize>,
    folded: HashMap<String, usize>,
    wanted: Vec<bool>,
    learned: Vec<Learned>,
    by_raw: HashMap<Box<str>, usize>,
    order: Vec<usize>,
}

impl FieldNames {
    /// Names of which those that are `wanted` are read.
    pub(in crate::format) fn new<'n>(names: impl Iterator<Item = &'n str>, wanted: Vec<bool>) -> Self {
        let mut exact = HashMap::new();
        let mut folded = HashMap::new();
        for (column, name) in names.enumerate() {
            exact.entry(name.to_owned()).or_insert(column);
            let upper = name.to_uppercase();
            // Of columns that differ only in case, the one in upper case takes what no name matches exactly.
            if upper == name {
                folded.insert(upper, column);
            } else {
                folded.entry(upper).or_insert(column);
            }
        }
        Self { exact, folded, wanted, learned: Vec::new(), by_raw: HashMap::new(), order: Vec::new() }
    }

    /// Reads the object at the cursor into one slot a column, and steps behind it.
    ///
    /// Of fields with one name the last one counts; a name that matches exactly beats one that does not.
    pub(in crate::format) fn read<'a>(
        &mut self,
        cursor: &mut Cursor<'a>,
        slots: &mut [Slot<'a>],
    ) -> Result<(), SyntaxError> {
        slots.fill(Slot::EMPTY);
        cursor.enter();
        for position in 0.. {
            let guess = self.order.get(position).and_then(|&index| self.learned.get(index));
            let target = match cursor.next_field(position == 0, guess.map(|learned| &*learned.raw))? {
                Key::End => break,
                Key::Expected => guess.and_then(|learned| learned.target),
                Key::Other { raw, escaped } => self.look_up(position, raw, escaped),
            };
            match target {
                Some(Target { column, exact }) => {
                    let token = cursor.value()?;
                    let slot = &mut slots[column];
                    if exact || !slot.exact {
                        *slot = Slot { token, exact };
                    }
                }
                None => cursor.skip_value()?,
            }
        }
        Ok(())
    }

    #[cold]
    fn look_up(&mut self, position: usize, raw: &str, escaped: bool) -> Option<Target> {
        if let Some(&index) = self.by_raw.get(raw) {
            self.remember(position, index);
            return self.learned[index].target;
        }
        let name = if escaped {
            let mut name = String::with_capacity(raw.len());
            unescape(raw, &mut name);
            Cow::Owned(name)
        } else {
            Cow::Borrowed(raw)
        };
        let target = match self.exact.get(name.as_ref()) {
            Some(&column) => Some(Target { column, exact: true }),
            None => self.folded.get(&name.to_uppercase()).map(|&column| Target { column, exact: false }),
        };
        let target = target.filter(|target| self.wanted[target.column]);
        if self.learned.len() < MAX_LEARNED {
            let index = self.learned.len();
            self.learned.push(Learned { raw: raw.into(), target });
            self.by_raw.insert(raw.into(), index);
            self.remember(position, index);
        }
        target
    }

    fn remember(&mut self, position: usize, index: usize) {
        if let Some(place) = self.order.get_mut(position) {
            *place = index;
        } else if position == self.order.len() && position < MAX_LEARNED {
            self.order.push(index);
        }
    }
}
