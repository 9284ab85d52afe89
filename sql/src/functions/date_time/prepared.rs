//! Arguments that are dear to prepare, patterns and zones: prepared again only where they change from row to row.

use super::super::{
    columns::{Texts, read},
    java_pattern::{JavaPattern, Zone},
    signature::Call,
};

/// An argument of STRING as what is prepared from it.
pub(super) struct Prepared<'a, T> {
    texts: Texts<'a>,
    prepare: fn(&str) -> Result<T, String>,
    last: Option<(&'a str, T)>,
}

impl<'a, T> Prepared<'a, T> {
    fn new(call: &'a Call<'_>, index: usize, prepare: fn(&str) -> Result<T, String>) -> Result<Self, String> {
        Ok(Self { texts: read(call, index)?, prepare, last: None })
    }

    /// What belongs to a row; nothing if the argument is null there.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub(super) fn get(&mut self, row: usize) -> Result<Option<&T>, String> {
        let Some(text) = self.texts.get(row) else { return Ok(None) };
        if self.last.as_ref().is_none_or(|(of, _)| *of != text) {
            self.last = Some((text, (self.prepare)(text)?));
        }
        Ok(self.last.as_ref().map(|(_, prepared)| prepared))
    }
}

/// The argument `index` as patterns.
pub(super) fn patterns<'a>(call: &'a Call<'_>, index: usize) -> Result<Prepared<'a, JavaPattern>, String> {
    Prepared::new(call, index, JavaPattern::parse)
}

/// The argument `index` as zones.
pub(super) fn zones<'a>(call: &'a Call<'_>, index: usize) -> Result<Prepared<'a, Zone>, String> {
    Prepared::new(call, index, Zone::parse)
}
