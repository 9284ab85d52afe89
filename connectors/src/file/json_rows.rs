//! A line of NDJSON: checked to be one JSON object, and searched for the fields that make key and timestamp.
//!
//! The line itself becomes the value, byte for byte, so it is read in one pass that keeps nothing else. Where a name is
//! given twice in an object, the last one counts.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{DecodedRow, timestamp_text::parse_timestamp};

/// Finds key and timestamp in rows.
#[derive(Debug)]
pub(super) struct JsonRows {
    key: Option<Field>,
    timestamp: Option<Field>,
}

/// A field that is looked for, and what it held in the row at hand.
#[derive(Debug)]
struct Field {
    name: String,
    value: Scalar,
    /// The text, if the value is [`Scalar::Text`].
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Scalar {
    Absent,
    Null,
    Bool(bool),
    Integer(i64),
    Unsigned(u64),
    Float(f64),
    Text,
    Nested,
}

impl JsonRows {
    pub(super) fn new(key: Option<&str>, timestamp: Option<&str>) -> Self {
        let field = |name: &str| Field { name: name.into(), value: Scalar::Absent, text: String::new() };
        Self { key: key.map(field), timestamp: timestamp.map(field) }
    }

    /// Fills in key and timestamp; says why not, if the row cannot be taken.
    pub(super) fn decode(&mut self, row: &[u8], decoded: &mut DecodedRow) -> Result<(), String> {
        let text = std::str::from_utf8(row)
            .map_err(|error| format!("not UTF-8 from byte {} of the row on", error.valid_up_to()))?;
        for field in [&mut self.key, &mut self.timestamp].into_iter().flatten() {
            field.value = Scalar::Absent;
        }
        let mut deserializer = serde_json::Deserializer::from_str(text);
        (&mut *self)
            .deserialize(&mut deserializer)
            .and_then(|()| deserializer.end())
            .map_err(|error| format!("not a JSON object: {error}"))?;
        if let Some(field) = &self.key {
            decoded.has_key = field.write_key(&mut decoded.key)?;
        }
        if let Some(field) = &self.timestamp {
            decoded.timestamp = Some(field.millis()?);
        }
        Ok(())
    }
}

impl Field {
    /// The value in KAFKA STRING form; false if there is none.
    fn write_key(&self, out: &mut Vec<u8>) -> Result<bool, String> {
        out.clear();
        match self.value {
            Scalar::Absent | Scalar::Null => return Ok(false),
            Scalar::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
            Scalar::Integer(value) => out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
            Scalar::Unsigned(value) => out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
            Scalar::Float(value) => serde_json::to_writer(out, &value).map_err(|error| error.to_string())?,
            Scalar::Text => out.extend_from_slice(self.text.as_bytes()),
            Scalar::Nested => return Err(format!("the key field {} is an object or an array", self.name)),
        }
        Ok(true)
    }

    fn millis(&self) -> Result<i64, String> {
        let found = match self.value {
            Scalar::Integer(value) => Some(value),
            Scalar::Unsigned(value) => i64::try_from(value).ok(),
            Scalar::Float(value) if value.abs() < 1e18 => Some(value.floor() as i64),
            Scalar::Text => parse_timestamp(&self.text),
            _ => None,
        };
        found.ok_or_else(|| match self.value {
            Scalar::Absent => format!("no timestamp field {}", self.name),
            Scalar::Text => format!("timestamp field {} is {:?}, neither epoch ms nor ISO-8601", self.name, self.text),
            _ => format!("timestamp field {} is neither epoch ms nor ISO-8601", self.name),
        })
    }
}

/// Reads the row's object.
impl<'de> DeserializeSeed<'de> for &mut JsonRows {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut JsonRows {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((is_key, is_timestamp)) = map.next_key_seed(NameSeed(self))? {
            match (&mut self.key, &mut self.timestamp) {
                (Some(key), timestamp) if is_key => {
                    map.next_value_seed(&mut *key)?;
                    if let Some(timestamp) = timestamp.as_mut().filter(|_| is_timestamp) {
                        timestamp.value = key.value;
                        timestamp.text.clone_from(&key.text);
                    }
                }
                (_, Some(timestamp)) if is_timestamp => map.next_value_seed(timestamp)?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Compares a name with the two that are looked for.
struct NameSeed<'a>(&'a JsonRows);

impl<'de> DeserializeSeed<'de> for NameSeed<'_> {
    type Value = (bool, bool);
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(bool, bool), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed<'_> {
    type Value = (bool, bool);
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }
    fn visit_str<E>(self, name: &str) -> Result<(bool, bool), E> {
        let is = |field: &Option<Field>| field.as_ref().is_some_and(|field| field.name == name);
        Ok((is(&self.0.key), is(&self.0.timestamp)))
    }
}

/// Keeps the value of a field.
impl<'de> DeserializeSeed<'de> for &mut Field {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Field {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        self.value = Scalar::Null;
        Ok(())
    }
    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.value = Scalar::Bool(value);
        Ok(())
    }
    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.value = Scalar::Integer(value);
        Ok(())
    }
    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.value = Scalar::Unsigned(value);
        Ok(())
    }
    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.value = Scalar::Float(value);
        Ok(())
    }
    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.value = Scalar::Text;
        self.text.clear();
        self.text.push_str(value);
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.value = Scalar::Nested;
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.value = Scalar::Nested;
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(row: &str, expected: Result<(Option<&str>, i64), &str>) {
        let mut decoded = DecodedRow::default();
        let result = JsonRows::new(Some("id"), Some("at")).decode(row.as_bytes(), &mut decoded);
        match (result, expected) {
            (Ok(()), Ok((key, timestamp))) => {
                let found = decoded.has_key.then(|| String::from_utf8_lossy(&decoded.key).into_owned());
                assert_eq!((found.as_deref(), decoded.timestamp), (key, Some(timestamp)), "{row}");
            }
            (Err(reason), Err(part)) => assert!(reason.contains(part), "{row}: {reason}"),
            (result, _) => panic!("{row}: {result:?}"),
        }
    }

    #[test]
    fn keys_and_timestamps_are_found() {
        check(r#"{"id":"a","x":{"id":1},"at":5}"#, Ok((Some("a"), 5)));
        check(r#"{"at":5.9,"\u0069d":-12}"#, Ok((Some("-12"), 5)));
        check(r#"{"at":"1970-01-01T00:00:01Z","id":18446744073709551615}"#, Ok((Some("18446744073709551615"), 1000)));
        check(r#"{"id":1.5,"at":1}"#, Ok((Some("1.5"), 1)));
        check(r#"{"id":true,"id":"last","at":1}"#, Ok((Some("last"), 1)));
        check(r#"{"id":null,"at":1}"#, Ok((None, 1)));
        check(r#"{"at":1}"#, Ok((None, 1)));
    }

    #[test]
    fn other_rows_are_refused_with_a_reason() {
        check(r#"{"id":"a"}"#, Err("no timestamp field at"));
        check(r#"{"id":"a","at":"soon"}"#, Err("\"soon\""));
        check(r#"{"id":"a","at":null}"#, Err("neither epoch ms"));
        check(r#"{"id":[1],"at":1}"#, Err("object or an array"));
        check(r#"{"id":"a","at":1"#, Err("not a JSON object: EOF"));
        check(r#"{"id":"a","at":1} x"#, Err("trailing"));
        check(r#"[1]"#, Err("expected a JSON object"));
        check("null", Err("expected a JSON object"));
    }

    #[test]
    fn one_field_may_be_both_and_bad_bytes_are_refused() {
        let mut rows = JsonRows::new(Some("t"), Some("t"));
        let mut decoded = DecodedRow::default();
        assert_eq!(rows.decode(br#"{"t":"7"}"#, &mut decoded), Ok(()));
        assert_eq!((decoded.key.as_slice(), decoded.timestamp), (&b"7"[..], Some(7)));
        assert!(rows.decode(b"{\"t\":\"\xff\"}", &mut decoded).is_err_and(|reason| reason.contains("UTF-8")));
    }
}
