//! Avro object container files.
//!
//! The schema follows from the columns: every field is a union of null and its type, so that any row fits; letters that Avro does not allow
//! in names become `_`. Blocks end at 16 KiB. The marker between blocks is made from the schema, not by chance, so that equal rows make
//! equal files, but for the order of the two entries of the header, which the library leaves to chance.
//!
//! After the specification of Avro 1.12, "Object Container Files".

use std::sync::Arc;

use apache_avro::{Codec, DeflateSettings, Schema, Writer};
use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, SchemaRef, TimeUnit},
};
use serde_json::{Value, json};

use super::{Compression, RowsFile, avro_value::avro_record};

pub(super) struct AvroFile {
    /// The header is put out with the first block.
    started: bool,
    schema: Arc<Schema>,
    codec: Codec,
    marker: [u8; 16],
    out: Vec<u8>,
    taken: u64,
}

impl AvroFile {
    pub(super) fn new(schema: &SchemaRef, compression: Compression) -> Result<Self, String> {
        let codec = match compression {
            Compression::None => Codec::Null,
            Compression::Deflate => Codec::Deflate(DeflateSettings::default()),
            Compression::Snappy | Compression::Zstd => {
                return Err("avro is compressed with deflate or not at all".to_owned());
            }
        };
        let text = avro_schema(schema)?;
        let schema = Schema::parse(&text).map_err(|error| error.to_string())?;
        let digest = ring::digest::digest(&ring::digest::SHA256, text.to_string().as_bytes());
        let marker = digest.as_ref()[..16].try_into().expect("a SHA-256 has 32 bytes");
        Ok(Self { started: false, schema: Arc::new(schema), codec, marker, out: Vec::new(), taken: 0 })
    }

    /// Puts out rows, in blocks of their own.
    fn put(&mut self, batch: Option<&RecordBatch>) -> Result<(), String> {
        let started = std::mem::replace(&mut self.started, true);
        let out = std::mem::take(&mut self.out);
        let writer = Writer::builder().schema(&self.schema).writer(out).codec(self.codec).marker(self.marker);
        let mut writer = writer.has_header(started).build().map_err(|error| error.to_string())?;
        for row in 0..batch.map_or(0, RecordBatch::num_rows) {
            let record = batch.map(|batch| avro_record(batch, row)).expect("there are rows")?;
            writer.unvalidated_append_value(record).map_err(|error| error.to_string())?;
        }
        self.out = writer.into_inner().map_err(|error| error.to_string())?;
        Ok(())
    }
}

impl RowsFile for AvroFile {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), String> {
        self.put(Some(batch))
    }

    fn bytes(&self) -> u64 {
        self.taken + self.out.len() as u64
    }

    fn buffered(&self) -> usize {
        self.out.len()
    }

    fn take(&mut self) -> Vec<u8> {
        self.taken += self.out.len() as u64;
        std::mem::take(&mut self.out)
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<u8>, String> {
        if !self.started {
            self.put(None)?;
        }
        Ok(self.out)
    }
}

/// The Avro schema of rows.
///
/// # Errors
/// The column that Avro cannot hold.
pub(super) fn avro_schema(schema: &SchemaRef) -> Result<Value, String> {
    record_schema("row", schema.fields().iter().map(AsRef::as_ref), "")
}

fn record_schema<'f>(name: &str, fields: impl Iterator<Item = &'f Field>, path: &str) -> Result<Value, String> {
    let mut written = Vec::new();
    for field in fields {
        let path = if path.is_empty() { field.name().clone() } else { format!("{path}_{}", field.name()) };
        let field_name = avro_name(field.name());
        if written.iter().any(|earlier: &Value| earlier["name"] == field_name.as_str()) {
            return Err(format!(
                "column {path}: another column has the name {field_name} in avro too; rename one of them"
            ));
        }
        let of = type_schema(field.data_type(), &path)?;
        written.push(json!({"name": field_name, "type": ["null", of], "default": null}));
    }
    Ok(json!({"type": "record", "name": name, "fields": written}))
}

fn type_schema(data_type: &DataType, path: &str) -> Result<Value, String> {
    Ok(match data_type {
        DataType::Boolean => json!("boolean"),
        DataType::Int8 | DataType::Int16 | DataType::Int32 => json!("int"),
        DataType::Int64 => json!("long"),
        DataType::Float32 => json!("float"),
        DataType::Float64 => json!("double"),
        DataType::Utf8 => json!("string"),
        DataType::Binary => json!("bytes"),
        DataType::Date32 => json!({"type": "int", "logicalType": "date"}),
        DataType::Time32(TimeUnit::Millisecond) => json!({"type": "int", "logicalType": "time-millis"}),
        DataType::Timestamp(TimeUnit::Millisecond, _) => json!({"type": "long", "logicalType": "timestamp-millis"}),
        DataType::Timestamp(TimeUnit::Microsecond, _) => json!({"type": "long", "logicalType": "timestamp-micros"}),
        DataType::Decimal128(precision, scale) if *scale >= 0 => {
            json!({"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale})
        }
        DataType::List(item) => json!({"type": "array", "items": ["null", type_schema(item.data_type(), path)?]}),
        DataType::Map(entries, _) => {
            let DataType::Struct(sides) = entries.data_type() else { return Err(refused(data_type, path)) };
            if *sides[0].data_type() != DataType::Utf8 {
                return Err(refused(data_type, path));
            }
            json!({"type": "map", "values": ["null", type_schema(sides[1].data_type(), path)?]})
        }
        DataType::Struct(fields) => {
            record_schema(&format!("row_{}", avro_name(path)), fields.iter().map(AsRef::as_ref), path)?
        }
        _ => return Err(refused(data_type, path)),
    })
}

fn refused(data_type: &DataType, path: &str) -> String {
    format!("column {path} is {data_type}, which avro cannot hold; use json or parquet, or leave the column out")
}

/// A name with the letters that Avro allows.
pub(super) fn avro_name(name: &str) -> String {
    let legal = |(at, letter): (usize, char)| {
        if letter == '_' || letter.is_ascii_alphabetic() || (at > 0 && letter.is_ascii_digit()) { letter } else { '_' }
    };
    name.chars().enumerate().map(legal).collect()
}
