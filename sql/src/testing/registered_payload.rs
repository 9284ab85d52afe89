//! Payloads of formats with schemas: JSON values of a case to Avro, Protobuf and framed JSON, and back.
//!
//! What is written has the newest schema of the topic, as that of another program would have, or the one that its columns give if there
//! is none. What is read is shown with all fields of the schema that it was written in. The way between JSON and columns is the lenient
//! one of the JSON format.

use arrow::array::{Array, BinaryArray};
use arrow::datatypes::FieldRef;
use millstream::format::{
    Format, RegisteredFormat, Side, Wrapping, infer_columns,
    registry::{SchemaId, SchemaType, Version},
};
use std::sync::Arc;

use super::value::Value;

/// How one side's records are written.
#[derive(Debug, Clone)]
pub(super) struct RegisteredSide {
    /// The format, with its registry.
    pub(super) format: Format,
    /// Key or value.
    pub(super) side: Side,
    /// Whether a payload is the bare value of the only column.
    pub(super) is_bare: bool,
    /// The columns of the source.
    pub(super) fields: Vec<FieldRef>,
}

fn wrapping(is_bare: bool) -> Wrapping {
    if is_bare { Wrapping::Unwrapped } else { Wrapping::Wrapped }
}

/// A side on which a single column stands alone only if told so.
const NEUTRAL: Side = Side::Value;

impl RegisteredSide {
    /// The bytes of a payload.
    ///
    /// # Errors
    /// If the schema cannot hold it.
    pub(super) fn encode(&self, payload: &Value) -> Result<Vec<u8>, String> {
        let problem = |error: millstream::format::FormatError| format!("{}: {error}", self.format);
        let (format, fields) = self.writer()?;
        let text = payload.to_string();
        let all: Vec<usize> = (0..fields.len()).collect();
        let mut json = Format::Json.deserializer(NEUTRAL, wrapping(self.is_bare), &fields, &all).map_err(problem)?;
        let decoded = json.decode(&BinaryArray::from_vec(vec![text.as_bytes()]));
        if let Some(error) = decoded.errors.first() {
            return Err(format!("{text} does not fit the schema: {}", error.problem));
        }
        let mut serializer = format.serializer(NEUTRAL, wrapping(self.is_bare), &fields).map_err(problem)?;
        let bytes = serializer.encode(&decoded.columns, 1, None).map_err(problem)?;
        Ok(if bytes.is_null(0) { Vec::new() } else { bytes.value(0).to_vec() })
    }

    /// The format that another program writes, and the columns of its schema.
    fn writer(&self) -> Result<(Format, Vec<FieldRef>), String> {
        let Some((settings, schema_type)) = self.format.registered() else {
            return Ok((self.format.clone(), self.fields.clone()));
        };
        let id = match settings.schema_id {
            Some(id) => Some(id),
            None => settings.registry.version(&settings.subject, Version::Latest).ok().map(|version| version.id),
        };
        let Some(id) = id else { return Ok((self.format.clone(), self.fields.clone())) };
        let settings = RegisteredFormat { schema_id: Some(id), ..settings.clone() };
        let inferred =
            infer_columns(&settings, schema_type, self.side, self.is_bare).map_err(|error| error.to_string())?;
        Ok((with_settings(schema_type, settings), inferred.columns))
    }

    /// The payload of bytes.
    ///
    /// # Errors
    /// If they are not of the format.
    pub(super) fn decode(&self, bytes: &[u8]) -> Result<Value, String> {
        if let Format::JsonSr(_) = &self.format {
            let body = bytes.get(5..).ok_or("a record without the id of its schema")?;
            return Value::parse(&String::from_utf8_lossy(body));
        }
        let problem = |error: millstream::format::FormatError| format!("{}: {error}", self.format);
        let fields = match (self.format.registered(), bytes) {
            (Some((settings, schema_type)), [0, a, b, c, d, ..]) => {
                let id = SchemaId(u32::from_be_bytes([*a, *b, *c, *d]));
                let settings = RegisteredFormat { schema_id: Some(id), ..settings.clone() };
                let inferred = infer_columns(&settings, schema_type, self.side, self.is_bare);
                inferred.map_err(|error| error.to_string())?.columns
            }
            _ => self.fields.clone(),
        };
        let all: Vec<usize> = (0..fields.len()).collect();
        let mut deserializer =
            self.format.deserializer(NEUTRAL, wrapping(self.is_bare), &fields, &all).map_err(problem)?;
        let decoded = deserializer.decode(&BinaryArray::from_vec(vec![bytes]));
        if let Some(error) = decoded.errors.first() {
            return Err(error.problem.clone());
        }
        let mut json = Format::Json.serializer(NEUTRAL, wrapping(self.is_bare), &fields).map_err(problem)?;
        let text = json.encode(&decoded.columns, 1, None).map_err(problem)?;
        if text.is_null(0) {
            return Ok(Value::Null);
        }
        Value::parse(&String::from_utf8_lossy(text.value(0)))
    }
}

fn with_settings(schema_type: SchemaType, settings: RegisteredFormat) -> Format {
    match schema_type {
        SchemaType::Avro => Format::Avro(Arc::new(settings)),
        SchemaType::Json => Format::JsonSr(Arc::new(settings)),
        SchemaType::Protobuf => Format::Protobuf(Arc::new(settings)),
    }
}
