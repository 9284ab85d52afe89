//! Patterns of Java's regular expressions, rewritten for `fancy-regex`.
//!
//! What is rewritten, because it means something else there: `\d`, `\w`, `\s` are ASCII; `.` and `$` know all of Java's line ends, and
//! `$` also matches before a last one; `\Q..\E`, octal and control escapes, `\h`, `\v`, `\R`, `\Z`; the POSIX and `java` classes;
//! a backslash before any other sign is that sign. What the engine has not (blocks such as `\p{InGreek}`, `\X`) is an error there.
//! Ignoring case also covers letters outside ASCII. Which flags hold (`(?s)`, `(?m)`, `(?x)`, `(?d)`, `(?U)`) is tracked by group.

use std::iter::Peekable;
use std::str::Chars;

/// What the end of a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndOfText {
    /// The end, and also before a last line end.
    BeforeLineEnd,
    /// Only the end: the same, and faster, for texts that have no line end there.
    Only,
}

/// The pattern in the syntax of `fancy-regex`.
///
/// # Errors
/// Why it is not valid, if that shows here; the engine finds the rest.
pub(super) fn translate(pattern: &str, end_of_text: EndOfText) -> Result<String, String> {
    let mut translator = Translator {
        end_of_text,
        pattern: pattern.chars().peekable(),
        out: String::with_capacity(pattern.len() + 16),
        flags: Flags::default(),
        outer: Vec::new(),
    };
    while let Some(next) = translator.pattern.next() {
        translator.outside_class(next)?;
    }
    Ok(translator.out)
}

const LINE_ENDS: &str = r"\n\r\x{85}\x{2028}\x{2029}";
const HORIZONTAL: &str = r"\t \x{A0}\x{1680}\x{180E}\x{2000}-\x{200A}\x{202F}\x{205F}\x{3000}";
const VERTICAL: &str = r"\n\x0B\f\r\x{85}\x{2028}\x{2029}";
const SPACE: &str = r"\t\n\x0B\f\r ";
const WORD: &str = "a-zA-Z0-9_";

/// The flags that the rewriting depends on.
#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    /// `s`: `.` matches line ends.
    dot_all: bool,
    /// `m`: `^` and `$` match at lines.
    multi_line: bool,
    /// `x`: white space and comments are left out.
    comments: bool,
    /// `d`: only `\n` ends a line.
    unix_lines: bool,
    /// `U`: classes are Unicode's.
    unicode: bool,
}

struct Translator<'a> {
    pattern: Peekable<Chars<'a>>,
    out: String,
    end_of_text: EndOfText,
    flags: Flags,
    /// Of the groups that are open, outermost first.
    outer: Vec<Flags>,
}

impl Translator<'_> {
    fn outside_class(&mut self, next: char) -> Result<(), String> {
        match next {
            '\\' => self.escape(Place::Outside)?,
            '[' => self.class()?,
            '(' => self.open_group()?,
            ')' => {
                self.flags = self.outer.pop().unwrap_or(self.flags);
                self.out.push(')');
            }
            '.' if self.flags.dot_all => self.out.push_str("(?s:.)"),
            '.' if self.flags.unix_lines => self.out.push_str(r"[^\n]"),
            '.' => self.push_class(true, LINE_ENDS),
            '^' if self.flags.multi_line => self.out.push_str("(?m:^)"),
            '$' if self.flags.multi_line => self.out.push_str("(?m:$)"),
            '$' => self.end_of_text(),
            '#' if self.flags.comments => while self.pattern.next().is_some_and(|skipped| skipped != '\n') {},
            _ if self.flags.comments && next.is_ascii_whitespace() => {}
            _ => self.out.push(next),
        }
        Ok(())
    }

    /// The end, or before the last line end.
    fn end_of_text(&mut self) {
        let lookahead = if self.end_of_text == EndOfText::Only {
            r"\z"
        } else if self.flags.unix_lines {
            r"(?=\n?\z)"
        } else {
            r"(?:(?=(?:\r\n|[\n\r\x{85}\x{2028}\x{2029}])?\z)(?<!\r(?=\n\z)))"
        };
        self.out.push_str(lookahead);
    }

    fn push_class(&mut self, negated: bool, members: &str) {
        self.out.push_str(if negated { "[^" } else { "[" });
        self.out.push_str(members);
        self.out.push(']');
    }

    /// What follows `(`: flags are taken over, other prefixes copied.
    fn open_group(&mut self) -> Result<(), String> {
        let outer = self.flags;
        self.out.push('(');
        if self.pattern.next_if_eq(&'?').is_none() {
            self.outer.push(outer);
            return Ok(());
        }
        if !self.pattern.peek().is_some_and(|next| next.is_ascii_alphabetic() || *next == '-') {
            // `:`, `=`, `!`, `>`, `<name>`, `<=`, `<!`.
            self.outer.push(outer);
            self.out.push('?');
            if self.pattern.next_if_eq(&'<').is_some() {
                self.out.push('<');
            } else if let Some(kind) = self.pattern.next() {
                self.out.push(kind);
            }
            return Ok(());
        }
        let mut on = true;
        let mut ignore_case = None;
        loop {
            match self.pattern.next() {
                Some('-') => on = false,
                Some('s') => self.flags.dot_all = on,
                Some('m') => self.flags.multi_line = on,
                Some('x') => self.flags.comments = on,
                Some('d') => self.flags.unix_lines = on,
                Some('U') => self.flags.unicode = on,
                Some('i') => ignore_case = Some(on),
                // Case is ignored outside ASCII anyway.
                Some('u') => {}
                Some(end @ (')' | ':')) => {
                    let flag = match ignore_case {
                        None => "",
                        Some(true) => "i",
                        Some(false) => "-i",
                    };
                    match (end, flag) {
                        (':', _) => {
                            self.outer.push(outer);
                            self.out.push('?');
                            self.out.push_str(flag);
                            self.out.push(':');
                        }
                        // Flags alone hold up to the end of the group around them.
                        (_, "") => {
                            self.out.pop();
                        }
                        _ => {
                            self.out.push('?');
                            self.out.push_str(flag);
                            self.out.push(')');
                        }
                    }
                    return Ok(());
                }
                Some(other) => return Err(format!("no flag `{other}`")),
                None => return Err("a group is not closed".to_owned()),
            }
        }
    }

    /// What follows `[`, up to its `]`.
    fn class(&mut self) -> Result<(), String> {
        self.out.push('[');
        if self.pattern.next_if_eq(&'^').is_some() {
            self.out.push('^');
        }
        let mut is_first = true;
        loop {
            let Some(next) = self.pattern.next() else { return Err("a `[` is not closed".to_owned()) };
            match next {
                ']' if !is_first => {
                    self.out.push(']');
                    return Ok(());
                }
                '[' => self.class()?,
                '\\' => self.escape(Place::Inside)?,
                '&' if self.pattern.next_if_eq(&'&').is_some() => self.out.push_str("&&"),
                '-' if self.out.ends_with('-') && !self.out.ends_with(r"\-") => self.out.push_str(r"\-"),
                ']' | '&' | '~' | '#' => {
                    self.out.push('\\');
                    self.out.push(next);
                }
                _ if self.flags.comments && next.is_ascii_whitespace() => continue,
                _ => self.out.push(next),
            }
            is_first = false;
        }
    }

    /// What follows a backslash.
    fn escape(&mut self, place: Place) -> Result<(), String> {
        let Some(next) = self.pattern.next() else { return Err("nothing follows the last `\\`".to_owned()) };
        match next {
            'Q' => self.quoted(),
            'E' => {}
            'd' if !self.flags.unicode => self.members(place, false, "0-9"),
            'D' if !self.flags.unicode => self.members(place, true, "0-9"),
            'w' if !self.flags.unicode => self.members(place, false, WORD),
            'W' if !self.flags.unicode => self.members(place, true, WORD),
            's' if !self.flags.unicode => self.members(place, false, SPACE),
            'S' if !self.flags.unicode => self.members(place, true, SPACE),
            'h' => self.members(place, false, HORIZONTAL),
            'H' => self.members(place, true, HORIZONTAL),
            'v' => self.members(place, false, VERTICAL),
            'V' => self.members(place, true, VERTICAL),
            'R' if place == Place::Outside => self.out.push_str(r"(?:\r\n|[\n\x0B\f\r\x{85}\x{2028}\x{2029}])"),
            'Z' if place == Place::Outside => self.end_of_text(),
            'p' | 'P' => self.property(place, next == 'P')?,
            '0' => {
                let code = self.digits(8, 3);
                self.push_code(code)?;
            }
            'c' => {
                let control = self.pattern.next().ok_or("nothing follows `\\c`")?;
                self.push_code(Some(u32::from(control) ^ 64))?;
            }
            'x' if self.pattern.peek() != Some(&'{') => {
                let code = self.digits(16, 2);
                self.push_code(code)?;
            }
            'u' => self.unicode_escape()?,
            'e' => self.out.push_str(r"\x1B"),
            _ if next.is_ascii_alphanumeric() => {
                self.out.push('\\');
                self.out.push(next);
            }
            _ => self.push_literal(next),
        }
        Ok(())
    }

    fn members(&mut self, place: Place, negated: bool, members: &str) {
        match (place, negated) {
            (Place::Inside, false) => self.out.push_str(members),
            _ => self.push_class(negated, members),
        }
    }

    fn quoted(&mut self) {
        while let Some(next) = self.pattern.next() {
            if next == '\\' && self.pattern.next_if_eq(&'E').is_some() {
                break;
            }
            self.push_literal(next);
        }
    }

    fn push_literal(&mut self, literal: char) {
        if literal.is_ascii_punctuation() && literal != '<' && literal != '>' && literal != '_' {
            self.out.push('\\');
        }
        self.out.push(literal);
    }

    /// Up to `most` digits as a number.
    fn digits(&mut self, radix: u32, most: usize) -> Option<u32> {
        let mut code = None;
        for _ in 0..most {
            let Some(digit) = self.pattern.peek().and_then(|next| next.to_digit(radix)) else { break };
            self.pattern.next();
            code = Some(code.unwrap_or(0) * radix + digit);
        }
        code
    }

    fn push_code(&mut self, code: Option<u32>) -> Result<(), String> {
        let character = code.and_then(char::from_u32).ok_or("an escape names no character")?;
        self.out.push_str(&format!(r"\x{{{:X}}}", u32::from(character)));
        Ok(())
    }

    /// `\uXXXX`, of which two may be a pair of surrogates.
    fn unicode_escape(&mut self) -> Result<(), String> {
        let first = self.digits(16, 4);
        if !matches!(first, Some(0xD800..=0xDBFF)) {
            return self.push_code(first);
        }
        let mut ahead = self.pattern.clone();
        let low = if ahead.next() == Some('\\') && ahead.next() == Some('u') {
            self.pattern = ahead;
            self.digits(16, 4)
        } else {
            None
        };
        let units = [first, low].map(|unit| unit.and_then(|unit| u16::try_from(unit).ok()).unwrap_or(0));
        let character = char::decode_utf16(units).next().and_then(Result::ok);
        self.push_code(character.map(u32::from))
    }

    /// `\pL`, `\p{Lu}`, `\p{Alpha}`, `\p{IsLatin}`, `\p{javaUpperCase}`.
    fn property(&mut self, place: Place, negated: bool) -> Result<(), String> {
        let mut name = String::new();
        match self.pattern.next().ok_or("nothing follows `\\p`")? {
            '{' => loop {
                match self.pattern.next().ok_or("a `\\p{` is not closed")? {
                    '}' => break,
                    next => name.push(next),
                }
            },
            next => name.push(next),
        }
        let posix = match name.as_str() {
            "Lower" | "Upper" | "ASCII" | "Alpha" | "Digit" | "Alnum" | "Punct" | "Graph" | "Print" | "Blank"
            | "Cntrl" | "XDigit" | "Space" => Some(name.to_ascii_lowercase()),
            _ => None,
        };
        if let Some(posix) = posix {
            let not = if negated { "^" } else { "" };
            let class = format!("[:{not}{posix}:]");
            match place {
                Place::Inside => self.out.push_str(&class),
                Place::Outside => self.push_class(false, &class),
            }
            return Ok(());
        }
        let name = match name.as_str() {
            "javaLowerCase" => "Lowercase",
            "javaUpperCase" => "Uppercase",
            "javaAlphabetic" => "Alphabetic",
            "javaWhitespace" => "White_Space",
            "javaDigit" => "Nd",
            "javaLetter" => "L",
            other => other.strip_prefix("Is").unwrap_or(other),
        };
        self.out.push_str(if negated { r"\P{" } else { r"\p{" });
        self.out.push_str(name);
        self.out.push('}');
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Outside,
    Inside,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_the_same_stays() {
        for pattern in [
            "a(b|c)*?[d-f]{2,3}",
            r"(?<n>x)\k<n>(?=y)(?!z)(?<=a)(?<!b)(?>c)(?:d)",
            "(?i:a)^b",
            r"	
\B\A\z",
        ] {
            assert_eq!(translate(pattern, EndOfText::Only).as_deref(), Ok(pattern));
        }
        for (pattern, want) in [(r"\d[\w.]", "[0-9][a-zA-Z0-9_.]"), (r"\/\<", r"\/<"), ("(?s).(?-s)", "(?s:.)")] {
            assert_eq!(translate(pattern, EndOfText::Only).as_deref(), Ok(want));
        }
    }
}
