//! Mutations of statements: tokens dropped, doubled, swapped, taken from other statements; characters and bytes changed.

use crate::random::Random;

/// Tokens that are thrown in: words at odd places, numbers at their bounds, signs of the language, and what is none of it.
const ODD: [&str; 58] = [
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "<",
    ">",
    ",",
    ";",
    ".",
    "..",
    "*",
    "->",
    "->*",
    "=>",
    ":=",
    "=",
    "<>",
    "!=",
    "||",
    "::",
    ":",
    "?",
    "''",
    "``",
    "\"\"",
    "'",
    "`",
    "--",
    "/*",
    "*/",
    "${name}",
    "0",
    "-1",
    "9223372036854775808",
    "1e400",
    "1.",
    ".5",
    "0x1F",
    "99999999999999999999999999999999999999999",
    "NULL",
    "TRUE",
    "NOT",
    "CASE",
    "END",
    "AS",
    "BETWEEN",
    "LIKE",
    "INTERVAL",
    "EXISTS",
    "CAST(",
    "ROWTIME",
    "ROWKEY",
    "WINDOWSTART",
    "DISTINCT",
    "LATERAL",
    "\u{1F600}",
];

/// Characters of one to four bytes, and those that are nothing to look at.
const CHARACTERS: [char; 14] = [
    'ä',
    'ß',
    '\u{1F600}',
    '\u{0}',
    '\u{7f}',
    '\u{a0}',
    '\u{200b}',
    '\u{feff}',
    '\u{fffd}',
    '\r',
    '\n',
    '\t',
    'İ',
    '\u{10ffff}',
];

/// Words, numbers, quoted texts and signs.
pub(super) fn tokens(text: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut quote: Option<char> = None;
    for character in text.chars() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let joins = match (quote, tokens.last()) {
            (Some(_), Some(_)) => true,
            (None, Some(last)) => is_word(character) && last.ends_with(is_word),
            (_, None) => false,
        };
        match tokens.last_mut().filter(|_| joins) {
            Some(last) => last.push(character),
            None if character.is_whitespace() => {
                tokens.push(String::new());
                continue;
            }
            None => tokens.push(character.to_string()),
        }
        quote = match quote {
            Some(open) if open == character => {
                tokens.push(String::new());
                None
            }
            None if matches!(character, '\'' | '`' | '"') => Some(character),
            other => other,
        };
    }
    tokens.retain(|token| !token.is_empty());
    tokens
}

/// A statement with some mutations.
pub(super) fn mutated(random: &mut Random, statements: &[&str]) -> String {
    let mut tokens = tokens(random.pick::<&str>(statements));
    for _ in 0..=random.below(4) {
        if tokens.is_empty() {
            break;
        }
        let at = random.below(tokens.len());
        match random.below(9) {
            0 => drop(tokens.remove(at)),
            1 => tokens.insert(at, tokens[at].clone()),
            2 => {
                let other = random.below(tokens.len());
                tokens.swap(at, other);
            }
            3 => tokens[at] = (*random.pick(&ODD)).to_owned(),
            4 => tokens.insert(at, (*random.pick(&ODD)).to_owned()),
            5 => {
                let other = self::tokens(random.pick::<&str>(statements));
                tokens[at].clone_from(random.pick(&other));
            }
            6 => {
                let other = self::tokens(random.pick::<&str>(statements));
                let from = random.below(other.len());
                tokens.truncate(at);
                tokens.extend_from_slice(&other[from..]);
            }
            7 => {
                let until = at + random.below(tokens.len() - at + 1).min(6);
                drop(tokens.drain(at..until));
            }
            _ => {
                let until = at + random.below(tokens.len() - at + 1).min(12);
                let stretch = tokens[at..until].to_vec();
                tokens.splice(at..at, stretch);
            }
        }
    }
    let text = tokens.join(" ");
    if random.once_in(3) { characters(random, text) } else { text }
}

/// The text with characters inserted, taken away or cut within one.
fn characters(random: &mut Random, text: String) -> String {
    let mut bytes = text.into_bytes();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len() + 1);
        match random.below(3) {
            0 => {
                let mut encoded = [0; 4];
                let character = random.pick(&CHARACTERS).encode_utf8(&mut encoded);
                bytes.splice(at..at, character.bytes());
            }
            1 if at < bytes.len() => bytes[at] = (random.next() & 0xff) as u8,
            _ => bytes.truncate(at),
        }
    }
    // What is no UTF-8 any more becomes U+FFFD: texts are texts when they reach the parser.
    String::from_utf8_lossy(&bytes).into_owned()
}
