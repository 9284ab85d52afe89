//! A row of CSV as a JSON object, with the names of the header line.
//!
//! Types: a field that is a JSON number and does not lose by being one (integers of at most 18 digits) is a number,
//! written as it was, so `007` and a 20-digit identifier stay strings. An empty field is null, as is the text that `csv.null`
//! names; an empty field in quotes is the empty string. Quotes make no other difference. Everything else is a string.
//! A row with fewer or more fields than the header is refused: nobody can say which one is missing.

use super::{CsvOptions, DecodedRow, timestamp_text::parse_timestamp};
use crate::json_text::push_string;

/// Turns rows into objects.
#[derive(Debug)]
pub(super) struct CsvRows {
    options: CsvOptions,
    /// `"name":`, ready to be written.
    names: Vec<Vec<u8>>,
    /// The columns of key and timestamp, with their names.
    key: Option<(usize, String)>,
    timestamp: Option<(usize, String)>,
    fields: Fields,
}

/// The fields of one row, unquoted.
#[derive(Debug, Default)]
struct Fields {
    text: Vec<u8>,
    /// For each field where it ends in `text`, and whether it was quoted.
    ends: Vec<(usize, bool)>,
}

impl CsvRows {
    /// Takes the names from the header line; says what is wrong with it.
    pub(super) fn new(
        header: &[u8],
        options: &CsvOptions,
        key: Option<&str>,
        timestamp: Option<&str>,
    ) -> Result<Self, String> {
        let mut fields = Fields::default();
        fields.split(header.strip_prefix("\u{feff}".as_bytes()).unwrap_or(header), options.delimiter)?;
        let mut names: Vec<&str> = Vec::new();
        for column in 0..fields.ends.len() {
            let name = std::str::from_utf8(fields.get(column).0)
                .map_err(|_| "the header line is not UTF-8".to_owned())?
                .trim();
            if name.is_empty() || names.contains(&name) {
                let problem = if name.is_empty() { "has no name" } else { "has the name of an earlier one" };
                return Err(format!("column {} of the header line {problem}: {name:?}", column + 1));
            }
            names.push(name);
        }
        let find = |property: &str, field: Option<&str>| match field {
            None => Ok(None),
            Some(field) => match names.iter().position(|name| *name == field) {
                Some(column) => Ok(Some((column, field.to_owned()))),
                None => Err(format!("{property} is `{field}`, but the header line has {}", names.join(", "))),
            },
        };
        let (key, timestamp) = (find("key.field", key)?, find("timestamp.field", timestamp)?);
        let names = names.iter().map(|name| quoted_name(name)).collect();
        Ok(Self { options: options.clone(), names, key, timestamp, fields })
    }

    /// Fills in value, key and timestamp; says why not, if the row cannot be taken.
    pub(super) fn decode(&mut self, row: &[u8], decoded: &mut DecodedRow) -> Result<(), String> {
        self.fields.split(row, self.options.delimiter)?;
        if self.fields.ends.len() != self.names.len() {
            return Err(format!("{} field(s), but the header line has {}", self.fields.ends.len(), self.names.len()));
        }
        decoded.value.clear();
        for (column, name) in self.names.iter().enumerate() {
            decoded.value.push(if column == 0 { b'{' } else { b',' });
            decoded.value.extend_from_slice(name);
            match self.scalar(column)? {
                None => decoded.value.extend_from_slice(b"null"),
                Some(text) if is_number(text) => decoded.value.extend_from_slice(text.as_bytes()),
                Some(text) => push_string(&mut decoded.value, text),
            }
        }
        decoded.value.push(b'}');
        if let Some((column, _)) = &self.key {
            decoded.key.clear();
            let key = self.scalar(*column)?;
            decoded.has_key = key.is_some();
            decoded.key.extend_from_slice(key.unwrap_or_default().as_bytes());
        }
        if let Some((column, name)) = &self.timestamp {
            let text = self.scalar(*column)?.unwrap_or_default();
            let millis = parse_timestamp(text);
            let reason = || format!("timestamp field {name} is {text:?}, neither epoch ms nor ISO-8601");
            decoded.timestamp = Some(millis.ok_or_else(reason)?);
        }
        Ok(())
    }

    /// The text of a field; `None` for null.
    fn scalar(&self, column: usize) -> Result<Option<&str>, String> {
        let (bytes, is_quoted) = self.fields.get(column);
        let text = std::str::from_utf8(bytes).map_err(|_| format!("field {} is not UTF-8", column + 1))?;
        let is_null = (text.is_empty() && !is_quoted) || self.options.null.as_deref() == Some(text);
        Ok((!is_null).then_some(text))
    }
}

fn quoted_name(name: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len() + 3);
    push_string(&mut out, name);
    out.push(b':');
    out
}

impl Fields {
    fn get(&self, column: usize) -> (&[u8], bool) {
        let start = if column == 0 { 0 } else { self.ends[column - 1].0 };
        let (end, is_quoted) = self.ends[column];
        (&self.text[start..end], is_quoted)
    }

    /// Cuts a row at its delimiters. A quote opens a quoted field only at its start; within it a doubled quote stands for
    /// one; behind the closing quote nothing but the delimiter may come.
    fn split(&mut self, row: &[u8], delimiter: u8) -> Result<(), String> {
        self.text.clear();
        self.ends.clear();
        let mut rest = row;
        loop {
            let is_quoted = rest.first() == Some(&b'"');
            if is_quoted {
                rest = self.quoted(&rest[1..])?;
            } else {
                let end = rest.iter().position(|byte| *byte == delimiter).unwrap_or(rest.len());
                self.text.extend_from_slice(&rest[..end]);
                rest = &rest[end..];
            }
            self.ends.push((self.text.len(), is_quoted));
            match rest.split_first() {
                None => return Ok(()),
                Some((byte, after)) if *byte == delimiter => rest = after,
                Some(_) => return Err(format!("text behind the closing quote of field {}", self.ends.len())),
            }
        }
    }

    /// Takes a quoted field from behind its opening quote; returns what follows its closing one.
    fn quoted<'a>(&mut self, mut rest: &'a [u8]) -> Result<&'a [u8], String> {
        loop {
            let Some(quote) = rest.iter().position(|byte| *byte == b'"') else {
                return Err(format!("the quote of field {} is not closed", self.ends.len() + 1));
            };
            self.text.extend_from_slice(&rest[..quote]);
            rest = &rest[quote + 1..];
            if rest.first() != Some(&b'"') {
                return Ok(rest);
            }
            self.text.push(b'"');
            rest = &rest[1..];
        }
    }
}

/// Whether a text is a number by JSON's grammar, and an integer one small enough for 64 bits.
fn is_number(text: &str) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = text.as_bytes();
    let rest = rest.strip_prefix(b"-").unwrap_or(rest);
    let whole = digits(rest);
    if whole == 0 || whole > 18 || (whole > 1 && rest[0] == b'0') {
        return false;
    }
    let mut rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = &fraction[count..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = exponent.strip_prefix(b"-").or_else(|| exponent.strip_prefix(b"+")).unwrap_or(exponent);
        return (1..=3).contains(&exponent.len()) && digits(exponent) == exponent.len();
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn options() -> CsvOptions {
        CsvOptions { delimiter: b',', null: Some("NA".into()) }
    }

    fn check(row: &str, expected: Result<&str, &str>) {
        let mut rows = CsvRows::new(b"a,b,\"c \"\"d\"\"\"", &options(), None, None).expect("a legal header");
        let mut decoded = DecodedRow::default();
        match (rows.decode(row.as_bytes(), &mut decoded), expected) {
            (Ok(()), Ok(expected)) => assert_eq!(String::from_utf8_lossy(&decoded.value), expected, "{row}"),
            (Err(reason), Err(part)) => assert!(reason.contains(part), "{row}: {reason}"),
            (result, _) => panic!("{row}: {result:?}"),
        }
    }

    #[test]
    fn rows_become_objects_with_typed_scalars() {
        check("1,x,-2.5e3", Ok(r#"{"a":1,"b":"x","c \"d\"":-2.5e3}"#));
        check(",\"\",NA", Ok(r#"{"a":null,"b":"","c \"d\"":null}"#));
        check("007,\"8\",true", Ok(r#"{"a":"007","b":8,"c \"d\"":"true"}"#));
        check("\"x,\ny\",\"say \"\"hi\"\"\",5\" pipe", Ok(r#"{"a":"x,\ny","b":"say \"hi\"","c \"d\"":"5\" pipe"}"#));
        check("12345678901234567890,1.,.5", Ok(r#"{"a":"12345678901234567890","b":"1.","c \"d\"":".5"}"#));
        check("1,2", Err("2 field(s), but the header line has 3"));
        check("1,2,3,4", Err("4 field(s)"));
        check("\"1,2,3", Err("not closed"));
        check("\"1\"x,2,3", Err("behind the closing quote of field 1"));
    }

    #[test]
    fn key_and_timestamp_come_from_columns() {
        let mut rows = CsvRows::new("\u{feff}id,at".as_bytes(), &options(), Some("id"), Some("at")).expect("legal");
        let mut decoded = DecodedRow::default();
        assert_eq!(rows.decode(b"7,1970-01-01 00:00:02", &mut decoded), Ok(()));
        assert_eq!((decoded.has_key, decoded.key.as_slice(), decoded.timestamp), (true, &b"7"[..], Some(2000)));
        assert_eq!(rows.decode(b"NA,5", &mut decoded), Ok(()));
        assert!(!decoded.has_key);
        assert!(rows.decode(b"7,NA", &mut decoded).is_err_and(|reason| reason.contains("timestamp field at")));
    }

    #[test]
    fn headers_are_checked() {
        for (header, key, part) in
            [("a,,c", None, "column 2"), ("a,a", None, "earlier"), ("a,b", Some("c"), "has a, b")]
        {
            let error = CsvRows::new(header.as_bytes(), &options(), key, None).expect_err(header);
            assert!(error.contains(part), "{header}: {error}");
        }
    }

    proptest! {
        /// Whatever an independent writer quotes, comes back.
        #[test]
        fn fields_written_by_another_program_come_back(written in prop::collection::vec("[a-c\",\r\n ]{0,6}", 2..5)) {
            let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::Any(b'\n')).from_writer(Vec::new());
            writer.write_record(&written).expect("memory");
            let mut row = writer.into_inner().expect("memory");
            row.pop();
            let mut fields = Fields::default();
            prop_assert_eq!(fields.split(&row, b','), Ok(()));
            let read: Vec<String> = (0..fields.ends.len()).map(|column| String::from_utf8_lossy(fields.get(column).0).into_owned()).collect();
            prop_assert_eq!(read, written);
        }
    }
}
