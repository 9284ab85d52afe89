//! Functions of URLs: their parts, and escaping of parameters.
//!
//! A URL is what `java.net.URI` accepts; any other text fails the row. A part that is not there gives null. Parts are decoded.

mod uri;

use std::borrow::Cow;

use arrow::array::ArrayRef;
use arrow::datatypes::Int32Type;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::columns::{self, Texts};
use super::declare::{TEXT, function, overload};
use super::signature::{Call, Evaluate, ScalarFunction};
use crate::catalog::SqlType;
use uri::{Uri, decode};

/// What is escaped in a parameter, as in a form; a space becomes `+`.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b' ');

/// The functions of this file.
pub(crate) fn functions() -> Vec<ScalarFunction> {
    let text = |name, description, evaluate: Evaluate| {
        function(name, description, [overload([TEXT], SqlType::Varchar, evaluate)])
    };
    vec![
        text("URL_DECODE_PARAM", "A parameter with its escapes decoded.", decode_param),
        text("URL_ENCODE_PARAM", "A text as it is escaped in the parameters of a URL.", encode_param),
        text("URL_EXTRACT_FRAGMENT", "The fragment of a URL, decoded.", |call| extract(call, |uri| uri.fragment)),
        text("URL_EXTRACT_HOST", "The host of a URL.", |call| extract(call, |uri| uri.host)),
        function(
            "URL_EXTRACT_PARAMETER",
            "The value of a parameter of a URL, decoded; empty if it is there without one.",
            [overload([TEXT, TEXT], SqlType::Varchar, extract_parameter)],
        ),
        text("URL_EXTRACT_PATH", "The path of a URL, decoded.", |call| extract(call, |uri| uri.path)),
        function(
            "URL_EXTRACT_PORT",
            "The port of a URL, if it names one.",
            [overload([TEXT], SqlType::Int, extract_port)],
        ),
        text("URL_EXTRACT_PROTOCOL", "The protocol of a URL.", |call| extract(call, |uri| uri.scheme)),
        text("URL_EXTRACT_QUERY", "The query of a URL, decoded.", |call| extract(call, |uri| uri.query)),
    ]
}

fn parse(url: &str) -> Result<Uri<'_>, String> {
    Uri::parse(url).ok_or_else(|| format!("URL input has invalid syntax: {url}"))
}

fn extract(call: &Call<'_>, part: for<'a> fn(&Uri<'a>) -> Option<&'a str>) -> Result<ArrayRef, String> {
    let urls: Texts<'_> = columns::read(call, 0)?;
    columns::write_texts(call.rows, |row, out| {
        let Some(url) = urls.get(row) else { return Ok(None) };
        Ok(part(&parse(url)?).map(|part| out.push_str(&decode(part))))
    })
}

fn extract_port(call: &Call<'_>) -> Result<ArrayRef, String> {
    let urls: Texts<'_> = columns::read(call, 0)?;
    columns::write_values::<Int32Type>(call.rows, |row| {
        let Some(url) = urls.get(row) else { return Ok(None) };
        Ok(parse(url)?.port)
    })
}

fn extract_parameter(call: &Call<'_>) -> Result<ArrayRef, String> {
    let urls: Texts<'_> = columns::read(call, 0)?;
    let names: Texts<'_> = columns::read(call, 1)?;
    columns::write_texts(call.rows, |row, out| {
        let (Some(url), Some(name)) = (urls.get(row), names.get(row)) else { return Ok(None) };
        let Some(query) = parse(url)?.query.map(decode) else { return Ok(None) };
        let value = query.split('&').find_map(|parameter| match parameter.split_once('=') {
            Some((key, value)) => (key == name).then_some(value),
            None => (parameter == name).then_some(""),
        });
        Ok(value.map(|value| out.push_str(value)))
    })
}

fn encode_param(call: &Call<'_>) -> Result<ArrayRef, String> {
    let texts: Texts<'_> = columns::read(call, 0)?;
    columns::write_texts(call.rows, |row, out| {
        Ok(texts.get(row).map(|text| {
            for piece in utf8_percent_encode(text, ESCAPED) {
                out.extend(piece.chars().map(|next| if next == ' ' { '+' } else { next }));
            }
        }))
    })
}

fn decode_param(call: &Call<'_>) -> Result<ArrayRef, String> {
    let texts: Texts<'_> = columns::read(call, 0)?;
    columns::write_texts(call.rows, |row, out| {
        let Some(text) = texts.get(row) else { return Ok(None) };
        let mut escapes = text.split('%').skip(1);
        let is_escape =
            |after: &str| after.get(..2).is_some_and(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if !escapes.all(is_escape) {
            return Err(format!("a `%` is not followed by two hexadecimal digits in `{text}`"));
        }
        let spaced = if text.contains('+') { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
        out.push_str(&percent_decode_str(&spaced).decode_utf8_lossy());
        Ok(Some(()))
    })
}

#[cfg(test)]
mod tests {
    use super::super::columns::harness::{self, null, text, texts};
    use super::*;

    fn check(name: &str, given: &[Option<&str>], want: &[&str]) {
        harness::check(&functions(), name, &[texts(given)], want);
    }

    #[test]
    fn parts_are_decoded() {
        let whole = Some("https://me@test.com:8080/a%20path?a%20b=c%20d&e&f=#fr%20ag");
        let given = [whole, Some("www.test.com"), None];
        for (name, want) in [
            ("URL_EXTRACT_FRAGMENT", ["fr ag", "null", "null"]),
            ("URL_EXTRACT_HOST", ["test.com", "null", "null"]),
            ("URL_EXTRACT_PATH", ["/a path", "www.test.com", "null"]),
            ("URL_EXTRACT_PORT", ["8080", "null", "null"]),
            ("URL_EXTRACT_PROTOCOL", ["https", "null", "null"]),
            ("URL_EXTRACT_QUERY", ["a b=c d&e&f=", "null", "null"]),
        ] {
            check(name, &given, &want);
            check(name, &[Some("http://a b/")], &["error: URL input has invalid syntax: http://a b/"]);
        }
        check("URL_EXTRACT_PATH", &[Some("http://test.com?q")], &[""]);
        for (name, want) in [("a b", "c d"), ("e", ""), ("f", ""), ("c", "null"), ("A B", "null")] {
            harness::check(&functions(), "URL_EXTRACT_PARAMETER", &[texts(&[whole]), text(name)], &[want]);
        }
        let nothing = || null(&SqlType::Varchar);
        harness::check(&functions(), "URL_EXTRACT_PARAMETER", &[nothing(), text("a")], &["null"]);
        harness::check(&functions(), "URL_EXTRACT_PARAMETER", &[text("http://a?b=c"), nothing()], &["null"]);
    }

    #[test]
    fn parameters_are_escaped() {
        check(
            "URL_ENCODE_PARAM",
            &[Some("?foo $bar"), Some("hello+&world"), Some("-_.*~é"), Some(""), None],
            &["%3Ffoo+%24bar", "hello%2B%26world", "-_.*%7E%C3%A9", "", "null"],
        );
        check(
            "URL_DECODE_PARAM",
            &[Some("%3Ffoo+%24bar"), Some("url%20encoded"), Some("%C3%A9é"), Some("%FF"), Some(""), None],
            &["?foo $bar", "url encoded", "éé", "\u{FFFD}", "", "null"],
        );
        for wrong in ["100%", "%2", "%g0", "%%20"] {
            let want = format!("error: a `%` is not followed by two hexadecimal digits in `{wrong}`");
            check("URL_DECODE_PARAM", &[Some(wrong)], &[&want]);
        }
    }
}
