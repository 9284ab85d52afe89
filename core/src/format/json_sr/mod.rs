//! JSON_SR: JSON behind the id of its JSON Schema in a registry.
//!
//! As in ksqlDB the records are read like those of JSON, leniently and by the names in them, whatever their schema says: the id is only
//! checked to be there. Writing registers the schema that the columns give.

mod from_columns;
mod to_columns;

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, BinaryArray, BinaryBuilder, new_null_array},
    buffer::NullBuffer,
    datatypes::FieldRef,
};

use super::{
    DecodeError, Decoded, Deserializer, Serializer, Side,
    avro::field_for,
    error::FormatError,
    json::{JsonDeserializer, JsonSerializer},
    registered::Target,
    registry::{frame, unframe},
};

pub(super) use from_columns::schema as schema_of_columns;
pub(super) use to_columns::{can_read, check, columns as columns_of_schema};

/// The name of the format in errors.
pub(super) const JSON_SR: &str = "JSON_SR";

/// Reads framed JSON.
pub(super) struct JsonSrDeserializer {
    json: JsonDeserializer,
}

/// Writes framed JSON.
pub(super) struct JsonSrSerializer {
    target: Target,
    side: Side,
    bare: bool,
    fields: Vec<FieldRef>,
    json: JsonSerializer,
    ready: bool,
    /// The fields that the schema has and the columns do not, which are written as null.
    missing: Vec<FieldRef>,
}

impl JsonSrDeserializer {
    /// A reader of records of `fields`; of bare values of the only field, if `bare`.
    ///
    /// # Errors
    /// As for JSON.
    pub(super) fn new(bare: bool, fields: &[FieldRef], projection: &[usize]) -> Result<Self, FormatError> {
        Ok(Self { json: JsonDeserializer::new(bare, fields, projection)? })
    }
}

impl Deserializer for JsonSrDeserializer {
    fn decode(&mut self, bytes: &BinaryArray) -> Decoded {
        let mut bodies = BinaryBuilder::with_capacity(bytes.len(), bytes.value_data().len());
        let mut unframed = Vec::new();
        for row in 0..bytes.len() {
            match bytes.is_valid(row).then(|| unframe(bytes.value(row))) {
                Some(Ok(framed)) => bodies.append_value(framed.body),
                Some(Err(problem)) => {
                    unframed.push(DecodeError { row, problem });
                    bodies.append_null();
                }
                None => bodies.append_null(),
            }
        }
        let mut decoded = self.json.decode(&bodies.finish());
        if !unframed.is_empty() {
            decoded.errors.extend(unframed);
            decoded.errors.sort_by_key(|error| error.row);
        }
        decoded
    }
}

impl JsonSrSerializer {
    /// A writer of records of `fields`; of bare values of the only field, if `bare`.
    ///
    /// # Errors
    /// As for JSON.
    pub(super) fn new(target: Target, side: Side, bare: bool, fields: &[FieldRef]) -> Result<Self, FormatError> {
        let json = JsonSerializer::new(side, bare, fields)?;
        Ok(Self { target, side, bare, fields: fields.to_vec(), json, ready: false, missing: Vec::new() })
    }

    /// Finds the schema to write in. One that was asked for gives the names, and may have more fields.
    fn prepare(&mut self) -> Result<(), FormatError> {
        let writing = self.target.writing()?;
        if self.target.is_given() && !self.bare {
            let invalid = |problem: String| FormatError::Schema { format: JSON_SR, problem };
            let wanted = to_columns::columns(&writing.schema.text, None).map_err(invalid)?;
            let names = || wanted.iter().map(|field| field.name().as_str());
            let mut written = Vec::with_capacity(wanted.len());
            let mut taken = vec![false; wanted.len()];
            for field in &self.fields {
                let at = field_for(names(), field.name())
                    .ok_or_else(|| invalid(format!("the schema has no field for column {}", field.name())))?;
                taken[at] = true;
                written.push(Arc::new(field.as_ref().clone().with_name(wanted[at].name())) as FieldRef);
            }
            self.missing =
                wanted.iter().zip(taken).filter(|(_, taken)| !taken).map(|(field, _)| Arc::clone(field)).collect();
            written.extend(self.missing.iter().map(Arc::clone));
            self.json = JsonSerializer::new(self.side, false, &written)?;
        }
        let mut prefix = Vec::new();
        frame(writing.id, &mut prefix);
        self.json.set_prefix(prefix);
        self.ready = true;
        Ok(())
    }
}

impl Serializer for JsonSrSerializer {
    fn encode(
        &mut self,
        columns: &[ArrayRef],
        rows: usize,
        present: Option<&NullBuffer>,
    ) -> Result<BinaryArray, FormatError> {
        if !self.ready && rows > 0 {
            self.prepare()?;
        }
        if self.missing.is_empty() {
            return self.json.encode(columns, rows, present);
        }
        let nulls = self.missing.iter().map(|field| new_null_array(field.data_type(), rows));
        let columns: Vec<ArrayRef> = columns.iter().map(Arc::clone).chain(nulls).collect();
        self.json.encode(&columns, rows, present)
    }
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{Int32Array, StringArray},
        datatypes::{DataType, Field},
    };

    use super::*;
    use crate::format::{
        Format, RegisteredFormat, Wrapping,
        registry::{EmbeddedRegistry, SchemaId, SchemaRegistry, Version},
    };

    #[test]
    fn framed_json_and_its_schema() {
        let registry = Arc::new(EmbeddedRegistry::in_memory());
        let format = Format::JsonSr(Arc::new(RegisteredFormat::new(registry.clone(), "t-value")));
        let fields: Vec<FieldRef> =
            vec![Arc::new(Field::new("I", DataType::Int32, true)), Arc::new(Field::new("S", DataType::Utf8, true))];
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int32Array::from(vec![Some(1), None])), Arc::new(StringArray::from(vec![Some("x"), None]))];
        let mut serializer = format.serializer(Side::Value, Wrapping::Wrapped, &fields).expect("JSON has them");
        let encoded = serializer.encode(&columns, 2, None).expect("they are written");
        assert_eq!(encoded.value(0), b"\0\0\0\0\x01{\"I\":1,\"S\":\"x\"}");
        let registered = registry.version("t-value", Version::Latest).expect("it was registered");
        assert_eq!(registered.id, SchemaId(1));
        assert_eq!(
            registered.schema.text,
            "{\"properties\":{\"I\":{\"connect.index\":0,\"oneOf\":[{\"type\":\"null\"},{\"connect.type\":\"int32\",\"type\":\"integer\"}]},\
             \"S\":{\"connect.index\":1,\"oneOf\":[{\"type\":\"null\"},{\"type\":\"string\"}]}},\"type\":\"object\"}"
        );
        let inferred = columns_of_schema(&registered.schema.text, None).expect("its own schema");
        assert_eq!(inferred, fields);
        let mut deserializer =
            format.deserializer(Side::Value, Wrapping::Wrapped, &fields, &[0, 1]).expect("JSON has them");
        assert_eq!(deserializer.decode(&encoded).columns, columns);
        let bytes = BinaryArray::from_vec(vec![b"{\"I\":1}", b"\0\0\0\0\x01{}", b"\0\0\0\0\x01[]"]);
        let errors = deserializer.decode(&bytes).errors;
        let rows: Vec<usize> = errors.iter().map(|error| error.row).collect();
        assert_eq!(rows, [0, 2], "{errors:?}");
    }
}
