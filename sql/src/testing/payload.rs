//! Payloads of records: values of a case to the bytes of a topic's format, and back, by code of its own.
//!
//! | format | payload |
//! |---|---|
//! | JSON | the JSON text |
//! | DELIMITED | the line, as text |
//! | KAFKA | a number or text, big-endian or UTF-8 by the type of the column |
//! | NONE | null |
//! | the others | JSON values, by way of [`registered_payload`](super::registered_payload) |

use millstream::format::{Format as CoreFormat, Side, Wrapping};

use crate::catalog::{Column, Format, FormatKind, Source, SqlType, WindowInfo};
use crate::planner::input;
use crate::syntax::ast::SourceKind;

use super::{
    case::{CaseRecord, CaseWindow},
    registered_payload::RegisteredSide,
    value::Value,
};

/// How one side of a topic's records is written, and the columns on it.
#[derive(Debug, Clone)]
pub(super) struct SideLayout {
    pub(super) format: Format,
    pub(super) columns: Vec<Column>,
    /// For formats with schemas.
    registered: RegisteredSide,
}

/// How the records of a topic are written.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) key: SideLayout,
    pub(super) value: SideLayout,
    pub(super) is_table: bool,
    /// The window in the keys, if the source has one.
    window: Option<WindowInfo>,
}

impl Layout {
    /// The layout that a source gives its topic.
    pub(super) fn of(source: &Source) -> Self {
        let formats = input::formats(source);
        let side = |side: Side, format: &Format, core: CoreFormat, columns: Vec<Column>| {
            let bare = columns.len() == 1 && (side == Side::Key || formats.wrapping == Wrapping::Unwrapped);
            let registered = RegisteredSide {
                format: core,
                side,
                is_bare: bare && !matches!(format.kind, FormatKind::Protobuf | FormatKind::ProtobufNoSr),
                fields: columns.iter().map(input::field).collect(),
            };
            SideLayout { format: format.clone(), columns, registered }
        };
        let (key, value) = (source.key_columns().cloned().collect(), source.value_columns().cloned().collect());
        Self {
            key: side(Side::Key, &source.key_format, formats.key.clone(), key),
            value: side(Side::Value, &source.value_format, formats.value.clone(), value),
            is_table: source.kind == SourceKind::Table,
            window: source.window,
        }
    }

    /// The bytes of a record's key.
    pub(super) fn key_bytes(&self, record: &CaseRecord) -> Result<Option<Vec<u8>>, String> {
        let Some(mut bytes) = self.key.encode(&record.key)? else { return Ok(None) };
        if let Some(window) = record.window {
            if window.is_session || self.has_both_bounds() {
                bytes.extend_from_slice(&window.end.to_be_bytes());
            }
            bytes.extend_from_slice(&window.start.to_be_bytes());
        }
        Ok(Some(bytes))
    }

    fn has_both_bounds(&self) -> bool {
        self.window.is_some_and(|window| window.has_both_bounds())
    }

    /// A key without the bytes of its window.
    pub(super) fn inner_key<'a>(&self, key: Option<&'a [u8]>) -> Result<Option<&'a [u8]>, String> {
        let length = match self.window {
            None => 0,
            Some(_) if self.has_both_bounds() => 16,
            Some(_) => 8,
        };
        let inner = |key: &'a [u8]| key.len().checked_sub(length).map(|end| &key[..end]);
        key.map(|key| inner(key).ok_or_else(|| "the key is too short for a window".to_owned())).transpose()
    }

    /// A key and its window from bytes; `like` says of which kind of window.
    pub(super) fn key_of(
        &self,
        bytes: Option<&[u8]>,
        like: Option<CaseWindow>,
    ) -> Result<(Value, Option<CaseWindow>), String> {
        let (Some(bytes), Some(like)) = (bytes, like) else { return Ok((self.key.decode(bytes)?, None)) };
        let moment = |from: usize| {
            let part = bytes.get(from..from + 8).and_then(|part| part.try_into().ok());
            part.map(i64::from_be_bytes).ok_or_else(|| "the key is too short for a window".to_owned())
        };
        let length = bytes.len();
        let both = like.is_session || self.has_both_bounds();
        let window = if both {
            let from = length.checked_sub(16).ok_or("the key is too short for a session")?;
            CaseWindow { end: moment(from)?, start: moment(from + 8)?, is_session: like.is_session }
        } else {
            let from = length.checked_sub(8).ok_or("the key is too short for a window")?;
            let start = moment(from)?;
            let size = self.window.and_then(|window| window.size_ms).unwrap_or(like.end - like.start);
            CaseWindow { start, end: start.saturating_add(size), is_session: false }
        };
        let inner = &bytes[..length - if both { 16 } else { 8 }];
        Ok((self.key.decode(Some(inner))?, Some(window)))
    }
}

impl SideLayout {
    /// The bytes of a payload.
    ///
    /// # Errors
    /// If the format cannot hold it.
    pub(super) fn encode(&self, payload: &Value) -> Result<Option<Vec<u8>>, String> {
        if *payload == Value::Null {
            return Ok(None);
        }
        match self.format.kind {
            FormatKind::None => Ok(None),
            FormatKind::Json => Ok(Some(payload.to_string().into_bytes())),
            FormatKind::Delimited => Ok(Some(plain(payload).into_bytes())),
            FormatKind::Kafka => kafka_bytes(payload, self.columns.first().map(|column| &column.data_type)).map(Some),
            FormatKind::Avro | FormatKind::JsonSr | FormatKind::Protobuf | FormatKind::ProtobufNoSr => {
                self.registered.encode(payload).map(Some)
            }
        }
    }

    /// The payload of bytes.
    ///
    /// # Errors
    /// If they are not of the format.
    pub(super) fn decode(&self, bytes: Option<&[u8]>) -> Result<Value, String> {
        let Some(bytes) = bytes else { return Ok(Value::Null) };
        let text = || String::from_utf8(bytes.to_vec()).map_err(|error| error.to_string());
        match self.format.kind {
            FormatKind::Json => Value::parse(&text()?),
            FormatKind::None | FormatKind::Delimited => text().map(Value::Text),
            FormatKind::Kafka => kafka_value(bytes, self.columns.first().map(|column| &column.data_type)),
            FormatKind::Avro | FormatKind::JsonSr | FormatKind::Protobuf | FormatKind::ProtobufNoSr => {
                self.registered.decode(bytes)
            }
        }
    }
}

fn plain(payload: &Value) -> String {
    payload.text().map_or_else(|| payload.to_string(), str::to_owned)
}

fn kafka_bytes(payload: &Value, data_type: Option<&SqlType>) -> Result<Vec<u8>, String> {
    let written = plain(payload);
    let wrong = || format!("{written} does not fit the column");
    Ok(match (data_type, payload) {
        (Some(SqlType::Int), Value::Number(_)) => written.parse::<i32>().map_err(|_| wrong())?.to_be_bytes().to_vec(),
        (Some(SqlType::BigInt), Value::Number(_)) => {
            written.parse::<i64>().map_err(|_| wrong())?.to_be_bytes().to_vec()
        }
        (Some(SqlType::Double), Value::Number(_)) => {
            written.parse::<f64>().map_err(|_| wrong())?.to_be_bytes().to_vec()
        }
        _ => written.into_bytes(),
    })
}

fn kafka_value(bytes: &[u8], data_type: Option<&SqlType>) -> Result<Value, String> {
    let wrong = || format!("{} bytes do not fit the column", bytes.len());
    Ok(match data_type {
        Some(SqlType::Int) => Value::Number(i32::from_be_bytes(bytes.try_into().map_err(|_| wrong())?).to_string()),
        Some(SqlType::BigInt) => Value::Number(i64::from_be_bytes(bytes.try_into().map_err(|_| wrong())?).to_string()),
        Some(SqlType::Double) => {
            let number = f64::from_be_bytes(bytes.try_into().map_err(|_| wrong())?);
            Value::Number(format!("{number:?}"))
        }
        _ => Value::Text(String::from_utf8(bytes.to_vec()).map_err(|error| error.to_string())?),
    })
}
