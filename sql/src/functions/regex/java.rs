//! Regular expressions in Java's syntax, run by `fancy-regex`.
//!
//! The pattern is rewritten ([`syntax`](super::syntax)) where the two mean different things. Matches are searched from left to right as
//! `java.util.regex.Matcher` does: after an empty match the search goes on one character later, after any other one where it ended,
//! so that an empty match may follow it there. Compiled patterns are kept by thread, as batches of one row must not compile anew.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use fancy_regex::{Captures, Regex};

use super::syntax::{self, EndOfText};

/// How many compiled patterns a thread keeps.
const MAX_CACHED: usize = 128;

/// What ends a line.
const LINE_ENDS: [char; 5] = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];

thread_local! {
    static CACHE: RefCell<HashMap<String, Rc<JavaRegex>>> = RefCell::new(HashMap::new());
}

/// A compiled pattern.
#[derive(Debug)]
pub(crate) struct JavaRegex {
    regex: Regex,
    /// For texts with a line end at their end, if that matters.
    before_line_end: Option<Regex>,
}

impl JavaRegex {
    /// The pattern, compiled once a thread while it stays in use.
    ///
    /// # Errors
    /// It is not a valid pattern.
    pub(crate) fn cached(pattern: &str) -> Result<Rc<Self>, String> {
        CACHE.with_borrow_mut(|cache| {
            if let Some(known) = cache.get(pattern) {
                return Ok(Rc::clone(known));
            }
            let compiled = Rc::new(Self::new(pattern)?);
            if cache.len() >= MAX_CACHED {
                cache.clear();
            }
            cache.insert(pattern.to_owned(), Rc::clone(&compiled));
            Ok(compiled)
        })
    }

    fn new(pattern: &str) -> Result<Self, String> {
        let invalid = |reason: String| format!("invalid regular expression `{pattern}`: {reason}");
        let plain = syntax::translate(pattern, EndOfText::Only).map_err(invalid)?;
        let exact = syntax::translate(pattern, EndOfText::BeforeLineEnd).map_err(invalid)?;
        let compile = |pattern: &str| Regex::new(pattern).map_err(|error| invalid(error.to_string()));
        let before_line_end = if exact == plain { None } else { Some(compile(&exact)?) };
        Ok(Self { regex: compile(&plain)?, before_line_end })
    }

    /// How many groups there are, the whole match not counted.
    pub(crate) fn group_count(&self) -> usize {
        self.regex.captures_len() - 1
    }

    /// The number of a named group.
    pub(crate) fn group_number(&self, name: &str) -> Option<usize> {
        self.regex.capture_names().position(|known| known == Some(name))
    }

    /// The first match that begins at byte `from` or later.
    ///
    /// # Errors
    /// The search took too many steps.
    pub(crate) fn find_from<'t>(&self, text: &'t str, from: usize) -> Result<Option<Captures<'t>>, String> {
        let regex = match &self.before_line_end {
            Some(before_line_end) if text.ends_with(LINE_ENDS) => before_line_end,
            _ => &self.regex,
        };
        regex.captures_from_pos(text, from).map_err(|error| error.to_string())
    }

    /// All matches, as Java's matcher finds them.
    pub(crate) fn find_all<'t>(
        &self,
        text: &'t str,
        mut each: impl FnMut(&Captures<'t>) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut from = Some(0);
        while let Some(start) = from {
            let Some(found) = self.find_from(text, start)? else { break };
            from = Some(next_start(text, &found)).filter(|next| *next <= text.len());
            each(&found)?;
        }
        Ok(())
    }
}

/// The bytes of a whole match.
pub(crate) fn span(found: &Captures<'_>) -> (usize, usize) {
    found.get(0).map_or((0, 0), |whole| (whole.start(), whole.end()))
}

fn next_start(text: &str, found: &Captures<'_>) -> usize {
    let (start, end) = span(found);
    if end > start { end } else { end + text[end..].chars().next().map_or(1, char::len_utf8) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pattern: &str, text: &str) -> Result<Vec<String>, String> {
        let regex = JavaRegex::cached(pattern)?;
        let mut found = Vec::new();
        regex.find_all(text, |captures| {
            let (start, end) = span(captures);
            found.push(text[start..end].to_owned());
            Ok(())
        })?;
        Ok(found)
    }

    fn check(pattern: &str, text: &str, want: &[&str]) {
        assert_eq!(all(pattern, text).as_deref(), Ok(want.map_to_strings().as_slice()), "{pattern} in {text:?}");
    }

    trait MapToStrings {
        fn map_to_strings(&self) -> Vec<String>;
    }

    impl MapToStrings for [&str] {
        fn map_to_strings(&self) -> Vec<String> {
            self.iter().map(|text| (*text).to_owned()).collect()
        }
    }

    #[test]
    fn empty_matches_follow_others() {
        check("a*", "baaac", &["", "aaa", "", ""]);
        check(".*", "ab", &["ab", ""]);
        check("", "é", &["", ""]);
    }

    #[test]
    fn classes_are_ascii() {
        check(r"\d+", "1٣", &["1"]);
        check(r"[\d٣]+", "1٣", &["1٣"]);
        check(r"\w+", "aé_1", &["a", "_1"]);
        check(r"(?U)\w+", "aé", &["aé"]);
        check(r"\s", "a\u{a0} ", &[" "]);
        check(r"[^\s]+", "a b", &["a", "b"]);
        check(r"[\W]+", "a-é", &["-é"]);
        check(r"\h", "a\u{a0}", &["\u{a0}"]);
        check(r"\p{Alpha}+|\p{Punct}", "éa!", &["a", "!"]);
        check(r"[\p{Alpha}\P{ASCII}]+", "éa!", &["éa"]);
        check(r"\p{IsLatin}\p{javaUpperCase}\pL", "éÀb", &["éÀb"]);
        check("[a-z&&[^aeiou]]+", "abcd", &["bcd"]);
        check("[]a]+[#~&-]", "a]-", &["a]-"]);
        check("[+--]+", "+,-.", &["+,-"]);
    }

    #[test]
    fn ends_of_lines_and_texts() {
        check("a.", "a\u{85}a\ra\u{b}", &["a\u{b}"]);
        check("(?s)a.", "a\na\r", &["a\n", "a\r"]);
        check("(?s:a.)|b.", "a\nb\n", &["a\n"]);
        check("a$", "a\n", &["a"]);
        check("a$", "a\n\n", &[]);
        check("(?m)^a$", "a\na", &["a", "a"]);
        check(r"a\Z", "a\r\n", &["a"]);
        check(r"a\z", "a\n", &[]);
        check(r"a\Rb", "a\r\nb", &["a\r\nb"]);
        check("(?d)a.", "a\r", &["a\r"]);
    }

    #[test]
    fn escapes_and_flags() {
        check(r"\Qa.b\E+", "a.bb axb", &["a.bb"]);
        check(r"\/\<\-\_\é", "/<-_é", &["/<-_é"]);
        check(r"\x41\u0042\x{43}\0104", "ABCD", &["ABCD"]);
        check(r"\ud83d\ude00", "a😀", &["😀"]);
        check(r"\cI\t\e", "\t\t\u{1b}", &["\t\t\u{1b}"]);
        check("(?i)aB(?-i)c", "Abc ABC", &["Abc"]);
        check("(?ix) a # comment\n b", "AB", &["AB"]);
        check(r"(?<n>.)\k<n>", "aab", &["aa"]);
        check(r"(?<=a)b(?!c)(\w)\1", "abdd", &["bdd"]);
        check("a++b|a?+", "aab", &["aab", ""]);
    }

    #[test]
    fn invalid_patterns_say_so() {
        for (pattern, reason) in [
            ("(", "invalid regular expression `(`: "),
            ("[a", "invalid regular expression `[a`: a `[` is not closed"),
            ("\\", "invalid regular expression `\\`: nothing follows the last `\\`"),
            ("(?q)", "invalid regular expression `(?q)`: no flag `q`"),
            (r"\p{InGreek}", r"invalid regular expression `\p{InGreek}`: "),
        ] {
            let error = all(pattern, "").unwrap_err();
            assert!(error.starts_with(reason), "{error}");
        }
    }
}
