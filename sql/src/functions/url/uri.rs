//! The parts of a URI, as `java.net.URI` takes it apart.
//!
//! The grammar is that of RFC 2396 with Java's additions: other characters than ASCII are allowed, an authority that is no server
//! (`host:port`) has no host, and `//` without an authority is allowed before a path. Parts are decoded: `%XX` are bytes of UTF-8,
//! U+FFFD stands for what is none.

use std::borrow::Cow;

/// The parts of a URI, as they are written; what is missing is none.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Uri<'a> {
    /// What stands before the first colon.
    pub(crate) scheme: Option<&'a str>,
    /// The name or address of a server.
    pub(crate) host: Option<&'a str>,
    /// The port of a server.
    pub(crate) port: Option<i32>,
    /// The path; none if the URI is opaque, as `mailto:a@b` is.
    pub(crate) path: Option<&'a str>,
    /// What stands between `?` and `#`.
    pub(crate) query: Option<&'a str>,
    /// What stands after `#`.
    pub(crate) fragment: Option<&'a str>,
}

const MARKS: &[u8] = b"_-!.~'()*";
const RESERVED: &[u8] = b";/?:@&=+$,[]";
const PATH: &[u8] = b":@&=+$,;/";
const USER_INFO: &[u8] = b";:&=+$,";
const REGISTRY: &[u8] = b"$,;:@&=+";

impl<'a> Uri<'a> {
    /// Takes a URI apart; none if it is not valid.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let mut uri = Self::default();
        let mut rest = text;
        if let Some((before, fragment)) = text.split_once('#') {
            (rest, uri.fragment) = (before, Some(check(fragment, RESERVED)?));
        }
        let end_of_scheme = rest.find([':', '/', '?']).filter(|at| rest.as_bytes()[*at] == b':');
        if let Some(end) = end_of_scheme {
            let scheme = &rest[..end];
            let is_valid = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
                && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
            if !is_valid {
                return None;
            }
            (rest, uri.scheme) = (&rest[end + 1..], Some(scheme));
            if !rest.starts_with('/') {
                // Opaque: anything, but not nothing.
                check(rest, RESERVED)?;
                return (!rest.is_empty()).then_some(uri);
            }
        }
        if let Some((before, query)) = rest.split_once('?') {
            (rest, uri.query) = (before, Some(check(query, RESERVED)?));
        }
        if let Some(after) = rest.strip_prefix("//") {
            let (authority, path) = after.split_at(after.find('/').unwrap_or(after.len()));
            let is_all = path.is_empty() && uri.query.is_none() && uri.fragment.is_none();
            if authority.is_empty() && is_all {
                return None;
            }
            if !uri.read_server(authority)? {
                check(authority, REGISTRY)?;
            }
            rest = path;
        }
        uri.path = Some(check(rest, PATH)?);
        Some(uri)
    }

    /// Reads `[user@]host[:port]`; false if it is another authority, none if it can be none.
    fn read_server(&mut self, authority: &'a str) -> Option<bool> {
        let (user, server) = match authority.split_once('@') {
            Some((user, server)) => (user, server),
            None => ("", authority),
        };
        let (host, after) = if server.starts_with('[') {
            // Brackets are for addresses only.
            let end = server.find(']')?;
            server[1..end].parse::<std::net::Ipv6Addr>().ok()?;
            server.split_at(end + 1)
        } else {
            let (host, after) = server.split_at(server.find(':').unwrap_or(server.len()));
            if !is_host(host) {
                return Some(false);
            }
            (host, after)
        };
        let port = match after.strip_prefix(':') {
            None if after.is_empty() => None,
            None => return Some(false),
            Some("") => None,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => match digits.parse() {
                Ok(port) => Some(port),
                Err(_) => return Some(false),
            },
            Some(_) => return Some(false),
        };
        if check(user, USER_INFO).is_none() {
            return Some(false);
        }
        (self.host, self.port) = (Some(host), port);
        Some(true)
    }
}

/// Labels of letters, digits and inner hyphens, the last one beginning with a letter; or four numbers.
fn is_host(host: &str) -> bool {
    let is_address = || {
        let parts: Vec<&str> = host.split('.').collect();
        parts.len() == 4 && parts.iter().all(|part| part.len() <= 3 && part.parse::<u8>().is_ok())
    };
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_label = |label: &str| {
        let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        edge(label.as_bytes().first())
            && edge(label.as_bytes().last())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let top = name.rsplit('.').next().unwrap_or_default();
    name.split('.').all(is_label) && (top.starts_with(|first: char| first.is_ascii_alphabetic()) || is_address())
}

/// The part, if all its characters are allowed: letters, digits, marks, `%XX`, those given, and others than ASCII but spaces.
fn check<'a>(part: &'a str, allowed: &[u8]) -> Option<&'a str> {
    let mut rest = part.chars();
    while let Some(next) = rest.next() {
        let is_allowed = match u8::try_from(next) {
            Ok(b'%') => (0..2).all(|_| rest.next().is_some_and(|digit| digit.is_ascii_hexdigit())),
            Ok(byte) if byte.is_ascii() => {
                byte.is_ascii_alphanumeric() || MARKS.contains(&byte) || allowed.contains(&byte)
            }
            _ => !next.is_whitespace() && !next.is_control(),
        };
        if !is_allowed {
            return None;
        }
    }
    Some(part)
}

/// The part with its `%XX` decoded. A `%` without two digits stays.
pub(crate) fn decode(part: &str) -> Cow<'_, str> {
    match percent_encoding::percent_decode_str(part).decode_utf8_lossy() {
        Cow::Borrowed(_) => Cow::Borrowed(part),
        decoded => decoded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> String {
        let Some(uri) = Uri::parse(text) else { return "invalid".to_owned() };
        let port = uri.port.map(|port| port.to_string());
        [uri.scheme, uri.host, port.as_deref(), uri.path, uri.query, uri.fragment]
            .map(|part| part.unwrap_or("-"))
            .join(" ")
    }

    #[test]
    fn parts_of_uris() {
        for (text, want) in [
            (
                "http://test@confluent.io:8080/nested/path?query&jobs#frag",
                "http confluent.io 8080 /nested/path query&jobs frag",
            ),
            ("http://www.test.com?query#fragment", "http www.test.com -  query fragment"),
            ("www.confluent.io", "- - - www.confluent.io - -"),
            ("", "- - -  - -"),
            ("//host/a", "- host - /a - -"),
            ("mailto:a@b.c?d#e", "mailto - - - - e"),
            ("file:///etc/x", "file - - /etc/x - -"),
            ("http://a_b/c", "http - - /c - -"),
            ("http://a:/c", "http a - /c - -"),
            ("http://a:b/c", "http - - /c - -"),
            ("http://127.0.0.1:80", "http 127.0.0.1 80  - -"),
            ("http://1.2.3/", "http - - / - -"),
            ("http://[::1]:80/", "http [::1] 80 / - -"),
            ("http://é.de/ü?ö", "http - - /ü ö -"),
            ("/a:b", "- - - /a:b - -"),
            ("?a:b", "- - -  a:b -"),
            ("a%20b?c%C3%A4", "- - - a%20b c%C3%A4 -"),
        ] {
            assert_eq!(parts(text), want, "{text}");
        }
        for text in
            ["http://", "http:", ":a", "1a:b", "http://a b", "http://a/\"", "a%2", "http://[::x]/", "a#b#c", "\t", "a^"]
        {
            assert_eq!(parts(text), "invalid", "{text}");
        }
    }

    #[test]
    fn escapes_are_bytes_of_utf8() {
        for (part, want) in [("a%20b+", "a b+"), ("%C3%A4", "ä"), ("%FFx", "\u{FFFD}x"), ("100%", "100%"), ("é", "é")]
        {
            assert_eq!(decode(part), want);
        }
    }
}
