//! JSON in a text: a value, its parts, and the text that Jackson writes for it.
//!
//! [`Json::parse`] checks a whole value once; parts are found by scanning again, without building anything. As with Jackson, what
//! follows the value is not looked at (but after a number there must be a space), of equal keys the last value counts, at the place of
//! the first, and fractions keep their digits. Half a surrogate pair, which UTF-8 cannot hold, is read as `?`.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::super::java_number::push_big_decimal;

/// How deep arrays and objects may be nested, as in Jackson.
const MAX_DEPTH: usize = 1000;

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `null`
    Null,
    /// `true`, `false`
    Boolean,
    /// A number without fraction and exponent.
    Integer,
    /// Any other number.
    Fraction,
    /// A text.
    Text,
    /// An array.
    Array,
    /// An object.
    Object,
}

/// A valid JSON value as it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Json<'a> {
    text: &'a str,
    kind: Kind,
}

impl<'a> Json<'a> {
    /// The value with which a text begins; none if the text is blank.
    ///
    /// # Errors
    /// It begins with no value.
    pub(crate) fn parse(text: &'a str) -> Result<Option<Self>, String> {
        let mut scanner = Scanner { text, at: 0 };
        scanner.skip_space();
        if scanner.peek().is_none() {
            return Ok(None);
        }
        let value = scanner.value(0);
        let value = value.filter(|value| {
            !matches!(value.kind, Kind::Integer | Kind::Fraction) || scanner.peek().is_none_or(is_space)
        });
        value.map(Some).ok_or_else(|| format!("invalid JSON at byte {} of `{text}`", scanner.at))
    }

    /// What it is.
    pub(crate) fn kind(self) -> Kind {
        self.kind
    }

    /// It as it is written.
    pub(crate) fn raw(self) -> &'a str {
        self.text
    }

    /// The items of an array; none of anything else.
    pub(crate) fn items(self) -> impl Iterator<Item = Json<'a>> {
        let mut scanner = self.inside(Kind::Array);
        std::iter::from_fn(move || {
            scanner.next_part()?;
            scanner.value(0)
        })
    }

    /// Keys, as they are written, and values of an object; none of anything else. A key may be there more than once.
    fn members(self) -> impl Iterator<Item = (Json<'a>, Json<'a>)> {
        let mut scanner = self.inside(Kind::Object);
        std::iter::from_fn(move || {
            scanner.next_part()?;
            let key = scanner.value(0)?;
            scanner.skip_space();
            scanner.at += 1;
            scanner.skip_space();
            Some((key, scanner.value(0)?))
        })
    }

    fn inside(self, kind: Kind) -> Scanner<'a> {
        Scanner { text: self.text, at: if self.kind == kind { 1 } else { self.text.len() } }
    }

    /// The members of an object, each key once.
    pub(crate) fn entries(self) -> Vec<(Cow<'a, str>, Json<'a>)> {
        let mut entries: Vec<(Cow<'a, str>, Json<'a>)> = Vec::new();
        for (key, value) in self.members() {
            let key = key.unescaped();
            match entries.iter_mut().find(|(known, _)| *known == key) {
                Some(known) => known.1 = value,
                None => entries.push((key, value)),
            }
        }
        entries
    }

    /// The value of a key of an object.
    pub(crate) fn get(self, name: &str) -> Option<Json<'a>> {
        self.members().filter(|(key, _)| key.unescaped() == name).last().map(|(_, value)| value)
    }

    /// A text without quotes and escapes; anything else as it is written.
    pub(crate) fn unescaped(self) -> Cow<'a, str> {
        if self.kind != Kind::Text {
            return Cow::Borrowed(self.text);
        }
        let inner = &self.text[1..self.text.len() - 1];
        if inner.contains('\\') { Cow::Owned(unescape(inner)) } else { Cow::Borrowed(inner) }
    }

    /// Appends it as Jackson writes it: without spaces, with as few escapes as possible.
    pub(crate) fn push(self, out: &mut String) {
        match self.kind {
            Kind::Null | Kind::Boolean => out.push_str(self.text),
            Kind::Integer => out.push_str(if self.text == "-0" { "0" } else { self.text }),
            Kind::Fraction => push_big_decimal(self.text, out),
            Kind::Text => push_text(&self.unescaped(), out),
            Kind::Array => {
                out.push('[');
                for (index, item) in self.items().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.push(out);
                }
                out.push(']');
            }
            Kind::Object => {
                out.push('{');
                for (index, (key, value)) in self.entries().into_iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    push_text(&key, out);
                    out.push(':');
                    value.push(out);
                }
                out.push('}');
            }
        }
    }
}

/// Appends a text in quotes, escaped.
pub(crate) fn push_text(text: &str, out: &mut String) {
    out.push('"');
    let mut kept = 0;
    for (at, byte) in text.bytes().enumerate() {
        let short = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0C => "\\f",
            0..0x20 => "",
            _ => continue,
        };
        out.push_str(&text[kept..at]);
        kept = at + 1;
        if short.is_empty() {
            // Writing to a text cannot fail.
            let _ = write!(out, "\\u{byte:04X}");
        } else {
            out.push_str(short);
        }
    }
    out.push_str(&text[kept..]);
    out.push('"');
}

fn unescape(inner: &str) -> String {
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = rest.as_bytes().get(at + 1).copied().unwrap_or(b'\\');
        rest = rest.get(at + 2..).unwrap_or_default();
        match escape {
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{C}'),
            b'n' => out.push('\n'),
            b'r' => out.push('\r'),
            b't' => out.push('\t'),
            b'u' => {
                let first = take_unit(&mut rest);
                let character = match first {
                    0xD800..=0xDBFF => {
                        let mut after = rest.strip_prefix("\\u").unwrap_or_default();
                        let pair = [first, take_unit(&mut after)];
                        let pair = char::decode_utf16(pair).next().and_then(Result::ok);
                        if pair.is_some() {
                            rest = after;
                        }
                        pair
                    }
                    _ => char::from_u32(u32::from(first)),
                };
                out.push(character.unwrap_or('?'));
            }
            other => out.push(char::from(other)),
        }
    }
    out.push_str(rest);
    out
}

/// The four digits of an escape, taken from the rest; 0 if they are not there.
fn take_unit(rest: &mut &str) -> u16 {
    let (digits, after) = rest.split_at_checked(4).unwrap_or(("", rest));
    *rest = after;
    u16::from_str_radix(digits, 16).unwrap_or(0)
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Reads values from left to right. After a failure it stands where the value is wrong.
#[derive(Debug, Clone, Copy)]
struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.at += 1;
        }
    }

    fn take(&mut self, wanted: u8) -> Option<()> {
        (self.peek()? == wanted).then(|| self.at += 1)
    }

    fn skip_digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    /// To the next item or member of an array or object that has been checked; none at its end.
    fn next_part(&mut self) -> Option<()> {
        while matches!(self.peek()?, b',' | b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        (!matches!(self.peek()?, b']' | b'}')).then_some(())
    }

    /// The value that begins here; none if there is no valid one.
    fn value(&mut self, depth: usize) -> Option<Json<'a>> {
        let start = self.at;
        let kind = match self.peek()? {
            b'n' => self.word("null", Kind::Null)?,
            b't' => self.word("true", Kind::Boolean)?,
            b'f' => self.word("false", Kind::Boolean)?,
            b'"' => self.quoted()?,
            b'-' | b'0'..=b'9' => self.number()?,
            b'[' => self.array(depth)?,
            b'{' => self.object(depth)?,
            _ => return None,
        };
        Some(Json { text: &self.text[start..self.at], kind })
    }

    fn word(&mut self, word: &str, kind: Kind) -> Option<Kind> {
        let rest = self.text[self.at..].strip_prefix(word)?;
        let is_longer = rest.starts_with(|next: char| next.is_alphanumeric() || next == '_' || next == '$');
        self.at += word.len();
        (!is_longer).then_some(kind)
    }

    fn quoted(&mut self) -> Option<Kind> {
        self.at += 1;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(Kind::Text);
                }
                b'\\' => {
                    self.at += 1;
                    match self.peek()? {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
                        b'u' => {
                            self.at += 1;
                            for _ in 0..4 {
                                self.peek().filter(u8::is_ascii_hexdigit)?;
                                self.at += 1;
                            }
                        }
                        _ => return None,
                    }
                }
                0..0x20 => return None,
                _ => self.at += 1,
            }
        }
    }

    fn number(&mut self) -> Option<Kind> {
        let _ = self.take(b'-');
        if self.take(b'0').is_some() {
            if self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
                return None;
            }
        } else {
            self.skip_digits()?;
        }
        let mut kind = Kind::Integer;
        if self.take(b'.').is_some() {
            self.skip_digits()?;
            kind = Kind::Fraction;
        }
        if self.take(b'e').or_else(|| self.take(b'E')).is_some() {
            let _ = self.take(b'+').or_else(|| self.take(b'-'));
            self.skip_digits()?;
            kind = Kind::Fraction;
        }
        Some(kind)
    }

    fn array(&mut self, depth: usize) -> Option<Kind> {
        self.parts(b']', depth, |scanner| scanner.value(depth + 1).map(|_| ())).map(|()| Kind::Array)
    }

    fn object(&mut self, depth: usize) -> Option<Kind> {
        let member = |scanner: &mut Self| {
            (scanner.peek()? == b'"').then_some(())?;
            scanner.quoted()?;
            scanner.skip_space();
            scanner.take(b':')?;
            scanner.skip_space();
            scanner.value(depth + 1).map(|_| ())
        };
        self.parts(b'}', depth, member).map(|()| Kind::Object)
    }

    /// Parts with commas between them, up to `end`.
    fn parts(&mut self, end: u8, depth: usize, mut part: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        (depth < MAX_DEPTH).then_some(())?;
        self.at += 1;
        self.skip_space();
        if self.take(end).is_some() {
            return Some(());
        }
        loop {
            part(self)?;
            self.skip_space();
            if self.take(end).is_some() {
                return Some(());
            }
            self.take(b',')?;
            self.skip_space();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        match Json::parse(text) {
            Ok(Some(json)) => {
                let mut out = String::new();
                json.push(&mut out);
                out
            }
            Ok(None) => "blank".to_owned(),
            Err(error) => error,
        }
    }

    #[test]
    fn values_as_jackson_writes_them() {
        for (text, want) in [
            ("", "blank"),
            (" \n", "blank"),
            (" null ", "null"),
            ("true", "true"),
            ("-0", "0"),
            ("12345678901234567890123", "12345678901234567890123"),
            ("1.50", "1.50"),
            ("1E5 x", "1E+5"),
            ("[ 1 , [ ] ,{ } ]", "[1,[],{}]"),
            (r#"{"a" : 1, "b":[2] , "a":{"c":null}}}"#, r#"{"a":{"c":null},"b":[2]}"#),
            (r#""\u00e9\/\"\\\b\f\n\r\t\u001f\u007f""#, "\"é/\\\"\\\\\\b\\f\\n\\r\\t\\u001F\u{7f}\""),
            (r#""\ud83d\ude00\ud83d!\ude00""#, "\"😀?!?\""),
            (r#"{"\u0061":1,"a":2}"#, r#"{"a":2}"#),
        ] {
            assert_eq!(written(text), want, "{text}");
        }
    }

    #[test]
    fn invalid_values_say_where() {
        for (text, at) in [
            ("abc", 0),
            ("nul", 0),
            ("nulls", 4),
            ("01", 1),
            ("1a", 1),
            ("1,2", 1),
            ("-", 1),
            ("1.", 2),
            ("1e", 2),
            ("[1", 2),
            ("[1,]", 3),
            ("[1 2]", 3),
            ("{a:1}", 1),
            (r#"{"a"}"#, 4),
            ("\"a", 2),
            (r#""\x""#, 2),
            (r#""\u12g4""#, 5),
            ("\"\t\"", 1),
        ] {
            assert_eq!(written(text), format!("invalid JSON at byte {at} of `{text}`"));
        }
        let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(Json::parse(&deep(1000)).is_ok());
        assert!(Json::parse(&deep(1001)).is_err());
    }

    #[test]
    fn parts_are_found() {
        let parse = |text: &'static str| Json::parse(text).unwrap().unwrap();
        let json = parse(r#"{"a": [1, "x\ny", {}], "b": null}"#);
        let items: Vec<_> = json.get("a").unwrap().items().map(|item| (item.kind(), item.unescaped())).collect();
        assert_eq!(items, [(Kind::Integer, "1".into()), (Kind::Text, "x\ny".into()), (Kind::Object, "{}".into())]);
        assert_eq!(json.get("b").map(Json::kind), Some(Kind::Null));
        assert!(json.get("c").is_none() && parse("[1]").get("a").is_none() && parse("{}").items().next().is_none());
        assert_eq!(json.entries().len(), 2);
        assert_eq!(json.get("b").unwrap().raw(), "null");
    }
}
