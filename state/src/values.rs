//! The answer to a batched read: one optional value per key, all in one buffer.
//!
//! No allocation per value; a caller that builds columns copies each slice once.

const ABSENT: u32 = u32::MAX;

/// One optional value per key asked for, in the order of the keys.
#[derive(Debug, Clone, Default)]
pub struct Values {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    start: usize,
    length: u32,
}

impl Values {
    pub(crate) fn push(&mut self, value: Option<&[u8]>) {
        let span = self.append(value);
        self.spans.push(span);
    }

    /// Fills the place of a key whose value was not known when it was pushed.
    pub(crate) fn set(&mut self, index: usize, value: Option<&[u8]>) {
        self.spans[index] = self.append(value);
    }

    fn append(&mut self, value: Option<&[u8]>) -> Span {
        let start = self.bytes.len();
        let Some(value) = value else { return Span { start, length: ABSENT } };
        self.bytes.extend_from_slice(value);
        Span { start, length: u32::try_from(value.len()).expect("stores refuse values above 1 GiB") }
    }

    /// The value of the key at `index`; `None` if the store has none, or if no key has that index.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let span = self.spans.get(index)?;
        (span.length != ABSENT).then(|| &self.bytes[span.start..span.start + span.length as usize])
    }

    /// How many keys were asked for.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// True if no key was asked for.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The values in the order of the keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<&[u8]>> {
        (0..self.len()).map(|index| self.get(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_filled_later_keep_the_order_of_the_keys() {
        let mut values = Values::default();
        values.push(Some(b"one"));
        values.push(None);
        values.push(Some(b""));
        values.set(1, Some(b"two"));
        assert_eq!(values.iter().collect::<Vec<_>>(), [Some(&b"one"[..]), Some(b"two"), Some(b"")]);
        assert_eq!(values.get(3), None);
    }
}
