//! Lengths and positions in text as Java counts them: in UTF-16 units.
//!
//! A character above U+FFFF counts twice. A half of one cannot be written as UTF-8; where a cut leaves one, `?` stands for it, as in
//! Java. Text that is all ASCII, where units are bytes, has a path of its own.

/// How many units.
pub(crate) fn len(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().map(char::len_utf16).sum() }
}

/// Appends the units from `start` up to `end`, both cut to the end of the text.
pub(crate) fn push_range(text: &str, start: usize, end: usize, out: &mut String) {
    if text.is_ascii() {
        let end = end.min(text.len());
        out.push_str(&text[start.min(end)..end]);
        return;
    }
    let mut at = 0;
    for character in text.chars() {
        let next = at + character.len_utf16();
        if at >= start && next <= end {
            out.push(character);
        } else if next > start && at < end {
            out.push('?');
        }
        at = next;
        if at >= end {
            break;
        }
    }
}

/// The first byte at or after unit `position`; the length of the text if it ends before.
pub(crate) fn byte_at(text: &str, position: usize) -> usize {
    if text.is_ascii() {
        return position.min(text.len());
    }
    let mut unit = 0;
    for (byte, character) in text.char_indices() {
        if unit >= position {
            return byte;
        }
        unit += character.len_utf16();
    }
    text.len()
}

/// The unit at which byte `byte` stands.
pub(crate) fn unit_at(text: &str, byte: usize) -> usize {
    len(&text[..byte])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_those_of_java() {
        for (text, want) in [("", 0), ("abc", 3), ("é好", 2), ("a😀b", 4)] {
            assert_eq!(len(text), want, "{text}");
        }
        let range = |text: &str, start, end| {
            let mut out = String::new();
            push_range(text, start, end, &mut out);
            out
        };
        assert_eq!(range("abc", 1, 9), "bc");
        assert_eq!(range("abc", 5, 9), "");
        assert_eq!(range("aéb", 1, 2), "é");
        assert_eq!(range("a😀b", 1, 3), "😀");
        assert_eq!(range("a😀b", 2, 4), "?b");
        assert_eq!(range("a😀b", 0, 2), "a?");
        assert_eq!((byte_at("a😀b", 3), byte_at("a😀b", 4), byte_at("aé", 1), byte_at("ab", 9)), (5, 6, 1, 2));
        assert_eq!((unit_at("a😀b", 5), unit_at("aéb", 3)), (3, 2));
    }
}
