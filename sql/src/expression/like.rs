//! LIKE: `%` is any text, `_` one character, and what follows the ESCAPE character is itself.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::DataType;
use datafusion::logical_expr::{Expr, Like};

use super::operation::{self, Operation};
use crate::functions::{
    columns::{Texts, read},
    signature::Call,
};

/// Matches text with a pattern; `literal` is the pattern, if it is one.
pub(super) fn like(text: Expr, pattern: Expr, literal: Option<&str>, escape: Option<char>) -> Expr {
    let is_plain = escape.is_none() && literal.is_some_and(|pattern| !pattern.contains('\\'));
    if is_plain {
        return Expr::Like(Like::new(false, Box::new(text), Box::new(pattern), None, false));
    }
    operation::call(Matches { escape }, vec![text, pattern], DataType::Boolean)
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Matches {
    escape: Option<char>,
}

impl Operation for Matches {
    fn name(&self) -> &str {
        "like"
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<ArrayRef, String> {
        let texts: Texts<'_> = read(call, 0)?;
        let patterns: Texts<'_> = read(call, 1)?;
        let constant = patterns.constant().map(|pattern| self.compile(pattern)).transpose()?;
        let mut results = Vec::with_capacity(call.rows);
        for row in 0..call.rows {
            results.push(match (texts.get(row), patterns.get(row)) {
                (Some(text), Some(pattern)) => Some(match &constant {
                    Some(compiled) => matches(compiled, text),
                    None => matches(&self.compile(pattern)?, text),
                }),
                _ => None,
            });
        }
        Ok(Arc::new(BooleanArray::from(results)))
    }
}

/// A piece of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Any,
    One,
    Character(char),
}

impl Matches {
    fn compile(&self, pattern: &str) -> Result<Vec<Piece>, String> {
        let mut pieces = Vec::with_capacity(pattern.len());
        let mut characters = pattern.chars();
        while let Some(character) = characters.next() {
            pieces.push(match character {
                escape if self.escape == Some(escape) => {
                    let next = characters.next().ok_or_else(|| format!("LIKE pattern must not end with {escape}"))?;
                    Piece::Character(next)
                }
                '%' => Piece::Any,
                '_' => Piece::One,
                other => Piece::Character(other),
            });
        }
        Ok(pieces)
    }
}

/// Goes back to the last `%` where the rest does not match: linear for one `%`, never worse than text times pattern.
fn matches(pieces: &[Piece], text: &str) -> bool {
    let (mut rest, mut next) = (text, 0);
    let mut retry: Option<(&str, usize)> = None;
    loop {
        let mut characters = rest.chars();
        match (pieces.get(next), characters.next()) {
            (Some(Piece::Any), _) => {
                retry = Some((rest, next));
                next += 1;
            }
            (Some(Piece::One), Some(_)) => (rest, next) = (characters.as_str(), next + 1),
            (Some(Piece::Character(wanted)), Some(found)) if *wanted == found => {
                (rest, next) = (characters.as_str(), next + 1);
            }
            (None, None) => return true,
            _ => {
                let Some((from, any)) = retry else { return false };
                let mut shorter = from.chars();
                if shorter.next().is_none() {
                    return false;
                }
                retry = Some((shorter.as_str(), any));
                (rest, next) = (shorter.as_str(), any + 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_sql_says() {
        let check = |pattern: &str, escape: Option<char>, text: &str, want: bool| {
            let pieces = Matches { escape }.compile(pattern).expect("a pattern");
            assert_eq!(matches(&pieces, text), want, "{text} LIKE {pattern}");
        };
        check("f_o", None, "foo", true);
        check("%oba%", None, "foobar", true);
        check("%a", None, "banana", true);
        check("%an", None, "banana", false);
        check("!%", Some('!'), "%", true);
        check("!%", Some('!'), "x", false);
        check("", None, "", true);
        check("%", None, "", true);
        check("_", None, "", false);
        check("a%b%c", None, "axxbyyc", true);
        check("\\%", None, "\\x", true);
    }
}
