//! Scanning JSON text: one pass, strict, without building anything.
//!
//! A [`Cursor`] walks the text of one record. What the caller wants comes back as a [`Token`], a piece of the text that is
//! known to be one complete, valid value; what the caller does not want is skipped by the same rules, so that a record is
//! accepted or refused whatever columns are read. The rules are those of RFC 8259; nesting is limited to [`MAX_DEPTH`].
//!
//! Strings are searched eight bytes at a time with the bit tricks for "a byte equal to" and "a byte less than" of Hacker's
//! Delight, chapter 6: the lowest bit found is exact, only bits above it may be false.

/// How deep arrays and objects may be nested.
pub(in crate::format) const MAX_DEPTH: usize = 256;

/// Where text stops being JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::format) struct SyntaxError {
    /// The byte, from 0.
    pub(in crate::format) at: usize,
    /// What should have stood there.
    pub(in crate::format) expected: &'static str,
}

impl std::fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "invalid JSON at byte {}: expected {}", self.at, self.expected)
    }
}

/// A complete value in the text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::format) enum Token<'a> {
    /// `null`, or no value at all.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A number.
    Number {
        /// Its text.
        raw: &'a str,
        /// Its value, if it is whole and has at most 18 digits.
        integer: Option<i64>,
    },
    /// A string, without its quotes.
    Text {
        /// The text as it stands.
        raw: &'a str,
        /// Whether it contains escapes.
        escaped: bool,
    },
    /// An array, with its brackets.
    Array(&'a str),
    /// An object, with its braces.
    Object(&'a str),
}

/// What stands where an object's next field may begin.
pub(in crate::format) enum Key<'a> {
    /// The object ends.
    End,
    /// The field that was expected.
    Expected,
    /// Another field.
    Other {
        /// The name as it stands.
        raw: &'a str,
        /// Whether it contains escapes.
        escaped: bool,
    },
}

/// A place in a record's text.
#[derive(Debug)]
pub(in crate::format) struct Cursor<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// At the start of `text`, before the first byte that is no white space.
    pub(in crate::format) fn new(text: &'a str) -> Self {
        let mut cursor = Self { text, bytes: text.as_bytes(), at: 0 };
        cursor.skip_space();
        cursor
    }

    /// The byte at the cursor.
    #[inline]
    pub(in crate::format) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Ends the text: only white space may follow.
    pub(in crate::format) fn finish(&mut self) -> Result<(), SyntaxError> {
        self.skip_space();
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.expected("the end of the record")) }
    }

    /// Steps into the array or object that begins here.
    #[inline]
    pub(in crate::format) fn enter(&mut self) {
        self.at += 1;
    }

    /// Steps to the next field's value. `expected` is the name to try first, as it stands in
    /// the text; `first` says whether this is the object's first field.
    #[inline]
    pub(in crate::format) fn next_field(
        &mut self,
        first: bool,
        expected: Option<&str>,
    ) -> Result<Key<'a>, SyntaxError> {
        self.skip_space();
        match self.peek() {
            Some(b'}') => {
                self.at += 1;
                return Ok(Key::End);
            }
            Some(b',') if !first => {
                self.at += 1;
                self.skip_space();
            }
            _ if first => {}
            _ => return Err(self.expected("`,` or `}`")),
        }
        if self.peek() != Some(b'"') {
            return Err(self.expected("a field name in quotes"));
        }
        let key = match expected.and_then(|expected| self.end_of_name(expected.as_bytes())) {
            Some(end) => {
                self.at = end;
                Key::Expected
            }
            None => {
                let (raw, escaped) = self.string()?;
                Key::Other { raw, escaped }
            }
        };
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.expected("`:`"));
        }
        self.at += 1;
        self.skip_space();
        Ok(key)
    }

    /// Behind the quoted name that begins here, if it is this one.
    #[inline]
    fn end_of_name(&self, name: &[u8]) -> Option<usize> {
        let rest = &self.bytes[self.at + 1..];
        (rest.starts_with(name) && rest.get(name.len()) == Some(&b'"')).then_some(self.at + name.len() + 2)
    }

    /// Steps to the next element; false at the array's end.
    #[inline]
    pub(in crate::format) fn next_element(&mut self, first: bool) -> Result<bool, SyntaxError> {
        self.skip_space();
        match self.peek() {
            Some(b']') if first => {
                self.at += 1;
                Ok(false)
            }
            _ if first => Ok(true),
            Some(b']') => {
                self.at += 1;
                Ok(false)
            }
            Some(b',') => {
                self.at += 1;
                self.skip_space();
                Ok(true)
            }
            _ => Err(self.expected("`,` or `]`")),
        }
    }

    /// The value that begins here; steps behind it.
    #[inline]
    pub(in crate::format) fn value(&mut self) -> Result<Token<'a>, SyntaxError> {
        match self.peek() {
            Some(b'"') => self.string().map(|(raw, escaped)| Token::Text { raw, escaped }),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(open @ (b'{' | b'[')) => {
                let start = self.at;
                self.skip(MAX_DEPTH)?;
                let raw = &self.text[start..self.at];
                Ok(if open == b'{' { Token::Object(raw) } else { Token::Array(raw) })
            }
            Some(b't') => self.literal("true").map(|()| Token::Boolean(true)),
            Some(b'f') => self.literal("false").map(|()| Token::Boolean(false)),
            Some(b'n') => self.literal("null").map(|()| Token::Null),
            _ => Err(self.expected("a value")),
        }
    }

    /// Steps behind the value that begins here.
    #[inline]
    pub(in crate::format) fn skip_value(&mut self) -> Result<(), SyntaxError> {
        match self.peek() {
            Some(b'"') => self.string().map(|_| ()),
            _ => self.skip(MAX_DEPTH),
        }
    }

    /// Steps behind `null`.
    pub(in crate::format) fn null(&mut self) -> Result<(), SyntaxError> {
        self.literal("null")
    }

    fn skip(&mut self, depth: usize) -> Result<(), SyntaxError> {
        let Some(depth) = depth.checked_sub(1) else { return Err(self.expected("less nesting")) };
        match self.peek() {
            Some(b'{') => {
                self.enter();
                let mut first = true;
                while !matches!(self.next_field(first, None)?, Key::End) {
                    self.skip(depth)?;
                    first = false;
                }
                Ok(())
            }
            Some(b'[') => {
                self.enter();
                let mut first = true;
                while self.next_element(first)? {
                    self.skip(depth)?;
                    first = false;
                }
                Ok(())
            }
            _ => self.value().map(|_| ()),
        }
    }

    #[inline]
    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn literal(&mut self, word: &'static str) -> Result<(), SyntaxError> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(self.expected("a value"));
        }
        self.at += word.len();
        Ok(())
    }

    /// The string whose opening quote is here, and whether it has escapes.
    #[inline]
    fn string(&mut self) -> Result<(&'a str, bool), SyntaxError> {
        let start = self.at + 1;
        let mut escaped = false;
        self.at = start;
        loop {
            self.at = find_special(self.bytes, self.at);
            match self.peek() {
                Some(b'"') => {
                    let raw = &self.text[start..self.at];
                    self.at += 1;
                    return Ok((raw, escaped));
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.expected("no control character in a string")),
                None => return Err(self.expected("`\"` at the end of a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), SyntaxError> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let digits = self.bytes.get(self.at + 2..self.at + 6);
                if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    return Err(self.expected("four hexadecimal digits after `\\u`"));
                }
                self.at += 6;
            }
            _ => return Err(self.expected("a known escape")),
        }
        Ok(())
    }

    #[inline]
    fn number(&mut self) -> Result<Token<'a>, SyntaxError> {
        let start = self.at;
        let negative = self.peek() == Some(b'-');
        self.at += usize::from(negative);
        let first = self.at;
        let mut magnitude = 0_i64;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            magnitude = magnitude.wrapping_mul(10).wrapping_add(i64::from(digit - b'0'));
            self.at += 1;
        }
        let digits = self.at - first;
        if digits == 0 || (digits > 1 && self.bytes[first] == b'0') {
            self.at = first;
            return Err(self.expected(if digits == 0 { "a digit" } else { "a number without leading zeros" }));
        }
        // Minus zero is left to the text: it is a number of its own as a DOUBLE.
        let mut integer = (digits <= 18 && !(negative && magnitude == 0)).then_some(if negative {
            magnitude.wrapping_neg()
        } else {
            magnitude
        });
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
            integer = None;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
            integer = None;
        }
        Ok(Token::Number { raw: &self.text[start..self.at], integer })
    }

    fn digits(&mut self) -> Result<(), SyntaxError> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.expected("a digit"));
        }
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        Ok(())
    }

    #[cold]
    fn expected(&self, expected: &'static str) -> SyntaxError {
        SyntaxError { at: self.at, expected }
    }
}

/// The first place from `at` on with a quote, a backslash or a control character, or the end.
#[inline]
pub(in crate::format) fn find_special(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    let equal = |word: u64, byte: u8| {
        let difference = word ^ (ONES * u64::from(byte));
        difference.wrapping_sub(ONES) & !difference
    };
    while let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*word);
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (equal(word, b'"') | equal(word, b'\\') | control) & HIGH;
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|&byte| byte != b'"' && byte != b'\\' && byte >= 0x20) {
        at += 1;
    }
    at
}

/// Appends the text that a string without its quotes stands for. Half a surrogate pair becomes U+FFFD.
///
/// `raw` has been scanned: its escapes are complete.
pub(in crate::format) fn unescape(raw: &str, out: &mut String) {
    let mut rest = raw;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.push_str(plain);
        let mut characters = escape.chars();
        let character = match characters.next() {
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                let (character, used) = unicode_escape(&escape[1..]);
                out.push(character);
                rest = &escape[1 + used..];
                continue;
            }
            Some(other) => other,
            None => break,
        };
        out.push(character);
        rest = characters.as_str();
    }
    out.push_str(rest);
}

/// The character of `XXXX` or `XXXX\uXXXX`, and how many bytes it took.
fn unicode_escape(digits: &str) -> (char, usize) {
    let unit = |at: usize| digits.get(at..at + 4).and_then(|four| u32::from_str_radix(four, 16).ok());
    let first = unit(0).unwrap_or(0xFFFD);
    if (0xD800..0xDC00).contains(&first)
        && digits.get(4..6) == Some("\\u")
        && let Some(second @ 0xDC00..0xE000) = unit(6)
    {
        let character = char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00));
        return (character.unwrap_or(char::REPLACEMENT_CHARACTER), 10);
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 4.min(digits.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<Token<'_>, (usize, &str)>) {
        let mut cursor = Cursor::new(text);
        let found = cursor.value().and_then(|token| cursor.finish().map(|()| token));
        assert_eq!(found.map_err(|error| (error.at, error.expected)), expected, "{text}");
        let mut cursor = Cursor::new(text);
        let skipped = cursor.skip_value().and_then(|()| cursor.finish());
        assert_eq!(skipped.map_err(|error| (error.at, error.expected)).err(), expected.err(), "skipping {text}");
    }

    #[test]
    fn values_and_where_they_go_wrong() {
        check(" null ", Ok(Token::Null));
        check("true", Ok(Token::Boolean(true)));
        check("12", Ok(Token::Number { raw: "12", integer: Some(12) }));
        check("-0", Ok(Token::Number { raw: "-0", integer: None }));
        check("-999999999999999999", {
            Ok(Token::Number { raw: "-999999999999999999", integer: Some(-999_999_999_999_999_999) })
        });
        check("1.5e+3", Ok(Token::Number { raw: "1.5e+3", integer: None }));
        check(r#""a\"b""#, Ok(Token::Text { raw: r#"a\"b"#, escaped: true }));
        check(r#" {"a" : [1 , {}] , "b":""} "#, Ok(Token::Object(r#"{"a" : [1 , {}] , "b":""}"#)));
        check("", Err((0, "a value")));
        check("nul", Err((0, "a value")));
        check("01", Err((0, "a number without leading zeros")));
        check("1.", Err((2, "a digit")));
        check("-", Err((1, "a digit")));
        check("1 2", Err((2, "the end of the record")));
        check("[1,]", Err((3, "a value")));
        check("[1 2]", Err((3, "`,` or `]`")));
        check(r#"{"a":1,}"#, Err((7, "a field name in quotes")));
        check(r#"{"a" 1}"#, Err((5, "`:`")));
        check(r#"{"a":1"#, Err((6, "`,` or `}`")));
        check(r#""0123456789"#, Err((11, "`\"` at the end of a string")));
        check("\"a\nb\"", Err((2, "no control character in a string")));
        check(r#""\x""#, Err((1, "a known escape")));
        check(r#""\u12g4""#, Err((1, "four hexadecimal digits after `\\u`")));
        check(&"[".repeat(300), Err((256, "less nesting")));
    }

    #[test]
    fn escapes_stand_for_characters() {
        let check = |raw: &str, expected: &str| {
            let mut out = String::new();
            unescape(raw, &mut out);
            assert_eq!(out, expected, "{raw}");
        };
        check(r#"a\n\t\r\b\f\/\\\"z"#, "a\n\t\r\u{8}\u{c}/\\\"z");
        check(r"\u00e9\uD83D\ude00!", "é😀!");
        check(r"\ud83dx", "\u{FFFD}x");
        check(r"\ude00\ud83d", "\u{FFFD}\u{FFFD}");
    }

    proptest! {
        /// The scanner accepts what serde_json accepts (numbers too large for it and half surrogates aside).
        #[test]
        fn agrees_with_serde_json(text in r#"[\[\]{},:"\\a1.e\- u0tn]{0,24}"#) {
            let mut cursor = Cursor::new(&text);
            let accepted = cursor.value().and_then(|_| cursor.finish()).is_ok();
            match serde_json::from_str::<serde::de::IgnoredAny>(&text) {
                Ok(_) => prop_assert!(accepted, "{text}"),
                Err(_) => prop_assert!(!accepted, "{text}"),
            }
        }

        #[test]
        fn finds_what_a_byte_loop_finds(bytes: Vec<u8>, at in 0_usize..8) {
            let at = at.min(bytes.len());
            let special = |byte: &u8| *byte == b'"' || *byte == b'\\' || *byte < 0x20;
            let expected = bytes[at..].iter().position(special).map_or(bytes.len(), |found| at + found);
            prop_assert_eq!(find_special(&bytes, at), expected);
        }
    }
}
