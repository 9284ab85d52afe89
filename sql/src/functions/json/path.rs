//! Paths to one value in JSON: `$.a.b[0]["c"]`.
//!
//! A step is a name after a dot, or an index, a name or a name in quotes (of either kind) in brackets. In an array a step must be an
//! index, counted from 0; in an object it is a key. Wildcards are not there: a path leads to one value.

use super::scan::{Json, Kind};

/// A path, its steps from the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JsonPath {
    steps: Vec<String>,
}

impl JsonPath {
    /// Reads a path.
    ///
    /// # Errors
    /// It does not begin with `$`, or what follows is no step.
    pub(crate) fn parse(path: &str) -> Result<Self, String> {
        let invalid = || format!("invalid JSON path `{path}`; a path is like $.name[0][\"other name\"]");
        let mut rest = path.strip_prefix('$').ok_or_else(invalid)?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = Self::step(rest).ok_or_else(invalid)?;
            steps.push(step);
            rest = after;
        }
        Ok(Self { steps })
    }

    /// The first step and what follows it.
    fn step(path: &str) -> Option<(String, &str)> {
        if let Some(rest) = path.strip_prefix('.') {
            return name(rest, |next| is_name(next) || matches!(next, ':' | '$' | '-' | '/' | '@'));
        }
        let rest = path.strip_prefix('[')?;
        let (step, rest) = match rest.chars().next()? {
            quote @ ('"' | '\'') => quoted(&rest[1..], quote)?,
            _ => name(rest, is_name)?,
        };
        Some((step, rest.strip_prefix(']')?))
    }

    /// The value that the path leads to.
    pub(crate) fn find<'a>(&self, json: Json<'a>) -> Option<Json<'a>> {
        self.steps.iter().try_fold(json, |json, step| match json.kind() {
            Kind::Array => json.items().nth(step.parse().ok()?),
            _ => json.get(step),
        })
    }
}

fn is_name(next: char) -> bool {
    next == '_' || next.is_alphanumeric()
}

fn name(path: &str, belongs: impl Fn(char) -> bool) -> Option<(String, &str)> {
    let end = path.find(|next| !belongs(next)).unwrap_or(path.len());
    (end > 0).then(|| (path[..end].to_owned(), &path[end..]))
}

/// A name up to the quote; a backslash takes the next character as it is.
fn quoted(path: &str, quote: char) -> Option<(String, &str)> {
    let mut step = String::new();
    let mut rest = path.chars();
    loop {
        match rest.next()? {
            '\\' => step.push(rest.next()?),
            next if next == quote => return Some((step, rest.as_str())),
            next => step.push(next),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, want: &str) {
        let text = r#"{"a": {"b c": [{"d'\"": 1}, null], "7": true}, "@t-y:p/e$": "x", "é": []}"#;
        let found = JsonPath::parse(path).map(|path| {
            path.find(Json::parse(text).unwrap().unwrap()).map_or("none".to_owned(), |json| json.raw().to_owned())
        });
        assert_eq!(found.unwrap_or_else(|error| error), want, "{path}");
    }

    #[test]
    fn paths_lead_to_values() {
        check("$.a[\"b c\"][0]['d\\'\"']", "1");
        check("$['a']['b c'][1]", "null");
        check("$.a.7", "true");
        check("$.a[7]", "true");
        check("$.@t-y:p/e$", "\"x\"");
        check("$.é", "[]");
        check("$[\"a\"].x", "none");
        check("$.a['b c'][2]", "none");
        check("$.a['b c'].d", "none");
        check("$.a['b c'][0].d.e", "none");
        check("$.@t-y:p/e$.x", "none");
        check("$.A", "none");
    }

    #[test]
    fn other_paths_are_refused() {
        for path in ["", "a", ".a", "$a", "$.", "$..a", "$[", "$[]", "$['a'", "$['a]", "$[*]", "$.a b", "$[0"] {
            check(path, &format!("invalid JSON path `{path}`; a path is like $.name[0][\"other name\"]"));
        }
    }
}
